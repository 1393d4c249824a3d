/*
 * Signing in with a provider, honest and hostile: the way there and back, and every lie a provider or a stranger could tell.
 * Whatever holds for the callback holds for both of its methods.
 */
#include "oidc_env.h"

/* --- the way ---- */

static void
start_binds_browser_provider_and_verifier(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct test_reply *r = call(t, GET, "/v1/auth/oauth/providers", NULL, NULL);

	expect_json(r, "providers", "[{'id':'campus','name':'campus'},{'id':'library','name':'library'}]");
	r = call(t, GET, "/v1/auth/oauth/campus/start", NULL, NULL);
	expect_status(r, 302);
	const char *url = reply_head(r, "Location"), *cookie = cookie_of(t, r, "muster_ob");
	assert_true(str_starts(url,
		ISSUER "/authorize?response_type=code&client_id=muster-client&"
		       "redirect_uri=https%3A%2F%2Fattend.example.org%2Fcb&scope=openid%20email%20profile&state="));
	assert_non_null(strstr(url, "&code_challenge_method=S256"));
	assert_int_equal(strlen(cookie), strlen("muster_ob=") + 43);
	expect_head(r, "Cache-Control", "no-store");
	struct begun a = begin_at(t, "campus"), b = begin_at(t, "campus");
	assert_string_not_equal(a.state, b.state);
	assert_string_not_equal(a.binding, b.binding);
	assert_int_equal(
		count(t, PATH(t, "SELECT count(*) FROM one_time_secrets WHERE secret_hash LIKE '%%%s%%' OR data LIKE '%%%s%%'",
				 a.state, query_member(t, b.url, "nonce"))),
		0);
	assert_int_equal(idp.documents, 1);
	expect_error(call(t, GET, "/v1/auth/oauth/none/start", NULL, NULL), 404, "not_found");
	expect_error(call(t, GET, "/v1/auth/oauth/library/start", NULL, NULL), 422, "validation_error");
	static const char *const bad[] = {"https://evil.example/", "https://attend.example.org/cb/",
		"https://attend.example.org/cb%3Fx", "https://attend.example.org@evil.example/cb", "//attend.example.org/cb",
		"/cb", "https://APP.example.org/cb"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_error(call(t, GET, PATH(t, "/v1/auth/oauth/campus/start?redirect_uri=%s", bad[i]), NULL, NULL), 422,
			"validation_error");
	expect_status(call(t, GET, "/v1/auth/oauth/campus/start?redirect_uri=https://app.example.org/cb", NULL, NULL), 302);
	test_close(t);
}

static void
somebody_new_and_again(void **state)
{
	BOTH_METHODS
	{
		struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
		struct test_reply *r = arrive(t, post);
		expect_status(r, 200);
		expect_text(r, "user.email", "person@example.org");
		expect_text(r, "user.name", "Per Son");
		expect_text(r, "user.role", "STUDENT");
		expect_json(r, "user.email_verified", "true");
		assert_true(str_starts(idp.authorization, "Basic bXVzdGVyLWNsaWVudDpzM2NyZXQlMkYlMkIlMjAlMjU"));
		assert_null(strstr(idp.form, "s3cret"));
		const char *id = text_at(r, "user.id");
		idp.email = "moved@example.org"; /* an address never identifies */
		r = arrive(t, post);
		expect_text(r, "user.id", id);
		expect_text(r, "user.email", "person@example.org");
		assert_int_equal(idp.key_sets, 1);
		r = call(t, GET, "/v1/auth/oauth/identities", text_at(r, "access_token"), NULL);
		expect_text(r, "identities.0.provider", "campus");
		expect_text(r, "identities.0.issuer", ISSUER);
		assert_int_equal(audited(t, "oauth_linked", "success"), 1);
		expect_error(sign_in(t, "person@example.org", TEST_PASSWORD), 401, "invalid_credentials");
		idp.sub = "person-2"; /* the same address by somebody else */
		idp.email = "person@example.org";
		idp.extra = NULL;
		expect_error(arrive(t, post), 409, "link_required");
		test_close(t);
	}
}

static void
a_state_is_good_once_here_and_now(void **state)
{
	BOTH_METHODS
	{
		struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
		struct begun b = begin_at(t, "campus"), stolen = b;
		stolen.binding = begin_at(t, "campus").binding;
		expect_error(come_back(t, post, "campus", &stolen), 400, "invalid_token");
		b = begin_at(t, "campus");
		expect_error(come_back(t, post, "library", &b), 400, "invalid_token"); /* and it is spent */
		expect_error(come_back(t, post, "campus", &b), 400, "invalid_token");
		b = begin_at(t, "campus");
		b.state = "made-up";
		expect_error(come_back(t, post, "campus", &b), 400, "invalid_token");
		b = begin_at(t, "campus");
		test_advance(t, 600 * SECONDS_US);
		expect_error(come_back(t, post, "campus", &b), 400, "invalid_token");
		assert_int_equal(idp.exchanges, 0);
		b = begin_at(t, "campus");
		expect_status(come_back(t, post, "campus", &b), 200);
		expect_error(come_back(t, post, "campus", &b), 400, "invalid_token");
		expect_error(come_back(t, post, "none", &b), 404, "not_found");
		assert_int_equal(failures(t, "bad_state"), 5);
		assert_int_equal(failures(t, "state_of_another_provider"), 1);
		test_close(t);
	}
}

static void
the_verifier_is_what_the_challenge_promised(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	const struct begun b = begin_at(t, "campus");

	str_copy(idp.challenge, sizeof(idp.challenge), "another");
	struct test_reply *r = come_back(t, true, "campus", &b);
	expect_error(r, 401, "oauth_failed");
	expect_text(r, "error.details.oauth_error", "code_refused");
	test_close(t);
}

/* --- lies ---- */

struct lie {
	const char *wrong; /* what the reply and the trail say */
	struct scripted says;
};

static void
every_lie_is_refused(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	const struct lie lies[] = {
		{"bad_nonce", {.nonce = "another"}},
		{"bad_nonce", {.nonce = ""}},
		{"bad_audience", {.aud = "\"somebody-else\""}},
		{"bad_audience", {.aud = "[\"somebody-else\"]"}},
		{"bad_audience", {.aud = "[\"muster-client\",\"somebody-else\"]"}},
		{"bad_audience", {.extra = ",\"azp\":\"somebody-else\""}},
		{"bad_audience", {.aud = "null"}},
		{"bad_issuer", {.iss = "https://evil.example"}},
		{"bad_issuer", {.iss = ISSUER "/"}},
		{"bad_issuer", {.iss = ""}},
		{"expired_token", {.exp_in_s = -61}},
		{"token_of_the_future", {.iat_in_s = 61, .exp_in_s = 400}},
		{"token_of_the_future", {.extra = ",\"nbf\":4000000000"}},
		{"bad_subject", {.sub = ""}},
		{"bad_signature", {.sign_with_other = true}},
		{"unknown_key", {.kid = "k2"}},
		{"bad_token", {.no_signature = true}},
		{"bad_token", {.header = "{\"alg\":\"none\"}", .no_signature = true}},
		{"bad_token", {.header = "{\"alg\":\"none\",\"kid\":\"k1\"}"}},
		{"bad_token", {.header = "{\"alg\":\"HS256\",\"kid\":\"k1\"}"}},
		{"bad_token", {.header = "{\"alg\":\"RS512\",\"kid\":\"k1\"}"}},
		{"bad_token", {.header = "{\"alg\":\"EdDSA\",\"kid\":\"k1\"}"}},
		{"bad_signature", {.header = "{\"alg\":\"ES256\",\"kid\":\"k1\"}"}},
		{"bad_token", {.header = "{\"alg\":\"RS256\",\"kid\":\"k1\",\"jku\":\"https://evil.example/keys\"}"}},
		{"bad_token", {.header = "{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":[\"b64\"]}"}},
		{"bad_token", {.header = "{\"alg\":\"RS256\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}"}},
		{"bad_token", {.token_body = "{\"id_token\":\"x\"}"}},
		{"bad_token", {.claims = "[]"}},
		{"code_refused", {.token_body = "{\"access_token\":\"x\"}"}},
		{"code_refused", {.token_body = "[]"}},
		{"code_refused", {.token_status = 400}},
		{"code_refused", {.token_status = 302}},
		{"no_email", {.email = ""}},
		{"no_email", {.email = "no address"}},
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct scripted *s = &lies[i].says;
		idp_reset(t);
		struct begun b = begin_at(t, "campus");
#define SAY(m)    \
	if (s->m) \
	idp.m = s->m
		SAY(nonce);
		SAY(aud);
		SAY(extra);
		SAY(iss);
		SAY(exp_in_s);
		SAY(iat_in_s);
		SAY(sub);
		SAY(sign_with_other);
		SAY(kid);
		SAY(no_signature);
		SAY(header);
		SAY(token_body);
		SAY(claims);
		SAY(token_status);
		SAY(email);
		struct test_reply *r = come_back(t, i % 2, "campus", &b);
		if (r->status != 401 || strcmp(error_code(r), "oauth_failed") != 0 ||
			strcmp(text_at(r, "error.details.oauth_error"), lies[i].wrong) != 0)
			fail_msg("lie %zu (%s): %d %s", i, lies[i].wrong, r->status, r->body);
		assert_int_equal(failures(t, lies[i].wrong) > 0, 1);
		test_advance(t, SECONDS_US);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 0);
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 0);
	assert_int_equal(
		count(t, "SELECT count(*) FROM audit_logs WHERE action = 'login_failed'"), sizeof(lies) / sizeof(lies[0]));
	idp_reset(t);
	expect_status(arrive(t, true), 200); /* the honest one is let in */
	test_close(t);
}

static void
what_the_provider_refused(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct begun b = begin_at(t, "campus");
	static const char path[] = "/v1/auth/oauth/campus/callback";

	struct test_reply *r =
		call(t, POST, path, NULL, PATH(t, "{'error':'access_denied','state':'%s','binding':'%s'}", b.state, b.binding));
	expect_error(r, 401, "oauth_failed");
	expect_text(r, "error.details.oauth_error", "access_denied");
	b = begin_at(t, "campus");
	r = call(t, POST, path, NULL,
		PATH(t, "{'code':'x','state':'%s','binding':'%s','iss':'https://evil.example'}", b.state, b.binding));
	expect_text(r, "error.details.oauth_error", "bad_issuer");
	assert_int_equal(idp.exchanges, 0);
	expect_error(call(t, POST, path, NULL, PATH(t, "{'state':'%s'}", b.state)), 422, "validation_error");
	expect_error(call(t, POST, path, NULL, "{'code':'x','state':'y','role':'admin'}"), 422, "validation_error");
	test_close(t);
}

static void
a_provider_that_is_away_lets_nobody_in(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	struct begun b = begin_at(t, "campus");

	idp.down = true;
	expect_error(come_back(t, true, "campus", &b), 503, "unavailable");
	idp_reset(t);
	b = begin_at(t, "campus");
	idp.huge = true;
	expect_error(come_back(t, true, "campus", &b), 503, "unavailable");
	idp_reset(t);
	b = begin_at(t, "campus");
	idp.jwks_status = 302;
	test_advance(t, 6 * SECONDS_US);
	expect_error(come_back(t, true, "campus", &b), 503, "unavailable");
	assert_int_equal(failures(t, "provider_unavailable"), 3);
	for (size_t i = 0; i < 3; i++) {
		static const char *const causes[] = {"scripted", "the answer is too large", "there is no key set"};
		assert_int_equal(
			count(t, PATH(t,
					 "SELECT count(*) FROM audit_logs WHERE json_extract(details, '$.cause') = 'provider campus: %s'",
					 causes[i])),
			1);
	}
	idp_reset(t);
	test_advance(t, 3601 * SECONDS_US);
	idp.issuer = "https://evil.example"; /* the document names another issuer */
	expect_error(call(t, GET, "/v1/auth/oauth/campus/start", NULL, NULL), 503, "unavailable");
	int asked = idp.documents;
	expect_error(call(t, GET, "/v1/auth/oauth/campus/start", NULL, NULL), 503, "unavailable");
	assert_int_equal(idp.documents, asked); /* not again at once */
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 0);
	test_close(t);
}

