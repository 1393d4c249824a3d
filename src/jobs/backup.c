/*
 * Backups.
 *
 * The daily job runs every minute and looks whether BACKUP_AT has passed since its last run that went well, which `jobs` knows;
 * so a server that was off at that hour makes up for it when it starts, and a new one begins with its first night. Only files
 * that are named as ours are ever removed.
 */
#include "jobs/backup.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/file.h"
#include "core/log.h"
#include "jobs/rows.h"
#include "store/backup.h"
#include "store/db.h"

enum { FILES_MAX = 10000 };

const char *
backup_folder(struct ctx *cx)
{
	const struct config *conf = cx->srv->conf;

	return conf->backup_dir[0] ? conf->backup_dir : arena_printf(cx->arena, "%s/backups", conf->data_dir);
}

/* What follows muster-YYYYMMDD-HHMMSS.db, or .dump; NULL: the name does not begin so. */
static const char *
behind_ours(const char *name)
{
	static const char shape[] = "muster-00000000-000000";
	size_t i = 0;

	for (; shape[i]; i++)
		if (shape[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != shape[i])
			return NULL;
	return str_starts(name + i, ".db") ? name + i + 3 : str_starts(name + i, ".dump") ? name + i + 5 : NULL;
}

static bool
is_ours(const char *name)
{
	return str_eq(behind_ours(name), "");
}

/* Of a backup that was killed; SQLite's logs have a longer name. */
static bool
is_draft(const char *name)
{
	const char *rest = behind_ours(name);

	return rest && str_starts(rest, ".new");
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Those in the folder, oldest first. */
static size_t
list_files(struct ctx *cx, const char *folder, bool (*is_one)(const char *name), const char ***ret)
{
	CLEANUP(close_folder) DIR *d = opendir(folder);
	const char **names = arena_new(cx->arena, const char *, FILES_MAX);
	struct dirent *e;
	size_t n = 0;

	while (d && n < FILES_MAX && (e = readdir(d)))
		if (is_one(e->d_name))
			names[n++] = arena_strdup(cx->arena, e->d_name);
	qsort(names, n, sizeof(*names), by_name);
	*ret = names;
	return n;
}

const char *
backup_newest(struct ctx *cx)
{
	const char *folder = backup_folder(cx), **names;
	size_t n = list_files(cx, folder, is_ours, &names);

	return n ? arena_printf(cx->arena, "%s/%s", folder, names[n - 1]) : NULL;
}

static enum err
audit_run(struct ctx *cx, void *arg)
{
	const char *const *file = arg;

	return audit_ok(cx, AUDIT_BACKUP, "backup", *file);
}

enum err
backup_to(struct ctx *cx, const char *path)
{
	const char *message = "", *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (backup_write(cx->arena, cx->srv->conf->database_url, path, cx->stop, &message) != OK)
		return fail_internal(cx, ERR_UNAVAILABLE, "backup: %s", message);
	cx->now_us = cx->srv->source.wall_us(cx->srv->source.arg); /* it may have taken an hour */
	TRY(db_write(cx, audit_run, &name));
	log_info(cx, "backup.done", "the database is backed up", LOG_TEXT("file", name));
	return OK;
}

static void
drop(struct ctx *cx, const char *folder, const char *name)
{
	if (unlink(arena_printf(cx->arena, "%s/%s", folder, name)) != 0)
		log_warning(cx, "backup.kept", "an old backup cannot be removed", LOG_TEXT("file", name));
}

static void
drop_old(struct ctx *cx, const char *folder)
{
	const char **names;
	size_t n = list_files(cx, folder, is_ours, &names), keep = (size_t)cx->srv->conf->backup_keep;
	struct stat st;

	for (size_t i = 0; i + keep < n; i++)
		drop(cx, folder, names[i]);
	n = list_files(cx, folder, is_draft, &names);
	for (size_t i = 0; i < n; i++) /* a young one may still be written */
		if (lstat(arena_printf(cx->arena, "%s/%s", folder, names[i]), &st) == 0 &&
			st.st_mtime * SECONDS_US < cx->now_us - DAYS_US)
			drop(cx, folder, names[i]);
}

enum err
backup_now(struct ctx *cx, const char **ret_path)
{
	const char *folder = backup_folder(cx);

	if (!file_make_folder(folder))
		return fail_internal(cx, ERR_UNAVAILABLE, "%s: %s", folder, strerror(errno));
	const char *path = arena_printf(cx->arena, "%s/muster-%s%s", folder, backup_stamp(cx->arena, cx->now_us),
		backup_suffix(cx->srv->conf->database_url));
	TRY(backup_to(cx, path));
	drop_old(cx, folder);
	*ret_path = path;
	return OK;
}

/* --- the daily job --------------------------------------------------------------------------------------------------------- */

struct last_run {
	int64_t at;
};
static const struct field last_run_fields[] = {
	F(struct last_run, at, F_TIME, 0, 0, NULL),
};
static const struct schema last_run_schema = SCHEMA("LastBackupRun", struct last_run, last_run_fields);

/* A run stands for the moment when it began, even if BACKUP_AT came before it was over. */
SQL(BACKUP_LAST_RUN, "", "SELECT last_good_start AS at FROM jobs WHERE name = 'backup'");

static enum err
last_read(struct ctx *cx, void *arg)
{
	struct last_run *r = arg;
	bool found;

	TRY(db_find(cx, &BACKUP_LAST_RUN, &last_run_schema, r, &found));
	if (!found)
		r->at = TIME_NONE;
	return OK;
}

/* The last moment of BACKUP_AT that is not in the future. */
static int64_t
last_moment(const struct ctx *cx)
{
	const char *at = cx->srv->conf->backup_at; /* HH:MM, checked at the start */
	int64_t of_day_us = ((at[0] - '0') * 10 + at[1] - '0') * HOURS_US + ((at[3] - '0') * 10 + at[4] - '0') * MINUTES_US;
	int64_t today_us = cx->now_us - cx->now_us % DAYS_US + of_day_us;

	return today_us <= cx->now_us ? today_us : today_us - DAYS_US;
}

enum err
backup_daily(struct ctx *cx, int64_t *ret_rows)
{
	struct last_run last;
	const char *path;

	*ret_rows = 0;
	TRY(db_read(cx, last_read, &last));
	if (last.at == TIME_NONE || last.at >= last_moment(cx))
		return OK;
	return backup_now(cx, &path);
}
