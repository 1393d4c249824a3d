/* Access tokens, the session table, rotation and reuse of refresh tokens, single device, retired keys, one-time secrets. */
#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "core/jws.h"
#include "core/keys.h"
#include "identity/account.h"
#include "identity/secret.h"

enum { THREADS = 64 };

/* --- helpers ---- */

struct refreshing {
	struct test *t;
	const char *token;
	char access[TOKEN_MAX], successor[64], user[ID_BYTES + 1];
	int64_t expires_at, life_s;
	enum err result;
};

static enum err
refresh_run(struct ctx *cx, void *arg)
{
	struct refreshing *r = arg;
	struct account who;
	struct tokens tokens;

	TRY(session_refresh(cx, r->token, &who, &tokens));
	str_copy(r->access, sizeof(r->access), tokens.access_token);
	str_copy(r->successor, sizeof(r->successor), tokens.refresh_token);
	str_copy(r->user, sizeof(r->user), who.id.text);
	r->expires_at = tokens.refresh_expires_at;
	r->life_s = tokens.access_expires_s;
	return OK;
}

static void *
refresh_thread(void *arg)
{
	struct refreshing *r = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &r->t->srv);
	r->result = db_write(&cx, refresh_run, r);
	arena_release(&a);
	return NULL;
}

static enum err
refresh(struct test *t, const char *token, struct refreshing *ret)
{
	*ret = (struct refreshing){.t = t, .token = token};
	refresh_thread(ret);
	return ret->result;
}

/* What an access token is worth now, as the dispatcher asks. */
static enum err
access(struct test *t, const char *token)
{
	struct access_claims claims;
	struct actor actor;
	struct ctx cx;
	bool miss;

	test_ctx(t, &cx);
	enum err e = access_verify(&cx, token, &claims);
	if (e == OK)
		e = session_lookup(&cx, &claims, &actor, &miss);
	if (e == OK && miss) {
		cx.db = db_reader_open(t->srv.store);
		e = session_fill(&cx, &claims, &actor);
		db_reader_close(cx.db);
	}
	return e;
}

/* The same database under other settings, as after a restart. */
static struct test *
restart(struct test *t, const char *pepper, const char *secret)
{
	static struct test again;
	const char *env[] = {"ENV=dev", "QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes",
		"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=x-not-used-1A",
		"RATE_LIMIT_ENABLED=false", arena_printf(&t->arena, "TOKEN_PEPPER=%s", pepper),
		arena_printf(&t->arena, "SECRET_KEY=%s", secret), arena_printf(&t->arena, "DATA_DIR=%s", t->dir), NULL};
	const char *message = "";

	again.srv = t->srv;
	again.srv.conf = conf_load(env, NULL, &message);
	if (!again.srv.conf)
		fail_msg("%s", message);
	again.srv.keys = keys_open(again.srv.conf);
	again.srv.sessions = session_table_open(&t->srv.source, 100);
	arena_init(&again.arena);
	return &again;
}

static void
restart_end(struct test *again)
{
	session_table_close(again->srv.sessions);
	keys_close((struct keys *)(uintptr_t)again->srv.keys);
	conf_free((struct config *)(uintptr_t)again->srv.conf);
	arena_release(&again->arena);
}
#define PEPPER "0123456789abcdef0123456789abcdef-pepper"
#define SECRET "0123456789abcdef0123456789abcdef-access"
#define OTHER "fedcba9876543210fedcba9876543210-another"

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

/* --- devices ---- */

