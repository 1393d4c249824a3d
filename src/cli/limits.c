/* `muster limits`: what holds, and what is changed on every running server without a restart. */
#include "jobs/limits.h"

#include <inttypes.h>
#include <string.h>

#include "cli/cli.h"
#include "store/db.h"

struct setting {
	const char *name;
	int64_t value;
};

static enum err
set(struct ctx *cx, void *arg)
{
	const struct setting *s = arg;

	return limits_set(cx, s->name, s->value);
}

static enum err
list(struct ctx *cx, void *arg)
{
	return limits_list(cx, arg);
}

static const struct limit_set *
find(const struct list *all, const char *name)
{
	const struct limit_set *rows = all->items;

	for (size_t i = 0; i < all->count; i++)
		if (str_eq(rows[i].name, name))
			return &rows[i];
	return NULL;
}

static int
print(struct app *app)
{
	struct list all;

	if (db_read(&app->cx, list, &all) != OK)
		return cli_error(&app->cx);
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		if (!str_eq(row->type, "int_live"))
			continue;
		const struct limit_set *now = find(&all, row->names);
		int64_t configured = conf_live(conf_live_member(app->conf, row));
		char at[TIME_WIRE_BYTES + 1] = "";
		if (now)
			time_to_wire(now->changed_at, at);
		printf("%-28s %10" PRId64 "%s%s\n", row->names, now ? now->value : configured, now ? "  set " : "", at);
	}
	return EXIT_OK;
}

static int
change(struct app *app, const struct args *args, bool reset)
{
	struct setting s = {.name = args->word[1], .value = FIELD_NONE};

	if (!reset && !str_int(args->word[2], 0, INT64_MAX, &s.value))
		return cli_usage(args, "%s is no number", args->word[2]);
	return db_write(&app->cx, set, &s) == OK ? EXIT_OK : cli_error(&app->cx);
}

int
cmd_limits(const struct args *args)
{
	const char *word = args->word[0];
	bool sets = word && strcmp(word, "set") == 0, resets = word && strcmp(word, "reset") == 0;
	int words = 0, status = EXIT_FAILED;
	struct app app;

	while (words < CLI_WORDS_MAX && args->word[words])
		words++;
	if (word && (!(sets || resets) || words != (sets ? 3 : 2)))
		return cli_usage(args, "set NAME VALUE, reset NAME, or nothing is meant");
	if (app_open(&app, APP_STORE))
		status = word ? change(&app, args, resets) : print(&app);
	app_close(&app);
	return status;
}
