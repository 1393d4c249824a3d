/* A forgotten password: one answer for everybody, one live link, one use, what ends with it and what stays. */
#include "accounts_env.h"
#include "mfa_env.h"
#include "run_job.h"

#include "core/asset.h"
#include "identity/reset.h"

enum { THREADS = 32 };

static struct test_reply *
ask_with(struct test *t, const char *email, const char *ip, const struct header *headers, size_t n)
{
	return call_with(t, &(struct test_request){.method = POST,
				    .path = "/v1/auth/password-reset/request",
				    .body = PATH(t, "{\"email\":\"%s\"}", email),
				    .ip = ip,
				    .headers = headers,
				    .n_headers = n});
}

static struct test_reply *
ask(struct test *t, const char *email)
{
	return ask_with(t, email, NULL, NULL, 0);
}

static struct test_reply *
confirm(struct test *t, const char *token, const char *password)
{
	return call(
		t, POST, "/v1/auth/password-reset/confirm", NULL, PATH(t, "{'token':'%s','new_password':'%s'}", token, password));
}

static struct test_reply *
sign_in(struct test *t, const char *email, const char *password)
{
	return call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", email, password));
}

static const char *
link_token(struct test *t, const char *email)
{
	expect_status(ask(t, email), 202);
	run_job(t, "password_reset");
	return mailed_token(t, "password_reset", email);
}

static void
the_answer_is_one(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *known = ask(t, u.email), *unknown = ask(t, "nobody@example.org"), *none = ask(t, "no address");

	expect_status(known, 202);
	expect_status(unknown, 202);
	assert_string_equal(known->body, unknown->body);
	assert_string_equal(known->body, none->body);
	/* and so are the rows that were written for it: nothing about an account was touched before the answer */
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'reset_request'"), 2);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'password_reset'"), 0);
	assert_int_equal(audited(t, "password_reset_requested", "success"), 2);
	assert_int_equal(mails(t, "password_reset"), 0);
	run_job(t, "password_reset");
	assert_int_equal(mails(t, "password_reset"), 1);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'reset_request'"), 0);
	run_job(t, "password_reset");
	assert_int_equal(mails(t, "password_reset"), 1);
}

static void
limits_are_silent(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_user a = test_user(t, ROLE_STUDENT), b = test_user(t, ROLE_STUDENT);
	const char *first = ask(t, a.email)->body;

	for (int i = 0; i < 10; i++) {
		struct test_reply *r = ask_with(t, a.email, PATH(t, "198.51.100.%d", i), NULL, 0);
		expect_status(r, 202);
		assert_string_equal(r->body, first);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'reset_request'"), 3);
	for (int i = 0; i < 10; i++)
		expect_status(ask(t, PATH(t, "x%d@example.org", i)), 202);
	expect_status(ask(t, b.email), 202);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'reset_request'"), 7);
	run_job(t, "password_reset");
	assert_int_equal(mails(t, "password_reset"), 3);
	test_close(t);
}

static void
the_link_is_ours_whatever_the_request_says(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("PUBLIC_BASE_URL=https://attend.example.org"));
	struct test_user u = test_user(t, ROLE_STUDENT);
	const struct header evil[] = {{"Host", "evil.example"}, {"X-Forwarded-Host", "evil.example"},
		{"Forwarded", "host=evil.example"}, {"Origin", "https://evil.example"}, {"Referer", "https://evil.example/"}};
	struct ctx cx;

	expect_status(ask_with(t, u.email, NULL, evil, 5), 202);
	run_job(t, "password_reset");
	test_ctx(t, &cx);
	const char *data = sql_text(t, "SELECT data FROM outbox"),
		   *sealed = sql_text(t, "SELECT json_extract(data, '$.link') FROM outbox");
	const char *link = mail_link_open(&cx, u.email, sealed);
	assert_non_null(link);
	assert_true(str_starts(link, "https://attend.example.org/app/reset#"));
	assert_null(strstr(data, strchr(link, '#') + 1)); /* a copy of the database opens nothing */
	assert_null(mail_link_open(&cx, "other@example.org", sealed));
	test_close(t);
}

