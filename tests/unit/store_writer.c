/*
 * The writer: what a batch keeps and undoes, when hooks and replies come, and its queues.
 */
#include "store_acts.h"

/* --- undo and keep --------------------------------------------------------------------------------------------------------- */

static void
a_batch_undoes_only_what_failed(void **state)
{
	struct env *env = *state;
	struct gate g;

	gate_close(env, &g);
	for (int64_t id = 1; id <= 9; id++)
		act_new(env, id)->settle = true;
	struct act *a = acts + 1; /* acts[0] is the gate */
	a[1].fail_with = ERR_FORBIDDEN;
	a[2].fail_with = ERR_FORBIDDEN, a[2].refuse = true;
	a[3].settle_fails = true;
	a[4].fail_with = ERR_FORBIDDEN, a[4].refuse = true, a[4].settle_fails = true;
	a[5].id = 1; /* the key is taken, and so is its settle's */
	a[6].id = 1, a[6].settle = false;
	a[7].swallow = true, a[7].id = 1, a[7].settle = false;
	for (int i = 0; i < 9; i++)
		submit(&a[i]);
	gate_open(&g);

	static const enum err results[] = {
		OK, ERR_FORBIDDEN, ERR_FORBIDDEN, ERR_INTERNAL, ERR_INTERNAL, ERR_CONFLICT, ERR_CONFLICT, ERR_INTERNAL, OK};
	for (int i = 0; i < 9; i++) { /* the second was the first to need an undo: only what ran before it runs again */
		if (a[i].result != results[i] || a[i].cx.error.code != results[i] || a[i].runs != (i < 2 ? 2 : 1))
			fail_msg("job %d: %d, error %d, runs %d", i, a[i].result, a[i].cx.error.code, a[i].runs);
		assert_null(a[i].cx.db);
	}
	assert_int_equal(a[1].seen_by_settle, ERR_FORBIDDEN);
	assert_string_equal(a[1].cx.error.message, "as asked");
	/* 1 and its settle; the settle of the failed; the refused whole; nothing of those whose settle failed; the last. */
	assert_string_equal(env_sql(env, env->pg ? "SELECT string_agg(id::text, ' ' ORDER BY id) FROM notes"
						 : "SELECT group_concat(id, ' ') FROM (SELECT id FROM notes ORDER BY id)"),
		"1 3 9 1001 1002 1003 1009");
}

/* A failure that changed nothing costs the others nothing: no job runs twice. */
static void
what_wrote_nothing_needs_no_undo(void **state)
{
	struct env *env = *state;
	struct gate g;

	gate_close(env, &g);
	for (int64_t id = 1; id <= 4; id++)
		act_new(env, id)->hook = true;
	acts[2].read_only = true;
	acts[2].fail_with = ERR_FORBIDDEN;
	acts[2].settle = true;
	acts[3].idle = true;
	acts[3].fail_with = ERR_FORBIDDEN;
	for (int i = 1; i <= 4; i++)
		submit(&acts[i]);
	gate_open(&g);
	for (int i = 1; i <= 4; i++) {
		assert_int_equal(acts[i].runs, 1);
		assert_int_equal(acts[i].result, i == 2 || i == 3 ? ERR_FORBIDDEN : OK);
	}
	assert_int_equal(notes(env), 3); /* 1, 4, and what the second's settle wrote */
	assert_string_equal(events, "done-1 hook1 hook4 done1 done2 done3 done4 ");
}

struct foretold {
	const char *name;
	int runs;
	int64_t rows;
};

static enum err
update_foretold(struct ctx *cx, void *arg)
{
	struct foretold *f = arg;
	struct db_step steps[] = {DB_STEP(&W_BUMP, NULL, NULL, V("one")), DB_STEP(&W_BUMP, NULL, NULL, V(f->name))};

	f->runs++;
	steps[0].expect = steps[1].expect = 1;
	TRY(db_list(cx, steps, 2));
	f->rows = steps[1].rows;
	return OK;
}

/* A foretold number of rows may be believed at first, never in the end. */
static void
what_was_foretold_is_checked(void **state)
{
	struct env *env = *state;
	struct foretold right = {.name = "one"}, wrong = {.name = "none"};
	struct ctx cx;

	env_cx(env, &cx);
	assert_int_equal(db_write(&cx, update_foretold, &right), OK);
	assert_int_equal(right.rows, 1);
	assert_int_equal(right.runs, 1);
	assert_int_equal(db_write(&cx, update_foretold, &wrong), OK);
	assert_int_equal(wrong.rows, 0);
	assert_int_equal(wrong.runs, env->pg ? 2 : 1);
	assert_int_equal(env_count(env, "SELECT n FROM counters WHERE name = 'one'"), 3);
}

static void
hooks_run_between_commit_and_done(void **state)
{
	struct env *env = *state;
	struct gate g;

	gate_close(env, &g);
	for (int64_t id = 1; id <= 4; id++)
		act_new(env, id)->hook = true;
	acts[2].fail_with = ERR_FORBIDDEN;
	acts[3].fail_with = ERR_FORBIDDEN, acts[3].refuse = true;
	for (int i = 1; i <= 4; i++)
		submit(&acts[i]);
	gate_open(&g);
	assert_string_equal(events, "done-1 hook1 hook3 hook4 done1 done2 done3 done4 ");
}

