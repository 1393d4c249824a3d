/*
 * The writer: batches, undo, hooks, queues, failing engines, other processes.  A job that holds the writer at a gate lets a test
 * queue the rest, so that what shall be one batch is one.
 */
#include "store_env.h"

#include <inttypes.h>
#include <semaphore.h>
#include <sys/mount.h>
#include <sys/resource.h>

static const char ddl[] = "CREATE TABLE notes (id BIGINT PRIMARY KEY, body TEXT NOT NULL) KEYED;"
			  "CREATE TABLE counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL) KEYED;"
			  "INSERT INTO counters (name, n) VALUES ('one', 0);";

SQL(W_ADD, "it", "INSERT INTO notes (id, body) VALUES ($1, $2)");
SQL(W_COUNT, "", "SELECT COUNT(*) FROM notes");
SQL(W_BUMP, "t", "UPDATE counters SET n = n + 1 WHERE name = $1");
SQL(W_TOUCH, "t", "UPDATE counters SET n = n WHERE name = $1");

enum { JOBS_MAX = 600 };

struct gate {
	sem_t reached, open;
};

/* What a job shall do, and what became of it. */
struct act {
	struct env *env;
	int64_t id;
	size_t bytes;          /* of the note; 0: a few */
	enum err fail_with;    /* after writing */
	bool refuse, swallow;  /* swallow: pass over a violated key */
	bool settle, settle_fails, hook, read_only, bump;
	enum err expect;       /* of a full disk: what it must be */
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
static char events[4096]; /* written by the writer's thread only */
static _Atomic int foreign_writes;

static void
note_event(const char *what, int64_t id)
{
	size_t n = strlen(events);

	(void)snprintf(events + n, sizeof(events) - n, "%s%" PRId64 " ", what, id);
}

/* --- jobs ------------------------------------------------------------------------------------------------------------------ */

static void
on_hook(void *arg)
{
	struct act *a = arg;

	/* Committed: another connection sees it. */
	if (!a->env->pg && a->id < 1000)
		assert_int_equal(env_count(a->env, "SELECT COUNT(*) FROM notes WHERE id < 1000") > 0, 1);
	note_event("hook", a->id);
}

static enum err
add_note(struct ctx *cx, int64_t id, size_t bytes)
{
	char *body = arena_alloc(cx->arena, bytes + 1, 1);

	memset(body, 'x', bytes);
	return db_exec(cx, &W_ADD, NULL, V(id), V(body));
}

static enum err
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
	if (a->read_only)
		return db_int(cx, &W_COUNT, &n);
	if (a->bump)
		return db_exec(cx, &W_BUMP, NULL, V("one"));
	enum err e = add_note(cx, a->id, a->bytes ? a->bytes : 8);
	if (a->hook)
		db_on_commit(cx, on_hook, a);
	if (e != OK && !a->swallow)
		return e;
	if (a->refuse)
		return refuse(cx, a->fail_with);
	return a->fail_with != OK ? fail(cx, a->fail_with, "as asked") : OK;
}

static enum err
act_settle(struct ctx *cx, void *arg, enum err result)
{
	struct act *a = arg;

	a->seen_by_settle = result;
	TRY(add_note(cx, a->id + 1000, 8));
	return a->settle_fails ? fail(cx, ERR_INTERNAL, NULL) : OK;
}

static void
act_done(void *arg, enum err result)
{
	struct act *a = arg;

	a->result = result;
	note_event("done", a->id);
	(void)sem_post(&all_done);
}

static struct act *
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

static void
submit(struct act *a)
{
	if (a->settle)
		a->job.settle = act_settle;
	assert_true(db_submit(a->env->srv.store, &a->job));
}

/* Holds the writer inside a job until gate_open(). */
static void
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

static void
wait_all(size_t n)
{
	for (size_t i = 0; i < n; i++)
		while (sem_wait(&all_done) != 0)
			;
}

/* Lets the writer go on and waits for every act made so far. */
static void
gate_open(struct gate *g)
{
	(void)sem_post(&g->open);
	wait_all(n_acts);
}

static void
forget_acts(void)
{
	for (size_t i = 0; i < n_acts; i++)
		arena_release(&acts[i].arena);
	n_acts = 0;
	events[0] = 0;
}

