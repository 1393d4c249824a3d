/*
 * Login by password: equal answers, states told after a right password only, what changes between hash and write, a database that
 * is away, the second factor.
 */
#include "login_env.h"

#include "core/jws.h"
#include "core/keys.h"
#include "identity/approval.h"
#include "identity/password.h"

static enum err
access(struct test *t, const char *token)
{
	struct access_claims claims;
	struct actor actor;
	struct ctx cx;

	test_ctx(t, &cx);
	enum err e = access_verify(&cx, token, &claims);
	if (e != OK)
		return e;
	cx.db = db_reader_open(t->srv.store);
	e = session_fill(&cx, &claims, &actor);
	db_reader_close(cx.db);
	return e;
}

static void
right_password(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada Lovelace");
	struct answer a = login(t, " ADA@Example.ORG ", NULL);

	assert_int_equal(a.e, OK);
	assert_string_equal(a.r.who.id.text, u.id.text);
	assert_null(a.r.mfa_token);
	assert_int_equal(access(t, a.r.tokens.access_token), OK);
	assert_int_equal(a.r.tokens.access_expires_s, 900);
	assert_string_not_equal(a.r.tokens.session_id.text, u.session_id.text); /* never a session from before */
	assert_int_equal(access(t, u.bearer), ERR_TOKEN_REVOKED);
	assert_string_equal(
		sql_text(t, "SELECT result || ' ' || actor_id || ' ' || ip_address FROM audit_logs WHERE action = 'login'"),
		arena_printf(&t->arena, "success %s 192.0.2.1", u.id.text));
}

struct signing {
	struct signup in;
	struct signup_result out;
};

static enum err
signup_run(struct ctx *cx, void *arg)
{
	struct signing *s = arg;

	return approval_signup(cx, &s->in, &s->out);
}

static struct signup_result
sign_up(struct test *t, const char *email)
{
	struct signing s = {.in = {.email = email,
				    .full_name = "Somebody",
				    .password_hash = test_hash(t, TEST_PASSWORD),
				    .role = ROLE_STUDENT,
				    .life_us = 3 * MINUTES_US}};
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, signup_run, &s), OK);
	return s.out;
}

/* Unknown, wrong password, and every state with a wrong password: nothing tells them apart, and nobody gets a token. */
static void
failures_look_alike(void **state)
{
	static const char *const emails[] = {"nobody@example.org", "active@example.org", "pending@example.org",
		"rejected@example.org", "late@example.org", "disabled@example.org", "oauth@example.org", "no address at all"};
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "active@example.org", "A");
	test_user_named(t, ROLE_STUDENT, "disabled@example.org", "D");
	test_user_named(t, ROLE_STUDENT, "oauth@example.org", "O");
	sql_run(t, "UPDATE users SET is_active = 0, disabled_at = created_at WHERE email = 'disabled@example.org'");
	sql_run(t, "UPDATE users SET password_hash = NULL WHERE email = 'oauth@example.org'");
	sign_up(t, "pending@example.org");
	sign_up(t, "rejected@example.org");
	sign_up(t, "late@example.org");
	sql_run(t, "UPDATE approval_requests SET status = 'rejected'"
		   " WHERE user_id = (SELECT id FROM users WHERE email = 'rejected@example.org')");
	sql_run(t, "UPDATE approval_requests SET status = 'timeout'"
		   " WHERE user_id = (SELECT id FROM users WHERE email = 'late@example.org')");
	int64_t sessions = count(t, "SELECT count(*) FROM sessions");
	for (size_t i = 0; i < sizeof(emails) / sizeof(emails[0]); i++) {
		struct answer a = login(t, emails[i], "Wrong-Horse-7");
		assert_int_equal(a.e, ERR_INVALID_CREDENTIALS);
		assert_int_equal(a.cx.error.code, ERR_INVALID_CREDENTIALS);
		assert_null(a.cx.error.message);
		assert_null(a.cx.error.notes);
		assert_int_equal(a.retry_s, 0);
	}
	/* a right password tells the state; closed and OAuth-only accounts look like a wrong one */
	assert_int_equal(login(t, "disabled@example.org", NULL).e, ERR_INVALID_CREDENTIALS);
	assert_int_equal(login(t, "oauth@example.org", NULL).e, ERR_INVALID_CREDENTIALS);
	assert_int_equal(login(t, "rejected@example.org", NULL).e, ERR_ACCOUNT_REJECTED);
	assert_int_equal(login(t, "late@example.org", NULL).e, ERR_APPROVAL_TIMEOUT);
	struct answer pending = login(t, "pending@example.org", NULL);
	assert_int_equal(pending.e, ERR_ACCOUNT_PENDING);
	assert_string_equal(pending.cx.error.notes->name, "approval_request_id");
	assert_true(uuid_valid(pending.cx.error.notes->text));
	assert_string_equal(pending.cx.error.notes->next->name, "expires_at");
	assert_string_equal(pending.cx.error.notes->next->text, "2026-08-01T12:03:00Z");
	assert_null(pending.cx.error.notes->next->next);
	test_advance(t, 3 * MINUTES_US);
	assert_int_equal(login(t, "pending@example.org", NULL).e, ERR_APPROVAL_TIMEOUT); /* before the job has run */
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), sessions);
	assert_int_equal(failed_rows(t, "unknown_account"), 2);
	assert_int_equal(failed_rows(t, "wrong_password"), 7); /* OAuth-only and closed ones too */
	assert_int_equal(failed_rows(t, "account_disabled"), 1);
	assert_int_equal(failed_rows(t, "account_pending"), 1);
	/* what is no address may be a password in the wrong box: it is nowhere */
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE details LIKE '%no address%'"), 0);
}

