/*
 * What the tests of store/ share: a folder of their own, a real PostgreSQL server in it, and a migrated database per test on
 * either engine.  A missing PostgreSQL is a failure with a clear line, never a skipped test.
 */
#ifndef MUSTER_TESTS_STORE_ENV_H
#define MUSTER_TESTS_STORE_ENV_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "our_fail.h"
#include "store/engine.h"
#include "store/migrate.h"

struct env {
	bool pg;
	char url[512], path[256]; /* path: the SQLite file */
	struct arena arena;
	struct server srv;
	struct db_options options;
};

static char env_dir[256];
static pid_t env_postgres;

/* --- the folder and the server --------------------------------------------------------------------------------------------- */

static inline int
env_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* PostgreSQL refuses to run as root. */
static inline void
env_become_postgres(void)
{
	if (geteuid() != 0)
		return;
	const struct passwd *pw = getpwnam("postgres");
	if (!pw || initgroups("postgres", pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		_exit(99);
}

static inline pid_t
env_spawn(const char *program, const char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		env_become_postgres();
		(void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		if (!getenv("STORE_TEST_VERBOSE"))
			(void)dup2(null, 2);
		if (chdir(env_dir) == 0)
			(void)execv(program, (char *const *)(uintptr_t)argv);
		_exit(98);
	}
	return pid;
}

static inline void
env_nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

/* Asks until it holds. */
enum { EVENTUALLY_MS = 30000 };
#define eventually(condition)                                                 \
	do {                                                                  \
		int64_t end_us_ = time_monotonic_us() + EVENTUALLY_MS * 1000; \
		while (!(condition)) {                                        \
			if (time_monotonic_us() > end_us_)                    \
				fail_msg("never came: %s", #condition);       \
			env_nap();                                            \
		}                                                             \
	} while (0)

static inline bool
env_start_postgres(void)
{
	glob_t found = {0};
	char bin[300], initdb[340], postgres[340], data[300], sockets[300], url[512];
	int status = -1;

	if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0 || found.gl_pathc == 0) {
		print_error("PostgreSQL's server programs are missing (Debian package postgresql): these tests need them\n");
		globfree(&found);
		return false;
	}
	(void)str_copy(bin, sizeof(bin), found.gl_pathv[found.gl_pathc - 1]);
	globfree(&found);
	*strrchr(bin, '/') = 0;
	(void)snprintf(initdb, sizeof(initdb), "%s/initdb", bin);
	(void)snprintf(postgres, sizeof(postgres), "%s/postgres", bin);
	(void)snprintf(data, sizeof(data), "%s/pg", env_dir);
	(void)snprintf(sockets, sizeof(sockets), "%s/pg", env_dir);

	const char *const init_args[] = {
		initdb, "-D", data, "-U", "muster", "-A", "trust", "-E", "UTF8", "--no-locale", "-N", NULL};
	pid_t pid = env_spawn(initdb, init_args);
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		print_error("initdb failed (%d)\n", status);
		return false;
	}
	const char *const run_args[] = {postgres, "-D", data, "-k", sockets, "-h", "", "-c", "fsync=off", NULL};
	env_postgres = env_spawn(postgres, run_args);
	(void)snprintf(url, sizeof(url), "postgresql:///postgres?host=%s&user=muster", sockets);
	for (int i = 0; i < 3000 && waitpid(env_postgres, &status, WNOHANG) == 0; i++) {
		if (PQping(url) == PQPING_OK)
			return true;
		env_nap();
	}
	print_error("the PostgreSQL server did not come up\n");
	return false;
}

static inline int
env_open(void **state)
{
	(void)state;
	(void)setenv("PGOPTIONS", "-c client_min_messages=error", 1);
	(void)snprintf(env_dir, sizeof(env_dir), "%s/muster-store-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir);
	if (!mkdtemp(env_dir))
		return -1;
	(void)chmod(env_dir, geteuid() == 0 ? 0777 : 0700);
	return env_start_postgres() ? 0 : -1;
}

static inline int
env_close(void **state)
{
	(void)state;
	if (env_postgres > 0) {
		(void)kill(env_postgres, SIGQUIT);
		(void)waitpid(env_postgres, NULL, 0);
	}
	(void)nftw(env_dir, env_remove, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* --- statements beside the store -------------------------------------------------------------------------------------------- */

/* Runs SQL on a connection of its own, as another program would; type words are ours.  Gives the first cell, "" when none. */
static inline const char *
env_sql(struct env *env, const char *text)
{
	static char cell[65536];
	const char *sql = dialect_text(&env->arena, !env->pg, text);

	cell[0] = 0;
	if (env->pg) {
		PGconn *conn = PQconnectdb(env->url);
		PGresult *r = PQexec(conn, sql);
		if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
			fail_msg("%s: %s", sql, PQerrorMessage(conn));
		if (PQntuples(r) > 0)
			(void)str_copy(cell, sizeof(cell), PQgetvalue(r, 0, 0));
		PQclear(r);
		PQfinish(conn);
		return cell;
	}
	sqlite3 *db;
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_open(env->path, &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 5000);
	for (const char *rest = sql; *rest;) {
		if (sqlite3_prepare_v2(db, rest, -1, &stmt, &rest) != SQLITE_OK)
			fail_msg("%s: %s", sql, sqlite3_errmsg(db));
		int rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW && sqlite3_column_text(stmt, 0))
			(void)str_copy(cell, sizeof(cell), (const char *)sqlite3_column_text(stmt, 0));
		else if (rc != SQLITE_ROW && rc != SQLITE_DONE && rc != SQLITE_MISUSE)
			fail_msg("%s: %s", sql, sqlite3_errmsg(db));
		(void)sqlite3_finalize(stmt);
	}
	(void)sqlite3_close(db);
	return cell;
}

static inline int64_t
env_count(struct env *env, const char *text)
{
	int64_t n = -1;

	(void)str_int(env_sql(env, text), INT64_MIN, INT64_MAX, &n);
	return n;
}

/* --- one database ---------------------------------------------------------------------------------------------------------- */

static inline struct env *
env_new(bool pg)
{
	static int number;
	struct env *env = calloc(1, sizeof(*env));

	assert_non_null(env);
	arena_init(&env->arena);
	env->pg = pg;
	(void)snprintf(env->path, sizeof(env->path), "%.200s/%d.db", env_dir, ++number);
	if (pg)
		(void)snprintf(env->url, sizeof(env->url), "postgresql:///postgres?host=%s/pg&user=muster", env_dir);
	else
		(void)snprintf(env->url, sizeof(env->url), "sqlite:///%s", env->path);
	if (pg)
		(void)env_sql(env, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
	env->options = (struct db_options){.url = env->url, .readers = 2, .cache_mb = 8};
	env->srv.source = source_system;
	return env;
}

static inline void
env_store(struct env *env)
{
	const char *message = "";

	if (db_open(&env->arena, &env->options, &env->srv.store, &message) != OK)
		fail_msg("%s", message);
}

/* Migrated, with `ddl` (in our type words) on top, and a store opened on it. */
static inline struct env *
env_make(bool pg, const char *ddl)
{
	struct env *env = env_new(pg);
	const char *message = "";
	int applied = 0;

	if (migrate_up(&env->arena, env->url, 0, &applied, &message) != OK)
		fail_msg("%s", message);
	(void)env_sql(env, ddl);
	env_store(env);
	return env;
}

static inline void
env_free(struct env *env)
{
	db_close(env->srv.store);
	arena_release(&env->arena);
	free(env);
}

static inline void
env_cx(struct env *env, struct ctx *cx)
{
	ctx_init(cx, &env->arena, &env->srv);
}

/* Does fn end the process by BUG()? */
static inline bool
env_aborts(void (*fn)(struct env *env), struct env *env)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		(void)dup2(null, 2);
		(void)signal(SIGABRT, SIG_DFL);
		fn(env);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#define ON_BOTH(f, ddl_setup_sqlite, ddl_setup_pg, teardown)        \
	{#f " [sqlite]", f, ddl_setup_sqlite, teardown, NULL},      \
	{                                                           \
#f " [postgresql]", f, ddl_setup_pg, teardown, NULL \
	}
#define ON_SQLITE(f, setup, teardown)                    \
	{                                                \
#f " [sqlite]", f, setup, teardown, NULL \
	}
#define ON_POSTGRES(f, setup, teardown)                      \
	{                                                    \
#f " [postgresql]", f, setup, teardown, NULL \
	}

#endif
