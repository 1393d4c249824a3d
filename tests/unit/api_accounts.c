/* The accounts surface: signing up under both policies, signing in and out, one's own account, sessions, password and address. */
#include "accounts_env.h"

static struct test_reply *
sign_up(struct test *t, const char *email)
{
	return call(t, POST, "/v1/auth/signup", NULL,
		PATH(t, "{'name':' Grace Hopper ','email':'%s','password':'%s'}", email, TEST_PASSWORD));
}

static struct test_reply *
sign_in(struct test *t, const char *email, const char *password)
{
	return call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", email, password));
}

static struct test_reply *
refresh(struct test *t, const char *token)
{
	return call(t, POST, "/v1/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", token));
}

/* --- signup ---- */

static void
open_signup_signs_in(void **state)
{
	struct test *t = *state;
	struct test_reply *r = sign_up(t, " Grace@Example.org");

	expect_status(r, 201);
	expect_text(r, "token_type", "bearer");
	expect_int(r, "expires_in", 900);
	expect_text(r, "user.email", "grace@example.org");
	expect_text(r, "user.name", "Grace Hopper");
	expect_text(r, "user.role", "STUDENT");
	expect_json(r, "user.is_active", "true");
	expect_json(r, "user.mfa_enabled", "false");
	expect_json(r, "user.email_verified", "false");
	expect_head(r, "Cache-Control", "no-store");
	assert_null(reply_at(r, "status"));
	assert_non_null(reply_head(r, "X-Device-Token"));
	expect_text(call(t, GET, "/v1/auth/me", text_at(r, "access_token"), NULL), "name", "Grace Hopper");
	expect_status(call(t, GET, "/api/auth/me", text_at(r, "access_token"), NULL), 200);
	assert_int_equal(audited(t, "signup", "success"), 1);
	expect_error(sign_up(t, "GRACE@example.org"), 409, "email_taken");
	expect_text(sign_up(t, "GRACE@example.org"), "error.code", "HTTP_ERROR");
}

static void
signup_checks_its_members(void **state)
{
	struct test *t = *state;
	static const char *const bad[] = {"{'name':'A','email':'no address','password':'Correct-Horse-7'}",
		"{'name':'A','email':'a@example.org','password':'password'}",
		"{'name':'A','email':'a@example.org','password':'Correct-Horse-7','role':'admin'}",
		"{'name':'A','email':'a@example.org','password':'Correct-Horse-7','is_active':true}",
		"{'name':'A','email':'a@example.org','password':'Correct-Horse-7','email_verified_at':'2026-01-01'}",
		"{'email':'a@example.org','password':'Correct-Horse-7'}", "{}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct test_reply *r = call(t, POST, "/v1/auth/signup", NULL, bad[i]);
		expect_error(r, 422, "validation_error");
		expect_text(r, "error.code", "VALIDATION_ERROR");
		assert_true(json_array_size(reply_at(r, "error.details.fields")) > 0);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 0);
}

static void
signup_with_approval_hides_taken_addresses(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("SIGNUP_POLICY=approval"));
	struct test_user taken = test_user(t, ROLE_STUDENT);
	struct test_reply *fresh = sign_up(t, "new@example.org"), *same = sign_up(t, taken.email);

	expect_status(fresh, 202);
	expect_text(fresh, "status", "pending");
	expect_text(fresh, "expires_at", "2026-08-04T12:00:00Z");
	assert_null(reply_at(fresh, "access_token"));
	expect_status(same, 202);
	expect_text(same, "status", "pending");
	expect_text(same, "expires_at", "2026-08-04T12:00:00Z");
	assert_int_equal(json_object_size(fresh->json), json_object_size(same->json));
	assert_int_equal(mails(t, "signup_taken"), 1);
	expect_error(sign_in(t, "new@example.org", TEST_PASSWORD), 403, "account_pending");
	test_advance(t, 73 * HOURS_US);
	expect_error(sign_in(t, "new@example.org", TEST_PASSWORD), 403, "approval_timeout");
	test_close(t);
}

