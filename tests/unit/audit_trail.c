/* The audit trail: what a row holds, that nothing foreign gets into it unescaped, and the list with its filters and bounds. */
#include "support.h"

#include <string.h>

#include "audit/audit.h"

struct writing {
	struct audit_entry entry;
	enum audit_action failed;
	const struct client *client;
	const struct actor *actor;
};

static enum err
write_run(struct ctx *cx, void *arg)
{
	const struct writing *w = arg;

	cx->actor = w->actor;
	if (w->client)
		cx->client = w->client;
	return w->failed ? audit_failure(cx, w->failed, ERR_INVALID_QR) : audit_write(cx, &w->entry);
}

static void
write_row(struct test *t, struct writing w)
{
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, write_run, &w), OK);
}

static void
row_holds_it_all(void **state)
{
	struct test *t = *state;
	const struct audit_note notes[] = {
		AUDIT_TEXT("title", "a\"b\\c\n\x1b[31m"), AUDIT_INT("count", -3), AUDIT_TEXT("nothing", NULL)};
	const struct client client = {.request_id = "req-1", .ip = "192.0.2.7", .user_agent = "evil\r\nagent\x01 \xff\xfe"};
	const struct actor actor = {.user_id = {"01900000-0000-7000-8000-000000000001"}};

	write_row(t, (struct writing){.entry = {.action = AUDIT_EVENT_CREATED,
					      .result = "success",
					      .entity_type = "event",
					      .entity_id = "01900000-0000-7000-8000-000000000002",
					      .notes = notes,
					      .n_notes = 3},
			     .client = &client,
			     .actor = &actor});
	assert_string_equal(
		sql_text(t, "SELECT moment(created_at) || '|' || action || '|' || result || '|' || actor_id || '|' || entity_type || '|'"
			    " || entity_id || '|' || ip_address || '|' || user_agent || '|' || request_id FROM audit_logs"),
		"2026-08-01 12:00:00.000000|event_created|success|01900000-0000-7000-8000-000000000001|event|"
		"01900000-0000-7000-8000-000000000002|192.0.2.7|evil??agent? ??|req-1");
	assert_string_equal(sql_text(t, "SELECT json_extract(details, '$.title') FROM audit_logs"), "a\"b\\c\n\x1b[31m");
	assert_string_equal(sql_text(t, "SELECT details FROM audit_logs"),
		"{\"title\":\"a\\\"b\\\\c\\n\\u001b[31m\",\"count\":-3,\"nothing\":\"\"}");
	write_row(t, (struct writing){.failed = AUDIT_ATTENDANCE_FAILED});
	assert_string_equal(
		sql_text(t,
			"SELECT result || details || coalesce(CAST(actor_id AS TEXT), '-') FROM audit_logs WHERE action = 'attendance_failed'"),
		"failure{\"reason\":\"invalid_qr\"}-");
}

static void
user_agent_is_bounded(void **state)
{
	struct test *t = *state;
	char agent[1000];

	memset(agent, 'a', sizeof(agent));
	agent[sizeof(agent) - 1] = 0;
	memcpy(agent + USER_AGENT_MAX - 1, "\xc3\xa9", 2); /* the cut must not halve a character */
	const struct client client = {.request_id = "r", .ip = "", .user_agent = agent};
	write_row(t, (struct writing){.entry = {.action = AUDIT_LOGIN, .result = "success"}, .client = &client});
	assert_int_equal(count(t, t->pg_url ? "SELECT octet_length(user_agent) FROM audit_logs"
					   : "SELECT length(CAST(user_agent AS BLOB)) FROM audit_logs"), USER_AGENT_MAX - 1);
}

struct listing {
	struct list rows;
	int64_t total;
	enum err e;
};

static struct listing
list(struct test *t, struct audit_filter f)
{
	struct listing l = {.e = OK};
	struct ctx cx;

	if (!f.page)
		f.page = 1;
	if (!f.limit)
		f.limit = 20;
	if (!f.from_us)
		f.from_us = TIME_NONE;
	if (!f.to_us)
		f.to_us = TIME_NONE;
	test_ctx(t, &cx);
	cx.db = db_reader_open(t->srv.store);
	l.e = audit_list(&cx, &f, &l.rows, &l.total);
	db_reader_close(cx.db);
	return l;
}

