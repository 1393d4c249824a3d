/*
 * The lanes: which thread runs a handler, and what surrounds it there.
 *
 * run_handler() is the only caller of handlers.  On the write lane it may be called again for the same request, so it
 * starts from an empty reply and an empty error each time.  An error that the row does not list becomes an internal one before
 * anybody sees it, and takes its writes with it.
 */
#include <string.h>
#include <unistd.h>

#include "api/call.h"
#include "core/log.h"
#include "identity/hasher.h"

enum { READ_THREADS = 2, WORK_THREADS = 4, WORK_QUEUE_MAX = 256, FILE_THREADS_MORE = 2, FILE_QUEUE_MAX = 64 };

static void *
reader_open(void *store)
{
	return db_reader_open(store);
}

static void
reader_close(void *db)
{
	db_reader_close(db);
}

void
lanes_open(struct dispatcher *d)
{
	struct server *srv = d->srv;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int threads = cores < 1 ? 1 : cores > 64 ? 64 : (int)cores;

	if (srv->store) {
		struct pool_options o = {.name = "read",
			.threads = READ_THREADS,
			.max_queued = READ_QUEUE_MAX,
			.metrics = srv->metrics,
			.gauge = M_READ_QUEUE,
			.thread_open = reader_open,
			.thread_close = reader_close,
			.arg = srv->store};
		d->read = pool_open(&o);
	}
	if (srv->hasher) {
		struct pool_options o = {.name = "hash",
			.threads = threads,
			.nice = 10,
			.metrics = srv->metrics,
			.gauge = M_HASH_QUEUE,
			.max_queued = hasher_queue_max(srv->hasher, threads)};
		d->hash = pool_open(&o);
	}
	struct pool_options o = {.name = "work",
		.threads = WORK_THREADS,
		.max_queued = WORK_QUEUE_MAX,
		.metrics = srv->metrics,
		.gauge = M_WORK_QUEUE};
	d->work = pool_open(&o);
	/* Of these as many as there are cores can be busy with a face; the others with storage. */
	struct pool_options files = {.name = "files",
		.threads = threads + FILE_THREADS_MORE,
		.max_queued = FILE_QUEUE_MAX,
		.metrics = srv->metrics,
		.gauge = M_FILES_QUEUE};
	d->files = pool_open(&files);
	struct later_options held = {.name = "held",
		.delay_ms = REFUSAL_HELD_MS,
		.max = REFUSALS_HELD_MAX,
		.metrics = srv->metrics,
		.gauge = M_REFUSALS_HELD};
	d->held = later_open(&held);
}

void
lanes_close(struct dispatcher *d)
{
	if (d->hash)
		pool_close(d->hash);
	pool_close(d->files);
	pool_close(d->work);
	if (d->read)
		pool_close(d->read);
	later_close(d->held);
}

/* What only the phases before the handler may say. */
static bool
of_the_phases(enum err e)
{
	return e == ERR_MALFORMED_REQUEST || e == ERR_BODY_TOO_LARGE || e == ERR_UNSUPPORTED_MEDIA || e == ERR_ACCESS_EXPIRED;
}

static bool
listed(const struct call *c, enum err e)
{
	const struct route *r = c->row->route;

	for (size_t i = 0; i < ROUTE_ERRORS_MAX && r->errors[i] != OK; i++)
		if (r->errors[i] == e)
			return true;
	return !of_the_phases(e) && row_answers(c->row, e);
}

static enum err
check_listed(struct call *c, enum err e)
{
	struct error *error = &c->cx.error;
	const struct route *r = c->row->route;

	if (e == OK)
		return OK;
	if (error->code != e) {
		if (c->d->strict)
			BUG("%s %s returned %s without fail()", method_name(r->method), r->path, err_row(e)->name);
		*error = (struct error){.code = e};
	}
	if (listed(c, e))
		return e;
	if (c->d->strict)
		BUG("%s %s returned %s, which its row does not list (%s:%d %s)", method_name(r->method), r->path,
			err_row(e)->name, error->file, error->line, error->internal ? error->internal : "");
	error->internal = arena_printf(c->cx.arena, "%s is not listed; %s", err_row(e)->name,
		error->internal	 ? error->internal
		: error->message ? error->message
				 : "");
	error->code = ERR_INTERNAL;
	error->refused = false;
	error->message = NULL;
	error->notes = NULL;
	return ERR_INTERNAL;
}

