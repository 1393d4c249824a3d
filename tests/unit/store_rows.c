/*
 * Statements, variants, and rows into structs: the same bodies on SQLite and on a real PostgreSQL.
 */
#include "store_env.h"

static const char ddl[] = "CREATE TABLE owners (id UUID PRIMARY KEY, title TEXT NOT NULL, size BIGINT);"
			  "CREATE TABLE things (id UUID PRIMARY KEY, name TEXT NOT NULL UNIQUE, n BIGINT, r DOUBLE PRECISION,"
			  " b BOOLEAN NOT NULL, maybe BOOLEAN, at TIMESTAMPTZ, data TEXT, bytes BYTEA,"
			  " colour TEXT CHECK (colour IN ('red','green','black')), owner_id UUID REFERENCES owners (id)) KEYED;";

enum colour { COLOUR_NONE = 0, COLOUR_RED, COLOUR_GREEN };
static const char *const colour_names[] = {"", "red", "green", NULL};

struct owner {
	const char *title;
	int64_t size;
};
static const struct field owner_fields[] = {
	F(struct owner, title, 0, 0, 0, ""),
	F(struct owner, size, 0, 0, 0, ""),
};
static const struct schema owner_schema = SCHEMA("Owner", struct owner, owner_fields);

struct thing {
	struct uuid id;
	const char *name;
	int64_t n;
	double r;
	bool b;
	enum tri maybe;
	int64_t at;
	const char *data;
	int colour;
	struct owner owner;
	struct owner *keeper;
};
static const struct field thing_fields[] = {
	F(struct thing, id, 0, 0, 0, ""),
	F(struct thing, name, 0, 0, 0, ""),
	F(struct thing, n, 0, 0, 0, ""),
	F(struct thing, r, 0, 0, 0, ""),
	F(struct thing, b, 0, 0, 0, ""),
	F(struct thing, maybe, 0, 0, 0, ""),
	F(struct thing, at, F_TIME, 0, 0, ""),
	F(struct thing, data, F_JSON, 0, 0, ""),
	F_ENUM(struct thing, colour, 0, colour_names, ""),
	F_OBJ(struct thing, owner, &owner_schema, ""),
	F_PTR(struct thing, keeper, 0, &owner_schema, ""),
};
static const struct schema thing_schema = SCHEMA("Thing", struct thing, thing_fields);

static const char id_a[] = "018f0000-0000-7000-8000-00000000000a", id_b[] = "018f0000-0000-7000-8000-00000000000b";
static const int64_t some_time = INT64_C(1767323045123456); /* 2026-01-02 03:04:05.123456 */

