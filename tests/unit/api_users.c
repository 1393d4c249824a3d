/* The list of accounts, one account, and its changes, over the dispatcher. */
#include "support.h"

#include <string.h>

static struct test_reply *
list(struct test *t, const struct test_user *admin, const char *query)
{
	return call(t, GET, PATH(t, "/api/admin/users%s", query), admin->bearer, NULL);
}

static void
accounts_are_listed_newest_first(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);

	test_advance(t, SECONDS_US);
	struct test_user ada = test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada Lovelace");
	struct test_reply *r = list(t, &admin, "");
	expect_status(r, 200);
	expect_int(r, "total", 2);
	expect_int(r, "page", 1);
	expect_int(r, "limit", 20);
	expect_text(r, "users.0.id", ada.id.text);
	expect_text(r, "users.0.email", "ada@example.org");
	expect_text(r, "users.0.full_name", "Ada Lovelace");
	expect_text(r, "users.0.role", "student");
	expect_text(r, "users.0.state", "active");
	expect_text(r, "users.0.created_at", "2026-08-01T12:00:01Z");
	expect_text(r, "users.0.last_login_at", "2026-08-01T12:00:01Z");
	expect_text(r, "users.1.id", admin.id.text);
	assert_null(strstr(r->body, "password"));

	r = list(t, &admin, "?page=2&limit=1");
	expect_text(r, "users.0.id", admin.id.text);
	expect_int(r, "total", 2);
	r = list(t, &admin, "?page=3&limit=1");
	expect_json(r, "users", "[]");
	expect_int(r, "total", 2);
	expect_error(list(t, &admin, "?page=101&limit=100"), 422, "page_too_deep");
	expect_error(list(t, &admin, "?limit=101"), 422, "validation_error");
	expect_error(list(t, &admin, "?role=king"), 422, "validation_error");
}

static void
a_search_takes_text_as_it_stands(void **state)
{
	static const struct {
		const char *query;
		int64_t total;
	} rows[] = {
		{"?search=LOVE", 1},
		{"?search=ada%40", 1},
		{"?search=%20ada%20", 1},
		{"?search=example.org", 3},
		{"?search=%25", 1}, /* a percent sign, not anything */
		{"?search=_", 1},
		{"?search=!", 0},
		{"?search=%27%20OR%201%3D1", 0},
		{"?search=%C3%89t%C3%A9", 1},
		{"?search=nobody", 0},
		{"?role=lecturer", 1},
		{"?role=lecturer&search=ada", 0},
		{"?search=", 4},
	};
	struct test *t = *state;
	struct test_user admin = test_user_named(t, ROLE_ADMIN, "root@example.com", "Root");

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada Lovelace");
	test_user_named(t, ROLE_LECTURER, "bo_b@example.org", "100 % Bob");
	test_user_named(t, ROLE_STUDENT, "carl@example.org", "Carl \xC3\x89t\xC3\xA9");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test_reply *r = list(t, &admin, rows[i].query);
		expect_status(r, 200);
		if (int_at(r, "total") != rows[i].total || (int64_t)json_array_size(reply_at(r, "users")) != rows[i].total)
			fail_msg("%s: %s", rows[i].query, r->body);
	}
}

static void
many_accounts_are_counted_no_further_than_a_page_may_lie(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);

	sql_run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"
		   " INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, "
		   "created_at,"
		   " updated_at) SELECT uuid(printf('01890a5d-ac96-774b-bcce-%012d', i)), printf('s%d@many.example', i), 'Some One', "
		   "'student',"
		   " 1, 1, 1, 1, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000' FROM n");
	expect_int(list(t, &admin, "?search=many.example"), "total", 10001);
	expect_int(list(t, &admin, "?search=s11999%40"), "total", 1);
	expect_int(list(t, &admin, ""), "total", 12001);
}

