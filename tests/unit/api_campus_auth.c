/* Campus accounts: signing up under both policies and as a lecturer, in and out, with a second factor and without. */
#include "accounts_env.h"
#include "mfa_env.h"

static struct test_reply *
sign_up(struct test *t, const char *email, const char *more)
{
	return call(t, POST, "/api/v1/auth/register", NULL,
		PATH(t, "{'email':'%s','password':'quiet mornings','full_name':' Ada '%s}", email, more));
}

static struct test_reply *
sign_in(struct test *t, const char *email, const char *password)
{
	return call(t, POST, "/api/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", email, password));
}

static void
open_signup(void **state)
{
	struct test *t = *state;
	struct test_reply *r = sign_up(t, " Ada@Example.org", "");

	expect_status(r, 201);
	expect_text(r, "email", "ada@example.org");
	expect_text(r, "full_name", "Ada");
	expect_text(r, "role", "student");
	expect_json(r, "is_active", "true");
	expect_json(r, "device_bound", "false");
	expect_json(r, "face_enrolled", "false");
	assert_null(reply_at(r, "access_token"));
	assert_int_equal(count(t, "SELECT COUNT(*) FROM sessions"), 0);
	expect_error(sign_up(t, "ada@example.org", ""), 409, "email_taken");
	expect_text(sign_up(t, "lea@example.org", ",'role':'lecturer'"), "role", "lecturer"); /* the default of ENV=dev */
	expect_error(sign_up(t, "b@example.org", ",'role':'admin'"), 422, "validation_error");
	expect_error(sign_up(t, "b@example.org", ",'role':'reviewer'"), 422, "validation_error");
	expect_error(sign_up(t, "b@example.org", ",'is_active':true"), 422, "validation_error");
	expect_error(sign_up(t, "nonsense", ""), 422, "validation_error");
	expect_error(call(t, POST, "/api/v1/auth/register", NULL, "{'email':'b@example.org','password':'password1','full_name':'B'}"),
		422, "validation_error");
	assert_int_equal(audited(t, "signup", "success"), 2);
}

static void
lecturers_wait_where_they_must(void **state)
{
	struct test *t = test_open(TEST_CONF("OPEN_LECTURER_SIGNUP=false"));
	struct test_reply *r = sign_up(t, "lea@example.org", ",'role':'lecturer'");

	(void)state;
	expect_status(r, 202);
	expect_text(r, "status", "pending");
	expect_text(r, "expires_at", "2026-08-04T12:00:00Z");
	expect_error(sign_in(t, "lea@example.org", "quiet mornings"), 403, "account_pending");
	expect_text(sign_up(t, "ada@example.org", ""), "role", "student");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM approval_requests WHERE requested_role = 'lecturer'"), 1);
	test_advance(t, 73 * HOURS_US);
	expect_error(sign_in(t, "lea@example.org", "quiet mornings"), 403, "approval_timeout");
	sql_run(t, "UPDATE approval_requests SET status = 'rejected'");
	expect_error(sign_in(t, "lea@example.org", "quiet mornings"), 403, "account_rejected");
	test_close(t);
}

static void
a_taken_address_tells_nothing_under_approval(void **state)
{
	struct test *t = test_open(TEST_CONF("SIGNUP_POLICY=approval"));
	struct test_reply *first = sign_up(t, "ada@example.org", ""), *again;

	(void)state;
	expect_status(first, 202);
	sql_run(t, "UPDATE users SET is_active = TRUE");
	again = sign_up(t, "ada@example.org", "");
	expect_status(again, 202);
	assert_int_equal(again->body_n, first->body_n);
	expect_text(again, "message", text_at(first, "message"));
	test_close(t);
}

