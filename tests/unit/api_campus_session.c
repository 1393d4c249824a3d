/* Sessions and their codes, over the API: what a lecturer may ask for, what all screens agree about, and whose a session is. */
#include "campus_env.h"

static void
a_session_is_made_and_found(void **state)
{
	struct campus c = campus_open();
	struct test_reply *r = session_new(&c,
		",'title':' Sorting ','starts_at':'2026-08-01T14:00:00+02:00','duration_minutes':90,'latitude':47.3769,"
		"'longitude':8.5417,'rotate_seconds':20,'require_device':true,'late_after_minutes':15,"
		"'networks':['192.0.2.0/24','2001:db8::/32'],'policy':{'device':'reject'},'code':'MINE'");
	const char *id = text_at(r, "id"), *label = text_at(r, "code");

	(void)state;
	expect_text(r, "title", "Sorting");
	expect_text(r, "course.title", "Algorithms");
	expect_text(r, "lecturer.id", c.lecturer.id.text);
	expect_text(r, "status", "open");
	expect_text(r, "starts_at", "2026-08-01T12:00:00Z");
	expect_text(r, "ends_at", "2026-08-01T13:30:00Z");
	expect_json(r, "geofence_radius_m", "100");
	expect_json(r, "networks", "['192.0.2.0/24','2001:db8::/32']");
	expect_json(r, "policy", "{'device':'reject'}");
	expect_json(r, "require_device", "true");
	expect_json(r, "counts", "{'present':0,'late':0,'excused':0,'absent':0,'flagged':0,'rejected':0}");
	assert_int_equal(strlen(label), 4);
	assert_string_not_equal(label, "MINE");
	for (const char *p = label; *p; p++)
		assert_non_null(strchr("BCDFGHJKMNPQRSTVWXYZ", *p));
	r = open_session_id(&c, "") ? get(&c, &c.lecturer, "/api/v1/lecturer/sessions") : NULL;
	assert_int_equal(json_array_size(reply_at(r, "sessions")), 2);
	r = get(&c, &c.lecturer, TEXT(&c, "/api/v1/lecturer/sessions?course_id=%s", c.course));
	assert_int_equal(json_array_size(reply_at(r, "sessions")), 1);
	expect_text(r, "sessions.0.id", id);
	assert_int_equal(json_array_size(reply_at(get(&c, &c.lecturer, "/api/v1/lecturer/sessions?limit=1"), "sessions")), 1);
	assert_int_equal(json_array_size(reply_at(get(&c, &c.stranger, "/api/v1/lecturer/sessions"), "sessions")), 0);
	assert_int_equal(json_array_size(reply_at(get(&c, &c.admin, "/api/v1/lecturer/sessions"), "sessions")), 2);
	expect_text(get(&c, &c.lecturer, session_path(&c, id, "")), "code", label);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'session_created'"), 2);
	test_close(c.t);
}

static void
defaults(void **state)
{
	struct campus c = campus_open();
	struct test_reply *r = session_new(&c, "");

	(void)state;
	expect_text(r, "title", "Algorithms");
	expect_text(r, "starts_at", "2026-08-01T12:00:00Z");
	expect_int(r, "rotate_seconds", 50); /* QR_EXPIRY_SECONDS less the lead */
	expect_json(r, "networks", "null");
	expect_json(r, "latitude", "null");
	expect_json(r, "geofence_radius_m", "null");
	expect_json(r, "late_after_minutes", "null");
	expect_json(r, "closed_at", "null");
	r = post(&c, &c.lecturer, "/api/v1/lecturer/sessions", "{'duration_minutes':1440}");
	expect_status(r, 201);
	expect_text(r, "title", "Session");
	expect_json(r, "course", "null");
	test_close(c.t);
}