static const struct audit_row *
row(const struct listing *l, size_t i)
{
	return (const struct audit_row *)l->rows.items + i;
}

static void
make_person(struct test *t, const struct actor *who, const char *name)
{
	sql_run(t, arena_printf(&t->arena,
			   "INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders,"
			   " created_at, updated_at) VALUES ('%s', '%s@example.org', 'Ada', 'student', 1, 1, 1, 1,"
			   " '2026-08-01 12:00:00.000000', '2026-08-01 12:00:00.000000')",
			   who->user_id.text, name));
}

static void
make_event(struct test *t, int number, const struct actor *owner)
{
	sql_run(t, arena_printf(&t->arena,
			   "INSERT INTO events (id, kind, title, scheduled_at, owner_id, taken, generation, require_device,"
			   " require_face, is_deleted, created_at, updated_at) VALUES ('01900000-0000-7000-8000-0000000000e%d',"
			   " 'event', 'E', '2026-08-01 12:00:00.000000', '%s', %d, 0, 0, 0, 0, '2026-08-01 12:00:00.000000',"
			   " '2026-08-01 12:00:00.000000')",
			   number, owner->user_id.text, number));
}

static void
list_filters(void **state)
{
	static const enum audit_action actions[] = {AUDIT_LOGIN, AUDIT_LOGIN_FAILED, AUDIT_LOGOUT};
	struct test *t = *state;
	const struct actor ada = {.user_id = {"01900000-0000-7000-8000-00000000000a"}};
	struct listing l;

	make_person(t, &ada, "ada");
	for (int i = 0; i < 90; i++) { /* one a minute */
		write_row(t,
			(struct writing){.entry = {.action = actions[i % 3], .result = "success"}, .actor = i % 2 ? &ada : NULL});
		test_advance(t, MINUTES_US);
	}
	l = list(t, (struct audit_filter){0});
	assert_int_equal(l.total, 90);
	assert_int_equal(l.rows.count, 20);
	assert_string_equal(row(&l, 0)->action, "logout");
	assert_int_equal(row(&l, 0)->created_at, TEST_START_US + 89 * MINUTES_US);
	assert_string_equal(row(&l, 0)->actor->email, "ada@example.org");
	assert_null(row(&l, 1)->actor);
	assert_null(row(&l, 1)->entity_id);
	assert_string_equal(row(&l, 1)->details, "{}");
	l = list(t, (struct audit_filter){.page = 5});
	assert_int_equal(l.rows.count, 10);
	assert_int_equal(row(&l, 9)->created_at, TEST_START_US);
	l = list(t, (struct audit_filter){.page = 6});
	assert_int_equal(l.rows.count, 0);
	l = list(t, (struct audit_filter){.action = AUDIT_LOGIN_FAILED});
	assert_int_equal(l.total, 30);
	l = list(t, (struct audit_filter){.user_id = ada.user_id});
	assert_int_equal(l.total, 45);
	l = list(t, (struct audit_filter){.user_id = ada.user_id, .action = AUDIT_LOGIN});
	assert_int_equal(l.total, 15);
	for (size_t i = 0; i < l.rows.count; i++) {
		assert_string_equal(row(&l, i)->action, "login");
		assert_string_equal(row(&l, i)->actor->id.text, ada.user_id.text);
	}
	/* both ends are within */
	l = list(t, (struct audit_filter){.from_us = TEST_START_US + 30 * MINUTES_US, .to_us = TEST_START_US + 40 * MINUTES_US});
	assert_int_equal(l.total, 11);
	assert_int_equal(row(&l, 0)->created_at, TEST_START_US + 40 * MINUTES_US);
	assert_int_equal(row(&l, 10)->created_at, TEST_START_US + 30 * MINUTES_US);
	l = list(t, (struct audit_filter){
			    .from_us = TEST_START_US + 30 * MINUTES_US + 1, .action = AUDIT_LOGIN, .user_id = ada.user_id});
	assert_int_equal(l.total, 10);
	l = list(t, (struct audit_filter){.from_us = TEST_START_US + DAYS_US});
	assert_int_equal(l.total, 0);
	assert_int_equal(l.rows.count, 0);
	l = list(t, (struct audit_filter){.to_us = TEST_START_US - DAYS_US});
	assert_int_equal(l.total, 0);
	assert_int_equal(list(t, (struct audit_filter){.page = 100, .limit = 100}).e, OK);
	assert_int_equal(list(t, (struct audit_filter){.page = 101, .limit = 100}).e, ERR_PAGE_TOO_DEEP);
	l = list(t, (struct audit_filter){.user_id = {"01900000-0000-7000-8000-00000000000b"}});
	assert_int_equal(l.total, 0);
}

