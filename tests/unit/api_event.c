/* The portal's events, codes and statistics over the dispatcher. */
#include "support.h"

#include <string.h>

#include "attendance/record.h"

static const char *
new_event(struct test *t, const struct test_user *admin, const char *members)
{
	struct test_reply *r = call(t, POST, "/api/admin/events", admin->bearer,
		PATH(t, "{'title':'Algorithms','scheduled_at':'2026-08-01T12:00:00Z'%s%s}", members[0] ? "," : "", members));

	expect_status(r, 201);
	return text_at(r, "id");
}

static void
an_event_lives(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);
	struct test_reply *r = call(t, POST, "/api/admin/events", admin.bearer,
		"{'title':'  Graphs "
		"','scheduled_at':'2026-08-01T14:00:00+02:00','description':'One\\nTwo','ends_at':'2026-08-01T13:00:00Z',"
		"'capacity':30,'latitude':47.1,'longitude':8.5,'geofence_radius_m':50,'policy':{'claim':'flag','device':'reject'}"
		"}");

	expect_status(r, 201);
	expect_text(r, "title", "Graphs");
	expect_text(r, "scheduled_at", "2026-08-01T12:00:00Z");
	expect_text(r, "created_by", admin.id.text);
	expect_json(r, "notes", "null");
	expect_int(r, "attendance_count", 0);
	const char *path = PATH(t, "/api/events/%s", text_at(r, "id")),
		   *admin_path = PATH(t, "/api/admin/events/%s", text_at(r, "id"));

	expect_text(call(t, GET, path, student.bearer, NULL), "description", "One\nTwo");
	r = call(t, PATCH, admin_path, admin.bearer, "{'notes':'Room 5','title':null}");
	expect_status(r, 200);
	expect_text(r, "notes", "Room 5");
	expect_text(r, "title", "Graphs");
	expect_int(r, "capacity", 30);
	r = call(t, GET, "/api/events", student.bearer, NULL);
	expect_text(r, "events.0.notes", "Room 5");
	expect_json(r, "events.0.user_attended", "false");
	expect_status(call(t, DELETE, admin_path, admin.bearer, NULL), 204);
	expect_error(call(t, GET, path, student.bearer, NULL), 404, "not_found");
	expect_error(call(t, PATCH, admin_path, admin.bearer, "{'notes':'x'}"), 404, "not_found");
	expect_error(call(t, DELETE, admin_path, admin.bearer, NULL), 404, "not_found");
	expect_json(call(t, GET, "/api/events", student.bearer, NULL), "events", "[]");
	assert_int_equal(count(t, "SELECT is_deleted FROM events"), 1);
	assert_string_equal(sql_text(t, "SELECT group_concat(action) FROM (SELECT action FROM audit_logs WHERE action LIKE "
					"'event%' ORDER BY seq) a"),
		"event_created,event_updated,event_deleted");
}

static void
events_are_refused(void **state)
{
	static const struct {
		const char *body, *field;
	} rows[] = {
		{"{'scheduled_at':'2026-08-01T12:00:00Z'}", "title"},
		{"{'title':' ','scheduled_at':'2026-08-01T12:00:00Z'}", "title"},
		{"{'title':'A'}", "scheduled_at"},
		{"{'title':'A','scheduled_at':'tomorrow'}", "scheduled_at"},
		{"{'title':'A','scheduled_at':'2026-08-01','id':'x'}", "id"},
		{"{'title':'A','scheduled_at':'2026-08-01','is_deleted':true}", "is_deleted"},
		{"{'title':'A','scheduled_at':'2026-08-02','ends_at':'2026-08-01'}", "ends_at"},
		{"{'title':'A','scheduled_at':'2026-08-01','capacity':0}", "capacity"},
		{"{'title':'A','scheduled_at':'2026-08-01','latitude':91,'longitude':0}", "latitude"},
		{"{'title':'A','scheduled_at':'2026-08-01','latitude':1}", "longitude"},
		{"{'title':'A','scheduled_at':'2026-08-01','policy':{'claim':'reject'}}", "policy"},
		{"{'title':'A','scheduled_at':'2026-08-01','policy':'x'}", "policy"},
		{"{'title':'A','scheduled_at':'2026-08-01','course_id':'01890a5d-ac96-774b-bcce-b302099a8057'}", "course_id"},
	};
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test_reply *r = call(t, POST, "/api/admin/events", admin.bearer, rows[i].body);
		expect_error(r, 422, "validation_error");
		expect_text(r, "details.0.field", rows[i].field);
	}
	const char *good = "{'title':'A','scheduled_at':'2026-08-01'}";
	expect_error(call(t, POST, "/api/admin/events", student.bearer, good), 403, "forbidden");
	expect_error(call(t, POST, "/api/admin/events", NULL, good), 401, "not_authenticated");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM events"), 0);
}

