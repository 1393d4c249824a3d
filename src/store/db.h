/*
 * The database, engine-neutral.  One SQL text serves SQLite (default) and PostgreSQL: `$1` parameters, RETURNING, ON CONFLICT; times
 * and ids come from the program; no engine functions.  Only this folder knows which engine runs.
 *
 * Statements are constants directly above the one function that uses them:
 *
 *	SQL(PERSON_BY_EMAIL, "t", "SELECT id, email, full_name FROM users WHERE email = $1");
 *	TRY(db_one(cx, &PERSON_BY_EMAIL, &person_schema, &out, V(email)));
 *
 * The second argument gives each parameter's kind: t text, u UUID (text in the program), i integer, r real, b bool, m moment (int64_t
 * µs), x bytes.  Result columns fill the members of a field table by name ("event.title" reaches into a nested struct).
 *
 * Optional filters: `{?3 AND action = $3}` stands in the text only when the third argument is not null; each combination is a fixed,
 * separately prepared statement (at most 5 such groups in a text).
 *
 * Many calls at once: what stands in `{+…}` is part of the text only where an engine does the calls of many jobs by one statement.
 * `@` in such a group is the table of their arguments, `$3` everywhere its third column:
 *
 *	INSERT INTO t (a, b) SELECT $1, $2{+ FROM @} WHERE EXISTS (SELECT 1 FROM u WHERE u.id = $1)
 *	SELECT {+many.number, }u.a, v.b FROM {+@ CROSS JOIN }u LEFT JOIN v ON v.id = u.v_id AND v.c = $2 WHERE u.id = $1
 *
 * The number comes first in what is read, which is at most one row for each call.  What is written must suit any order of the
 * calls of different jobs: rows that are added, on no condition but rows of the same job and such whose `expect` (db_list) tells.
 *
 * Every statement is registered by its definition: db_prepare_all() prepares each, with all variants, on a connection.
 */
#ifndef MUSTER_STORE_DB_H
#define MUSTER_STORE_DB_H

#include "core/field.h"

