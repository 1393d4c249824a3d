/*
 * Private to store/: what the writer and the calls of db.h need from an engine, and what the engines share.
 *
 * An engine turns one call (a prepared text, its arguments, the wish for rows) into cells; row.c turns cells into structs.  The
 * writer owns transactions and drives them by verbs, so batches, undo, hooks and re-runs are the same on every engine.
 */
#ifndef MUSTER_STORE_ENGINE_H
#define MUSTER_STORE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/metrics.h"
#include "store/db.h"

enum { PARAMS_MAX = 40, GROUPS_MAX = 5, COLUMNS_MAX = 64, CALLS_MAX = 16, MESSAGE_MAX = 256 };

/* --- the registry (statement.c) ------------------------------------------------------------------------------------------- */

struct statement {
	const struct sql *sql;
	uint8_t n_params, n_groups;
	uint8_t group_param[GROUPS_MAX]; /* from 0: the argument that switches the group */
	uint32_t first;			 /* variants of all statements are numbered through; this is its first */
	const char **texts;		 /* one per variant */
	bool many;			 /* variant 1 does many calls at once: PostgreSQL's own */
};
unsigned statement_variants(const struct statement *st);
struct statements {
	struct statement *rows;
	size_t count;
	uint32_t n_variants;
};

/* Reads and checks every registered text; BUG()s with the name of a malformed one. */
void statements_open(struct statements *s, struct arena *a);
/* Reads one text; NULL when it is well formed, else what is wrong. */
const char *statement_parse(struct arena *a, const struct sql *sql, struct statement *ret);

/* --- rows (row.c) --------------------------------------------------------------------------------------------------------- */

struct column {
	const struct field *field;
	struct field_path path;
	uint32_t offset; /* of the member, where no pointer lies on the way */
	bool direct;
};
struct columns { /* what the result columns of one statement mean in one schema */
	const struct schema *schema;
	int count;
	struct column *items;
};
/* BUG()s when a column has no member.  The old items are freed. */
void columns_resolve(struct columns *c, const struct sql *sql, const struct schema *schema, int count,
	const char *(*name)(void *arg, int i), void *arg);
void columns_release(struct columns *c);

enum cell_kind { CELL_NULL = 0, CELL_INT, CELL_NUM, CELL_TEXT, CELL_BYTES };
struct cell {
	enum cell_kind kind;
	union {
		int64_t i;
		double d;
		struct {
			const char *p; /* CELL_TEXT: terminated; valid until the engine's next step */
			size_t n;
		};
	};
};

enum take_mode { TAKE_NONE = 0, TAKE_ONE, TAKE_ALL, TAKE_INT };
struct take { /* which rows a call wants, and what it got */
	enum take_mode mode;
	const struct schema *schema;
	void *record;	  /* TAKE_ONE: in cx->arena, NULL while no row came */
	struct list list; /* TAKE_ALL */
	size_t cap;
	int64_t number;	 /* TAKE_INT */
	int64_t rows;	 /* rows read */
	int64_t changed; /* rows changed */
};
bool take_wants(const struct take *t); /* may another row be given? */
enum err take_row(
	struct ctx *cx, struct take *t, const struct sql *sql, const struct columns *c, const struct cell *cells) MUST_CHECK;

/* --- engines -------------------------------------------------------------------------------------------------------------- */

struct call {
	const struct statement *st;
	unsigned variant;
	const struct val *args; /* their kinds agree with sql->kinds */
	bool may_come_late;	/* nobody needs the result but for the number of rows, which is `expect` when that is not < 0 */
	int64_t expect;
	struct take take;
};
/* BUG()s on a wrong number or kind of arguments. */
struct call call_make(const struct statements *s, const struct sql *sql, const struct val *args, size_t n);

enum db_use { USE_READ = 1, USE_WRITE };
enum txn_verb { TXN_BEGIN = 1, TXN_SAVEPOINT, TXN_UNDO, TXN_RELEASE, TXN_COMMIT, TXN_ROLLBACK, TXN__MAX };

