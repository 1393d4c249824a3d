/*
 * The PostgreSQL engine over libpq, always in pipeline mode.
 *
 * What is sent waits in the client's buffer until somebody needs a result; then one exchange sends all of it and reads all answers.
 * So BEGIN and savepoints cost no round trip of their own, a statement list costs one, and in an eager batch (which is run again
 * when anything fails) statements whose result nobody waits for, or whose row count the caller has foretold, cost none: what they
 * answer is looked at with the next exchange, at the latest before COMMIT.
 *
 * Statements are prepared by name on first use, with the parameter types their kinds say, so that the server never guesses; all
 * values travel as text but bytes.  A deadlock, a failed serialisation, a lock time-out or a lost connection spoils more than the
 * statement it hit: the transaction is doomed then.  A lost connection is made anew at the next use; a read is sent a second time,
 * a transaction is the writer's business, and a COMMIT whose answer did not come is of unknown outcome.
 */
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/engine.h"

enum { SENT_MAX = 96, RECONNECT_PAUSE_MS = 250 };

enum sent_kind { SENT_VERB = 1, SENT_PREPARE, SENT_RUN };
struct sent { /* what the next result answers */
	enum sent_kind kind;
	enum txn_verb verb;
	const struct sql *sql;
	uint32_t number;   /* of the variant */
	struct call *call; /* NULL: nobody waits */
	int64_t expect;	   /* rows, when nobody waits; < 0: any */
};
struct postgres {
	struct db db;
	PGconn *conn;
	bool *prepared;		 /* by number of the variant */
	struct columns *columns; /* the same */
	uint32_t n_cache;
	struct sent sent[SENT_MAX];
	size_t n_sent;
	bool open;   /* BEGIN was sent */
	bool doomed; /* the present transaction shall not be committed */
	bool committed;
	int64_t failed_us; /* when connecting failed last */
};

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

/* --- sending --------------------------------------------------------------------------------------------------------------- */

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

static uint32_t
number_of(const struct call *c)
{
	return c->st->first + c->variant;
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
	static const char nil[] = "00000000-0000-0000-0000-000000000000";

	(void)snprintf(g->name, sizeof(g->name), "s%" PRIu32, number_of(c));
	for (int i = 0; i < c->st->n_params; i++) {
		const struct val *v = &c->args[i];
		char *text = g->texts[i];
		g->values[i] = text;
		g->lengths[i] = g->formats[i] = 0;
		if (v->kind == VAL_NULL)
			g->values[i] = NULL;
		else if (v->kind == VAL_TEXT) /* what is no UUID is equal to none: PostgreSQL would refuse the statement */
			g->values[i] = c->st->sql->kinds[i] == 'u' && !uuid_valid(v->s) ? nil : v->s;
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

static void
note_sent(struct postgres *db, struct sent sent)
{
	if (db->n_sent == SENT_MAX)
		BUG("more was sent than can be answered");
	db->sent[db->n_sent++] = sent;
}

static bool
send_verb(struct postgres *db, enum txn_verb verb)
{
	static const char *const texts[TXN__MAX] = {
		[TXN_BEGIN] = "BEGIN",
		[TXN_SAVEPOINT] = "SAVEPOINT job",
		[TXN_UNDO] = "ROLLBACK TO SAVEPOINT job",
		[TXN_RELEASE] = "RELEASE SAVEPOINT job",
		[TXN_COMMIT] = "COMMIT",
		[TXN_ROLLBACK] = "ROLLBACK",
	};

	if (!PQsendQueryParams(db->conn, texts[verb], 0, NULL, NULL, NULL, NULL, 0))
		return false;
	note_sent(db, (struct sent){.kind = SENT_VERB, .verb = verb});
	return true;
}

static bool
send_prepare(struct postgres *db, const struct statement *st, unsigned variant)
{
	uint32_t number = st->first + variant;
	Oid types[PARAMS_MAX];
	char name[16];

	if (db->prepared[number])
		return true;
	for (int i = 0; i < st->n_params; i++)
		types[i] = type_of(st->sql->kinds[i]);
	(void)snprintf(name, sizeof(name), "s%" PRIu32, number);
	if (!PQsendPrepare(db->conn, name, st->texts[variant], st->n_params, types))
		return false;
	db->prepared[number] = true;
	note_sent(db, (struct sent){.kind = SENT_PREPARE, .sql = st->sql, .number = number});
	return true;
}

static bool
send_call(struct postgres *db, struct call *c, bool wait)
{
	struct arguments g;

	if (!send_prepare(db, c->st, c->variant))
		return false;
	make_arguments(&g, c);
	if (!PQsendQueryPrepared(db->conn, g.name, c->st->n_params, g.values, g.lengths, g.formats, 0))
		return false;
	note_sent(db, (struct sent){.kind = SENT_RUN,
			      .sql = c->st->sql,
			      .number = number_of(c),
			      .call = wait ? c : NULL,
			      .expect = c->expect});
	return true;
}

/* --- results --------------------------------------------------------------------------------------------------------------- */

static const char *
column_name(void *r, int i)
{
	return PQfname(r, i);
}

static enum err
take_rows(struct ctx *cx, struct postgres *db, struct call *c, PGresult *r)
{
	struct columns *cols = &db->columns[number_of(c)];
	struct cell cells[COLUMNS_MAX];
	int n = PQnfields(r);

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
		return take_rows(cx, db, s->call, r);
	}
	if (s->expect >= 0 && changed != s->expect) { /* not what was foretold */
		db->db.late = db->doomed = true;
		keep_message(db, "another number of rows than expected");
	}
	return OK;
}

static enum err
take_result(struct ctx *cx, struct postgres *db, const struct sent *s, PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		if (s->kind == SENT_PREPARE)
			db->prepared[s->number] = false;
		enum err e = failed(cx, db, s->sql ? s->sql->name : "transaction", r);
		if (s->kind == SENT_RUN && !s->call && !db->doomed)
			db->db.late = db->doomed = true;
		return e;
	}
	if (s->kind == SENT_VERB && s->verb == TXN_COMMIT) /* COMMIT of a failed transaction succeeds in saying ROLLBACK */
		db->committed = str_eq(PQcmdStatus(r), "COMMIT");
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
				e = take_result(cx, db, s, r);
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

	if (PQpipelineSync(db->conn))
		e = read_results(cx, db);
	if (e == OK && is_lost(db))
		e = failed(cx, db, "connection", NULL);
	db->n_sent = 0;
	return e;
}

