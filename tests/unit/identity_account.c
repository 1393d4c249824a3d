/* Addresses in their one form; the derived state; the last administrator; the first one. */
#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "identity/account.h"
#include "identity/password.h"

static void
canonical_addresses(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{"ada@example.org", "ada@example.org"}, {"  Ada.Lovelace+club@EXAMPLE.Org \n", "ada.lovelace+club@example.org"},
		{"ADA@BÜCHER.example", "ada@xn--bcher-kva.example"},
		{"ada@bu\xcc\x88"
		 "cher.example",
			"ada@xn--bcher-kva.example"}, /* u and a combining diaeresis */
		{"ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"}, {"ÄDA@example.org", "äda@example.org"},
		{"a\xcc\x88"
		 "da@example.org",
			"äda@example.org"},
		{"ſmith@example.org", "smith@example.org"},	      /* long s folds to s */
		{"ａｄａ@ｅｘａｍｐｌｅ．ｏｒｇ", "ada@example.org"}, /* full-width forms */
		{"o'brien!#$%&*+/=?^_`{|}~-@example.org", "o'brien!#$%&*+/=?^_`{|}~-@example.org"}, {"a@b.c", "a@b.c"},
		{"", NULL}, {"ada", NULL}, {"@example.org", NULL}, {"ada@", NULL}, {"ada@@example.org", NULL},
		{"ada@example@example.org", NULL}, {"ada@localhost", NULL}, {"ada@example..org", NULL},
		{"ada@.example.org", NULL}, {"ada@example.org.", NULL}, {"ada@-example.org", NULL}, {"ada@exam_ple.org", NULL},
		{"ada@exam ple.org", NULL}, {"ada lovelace@example.org", NULL}, {".ada@example.org", NULL},
		{"ada.@example.org", NULL}, {"a..da@example.org", NULL}, {"\"ada\"@example.org", NULL},
		{"ada<x>@example.org", NULL}, {"ada,bob@example.org", NULL}, {"ada\r\nBcc: x@example.org", NULL},
		{"ada\x01@example.org", NULL}, {"ada@example.org\x7f", NULL}, {"ada@exa\xc2\x85mple.org", NULL},
		{"\xff\xfe@example.org", NULL}, {"ada\xe2\x80\xae@example.org", NULL}, /* right-to-left override */
		{"ada@example.org\xe2\x80\xae", NULL},
		{"\xcc\x88"
		 "ada@example.org",
			NULL}, /* begins with a combining mark */
	};
	struct test *t = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *out = "untouched";
		bool good = email_canonical(&t->arena, cases[i].in, &out);
		if (good != (cases[i].out != NULL) || strcmp(out, cases[i].out ? cases[i].out : "untouched") != 0)
			fail_msg("row %zu: '%s' gives %s '%s'", i, cases[i].in, good ? "address" : "nothing", out);
		if (good) { /* the canonical form is its own canonical form */
			const char *again = "";
			assert_true(email_canonical(&t->arena, out, &again));
			assert_string_equal(out, again);
		}
	}
}

static void
canonical_bounds(void **state)
{
	struct test *t = *state;
	const char *out;
	char local[80], domain[300];

	memset(local, 'a', sizeof(local));
	local[64] = 0;
	assert_true(email_canonical(&t->arena, arena_printf(&t->arena, "%s@example.org", local), &out));
	local[64] = 'a';
	local[65] = 0;
	assert_false(email_canonical(&t->arena, arena_printf(&t->arena, "%s@example.org", local), &out));
	memset(domain, 'd', sizeof(domain));
	for (int i = 60; i < 250; i += 61)
		domain[i] = '.';
	domain[252] = 0;
	assert_true(email_canonical(&t->arena, arena_printf(&t->arena, "a@%s", domain), &out));
	assert_int_equal(strlen(out), EMAIL_MAX);
	assert_false(email_canonical(&t->arena, arena_printf(&t->arena, "ab@%s", domain), &out));
}

