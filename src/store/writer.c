/*
 * The writers: threads that take what is queued and hand it to batch.c.  SQLite has one.  PostgreSQL has several, each with a
 * connection of its own; jobs of one shard always meet the same, so that two batches of one node seldom want one row.
 *
 * Two queues each: bulk work has its turn when nobody else waits, or after it has let the others go first for a while.
 */
#include "core/fault.h"
#include "store/engine.h"

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

/* Of all writers. */
static void
gauge_queue(struct db_store *s, int64_t change)
{
	int64_t now = atomic_fetch_add(&s->queued, change) + change;

	if (s->options.metrics)
		metrics_set(s->options.metrics, M_WRITE_QUEUE, now);
}

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
	if (w->normal.first || w->bulk.first || w->stopping)
		return w->normal.first || w->bulk.first;
	const struct timespec until = time_spec(time_monotonic_us() + IDLE_TICK_MS * INT64_C(1000));
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
		batch_give_up(db, aged, ERR_OVERLOADED, "waited too long for the writer");
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
	struct writer *w = arg;
	struct db_store *s = w->db->store;

	(void)pthread_mutex_lock(&w->lock);
	while (wait_for_jobs(w)) {
		bool bulk = bulk_is_due(w);
		size_t before = w->normal.count + w->bulk.count;
		struct db_job *jobs = bulk ? pop(&w->bulk, 1) : pop(&w->normal, batch_size(w->db));
		gauge_queue(s, (int64_t)(w->normal.count + w->bulk.count) - (int64_t)before);
		(void)pthread_mutex_unlock(&w->lock);

		int64_t bulk_ended_us = w->bulk_ended_us;
		if (!jobs)
			idle(s, w->db);
		else if (bulk) {
			struct source clock = *clock_of(jobs->cx);
			if ((jobs = drop_aged(w->db, jobs)))
				batch_run(s, w->db, jobs);
			bulk_ended_us = clock.monotonic_us(clock.arg);
		} else if ((jobs = drop_aged(w->db, jobs)))
			batch_run(s, w->db, jobs);
		w->db->engine->tend(w->db);

		(void)pthread_mutex_lock(&w->lock);
		w->bulk_ended_us = bulk_ended_us;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

bool
writer_start(struct writer *w)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	w->running = pthread_create(&w->thread, NULL, writer_main, w) == 0;
	return w->running;
}

void
writer_stop(struct writer *w)
{
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
	struct writer *w = &s->writers[job->shard % s->n_writers];
	struct job_queue *q = job->bulk ? &w->bulk : &w->normal;
	bool taken;

	job->queued_us = now_us(job->cx);
	job->result = OK;
	(void)pthread_mutex_lock(&w->lock);
	taken = !FAULT("queue.write") && !w->stopping && q->count < WRITE_QUEUE_MAX;
	if (taken) {
		push(q, job);
		gauge_queue(s, 1);
		(void)pthread_cond_signal(&w->wake);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return taken;
}
