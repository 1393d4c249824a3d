/* Attendance by hand, over the dispatcher: who may, what is kept, what is counted, who is told. */
#include "attendance_env.h"
#include "run_job.h"

#include "attendance/count.h"

struct desk {
	struct test *t;
	struct test_user admin, student;
	struct event event;
	struct qr_session code;
	const char *path;
};

static struct desk
desk_open(int64_t capacity)
{
	struct desk r = {.t = test_open(NULL)};
	struct event_new in = event_plain(r.t, "Algorithms");

	r.admin = test_user(r.t, ROLE_ADMIN);
	r.student = test_user(r.t, ROLE_STUDENT);
	in.capacity = capacity;
	r.event = make_event(r.t, &r.admin, in);
	r.code = make_code(r.t, &r.admin, &r.event);
	r.path = PATH(r.t, "/api/admin/events/%s/attendance", r.event.id.text);
	return r;
}

static struct test_reply *
create(struct desk *r, const char *user_id, const char *status)
{
	return call(r->t, POST, r->path, r->admin.bearer,
		PATH(r->t, "{'user_id':'%s','status':'%s','reason':' Phone was broken '}", user_id, status));
}

static struct test_reply *
mark(struct desk *r, const struct test_user *u, const char *payload)
{
	return call(r->t, POST, "/api/attendance/mark", u->bearer, PATH(r->t, "{'qr_payload':'%s'}", payload));
}

static int64_t
attended(struct desk *r)
{
	return int_at(call(r->t, GET, PATH(r->t, "/api/events/%s", r->event.id.text), r->admin.bearer, NULL), "attendance_count");
}

static const char *
last_audit(struct desk *r)
{
	return sql_text(r->t, "SELECT action || ' ' || result || ' ' || details FROM audit_logs ORDER BY seq DESC LIMIT 1");
}

static void
a_record_is_made_changed_and_removed(void **state)
{
	struct desk r = desk_open(FIELD_NONE);
	struct test_reply *got = create(&r, r.student.id.text, "excused");

	(void)state;
	expect_status(got, 201);
	expect_text(got, "status", "excused");
	expect_text(got, "original_status", "excused");
	expect_text(got, "method", "manual");
	expect_text(got, "reason", "Phone was broken");
	expect_text(got, "marked_by", r.admin.id.text);
	expect_text(got, "user.email", r.student.email);
	expect_json(got, "changed_at", "null");
	assert_int_equal(attended(&r), 0);
	const char *id = text_at(got, "attendance_id"), *one = PATH(r.t, "%s/%s", r.path, id);
	expect_json(got, "marked_at", "'2026-08-01T12:00:00Z'");

	test_advance(r.t, MINUTES_US);
	got = call(r.t, PATCH, one, r.admin.bearer, "{'status':'present','reason':'Seen'}");
	expect_status(got, 200);
	expect_text(got, "status", "present");
	expect_text(got, "original_status", "excused");
	expect_text(got, "reason", "Seen");
	expect_text(got, "marked_at", "2026-08-01T12:00:00Z");
	expect_text(got, "changed_at", "2026-08-01T12:01:00Z");
	assert_int_equal(attended(&r), 1);
	assert_non_null(strstr(last_audit(&r), "attendance_changed success "));
	assert_non_null(
		strstr(last_audit(&r), "\"from\":\"excused\",\"to\":\"present\",\"original\":\"excused\",\"reason\":\"Seen\""));
	expect_text(call(r.t, PATCH, one, r.admin.bearer, "{'reason':'Seen by two'}"), "status", "present");
	expect_text(call(r.t, GET, r.path, r.admin.bearer, NULL), "records.0.reason", "Seen by two");
	expect_text(call(r.t, GET, "/api/attendance/me", r.student.bearer, NULL), "records.0.status", "present");

	got = call(r.t, DELETE, one, r.admin.bearer, "{'reason':'Mixed up'}");
	expect_status(got, 204);
	assert_int_equal(attended(&r), 0);
	assert_non_null(strstr(last_audit(&r), "\"from\":\"present\",\"to\":\"none\""));
	expect_error(call(r.t, DELETE, one, r.admin.bearer, "{'reason':'Again'}"), 404, "not_found");
	got = call(r.t, GET, "/api/notifications", r.student.bearer, NULL);
	expect_int(got, "unread", 4);
	expect_text(got, "notifications.0.message", "Your attendance at Algorithms was removed. Reason: Mixed up");
	expect_text(got, "notifications.3.type", "decision");
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM outbox WHERE template = 'attendance_changed'"), 4);
	sql_run(r.t, "UPDATE users SET mail_decisions = 0");
	expect_status(create(&r, r.student.id.text, "late"), 201);
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM outbox WHERE template = 'attendance_changed'"), 4);
	test_close(r.t);
}