static void
nested_hook(struct env *env)
{
	struct ctx cx;

	env_cx(env, &cx);
	db_on_commit(&cx, on_hook, NULL);
}

static enum err
write_again(struct ctx *cx, void *arg)
{
	return db_write(cx, act_run, arg);
}

static void
write_inside_read(struct env *env)
{
	struct ctx cx;

	env_cx(env, &cx);
	(void)!db_read(&cx, write_again, NULL);
}

static void
misuse_is_a_bug(void **state)
{
	assert_true(env_aborts(nested_hook, *state));
	assert_true(env_aborts(write_inside_read, *state));
}

/* --- cost ------------------------------------------------------------------------------------------------------------------ */

static void
what_changes_nothing_is_not_committed(void **state)
{
	struct env *env = *state;
	sqlite3 *other;
	sqlite3_stmt *version;
	int64_t before;

	assert_int_equal(sqlite3_open(env->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(other, "PRAGMA data_version", -1, &version, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(version), SQLITE_ROW);
	before = sqlite3_column_int64(version, 0);
	(void)sqlite3_reset(version);
	act_new(env, 1)->read_only = true;
	act_new(env, 2)->fail_with = ERR_FORBIDDEN;
	submit(&acts[0]);
	submit(&acts[1]);
	wait_all(2);
	assert_int_equal(sqlite3_step(version), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int64(version, 0), before);
	(void)sqlite3_reset(version);
	submit(act_new(env, 3));
	wait_all(1);
	assert_int_equal(sqlite3_step(version), SQLITE_ROW);
	assert_true(sqlite3_column_int64(version, 0) != before);
	(void)sqlite3_finalize(version);
	(void)sqlite3_close(other);
}

/* --- queues ---------------------------------------------------------------------------------------------------------------- */

static void
quiet_done(void *arg, enum err result)
{
	(void)result;
	(void)sem_post(arg);
}

static enum err
do_nothing(struct ctx *cx, void *arg)
{
	(void)cx;
	(void)arg;
	return OK;
}

static void
a_full_queue_refuses(void **state)
{
	struct env *env = *state;
	struct gate g;
	struct ctx cx;
	sem_t finished;
	struct db_job *jobs = calloc(WRITE_QUEUE_MAX + 1, sizeof(*jobs));

	assert_non_null(jobs);
	env_cx(env, &cx);
	(void)sem_init(&finished, 0, 0);
	gate_close(env, &g);
	for (int i = 0; i <= WRITE_QUEUE_MAX; i++) {
		jobs[i] = (struct db_job){.cx = &cx, .run = do_nothing, .done = quiet_done, .arg = &finished};
		assert_int_equal(db_submit(env->srv.store, &jobs[i]), i < WRITE_QUEUE_MAX);
	}
	assert_int_equal(db_write(&cx, do_nothing, NULL), ERR_OVERLOADED);
	assert_int_equal(cx.error.code, ERR_OVERLOADED);
	gate_open(&g);
	for (int i = 0; i < WRITE_QUEUE_MAX; i++)
		while (sem_wait(&finished) != 0)
			;
	assert_int_equal(db_write(&cx, do_nothing, NULL), OK);
	free(jobs);
}

static void
an_aged_job_is_refused(void **state)
{
	struct env *env = *state;
	struct gate g;

	env->srv.source.monotonic_us = read_test_clock;
	gate_close(env, &g);
	submit(act_new(env, 1));
	test_clock_us += WRITE_QUEUE_AGE_MS * INT64_C(1000) + 1;
	submit(act_new(env, 2));
	gate_open(&g);
	assert_int_equal(acts[1].result, ERR_OVERLOADED);
	assert_int_equal(acts[1].runs, 0);
	assert_int_equal(acts[1].cx.error.code, ERR_OVERLOADED);
	assert_int_equal(acts[2].result, OK);
	assert_int_equal(notes(env), 1);
}

static void
bulk_waits_for_the_others_but_not_for_ever(void **state)
{
	struct env *env = *state;
	struct gate g;

	env->srv.source.monotonic_us = read_test_clock;
	gate_close(env, &g);
	act_new(env, 1)->job.bulk = true;
	act_new(env, 2)->job.bulk = true;
	act_new(env, 3);
	act_new(env, 4);
	for (int i = 1; i <= 4; i++)
		submit(&acts[i]);
	gate_open(&g);
	assert_string_equal(events, "done-1 done3 done4 done1 done2 ");

	forget_acts();
	gate_close(env, &g);
	for (int64_t id = 5; id <= 7; id++)
		act_new(env, id)->job.bulk = id < 7;
	for (int i = 1; i <= 3; i++)
		submit(&acts[i]);
	test_clock_us += 100 * 1000; /* long enough: its turn comes, but only one */
	gate_open(&g);
	assert_string_equal(events, "done-1 done5 done7 done6 ");
}

static void
closing_finishes_what_is_queued(void **state)
{
	struct env *env = *state;
	struct gate g;

	gate_close(env, &g);
	for (int64_t id = 1; id <= 50; id++) {
		act_new(env, id)->job.bulk = id % 2;
		submit(&acts[id]);
	}
	(void)sem_post(&g.open);
	db_close(env->srv.store);
	wait_all(51);
	assert_int_equal(notes(env), 50);
	if (!env->pg) { /* nothing is left in the log */
		char wal[300];
		(void)snprintf(wal, sizeof(wal), "%s-wal", env->path);
		assert_int_equal(access(wal, F_OK), -1);
	}
	env_store(env);
}

/* As a command does that ends beside a running server: emptying the log would stop the server meanwhile. */
static void
closing_beside_others_leaves_them_the_log(void **state)
{
	struct env *env = *state;
	struct stat before, after;
	sqlite3 *other;
	char wal[300];

	(void)snprintf(wal, sizeof(wal), "%s-wal", env->path);
	assert_int_equal(sqlite3_open(env->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "SELECT COUNT(*) FROM notes", NULL, NULL, NULL), SQLITE_OK);
	submit(act_new(env, 1));
	wait_all(1);
	assert_int_equal(stat(wal, &before), 0);
	db_close(env->srv.store);
	assert_int_equal(stat(wal, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	assert_int_equal(access(wal, F_OK), -1); /* the last one has emptied it */
	env_store(env);
	assert_int_equal(notes(env), 1);
}

/* A partial index that a bound word could make fit is no reason to compile a statement anew for each word. */
static void
a_statement_is_compiled_once(void **state)
{
	static const char *const words[] = {"event", "session", "event", "session"};
	struct env *env = *state;
	const char *message = NULL;
	sqlite3 *handle = sqlite_connect(&env->arena, env->path, false, &message);
	sqlite3_stmt *stmt;

	assert_non_null(handle);
	assert_int_equal(sqlite3_exec(handle,
				 "CREATE TEMP TABLE t (kind TEXT, at INTEGER); CREATE INDEX temp.t_at ON t (at) WHERE kind = 'session'",
				 NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT at FROM t WHERE kind = $1 AND at >= $2", -1, &stmt, NULL), SQLITE_OK);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		assert_int_equal(sqlite3_bind_text(stmt, 1, words[i], -1, SQLITE_STATIC), SQLITE_OK);
		assert_int_equal(sqlite3_bind_int(stmt, 2, (int)i), SQLITE_OK);
		assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
		assert_int_equal(sqlite3_reset(stmt), SQLITE_OK);
		assert_int_equal(sqlite3_clear_bindings(stmt), SQLITE_OK);
	}
	assert_int_equal(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_REPREPARE, 0), 0);
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(handle);
}

static void *
bump_many(void *arg)
{
	struct env *env = arg;
	struct arena a;
	size_t good = 0;

	arena_init(&a);
	for (int i = 0; i < 250; i++) {
		struct ctx cx;
		struct act act = {.env = env, .bump = true};
		ctx_init(&cx, &a, &env->srv);
		good += db_write(&cx, act_run, &act) == OK;
		arena_reset(&a);
	}
	arena_release(&a);
	return (void *)(uintptr_t)good; /* NOLINT: a count, not an address */
}

static void
eight_threads_count_right(void **state)
{
	struct env *env = *state;
	pthread_t threads[8];
	size_t good = 0;

	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, bump_many, env), 0);
	for (int i = 0; i < 8; i++) {
		void *n;
		assert_int_equal(pthread_join(threads[i], &n), 0);
		good += (size_t)(uintptr_t)n;
	}
	assert_int_equal(good, 2000);
	assert_int_equal(env_count(env, "SELECT n FROM counters WHERE name = 'one'"), 2000);
	assert_int_equal(foreign_writes, 0); /* our own writes and checkpoints are not foreign */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(a_batch_undoes_only_what_failed, on_sqlite, on_postgres, done),
		ON_BOTH(what_wrote_nothing_needs_no_undo, on_sqlite, on_postgres, done),
		ON_BOTH(what_was_foretold_is_checked, on_sqlite, on_postgres, done),
		ON_BOTH(hooks_run_between_commit_and_done, on_sqlite, on_postgres, done),
		ON_SQLITE(misuse_is_a_bug, on_sqlite, done),
		ON_SQLITE(what_changes_nothing_is_not_committed, on_sqlite, done),
		ON_BOTH(a_full_queue_refuses, on_sqlite, on_postgres, done),
		ON_BOTH(an_aged_job_is_refused, on_sqlite, on_postgres, done),
		ON_BOTH(bulk_waits_for_the_others_but_not_for_ever, on_sqlite, on_postgres, done),
		ON_BOTH(closing_finishes_what_is_queued, on_sqlite, on_postgres, done),
		ON_SQLITE(closing_beside_others_leaves_them_the_log, on_sqlite, done),
		ON_SQLITE(a_statement_is_compiled_once, on_sqlite, done),
		ON_BOTH(eight_threads_count_right, on_sqlite, on_postgres, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
