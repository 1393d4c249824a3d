/*
 * The SQLite engine: one connection for the writer, any number of read-only ones, WAL.
 *
 * A prepared statement lives as long as its connection and is reset with its bindings cleared before the call returns: an open
 * cursor would hold a snapshot (and the WAL with it), a binding would point into a dead arena.
 * SQLite ends a transaction by itself on some failures (full disk, I/O error, no memory).  Statements must not go on in
 * autocommit mode then, so inside a batch each one looks first.
 */
#include "store/engine.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/fault.h"

enum { BUSY_MS = 5000, RESTART_BUSY_MS = 100, RESTART_PAUSE_MS = 1000, SPACE_PAUSE_MS = 20, LOOKASIDE_BYTES = 1200, LOOKASIDE_SLOTS = 512 };
enum { WAL_SHORT_BYTES = 4 << 20 };

struct prepared {
	sqlite3_stmt *stmt;
	struct columns columns;
	bool read_only;
	uint8_t n_params;
	uint8_t param[PARAMS_MAX]; /* the argument (from 0) of SQLite's parameter i + 1 */
};
struct sqlite {
	struct db db;
	sqlite3 *handle;
	struct prepared **cache; /* by number of the variant */
	uint32_t n_cache;
	sqlite3_stmt *verbs[TXN__MAX], *data_version;
	int64_t version_seen;
	int64_t wal_bytes, restart_tried_us;
	bool no_space; /* a write found the disk full: see make_space() */
	int page_bytes;
	struct checkpointer *checkpointer;
};

static struct sqlite *
sqlite_of(struct db *db)
{
	return (struct sqlite *)(void *)db;
}

/* --- opening --------------------------------------------------------------------------------------------------------------- */

static void
configure_library(void)
{
	/* Memory statistics put one mutex around every allocation of every connection. */
	(void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

void
sqlite_once(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, configure_library);
}

bool
url_is_sqlite(const char *url)
{
	return str_starts(url, "sqlite:") || str_starts(url, "sqlite+aiosqlite:") || str_starts(url, "sqlite+pysqlite:");
}

const char *
sqlite_path(struct arena *a, const char *url, const char **ret_message)
{
	const char *p = strchr(url, ':');

	if (!p || !str_starts(p, ":///") || p[4] == 0 || strcmp(p + 4, ":memory:") == 0)
		*ret_message =
			"DATABASE_URL: SQLite needs a file, as in sqlite:///./muster.db or sqlite:////var/lib/muster/muster.db";
	else if (strchr(p, '?'))
		*ret_message = "DATABASE_URL: parameters after ? are not known for SQLite";
	else
		return arena_strdup(a, p + 4);
	return NULL;
}

/*
 * Another process holds the write lock for some milliseconds at most (a turn of an import, an operator's statement).  The library's own
 * handler sleeps longer each time it is refused, while the neighbour may take the lock again; asking often is what is fair.
 */
static int
ask_again(void *arg, int asked)
{
	enum { SOON_US = 250, SOON_TIMES = 200, LATER_US = 2000 };
	const struct timespec t = {.tv_nsec = (asked < SOON_TIMES ? SOON_US : LATER_US) * 1000L};

	(void)arg;
	(void)nanosleep(&t, NULL);
	return asked < SOON_TIMES + (BUSY_MS * 1000 - SOON_TIMES * SOON_US) / LATER_US;
}

sqlite3 *
sqlite_connect(struct arena *a, const char *path, bool create, const char **ret_message)
{
	sqlite3 *handle = NULL;

	sqlite_once();
	if (create && strcmp(path, ":memory:") != 0) { /* SQLite itself would make the file readable for all */
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			(void)close(fd);
	}
	int rc = FAULT("sqlite.open") ? SQLITE_CANTOPEN
				    : sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK) {
		/* Small allocations of a statement then need no heap. */
		(void)sqlite3_db_config(handle, SQLITE_DBCONFIG_LOOKASIDE, NULL, LOOKASIDE_BYTES, LOOKASIDE_SLOTS);
		/* One plan for each statement: else one whose plan could depend on a bound value is compiled anew whenever it is bound. */
		(void)sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
		(void)sqlite3_extended_result_codes(handle, 1);
		(void)sqlite3_busy_handler(handle, ask_again, NULL);
		rc = sqlite3_exec(handle, "PRAGMA schema_version", NULL, NULL, NULL); /* opening is lazy: is it a database? */
	}
	if (rc == SQLITE_OK)
		return handle;
	*ret_message =
		arena_printf(a, "cannot open the database %s: %s", path, handle ? sqlite3_errmsg(handle) : sqlite3_errstr(rc));
	(void)sqlite3_close_v2(handle);
	return NULL;
}

