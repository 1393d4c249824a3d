/*
 * Login by password: equal answers, states told after a right password only, what changes between hash and write, lockout, limits
 * by IP, known devices, the second factor.
 */
#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "core/jws.h"
#include "core/keys.h"
#include "identity/approval.h"
#include "identity/login.h"
#include "identity/password.h"

struct attempt {
	const char *email, *password, *ip, *device;
	enum login_surface surface;
};
struct answer {
	enum err e;
	int retry_s;
	struct ctx cx;
	struct login_result r;
};

static struct answer
login_as(struct test *t, const struct attempt *in)
{
	struct client *client = arena_new(&t->arena, struct client, 1);
	const struct login login = {.email = in->email,
		.password = in->password ? in->password : TEST_PASSWORD,
		.device_token = in->device,
		.surface = in->surface ? in->surface : LOGIN_PORTAL};
	struct answer a = {.e = OK};

	*client = (struct client){.request_id = "r", .ip = in->ip ? in->ip : "192.0.2.1", .user_agent = "test"};
	test_ctx(t, &a.cx);
	a.cx.client = client;
	a.e = login_password(&a.cx, &login, &a.r);
	a.retry_s = a.cx.error.retry_after_s;
	return a;
}

static struct answer
login(struct test *t, const char *email, const char *password)
{
	return login_as(t, &(const struct attempt){.email = email, .password = password});
}

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

static int64_t
failed_rows(struct test *t, const char *reason)
{
	return count(t, arena_printf(&t->arena,
				"SELECT count(*) FROM audit_logs WHERE action = 'login_failed' AND result = 'failure'"
				" AND json_extract(details, '$.reason') = '%s'",
				reason));
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
				    .password_hash = password_hash(&t->arena, t->srv.conf, TEST_PASSWORD),
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
	const char *other = password_hash(&t->arena, t->srv.conf, "Another-Horse-8");
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
		sql_run(t, arena_printf(&t->arena, "UPDATE users SET password_hash = '%s'",
				   password_hash(&t->arena, t->srv.conf, password)));
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

/* --- lockout ---- */

static void
email_lock(void **state)
{
	static const char *const emails[] = {"ada@example.org", "nobody@example.org", "no address"};
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	for (size_t i = 0; i < sizeof(emails) / sizeof(emails[0]); i++) {
		for (int k = 0; k < 8; k++) {
			const char *ip = arena_printf(&t->arena, "198.51.100.%d", k); /* from eight places, in two spellings */
			const char *email = k % 2 ? arena_printf(&t->arena, " %s", emails[i]) : emails[i];
			assert_int_equal(login_as(t, &(struct attempt){email, "Wrong-Horse-7", ip}).e, ERR_INVALID_CREDENTIALS);
		}
		struct answer a = login(t, emails[i], NULL);
		assert_int_equal(a.e, ERR_ACCOUNT_LOCKED);
		assert_int_equal(a.retry_s, 900);
		assert_null(a.cx.error.notes);
	}
	assert_int_equal(
		count(t, "SELECT count(*) FROM login_failures WHERE subject LIKE '%ada%'"), 0); /* no address is stored */
	test_advance(t, 900 * SECONDS_US - 1);
	struct answer a = login(t, "ada@example.org", NULL);
	assert_int_equal(a.e, ERR_ACCOUNT_LOCKED);
	assert_int_equal(a.retry_s, 1);
	test_advance(t, 1);
	assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
}

static void
success_and_pauses_clear_the_count(void **state)
{
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 7; k++)
			assert_int_equal(login(t, "ada@example.org", "Wrong-Horse-7").e, ERR_INVALID_CREDENTIALS);
		assert_int_equal(login(t, "ada@example.org", NULL).e, OK); /* the eighth attempt, and right */
	}
	for (int round = 0; round < 3; round++) {
		for (int k = 0; k < 7; k++)
			assert_int_equal(login(t, "ada@example.org", "Wrong-Horse-7").e, ERR_INVALID_CREDENTIALS);
		test_advance(t, 900 * SECONDS_US);
	}
	assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
}

struct guess {
	struct test *t;
	enum err e;
};

static void *
guess_thread(void *arg)
{
	struct guess *g = arg;
	const struct login in = {.email = "ada@example.org", .password = "Wrong-Horse-7", .surface = LOGIN_PORTAL};
	const struct client client = {.request_id = "r", .ip = "192.0.2.1", .user_agent = ""};
	struct login_result r;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &g->t->srv);
	cx.client = &client;
	g->e = login_password(&cx, &in, &r);
	arena_release(&a);
	return NULL;
}

/* Counted before the hash: of sixty guesses at once, eight are looked at. */
static void
parallel_guesses(void **state)
{
	enum { GUESSES = 60 };
	struct test *t = *state;
	struct guess g[GUESSES];
	pthread_t threads[GUESSES];
	int looked_at = 0;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	for (int i = 0; i < GUESSES; i++) {
		g[i] = (struct guess){t, OK};
		pthread_create(&threads[i], NULL, guess_thread, &g[i]);
	}
	for (int i = 0; i < GUESSES; i++) {
		pthread_join(threads[i], NULL);
		assert_true(g[i].e == ERR_INVALID_CREDENTIALS || g[i].e == ERR_ACCOUNT_LOCKED);
		looked_at += g[i].e == ERR_INVALID_CREDENTIALS;
	}
	assert_int_equal(looked_at, 8);
}