static enum err
make_room(struct ctx *cx, struct postgres *db, size_t n_calls)
{
	return db->n_sent + 2 * n_calls + 4 > SENT_MAX ? exchange(cx, db) : OK;
}

/* --- calls ----------------------------------------------------------------------------------------------------------------- */

static enum err
run_calls(struct ctx *cx, struct postgres *db, struct call *calls, size_t n)
{
	bool wait = !db->db.eager, sent = true;

	for (size_t i = 0; i < n; i++)
		wait = wait || !calls[i].may_come_late;
	TRY(make_room(cx, db, n));
	for (size_t i = 0; i < n && sent; i++) {
		sent = send_call(db, &calls[i], wait);
		if (!wait) {
			calls[i].take.changed = calls[i].expect;
			db->db.wrote = true;
		}
	}
	if (!sent)
		return failed(cx, db, calls[0].st->sql->name, NULL);
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
	return postgres_list(cx, base, c, 1);
}

static bool
postgres_prepare(struct db *base, const struct statement *st, unsigned variant, struct arena *a, const char **ret_message)
{
	struct postgres *db = postgres_of(base);
	bool ok = send_prepare(db, st, variant) && exchange(NULL, db) == OK;

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
	db->doomed = db->db.late = db->committed = false;
	db->open = send_verb(db, TXN_BEGIN);
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
	if (expects(db) && exchange(NULL, db) != OK)
		return false;
	if (db->doomed || is_lost(db))
		return false;
	bool sent = send_verb(db, TXN_COMMIT);
	bool ok = sent && exchange(NULL, db) == OK && db->committed;
	db->db.unknown = sent && !ok && is_lost(db);
	db->open = !ok;
	return ok;
}

static bool
roll_back(struct postgres *db)
{
	db->open = false;
	if (db->n_sent && exchange(NULL, db) != OK && is_lost(db))
		return false;
	return !is_lost(db) && send_verb(db, TXN_ROLLBACK) && exchange(NULL, db) == OK;
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
		ok = !is_lost(db) && make_room(NULL, db, 1) == OK && send_verb(db, verb);
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
	.prepare = postgres_prepare,
	.txn = postgres_txn,
	.in_txn = postgres_in_txn,
	.foreign_write = postgres_foreign_write,
	.tend = postgres_tend,
};
