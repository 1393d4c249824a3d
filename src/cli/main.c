/*
 * Entry of the program: finds the command and runs it.  The table below is the only list of commands and options.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char *const migrate_forms[] = {"up", "down N", "status", "new NAME", NULL};
static const char *const admin_forms[] = {"create", "reset-password", "list", NULL};
static const char *const import_forms[] = {"users FILE", "roster FILE", "attendance FILE", "database FILE", NULL};
static const char *const export_forms[] = {"users", "attendance EVENT", NULL};
static const char *const backup_forms[] = {"[FILE]", NULL};
static const char *const restore_forms[] = {"FILE", NULL};
static const char *const audit_forms[] = {"verify", NULL};
static const char *const qr_forms[] = {"revoke-all", NULL};
static const char *const tls_dev_forms[] = {"[NAME]...", NULL};
static const char *const limits_forms[] = {"", "set NAME VALUE", "reset NAME", NULL};

static const struct command commands[] = {
	{"serve", cmd_serve, "Run the server",
		.details =
			"Brings the database up to date first, unless AUTO_MIGRATE=false.  SIGTERM and SIGINT finish what is in\n"
			"flight and stop; a second one stops at once.  The log goes to standard error, one JSON object a line."},
	{"migrate", cmd_migrate, "Bring the database's schema up to date, or back", .forms = migrate_forms, .min_words = 1,
		.max_words = 2, .options = {{"json", NULL, "status as JSON"}},
		.details = "`new` is for developers: it makes the next pair of empty files in ./sql."},
	{"schema", cmd_schema, "Print the whole schema as SQL for the sqlite3 shell"},
	{"admin", cmd_admin, "Create administrators, reset their passwords, list them", .forms = admin_forms, .min_words = 1,
		.max_words = 1,
		.options = {{"email", "ADDRESS", "whose account (create, reset-password)"},
			{"password-stdin", NULL, "read the password from the first line of standard input"},
			{"json", NULL, "list as JSON"}},
		.details = "Without --password-stdin a terminal is asked for the password; an empty answer, or no terminal, "
			   "makes one\n"
			   "and prints it.  A running server need not be stopped."},
	{"seed", cmd_seed, "Create the demonstration accounts (ENV=dev only)"},
	{"config", cmd_config, "Print the effective configuration, secrets masked",
		.options = {{"json", NULL, "as JSON"}, {"docs", NULL, "the reference of all variables, in Markdown"},
			{"example", NULL, "a commented .env"}}},
	{"openapi", cmd_openapi, "Print the description of the API (OpenAPI 3.1)",
		.options = {{"errors", NULL, "the list of error codes instead, in Markdown"}}},
	{"qr", cmd_qr, "Withdraw every QR code that is still valid", .forms = qr_forms, .min_words = 1, .max_words = 1},
	{"limits", cmd_limits, "Show limits, or change them on every running server", .forms = limits_forms, .max_words = 3,
		.details = "A value that is set wins over the variable of its name, on every server of this database within a "
			   "second,\n"
			   "until it is reset.  `muster config --docs` names the bounds of those that are live."},
	{"import", cmd_import, "Take over accounts, rosters and attendance", .forms = import_forms, .min_words = 2,
		.max_words = 2,
		.options = {{"dry-run", NULL, "check every row, write nothing"}, {"course", "CODE", "roster: of which course"},
			{"owner", "ADDRESS", "roster, attendance: make the course or session, for this lecturer"},
			{"title", "TEXT", "roster: title of a new course"}, {"json", NULL, "report as JSON"}},
		.details = "users, roster: CSV whose first line names the columns email, full_name, role, is_active, "
			   "password_hash (bcrypt,\n"
			   "argon2id, pbkdf2_sha256 as passlib writes them).  database: the SQLite file of the old portal; its "
			   "table users\n"
			   "is taken over, and what else is in it is named.  attendance: CSV with email, session, starts_at, "
			   "ends_at, course,\n"
			   "owner, status, marked_at, reason (the first three are needed), or the SQLite file of an old campus "
			   "system; a\n"
			   "session that is not there is made.  What exists is left alone, and wrong rows are named while the "
			   "others go in.\n"
			   "The server may run meanwhile.  database with a SQLite file of this program moves all of it into the empty\n"
			   "PostgreSQL database of DATABASE_URL, in one transaction, and verifies counts and checksums; stop the servers\n"
			   "first, and keep DATA_DIR and the secrets."},
	{"export", cmd_export, "Write accounts, or an event's attendance, as CSV", .forms = export_forms, .min_words = 1,
		.max_words = 2, .details = "On standard output.  The export is audited; no password hash is in it."},
	{"backup", cmd_backup, "Copy the database while it is in use", .forms = backup_forms, .max_words = 1,
		.details = "Into BACKUP_DIR, where the oldest over BACKUP_KEEP are removed, or into FILE, which must not be there\n"
			   "yet.  The copy is checked and audited.\n"
			   "PostgreSQL's is made by pg_dump (custom format), which must be in PATH and not older than the server.\n"
			   "Keep the secrets (DATA_DIR/secrets.env or your configuration) with it: without them its tokens and seals\n"
			   "are dead."},
	{"restore", cmd_restore, "Put a backup in the place of the database", .forms = restore_forms, .min_words = 1,
		.max_words = 1, .options = {{"check", NULL, "only check FILE"}},
		.details = "FILE is checked first; the server must be stopped.  What was there is kept beside the database, or beside\n"
			   "FILE for PostgreSQL, where pg_restore replaces all in one transaction."},
	{"checksum", cmd_checksum, "Count the rows of each table and sum them up", .options = {{"json", NULL, "as JSON"}},
		.details = "Equal on SQLite and PostgreSQL exactly when the rows are: holds a copy against its original."},
	{"audit", cmd_audit, "Prove that the audit trail is what was written", .forms = audit_forms, .min_words = 1,
		.max_words = 1,
		.options = {{"expect", "HEAD", "a head that was printed or logged before, and must be in the chain"},
			{"json", NULL, "as JSON"}},
		.details = "Exit status 1 and the first row that is not as it was, when there is one.  Keep a head somewhere "
			   "else from time\n"
			   "to time: it shows that the trail's end was not cut off."},
	{"tls-dev", cmd_tls_dev, "Make a certificate for a trial with phones in a LAN", .forms = tls_dev_forms,
		.max_words = CLI_WORDS_MAX,
		.options = {{"dir", "DIR", "where to; DATA_DIR/tls otherwise"}, {"force", NULL, "replace what is there"}},
		.details = "Phones give a page their camera over HTTPS only.  The certificate is for this machine's addresses and names,\n"
			   "and for each NAME (host or address).  Prints how to start.  A phone warns once, unless it trusts\n"
			   "authority.pem, whose key is thrown away, so that nothing else can be trusted by it."},
	{"doctor", cmd_doctor, "Check configuration, database, clock, storage; say what to do",
		.options = {{"json", NULL, "as JSON"}},
		.details = "Exit status 1 when something is broken; warnings alone give 0."},
	{"health", cmd_health, "Ask the running server whether it is ready",
		.details = "On HOST and PORT of this configuration.  Prints what /v1/ready answers; exit status 0 when that is \"ok\" or\n"
			   "\"degraded\", 1 when it is \"down\" or nothing answers."},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void
help(FILE *out)
{
	fprintf(out, "Muster %s: attendance that proves who was in the room\n\nusage: muster COMMAND [OPTIONS]\n\n",
		MUSTER_VERSION);
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n`muster COMMAND --help` tells more.  Configuration: environment variables and .env in the working\n"
		     "directory; `muster config --docs` lists them.\n");
}

/* Among a command's words too: `muster audit verify --help`. */
static bool
wants_help(char **argv)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0)
			return true;
	return false;
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		help(stdout);
		return EXIT_OK;
	}
	if (strcmp(name, "--version") == 0) {
		printf("muster %s\n", MUSTER_VERSION);
		return EXIT_OK;
	}
	for (int i = 0; i < COMMANDS; i++) {
		struct args args;
		if (strcmp(name, commands[i].name) != 0)
			continue;
		if (wants_help(argv + 2)) {
			command_help(&commands[i], stdout);
			return EXIT_OK;
		}
		if (!args_parse(&commands[i], argc - 2, argv + 2, &args))
			return EXIT_USAGE;
		int status = commands[i].run(&args);
		if (fflush(stdout) != 0 || ferror(stdout))
			return cli_fail("standard output cannot be written");
		return status;
	}
	cli_fail("there is no command %s; see muster --help", name);
	return EXIT_USAGE;
}
