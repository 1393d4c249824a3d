/*
 * A stack of idle connections and one thread that watches.
 *
 * The breaker: the first failure of anybody opens it (up = false), and from then on nobody but the watching thread touches the
 * network.  That one asks every second while all is well, and with growing pauses otherwise.  Its question is a write, so that a
 * read-only replica, a Redis without memory and one that is still loading are as away as one that is off.  Names are resolved by
 * that thread alone.
 *
 * `age` counts the times the breaker opened: a link made before is closed rather than given back.
 */
#include "net/redis.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/crypto.h"
#include "core/log.h"
#include "core/metrics.h"
#include "net/redis_link.h"

enum { ASK_MS = 1000, PAUSE_MIN_MS = 50, PAUSE_MAX_MS = 2000, ASK_TIMEOUT_MIN_MS = 500, IDLE_MAX = 32, PLACES_MAX = 4 };

static const char probe_key[] = "{muster}:probe";

struct redis {
	struct arena arena; /* of the address */
	struct redis_address address;
	SSL_CTX *tls;
	struct metrics *metrics;
	int timeout_ms;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool up, closing, told;
	uint64_t age;
	int64_t latency_us;
	char message[REDIS_MESSAGE_MAX];
	struct redis_place place; /* the one that answered last */
	struct redis_link *idle;
	size_t n_idle;
};

/* --- the breaker ----------------------------------------------------------------------------------------------------------- */

static void
close_all(struct redis_link *l)
{
	for (struct redis_link *next; l; l = next) {
		next = l->next;
		redis_link_close(l);
	}
}

static void
count(const struct redis *r, const char *result)
{
	if (r->metrics)
		metrics_add(r->metrics, M_REDIS_CALLS, result, 1);
}

static void
gauge(const struct redis *r, bool up)
{
	if (r->metrics)
		metrics_set(r->metrics, M_REDIS_UP, up);
}

static void
went_away(struct redis *r, uint64_t age, const char *why)
{
	pthread_mutex_lock(&r->lock);
	bool news = (r->up && r->age == age) || !r->told;
	struct redis_link *idle = news ? r->idle : NULL;
	if (news) {
		r->up = false;
		r->told = true;
		r->age++;
		r->idle = NULL;
		r->n_idle = 0;
		pthread_cond_broadcast(&r->changed);
	}
	if (!r->up)
		(void)str_copy(r->message, sizeof(r->message), why);
	pthread_mutex_unlock(&r->lock);
	close_all(idle);
	if (!news)
		return;
	gauge(r, false);
	log_warning(NULL, "redis.away", "Redis does not answer; this node counts by itself", LOG_TEXT("reason", why));
}

static void
came_back(struct redis *r, const struct redis_place *place, int64_t latency_us)
{
	pthread_mutex_lock(&r->lock);
	bool news = !r->up;
	r->up = r->told = true;
	r->latency_us = latency_us;
	r->place = *place;
	pthread_mutex_unlock(&r->lock);
	if (!news)
		return;
	gauge(r, true);
	log_info(NULL, "redis.back", "Redis answers; nodes share their counters");
}

/* --- the watching thread --------------------------------------------------------------------------------------------------- */