SQL(T_ADD, "utirbbmtxtu",
	"INSERT INTO things (id, name, n, r, b, maybe, at, data, bytes, colour, owner_id)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
SQL(T_SHORT, "ut", "INSERT INTO things (id, name, b) VALUES ($1, $2, FALSE)");
SQL(T_OWNER, "uti", "INSERT INTO owners (id, title, size) VALUES ($1, $2, $3)");
SQL(T_GET, "u", "SELECT id, name, n, r, b, maybe, at, data, colour FROM things WHERE id = $1");
SQL(T_JOINED, "u",
	"SELECT t.id, o.title AS \"owner.title\", o.size AS \"owner.size\", o.title AS \"keeper.title\", o.size AS "
	"\"keeper.size\""
	" FROM things t LEFT JOIN owners o ON o.id = t.owner_id WHERE t.id = $1");
SQL(T_EQUAL, "utirbmx",
	"SELECT COUNT(*) FROM things WHERE id = $1 AND name = $2 AND n = $3 AND r = $4 AND b = $5 AND at = $6 AND bytes = $7");
SQL(T_FILTER, "bti", "SELECT id, name FROM things WHERE b = $1{?2 AND name = $2}{?3 AND n > $3} ORDER BY name");
SQL(T_ORDER, "tut", "SELECT $3 AS name, id FROM things WHERE id = $2 AND name = $1");
SQL(T_SET, "it", "UPDATE things SET n = $1 WHERE name = $2 RETURNING id, name, n");
SQL(T_SET_ALL, "i", "UPDATE things SET n = $1");
SQL(T_SUM, "", "SELECT SUM(n) FROM things");
SQL(T_LATEST, "", "SELECT MAX(at) FROM things");
SQL(T_ANY, "", "SELECT EXISTS (SELECT 1 FROM things)");
SQL(T_NONE, "", "SELECT n FROM things WHERE FALSE");
SQL(T_STRANGE, "", "SELECT id, n AS surprise FROM things");
SQL(T_IF, "uut", "INSERT INTO things (id, name, b) SELECT $1, $3, FALSE WHERE EXISTS (SELECT 1 FROM things WHERE id = $2)");
SQL(T_MANY, "i",
	"WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $1) SELECT i AS n, 'x' AS name FROM s");
SQL(T_COLOUR, "", "SELECT 'black' AS colour FROM things");

/* Runs a body inside one unit of writing. */
static enum err
write_with(struct env *env, enum err (*fn)(struct ctx *cx, void *arg), struct ctx *cx)
{
	env_cx(env, cx);
	return db_write(cx, fn, env);
}

static struct ctx
written(struct env *env, enum err (*fn)(struct ctx *cx, void *arg))
{
	struct ctx cx;
	enum err e = write_with(env, fn, &cx);

	if (e != OK)
		fail_msg("%s: %s", err_row(e)->name, cx.error.internal ? cx.error.internal : "");
	assert_null(cx.db);
	return cx;
}

/* --- kinds ----------------------------------------------------------------------------------------------------------------- */

static enum err
all_kinds(struct ctx *cx, void *arg)
{
	struct uuid a = {"018f0000-0000-7000-8000-00000000000a"};
	const char *name = "O'Brien \"Ω\" $1 {?2}";
	struct thing t;
	int64_t rows = -1, equal = 0;

	(void)arg;
	TRY(db_exec(cx, &T_ADD, &rows, V_ID(a), V(name), V(INT64_C(-9007199254740993)), V(0.1), V(true), V(false), V(some_time),
		V("{\"a\":[1]}"), V(((struct span){(const uint8_t *)"\0\1\xff", 3})), V(colour_names[COLOUR_GREEN]), val_null()));
	assert_int_equal(rows, 1);
	TRY(db_one(cx, &T_GET, &thing_schema, &t, V_ID(a)));
	assert_string_equal(t.id.text, id_a);
	assert_string_equal(t.name, name);
	assert_int_equal(t.n, INT64_C(-9007199254740993));
	assert_true(t.r == 0.1);
	assert_true(t.b);
	assert_int_equal(t.maybe, TRI_NO);
	assert_int_equal(t.at, some_time);
	assert_string_equal(t.data, "{\"a\":[1]}");
	assert_int_equal(t.colour, COLOUR_GREEN);
	TRY(db_int(cx, &T_EQUAL, &equal, V_ID(a), V(name), V(INT64_C(-9007199254740993)), V(0.1), V(true), V(some_time),
		V(((struct span){(const uint8_t *)"\0\1\xff", 3}))));
	assert_int_equal(equal, 1);
	bool found;
	TRY(db_find(cx, &T_GET, &thing_schema, &t, &found, V("nonsense"))); /* is nobody's id, and no failure */
	assert_false(found);
	return OK;
}

static void
every_kind_round_trips(void **state)
{
	struct env *env = *state;

	(void)written(env, all_kinds);
	if (!env->pg) /* what an operator's SQL relies on */
		assert_string_equal(env_sql(env, "SELECT b || ' ' || maybe || ' ' || at || ' ' || typeof(bytes) FROM things"),
			"1 0 2026-01-02 03:04:05.123456 blob");
}

static enum err
all_absent(struct ctx *cx, void *arg)
{
	struct uuid none = {""};
	struct thing t;

	(void)arg;
	TRY(db_exec(cx, &T_ADD, NULL, V(id_a), V("x"), V(FIELD_NONE), V((double)NAN), V(false), val_null(), V(TIME_NONE),
		V((char *)NULL), V(((struct span){NULL, 0})), V((const char *)NULL), V_ID(none)));
	memset(&t, 0x55, sizeof(t));
	TRY(db_one(cx, &T_GET, &thing_schema, &t, V(id_a)));
	assert_int_equal(t.n, FIELD_NONE);
	assert_true(isnan(t.r));
	assert_false(t.b);
	assert_int_equal(t.maybe, TRI_UNSET);
	assert_int_equal(t.at, TIME_NONE);
	assert_null(t.data);
	assert_int_equal(t.colour, COLOUR_NONE);
	assert_null(t.owner.title);
	assert_int_equal(t.owner.size, FIELD_NONE);
	assert_null(t.keeper);
	return OK;
}

static void
null_is_absent(void **state)
{
	struct env *env = *state;

	(void)written(env, all_kinds); /* no value of an earlier use may be left in a statement */
	(void)env_sql(env, "DELETE FROM things");
	(void)written(env, all_absent);
	assert_int_equal(
		env_count(env, "SELECT COUNT(*) FROM things WHERE n IS NULL AND r IS NULL AND maybe IS NULL AND at IS NULL"
			       " AND data IS NULL AND bytes IS NULL AND colour IS NULL AND owner_id IS NULL"),
		1);
}

static enum err
nested(struct ctx *cx, void *arg)
{
	struct thing t;

	(void)arg;
	TRY(db_exec(cx, &T_OWNER, NULL, V(id_b), V("lab"), val_null()));
	TRY(db_exec(cx, &T_SHORT, NULL, V(id_a), V("alone")));
	TRY(db_exec(cx, &T_ADD, NULL, V(id_b), V("owned"), val_null(), val_null(), V(true), val_null(), val_null(), val_null(),
		val_null(), val_null(), V(id_b)));
	TRY(db_one(cx, &T_JOINED, &thing_schema, &t, V(id_a)));
	assert_null(t.owner.title);
	assert_null(t.keeper); /* all its columns are null */
	TRY(db_one(cx, &T_JOINED, &thing_schema, &t, V(id_b)));
	assert_string_equal(t.owner.title, "lab");
	assert_string_equal(t.keeper->title, "lab");
	assert_int_equal(t.keeper->size, FIELD_NONE); /* a null beside a value */
	return OK;
}

static void
columns_reach_into_objects(void **state)
{
	(void)written(*state, nested);
}

/* --- statements ------------------------------------------------------------------------------------------------------------ */

static size_t
filtered(struct ctx *cx, struct val name, struct val n, const char *first)
{
	struct list l = {0};

	assert_int_equal(db_all(cx, &T_FILTER, &thing_schema, &l, V(false), name, n), OK);
	assert_string_equal(l.count ? ((struct thing *)l.items)[0].name : "", first);
	return l.count;
}

static enum err
variants(struct ctx *cx, void *arg)
{
	int64_t rows = 0;
	struct thing t;
	bool found = false;

	(void)arg;
	TRY(db_exec(cx, &T_SHORT, NULL, V(id_a), V("a")));
	TRY(db_exec(cx, &T_SHORT, NULL, V(id_b), V("b")));
	TRY(db_exec(cx, &T_SET_ALL, &rows, V(5)));
	assert_int_equal(rows, 2);
	TRY(db_one(cx, &T_SET, &thing_schema, &t, V(9), V("b")));
	assert_int_equal(t.n, 9);
	assert_int_equal(filtered(cx, val_null(), val_null(), "a"), 2);
	assert_int_equal(filtered(cx, V("b"), val_null(), "b"), 1);
	assert_int_equal(filtered(cx, val_null(), V(7), "b"), 1);
	assert_int_equal(filtered(cx, V("a"), V(7), ""), 0);
	TRY(db_one(cx, &T_ORDER, &thing_schema, &t, V("a"), V(id_a), V("third")));
	assert_string_equal(t.name, "third");
	TRY(db_find(cx, &T_ORDER, &thing_schema, &t, &found, V("b"), V(id_a), V("none")));
	assert_false(found);
	assert_string_equal(t.name, "third"); /* untouched */
	return OK;
}

static void
filters_become_variants(void **state)
{
	(void)written(*state, variants);
}

static enum err
numbers(struct ctx *cx, void *arg)
{
	int64_t v = 77;

	(void)arg;
	TRY(db_int(cx, &T_SUM, &v));
	assert_int_equal(v, 0); /* null */
	TRY(db_int(cx, &T_NONE, &v));
	assert_int_equal(v, 0);
	TRY(db_int(cx, &T_ANY, &v));
	assert_int_equal(v, 0);
	TRY(db_exec(cx, &T_ADD, NULL, V(id_a), V("x"), V(41), val_null(), V(true), val_null(), V(some_time), val_null(),
		val_null(), val_null(), val_null()));
	TRY(db_int(cx, &T_SUM, &v));
	assert_int_equal(v, 41);
	TRY(db_int(cx, &T_ANY, &v));
	assert_int_equal(v, 1);
	TRY(db_int(cx, &T_LATEST, &v));
	assert_int_equal(v, some_time);
	return OK;
}

static void
db_int_reads_counts_and_times(void **state)
{
	(void)written(*state, numbers);
}

static enum err
many(struct ctx *cx, void *arg)
{
	struct list l;

	(void)arg;
	TRY(db_all(cx, &T_MANY, &thing_schema, &l, V(LIST_MAX + 10)));
	assert_int_equal(l.count, LIST_MAX);
	assert_int_equal(((struct thing *)l.items)[LIST_MAX - 1].n, LIST_MAX);
	assert_int_equal(((struct thing *)l.items)[0].at, TIME_NONE);
	return OK;
}

static void
lists_are_bounded(void **state)
{
	struct env *env = *state;
	struct ctx cx;

	env_cx(env, &cx);
	assert_int_equal(db_read(&cx, many, NULL), OK);
	assert_null(cx.db);
}

static enum err
step_list(struct ctx *cx, void *arg)
{
	struct thing t = {.name = "untouched"}, none = {.name = "untouched"};
	struct db_step steps[] = {
		DB_STEP(&T_SHORT, NULL, NULL, V(id_a), V("a")),
		DB_STEP(&T_IF, NULL, NULL, V(id_b), V(id_a), V("b")),
		DB_STEP(&T_IF, NULL, NULL, V("018f0000-0000-7000-8000-00000000000c"), V("018f0000-0000-7000-8000-0000000000ff"),
			V("c")),
		DB_STEP(&T_SET, &thing_schema, &t, V(3), V("b")),
		DB_STEP(&T_SET, &thing_schema, &none, V(3), V("nobody")),
		DB_STEP(&T_SET_ALL, NULL, NULL, V(8)),
	};

	(void)arg;
	TRY(db_list(cx, steps, sizeof(steps) / sizeof(steps[0])));
	assert_int_equal(steps[0].rows, 1);
	assert_int_equal(steps[1].rows, 1);
	assert_int_equal(steps[2].rows, 0); /* its condition did not hold */
	assert_int_equal(steps[3].rows, 1);
	assert_string_equal(t.id.text, id_b);
	assert_int_equal(t.n, 3);
	assert_int_equal(steps[4].rows, 0);
	assert_string_equal(none.name, "untouched");
	assert_int_equal(steps[5].rows, 2);
	return OK;
}

static enum err
step_conflict(struct ctx *cx, void *arg)
{
	struct db_step steps[] = {
		DB_STEP(&T_SHORT, NULL, NULL, V("018f0000-0000-7000-8000-00000000000d"), V("d")),
		DB_STEP(&T_SHORT, NULL, NULL, V("018f0000-0000-7000-8000-00000000000d"), V("d")),
		DB_STEP(&T_SET_ALL, NULL, NULL, V(1000)),
	};

	(void)arg;
	return db_list(cx, steps, 3);
}

static void
statement_lists(void **state)
{
	struct env *env = *state;
	struct ctx cx;

	(void)written(env, step_list);
	assert_int_equal(write_with(env, step_conflict, &cx), ERR_CONFLICT);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM things WHERE n = 8"), 2);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM things"), 2);
	(void)written(env, many); /* the connection is in order again */
}