static void
keys_are_fetched_seldom_and_replaced_whole(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");

	expect_status(arrive(t, true), 200);
	assert_int_equal(idp.key_sets, 1);
	idp.kid = "k9";
	for (int i = 0; i < 20; i++)
		expect_error(arrive(t, true), 401, "oauth_failed");
	assert_int_equal(idp.key_sets, 1);
	test_advance(t, 61 * SECONDS_US);
	for (int i = 0; i < 20; i++)
		expect_error(arrive(t, true), 401, "oauth_failed");
	assert_int_equal(idp.key_sets, 2);
	test_advance(t, 61 * SECONDS_US); /* the provider rotates */
	idp.jwks = rsa_set(&t->arena, idp.other, "k9");
	idp.sign_with_other = true;
	expect_status(arrive(t, true), 200);
	assert_int_equal(idp.key_sets, 3);
	idp.kid = "k1";
	idp.sign_with_other = false;
	expect_error(arrive(t, true), 401, "oauth_failed"); /* the old key is gone */
	test_close(t);
}

/* Keys past their time prove nothing, however often the new ones fail to come; and nobody asks for them without a pause. */
static void
keys_that_do_not_come_are_not_replaced_by_old_ones(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");

	idp.jwks_status = 500;
	expect_error(arrive(t, true), 503, "unavailable");
	idp.jwks_status = 200;
	expect_error(arrive(t, true), 503, "unavailable");
	assert_int_equal(idp.key_sets, 1);
	test_advance(t, 6 * SECONDS_US);
	expect_status(arrive(t, true), 200);
	test_advance(t, (t->srv.conf->jwks_cache_ttl_seconds + 1) * SECONDS_US);
	idp.jwks_status = 500;
	for (int i = 0; i < 2; i++) {
		expect_error(arrive(t, true), 503, "unavailable");
		expect_error(arrive(t, true), 503, "unavailable");
		assert_int_equal(idp.key_sets, 3 + i);
		test_advance(t, 6 * SECONDS_US);
	}
	idp.jwks_status = 200;
	expect_status(arrive(t, true), 200);
	test_close(t);
}

