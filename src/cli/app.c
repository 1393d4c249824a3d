/*
 * What every command stands on: configuration, keys, database.
 *
 * The first failure is said in one line on standard error, and app_close() takes whatever state is left, so that commands need no
 * unwinding of their own.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/keys.h"
#include "store/bus.h"
#include "store/db.h"
#include "store/migrate.h"

extern char **environ;

static bool
pending_migrations(struct app *app, int *ret_pending)
{
	char *text = NULL;
	size_t size = 0;
	const char *message = "";
	FILE *out = open_memstream(&text, &size);

	if (!out) {
		cli_fail("out of memory");
		return false;
	}
	enum err result = migrate_status(&app->arena, app->conf->database_url, out, false, ret_pending, &message);
	fclose(out);
	free(text);
	if (result != OK)
		cli_fail("%s", message);
	return result == OK;
}

bool
app_migrate(struct app *app)
{
	const char *message = "";
	int n = 0;

	if (!app->conf->auto_migrate) {
		if (!pending_migrations(app, &n))
			return false;
		if (n > 0)
			cli_fail("the database lacks %d migration%s; run: muster migrate up", n, n == 1 ? "" : "s");
		return n == 0;
	}
	if (migrate_up(&app->arena, app->conf->database_url, app->cx.now_us, &n, &message) != OK) {
		cli_fail("%s", message);
		return false;
	}
	return true;
}

bool
app_open(struct app *app, enum app_part part)
{
	const char *message = "";

	memset(app, 0, sizeof(*app));
	arena_init(&app->arena);
	app->srv.source = source_system;
	app->conf = conf_load((const char *const *)environ, access(".env", F_OK) == 0 ? ".env" : NULL, &message);
	if (!app->conf) {
		cli_fail("%s", message);
		return false;
	}
	app->srv.conf = app->conf;
	app->srv.keys = keys_open(app->conf);
	ctx_init(&app->cx, &app->arena, &app->srv);
	if (part != APP_STORE)
		return true;
	if (!app_migrate(app))
		return false;
	const struct db_options options = {
		.url = app->conf->database_url,
		.readers = 1,
		.cache_mb = 8,
	};
	if (db_open(&app->arena, &options, &app->srv.store, &message) != OK) {
		cli_fail("%s", message);
		return false;
	}
	app->srv.bus = bus_open(&(const struct bus_options){.url = app->conf->database_url, .source = &app->srv.source});
	return true;
}

void
app_close(struct app *app)
{
	bus_close(app->srv.bus);
	if (app->srv.store)
		db_close(app->srv.store);
	if (app->srv.keys)
		keys_close((struct keys *)app->srv.keys);
	if (app->conf)
		conf_free(app->conf);
	arena_release(&app->arena);
}
