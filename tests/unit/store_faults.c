/*
 * The writer when things break: full databases and disks, locks, lost connections, other processes, kill -9.
 */
#include <sys/mount.h>
#include <sys/resource.h>

#include "store_acts.h"

#include "core/log.h"

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
	acts[3].goes_on = true; /* what it writes after the transaction was ended must not stand alone */
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

static int
said(FILE *log, const char *event)
{
	char text[1 << 14];
	ssize_t n = pread(fileno(log), text, sizeof(text) - 1, 0);
	int times = 0;

	assert_true(n >= 0);
	text[n] = 0;
	for (const char *p = text; (p = strstr(p, event)); p += strlen(event))
		times++;
	return times;
}

/* The thread tries five times a second for as long as it lasts. */
static void
a_checkpoint_that_fails_is_said_once(void **state)
{
	struct env *env = *state;
	struct rlimit old, tight;
	struct stat st;
	FILE *log = tmpfile();

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_non_null(log);
	log_open(LOG_INFO, fileno(log));
	assert_int_equal(stat(env->path, &st), 0);
	assert_true(st.st_size > 256 << 10); /* so the write-ahead log has room, and the file may not grow */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)st.st_size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	forget_acts();
	act_new(env, 1)->bytes = 128 << 10;
	submit(&acts[0]);
	wait_all(1);
	assert_int_equal(acts[0].result, OK);
	eventually(said(log, "store.checkpoint_failed") > 0);
	for (int64_t end_us = time_monotonic_us() + SECONDS_US; time_monotonic_us() < end_us; env_nap())
		assert_int_equal(said(log, "store.checkpoint_failed"), 1);
	assert_int_equal(said(log, "store.checkpoint_works"), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	eventually(said(log, "store.checkpoint_works") == 1);
	log_close();
	assert_int_equal(fclose(log), 0);
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
	for (int round = 0; round < 2; round++) { /* the wait is in run(), then in settle() */
		forget_acts();
		gate_close(env, &g);
		for (int64_t id = 1; id <= 3; id++)
			(void)act_new(env, 10 * round + id);
		acts[2].bump = round == 0;
		acts[2].settle = acts[2].settle_bumps = round == 1;
		for (int i = 1; i <= 3; i++)
			submit(&acts[i]);
		gate_open(&g);
		assert_int_equal(acts[1].result, OK);
		assert_int_equal(acts[1].runs, 2);
		assert_int_equal(acts[2].result, ERR_UNAVAILABLE);
		assert_int_equal(acts[2].runs, 4);
		assert_int_equal(acts[3].result, OK);
		assert_int_equal(notes(env), 2 * (round + 1));
	}
	PQclear(PQexec(conn, "ROLLBACK"));
	PQfinish(conn);
}

static void
cut_connections(struct env *env)
{
	(void)env_sql(env, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
			   " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'");
}

static enum err
count_notes(struct ctx *cx, void *arg)
{
	return db_int(cx, &W_COUNT, arg);
}

/* Cut while idle: nobody notices.  Cut inside the batch: what ran before is run again. */
static void
a_lost_connection_is_made_anew(void **state)
{
	struct env *env = *state;
	struct gate g;
	struct ctx cx;
	int64_t n = 0;

	env_cx(env, &cx);
	submit(act_new(env, 1));
	wait_all(1);
	assert_int_equal(db_read(&cx, count_notes, &n), OK);
	cut_connections(env);
	submit(act_new(env, 2));
	wait_all(1);
	assert_int_equal(acts[1].result, OK);
	assert_int_equal(db_read(&cx, count_notes, &n), OK);
	assert_int_equal(n, 2);

	forget_acts();
	act_new(env, 3);
	acts[0].looks = true; /* so that something was answered inside the transaction */
	gate_close(env, &g);
	submit(&acts[0]);
	act_new(env, 4)->looks = true;
	submit(&acts[2]);
	cut_connections(env);
	gate_open(&g);
	assert_int_equal(acts[0].result, OK);
	assert_int_equal(acts[2].result, OK);
	assert_int_equal(notes(env), 4);
}

/* The server does what COMMIT asked for, and its answer is lost: unknown, never run again. */
static void
a_commit_without_an_answer_is_unavailable(void **state)
{
	struct env *env = *state;

	(void)env_sql(env, "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS"
			   " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END $$;"
			   "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED"
			   " FOR EACH ROW WHEN (NEW.id = 7) EXECUTE FUNCTION cut()");
	submit(act_new(env, 7));
	wait_all(1);
	assert_int_equal(acts[0].result, ERR_UNAVAILABLE);
	assert_int_equal(acts[0].runs, 1);
	submit(act_new(env, 8));
	wait_all(1);
	assert_int_equal(acts[1].result, OK);
	assert_int_equal(notes(env), 1);
}

/* --- other processes ------------------------------------------------------------------------------------------------------- */

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
	until.tv_sec += 60; /* nobody else writes: the idle writer looks by itself, once a second where the machine has time */
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
		assert_int_equal(
			env_count(env, arena_printf(&env->arena, "SELECT COUNT(*) FROM notes WHERE id <= %" PRId64, last)), last);
		assert_true(acks >= 300 + round * 777 && acks <= last);
		assert_string_equal(env_sql(env, "PRAGMA integrity_check"), "ok");
	}
	env_store(env); /* the teardown closes it */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SQLITE(a_full_database_fails_one_of_ten, on_sqlite, done),
		ON_SQLITE(a_checkpoint_that_fails_is_said_once, on_sqlite, done),
		ON_SQLITE(a_failing_commit_fails_one_of_ten, on_sqlite, done),
		ON_SQLITE(a_full_disk_fails_one_of_ten, on_sqlite, done),
		ON_POSTGRES(a_locked_database_is_unavailable, on_postgres, done),
		ON_POSTGRES(a_lost_connection_is_made_anew, on_postgres, done),
		ON_POSTGRES(a_commit_without_an_answer_is_unavailable, on_postgres, done),
		ON_SQLITE(another_process_is_noticed, on_sqlite, done),
		ON_SQLITE(what_was_acknowledged_survives_kill_9, on_sqlite, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
