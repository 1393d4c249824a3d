/*
 * PostgreSQL's own tools do the work: pg_dump takes one state of the database while it is in use, pg_restore puts it back in one
 * transaction.  Where the server is and how to get in travels in their environment, for others on the machine can read arguments.
 *
 * A target that holds something is dumped first and then replaced.  That is refused when it has a table that the file does not know,
 * which pg_restore would leave there: a database that a newer program migrated.
 */
#include "store/backup_postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/backup.h"
#include "store/migrate.h"
#include "store/raw.h"
#include "store/tool.h"

enum { ENV_MAX = 64 };

static void
close_file(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

/* A setting of a connection string, quoted, so that a name with an = in it stays a name. */
static void
add_setting(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "%s='", name);
	for (const char *p = value; *p; p++) {
		if (*p == '\'' || *p == '\\')
			buf_chr(b, '\\');
		buf_chr(b, *p);
	}
	buf_str(b, "' ");
}

/*
 * What the URL says, as the variables that libpq reads.  *ret_database is the argument with what has none, or must be said: the name,
 * and how long a server that is gone is waited for.
 */
static const char **
environment_of(struct arena *a, const char *url, const char **ret_database, const char **ret_message)
{
	static const struct {
		const char *name, *value;
	} patience[] = {{"connect_timeout", "5"}, {"tcp_user_timeout", "30000"}, {"keepalives_idle", "30"}, {"keepalives_interval", "10"},
		{"keepalives_count", "3"}};
	const char **env = arena_new(a, const char *, ENV_MAX + 1), *rest = strchr(url, ':');
	char *error = NULL;
	size_t n = 0;
	struct buf database;
	PQconninfoOption *options = PQconninfoParse(arena_printf(a, "postgresql%s", rest ? rest : "://"), &error);

	if (!options) {
		*ret_message = arena_printf(a, "DATABASE_URL: %s", error ? error : "out of memory");
		PQfreemem(error);
		return NULL;
	}
	buf_init(&database, a, 256);
	buf_str(&database, "--dbname=");
	for (PQconninfoOption *o = options; o->keyword; o++) {
		if (o->val && o->envvar && n < ENV_MAX)
			env[n++] = arena_printf(a, "%s=%s", o->envvar, o->val);
		if (o->val && strcmp(o->keyword, "dbname") == 0)
			add_setting(&database, o->keyword, o->val);
		for (size_t i = 0; i < sizeof(patience) / sizeof(patience[0]); i++)
			if (strcmp(o->keyword, patience[i].name) == 0)
				add_setting(&database, o->keyword, o->val ? o->val : patience[i].value);
	}
	PQconninfoFree(options);
	*ret_database = buf_cstr(&database);
	return env;
}

bool
dump_is_one(const char *path)
{
	CLEANUP(close_file) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char head[5] = "";

	return fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head) && memcmp(head, "PGDMP", sizeof(head)) == 0;
}

enum err
dump_write(struct arena *a, const char *url, const char *draft, const atomic_bool *stop, const char **ret_message)
{
	const char *database, **env = environment_of(a, url, &database, ret_message);
	const char *const args[] = {"--format=custom", "--no-owner", "--no-privileges", "--no-password", "--lock-wait-timeout=60000", database,
		NULL};

	if (!env)
		return ERR_UNAVAILABLE;
	(void)unlink(draft);
	CLEANUP(close_file) int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		*ret_message = arena_printf(a, "%s: %s", draft, strerror(errno));
		return ERR_UNAVAILABLE;
	}
	const struct tool dump = {.name = "pg_dump", .args = args, .env = env, .out_fd = fd, .stop = stop};
	return tool_run(a, &dump, NULL, ret_message) ? OK : ERR_UNAVAILABLE;
}

/* --- what is in a file ----------------------------------------------------------------------------------------------------- */

/* The newest number in the dump's rows of schema_migrations; 0 when there are none. */
static int64_t
newest_migration(const char *text)
{
	const char *p = strstr(text, "\nCOPY ");
	int64_t newest = 0;

	for (p = p ? strchr(p + 1, '\n') : NULL; p && p[1] && p[1] != '\\'; p = strchr(p + 1, '\n')) {
		char digits[24];
		int64_t n;
		size_t end = strcspn(p + 1, "\t");
		(void)str_copy(digits, end < sizeof(digits) ? end + 1 : sizeof(digits), p + 1);
		if (str_int(digits, 1, INT32_MAX, &n) && n > newest)
			newest = n;
	}
	return newest;
}

static bool
dump_migration(struct arena *a, const char *path, const atomic_bool *stop, int64_t *ret, const char **ret_message)
{
	const char *const args[] = {"--data-only", "--table=schema_migrations", "--file=-", path, NULL};
	const struct tool restore = {.name = "pg_restore", .args = args, .out_fd = -1, .stop = stop};
	const char *text = "";

	if (!tool_run(a, &restore, &text, ret_message))
		return false;
	*ret = newest_migration(text);
	return true;
}