/* Fails `n` times at as many addresses, so that only the IP's count grows. */
static enum err
fail_from(struct test *t, const char *ip, int n)
{
	static int number;
	enum err e = OK;

	for (int i = 0; i < n; i++) {
		const char *email = arena_printf(&t->arena, "nobody%d@example.org", number++);
		e = login_as(t, &(struct attempt){email, "Wrong-Horse-7", ip}).e;
	}
	return e;
}

static void
ip_lock_doubles_and_decays(void **state)
{
	static const int want[] = {900, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 86400};
	struct test *t = *state;
	const char *ip = "198.51.100.7";

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(fail_from(t, ip, 30), ERR_INVALID_CREDENTIALS);
		struct answer a = login_as(t, &(struct attempt){"ada@example.org", NULL, ip});
		assert_int_equal(a.e, ERR_ACCOUNT_LOCKED);
		assert_int_equal(a.retry_s, want[i]);
		assert_int_equal(login(t, "ada@example.org", NULL).e, OK); /* others are not touched, nor is the address */
		test_advance(t, a.retry_s * SECONDS_US);
	}
	/* the last two locks took a day each, and each day took a level: nine days later it begins anew */
	test_advance(t, 10 * DAYS_US);
	assert_int_equal(fail_from(t, ip, 30), ERR_INVALID_CREDENTIALS);
	assert_int_equal(login_as(t, &(struct attempt){"ada@example.org", NULL, ip}).retry_s, 900);
	/* IPv6 counts by /64 */
	assert_int_equal(fail_from(t, "2001:db8:0:1::1", 15), ERR_INVALID_CREDENTIALS);
	assert_int_equal(fail_from(t, "2001:db8:0:1:ffff::2", 15), ERR_INVALID_CREDENTIALS);
	assert_int_equal(fail_from(t, "2001:db8:0:1:aaaa::3", 1), ERR_ACCOUNT_LOCKED);
	assert_int_equal(fail_from(t, "2001:db8:0:2::1", 1), ERR_INVALID_CREDENTIALS);
}

/* Successes give back what they reserved: a hall that signs in one after the other never locks itself. */
static void
ip_lock_counts_failures_only(void **state)
{
	struct test *t = test_open(TEST_CONF("LOGIN_FAIL_IP_THRESHOLD=3", "SHARED_NETWORKS=203.0.113.0/24"));

	(void)state;
	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	for (int i = 0; i < 12; i++)
		assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
	fail_from(t, "192.0.2.1", 2);
	for (int i = 0; i < 5; i++)
		assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
	assert_int_equal(fail_from(t, "192.0.2.1", 2), ERR_ACCOUNT_LOCKED);
	assert_int_equal(fail_from(t, "203.0.113.77", 40), ERR_INVALID_CREDENTIALS); /* a shared network is never locked */
	test_close(t);
}

static void
counters_survive_the_refusal(void **state)
{
	struct test *t = *state;

	assert_int_equal(login(t, "nobody@example.org", "Wrong-Horse-7").e, ERR_INVALID_CREDENTIALS);
	assert_int_equal(count(t, "SELECT sum(failures) FROM login_failures WHERE subject LIKE 'email:%'"), 1);
	assert_int_equal(count(t, "SELECT sum(failures) FROM login_failures WHERE subject = 'ip:192.0.2.1'"), 1);
}

/* --- known devices ---- */

static void
known_device(void **state)
{
	struct test *t = *state;
	struct answer a, b;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	test_user_named(t, ROLE_STUDENT, "bob@example.org", "Bob");
	a = login(t, "ada@example.org", NULL);
	assert_non_null(a.r.device_token);
	assert_int_equal(
		count(t, arena_printf(&t->arena, "SELECT count(*) FROM known_devices WHERE token_hash = '%s'", a.r.device_token)),
		0);
	for (int i = 0; i < 8; i++)
		login_as(t, &(struct attempt){"ada@example.org", "Wrong-Horse-7", "198.51.100.9"});
	assert_int_equal(login(t, "ada@example.org", NULL).e, ERR_ACCOUNT_LOCKED);
	/* the owner on her own device comes in; the token goes on */
	b = login_as(t, &(struct attempt){"ada@example.org", NULL, NULL, a.r.device_token});
	assert_int_equal(b.e, OK);
	assert_string_equal(b.r.device_token, a.r.device_token);
	/* it is no factor, has a count of its own, and is nobody else's */
	for (int i = 0; i < 8; i++)
		assert_int_equal(login_as(t, &(struct attempt){"ada@example.org", "Wrong-Horse-7", NULL, a.r.device_token}).e,
			ERR_INVALID_CREDENTIALS);
	assert_int_equal(login_as(t, &(struct attempt){"ada@example.org", NULL, NULL, a.r.device_token}).e, ERR_ACCOUNT_LOCKED);
	for (int i = 0; i < 8; i++)
		login_as(t, &(struct attempt){"bob@example.org", "Wrong-Horse-7", "198.51.100.9"});
	assert_int_equal(login_as(t, &(struct attempt){"bob@example.org", NULL, NULL, a.r.device_token}).e, ERR_ACCOUNT_LOCKED);
	test_advance(t, 181 * DAYS_US);
	b = login_as(t, &(struct attempt){"ada@example.org", NULL, NULL, a.r.device_token});
	assert_int_equal(b.e, OK);
	assert_string_not_equal(b.r.device_token, a.r.device_token); /* too old: a new one */
	for (int i = 0; i < 30; i++)
		login(t, "ada@example.org", NULL);
	assert_int_equal(
		count(t, "SELECT count(*) FROM known_devices d JOIN users u ON u.id = d.user_id WHERE email = 'ada@example.org'"),
		20);
}

