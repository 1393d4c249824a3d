/*
 * Many calls by one statement: what a batch's jobs write and read together must be what each would have written and read alone.
 * And two batches that want the same rows in opposite order.
 */
#include "store_acts.h"

static const char many_ddl[] =
	"CREATE TABLE kinds (id BIGINT PRIMARY KEY, t TEXT, u UUID, i BIGINT, r DOUBLE PRECISION, b BOOLEAN, m TIMESTAMPTZ) KEYED;"
	"CREATE TABLE pairs (a BIGINT NOT NULL, b BIGINT NOT NULL, PRIMARY KEY (a, b)) KEYED";

/* PostgreSQL only: how many statements wrote, whatever the number of rows. */
static const char statement_counter[] =
	"CREATE TABLE statements (n BIGINT NOT NULL); INSERT INTO statements VALUES (0);"
	"CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS"
	" $$ BEGIN UPDATE statements SET n = n + 1; RETURN NULL; END $$;"
	"CREATE TRIGGER counted AFTER INSERT ON kinds FOR EACH STATEMENT EXECUTE FUNCTION counted();"
	"CREATE TRIGGER counted AFTER INSERT ON pairs FOR EACH STATEMENT EXECUTE FUNCTION counted()";

struct kinds {
	int64_t id;
	const char *t;
	struct uuid u;
	int64_t i;
	double r;
	enum tri b;
	int64_t m;
};
static const struct field kinds_fields[] = {
	F(struct kinds, id, 0, 0, 0, ""),
	F(struct kinds, t, 0, 0, 0, ""),
	F(struct kinds, u, 0, 0, 0, ""),
	F(struct kinds, i, 0, 0, 0, ""),
	F(struct kinds, r, 0, 0, 0, ""),
	F(struct kinds, b, 0, 0, 0, ""),
	F(struct kinds, m, F_TIME, 0, 0, ""),
};
static const struct schema kinds_schema = SCHEMA("Kinds", struct kinds, kinds_fields);

SQL(K_ADD, "ituirbm", "INSERT INTO kinds (id, t, u, i, r, b, m) SELECT $1, $2, $3, $4, $5, $6, $7{+ FROM @}");
SQL(K_READ, "iut", "SELECT {+many.number, }k.id, k.t, k.u, k.i, k.r, k.b, k.m FROM {+@ CROSS JOIN }kinds k"
		   " WHERE k.id = $1 AND (k.u = $2 OR k.t = $3 OR k.id > 0)");
SQL(P_ADD, "ii", "INSERT INTO pairs (a, b) SELECT $1, $2{+ FROM @} WHERE $1 > 0 ON CONFLICT (a, b) DO NOTHING");
SQL(P_COUNT, "", "SELECT COUNT(*) FROM pairs");
SQL(P_THERE, "ii", "SELECT {+many.number, }p.a FROM {+@ CROSS JOIN }pairs p WHERE p.a = $1 AND p.b = $2");
SQL(C_BUMP, "t", "UPDATE counters SET n = n + 1 WHERE name = $1");

/* --- jobs ------------------------------------------------------------------------------------------------------------------ */

struct piece { /* of work, in one batch with others */
	enum err (*run)(struct ctx *cx, struct piece *p);
	int64_t a, b;
	struct kinds kinds;
	bool found;
	int64_t rows;
	int runs;
	pthread_barrier_t *meet; /* at the first run */
	enum err result;
	struct ctx cx;
	struct arena arena;
	struct db_job job;
};

static enum err
piece_run(struct ctx *cx, void *arg)
{
	struct piece *p = arg;

	p->runs++;
	return p->run(cx, p);
}

static void
piece_done(void *arg, enum err result)
{
	struct piece *p = arg;

	p->result = result;
	(void)sem_post(&all_done);
}

/* All in one batch, in this order, on a node (its first writer). */
static void
queue_pieces(const struct server *node, struct piece *pieces, size_t n, void (*ahead)(struct ctx *cx, void *arg))
{
	for (size_t i = 0; i < n; i++) {
		struct piece *p = &pieces[i];
		p->result = ERR__MAX;
		arena_init(&p->arena);
		ctx_init(&p->cx, &p->arena, node);
		p->job = (struct db_job){.cx = &p->cx, .ahead = ahead, .run = piece_run, .done = piece_done, .arg = p};
		assert_true(db_submit(node->store, &p->job));
	}
}

