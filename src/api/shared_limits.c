/*
 * Three scripts with the rules of http/limit.c: a window opens with its first hit and keeps its end however it is counted down.
 * Each is one round trip and, in Redis, one atomic step, for all counters of a request together.
 */
#include "api/shared_limits.h"

#include <pthread.h>
#include <stdio.h>

#include "core/conf.h"
#include "core/keys.h"
#include "http/limit.h"
#include "net/redis.h"

enum { NUMBER_CHARS = 24, MAC_BYTES = 16, KEY_CHARS = 48, HIT_ARGS = 3 };

/* ARGV, for each key: how many it holds, its length in ms, and 1 where it only counts.  {0, 0}: taken; {i, ms}: key i is full. */
static struct redis_script hit_script = {.text = "for i, key in ipairs(KEYS) do"
						 " if ARGV[3 * i] == '0' and"
						 " tonumber(redis.call('GET', key) or 0) >= tonumber(ARGV[3 * i - 2]) then"
						 " if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, ARGV[3 * i - 1]) end"
						 " return {i, redis.call('PTTL', key)}"
						 " end "
						 "end "
						 "for i, key in ipairs(KEYS) do"
						 " local n = redis.call('GET', key)"
						 " if not n then redis.call('SET', key, 1, 'PX', ARGV[3 * i - 1])"
						 " elseif tonumber(n) < tonumber(ARGV[3 * i - 2]) then redis.call('INCR', key) end "
						 "end "
						 "return {0, 0}"};
/* ARGV, for each key: how many go back. */
static struct redis_script give_script = {.text = "for i, key in ipairs(KEYS) do"
						  " local n = tonumber(redis.call('GET', key) or 0)"
						  " local back = math.min(n, tonumber(ARGV[i]))"
						  " if back > 0 then redis.call('DECRBY', key, back) end "
						  "end "
						  "return {0}"};
static struct redis_script drain_script = {.text = "local n = tonumber(redis.call('GET', KEYS[1]) or 0) "
						   "if n > 0 then redis.call('DECRBY', KEYS[1], n) end "
						   "return {n}"};

static pthread_once_t named = PTHREAD_ONCE_INIT;

static void
name_scripts(void)
{
	redis_script_init(&hit_script);
	redis_script_init(&give_script);
	redis_script_init(&drain_script);
}

struct arguments {
	char keys[LIMIT_HITS_MAX][KEY_CHARS];
	char numbers[LIMIT_HITS_MAX * HIT_ARGS][NUMBER_CHARS];
	struct span args[LIMIT_HITS_MAX * (HIT_ARGS + 1)];
	size_t n, n_numbers;
};

static void
add_key(const struct server *srv, struct arguments *g, const struct limit_hit *hit)
{
	static const uint8_t nul = 0;
	const struct span parts[] = {SPAN_LIT("limit"), {&nul, 1}, span_str(hit->limit.name), {&nul, 1}, span_str(hit->key)};
	uint8_t mac[SHA256_BYTES];
	char text[2 * MAC_BYTES + 1];

	crypto_hmac(key_span(key_current(srv->keys, KEY_CLIENT)), parts, 5, mac);
	hex_encode((struct span){mac, MAC_BYTES}, text);
	(void)snprintf(g->keys[g->n], KEY_CHARS, "{muster}:limit:%s", text);
	g->args[g->n] = span_str(g->keys[g->n]);
	g->n++;
}

static void
add_number(struct arguments *g, int64_t n)
{
	char *text = g->numbers[g->n_numbers++];

	(void)snprintf(text, NUMBER_CHARS, "%lld", (long long)n);
	g->args[g->n++] = span_str(text);
}

static bool
hit(void *arg, const struct limit_hit *hits, size_t n, bool *ret_taken, size_t *ret_which, int *ret_retry_s)
{
	const struct server *srv = arg;
	struct arguments g = {.n = 0};
	int64_t answer[2];

	for (size_t i = 0; i < n; i++)
		add_key(srv, &g, &hits[i]);
	for (size_t i = 0; i < n; i++) {
		add_number(&g, hits[i].limit.max);
		add_number(&g, hits[i].limit.window_s * 1000);
		add_number(&g, hits[i].only_counts);
	}
	if (!redis_run(srv->redis, &hit_script, n, g.args, g.n, answer, 2))
		return false;
	*ret_taken = answer[0] == 0;
	if (answer[0] < 1 || answer[0] > (int64_t)n)
		return answer[0] == 0;
	*ret_which = (size_t)answer[0] - 1;
	*ret_retry_s = answer[1] <= 1000 ? 1 : (int)((answer[1] + 999) / 1000);
	return true;
}

static bool
give(void *arg, const struct limit_hit *hits, const int64_t *amounts, size_t n)
{
	const struct server *srv = arg;
	struct arguments g = {.n = 0};
	int64_t ignored;

	for (size_t i = 0; i < n; i++)
		add_key(srv, &g, &hits[i]);
	for (size_t i = 0; i < n; i++)
		add_number(&g, amounts[i]);
	return redis_run(srv->redis, &give_script, n, g.args, g.n, &ignored, 1);
}

static bool
drain(void *arg, const struct limit_hit *of, int64_t *ret_n)
{
	const struct server *srv = arg;
	struct arguments g = {.n = 0};

	add_key(srv, &g, of);
	return redis_run(srv->redis, &drain_script, 1, g.args, g.n, ret_n, 1);
}

bool
shared_limits_open(struct arena *a, struct server *srv, const char **ret_message)
{
	const struct config *conf = srv->conf;
	const struct redis_options options = {
		.url = conf->redis_url, .timeout_ms = (int)conf->redis_timeout_ms, .metrics = srv->metrics};

	if (!conf->redis_url[0] || !conf->redis_enabled)
		return true;
	(void)pthread_once(&named, name_scripts);
	srv->redis = redis_open(a, &options, ret_message);
	if (srv->redis)
		limiter_share(srv->limiter,
			&(const struct limit_backend){
				.hit = hit, .give = give, .drain = drain, .arg = srv, .required = conf->redis_required});
	return srv->redis != NULL;
}

void
shared_limits_close(struct server *srv)
{
	redis_close(srv->redis);
	srv->redis = NULL;
}
