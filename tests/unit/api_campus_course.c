/* Courses and rosters, over the API; and what a lecturer and the end of a session write by hand. */
#include "campus_env.h"
#include "run_job.h"

static struct test_reply *
send_csv(struct campus *c, const struct test_user *u, const char *query, const char *text)
{
	return call_with(c->t, &(const struct test_request){.method = POST,
				       .path = TEXT(c, "/api/v1/lecturer/courses/%s/roster%s", c->course, query),
				       .bearer = u->bearer,
				       .body = text,
				       .content_type = "text/csv; charset=utf-8"});
}

static void
courses_are_their_lecturers(void **state)
{
	struct campus c = campus_open();
	struct test_reply *r = get(&c, &c.lecturer, "/api/v1/lecturer/courses");
	const char *roster = TEXT(&c, "/api/v1/lecturer/courses/%s/roster", c.course);

	(void)state;
	assert_int_equal(json_array_size(reply_at(r, "courses")), 1);
	expect_text(r, "courses.0.code", "MA101");
	expect_int(r, "courses.0.students", CLASS_STUDENTS);
	assert_int_equal(json_array_size(reply_at(get(&c, &c.stranger, "/api/v1/lecturer/courses"), "courses")), 0);
	assert_int_equal(json_array_size(reply_at(get(&c, &c.admin, "/api/v1/lecturer/courses"), "courses")), 1);
	r = get(&c, &c.lecturer, roster);
	assert_int_equal(json_array_size(reply_at(r, "students")), CLASS_STUDENTS);
	expect_text(r, "students.0.email", c.students[0].email);
	expect_error(get(&c, &c.stranger, roster), 404, "not_found");
	expect_error(get(&c, &c.students[0], roster), 403, "forbidden");
	expect_error(post(&c, &c.stranger, roster, "{'email':'a@example.org','full_name':'A'}"), 404, "not_found");
	expect_error(send_csv(&c, &c.stranger, "", "email,full_name\na@example.org,A\n"), 404, "not_found");
	expect_error(post(&c, &c.lecturer, "/api/v1/lecturer/courses", "{'code':'','title':'x'}"), 422, "validation_error");
	expect_status(post(&c, &c.lecturer, "/api/v1/lecturer/courses", "{'code':'MA101','title':'Next year'}"), 201);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM users WHERE email = 'a@example.org'"), 0);
	test_close(c.t);
}

static void
one_student_is_added(void **state)
{
	struct campus c = campus_open();
	const char *roster = TEXT(&c, "/api/v1/lecturer/courses/%s/roster", c.course);
	struct test_reply *r = post(&c, &c.lecturer, roster, "{'email':' New@Example.org ','full_name':'New Person'}");

	(void)state;
	expect_status(r, 201);
	expect_int(r, "added", 1);
	expect_text(r, "student.email", "new@example.org");
	expect_text(r, "student.full_name", "New Person");
	r = post(&c, &c.lecturer, roster, "{'email':'new@example.org'}");
	expect_status(r, 201);
	expect_int(r, "added", 0);
	expect_int(r, "updated", 1);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM users WHERE email = 'new@example.org' AND role = 'student'"), 1);
	expect_error(post(&c, &c.lecturer, roster, "{'email':'nobody@example.org'}"), 422, "validation_error");
	expect_error(post(&c, &c.lecturer, roster, "{'email':'nobody'}"), 422, "validation_error");
	expect_error(post(&c, &c.lecturer, roster, "{'email':'x@example.org','full_name':'X','role':'admin'}"), 422, "validation_error");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'roster_changed'"), CLASS_STUDENTS + 1);
	test_close(c.t);
}

static void
a_file_of_students(void **state)
{
	static const char file[] = "email,full_name\n"
				   "one@example.org,One\n"
				   "nonsense,Two\n"
				   "three@example.org,\n"
				   "four@example.org,Four,too many\n"
				   "one@example.org,One again\n";
	struct campus c = campus_open();
	struct test_reply *r = send_csv(&c, &c.lecturer, "?dry_run=true", file);

	(void)state;
	expect_status(r, 200);
	expect_int(r, "added", 1);
	assert_int_equal(json_array_size(reply_at(r, "errors")), 3);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM enrollments"), CLASS_STUDENTS);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM users WHERE email = 'one@example.org'"), 0);
	r = send_csv(&c, &c.lecturer, "", file);
	expect_status(r, 200);
	expect_int(r, "added", 1);
	expect_int(r, "updated", 1);
	expect_int(r, "errors.0.row", 3);
	expect_int(r, "errors.1.row", 4);
	expect_int(r, "errors.2.row", 5);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM enrollments"), CLASS_STUDENTS + 1);
	expect_int(send_csv(&c, &c.lecturer, "", file), "added", 0);
	expect_error(send_csv(&c, &c.lecturer, "", "address\nx@example.org\n"), 422, "validation_error");
	expect_error(send_csv(&c, &c.lecturer, "", ""), 422, "validation_error");
	test_close(c.t);
}

/* --- by hand ----------------------------------------------------------------------------------------------------------------- */