static void
what_no_session_can_be(void **state)
{
	static const char *const bad[] = {"{}", "{'duration_minutes':0}", "{'duration_minutes':1441}",
		"{'duration_minutes':60,'rotate_seconds':1}", "{'duration_minutes':60,'rotate_seconds':301}",
		"{'duration_minutes':60,'latitude':1}", "{'duration_minutes':60,'latitude':91,'longitude':0}",
		"{'duration_minutes':60,'geofence_radius_m':50}", "{'duration_minutes':60,'networks':['10.0.0.0/33']}",
		"{'duration_minutes':60,'networks':['campus']}", "{'duration_minutes':60,'networks':'10.0.0.0/8'}",
		"{'duration_minutes':60,'policy':{'device':'maybe'}}", "{'duration_minutes':60,'policy':{'moon':'flag'}}",
		"{'duration_minutes':60,'owner_id':'" NOBODYS_ID "'}", "{'duration_minutes':60,'late_after_minutes':-1}"};
	struct campus c = campus_open();

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_error(post(&c, &c.lecturer, "/api/v1/lecturer/sessions", bad[i]), 422, "validation_error");
	expect_error(post(&c, &c.lecturer, "/api/v1/lecturer/sessions",
			     TEXT(&c, "{'duration_minutes':60,'course_id':'%s'}", NOBODYS_ID)),
		404, "not_found");
	expect_error(post(&c, &c.stranger, "/api/v1/lecturer/sessions",
			     TEXT(&c, "{'duration_minutes':60,'course_id':'%s'}", c.course)),
		404, "not_found");
	expect_error(post(&c, &c.lecturer, "/api/v1/lecturer/sessions", "{'duration_minutes':60,'require_face':true}"), 409,
		"face_unavailable");
	expect_error(post(&c, &c.students[0], "/api/v1/lecturer/sessions", "{'duration_minutes':60}"), 403, "forbidden");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM events"), 0);
	test_close(c.t);
}

static void
a_change_keeps_what_it_does_not_name(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'late_after_minutes':5,'networks':['192.0.2.0/24']"), *one = session_path(&c, id, "");
	struct test_reply *r = call(c.t, PATCH, one, c.lecturer.bearer, "{'title':'Trees','duration_minutes':30}");

	(void)state;
	expect_status(r, 200);
	expect_text(r, "title", "Trees");
	expect_text(r, "ends_at", "2026-08-01T12:30:00Z");
	expect_int(r, "late_after_minutes", 5);
	expect_json(r, "networks", "['192.0.2.0/24']");
	expect_json(call(c.t, PATCH, one, c.lecturer.bearer, "{'networks':[]}"), "networks", "[]");
	r = call(c.t, PATCH, one, c.lecturer.bearer, "{'starts_at':'2026-08-01T13:00:00Z'}");
	expect_text(r, "ends_at", "2026-08-01T13:30:00Z");
	expect_text(r, "status", "scheduled");
	expect_error(call(c.t, PATCH, one, c.lecturer.bearer, "{'starts_at':'2026-08-01T10:00:00Z'}"), 422, "validation_error");
	expect_error(call(c.t, PATCH, one, c.lecturer.bearer, "{'longitude':3}"), 422, "validation_error");
	expect_error(call(c.t, PATCH, one, c.lecturer.bearer, "{'require_face':true}"), 409, "face_unavailable");

	expect_int(get(&c, &c.lecturer, session_path(&c, id, "/qr/status")), "generation", 0);
	expect_status(call(c.t, PATCH, one, c.lecturer.bearer, "{'rotate_seconds':50}"), 200);
	expect_int(get(&c, &c.lecturer, session_path(&c, id, "/qr/status")), "generation", 0);
	expect_status(call(c.t, PATCH, one, c.lecturer.bearer, "{'rotate_seconds':5}"), 200);
	expect_int(get(&c, &c.lecturer, session_path(&c, id, "/qr/status")), "generation", 1);
	test_close(c.t);
}