static int64_t
notes(struct env *env)
{
	return env_count(env, "SELECT COUNT(*) FROM notes");
}

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

	static const enum err results[] = {OK, ERR_FORBIDDEN, ERR_FORBIDDEN, ERR_INTERNAL, ERR_INTERNAL, ERR_CONFLICT, ERR_CONFLICT,
		ERR_INTERNAL, OK};
	for (int i = 0; i < 9; i++) {
		if (a[i].result != results[i] || a[i].cx.error.code != results[i] || a[i].runs != 1)
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

static _Atomic int64_t test_clock_us;

static int64_t
read_test_clock(void *arg)
{
	(void)arg;
	return test_clock_us;
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

/* --- failing engines ------------------------------------------------------------------------------------------------------- */

/* Ten marks in one batch, the third too large for what is left: exactly it is not done. */
static void
fill_in_the_third_of_ten(struct env *env, size_t big_bytes)
{
	struct gate g;

	forget_acts();
	gate_close(env, &g);
	for (int64_t id = 1; id <= 10; id++)
		(void)act_new(env, id);
	acts[3].bytes = big_bytes;
	for (int i = 1; i <= 10; i++) {
		acts[i].hook = true;
		submit(&acts[i]);
	}
	gate_open(&g);
	for (int i = 1; i <= 10; i++) {
		if (acts[i].result != (i == 3 ? ERR_UNAVAILABLE : OK))
			fail_msg("job %d: %s: %s", i, acts[i].result ? err_row(acts[i].result)->name : "OK",
				acts[i].cx.error.internal ? acts[i].cx.error.internal : "");
		assert_int_equal(acts[i].cx.error.code, acts[i].result);
	}
	assert_null(strstr(events, "hook3 "));
	assert_non_null(strstr(events, "hook4 done4 "));
	assert_int_equal(notes(env), 9);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM notes WHERE id = 3"), 0);
}

static void
space_is_back(struct env *env, size_t big_bytes)
{
	forget_acts();
	act_new(env, 3)->bytes = big_bytes;
	submit(&acts[0]);
	wait_all(1);
	assert_int_equal(acts[0].result, OK);
	assert_int_equal(notes(env), 10);
	assert_string_equal(env_sql(env, "PRAGMA integrity_check"), "ok");
}

SQL(W_PAGES, "", "PRAGMA page_count");
SQL(W_LIMIT, "", "PRAGMA max_page_count = 200");
SQL(W_NO_LIMIT, "", "PRAGMA max_page_count = 1000000");

static enum err
limit_pages(struct ctx *cx, void *arg)
{
	int64_t pages;

	(void)arg;
	TRY(db_int(cx, &W_PAGES, &pages));
	assert_true(pages < 190);
	return db_exec(cx, &W_LIMIT, NULL);
}

static enum err
unlimit_pages(struct ctx *cx, void *arg)
{
	(void)arg;
	return db_exec(cx, &W_NO_LIMIT, NULL);
}

static void
a_full_database_fails_one_of_ten(void **state)
{
	struct env *env = *state;
	struct ctx cx;

	env_cx(env, &cx);
	assert_int_equal(db_write(&cx, limit_pages, NULL), OK);
	fill_in_the_third_of_ten(env, 2 << 20);
	assert_true(acts[1].runs == 2); /* the engine ended the batch, and all ran again */
	assert_int_equal(db_write(&cx, unlimit_pages, NULL), OK);
	space_is_back(env, 2 << 20);
}

/* COMMIT itself fails: the log cannot grow, as RLIMIT_FSIZE (an I/O error) and a real full file system (FULL) show. */
static void
a_failing_commit_fails_one_of_ten(void **state)
{
	struct env *env = *state;
	struct rlimit old, tight;
	struct stat st;
	char wal[300];
	sqlite3 *reader;

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)snprintf(wal, sizeof(wal), "%s-wal", env->path);
	assert_int_equal(sqlite3_open(env->path, &reader), SQLITE_OK); /* its snapshot keeps the log from starting anew */
	assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT COUNT(*) FROM notes", NULL, NULL, NULL), SQLITE_OK);
	submit(act_new(env, 100));
	wait_all(1);
	(void)env_sql(env, "DELETE FROM notes");
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)st.st_size + (600 << 10);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	fill_in_the_third_of_ten(env, 2 << 20);
	assert_true(acts[1].runs == 2);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	space_is_back(env, 2 << 20);
	(void)sqlite3_close(reader);
}

