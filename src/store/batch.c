/*
 * One batch: what was queued becomes one transaction (group commit).
 *
 * A batch is first run in the hope that nothing of it must be undone: its jobs follow each other bare.  A job that fails having
 * changed nothing needs no undo, and hardly any fails after it has; a savepoint per job costs SQLite a copy of every page that the
 * job touches, and PostgreSQL two round trips.  When a job must be undone after all, the whole batch is rolled back and run again
 * with a savepoint around each job.  The engine may end the transaction under us (full disk, I/O error, deadlock), and COMMIT
 * itself may fail: then the batch is void, nothing of it is there, and its jobs run one per transaction, so that one that cannot
 * be done takes no other with it.
 *
 * Invariants: nobody hears of a job before the COMMIT that holds it; hooks run after that COMMIT and before any done() of the
 * batch; a job is either committed whole (run and settle), or undone whole, or kept as its refusal.  A COMMIT whose outcome is not
 * known (the connection was lost) is never repeated: ERR_UNAVAILABLE then means "ask again".
 */
#include "store/engine.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum outcome {
	WELL = 1,
	NEEDS_UNDO, /* a job without a savepoint failed after it wrote */
	GONE	    /* the transaction is no more */
};

static void
give_up(struct db_job *job, enum err e, const char *why)
{
	error_clear(job->cx);
	job->result = fail_internal(job->cx, e, "%s", why);
}

/* --- one job --------------------------------------------------------------------------------------------------------------- */

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

/* Takes back what a job has done so far. */
static enum outcome
undo(struct db *db, size_t hooks, bool savepoint)
{
	if (!savepoint && (db->wrote || db->spoiled))
		return NEEDS_UNDO;
	db->n_hooks = hooks;
	db->wrote = db->spoiled = false;
	return !savepoint || db->engine->txn(db, TXN_UNDO) ? WELL : GONE;
}

/* run() and settle(). */
static enum outcome
run_parts(struct db *db, struct db_job *job, bool savepoint)
{
	struct ctx *cx = job->cx;
	size_t hooks = db->n_hooks;
	enum err result = check_spoiled(cx, db, job->run(cx, job->arg));
	enum outcome done = WELL;

	if (!db->engine->in_txn(db))
		return GONE;
	if (!keeps_writes(cx, result))
		done = undo(db, hooks, savepoint);
	if (job->settle && done == WELL) {
		struct error why = cx->error;
		enum err settled = check_spoiled(cx, db, job->settle(cx, job->arg, result));
		if (!db->engine->in_txn(db))
			return GONE;
		if (settled != OK) {
			result = settled;
			done = undo(db, hooks, savepoint);
		} else {
			cx->error = why; /* what the reply is made from */
		}
	}
	job->result = result;
	return done;
}

static enum outcome
run_job(struct db *db, struct db_job *job, bool savepoint, bool *wrote)
{
	struct ctx *cx = job->cx;
	struct db *lane_db = cx->db;

	error_clear(cx);
	db->spoiled = db->wrote = false;
	db->job = job;
	if (savepoint && !db->engine->txn(db, TXN_SAVEPOINT))
		return GONE;
	cx->db = db;
	db->busy = true;
	enum outcome done = run_parts(db, job, savepoint);
	db->busy = false;
	cx->db = lane_db;
	*wrote = *wrote || db->wrote;
	if (done == WELL && savepoint && !db->engine->txn(db, TXN_RELEASE))
		done = GONE;
	if (done == GONE && !db->message[0] && cx->error.internal) /* the statement that ended the transaction says why */
		(void)str_copy(db->message, sizeof(db->message), cx->error.internal);
	return done;
}

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

