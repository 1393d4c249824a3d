/*
 * Connecting to PostgreSQL: the one place that knows a session's settings.
 */
#include <libpq-fe.h>
#include <string.h>

#include "core/fault.h"
#include "store/engine.h"

bool
url_is_postgres(const char *url)
{
	return str_starts(url, "postgres://") || str_starts(url, "postgresql://") || str_starts(url, "postgresql+psycopg2://");
}

/* The server's notices would go to standard error, between the lines of the log. */
static void
drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

struct pg_conn *
postgres_connect(struct arena *a, const char *url, bool read_only, const char **ret_message)
{
	/*
	 * Nothing here runs long enough to be worth compiling; but a statement without an index looks dear enough where
	 * enable_seqscan is off, and the job that forgets old nonces held a writer for 400 ms, all of it compiling.
	 */
	static const char settings[] = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET bytea_output = 'hex';"
				       "SET standard_conforming_strings = on; SET extra_float_digits = 1;"
				       "SET statement_timeout = '5s'; SET lock_timeout = '500ms';"
				       "SET idle_in_transaction_session_timeout = '10s'; SET jit = off;";
	static const char reading[] = "SET default_transaction_read_only = on;";
	/*
	 * What writes finds its rows by key.  A plan is made once, maybe while its table was empty: reading all of it, chosen then,
	 * would stay for as long as the connection.
	 */
	static const char writing[] = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;";
	const char *const names[] = {
		"connect_timeout", "tcp_user_timeout", "dbname", "client_encoding", "application_name", NULL};
	const char *rest = strchr(url, ':');
	const char *const values[] = {"5", "10000", arena_printf(a, "postgresql%s", rest ? rest : "://"), "UTF8", "muster", NULL};
	PGconn *conn = FAULT("pg.connect") ? NULL : PQconnectdbParams(names, values, 1);

	if (conn && PQstatus(conn) == CONNECTION_OK) {
		(void)PQsetNoticeReceiver(conn, drop_notice, NULL);
		const char *text = arena_printf(a, "%s %s", settings, read_only ? reading : writing);
		PGresult *r = PQexec(conn, text);
		bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
		PQclear(r);
		if (ok)
			return conn;
	}
	char *why = arena_strdup(a, conn ? PQerrorMessage(conn) : "out of memory");
	why[strcspn(why, "\n")] = 0;
	*ret_message = arena_printf(a, "cannot open the database: %s", why);
	PQfinish(conn);
	return NULL;
}