/* An ID token with a person's groups is longer than any of ours. */
static void
long_tokens_are_read(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");
	const struct {
		int groups, status;
	} rows[] = {{150, 200}, {500, 401}};

	for (size_t i = 0; i < 2; i++) {
		struct buf extra;
		buf_init(&extra, &t->arena, 8000);
		buf_str(&extra, ",\"email_verified\":true,\"groups\":[0");
		for (int g = 0; g < rows[i].groups; g++)
			buf_printf(&extra, ",\"00000000-0000-4000-8000-%012d\"", g);
		buf_str(&extra, "]");
		idp.extra = buf_cstr(&extra);
		expect_status(arrive(t, true), rows[i].status);
	}
	test_close(t);
}

/* --- the presets ---- */

static void
microsoft_by_tenant(void **state)
{
	static const char tenant[] = "11111111-2222-3333-4444-555555555555", other[] = "99999999-2222-3333-4444-555555555555";
	struct test *t = *state = test_open(TEST_CONF("OAUTH_MICROSOFT_CLIENT_ID=" CLIENT, "OAUTH_MICROSOFT_CLIENT_SECRET=s",
		"OAUTH_MICROSOFT_REDIRECT_URI=https://attend.example.org/ms",
		"OAUTH_MICROSOFT_TENANT=11111111-2222-3333-4444-555555555555,22222222-2222-3333-4444-555555555555"));
	const struct {
		const char *tid, *iss;
		int status;
	} rows[] = {{tenant, tenant, 200}, {other, other, 401}, {tenant, other, 401}, {other, tenant, 401}};

	for (size_t i = 0; i < 4; i++) {
		idp_reset(t);
		idp.issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
		struct begun b = begin_at(t, "microsoft");
		idp.iss = PATH(t, "https://login.microsoftonline.com/%s/v2.0", rows[i].iss);
		idp.extra = PATH(t, ",\"tid\":\"%s\",\"email_verified\":true", rows[i].tid);
		struct test_reply *r = come_back(t, true, "microsoft", &b);
		expect_status(r, rows[i].status);
		if (rows[i].status == 200)
			expect_json(r, "user.email_verified", "false"); /* Microsoft proves no address */
	}
	test_close(t);
}