static void
a_new_password_ends_everything_old(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user u = test_user(t, ROLE_STUDENT), other = u;

	test_login(t, &other);
	for (int i = 0; i < 9; i++)
		sign_in(t, u.email, "Wrong-Horse-7");
	expect_error(sign_in(t, u.email, TEST_PASSWORD), 429, "account_locked");
	const char *token = link_token(t, u.email);
	expect_error(confirm(t, token, "password"), 422, "validation_error");
	expect_error(confirm(t, token, u.email), 422, "validation_error");
	struct test_reply *r = confirm(t, token, NEW_PASSWORD);
	expect_status(r, 200);
	assert_int_equal(json_object_size(r->json), 1); /* it signs nobody in */
	assert_null(reply_head(r, "Set-Cookie"));
	expect_error(call(t, GET, "/v1/auth/me", u.bearer, NULL), 401, "token_revoked");
	expect_error(call(t, GET, "/v1/auth/me", other.bearer, NULL), 401, "token_revoked");
	expect_error(call(t, POST, "/v1/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", u.refresh_token)), 401,
		"token_revoked");
	expect_error(confirm(t, token, NEW_PASSWORD), 400, "invalid_token");
	expect_status(sign_in(t, u.email, NEW_PASSWORD), 200); /* the lock was a stranger's */
	assert_int_equal(mails(t, "password_changed"), 1);
	assert_int_equal(audited(t, "password_reset", "success"), 1);
	test_close(t);
}

/* Wherever a password is chosen: fifty of the list, and the service's own name. */
static void
weak_passwords_are_refused_on_all_ways(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *token = link_token(t, u.email), *at;
	const struct asset_blob *list = asset_blobs;

	while (list->name && strcmp(list->name, "passwords.txt") != 0)
		list++;
	assert_non_null(list->name);
	at = (const char *)list->data;
	for (int i = 0; i <= 50; i++) {
		const char *word = i == 50 ? "Muster-2026" : arena_strndup(&t->arena, at, strcspn(at, "\n"));
		const char *why = i == 50 ? "must not be the name of this service" : "is among the most common passwords";
		struct test_reply *ways[] = {
			call(t, POST, "/v1/auth/signup", NULL,
				PATH(t, "{\"name\":\"New\",\"email\":\"new@example.org\",\"password\":\"%s\"}", word)),
			call(t, POST, "/v1/auth/password/change", u.bearer,
				PATH(t, "{\"current_password\":\"%s\",\"new_password\":\"%s\"}", TEST_PASSWORD, word)),
			confirm(t, token, word),
		};
		for (size_t w = 0; w < 3; w++) {
			expect_error(ways[w], 422, "validation_error");
			if (!strstr(ways[w]->body, why))
				fail_msg("way %zu, %s: %s", w, word, ways[w]->body);
		}
		for (int line = 0; i < 49 && line < 199; line++)
			at = strchr(at, '\n') + 1;
	}
	expect_status(confirm(t, token, NEW_PASSWORD), 200);
}

static void
only_the_newest_link_and_only_in_time(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *older = link_token(t, u.email), *newer = link_token(t, u.email);

	expect_error(confirm(t, older, NEW_PASSWORD), 400, "invalid_token");
	for (int i = 0; i < 10; i++)
		assert_int_equal(
			call(t, GET, PATH(t, "/v1/auth/password-reset/confirm?token=%s", newer), NULL, NULL)->status, 405);
	test_advance(t, 30 * MINUTES_US);
	expect_error(confirm(t, newer, NEW_PASSWORD), 400, "invalid_token");
	const char *fresh = link_token(t, u.email);
	test_advance(t, 30 * MINUTES_US - SECONDS_US);
	expect_status(confirm(t, fresh, NEW_PASSWORD), 200);
	expect_error(confirm(t, "unknown", NEW_PASSWORD), 400, "invalid_token");
	expect_error(confirm(t, "", NEW_PASSWORD), 422, "validation_error");
}

static void
tokens_of_other_purposes_are_none(void **state)
{
	struct test *t = *state;
	struct test_reply *r = call(t, POST, "/v1/auth/signup", NULL,
		PATH(t, "{'name':'Ada','email':'ada@example.org','password':'%s'}", TEST_PASSWORD));

	expect_error(confirm(t, mailed_token(t, "email_verify", "ada@example.org"), NEW_PASSWORD), 400, "invalid_token");
	expect_error(confirm(t, text_at(r, "refresh_token"), NEW_PASSWORD), 400, "invalid_token");
	const char *token = link_token(t, "ada@example.org");
	expect_error(call(t, POST, "/v1/auth/email/verify", NULL, PATH(t, "{'token':'%s'}", token)), 400, "invalid_token");
	expect_status(confirm(t, token, NEW_PASSWORD), 200);
	expect_json(sign_in(t, "ada@example.org", NEW_PASSWORD), "user.email_verified", "true");
}