static void
a_full_disk_fails_one_of_ten(void **state)
{
	char dir[300];
	struct env *env;
	(void)state;

	if (geteuid() != 0) {
		print_message("a full file system needs root; the two tests before show the rest\n");
		skip();
	}
	(void)snprintf(dir, sizeof(dir), "%s/small", env_dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	if (mount("tmpfs", dir, "tmpfs", 0, "size=3m") != 0) {
		print_message("no tmpfs can be mounted here; the two tests before show the rest\n");
		skip();
	}
	env = env_new(false);
	(void)snprintf(env->path, sizeof(env->path), "%.250s/m.db", dir);
	(void)snprintf(env->url, sizeof(env->url), "sqlite:///%s", env->path);
	const char *message = "";
	int applied;
	if (migrate_up(&env->arena, env->url, 0, &applied, &message) != OK)
		fail_msg("%s", message);
	(void)env_sql(env, ddl);
	env_store(env);
	fill_in_the_third_of_ten(env, 6 << 20);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", MS_REMOUNT, "size=64m"), 0);
	space_is_back(env, 6 << 20);
	env_free(env);
	assert_int_equal(umount(dir), 0);
}

static void
a_locked_database_is_unavailable(void **state)
{
	struct env *env = *state;
	PGconn *conn = PQconnectdb(env->url);
	struct gate g;

	/* PostgreSQL: a lock time-out dooms the batch; the others are done, the waiting one is given up after three tries. */
	PQclear(PQexec(conn, "BEGIN"));
	PQclear(PQexec(conn, "UPDATE counters SET n = 5 WHERE name = 'one'"));
	gate_close(env, &g);
	for (int64_t id = 1; id <= 3; id++)
		(void)act_new(env, id);
	acts[2].bump = true;
	for (int i = 1; i <= 3; i++)
		submit(&acts[i]);
	gate_open(&g);
	assert_int_equal(acts[1].result, OK);
	assert_int_equal(acts[2].result, ERR_UNAVAILABLE);
	assert_int_equal(acts[2].runs, 4);
	assert_int_equal(acts[3].result, OK);
	assert_int_equal(notes(env), 2);
	PQclear(PQexec(conn, "ROLLBACK"));
	PQfinish(conn);
}

static void
a_lost_connection_is_unavailable(void **state)
{
	struct env *env = *state;

	submit(act_new(env, 1));
	wait_all(1);
	(void)env_sql(env, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
	submit(act_new(env, 2));
	wait_all(1);
	assert_int_equal(acts[0].result, OK);
	assert_int_equal(acts[1].result, ERR_UNAVAILABLE);
	assert_int_equal(notes(env), 1);
}

/* --- other processes ------------------------------------------------------------------------------------------------------- */

static sem_t foreign_seen;

static void
on_foreign(void *arg)
{
	(void)arg;
	foreign_writes++;
	(void)sem_post(&foreign_seen);
}

/* A process of its own that writes once it is told to; made before the store is open, since SQLite does not survive a fork. */
static pid_t
other_process(struct env *env, int *ret_tell)
{
	int fds[2];
	char byte;

	db_close(env->srv.store);
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		sqlite3 *db;
		(void)close(fds[1]);
		if (read(fds[0], &byte, 1) != 1 || sqlite3_open(env->path, &db) != SQLITE_OK)
			_exit(1);
		(void)sqlite3_busy_timeout(db, 5000);
		_exit(sqlite3_exec(db, "UPDATE counters SET n = n + 1", NULL, NULL, NULL) == SQLITE_OK ? 0 : 2);
	}
	(void)close(fds[0]);
	env_store(env);
	*ret_tell = fds[1];
	return pid;
}

static void
another_process_is_noticed(void **state)
{
	struct env *env = *state;
	struct timespec until;
	struct gate g;
	int tell, status;
	pid_t pid = other_process(env, &tell);

	assert_int_equal(write(tell, "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1; /* an operator's SQL takes effect within a second */
	assert_int_equal(sem_timedwait(&foreign_seen, &until), 0);
	(void)close(tell);

	pid = other_process(env, &tell);
	gate_close(env, &g); /* holds the transaction: the other process writes as soon as it ends */
	assert_int_equal(write(tell, "x", 1), 1);
	gate_open(&g);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	submit(act_new(env, 1));
	wait_all(1);
	assert_int_equal(sem_trywait(&foreign_seen), 0); /* before the reply of the first batch after it */
	assert_int_equal(foreign_writes, 2);
	(void)close(tell);
}

/* --- kill -9 --------------------------------------------------------------------------------------------------------------- */

static int ack_fd;

static void
ack_done(void *arg, enum err result)
{
	struct act *a = arg;

	if (result == OK && write(ack_fd, &a->id, sizeof(a->id)) != sizeof(a->id))
		_exit(1);
	(void)sem_post(&all_done);
}

/* Writes without end, reporting each row once it is told that it is there. */
static void
write_for_ever(struct env *env, int fd)
{
	ack_fd = fd;
	env_store(env);
	for (int64_t id = 0;; n_acts = 0) {
		for (int i = 0; i < 200; i++) {
			struct act *a = act_new(env, ++id);
			a->job.done = ack_done;
			submit(a);
		}
		wait_all(200);
		for (int i = 0; i < 200; i++)
			arena_release(&acts[i].arena);
	}
}

static void
what_was_acknowledged_survives_kill_9(void **state)
{
	struct env *env = *state;

	db_close(env->srv.store);
	for (int round = 0; round < 5; round++) {
		int fds[2], status;
		int64_t id, acks = 0, last = 0;
		(void)env_sql(env, "DELETE FROM notes");
		assert_int_equal(pipe(fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			(void)close(fds[0]);
			n_acts = 0;
			write_for_ever(env, fds[1]);
		}
		(void)close(fds[1]);
		while (read(fds[0], &id, sizeof(id)) == sizeof(id)) {
			last = id > last ? id : last;
			if (++acks == 300 + round * 777)
				(void)kill(pid, SIGKILL);
		}
		(void)close(fds[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(env_count(env, arena_printf(&env->arena, "SELECT COUNT(*) FROM notes WHERE id <= %" PRId64, last)), last);
		assert_true(acks >= 300 + round * 777 && acks <= last);
		assert_string_equal(env_sql(env, "PRAGMA integrity_check"), "ok");
	}
	env_store(env); /* the teardown closes it */
}

/* --- frame ----------------------------------------------------------------------------------------------------------------- */

static int
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

static int
on_sqlite(void **state)
{
	return start(state, false);
}

static int
on_postgres(void **state)
{
	return start(state, true);
}

static int
done(void **state)
{
	env_free(*state);
	forget_acts();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(a_batch_undoes_only_what_failed, on_sqlite, on_postgres, done),
		ON_BOTH(hooks_run_between_commit_and_done, on_sqlite, on_postgres, done),
		ON_SQLITE(misuse_is_a_bug, on_sqlite, done),
		ON_SQLITE(what_changes_nothing_is_not_committed, on_sqlite, done),
		ON_BOTH(a_full_queue_refuses, on_sqlite, on_postgres, done),
		ON_BOTH(an_aged_job_is_refused, on_sqlite, on_postgres, done),
		ON_BOTH(bulk_waits_for_the_others_but_not_for_ever, on_sqlite, on_postgres, done),
		ON_BOTH(eight_threads_count_right, on_sqlite, on_postgres, done),
		ON_SQLITE(a_full_database_fails_one_of_ten, on_sqlite, done),
		ON_SQLITE(a_failing_commit_fails_one_of_ten, on_sqlite, done),
		ON_SQLITE(a_full_disk_fails_one_of_ten, on_sqlite, done),
		ON_POSTGRES(a_locked_database_is_unavailable, on_postgres, done),
		ON_POSTGRES(a_lost_connection_is_unavailable, on_postgres, done),
		ON_SQLITE(another_process_is_noticed, on_sqlite, done),
		ON_SQLITE(what_was_acknowledged_survives_kill_9, on_sqlite, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
