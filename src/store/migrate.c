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
#include <string.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/json.h"
#include "store/raw.h"

enum { HASH_CHARS = 2 * SHA256_BYTES };
static const int64_t lock_key = INT64_C(0x6d75737465720001); /* "muster", 1 */

static bool
begin(struct raw *r)
{
	if (r->lite) /* foreign_keys cannot change inside a transaction */
		return raw_exec(r, "PRAGMA foreign_keys=OFF", NULL) && raw_exec(r, "BEGIN EXCLUSIVE", NULL);
	return raw_exec(r,
		arena_printf(r->a,
			"BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT "
			"pg_advisory_xact_lock(%" PRId64 ")",
			lock_key),
		NULL);
}

/* --- history --------------------------------------------------------------------------------------------------------------- */

static void
hash_of(struct raw *r, const struct migration *m, char ret[HASH_CHARS + 1])
{
	uint8_t hash[SHA256_BYTES];

	crypto_sha256(span_str(arena_printf(r->a, "%s%s", m->up, m->down)), hash);
	hex_encode((struct span){hash, sizeof(hash)}, ret);
}

static bool
read_history(struct raw *r, struct raw_rows *ret)
{
	struct raw_rows there = {0};
	const char *look = r->lite ? "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
				   : "SELECT table_name FROM information_schema.tables"
				     " WHERE table_schema = current_schema() AND table_name = 'schema_migrations'";

	*ret = (struct raw_rows){0};
	if (!raw_exec(r, look, &there))
		return false;
	return there.count == 0 || raw_exec(r, "SELECT number, name, sha256, applied_at FROM schema_migrations ORDER BY number", ret);
}

