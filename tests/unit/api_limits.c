/* Limits that are changed under way: what holds at once, what is refused, what a wrong row does. */
#include "attendance_env.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "jobs/limits.h"

static const char *const on[] = {"RATE_LIMIT_ENABLED=true", "RL_QR_ADMIN_LIMIT=3", NULL};

struct setting {
	const char *name;
	int64_t value;
};

static enum err
set_run(struct ctx *cx, void *arg)
{
	const struct setting *s = arg;

	return limits_set(cx, s->name, s->value);
}

static enum err
set(struct test *t, const char *name, int64_t value)
{
	struct setting s = {name, value};
	struct ctx cx;

	test_ctx(t, &cx);
	return db_write(&cx, set_run, &s);
}

static void
look(struct test *t, struct limits *l)
{
	struct ctx cx;

	test_ctx(t, &cx);
	must(&cx, limits_look(&cx, l));
}

static int
codes_until_refused(struct test *t, const struct test_user *admin, const struct event *e)
{
	const char *body = arena_printf(&t->arena, "{'event_id':'%s'}", e->id.text);
	struct test_reply *r;
	int n = 0;

	test_advance(t, 120 * SECONDS_US);
	while ((r = call(t, POST, "/api/admin/qr-sessions", admin->bearer, body))->status == 201)
		n++;
	expect_error(r, 429, "rate_limited");
	return n;
}

static void
a_set_limit_holds_until_it_is_reset(void **state)
{
	struct test *t = test_open(on);
	struct limits *l = limits_open((struct config *)(uintptr_t)t->srv.conf);
	struct test_user admin = test_user(t, ROLE_ADMIN);
	struct event e = make_event(t, &admin, event_plain(t, "Algorithms"));

	(void)state;
	look(t, l);
	assert_int_equal(codes_until_refused(t, &admin, &e), 3);
	expect_err(OK, set(t, "RL_QR_ADMIN_LIMIT", 5));
	look(t, l);
	assert_int_equal(codes_until_refused(t, &admin, &e), 5);
	expect_err(OK, set(t, "RL_QR_ADMIN_LIMIT", 2));
	look(t, l);
	assert_int_equal(codes_until_refused(t, &admin, &e), 2);
	expect_err(OK, set(t, "RL_QR_ADMIN_LIMIT", FIELD_NONE));
	look(t, l);
	assert_int_equal(codes_until_refused(t, &admin, &e), 3);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'limit_changed'"), 3);
	limits_close(l);
	test_close(t);
}

static void
what_cannot_be_set_is_refused(void **state)
{
	static const struct {
		const char *name;
		int64_t value;
		enum err want;
	} rows[] = {
		{"RL_QR_ADMIN_LIMIT", 0, ERR_VALIDATION},
		{"RL_QR_ADMIN_LIMIT", 1000001, ERR_VALIDATION},
		{"RL_QR_ADMIN_LIMIT", -1, ERR_VALIDATION},
		{"BCRYPT_ROUNDS", 4, ERR_NOT_FOUND}, /* a number, and not live */
		{"rl_qr_admin_limit", 4, ERR_NOT_FOUND},
		{"", 4, ERR_NOT_FOUND},
		{"NO_SUCH", FIELD_NONE, ERR_NOT_FOUND},
	};
	struct test *t = test_open(on);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_err(rows[i].want, set(t, rows[i].name, rows[i].value));
	assert_int_equal(count(t, "SELECT COUNT(*) FROM limits"), 0);
	test_close(t);
}

static void
rows_of_another_version_are_passed_over(void **state)
{
	struct test *t = test_open(on);
	struct limits *l = limits_open((struct config *)(uintptr_t)t->srv.conf);

	(void)state;
	sql_run(t, "INSERT INTO limits (name, value, changed_at) VALUES ('RL_NOT_YET', 4, '2026-08-01 12:00:00.000000'),"
		   " ('RL_QR_ADMIN_LIMIT', 0, '2026-08-01 12:00:00.000000'), ('RL_MARK_ACCOUNT_LIMIT', 8, '2026-08-01 12:00:00.000000')");
	look(t, l);
	assert_int_equal(conf_live(&t->srv.conf->rl_qr_admin_limit), 3);
	assert_int_equal(conf_live(&t->srv.conf->rl_mark_account_limit), 8);
	limits_close(l);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_limit_holds_until_it_is_reset),
		cmocka_unit_test(what_cannot_be_set_is_refused),
		cmocka_unit_test(rows_of_another_version_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