/* --- between hash and write ---- */

static struct {
	struct test *t;
	const char *sql;
	int calls, at;
} hook;

/* The clock is asked between reading the account and hashing: the moment to change it behind the login's back. */
static int64_t
hooked_clock(void *arg)
{
	if (++hook.calls == hook.at)
		sql_run(hook.t, hook.sql);
	return atomic_load(&((struct test *)arg)->monotonic_us);
}

static void
changed_between_hash_and_write(void **state)
{
	struct test *t = *state;
	const char *other = test_hash(t, "Another-Horse-8");
	const char *const changes[] = {
		"UPDATE users SET is_active = 0, disabled_at = created_at",
		"UPDATE users SET is_active = 0",
		arena_printf(&t->arena, "UPDATE users SET password_hash = '%s'", other),
		"UPDATE users SET password_hash = NULL",
		"DELETE FROM users",
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct test_user u = test_user_named(t, ROLE_STUDENT, arena_printf(&t->arena, "u%zu@example.org", i), "U");
		int64_t sessions = count(t, "SELECT count(*) FROM sessions");
		hook.t = t;
		hook.sql = changes[i];
		hook.calls = 0;
		hook.at = 2;
		t->srv.source.monotonic_us = hooked_clock;
		struct answer a = login(t, u.email, NULL);
		assert_true(hook.calls >= 2);
		assert_int_equal(a.e, ERR_INVALID_CREDENTIALS);
		assert_true(count(t, "SELECT count(*) FROM sessions") <= sessions);
		sql_run(t, "DELETE FROM users");
	}
	/* and without a change the same path lets in */
	struct test_user u = test_user_named(t, ROLE_STUDENT, "same@example.org", "U");
	hook.calls = 0;
	hook.sql = "UPDATE users SET full_name = 'X'";
	assert_int_equal(login(t, u.email, NULL).e, OK);
}

static void
stale_hash_is_renewed(void **state)
{
	struct test *t = test_open(TEST_CONF("BCRYPT_ROUNDS=5"));
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	sql_run(t, "UPDATE users SET password_hash ="
		   " '$pbkdf2-sha256$1000$55xzbu09B0DI.f/fW2vt3Q$1s6l1pCF.hRkQ89W1w.YRFAzoTPKK7Iyv6wpAN1hbBQ'");
	assert_int_equal(login(t, u.email, "Wrong-Horse-7").e, ERR_INVALID_CREDENTIALS);
	assert_true(str_starts(sql_text(t, "SELECT password_hash FROM users"), "$pbkdf2"));
	assert_int_equal(login(t, u.email, "Correct-Horse-7").e, OK);
	const char *hash = sql_text(t, "SELECT password_hash FROM users");
	assert_true(str_starts(hash, "$2b$05$"));
	assert_int_equal(login(t, u.email, "Correct-Horse-7").e, OK);
	assert_string_equal(sql_text(t, "SELECT password_hash FROM users"), hash);
	test_close(t);
}

static void
long_passwords_are_not_cut(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	char password[201];

	memset(password, 'x', 200);
	password[200] = 0;
	for (int n = 64; n <= 200; n += 136) {
		password[n] = 0;
		sql_run(t, arena_printf(&t->arena, "UPDATE users SET password_hash = '%s'", test_hash(t, password)));
		assert_int_equal(login(t, u.email, password).e, OK);
		password[n - 1] = 'y';
		assert_int_equal(login(t, u.email, password).e, ERR_INVALID_CREDENTIALS);
		password[n - 1] = 'x';
		password[n] = 'x';
	}
	/* an imported plain bcrypt hash knows 72 bytes only, so it opens for none longer */
	password[72] = 0;
	sql_run(t, "UPDATE users SET password_hash = '$2b$04$p2LYFS3lrkWbf0yal0.zcOsFbxQQiehddBA/DqmJlMfFEVEaDz41e'");
	assert_int_equal(login(t, u.email, password).e, OK);
	password[72] = 'x';
	password[73] = 0;
	assert_int_equal(login(t, u.email, password).e, ERR_INVALID_CREDENTIALS);
}

static void
fails_closed_without_database(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);

	sql_run(t, "ALTER TABLE refresh_tokens RENAME TO gone");
	assert_true(login(t, u.email, NULL).e != OK);
	sql_run(t, "ALTER TABLE gone RENAME TO refresh_tokens");
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 1); /* nothing half done */
	sql_run(t, "ALTER TABLE login_failures RENAME TO gone");
	assert_true(login(t, u.email, NULL).e != OK);
	sql_run(t, "ALTER TABLE gone RENAME TO login_failures");
	assert_int_equal(login(t, u.email, NULL).e, OK);
}

