/*
 * `muster import database` with a SQLite database of this program, and `muster checksum`: what moved, and how to see for oneself that
 * two databases hold the same.
 */
#include <string.h>

#include "audit/audit.h"
#include "cli/cli.h"
#include "core/json.h"
#include "store/db.h"
#include "store/transfer.h"

static int64_t
rows_of(const struct list *sums)
{
	int64_t rows = 0;

	for (size_t i = 0; i < sums->count; i++)
		rows += ((const struct table_sum *)sums->items)[i].rows;
	return rows;
}

static void
print_text(const struct list *sums)
{
	char text[SUM_CHARS + 1];

	for (size_t i = 0; i < sums->count; i++) {
		const struct table_sum *s = &((const struct table_sum *)sums->items)[i];
		sum_text(s, text);
		printf("%-20s %10lld  %s\n", s->name, (long long)s->rows, text);
	}
}

static void
print_json(struct app *app, const struct list *sums)
{
	char text[SUM_CHARS + 1];
	struct buf out;
	struct json j;

	buf_init(&out, &app->arena, 4096);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_int(&j, "rows", rows_of(sums));
	json_arr(&j, "tables");
	for (size_t i = 0; i < sums->count; i++) {
		const struct table_sum *s = &((const struct table_sum *)sums->items)[i];
		sum_text(s, text);
		json_obj(&j, NULL);
		json_str(&j, "name", s->name);
		json_int(&j, "rows", s->rows);
		json_str(&j, "checksum", text);
		json_obj_end(&j);
	}
	json_arr_end(&j);
	json_obj_end(&j);
	printf("%s\n", buf_cstr(&out));
}

static enum err
audit_run(struct ctx *cx, void *arg)
{
	return audit_ok(cx, AUDIT_IMPORT, "database", arg);
}

int
import_whole(struct app *app, const char *path, bool dry_run, bool as_json)
{
	const char *message = "", *slash = strrchr(path, '/');
	struct list sums;

	if (!db_is_shared(app->srv.store))
		return cli_fail("%s is a database of this program: use muster restore, or set DATABASE_URL to an empty PostgreSQL database",
			path);
	if (transfer_to_postgres(&app->arena, path, app->conf->database_url, dry_run, &sums, &message) != OK)
		return cli_fail("%s; nothing was changed", message);
	if (as_json)
		print_json(app, &sums);
	else
		print_text(&sums);
	fprintf(stderr, "%lld rows of %zu tables %s, and are what the file has\n", (long long)rows_of(&sums), sums.count,
		dry_run ? "were copied for a try" : "are copied");
	if (!dry_run && db_write(&app->cx, audit_run, (void *)(uintptr_t)(slash ? slash + 1 : path)) != OK)
		return cli_fail("but that could not be written into the audit trail");
	return EXIT_OK;
}

int
cmd_checksum(const struct args *args)
{
	const char *message = "";
	struct list sums;
	struct app app;
	int status = EXIT_FAILED;

	if (app_open(&app, APP_CONF)) {
		if (checksum_all(&app.arena, app.conf->database_url, &sums, &message) != OK) {
			status = cli_fail("%s", message);
		} else {
			if (args_flag(args, "json"))
				print_json(&app, &sums);
			else
				print_text(&sums);
			status = EXIT_OK;
		}
	}
	app_close(&app);
	return status;
}