/* --- failures -------------------------------------------------------------------------------------------------------------- */

static enum err
twice(struct ctx *cx, void *arg)
{
	(void)arg;
	TRY(db_exec(cx, &T_SHORT, NULL, V(id_a), V("a")));
	return db_exec(cx, &T_SHORT, NULL, V(id_b), V("a"));
}

static enum err
orphan(struct ctx *cx, void *arg)
{
	(void)arg;
	return db_exec(cx, &T_ADD, NULL, V(id_b), V("o"), val_null(), val_null(), V(true), val_null(), val_null(), val_null(),
		val_null(), val_null(), V(id_a));
}

static enum err
against_check(struct ctx *cx, void *arg)
{
	(void)arg;
	return db_exec(cx, &T_ADD, NULL, V(id_b), V("o"), val_null(), val_null(), V(true), val_null(), val_null(), val_null(),
		val_null(), V("blue"), val_null());
}

static enum err
nobody(struct ctx *cx, void *arg)
{
	struct thing t;

	(void)arg;
	return db_one(cx, &T_GET, &thing_schema, &t, V(id_b));
}

static enum err
unknown_name(struct ctx *cx, void *arg)
{
	struct thing t;

	(void)arg;
	TRY(db_exec(cx, &T_SHORT, NULL, V(id_a), V("a")));
	return db_one(cx, &T_COLOUR, &thing_schema, &t);
}