static void
tokens_come_and_go(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = sign_in(t, u.email, TEST_PASSWORD), *next;

	expect_status(r, 200);
	expect_text(r, "token_type", "bearer");
	expect_int(r, "expires_in", 900);
	assert_null(reply_at(r, "user"));
	assert_non_null(reply_head(r, "X-Device-Token"));
	expect_head(r, "Cache-Control", "no-store");
	expect_status(call(t, GET, "/api/auth/me", text_at(r, "access_token"), NULL), 200);
	next = call(t, POST, "/api/v1/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", text_at(r, "refresh_token")));
	expect_status(next, 200);
	expect_error(sign_in(t, u.email, "Wrong-Horse-7"), 401, "invalid_credentials");
	expect_error(call(t, POST, "/api/v1/auth/refresh", NULL, "{'refresh_token':'unknown'}"), 401, "not_authenticated");
	expect_error(call(t, POST, "/api/v1/auth/refresh", NULL, "{}"), 422, "validation_error");
	expect_error(web_call(t, "/api/v1/auth/refresh", NULL, "http://evil.example.org", "muster_rt=x"), 403, "forbidden");

	expect_status(call(t, POST, "/api/v1/auth/logout", NULL, PATH(t, "{'refresh_token':'%s'}", text_at(next, "refresh_token"))), 204);
	expect_error(call(t, GET, "/api/v1/auth/me", text_at(next, "access_token"), NULL), 401, "token_revoked");
	expect_error(call(t, POST, "/api/v1/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", text_at(next, "refresh_token"))), 401,
		"token_revoked");
}

static void
an_access_token_alone_signs_out(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_LECTURER);
	struct test_reply *r = call(t, GET, "/api/v1/auth/me", u.bearer, NULL);

	expect_status(r, 200);
	expect_text(r, "role", "lecturer");
	expect_text(r, "email", u.email);
	expect_json(r, "device_bound", "false");
	expect_status(call(t, POST, "/api/v1/auth/logout", u.bearer, NULL), 204);
	expect_error(call(t, GET, "/api/v1/auth/me", u.bearer, NULL), 401, "token_revoked");
	assert_int_equal(audited(t, "logout", "success"), 1);
	expect_error(call(t, POST, "/api/v1/auth/logout", NULL, "{}"), 422, "validation_error");
	expect_error(web_call(t, "/api/v1/auth/logout", NULL, "http://evil.example.org", "muster_rt=x"), 403, "forbidden");
	expect_error(web_call(t, "/api/v1/auth/logout", NULL, "http://localhost", NULL), 401, "not_authenticated");
}

static void
a_second_factor_is_completed_elsewhere(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = call(t, POST, "/v1/auth/mfa/totp/setup", u.bearer, NULL);
	const char *secret = text_at(r, "secret");

	expect_status(call(t, POST, "/v1/auth/mfa/totp/verify", u.bearer, PATH(t, "{'code':'%s'}", app_code(t, secret, 0))), 200);
	r = sign_in(t, u.email, TEST_PASSWORD);
	expect_status(r, 200);
	expect_json(r, "mfa_required", "true");
	assert_null(reply_at(r, "access_token"));
	test_advance(t, MINUTES_US);
	r = call(t, POST, "/v1/auth/mfa/complete", NULL,
		PATH(t, "{'mfa_token':'%s','code':'%s'}", text_at(r, "mfa_token"), app_code(t, secret, 0)));
	expect_status(r, 200);
	expect_status(call(t, GET, "/api/v1/auth/me", text_at(r, "access_token"), NULL), 200);
}

static void
too_many_failures_lock(void **state)
{
	struct test *t = test_open(TEST_CONF("LOGIN_FAIL_EMAIL_THRESHOLD=3"));
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	for (int i = 0; i < 3; i++)
		expect_error(sign_in(t, u.email, "Wrong-Horse-7"), 401, "invalid_credentials");
	expect_error(sign_in(t, u.email, TEST_PASSWORD), 429, "account_locked");
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(open_signup),
		cmocka_unit_test(lecturers_wait_where_they_must),
		cmocka_unit_test(a_taken_address_tells_nothing_under_approval),
		STANDARD(tokens_come_and_go),
		STANDARD(an_access_token_alone_signs_out),
		STANDARD(a_second_factor_is_completed_elsewhere),
		cmocka_unit_test(too_many_failures_lock),
	};

	return cmocka_run_group_tests_name("api_campus_auth", tests, NULL, NULL);
}
