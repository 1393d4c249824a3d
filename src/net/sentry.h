/*
 * Reports of internal errors to a Sentry-compatible endpoint (SENTRY_DSN, envelope API).
 *
 * A report says what a developer needs to find the place and nothing of the people: error name, route template or job, origin,
 * request id, release, environment.  Messages, paths as asked, queries, headers and bodies have no member here, so they cannot
 * leak.
 */
#ifndef MUSTER_NET_SENTRY_H
#define MUSTER_NET_SENTRY_H

#include "core/ctx.h"

enum { SENTRY_QUEUE_MAX = 64 };

struct sentry_event {		  /* static texts, but for request_id, which is copied */
	const char *error;	  /* "INTERNAL" */
	const char *what, *where; /* "GET", "/v1/auth/me"; "job", "outbox" */
	const char *file, *func;
	int line;
	const char *request_id; /* "": none */
};

/* NULL without SENTRY_DSN; one that is malformed is a warning and NULL too. */
struct sentry *sentry_open(const struct config *conf, const struct source *source, struct metrics *metrics);
/* Sends what waits for at most `flush_ms`, gives up the rest, ends the thread. */
void sentry_close(struct sentry *s, int flush_ms);
/* Never waits: a full queue drops the event and counts it.  `s` may be NULL. */
void sentry_report(struct sentry *s, const struct sentry_event *e);

#endif
