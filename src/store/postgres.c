/*
 * The PostgreSQL engine over libpq, always in pipeline mode.
 *
 * What is sent waits in the client's buffer until somebody needs a result; then one exchange sends all of it and reads all answers.
 * So BEGIN and savepoints cost no round trip of their own, a statement list costs one, and in an eager batch (which is run again
 * when anything fails) statements whose result nobody waits for, or whose row count the caller has foretold, cost none: what they
 * answer is looked at with the next exchange, at the latest before COMMIT.  Where a text allows it, such statements of many jobs
 * become one (postgres_many.c).
 *
 * Statements are prepared by name on first use, with the parameter types their kinds say, so that the server never guesses; all
 * values travel as text but bytes.  A deadlock, a failed serialisation, a lock time-out or a lost connection spoils more than the
 * statement it hit: the transaction is doomed then.  A lost connection is made anew at the next use; a read is sent a second time,
 * a transaction is the writer's business, and a COMMIT whose answer did not come is of unknown outcome.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/fault.h"
#include "store/postgres.h"

enum { RECONNECT_PAUSE_MS = 250 };

static struct postgres *
postgres_of(struct db *db)
{
	return (struct postgres *)(void *)db;
}

/* libpq's sentences end with a line break and may hold several lines. */
static void
keep_message(struct postgres *db, const char *text)
{
	(void)str_copy(db->db.message, sizeof(db->db.message), text);
	db->db.message[strcspn(db->db.message, "\n")] = 0;
}

