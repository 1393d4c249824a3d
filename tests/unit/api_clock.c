/* The wall clock is stepped, as by an operator or a bad time server: nothing is lost, limits and time-outs do not notice. */
#include "attendance_env.h"

#include "accounts_env.h"
#include "mfa_env.h"
#include "run_job.h"

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

	(void)state;
	expect_status(mark_with(&r, &r.student, &r.code), 201);
	step_wall(&r, 60 * SECONDS_US - 2 * SECONDS_US);
	run_job(r.t, "event_counts");
	assert_int_equal(listed_count(&r), 1);
	step_wall(&r, -58 * SECONDS_US);
	step_wall(&r, -20 * SECONDS_US);
	expect_status(mark_with(&r, &second, &r.code), 201);
	assert_int_equal(listed_count(&r), 2);
	step_wall(&r, 120 * SECONDS_US);
	run_job(r.t, "event_counts");
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

/* --- days ahead, and back again ---- */

enum { AHEAD_DAYS = 400 };

/* Every hourly job has its turn before, while and after the clock is wrong. */
static void
days_ahead_and_back(struct room *r)
{
	static const char *const hourly[] = {"nonce_expire", "session_expire", "idempotency_expire"};

	for (int step = 0; step < 3; step++) {
		for (size_t i = 0; i < sizeof(hourly) / sizeof(hourly[0]); i++)
			run_job(r->t, hourly[i]);
		if (step < 2)
			step_wall(r, (step == 0 ? 1 : -1) * AHEAD_DAYS * DAYS_US);
	}
}

static struct test_reply *
me(struct room *r, const struct test_user *u)
{
	return call(r->t, GET, "/api/auth/me", u->bearer, NULL);
}

static struct test_reply *
refresh(struct room *r, const struct test_user *u)
{
	return call(r->t, POST, "/api/auth/refresh", NULL, PATH(r->t, "{'refresh_token':'%s'}", u->refresh_token));
}

/* What was removed as over does not live on in memory, and who was let in before comes in again with the password alone. */
static void
ended_sessions_stay_ended(void **state)
{
	struct room r = room_open();
	struct test_user out = test_user(r.t, ROLE_STUDENT);

	(void)state;
	expect_status(me(&r, &r.student), 200);
	expect_status(
		call(r.t, POST, "/api/auth/logout", out.bearer, PATH(r.t, "{'refresh_token':'%s'}", out.refresh_token)), 204);
	days_ahead_and_back(&r);
	expect_status(me(&r, &r.student), 401);
	expect_status(refresh(&r, &r.student), 401);
	expect_status(me(&r, &out), 401);
	expect_status(refresh(&r, &out), 401);
	test_login(r.t, &r.student);
	expect_status(me(&r, &r.student), 200);
	test_close(r.t);
}

/* Nobody came, no job ran: the clock was wrong for a moment, and nothing is lost by it. */
static void
a_moment_ahead_ends_nothing(void **state)
{
	struct room r = room_open();

	(void)state;
	expect_status(me(&r, &r.student), 200);
	step_wall(&r, AHEAD_DAYS * DAYS_US);
	expect_status(me(&r, &r.student), 401);
	expect_status(refresh(&r, &r.student), 401);
	step_wall(&r, -AHEAD_DAYS * DAYS_US);
	expect_status(me(&r, &r.student), 200);
	expect_status(refresh(&r, &r.student), 200);
	expect_status(refresh(&r, &r.student), 200); /* within the grace of a lost answer */
	test_advance(r.t, MINUTES_US);
	expect_status(refresh(&r, &r.student), 401);
	test_close(r.t);
}

/* A code of the authenticator, a reset's link and the token of a pending login are each good once. */
static void
one_time_secrets_are_not_good_twice(void **state)
{
	struct room r = room_open();
	struct test *t = r.t;

	(void)state;
	struct test_reply *setup =
		call(t, POST, "/v1/auth/mfa/totp/setup", r.student.bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD));
	expect_status(setup, 200);
	const char *secret = text_at(setup, "secret");
	expect_status(
		call(t, POST, "/v1/auth/mfa/totp/verify", r.student.bearer, PATH(t, "{'code':'%s'}", app_code(t, secret, 0))),
		200);
	const char *sign_in = PATH(t, "{'email':'%s','password':'%s'}", r.student.email, TEST_PASSWORD);
	const char *pending = text_at(call(t, POST, "/v1/auth/login", NULL, sign_in), "mfa_token");
	const char *code = app_code(t, secret, 1);
	expect_status(
		call(t, POST, "/v1/auth/mfa/complete", NULL, PATH(t, "{'mfa_token':'%s','code':'%s'}", pending, code)), 200);
	expect_status(call(t, POST, "/v1/auth/password-reset/request", NULL, PATH(t, "{'email':'%s'}", r.admin.email)), 202);
	run_job(r.t, "password_reset");
	const char *confirm =
		PATH(t, "{'token':'%s','new_password':'" NEW_PASSWORD "'}", mailed_token(t, "password_reset", r.admin.email));
	expect_status(call(t, POST, "/v1/auth/password-reset/confirm", NULL, confirm), 200);

	days_ahead_and_back(&r);
	expect_status(call(t, POST, "/v1/auth/password-reset/confirm", NULL, confirm), 400);
	expect_status(call(t, POST, "/v1/auth/mfa/complete", NULL,
			      PATH(t, "{'mfa_token':'%s','code':'%s'}", pending, app_code(t, secret, 1))),
		400);
	pending = text_at(call(t, POST, "/v1/auth/login", NULL, sign_in), "mfa_token");
	expect_status(
		call(t, POST, "/v1/auth/mfa/complete", NULL, PATH(t, "{'mfa_token':'%s','code':'%s'}", pending, code)), 401);
	test_advance(t, 60 * SECONDS_US);
	code = app_code(t, secret, 0);
	expect_status(
		call(t, POST, "/v1/auth/mfa/complete", NULL, PATH(t, "{'mfa_token':'%s','code':'%s'}", pending, code)), 200);
	test_close(t);
}

/* What a code was used for is known when it is good again: a spent claim serves nobody else. */
static void
spent_claims_stay_spent(void **state)
{
	struct room r = room_open();
	struct test_user other = test_user(r.t, ROLE_STUDENT);
	struct claim_out claim;

	(void)state;
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, NULL, &claim));
	const char *body = PATH(r.t, "{'claim':'%s'}", claim.claim);
	expect_status(call(r.t, POST, "/api/attendance/mark", r.student.bearer, body), 201);
	days_ahead_and_back(&r);
	test_login(r.t, &other);
	expect_error(call(r.t, POST, "/api/attendance/mark", other.bearer, body), 400, "nonce_reused");
	assert_int_equal(ROWS(r, "spent_claims"), 1);
	assert_int_equal(ROWS(r, "used_nonces"), 1);
	test_close(r.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_follow_the_wall_clock),
		cmocka_unit_test(counts_survive_a_step_back),
		cmocka_unit_test(limits_do_not_see_the_wall_clock),
		cmocka_unit_test(ended_sessions_stay_ended),
		cmocka_unit_test(a_moment_ahead_ends_nothing),
		cmocka_unit_test(one_time_secrets_are_not_good_twice),
		cmocka_unit_test(spent_claims_stay_spent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