static bool
ask(struct redis_link *l, int64_t until_us, char *why)
{
	const char *argv[] = {"SET", probe_key, "1", "PX", "60000"};
	redisReply *reply = redis_link_call(l, 5, argv, NULL, until_us, why);
	bool ok = reply && reply->type == REDIS_REPLY_STATUS;

	if (reply && !ok)
		(void)str_copy(why, REDIS_MESSAGE_MAX, reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected answer");
	freeReplyObject(reply);
	return ok;
}

static int64_t
ask_until(const struct redis *r)
{
	return time_monotonic_us() + INT64_C(1000) * (r->timeout_ms > ASK_TIMEOUT_MIN_MS ? r->timeout_ms : ASK_TIMEOUT_MIN_MS);
}

/* Over the link of last time, or a new one; *link is NULL when it fails. */
static bool
probe(struct redis *r, struct redis_link **link)
{
	struct redis_place places[PLACES_MAX];
	char why[REDIS_MESSAGE_MAX] = "the host's name does not resolve";
	uint64_t age;

	pthread_mutex_lock(&r->lock);
	age = r->age;
	places[0] = r->place;
	pthread_mutex_unlock(&r->lock);
	int64_t from_us = time_monotonic_us();
	if (*link && ask(*link, ask_until(r), why)) {
		came_back(r, &places[0], time_monotonic_us() - from_us);
		return true;
	}
	redis_link_close(*link);
	*link = NULL;
	size_t n = redis_resolve(&r->address, places, PLACES_MAX);
	for (size_t i = 0; i < n; i++) {
		from_us = time_monotonic_us();
		*link = redis_link_open(&r->address, &places[i], r->tls, ask_until(r), why);
		if (*link && ask(*link, ask_until(r), why)) {
			came_back(r, &places[i], time_monotonic_us() - from_us);
			return true;
		}
		redis_link_close(*link);
		*link = NULL;
	}
	went_away(r, age, why);
	return false;
}

/* True: go on.  Ends early when somebody else opened the breaker. */
static bool
rest(struct redis *r, bool up, int ms)
{
	const struct timespec until = time_spec(time_monotonic_us() + ms * INT64_C(1000));

	pthread_mutex_lock(&r->lock);
	while (!r->closing && r->up == up && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
		continue;
	bool go_on = !r->closing;
	pthread_mutex_unlock(&r->lock);
	return go_on;
}

/* The pause grows until Redis was well for a whole turn, so that one that comes and goes is not asked all the time. */
static void *
watch(void *arg)
{
	struct redis *r = arg;
	struct redis_link *link = NULL;
	struct redis_state now;
	int pause_ms = PAUSE_MIN_MS;

	redis_look(r, &now);
	for (bool up = now.up; rest(r, up, up ? ASK_MS : pause_ms);) {
		redis_look(r, &now);
		bool others = up && !now.up; /* a request found out: rest first */
		bool well = !others && probe(r, &link);
		if (well && up)
			pause_ms = PAUSE_MIN_MS;
		else if (!others && (pause_ms *= 2) > PAUSE_MAX_MS)
			pause_ms = PAUSE_MAX_MS;
		redis_look(r, &now);
		up = now.up;
	}
	redis_link_close(link);
	return NULL;
}

/* --- links ----------------------------------------------------------------------------------------------------------------- */

/* NULL: away. */
static struct redis_link *
link_take(struct redis *r, int64_t until_us, uint64_t *ret_age)
{
	char why[REDIS_MESSAGE_MAX] = "";
	struct redis_link *l;

	do {
		pthread_mutex_lock(&r->lock);
		bool up = r->up;
		struct redis_place place = r->place;
		*ret_age = r->age;
		l = r->idle;
		if (l) {
			r->idle = l->next;
			r->n_idle--;
		}
		pthread_mutex_unlock(&r->lock);
		if (!up) {
			count(r, "skipped");
			return NULL;
		}
		if (!l) {
			l = redis_link_open(&r->address, &place, r->tls, until_us, why);
			if (l)
				return l;
			count(r, "failed");
			went_away(r, *ret_age, why);
			return NULL;
		}
		if (redis_link_quiet(l))
			return l;
		redis_link_close(l); /* closed by Redis while it was idle */
	} while (true);
}

static void
link_give(struct redis *r, struct redis_link *l, uint64_t age)
{
	pthread_mutex_lock(&r->lock);
	bool keep = r->up && r->age == age && r->n_idle < IDLE_MAX;
	if (keep) {
		l->next = r->idle;
		r->idle = l;
		r->n_idle++;
	}
	pthread_mutex_unlock(&r->lock);
	if (!keep)
		redis_link_close(l);
}

/* --- scripts --------------------------------------------------------------------------------------------------------------- */

void
redis_script_init(struct redis_script *s)
{
	uint8_t sha[EVP_MAX_MD_SIZE];
	size_t n = 0;

	if (!EVP_Q_digest(NULL, "SHA1", NULL, s->text, strlen(s->text), sha, &n) || n != 20)
		BUG("no SHA-1 for the names of scripts");
	hex_encode((struct span){sha, n}, s->sha);
}

static bool
take_numbers(const redisReply *reply, int64_t *ret, size_t n_ret)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n_ret)
		return false;
	for (size_t i = 0; i < n_ret; i++)
		if (reply->element[i]->type != REDIS_REPLY_INTEGER)
			return false;
	for (size_t i = 0; i < n_ret; i++)
		ret[i] = reply->element[i]->integer;
	return true;
}