static void
derived_state(void **state)
{
	static const struct {
		bool active;
		int64_t disabled_at;
		const char *status;
		int64_t expires_at;
		enum account_state want;
	} cases[] = {
		{true, TIME_NONE, NULL, TIME_NONE, STATE_ACTIVE},
		{true, 5, "rejected", 5, STATE_ACTIVE},
		{false, 5, "pending", 200, STATE_DISABLED},
		{false, TIME_NONE, "pending", 101, STATE_PENDING},
		{false, TIME_NONE, "pending", 100, STATE_TIMEOUT},
		{false, TIME_NONE, "rejected", 200, STATE_REJECTED},
		{false, TIME_NONE, "timeout", 200, STATE_TIMEOUT},
		{false, TIME_NONE, "approved", 200, STATE_DISABLED},
		{false, TIME_NONE, NULL, TIME_NONE, STATE_DISABLED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct account a = {.is_active = cases[i].active,
			.disabled_at = cases[i].disabled_at,
			.approval_status = cases[i].status,
			.approval_expires_at = cases[i].expires_at};
		assert_int_equal(account_state(&a, 100), cases[i].want);
	}
}

struct change {
	struct test *t;
	const char *id;
	enum role role;
	enum tri active;
	enum err result;
};

static enum err
change_run(struct ctx *cx, void *arg)
{
	struct change *c = arg;

	return account_change(cx, c->id, c->role, c->active);
}

static void *
change_thread(void *arg)
{
	struct change *c = arg;

	c->result = test_write(c->t, change_run, c);
	return NULL;
}

static enum err
change(struct test *t, const char *id, enum role role, enum tri active)
{
	struct change c = {t, id, role, active, OK};

	change_thread(&c);
	return c.result;
}

/* Twenty rounds of two administrators who each take away the other: one stays, always. */
static void
last_admin_stays(void **state)
{
	struct test *t = *state;
	struct test_user a = test_user(t, ROLE_ADMIN), b = test_user(t, ROLE_ADMIN);

	for (int round = 0; round < 20; round++) {
		struct change changes[2] = {
			{t, a.id.text, round % 2 ? ROLE_STUDENT : ROLE_UNSET, round % 2 ? TRI_UNSET : TRI_NO, OK},
			{t, b.id.text, ROLE_UNSET, TRI_NO, OK}};
		pthread_t threads[2];
		for (int i = 0; i < 2; i++)
			pthread_create(&threads[i], NULL, change_thread, &changes[i]);
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal((changes[0].result == OK) + (changes[1].result == OK), 1);
		assert_int_equal((changes[0].result == ERR_LAST_ADMIN) + (changes[1].result == ERR_LAST_ADMIN), 1);
		assert_int_equal(count(t, "SELECT count(*) FROM users WHERE role = 'admin' AND is_active"), 1);
		sql_run(t, "UPDATE users SET role = 'admin', is_active = 1, disabled_at = NULL");
	}
	assert_int_equal(change(t, a.id.text, ROLE_UNSET, TRI_NO), OK);
	assert_int_equal(change(t, b.id.text, ROLE_LECTURER, TRI_UNSET), ERR_LAST_ADMIN);
	assert_int_equal(change(t, b.id.text, ROLE_ADMIN, TRI_YES), OK); /* nothing is taken away */
}

static void
change_takes_effect_at_once(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), u = test_user(t, ROLE_STUDENT);
	struct access_claims claims;
	struct actor actor;
	struct ctx cx;
	bool miss;

	(void)admin;
	test_ctx(t, &cx);
	assert_int_equal(access_verify(&cx, u.bearer, &claims), OK);
	cx.db = db_reader_open(t->srv.store);
	assert_int_equal(session_fill(&cx, &claims, &actor), OK);
	assert_int_equal(actor.role, ROLE_STUDENT);
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
	assert_false(miss);
	assert_int_equal(change(t, u.id.text, ROLE_LECTURER, TRI_UNSET), OK);
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
	assert_true(miss);
	assert_int_equal(session_fill(&cx, &claims, &actor), OK);
	assert_int_equal(actor.role, ROLE_LECTURER);
	assert_int_equal(change(t, u.id.text, ROLE_UNSET, TRI_NO), OK);
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), OK);
	assert_true(miss);
	assert_int_equal(session_fill(&cx, &claims, &actor), ERR_TOKEN_REVOKED);
	assert_int_equal(session_lookup(&cx, &claims, &actor, &miss), ERR_TOKEN_REVOKED); /* remembered without a query */
	assert_int_equal(change(t, u.id.text, ROLE_UNSET, TRI_YES), OK);
	assert_int_equal(session_fill(&cx, &claims, &actor), ERR_TOKEN_REVOKED); /* an ended session never comes back */
	db_reader_close(cx.db);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'role_changed'"), 2);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'account_disabled'"), 1);
	assert_int_equal(change(t, "00000000-0000-7000-8000-000000000000", ROLE_ADMIN, TRI_UNSET), ERR_NOT_FOUND);
}

static void
first_admin(void **state)
{
	struct test *t = *state;
	struct ctx cx;
	bool created = false;

	test_ctx(t, &cx);
	assert_int_equal(admin_ensure(&cx, "Boss@Example.org", "Admin@123", &created), OK);
	assert_true(created);
	assert_int_equal(
		count(t, "SELECT count(*) FROM users WHERE email = 'boss@example.org' AND role = 'admin' AND is_active"), 1);
	const char *hash = sql_text(t, "SELECT password_hash FROM users");
	assert_true(test_hash_is(t, hash, "Admin@123"));
	assert_int_equal(admin_ensure(&cx, "boss@example.org", "another", &created), OK);
	assert_false(created);
	assert_string_equal(sql_text(t, "SELECT password_hash FROM users"), hash);
	assert_int_equal(admin_ensure(&cx, "nobody", "another", &created), ERR_VALIDATION);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(canonical_addresses),
		STANDARD(canonical_bounds),
		cmocka_unit_test(derived_state),
		STANDARD(last_admin_stays),
		STANDARD(change_takes_effect_at_once),
		STANDARD(first_admin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
