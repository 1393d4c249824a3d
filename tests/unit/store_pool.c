/* Connections to PostgreSQL: how many there are, what their sessions are set to, and what is tried again. */
#include <pthread.h>

#include "store_acts.h"

SQL(P_ONE, "", "SELECT COUNT(*) FROM counters");
SQL(P_SETTINGS, "",
	"SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,"
	" current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('TimeZone') AS zone,"
	" current_setting('default_transaction_read_only') AS read_only, current_setting('jit') AS jit");

enum { KEPT = 2, MOST = 4, WAIT_S = 60 };

static int64_t
sessions(struct env *env)
{
	return env_count(env, "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'muster'");
}

/* PostgreSQL forgets a session some time after its end. */
static void
expect_sessions(struct env *env, int64_t wanted)
{
	int64_t until_us = time_monotonic_us() + WAIT_S * SECONDS_US;
	const struct timespec pause = {.tv_nsec = 5000000};

	while (sessions(env) != wanted) {
		if (time_monotonic_us() > until_us)
			fail_msg("%lld sessions instead of %lld", (long long)sessions(env), (long long)wanted);
		(void)nanosleep(&pause, NULL);
	}
}

struct reading {
	struct env *env;
	sem_t *inside, *leave;
	enum err result;
	pthread_t thread;
};

static enum err
stay(struct ctx *cx, void *arg)
{
	struct reading *r = arg;
	int64_t n;

	TRY(db_int(cx, &P_ONE, &n));
	(void)sem_post(r->inside);
	(void)sem_wait(r->leave);
	return OK;
}

static void *
read_once(void *arg)
{
	struct reading *r = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &r->env->srv);
	r->result = db_read(&cx, stay, r);
	arena_release(&a);
	return NULL;
}

static void
overflow_lasts_as_long_as_the_load(void **state)
{
	struct env *env = *state;
	struct reading list[MOST + 1];
	sem_t inside, leave;

	db_close(env->srv.store);
	expect_sessions(env, 0);
	env->options.readers = MOST;
	env->options.readers_kept = KEPT;
	env_store(env);
	int64_t others = sessions(env); /* the writers' */
	assert_true(others > 0);
	(void)sem_init(&inside, 0, 0);
	(void)sem_init(&leave, 0, 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i <= MOST; i++) {
			list[i] = (struct reading){.env = env, .inside = &inside, .leave = &leave};
			assert_int_equal(pthread_create(&list[i].thread, NULL, read_once, &list[i]), 0);
		}
		for (int i = 0; i < MOST; i++)
			(void)sem_wait(&inside);
		assert_int_equal(sem_trywait(&inside), -1); /* the last one waits */
		expect_sessions(env, others + MOST);
		(void)sem_post(&leave);
		(void)sem_wait(&inside); /* and has its turn */
		for (int i = 0; i < MOST; i++)
			(void)sem_post(&leave);
		for (int i = 0; i <= MOST; i++) {
			pthread_join(list[i].thread, NULL);
			assert_int_equal(list[i].result, OK);
		}
		expect_sessions(env, others + KEPT);
	}
	(void)sem_destroy(&inside);
	(void)sem_destroy(&leave);
}

struct settings {
	const char *statement, *lock, *idle, *zone, *read_only, *jit;
};
static const struct field settings_fields[] = {
	F(struct settings, statement, 0, 0, 0, NULL),
	F(struct settings, lock, 0, 0, 0, NULL),
	F(struct settings, idle, 0, 0, 0, NULL),
	F(struct settings, zone, 0, 0, 0, NULL),
	F(struct settings, read_only, 0, 0, 0, NULL),
	F(struct settings, jit, 0, 0, 0, NULL),
};
static const struct schema settings_schema = SCHEMA("SessionSettings", struct settings, settings_fields);

static enum err
look(struct ctx *cx, void *arg)
{
	return db_one(cx, &P_SETTINGS, &settings_schema, arg);
}

/* Whatever a server's own defaults are. */
static void
sessions_are_bounded(void **state)
{
	struct env *env = *state;
	struct ctx cx;

	db_close(env->srv.store);
	(void)env_sql(env, "ALTER ROLE muster SET statement_timeout = 0; ALTER ROLE muster SET TimeZone = 'Asia/Kathmandu'");
	env_store(env);
	for (int write = 0; write < 2; write++) {
		struct settings now;
		env_cx(env, &cx);
		assert_int_equal(write ? db_write(&cx, look, &now) : db_read(&cx, look, &now), OK);
		assert_string_equal(now.statement, "5s");
		assert_string_equal(now.lock, "500ms");
		assert_string_equal(now.jit, "off");
		assert_string_equal(now.idle, "10s");
		assert_string_equal(now.zone, "UTC");
		assert_string_equal(now.read_only, write ? "off" : "on");
	}
	(void)env_sql(env, "ALTER ROLE muster RESET statement_timeout; ALTER ROLE muster RESET TimeZone");
}

static enum err
bump_and_add(struct ctx *cx, void *arg)
{
	int64_t rows;

	TRY(db_exec(cx, &W_BUMP, &rows, V("one")));
	return db_exec(cx, &W_ADD, &rows, V(*(int64_t *)arg), V("note"));
}

/* The server refuses the first attempts as it does when transactions cannot be put in an order; a sequence knows of all of them. */
static void
a_failed_serialisation_is_tried_again(void **state)
{
	static const struct {
		int refusals;
		enum err result;
	} rows[] = {{1, OK}, {2, OK}, {1000, ERR_UNAVAILABLE}, {0, OK}};
	struct env *env = *state;
	struct ctx cx;
	int64_t id = 0, done_ones = 0;

	(void)env_sql(env, "CREATE SEQUENCE attempts; CREATE TABLE refusals (n BIGINT NOT NULL); INSERT INTO refusals VALUES (0);"
			   "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN"
			   " IF nextval('attempts') <= (SELECT n FROM refusals) THEN"
			   " RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;"
			   "CREATE TRIGGER refuse BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION refuse()");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)env_sql(env, arena_printf(&env->arena, "UPDATE refusals SET n = %d; ALTER SEQUENCE attempts RESTART", rows[i].refusals));
		env_cx(env, &cx);
		id++;
		assert_int_equal(db_write(&cx, bump_and_add, &id), rows[i].result);
		done_ones += rows[i].result == OK;
		assert_int_equal(env_count(env, "SELECT COUNT(*) FROM notes"), done_ones);
		assert_int_equal(env_count(env, "SELECT n FROM counters WHERE name = 'one'"), done_ones);
		assert_true(env_count(env, "SELECT last_value FROM attempts") <= 5); /* an end to it */
	}
}

static void
a_driver_in_the_url_does_no_harm(void **state)
{
	struct env *env = *state;
	struct ctx cx;
	int64_t id = 7;
	const char *rest = strchr(env->url, ':');

	db_close(env->srv.store);
	env->options.url = arena_printf(&env->arena, "postgresql+psycopg2%s", rest);
	env_store(env);
	env_cx(env, &cx);
	assert_int_equal(db_write(&cx, bump_and_add, &id), OK);
	assert_int_equal(env_count(env, "SELECT COUNT(*) FROM notes"), 1);
	assert_true(db_is_shared(env->srv.store));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ON_POSTGRES(overflow_lasts_as_long_as_the_load, on_postgres, done),
		ON_POSTGRES(sessions_are_bounded, on_postgres, done),
		ON_POSTGRES(a_failed_serialisation_is_tried_again, on_postgres, done),
		ON_POSTGRES(a_driver_in_the_url_does_no_harm, on_postgres, done),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
