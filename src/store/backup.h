/*
 * Copies of the database, made while it is in use, and put back when it is not: of SQLite by its online backup, as one file that is a
 * database itself; of PostgreSQL by pg_dump and pg_restore in their custom format, which must be installed.
 */
#ifndef MUSTER_STORE_BACKUP_H
#define MUSTER_STORE_BACKUP_H

#include "core/ctx.h"

/*
 * One consistent state of the database at `url` into the new file `path` (0600), checked, on the disk, complete or not there.
 * Readers and writers go on meanwhile.  Once *stop is set, which may be NULL, it is broken off.  ERR_UNAVAILABLE with *ret_message.
 */
enum err backup_write(struct arena *a, const char *url, const char *path, const atomic_bool *stop, const char **ret_message) MUST_CHECK;
/* Pages, keys and migrations of a file: is it a sound database of this program, not newer than it? */
enum err backup_check(struct arena *a, const char *path, const char **ret_message) MUST_CHECK;
/* YYYYMMDD-HHMMSS in UTC: how a copy's name says when. */
const char *backup_stamp(struct arena *a, int64_t at_us);
/* Where a restore keeps what was there: `beside`.before-restore- and the time, a name that is free. */
const char *backup_kept_path(struct arena *a, const char *beside);
/* ".db" or ".dump": how a copy's name ends. */
const char *backup_suffix(const char *url);
/* False with *ret_message: PostgreSQL's tools are not there, or are older than the server. */
bool backup_tools(struct arena *a, const char *url, const char **ret_message) MUST_CHECK;
/*
 * Checks `path`, then makes the database at `url` equal to it in one transaction.  Refused while another process has the database
 * open.  What was there is kept in the new file *ret_kept, beside the SQLite database or beside `path` (NULL: there was
 * nothing).
 */
enum err backup_restore(
	struct arena *a, const char *url, const char *path, const char **ret_kept, const char **ret_message) MUST_CHECK;

#endif