static void
a_lecturer_marks_by_hand(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ""), *roll = session_path(&c, id, "/attendance");
	const char *body = TEXT(&c, "{'user_id':'%s','status':'excused','reason':'Ill'}", c.students[0].id.text);
	struct test_reply *r = post(&c, &c.lecturer, roll, body);

	(void)state;
	expect_status(r, 201);
	expect_text(r, "marked_by", c.lecturer.id.text);
	expect_error(post(&c, &c.lecturer, roll, body), 409, "duplicate_attendance");
	const char *one = TEXT(&c, "%s/%s", roll, text_at(r, "attendance_id"));
	expect_error(call(c.t, PATCH, one, c.lecturer.bearer, "{'status':'rejected','reason':'x'}"), 422, "validation_error");
	r = call(c.t, PATCH, one, c.lecturer.bearer, "{'status':'present','reason':'Came after all'}");
	expect_text(r, "status", "present");
	expect_text(r, "original_status", "excused");
	r = get(&c, &c.lecturer, roll);
	assert_int_equal(json_array_size(reply_at(r, "records")), 1);
	expect_text(r, "records.0.user.email", c.students[0].email);
	expect_json(get(&c, &c.lecturer, session_path(&c, id, "")), "counts",
		"{'present':1,'late':0,'excused':0,'absent':0,'flagged':0,'rejected':0}");
	/* A record of one session cannot be reached through another. */
	const char *other = session_path(&c, session_id(&c, ""), strrchr(one, '/'));
	expect_error(call(c.t, PATCH, TEXT(&c, "%.*s/attendance%s", (int)(strrchr(other, '/') - other), other, strrchr(other, '/')),
			     c.lecturer.bearer, "{'status':'present','reason':'x'}"),
		404, "not_found");
	test_close(c.t);
}

static void
the_rest_is_absent(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ""), *rest = session_path(&c, id, "/rest-absent");
	const char *future = session_id(&c, ",'starts_at':'2026-08-01T13:00:00Z'"), *open = open_session_id(&c, "");
	struct test_reply *qr = qr_of(&c, id), *r;
	const char *claim =
		text_at(post(&c, NULL, "/api/attendance/claim", TEXT(&c, "{'qr_payload':'%s'}", text_at(qr, "qr_payload"))), "claim");

	(void)state;
	expect_error(post(&c, &c.lecturer, session_path(&c, future, "/rest-absent"), NULL), 409, "event_not_open");
	expect_error(post(&c, &c.lecturer, session_path(&c, open, "/rest-absent"), NULL), 409, "conflict");
	expect_status(mark_qr(&c, &c.students[0], qr), 201);
	expect_int(post(&c, &c.lecturer, rest, "{'reason':'Roll call'}"), "added", CLASS_STUDENTS - 1);
	expect_int(post(&c, &c.lecturer, rest, NULL), "added", 0);
	expect_json(get(&c, &c.lecturer, session_path(&c, id, "")), "counts",
		"{'present':1,'late':0,'excused':0,'absent':2,'flagged':0,'rejected':0}");
	expect_error(mark_qr(&c, &c.students[1], qr), 409, "duplicate_attendance");
	r = get(&c, &c.students[1], "/api/v1/student/attendance");
	expect_text(r, "records.0.status", "absent");
	expect_text(r, "records.0.reason", "Roll call");
	expect_status(mark_json(&c, &c.students[1], TEXT(&c, "{'claim':'%s'}", claim)), 201);
	r = get(&c, &c.students[1], "/api/v1/student/attendance");
	expect_text(r, "records.0.status", "present");
	expect_text(r, "records.0.original_status", "absent");
	expect_json(r, "records.0.reason", "null");
	test_close(c.t);
}

/* --- the end ------------------------------------------------------------------------------------------------------------------ */

#define ABSENT(c) count((c).t, "SELECT COUNT(*) FROM attendance_records WHERE status = 'absent'")

static void
who_did_not_come_is_absent(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'duration_minutes':10");
	(void)session_id(&c, ",'duration_minutes':20");
	(void)open_session_id(&c, "");
	struct test_reply *r;

	(void)state;
	expect_status(mark_qr(&c, &c.students[2], qr_of(&c, id)), 201);
	test_advance(c.t, 10 * MINUTES_US - 1);
	assert_int_equal(run_job(c.t, "session_settle"), 0);
	assert_int_equal(ABSENT(c), 0);
	test_advance(c.t, 3 * SECONDS_US);
	run_job(c.t, "session_settle");
	assert_int_equal(ABSENT(c), CLASS_STUDENTS - 1);
	r = get(&c, &c.lecturer, session_path(&c, id, ""));
	expect_text(r, "closed_at", "2026-08-01T12:10:00Z"); /* its end, not the job's time */
	expect_int(r, "counts.absent", CLASS_STUDENTS - 1);
	expect_int(r, "counts.present", 1);
	r = get(&c, &c.students[0], "/api/v1/student/attendance");
	expect_text(r, "records.0.marked_at", "2026-08-01T12:10:00Z");
	assert_int_equal(run_job(c.t, "session_settle"), 0); /* nothing is left */
	assert_int_equal(ABSENT(c), CLASS_STUDENTS - 1);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'session_closed'"), 1);
	test_close(c.t);
}