static void
reply_reset(struct call *c)
{
	c->x->reply = (struct reply){.arena = &c->x->arena, .status = c->row->route->status};
}

static enum err
run_handler(struct ctx *cx, struct call *c)
{
	const struct route *r = c->row->route;

	reply_reset(c);
	error_clear(cx);
	c->idem.stored = c->idem.replayed = c->idem.judged = false;
	if (r->fresh_session && cx->db)
		TRY(session_recheck(cx));
	if (c->idem.on)
		TRY(idem_recall(cx, c, &c->x->reply, &c->idem.replayed));
	if (c->idem.replayed)
		return OK;
	c->idem.judged = true;
	return r->handler(cx, &c->x->request, &c->x->reply);
}

/* --- handing over ---- */

static void
defer(struct call *c)
{
	if (!c->deferred && c->x->side)
		exchange_defer(c->x);
	c->deferred = true;
}

static enum next
queue(struct call *c, struct pool *p, void (*run)(void *state, void *arg))
{
	if (!p)
		return call_refuse(c, fail_internal(&c->cx, ERR_UNAVAILABLE, "this lane is not open"));
	defer(c);
	c->cx.db = NULL;
	c->task = (struct pool_task){.run = run, .arg = c};
	if (!pool_submit(p, &c->task))
		return call_refuse(c, fail_internal(&c->cx, ERR_OVERLOADED, "the lane's queue is full"));
	return PARKED;
}

static enum next
submit(struct call *c, const struct db_job *kind)
{
	if (!c->d->srv->store)
		return call_refuse(c, fail_internal(&c->cx, ERR_UNAVAILABLE, "there is no database"));
	defer(c);
	c->cx.db = NULL;
	uint64_t shard = 0;
	for (const char *p = c->cx.actor ? c->actor.user_id.text : c->client.ip; *p; p++)
		shard = (shard ^ (uint8_t)*p) * 0x100000001b3u;
	c->job = *kind;
	c->job.cx = &c->cx;
	c->job.arg = c;
	c->job.shard = shard;
	if (!db_submit(c->d->srv->store, &c->job))
		return call_refuse(c, fail_internal(&c->cx, ERR_OVERLOADED, "the writer's queue is full"));
	return PARKED;
}

static void
ended(struct call *c, enum err e)
{
	c->result = e;
	call_finish(c);
}

/* --- the audit row of a refusal outside the write lane ---- */

static enum err
refusal_run(struct ctx *cx, void *arg)
{
	(void)cx;
	(void)arg;
	return OK;
}

static enum err
refusal_settle(struct ctx *cx, void *arg, enum err result)
{
	struct call *c = arg;

	(void)result;
	cx->error = c->refusal;
	TRY(audit_failure(cx, c->row->route->failure, c->refusal.code));
	cx->error = c->refusal;
	return OK;
}

/* A refusal whose trace cannot be written is not told: the answer is then that of the failed write. */
static void
refusal_done(void *arg, enum err result)
{
	struct call *c = arg;

	if (result == OK)
		c->cx.error = c->refusal;
	ended(c, result == OK ? c->refusal.code : result);
}

static const struct db_job refusal_job = {.run = refusal_run, .settle = refusal_settle, .done = refusal_done};

enum next
lane_audit_refusal(struct call *c)
{
	c->refusal = c->cx.error;
	return submit(c, &refusal_job);
}

/* --- the write lane ---- */

static void
write_ahead(struct ctx *cx, void *arg)
{
	struct call *c = arg;

	if (c->idem.on)
		idem_ahead(cx, c);
	if (c->row->route->ahead)
		c->row->route->ahead(cx, &c->x->request);
}

static enum err
write_run(struct ctx *cx, void *arg)
{
	struct call *c = arg;

	return check_listed(c, run_handler(cx, c));
}