static void
signups_of_one_address_are_counted(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));

	for (int i = 0; i < 5; i++)
		expect_status(sign_up(t, PATH(t, "s%d@example.org", i)), 201);
	struct test_reply *r = sign_up(t, "s6@example.org");
	expect_error(r, 429, "rate_limited");
	expect_head(r, "Retry-After", "3600");
	test_close(t);
}

/* --- login, refresh, logout ---- */

static void
login_and_its_refusals(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), u = test_user(t, ROLE_REVIEWER), gone = test_user(t, ROLE_STUDENT);
	struct test_reply *r = sign_in(t, u.email, TEST_PASSWORD);

	expect_status(r, 200);
	expect_text(r, "user.role", "REVIEWER");
	expect_json(r, "user.email_verified", "true");
	sql_run(t, PATH(t, "UPDATE users SET is_active = 0, disabled_at = created_at WHERE id = '%s'", gone.id.text));
	struct test_reply *wrong = sign_in(t, u.email, "Wrong-Horse-7"),
			  *unknown = sign_in(t, "nobody@example.org", TEST_PASSWORD);
	struct test_reply *closed = sign_in(t, gone.email, TEST_PASSWORD);
	expect_error(wrong, 401, "invalid_credentials");
	expect_error(unknown, 401, "invalid_credentials");
	expect_error(closed, 401, "invalid_credentials");
	expect_text(wrong, "error.message", text_at(unknown, "error.message"));
	assert_non_null(reply_head(wrong, "WWW-Authenticate"));
	sql_run(t, PATH(t, "UPDATE users SET is_active = 0, disabled_at = NULL WHERE id = '%s'", gone.id.text));
	sql_run(t,
		PATH(t,
			"INSERT INTO approval_requests (id, user_id, status, requested_role, requested_at, expires_at, attempts,"
			" ip_address) VALUES ('%s', '%s', 'rejected', 'student', '2026-08-01 11:00:00.000000',"
			" '2026-08-01 11:03:00.000000', 1, '')",
			admin.session_id.text, gone.id.text));
	expect_error(sign_in(t, gone.email, TEST_PASSWORD), 403, "account_rejected");
	for (int i = 0; i < 8; i++)
		sign_in(t, "locked@example.org", "Wrong-Horse-7");
	struct test_reply *locked = sign_in(t, "locked@example.org", TEST_PASSWORD);
	expect_error(locked, 429, "account_locked");
	expect_head(locked, "Retry-After", "900");
}

static void
accounts_limits_stand_apart_from_the_portals(void **state)
{
	struct test *t = *state =
		test_open(TEST_CONF("RATE_LIMIT_ENABLED=true", "RATE_LIMIT_PER_MINUTE=1000", "RL_LOGIN_IP_LIMIT=4"));
	struct test_user u = test_user(t, ROLE_STUDENT);

	for (int i = 0; i < 4; i++)
		expect_error(sign_in(t, PATH(t, "x%d@example.org", i), "Wrong-Horse-7"), 401, "invalid_credentials");
	expect_error(sign_in(t, u.email, TEST_PASSWORD), 429, "rate_limited");
	expect_status(
		call(t, POST, "/api/auth/login", NULL, PATH(t, "{'username':'%s','password':'%s'}", u.email, TEST_PASSWORD)),
		200);
	test_close(t);
}

static void
refresh_rotates_and_reuse_ends_the_session(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = refresh(t, u.refresh_token);

	expect_status(r, 200);
	expect_text(r, "user.role", "STUDENT");
	expect_text(refresh(t, u.refresh_token), "refresh_token", text_at(r, "refresh_token"));
	expect_status(refresh(t, text_at(r, "refresh_token")), 200);
	expect_error(refresh(t, u.refresh_token), 401, "token_revoked");
	assert_int_equal(audited(t, "refresh_reuse_detected", "failure"), 1);
	expect_error(call(t, GET, "/v1/auth/me", text_at(r, "access_token"), NULL), 401, "token_revoked");
	expect_error(refresh(t, "unknown"), 401, "not_authenticated");
	expect_error(call(t, POST, "/v1/auth/refresh", NULL, "{}"), 422, "validation_error");
}