static bool
check_history(struct raw *r, const struct raw_rows *h)
{
	char hash[HASH_CHARS + 1];

	for (size_t i = 0; i < h->count; i++) {
		const struct raw_row *row = &h->items[i];
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

bool
migrate_is_current(struct raw *r)
{
	struct raw_rows h;

	if (!read_history(r, &h) || !check_history(r, &h))
		return false;
	if (h.count == 0)
		r->message = "it is no database of this program";
	else if (migrations[h.count].number)
		r->message = arena_printf(r->a, "its schema is older than this program: run muster migrate up on it (migration %04d_%s is missing)",
			migrations[h.count].number, migrations[h.count].name);
	return h.count > 0 && migrations[h.count].number == 0;
}

static bool
name_failure(struct raw *r, const struct migration *m, bool ok)
{
	if (!ok)
		r->message = arena_printf(r->a, "migration %04d_%s: %s", m->number, m->name, r->message);
	return ok;
}

static bool
check_foreign_keys(struct raw *r)
{
	struct raw_rows broken = {0};

	if (!r->lite)
		return true;
	if (!raw_exec(r, "PRAGMA foreign_key_check", &broken))
		return false;
	if (broken.count)
		r->message = arena_printf(
			r->a, "it leaves a broken reference from %s to %s", broken.items[0].text[0], broken.items[0].text[2]);
	return broken.count == 0;
}

/* --- steps ----------------------------------------------------------------------------------------------------------------- */

static bool
apply(struct raw *r, const struct migration *m, int64_t now_us)
{
	char hash[HASH_CHARS + 1], at[TIME_SQL_BYTES + 1];

	hash_of(r, m, hash);
	time_to_sql(now_us, at);
	const char *note = arena_printf(r->a,
		"INSERT INTO schema_migrations (number, name, sha256, applied_at) VALUES (%d, '%s', '%s', '%s')", m->number,
		m->name, hash, at);
	return name_failure(
		r, m, raw_exec(r, dialect_text(r->a, r->lite, m->up), NULL) && check_foreign_keys(r) && raw_exec(r, note, NULL));
}

static bool
undo(struct raw *r, const struct migration *m)
{
	const char *note = arena_printf(r->a, "DELETE FROM schema_migrations WHERE number = %d", m->number);

	return name_failure(
		r, m, raw_exec(r, dialect_text(r->a, r->lite, m->down), NULL) && check_foreign_keys(r) && raw_exec(r, note, NULL));
}

/* The next pending migration, in a transaction of its own.  *ret_more: there was one. */
static bool
step_up(struct raw *r, int64_t now_us, bool *ret_more)
{
	static const char history[] = "CREATE TABLE IF NOT EXISTS schema_migrations (\n"
				      "\tnumber BIGINT PRIMARY KEY,\n"
				      "\tname TEXT NOT NULL,\n"
				      "\tsha256 TEXT NOT NULL,\n"
				      "\tapplied_at TIMESTAMPTZ NOT NULL\n"
				      ");";
	struct raw_rows h;

	*ret_more = false;
	if (!read_history(r, &h) || !check_history(r, &h))
		return false;
	if (migrations[h.count].number == 0)
		return true;
	if (!begin(r))
		return false;
	bool ok = read_history(r, &h) && check_history(r, &h) && raw_exec(r, dialect_text(r->a, r->lite, history), NULL);
	const struct migration *next = &migrations[ok ? h.count : 0];
	if (ok && next->number != 0) /* else another node was first */
		*ret_more = ok = apply(r, next, now_us);
	return raw_end(r, ok);
}

static bool
step_down(struct raw *r, bool *ret_more)
{
	struct raw_rows h;

	*ret_more = false;
	if (!begin(r))
		return false;
	bool ok = read_history(r, &h) && check_history(r, &h);
	if (ok && h.count > 0)
		*ret_more = ok = undo(r, &migrations[h.count - 1]);
	return raw_end(r, ok);
}

static bool
all_up(struct raw *r, int64_t now_us, int *ret_applied)
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
	struct raw r;
	int applied = 0;
	bool ok = raw_open(&r, a, url, true) && all_up(&r, now_us, &applied);

	if (ok)
		*ret_applied = applied;
	else
		*ret_message = r.message;
	raw_close(&r);
	return ok ? OK : ERR_UNAVAILABLE;
}

enum err
migrate_down(struct arena *a, const char *url, int steps, int *ret_undone, const char **ret_message)
{
	struct raw r;
	int undone = 0;
	bool ok = raw_open(&r, a, url, false), more = true;

	while (ok && more && undone < steps) {
		ok = step_down(&r, &more);
		undone += ok && more;
	}
	if (ok)
		*ret_undone = undone;
	else
		*ret_message = r.message;
	raw_close(&r);
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
	struct raw r = {.a = a};
	struct raw_rows h = {0};
	struct buf text;
	struct json j;
	int pending = 0;
	const char *path = url_is_sqlite(url) ? sqlite_path(a, url, &r.message) : NULL;
	bool absent = path && access(path, F_OK) != 0 && errno == ENOENT; /* asking makes no file */
	bool ok = absent || (raw_open(&r, a, url, false) && read_history(&r, &h) && check_history(&r, &h));

	raw_close(&r);
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
print_rows(struct raw *r, FILE *out, const char *table)
{
	struct raw_rows columns = {0}, rows = {0};
	struct buf names, values;

	if (!raw_exec(r, arena_printf(r->a, "SELECT name FROM pragma_table_info('%s') ORDER BY cid", table), &columns))
		return false;
	buf_init(&names, r->a, 256);
	buf_init(&values, r->a, 256);
	for (size_t i = 0; i < columns.count; i++) {
		buf_printf(&names, "%s%s", i ? ", " : "", columns.items[i].text[0]);
		buf_printf(&values, "%squote(%s)", i ? " || ', ' || " : "", columns.items[i].text[0]);
	}
	if (!raw_exec(r, arena_printf(r->a, "SELECT %s FROM %s ORDER BY 1", buf_cstr(&values), table), &rows))
		return false;
	for (size_t i = 0; i < rows.count; i++)
		(void)fprintf(out, "INSERT INTO %s (%s) VALUES (%s);\n", table, buf_cstr(&names), rows.items[i].text[0]);
	return true;
}

static bool
print_schema(struct raw *r, FILE *out)
{
	struct raw_rows made = {0};

	/* Each table with what hangs on it; views last. */
	if (!raw_exec(r,
		    "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
		    " ORDER BY type = 'view', tbl_name, type <> 'table', type, name",
		    &made))
		return false;
	(void)fputs("-- The whole schema for SQLite, as the migrations leave it.  Generated by `muster schema`.\n"
		    "PRAGMA foreign_keys=OFF;\nBEGIN;\n",
		out);
	for (size_t i = 0; i < made.count; i++) {
		const struct raw_row *m = &made.items[i];
		(void)fprintf(out, "%s%s;\n", i && str_eq(m->text[0], "table") ? "\n" : "", m->text[2]);
		if (str_eq(m->text[0], "table") && !print_rows(r, out, m->text[1]))
			return false;
	}
	(void)fputs("COMMIT;\n", out);
	return true;
}

bool
migrate_fresh(struct raw *r, struct arena *a)
{
	int applied = 0;

	*r = (struct raw){.a = a};
	r->lite = sqlite_connect(a, ":memory:", true, &r->message);
	return r->lite && all_up(r, 0, &applied);
}

enum err
migrate_schema(struct arena *a, FILE *out, const char **ret_message)
{
	struct raw r;
	bool ok = migrate_fresh(&r, a) && print_schema(&r, out);

	if (!ok)
		*ret_message = r.message;
	raw_close(&r);
	return ok ? OK : ERR_UNAVAILABLE;
}
