/* `muster backup` and `muster restore`: a copy of the database, and back. */
#include <string.h>
#include <sys/stat.h>

#include "audit/audit.h"
#include "cli/cli.h"
#include "jobs/backup.h"
#include "store/backup.h"
#include "store/db.h"

/* A file that is there may be the database itself, or the only good backup. */
static bool
is_taken(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

int
cmd_backup(const struct args *args)
{
	struct app app;
	const char *path = args->word[0];
	int status = EXIT_FAILED;

	if (app_open(&app, APP_STORE)) {
		if (path && is_taken(path)) {
			status = cli_fail("%s is there already: give a name that is free", path);
		} else if ((path ? backup_to(&app.cx, path) : backup_now(&app.cx, &path)) != OK) {
			status = cli_error(&app.cx);
		} else {
			printf("%s\n", path);
			status = EXIT_OK;
		}
	}
	app_close(&app);
	return status;
}

static enum err
audit_run(struct ctx *cx, void *arg)
{
	return audit_ok(cx, AUDIT_RESTORE, "backup", arg);
}

static enum err
audit_restore(const char *path)
{
	struct app app;
	enum err e = ERR_UNAVAILABLE;

	if (app_open(&app, APP_STORE)) {
		const char *slash = strrchr(path, '/');
		e = db_write(&app.cx, audit_run, (void *)(slash ? slash + 1 : path));
	}
	app_close(&app);
	return e;
}

int
cmd_restore(const struct args *args)
{
	const char *kept = NULL, *message = "", *path = args->word[0];
	struct app app;
	int status = EXIT_FAILED;

	if (app_open(&app, APP_CONF)) {
		if (args_flag(args, "check")) {
			status = backup_check(&app.arena, path, &message) == OK ? EXIT_OK : cli_fail("%s", message);
			if (status == EXIT_OK)
				printf("%s is sound\n", path);
		} else if (backup_restore(&app.arena, app.conf->database_url, path, &kept, &message) != OK) {
			status = cli_fail("%s", message);
		} else {
			printf("restored %s\n", path);
			if (kept)
				printf("what was there before is in %s\n", kept);
			status = EXIT_OK;
		}
	}
	app_close(&app);
	if (status == EXIT_OK && !args_flag(args, "check") && audit_restore(path) != OK)
		return cli_fail("the database is restored, but that could not be written into its audit trail");
	return status;
}