struct sql {
	const char *name, *kinds, *text;
};
#define SQL(id, kinds, text)                                                                                           \
	static const struct sql id __attribute__((section("muster_sql"), used, aligned(8))) = {#id, kinds, text}

enum val_kind { VAL_NULL = 0, VAL_INT, VAL_NUM, VAL_TEXT, VAL_BYTES };
struct val {
	enum val_kind kind;
	union {
		int64_t i;
		double d;
		const char *s;
		struct span x;
	};
};
struct val val_int(int64_t v);      /* FIELD_NONE (TIME_NONE) gives null */
struct val val_num(double v);       /* NAN gives null */
struct val val_text(const char *v); /* NULL gives null */
struct val val_bytes(struct span v); /* {NULL, 0} gives null */
struct val val_null(void);
/* A struct uuid must be an lvalue that outlives the call: pass V_ID(x); an empty id gives null. */
#define V(x)                                                                                                           \
	_Generic((x), bool: val_int, int: val_int, unsigned: val_int, long: val_int, long long: val_int, size_t: val_int, \
		 double: val_num, char *: val_text, const char *: val_text, struct span: val_bytes)(x)
#define V_ID(u) val_text((u).text[0] ? (u).text : NULL)

#define DB_ARGS(...)                                                                                                   \
	((const struct val[]){__VA_ARGS__ __VA_OPT__(, ){0}}),                                                          \
		(sizeof((const struct val[]){__VA_ARGS__ __VA_OPT__(, ){0}}) / sizeof(struct val) - 1)

/*
 * All need cx->db and fail with ERR_UNAVAILABLE when the engine does (disk full, lost connection, time-out) or ERR_CONFLICT on a
 * violated key; text results live in cx->arena.  After a failed statement a unit of writing can only fail (PostgreSQL refuses all
 * that follows): where a conflict is expected, say ON CONFLICT.
 */
/* Runs; *ret_rows (may be NULL) is the number of rows changed. */
#define db_exec(cx, sql, ret_rows, ...) db_exec_((cx), (sql), (ret_rows), DB_ARGS(__VA_ARGS__))
/* The first row into *ret; ERR_NOT_FOUND (set as a failure) when there is none. */
#define db_one(cx, sql, schema, ret, ...) db_one_((cx), (sql), (schema), (ret), DB_ARGS(__VA_ARGS__))
/* The same, but no row is no failure: *ret_found tells. */
#define db_find(cx, sql, schema, ret, ret_found, ...)                                                                  \
	db_find_((cx), (sql), (schema), (ret), (ret_found), DB_ARGS(__VA_ARGS__))
/* All rows into a list of schema->size structs, at most LIST_MAX. */
#define db_all(cx, sql, schema, ret, ...) db_all_((cx), (sql), (schema), (ret), DB_ARGS(__VA_ARGS__))
/* The first column of the first row as an integer; 0 when no row or null. */
#define db_int(cx, sql, ret, ...) db_int_((cx), (sql), (ret), DB_ARGS(__VA_ARGS__))

enum err db_exec_(struct ctx *, const struct sql *, int64_t *ret_rows, const struct val *, size_t) MUST_CHECK;
enum err db_one_(struct ctx *, const struct sql *, const struct schema *, void *ret, const struct val *, size_t) MUST_CHECK;
enum err db_find_(struct ctx *, const struct sql *, const struct schema *, void *ret, bool *ret_found, const struct val *, size_t)
	MUST_CHECK;
enum err db_all_(struct ctx *, const struct sql *, const struct schema *, struct list *ret, const struct val *, size_t) MUST_CHECK;
enum err db_int_(struct ctx *, const struct sql *, int64_t *ret, const struct val *, size_t) MUST_CHECK;

/*
 * Statement list: statements that need nothing from each other's results in the program (each is conditional on rows of the one
 * before).  SQLite steps them, PostgreSQL sends them in one round trip.  Stops at the first failure.
 */
struct db_step {
	const struct sql *sql;
	const struct val *args;
	size_t n_args;
	const struct schema *schema; /* NULL: no row wanted */
	void *ret;                   /* first row, untouched when none */
	/*
	 * > 0: the number of rows it changes but for a lost race.  `rows` may then be set to it before the statement was run; when
	 * it comes out otherwise, the unit of work is undone and run again, and the second time `rows` is what it is.
	 */
	int64_t expect;
	int64_t rows;                /* out: rows changed, or rows read (0 or 1) */
};
#define DB_STEP(sq, sch, rt, ...) { .sql = (sq), .schema = (sch), .ret = (rt), DB_STEP_ARGS_(__VA_ARGS__) }
#define DB_STEP_ARGS_(...)                                                                                             \
	.args = (const struct val[]){__VA_ARGS__ __VA_OPT__(, ){0}},                                                    \
	.n_args = sizeof((const struct val[]){__VA_ARGS__ __VA_OPT__(, ){0}}) / sizeof(struct val) - 1
enum err db_list(struct ctx *cx, struct db_step *steps, size_t n) MUST_CHECK;

/*
 * In a job's ahead(): this read will be asked by its run(), with the same arguments.  The reads of all jobs of a batch are then made
 * at once before the first of them runs, so run() may be told what was there before another job of its batch wrote.  Only for what
 * is written on condition: a write whose `expect` does not come true is run again, and then reads for itself.
 */
#define db_ahead(cx, sql, ...) db_ahead_((cx), (sql), DB_ARGS(__VA_ARGS__))
void db_ahead_(struct ctx *cx, const struct sql *sql, const struct val *, size_t);

/* Runs fn(arg) after the COMMIT that holds this unit of work, before any reply of that batch; dropped when it is undone. */
void db_on_commit(struct ctx *cx, void (*fn)(void *arg), void *arg);

/* --- the store: connections, the writer, the lanes' access --------------------------------------------------------------- */

struct db_options {
	const char *url;          /* DATABASE_URL */
	int writers;              /* writing connections, where the engine can use more than one */
	int readers;              /* read connections of the pool, at most */
	int readers_kept;         /* of them stay open when nobody needs them; 0: all */
	int cache_mb;             /* SQLITE_CACHE_MB: the writer's; each reader has an eighth */
	struct metrics *metrics;  /* may be NULL */
	void (*foreign_write)(void *arg); /* another process wrote; on the writer's thread; may be NULL */
	void *arg;
};
/* Opens connections and starts the writer.  ERR_UNAVAILABLE with *ret_message when the database cannot be opened. */
enum err db_open(struct arena *a, const struct db_options *o, struct db_store **ret, const char **ret_message) MUST_CHECK;
/* Finishes what is queued, checkpoints, closes. */
void db_close(struct db_store *s);

/*
 * One piece of writing.  run() works inside a batch and may be run again from the start (do no I/O but the
 * database).  When it fails what it wrote is undone, unless the failure was refuse()d.  settle() (may be NULL) comes next in the
 * same batch, also for failures: idempotency, counters, the audit row of a refusal; if it fails, all of the job is undone.
 * done() is called on the writer's thread after COMMIT, or after the job was given up: result is then ERR_UNAVAILABLE or
 * ERR_OVERLOADED and cx->error says so.  done() must be short and must not block.
 */
struct db_job {
	struct ctx *cx;
	void (*ahead)(struct ctx *cx, void *arg); /* may be NULL: says by db_ahead() what run() will ask */
	enum err (*run)(struct ctx *cx, void *arg);
	enum err (*settle)(struct ctx *cx, void *arg, enum err result);
	void (*done)(void *arg, enum err result);
	void *arg;
	uint64_t shard; /* PostgreSQL: which writing connection; same shard, same connection */
	bool bulk;      /* waits for the others: one short turn of work that has more */
	/* the store's own */
	struct db_job *next;
	int64_t queued_us;
	enum err result;
};
/* False when the queue is full: answer ERR_OVERLOADED. */
bool db_submit(struct db_store *s, struct db_job *job) MUST_CHECK;

/* Synchronous forms for the work lane, jobs and commands.  Neither may be called from inside the other. */
enum err db_write(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg) MUST_CHECK;
enum err db_write_bulk(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg) MUST_CHECK;
enum err db_read(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg) MUST_CHECK;

/* A read connection for one thread of the read lane; cx->db = it.  Never shared between threads.  NULL: cannot be opened. */
struct db *db_reader_open(struct db_store *s);
void db_reader_close(struct db *db);

/* SELECT 1 with the time it took; for /v1/ready and doctor. */
enum err db_ping(struct ctx *cx) MUST_CHECK;
const char *db_engine_name(const struct db_store *s); /* "sqlite", "postgresql" */
/*
 * Can others change the database without foreign_write() being called?  Then what is kept in memory must be short-lived,
 * and the numbers that it gives to rows have holes: an undone transaction does not give them back.
 */
bool db_is_shared(const struct db_store *s);

/* Prepares every registered statement in every variant; the first failure's text in *ret_message. */
bool db_prepare_all(struct db_store *s, const char **ret_message);

#endif
