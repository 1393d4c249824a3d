/*
 * The command line: one table of commands (main.c), each with the options it takes; parsing and --help come from that table.
 * Exit status: 0 done, 1 failed, 2 wrong use.  Results go to standard output, everything else to standard error.
 */
#ifndef MUSTER_CLI_CLI_H
#define MUSTER_CLI_CLI_H

#include "core/conf.h"
#include "core/ctx.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { CLI_OPTIONS_MAX = 6, CLI_WORDS_MAX = 3 };

struct cli_option {
	const char *name;  /* "email", given as --email */
	const char *value; /* what follows it, in capitals; NULL: nothing does */
	const char *text;
};

struct command;
struct args {
	const struct command *command;
	const char *word[CLI_WORDS_MAX + 1]; /* what is no option, NULL-terminated */
	const char *given[CLI_OPTIONS_MAX];  /* by the command's order: NULL absent, "" a flag */
};

struct command {
	const char *name;
	int (*run)(const struct args *args);
	const char *summary;      /* one line */
	const char *const *forms; /* "muster NAME" and one of these, NULL-terminated; NULL: options only */
	int min_words, max_words;
	struct cli_option options[CLI_OPTIONS_MAX];
	const char *details; /* further paragraphs of --help; NULL: none */
};

bool args_flag(const struct args *a, const char *name);        /* BUG() when the command has no such option */
const char *args_value(const struct args *a, const char *name); /* NULL when absent */
/* Reads what follows the command's name; on wrong use says so and returns false. */
bool args_parse(const struct command *c, int argc, char **argv, struct args *ret);
void command_help(const struct command *c, FILE *out);

int cli_fail(const char *fmt, ...) PRINTF(1, 2);              /* "muster: …" on standard error; returns EXIT_FAILED */
int cli_usage(const struct args *a, const char *fmt, ...) PRINTF(2, 3); /* the same with a pointer to --help; EXIT_USAGE */
int cli_error(const struct ctx *cx);                           /* the failure of a unit of work, with its internal part */

/* --- what a command stands on ------------------------------------------------------------------------------------------------ */
struct app {
	struct arena arena;
	struct config *conf;
	struct server srv;
	struct ctx cx;
};
enum app_part {
	APP_CONF = 0,  /* configuration and keys */
	APP_STORE = 1, /* and the database: migrated up (AUTO_MIGRATE=false: checked), opened */
};
/* False after saying why.  Either way app_close() gives back what was opened. */
bool app_open(struct app *app, enum app_part part);
bool app_migrate(struct app *app); /* AUTO_MIGRATE's rule alone */
void app_close(struct app *app);

/* --- commands, one file each --------------------------------------------------------------------------------------------------- */
int cmd_serve(const struct args *args);
int cmd_migrate(const struct args *args);
int cmd_schema(const struct args *args);
int cmd_admin(const struct args *args);
int cmd_seed(const struct args *args);
int cmd_config(const struct args *args);
int cmd_openapi(const struct args *args);
int cmd_qr(const struct args *args);
int cmd_limits(const struct args *args);
int cmd_health(const struct args *args);
int cmd_doctor(const struct args *args);
int cmd_audit(const struct args *args);
int cmd_backup(const struct args *args);
int cmd_restore(const struct args *args);
int cmd_import(const struct args *args);
int cmd_export(const struct args *args);
int cmd_checksum(const struct args *args);
int cmd_tls_dev(const struct args *args);

/* A SQLite database of this program into the empty PostgreSQL one that is open; an exit status. */
int import_whole(struct app *app, const char *path, bool dry_run, bool as_json);

/* Makes those demonstration accounts that are not there yet; ENV=dev only. */
enum err seed_demo(struct ctx *cx, int *ret_created) MUST_CHECK;

#endif