static void
what_was_closed_early(void **state)
{
	struct campus c = campus_open();
	const char *cancelled = session_id(&c, ",'starts_at':'2026-08-01T13:00:00Z'"), *id = session_id(&c, "");

	(void)state;
	test_advance(c.t, MINUTES_US);
	expect_status(post(&c, &c.lecturer, session_path(&c, cancelled, "/close"), NULL), 200);
	run_job(c.t, "session_settle");
	assert_int_equal(ABSENT(c), 0);
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/close"), NULL), 200);
	run_job(c.t, "session_settle");
	assert_int_equal(ABSENT(c), CLASS_STUDENTS);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM events WHERE settled_at IS NULL"), 0);
	test_close(c.t);
}

static void
a_roster_longer_than_a_turn(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'duration_minutes':10");

	(void)state;
	for (int i = 0; i < 2 * BULK_TURN_ROWS; i++) {
		sql_run(c.t, TEXT(&c,
				     "INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders,"
				     " created_at, updated_at) VALUES ('01890000-0000-7000-8000-%012d', 'r%d@example.org', 'R', 'student', TRUE,"
				     " FALSE, FALSE, FALSE, '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
				     i, i));
		sql_run(c.t, TEXT(&c,
				     "INSERT INTO enrollments (course_id, user_id, created_at) VALUES ('%s',"
				     " '01890000-0000-7000-8000-%012d', '2026-01-01 00:00:00')",
				     c.course, i));
	}
	test_advance(c.t, 11 * MINUTES_US);
	run_job(c.t, "session_settle");
	assert_int_equal(ABSENT(c), CLASS_STUDENTS + 2 * BULK_TURN_ROWS);
	expect_int(get(&c, &c.lecturer, session_path(&c, id, "")), "counts.absent", CLASS_STUDENTS + 2 * BULK_TURN_ROWS);
	test_close(c.t);
}

/* --- students ----------------------------------------------------------------------------------------------------------------- */

static void
a_student_sees_open_sessions_and_reasons(void **state)
{
	struct campus c = campus_open();
	const struct test_user outsider = test_user(c.t, ROLE_STUDENT);
	const char *id = session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'networks':['203.0.113.0/24']");
	struct test_reply *r;

	(void)state;
	(void)session_id(&c, ",'starts_at':'2026-08-01T13:00:00Z'");
	r = get(&c, &c.students[0], "/api/v1/student/sessions");
	assert_int_equal(json_array_size(reply_at(r, "sessions")), 1);
	expect_text(r, "sessions.0.id", id);
	assert_null(reply_at(r, "sessions.0.networks"));
	assert_null(reply_at(r, "sessions.0.counts"));
	assert_int_equal(json_array_size(reply_at(get(&c, &outsider, "/api/v1/student/sessions"), "sessions")), 0);
	expect_error(get(&c, &c.lecturer, "/api/v1/student/sessions"), 403, "forbidden");
	expect_error(get(&c, &c.lecturer, "/api/v1/student/attendance"), 403, "forbidden");

	expect_text(mark_qr(&c, &c.students[0], qr_of(&c, id)), "status", "flagged");
	r = get(&c, &c.students[0], "/api/v1/student/attendance");
	expect_text(r, "records.0.session.id", id);
	expect_text(r, "records.0.session.course.title", "Algorithms");
	expect_text(r, "records.0.flags", "geofence,network");
	assert_int_equal(json_array_size(reply_at(r, "records.0.reasons")), 2);
	assert_true(strlen(text_at(r, "records.0.reasons.0")) > 10);
	/* What was found later stands behind them. */
	sql_run(c.t, "INSERT INTO verification_logs (attendance_id, created_at, layers) SELECT id, '2026-08-01 12:30:00.000000',"
		     " '[{\"layer\":\"device\",\"verdict\":\"flag\",\"detail\":\"Later.\"}]' FROM attendance_records");
	r = get(&c, &c.students[0], "/api/v1/student/attendance");
	assert_int_equal(json_array_size(reply_at(r, "records.0.reasons")), 3);
	expect_text(r, "records.0.reasons.2", "Later.");
	assert_int_equal(json_array_size(reply_at(get(&c, &c.students[1], "/api/v1/student/attendance"), "records")), 0);
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/close"), NULL), 200);
	assert_int_equal(json_array_size(reply_at(get(&c, &c.students[0], "/api/v1/student/sessions"), "sessions")), 0);
	test_close(c.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(courses_are_their_lecturers),
		cmocka_unit_test(one_student_is_added),
		cmocka_unit_test(a_file_of_students),
		cmocka_unit_test(a_lecturer_marks_by_hand),
		cmocka_unit_test(the_rest_is_absent),
		cmocka_unit_test(who_did_not_come_is_absent),
		cmocka_unit_test(what_was_closed_early),
		cmocka_unit_test(a_roster_longer_than_a_turn),
		cmocka_unit_test(a_student_sees_open_sessions_and_reasons),
	};

	return cmocka_run_group_tests_name("api_campus_course", tests, NULL, NULL);
}