static void
closing(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, "");
	struct test_reply *r;

	(void)state;
	test_advance(c.t, MINUTES_US);
	for (int i = 0; i < 2; i++) {
		r = post(&c, &c.lecturer, session_path(&c, id, "/close"), NULL);
		expect_status(r, 200);
		expect_text(r, "status", "closed");
		expect_text(r, "closed_at", "2026-08-01T12:01:00Z");
		test_advance(c.t, SECONDS_US);
	}
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'session_closed'"), 1);
	expect_error(call(c.t, PATCH, session_path(&c, id, ""), c.lecturer.bearer, "{'title':'x'}"), 409, "session_closed");
	expect_error(post(&c, &c.lecturer, session_path(&c, id, "/regenerate"), NULL), 409, "session_closed");
	expect_error(get(&c, &c.lecturer, session_path(&c, id, "/qr")), 409, "session_closed");
	expect_error(post(&c, &c.lecturer, session_path(&c, id, "/qr/rotate"), NULL), 409, "session_closed");
	expect_error(post(&c, &c.lecturer, session_path(&c, id, "/display"), NULL), 409, "session_closed");
	r = get(&c, &c.lecturer, session_path(&c, id, "/qr/status"));
	expect_json(r, "active", "false");
	expect_int(r, "seconds_left", 0);
	expect_json(r, "expires_at", "null");
	id = session_id(&c, "");
	test_advance(c.t, 60 * MINUTES_US);
	expect_text(get(&c, &c.lecturer, session_path(&c, id, "")), "status", "closed"); /* before any job has run */
	test_close(c.t);
}

/* As an import writes them: without rotation and label. */
static void
a_session_without_codes(void **state)
{
	struct campus c = campus_open();
	struct test_reply *made = session_new(&c, ""), *qr = qr_of(&c, text_at(made, "id"));
	const char *id = text_at(made, "id");

	(void)state;
	sql_run(c.t, "UPDATE events SET rotate_seconds = NULL");
	expect_status(get(&c, &c.lecturer, session_path(&c, id, "/qr/status")), 200);
	expect_error(mark_qr(&c, &c.students[0], qr), 400, "invalid_qr");
	expect_error(mark_json(&c, &c.students[0], TEXT(&c, "{'code':'%s','event_id':'%s'}", text_at(qr, "code"), id)), 400,
		"invalid_qr");
	test_close(c.t);
}

/* --- codes ------------------------------------------------------------------------------------------------------------------ */

static void
all_screens_agree(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'rotate_seconds':30,'latitude':1,'longitude':2,'geofence_radius_m':30");
	struct test_reply *one = qr_of(&c, id), *r;

	(void)state;
	expect_text(one, "qr_session_id", id);
	expect_text(one, "session.id", id);
	expect_text(one, "course.code", "MA101");
	expect_text(one, "lecturer.full_name", c.lecturer.full_name);
	expect_json(one, "location", "{'latitude':1,'longitude':2,'geofence_radius_m':30}");
	assert_int_equal(strlen(text_at(one, "code")), 6);
	expect_head(one, "Cache-Control", "no-store");
	int64_t writes = count(c.t, "SELECT COUNT(*) FROM audit_logs");
	for (int s = 1; s < 30; s++) { /* other projectors, tabs, refreshes */
		test_advance(c.t, SECONDS_US);
		assert_string_equal(qr_of(&c, id)->body, one->body);
	}
	test_login(c.t, &c.admin);
	r = get(&c, &c.admin, session_path(&c, id, "/qr"));
	expect_text(r, "qr_nonce", text_at(one, "qr_nonce"));
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs"), writes);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM qr_sessions"), 0);

	r = get(&c, &c.lecturer, session_path(&c, id, "/qr/status"));
	expect_json(r, "active", "true");
	expect_int(r, "rotation_count", 1);
	expect_int(r, "seconds_left", 1);
	test_advance(c.t, SECONDS_US);
	r = qr_of(&c, id);
	assert_string_not_equal(text_at(r, "qr_nonce"), text_at(one, "qr_nonce"));
	assert_string_not_equal(text_at(r, "code"), text_at(one, "code"));
	expect_text(r, "label", text_at(one, "label"));
	expect_int(get(&c, &c.lecturer, session_path(&c, id, "/qr/status")), "rotation_count", 2);
	test_close(c.t);
}

static void
rotating_by_hand_kills_the_code(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, "");
	struct test_reply *old = qr_of(&c, id), *r = post(&c, &c.lecturer, session_path(&c, id, "/qr/rotate"), NULL);

	(void)state;
	expect_status(r, 200);
	expect_text(r, "expires_at", text_at(old, "expires_at"));
	assert_string_not_equal(text_at(r, "qr_nonce"), text_at(old, "qr_nonce"));
	expect_error(mark_qr(&c, &c.students[0], old), 400, "qr_revoked");
	expect_status(mark_qr(&c, &c.students[0], r), 201);
	test_close(c.t);
}