static bool
begin(struct db_store *s, struct db *db)
{
	db->n_hooks = 0;
	db->message[0] = 0;
	db->unknown = db->late = false;
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
	bool ok = db->engine->txn(db, wrote ? TXN_COMMIT : TXN_ROLLBACK) || !wrote;

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

void
batch_give_up(struct db *db, struct db_job *jobs, enum err e, const char *why)
{
	for (struct db_job *job = jobs; job; job = job->next)
		give_up(job, e, why);
	db->n_hooks = 0;
	finish(db, jobs);
}

/* Smoothed over about eight batches. */
static void
learn(int64_t *mean_ns, int64_t sample_ns)
{
	*mean_ns = *mean_ns ? *mean_ns + (sample_ns - *mean_ns) / 8 : sample_ns;
}

/*
 * While a batch is in work, those who wait for the one before can be answered and ask again; so the smallest batch is best whose
 * flush is a small part of it.  A slow disk makes long batches, a quick one short ones.
 */
size_t
batch_size(const struct db *db)
{
	enum { FLUSH_WORTH = 4, SMALLEST = 32 };
	int64_t n = db->job_ns ? FLUSH_WORTH * db->flush_ns / db->job_ns : 0;

	if (n < SMALLEST)
		n = SMALLEST;
	return (size_t)n < db->engine->batch_max ? (size_t)n : db->engine->batch_max;
}

/* A job on its own asks when it runs: that costs the same. */
static bool
read_ahead(struct db *db, struct db_job *jobs)
{
	bool asked = false;

	for (struct db_job *job = jobs; job && jobs->next && db->engine->ahead; job = job->next) {
		struct db *lane_db = job->cx->db;
		if (!job->ahead)
			continue;
		db->job = job;
		job->cx->db = db;
		job->ahead(job->cx, job->arg);
		job->cx->db = lane_db;
		asked = true;
	}
	return !asked || db->engine->ahead_read(db);
}

/* All jobs in one transaction; WELL: they are finished. */
static enum outcome
run_together(struct db_store *s, struct db *db, struct db_job *jobs, bool savepoints)
{
	enum outcome done = WELL;
	bool wrote = false;
	unsigned n = 0;
	int64_t begun_us = time_monotonic_us();

	db->eager = !savepoints;
	if (db->eager && !read_ahead(db, jobs))
		done = GONE;
	for (struct db_job *job = jobs; job && done == WELL; job = job->next, n++)
		done = run_job(db, job, savepoints, &wrote);
	int64_t ran_us = time_monotonic_us();
	if (done == WELL && !commit(s, db, wrote))
		done = GONE;
	if (done == WELL && wrote) {
		learn(&db->job_ns, (ran_us - begun_us) * 1000 / n + 1);
		learn(&db->flush_ns, (time_monotonic_us() - ran_us) * 1000);
	}
	db->eager = false;
	if (done == GONE && db->late && !savepoints)
		done = NEEDS_UNDO;
	if (done == WELL) {
		if (s->options.metrics)
			metrics_observe(s->options.metrics, M_BATCH_SIZE, n);
		finish(db, jobs);
	} else {
		roll_back(db);
	}
	return done;
}

static void
run_alone(struct db_store *s, struct db *db, struct db_job *job)
{
	for (unsigned i = 0; i < db->engine->attempts && begin(s, db); i++) {
		if (run_together(s, db, job, true) == WELL)
			return;
		if (db->unknown)
			break;
	}
	batch_give_up(db, job, ERR_UNAVAILABLE, db->message);
}

void
batch_run(struct db_store *s, struct db *db, struct db_job *jobs)
{
	enum outcome done = GONE;

	if (!begin(s, db)) {
		batch_give_up(db, jobs, ERR_UNAVAILABLE, db->message);
		return;
	}
	done = run_together(s, db, jobs, false);
	if (done == NEEDS_UNDO && begin(s, db))
		done = run_together(s, db, jobs, true);
	if (done == WELL)
		return;
	if (db->unknown) {
		batch_give_up(db, jobs, ERR_UNAVAILABLE, "the outcome of the COMMIT is not known");
		return;
	}
	log_warning(NULL, "store.batch_void", "the engine ended a batch; its jobs run again one by one",
		LOG_TEXT("engine", db->message));
	for (struct db_job *job = jobs, *next; job; job = next) {
		next = job->next;
		job->next = NULL;
		run_alone(s, db, job);
	}
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