static void
an_address_may_come_from_userinfo(void **state)
{
	struct test *t = *state = oidc_test("SIGNUP_POLICY=open");

	idp.email = idp.extra = NULL;
	idp.userinfo = "{\"sub\":\"somebody-else\",\"email\":\"person@example.org\",\"email_verified\":true}";
	struct test_reply *r = arrive(t, true);
	expect_error(r, 401, "oauth_failed");
	expect_text(r, "error.details.oauth_error", "bad_subject");
	idp.userinfo = "{\"sub\":\"person-1\",\"email\":\"person@example.org\",\"email_verified\":true,\"name\":\"Per\"}";
	r = arrive(t, true);
	expect_text(r, "user.email", "person@example.org");
	expect_json(r, "user.email_verified", "true");
	test_close(t);
}

static void
google(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("OAUTH_GOOGLE_CLIENT_ID=" CLIENT, "OAUTH_GOOGLE_CLIENT_SECRET=s",
		"OAUTH_GOOGLE_REDIRECT_URI=https://attend.example.org/g"));

	idp_reset(t);
	idp.issuer = idp.iss = "https://accounts.google.com";
	struct begun b = begin_at(t, "google");
	struct test_reply *r = come_back(t, true, "google", &b);
	expect_status(r, 200);
	expect_json(r, "user.email_verified", "true");
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_binds_browser_provider_and_verifier),
		cmocka_unit_test(somebody_new_and_again),
		cmocka_unit_test(a_state_is_good_once_here_and_now),
		cmocka_unit_test(the_verifier_is_what_the_challenge_promised),
		cmocka_unit_test(every_lie_is_refused),
		cmocka_unit_test(what_the_provider_refused),
		cmocka_unit_test(a_provider_that_is_away_lets_nobody_in),
		cmocka_unit_test(keys_are_fetched_seldom_and_replaced_whole),
		cmocka_unit_test(keys_that_do_not_come_are_not_replaced_by_old_ones),
		cmocka_unit_test(long_tokens_are_read),
		cmocka_unit_test(microsoft_by_tenant),
		cmocka_unit_test(google),
		cmocka_unit_test(an_address_may_come_from_userinfo),
	};

	return cmocka_run_group_tests_name("api_accounts_oauth", tests, NULL, NULL);
}
