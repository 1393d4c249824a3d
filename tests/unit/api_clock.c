/* The wall clock is stepped, as by an operator or a bad time server: nothing is lost, limits and time-outs do not notice. */
#include "attendance_env.h"

#include "jobs/jobs.h"

static struct test_reply *
mark_with(struct room *r, const struct test_user *u, const struct qr_session *code)
{
	return call(r->t, POST, "/api/attendance/mark", u->bearer, PATH(r->t, "{'qr_payload':'%s'}", code->qr_payload));
}

static void
step_wall(struct room *r, int64_t us)
{
	atomic_fetch_add(&r->t->wall_us, us);
}

static int64_t
listed_count(struct room *r)
{
	struct test_reply *e = call(r->t, GET, PATH(r->t, "/api/events/%s", r->event.id.text), r->admin.bearer, NULL);

	expect_status(e, 200);
	return json_integer_value(json_object_get(e->json, "attendance_count"));
}

/* Codes live by the server's wall clock, wherever that goes. */
static void
codes_follow_the_wall_clock(void **state)
{
	struct room r = room_open();
	struct test_user other = test_user(r.t, ROLE_STUDENT);

	(void)state;
	step_wall(&r, -30 * SECONDS_US);
	expect_status(mark_with(&r, &r.student, &r.code), 201);
	step_wall(&r, 30 * SECONDS_US + 61 * SECONDS_US);
	expect_error(mark_with(&r, &other, &r.code), 400, "token_expired");
	step_wall(&r, -50 * SECONDS_US);
	expect_status(mark_with(&r, &other, &r.code), 201);
	expect_error(mark_with(&r, &r.student, &r.code), 409, "duplicate_attendance");
	test_close(r.t);
}

/* Ids carry the time: records made after a step back lie below what is counted already, and count all the same. */
static void
counts_survive_a_step_back(void **state)
{
	struct room r = room_open();
	struct test_user second = test_user(r.t, ROLE_STUDENT);
	struct ctx cx;
	int64_t rows;

	(void)state;
	expect_status(mark_with(&r, &r.student, &r.code), 201);
	step_wall(&r, 60 * SECONDS_US - 2 * SECONDS_US);
	test_ctx(r.t, &cx);
	assert_int_equal(job_run(&cx, "event_counts", &rows), OK);
	assert_int_equal(listed_count(&r), 1);
	step_wall(&r, -58 * SECONDS_US);
	step_wall(&r, -20 * SECONDS_US);
	expect_status(mark_with(&r, &second, &r.code), 201);
	assert_int_equal(listed_count(&r), 2);
	step_wall(&r, 120 * SECONDS_US);
	test_ctx(r.t, &cx);
	assert_int_equal(job_run(&cx, "event_counts", &rows), OK);
	assert_int_equal(listed_count(&r), 2);
	test_close(r.t);
}

/* A limit's window is monotonic: stepping the wall clock neither opens it nor shuts it for longer. */
static void
limits_do_not_see_the_wall_clock(void **state)
{
	struct room r = room_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true", "RL_MARK_ACCOUNT_LIMIT=1"));

	(void)state;
	expect_status(mark_with(&r, &r.student, &r.code), 201);
	expect_error(mark_with(&r, &r.student, &r.code), 429, "rate_limited");
	step_wall(&r, 10 * MINUTES_US);
	expect_error(mark_with(&r, &r.student, &r.code), 429, "rate_limited");
	step_wall(&r, -10 * MINUTES_US);
	atomic_fetch_add(&r.t->monotonic_us, MINUTES_US);
	expect_error(mark_with(&r, &r.student, &r.code), 409, "duplicate_attendance");
	test_close(r.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_follow_the_wall_clock),
		cmocka_unit_test(counts_survive_a_step_back),
		cmocka_unit_test(limits_do_not_see_the_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
