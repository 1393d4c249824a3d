/*
 * Asks Redis once, as the server does at its start.  A Redis that is away is a fault only where it is required: otherwise each
 * node counts by itself, which with one node is no less.
 */
#include "cli/doctor.h"
#include "net/redis.h"

void
doctor_redis(struct report *r, const struct config *conf)
{
	const struct redis_options options = {.url = conf->redis_url, .timeout_ms = (int)conf->redis_timeout_ms};
	const char *message = "";
	struct redis_state now;

	if (!conf->redis_url[0] || !conf->redis_enabled) {
		report_add(r, FINDING_SKIPPED, "redis", NULL, "not configured; one node needs none");
		return;
	}
	struct redis *redis = redis_open(r->arena, &options, &message);
	if (!redis) {
		report_add(r, FINDING_FAILED, "redis", "correct REDIS_URL", "%s", message);
		return;
	}
	redis_look(redis, &now);
	redis_close(redis);
	if (now.up)
		report_add(r, FINDING_OK, "redis", NULL, "answers in %lld µs", (long long)now.latency_us);
	else
		report_add(r, conf->redis_required ? FINDING_FAILED : FINDING_WARNING, "redis",
			"check REDIS_URL, and that the server behind it runs",
			conf->redis_required ? "%s; nobody can sign in" : "%s; each node counts by itself", now.message);
}
