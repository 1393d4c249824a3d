/*
 * A ring of fixed slots between those who fail and one thread that sends.  Invariants: a report takes the lock for a copy only,
 * never across I/O; what finds the ring full is dropped and counted.
 *
 * An endpoint that is away or says that it has enough (429, 5xx) is left in peace for a while, and what comes meanwhile is
 * dropped: a fault here must not grow into load there.  Failures of reporting are counted and never reported.
 */
#include "net/sentry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/conf.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "net/http_client.h"

#define QUIET_US MINUTES_US

struct slot {
	struct sentry_event event;
	char request_id[REQUEST_ID_MAX + 1];
	int64_t at_us;
};

struct sentry {
	const struct source *source;
	struct metrics *metrics;
	struct arena arena; /* of the two texts below */
	const char *url, *auth, *environment;
	bool plain;
	atomic_bool stop; /* give up at once, a transfer in progress too */
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool closing, ended;
	int64_t quiet_until_us; /* monotonic */
	size_t first, n;
	struct slot ring[SENTRY_QUEUE_MAX];
};

/* --- the DSN: scheme://key[:secret]@host[:port][/path]/project ---- */

static bool
is_word(const char *s, size_t n)
{
	return n > 0 && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") >= n;
}

static bool
read_dsn(struct sentry *s, const char *dsn)
{
	const char *sep = strstr(dsn, "://"), *key = sep ? sep + 3 : dsn, *at = strchr(key, '@');
	const char *project = at ? strrchr(at, '/') : NULL;

	if (!sep || !at || !project || strpbrk(at, "?#") || strchr(at + 1, '@') || project == at + 1)
		return false;
	size_t key_n = strcspn(key, ":@");
	if (!is_word(key, key_n) || !is_word(project + 1, strlen(project + 1)))
		return false;
	s->plain = str_starts(dsn, "http://");
	s->url = arena_printf(
		&s->arena, "%.*s%.*s/api/%s/envelope/", (int)(key - dsn), dsn, (int)(project - at - 1), at + 1, project + 1);
	s->auth = arena_printf(&s->arena,
		"X-Sentry-Auth: Sentry sentry_version=7, sentry_client=muster/" MUSTER_VERSION ", sentry_key=%.*s", (int)key_n,
		key);
	return true;
}

/* --- the envelope ---- */

static void
write_origin(struct json *j, const struct sentry_event *e)
{
	json_obj(j, "exception");
	json_arr(j, "values");
	json_obj(j, NULL);
	json_str(j, "type", e->error);
	json_obj(j, "stacktrace");
	json_arr(j, "frames");
	json_obj(j, NULL);
	json_str(j, "filename", e->file);
	json_str(j, "function", e->func);
	json_int(j, "lineno", e->line);
	json_bool(j, "in_app", true);
	json_obj_end(j);
	json_arr_end(j);
	json_obj_end(j);
	json_obj_end(j);
	json_arr_end(j);
	json_obj_end(j);
}

static const char *
write_event(struct arena *a, const struct sentry *s, const struct slot *slot, const char *id)
{
	const struct sentry_event *e = &slot->event;
	struct buf out;
	struct json j;

	buf_init(&out, a, 1024);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "event_id", id);
	json_time(&j, "timestamp", slot->at_us);
	json_str(&j, "platform", "c");
	json_str(&j, "level", "error");
	json_str(&j, "release", "muster@" MUSTER_VERSION);
	json_str(&j, "environment", s->environment);
	json_str(&j, "transaction", arena_printf(a, "%s %s", e->what, e->where));
	if (slot->request_id[0]) {
		json_obj(&j, "tags");
		json_str(&j, "request_id", slot->request_id);
		json_obj_end(&j);
	}
	write_origin(&j, e);
	json_obj_end(&j);
	return buf_cstr(&out);
}

static const char *
write_envelope(struct arena *a, const struct sentry *s, const struct slot *slot)
{
	uint8_t chance[16];
	char id[2 * sizeof(chance) + 1] = "";

	s->source->random(s->source->arg, chance, sizeof(chance));
	const struct uuid u = uuid_v4(chance);
	for (size_t i = 0, n = 0; u.text[i]; i++) /* as the endpoint wants it: no hyphens */
		if (u.text[i] != '-')
			id[n++] = u.text[i];
	const char *event = write_event(a, s, slot, id);
	return arena_printf(a, "{\"event_id\":\"%s\"}\n{\"type\":\"event\",\"length\":%zu}\n%s\n", id, strlen(event), event);
}

