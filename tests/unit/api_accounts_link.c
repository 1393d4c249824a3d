/*
 * Which account somebody from a provider is: what is linked by itself, what needs a password, a second factor, an open account; what
 * a browser gets; and that the last way in stays.
 */
#include "oidc_env.h"
#include "mfa_env.h"

/* --- linking ---- */

static void
linking_by_itself_needs_both_sides_proven(void **state)
{
	for (int cell = 0; cell < 4; cell++) {
		struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
		struct test_user u = test_user_named(t, ROLE_STUDENT, "person@example.org", "Local");
		bool provider_proves = cell & 1, local_proven = cell & 2;
		if (!local_proven)
			sql_run(t, "UPDATE users SET email_verified_at = NULL");
		if (!provider_proves)
			idp.extra = ",\"email_verified\":false";
		struct test_reply *r = arrive(t, cell & 1);
		if (provider_proves && local_proven) {
			expect_status(r, 200);
			expect_text(r, "user.id", u.id.text);
			assert_int_equal(mails(t, "oauth_linked"), 1);
		} else {
			expect_error(r, 409, "link_required");
			assert_int_equal(count(t, "SELECT count(*) FROM oauth_identities"), 0);
			assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 1);
		}
		test_close(t);
	}
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open"); /* "true" is no true */
	test_user_named(t, ROLE_STUDENT, "person@example.org", "Local");
	idp.extra = ",\"email_verified\":\"true\"";
	expect_error(arrive(t, true), 409, "link_required");
	test_close(t);
}

/* Links, and whatever else opened the account, go with the request that they came with: its next one is perhaps the owner's. */
static void
what_a_refused_stranger_prepared_goes_with_the_next_signup(void **state)
{
	static const char *const ends[] = {"rejected", "timeout"};

	for (size_t i = 0; i < 2; i++) {
		struct test *t = *state = oidc_test("SIGNUP_POLICY=approval");
		struct test_user admin = test_user(t, ROLE_ADMIN);
		struct begun b;
		idp.extra = NULL;
		expect_error(arrive(t, true), 403, "account_pending");
		sql_run(t, PATH(t, "UPDATE approval_requests SET status = '%s'", ends[i]));
		sql_run(t, PATH(t, "INSERT INTO mfa_totp (user_id, secret, key_id, last_step, enabled_at, created_at)"
				   " SELECT id, 's', 'k', 0, created_at, created_at FROM users WHERE id <> '%s'", admin.id.text));
		expect_status(call(t, POST, "/v1/auth/signup", NULL,
				      PATH(t, "{'name':'Owner','email':'person@example.org','password':'%s'}", TEST_PASSWORD)),
			202);
		expect_status(call(t, POST,
				      PATH(t, "/api/admin/approval-requests/%s/decide",
					      sql_text(t, "SELECT id FROM approval_requests WHERE status = 'pending'")),
				      admin.bearer, "{'decision':'approved'}"),
			200);
		b = begin_at(t, "campus");
		expect_error(come_back(t, true, "campus", &b), 409, "link_required");
		assert_int_equal(count(t, "SELECT count(*) FROM oauth_identities"), 0);
		struct test_reply *r = sign_in(t, "person@example.org", TEST_PASSWORD);
		expect_status(r, 200);
		assert_non_null(reply_at(r, "access_token"));
		test_close(t);
	}
}

static struct test_reply *
confirm(struct test *t, const char *token, const struct begun *b, const char *password, const char *more)
{
	return call(t, POST, "/v1/auth/oauth/link/confirm", NULL,
		PATH(t, "{'link_token':'%s','binding':'%s','password':'%s'%s}", token, b->binding, password, more));
}

static void
linking_by_password(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct test_user u = test_user_named(t, ROLE_STUDENT, "person@example.org", "Local");

	idp.extra = NULL;
	struct begun b = begin_at(t, "campus"), elsewhere = begin_at(t, "campus");
	str_copy(idp.challenge, sizeof(idp.challenge), query_member(t, b.url, "code_challenge"));
	str_copy(idp.nonce_sent, sizeof(idp.nonce_sent), query_member(t, b.url, "nonce"));
	struct test_reply *r = come_back(t, true, "campus", &b);
	expect_error(r, 409, "link_required");
	const char *token = text_at(r, "error.details.link_token");
	expect_error(confirm(t, token, &elsewhere, TEST_PASSWORD, ""), 400, "invalid_token");
	expect_error(confirm(t, "unknown", &b, TEST_PASSWORD, ""), 400, "invalid_token");
	expect_error(confirm(t, token, &b, "Wrong-Horse-7", ""), 401, "invalid_credentials");
	r = confirm(t, token, &b, TEST_PASSWORD, "");
	expect_status(r, 200);
	expect_text(r, "user.id", u.id.text);
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 400, "invalid_token");
	expect_text(arrive(t, true), "user.id", u.id.text);
	assert_int_equal(mails(t, "oauth_linked"), 1);
	test_close(t);
}