static enum err
goes_away(struct ctx *cx, void *arg, const struct account *who)
{
	(void)arg;
	(void)who;
	return fail(cx, ERR_UNAVAILABLE, NULL);
}

/* Tried again and again while the verdict cannot be written: not one of these is a failure. */
static void
an_outage_locks_nobody_out(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const struct login in = {.email = u.email, .password = TEST_PASSWORD, .surface = LOGIN_ACCOUNTS, .also = goes_away};
	int64_t tries = conf_live(&t->srv.conf->login_fail_ip_threshold) + conf_live(&t->srv.conf->login_fail_email_threshold);
	struct client client = {.request_id = "r", .ip = "192.0.2.1", .user_agent = "test"};
	struct login_result r;
	struct ctx cx;

	for (int64_t i = 0; i < tries; i++) {
		test_ctx(t, &cx);
		cx.client = &client;
		assert_int_equal(login_password(&cx, &in, &r), ERR_UNAVAILABLE);
		assert_int_equal(cx.error.code, ERR_UNAVAILABLE);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM login_failures WHERE failures > 0 OR locked_until IS NOT NULL"), 0);
	assert_int_equal(login(t, u.email, NULL).e, OK);
}

/* Nor do they use the limits up, whichever write it was that failed. */
static void
an_outage_uses_no_limit_up(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	const struct config *conf = t->srv.conf;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const struct login in = {.email = u.email, .password = TEST_PASSWORD, .surface = LOGIN_ACCOUNTS, .also = goes_away};
	int64_t tries = conf_live(&conf->rl_login_ip_limit) + conf_live(&conf->rl_login_email_limit);
	struct client client = {.request_id = "r", .ip = "192.0.2.1", .user_agent = "test"};
	struct login_result r;
	struct ctx cx;

	(void)state;
	for (int64_t i = 0; i < tries; i++) {
		test_ctx(t, &cx);
		cx.client = &client;
		assert_int_equal(login_password(&cx, &in, &r), ERR_UNAVAILABLE);
	}
	sql_run(t, "ALTER TABLE login_failures RENAME TO gone");
	for (int64_t i = 0; i < tries; i++)
		assert_int_equal(login_as(t, &(const struct attempt){.email = u.email, .surface = LOGIN_ACCOUNTS}).e, ERR_INTERNAL);
	sql_run(t, "ALTER TABLE gone RENAME TO login_failures");
	assert_int_equal(login_as(t, &(const struct attempt){.email = u.email, .surface = LOGIN_ACCOUNTS}).e, OK);
	test_close(t);
}

/* --- the second factor ---- */

static void
second_factor_is_due(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct span claims;

	sql_run(t, "INSERT INTO mfa_totp (user_id, secret, key_id, last_step, enabled_at, created_at)"
		   " SELECT id, 'x', 'x', 0, created_at, created_at FROM users");
	struct answer a = login(t, u.email, NULL);
	assert_int_equal(a.e, OK);
	assert_non_null(a.r.mfa_token);
	assert_null(a.r.tokens.access_token);
	assert_null(a.r.tokens.refresh_token);
	assert_null(a.r.device_token);
	assert_int_equal(a.r.mfa_expires_s, 300);
	assert_int_equal(access(t, a.r.mfa_token), ERR_NOT_AUTHENTICATED); /* good for nothing else */
	assert_true(jws_verify(&t->arena, t->srv.keys, KEY_MFA_PENDING, "mfa_pending", a.r.mfa_token, &claims));
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 1);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'mfa_pending'"), 1);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'login' AND result = 'success'"), 0);
}

/* The two statements an operator types: the account can sign in, whichever of them ran. */
static void
operator_activates(void **state)
{
	struct test *t = *state;

	sign_up(t, "ada@example.org");
	assert_int_equal(login(t, "ada@example.org", NULL).e, ERR_ACCOUNT_PENDING);
	const char *id = sql_text(t, "SELECT id FROM users");
	sql_run(t, arena_printf(&t->arena, "UPDATE users SET role = 'student', is_active = 1 WHERE id = '%s';", id));
	assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
	sql_run(t, arena_printf(&t->arena, "UPDATE approval_requests SET status = 'approved' WHERE user_id = '%s';", id));
	assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(right_password),
		STANDARD(failures_look_alike),
		STANDARD(changed_between_hash_and_write),
		cmocka_unit_test(stale_hash_is_renewed),
		STANDARD(long_passwords_are_not_cut),
		STANDARD(fails_closed_without_database),
		STANDARD(an_outage_locks_nobody_out),
		cmocka_unit_test(an_outage_uses_no_limit_up),
		STANDARD(second_factor_is_due),
		STANDARD(operator_activates),
	};

	return cmocka_run_group_tests_name("identity_login", tests, NULL, NULL);
}