static bool
is_forgotten(const redisReply *reply)
{
	return reply && reply->type == REDIS_REPLY_ERROR && str_starts(reply->str, "NOSCRIPT");
}

bool
redis_run(struct redis *r, const struct redis_script *s, size_t n_keys, const struct span *args, size_t n, int64_t *ret,
	size_t n_ret)
{
	const char *argv[REDIS_ARGS_MAX + 3] = {"EVALSHA", s->sha};
	size_t lengths[REDIS_ARGS_MAX + 3] = {7, 40};
	char keys[8], why[REDIS_MESSAGE_MAX] = "an unexpected answer";
	int64_t until_us = time_monotonic_us() + r->timeout_ms * INT64_C(1000);
	uint64_t age;

	if (n > REDIS_ARGS_MAX || n_keys > n)
		BUG("a script with %zu arguments", n);
	struct redis_link *l = link_take(r, until_us, &age);
	if (!l)
		return false;
	lengths[2] = (size_t)snprintf(keys, sizeof(keys), "%zu", n_keys);
	argv[2] = keys;
	for (size_t i = 0; i < n; i++) {
		argv[3 + i] = (const char *)args[i].p;
		lengths[3 + i] = args[i].n;
	}
	redisReply *reply = redis_link_call(l, (int)n + 3, argv, lengths, until_us, why);
	if (is_forgotten(reply)) {
		freeReplyObject(reply);
		argv[0] = "EVAL", lengths[0] = 4;
		argv[1] = s->text, lengths[1] = strlen(s->text);
		reply = redis_link_call(l, (int)n + 3, argv, lengths, until_us, why);
	}
	bool ok = reply && take_numbers(reply, ret, n_ret);
	if (reply && reply->type == REDIS_REPLY_ERROR)
		(void)str_copy(why, sizeof(why), reply->str);
	freeReplyObject(reply);
	count(r, ok ? "ok" : "failed");
	if (ok) {
		link_give(r, l, age);
	} else {
		redis_link_close(l);
		went_away(r, age, why);
	}
	return ok;
}

/* --- opening and closing --------------------------------------------------------------------------------------------------- */

void
redis_look(struct redis *r, struct redis_state *ret)
{
	pthread_mutex_lock(&r->lock);
	ret->up = r->up;
	ret->latency_us = r->latency_us;
	(void)str_copy(ret->message, sizeof(ret->message), r->up ? "" : r->message);
	pthread_mutex_unlock(&r->lock);
}

static SSL_CTX *
tls_open(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || SSL_CTX_set_default_verify_paths(tls) != 1 || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1)
		BUG("no TLS");
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	return tls;
}

struct redis *
redis_open(struct arena *a, const struct redis_options *o, const char **ret_message)
{
	struct redis *r = calloc(1, sizeof(*r));
	struct redis_link *first = NULL;
	pthread_condattr_t attr;

	if (!r)
		BUG("out of memory");
	arena_init(&r->arena);
	if (!redis_address_read(&r->arena, o->url, &r->address, ret_message)) {
		*ret_message = arena_strdup(a, *ret_message);
		arena_release(&r->arena);
		free(r);
		return NULL;
	}
	r->timeout_ms = o->timeout_ms;
	r->metrics = o->metrics;
	r->tls = r->address.tls ? tls_open() : NULL;
	if (pthread_mutex_init(&r->lock, NULL) != 0 || pthread_condattr_init(&attr) != 0 ||
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 || pthread_cond_init(&r->changed, &attr) != 0)
		BUG("no lock");
	pthread_condattr_destroy(&attr);
	(void)probe(r, &first);
	redis_link_close(first);
	if (pthread_create(&r->thread, NULL, watch, r) != 0)
		BUG("the thread that watches Redis does not start");
	(void)pthread_setname_np(r->thread, "redis");
	return r;
}

void
redis_close(struct redis *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->closing = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	close_all(r->idle);
	if (r->tls)
		SSL_CTX_free(r->tls);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	arena_release(&r->arena);
	free(r);
}
