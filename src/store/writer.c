/*
 * The writer: one thread that puts what is queued into one transaction (group commit), each job inside its own savepoint.
 *
 * Invariants: nobody hears of a job before the COMMIT that holds it; hooks run after that COMMIT and before any done() of the
 * batch; a job is either committed whole (run and settle), or undone whole, or kept as its refusal. The engine may end the
 * transaction under us (full disk, I/O error), and COMMIT itself may fail: then the batch is void, nothing of it is there, and
 * its jobs run again, one per transaction, so that one that cannot be done takes no other with it.  On SQLite that is certain: a
 * COMMIT that failed never moved the end of the log.  Where it is not, ERR_UNAVAILABLE means "unknown, ask again".
 */
#include "store/engine.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum { IDLE_TICK_MS = 500, BULK_WAIT_MS = 100 };

static const struct source *
clock_of(const struct ctx *cx)
{
	return cx->srv && cx->srv->source.monotonic_us ? &cx->srv->source : &source_system;
}

static int64_t
now_us(const struct ctx *cx)
{
	const struct source *s = clock_of(cx);

	return s->monotonic_us(s->arg);
}

static void
note_failure(struct db *db, const char *what)
{
	log_warning(NULL, "store.batch_void", what, LOG_TEXT("engine", db->message));
	db->n_hooks = 0;
}

/* --- one job --------------------------------------------------------------------------------------------------------------- */

static void
give_up(struct db_job *job, enum err e, const char *why)
{
	error_clear(job->cx);
	job->result = fail_internal(job->cx, e, "%s", why);
}

static bool
undo(struct db *db, size_t hooks)
{
	db->n_hooks = hooks;
	db->wrote = db->spoiled = false;
	return db->engine->txn(db, TXN_UNDO);
}

/* A handler may not pass over a failed statement: PostgreSQL would refuse all that follows it. */
static enum err
check_spoiled(struct ctx *cx, const struct db *db, enum err result)
{
	if (db->spoiled && (result == OK || cx->error.refused))
		return fail_internal(cx, ERR_INTERNAL, "a failed statement was passed over");
	return result;
}

static bool
keeps_writes(const struct ctx *cx, enum err result)
{
	return result == OK || (cx->error.refused && cx->error.code == result);
}

/* run() and settle() inside the savepoint.  False: the transaction is gone. */
static bool
run_parts(struct db *db, struct db_job *job, size_t hooks)
{
	struct ctx *cx = job->cx;
	enum err result = check_spoiled(cx, db, job->run(cx, job->arg));

	if (!db->engine->in_txn(db) || (!keeps_writes(cx, result) && !undo(db, hooks)))
		return false;
	if (job->settle) {
		struct error why = cx->error;
		enum err settled = check_spoiled(cx, db, job->settle(cx, job->arg, result));
		if (!db->engine->in_txn(db))
			return false;
		if (settled != OK) {
			result = settled;
			if (!undo(db, hooks))
				return false;
		} else {
			cx->error = why; /* what the reply is made from */
		}
	}
	job->result = result;
	return true;
}

static bool
run_job(struct db *db, struct db_job *job, bool *wrote)
{
	struct ctx *cx = job->cx;
	struct db *lane_db = cx->db;

	error_clear(cx);
	db->spoiled = db->wrote = false;
	if (!db->engine->txn(db, TXN_SAVEPOINT))
		return false;
	cx->db = db;
	db->busy = true;
	bool ok = run_parts(db, job, db->n_hooks);
	db->busy = false;
	cx->db = lane_db;
	*wrote = *wrote || db->wrote;
	ok = ok && db->engine->txn(db, TXN_RELEASE);
	if (!ok && !db->message[0] && cx->error.internal) /* the statement that ended the transaction says why */
		(void)str_copy(db->message, sizeof(db->message), cx->error.internal);
	return ok;
}

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

static bool
begin(struct db_store *s, struct db *db)
{
	db->n_hooks = 0;
	db->in_batch = db->engine->txn(db, TXN_BEGIN);
	/* Inside the transaction no other process can write between the look and our work. */
	if (db->in_batch && db->engine->foreign_write(db) && s->options.foreign_write)
		s->options.foreign_write(s->options.arg);
	return db->in_batch;
}