/* After the undo, so that what is written here stays although the request failed. */
static enum err
write_settle(struct ctx *cx, void *arg, enum err result)
{
	struct call *c = arg;
	const struct error kept = cx->error;

	if (c->idem.replayed)
		return OK;
	if (result != OK && c->row->route->failure)
		TRY(audit_failure(cx, c->row->route->failure, result));
	cx->error = kept;
	if (!c->idem.on || !c->idem.judged)
		return OK;
	if (result != OK)
		reply_error(&c->x->reply, c->surface, &c->x->request, &kept);
	return idem_store(cx, c, &c->x->reply);
}

static void
write_done(void *arg, enum err result)
{
	struct call *c = arg;

	if (result == ERR_UNAVAILABLE || result == ERR_OVERLOADED)
		c->idem.stored = false;
	ended(c, result);
}

static const struct db_job write_job = {.ahead = write_ahead, .run = write_run, .settle = write_settle, .done = write_done};

void
lane_resume_idempotent(struct call *c, bool stored)
{
	enum err e = OK;

	c->idem.next = NULL;
	if (!stored && idem_wait(c, &e))
		return;
	enum next next = e == OK ? submit(c, &write_job) : call_refuse(c, fail(&c->cx, e, NULL));
	if (next == REFUSED)
		call_finish(c);
}

/* --- the other lanes ---- */

static void
run_here(struct call *c)
{
	enum err e = check_listed(c, run_handler(&c->cx, c));

	c->cx.db = NULL;
	c->result = e;
	if (e != OK && c->row->route->failure && c->row->route->lane == LANE_READ) {
		if (lane_audit_refusal(c) == PARKED)
			return;
	}
	call_finish(c);
}

static void
read_task(void *db, void *arg)
{
	struct call *c = arg;

	c->cx.db = db;
	run_here(c);
}

static void
slow_task(void *state, void *arg)
{
	struct call *c = arg;

	(void)state;
	if (c->x->side && exchange_gone(c->x)) {
		call_refuse(c, fail_internal(&c->cx, ERR_UNAVAILABLE, "the client has gone"));
		call_finish(c);
		return;
	}
	run_here(c);
}

/* Files first, then the phase that was interrupted for them. */
static void
prepare_task(void *state, void *arg)
{
	struct call *c = arg;
	enum err e;

	(void)state;
	c->prepared = true;
	if (c->x->side && exchange_gone(c->x))
		e = fail_internal(&c->cx, ERR_UNAVAILABLE, "the client has gone");
	else
		e = check_listed(c, c->row->route->prepare(&c->cx, &c->x->request));
	if (e == OK) {
		c->phase--;
		call_go(c);
		return;
	}
	c->result = e;
	if (c->row->route->failure && err_row(e)->status < 500 && lane_audit_refusal(c) == PARKED)
		return;
	call_finish(c);
}

enum next
lane_run(struct call *c)
{
	const struct multipart_parts *parts = c->x->request.parts;
	enum err e = OK;

	if (c->row->route->prepare && parts && parts->n_files && !c->prepared)
		return queue(c, c->d->files, prepare_task);
	switch (c->row->route->lane) {
	case LANE_LOOP:
		c->cx.db = NULL;
		run_here(c);
		return PARKED;
	case LANE_READ:
		if (c->cx.db) { /* the session was just looked up on this thread */
			run_here(c);
			return PARKED;
		}
		return queue(c, c->d->read, read_task);
	case LANE_WRITE:
		if (c->idem.on) {
			defer(c);
			if (idem_wait(c, &e))
				return PARKED;
			if (e != OK)
				return call_refuse(c, fail(&c->cx, e, NULL));
		}
		return submit(c, &write_job);
	case LANE_HASH:
		return queue(c, c->d->hash, slow_task);
	default:
		return queue(c, c->d->work, slow_task);
	}
}

static void
fill_task(void *db, void *arg)
{
	struct call *c = arg;

	c->cx.db = db;
	call_go(c);
}

enum next
lane_to_reader(struct call *c)
{
	return queue(c, c->d->read, fill_task);
}
