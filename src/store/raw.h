/*
 * Private to store/: one plain connection of either engine, beside the store, for work that is not the program's daily one: migrations,
 * moving a database, checksums.  Statements are constants or made of names from the catalogue, and results are few and small.
 */
#ifndef MUSTER_STORE_RAW_H
#define MUSTER_STORE_RAW_H

#include "store/engine.h"

enum { RAW_COLUMNS = 4 };
struct raw_row {
	const char *text[RAW_COLUMNS]; /* NULL: null */
};
struct raw_rows {
	struct raw_row *items;
	size_t count, cap;
};
struct raw {
	struct arena *a; /* holds rows and messages */
	struct sqlite3 *lite;
	struct pg_conn *pg;
	const char *message; /* of the last failure */
};

/* `create`: a SQLite file that is not there is made. */
bool raw_open(struct raw *r, struct arena *a, const char *url, bool create);
/* A SQLite file, which stays as it is. */
bool raw_open_file(struct raw *r, struct arena *a, const char *path);
void raw_close(struct raw *r);
/* One or more statements; the rows of the last one that has any into *ret_rows (may be NULL). */
bool raw_exec(struct raw *r, const char *text, struct raw_rows *ret_rows);
bool raw_execf(struct raw *r, struct raw_rows *ret_rows, const char *fmt, ...) PRINTF(3, 4);
/* Keeps what the engine says of the last failure, in one line; false. */
bool raw_refused(struct raw *r);
/* Ends a transaction: COMMIT when all went well.  The message of the first failure stays. */
bool raw_end(struct raw *r, bool ok);

/* Is the schema what this program's migrations make: no more, no less, not edited?  migrate.c */
bool migrate_is_current(struct raw *r);
/* A new database in memory, on which all migrations ran. */
bool migrate_fresh(struct raw *r, struct arena *a);

#endif
