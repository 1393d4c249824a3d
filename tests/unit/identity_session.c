/* Access tokens, rotation and reuse of refresh tokens, the ends of a session's life, retired keys. */
#include "session_env.h"

#include "core/jws.h"

/* --- access tokens ---- */

static char *
claims_with(struct test *t, const struct test_user *u, const char *change, const char *value)
{
	int64_t now = t->wall_us / SECONDS_US;
	struct {
		const char *name, *value;
	} c[] = {
		{"iss", "\"muster\""},
		{"aud", "\"muster\""},
		{"sub", arena_printf(&t->arena, "\"%s\"", u->id.text)},
		{"role", "\"admin\""},
		{"sid", arena_printf(&t->arena, "\"%s\"", u->session_id.text)},
		{"iat", arena_printf(&t->arena, "%lld", (long long)now)},
		{"exp", arena_printf(&t->arena, "%lld", (long long)now + 60)},
		{"jti", "\"x\""},
		{"typ", "\"access\""},
	};
	struct buf b;

	buf_init(&b, &t->arena, 300);
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		const char *v = change && strcmp(c[i].name, change) == 0 ? value : c[i].value;
		if (v)
			buf_printf(&b, "%s\"%s\":%s", b.n ? "," : "{", c[i].name, v);
	}
	buf_chr(&b, '}');
	return arena_strdup(&t->arena, buf_cstr(&b));
}

static void
access_token_claims(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	const struct key *key = key_current(t->srv.keys, KEY_ACCESS);
	const char *now = arena_printf(&t->arena, "%lld", (long long)(t->wall_us / SECONDS_US));
	const struct {
		const char *claim, *value;
		enum err want;
	} cases[] = {
		{NULL, NULL, OK},
		{"role", "\"student\"", OK}, /* what the token says of the role counts for nothing */
		{"iss", "\"other\"", ERR_NOT_AUTHENTICATED},
		{"iss", NULL, ERR_NOT_AUTHENTICATED},
		{"aud", "\"other\"", ERR_NOT_AUTHENTICATED},
		{"aud", NULL, ERR_NOT_AUTHENTICATED},
		{"typ", "\"mfa_pending\"", ERR_NOT_AUTHENTICATED},
		{"typ", NULL, ERR_NOT_AUTHENTICATED},
		{"sub", NULL, ERR_NOT_AUTHENTICATED},
		{"sub", "\"x\"", ERR_NOT_AUTHENTICATED},
		{"sub", "\"00000000-0000-7000-8000-000000000000\"", ERR_TOKEN_REVOKED},
		{"sid", NULL, ERR_NOT_AUTHENTICATED},
		{"sid", "\"00000000-0000-7000-8000-000000000000\"", ERR_TOKEN_REVOKED},
		{"exp", NULL, ERR_NOT_AUTHENTICATED},
		{"exp", "\"9999999999\"", ERR_NOT_AUTHENTICATED},
		{"exp", now, ERR_ACCESS_EXPIRED},
		{"exp", "0", ERR_ACCESS_EXPIRED},
		{"exp", "-1", ERR_ACCESS_EXPIRED},
		{"iat", NULL, ERR_NOT_AUTHENTICATED},
		{"iat", arena_printf(&t->arena, "%lld", (long long)(t->wall_us / SECONDS_US + 60)), OK},
		{"iat", arena_printf(&t->arena, "%lld", (long long)(t->wall_us / SECONDS_US + 61)), ERR_NOT_AUTHENTICATED},
	};

	assert_int_equal(access(t, u.bearer), OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *token = jws_sign(&t->arena, key, "at+jwt", claims_with(t, &u, cases[i].claim, cases[i].value));
		if (access(t, token) != cases[i].want)
			fail_msg("row %zu: %s", i, cases[i].claim ? cases[i].claim : "unchanged");
	}
	/* another use's key, another typ, a changed byte anywhere */
	const char *good = claims_with(t, &u, NULL, NULL);
	assert_int_equal(
		access(t, jws_sign(&t->arena, key_current(t->srv.keys, KEY_MFA_PENDING), "at+jwt", good)), ERR_NOT_AUTHENTICATED);
	assert_int_equal(access(t, jws_sign(&t->arena, key, "mfa_pending", good)), ERR_NOT_AUTHENTICATED);
	for (size_t i = 0, n = strlen(u.bearer); i < n; i += 7) {
		char *bent = arena_strdup(&t->arena, u.bearer);
		bent[i] = bent[i] == 'A' ? 'B' : 'A';
		if (strcmp(bent, u.bearer) != 0)
			assert_int_equal(access(t, bent), ERR_NOT_AUTHENTICATED);
	}
	test_advance(t, 15 * MINUTES_US - SECONDS_US);
	assert_int_equal(access(t, u.bearer), OK);
	test_advance(t, SECONDS_US);
	assert_int_equal(access(t, u.bearer), ERR_ACCESS_EXPIRED);
}