/* --- whose it is ------------------------------------------------------------------------------------------------------------ */

static void
somebody_elses_session_is_not_there(void **state)
{
	static const struct {
		enum method method;
		const char *rest, *body;
	} rows[] = {{GET, "", NULL}, {PATCH, "", "{'title':'x'}"}, {POST, "/close", NULL}, {POST, "/regenerate", NULL},
		{GET, "/qr", NULL}, {POST, "/qr/rotate", NULL}, {GET, "/qr/status", NULL}, {POST, "/display", NULL},
		{DELETE, "/display", NULL}, {GET, "/attendance", NULL},
		{POST, "/attendance", "{'user_id':'" NOBODYS_ID "','status':'present','reason':'x'}"},
		{PATCH, "/attendance/" NOBODYS_ID, "{'status':'present','reason':'x'}"}, {POST, "/rest-absent", NULL}};
	struct campus c = campus_open();
	const char *id = session_id(&c, "");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *path = session_path(&c, id, rows[i].rest), *none = session_path(&c, NOBODYS_ID, rows[i].rest);
		expect_error(call(c.t, rows[i].method, path, c.stranger.bearer, rows[i].body), 404, "not_found");
		expect_error(call(c.t, rows[i].method, none, c.lecturer.bearer, rows[i].body), 404, "not_found");
		expect_error(call(c.t, rows[i].method, path, c.students[0].bearer, rows[i].body), 403, "forbidden");
		expect_error(call(c.t, rows[i].method, path, NULL, rows[i].body), 401, "not_authenticated");
	}
	expect_text(get(&c, &c.lecturer, session_path(&c, id, "")), "status", "open");
	test_close(c.t);
}

/* --- screens ---------------------------------------------------------------------------------------------------------------- */

static void
a_display_token_is_the_sessions(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'duration_minutes':1200"), *other = session_id(&c, "");
	struct test_reply *r = post(&c, &c.lecturer, session_path(&c, id, "/display"), NULL);
	const char *token = text_at(r, "display_token");

	(void)state;
	expect_status(r, 201);
	expect_text(r, "expires_at", "2026-08-02T08:00:00Z"); /* the session's end */
	expect_error(call(c.t, GET, session_path(&c, other, "/frames"), token, NULL), 403, "forbidden");
	expect_error(call(c.t, GET, session_path(&c, id, "/qr"), token, NULL), 401, "not_authenticated");
	expect_error(call(c.t, GET, session_path(&c, id, "/frames"), c.stranger.bearer, NULL), 404, "event_not_found");
	expect_error(call(c.t, GET, session_path(&c, id, "/frames"), c.students[0].bearer, NULL), 403, "forbidden");
	expect_error(call(c.t, GET, session_path(&c, id, "/frames"), "rubbish", NULL), 401, "not_authenticated");
	r = call(c.t, DELETE, session_path(&c, id, "/display"), c.lecturer.bearer, NULL);
	expect_int(r, "revoked", 1);
	expect_error(call(c.t, GET, session_path(&c, id, "/frames"), token, NULL), 401, "token_revoked");
	expect_status(post(&c, &c.lecturer, session_path(&c, other, "/close"), NULL), 200);
	expect_error(call(c.t, GET, session_path(&c, other, "/frames"), c.lecturer.bearer, NULL), 409, "event_not_open");
	test_close(c.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_made_and_found),
		cmocka_unit_test(defaults),
		cmocka_unit_test(what_no_session_can_be),
		cmocka_unit_test(a_change_keeps_what_it_does_not_name),
		cmocka_unit_test(closing),
		cmocka_unit_test(a_session_without_codes),
		cmocka_unit_test(all_screens_agree),
		cmocka_unit_test(rotating_by_hand_kills_the_code),
		cmocka_unit_test(somebody_elses_session_is_not_there),
		cmocka_unit_test(a_display_token_is_the_sessions),
	};

	return cmocka_run_group_tests_name("api_campus_session", tests, NULL, NULL);
}
