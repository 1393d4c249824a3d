/* Single device, logout, and the table that tells every request at once that a session has ended. */
#include "session_env.h"

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
	t->srv.sessions = session_table_open(64); /* two entries a shard */
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_device),
		STANDARD(single_device_under_race),
		STANDARD(mint_asks_for_all),
		STANDARD(logout_ends_the_session),
		cmocka_unit_test(ending_by_id_is_for_the_owner),
		STANDARD(late_fill_is_worth_nothing),
		STANDARD(undone_work_forgets_nothing),
		cmocka_unit_test(table_is_bounded),
		cmocka_unit_test(entries_are_leases_where_nodes_share),
		STANDARD(recheck_in_the_transaction),
	};

	return cmocka_run_group_tests_name("identity_session_end", tests, NULL, NULL);
}
