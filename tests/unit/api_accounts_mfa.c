/* The second factor over the accounts surface: setting up, completing logins of every surface, backup codes, switching off. */
#include "accounts_env.h"
#include "mfa_env.h"

static struct test_reply *
post(struct test *t, const char *path, const char *bearer, const char *body)
{
	return call(t, POST, PATH(t, "/v1/auth/mfa/%s", path), bearer, body);
}

static struct test_reply *
with_code(struct test *t, const char *path, const char *bearer, const char *code)
{
	return post(t, path, bearer, PATH(t, "{'code':'%s'}", code));
}

struct person {
	struct test_user user;
	const char *secret;
	const char *backup[10];
};

static struct person
enrolled(struct test *t)
{
	struct person p = {.user = test_user(t, ROLE_STUDENT)};
	struct test_reply *r = post(t, "totp/setup", p.user.bearer, NULL);

	expect_status(r, 200);
	p.secret = text_at(r, "secret");
	r = with_code(t, "totp/verify", p.user.bearer, app_code(t, p.secret, 0));
	expect_status(r, 200);
	for (int i = 0; i < 10; i++)
		p.backup[i] = text_at(r, PATH(t, "backup_codes.%d", i));
	return p;
}

static struct test_reply *
login(struct test *t, const struct person *p)
{
	return call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", p->user.email, TEST_PASSWORD));
}

static struct test_reply *
complete(struct test *t, const char *token, const char *member, const char *code)
{
	return post(t, "complete", NULL, PATH(t, "{'mfa_token':'%s','%s':'%s'}", token, member, code));
}

/* A session that has shown the factor. */
static const char *
strong_bearer(struct test *t, const struct person *p, int backup)
{
	struct test_reply *r = complete(t, text_at(login(t, p), "mfa_token"), "backup_code", p->backup[backup]);

	expect_status(r, 200);
	return text_at(r, "access_token");
}

static void
from_setup_to_login(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_REVIEWER);
	struct test_reply *r = post(t, "totp/setup", u.bearer, NULL);

	expect_status(r, 200);
	const char *secret = text_at(r, "secret");
	assert_int_equal(strlen(secret), 32);
	assert_non_null(
		strstr(text_at(r, "otpauth_uri"), PATH(t, "?secret=%s&issuer=Muster&algorithm=SHA1&digits=6&period=30", secret)));
	assert_true(str_starts(text_at(r, "otpauth_uri"), "otpauth://totp/Muster:reviewer"));
	assert_true(str_starts(text_at(r, "qr_svg"), "<svg "));
	expect_json(call(t, GET, "/v1/auth/me", u.bearer, NULL), "mfa_enabled", "false");
	expect_error(with_code(t, "totp/verify", u.bearer, wrong_code(t, secret)), 401, "invalid_code");
	r = with_code(t, "totp/verify", u.bearer, app_code(t, secret, 0));
	expect_status(r, 200);
	assert_int_equal(json_array_size(reply_at(r, "backup_codes")), 10);
	assert_int_equal(strlen(text_at(r, "backup_codes.0")), 19);
	expect_json(call(t, GET, "/v1/auth/me", u.bearer, NULL), "mfa_enabled", "true");
	assert_int_equal(mails(t, "mfa_enabled"), 1);
	expect_error(with_code(t, "totp/verify", u.bearer, app_code(t, secret, 0)), 409, "mfa_not_enabled");

	r = call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", u.email, TEST_PASSWORD));
	expect_status(r, 200);
	expect_json(r, "mfa_required", "true");
	expect_int(r, "expires_in", 300);
	assert_null(reply_at(r, "access_token"));
	assert_null(reply_head(r, "X-Device-Token"));
	const char *token = text_at(r, "mfa_token");
	expect_error(call(t, GET, "/v1/auth/me", token, NULL), 401, "not_authenticated");
	expect_error(
		call(t, POST, "/v1/auth/refresh", NULL, PATH(t, "{'refresh_token':'%.200s'}", token)), 401, "not_authenticated");
	expect_error(complete(t, token, "code", app_code(t, secret, 0)), 401, "invalid_code");
	r = complete(t, token, "code", app_code(t, secret, 1));
	expect_status(r, 200);
	expect_text(r, "user.role", "REVIEWER");
	expect_json(r, "user.mfa_enabled", "true");
	assert_non_null(reply_head(r, "X-Device-Token"));
	expect_error(complete(t, token, "code", app_code(t, secret, 1)), 400, "invalid_token");
	expect_json(call(t, POST, "/v1/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", text_at(r, "refresh_token"))),
		"user.mfa_enabled", "true");
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'login_failed'"
				  " AND json_extract(details, '$.reason') = 'wrong_code'"),
		1);
}