/* Turned into a script that nobody keeps, all of it is read: a damaged or short file is found. */
enum err
dump_check(struct arena *a, const char *path, const atomic_bool *stop, const char **ret_message)
{
	const char *const args[] = {"--file=/dev/null", path, NULL}, *why = "";
	const struct tool restore = {.name = "pg_restore", .args = args, .out_fd = -1, .stop = stop};
	int64_t number = 0;
	int newest = 0;

	for (const struct migration *m = migrations; m->number; m++)
		newest = m->number;
	bool ok = tool_run(a, &restore, NULL, &why) && dump_migration(a, path, stop, &number, &why);
	if (ok && number == 0)
		why = "it is no database of this program";
	if (ok && number > newest)
		why = arena_printf(a, "it is newer than this program: it has migration %lld", (long long)number);
	if (ok && number > 0 && number <= newest)
		return OK;
	*ret_message = arena_printf(a, "%s: %s", path, why);
	return ERR_UNAVAILABLE;
}

/* --- putting it back ------------------------------------------------------------------------------------------------------- */

struct target {
	bool used;	     /* it has a table */
	int64_t others;	     /* sessions of others */
	int64_t migration; /* the newest */
};

static bool
look_at(struct arena *a, const char *url, struct target *ret, const char **ret_message)
{
	struct raw_rows rows = {0}, newest = {0};
	struct raw r;
	bool ok = raw_open(&r, a, url, false) &&
		raw_exec(&r,
			"SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
			" AND backend_type = 'client backend'), (SELECT count(*) FROM information_schema.tables WHERE table_schema ="
			" current_schema()), (SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND"
			" table_name = 'schema_migrations')",
			&rows);

	*ret = (struct target){0};
	if (ok) {
		ret->used = !str_eq(rows.items[0].text[1], "0");
		(void)str_int(rows.items[0].text[0], 0, INT64_MAX, &ret->others);
		if (!str_eq(rows.items[0].text[2], "0")) {
			ok = raw_exec(&r, "SELECT COALESCE(MAX(number), 0) FROM schema_migrations", &newest);
			if (ok)
				(void)str_int(newest.items[0].text[0], 0, INT64_MAX, &ret->migration);
		}
	}
	if (!ok)
		*ret_message = r.message;
	raw_close(&r);
	return ok;
}

enum err
dump_restore(struct arena *a, const char *url, const char *path, const char **ret_kept, const char **ret_message)
{
	const char *database, **env = environment_of(a, url, &database, ret_message), *kept = NULL;
	struct target target;
	int64_t number;

	if (!env || dump_check(a, path, NULL, ret_message) != OK || !dump_migration(a, path, NULL, &number, ret_message) ||
		!look_at(a, url, &target, ret_message))
		return ERR_UNAVAILABLE;
	if (target.others > 0)
		*ret_message = "the database is in use: stop the servers first";
	else if (target.migration > number)
		*ret_message = "the database's schema is newer than the backup's: restore into a new database, or run muster migrate down first";
	if (target.others > 0 || target.migration > number)
		return ERR_UNAVAILABLE;
	if (target.used) {
		kept = backup_kept_path(a, path);
		TRY(backup_write(a, url, kept, NULL, ret_message));
	}
	const char *const args[] = {"--single-transaction", "--exit-on-error", "--clean", "--if-exists", "--no-owner", "--no-privileges",
		"--no-password", database, path, NULL};
	const struct tool restore = {.name = "pg_restore", .args = args, .env = env, .out_fd = -1};
	if (!tool_run(a, &restore, NULL, ret_message))
		return ERR_UNAVAILABLE;
	*ret_kept = kept;
	return OK;
}

/* --- are the tools there? -------------------------------------------------------------------------------------------------- */

static int
major_of(const char *text)
{
	const char *p = text + strcspn(text, "0123456789");
	int n = 0;

	for (; *p >= '0' && *p <= '9' && n < 1000; p++)
		n = n * 10 + (*p - '0');
	return n;
}

bool
backup_tools(struct arena *a, const char *url, const char **ret_message)
{
	static const char *const names[] = {"pg_dump", "pg_restore"}, *const args[] = {"--version", NULL};
	struct raw_rows rows = {0};
	struct raw r;

	if (!url_is_postgres(url))
		return true;
	bool ok = raw_open(&r, a, url, false) && raw_exec(&r, "SHOW server_version", &rows);
	int server = ok ? major_of(rows.items[0].text[0]) : 0;
	if (!ok)
		*ret_message = r.message;
	raw_close(&r);
	for (size_t i = 0; ok && i < sizeof(names) / sizeof(names[0]); i++) {
		const char *text = "";
		ok = tool_run(a, &(const struct tool){.name = names[i], .args = args, .out_fd = -1}, &text, ret_message);
		if (ok && major_of(text) < server) {
			*ret_message = arena_printf(a, "%s is of version %d, and the server of version %d: it must not be older", names[i],
				major_of(text), server);
			ok = false;
		}
	}
	return ok;
}
