/*
 * Copies of a SQLite database, made while it is in use, and put back when it is not.  PostgreSQL has its own tools (pg_dump,
 * pg_restore), which do more than this could: for its URLs these functions say so.
 */
#ifndef MUSTER_STORE_BACKUP_H
#define MUSTER_STORE_BACKUP_H

#include "core/ctx.h"

/*
 * One consistent state of the database at `url` into the new file `path` (0600), checked, on the disk, complete or not there.
 * Readers and writers go on meanwhile.  ERR_UNAVAILABLE with *ret_message.
 */
enum err backup_write(struct arena *a, const char *url, const char *path, const char **ret_message) MUST_CHECK;
/* Pages, keys and migrations of a file: is it a sound database of this program, not newer than it? */
enum err backup_check(struct arena *a, const char *path, const char **ret_message) MUST_CHECK;
/*
 * Checks `path`, then makes the database at `url` equal to it in one transaction.  Refused while another process has the database
 * open. What was there is kept beside it, in *ret_kept (NULL: there was none).
 */
enum err backup_restore(
	struct arena *a, const char *url, const char *path, const char **ret_kept, const char **ret_message) MUST_CHECK;

#endif