static void
a_portal_login_is_completed_here(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	struct test_reply *r =
		call(t, POST, "/api/auth/login", NULL, PATH(t, "{'username':'%s','password':'%s'}", p.user.email, TEST_PASSWORD));

	expect_json(r, "mfa_required", "true");
	r = complete(t, text_at(r, "mfa_token"), "backup_code", p.backup[0]);
	expect_status(r, 200);
	expect_status(call(t, GET, "/api/auth/me", text_at(r, "access_token"), NULL), 200);
	assert_int_equal(mails(t, "backup_code_used"), 1);
	r = web_call(t, "/v1/auth/mfa/complete",
		PATH(t, "{'mfa_token':'%s','backup_code':'%s'}", text_at(login(t, &p), "mfa_token"), p.backup[1]),
		"http://localhost", NULL);
	expect_status(r, 200);
	assert_null(reply_at(r, "refresh_token"));
	assert_non_null(cookie_of(t, r, "muster_rt"));
}

static void
completing_is_counted_and_looks_at_the_account(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	const char *token = text_at(login(t, &p), "mfa_token");

	sql_run(t, PATH(t, "UPDATE users SET is_active = 0 WHERE id = '%s'", p.user.id.text));
	expect_error(complete(t, token, "code", app_code(t, p.secret, 1)), 401, "invalid_credentials");
	sql_run(t, PATH(t, "UPDATE users SET is_active = 1 WHERE id = '%s'", p.user.id.text));
	expect_error(post(t, "complete", NULL, PATH(t, "{'mfa_token':'%s'}", token)), 422, "validation_error");
	for (int i = 0; i < 8; i++)
		expect_error(
			complete(t, text_at(login(t, &p), "mfa_token"), "code", wrong_code(t, p.secret)), 401, "invalid_code");
	struct test_reply *r = complete(t, text_at(login(t, &p), "mfa_token"), "code", app_code(t, p.secret, 1));
	expect_error(r, 429, "account_locked");
	expect_head(r, "Retry-After", "900");
	expect_error(with_code(t, "backup-codes/regenerate", p.user.bearer, app_code(t, p.secret, 1)), 429, "account_locked");
	expect_error(with_code(t, "disable", p.user.bearer, app_code(t, p.secret, 1)), 429, "account_locked");
	expect_error(
		post(t, "totp/setup", p.user.bearer, PATH(t, "{'code':'%s'}", app_code(t, p.secret, 1))), 429, "account_locked");
}

static void
setup_asks_again_for_what_is_old(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);

	test_advance(t, 10 * MINUTES_US + SECONDS_US);
	expect_error(post(t, "totp/setup", u.bearer, "{}"), 403, "reauthentication_required");
	expect_error(post(t, "totp/setup", u.bearer, "{'password':'Wrong-Horse-7'}"), 401, "invalid_credentials");
	struct test_reply *r = post(t, "totp/setup", u.bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD));
	expect_status(r, 200);
	const char *first = text_at(r, "secret");
	expect_status(with_code(t, "totp/verify", u.bearer, app_code(t, first, 0)), 200);

	/* an active factor is needed for its own successor, and stays until that one has been verified */
	expect_error(
		post(t, "totp/setup", u.bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD)), 403, "reauthentication_required");
	expect_error(
		post(t, "totp/setup", u.bearer, PATH(t, "{'password':'%s','code':'%s'}", TEST_PASSWORD, wrong_code(t, first))),
		401, "invalid_code");
	r = post(t, "totp/setup", u.bearer, PATH(t, "{'password':'%s','code':'%s'}", TEST_PASSWORD, app_code(t, first, 1)));
	expect_status(r, 200);
	const char *second = text_at(r, "secret");
	assert_string_not_equal(first, second);
	test_advance(t, 60 * SECONDS_US);
	r = call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", u.email, TEST_PASSWORD));
	r = complete(t, text_at(r, "mfa_token"), "code", app_code(t, first, 0));
	expect_status(r, 200);
	const char *bearer = text_at(r, "access_token");
	expect_status(with_code(t, "totp/verify", bearer, app_code(t, second, 0)), 200);
	r = call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", u.email, TEST_PASSWORD));
	const char *token = text_at(r, "mfa_token");
	expect_error(complete(t, token, "code", app_code(t, first, 1)), 401, "invalid_code");
	expect_status(complete(t, token, "code", app_code(t, second, 1)), 200);
}