static const char *
link_token(struct test *t, struct begun *ret)
{
	*ret = begin_at(t, "campus");
	struct test_reply *r = come_back(t, true, "campus", ret);

	expect_error(r, 409, "link_required");
	return text_at(r, "error.details.link_token");
}

/* Two tabs confirm at once: who finds the token spent after the password was checked gets no session for it. */
static void
a_link_taken_meanwhile_lets_nobody_in(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct begun b;

	test_user_named(t, ROLE_STUDENT, "person@example.org", "Local");
	idp.extra = NULL;
	const char *token = link_token(t, &b);
	sql_run(t, "INSERT INTO oauth_identities (id, user_id, provider, issuer, subject, created_at)"
		   " SELECT id, id, 'campus', '" ISSUER "', 'person-1', created_at FROM users");
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 400, "invalid_token");
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 1);
	assert_int_equal(failures(t, "used_token"), 1);
	expect_error(sign_in(t, "person@example.org", "Wrong-Horse-7"), 401, "invalid_credentials");
	assert_int_equal(count(t, "SELECT max(failures) FROM login_failures WHERE subject LIKE 'email:%'"), 1); /* no guess */
	test_close(t);
}

static void
linking_is_a_login_with_all_its_refusals(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=approval");
	struct begun b;

	idp.extra = NULL;
	expect_status(call(t, POST, "/v1/auth/signup", NULL,
			      PATH(t, "{'name':'P','email':'person@example.org','password':'%s'}", TEST_PASSWORD)),
		202);
	const char *token = link_token(t, &b);
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 403, "account_pending");
	sql_run(t, "UPDATE approval_requests SET status = 'rejected'");
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 403, "account_rejected");
	sql_run(t, "UPDATE approval_requests SET status = 'timeout'");
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 403, "approval_timeout");
	for (int i = 0; i < 8; i++)
		expect_error(confirm(t, token, &b, "Wrong-Horse-7", ""), 401, "invalid_credentials");
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 429, "account_locked");
	expect_error(sign_in(t, "person@example.org", TEST_PASSWORD), 429, "account_locked");
	test_advance(t, 600 * SECONDS_US);
	expect_error(confirm(t, token, &b, TEST_PASSWORD, ""), 400, "invalid_token");
	assert_int_equal(count(t, "SELECT count(*) FROM oauth_identities"), 0);
	test_close(t);
}

static const char *
with_factor(struct test *t, const struct test_user *u)
{
	const char *secret = text_at(call(t, POST, "/v1/auth/mfa/totp/setup", u->bearer, NULL), "secret");

	expect_status(
		call(t, POST, "/v1/auth/mfa/totp/verify", u->bearer, PATH(t, "{'code':'%s'}", app_code(t, secret, 0))), 200);
	return secret;
}

static void
a_second_factor_counts_on_this_way_too(void **state)
{
	BOTH_METHODS
	{
		struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
		struct test_user u = test_user_named(t, ROLE_STUDENT, "person@example.org", "Local");
		const char *secret = with_factor(t, &u);
		struct begun b;

		idp.extra = NULL;
		const char *token = link_token(t, &b);
		struct test_reply *r = confirm(t, token, &b, TEST_PASSWORD, "");
		expect_json(r, "mfa_required", "true");
		assert_int_equal(count(t, "SELECT count(*) FROM oauth_identities"), 0);
		expect_error(confirm(t, token, &b, TEST_PASSWORD, PATH(t, ",'code':'%s'", wrong_code(t, secret))), 401,
			"invalid_code");
		r = confirm(t, token, &b, TEST_PASSWORD, PATH(t, ",'code':'%s'", app_code(t, secret, 1)));
		expect_status(r, 200);
		expect_json(r, "user.mfa_enabled", "true");
		test_advance(t, 60 * SECONDS_US);
		r = arrive(t, post);
		expect_json(r, "mfa_required", "true");
		assert_null(reply_at(r, "access_token"));
		r = call(t, POST, "/v1/auth/mfa/complete", NULL,
			PATH(t, "{'mfa_token':'%s','code':'%s'}", text_at(r, "mfa_token"), app_code(t, secret, 0)));
		expect_status(r, 200);
		expect_text(r, "user.id", u.id.text);
		assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE json_extract(details, '$.via') = 'oauth'"), 2);
		test_close(t);
	}
}

static void
an_accounts_state_counts_on_this_way_too(void **state)
{
	BOTH_METHODS
	{
		struct test *t = *state = oidc_test("SIGNUP_POLICY=approval");
		struct test_reply *r = arrive(t, post);
		expect_error(r, 403, "account_pending");
		assert_non_null(reply_at(r, "error.details.approval_request_id"));
		assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 0);
		expect_error(arrive(t, post), 403, "account_pending");
		sql_run(t, "UPDATE approval_requests SET status = 'rejected'");
		expect_error(arrive(t, post), 403, "account_rejected");
		sql_run(t, "UPDATE approval_requests SET status = 'timeout'");
		expect_error(arrive(t, post), 403, "approval_timeout");
		sql_run(t, "UPDATE users SET is_active = 1");
		expect_status(arrive(t, post), 200);
		sql_run(t, "UPDATE users SET is_active = 0, disabled_at = created_at");
		expect_error(arrive(t, post), 401, "invalid_credentials");
		test_close(t);
	}
}

