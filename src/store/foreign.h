/* Reading a SQLite file of another program: which tables it has, and their rows as texts. */
#ifndef MUSTER_STORE_FOREIGN_H
#define MUSTER_STORE_FOREIGN_H

#include "core/arena.h"
#include "core/str.h"

enum { FOREIGN_COLUMNS_MAX = 64 };
struct foreign;
struct foreign *foreign_open(struct arena *a, const char *path, const char **ret_message); /* read-only; NULL with a message */
void foreign_close(struct foreign *f);

/* Names of its tables, NULL-terminated; and how many rows one has (-1: no such table). */
const char **foreign_tables(struct foreign *f, struct arena *a);
int64_t foreign_count(struct foreign *f, const char *table);

/* Rows of one table.  foreign_rows() gives the columns' names, NULL-terminated; NULL when there is no such table. */
const char **foreign_rows(struct foreign *f, struct arena *a, const char *table);
/* The next row's values in the same order, NULL for null, in `a`; false at the end or on a damaged file (*ret_message set). */
bool foreign_next(struct foreign *f, struct arena *a, const char *ret[FOREIGN_COLUMNS_MAX], const char **ret_message);

#endif
