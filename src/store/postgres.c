/*
 * The PostgreSQL engine over libpq: the same writer and the same calls as SQLite, shown to work; one writing connection for now.
 *
 * Statements are prepared by name on first use, with the parameter types their kinds say, so that the server never guesses; all
 * values travel as text but bytes.  A statement list goes out in pipeline mode: one round trip for all of it.
 * A deadlock, a failed serialisation or a lock time-out spoils more than the statement it hit: the batch counts as void then.
 */
#include "store/engine.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct postgres {
	struct db db;
	PGconn *conn;
	bool *prepared;		 /* by number of the variant */
	struct columns *columns; /* the same */
	uint32_t n_cache;
	bool doomed; /* the present transaction shall not be committed */
};

static struct postgres *
postgres_of(struct db *db)
{
	return (struct postgres *)(void *)db;
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

bool
url_is_postgres(const char *url)
{
	return str_starts(url, "postgres://") || str_starts(url, "postgresql://") || str_starts(url, "postgresql+psycopg2://");
}

/* libpq's sentences end with a line break and may hold several lines. */
static void
keep_message(struct postgres *db, const char *text)
{
	(void)str_copy(db->db.message, sizeof(db->db.message), text);
	db->db.message[strcspn(db->db.message, "\n")] = 0;
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
	static const char settings[] = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET bytea_output = 'hex';"
				       "SET standard_conforming_strings = on; SET extra_float_digits = 1;"
				       "SET statement_timeout = '5s'; SET lock_timeout = '500ms';"
				       "SET idle_in_transaction_session_timeout = '10s';";
	const char *const names[] = {
		"connect_timeout", "tcp_user_timeout", "dbname", "client_encoding", "application_name", NULL};
	const char *rest = strchr(url, ':');
	const char *const values[] = {"5", "10000", arena_printf(a, "postgresql%s", rest ? rest : "://"), "UTF8", "muster", NULL};
	PGconn *conn = PQconnectdbParams(names, values, 1);

	if (conn && PQstatus(conn) == CONNECTION_OK) {
		(void)PQsetNoticeReceiver(conn, drop_notice, NULL);
		const char *text =
			arena_printf(a, "%s SET default_transaction_read_only = %s", settings, read_only ? "on" : "off");
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

static void
postgres_close(struct db *base)
{
	struct postgres *db = postgres_of(base);

	for (uint32_t i = 0; i < db->n_cache; i++)
		columns_release(&db->columns[i]);
	PQfinish(db->conn);
	free(db->columns);
	free(db->prepared);
	free(db->db.hooks);
	free(db);
}

static struct db *
postgres_open(struct db_store *s, enum db_use use, struct arena *a, const char **ret_message)
{
	PGconn *conn = postgres_connect(a, s->options.url, use == USE_READ, ret_message);

	if (!conn)
		return NULL;
	struct postgres *db = calloc(1, sizeof(*db));
	if (!db)
		BUG("out of memory");
	db->db = (struct db){.engine = &engine_postgres, .store = s, .use = use};
	db->conn = conn;
	db->n_cache = s->statements.n_variants;
	db->prepared = calloc(db->n_cache + 1, sizeof(*db->prepared));
	db->columns = calloc(db->n_cache + 1, sizeof(*db->columns));
	if (!db->prepared || !db->columns)
		BUG("out of memory");
	return &db->db;
}

/* --- statements ------------------------------------------------------------------------------------------------------------ */

static Oid
type_of(char kind)
{
	switch (kind) {
	case 'u':
		return 2950; /* uuid */
	case 'm':
		return 1184; /* timestamptz */
	case 'b':
		return 16; /* bool */
	case 'i':
		return 20; /* int8 */
	case 'r':
		return 701; /* float8 */
	case 'x':
		return 17; /* bytea */
	default:
		return 25; /* text */
	}
}

static bool
state_is(const char *state, const char *list)
{
	return strlen(state) == 5 && strstr(list, state) != NULL;
}

static enum err
failed(struct ctx *cx, struct postgres *db, const struct sql *sql, const PGresult *r)
{
	const char *field = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *state = field ? field : ""; /* none: the connection is lost */
	enum err e = ERR_INTERNAL;

	db->db.spoiled = true;
	keep_message(db, r && field ? PQresultErrorMessage(r) : PQerrorMessage(db->conn));
	if (state_is(state, "40P01 40001 55P03")) {
		db->doomed = true;
		if (state_is(state, "40P01") && db->db.store->options.metrics)
			metrics_add(db->db.store->options.metrics, M_DEADLOCKS, NULL, 1);
	}
	if (state_is(state, "23505 23503 23P01"))
		e = ERR_CONFLICT;
	else if (!state[0] || str_starts(state, "08") || str_starts(state, "25") || str_starts(state, "40") ||
		 str_starts(state, "53") || str_starts(state, "55") || str_starts(state, "57") || str_starts(state, "58") ||
		 str_starts(state, "XX"))
		e = ERR_UNAVAILABLE;
	return fail_internal(cx, e, "%s: %s (%s)", sql->name, db->db.message, state);
}

static uint32_t
number_of(const struct call *c)
{
	return c->st->first + c->variant;
}

static PGresult *
prepare(struct postgres *db, const struct statement *st, unsigned variant)
{
	Oid types[PARAMS_MAX];
	char name[16];

	for (int i = 0; i < st->n_params; i++)
		types[i] = type_of(st->sql->kinds[i]);
	(void)snprintf(name, sizeof(name), "s%" PRIu32, st->first + variant);
	return PQprepare(db->conn, name, st->texts[variant], st->n_params, types);
}

static enum err
prepare_once(struct ctx *cx, struct postgres *db, const struct call *c)
{
	if (db->prepared[number_of(c)])
		return OK;
	PGresult *r = prepare(db, c->st, c->variant);
	enum err e = PQresultStatus(r) == PGRES_COMMAND_OK ? OK : failed(cx, db, c->st->sql, r);
	PQclear(r);
	db->prepared[number_of(c)] = e == OK;
	return e;
}

struct arguments { /* of one execution, as libpq wants them */
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX], formats[PARAMS_MAX];
	char texts[PARAMS_MAX][32];
	char name[16];
};

static void
make_arguments(struct arguments *g, const struct call *c)
{
	(void)snprintf(g->name, sizeof(g->name), "s%" PRIu32, number_of(c));
	for (int i = 0; i < c->st->n_params; i++) {
		const struct val *v = &c->args[i];
		char *text = g->texts[i];
		g->values[i] = text;
		g->lengths[i] = g->formats[i] = 0;
		if (v->kind == VAL_NULL)
			g->values[i] = NULL;
		else if (v->kind == VAL_TEXT)
			g->values[i] = v->s;
		else if (v->kind == VAL_NUM)
			(void)snprintf(text, sizeof(g->texts[i]), "%.17g", v->d);
		else if (v->kind == VAL_INT && c->st->sql->kinds[i] == 'm')
			time_to_sql(v->i, text);
		else if (v->kind == VAL_INT)
			(void)snprintf(text, sizeof(g->texts[i]), "%" PRId64, v->i);
		else {
			g->values[i] = (const char *)v->x.p;
			g->lengths[i] = (int)v->x.n;
			g->formats[i] = 1;
		}
	}
}

static const char *
column_name(void *r, int i)
{
	return PQfname(r, i);
}

/* Turns one finished result into rows. */
static enum err
take_result(struct ctx *cx, struct postgres *db, struct call *c, PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);
	struct columns *cols = &db->columns[number_of(c)];
	struct cell cells[COLUMNS_MAX];
	int n = PQnfields(r);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		return failed(cx, db, c->st->sql, r);
	if (c->take.mode == TAKE_INT)
		n = 1;
	else if (c->take.mode != TAKE_NONE && PQntuples(r) > 0 && cols->schema != c->take.schema)
		columns_resolve(cols, c->st->sql, c->take.schema, n, column_name, r);
	for (int row = 0; row < PQntuples(r) && take_wants(&c->take); row++) {
		for (int i = 0; i < n; i++) {
			cells[i] =
				(struct cell){.kind = PQgetisnull(r, row, i) ? CELL_NULL : CELL_TEXT, .p = PQgetvalue(r, row, i)};
			cells[i].n = (size_t)PQgetlength(r, row, i);
		}
		TRY(take_row(cx, &c->take, c->st->sql, cols, cells));
	}
	const char *verb = PQcmdStatus(r);
	int64_t changed = 0;
	if (!str_starts(verb, "SELECT") && str_int(PQcmdTuples(r), 0, INT64_MAX, &changed))
		c->take.changed = changed;
	db->db.wrote = db->db.wrote || changed > 0;
	return OK;
}

static enum err
postgres_run(struct ctx *cx, struct db *base, struct call *c)
{
	struct postgres *db = postgres_of(base);
	struct arguments g;

	TRY(prepare_once(cx, db, c));
	make_arguments(&g, c);
	PGresult *r = PQexecPrepared(db->conn, g.name, c->st->n_params, g.values, g.lengths, g.formats, 0);
	enum err e = take_result(cx, db, c, r);
	PQclear(r);
	return e;
}

/* Reads what the pipeline answers up to its end; the first failure is the one that counts, the rest were never run. */
static enum err
read_pipeline(struct ctx *cx, struct postgres *db, struct call *calls, size_t n)
{
	enum err e = OK;

	for (size_t i = 0; i < n; i++) {
		for (PGresult *r; (r = PQgetResult(db->conn));) {
			if (e == OK)
				e = take_result(cx, db, &calls[i], r);
			PQclear(r);
		}
	}
	for (bool end = false; !end;) {
		PGresult *r = PQgetResult(db->conn);
		end = (r && PQresultStatus(r) == PGRES_PIPELINE_SYNC) || PQstatus(db->conn) != CONNECTION_OK;
		PQclear(r);
	}
	return e;
}

static enum err
postgres_list(struct ctx *cx, struct db *base, struct call *calls, size_t n)
{
	struct postgres *db = postgres_of(base);
	struct arguments g;
	bool sent = true;

	for (size_t i = 0; i < n; i++)
		TRY(prepare_once(cx, db, &calls[i]));
	if (!PQenterPipelineMode(db->conn))
		return failed(cx, db, calls[0].st->sql, NULL);
	for (size_t i = 0; i < n && sent; i++) {
		make_arguments(&g, &calls[i]);
		sent = PQsendQueryPrepared(db->conn, g.name, calls[i].st->n_params, g.values, g.lengths, g.formats, 0);
	}
	sent = sent && PQpipelineSync(db->conn);
	enum err e = sent ? read_pipeline(cx, db, calls, n) : failed(cx, db, calls[0].st->sql, NULL);
	if (!PQexitPipelineMode(db->conn) && e == OK)
		e = failed(cx, db, calls[0].st->sql, NULL);
	return e;
}

static bool
postgres_prepare(struct db *base, const struct statement *st, unsigned variant, struct arena *a, const char **ret_message)
{
	struct postgres *db = postgres_of(base);

	if (db->prepared[st->first + variant])
		return true;
	PGresult *r = prepare(db, st, variant);
	bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
	if (!ok)
		*ret_message = arena_printf(a, "%s: %s, in: %s", st->sql->name, PQresultErrorMessage(r), st->texts[variant]);
	PQclear(r);
	db->prepared[st->first + variant] = ok;
	return ok;
}

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

static bool
postgres_txn(struct db *base, enum txn_verb verb)
{
	static const char *const texts[TXN__MAX] = {
		[TXN_BEGIN] = "BEGIN",
		[TXN_SAVEPOINT] = "SAVEPOINT job",
		[TXN_UNDO] = "ROLLBACK TO SAVEPOINT job",
		[TXN_RELEASE] = "RELEASE SAVEPOINT job",
		[TXN_COMMIT] = "COMMIT",
		[TXN_ROLLBACK] = "ROLLBACK",
	};
	struct postgres *db = postgres_of(base);

	if (verb == TXN_BEGIN)
		db->doomed = false;
	PGresult *r = PQexec(db->conn, texts[verb]);
	/* COMMIT of a failed transaction succeeds in saying ROLLBACK. */
	bool ok = PQresultStatus(r) == PGRES_COMMAND_OK && (verb != TXN_COMMIT || str_eq(PQcmdStatus(r), "COMMIT"));
	if (!ok)
		keep_message(db, PQerrorMessage(db->conn));
	PQclear(r);
	return ok;
}

static bool
postgres_in_txn(struct db *base)
{
	struct postgres *db = postgres_of(base);
	PGTransactionStatusType status = PQtransactionStatus(db->conn);

	return !db->doomed && (status == PQTRANS_INTRANS || status == PQTRANS_INERROR);
}

/* Other nodes write all the time here; their news come by other ways. */
static bool
postgres_foreign_write(struct db *base)
{
	(void)base;
	return false;
}

static void
postgres_tend(struct db *base)
{
	(void)base;
}

const struct engine engine_postgres = {
	.name = "postgresql",
	.batch_max = BATCH_MAX_PG,
	.writers = WRITERS_MAX,
	.attempts = 3,
	.open = postgres_open,
	.close = postgres_close,
	.run = postgres_run,
	.list = postgres_list,
	.prepare = postgres_prepare,
	.txn = postgres_txn,
	.in_txn = postgres_in_txn,
	.foreign_write = postgres_foreign_write,
	.tend = postgres_tend,
};