/* --- browsers ---- */

static struct test_reply *
browser_back(struct test *t, const struct begun *b)
{
	const struct header headers[] = {
		{"Cookie", PATH(t, "muster_ob=%s", b->binding)}, {"Accept", "text/html,application/xhtml+xml"}};

	return call_with(t, &(struct test_request){.method = GET,
				    .path = PATH(t, "/v1/auth/oauth/campus/callback?code=c&state=%s", b->state),
				    .headers = headers,
				    .n_headers = 2});
}

static struct test_reply *
redeem(struct test *t, const char *code, const char *binding)
{
	return call(
		t, POST, "/v1/auth/oauth/campus/callback/complete", NULL, PATH(t, "{'code':'%s','binding':'%s'}", code, binding));
}

static const char *
fragment(const struct test_reply *r)
{
	expect_status(r, 303);
	assert_true(str_starts(reply_head(r, "Location"), "/app/oauth#"));
	assert_null(reply_head(r, "Set-Cookie"));
	return reply_head(r, "Location") + strlen("/app/oauth#");
}

static void
a_browser_gets_a_code_for_itself(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct begun b = begin_at(t, "campus");
	const char *code = fragment(browser_back(t, &b));

	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 0);
	expect_error(redeem(t, code, begin_at(t, "campus").binding), 400, "invalid_token");
	struct test_reply *r = redeem(t, code, b.binding);
	expect_status(r, 200);
	expect_text(r, "user.email", "person@example.org");
	expect_error(redeem(t, code, b.binding), 400, "invalid_token");
	b = begin_at(t, "campus");
	code = fragment(browser_back(t, &b));
	test_advance(t, 60 * SECONDS_US);
	expect_error(redeem(t, code, b.binding), 400, "invalid_token");
	b = begin_at(t, "campus");
	code = fragment(browser_back(t, &b));
	sql_run(t, "UPDATE users SET is_active = 0, disabled_at = created_at");
	expect_error(redeem(t, code, b.binding), 401, "invalid_credentials");
	b = begin_at(t, "campus");
	assert_string_equal(fragment(browser_back(t, &b)), "error=invalid_credentials");
	b.state = "made-up";
	assert_string_equal(fragment(browser_back(t, &b)), "error=invalid_token");
	test_close(t);
}

static void
a_browser_that_must_link(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct test_user u = test_user_named(t, ROLE_STUDENT, "person@example.org", "Local");

	idp.extra = NULL;
	struct begun b = begin_at(t, "campus");
	struct test_reply *r = redeem(t, fragment(browser_back(t, &b)), b.binding);
	expect_error(r, 409, "link_required");
	r = confirm(t, text_at(r, "error.details.link_token"), &b, TEST_PASSWORD, "");
	expect_text(r, "user.id", u.id.text);
	test_close(t);
}

/* --- links ---- */

static void
the_last_way_in_stays(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	const char *bearer = text_at(arrive(t, true), "access_token");

	expect_error(call(t, DELETE, "/v1/auth/oauth/identities/campus", bearer, NULL), 409, "last_login_method");
	expect_error(call(t, DELETE, "/v1/auth/oauth/identities/library", bearer, NULL), 404, "not_found");
	sql_run(t, "UPDATE users SET password_hash = 'x'");
	expect_status(call(t, DELETE, "/v1/auth/oauth/identities/campus", bearer, NULL), 204);
	expect_json(call(t, GET, "/v1/auth/oauth/identities", bearer, NULL), "identities", "[]");
	assert_int_equal(audited(t, "oauth_unlinked", "success"), 1);
	assert_int_equal(audited(t, "oauth_unlinked", "failure"), 2);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linking_by_itself_needs_both_sides_proven),
		cmocka_unit_test(what_a_refused_stranger_prepared_goes_with_the_next_signup),
		cmocka_unit_test(linking_by_password),
		cmocka_unit_test(a_link_taken_meanwhile_lets_nobody_in),
		cmocka_unit_test(linking_is_a_login_with_all_its_refusals),
		cmocka_unit_test(a_second_factor_counts_on_this_way_too),
		cmocka_unit_test(an_accounts_state_counts_on_this_way_too),
		cmocka_unit_test(a_browser_gets_a_code_for_itself),
		cmocka_unit_test(a_browser_that_must_link),
		cmocka_unit_test(the_last_way_in_stays),
	};

	return cmocka_run_group_tests_name("api_accounts_link", tests, NULL, NULL);
}