struct engine {
	const char *name;
	unsigned batch_max; /* jobs of one transaction */
	unsigned writers;   /* at most */
	bool shared;	    /* several nodes may use one database, and foreign_write() does not see them */
	unsigned attempts;  /* of a job that runs alone after its batch was void */
	struct db *(*open)(struct db_store *s, enum db_use use, struct arena *a, const char **ret_message);
	void (*close)(struct db *db);
	/* An engine's own failure sets db->spoiled and returns a failure of cx. */
	enum err (*run)(struct ctx *cx, struct db *db, struct call *c);
	enum err (*list)(struct ctx *cx, struct db *db, struct call *calls, size_t n); /* NULL: they are run in turn */
	bool (*prepare)(struct db *db, const struct statement *st, unsigned variant, struct arena *a, const char **ret_message);
	bool (*txn)(struct db *db, enum txn_verb verb); /* false: db->message says why */
	/* Reading ahead for the jobs of an eager batch: notes what one of them will ask; asks it all.  NULL: not worth it. */
	void (*ahead)(struct db *db, const struct call *c);
	bool (*ahead_read)(struct db *db);
	bool (*in_txn)(struct db *db);			/* is the transaction that was begun still there, and worth keeping? */
	bool (*foreign_write)(struct db *db);		/* has another process written since the last call? */
	void (*tend)(struct db *db);			/* between batches, and twice a second when idle */
};
extern const struct engine engine_sqlite, engine_postgres;

struct hook {
	void (*fn)(void *arg);
	void *arg;
};
struct db { /* one connection; an engine's own struct begins with it */
	const struct engine *engine;
	struct db_store *store;
	enum db_use use;
	bool busy;     /* lent to db_read(), or inside a job */
	bool in_batch; /* between TXN_BEGIN and its end */
	bool eager;    /* the batch is run again when anything of it fails: results nobody waits for may come late */
	bool late;     /* a result that nobody waited for was not as it should be */
	bool spoiled;  /* a statement failed: this unit of work can only be undone */
	bool wrote;    /* rows were changed, or may have been */
	bool unknown;  /* COMMIT was sent, and whether it was done is not known */
	const struct db_job *job; /* that is running */
	char message[MESSAGE_MAX];
	struct hook *hooks; /* of the present batch */
	size_t n_hooks, cap_hooks;
	int64_t job_ns, flush_ns;  /* what a job and a COMMIT take, learnt */
	struct db *next; /* in the pool */
};

/* --- the store ------------------------------------------------------------------------------------------------------------ */

struct job_queue {
	struct db_job *first, *last;
	size_t count;
};
enum { WRITERS_MAX = 8 };
struct writer { /* writer.c */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job_queue normal, bulk;
	int64_t bulk_ended_us; /* when the last bulk turn was over */
	bool running, stopping;
	struct db *db;
};
struct db_store {
	const struct engine *engine;
	struct db_options options; /* its texts live in `memory` */
	struct arena memory;
	struct statements statements;
	struct writer writers[WRITERS_MAX];
	unsigned n_writers;
	_Atomic int64_t queued; /* jobs waiting, of all writers */
	pthread_mutex_t pool_lock;
	pthread_cond_t pool_free;
	struct db *pool;
	int pool_open; /* connections made for it, lent ones included */
	int pool_waiting;
};

bool writer_start(struct writer *w); /* its db is open */
void writer_stop(struct writer *w);  /* runs what is queued first */

/* One transaction for all of them, or as many as it takes (batch.c).  Every done() was called when it returns. */
size_t batch_size(const struct db *db); /* how many jobs the next batch should take at most */
void batch_run(struct db_store *s, struct db *db, struct db_job *jobs);
void batch_give_up(struct db *db, struct db_job *jobs, enum err e, const char *why);

/* --- connections, also for migrate.c -------------------------------------------------------------------------------------- */

struct sqlite3;
struct pg_conn;

bool url_is_sqlite(const char *url);
bool url_is_postgres(const char *url);
/* The file a sqlite: URL names; NULL with a message. */
const char *sqlite_path(struct arena *a, const char *url, const char **ret_message);
/* Opens a file (or ":memory:") for writing, made private (0600) when it is new. */
struct sqlite3 *sqlite_connect(struct arena *a, const char *path, bool create, const char **ret_message);
void sqlite_once(void); /* process-wide settings of the library, before its first use */
struct pg_conn *postgres_connect(struct arena *a, const char *url, bool read_only, const char **ret_message);

/* The checkpointing thread of one SQLite file (checkpoint.c). */
struct checkpointer;
struct checkpointer *checkpointer_open(struct arena *a, const char *path, const char **ret_message);
void checkpointer_close(struct checkpointer *c);
void checkpointer_note(struct checkpointer *c, int64_t wal_bytes); /* after each COMMIT; any thread */

/* Our type words in one engine's own (dialect.c). */
const char *dialect_text(struct arena *a, bool sqlite, const char *text);

#endif