static void
nothing_usable_is_stored(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);

	assert_int_equal(strlen(u.refresh_token), 43); /* 256 bits */
	assert_int_equal(
		count(t, arena_printf(&t->arena,
				 "SELECT count(*) FROM refresh_tokens WHERE token_hash || successor_salt || id LIKE '%%%s%%'",
				 u.refresh_token)),
		0);
	assert_int_equal(count(t, "SELECT count(*) FROM refresh_tokens WHERE length(token_hash) = 43"), 1);
}

/* --- rotation ---- */

static void
rotation_and_grace(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing first, again, next;

	assert_int_equal(refresh(t, u.refresh_token, &first), OK);
	assert_string_not_equal(first.successor, u.refresh_token);
	assert_string_equal(first.user, u.id.text);
	assert_int_equal(access(t, first.access), OK);
	assert_int_equal(access(t, u.bearer), OK); /* the same session */
	test_advance(t, 15 * SECONDS_US);
	assert_int_equal(refresh(t, u.refresh_token, &again), OK); /* the reply was lost: the very same successor */
	assert_string_equal(again.successor, first.successor);
	assert_int_equal(again.expires_at, first.expires_at);
	assert_int_equal(access(t, again.access), OK);
	assert_int_equal(count(t, "SELECT count(*) FROM refresh_tokens"), 2);
	assert_int_equal(refresh(t, first.successor, &next), OK);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'refresh_reuse_detected'"), 0);
}

static void
assert_family_dead(struct test *t, const struct test_user *u, const char *last)
{
	struct refreshing r;

	assert_int_equal(access(t, u->bearer), ERR_TOKEN_REVOKED);
	assert_int_equal(refresh(t, last, &r), ERR_TOKEN_REVOKED);
	assert_int_equal(count(t, arena_printf(&t->arena,
					  "SELECT count(*) FROM audit_logs WHERE action = 'refresh_reuse_detected'"
					  " AND actor_id = '%s' AND entity_id = '%s'",
					  u->id.text, u->session_id.text)),
		1);
	assert_int_equal(
		count(t, arena_printf(&t->arena, "SELECT count(*) FROM notifications WHERE type = 'security' AND user_id = '%s'",
				 u->id.text)),
		1);
}

static void
reuse_after_grace(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing first, again;

	assert_int_equal(refresh(t, u.refresh_token, &first), OK);
	assert_int_equal(access(t, u.bearer), OK);
	test_advance(t, 15 * SECONDS_US + 1);
	assert_int_equal(refresh(t, u.refresh_token, &again), ERR_TOKEN_REVOKED);
	assert_family_dead(t, &u, first.successor);
	assert_int_equal(refresh(t, u.refresh_token, &again), ERR_TOKEN_REVOKED); /* told once, not again */
	assert_family_dead(t, &u, first.successor);
}

static void
reuse_after_successor_was_used(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing first, second, again;

	assert_int_equal(refresh(t, u.refresh_token, &first), OK);
	assert_int_equal(refresh(t, first.successor, &second), OK);
	test_advance(t, SECONDS_US); /* within the grace, but the thief's or the owner's chain has moved on */
	assert_int_equal(refresh(t, u.refresh_token, &again), ERR_TOKEN_REVOKED);
	assert_family_dead(t, &u, second.successor);
}

