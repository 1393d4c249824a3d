/*
 * Migrations on both engines, and the words of the dialects.
 */
#include "store_env.h"

/* A text that is equal exactly when the schemas are. */
static const char *
schema_of(struct env *env)
{
	const char *lite =
		"SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_master WHERE name <> 'schema_migrations' AND"
		" name NOT LIKE 'sqlite%' ORDER BY type, name)";
	const char *pg =
		"SELECT string_agg(t, ' ') FROM (SELECT table_name || column_name || data_type || is_nullable"
		" || COALESCE(column_default, '') || is_identity AS t FROM information_schema.columns WHERE table_schema = "
		"'public'"
		" AND table_name <> 'schema_migrations' UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
		" AND tablename <> 'schema_migrations' UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid)"
		" FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> "
		"'schema_migrations'"
		" ORDER BY 1) s";

	return arena_strdup(&env->arena, env_sql(env, env->pg ? pg : lite));
}

static int
count_migrations(void)
{
	int n = 0;

	while (migrations[n].number)
		n++;
	return n;
}

static void
up(struct env *env, int expect)
{
	const char *message = "";
	int applied = -1;

	if (migrate_up(&env->arena, env->url, INT64_C(1767323045000000), &applied, &message) != OK)
		fail_msg("%s", message);
	assert_int_equal(applied, expect);
}

static void
up_is_refused(struct env *env, const char *why)
{
	const char *message = "";
	int applied = -1;

	assert_int_equal(migrate_up(&env->arena, env->url, 0, &applied, &message), ERR_UNAVAILABLE);
	assert_int_equal(applied, -1);
	if (!strstr(message, why))
		fail_msg("%s", message);
}

static void
up_down_up_gives_the_same_schema(void **state)
{
	struct env *env = *state;
	const char *message = "";
	int n = count_migrations(), undone = 0;

	assert_true(n > 0);
	up(env, n);
	const char *first = schema_of(env);
	assert_non_null(strstr(first, "idx_attendance_event_user"));
	up(env, 0);
	assert_int_equal(migrate_down(&env->arena, env->url, n + 5, &undone, &message), OK);
	assert_int_equal(undone, n);
	assert_string_equal(schema_of(env), "");
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM schema_migrations"), 0);
	up(env, n);
	assert_string_equal(schema_of(env), first);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM guards WHERE name = 'admins'"), 1);
	assert_string_equal(env_sql(env, "SELECT name FROM schema_migrations ORDER BY number"), "init");
}

/* A session that was over before anybody was on its roster is counted again; another, and an event, keep what was written. */
static void
a_late_roster_is_counted_again(void **state)
{
	struct env *env = *state;
	static const char *const made[] = {
		"INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, created_at,"
		" updated_at) VALUES ('00000000-0000-7000-8000-000000000001', 'a@example.org', 'A', 'student', TRUE, FALSE, FALSE,"
		" FALSE, '2026-05-01 00:00:00.000000', '2026-05-01 00:00:00.000000')",
		"INSERT INTO courses (id, code, title, owner_id, is_deleted, created_at) SELECT id, 'C', 'C', id, FALSE, created_at"
		" FROM users",
		"INSERT INTO enrollments (course_id, user_id, created_at) SELECT id, id, '2026-05-02 00:00:00.000000' FROM users",
		"INSERT INTO events (id, kind, title, scheduled_at, ends_at, course_id, owner_id, taken, generation, require_device,"
		" require_face, expected, is_deleted, created_at, updated_at) SELECT '00000000-0000-7000-8000-000000000002', 'session',"
		" 'before', '2026-05-01 09:00:00.000000', '2026-05-01 10:00:00.000000', id, id, 0, 0, FALSE, FALSE, 9, FALSE,"
		" created_at, created_at FROM users",
		"INSERT INTO events (id, kind, title, scheduled_at, ends_at, course_id, owner_id, taken, generation, require_device,"
		" require_face, expected, is_deleted, created_at, updated_at) SELECT '00000000-0000-7000-8000-000000000003', 'session',"
		" 'after', '2026-05-03 09:00:00.000000', '2026-05-03 10:00:00.000000', id, id, 0, 0, FALSE, FALSE, 1, FALSE,"
		" created_at, created_at FROM users",
		"INSERT INTO events (id, kind, title, scheduled_at, owner_id, taken, generation, require_device, require_face,"
		" expected, is_deleted, created_at, updated_at) SELECT '00000000-0000-7000-8000-000000000004', 'event', 'event',"
		" '2026-05-01 09:00:00.000000', id, 0, 0, FALSE, FALSE, 9, FALSE, created_at, created_at FROM users",
	};
	const char *message = "";
	int newer = 0, undone;

	for (int i = 0; i < count_migrations(); i++)
		newer += migrations[i].number >= 25;
	up(env, count_migrations());
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		(void)env_sql(env, made[i]);
	assert_int_equal(migrate_down(&env->arena, env->url, newer, &undone, &message), OK);
	up(env, newer);
	assert_string_equal(env_sql(env, "SELECT title FROM events WHERE expected IS NULL"), "before");
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM events WHERE expected IS NULL"), 1);
}