static void
logout_ends_one_and_logout_all_every_session(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user u = test_user(t, ROLE_STUDENT), other = u;

	test_login(t, &other);
	expect_status(call(t, POST, "/v1/auth/logout", NULL, PATH(t, "{'refresh_token':'%s'}", u.refresh_token)), 204);
	expect_status(call(t, POST, "/v1/auth/logout", NULL, "{'refresh_token':'unknown'}"), 204);
	expect_error(call(t, GET, "/v1/auth/me", u.bearer, NULL), 401, "token_revoked");
	expect_status(call(t, GET, "/v1/auth/me", other.bearer, NULL), 200);
	test_login(t, &u);
	expect_status(call(t, POST, "/v1/auth/logout-all", other.bearer, NULL), 204);
	expect_error(call(t, GET, "/v1/auth/me", other.bearer, NULL), 401, "token_revoked");
	expect_error(call(t, GET, "/v1/auth/me", u.bearer, NULL), 401, "token_revoked");
	expect_error(refresh(t, u.refresh_token), 401, "token_revoked");
	assert_int_equal(audited(t, "logout_all", "success"), 1);
	test_close(t);
}

static void
web_clients_use_a_cookie(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = web_call(
		t, "/v1/auth/login", PATH(t, "{'email':'%s','password':'%s'}", u.email, TEST_PASSWORD), "http://localhost", NULL);

	expect_status(r, 200);
	assert_null(reply_at(r, "refresh_token"));
	const char *cookie = cookie_of(t, r, "muster_rt");
	assert_non_null(cookie);
	expect_error(web_call(t, "/v1/auth/refresh", NULL, "http://evil.example", cookie), 403, "forbidden");
	expect_error(web_call(t, "/v1/auth/refresh", NULL, "http://localhost", NULL), 401, "not_authenticated");
	expect_error(web_call(t, "/v1/auth/logout", NULL, "http://evil.example", cookie), 403, "forbidden");
	expect_error(web_call(t, "/v1/auth/logout", NULL, "http://localhost", NULL), 401, "not_authenticated");
	r = web_call(t, "/v1/auth/refresh", NULL, "http://localhost", cookie);
	expect_status(r, 200);
	cookie = cookie_of(t, r, "muster_rt");
	r = web_call(t, "/v1/auth/logout", NULL, "http://localhost", cookie);
	expect_status(r, 204);
	assert_string_equal(cookie_of(t, r, "muster_rt"), "muster_rt=");
}

/* --- one's own account ---- */

static void
name_and_mail_can_be_changed(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_LECTURER);
	struct test_reply *r = call(t, PATCH, "/v1/auth/me", u.bearer, "{'name':' New Name ','mail':{'marks':false}}");

	expect_status(r, 200);
	expect_text(r, "name", "New Name");
	expect_text(r, "role", "LECTURER");
	expect_json(r, "mail", "{'decisions':true,'marks':false,'reminders':true}");
	r = call(t, PATCH, "/v1/auth/me", u.bearer, "{}");
	expect_text(r, "name", "New Name");
	expect_json(r, "mail.marks", "false");
	expect_text(call(t, GET, "/api/auth/me", u.bearer, NULL), "full_name", "New Name");
	static const char *const refused[] = {"role", "email", "is_active", "id", "password_hash", "email_verified",
		"mfa_enabled", "created_at", "disabled_at", "email_verified_at", "mail_marks", "full_name", "updated_at"};
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect_error(
			call(t, PATCH, "/v1/auth/me", u.bearer, PATH(t, "{'%s':'admin'}", refused[i])), 422, "validation_error");
	expect_error(call(t, GET, "/v1/auth/me", NULL, NULL), 401, "not_authenticated");
}

