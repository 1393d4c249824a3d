/*
 * The job table and the thread that works through it.
 *
 * A turn of a job and the note that it ran are one transaction, so `jobs` never claims a run whose work was undone.  A failure is
 * noted in one of its own, logged and counted, and the job comes again after its period: nothing here ends the thread.  The
 * threads (enum job_thread) wait by the monotonic clock, on a condition, so stopping is prompt.
 *
 * Of several nodes one leads (leader.h): the others only wait to take over, and then go by when each job last ran.
 */
#include "jobs/rows.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "attendance/count.h"
#include "attendance/record.h"
#include "attendance/selfie.h"
#include "attendance/session.h"
#include "audit/seal.h"
#include "core/log.h"
#include "core/metrics.h"
#include "identity/approval.h"
#include "identity/reset.h"
#include "identity/session.h"
#include "net/sentry.h"
#include "net/storage.h"
#include "store/db.h"

const struct job job_rows[] = {
	{"approval_expire", 30, approval_expire},
	{"password_reset", 5, reset_deliver},
	{"event_counts", 10, event_counts_write},
	{"notify_marks", 10, notify_marks},
	{"session_settle", 10, campus_session_settle},
	{"remind", 60, campus_session_remind},
	{"event_expected", 60, event_expected_write},
	{"nonce_expire", 3600, nonce_expire},
	{"session_expire", 3600, session_expire},
	{"idempotency_expire", 3600, idempotency_expire},
	{"outbox", 5, outbox_send, JOBS_OUTSIDE},
	{"mail_probe", 300, mail_probe, JOBS_OUTSIDE},
	{"storage_probe", 60, storage_probe, JOBS_OUTSIDE},
	{"selfie_expire", 3600, selfie_expire, JOBS_OUTSIDE},
	{"selfie_sweep", 3600, selfie_sweep, JOBS_OUTSIDE},
	{"reseal", 10, reseal},
	{"audit_seal", 60, audit_seal},
	{"audit_archive", 86400, audit_archive, JOBS_LONG},
	{"backup", 60, backup_daily, JOBS_LONG},
};
const size_t job_row_count = sizeof(job_rows) / sizeof(job_rows[0]);

enum { TURNS_MAX = 100000 }; /* of one run: a job that never finishes must not keep the others waiting for ever */

SQL(IDEMPOTENCY_DROP, "mi",
	"DELETE FROM idempotency_keys WHERE (user_id, route, idempotency_key) IN"
	" (SELECT user_id, route, idempotency_key FROM idempotency_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2)");

enum err
idempotency_expire(struct ctx *cx, int64_t *ret_rows)
{
	return db_exec(cx, &IDEMPOTENCY_DROP, ret_rows, V(cx->now_us - DAYS_US), V(BULK_TURN_ROWS));
}

enum err
storage_probe(struct ctx *cx, int64_t *ret_rows)
{
	const char *why = NULL;

	*ret_rows = 0;
	return storage_check(cx->srv->storage, cx->arena, &why) == STORED
		       ? OK
		       : fail_internal(cx, ERR_UNAVAILABLE, "storage: %s", why);
}

/* --- one run --------------------------------------------------------------------------------------------------------------- */

SQL(JOB_DONE, "tmmt",
	"INSERT INTO jobs (name, last_started_at, last_good_start, last_finished_at, last_error, leader) VALUES ($1, $2, $2, $3, NULL, $4)"
	" ON CONFLICT (name) DO UPDATE SET last_started_at = excluded.last_started_at, last_good_start = excluded.last_good_start,"
	" last_finished_at = excluded.last_finished_at, last_error = NULL, leader = excluded.leader");
SQL(JOB_FAILED, "tmtt",
	"INSERT INTO jobs (name, last_started_at, last_error, leader) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (name) DO UPDATE SET last_started_at = excluded.last_started_at, last_error = excluded.last_error,"
	" leader = excluded.leader");

struct turn {
	const struct job *job;
	const struct lead *lead; /* NULL: asked for by name, whoever leads */
	const char *node, *error;
	int64_t started_us, rows;
	bool lost; /* another claim stands: nothing was done, or it is not noted */
};

static enum err
still_leads(struct ctx *cx, struct turn *t)
{
	bool leads = true;

	if (t->lead)
		TRY(leader_holds(cx, t->lead, &leads));
	t->lost = !leads;
	return OK;
}

/* The clock is read anew: a run may take minutes. */
static enum err
note_done(struct ctx *cx, const struct turn *t)
{
	int64_t ended_us = cx->srv->source.wall_us(cx->srv->source.arg);

	return db_exec(cx, &JOB_DONE, NULL, V(t->job->name), V(t->started_us), V(ended_us), V(t->node));
}

