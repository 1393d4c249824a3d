/* One connection, two libraries: what differs between them is here, so that what uses it has one text for both. */
#include "store/raw.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>

void
raw_close(struct raw *r)
{
	if (r->lite)
		(void)sqlite3_close_v2(r->lite);
	PQfinish(r->pg);
	r->lite = NULL;
	r->pg = NULL;
}

bool
raw_open(struct raw *r, struct arena *a, const char *url, bool create)
{
	*r = (struct raw){.a = a};
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

bool
raw_open_file(struct raw *r, struct arena *a, const char *path)
{
	*r = (struct raw){.a = a};
	sqlite_once();
	int rc = sqlite3_open_v2(path, &r->lite, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(r->lite, "PRAGMA schema_version", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return true;
	r->message = arena_printf(a, "cannot open %s: %s", path, r->lite ? sqlite3_errmsg(r->lite) : sqlite3_errstr(rc));
	raw_close(r);
	return false;
}

bool
raw_refused(struct raw *r)
{
	char *why = arena_strdup(r->a, r->lite ? sqlite3_errmsg(r->lite) : PQerrorMessage(r->pg));

	why[strcspn(why, "\n")] = 0;
	r->message = why;
	return false;
}

static void
add_row(struct raw *r, struct raw_rows *rows, int n, const char *const *texts)
{
	if (rows->count == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 16;
		struct raw_row *items = arena_new(r->a, struct raw_row, cap);
		if (rows->count)
			memcpy(items, rows->items, rows->count * sizeof(*items));
		rows->items = items;
		rows->cap = cap;
	}
	struct raw_row *row = &rows->items[rows->count++];
	for (int i = 0; i < n && i < RAW_COLUMNS; i++)
		row->text[i] = texts[i] ? arena_strdup(r->a, texts[i]) : NULL;
}

struct collect {
	struct raw *r;
	struct raw_rows *rows;
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

bool
raw_exec(struct raw *r, const char *text, struct raw_rows *rows)
{
	if (r->lite) {
		struct collect c = {r, rows};
		return sqlite3_exec(r->lite, text, collect_row, &c, NULL) == SQLITE_OK || raw_refused(r);
	}
	PGresult *res = PQexec(r->pg, text);
	ExecStatusType status = PQresultStatus(res);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || raw_refused(r);
	for (int i = 0; ok && rows && i < PQntuples(res); i++) {
		const char *texts[RAW_COLUMNS] = {NULL};
		for (int k = 0; k < PQnfields(res) && k < RAW_COLUMNS; k++)
			texts[k] = PQgetisnull(res, i, k) ? NULL : PQgetvalue(res, i, k);
		add_row(r, rows, RAW_COLUMNS, texts);
	}
	PQclear(res);
	return ok;
}

bool
raw_execf(struct raw *r, struct raw_rows *rows, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *text = arena_vprintf(r->a, fmt, ap);
	va_end(ap);
	return raw_exec(r, text, rows);
}

bool
raw_end(struct raw *r, bool ok)
{
	const char *why = r->message;

	if (ok && raw_exec(r, "COMMIT", NULL))
		return true;
	if (ok)
		why = r->message;
	(void)raw_exec(r, "ROLLBACK", NULL);
	r->message = why;
	return false;
}
