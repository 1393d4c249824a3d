/*
 * Jobs for the tests of the writer.  A job that holds the writer at a gate lets a test queue the rest, so that what shall be one
 * batch is one.
 */
#ifndef MUSTER_TESTS_STORE_ACTS_H
#define MUSTER_TESTS_STORE_ACTS_H

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>

#include "store_env.h"

static const char ddl[] = "CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT NOT NULL) KEYED;"
			  "CREATE TABLE counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL) KEYED;"
			  "INSERT INTO counters (name, n) VALUES ('one', 0);";

SQL(W_ADD, "it", "INSERT INTO notes (id, body) VALUES ($1, $2)");
SQL(W_COUNT, "", "SELECT COUNT(*) FROM notes");
SQL(W_BUMP, "t", "UPDATE counters SET n = n + 1 WHERE name = $1");

enum { JOBS_MAX = 600 };

struct gate {
	sem_t reached, open;
};

/* What a job shall do, and what became of it. */
struct act {
	struct env *env;
	int64_t id;
	size_t bytes;	      /* of the note; 0: a few */
	enum err fail_with;   /* after writing */
	bool refuse, swallow; /* swallow: pass over a violated key */
	bool settle, settle_fails, settle_bumps, goes_on, hook, read_only, idle, bump, looks;
	enum err expect; /* of a full disk: what it must be */
	struct gate *gate;
	int runs;
	enum err result, seen_by_settle;
	struct ctx cx;
	struct arena arena;
	struct db_job job;
};

static struct act acts[JOBS_MAX];
static size_t n_acts;
static sem_t all_done;
static char events[4096]; /* each store has a writer that notes here */
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int foreign_writes;

static inline void
note_event(const char *what, int64_t id)
{
	(void)pthread_mutex_lock(&events_lock);
	size_t n = strlen(events);
	(void)snprintf(events + n, sizeof(events) - n, "%s%" PRId64 " ", what, id);
	(void)pthread_mutex_unlock(&events_lock);
}

/* --- jobs ------------------------------------------------------------------------------------------------------------------ */

static inline void
on_hook(void *arg)
{
	struct act *a = arg;

	/* Committed: another connection sees it. */
	if (!a->env->pg && a->id < 1000)
		assert_int_equal(env_count(a->env, "SELECT COUNT(*) FROM notes WHERE id < 1000") > 0, 1);
	note_event("hook", a->id);
}

static inline enum err
add_note(struct ctx *cx, int64_t id, size_t bytes)
{
	char *body = arena_alloc(cx->arena, bytes + 1, 1);

	memset(body, 'x', bytes);
	return db_exec(cx, &W_ADD, NULL, V(id), V(body));
}

static inline enum err
act_run(struct ctx *cx, void *arg)
{
	struct act *a = arg;
	int64_t n;

	a->runs++;
	if (a->gate) {
		(void)sem_post(&a->gate->reached);
		while (sem_wait(&a->gate->open) != 0)
			;
		return OK;
	}
	if (a->hook && (a->idle || a->read_only))
		db_on_commit(cx, on_hook, a);
	if (a->idle || a->read_only) {
		if (a->read_only)
			TRY(db_int(cx, &W_COUNT, &n));
		return a->fail_with != OK ? fail(cx, a->fail_with, "as asked") : OK;
	}
	if (a->bump)
		return db_exec(cx, &W_BUMP, NULL, V("one"));
	if (a->looks)
		TRY(db_int(cx, &W_COUNT, &n));
	enum err e = add_note(cx, a->id, a->bytes ? a->bytes : 8);
	if (a->hook)
		db_on_commit(cx, on_hook, a);
	if (e != OK && a->goes_on)
		(void)!add_note(cx, a->id + 3000, 8);
	if (e != OK && !a->swallow)
		return e;
	if (a->refuse)
		return refuse(cx, a->fail_with);
	return a->fail_with != OK ? fail(cx, a->fail_with, "as asked") : OK;
}

static inline enum err
act_settle(struct ctx *cx, void *arg, enum err result)
{
	struct act *a = arg;

	a->seen_by_settle = result;
	if (a->settle_bumps)
		return db_exec(cx, &W_BUMP, NULL, V("one"));
	TRY(add_note(cx, a->id + 1000, 8));
	return a->settle_fails ? fail(cx, ERR_INTERNAL, NULL) : OK;
}

static inline void
act_done(void *arg, enum err result)
{
	struct act *a = arg;

	a->result = result;
	note_event("done", a->id);
	(void)sem_post(&all_done);
}

static inline struct act *
act_new(struct env *env, int64_t id)
{
	struct act *a = &acts[n_acts++];

	assert_true(n_acts <= JOBS_MAX);
	*a = (struct act){.env = env, .id = id, .result = ERR__MAX};
	arena_init(&a->arena);
	ctx_init(&a->cx, &a->arena, &env->srv);
	a->job = (struct db_job){.cx = &a->cx, .run = act_run, .done = act_done, .arg = a};
	return a;
}

static inline void
submit(struct act *a)
{
	if (a->settle)
		a->job.settle = act_settle;
	assert_true(db_submit(a->env->srv.store, &a->job));
}

/* Holds the writer inside a job until gate_open(). */
static inline void
gate_close(struct env *env, struct gate *g)
{
	struct act *a = act_new(env, -1);

	(void)sem_init(&g->reached, 0, 0);
	(void)sem_init(&g->open, 0, 0);
	a->gate = g;
	submit(a);
	while (sem_wait(&g->reached) != 0)
		;
}

static inline void
wait_all(size_t n)
{
	for (size_t i = 0; i < n; i++)
		while (sem_wait(&all_done) != 0)
			;
}

/* Lets the writer go on and waits for every act made so far. */
static inline void
gate_open(struct gate *g)
{
	(void)sem_post(&g->open);
	wait_all(n_acts);
}

static inline void
forget_acts(void)
{
	for (size_t i = 0; i < n_acts; i++)
		arena_release(&acts[i].arena);
	n_acts = 0;
	events[0] = 0;
}

static inline int64_t
notes(struct env *env)
{
	return env_count(env, "SELECT COUNT(*) FROM notes");
}

static _Atomic int64_t test_clock_us;

static inline int64_t
read_test_clock(void *arg)
{
	(void)arg;
	return test_clock_us;
}

static sem_t foreign_seen;

static inline void
on_foreign(void *arg)
{
	(void)arg;
	foreign_writes++;
	(void)sem_post(&foreign_seen);
}

/* --- frame ----------------------------------------------------------------------------------------------------------------- */

static inline int
start(void **state, bool pg)
{
	struct env *env = env_new(pg);
	const char *message = "";
	int applied;

	n_acts = 0;
	events[0] = 0;
	foreign_writes = 0;
	test_clock_us = 1;
	(void)sem_init(&all_done, 0, 0);
	(void)sem_init(&foreign_seen, 0, 0);
	env->options.foreign_write = on_foreign;
	if (migrate_up(&env->arena, env->url, 0, &applied, &message) != OK)
		fail_msg("%s", message);
	(void)env_sql(env, ddl);
	env_store(env);
	*state = env;
	return 0;
}

static inline int
on_sqlite(void **state)
{
	return start(state, false);
}

static inline int
on_postgres(void **state)
{
	return start(state, true);
}

static inline int
done(void **state)
{
	env_free(*state);
	forget_acts();
	return 0;
}

#endif