static void
single_device(void **state)
{
	(void)state;
	const struct {
		const char *setting;
		enum role role;
		int64_t live;
	} cases[] = {
		{"SINGLE_DEVICE=true", ROLE_STUDENT, 1},
		{"SINGLE_DEVICE=false", ROLE_STUDENT, 3},
		{"SINGLE_DEVICE_EXEMPT_ROLES=lecturer,admin", ROLE_ADMIN, 3},
		{"SINGLE_DEVICE_EXEMPT_ROLES=lecturer,admin", ROLE_STUDENT, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test *t = test_open(TEST_CONF(cases[i].setting));
		struct test_user u = test_user(t, cases[i].role), other = test_user(t, cases[i].role);
		const char *first = u.bearer;
		struct uuid first_session = u.session_id;
		assert_int_equal(access(t, first), OK);
		test_login(t, &u);
		assert_string_not_equal(u.session_id.text, first_session.text);
		test_login(t, &u);
		assert_int_equal(access(t, first), cases[i].live == 1 ? ERR_TOKEN_REVOKED : OK);
		assert_int_equal(access(t, u.bearer), OK);
		assert_int_equal(access(t, other.bearer), OK); /* somebody else's is untouched */
		assert_int_equal(
			count(t, arena_printf(&t->arena,
					 "SELECT count(*) FROM sessions WHERE user_id = '%s' AND revoked_at IS NULL", u.id.text)),
			cases[i].live);
		test_close(t);
	}
}

struct minting {
	struct test *t;
	const char *user_id;
	int failed;
};

static enum err
mint_run(struct ctx *cx, void *arg)
{
	const struct minting *m = arg;
	const struct proof proof = {.password = true};
	struct account who;
	struct tokens tokens;

	TRY(account_by_id(cx, m->user_id, &who));
	return mint_session(cx, &who, &proof, &tokens);
}

static void *
mint_thread(void *arg)
{
	struct minting *m = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	for (int i = 0; i < 5; i++) {
		ctx_init(&cx, &a, &m->t->srv);
		m->failed += db_write(&cx, mint_run, m) != OK;
	}
	arena_release(&a);
	return NULL;
}

static void
single_device_under_race(void **state)
{
	enum { LOGINS = 16 };
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct minting m[LOGINS];
	pthread_t threads[LOGINS];

	for (int i = 0; i < LOGINS; i++) {
		m[i] = (struct minting){t, u.id.text, 0};
		pthread_create(&threads[i], NULL, mint_thread, &m[i]);
	}
	for (int i = 0; i < LOGINS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(m[i].failed, 0);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 1 + 5 * LOGINS);
	assert_int_equal(count(t, "SELECT count(*) FROM sessions WHERE revoked_at IS NULL"), 1);
}

/* An account that is not active, or owes a second factor, gets no session, whoever asks. */
static void
mint_asks_for_all(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct minting m = {t, u.id.text, 0};
	struct ctx cx;

	sql_run(t, "INSERT INTO mfa_totp (user_id, secret, key_id, last_step, enabled_at, created_at)"
		   " SELECT id, 'x', 'x', 0, created_at, created_at FROM users");
	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, mint_run, &m), ERR_INVALID_CREDENTIALS);
	sql_run(t, "UPDATE mfa_totp SET enabled_at = NULL");
	assert_int_equal(db_write(&cx, mint_run, &m), OK);
	sql_run(t, "UPDATE users SET is_active = 0");
	assert_int_equal(db_write(&cx, mint_run, &m), ERR_INVALID_CREDENTIALS);
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 2);
}

/* --- end ---- */

struct ending {
	const char *token, *user_id, *session_id;
};

static enum err
logout_run(struct ctx *cx, void *arg)
{
	return session_logout(cx, ((struct ending *)arg)->token);
}

static enum err
end_run(struct ctx *cx, void *arg)
{
	struct ending *e = arg;

	return session_end(cx, e->user_id, e->session_id, "test");
}

static enum err
end_all_run(struct ctx *cx, void *arg)
{
	struct ending *e = arg;

	return session_end_all(cx, e->user_id, e->session_id, "test");
}