/* Nothing written means nothing to flush: jobs that only looked, or were all undone, cost no fsync. */
static bool
commit(struct db_store *s, struct db *db, bool wrote)
{
	int64_t from = time_monotonic_us();
	bool ok = db->engine->txn(db, wrote ? TXN_COMMIT : TXN_ROLLBACK);

	if (wrote && ok && s->options.metrics)
		metrics_observe(s->options.metrics, M_COMMIT_SECONDS, (double)(time_monotonic_us() - from) / 1e6);
	db->in_batch = !ok;
	return ok;
}

static void
roll_back(struct db *db)
{
	char why[MESSAGE_MAX];

	(void)str_copy(why, sizeof(why), db->message);
	if (db->engine->in_txn(db) || db->in_batch)
		(void)db->engine->txn(db, TXN_ROLLBACK); /* fails when the engine was first */
	(void)str_copy(db->message, sizeof(db->message), why);
	db->in_batch = false;
	db->n_hooks = 0;
}

static void
finish(struct db *db, struct db_job *jobs)
{
	for (size_t i = 0; i < db->n_hooks; i++)
		db->hooks[i].fn(db->hooks[i].arg);
	db->n_hooks = 0;
	for (struct db_job *job = jobs, *next; job; job = next) {
		next = job->next; /* the job may be gone once it is told */
		job->done(job->arg, job->result);
	}
}

static void
run_alone(struct db_store *s, struct db *db, struct db_job *job)
{
	for (unsigned i = 0; i < db->engine->attempts; i++) {
		bool wrote = false;
		db->message[0] = 0;
		if (!begin(s, db))
			break;
		if (run_job(db, job, &wrote) && commit(s, db, wrote)) {
			finish(db, job);
			return;
		}
		roll_back(db);
	}
	give_up(job, ERR_UNAVAILABLE, db->message);
	finish(db, job);
}

static void
run_each_alone(struct db_store *s, struct db *db, struct db_job *jobs)
{
	for (struct db_job *job = jobs, *next; job; job = next) {
		next = job->next;
		job->next = NULL;
		run_alone(s, db, job);
	}
}

static void
give_up_all(struct db *db, struct db_job *jobs, enum err e, const char *why)
{
	for (struct db_job *job = jobs; job; job = job->next)
		give_up(job, e, why);
	db->n_hooks = 0;
	finish(db, jobs);
}

static void
run_batch(struct db_store *s, struct db *db, struct db_job *jobs)
{
	bool wrote = false, whole = true;
	unsigned n = 0;

	db->message[0] = 0;
	if (!begin(s, db)) {
		give_up_all(db, jobs, ERR_UNAVAILABLE, db->message);
		return;
	}
	for (struct db_job *job = jobs; job && whole; job = job->next, n++)
		whole = run_job(db, job, &wrote);
	if (whole && commit(s, db, wrote)) {
		if (s->options.metrics)
			metrics_observe(s->options.metrics, M_BATCH_SIZE, n);
		finish(db, jobs);
		return;
	}
	roll_back(db);
	note_failure(db, "the engine ended a batch; its jobs run again one by one");
	run_each_alone(s, db, jobs);
}

/* --- queues ---------------------------------------------------------------------------------------------------------------- */

static void
push(struct job_queue *q, struct db_job *job)
{
	job->next = NULL;
	if (q->last)
		q->last->next = job;
	else
		q->first = job;
	q->last = job;
	q->count++;
}

static struct db_job *
pop(struct job_queue *q, size_t n)
{
	struct db_job *first = q->first, *last = first;

	if (!first || n == 0)
		return NULL;
	for (size_t i = 1; i < n && last->next; i++)
		last = last->next, q->count--;
	q->count--;
	q->first = last->next;
	if (!q->first)
		q->last = NULL;
	last->next = NULL;
	return first;
}

static void
gauge_queue(const struct db_store *s)
{
	if (s->options.metrics)
		metrics_set(s->options.metrics, M_WRITE_QUEUE, (int64_t)(s->writer.normal.count + s->writer.bulk.count));
}

/* Bulk work has its turn when nobody else waits, or after it has let the others go first for a while. */
static bool
bulk_is_due(const struct writer *w)
{
	const struct db_job *job = w->bulk.first;

	if (!job || !w->normal.first)
		return job != NULL;
	int64_t since = job->queued_us > w->bulk_ended_us ? job->queued_us : w->bulk_ended_us;
	return now_us(job->cx) - since >= BULK_WAIT_MS * 1000;
}