static bool
is_lost(const struct postgres *db)
{
	return PQstatus(db->conn) != CONNECTION_OK;
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static void
postgres_close(struct db *base)
{
	struct postgres *db = postgres_of(base);

	for (uint32_t i = 0; i < db->n_cache; i++)
		columns_release(&db->columns[i]);
	PQfinish(db->conn);
	many_close(db->many);
	free(db->columns);
	free(db->prepared);
	free(db->db.hooks);
	free(db);
}

static PGconn *
connect_for(struct db_store *s, enum db_use use, struct arena *a, const char **ret_message)
{
	PGconn *conn = postgres_connect(a, s->options.url, use == USE_READ, ret_message);

	if (conn && !PQenterPipelineMode(conn))
		BUG("libpq has no pipeline mode");
	return conn;
}

static struct db *
postgres_open(struct db_store *s, enum db_use use, struct arena *a, const char **ret_message)
{
	PGconn *conn = connect_for(s, use, a, ret_message);

	if (!conn)
		return NULL;
	struct postgres *db = calloc(1, sizeof(*db));
	if (!db)
		BUG("out of memory");
	db->db = (struct db){.engine = &engine_postgres, .store = s, .use = use};
	db->conn = conn;
	db->failed_us = INT64_MIN / 2;
	db->many = many_open();
	db->n_cache = s->statements.n_variants;
	db->prepared = calloc(db->n_cache + 1, sizeof(*db->prepared));
	db->columns = calloc(db->n_cache + 1, sizeof(*db->columns));
	if (!db->prepared || !db->columns)
		BUG("out of memory");
	return &db->db;
}

/* A server that went away while nothing was under way has closed the socket: that is seen before anything is sent. */
static void
look_for_end(struct postgres *db)
{
	struct pollfd p = {.fd = PQsocket(db->conn), .events = POLLIN};

	for (int i = 0; i < 4 && !is_lost(db) && poll(&p, 1, 0) > 0; i++) /* its last words come before the end */
		(void)PQconsumeInput(db->conn);
}

/* Connects anew when it must.  Between two attempts is a pause, so that a server that is away costs its clients no wait each. */
static bool
is_ready(struct postgres *db)
{
	struct arena a;
	const char *message = "";
	int64_t now = time_monotonic_us();

	look_for_end(db);
	if (!is_lost(db))
		return true;
	if (now - db->failed_us < RECONNECT_PAUSE_MS * INT64_C(1000))
		return false;
	arena_init(&a);
	PGconn *conn = connect_for(db->db.store, db->db.use, &a, &message);
	if (conn) {
		PQfinish(db->conn);
		db->conn = conn;
		db->n_sent = 0;
		memset(db->prepared, 0, db->n_cache * sizeof(*db->prepared));
	} else {
		keep_message(db, message);
		db->failed_us = now;
	}
	arena_release(&a);
	return conn != NULL;
}

/* --- failures -------------------------------------------------------------------------------------------------------------- */

static bool
state_is(const char *state, const char *list)
{
	return strlen(state) == 5 && strstr(list, state) != NULL;
}

static enum err
error_of(const char *state)
{
	static const char *const passing[] = {"08", "25", "40", "53", "55", "57", "58", "XX"};

	if (state_is(state, "23505 23503 23P01"))
		return ERR_CONFLICT;
	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		if (str_starts(state, passing[i]))
			return ERR_UNAVAILABLE;
	return state[0] ? ERR_INTERNAL : ERR_UNAVAILABLE; /* none: the connection is lost */
}

/* cx NULL: nobody is there to be told. */
static enum err
failed(struct ctx *cx, struct postgres *db, const char *what, const PGresult *r)
{
	const char *field = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *state = field ? field : "";
	struct metrics *m = db->db.store->options.metrics;
	enum err e = error_of(state);

	db->db.spoiled = true;
	keep_message(db, r && field ? PQresultErrorMessage(r) : PQerrorMessage(db->conn));
	if (!state[0] || state_is(state, "40P01 40001 55P03"))
		db->doomed = true;
	if (m && state_is(state, "40P01"))
		metrics_add(m, M_DEADLOCKS, NULL, 1);
	return cx ? fail_internal(cx, e, "%s: %s (%s)", what, db->db.message, state) : e;
}

/* --- results --------------------------------------------------------------------------------------------------------------- */

struct rows { /* of a result: those of one call */
	PGresult *r;
	int first, end; /* row numbers */
	int skip;	/* columns before the statement's own */
};

static const char *
column_name(void *rows, int i)
{
	const struct rows *w = rows;

	return PQfname(w->r, w->skip + i);
}

static enum err
take_rows(struct ctx *cx, struct postgres *db, struct call *c, struct rows w)
{
	struct columns *cols = &db->columns[postgres_number(c)];
	struct cell cells[COLUMNS_MAX];
	int n = PQnfields(w.r) - w.skip;

	if (c->take.mode == TAKE_INT)
		n = 1;
	else if (c->take.mode != TAKE_NONE && w.first < w.end && cols->schema != c->take.schema)
		columns_resolve(cols, c->st->sql, c->take.schema, n, column_name, &w);
	for (int row = w.first; row < w.end && take_wants(&c->take); row++) {
		for (int i = 0; i < n; i++) {
			int at = w.skip + i;
			cells[i] = (struct cell){
				.kind = PQgetisnull(w.r, row, at) ? CELL_NULL : CELL_TEXT, .p = PQgetvalue(w.r, row, at)};
			cells[i].n = (size_t)PQgetlength(w.r, row, at);
		}
		TRY(take_row(cx, &c->take, c->st->sql, cols, cells));
	}
	return OK;
}

static enum err
take_statement(struct ctx *cx, struct postgres *db, const struct sent *s, PGresult *r)
{
	int64_t changed = 0;

	if (!str_starts(PQcmdStatus(r), "SELECT") && !str_int(PQcmdTuples(r), 0, INT64_MAX, &changed))
		changed = 0;
	if (s->call) {
		db->db.wrote = db->db.wrote || changed > 0;
		s->call->take.changed = changed;
		return take_rows(cx, db, s->call, (struct rows){.r = r, .end = PQntuples(r)});
	}
	if (s->expect >= 0 && changed != s->expect) { /* not what was foretold */
		db->db.late = db->doomed = true;
		keep_message(db, "another number of rows than expected");
	}
	return OK;
}

static enum err
take_result(struct ctx *cx, struct postgres *db, const struct sent *s, PGresult **mine)
{
	PGresult *r = *mine;
	ExecStatusType status = PQresultStatus(r);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		if (s->kind == SENT_PREPARE)
			db->prepared[s->number] = false;
		enum err e = failed(cx, db, s->sql ? s->sql->name : "transaction", r);
		if ((s->kind == SENT_RUN && !s->call && !db->doomed) || s->kind == SENT_AHEAD)
			db->db.late = db->doomed = true;
		return e;
	}
	if (s->kind == SENT_VERB && s->verb == TXN_COMMIT) /* COMMIT of a failed transaction succeeds in saying ROLLBACK */
		db->committed = str_eq(PQcmdStatus(r), "COMMIT");
	if (s->kind == SENT_AHEAD) {
		many_ahead_took(db->many, s, r);
		*mine = NULL;
	}
	return s->kind == SENT_RUN ? take_statement(cx, db, s, r) : OK;
}