static void
run_pieces(struct env *env, struct piece *pieces, size_t n, void (*ahead)(struct ctx *cx, void *arg))
{
	struct gate g;

	gate_close(env, &g);
	queue_pieces(&env->srv, pieces, n, ahead);
	(void)sem_post(&g.open);
	wait_all(n + 1);
	for (size_t i = 0; i < n; i++)
		if (pieces[i].result != OK)
			fail_msg("piece %zu: %s %s", i, err_row(pieces[i].result)->name,
				pieces[i].cx.error.internal ? pieces[i].cx.error.internal : "");
	forget_acts();
}

static void
free_pieces(struct piece *pieces, size_t n)
{
	for (size_t i = 0; i < n; i++)
		arena_release(&pieces[i].arena);
}

/* --- writing --------------------------------------------------------------------------------------------------------------- */

static const struct kinds rows[] = {
	{1, "plain", {"018f0000-0000-7000-8000-00000000000a"}, 7, 0.1, TRI_YES, 1767323045123456},
	{2, NULL, {""}, FIELD_NONE, NAN, TRI_UNSET, TIME_NONE},
	{3, "", {"018f0000-0000-7000-8000-00000000000b"}, INT64_MAX, -1.5e300, TRI_NO, 0},
	{4, "NULL", {""}, -INT64_MAX, 1e-300, TRI_YES, 1},
	{5, "a\"b\\c,d{e}f'g", {""}, 0, 0, TRI_NO, 1767323045000000},
	{6, " zwei\n\tZeilen \\\" ", {""}, 1, 1, TRI_YES, 1767323045999999},
	{7, "Zoë Ärger 参加", {""}, 1, 1, TRI_YES, 1767323045999999},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static enum err
kinds_add(struct ctx *cx, struct piece *p)
{
	const struct kinds *k = &p->kinds;
	const struct val b = k->b == TRI_UNSET ? val_null() : V(k->b == TRI_YES);

	return db_exec(cx, &K_ADD, NULL, V(k->id), V(k->t), V_ID(k->u), V(k->i), V(k->r), b, V(k->m));
}

static void
kinds_ahead(struct ctx *cx, void *arg)
{
	struct piece *p = arg;

	db_ahead(cx, &K_READ, V(p->a), V_ID(p->kinds.u), V(p->kinds.t));
}

static enum err
kinds_read(struct ctx *cx, struct piece *p)
{
	return db_find(cx, &K_READ, &kinds_schema, &p->kinds, &p->found, V(p->a), V_ID(p->kinds.u), V(p->kinds.t));
}

static void
assert_kinds(const struct kinds *got, const struct kinds *want)
{
	assert_int_equal(got->id, want->id);
	if (!str_eq(got->t, want->t))
		fail_msg("%s instead of %s", got->t ? got->t : "(null)", want->t ? want->t : "(null)");
	assert_string_equal(got->u.text, want->u.text);
	assert_int_equal(got->i, want->i);
	assert_true(isnan(want->r) ? isnan(got->r) : got->r == want->r);
	assert_int_equal(got->b, want->b);
	assert_int_equal(got->m, want->m);
}

/* Every kind of value, with what array literals could trip over, written by one statement and read by one. */
static void
what_is_written_together_is_read_together(void **state)
{
	struct env *env = *state;
	struct piece add[ROWS] = {0}, read[ROWS + 1] = {0};

	for (int i = 0; i < ROWS; i++)
		add[i] = (struct piece){.run = kinds_add, .kinds = rows[i]};
	for (int i = 0; i <= ROWS; i++) /* backwards; the first asks for what is not there */
		read[i] = (struct piece){.run = kinds_read, .a = ROWS + 1 - i, .kinds = i ? rows[ROWS - i] : rows[0]};
	run_pieces(env, add, ROWS, NULL);
	if (env->pg)
		assert_int_equal(env_count(env, "SELECT n FROM statements"), 1);
	run_pieces(env, read, ROWS + 1, kinds_ahead);
	assert_false(read[0].found);
	for (int i = 1; i <= ROWS; i++) {
		assert_true(read[i].found);
		assert_kinds(&read[i].kinds, &rows[ROWS - i]);
	}
	free_pieces(add, ROWS);
	free_pieces(read, ROWS + 1);
}

static enum err
pair_add(struct ctx *cx, struct piece *p)
{
	struct db_step step = DB_STEP(&P_ADD, NULL, NULL, V(p->a), V(p->b));

	step.expect = 1;
	TRY(db_list(cx, &step, 1));
	p->rows = step.rows;
	return OK;
}

static enum err
pair_add_and_count(struct ctx *cx, struct piece *p)
{
	TRY(db_exec(cx, &P_ADD, NULL, V(p->a), V(p->b)));
	return db_int(cx, &P_COUNT, &p->rows);
}

/* Of what was foretold in vain each hears the truth, and the others are done. */
static void
each_hears_what_it_changed(void **state)
{
	struct env *env = *state;
	struct piece p[] = {
		{.run = pair_add, .a = 1, .b = 1},
		{.run = pair_add, .a = 1, .b = 2},
		{.run = pair_add, .a = 1, .b = 1},
		{.run = pair_add, .a = -1, .b = 1},
		{.run = pair_add, .a = 2, .b = 1},
	};
	static const int64_t changed[] = {1, 1, 0, 0, 1};

	run_pieces(env, p, 5, NULL);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(p[i].rows, changed[i]);
		assert_int_equal(p[i].runs, env->pg ? 2 : 1);
	}
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM pairs"), 3);
	free_pieces(p, 5);
}