/* Waits up to a tick for work.  False when there is none and the writer shall stop. */
static bool
wait_for_jobs(struct writer *w)
{
	struct timespec until;

	if (w->normal.first || w->bulk.first || w->stopping)
		return w->normal.first || w->bulk.first;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += IDLE_TICK_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (!w->normal.first && !w->bulk.first && !w->stopping)
		if (pthread_cond_timedwait(&w->wake, &w->lock, &until) != 0)
			break;
	return true;
}

/* Splits off and refuses those that waited too long: whoever sent them has given up. */
static struct db_job *
drop_aged(struct db *db, struct db_job *jobs)
{
	struct db_job *kept = NULL, **kept_end = &kept, *aged = NULL, **aged_end = &aged;

	for (struct db_job *job = jobs; job; job = job->next) {
		if (now_us(job->cx) - job->queued_us > WRITE_QUEUE_AGE_MS * INT64_C(1000)) {
			*aged_end = job;
			aged_end = &job->next;
		} else {
			*kept_end = job;
			kept_end = &job->next;
		}
	}
	*kept_end = *aged_end = NULL;
	if (aged)
		give_up_all(db, aged, ERR_OVERLOADED, "waited too long for the writer");
	return kept;
}

static void
idle(struct db_store *s, struct db *db)
{
	if (db->engine->foreign_write(db) && s->options.foreign_write)
		s->options.foreign_write(s->options.arg);
}

static void *
writer_main(void *arg)
{
	struct db_store *s = arg;
	struct writer *w = &s->writer;

	(void)pthread_mutex_lock(&w->lock);
	while (wait_for_jobs(w)) {
		bool bulk = bulk_is_due(w);
		struct db_job *jobs = bulk ? pop(&w->bulk, 1) : pop(&w->normal, w->db->engine->batch_max);
		gauge_queue(s);
		(void)pthread_mutex_unlock(&w->lock);

		int64_t bulk_ended_us = w->bulk_ended_us;
		if (!jobs)
			idle(s, w->db);
		else if (bulk) {
			struct source clock = *clock_of(jobs->cx);
			if ((jobs = drop_aged(w->db, jobs)))
				run_batch(s, w->db, jobs);
			bulk_ended_us = clock.monotonic_us(clock.arg);
		} else if ((jobs = drop_aged(w->db, jobs)))
			run_batch(s, w->db, jobs);
		w->db->engine->tend(w->db);

		(void)pthread_mutex_lock(&w->lock);
		w->bulk_ended_us = bulk_ended_us;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

bool
writer_start(struct db_store *s)
{
	struct writer *w = &s->writer;
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	w->running = pthread_create(&w->thread, NULL, writer_main, s) == 0;
	return w->running;
}

void
writer_stop(struct db_store *s)
{
	struct writer *w = &s->writer;

	(void)pthread_mutex_lock(&w->lock);
	w->stopping = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->running)
		(void)pthread_join(w->thread, NULL);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
}

bool
db_submit(struct db_store *s, struct db_job *job)
{
	struct writer *w = &s->writer;
	struct job_queue *q = job->bulk ? &w->bulk : &w->normal;
	bool taken;

	job->queued_us = now_us(job->cx);
	job->result = OK;
	(void)pthread_mutex_lock(&w->lock);
	taken = !w->stopping && q->count < WRITE_QUEUE_MAX;
	if (taken) {
		push(q, job);
		gauge_queue(s);
		(void)pthread_cond_signal(&w->wake);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return taken;
}

void
db_on_commit(struct ctx *cx, void (*fn)(void *arg), void *arg)
{
	struct db *db = cx->db;

	if (!db || db->use != USE_WRITE || !db->busy)
		BUG("a hook outside of a unit of writing");
	if (db->n_hooks == db->cap_hooks) {
		db->cap_hooks = db->cap_hooks ? db->cap_hooks * 2 : 64;
		db->hooks = reallocarray(db->hooks, db->cap_hooks, sizeof(*db->hooks));
		if (!db->hooks)
			BUG("out of memory");
	}
	db->hooks[db->n_hooks++] = (struct hook){fn, arg};
}