static enum err
turn_run(struct ctx *cx, void *arg)
{
	struct turn *t = arg;
	int64_t rows;

	t->rows = 0;
	TRY(still_leads(cx, t));
	if (t->lost)
		return OK;
	TRY(t->job->run(cx, &rows));
	TRY(note_done(cx, t));
	t->rows = rows;
	return OK;
}

static enum err
turn_done(struct ctx *cx, void *arg)
{
	struct turn *t = arg;

	TRY(still_leads(cx, t));
	if (t->lost)
		return OK;
	return note_done(cx, t);
}

static enum err
turn_begins(struct ctx *cx, void *arg)
{
	return still_leads(cx, arg);
}

static enum err
turn_outside(struct ctx *cx, struct turn *t)
{
	TRY(db_write_bulk(cx, turn_begins, t));
	if (t->lost)
		return OK;
	TRY(t->job->run(cx, &t->rows));
	return db_write_bulk(cx, turn_done, t);
}

static enum err
turn_failed(struct ctx *cx, void *arg)
{
	struct turn *t = arg;

	TRY(still_leads(cx, t));
	if (t->lost)
		return OK;
	return db_exec(cx, &JOB_FAILED, NULL, V(t->job->name), V(t->started_us), V(t->error), V(t->node));
}

static void
count_job(const struct ctx *cx, enum metric id, const char *name)
{
	if (cx->srv->metrics)
		metrics_add(cx->srv->metrics, id, name, 1);
}

/* What went wrong, kept for the caller: noting it is work of its own, with an error slot of its own. */
static void
note_failure(struct ctx *cx, struct turn *t, enum err e)
{
	struct error error = cx->error;

	t->error = error.internal ? error.internal : err_row(e)->name;
	log_error(cx, "job.failed", t->error, LOG_TEXT("job", t->job->name), LOG_TEXT("error", err_row(e)->name));
	count_job(cx, M_JOB_FAILURES, t->job->name);
	sentry_report(cx->srv->sentry, &(const struct sentry_event){.error = err_row(e)->name,
					       .what = "job",
					       .where = t->job->name,
					       .file = error.file ? error.file : __FILE__,
					       .func = error.func ? error.func : __func__,
					       .line = error.line,
					       .request_id = ""});
	error_clear(cx);
	if (db_write(cx, turn_failed, t) != OK)
		log_error(cx, "job.failed", "the failure could not be noted", LOG_TEXT("job", t->job->name));
	cx->error = error;
}

enum err
job_lead(struct ctx *cx, const struct job *job, const struct lead *lead, int64_t *ret_rows)
{
	struct turn t = {.job = job, .lead = lead, .started_us = cx->now_us};
	char node[LEADER_NAME];
	bool outside = job->thread != JOBS_DATABASE;
	int64_t rows = 0;

	*ret_rows = 0;
	t.node = lead ? leader_name(lead->leader) : node_name(cx, node);
	for (int i = 0; i < TURNS_MAX; i++) {
		enum err e = outside ? turn_outside(cx, &t) : db_write_bulk(cx, turn_run, &t);
		if (e != OK && ctx_stops(cx)) {
			log_info(cx, "job.broken_off", cx->error.internal ? cx->error.internal : err_row(e)->name, LOG_TEXT("job", job->name));
			return OK;
		}
		if (e != OK) {
			note_failure(cx, &t, e);
			return e;
		}
		if (t.lost) {
			log_info(cx, "job.lost", "another claim to lead stands: this turn is not noted",
				LOG_TEXT("job", job->name));
			return OK;
		}
		rows += t.rows;
		if (t.rows < BULK_TURN_ROWS || outside || ctx_stops(cx))
			break;
	}
	count_job(cx, M_JOB_RUNS, job->name);
	if (rows)
		log_debug(cx, "job.done", job->name, LOG_INT("rows", rows));
	*ret_rows = rows;
	return OK;
}

enum err
job_run(struct ctx *cx, const char *name, int64_t *ret_rows)
{
	for (size_t i = 0; i < job_row_count; i++)
		if (strcmp(job_rows[i].name, name) == 0)
			return job_lead(cx, &job_rows[i], NULL, ret_rows);
	return fail(cx, ERR_NOT_FOUND, "There is no job %s.", name);
}

/* --- the threads ----------------------------------------------------------------------------------------------------------- */

struct hand { /* a thread, and which jobs are its */
	struct scheduler *s;
	enum job_thread which;
	int64_t term; /* of leading, that its jobs' times were set for */
	pthread_t thread;
};

struct scheduler {
	const struct server *srv;
	struct hand hands[JOBS__THREADS];
	struct leader *leader;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	atomic_bool stop;
	int64_t *due_us; /* monotonic, one per row */
};