/* The first failure is the one that counts: what comes after it up to the end was not run. */
static enum err
read_results(struct ctx *cx, struct postgres *db)
{
	enum err e = OK;

	for (size_t i = 0; i < db->n_sent; i++) {
		const struct sent *s = &db->sent[i];
		for (PGresult *r; (r = PQgetResult(db->conn));) {
			if (e == OK)
				e = take_result(cx, db, s, &r);
			else if (s->kind == SENT_PREPARE && PQresultStatus(r) != PGRES_COMMAND_OK)
				db->prepared[s->number] = false;
			PQclear(r);
		}
	}
	for (bool end = false; !end;) {
		PGresult *r = PQgetResult(db->conn);
		end = (r && PQresultStatus(r) == PGRES_PIPELINE_SYNC) || is_lost(db);
		PQclear(r);
	}
	return e;
}

/* Sends what waits and reads what all of it answers. */
static enum err
exchange(struct ctx *cx, struct postgres *db)
{
	enum err e = OK;

	if (FAULT("pg.lost_before"))
		(void)shutdown(PQsocket(db->conn), SHUT_RDWR);
	bool sent = PQpipelineSync(db->conn);
	if (FAULT("pg.lost_after"))
		(void)shutdown(PQsocket(db->conn), SHUT_RD);
	if (sent)
		e = read_results(cx, db);
	if (e == OK && is_lost(db))
		e = failed(cx, db, "connection", NULL);
	db->n_sent = 0;
	return e;
}

/* A connection on which something could not be sent ends, and with it what was begun on it. */
static void
drop_connection(struct postgres *db)
{
	if (!db->db.message[0])
		keep_message(db, PQerrorMessage(db->conn));
	PQfinish(db->conn);
	db->conn = NULL; /* which libpq takes for one that is lost */
	db->n_sent = 0;
}

/* For as many calls and for all that is still to be sent before them. */
static enum err
make_room(struct ctx *cx, struct postgres *db, size_t n_calls)
{
	return db->n_sent + 2 * (n_calls + many_kinds(db->many)) + 4 > SENT_MAX ? exchange(cx, db) : OK;
}

/* --- calls ----------------------------------------------------------------------------------------------------------------- */

/* Nobody waits for them: they are done as foretold. */
static void
foretell(struct postgres *db, struct call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		calls[i].take.changed = calls[i].expect;
	db->db.wrote = true;
}

static bool
collect(struct postgres *db, struct call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!many_add(db->many, &calls[i]) && !(make_room(NULL, db, 0) == OK && many_send(db) && many_add(db->many, &calls[i])))
			return false;
	foretell(db, calls, n);
	return true;
}

static enum err
run_calls(struct ctx *cx, struct postgres *db, struct call *calls, size_t n)
{
	bool wait = !db->db.eager, sent;

	for (size_t i = 0; i < n; i++)
		wait = wait || !calls[i].may_come_late;
	if (!wait && many_takes(calls, n))
		return collect(db, calls, n) ? OK : failed(cx, db, calls[0].st->sql->name, NULL);
	TRY(make_room(cx, db, n));
	sent = many_send(db);
	for (size_t i = 0; i < n && sent; i++)
		sent = postgres_send_call(db, &calls[i], wait);
	if (!sent) {
		enum err e = failed(cx, db, calls[0].st->sql->name, NULL);
		drop_connection(db); /* what was sent before would answer into calls that are over */
		return e;
	}
	if (!wait)
		foretell(db, calls, n);
	return wait ? exchange(cx, db) : OK;
}