static void
failures_have_their_codes(void **state)
{
	static const struct {
		enum err (*fn)(struct ctx *cx, void *arg);
		enum err code;
		bool internal;
	} cases[] = {{twice, ERR_CONFLICT, true}, {orphan, ERR_CONFLICT, true}, {against_check, ERR_INTERNAL, true},
		{nobody, ERR_NOT_FOUND, false}, {unknown_name, ERR_INTERNAL, true}};
	struct env *env = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ctx cx;
		assert_int_equal(write_with(env, cases[i].fn, &cx), cases[i].code);
		assert_int_equal(cx.error.code, cases[i].code);
		assert_null(cx.error.message); /* nothing of the engine's reaches the client */
		assert_int_equal(cx.error.internal != NULL, cases[i].internal);
		assert_int_equal(env_count(env, "SELECT COUNT(*) FROM things"), 0);
	}
}

static enum err
write_here(struct ctx *cx, void *arg)
{
	(void)arg;
	return db_exec(cx, &T_SHORT, NULL, V(id_a), V("a"));
}

static void
readers_cannot_write(void **state)
{
	struct env *env = *state;
	struct ctx cx;

	env_cx(env, &cx);
	assert_int_equal(db_read(&cx, write_here, NULL), ERR_UNAVAILABLE);
	cx.db = db_reader_open(env->srv.store);
	assert_non_null(cx.db);
	assert_int_equal(db_exec(&cx, &T_SHORT, NULL, V(id_a), V("a")), ERR_UNAVAILABLE);
	assert_int_equal(db_ping(&cx), OK);
	db_reader_close(cx.db);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM things"), 0);
}