static void
a_second_factor_stays_on(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *secret = text_at(call(t, POST, "/v1/auth/mfa/totp/setup", u.bearer, NULL), "secret");

	expect_status(call(t, POST, "/v1/auth/mfa/totp/verify", u.bearer, PATH(t, "{'code':'%s'}", app_code(t, secret, 0))), 200);
	expect_status(confirm(t, link_token(t, u.email), NEW_PASSWORD), 200);
	struct test_reply *r = sign_in(t, u.email, NEW_PASSWORD);
	expect_json(r, "mfa_required", "true");
	assert_null(reply_at(r, "access_token"));
}

static void
closed_and_pending_accounts_get_no_link(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT), later = test_user(t, ROLE_STUDENT);

	sql_run(t, PATH(t, "UPDATE users SET is_active = 0 WHERE id = '%s'", u.id.text));
	assert_string_equal(link_token(t, u.email), "");
	const char *token = link_token(t, later.email);
	sql_run(t, PATH(t, "UPDATE users SET is_active = 0 WHERE id = '%s'", later.id.text));
	expect_error(confirm(t, token, NEW_PASSWORD), 400, "invalid_token");
}

static void
what_a_stranger_prepared_goes_with_an_unproven_address(void **state)
{
	struct test *t = *state;
	struct test_user proven = test_user(t, ROLE_STUDENT), unproven = test_user(t, ROLE_STUDENT);
	static const char insert[] = "INSERT INTO oauth_identities (id, user_id, provider, issuer, subject, created_at) VALUES"
				     " ('%s', '%s', 'campus', 'https://id.example', '%s', '2026-08-01 12:00:00.000000')";

	sql_run(t, PATH(t, insert, proven.id.text, proven.id.text, "1"));
	sql_run(t, PATH(t, insert, unproven.id.text, unproven.id.text, "2"));
	sql_run(t, PATH(t, "UPDATE users SET email_verified_at = NULL WHERE id = '%s'", unproven.id.text));
	expect_status(confirm(t, link_token(t, proven.email), NEW_PASSWORD), 200);
	expect_status(confirm(t, link_token(t, unproven.email), NEW_PASSWORD), 200);
	assert_string_equal(sql_text(t, "SELECT group_concat(user_id) FROM oauth_identities"), proven.id.text);
}

struct trying {
	struct test *t;
	const char *token;
	int status;
};

static void *
confirm_thread(void *arg)
{
	struct trying *y = arg;

	y->status = call_with(
		y->t, &(struct test_request){.method = POST, .path = "/v1/auth/password-reset/confirm", .body = y->token})
			    ->status;
	return NULL;
}

static void
many_at_once_one_wins(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *body = PATH(t, "{\"token\":\"%s\",\"new_password\":\"%s\"}", link_token(t, u.email), NEW_PASSWORD);
	struct trying tries[THREADS];
	pthread_t threads[THREADS];
	int won = 0;

	for (int i = 0; i < THREADS; i++) {
		tries[i] = (struct trying){.t = t, .token = body};
		assert_int_equal(pthread_create(&threads[i], NULL, confirm_thread, &tries[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		won += tries[i].status == 200;
		assert_true(tries[i].status == 200 || tries[i].status == 400 || tries[i].status == 503);
	}
	assert_int_equal(won, 1);
	assert_int_equal(audited(t, "password_reset", "success"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(the_answer_is_one),
		cmocka_unit_test(limits_are_silent),
		cmocka_unit_test(the_link_is_ours_whatever_the_request_says),
		cmocka_unit_test(a_new_password_ends_everything_old),
		STANDARD(weak_passwords_are_refused_on_all_ways),
		STANDARD(only_the_newest_link_and_only_in_time),
		STANDARD(tokens_of_other_purposes_are_none),
		STANDARD(a_second_factor_stays_on),
		STANDARD(closed_and_pending_accounts_get_no_link),
		STANDARD(what_a_stranger_prepared_goes_with_an_unproven_address),
		STANDARD(many_at_once_one_wins),
	};

	return cmocka_run_group_tests_name("api_accounts_reset", tests, NULL, NULL);
}
