/*
 * A row becomes one text, the same on both engines: its columns by name, each with its kind and length, in the form that SQLite
 * stores (a time as time_to_sql() writes it, a boolean as 1 or 0).  Rows are added up rather than chained, so that no order is needed,
 * which the engines would not agree on; a row that is there twice counts twice.
 *
 * Tables are read as a stream: memory does not grow with them.
 */
#include "store/checksum.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "store/raw.h"

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT4 = 23, OID_FLOAT8 = 701, OID_TIMESTAMPTZ = 1184 };

void
sum_text(const struct table_sum *s, char ret[SUM_CHARS + 1])
{
	(void)snprintf(ret, SUM_CHARS + 1, "%016" PRIx64 "%016" PRIx64 "%016" PRIx64 "%016" PRIx64, s->lanes[0], s->lanes[1],
		s->lanes[2], s->lanes[3]);
}

bool
sum_equal(const struct table_sum *a, const struct table_sum *b)
{
	return a->rows == b->rows && memcmp(a->lanes, b->lanes, sizeof(a->lanes)) == 0;
}

/* --- one row's text -------------------------------------------------------------------------------------------------------- */

static void
put(struct buf *b, char kind, const void *p, size_t n)
{
	buf_printf(b, "%c%zu:", kind, n);
	buf_add(b, p, n);
}

static void
put_num(struct buf *b, double d)
{
	char text[40];

	put(b, 'r', text, (size_t)snprintf(text, sizeof(text), "%.17g", d));
}

static void
put_hex(struct buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	buf_printf(b, "x%zu:", 2 * n);
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = ((const uint8_t *)p)[i];
		buf_chr(b, digits[byte >> 4]);
		buf_chr(b, digits[byte & 15]);
	}
}

static void
put_sqlite(struct buf *b, sqlite3_stmt *st, int i)
{
	const void *p;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_NULL:
		put(b, 'n', "", 0);
		break;
	case SQLITE_FLOAT:
		put_num(b, sqlite3_column_double(st, i));
		break;
	case SQLITE_BLOB:
		p = sqlite3_column_blob(st, i);
		put_hex(b, p, (size_t)sqlite3_column_bytes(st, i));
		break;
	case SQLITE_INTEGER:
		p = sqlite3_column_text(st, i);
		put(b, 'i', p, (size_t)sqlite3_column_bytes(st, i));
		break;
	default:
		p = sqlite3_column_text(st, i);
		put(b, 't', p, (size_t)sqlite3_column_bytes(st, i));
	}
}

static void
put_postgres(struct buf *b, const PGresult *r, int i)
{
	const char *text = PQgetvalue(r, 0, i);
	size_t n = (size_t)PQgetlength(r, 0, i);
	char at[TIME_SQL_BYTES + 1];
	int64_t at_us;

	if (PQgetisnull(r, 0, i)) {
		put(b, 'n', "", 0);
		return;
	}
	switch (PQftype(r, i)) {
	case OID_BOOL:
		put(b, 'i', text[0] == 't' ? "1" : "0", 1);
		break;
	case OID_INT8:
	case OID_INT4:
		put(b, 'i', text, n);
		break;
	case OID_FLOAT8:
		put_num(b, strtod(text, NULL));
		break;
	case OID_BYTEA:
		put(b, 'x', text + 2, n - 2); /* after \x */
		break;
	case OID_TIMESTAMPTZ:
		if (time_from_sql(text, &at_us)) {
			time_to_sql(at_us, at);
			text = at;
			n = strlen(at);
		}
		put(b, 't', text, n);
		break;
	default:
		put(b, 't', text, n);
	}
}

static void
add_row(struct table_sum *s, const struct buf *text)
{
	uint8_t hash[SHA256_BYTES];

	crypto_sha256(buf_span(text), hash);
	for (int lane = 0; lane < 4; lane++) {
		uint64_t part = 0;
		for (int i = 0; i < 8; i++)
			part = part << 8 | hash[lane * 8 + i];
		s->lanes[lane] += part;
	}
	s->rows++;
}