static void
every_statement_prepares(void **state)
{
	struct env *env = *state;
	const char *message = "";

	if (!db_prepare_all(env->srv.store, &message))
		fail_msg("%s", message);
	assert_string_equal(db_engine_name(env->srv.store), env->pg ? "postgresql" : "sqlite");
	(void)env_sql(env, "ALTER TABLE things DROP COLUMN maybe");
	assert_false(db_prepare_all(env->srv.store, &message));
	assert_non_null(strstr(message, "maybe"));
}

/* The child of a fork has no writer thread: it reads on a connection of its own. */
static void
read_strange(struct env *env)
{
	struct ctx cx;
	struct list l;

	env_cx(env, &cx);
	cx.db = db_reader_open(env->srv.store);
	(void)!db_all(&cx, &T_STRANGE, &thing_schema, &l);
}

static void
read_short_of_arguments(struct env *env)
{
	struct ctx cx;
	struct thing t;

	env_cx(env, &cx);
	cx.db = db_reader_open(env->srv.store);
	(void)!db_one(&cx, &T_GET, &thing_schema, &t);
}

static void
read_wrong_kind(struct env *env)
{
	struct ctx cx;
	struct thing t;

	env_cx(env, &cx);
	cx.db = db_reader_open(env->srv.store);
	(void)!db_one(&cx, &T_GET, &thing_schema, &t, V(12));
}

static void
read_tri_as_bool(struct env *env)
{
	struct ctx cx;
	struct list l;

	env_cx(env, &cx);
	cx.db = db_reader_open(env->srv.store);
	(void)!db_all(&cx, &T_FILTER, &thing_schema, &l, V(TRI_YES), val_null(), val_null());
}

static void
read_without_connection(struct env *env)
{
	struct ctx cx;

	env_cx(env, &cx);
	(void)!db_ping(&cx);
}

static void
mistakes_of_ours_are_bugs(void **state)
{
	struct env *env = *state;

	(void)env_sql(env, "INSERT INTO things (id, name, b) VALUES ('018f0000-0000-7000-8000-00000000000a', 'a', FALSE)");
	assert_true(env_aborts(read_strange, env));
	assert_true(env_aborts(read_short_of_arguments, env));
	assert_true(env_aborts(read_wrong_kind, env));
	assert_true(env_aborts(read_tri_as_bool, env));
	assert_true(env_aborts(read_without_connection, env));
}

static int
on_sqlite(void **state)
{
	*state = env_make(false, ddl);
	return 0;
}

static int
on_postgres(void **state)
{
	*state = env_make(true, ddl);
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
		ON_BOTH(every_kind_round_trips, on_sqlite, on_postgres, done),
		ON_BOTH(null_is_absent, on_sqlite, on_postgres, done),
		ON_BOTH(columns_reach_into_objects, on_sqlite, on_postgres, done),
		ON_BOTH(filters_become_variants, on_sqlite, on_postgres, done),
		ON_BOTH(db_int_reads_counts_and_times, on_sqlite, on_postgres, done),
		ON_BOTH(lists_are_bounded, on_sqlite, on_postgres, done),
		ON_BOTH(statement_lists, on_sqlite, on_postgres, done),
		ON_BOTH(failures_have_their_codes, on_sqlite, on_postgres, done),
		ON_BOTH(readers_cannot_write, on_sqlite, on_postgres, done),
		ON_BOTH(every_statement_prepares, on_sqlite, on_postgres, done),
		ON_BOTH(mistakes_of_ours_are_bugs, on_sqlite, on_postgres, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
