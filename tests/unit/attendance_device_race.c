/*
 * One device wanted by many at the same moment, on both engines: on SQLite one writer takes turns, on PostgreSQL three nodes'
 * transactions overlap and the indexes have to decide.  Who is told to try again does so, as a client would.
 */
#include "store_env.h"

#include "lesson_env.h"

enum { RACERS = 12, NODES_MAX = 3, ROUNDS = 3 };

struct racer {
	const struct server *node;
	const struct actor *who;
	enum err (*run)(struct ctx *cx, void *arg);
	union {
		struct binding binding;
		struct marking marking;
	};
	pthread_barrier_t *start;
	struct arena *arena;
	enum err got;
	char why[200];
};

struct course {
	struct room r;
	struct server nodes[NODES_MAX];
	int n_nodes;
	struct test_user users[RACERS];
	struct racer racers[RACERS];
	struct arena arenas[RACERS]; /* what came out lies in them */
};

static void
course_open(struct course *c, bool pg)
{
	char url[512];

	(void)snprintf(url, sizeof(url), "postgresql:///postgres?host=%s/pg&user=muster", env_dir);
	assert_int_equal(setenv("MUSTER_TEST_DATABASE_URL", pg ? url : "", 1), 0);
	*c = (struct course){.r = room_open(), .n_nodes = pg ? NODES_MAX : 1};
	c->nodes[0] = c->r.t->srv;
	for (int i = 1; i < c->n_nodes; i++) {
		const struct db_options options = {.url = c->r.t->srv.conf->database_url, .writers = 2, .readers = 2, .cache_mb = 8};
		const char *message = "";
		c->nodes[i] = c->r.t->srv;
		if (db_open(&c->r.t->arena, &options, &c->nodes[i].store, &message) != OK)
			fail_msg("%s", message);
	}
	assert_string_equal(db_engine_name(c->r.t->srv.store), pg ? "postgresql" : "sqlite");
	for (int i = 0; i < RACERS; i++)
		c->users[i] = test_user(c->r.t, ROLE_STUDENT);
	for (int i = 0; i < RACERS; i++)
		arena_init(&c->arenas[i]);
}

static void
course_close(struct course *c)
{
	for (int i = 0; i < RACERS; i++)
		arena_release(&c->arenas[i]);
	for (int i = 1; i < c->n_nodes; i++)
		db_close(c->nodes[i].store);
	room_close(&c->r);
}

static void *
race(void *arg)
{
	enum { TRIES = 50 };
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	for (int i = 0; i == 0 || (r->got == ERR_UNAVAILABLE && i < TRIES); i++) {
		struct ctx cx;
		ctx_init(&cx, r->arena, r->node);
		cx.client = HERE;
		cx.actor = r->who;
		r->got = db_write(&cx, r->run, r->run == bind_run ? (void *)&r->binding : (void *)&r->marking);
		str_copy(r->why, sizeof(r->why), cx.error.internal ? cx.error.internal : "");
	}
	return NULL;
}

/* All at once; every one of them must come through. */
static void
race_all(struct course *c)
{
	pthread_t threads[RACERS];
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		c->racers[i].node = &c->nodes[i % c->n_nodes];
		c->racers[i].start = &start;
		c->racers[i].arena = &c->arenas[i];
		assert_int_equal(pthread_create(&threads[i], NULL, race, &c->racers[i]), 0);
	}
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&start);
	for (int i = 0; i < RACERS; i++)
		if (c->racers[i].got != OK)
			fail_msg("%s: %s", err_row(c->racers[i].got)->name, c->racers[i].why);
}

static void
clear(struct course *c)
{
	sql_run(c->r.t, "DELETE FROM devices");
	sql_run(c->r.t, "DELETE FROM device_uses");
	sql_run(c->r.t, "DELETE FROM attendance_records");
	sql_run(c->r.t, "DELETE FROM verification_logs");
	sql_run(c->r.t, "DELETE FROM used_nonces");
	sql_run(c->r.t, "DELETE FROM notifications");
}

static struct racer
marks(const struct test_user *u, const struct lesson *l, struct mark_in in)
{
	struct racer r = {.who = &u->actor, .run = mark_run, .marking = {.in = in}};

	r.marking.in.qr_payload = l->code.qr_payload;
	return r;
}

/* --- the races ------------------------------------------------------------------------------------------------------------- */

