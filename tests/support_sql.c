/*
 * A test's database: a SQLite file in its folder, or, when MUSTER_TEST_DATABASE_URL (postgresql:///…) is set, one on that server,
 * copied from a template that the first test of a server makes.  Copying costs more than most tests do, so a program's tests have
 * theirs one after the other, emptied in between; one whose schema was touched is not used again.
 *
 * And the tests' own statements, past the program.  They are written once for both engines, in what SQLite knows: on PostgreSQL a
 * schema `testing`, and a cast that lasts for one transaction, supply what is missing to these statements alone, so that the
 * program's get no such help.  Two functions stand in for what the engines spell differently: moment(at) is a time as the program
 * stores it in SQLite, uuid(text) is an id.
 */
#include "support.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/migrate.h"

/* --- a database on a PostgreSQL server ---- */

static const char *
server_url(void)
{
	const char *url = getenv("MUSTER_TEST_DATABASE_URL");

	return url && url[0] ? url : NULL;
}

/* The server's URL with another database's name in it. */
static const char *
url_of(struct arena *a, const char *database)
{
	const char *url = server_url(), *name = strstr(url, "///"), *rest = strchr(url, '?');

	if (!name)
		fail_msg("MUSTER_TEST_DATABASE_URL: postgresql:///postgres?host=… is meant");
	return arena_printf(a, "%.*s///%s%s", (int)(name - url), url, database, rest ? rest : "");
}

static void
drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

static PGconn *
pg_connect(const char *url)
{
	PGconn *conn = PQconnectdb(url);

	(void)PQsetNoticeReceiver(conn, drop_notice, NULL);
	return conn;
}