static void
sessions_are_listed_and_ended(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user u = test_user(t, ROLE_STUDENT), phone = u, foreign = test_user(t, ROLE_ADMIN);

	test_advance(t, SECONDS_US);
	test_login(t, &phone);
	struct test_reply *r = call(t, GET, "/v1/auth/sessions", u.bearer, NULL);
	expect_status(r, 200);
	assert_int_equal(json_array_size(reply_at(r, "sessions")), 2);
	expect_text(r, "sessions.0.id", phone.session_id.text);
	expect_json(r, "sessions.0.current", "false");
	expect_json(r, "sessions.1.current", "true");
	const char *path = PATH(t, "/v1/auth/sessions/%s", phone.session_id.text);
	expect_error(call(t, DELETE, path, foreign.bearer, NULL), 404, "not_found");
	expect_status(call(t, DELETE, path, u.bearer, NULL), 204);
	expect_error(call(t, GET, "/v1/auth/me", phone.bearer, NULL), 401, "token_revoked");
	expect_error(call(t, DELETE, path, u.bearer, NULL), 404, "not_found");
	expect_error(call(t, DELETE, "/v1/auth/sessions/none", u.bearer, NULL), 404, "not_found");
	test_close(t);
}

static struct test_reply *
change(struct test *t, const struct test_user *u, const char *current, const char *next)
{
	return call(t, POST, "/v1/auth/password/change", u->bearer,
		PATH(t, "{'current_password':'%s','new_password':'%s'}", current, next));
}

static void
password_change_ends_other_sessions(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user u = test_user(t, ROLE_STUDENT), other = u;

	test_login(t, &other);
	expect_error(change(t, &u, "Wrong-Horse-7", NEW_PASSWORD), 401, "invalid_credentials");
	expect_error(change(t, &u, TEST_PASSWORD, "password"), 422, "validation_error");
	expect_status(call(t, GET, "/v1/auth/me", other.bearer, NULL), 200);
	expect_status(change(t, &u, TEST_PASSWORD, NEW_PASSWORD), 200);
	expect_status(call(t, GET, "/v1/auth/me", u.bearer, NULL), 200);
	expect_error(call(t, GET, "/v1/auth/me", other.bearer, NULL), 401, "token_revoked");
	expect_error(refresh(t, other.refresh_token), 401, "token_revoked");
	expect_error(sign_in(t, u.email, TEST_PASSWORD), 401, "invalid_credentials");
	expect_status(sign_in(t, u.email, NEW_PASSWORD), 200);
	assert_int_equal(mails(t, "password_changed"), 1);
	assert_int_equal(audited(t, "password_changed", "success"), 1);
	test_close(t);
}

static void
guessing_the_current_password_locks_that_step_only(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);

	for (int i = 0; i < 8; i++)
		expect_error(change(t, &u, "Wrong-Horse-7", NEW_PASSWORD), 401, "invalid_credentials");
	struct test_reply *r = change(t, &u, TEST_PASSWORD, NEW_PASSWORD);
	expect_error(r, 429, "account_locked");
	expect_head(r, "Retry-After", "900");
	expect_status(sign_in(t, u.email, TEST_PASSWORD), 200);
}

static void
an_address_is_proven_by_its_link(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("PUBLIC_BASE_URL=https://attend.example.org/"));
	struct test_reply *r = sign_up(t, "grace@example.org");
	const char *bearer = text_at(r, "access_token"), *first = mailed_token(t, "email_verify", "grace@example.org");

	assert_int_equal(strlen(first), 43);
	expect_status(call(t, POST, "/v1/auth/email/verify/request", bearer, NULL), 202);
	const char *second = mailed_token(t, "email_verify", "grace@example.org");
	assert_string_not_equal(first, second);
	expect_error(call(t, POST, "/v1/auth/email/verify", NULL, PATH(t, "{'token':'%s'}", first)), 400, "invalid_token");
	assert_int_equal(call(t, GET, "/v1/auth/email/verify", NULL, NULL)->status, 405);
	expect_status(call(t, POST, "/v1/auth/email/verify", NULL, PATH(t, "{'token':'%s'}", second)), 200);
	expect_error(call(t, POST, "/v1/auth/email/verify", NULL, PATH(t, "{'token':'%s'}", second)), 400, "invalid_token");
	expect_json(call(t, GET, "/v1/auth/me", bearer, NULL), "email_verified", "true");
	expect_status(call(t, POST, "/v1/auth/email/verify/request", bearer, NULL), 202);
	assert_int_equal(mails(t, "email_verify"), 2);
	test_close(t);
}