static void
logout_ends_the_session(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT), v = test_user(t, ROLE_STUDENT);
	struct refreshing r, s;
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(access(t, u.bearer), OK);
	assert_int_equal(refresh(t, u.refresh_token, &r), OK);
	struct ending rotated = {.token = u.refresh_token}, unknown = {.token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
	assert_int_equal(db_write(&cx, logout_run, &unknown), OK);
	assert_int_equal(db_write(&cx, logout_run, &rotated), OK);
	assert_int_equal(db_write(&cx, logout_run, &rotated), OK);
	assert_int_equal(access(t, u.bearer), ERR_TOKEN_REVOKED);
	assert_int_equal(access(t, r.access), ERR_TOKEN_REVOKED);
	assert_int_equal(refresh(t, r.successor, &s), ERR_TOKEN_REVOKED);
	assert_int_equal(access(t, v.bearer), OK);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'logout' AND result = 'success'"), 1);
}

static void
ending_by_id_is_for_the_owner(void **state)
{
	struct test *t = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user u = test_user(t, ROLE_STUDENT), first = u, v = test_user(t, ROLE_STUDENT);
	struct ctx cx;

	(void)state;
	test_ctx(t, &cx);
	test_login(t, &u);
	struct ending foreign = {NULL, v.id.text, first.session_id.text}, own = {NULL, u.id.text, first.session_id.text},
		      others = {NULL, u.id.text, u.session_id.text}, all = {NULL, u.id.text, NULL};
	assert_int_equal(db_write(&cx, end_run, &foreign), ERR_NOT_FOUND);
	assert_int_equal(access(t, first.bearer), OK);
	assert_int_equal(db_write(&cx, end_run, &own), OK);
	assert_int_equal(db_write(&cx, end_run, &own), ERR_NOT_FOUND);
	assert_int_equal(access(t, first.bearer), ERR_TOKEN_REVOKED);
	assert_int_equal(db_write(&cx, end_all_run, &others), OK);
	assert_int_equal(access(t, u.bearer), OK);
	assert_int_equal(db_write(&cx, end_all_run, &all), OK);
	assert_int_equal(access(t, u.bearer), ERR_TOKEN_REVOKED);
	assert_int_equal(access(t, v.bearer), OK);
	test_close(t);
}

/* --- the table ---- */

/* A fill that read the row before a revocation and inserts after it must not bring the session back to life. */
static void
late_fill_is_worth_nothing(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct access_claims claims;
	struct actor actor;
	struct ctx cx;
	bool miss;

	test_ctx(t, &cx);
	assert_int_equal(access_verify(&cx, u.bearer, &claims), OK);
	cx.db = db_reader_open(t->srv.store);
	assert_int_equal(session_fill(&cx, &claims, &actor), OK);
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
	assert_false(miss);
	assert_string_equal(actor.email, u.email);
	assert_string_equal(actor.full_name, u.full_name);
	assert_string_equal(actor.user_id.text, u.id.text);
	session_table_flush(t->srv.sessions); /* as another process's write does */
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
	assert_true(miss);
	db_reader_close(cx.db);
}

/* Only what was committed makes the table forget. */
static enum err
forget_then_fail(struct ctx *cx, void *arg)
{
	session_forget_user(cx, arg);
	return fail(cx, ERR_CONFLICT, NULL);
}

static void
undone_work_forgets_nothing(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct access_claims claims;
	struct actor actor;
	struct ctx cx;
	bool miss;

	assert_int_equal(access(t, u.bearer), OK);
	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, forget_then_fail, u.id.text), ERR_CONFLICT);
	assert_int_equal(access_verify(&cx, u.bearer, &claims), OK);
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
	assert_false(miss);
}

static void
table_is_bounded(void **state)
{
	struct test *t = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user u = test_user(t, ROLE_STUDENT);
	int known = 0;
	const char *tokens[300];

	(void)state;
	session_table_close(t->srv.sessions);
	t->srv.sessions = session_table_open(&t->srv.source, 64); /* two entries a shard */
	for (int i = 0; i < 300; i++) {
		test_login(t, &u);
		tokens[i] = u.bearer;
		assert_int_equal(access(t, u.bearer), OK);
	}
	for (int i = 0; i < 300; i++) {
		struct access_claims claims;
		struct actor actor;
		struct ctx cx;
		bool miss;
		test_ctx(t, &cx);
		assert_int_equal(access_verify(&cx, tokens[i], &claims), OK);
		assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
		known += !miss;
	}
	assert_in_range(known, 32, 128);
	test_close(t);
}