static enum err
postgres_list(struct ctx *cx, struct db *base, struct call *calls, size_t n)
{
	struct postgres *db = postgres_of(base);

	if (n > CALLS_MAX)
		BUG("a list of %zu statements", n);
	if (db->open)
		return run_calls(cx, db, calls, n);
	if (!is_ready(db))
		return failed(cx, db, calls[0].st->sql->name, NULL);
	enum err e = run_calls(cx, db, calls, n);
	if (e == OK || !is_lost(db) || !is_ready(db))
		return e;
	error_clear(cx); /* reading again does no harm */
	for (size_t i = 0; i < n; i++)
		calls[i].take = (struct take){.mode = calls[i].take.mode, .schema = calls[i].take.schema};
	return run_calls(cx, db, calls, n);
}

static enum err
postgres_run(struct ctx *cx, struct db *base, struct call *c)
{
	struct postgres *db = postgres_of(base);
	struct rows w = {.skip = 1};

	if (!base->eager || !many_answer(db->many, base->job, c, &w.r, &w.first))
		return postgres_list(cx, base, c, 1);
	w.end = w.first + 1;
	if (w.first < 0)
		w.first = w.end = 0;
	return take_rows(cx, db, c, w);
}

static void
postgres_ahead(struct db *base, const struct call *c)
{
	many_ahead(postgres_of(base)->many, base->job, c);
}

static bool
postgres_ahead_read(struct db *base)
{
	struct postgres *db = postgres_of(base);

	return many_ahead_send(db) && exchange(NULL, db) == OK;
}

static bool
postgres_prepare(struct db *base, const struct statement *st, unsigned variant, struct arena *a, const char **ret_message)
{
	struct postgres *db = postgres_of(base);
	bool ok = postgres_send_prepare(db, st, variant) && exchange(NULL, db) == OK;

	if (!ok)
		*ret_message = arena_printf(a, "%s: %s, in: %s", st->sql->name, base->message, st->texts[variant]);
	return ok;
}

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

static bool
begin(struct postgres *db)
{
	if (!is_ready(db))
		return false;
	many_forget(db->many);
	db->doomed = db->db.late = db->committed = false;
	db->open = postgres_send_verb(db, TXN_BEGIN);
	return db->open;
}

static bool
expects(const struct postgres *db)
{
	for (size_t i = 0; i < db->n_sent; i++)
		if (db->sent[i].kind == SENT_RUN && db->sent[i].expect >= 0)
			return true;
	return false;
}

static bool
commit(struct postgres *db)
{
	if (make_room(NULL, db, 0) != OK || !many_send(db) || (expects(db) && exchange(NULL, db) != OK))
		return false;
	if (db->doomed || is_lost(db))
		return false;
	bool sent = postgres_send_verb(db, TXN_COMMIT);
	bool ok = sent && exchange(NULL, db) == OK && db->committed;
	db->db.unknown = sent && !ok && is_lost(db);
	db->open = !ok;
	return ok;
}

static bool
roll_back(struct postgres *db)
{
	db->open = false;
	many_forget(db->many);
	if (db->n_sent && exchange(NULL, db) != OK && is_lost(db))
		return false;
	if (!is_lost(db) && postgres_send_verb(db, TXN_ROLLBACK) && exchange(NULL, db) == OK)
		return true;
	drop_connection(db); /* what was to be undone must not come into the next transaction */
	return false;
}

static bool
postgres_txn(struct db *base, enum txn_verb verb)
{
	struct postgres *db = postgres_of(base);
	bool ok;

	switch (verb) {
	case TXN_BEGIN:
		ok = begin(db);
		break;
	case TXN_COMMIT:
		ok = commit(db);
		break;
	case TXN_ROLLBACK:
		ok = roll_back(db);
		break;
	default:
		ok = !is_lost(db) && make_room(NULL, db, 1) == OK && postgres_send_verb(db, verb);
	}
	if (!ok && !base->message[0])
		keep_message(db, PQerrorMessage(db->conn));
	return ok;
}

static bool
postgres_in_txn(struct db *base)
{
	const struct postgres *db = postgres_of(base);

	return db->open && !db->doomed && !is_lost(db);
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
	.shared = true,
	.attempts = 3,
	.open = postgres_open,
	.close = postgres_close,
	.run = postgres_run,
	.list = postgres_list,
	.ahead = postgres_ahead,
	.ahead_read = postgres_ahead_read,
	.prepare = postgres_prepare,
	.txn = postgres_txn,
	.in_txn = postgres_in_txn,
	.foreign_write = postgres_foreign_write,
	.tend = postgres_tend,
};
