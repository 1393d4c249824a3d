/* A whole SQLite database of this program into an empty PostgreSQL one. */
#ifndef MUSTER_STORE_TRANSFER_H
#define MUSTER_STORE_TRANSFER_H

#include "store/checksum.h"

/*
 * Copies every table of the SQLite file at `path` into the database at `url` in one transaction, and holds the copy against the file
 * by counts and checksums before it ends; so the target has all of it or, whatever happens, nothing.  The file is only read.
 *
 * ERR_UNAVAILABLE with *ret_message: a schema that is not this program's newest, a damaged file, rows in the target, a value that
 * PostgreSQL cannot hold, a copy that differs.  `dry_run` does all of it and then undoes it.  *ret: struct table_sum of each table.
 */
enum err transfer_to_postgres(struct arena *a, const char *path, const char *url, bool dry_run, struct list *ret, const char **ret_message)
	MUST_CHECK;

#endif