static PGresult *
pg_exec(PGconn *conn, const char *sql)
{
	PGresult *r = PQexec(conn, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	return r;
}

static void
pg_run(const char *url, const char *sql)
{
	PGconn *conn = pg_connect(url);

	PQclear(pg_exec(conn, sql));
	PQfinish(conn);
}

static const char sqlite_functions[] =
	"CREATE SCHEMA testing; SET search_path = testing;"
	"CREATE FUNCTION json_extract(doc text, path text) RETURNS text LANGUAGE sql AS"
	" $$ SELECT doc::jsonb #>> string_to_array(substr(path, 3), '.') $$;"
	"CREATE FUNCTION concat_step(so_far text, item anynonarray, mark text) RETURNS text LANGUAGE sql AS"
	" $$ SELECT CASE WHEN item IS NULL THEN so_far ELSE coalesce(so_far || mark, '') || item::text END $$;"
	"CREATE FUNCTION concat_step(so_far text, item anynonarray) RETURNS text LANGUAGE sql AS"
	" $$ SELECT testing.concat_step(so_far, item, ',') $$;"
	"CREATE AGGREGATE group_concat(anynonarray) (sfunc = concat_step, stype = text);"
	"CREATE AGGREGATE group_concat(anynonarray, text) (sfunc = concat_step, stype = text);"
	"CREATE FUNCTION moment(at timestamptz) RETURNS text LANGUAGE sql AS"
	" $$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') $$;"
	"CREATE FUNCTION printf(form text, n bigint) RETURNS text LANGUAGE sql AS"
	" $$ SELECT CASE WHEN form LIKE '%|%d%' ESCAPE '|' THEN replace(form, '%d', n::text)"
	" ELSE regexp_replace(form, '%0(\\d+)d', lpad(n::text, substring(form FROM '%0(\\d+)d')::int, '0')) END $$;";

/* What migrations left: rows are kept in tables of the same names in `testing`, and come back when a database is emptied. */
static const char reset_functions[] =
	"SET search_path = testing;"
	"CREATE FUNCTION keep_rows() RETURNS void LANGUAGE plpgsql AS $$ DECLARE r record; n bigint; BEGIN"
	" FOR r IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP"
	"  EXECUTE format('SELECT count(*) FROM public.%1$I', r.relname) INTO n;"
	"  IF n > 0 THEN EXECUTE format('CREATE TABLE testing.%1$I AS TABLE public.%1$I', r.relname); END IF;"
	" END LOOP; END $$;"
	"SELECT keep_rows();"
	"CREATE FUNCTION reset() RETURNS void LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN"
	" SET LOCAL session_replication_role = replica;" /* no trigger, no foreign key */
	" FOR r IN SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') LOOP"
	"  IF r.relkind = 'S' THEN PERFORM setval(format('public.%I', r.relname), 1, false);"
	"  ELSE EXECUTE format('DELETE FROM public.%I', r.relname); END IF;"
	" END LOOP;"
	" FOR r IN SELECT relname FROM pg_class WHERE relnamespace = 'testing'::regnamespace AND relkind = 'r' LOOP"
	"  EXECUTE format('INSERT INTO public.%1$I TABLE testing.%1$I', r.relname);"
	" END LOOP; END $$;";

/* Of these migrations: a server may be older than they are. */
static const char *
template_name(struct arena *a)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (const struct migration *m = migrations; m->number; m++)
		for (const char *p = m->up; *p; p++)
			sum = (sum ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return arena_printf(a, "muster_template_%016llx", (unsigned long long)sum);
}

/* Under a lock of the server: programs may run side by side. */
static void
make_template(struct test *t, PGconn *server, const char *name)
{
	const char *message = "", *draft = arena_printf(&t->arena, "%s_draft", name);
	int applied;

	PQclear(pg_exec(server, "SELECT pg_advisory_lock(20260801)"));
	PGresult *there = pg_exec(server, arena_printf(&t->arena, "SELECT 1 FROM pg_database WHERE datname = '%s'", name));
	if (PQntuples(there) == 0) {
		PQclear(pg_exec(server, arena_printf(&t->arena, "DROP DATABASE IF EXISTS %s", draft)));
		PQclear(pg_exec(server, arena_printf(&t->arena, "CREATE DATABASE %s", draft)));
		pg_run(url_of(&t->arena, draft), sqlite_functions);
		if (migrate_up(&t->arena, url_of(&t->arena, draft), TEST_START_US, &applied, &message) != OK)
			fail_msg("migrations: %s", message);
		pg_run(url_of(&t->arena, draft), reset_functions);
		PQclear(pg_exec(server, arena_printf(&t->arena, "ALTER DATABASE %s RENAME TO %s", draft, name)));
	}
	PQclear(there);
	PQclear(pg_exec(server, "SELECT pg_advisory_unlock(20260801)"));
}

static char kept[64]; /* a database that no test has now */

static void
drop_kept(void)
{
	PGconn *server = pg_connect(server_url());
	char sql[128];

	snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS %s WITH (FORCE)", kept);
	if (kept[0])
		PQclear(PQexec(server, sql));
	PQfinish(server);
}

static void
create(struct test *t)
{
	static atomic_int number;
	PGconn *server = pg_connect(server_url());
	const char *name = template_name(&t->arena);
	int n = atomic_fetch_add(&number, 1);

	if (n == 0)
		atexit(drop_kept);
	make_template(t, server, name);
	t->pg_name = arena_printf(&t->arena, "muster_%ld_%d", (long)getpid(), n);
	PQclear(pg_exec(server,
		arena_printf(&t->arena, "CREATE DATABASE %s TEMPLATE %s STRATEGY file_copy", t->pg_name, name)));
	PQfinish(server);
}

/* Session locks of the test before last until its connections are gone. */
static void
empty(const char *url)
{
	static const char others[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
				     " AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
	PGconn *conn = pg_connect(url);

	for (bool alone = false; !alone;) {
		PGresult *r = pg_exec(conn, others);
		alone = PQntuples(r) == 0;
		PQclear(r);
	}
	PQclear(pg_exec(conn, "SELECT testing.reset()"));
	PQfinish(conn);
}

void
test_database_make(struct test *t)
{
	if (!server_url())
		return;
	if (kept[0]) {
		t->pg_name = arena_strdup(&t->arena, kept);
		t->pg_url = url_of(&t->arena, kept);
		kept[0] = 0;
		empty(t->pg_url);
	} else {
		create(t);
		t->pg_url = url_of(&t->arena, t->pg_name);
	}
}

void
test_database_drop(struct test *t)
{
	PQfinish(t->pg);
	if (t->pg_name && (t->pg_touched || kept[0]))
		pg_run(server_url(), arena_printf(&t->arena, "DROP DATABASE %s WITH (FORCE)", t->pg_name));
	else if (t->pg_name)
		str_copy(kept, sizeof(kept), t->pg_name);
}

/* --- statements past the program ---- */

/* One transaction in which a number does for a boolean; the rows of `sql` itself, and *ret_error when it fails. */
static PGresult *
pg_run_kindly(struct test *t, const char *sql, const char **ret_error)
{
	static const char *const form = "BEGIN; SET LOCAL search_path = public, testing;"
					"UPDATE pg_cast SET castcontext = 'i' WHERE castsource = 23 AND casttarget = 16;"
					"%s;"
					"UPDATE pg_cast SET castcontext = 'e' WHERE castsource = 23 AND casttarget = 16; COMMIT";
	PGresult *rows = NULL;

	if (!t->pg)
		t->pg = pg_connect(t->pg_url);
	t->pg_touched = t->pg_touched || strstr(sql, "ALTER ") || strstr(sql, "DROP ") || strstr(sql, "CREATE ");
	if (!PQsendQuery(t->pg, arena_printf(&t->arena, form, sql)))
		fail_msg("%s: %s", sql, PQerrorMessage(t->pg));
	for (PGresult *r; (r = PQgetResult(t->pg));) {
		if (PQresultStatus(r) == PGRES_TUPLES_OK && !rows) {
			rows = r;
			continue;
		}
		if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
			*ret_error = arena_strdup(&t->arena, PQresultErrorMessage(r));
		PQclear(r);
	}
	if (PQtransactionStatus(t->pg) != PQTRANS_IDLE)
		PQclear(PQexec(t->pg, "ROLLBACK"));
	return rows;
}

static bool
run_pg(struct test *t, const char *sql, char *ret, size_t cap, const char **ret_error)
{
	PGresult *r = pg_run_kindly(t, sql, ret_error);
	bool found = PQntuples(r) > 0 && !PQgetisnull(r, 0, 0);

	if (found && PQftype(r, 0) == 16) /* a boolean is 1 or 0 in SQLite */
		str_copy(ret, cap, PQgetvalue(r, 0, 0)[0] == 't' ? "1" : "0");
	else if (found)
		str_copy(ret, cap, PQgetvalue(r, 0, 0));
	PQclear(r);
	return found;
}

static void
same_value(sqlite3_context *call, int n, sqlite3_value **args)
{
	(void)n;
	sqlite3_result_value(call, args[0]);
}

static bool
run_sqlite(struct test *t, const char *sql, char *ret, size_t cap, const char **ret_error)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	bool found = false;

	assert_int_equal(sqlite3_open_v2(t->db_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	sqlite3_create_function(db, "moment", 1, SQLITE_UTF8, NULL, same_value, NULL, NULL);
	sqlite3_create_function(db, "uuid", 1, SQLITE_UTF8, NULL, same_value, NULL, NULL);
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		*ret_error = arena_strdup(&t->arena, sqlite3_errmsg(db));
	const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
	if (text) {
		str_copy(ret, cap, text);
		found = true;
	}
	while (rc == SQLITE_ROW)
		rc = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return found;
}

static bool
run_sql(struct test *t, const char *sql, char *ret, size_t cap)
{
	const char *error = NULL;
	bool found = t->pg_url ? run_pg(t, sql, ret, cap, &error) : run_sqlite(t, sql, ret, cap, &error);

	if (error)
		fail_msg("%s: %s", sql, error);
	return found;
}

int64_t
count(struct test *t, const char *sql)
{
	char text[64];
	int64_t n;

	return run_sql(t, sql, text, sizeof(text)) && str_int(text, INT64_MIN, INT64_MAX, &n) ? n : -1;
}

const char *
sql_text(struct test *t, const char *sql)
{
	char *text = arena_new(&t->arena, char, 16384);

	return run_sql(t, sql, text, 16384) ? text : "";
}

void
sql_run(struct test *t, const char *sql)
{
	char text[64];

	run_sql(t, sql, text, sizeof(text));
}

const char *
sql_error(struct test *t, const char *sql)
{
	const char *error = "";
	char text[64];

	(void)(t->pg_url ? run_pg(t, sql, text, sizeof(text), &error) : run_sqlite(t, sql, text, sizeof(text), &error));
	return error;
}
