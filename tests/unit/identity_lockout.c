/* What failed logins bring about: locks of addresses and networks, their decay, known devices, limits by IP. */
#include "login_env.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(email_lock),
		STANDARD(success_and_pauses_clear_the_count),
		STANDARD(parallel_guesses),
		STANDARD(ip_lock_doubles_and_decays),
		cmocka_unit_test(ip_lock_counts_failures_only),
		STANDARD(counters_survive_the_refusal),
		STANDARD(known_device),
		cmocka_unit_test(ip_limits_count_failures),
		cmocka_unit_test(throttled_rows_are_coalesced),
	};

	return cmocka_run_group_tests_name("identity_lockout", tests, NULL, NULL);
}
