/*
 * Moving a database from SQLite to PostgreSQL.
 *
 * Both schemas are made by the same migrations, which is checked first; after that tables and columns are read from the file's
 * catalogue, so a new table needs nothing here.  Rows go by COPY, parents before children.  The target's tables are locked before they
 * are looked at: what a server wrote a moment before is seen, and none can write until the end.
 */
#include "store/transfer.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "store/raw.h"

enum { CHUNK_BYTES = 64 << 10 };

struct move {
	struct raw from, to;
	struct table *tables; /* parents first */
	struct table_sum *sums;
	size_t count;
};

/* --- the order ------------------------------------------------------------------------------------------------------------- */

/* Is every table that `t` refers to, but itself, among the first `n`? */
static bool
parents_done(struct raw *r, const struct table *done, size_t n, const struct table *t, bool *ret)
{
	struct raw_rows parents = {0};

	if (!raw_execf(r, &parents, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list('%s')", t->name))
		return false;
	*ret = true;
	for (size_t i = 0; i < parents.count; i++) {
		bool found = str_eq(parents.items[i].text[0], t->name);
		for (size_t k = 0; k < n && !found; k++)
			found = str_eq(done[k].name, parents.items[i].text[0]);
		*ret = *ret && found;
	}
	return true;
}

static bool
order_tables(struct move *m)
{
	struct list all;

	if (!tables_read(&m->from, &all))
		return false;
	struct table *rest = all.items;
	m->tables = arena_new(m->from.a, struct table, all.count + 1);
	m->sums = arena_new(m->from.a, struct table_sum, all.count + 1);
	for (size_t before = 1; m->count < all.count && before != m->count;) {
		before = m->count;
		for (size_t i = 0; i < all.count; i++) {
			bool ready = false;
			if (rest[i].name && !parents_done(&m->from, m->tables, m->count, &rest[i], &ready))
				return false;
			if (!ready)
				continue;
			m->tables[m->count++] = rest[i];
			rest[i].name = NULL;
		}
		if (before == m->count)
			BUG("tables refer to each other in a circle");
	}
	return true;
}

/* --- what must be so before -------------------------------------------------------------------------------------------------- */

static bool
source_is_sound(struct raw *r, const char *path)
{
	struct raw_rows rows = {0};
	bool ok = raw_exec(r, "BEGIN", NULL) && migrate_is_current(r) && raw_exec(r, "PRAGMA integrity_check(1)", &rows);

	if (ok && (rows.count != 1 || !str_eq(rows.items[0].text[0], "ok"))) {
		r->message = arena_printf(r->a, "integrity check: %s", rows.count ? rows.items[0].text[0] : "no answer");
		ok = false;
	}
	if (!ok)
		r->message = arena_printf(r->a, "%s: %s", path, r->message);
	return ok;
}

static bool
lock_target(struct move *m)
{
	struct buf names;

	buf_init(&names, m->to.a, 1024);
	for (size_t i = 0; i < m->count; i++)
		buf_printf(&names, "%s\"%s\"", i ? ", " : "", m->tables[i].name);
	if (!raw_exec(&m->to, "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0", NULL))
		return false;
	if (!migrate_is_current(&m->to)) {
		m->to.message = arena_printf(m->to.a, "the target: %s", m->to.message);
		return false;
	}
	if (raw_execf(&m->to, NULL, "SET LOCAL lock_timeout = '5s'; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", buf_cstr(&names)))
		return true;
	m->to.message = arena_printf(m->to.a, "the target is in use; stop the servers first (%s)", m->to.message);
	return false;
}

/* A migrated database has rows of its own: empty is what equals a new one.  Those rows go, for the file has them too. */
static bool
target_is_empty(struct move *m)
{
	struct raw fresh;
	bool ok = migrate_fresh(&fresh, m->to.a);

	if (!ok)
		m->to.message = fresh.message;
	for (size_t i = 0; ok && i < m->count; i++) {
		const struct table *t = &m->tables[m->count - 1 - i]; /* children first */
		struct table_sum want, have;
		ok = table_sum(&fresh, t, &want) && table_sum(&m->to, t, &have);
		if (ok && !sum_equal(&want, &have)) {
			m->to.message = arena_printf(m->to.a,
				"the target is not empty: its table %s has %" PRId64 " rows; import into a new database", t->name, have.rows);
			ok = false;
		}
		ok = ok && (want.rows == 0 || raw_execf(&m->to, NULL, "DELETE FROM \"%s\"", t->name));
	}
	raw_close(&fresh);
	return ok;
}

/* --- copying ----------------------------------------------------------------------------------------------------------------- */

static void
put_text(struct buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		static const char special[] = "\\\t\n\r", letters[] = "\\tnr";
		const char *at = p[i] ? strchr(special, p[i]) : NULL;
		if (at)
			buf_chr(out, '\\');
		buf_chr(out, at ? letters[at - special] : p[i]);
	}
}

/* COPY's text form; false for a text that PostgreSQL cannot hold. */
static bool
put_value(struct buf *out, sqlite3_stmt *st, int i)
{
	int kind = sqlite3_column_type(st, i);

	if (kind == SQLITE_NULL) {
		buf_str(out, "\\N");
	} else if (kind == SQLITE_FLOAT) {
		buf_printf(out, "%.17g", sqlite3_column_double(st, i));
	} else if (kind == SQLITE_BLOB) {
		const uint8_t *p = sqlite3_column_blob(st, i);
		int n = sqlite3_column_bytes(st, i);
		buf_str(out, "\\\\x");
		for (int k = 0; k < n; k++)
			buf_printf(out, "%02x", p[k]);
	} else {
		const char *text = (const char *)sqlite3_column_text(st, i);
		size_t n = (size_t)sqlite3_column_bytes(st, i);
		if (memchr(text, 0, n))
			return false;
		put_text(out, text, n);
	}
	return true;
}

static bool
send_rows(struct move *m, sqlite3_stmt *st, const struct table *t, struct buf *out)
{
	int columns = sqlite3_column_count(st), rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		for (int i = 0; i < columns; i++) {
			if (i)
				buf_chr(out, '\t');
			if (!put_value(out, st, i)) {
				m->to.message =
					arena_printf(m->to.a, "%s.%s has a text with a zero byte", t->name, sqlite3_column_name(st, i));
				return false;
			}
		}
		buf_chr(out, '\n');
		if (out->n >= CHUNK_BYTES) {
			if (PQputCopyData(m->to.pg, out->p, (int)out->n) != 1)
				return raw_refused(&m->to);
			out->n = 0;
		}
	}
	if (rc != SQLITE_DONE) {
		(void)raw_refused(&m->from);
		m->to.message = m->from.message;
	}
	return rc == SQLITE_DONE && (out->n == 0 || PQputCopyData(m->to.pg, out->p, (int)out->n) == 1 || raw_refused(&m->to));
}