static void
creation_is_idempotent(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	struct test_request rq = {.method = POST,
		.path = "/api/admin/events",
		.bearer = admin.bearer,
		.idempotency_key = "one",
		.body = "{\"title\":\"A\",\"scheduled_at\":\"2026-08-01\"}"};
	struct test_reply *first = call_with(t, &rq), *again = call_with(t, &rq);

	expect_status(first, 201);
	expect_status(again, 201);
	assert_string_equal(first->body, again->body);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM events"), 1);
	rq.body = "{\"title\":\"B\",\"scheduled_at\":\"2026-08-01\"}";
	expect_error(call_with(t, &rq), 422, "idempotency_key_reused");
}

static void
ranges_and_kinds(void **state)
{
	static const struct {
		const char *query;
		size_t want, want_admin;
	} rows[] = {
		{"", 3, 3},
		{"?kind=all", 3, 4},
		{"?kind=event", 3, 3},
		{"?from=2020-01-01", 4, 4},
		{"?from=2026-08-02&to=2026-08-02", 1, 1},
		{"?from=2026-08-02T00:00:01Z&to=2026-08-02", 0, 0},
		{"?to=2027-12-31", 4, 4},
		{"?limit=1", 1, 1},
		{"?from=2020-01-01&to=2020-01-02", 0, 0},
	};
	static const char *const times[] = {
		"2026-07-02T12:00:00Z", "2026-08-02", "2026-10-30T12:00:00Z", "2026-07-02T11:59:59Z", "2026-10-30T12:00:01Z"};
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		expect_status(
			call(t, POST, "/api/admin/events", admin.bearer, PATH(t, "{'title':'A','scheduled_at':'%s'}", times[i])),
			201);
	const char *session = new_event(t, &admin, "");
	sql_run(t, PATH(t, "UPDATE events SET kind = 'session' WHERE id = '%s'", session));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *path = PATH(t, "/api/events%s", rows[i].query);
		assert_int_equal(json_array_size(reply_at(call(t, GET, path, student.bearer, NULL), "events")), rows[i].want);
		assert_int_equal(json_array_size(reply_at(call(t, GET, path, admin.bearer, NULL), "events")), rows[i].want_admin);
	}
	expect_error(call(t, GET, "/api/events?from=x", student.bearer, NULL), 422, "validation_error");
	expect_error(call(t, GET, PATH(t, "/api/events/%s", session), student.bearer, NULL), 404, "not_found");
	expect_status(call(t, GET, PATH(t, "/api/events/%s", session), admin.bearer, NULL), 200);
	expect_error(call(t, GET, "/api/events", NULL, NULL), 401, "not_authenticated");
}

/* --- codes ----------------------------------------------------------------------------------------------------------------- */

static void
a_code_lives(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *event = new_event(t, &admin, "");
	struct test_reply *r = call(t, POST, "/api/admin/qr-sessions", admin.bearer, PATH(t, "{'event_id':'%s'}", event));

	expect_status(r, 201);
	expect_int(r, "expires_in_seconds", 60);
	expect_text(r, "expires_at", "2026-08-01T12:01:00Z");
	expect_head(r, "Cache-Control", "no-store");
	assert_int_equal(strlen(text_at(r, "code")), 6);
	const char *id = text_at(r, "session_id"), *payload = text_at(r, "qr_payload");

	test_advance(t, 10 * SECONDS_US);
	r = call(t, GET, "/api/admin/qr-sessions/active", admin.bearer, NULL);
	expect_text(r, "sessions.0.session_id", id);
	expect_text(r, "sessions.0.event.title", "Algorithms");
	expect_int(r, "sessions.0.time_remaining_seconds", 50);
	expect_int(r, "sessions.0.marks", 0);
	assert_null(strstr(r->body, payload));
	r = call(t, GET, PATH(t, "/api/admin/qr-sessions/%s/image.svg", id), admin.bearer, NULL);
	expect_status(r, 200);
	assert_memory_equal(r->body, "<svg ", 5);
	assert_string_equal(r->x.reply.content_type, "image/svg+xml");
	r = call(t, GET, PATH(t, "/api/admin/qr-sessions/%s/image.png", id), admin.bearer, NULL);
	expect_status(r, 200);
	assert_memory_equal(r->body, "\x89PNG\r\n\x1a\n", 8);

	const char *revoke = PATH(t, "/api/admin/qr-sessions/%s/revoke", id);
	expect_text(call(t, POST, revoke, admin.bearer, NULL), "status", "revoked");
	expect_status(call(t, POST, revoke, admin.bearer, NULL), 200);
	expect_json(call(t, GET, "/api/admin/qr-sessions/active", admin.bearer, NULL), "sessions", "[]");
	expect_error(call(t, GET, PATH(t, "/api/admin/qr-sessions/%s/image.svg", id), admin.bearer, NULL), 400, "qr_revoked");
	expect_error(call(t, GET, PATH(t, "/api/admin/qr-sessions/%s/image.png", id), admin.bearer, NULL), 400, "qr_revoked");
	expect_error(call(t, POST, PATH(t, "/api/admin/qr-sessions/%s/revoke", event), admin.bearer, NULL), 404, "not_found");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'qr_revoked'"), 1);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'qr_generated'"), 1);
}

