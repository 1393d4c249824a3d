/*
 * SQLite's online backup interface, in both directions; and which of the two engines is meant.
 *
 * The source is held in one read transaction from the first page to the last: so the copy is one state, and no writer makes the
 * copy begin again.  A file gets its name only when it is whole, checked, and on the disk.
 */
#include "store/backup.h"

#include <errno.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/file.h"
#include "store/backup_postgres.h"
#include "store/engine.h"
#include "store/migrate.h"

enum { STEP_PAGES = 2048, STEP_CODES = 1 << 16 }; /* after how much a stop is looked for */

static void
close_handle(sqlite3 **h)
{
	(void)sqlite3_close_v2(*h);
}

/* sqlite3_progress_handler(): not 0 ends what the handle does. */
static int
is_stopped(void *arg)
{
	const atomic_bool *const *stop = arg;

	return *stop && **stop;
}

static bool
run(sqlite3 *h, const char *sql)
{
	return sqlite3_exec(h, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* The first column of the first row; NULL when there is none. */
static const char *
first_text(struct arena *a, sqlite3 *h, const char *sql)
{
	sqlite3_stmt *st = NULL;
	const char *text = NULL;

	if (sqlite3_prepare_v2(h, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW &&
		sqlite3_column_text(st, 0))
		text = arena_strdup(a, (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	return text;
}

static bool
copy(struct arena *a, sqlite3 *to, sqlite3 *from, const atomic_bool *stop, const char **ret_message)
{
	int rc = SQLITE_ERROR;

	if (run(from, "BEGIN") && run(from, "SELECT COUNT(*) FROM sqlite_schema")) {
		sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
		if (b)
			rc = SQLITE_OK;
		while (rc == SQLITE_OK && !is_stopped(&stop))
			rc = FAULT("sqlite.backup") ? SQLITE_IOERR : sqlite3_backup_step(b, STEP_PAGES);
		(void)sqlite3_backup_finish(b);
	}
	if (rc != SQLITE_DONE)
		*ret_message = rc == SQLITE_OK ? "the copy was broken off"
					     : arena_printf(a, "the copy failed: %s", rc == SQLITE_ERROR ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
	(void)run(from, "COMMIT");
	return rc == SQLITE_DONE;
}

static bool
sound(struct arena *a, sqlite3 *h, const char **ret_message)
{
	const char *said = first_text(a, h, "PRAGMA integrity_check(1)");
	int newest = 0;

	*ret_message = arena_printf(a, "integrity check: %s", said ? said : sqlite3_errmsg(h));
	if (!said || strcmp(said, "ok") != 0)
		return false;
	*ret_message = "a row refers to one that is not there";
	if (first_text(a, h, "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1"))
		return false;
	for (const struct migration *m = migrations; m->number; m++)
		newest = m->number;
	const char *number = first_text(a, h, "SELECT MAX(number) FROM schema_migrations");
	*ret_message = "it is no database of this program";
	int64_t n;
	if (!number || !str_int(number, 1, INT32_MAX, &n))
		return false;
	*ret_message = arena_printf(a, "it is newer than this program: it has migration %s", number);
	return n <= newest;
}

static enum err
check_file(struct arena *a, const char *path, const atomic_bool *stop, const char **ret_message)
{
	CLEANUP(close_handle) sqlite3 *h = NULL;
	const char *why;

	sqlite_once();
	if (sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		*ret_message = arena_printf(a, "cannot open %s: %s", path, sqlite3_errmsg(h));
		return ERR_UNAVAILABLE;
	}
	sqlite3_progress_handler(h, STEP_CODES, is_stopped, &stop);
	bool is_sound = sound(a, h, &why), broken_off = is_stopped(&stop); /* what is interrupted finds nothing */
	if (is_sound && !broken_off)
		return OK;
	*ret_message = arena_printf(a, "%s: %s", path, broken_off ? "the check was broken off" : why);
	return ERR_UNAVAILABLE;
}

static enum err
check(struct arena *a, const char *path, const atomic_bool *stop, const char **ret_message)
{
	return dump_is_one(path) ? dump_check(a, path, stop, ret_message) : check_file(a, path, stop, ret_message);
}

enum err
backup_check(struct arena *a, const char *path, const char **ret_message)
{
	return check(a, path, NULL, ret_message);
}

const char *
backup_suffix(const char *url)
{
	return url_is_postgres(url) ? ".dump" : ".db";
}

static bool
write_draft(struct arena *a, const char *source, const char *draft, const atomic_bool *stop, const char **ret_message)
{
	CLEANUP(close_handle) sqlite3 *from = sqlite_connect(a, source, false, ret_message);
	CLEANUP(close_handle) sqlite3 *to = NULL;

	if (!from)
		return false;
	(void)unlink(draft);
	to = sqlite_connect(a, draft, true, ret_message);
	if (!to || !copy(a, to, from, stop, ret_message))
		return false;
	if (run(to, "PRAGMA journal_mode = DELETE")) /* one file, without a log beside it */
		return true;
	*ret_message = arena_printf(a, "%s: %s", draft, sqlite3_errmsg(to));
	return false;
}

static enum err
write_sqlite(struct arena *a, const char *url, const char *draft, const atomic_bool *stop, const char **ret_message)
{
	const char *source = sqlite_path(a, url, ret_message);

	return source && write_draft(a, source, draft, stop, ret_message) ? OK : ERR_UNAVAILABLE;
}

static bool
give_name(struct arena *a, const char *draft, const char *path, const char **ret_message)
{
	bool named = file_sync(draft) && !FAULT("file.rename") && rename(draft, path) == 0;

	if (named && file_sync(dirname(arena_strdup(a, path))))
		return true;
	*ret_message = arena_printf(a, "%s: %s", path, strerror(errno));
	if (!named) /* else it is whole, and perhaps there */
		(void)unlink(draft);
	return false;
}

enum err
backup_write(struct arena *a, const char *url, const char *path, const atomic_bool *stop, const char **ret_message)
{
	const char *draft = arena_printf(a, "%s.new", path);
	enum err e = url_is_postgres(url) ? dump_write(a, url, draft, stop, ret_message) : write_sqlite(a, url, draft, stop, ret_message);

	if (e != OK || check(a, draft, stop, ret_message) != OK) {
		(void)unlink(draft);
		return ERR_UNAVAILABLE;
	}
	return give_name(a, draft, path, ret_message) ? OK : ERR_UNAVAILABLE;
}

const char *
backup_stamp(struct arena *a, int64_t at_us)
{
	char at[TIME_WIRE_BYTES + 1];

	time_to_wire(at_us, at); /* YYYY-MM-DDTHH:MM:SSZ */
	return arena_printf(a, "%.4s%.2s%.2s-%.2s%.2s%.2s", at, at + 5, at + 8, at + 11, at + 14, at + 17);
}

const char *
backup_kept_path(struct arena *a, const char *beside)
{
	const char *path;

	for (int64_t at_us = time_wall_us();; at_us += SECONDS_US) {
		path = arena_printf(a, "%s.before-restore-%s", beside, backup_stamp(a, at_us));
		if (access(path, F_OK) != 0)
			return path;
	}
}

/* Not checked: what is restored over may well be damaged. */
static const char *
keep(struct arena *a, const char *target, const char **ret_message)
{
	const char *kept = backup_kept_path(a, target), *draft = arena_printf(a, "%s.new", kept);

	if (write_draft(a, target, draft, NULL, ret_message))
		return give_name(a, draft, kept, ret_message) ? kept : NULL;
	(void)unlink(draft);
	return NULL;
}

/* Leaving the write-ahead log needs the file for oneself: a way to ask whether anybody has it open. */
static bool
ours_alone(struct arena *a, sqlite3 *h)
{
	(void)sqlite3_busy_timeout(h, 0);
	return str_eq(first_text(a, h, "PRAGMA journal_mode = DELETE"), "delete");
}

static enum err
restore_sqlite(struct arena *a, const char *url, const char *path, const char **ret_kept, const char **ret_message)
{
	CLEANUP(close_handle) sqlite3 *from = NULL;
	CLEANUP(close_handle) sqlite3 *to = NULL;
	const char *target = sqlite_path(a, url, ret_message), *kept = NULL;

	if (!target || check_file(a, path, NULL, ret_message) != OK)
		return ERR_UNAVAILABLE;
	bool there = access(target, F_OK) == 0;
	to = sqlite_connect(a, target, true, ret_message);
	from = sqlite_connect(a, path, false, ret_message);
	if (!to || !from)
		return ERR_UNAVAILABLE;
	if (there && !ours_alone(a, to)) {
		*ret_message = "the database is in use: stop the server first";
		return ERR_UNAVAILABLE;
	}
	if ((there && !(kept = keep(a, target, ret_message))) || !copy(a, to, from, NULL, ret_message))
		return ERR_UNAVAILABLE;
	*ret_kept = kept;
	return OK;
}

enum err
backup_restore(struct arena *a, const char *url, const char *path, const char **ret_kept, const char **ret_message)
{
	bool dump = dump_is_one(path), server = url_is_postgres(url);

	if (access(path, R_OK) != 0)
		*ret_message = arena_printf(a, "%s: %s", path, strerror(errno));
	else if (dump && !server)
		*ret_message = arena_printf(a, "%s was made from PostgreSQL, and DATABASE_URL names a SQLite file", path);
	else if (!dump && server)
		*ret_message = arena_printf(a, "%s is no dump of PostgreSQL; a SQLite database is taken over by muster import database", path);
	else if (server)
		return dump_restore(a, url, path, ret_kept, ret_message);
	else
		return restore_sqlite(a, url, path, ret_kept, ret_message);
	return ERR_UNAVAILABLE;
}