static void
edited_history_is_refused(void **state)
{
	struct env *env = *state;
	const char *message = "";
	int undone = -1, pending = -1;

	up(env, count_migrations());
	(void)env_sql(env, "UPDATE schema_migrations SET sha256 = 'f00' WHERE number = 1");
	up_is_refused(env, "0001_init was edited");
	assert_int_equal(migrate_down(&env->arena, env->url, 1, &undone, &message), ERR_UNAVAILABLE);
	assert_int_equal(undone, -1);
	assert_int_equal(migrate_status(&env->arena, env->url, stdout, false, &pending, &message), ERR_UNAVAILABLE);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM users"), 0); /* all is still there */
}

static void
a_newer_database_is_refused(void **state)
{
	struct env *env = *state;

	up(env, count_migrations());
	(void)env_sql(env, "INSERT INTO schema_migrations (number, name, sha256, applied_at)"
			   " VALUES (9000, 'later', 'f00', '2026-01-01 00:00:00.000000')");
	up_is_refused(env, "newer than this program: it has migration 9000_later");
	(void)env_sql(env, "DELETE FROM schema_migrations WHERE number = 1");
	up_is_refused(env, "does not fit this program");
}

static void
a_failed_migration_leaves_nothing(void **state)
{
	struct env *env = *state;

	(void)env_sql(env, "CREATE TABLE guards (x BIGINT)"); /* the last table of the first migration is in the way */
	up_is_refused(env, "migration 0001_init: ");
	assert_null(strstr(schema_of(env)[0] ? schema_of(env) : "", "users"));
	(void)env_sql(env, "DROP TABLE guards");
	up(env, count_migrations());
}

static void
starting_at_once_migrates_once(void **state)
{
	struct env *env = *state;
	pid_t pids[4];

	for (int i = 0; i < 4; i++) {
		if ((pids[i] = fork()) == 0) {
			const char *message = "";
			int applied = 0;
			enum err e = migrate_up(&env->arena, env->url, 0, &applied, &message);
			if (e != OK)
				(void)fprintf(stderr, "%s\n", message);
			_exit(e == OK ? applied : 77);
		}
	}
	int total = 0;
	for (int i = 0; i < 4; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 77);
		total += WEXITSTATUS(status);
	}
	assert_int_equal(total, count_migrations());
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM schema_migrations"), count_migrations());
}

static const char *
status_text(struct env *env, bool as_json, int expect_pending)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	const char *message = "";
	int pending = -1;

	if (migrate_status(&env->arena, env->url, out, as_json, &pending, &message) != OK)
		fail_msg("%s", message);
	assert_int_equal(pending, expect_pending);
	(void)fclose(out);
	const char *copy = arena_strdup(&env->arena, text);
	free(text);
	return copy;
}