static void
what_is_refused(void **state)
{
	struct desk r = desk_open(FIELD_NONE);
	const char *none = "01890a5d-ac96-774b-bcce-b302099a8057";
	struct test_reply *m = mark(&r, &r.student, r.code.qr_payload), *got = create(&r, r.student.id.text, "present");
	const char *one = PATH(r.t, "%s/%s", r.path, text_at(m, "attendance_id"));

	(void)state;
	expect_error(got, 409, "duplicate_attendance");
	expect_text(got, "attendance_id", text_at(m, "attendance_id"));
	assert_non_null(strstr(last_audit(&r), "attendance_changed failure "));
	struct event other = make_event(r.t, &r.admin, event_plain(r.t, "Other"));
	expect_error(create(&r, none, "present"), 404, "not_found");
	expect_error(create(&r, r.admin.id.text, "flagged"), 422, "validation_error");
	expect_error(create(&r, r.admin.id.text, "rejected"), 422, "validation_error");
	expect_error(call(r.t, POST, r.path, r.admin.bearer, PATH(r.t, "{'user_id':'%s','status':'late','reason':'  '}", none)),
		422, "validation_error");
	expect_error(call(r.t, DELETE, one, r.admin.bearer, NULL), 422, "validation_error");
	expect_error(call(r.t, PATCH, one, r.admin.bearer, "{'status':'late'}"), 422, "validation_error");
	/* A record of another event, and an event that is gone. */
	expect_error(call(r.t, PATCH, PATH(r.t, "/api/admin/events/%s/attendance/%s", other.id.text, text_at(m, "attendance_id")),
			     r.admin.bearer, "{'reason':'x'}"),
		404, "not_found");
	expect_error(call(r.t, POST, PATH(r.t, "/api/admin/events/%s/attendance", none), r.admin.bearer,
			     PATH(r.t, "{'user_id':'%s','status':'late','reason':'x'}", r.admin.id.text)),
		404, "not_found");
	for (enum role role = ROLE_STUDENT; role < ROLE_ADMIN; role++) {
		struct test_user u = test_user(r.t, role);
		expect_error(call(r.t, PATCH, one, u.bearer, "{'status':'present','reason':'x'}"), 403, "forbidden");
		expect_error(call(r.t, DELETE, one, u.bearer, "{'reason':'x'}"), 403, "forbidden");
		expect_error(call(r.t, POST, r.path, u.bearer,
				     PATH(r.t, "{'user_id':'%s','status':'present','reason':'x'}", u.id.text)),
			403, "forbidden");
	}
	sql_run(r.t, "UPDATE events SET is_deleted = 1");
	expect_error(call(r.t, PATCH, one, r.admin.bearer, "{'reason':'x'}"), 404, "not_found");
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM attendance_records"), 1);
	test_close(r.t);
}

/* Removed: not again with the same code, but with the next. */
static void
a_removed_student_marks_with_another_code(void **state)
{
	struct desk r = desk_open(FIELD_NONE);
	struct test_reply *m = mark(&r, &r.student, r.code.qr_payload);

	(void)state;
	expect_status(
		call(r.t, DELETE, PATH(r.t, "%s/%s", r.path, text_at(m, "attendance_id")), r.admin.bearer, "{'reason':'Left'}"),
		204);
	expect_error(mark(&r, &r.student, r.code.qr_payload), 400, "nonce_reused");
	struct qr_session next = make_code(r.t, &r.admin, &r.event);
	expect_status(mark(&r, &r.student, next.qr_payload), 201);
	assert_int_equal(attended(&r), 1);
	test_close(r.t);
}

static void
places_follow_records(void **state)
{
	struct desk r = desk_open(1);
	struct test_user other = test_user(r.t, ROLE_STUDENT);
	const char *taken = "SELECT taken FROM events";
	struct test_reply *m = mark(&r, &r.student, r.code.qr_payload);
	const char *one = PATH(r.t, "%s/%s", r.path, text_at(m, "attendance_id"));

	(void)state;
	assert_int_equal(count(r.t, taken), 1);
	expect_error(mark(&r, &other, r.code.qr_payload), 409, "event_full");
	expect_status(call(r.t, PATCH, one, r.admin.bearer, "{'status':'excused','reason':'Ill'}"), 200);
	assert_int_equal(count(r.t, taken), 0);
	expect_status(mark(&r, &other, r.code.qr_payload), 201);
	expect_status(call(r.t, PATCH, one, r.admin.bearer, "{'status':'late','reason':'Came'}"), 200);
	assert_int_equal(count(r.t, taken), 2); /* an administrator may */
	expect_status(call(r.t, DELETE, one, r.admin.bearer, "{'reason':'Left'}"), 204);
	assert_int_equal(count(r.t, taken), 1);
	test_close(r.t);
}

/* The counts that the job has written long ago must follow a change by hand. */
static void
old_counts_are_counted_again(void **state)
{
	struct desk r = desk_open(FIELD_NONE);
	struct test_reply *m = mark(&r, &r.student, r.code.qr_payload);

	(void)state;
	test_advance(r.t, HOURS_US);
	run_job(r.t, "event_counts");
	assert_int_equal(count(r.t, "SELECT attended FROM event_counts"), 1);
	test_login(r.t, &r.admin);
	expect_status(call(r.t, PATCH, PATH(r.t, "%s/%s", r.path, text_at(m, "attendance_id")), r.admin.bearer,
			      "{'status':'absent','reason':'Seen elsewhere'}"),
		200);
	assert_int_equal(attended(&r), 0);
	test_close(r.t);
}

static void
the_same_key_makes_one_record(void **state)
{
	struct desk r = desk_open(FIELD_NONE);
	const char *body = PATH(r.t, "{\"user_id\":\"%s\",\"status\":\"present\",\"reason\":\"x\"}", r.student.id.text);
	struct test_request rq = {
		.method = POST, .path = r.path, .bearer = r.admin.bearer, .body = body, .idempotency_key = "once"};

	(void)state;
	struct test_reply *a = call_with(r.t, &rq), *b = call_with(r.t, &rq);
	expect_status(a, 201);
	expect_status(b, 201);
	expect_text(b, "attendance_id", text_at(a, "attendance_id"));
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM notifications"), 1);
	test_close(r.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_made_changed_and_removed),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(a_removed_student_marks_with_another_code),
		cmocka_unit_test(places_follow_records),
		cmocka_unit_test(old_counts_are_counted_again),
		cmocka_unit_test(the_same_key_makes_one_record),
	};

	return cmocka_run_group_tests_name("portal: attendance by hand", tests, NULL, NULL);
}