/* --- limits ---- */

static void
ip_limits_count_failures(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true", "SHARED_NETWORKS=203.0.113.0/24"));
	struct answer a;

	(void)state;
	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	const char *device = login(t, "ada@example.org", NULL).r.device_token;
	for (int i = 0; i < 30; i++)
		assert_int_equal(login(t, "ada@example.org", NULL).e, OK); /* successes cost nothing */
	assert_int_equal(fail_from(t, "192.0.2.1", 10), ERR_INVALID_CREDENTIALS);
	a = login(t, "ada@example.org", NULL);
	assert_int_equal(a.e, ERR_RATE_LIMITED);
	assert_in_range(a.retry_s, 1, 300);
	assert_int_equal(
		login_as(t, &(struct attempt){"ada@example.org", NULL, NULL, device}).e, OK); /* outside the rows by IP */
	assert_int_equal(login_as(t, &(struct attempt){"ada@example.org", NULL, "192.0.2.2"}).e, OK);
	/* ten of the portal count for accounts as well, whose row is 20 in 10 minutes */
	for (int i = 0; i < 10; i++)
		assert_int_equal(login_as(t, &(struct attempt){arena_printf(&t->arena, "x%d@example.org", i), "Wrong-Horse-7",
						     NULL, NULL, LOGIN_ACCOUNTS})
					 .e,
			ERR_INVALID_CREDENTIALS);
	assert_int_equal(
		login_as(t, &(struct attempt){"y@example.org", "Wrong-Horse-7", NULL, NULL, LOGIN_ACCOUNTS}).e, ERR_RATE_LIMITED);
	test_advance(t, 900 * SECONDS_US); /* the IP's lockout forgets as well */
	/* one's own slips come back with the success */
	for (int i = 0; i < 7; i++)
		assert_int_equal(login(t, "ada@example.org", "Wrong-Horse-7").e, ERR_INVALID_CREDENTIALS);
	assert_int_equal(login(t, "ada@example.org", NULL).e, OK);
	assert_int_equal(fail_from(t, "192.0.2.1", 10), ERR_INVALID_CREDENTIALS);
	assert_int_equal(fail_from(t, "192.0.2.1", 1), ERR_RATE_LIMITED);
	assert_int_equal(fail_from(t, "203.0.113.5", 200), ERR_INVALID_CREDENTIALS);
	test_close(t);
}

/* A throttled flood leaves twenty rows an hour and then one a minute that says how many it stands for. */
static void
throttled_rows_are_coalesced(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));

	(void)state;
	fail_from(t, "192.0.2.1", 10);
	for (int i = 0; i < 50; i++)
		assert_int_equal(fail_from(t, "192.0.2.1", 1), ERR_RATE_LIMITED);
	assert_int_equal(failed_rows(t, "rate_limited"), 21); /* 20 singly, the first of the minute */
	test_advance(t, MINUTES_US);
	assert_int_equal(fail_from(t, "192.0.2.1", 1), ERR_RATE_LIMITED);
	assert_int_equal(failed_rows(t, "rate_limited"), 22);
	assert_int_equal(count(t, "SELECT json_extract(details, '$.count') FROM audit_logs ORDER BY seq DESC LIMIT 1"), 30);
	test_close(t);
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

static int
setup(void **state)
{
	*state = test_open(NULL);
	return 0;
}

static int
teardown(void **state)
{
	test_close(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(right_password),
		TEST(failures_look_alike),
		TEST(changed_between_hash_and_write),
		cmocka_unit_test(stale_hash_is_renewed),
		TEST(long_passwords_are_not_cut),
		TEST(email_lock),
		TEST(success_and_pauses_clear_the_count),
		TEST(parallel_guesses),
		TEST(ip_lock_doubles_and_decays),
		cmocka_unit_test(ip_lock_counts_failures_only),
		TEST(counters_survive_the_refusal),
		TEST(known_device),
		cmocka_unit_test(ip_limits_count_failures),
		cmocka_unit_test(throttled_rows_are_coalesced),
		TEST(fails_closed_without_database),
		TEST(second_factor_is_due),
		TEST(operator_activates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
