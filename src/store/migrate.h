/*
 * Migrations: sql/NNNN_name.{up,down}.sql, embedded, append-only, applied each in one exclusive transaction on a connection of its own.
 * Table schema_migrations keeps number, name and SHA-256: a database newer than the binary, or edited history, refuses to start.
 *
 * The files are written in PostgreSQL's type words, one set for both engines; for SQLite they become
 *	UUID TIMESTAMPTZ TEXT → TEXT   BIGINT → INTEGER   BOOLEAN → INTEGER with CHECK (x IN (0,1))   DOUBLE PRECISION → REAL
 *	BYTEA → BLOB   SEQ → INTEGER PRIMARY KEY (PostgreSQL: BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY)
 * and tables get STRICT (KEYED at a table's end: STRICT, WITHOUT ROWID; nothing on PostgreSQL).  Lines between `-- @sqlite` or
 * `-- @postgres` and `-- @end` are for that engine only.
 */
#ifndef MUSTER_STORE_MIGRATE_H
#define MUSTER_STORE_MIGRATE_H

#include <stdio.h>

#include "core/ctx.h"

struct migration {
	int number;
	const char *name, *up, *down;
};
extern const struct migration migrations[]; /* generated from sql/; ends with number 0 */

/* ERR_UNAVAILABLE with *ret_message: cannot open, newer database, edited history, a statement failed (nothing of it stays). */
enum err migrate_up(struct arena *a, const char *url, int64_t now_us, int *ret_applied, const char **ret_message) MUST_CHECK;
enum err migrate_down(struct arena *a, const char *url, int steps, int *ret_undone, const char **ret_message) MUST_CHECK;
/* Prints one line per migration; *ret_pending counts those not applied. */
enum err migrate_status(struct arena *a, const char *url, FILE *out, bool as_json, int *ret_pending, const char **ret_message)
	MUST_CHECK;
/* The whole schema as SQLite text with its schema_migrations rows (fixed times), as `sqlite3 FILE < schema.sql` takes it. */
enum err migrate_schema(struct arena *a, FILE *out, const char **ret_message) MUST_CHECK;

#endif
