/*
 * One request on its way through the phases: what api/dispatch.c, phases.c, lanes.c, idempotency.c and reply.c share.  Lives in the
 * exchange's arena and is touched by one thread at a time.
 */
#ifndef MUSTER_API_CALL_H
#define MUSTER_API_CALL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/dispatch.h"
#include "api/idempotency.h"
#include "api/router.h"
#include "core/conf.h"
#include "http/later.h"
#include "http/pool.h"
#include "identity/session.h"
#include "store/db.h"

enum { HEADERS_FIXED = 4 };

struct dispatcher {
	struct server *srv;
	const struct config *conf;
	struct router *router;
	bool strict;       /* BUG() on an error that the row does not list */
	bool own_tables;   /* the program's tables: their numbers are the metrics' */
	bool limits_on;
	struct cidr *shared; /* SHARED_NETWORKS */
	size_t n_shared;
	struct header fixed[HEADERS_FIXED]; /* on every reply */
	struct pool *read, *hash, *work, *files;
	struct later *held;    /* refusals for want of room */
	struct idem_table *running;
	atomic_int in_flight;
	pthread_mutex_t lock;  /* of `idle` */
	pthread_cond_t idle;   /* in_flight fell to 0 */
};

struct call;
enum next { GO_ON = 1, PARKED, REFUSED }; /* PARKED: another thread has the call now */

struct taken { /* a hit counted for this request */
	struct limit limit;
	const char *key;
};

struct call {
	struct dispatcher *d;
	struct exchange *x;
	const struct row *row;   /* NULL until routed */
	const char *allow;       /* methods of the path */
	enum surface surface;
	int phase;
	struct ctx cx;
	struct client client;
	struct actor actor;
	struct access_claims claims;
	bool deferred;           /* the exchange may be answered from another thread */
	bool hall;               /* counted as hall traffic */
	bool prepared;           /* the row's prepare() has run */
	struct taken taken[3];
	int n_taken;
	const char *authorization, *origin, *content_type, *content_encoding, *idempotency_key;
	enum err result;
	struct error refusal;    /* what lane_audit_refusal() writes down */
	struct pool_task task;
	struct later_task held;
	struct db_job job;
	const struct limit_hit *counted; /* taken by counted_take() and not settled yet */
	size_t n_counted;
	struct idem idem;
	struct waiter *waiter;   /* dispatch_call() waits here; NULL: exchange_reply() */
};

/* --- lanes.c: where handlers run ---- */
void lanes_open(struct dispatcher *d);
void lanes_close(struct dispatcher *d);
/* Runs or queues the row's handler. */
enum next lane_run(struct call *c);
/* On a read thread, with cx.db set: goes on with the phases. */
enum next lane_to_reader(struct call *c);
/* Writes the audit row of a refusal that came before the handler (c->result), then answers. */
enum next lane_audit_refusal(struct call *c);
/* To the write lane again: the first request of the same key has ended, and left its reply behind when `stored`. */
void lane_resume_idempotent(struct call *c, bool stored);

/* --- counted.c ---- */
enum next counted_take(struct call *c);  /* a phase: takes the hits of the row's `count` */
bool counted_settle(struct call *c);     /* when c has its result; false: goes on elsewhere, and comes to call_finish() again */

/* --- phases.c ---- */
void call_go(struct call *c);                  /* the phases from c->phase on */
enum next call_refuse(struct call *c, enum err e); /* c->result = e, with c->cx.error set */
const char *bearer_token(const char *authorization); /* NULL when the header is none, or of another scheme */
/* API_PREFIX is another name of /v1, where the accounts surface answers in any case. */
const char *accounts_path(const struct dispatcher *d, struct arena *a, const char *path);

/* --- dispatch.c ---- */
void call_finish(struct call *c);              /* reply, metrics, log; c is gone afterwards */

/* --- reply.c ---- */
void reply_common(const struct dispatcher *d, const struct call *c, const struct request *rq, struct reply *rs);
void reply_fixed_init(struct dispatcher *d);
/* The document of an error: `{"error":…}` of its surface. */
void error_body(struct buf *out, enum surface s, const struct request *rq, const struct error *e);

#endif