static enum err
recheck_run(struct ctx *cx, void *arg)
{
	cx->actor = arg;
	return session_recheck(cx);
}

/* On a shared database another node's change takes effect within a second, with or without news of it. */
static void
entries_are_leases_where_nodes_share(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	bool shared = db_is_shared(t->srv.store);

	(void)state;
	assert_int_equal(shared, t->pg_url != NULL);
	assert_int_equal(access(t, u.bearer), OK);
	if (shared) {
		sql_run(t, "UPDATE sessions SET revoked_at = login_at");
		test_advance(t, SECONDS_US - 1);
		assert_int_equal(access(t, u.bearer), OK);
		test_advance(t, 1);
		assert_int_equal(access(t, u.bearer), ERR_TOKEN_REVOKED);
	}
	test_close(t);
}

static void
recheck_in_the_transaction(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_ADMIN);
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, recheck_run, &u.actor), OK);
	sql_run(t, "UPDATE users SET role = 'student'");
	assert_int_equal(db_write(&cx, recheck_run, &u.actor), ERR_FORBIDDEN);
	sql_run(t, "UPDATE users SET role = 'admin', is_active = 0");
	assert_int_equal(db_write(&cx, recheck_run, &u.actor), ERR_TOKEN_REVOKED);
	sql_run(t, "UPDATE users SET is_active = 1");
	sql_run(t, "UPDATE sessions SET revoked_at = created_at");
	assert_int_equal(db_write(&cx, recheck_run, &u.actor), ERR_TOKEN_REVOKED);
	assert_int_equal(db_write(&cx, recheck_run, NULL), ERR_NOT_AUTHENTICATED);
}

/* --- one-time secrets ---- */

struct taking {
	struct test *t;
	const char *purpose, *secret, *user_id, *binding;
	enum err result;
	char data[100];
};

static enum err
take_run(struct ctx *cx, void *arg)
{
	struct taking *k = arg;
	struct secret_taken taken;

	TRY(secret_consume(cx, k->purpose, k->secret, k->user_id, k->binding, &taken));
	str_copy(k->data, sizeof(k->data), taken.data ? taken.data : "");
	return OK;
}

static void *
take_thread(void *arg)
{
	struct taking *k = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &k->t->srv);
	k->result = db_write(&cx, take_run, k);
	arena_release(&a);
	return NULL;
}

static enum err
take(struct test *t, const char *purpose, const char *secret, const char *user_id, const char *binding)
{
	struct taking k = {.t = t, .purpose = purpose, .secret = secret, .user_id = user_id, .binding = binding};

	take_thread(&k);
	return k.result;
}

struct issuing {
	struct secret_new new;
	const char *secret;
};

static enum err
issue_run(struct ctx *cx, void *arg)
{
	struct issuing *i = arg;

	return secret_issue(cx, &i->new, &i->secret);
}

static const char *
issue(struct test *t, struct secret_new new)
{
	struct issuing i = {.new = new};
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, issue_run, &i), OK);
	return i.secret;
}

static void
secret_is_taken_once(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT), v = test_user(t, ROLE_STUDENT);
	const struct secret_new reset = {
		.purpose = "password_reset", .user_id = u.id.text, .life_us = HOURS_US, .data = "{\"a\":1}"};
	static struct taking k[32];
	pthread_t threads[32];
	int won = 0;

	const char *secret = issue(t, reset);
	assert_int_equal(take(t, "email_verify", secret, NULL, NULL), ERR_TOKEN_INVALID); /* another purpose */
	assert_int_equal(take(t, "password_reset", secret, v.id.text, NULL), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "password_reset", "nonsense", NULL, NULL), ERR_TOKEN_INVALID);
	for (int i = 0; i < 32; i++) {
		k[i] = (struct taking){.t = t, .purpose = "password_reset", .secret = secret, .user_id = u.id.text};
		pthread_create(&threads[i], NULL, take_thread, &k[i]);
	}
	for (int i = 0; i < 32; i++) {
		pthread_join(threads[i], NULL);
		won += k[i].result == OK;
		assert_true(k[i].result == OK || k[i].result == ERR_TOKEN_INVALID);
		assert_string_equal(k[i].data, k[i].result == OK ? "{\"a\":1}" : "");
	}
	assert_int_equal(won, 1);
}