static void
codes_end(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *event = new_event(t, &admin, "'ends_at':'2026-08-01T12:02:00Z'");
	const char *body = PATH(t, "{'event_id':'%s'}", event);
	const char *id = NULL;

	for (int i = 0; i < 3; i++)
		id = text_at(call(t, POST, "/api/admin/qr-sessions", admin.bearer, body), "session_id");
	assert_int_equal(
		json_array_size(reply_at(call(t, GET, "/api/admin/qr-sessions/active", admin.bearer, NULL), "sessions")), 3);
	assert_int_equal(
		count(t, "SELECT COUNT(*) FROM qr_sessions qs JOIN events e ON qs.event_id = e.id WHERE qs.is_revoked = 0"), 3);
	expect_int(call(t, POST, "/api/admin/qr-sessions/revoke-all", admin.bearer, NULL), "revoked", 3);
	expect_int(call(t, POST, "/api/admin/qr-sessions/revoke-all", admin.bearer, NULL), "revoked", 0);
	id = text_at(call(t, POST, "/api/admin/qr-sessions", admin.bearer, body), "session_id");
	test_advance(t, 2 * MINUTES_US);
	expect_error(call(t, GET, PATH(t, "/api/admin/qr-sessions/%s/image.svg", id), admin.bearer, NULL), 400, "token_expired");
	expect_error(call(t, GET, PATH(t, "/api/admin/qr-sessions/%s/image.png", id), admin.bearer, NULL), 400, "token_expired");
	expect_error(call(t, POST, "/api/admin/qr-sessions", admin.bearer, body), 409, "event_not_open");
	expect_status(call(t, DELETE, PATH(t, "/api/admin/events/%s", event), admin.bearer, NULL), 204);
	expect_error(call(t, POST, "/api/admin/qr-sessions", admin.bearer, body), 404, "event_not_found");
}

static void
ten_codes_a_minute(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *body = PATH(t, "{'event_id':'%s'}", new_event(t, &admin, ""));

	(void)state;
	for (int i = 0; i < 10; i++)
		expect_status(call(t, POST, "/api/admin/qr-sessions", admin.bearer, body), 201);
	struct test_reply *r = call(t, POST, "/api/admin/qr-sessions", admin.bearer, body);
	expect_error(r, 429, "rate_limited");
	assert_non_null(reply_head(r, "Retry-After"));
	test_advance(t, MINUTES_US);
	expect_status(call(t, POST, "/api/admin/qr-sessions", admin.bearer, body), 201);
	test_close(t);
}

static void
statistics(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);
	struct test_reply *r = call(t, GET, "/api/admin/stats", admin.bearer, NULL);

	expect_json(r, "events", "{'total':0,'upcoming':0}");
	expect_int(r, "users.total", 2);
	new_event(t, &admin, "");
	expect_int(call(t, GET, "/api/admin/stats", admin.bearer, NULL), "events.total", 1);
	expect_error(call(t, GET, "/api/admin/stats", student.bearer, NULL), 403, "forbidden");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(an_event_lives),
		STANDARD(events_are_refused),
		STANDARD(creation_is_idempotent),
		STANDARD(ranges_and_kinds),
		STANDARD(a_code_lives),
		STANDARD(codes_end),
		cmocka_unit_test(ten_codes_a_minute),
		STANDARD(statistics),
	};

	return cmocka_run_group_tests_name("portal: events, codes, statistics", tests, NULL, NULL);
}