static void
an_account_is_changed(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), ada = test_user(t, ROLE_STUDENT);
	const char *path = PATH(t, "/api/admin/users/%s", ada.id.text), *own = PATH(t, "/api/admin/users/%s", admin.id.text);
	const char *none = "/api/admin/users/01890a5d-ac96-774b-bcce-b302099a8057";
	struct test_reply *r = call(t, GET, path, admin.bearer, NULL);

	expect_text(r, "email", ada.email);
	expect_error(call(t, GET, none, admin.bearer, NULL), 404, "not_found");
	expect_error(call(t, PATCH, none, admin.bearer, "{'role':'lecturer'}"), 404, "not_found");
	expect_error(call(t, PATCH, path, admin.bearer, "{}"), 422, "validation_error");
	expect_error(call(t, PATCH, path, admin.bearer, "{'email':'x@example.org'}"), 422, "validation_error");

	r = call(t, PATCH, path, admin.bearer, "{'role':'lecturer'}");
	expect_status(r, 200);
	expect_text(r, "role", "lecturer");
	expect_text(call(t, GET, "/api/auth/me", ada.bearer, NULL), "role", "lecturer");
	r = call(t, PATCH, path, admin.bearer, "{'is_active':false}");
	expect_json(r, "is_active", "false");
	expect_text(r, "state", "disabled");
	expect_error(call(t, GET, "/api/auth/me", ada.bearer, NULL), 401, "token_revoked");
	expect_text(call(t, PATCH, path, admin.bearer, "{'is_active':true}"), "state", "active");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'role_changed' AND result = 'success'"), 2);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'account_disabled'"), 1);

	expect_error(call(t, PATCH, own, admin.bearer, "{'role':'student'}"), 409, "last_admin");
	expect_error(call(t, PATCH, own, admin.bearer, "{'is_active':false}"), 409, "last_admin");
	assert_int_equal(
		count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'role_changed' AND result = 'failure' AND details "
			 "LIKE '%last_admin%'"),
		2);
	expect_status(call(t, PATCH, path, admin.bearer, "{'role':'admin'}"), 200);
	expect_status(call(t, PATCH, own, admin.bearer, "{'role':'student'}"), 200);
	expect_error(call(t, GET, own, admin.bearer, NULL), 403, "forbidden");
}

static void
closing_an_account_ends_all_its_sessions_for_good(void **state)
{
	struct test *t = *state = test_open(TEST_CONF("SINGLE_DEVICE=false"));
	struct test_user admin = test_user(t, ROLE_ADMIN), ada = test_user(t, ROLE_STUDENT), phone = ada;
	const char *path = PATH(t, "/api/admin/users/%s", ada.id.text);

	test_login(t, &phone);
	expect_status(call(t, GET, "/api/auth/me", ada.bearer, NULL), 200);
	expect_status(call(t, PATCH, path, admin.bearer, "{'is_active':false}"), 200);
	expect_status(call(t, PATCH, path, admin.bearer, "{'is_active':true}"), 200);
	const struct test_user *devices[] = {&ada, &phone};
	for (size_t i = 0; i < 2; i++) {
		expect_error(call(t, GET, "/api/auth/me", devices[i]->bearer, NULL), 401, "token_revoked");
		expect_error(
			call(t, POST, "/api/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", devices[i]->refresh_token)), 401,
			"token_revoked");
	}
	expect_status(
		call(t, POST, "/api/auth/login", NULL, PATH(t, "{'username':'%s','password':'%s'}", ada.email, TEST_PASSWORD)), 200);
	test_close(t);
}

static void
only_administrators_see_accounts(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), lecturer = test_user(t, ROLE_LECTURER);
	const char *path = PATH(t, "/api/admin/users/%s", admin.id.text);

	expect_error(list(t, &lecturer, ""), 403, "forbidden");
	expect_error(call(t, GET, path, lecturer.bearer, NULL), 403, "forbidden");
	expect_error(call(t, PATCH, path, lecturer.bearer, "{'is_active':false}"), 403, "forbidden");
	expect_error(call(t, GET, path, NULL, NULL), 401, "not_authenticated");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(accounts_are_listed_newest_first),
		STANDARD(a_search_takes_text_as_it_stands),
		STANDARD(many_accounts_are_counted_no_further_than_a_page_may_lie),
		STANDARD(an_account_is_changed),
		cmocka_unit_test(closing_an_account_ends_all_its_sessions_for_good),
		STANDARD(only_administrators_see_accounts),
	};

	return cmocka_run_group_tests_name("portal: accounts", tests, NULL, NULL);
}