static void
status_tells_what_is_pending(void **state)
{
	struct env *env = *state;
	int n = count_migrations();

	assert_true(str_starts(status_text(env, false, n), "0001_init\tpending\n"));
	if (!env->pg)
		assert_int_equal(access(env->path, F_OK), -1); /* asking makes no file */
	up(env, n);
	assert_true(str_starts(status_text(env, false, 0), "0001_init\tapplied 2026-01-02T03:04:05Z\n"));
	assert_true(str_starts(status_text(env, true, 0),
		"[{\"number\":1,\"name\":\"init\",\"applied\":true,\"applied_at\":\"2026-01-02T03:04:05Z\"}"));
}

static void
the_schema_text_makes_a_database_that_starts(void **state)
{
	struct env *env = *state, *other = env_new(false);
	char *text = NULL, *again = NULL;
	size_t n = 0;
	const char *message = "";
	FILE *out = open_memstream(&text, &n);

	assert_int_equal(migrate_schema(&env->arena, out, &message), OK);
	(void)fclose(out);
	out = open_memstream(&again, &n);
	assert_int_equal(migrate_schema(&env->arena, out, &message), OK);
	(void)fclose(out);
	assert_string_equal(text, again); /* stable: it is kept in the repository */
	assert_non_null(strstr(text, "INSERT INTO guards (name, touched) VALUES ('admins', 0);"));
	assert_non_null(strstr(text, "'1970-01-01 00:00:00.000000');"));

	sqlite3 *db;
	assert_int_equal(sqlite3_open(env->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	(void)sqlite3_close(db);
	up(env, 0);
	up(other, count_migrations());
	assert_string_equal(schema_of(env), schema_of(other));
	env_store(env);
	env_store(other);
	env_free(other);
	free(text);
	free(again);
}

static void
addresses(void **state)
{
	static const struct {
		const char *url, *path; /* NULL: refused */
	} cases[] = {
		{"sqlite:///./muster.db", "./muster.db"},
		{"sqlite:////var/lib/m.db", "/var/lib/m.db"},
		{"sqlite+aiosqlite:///./a.db", "./a.db"},
		{"sqlite+pysqlite:////a.db", "/a.db"},
		{"sqlite:///:memory:", NULL},
		{"sqlite://", NULL},
		{"sqlite:///", NULL},
		{"sqlite::memory:", NULL},
		{"sqlite:///a.db?mode=ro", NULL},
	};
	struct arena a;
	const char *message;
	struct db_store *s;
	struct stat st;
	struct env *env = *state;

	arena_init(&a);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(url_is_sqlite(cases[i].url));
		const char *path = sqlite_path(&a, cases[i].url, &message);
		if (!str_eq(path, cases[i].path))
			fail_msg("%s gives %s", cases[i].url, path ? path : "nothing");
	}
	assert_true(url_is_postgres("postgres://h/d") && url_is_postgres("postgresql://h/d") &&
		    url_is_postgres("postgresql+psycopg2://h/d"));
	static const char *const closed[] = {
		"mysql://x", "sqlite:////nowhere/at/all/m.db", "postgresql+psycopg2:///d?host=/nowhere"};
	for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		message = NULL;
		assert_int_equal(
			db_open(&a, &(struct db_options){.url = closed[i], .readers = 1}, &s, &message), ERR_UNAVAILABLE);
		assert_non_null(message);
	}
	up(env, count_migrations());
	assert_int_equal(stat(env->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	FILE *f = fopen(env->path, "w");
	(void)fputs("this is not a database, but it is long enough to be read as one: it needs a hundred bytes of something", f);
	(void)fclose(f);
	assert_int_equal(db_open(&a, &(struct db_options){.url = env->url, .readers = 1}, &s, &message), ERR_UNAVAILABLE);
	assert_non_null(strstr(message, "not a database"));
	arena_release(&a);
}

static void
type_words_become_the_engines_own(void **state)
{
	static const struct {
		const char *text, *sqlite, *postgres;
	} cases[] = {
		{"CREATE TABLE t (id UUID PRIMARY KEY, seq SEQ, n BIGINT, at TIMESTAMPTZ, x BYTEA, r DOUBLE  PRECISION);",
			"CREATE TABLE t (id TEXT PRIMARY KEY, seq INTEGER PRIMARY KEY, n INTEGER, at TEXT, x BLOB, "
			"r REAL) STRICT;",
			"CREATE TABLE t (id UUID PRIMARY KEY, seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n BIGINT, at "
			"TIMESTAMPTZ,"
			" x BYTEA, r DOUBLE  PRECISION);"},
		{"CREATE TABLE t (ok BOOLEAN NOT NULL) KEYED;",
			"CREATE TABLE t (ok INTEGER CHECK (ok IN (0,1)) NOT NULL) STRICT, WITHOUT ROWID;",
			"CREATE TABLE t (ok BOOLEAN NOT NULL);"},
		{"CREATE INDEX i ON t (a) WHERE b <> 'UUID'; ALTER TABLE t ADD COLUMN c BOOLEAN;",
			"CREATE INDEX i ON t (a) WHERE b <> 'UUID'; ALTER TABLE t ADD COLUMN c INTEGER CHECK (c IN (0,1));",
			"CREATE INDEX i ON t (a) WHERE b <> 'UUID'; ALTER TABLE t ADD COLUMN c BOOLEAN;"},
		{"-- a UUID; don't\nDROP TABLE uuid; /* BYTEA ' */ SELECT \"BYTEA\"",
			"-- a UUID; don't\nDROP TABLE uuid; /* BYTEA ' */ SELECT \"BYTEA\"",
			"-- a UUID; don't\nDROP TABLE uuid; /* BYTEA ' */ SELECT \"BYTEA\""},
		{"a;\n-- @sqlite\nCREATE TABLE s (x ANY);\n-- @end\n-- @postgres\np UUID;\n-- @end\nz BIGINT;",
			"a;\nCREATE TABLE s (x ANY);\nz INTEGER;", "a;\np UUID;\nz BIGINT;"},
		{"CREATE TABLE t (a TEXT CHECK (a IN ('x', 'y)')), -- it's (one\n b BIGINT)\n;",
			"CREATE TABLE t (a TEXT CHECK (a IN ('x', 'y)')), -- it's (one\n b INTEGER)\n STRICT;",
			"CREATE TABLE t (a TEXT CHECK (a IN ('x', 'y)')), -- it's (one\n b BIGINT)\n;"},
	};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(dialect_text(&a, true, cases[i].text), cases[i].sqlite);
		assert_string_equal(dialect_text(&a, false, cases[i].text), cases[i].postgres);
	}
	arena_release(&a);
}

static int
on_sqlite(void **state)
{
	*state = env_new(false);
	return 0;
}

static int
on_postgres(void **state)
{
	*state = env_new(true);
	return 0;
}

static int
done(void **state)
{
	env_free(*state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(type_words_become_the_engines_own),
		ON_SQLITE(addresses, on_sqlite, done),
		ON_BOTH(up_down_up_gives_the_same_schema, on_sqlite, on_postgres, done),
		ON_BOTH(a_late_roster_is_counted_again, on_sqlite, on_postgres, done),
		ON_BOTH(edited_history_is_refused, on_sqlite, on_postgres, done),
		ON_BOTH(a_newer_database_is_refused, on_sqlite, on_postgres, done),
		ON_BOTH(a_failed_migration_leaves_nothing, on_sqlite, on_postgres, done),
		ON_BOTH(starting_at_once_migrates_once, on_sqlite, on_postgres, done),
		ON_BOTH(status_tells_what_is_pending, on_sqlite, on_postgres, done),
		ON_SQLITE(the_schema_text_makes_a_database_that_starts, on_sqlite, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