/* --- sending ---- */

static void
count(const struct sentry *s, const char *result)
{
	metrics_add(s->metrics, M_ERROR_REPORTS, result, 1);
}

/* False: the endpoint wants, or needs, a rest. */
static bool
send_one(struct sentry *s, const struct slot *slot)
{
	const char *const headers[] = {"Content-Type: application/x-sentry-envelope", s->auth, NULL};
	struct http_answer answer = {0};
	const char *why = "";
	struct arena a;

	arena_init(&a);
	const struct http_fetch f = {
		.url = s->url, .form = write_envelope(&a, s, slot), .headers = headers, .stop = &s->stop, .plain = s->plain};
	bool answered = http_fetch(&a, &f, &answer, &why), sent = answered && answer.status / 100 == 2;
	count(s, sent ? "sent" : "failed");
	if (!sent && !s->stop)
		log_warning(NULL, "sentry.failed", answered ? "the endpoint of SENTRY_DSN refused a report" : why,
			LOG_INT("status_code", answer.status));
	arena_release(&a);
	return answered && answer.status != 429 && answer.status < 500;
}

static int64_t
monotonic_us(const struct sentry *s)
{
	return s->source->monotonic_us(s->source->arg);
}

/* With the lock held. */
static void
drop_all(struct sentry *s)
{
	for (; s->n > 0; s->n--)
		count(s, "dropped");
}

static void *
sentry_main(void *arg)
{
	struct sentry *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->n == 0 && !s->closing)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->stop)
			drop_all(s);
		if (s->n == 0)
			break;
		const struct slot slot = s->ring[s->first];
		s->first = (s->first + 1) % SENTRY_QUEUE_MAX;
		s->n--;
		pthread_mutex_unlock(&s->lock);
		bool go_on = send_one(s, &slot);
		pthread_mutex_lock(&s->lock);
		if (!go_on) {
			s->quiet_until_us = monotonic_us(s) + QUIET_US;
			drop_all(s);
		}
	}
	s->ended = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void
sentry_report(struct sentry *s, const struct sentry_event *e)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->n == SENTRY_QUEUE_MAX || s->closing || monotonic_us(s) < s->quiet_until_us) {
		count(s, "dropped");
	} else {
		struct slot *slot = &s->ring[(s->first + s->n++) % SENTRY_QUEUE_MAX];
		slot->event = *e;
		slot->at_us = s->source->wall_us(s->source->arg);
		str_copy(slot->request_id, sizeof(slot->request_id), e->request_id);
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
}

/* --- opening and closing ---- */

static void
release(struct sentry *s)
{
	arena_release(&s->arena);
	free(s);
}

struct sentry *
sentry_open(const struct config *conf, const struct source *source, struct metrics *metrics)
{
	static const char *const environments[] = {[ENV_DEV] = "dev", [ENV_STAGING] = "staging", [ENV_PROD] = "prod"};
	struct sentry *s = conf->sentry_dsn[0] ? calloc(1, sizeof(*s)) : NULL;
	pthread_condattr_t attr;

	if (!conf->sentry_dsn[0])
		return NULL;
	if (!s)
		BUG("out of memory");
	arena_init(&s->arena);
	if (!read_dsn(s, conf->sentry_dsn)) {
		log_warning(NULL, "config.warning", "SENTRY_DSN is malformed and ignored");
		release(s);
		return NULL;
	}
	s->source = source;
	s->metrics = metrics;
	s->environment = environments[conf->env];
	s->quiet_until_us = TIME_NONE;
	if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
		pthread_cond_init(&s->changed, &attr) != 0 || pthread_mutex_init(&s->lock, NULL) != 0 ||
		pthread_create(&s->thread, NULL, sentry_main, s) != 0)
		BUG("the reporting thread does not start");
	pthread_condattr_destroy(&attr);
	pthread_setname_np(s->thread, "sentry");
	return s;
}

void
sentry_close(struct sentry *s, int flush_ms)
{
	if (!s)
		return;
	const struct timespec until = time_spec(time_monotonic_us() + flush_ms * INT64_C(1000)); /* waiting for others is not the program's time */
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_broadcast(&s->changed);
	while (!s->ended && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
		continue;
	s->stop = true;
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	release(s);
}
