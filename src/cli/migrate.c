/*
 * `muster migrate`: the schema by hand.  Works on the database of DATABASE_URL; `new` works on ./sql of a source tree.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/migrate.h"

static int
up(struct app *app)
{
	const char *message = "";
	int n = 0;

	if (migrate_up(&app->arena, app->conf->database_url, app->cx.now_us, &n, &message) != OK)
		return cli_fail("%s", message);
	printf("%d migration%s applied\n", n, n == 1 ? "" : "s");
	return EXIT_OK;
}

static int
down(struct app *app, const struct args *args)
{
	const char *message = "";
	int64_t steps;
	int n = 0;

	if (!args->word[1] || !str_int(args->word[1], 1, 9999, &steps))
		return cli_usage(args, "down wants the number of migrations to undo");
	if (migrate_down(&app->arena, app->conf->database_url, (int)steps, &n, &message) != OK)
		return cli_fail("%s", message);
	printf("%d migration%s undone\n", n, n == 1 ? "" : "s");
	return EXIT_OK;
}

static int
status(struct app *app, const struct args *args)
{
	const char *message = "";
	int pending = 0;

	if (migrate_status(&app->arena, app->conf->database_url, stdout, args_flag(args, "json"), &pending, &message) != OK)
		return cli_fail("%s", message);
	return EXIT_OK;
}

static int
last_number(void)
{
	DIR *dir = opendir("sql");
	int last = -1;

	if (!dir)
		return -1;
	for (struct dirent *d; (d = readdir(dir));) {
		int64_t n;
		char digits[5];
		str_copy(digits, sizeof(digits), d->d_name);
		if (str_int(digits, 0, 9999, &n) && n > last)
			last = (int)n;
	}
	closedir(dir);
	return last < 0 ? 0 : last;
}

static bool
make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return false;
	bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	return close(fd) == 0 && good;
}

static int
new_pair(const struct args *args)
{
	const char *name = args->word[1];
	char path[128];
	int n = last_number();

	for (const char *p = name ? name : ""; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
			name = NULL;
	if (!name || strlen(name) > 60)
		return cli_usage(args, "new wants a name of lower-case letters, digits and underscores");
	if (n < 0)
		return cli_fail("there is no directory sql here");
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "sql/%04d_%s.%s.sql", n + 1, name, i ? "down" : "up");
		if (!make_file(path, i ? "-- Undoes the other file.\n" : "-- Must suit the previous release's program: expand now, contract later.\n"))
			return cli_fail("%s: %s", path, strerror(errno));
		printf("%s\n", path);
	}
	return EXIT_OK;
}

int
cmd_migrate(const struct args *args)
{
	const char *what = args->word[0];
	struct app app;
	int result = EXIT_FAILED;

	if (strcmp(what, "new") == 0)
		return new_pair(args);
	if (strcmp(what, "up") != 0 && strcmp(what, "down") != 0 && strcmp(what, "status") != 0)
		return cli_usage(args, "there is no migrate %s", what);
	if (args->word[1] && strcmp(what, "down") != 0)
		return cli_usage(args, "unexpected argument %s", args->word[1]);
	if (app_open(&app, APP_CONF))
		result = what[0] == 'u' ? up(&app) : what[0] == 'd' ? down(&app, args) : status(&app, args);
	app_close(&app);
	return result;
}