/* Marks are not in the index by actor; the record of each leads to its row. */
static void
marks_of_one_student(void **state)
{
	struct test *t = *state;
	const struct actor ada = {.user_id = {"01900000-0000-7000-8000-00000000000a"}},
			   bob = {.user_id = {"01900000-0000-7000-8000-00000000000b"}};

	for (int i = 0; i < 2; i++)
		make_person(t, i ? &ada : &bob, i ? "ada" : "bob");
	for (int i = 0; i < 6; i++) {
		const struct actor *who = i % 2 ? &ada : &bob;
		write_row(t, (struct writing){.entry = {.action = AUDIT_ATTENDANCE_MARKED, .result = "success"}, .actor = who});
		char at[TIME_SQL_BYTES + 1];
		time_to_sql(t->wall_us, at);
		make_event(t, i, who);
		sql_run(t, arena_printf(&t->arena,
				   "INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, "
				   "marked_at, recorded_at) SELECT id, id, owner_id, 'present', 'present', 'qr', '%s', '%s' FROM "
				   "events WHERE taken = %d",
				   at, at, i));
		test_advance(t, i == 3 ? 0 : SECONDS_US); /* two students at the same moment */
	}
	write_row(t, (struct writing){.entry = {.action = AUDIT_LOGOUT, .result = "success"}, .actor = &ada});
	struct listing l = list(t, (struct audit_filter){.user_id = ada.user_id});
	assert_int_equal(l.total, 4);
	assert_string_equal(row(&l, 0)->action, "logout");
	assert_string_equal(row(&l, 3)->action, "attendance_marked");
	l = list(t, (struct audit_filter){.user_id = bob.user_id, .action = AUDIT_ATTENDANCE_MARKED});
	assert_int_equal(l.total, 3);
	l = list(t, (struct audit_filter){.action = AUDIT_ATTENDANCE_MARKED});
	assert_int_equal(l.total, 6);
}

static enum err
write_and_undo(struct ctx *cx, void *arg)
{
	(void)arg;
	TRY(audit_ok(cx, AUDIT_EXPORT, "users", NULL));
	return fail(cx, ERR_CONFLICT, NULL);
}

/* Undone transactions leave holes in PostgreSQL's numbers. */
static void
what_was_undone_is_not_counted(void **state)
{
	struct test *t = *state;

	for (int i = 0; i < 3; i++) {
		write_row(t, (struct writing){.entry = {.action = AUDIT_LOGIN, .result = "success"}});
		assert_int_equal(test_write(t, write_and_undo, NULL), ERR_CONFLICT);
	}
	assert_int_equal(list(t, (struct audit_filter){0}).total, 3);
}

/* A count goes no further than a page may lie. */
static void
total_is_bounded(void **state)
{
	struct test *t = *state;

	sql_run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)"
		   " INSERT INTO audit_logs (id, created_at, action, result, ip_address, user_agent, request_id, details)"
		   " SELECT '01900000-0000-7000-8000-000000000000', '2026-08-01 12:00:00.000000', 'login', 'success', '', '', "
		   "'', '{}' FROM n");
	assert_int_equal(list(t, (struct audit_filter){.action = AUDIT_LOGIN}).total, 10001);
	assert_int_equal(list(t, (struct audit_filter){0}).total, 12000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(row_holds_it_all),
		STANDARD(user_agent_is_bounded),
		STANDARD(list_filters),
		STANDARD(marks_of_one_student),
		STANDARD(what_was_undone_is_not_counted),
		STANDARD(total_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
