/*
 * Idempotency keys: the same key by the same account on the same route within 24 hours gives the first reply again.
 *
 * While the first request runs, a second one on this node waits for it in memory.  Between nodes the database decides: the
 * reply is stored in the transaction of the work, and who finds the key taken at that moment undoes its own work and answers
 * ERR_IDEMPOTENCY_RUNNING.  Replies of status 429 and 5xx are not stored, nor are refusals that came before the handler.
 */
#ifndef MUSTER_API_IDEMPOTENCY_H
#define MUSTER_API_IDEMPOTENCY_H

#include "core/ctx.h"
#include "http/request.h"

struct call;
struct idem_table;

struct idem { /* of one call */
	bool on;                /* the request carries a key that its row honours */
	bool listed;            /* stands in the table as the running one */
	bool stored, replayed;  /* its reply is in the database; it came from there */
	bool judged;            /* the handler was asked: what was refused before is no reply to keep */
	char body_hash[44];     /* base64url of SHA-256 */
	uint64_t hash;          /* of account, route and key */
	struct call *next, *first_waiter, **last_waiter;
	int n_waiting;
};

struct idem_table *idem_open(struct arena *a);
void idem_close(struct idem_table *t);

/* Reads and checks the header: ERR_VALIDATION.  Sets c->idem.on when the row honours keys and there is one. */
enum err idem_prepare(struct call *c) MUST_CHECK;
/*
 * Takes the key for this call, or parks the call behind the one that has it: true, and it must not be touched any more.
 * ERR_IDEMPOTENCY_RUNNING (in *ret) when too many wait already.
 */
bool idem_wait(struct call *c, enum err *ret);
/* The call has ended.  Unlists it and returns those that waited, linked by idem.next; no one may wait for it any more. */
struct call *idem_leave(struct call *c);

/* Inside the transaction, before the handler: *ret_found when the reply was given before; it is in `rs` then. */
void idem_ahead(struct ctx *cx, struct call *c); /* in a job's ahead(): idem_recall() will follow */
enum err idem_recall(struct ctx *cx, struct call *c, struct reply *rs, bool *ret_found) MUST_CHECK;
/* Inside the transaction, after the handler or its undo. */
enum err idem_store(struct ctx *cx, struct call *c, const struct reply *rs) MUST_CHECK;

#endif