/* --- tables ---------------------------------------------------------------------------------------------------------------- */

bool
tables_read(struct raw *r, struct list *ret)
{
	static const char lite[] = "SELECT t.name, group_concat('\"' || c.name || '\"', ', ') FROM (SELECT name FROM sqlite_schema"
				   " WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> 'schema_migrations') t"
				   " JOIN (SELECT m.name AS of, i.name FROM sqlite_schema m, pragma_table_info(m.name) i ORDER BY i.name) c"
				   " ON c.of = t.name GROUP BY t.name ORDER BY t.name";
	static const char pg[] = "SELECT t.table_name, string_agg('\"' || c.column_name || '\"', ', ' ORDER BY c.column_name COLLATE \"C\")"
				 " FROM information_schema.tables t JOIN information_schema.columns c USING (table_schema, table_name)"
				 " WHERE t.table_schema = current_schema() AND t.table_type = 'BASE TABLE'"
				 " AND t.table_name <> 'schema_migrations' GROUP BY t.table_name ORDER BY t.table_name COLLATE \"C\"";
	struct raw_rows rows = {0};

	if (!raw_exec(r, r->lite ? lite : pg, &rows))
		return false;
	struct table *tables = arena_new(r->a, struct table, rows.count + 1);
	for (size_t i = 0; i < rows.count; i++)
		tables[i] = (struct table){rows.items[i].text[0], rows.items[i].text[1]};
	*ret = (struct list){tables, rows.count};
	return true;
}

static bool
sum_sqlite(struct raw *r, const char *sql, struct table_sum *s, struct buf *text)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(r->lite, sql, -1, &st, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		text->n = 0;
		for (int i = 0; rc == SQLITE_ROW && i < sqlite3_column_count(st); i++)
			put_sqlite(text, st, i);
		if (rc == SQLITE_ROW)
			add_row(s, text);
	}
	bool ok = rc == SQLITE_DONE || raw_refused(r);
	(void)sqlite3_finalize(st);
	return ok;
}

static bool
sum_postgres(struct raw *r, const char *sql, struct table_sum *s, struct buf *text)
{
	bool ok = PQsendQuery(r->pg, sql) && PQsetSingleRowMode(r->pg);

	for (PGresult *row; (row = PQgetResult(r->pg)); PQclear(row)) {
		ExecStatusType status = PQresultStatus(row);
		text->n = 0;
		for (int i = 0; status == PGRES_SINGLE_TUPLE && i < PQnfields(row); i++)
			put_postgres(text, row, i);
		if (status == PGRES_SINGLE_TUPLE)
			add_row(s, text);
		else
			ok = ok && status == PGRES_TUPLES_OK;
	}
	return ok || raw_refused(r);
}

bool
table_sum(struct raw *r, const struct table *t, struct table_sum *ret)
{
	struct table_sum s = {.name = t->name};
	struct arena a CLEANUP(arena_release);
	struct buf text;

	arena_init(&a);
	buf_init(&text, &a, 4096);
	const char *sql = arena_printf(&a, "SELECT %s FROM \"%s\"", t->columns, t->name);
	bool ok = r->lite ? sum_sqlite(r, sql, &s, &text) : sum_postgres(r, sql, &s, &text);
	if (ok)
		*ret = s;
	return ok;
}

enum err
checksum_all(struct arena *a, const char *url, struct list *ret, const char **ret_message)
{
	struct list tables = {0};
	struct table_sum *sums = NULL;
	struct raw r;

	bool ok = raw_open(&r, a, url, false) &&
		raw_exec(&r, r.lite ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0", NULL) &&
		tables_read(&r, &tables);
	if (ok)
		sums = arena_new(a, struct table_sum, tables.count + 1);
	for (size_t i = 0; ok && i < tables.count; i++)
		ok = table_sum(&r, &((const struct table *)tables.items)[i], &sums[i]);
	if (ok)
		*ret = (struct list){sums, tables.count};
	else
		*ret_message = r.message;
	raw_close(&r);
	return ok ? OK : ERR_UNAVAILABLE;
}