static void
secret_binding_expiry_and_only_one(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct secret_new new = {.purpose = "oauth_state", .user_id = u.id.text, .binding = "browser", .life_us = MINUTES_US};

	const char *bound = issue(t, new);
	assert_int_equal(take(t, "oauth_state", bound, NULL, NULL), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "oauth_state", bound, NULL, "another"), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "oauth_state", bound, NULL, "browser"), OK);
	const char *late = issue(t, new);
	test_advance(t, MINUTES_US);
	assert_int_equal(take(t, "oauth_state", late, NULL, "browser"), ERR_TOKEN_INVALID);
	new.binding = NULL;
	new.only_one = true;
	const char *older = issue(t, new), *newer = issue(t, new);
	assert_int_equal(take(t, "oauth_state", older, NULL, NULL), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "oauth_state", newer, NULL, "any"), OK);
	struct test *after = restart(t, OTHER "," PEPPER, SECRET);
	const char *old_key = issue(t, new);
	assert_int_equal(take(after, "oauth_state", old_key, NULL, NULL), OK);
	restart_end(after);
}

/* --- the cleaning job ---- */

static enum err
expire_run(struct ctx *cx, void *arg)
{
	return session_expire(cx, arg);
}

static void
cleaning(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing r;
	struct ctx cx;
	int64_t rows, total = 0;
	char token[64];

	str_copy(token, sizeof(token), u.refresh_token);
	for (int i = 0; i < 150; i++) {
		assert_int_equal(refresh(t, token, &r), OK);
		str_copy(token, sizeof(token), r.successor);
	}
	issue(t, (struct secret_new){.purpose = "x", .user_id = u.id.text, .life_us = 1});
	test_ctx(t, &cx);
	assert_int_equal(db_write_bulk(&cx, expire_run, &rows), OK);
	assert_int_equal(rows, 0);
	test_advance(t, 91 * DAYS_US);
	do {
		test_ctx(t, &cx);
		assert_int_equal(db_write_bulk(&cx, expire_run, &rows), OK);
		assert_true(rows <= BULK_TURN_ROWS);
		total += rows;
	} while (rows == BULK_TURN_ROWS);
	assert_int_equal(total, 151 + 1 + 1);
	assert_int_equal(count(t, "SELECT count(*) FROM refresh_tokens"), 0);
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 0);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets"), 0);
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
		TEST(access_token_claims),
		TEST(nothing_usable_is_stored),
		TEST(rotation_and_grace),
		TEST(reuse_after_grace),
		TEST(reuse_after_successor_was_used),
		TEST(reuse_survives_restart),
		TEST(many_threads_one_successor),
		TEST(absolute_life),
		TEST(idle_life),
		TEST(keys_retire),
		TEST(account_state_counts_at_refresh),
		cmocka_unit_test(single_device),
		TEST(single_device_under_race),
		TEST(mint_asks_for_all),
		TEST(logout_ends_the_session),
		cmocka_unit_test(ending_by_id_is_for_the_owner),
		TEST(late_fill_is_worth_nothing),
		TEST(undone_work_forgets_nothing),
		cmocka_unit_test(table_is_bounded),
		cmocka_unit_test(entries_are_leases_where_nodes_share),
		TEST(recheck_in_the_transaction),
		TEST(secret_is_taken_once),
		TEST(secret_binding_expiry_and_only_one),
		TEST(cleaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