static void
reuse_survives_restart(void **state)
{
	struct test *t = *state, *after;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing first, again;

	assert_int_equal(refresh(t, u.refresh_token, &first), OK);
	after = restart(t, PEPPER, SECRET);
	assert_int_equal(refresh(after, u.refresh_token, &again), OK);
	assert_string_equal(again.successor, first.successor);
	test_advance(t, MINUTES_US);
	assert_int_equal(refresh(after, u.refresh_token, &again), ERR_TOKEN_REVOKED);
	assert_int_equal(refresh(after, first.successor, &again), ERR_TOKEN_REVOKED);
	restart_end(after);
}

static void
many_threads_one_successor(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	static struct refreshing r[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		r[i] = (struct refreshing){.t = t, .token = u.refresh_token};
		pthread_create(&threads[i], NULL, refresh_thread, &r[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(r[i].result, OK);
		assert_string_equal(r[i].successor, r[0].successor);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM refresh_tokens"), 2);
	assert_int_equal(count(t, "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL"), 1);
}

/* A rotation every hour: the session still ends on its 90th day, and no token outlives it. */
static void
absolute_life(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	int64_t end = t->wall_us + 90 * DAYS_US;
	struct refreshing r;
	char token[64];
	int rotations = 0;

	str_copy(token, sizeof(token), u.refresh_token);
	for (; rotations < 4000; rotations++) {
		test_advance(t, HOURS_US);
		if (refresh(t, token, &r) != OK)
			break;
		assert_true(r.expires_at <= end);
		assert_true(t->wall_us + r.life_s * SECONDS_US <= end);
		str_copy(token, sizeof(token), r.successor);
	}
	assert_int_equal(rotations, 90 * 24 - 1);
	assert_int_equal(r.result, ERR_NOT_AUTHENTICATED);
}

static void
idle_life(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing r;

	test_advance(t, 14 * DAYS_US);
	assert_int_equal(refresh(t, u.refresh_token, &r), ERR_NOT_AUTHENTICATED);
	assert_int_equal(refresh(t, "no token at all", &r), ERR_NOT_AUTHENTICATED);
	assert_int_equal(refresh(t, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &r), ERR_NOT_AUTHENTICATED);
}

static void
keys_retire(void **state)
{
	struct test *t = *state, *after;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing r, s;

	/* both secrets rotated, the old ones still listed */
	after = restart(t, OTHER "-p," PEPPER, OTHER "-s," SECRET);
	assert_int_equal(access(after, u.bearer), OK);
	assert_int_equal(refresh(after, u.refresh_token, &r), OK);
	assert_int_equal(access(after, r.access), OK);
	restart_end(after);
	/* the old ones gone: what they made is refused, what the new ones made is good */
	after = restart(t, OTHER "-p", OTHER "-s");
	assert_int_equal(access(after, u.bearer), ERR_NOT_AUTHENTICATED);
	assert_int_equal(refresh(after, u.refresh_token, &s), ERR_NOT_AUTHENTICATED);
	assert_int_equal(access(after, r.access), OK);
	assert_int_equal(refresh(after, r.successor, &s), OK);
	restart_end(after);
}

static void
account_state_counts_at_refresh(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing r;

	sql_run(t, "UPDATE users SET is_active = 0");
	assert_int_equal(refresh(t, u.refresh_token, &r), ERR_TOKEN_REVOKED);
	session_table_flush(t->srv.sessions);
	assert_int_equal(access(t, u.bearer), ERR_TOKEN_REVOKED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(access_token_claims),
		STANDARD(nothing_usable_is_stored),
		STANDARD(rotation_and_grace),
		STANDARD(reuse_after_grace),
		STANDARD(reuse_after_successor_was_used),
		STANDARD(reuse_survives_restart),
		STANDARD(many_threads_one_successor),
		STANDARD(absolute_life),
		STANDARD(idle_life),
		STANDARD(keys_retire),
		STANDARD(account_state_counts_at_refresh),
	};

	return cmocka_run_group_tests_name("identity_session", tests, NULL, NULL);
}
