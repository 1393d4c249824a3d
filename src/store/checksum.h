/*
 * What a database holds, as a count and a checksum of each table.  They are equal exactly when the rows are: on whichever engine the
 * database lies, in whatever order its rows come.  So a copy can be held against its original.
 */
#ifndef MUSTER_STORE_CHECKSUM_H
#define MUSTER_STORE_CHECKSUM_H

#include "core/field.h"

struct table_sum {
	const char *name;
	int64_t rows;
	uint64_t lanes[4]; /* the sum of the rows' SHA-256, in four parts */
};
enum { SUM_CHARS = 64 };
void sum_text(const struct table_sum *s, char ret[SUM_CHARS + 1]); /* hexadecimal */
bool sum_equal(const struct table_sum *a, const struct table_sum *b);

/* All tables but schema_migrations, by name, in one state of the database: struct table_sum. */
enum err checksum_all(struct arena *a, const char *url, struct list *ret, const char **ret_message) MUST_CHECK;

/* --- shared with transfer.c ---- */
struct raw;
struct table {
	const char *name;
	const char *columns; /* "a", "b", …: quoted, by name */
};
bool tables_read(struct raw *r, struct list *ret); /* struct table, by name */
bool table_sum(struct raw *r, const struct table *t, struct table_sum *ret);

#endif