static int
count_wal(void *arg, sqlite3 *handle, const char *name, int frames)
{
	struct sqlite *db = arg;

	(void)handle;
	(void)name;
	db->wal_bytes = (int64_t)frames * (db->page_bytes + 24) + 32;
	checkpointer_note(db->checkpointer, db->wal_bytes);
	if (db->db.store->options.metrics)
		metrics_set(db->db.store->options.metrics, M_WAL_BYTES, db->wal_bytes);
	return SQLITE_OK;
}

static int64_t
read_pragma(sqlite3 *handle, const char *text)
{
	sqlite3_stmt *stmt = NULL;
	int64_t v = -1;

	if (sqlite3_prepare_v2(handle, text, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		v = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return v;
}

static const char *const verb_texts[TXN__MAX] = {
	[TXN_BEGIN] = "BEGIN IMMEDIATE",
	[TXN_SAVEPOINT] = "SAVEPOINT job",
	[TXN_UNDO] = "ROLLBACK TO job",
	[TXN_RELEASE] = "RELEASE job",
	[TXN_COMMIT] = "COMMIT",
	[TXN_ROLLBACK] = "ROLLBACK",
};

static bool
prepare_verbs(struct sqlite *db)
{
	for (int v = TXN_BEGIN; v < TXN__MAX; v++)
		if (sqlite3_prepare_v3(db->handle, verb_texts[v], -1, SQLITE_PREPARE_PERSISTENT, &db->verbs[v], NULL) != SQLITE_OK)
			return false;
	return sqlite3_prepare_v3(db->handle, "PRAGMA data_version", -1, SQLITE_PREPARE_PERSISTENT, &db->data_version, NULL) ==
	       SQLITE_OK;
}

static bool
is_wal(sqlite3 *handle)
{
	sqlite3_stmt *stmt = NULL;
	bool wal = false;

	if (sqlite3_prepare_v2(handle, "PRAGMA journal_mode", -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		wal = str_eq((const char *)sqlite3_column_text(stmt, 0), "wal");
	(void)sqlite3_finalize(stmt);
	return wal;
}

/* There may be a reader for each thread, and what one of them has forgotten the system still has in memory. */
static int
cache_kib(const struct sqlite *db)
{
	enum { READERS_PART = 8 };
	int kib = (db->db.store->options.cache_mb > 0 ? db->db.store->options.cache_mb : 1) * 1024;

	return db->db.use == USE_WRITE ? kib : kib / READERS_PART;
}

static bool
set_up(struct sqlite *db, struct arena *a)
{
	const char *role = db->db.use == USE_WRITE
				   ? "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL;"
				   : "PRAGMA query_only=ON;";
	const char *text = arena_printf(a,
		"%s PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cache_size=-%d;"
		"PRAGMA journal_size_limit=%d; PRAGMA trusted_schema=OFF;",
		role, cache_kib(db), WAL_RESTART_BYTES);

	/* A file system without shared memory keeps the old journal and says no error. */
	return sqlite3_exec(db->handle, text, NULL, NULL, NULL) == SQLITE_OK && is_wal(db->handle) &&
	       (db->page_bytes = (int)read_pragma(db->handle, "PRAGMA page_size")) > 0;
}

static void
sqlite_close(struct db *base)
{
	struct sqlite *db = sqlite_of(base);

	for (uint32_t i = 0; i < db->n_cache; i++) {
		if (!db->cache[i])
			continue;
		(void)sqlite3_finalize(db->cache[i]->stmt);
		columns_release(&db->cache[i]->columns);
		free(db->cache[i]);
	}
	for (int v = 0; v < TXN__MAX; v++)
		(void)sqlite3_finalize(db->verbs[v]);
	(void)sqlite3_finalize(db->data_version);
	if (db->checkpointer)
		checkpointer_close(db->checkpointer);
	/* The last connection of all processes empties the log; while a server runs, a command's end must not stop it for that. */
	(void)sqlite3_close_v2(db->handle);
	free(db->db.hooks);
	free(db->cache);
	free(db);
}

static struct db *
sqlite_open(struct db_store *s, enum db_use use, struct arena *a, const char **ret_message)
{
	const char *path = sqlite_path(a, s->options.url, ret_message);
	sqlite3 *handle = path ? sqlite_connect(a, path, use == USE_WRITE, ret_message) : NULL;

	if (!handle)
		return NULL;
	struct sqlite *db = calloc(1, sizeof(*db));
	struct prepared **cache = calloc(s->statements.n_variants + 1, sizeof(struct prepared *));
	if (!db || !cache)
		BUG("out of memory");
	db->db = (struct db){.engine = &engine_sqlite, .store = s, .use = use};
	db->handle = handle;
	db->cache = cache;
	db->n_cache = s->statements.n_variants;
	if (!set_up(db, a) || (use == USE_WRITE && !prepare_verbs(db))) {
		*ret_message = arena_printf(a, "cannot set up the database %s: %s", path, sqlite3_errmsg(handle));
		sqlite_close(&db->db);
		return NULL;
	}
	if (use == USE_WRITE) {
		db->version_seen = read_pragma(handle, "PRAGMA data_version");
		db->checkpointer = checkpointer_open(a, path, ret_message);
		if (!db->checkpointer) {
			sqlite_close(&db->db);
			return NULL;
		}
		(void)sqlite3_wal_hook(handle, count_wal, db);
	}
	return &db->db;
}

/* --- statements ------------------------------------------------------------------------------------------------------------ */

/* A file that may not grow (RLIMIT_FSIZE) is an I/O error to the library. */
static void
note_space(struct sqlite *db, int rc)
{
	if ((rc & 0xff) == SQLITE_FULL || rc == SQLITE_IOERR_WRITE)
		db->no_space = true;
}

static enum err
failed(struct ctx *cx, struct sqlite *db, const struct sql *sql, int rc)
{
	enum err e = ERR_INTERNAL;

	note_space(db, rc);
	db->db.spoiled = true;
	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_ROWID ||
			rc == SQLITE_CONSTRAINT_FOREIGNKEY)
			e = ERR_CONFLICT;
		break;
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
	case SQLITE_READONLY:
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CANTOPEN:
	case SQLITE_PROTOCOL:
	case SQLITE_INTERRUPT:
		e = ERR_UNAVAILABLE;
		break;
	default:
		break;
	}
	return fail_internal(cx, e, "%s: %s (%d)", sql->name, sqlite3_errmsg(db->handle), rc);
}

static struct prepared *
prepare(struct sqlite *db, const struct statement *st, unsigned variant, int *ret_rc)
{
	sqlite3_stmt *stmt = NULL;
	const char *tail = NULL;

	*ret_rc = FAULT("sqlite.prepare")
			  ? SQLITE_IOERR
			  : sqlite3_prepare_v3(db->handle, st->texts[variant], -1, SQLITE_PREPARE_PERSISTENT, &stmt, &tail);
	if (*ret_rc != SQLITE_OK)
		return NULL;
	if (!stmt || tail[strspn(tail, " \t\n;")])
		BUG("statement %s is not one statement", st->sql->name);
	struct prepared *p = calloc(1, sizeof(*p));
	if (!p)
		BUG("out of memory");
	p->stmt = stmt;
	p->read_only = sqlite3_stmt_readonly(stmt);
	p->n_params = (uint8_t)sqlite3_bind_parameter_count(stmt);
	for (int i = 0; i < p->n_params; i++) {
		const char *name = sqlite3_bind_parameter_name(stmt, i + 1);
		int64_t n;
		if (!name || name[0] != '$' || !str_int(name + 1, 1, st->n_params, &n))
			BUG("statement %s: parameter %s", st->sql->name, name ? name : "?");
		p->param[i] = (uint8_t)(n - 1);
	}
	return p;
}

static int
bind_one(sqlite3_stmt *stmt, int at, char kind, const struct val *v, char time[TIME_SQL_BYTES + 1])
{
	switch (v->kind) {
	case VAL_NULL:
		return SQLITE_OK; /* what the cleared binding is */
	case VAL_INT:
		if (kind == 'm') {
			time_to_sql(v->i, time);
			return sqlite3_bind_text(stmt, at, time, TIME_SQL_BYTES, SQLITE_STATIC);
		}
		return kind == 'r' ? sqlite3_bind_double(stmt, at, (double)v->i) : sqlite3_bind_int64(stmt, at, v->i);
	case VAL_NUM:
		return sqlite3_bind_double(stmt, at, v->d);
	case VAL_TEXT:
		return sqlite3_bind_text(stmt, at, v->s, (int)strlen(v->s), SQLITE_STATIC);
	case VAL_BYTES:
		return v->x.n ? sqlite3_bind_blob64(stmt, at, v->x.p, v->x.n, SQLITE_STATIC) : sqlite3_bind_zeroblob(stmt, at, 0);
	}
	return SQLITE_MISUSE;
}

static void
read_cells(sqlite3_stmt *stmt, int n, struct cell *cells)
{
	for (int i = 0; i < n; i++) {
		struct cell *v = &cells[i];
		switch (sqlite3_column_type(stmt, i)) {
		case SQLITE_INTEGER:
			*v = (struct cell){.kind = CELL_INT, .i = sqlite3_column_int64(stmt, i)};
			break;
		case SQLITE_FLOAT:
			*v = (struct cell){.kind = CELL_NUM, .d = sqlite3_column_double(stmt, i)};
			break;
		case SQLITE_TEXT:
			*v = (struct cell){.kind = CELL_TEXT, .p = (const char *)sqlite3_column_text(stmt, i)};
			v->n = (size_t)sqlite3_column_bytes(stmt, i);
			break;
		case SQLITE_BLOB:
			*v = (struct cell){.kind = CELL_BYTES, .p = sqlite3_column_blob(stmt, i)};
			v->n = (size_t)sqlite3_column_bytes(stmt, i);
			break;
		default:
			*v = (struct cell){.kind = CELL_NULL};
		}
	}
}

static const char *
column_name(void *stmt, int i)
{
	return sqlite3_column_name(stmt, i);
}

/* A statement that writes is stepped to its end; a reading one only as far as rows are wanted. */
static enum err
step_all(struct ctx *cx, struct sqlite *db, struct prepared *p, struct call *c)
{
	struct cell cells[COLUMNS_MAX];

	for (;;) {
		int rc = FAULT("sqlite.step") ? SQLITE_IOERR : sqlite3_step(p->stmt);
		if (rc == SQLITE_DONE)
			break;
		if (rc != SQLITE_ROW)
			return failed(cx, db, c->st->sql, rc);
		if (!take_wants(&c->take)) {
			if (p->read_only)
				break;
			continue;
		}
		int n = c->take.mode == TAKE_INT ? 1 : sqlite3_column_count(p->stmt);
		if (c->take.mode != TAKE_INT && p->columns.schema != c->take.schema)
			columns_resolve(&p->columns, c->st->sql, c->take.schema, n, column_name, p->stmt);
		read_cells(p->stmt, n, cells);
		TRY(take_row(cx, &c->take, c->st->sql, &p->columns, cells));
		if (p->read_only && !take_wants(&c->take))
			break;
	}
	if (!p->read_only)
		c->take.changed = sqlite3_changes64(db->handle);
	return OK;
}

static enum err
bind_and_step(struct ctx *cx, struct sqlite *db, struct prepared *p, struct call *c)
{
	char times[PARAMS_MAX][TIME_SQL_BYTES + 1]; /* bound without a copy, so they last until the step is done */

	for (int i = 0; i < p->n_params; i++) {
		int at = p->param[i];
		int rc = bind_one(p->stmt, i + 1, c->st->sql->kinds[at], &c->args[at], times[i]);
		if (rc != SQLITE_OK)
			return failed(cx, db, c->st->sql, rc);
	}
	return step_all(cx, db, p, c);
}

static enum err
sqlite_run(struct ctx *cx, struct db *base, struct call *c)
{
	struct sqlite *db = sqlite_of(base);
	struct prepared **p = &db->cache[c->st->first + c->variant];
	int rc;

	if (base->in_batch && sqlite3_get_autocommit(db->handle)) {
		base->spoiled = true;
		return fail_internal(cx, ERR_UNAVAILABLE, "%s: the engine ended the transaction", c->st->sql->name);
	}
	if (!*p && !(*p = prepare(db, c->st, c->variant, &rc)))
		return failed(cx, db, c->st->sql, rc);
	int64_t before = (*p)->read_only ? 0 : sqlite3_total_changes64(db->handle);
	enum err e = bind_and_step(cx, db, *p, c);
	if (!(*p)->read_only && sqlite3_total_changes64(db->handle) != before)
		base->wrote = true;
	(void)sqlite3_reset((*p)->stmt);
	(void)sqlite3_clear_bindings((*p)->stmt);
	return e;
}

static bool
sqlite_prepare(struct db *base, const struct statement *st, unsigned variant, struct arena *a, const char **ret_message)
{
	struct sqlite *db = sqlite_of(base);
	struct prepared **p = &db->cache[st->first + variant];
	int rc;

	if (!*p && !(*p = prepare(db, st, variant, &rc))) {
		*ret_message = arena_printf(a, "%s: %s, in: %s", st->sql->name, sqlite3_errmsg(db->handle), st->texts[variant]);
		return false;
	}
	return true;
}

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

/* A ROLLBACK can fail; what it was to undo must neither keep the lock nor come into the next transaction. */
static void
end_left_open(struct sqlite *db)
{
	if (sqlite3_get_autocommit(db->handle))
		return;
	(void)sqlite3_step(db->verbs[TXN_ROLLBACK]);
	(void)sqlite3_reset(db->verbs[TXN_ROLLBACK]);
}

static int
restart_log(struct sqlite *db, int mode)
{
	int frames = -1, copied = -1;

	db->restart_tried_us = time_monotonic_us();
	(void)sqlite3_busy_timeout(db->handle, RESTART_BUSY_MS);
	int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, &frames, &copied);
	(void)sqlite3_busy_handler(db->handle, ask_again, NULL);
	if (rc == SQLITE_OK)
		db->wal_bytes = 0;
	return rc;
}

/*
 * A log that fills the disk takes whatever space comes free, and then nothing can be copied out of it that makes the database larger: so
 * before it is written on, and soon again when that fails.  What fits into it all the same is not refused.
 */
static void
make_space(struct sqlite *db)
{
	if (!db->no_space || time_monotonic_us() - db->restart_tried_us < SPACE_PAUSE_MS * 1000)
		return;
	db->no_space = false;
	note_space(db, restart_log(db, SQLITE_CHECKPOINT_TRUNCATE));
}

static bool
sqlite_txn(struct db *base, enum txn_verb verb)
{
	struct sqlite *db = sqlite_of(base);
	sqlite3_stmt *stmt = db->verbs[verb];

	if (verb == TXN_BEGIN) {
		end_left_open(db);
		make_space(db);
	}
	bool ok = !FAULT(verb_texts[verb]) && sqlite3_step(stmt) == SQLITE_DONE;
	if (!ok) {
		int rc = sqlite3_extended_errcode(db->handle);
		note_space(db, rc);
		(void)snprintf(base->message, sizeof(base->message), "%s: %s (%d)", verb_texts[verb], sqlite3_errmsg(db->handle), rc);
	}
	(void)sqlite3_reset(stmt);
	return ok;
}

static bool
sqlite_in_txn(struct db *base)
{
	return !sqlite3_get_autocommit(sqlite_of(base)->handle);
}

/* data_version moves when another connection has changed the file; our readers and checkpoints never do. */
static bool
sqlite_foreign_write(struct db *base)
{
	struct sqlite *db = sqlite_of(base);
	int64_t seen = db->version_seen;

	if (sqlite3_step(db->data_version) == SQLITE_ROW)
		db->version_seen = sqlite3_column_int64(db->data_version, 0);
	(void)sqlite3_reset(db->data_version);
	return db->version_seen != seen;
}

/* The log may be what fills the disk: once it has, nothing can be copied out of it that makes the database larger. */
static bool
space_is_short(struct sqlite *db)
{
	struct statvfs v;

	return statvfs(sqlite3_db_filename(db->handle, "main"), &v) == 0 &&
	       (int64_t)v.f_bavail * (int64_t)v.f_frsize < WAL_RESTART_BYTES - db->wal_bytes;
}

/*
 * Passive checkpoints never reach the end of a log that is written all the time; only a restart lets it begin anew, at its ceiling or at
 * what a small disk can spare.  It waits for readers but briefly, since everybody who writes waits with it.
 */
static void
sqlite_tend(struct db *base)
{
	struct sqlite *db = sqlite_of(base);
	int64_t since_us = time_monotonic_us() - db->restart_tried_us;

	end_left_open(db);
	if (db->wal_bytes <= WAL_SHORT_BYTES || since_us < SPACE_PAUSE_MS * 1000)
		return;
	if ((db->wal_bytes > WAL_RESTART_BYTES && since_us >= RESTART_PAUSE_MS * 1000) || space_is_short(db))
		(void)restart_log(db, SQLITE_CHECKPOINT_RESTART);
}

const struct engine engine_sqlite = {
	.name = "sqlite",
	.batch_max = BATCH_MAX,
	.writers = 1,
	.attempts = 1,
	.open = sqlite_open,
	.close = sqlite_close,
	.run = sqlite_run,
	.prepare = sqlite_prepare,
	.txn = sqlite_txn,
	.in_txn = sqlite_in_txn,
	.foreign_write = sqlite_foreign_write,
	.tend = sqlite_tend,
};