/* Reads COPY's last answers; what the server says against it goes before what made us end it. */
static bool
copy_end(struct raw *to, bool ok)
{
	bool sent = PQputCopyEnd(to->pg, ok ? NULL : "given up") == 1;

	if (ok && !sent)
		(void)raw_refused(to);
	for (PGresult *r; (r = PQgetResult(to->pg)); PQclear(r))
		if (PQresultStatus(r) != PGRES_COMMAND_OK && ok)
			ok = raw_refused(to);
	return ok && sent;
}

static bool
copy_table(struct move *m, const struct table *t)
{
	struct arena a CLEANUP(arena_release);
	sqlite3_stmt *st = NULL;
	struct buf out;

	arena_init(&a);
	buf_init(&out, &a, 2 * CHUNK_BYTES);
	if (sqlite3_prepare_v2(m->from.lite, arena_printf(&a, "SELECT %s FROM \"%s\"", t->columns, t->name), -1, &st, NULL) != SQLITE_OK) {
		(void)raw_refused(&m->from);
		m->to.message = m->from.message;
		return false;
	}
	PGresult *r = PQexec(m->to.pg, arena_printf(&a, "COPY \"%s\" (%s) FROM STDIN", t->name, t->columns));
	bool ok = PQresultStatus(r) == PGRES_COPY_IN ? copy_end(&m->to, send_rows(m, st, t, &out)) : raw_refused(&m->to);
	PQclear(r);
	(void)sqlite3_finalize(st);
	if (!ok)
		m->to.message = arena_printf(m->to.a, "table %s: %s", t->name, m->to.message);
	return ok;
}

/* COPY gives identity columns their values, but moves no sequence. */
static bool
set_sequences(struct raw *to)
{
	struct raw_rows rows = {0};
	bool ok = raw_exec(to,
		"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES'",
		&rows);

	for (size_t i = 0; ok && i < rows.count; i++) {
		const char *table = rows.items[i].text[0], *column = rows.items[i].text[1];
		ok = raw_execf(to, NULL,
			"SELECT setval(pg_get_serial_sequence('\"%s\"', '%s'), COALESCE(MAX(\"%s\"), 1), MAX(\"%s\") IS NOT NULL) FROM \"%s\"",
			table, column, column, column, table);
	}
	return ok;
}

/* --- proving it -------------------------------------------------------------------------------------------------------------- */

static bool
verify(struct move *m)
{
	for (size_t i = 0; i < m->count; i++) {
		struct table_sum want, *have = &m->sums[i];
		if (!table_sum(&m->from, &m->tables[i], &want)) {
			m->to.message = m->from.message;
			return false;
		}
		if (!table_sum(&m->to, &m->tables[i], have))
			return false;
		if (!sum_equal(&want, have)) {
			m->to.message = arena_printf(m->to.a,
				"the copy of table %s differs: %" PRId64 " rows instead of %" PRId64 ", or other values", want.name,
				have->rows, want.rows);
			return false;
		}
	}
	return true;
}

static bool
move_all(struct move *m)
{
	bool ok = lock_target(m) && target_is_empty(m);

	for (size_t i = 0; ok && i < m->count; i++)
		ok = copy_table(m, &m->tables[i]);
	return ok && set_sequences(&m->to) && verify(m);
}

enum err
transfer_to_postgres(struct arena *a, const char *path, const char *url, bool dry_run, struct list *ret, const char **ret_message)
{
	struct move m = {0};
	bool ok = raw_open_file(&m.from, a, path) && source_is_sound(&m.from, path) && order_tables(&m);

	if (!ok) {
		*ret_message = m.from.message;
	} else {
		ok = raw_open(&m.to, a, url, false);
		if (ok) {
			ok = move_all(&m);
			ok = dry_run && ok ? raw_exec(&m.to, "ROLLBACK", NULL) : raw_end(&m.to, ok);
		}
		*ret_message = m.to.message;
	}
	raw_close(&m.from);
	raw_close(&m.to);
	if (ok)
		*ret = (struct list){m.sums, m.count};
	return ok ? OK : ERR_UNAVAILABLE;
}