/* A signup's own link, while its account waits; whoever decides sees what came of it. */
static void
an_address_is_proven_while_its_account_waits(void **state)
{
	struct test *t = *state =
		test_open(TEST_CONF("SIGNUP_POLICY=approval", "SMTP_URL=smtp://mail.example.org", "MAIL_FROM=muster@example.org"));
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *list = "/api/admin/approval-requests?status=pending";

	sign_up(t, "grace@example.org");
	const char *link = mailed_token(t, "email_verify", "grace@example.org");
	struct test_reply *r = call(t, GET, list, admin.bearer, NULL);
	expect_json(r, "requests.0.email_verified", "false");
	expect_json(r, "mail_configured", "true");
	sign_up(t, "grace@example.org"); /* taken by now */
	assert_int_equal(mails(t, "email_verify"), 1);
	expect_status(call(t, POST, "/v1/auth/email/verify", NULL, PATH(t, "{'token':'%s'}", link)), 200);
	expect_json(call(t, GET, list, admin.bearer, NULL), "requests.0.email_verified", "true");

	sql_run(t, "UPDATE approval_requests SET status = 'rejected'");
	sign_up(t, "grace@example.org");
	expect_json(call(t, GET, list, admin.bearer, NULL), "requests.0.email_verified", "false");
	assert_int_equal(mails(t, "email_verify"), 2);
	link = mailed_token(t, "email_verify", "grace@example.org");
	sql_run(t, "UPDATE approval_requests SET status = 'rejected'");
	expect_error(call(t, POST, "/v1/auth/email/verify", NULL, PATH(t, "{'token':'%s'}", link)), 400, "invalid_token");
	test_close(t);
	t = *state = test_open(TEST_CONF("SIGNUP_POLICY=approval"));
	admin = test_user(t, ROLE_ADMIN);
	sign_up(t, "grace@example.org");
	assert_int_equal(mails(t, "email_verify"), 0);
	expect_json(call(t, GET, list, admin.bearer, NULL), "mail_configured", "false");
	test_close(t);
}

static void
the_prefix_may_be_another(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("API_PREFIX=/identity/v2"));
	struct test_user u = test_user(t, ROLE_STUDENT);

	expect_status(call(t, GET, "/identity/v2/auth/me", u.bearer, NULL), 200);
	expect_status(call(t, GET, "/v1/auth/me", u.bearer, NULL), 200);
	expect_text(call(t, GET, "/identity/v2/nothing", u.bearer, NULL), "error.code", "HTTP_ERROR");
	expect_status(call(t, GET, "/identity/v2x/auth/me", u.bearer, NULL), 404);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(open_signup_signs_in),
		STANDARD(signup_checks_its_members),
		cmocka_unit_test(signup_with_approval_hides_taken_addresses),
		cmocka_unit_test(signups_of_one_address_are_counted),
		STANDARD(login_and_its_refusals),
		cmocka_unit_test(accounts_limits_stand_apart_from_the_portals),
		STANDARD(refresh_rotates_and_reuse_ends_the_session),
		cmocka_unit_test(logout_ends_one_and_logout_all_every_session),
		STANDARD(web_clients_use_a_cookie),
		STANDARD(name_and_mail_can_be_changed),
		cmocka_unit_test(sessions_are_listed_and_ended),
		cmocka_unit_test(password_change_ends_other_sessions),
		STANDARD(guessing_the_current_password_locks_that_step_only),
		cmocka_unit_test(an_address_is_proven_by_its_link),
		cmocka_unit_test(an_address_is_proven_while_its_account_waits),
		cmocka_unit_test(the_prefix_may_be_another),
	};

	return cmocka_run_group_tests_name("api_accounts", tests, NULL, NULL);
}