static void
guessing_the_password_of_a_setup_locks_it(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);

	test_advance(t, 10 * MINUTES_US + SECONDS_US);
	for (int i = 0; i < 8; i++)
		expect_error(post(t, "totp/setup", u.bearer, "{'password':'Wrong-Horse-7'}"), 401, "invalid_credentials");
	expect_error(post(t, "totp/setup", u.bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD)), 429, "account_locked");
}

static void
a_first_code_is_counted(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *secret = text_at(post(t, "totp/setup", u.bearer, NULL), "secret");

	for (int i = 0; i < 8; i++)
		expect_error(with_code(t, "totp/verify", u.bearer, wrong_code(t, secret)), 401, "invalid_code");
	expect_error(with_code(t, "totp/verify", u.bearer, app_code(t, secret, 0)), 429, "account_locked");
	assert_int_equal(audited(t, "mfa_enabled", "failure"), 9);
}

static void
new_backup_codes_kill_the_old_ones(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);

	expect_error(with_code(t, "backup-codes/regenerate", p.user.bearer, wrong_code(t, p.secret)), 401, "invalid_code");
	struct test_reply *r = with_code(t, "backup-codes/regenerate", p.user.bearer, app_code(t, p.secret, 1));
	expect_status(r, 200);
	const char *token = text_at(login(t, &p), "mfa_token");
	expect_error(complete(t, token, "backup_code", p.backup[0]), 401, "invalid_code");
	char *typed = str_lower(&t->arena, text_at(r, "backup_codes.3"));
	expect_status(complete(t, token, "backup_code", typed), 200);
	assert_int_equal(audited(t, "backup_codes_regenerated", "success"), 1);
	struct test_user plain = test_user(t, ROLE_STUDENT);
	expect_error(with_code(t, "backup-codes/regenerate", plain.bearer, "123456"), 409, "mfa_not_enabled");
}

static void
switching_off(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);

	expect_error(with_code(t, "disable", p.user.bearer, wrong_code(t, p.secret)), 401, "invalid_code");
	expect_error(post(t, "disable", p.user.bearer, "{}"), 422, "validation_error");
	expect_error(
		post(t, "disable", p.user.bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD)), 403, "reauthentication_required");
	struct test_reply *r = with_code(t, "disable", p.user.bearer, app_code(t, p.secret, 1));
	expect_status(r, 200);
	expect_json(r, "mfa_enabled", "false");
	expect_error(with_code(t, "disable", p.user.bearer, app_code(t, p.secret, 1)), 409, "mfa_not_enabled");
	expect_status(login(t, &p), 200);
	assert_null(reply_at(login(t, &p), "mfa_token"));
	assert_int_equal(mails(t, "mfa_disabled"), 1);
	assert_int_equal(audited(t, "mfa_disabled", "success"), 1);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'mfa_backup' AND used_at IS NULL"), 0);
}

static void
switching_off_by_backup_code_or_password(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);

	expect_status(post(t, "disable", p.user.bearer, PATH(t, "{'backup_code':'%s'}", p.backup[0])), 200);
	p = enrolled(t);
	const char *bearer = strong_bearer(t, &p, 1);
	expect_error(post(t, "disable", bearer, "{'password':'Wrong-Horse-7'}"), 401, "invalid_credentials");
	test_advance(t, 10 * MINUTES_US + SECONDS_US);
	expect_error(post(t, "disable", bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD)), 403, "reauthentication_required");
	bearer = strong_bearer(t, &p, 2);
	expect_status(post(t, "disable", bearer, PATH(t, "{'password':'%s'}", TEST_PASSWORD)), 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(from_setup_to_login),
		STANDARD(a_portal_login_is_completed_here),
		STANDARD(completing_is_counted_and_looks_at_the_account),
		STANDARD(setup_asks_again_for_what_is_old),
		STANDARD(guessing_the_password_of_a_setup_locks_it),
		STANDARD(a_first_code_is_counted),
		STANDARD(new_backup_codes_kill_the_old_ones),
		STANDARD(switching_off),
		STANDARD(switching_off_by_backup_code_or_password),
	};

	return cmocka_run_group_tests_name("api_accounts_mfa", tests, NULL, NULL);
}
