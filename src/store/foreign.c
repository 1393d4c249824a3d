/* A thin layer over the engine; names from the file are quoted, so whatever they are they stay names. */
#include "store/foreign.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "store/engine.h"

struct foreign {
	sqlite3 *handle;
	sqlite3_stmt *rows;
};

struct foreign *
foreign_open(struct arena *a, const char *path, const char **ret_message)
{
	struct foreign *f = calloc(1, sizeof(*f));

	if (!f)
		BUG("out of memory");
	sqlite_once();
	int rc = sqlite3_open_v2(path, &f->handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK) {
		(void)sqlite3_db_config(f->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		(void)sqlite3_db_config(f->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		rc = sqlite3_exec(f->handle, "PRAGMA schema_version", NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		return f;
	*ret_message = arena_printf(a, "cannot open %s: %s", path, sqlite3_errmsg(f->handle));
	foreign_close(f);
	return NULL;
}

void
foreign_close(struct foreign *f)
{
	if (!f)
		return;
	(void)sqlite3_finalize(f->rows);
	(void)sqlite3_close_v2(f->handle);
	free(f);
}

const char **
foreign_tables(struct foreign *f, struct arena *a)
{
	enum { TABLES_MAX = 1000 };
	const char **names = arena_new(a, const char *, TABLES_MAX + 1);
	sqlite3_stmt *st = NULL;
	size_t n = 0;

	(void)sqlite3_prepare_v2(f->handle,
		"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' "
		"ORDER BY name",
		-1, &st, NULL);
	while (st && n < TABLES_MAX && sqlite3_step(st) == SQLITE_ROW)
		names[n++] = arena_strdup(a, (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	return names;
}

/* A statement on one table by its name, which the file chose. */
static sqlite3_stmt *
prepare(struct foreign *f, const char *what, const char *table)
{
	char *sql = sqlite3_mprintf("SELECT %s FROM \"%w\"", what, table);
	sqlite3_stmt *st = NULL;

	if (!sql)
		BUG("out of memory");
	(void)sqlite3_prepare_v2(f->handle, sql, -1, &st, NULL);
	sqlite3_free(sql);
	return st;
}

int64_t
foreign_count(struct foreign *f, const char *table)
{
	sqlite3_stmt *st = prepare(f, "COUNT(*)", table);
	int64_t n = st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;

	(void)sqlite3_finalize(st);
	return n;
}

const char **
foreign_rows(struct foreign *f, struct arena *a, const char *table)
{
	(void)sqlite3_finalize(f->rows);
	f->rows = prepare(f, "*", table);
	if (!f->rows)
		return NULL;
	int n = sqlite3_column_count(f->rows);
	const char **names = arena_new(a, const char *, FOREIGN_COLUMNS_MAX + 1);
	for (int i = 0; i < n && i < FOREIGN_COLUMNS_MAX; i++)
		names[i] = arena_strdup(a, sqlite3_column_name(f->rows, i));
	return names;
}

bool
foreign_next(struct foreign *f, struct arena *a, const char *ret[FOREIGN_COLUMNS_MAX], const char **ret_message)
{
	int rc = sqlite3_step(f->rows);

	if (rc != SQLITE_ROW) {
		if (rc != SQLITE_DONE)
			*ret_message = arena_printf(a, "the file is damaged: %s", sqlite3_errmsg(f->handle));
		return false;
	}
	for (int i = 0; i < sqlite3_column_count(f->rows) && i < FOREIGN_COLUMNS_MAX; i++) {
		const char *text = (const char *)sqlite3_column_text(f->rows, i);
		size_t n = (size_t)sqlite3_column_bytes(f->rows, i);
		bool fit = text && str_utf8_valid((struct span){(const uint8_t *)text, n});
		ret[i] = !text ? NULL : fit ? arena_strndup(a, text, n) : "\x7F"; /* no text: refused wherever it lands */
	}
	return true;
}