/* A question sees what was written before it, and what it waits for is not written twice. */
static void
questions_come_after_what_waits(void **state)
{
	struct env *env = *state;
	struct piece p[] = {
		{.run = pair_add, .a = 1, .b = 1},
		{.run = pair_add, .a = 1, .b = 2},
		{.run = pair_add_and_count, .a = 1, .b = 3},
		{.run = pair_add, .a = 1, .b = 4},
		{.run = pair_add_and_count, .a = 1, .b = 5},
	};

	run_pieces(env, p, 5, NULL);
	assert_int_equal(p[2].rows, 3);
	assert_int_equal(p[4].rows, 5);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM pairs"), 5);
	if (env->pg)
		assert_int_equal(env_count(env, "SELECT n FROM statements"), 2);
	free_pieces(p, 5);
}

static enum err
kinds_add_and_fail(struct ctx *cx, struct piece *p)
{
	TRY(kinds_add(cx, p));
	return fail(cx, ERR_FORBIDDEN, "as asked");
}

/* What waits to be written goes with the batch that is undone. */
static void
what_is_undone_is_not_written(void **state)
{
	struct env *env = *state;
	struct piece p[3] = {0};
	struct gate g;

	for (int i = 0; i < 3; i++)
		p[i] = (struct piece){.run = i == 1 ? kinds_add_and_fail : kinds_add, .kinds = rows[i]};
	gate_close(env, &g);
	queue_pieces(&env->srv, p, 3, NULL);
	(void)sem_post(&g.open);
	wait_all(4);
	assert_int_equal(p[0].result, OK);
	assert_int_equal(p[1].result, ERR_FORBIDDEN);
	assert_int_equal(p[2].result, OK);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM kinds"), 2);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM kinds WHERE id = 2"), 0);
	free_pieces(p, 3);
}

/* --- reading ahead --------------------------------------------------------------------------------------------------------- */

static void
there_ahead(struct ctx *cx, void *arg)
{
	struct piece *p = arg;

	db_ahead(cx, &P_THERE, V(p->a), V(p->b));
}

static enum err
add_unless_there(struct ctx *cx, struct piece *p)
{
	int64_t a;

	TRY(db_int(cx, &P_THERE, &a, V(p->a), V(p->b)));
	p->found = a != 0;
	if (p->found)
		return OK;
	TRY(pair_add(cx, p));
	TRY(db_int(cx, &P_THERE, &a, V(p->a), V(p->b))); /* a second time nothing is remembered */
	return a == p->a ? OK : fail(cx, ERR_INTERNAL, "what was written is not there");
}

/* The same question of two jobs is answered to the first only: the other sees what that one did. */
static void
a_question_is_answered_once(void **state)
{
	struct env *env = *state;
	struct piece p[] = {
		{.run = add_unless_there, .a = 1, .b = 1},
		{.run = add_unless_there, .a = 1, .b = 2},
		{.run = add_unless_there, .a = 1, .b = 1},
		{.run = add_unless_there, .a = 2, .b = 1},
		{.run = add_unless_there, .a = 1, .b = 1},
	};

	for (int round = 0; round < 2; round++) {
		run_pieces(env, p, 5, there_ahead);
		for (int i = 0; i < 5; i++) {
			assert_int_equal(p[i].found, round == 1 || i == 2 || i == 4);
			assert_int_equal(p[i].runs, round + 1);
		}
		free_pieces(p, 5);
	}
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM pairs"), 3);
}