static int64_t
monotonic_us(const struct scheduler *s)
{
	return s->srv->source.monotonic_us(s->srv->source.arg);
}

static void
run_due(const struct hand *h, size_t i)
{
	struct scheduler *s = h->s;
	const struct lead lead = {.leader = s->leader, .term = h->term};
	struct arena a;
	struct ctx cx;
	int64_t rows;

	arena_init(&a);
	ctx_init(&cx, &a, s->srv);
	cx.stop = &s->stop;
	enum err e = job_lead(&cx, &job_rows[i], &lead, &rows);
	(void)e; /* noted, logged and counted where it failed */
	arena_release(&a);
	s->due_us[i] = monotonic_us(s) + job_rows[i].period_s * SECONDS_US;
}

static size_t
first_due(const struct hand *h)
{
	size_t first = job_row_count;

	for (size_t i = 0; i < job_row_count; i++)
		if (job_rows[i].thread == h->which && (first == job_row_count || h->s->due_us[i] < h->s->due_us[first]))
			first = i;
	return first;
}

/* True: go on; false: the scheduler stops. */
static bool
wait_until(struct scheduler *s, int64_t due_us)
{
	struct timespec at;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		int64_t left_us = due_us - monotonic_us(s);
		if (s->stop || left_us <= 0)
			break;
		at = time_spec(time_monotonic_us() + left_us); /* the source's clock may be a test's */
		pthread_cond_timedwait(&s->wake, &s->lock, &at);
	}
	bool go_on = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

/* When each job of this hand is due, by when it last ran on any node. */
static void
take_over(struct hand *h, int64_t term)
{
	struct arena a;
	struct ctx cx;
	int64_t ago_us;

	arena_init(&a);
	ctx_init(&cx, &a, h->s->srv);
	for (size_t i = 0; i < job_row_count; i++) {
		if (job_rows[i].thread != h->which)
			continue;
		int64_t period_us = job_rows[i].period_s * SECONDS_US;
		if (leader_job_ran(&cx, job_rows[i].name, &ago_us) != OK)
			ago_us = period_us;
		h->s->due_us[i] = monotonic_us(h->s) + (ago_us < 0 ? period_us : ago_us < period_us ? period_us - ago_us : 0);
	}
	h->term = term;
	arena_release(&a);
}

/* False: another node leads. */
static bool
may_work(struct hand *h)
{
	int64_t term = leader_term(h->s->leader, h->s->srv);

	if (term != 0 && term != h->term && h->s->srv->bus)
		take_over(h, term);
	return term != 0;
}

static void *
scheduler_main(void *arg)
{
	struct hand *h = arg;
	struct scheduler *s = h->s;

	for (;;) {
		size_t i = first_due(h);
		int64_t look_us = monotonic_us(s) + LEADER_LOOK_MS * INT64_C(1000);
		bool works = may_work(h);
		if (works)
			i = first_due(h);
		if (!wait_until(s, works && (!s->srv->bus || s->due_us[i] < look_us) ? s->due_us[i] : look_us))
			return NULL;
		if (works && s->due_us[i] <= monotonic_us(s))
			run_due(h, i);
	}
}

struct scheduler *
scheduler_open(const struct server *srv)
{
	struct scheduler *s = calloc(1, sizeof(*s));
	int64_t *due_us = calloc(job_row_count, sizeof(*due_us));
	static const char *const names[JOBS__THREADS] = {"jobs", "jobs-outside", "jobs-long"};
	pthread_condattr_t attr;

	if (!s || !due_us)
		BUG("no memory for the scheduler");
	s->srv = srv;
	s->due_us = due_us;
	s->leader = leader_open(srv);
	for (size_t i = 0; i < job_row_count; i++) /* one second apart, so that a start is not a burst */
		s->due_us[i] = monotonic_us(s) + (int64_t)(i + 1) * SECONDS_US;
	if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
		pthread_cond_init(&s->wake, &attr) != 0 || pthread_mutex_init(&s->lock, NULL) != 0)
		BUG("the scheduler does not start");
	pthread_condattr_destroy(&attr);
	for (int i = 0; i < JOBS__THREADS; i++) {
		s->hands[i] = (struct hand){.s = s, .which = (enum job_thread)i};
		if (pthread_create(&s->hands[i].thread, NULL, scheduler_main, &s->hands[i]) != 0)
			BUG("the scheduler does not start");
		pthread_setname_np(s->hands[i].thread, names[i]);
	}
	return s;
}

void
scheduler_close(struct scheduler *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
	for (int i = 0; i < JOBS__THREADS; i++)
		pthread_join(s->hands[i].thread, NULL);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	leader_close(s->leader);
	free(s->due_us);
	free(s);
}
