/*
 * The migration runner.  Each step looks at the history again inside the transaction that changes it, so two nodes that start at
 * once migrate once: SQLite by BEGIN EXCLUSIVE, PostgreSQL by an advisory lock that the transaction holds.
 *
 * What was applied must be the first part of what the program knows, with equal hashes: so a newer database, edited history, or a
 * migration slipped in below the newest is refused before anything is touched.
 */
#include "store/migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/json.h"
#include "store/engine.h"

enum { HASH_CHARS = 2 * SHA256_BYTES, ROW_COLUMNS = 4 };
static const int64_t lock_key = INT64_C(0x6d75737465720001); /* "muster", 1 */

struct row {
	const char *text[ROW_COLUMNS]; /* NULL: null */
};
struct rows {
	struct row *items;
	size_t count, cap;
};
struct runner { /* one connection of either engine */
	struct arena *a;
	sqlite3 *lite;
	PGconn *pg;
	const char *message;
};

/* --- the connection -------------------------------------------------------------------------------------------------------- */

static void
runner_close(struct runner *r)
{
	if (r->lite)
		(void)sqlite3_close_v2(r->lite);
	PQfinish(r->pg);
	r->lite = NULL;
	r->pg = NULL;
}

static bool
runner_open(struct runner *r, struct arena *a, const char *url, bool create)
{
	*r = (struct runner){.a = a};
	if (url_is_postgres(url)) {
		r->pg = postgres_connect(a, url, false, &r->message);
	} else if (!url_is_sqlite(url)) {
		r->message = "DATABASE_URL: neither sqlite:///… nor postgresql://…";
	} else {
		const char *path = sqlite_path(a, url, &r->message);
		r->lite = path ? sqlite_connect(a, path, create, &r->message) : NULL;
		if (r->lite && create)
			(void)sqlite3_exec(r->lite, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
	}
	return r->lite || r->pg;
}

static bool
refused(struct runner *r)
{
	char *why = arena_strdup(r->a, r->lite ? sqlite3_errmsg(r->lite) : PQerrorMessage(r->pg));

	why[strcspn(why, "\n")] = 0;
	r->message = why;
	return false;
}

static void
add_row(struct runner *r, struct rows *rows, int n, const char *const *texts)
{
	if (rows->count == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 16;
		struct row *items = arena_new(r->a, struct row, cap);
		if (rows->count)
			memcpy(items, rows->items, rows->count * sizeof(*items));
		rows->items = items;
		rows->cap = cap;
	}
	struct row *row = &rows->items[rows->count++];
	for (int i = 0; i < n && i < ROW_COLUMNS; i++)
		row->text[i] = texts[i] ? arena_strdup(r->a, texts[i]) : NULL;
}

struct collect {
	struct runner *r;
	struct rows *rows;
};

static int
collect_row(void *arg, int n, char **texts, char **names)
{
	struct collect *c = arg;

	(void)names;
	if (c->rows)
		add_row(c->r, c->rows, n, (const char *const *)texts);
	return 0;
}

/* One or more statements; the rows of the last one that has any into *rows (may be NULL). */
static bool
exec(struct runner *r, const char *text, struct rows *rows)
{
	if (r->lite) {
		struct collect c = {r, rows};
		return sqlite3_exec(r->lite, text, collect_row, &c, NULL) == SQLITE_OK || refused(r);
	}
	PGresult *res = PQexec(r->pg, text);
	ExecStatusType status = PQresultStatus(res);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || refused(r);
	for (int i = 0; ok && rows && i < PQntuples(res); i++) {
		const char *texts[ROW_COLUMNS] = {NULL};
		for (int k = 0; k < PQnfields(res) && k < ROW_COLUMNS; k++)
			texts[k] = PQgetisnull(res, i, k) ? NULL : PQgetvalue(res, i, k);
		add_row(r, rows, ROW_COLUMNS, texts);
	}
	PQclear(res);
	return ok;
}

static bool
begin(struct runner *r)
{
	if (r->lite) /* foreign_keys cannot change inside a transaction */
		return exec(r, "PRAGMA foreign_keys=OFF", NULL) && exec(r, "BEGIN EXCLUSIVE", NULL);
	return exec(r,
		arena_printf(r->a,
			"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT "
			"pg_advisory_xact_lock(%" PRId64 ")",
			lock_key),
		NULL);
}

/* Ends the transaction: COMMIT when all went well. */
static bool
end(struct runner *r, bool ok)
{
	const char *why = r->message;

	if (ok && exec(r, "COMMIT", NULL))
		return true;
	if (ok)
		why = r->message;
	(void)exec(r, "ROLLBACK", NULL);
	r->message = why;
	return false;
}

/* --- history --------------------------------------------------------------------------------------------------------------- */

static void
hash_of(struct runner *r, const struct migration *m, char ret[HASH_CHARS + 1])
{
	uint8_t hash[SHA256_BYTES];

	crypto_sha256(span_str(arena_printf(r->a, "%s%s", m->up, m->down)), hash);
	hex_encode((struct span){hash, sizeof(hash)}, ret);
}

static bool
read_history(struct runner *r, struct rows *ret)
{
	struct rows there = {0};
	const char *look = r->lite ? "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
				   : "SELECT table_name FROM information_schema.tables"
				     " WHERE table_schema = current_schema() AND table_name = 'schema_migrations'";

	*ret = (struct rows){0};
	if (!exec(r, look, &there))
		return false;
	return there.count == 0 || exec(r, "SELECT number, name, sha256, applied_at FROM schema_migrations ORDER BY number", ret);
}

static bool
check_history(struct runner *r, const struct rows *h)
{
	char hash[HASH_CHARS + 1];

	for (size_t i = 0; i < h->count; i++) {
		const struct row *row = &h->items[i];
		const struct migration *m = &migrations[i];
		int64_t number = 0;
		(void)str_int(row->text[0], 1, INT32_MAX, &number);
		if (m->number != number) {
			r->message = arena_printf(r->a,
				m->number == 0 ? "the database is newer than this program: it has migration %s_%s"
					       : "the database's history does not fit this program: it has migration %s_%s",
				row->text[0], row->text[1]);
			return false;
		}
		hash_of(r, m, hash);
		if (!str_eq(hash, row->text[2])) {
			r->message = arena_printf(r->a, "migration %04d_%s was edited after it was applied", m->number, m->name);
			return false;
		}
	}
	return true;
}

static bool
name_failure(struct runner *r, const struct migration *m, bool ok)
{
	if (!ok)
		r->message = arena_printf(r->a, "migration %04d_%s: %s", m->number, m->name, r->message);
	return ok;
}

static bool
check_foreign_keys(struct runner *r)
{
	struct rows broken = {0};

	if (!r->lite)
		return true;
	if (!exec(r, "PRAGMA foreign_key_check", &broken))
		return false;
	if (broken.count)
		r->message = arena_printf(
			r->a, "it leaves a broken reference from %s to %s", broken.items[0].text[0], broken.items[0].text[2]);
	return broken.count == 0;
}

/* --- steps ----------------------------------------------------------------------------------------------------------------- */

static bool
apply(struct runner *r, const struct migration *m, int64_t now_us)
{
	char hash[HASH_CHARS + 1], at[TIME_SQL_BYTES + 1];

	hash_of(r, m, hash);
	time_to_sql(now_us, at);
	const char *note = arena_printf(r->a,
		"INSERT INTO schema_migrations (number, name, sha256, applied_at) VALUES (%d, '%s', '%s', '%s')", m->number,
		m->name, hash, at);
	return name_failure(
		r, m, exec(r, dialect_text(r->a, r->lite, m->up), NULL) && check_foreign_keys(r) && exec(r, note, NULL));
}

static bool
undo(struct runner *r, const struct migration *m)
{
	const char *note = arena_printf(r->a, "DELETE FROM schema_migrations WHERE number = %d", m->number);

	return name_failure(
		r, m, exec(r, dialect_text(r->a, r->lite, m->down), NULL) && check_foreign_keys(r) && exec(r, note, NULL));
}

/* The next pending migration, in a transaction of its own.  *ret_more: there was one. */
static bool
step_up(struct runner *r, int64_t now_us, bool *ret_more)
{
	static const char history[] = "CREATE TABLE IF NOT EXISTS schema_migrations (\n"
				      "\tnumber BIGINT PRIMARY KEY,\n"
				      "\tname TEXT NOT NULL,\n"
				      "\tsha256 TEXT NOT NULL,\n"
				      "\tapplied_at TIMESTAMPTZ NOT NULL\n"
				      ");";
	struct rows h;

	*ret_more = false;
	if (!read_history(r, &h) || !check_history(r, &h))
		return false;
	if (migrations[h.count].number == 0)
		return true;
	if (!begin(r))
		return false;
	bool ok = read_history(r, &h) && check_history(r, &h) && exec(r, dialect_text(r->a, r->lite, history), NULL);
	const struct migration *next = &migrations[ok ? h.count : 0];
	if (ok && next->number != 0) /* else another node was first */
		*ret_more = ok = apply(r, next, now_us);
	return end(r, ok);
}

static bool
step_down(struct runner *r, bool *ret_more)
{
	struct rows h;

	*ret_more = false;
	if (!begin(r))
		return false;
	bool ok = read_history(r, &h) && check_history(r, &h);
	if (ok && h.count > 0)
		*ret_more = ok = undo(r, &migrations[h.count - 1]);
	return end(r, ok);
}

static bool
all_up(struct runner *r, int64_t now_us, int *ret_applied)
{
	for (bool more = true; more;) {
		if (!step_up(r, now_us, &more))
			return false;
		*ret_applied += more;
	}
	return true;
}

enum err
migrate_up(struct arena *a, const char *url, int64_t now_us, int *ret_applied, const char **ret_message)
{
	struct runner r;
	int applied = 0;
	bool ok = runner_open(&r, a, url, true) && all_up(&r, now_us, &applied);

	if (ok)
		*ret_applied = applied;
	else
		*ret_message = r.message;
	runner_close(&r);
	return ok ? OK : ERR_UNAVAILABLE;
}

enum err
migrate_down(struct arena *a, const char *url, int steps, int *ret_undone, const char **ret_message)
{
	struct runner r;
	int undone = 0;
	bool ok = runner_open(&r, a, url, false), more = true;

	while (ok && more && undone < steps) {
		ok = step_down(&r, &more);
		undone += ok && more;
	}
	if (ok)
		*ret_undone = undone;
	else
		*ret_message = r.message;
	runner_close(&r);
	return ok ? OK : ERR_UNAVAILABLE;
}

/* --- reports --------------------------------------------------------------------------------------------------------------- */

static void
print_one(struct json *j, FILE *out, const struct migration *m, const char *applied_at)
{
	int64_t at_us = TIME_NONE;
	char wire[TIME_WIRE_BYTES + 1] = "pending";

	if (applied_at && time_from_sql(applied_at, &at_us))
		time_to_wire(at_us, wire);
	if (!j) {
		(void)fprintf(
			out, "%04d_%s\t%s%s\n", m->number, m->name, applied_at ? "applied " : "", applied_at ? wire : "pending");
		return;
	}
	json_obj(j, NULL);
	json_int(j, "number", m->number);
	json_str(j, "name", m->name);
	json_bool(j, "applied", applied_at != NULL);
	json_time(j, "applied_at", at_us);
	json_obj_end(j);
}

enum err
migrate_status(struct arena *a, const char *url, FILE *out, bool as_json, int *ret_pending, const char **ret_message)
{
	struct runner r = {.a = a};
	struct rows h = {0};
	struct buf text;
	struct json j;
	int pending = 0;
	const char *path = url_is_sqlite(url) ? sqlite_path(a, url, &r.message) : NULL;
	bool absent = path && access(path, F_OK) != 0 && errno == ENOENT; /* asking makes no file */
	bool ok = absent || (runner_open(&r, a, url, false) && read_history(&r, &h) && check_history(&r, &h));

	runner_close(&r);
	if (!ok) {
		*ret_message = r.message;
		return ERR_UNAVAILABLE;
	}
	buf_init(&text, a, 1024);
	json_init(&j, &text);
	json_arr(&j, NULL);
	for (size_t i = 0; migrations[i].number; i++) {
		print_one(as_json ? &j : NULL, out, &migrations[i], i < h.count ? h.items[i].text[3] : NULL);
		pending += i >= h.count;
	}
	json_arr_end(&j);
	if (as_json)
		(void)fprintf(out, "%s\n", buf_cstr(&text));
	*ret_pending = pending;
	return OK;
}

/* Rows that migrations themselves put in are part of the schema: a database without them would not do. */
static bool
print_rows(struct runner *r, FILE *out, const char *table)
{
	struct rows columns = {0}, rows = {0};
	struct buf names, values;

	if (!exec(r, arena_printf(r->a, "SELECT name FROM pragma_table_info('%s') ORDER BY cid", table), &columns))
		return false;
	buf_init(&names, r->a, 256);
	buf_init(&values, r->a, 256);
	for (size_t i = 0; i < columns.count; i++) {
		buf_printf(&names, "%s%s", i ? ", " : "", columns.items[i].text[0]);
		buf_printf(&values, "%squote(%s)", i ? " || ', ' || " : "", columns.items[i].text[0]);
	}
	if (!exec(r, arena_printf(r->a, "SELECT %s FROM %s ORDER BY 1", buf_cstr(&values), table), &rows))
		return false;
	for (size_t i = 0; i < rows.count; i++)
		(void)fprintf(out, "INSERT INTO %s (%s) VALUES (%s);\n", table, buf_cstr(&names), rows.items[i].text[0]);
	return true;
}

static bool
print_schema(struct runner *r, FILE *out)
{
	struct rows made = {0};

	/* Each table with what hangs on it; views last. */
	if (!exec(r,
		    "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
		    " ORDER BY type = 'view', tbl_name, type <> 'table', type, name",
		    &made))
		return false;
	(void)fputs("-- The whole schema for SQLite, as the migrations leave it.  Generated by `muster schema`.\n"
		    "PRAGMA foreign_keys=OFF;\nBEGIN;\n",
		out);
	for (size_t i = 0; i < made.count; i++) {
		const struct row *m = &made.items[i];
		(void)fprintf(out, "%s%s;\n", i && str_eq(m->text[0], "table") ? "\n" : "", m->text[2]);
		if (str_eq(m->text[0], "table") && !print_rows(r, out, m->text[1]))
			return false;
	}
	(void)fputs("COMMIT;\n", out);
	return true;
}

enum err
migrate_schema(struct arena *a, FILE *out, const char **ret_message)
{
	struct runner r = {.a = a};
	int applied = 0;

	r.lite = sqlite_connect(a, ":memory:", true, &r.message);
	bool ok = r.lite && all_up(&r, 0, &applied) && print_schema(&r, out);
	if (!ok)
		*ret_message = r.message;
	runner_close(&r);
	return ok ? OK : ERR_UNAVAILABLE;
}