static void
one_account_binds_one(struct course *c)
{
	for (int i = 0; i < RACERS; i++)
		c->racers[i] = (struct racer){.who = &c->users[0].actor,
			.run = bind_run,
			.binding = {.in = {.imei = TEXT(c->r.t, "phone %d", i)}}};
	race_all(c);
	int bound = 0;
	for (int i = 0; i < RACERS; i++)
		bound += str_eq(c->racers[i].binding.out.status, "bound");
	assert_int_equal(bound, 1);
	assert_int_equal(ROWS(c->r, "devices WHERE status = 'bound'"), 1);
	assert_int_equal(ROWS(c->r, "devices WHERE status = 'pending'"), 1);
	assert_int_equal(ROWS(c->r, "devices"), 2);
	assert_int_equal(ROWS(c->r, "notifications WHERE title = 'Device registered'"), 1);
}

static void
one_device_binds_to_one(struct course *c)
{
	for (int i = 0; i < RACERS; i++)
		c->racers[i] = (struct racer){
			.who = &c->users[i].actor, .run = bind_run, .binding = {.in = {.imei = "phone"}}};
	race_all(c);
	assert_int_equal(ROWS(c->r, "devices WHERE status = 'bound'"), 1);
	assert_int_equal(ROWS(c->r, "devices WHERE status = 'pending'"), RACERS - 1);
}

static void
one_device_in_one_session_flags_all(struct course *c)
{
	struct lesson l = lesson(&c->r, "");

	for (int i = 0; i < RACERS; i++)
		c->racers[i] = marks(&c->users[i], &l, (struct mark_in){.imei = "phone"});
	race_all(c);
	assert_int_equal(ROWS(c->r, "attendance_records WHERE status = 'flagged' AND flags = 'device'"), RACERS);
	assert_int_equal(ROWS(c->r, "attendance_records"), RACERS);
	assert_int_equal(ROWS(c->r, "attendance_records WHERE original_status = 'present'"), 1);
	assert_int_equal(ROWS(c->r, "device_uses"), 1);
	assert_int_equal(ROWS(c->r, "devices"), 1);
	assert_int_equal(ROWS(c->r, "verification_logs"), RACERS + 1);
	assert_int_equal(ROWS(c->r, "notifications WHERE title = 'Attendance under review'"), 1);
}

static void
one_device_in_many_sessions_is_ones(struct course *c)
{
	struct lesson lessons[RACERS];

	for (int i = 0; i < RACERS; i++) {
		lessons[i] = lesson(&c->r, "");
		c->racers[i] = marks(&c->users[i], &lessons[i], (struct mark_in){.imei = "phone"});
	}
	race_all(c);
	assert_int_equal(ROWS(c->r, "attendance_records WHERE status = 'present'"), 1);
	assert_int_equal(ROWS(c->r, "attendance_records WHERE status = 'flagged' AND flags = 'device'"), RACERS - 1);
	assert_int_equal(ROWS(c->r, "devices WHERE status = 'bound'"), 1);
}

static enum err
challenge_run(struct ctx *cx, void *arg)
{
	return device_challenge_make(cx, arg);
}

static void
one_challenge_is_spent_once(struct course *c)
{
	struct browser b = browser_open(c->r.t);
	struct lesson lessons[RACERS];
	struct device_challenge challenge;
	struct ctx cx;

	bind_device(&c->r, &c->users[0], (struct device_in){.public_key = b.jwk});
	ctx_as(c->r.t, &cx, &c->users[0]);
	must(&cx, db_read(&cx, challenge_run, &challenge));
	for (int i = 0; i < RACERS; i++) {
		struct buf text;
		lessons[i] = lesson(&c->r, "");
		buf_init(&text, &c->r.t->arena, 0);
		buf_str(&text, challenge.challenge);
		buf_chr(&text, 0);
		buf_str(&text, lessons[i].code.qr_payload);
		c->racers[i] = marks(&c->users[0], &lessons[i],
			(struct mark_in){.device_challenge = challenge.challenge,
				.device_signature = browser_sign_bytes(c->r.t, &b, buf_span(&text))});
	}
	race_all(c);
	assert_int_equal(ROWS(c->r, "attendance_records WHERE status = 'present'"), 1);
	assert_int_equal(ROWS(c->r, "attendance_records WHERE status = 'flagged' AND flags = 'device'"), RACERS - 1);
	browser_close(&b);
}

static void
run_races(bool pg)
{
	static void (*const races[])(struct course *c) = {one_account_binds_one, one_device_binds_to_one,
		one_device_in_one_session_flags_all, one_device_in_many_sessions_is_ones, one_challenge_is_spent_once};
	struct course c;

	course_open(&c, pg);
	for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++)
		for (int round = 0; round < ROUNDS; round++) {
			races[i](&c);
			clear(&c);
		}
	course_close(&c);
}

static void
on_sqlite(void **state)
{
	(void)state;
	run_races(false);
}

static void
on_postgresql(void **state)
{
	(void)state;
	run_races(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_sqlite),
		cmocka_unit_test(on_postgresql),
	};

	return cmocka_run_group_tests_name("attendance: races for a device", tests, env_open, env_close);
}