/* --- opposite orders ------------------------------------------------------------------------------------------------------- */

static enum err
bump(struct ctx *cx, struct piece *p)
{
	int64_t changed;

	if (p->meet && p->runs == 1)
		pthread_barrier_wait(p->meet);
	TRY(db_exec(cx, &C_BUMP, &changed, V(p->a == 1 ? "one" : "two")));
	return changed == 1 ? OK : fail(cx, ERR_INTERNAL, "no such row");
}

static int64_t
deadlocks(struct env *env)
{
	static const char name[] = "\nmuster_deadlocks_total ";
	int64_t n = 0;
	struct buf b;

	buf_init(&b, &env->arena, 4096);
	metrics_print(env->options.metrics, &b, NULL);
	const char *at = strstr(buf_cstr(&b), name);
	for (at = at ? at + strlen(name) : ""; *at >= '0' && *at <= '9'; at++)
		n = 10 * n + *at - '0';
	return n;
}

/*
 * Each batch of two nodes has one of two rows when it asks for the other's.  PostgreSQL ends one of them; both are done in the end.
 * (On a machine that stands still for half a second the lock time-out ends it first: then there is another round.)
 */
static void
opposite_orders_lose_nothing(void **state)
{
	struct env *env = *state;
	struct env nodes[2] = {{.pg = true}, {.pg = true}};
	const char *message = "";
	pthread_barrier_t meet;
	int rounds = 0;

	(void)env_sql(env, "INSERT INTO counters (name, n) VALUES ('two', 0);"
			   "ALTER ROLE muster SET deadlock_timeout = '20ms'");
	db_close(env->srv.store);
	env->options.metrics = metrics_open(1);
	env_store(env);
	nodes[0].srv = nodes[1].srv = env->srv;
	if (db_open(&env->arena, &env->options, &nodes[1].srv.store, &message) != OK)
		fail_msg("%s", message);
	pthread_barrier_init(&meet, NULL, 2);
	while (deadlocks(env) == 0 && rounds++ < 100) {
		struct piece p[2][2] = {0};
		struct gate g[2];
		for (int i = 0; i < 2; i++) { /* gates hold each writer until its two jobs are queued: they are one batch */
			p[i][0] = (struct piece){.run = bump, .a = i};
			p[i][1] = (struct piece){.run = bump, .a = 1 - i, .meet = &meet};
			gate_close(&nodes[i], &g[i]);
			queue_pieces(&nodes[i].srv, p[i], 2, NULL);
		}
		(void)sem_post(&g[0].open);
		(void)sem_post(&g[1].open);
		wait_all(6);
		for (int i = 0; i < 4; i++)
			assert_int_equal(p[i / 2][i % 2].result, OK);
		assert_int_equal(env_count(env, "SELECT n FROM counters WHERE name = 'one'"), 2 * rounds);
		assert_int_equal(env_count(env, "SELECT n FROM counters WHERE name = 'two'"), 2 * rounds);
		free_pieces(p[0], 2);
		free_pieces(p[1], 2);
		forget_acts();
	}
	assert_true(deadlocks(env) > 0);
	(void)env_sql(env, "ALTER ROLE muster RESET deadlock_timeout");
	pthread_barrier_destroy(&meet);
	db_close(nodes[1].srv.store);
	db_close(env->srv.store);
	metrics_close(env->options.metrics);
	env->options.metrics = NULL;
	env_store(env);
}

static int
many_on_sqlite(void **state)
{
	int e = on_sqlite(state);

	(void)env_sql(*state, many_ddl);
	return e;
}

static int
many_on_postgres(void **state)
{
	int e = on_postgres(state);

	(void)env_sql(*state, many_ddl);
	(void)env_sql(*state, statement_counter);
	return e;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(what_is_written_together_is_read_together, many_on_sqlite, many_on_postgres, done),
		ON_BOTH(each_hears_what_it_changed, many_on_sqlite, many_on_postgres, done),
		ON_BOTH(questions_come_after_what_waits, many_on_sqlite, many_on_postgres, done),
		ON_BOTH(what_is_undone_is_not_written, many_on_sqlite, many_on_postgres, done),
		ON_BOTH(a_question_is_answered_once, many_on_sqlite, many_on_postgres, done),
		ON_POSTGRES(opposite_orders_lose_nothing, many_on_postgres, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
