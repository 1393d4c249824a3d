/* Campus: the queue of what waits for a human, decisions, disputes, and the figures that follow from them. */
#include "attendance_env.h"

#include "attendance/count.h"

struct hall {
	struct test *t;
	struct test_user lecturer, stranger, reviewer, admin, student;
	const char *course; /* the lecturer's, with nobody on its roster */
};

static const char *
fresh(struct hall *h)
{
	struct ctx cx;

	test_ctx(h->t, &cx);
	return arena_printf(&h->t->arena, "%s", new_id(&cx).text);
}

static struct hall
hall_open(void)
{
	struct hall h = {.t = test_open(NULL)};

	h.lecturer = test_user(h.t, ROLE_LECTURER);
	h.stranger = test_user(h.t, ROLE_LECTURER);
	h.reviewer = test_user(h.t, ROLE_REVIEWER);
	h.admin = test_user(h.t, ROLE_ADMIN);
	h.student = test_user(h.t, ROLE_STUDENT);
	h.course = fresh(&h);
	sql_run(h.t, PATH(h.t,
			     "INSERT INTO courses (id, code, title, owner_id, is_deleted, created_at) VALUES ('%s', 'AL1',"
			     " 'Algorithms', '%s', FALSE, '2026-05-01 00:00:00.000000')",
			     h.course, h.lecturer.id.text));
	return h;
}

/* A session of one hour that begins then; late after ten minutes. */
static const char *
session(struct hall *h, const struct test_user *owner, const char *start)
{
	const char *id = fresh(h);

	sql_run(h->t,
		PATH(h->t,
			"INSERT INTO events (id, kind, title, scheduled_at, ends_at, course_id, owner_id, taken, generation,"
			" late_after_minutes, require_device, require_face, is_deleted, created_at, updated_at)"
			" VALUES ('%s', 'session', 'Lecture', '%.13s:00:00.000000', '%.13s:59:59.000000', '%s', '%s', 0, 0, 10,"
			" FALSE, FALSE, FALSE, '2026-05-01 00:00:00.000000', '2026-05-01 00:00:00.000000')",
			id, start, start, h->course, owner->id.text));
	return id;
}

static const char *
record(struct hall *h, const char *session_id, const struct test_user *u, const char *status, const char *at)
{
	const char *id = fresh(h);

	sql_run(h->t,
		PATH(h->t,
			"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at,"
			" recorded_at, flags) VALUES ('%s', '%s', '%s', '%s', '%s', 'qr', '%s.000000', '%s.000000', %s)",
			id, session_id, u->id.text, status, status, at, at, str_eq(status, "flagged") ? "'geofence'" : "NULL"));
	sql_run(h->t, PATH(h->t,
			      "INSERT INTO verification_logs (attendance_id, created_at, layers) VALUES ('%s', '%s.000000',"
			      " '[{\"layer\":\"geofence\",\"verdict\":\"flag\",\"detail\":\"Far away.\"}]')",
			      id, at));
	return id;
}

static void
enrol(struct hall *h, const struct test_user *u)
{
	sql_run(h->t, PATH(h->t,
			      "INSERT INTO enrollments (course_id, user_id, created_at) VALUES ('%s', '%s',"
			      " '2026-05-02 00:00:00.000000')",
			      h->course, u->id.text));
}

static struct test_reply *
get(struct hall *h, const struct test_user *u, const char *path)
{
	return call(h->t, GET, path, u->bearer, NULL);
}

static struct test_reply *
post(struct hall *h, const struct test_user *u, const char *path, const char *body)
{
	return call(h->t, POST, path, u->bearer, body);
}

static struct test_reply *
queue(struct hall *h, const struct test_user *u, const char *session_id)
{
	return get(h, u, PATH(h->t, "/api/v1/lecturer/sessions/%s/flagged", session_id));
}

static struct test_reply *
confirm(struct hall *h, const struct test_user *u, const char *id)
{
	return post(h, u, PATH(h->t, "/api/v1/lecturer/attendance/%s/confirm", id), "{}");
}

static void
a_flagged_mark_is_confirmed(void **state)
{
	struct hall h = hall_open();
	struct test_user second = test_user(h.t, ROLE_STUDENT);
	const char *s = session(&h, &h.lecturer, "2026-08-01 11"),
		   *early = record(&h, s, &h.student, "flagged", "2026-08-01 11:02:00"),
		   *late = record(&h, s, &second, "flagged", "2026-08-01 11:20:00");
	struct test_reply *got = queue(&h, &h.lecturer, s);

	(void)state;
	expect_status(got, 200);
	expect_int(got, "total", 2);
	expect_text(got, "flagged.0.attendance_id", early);
	expect_text(got, "flagged.0.student.email", h.student.email);
	expect_text(got, "flagged.0.session.id", s);
	expect_text(got, "flagged.0.flags", "geofence");
	expect_text(got, "flagged.0.layers.0.detail", "Far away.");
	expect_int(queue(&h, &h.admin, s), "total", 2);
	expect_error(queue(&h, &h.stranger, s), 404, "not_found");
	expect_error(queue(&h, &h.student, s), 403, "forbidden");

	expect_error(confirm(&h, &h.stranger, early), 404, "not_found");
	expect_error(confirm(&h, &h.student, early), 403, "forbidden");
	got = confirm(&h, &h.lecturer, early);
	expect_status(got, 200);
	expect_text(got, "status", "present");
	expect_text(got, "original_status", "flagged");
	expect_text(got, "reason", "Confirmed.");
	expect_text(got, "marked_by", h.lecturer.id.text);
	expect_error(confirm(&h, &h.lecturer, early), 409, "already_decided");
	got = post(&h, &h.lecturer, PATH(h.t, "/api/v1/lecturer/attendance/%s/confirm", late), "{'reason':'Seen in row 3'}");
	expect_text(got, "status", "late");
	expect_text(got, "reason", "Seen in row 3");
	expect_int(queue(&h, &h.lecturer, s), "total", 0);
	assert_int_equal(count(h.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'review_decided' AND result = 'success'"), 2);
	/* The student reads it, with the reason. */
	got = get(&h, &second, "/api/notifications");
	expect_text(got, "notifications.0.title", "Attendance reviewed");
	expect_text(got, "notifications.0.message", "Your attendance at Lecture is now: late. Reason: Seen in row 3");
	test_close(h.t);
}

static void
a_reviewer_decides_everywhere(void **state)
{
	struct hall h = hall_open();
	const char *s = session(&h, &h.lecturer, "2026-08-01 11"),
		   *id = record(&h, s, &h.student, "flagged", "2026-08-01 11:02:00"),
		   *set = PATH(h.t, "/api/v1/admin/attendance/%s/set-status", id),
		   *verify = PATH(h.t, "/api/v1/admin/attendance/%s/verify", id);
	struct test_reply *got = get(&h, &h.reviewer, "/api/v1/admin/flagged");

	(void)state;
	expect_int(got, "total", 1);
	expect_text(got, "flagged.0.attendance_id", id);
	expect_int(get(&h, &h.admin, "/api/v1/admin/flagged?limit=1"), "total", 1);
	expect_error(get(&h, &h.lecturer, "/api/v1/admin/flagged"), 403, "forbidden");
	expect_error(post(&h, &h.lecturer, set, "{'status':'present','reason':'x'}"), 403, "forbidden");
	expect_error(post(&h, &h.lecturer, verify, "{}"), 403, "forbidden");
	expect_error(post(&h, &h.reviewer, set, "{'status':'present'}"), 422, "validation_error");
	expect_error(post(&h, &h.reviewer, set, "{'status':'flagged','reason':'x'}"), 422, "validation_error");
	expect_error(post(&h, &h.reviewer, PATH(h.t, "/api/v1/admin/attendance/%s/set-status", s),
			     "{'status':'present','reason':'x'}"),
		404, "not_found");

	got = post(&h, &h.reviewer, set, "{'status':'rejected','reason':'Was seen elsewhere'}");
	expect_status(got, 200);
	expect_text(got, "status", "rejected");
	expect_int(get(&h, &h.reviewer, "/api/v1/admin/flagged"), "total", 0);
	expect_error(post(&h, &h.reviewer, verify, "{}"), 409, "already_decided");
	/* Decided anew: the first status stays, and every step is in the trail. */
	got = post(&h, &h.admin, set, "{'status':'excused','reason':'Ill'}");
	expect_text(got, "original_status", "flagged");
	assert_string_equal(
		sql_text(h.t, "SELECT details FROM audit_logs WHERE action = 'review_decided' ORDER BY seq DESC LIMIT 1"),
		PATH(h.t,
			"{\"event_id\":\"%s\",\"user_id\":\"%s\",\"from\":\"rejected\",\"to\":\"excused\",\"original\":"
			"\"flagged\","
			"\"reason\":\"Ill\"}",
			s, h.student.id.text));
	test_close(h.t);
}

static void
a_dispute_waits_for_a_decision(void **state)
{
	struct hall h = hall_open();
	const char *s = session(&h, &h.lecturer, "2026-08-01 11"),
		   *id = record(&h, s, &h.student, "absent", "2026-08-01 11:59:59"),
		   *path = PATH(h.t, "/api/v1/student/attendance/%s/dispute", id);
	struct test_user other = test_user(h.t, ROLE_STUDENT);

	(void)state;
	expect_error(post(&h, &other, path, "{'note':'Mine?'}"), 404, "not_found");
	expect_error(post(&h, &h.student, path, "{'note':'  '}"), 422, "validation_error");
	struct test_reply *got = post(&h, &h.student, path, "{'note':' I sat in row 3 '}");
	expect_status(got, 201);
	expect_text(got, "dispute_note", "I sat in row 3");
	expect_text(got, "status", "absent");
	expect_error(post(&h, &h.student, path, "{'note':'Again'}"), 409, "conflict");
	assert_string_equal(sql_text(h.t, "SELECT dispute_note FROM attendance_records"), "I sat in row 3");
	expect_text(get(&h, &h.lecturer, "/api/notifications"), "notifications.0.title", "Attendance disputed");

	got = queue(&h, &h.lecturer, s);
	expect_int(got, "total", 1);
	expect_text(got, "flagged.0.dispute_note", "I sat in row 3");
	test_advance(h.t, MINUTES_US);
	expect_text(
		post(&h, &h.admin, PATH(h.t, "/api/v1/admin/attendance/%s/verify", id), "{'reason':'No'}"), "status", "absent");
	expect_int(queue(&h, &h.lecturer, s), "total", 0);
	assert_int_equal(
		count(h.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_disputed' AND result = 'success'"), 1);
	test_close(h.t);
}

/* --- two reviewers at once -------------------------------------------------------------------------------------------------- */

enum { REVIEWERS = 16 };
struct racer {
	struct hall *h;
	const char *path; /* made before: the test's arena belongs to one thread */
	pthread_barrier_t *start;
	int status;
};

static void *
racer_run(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	r->status = post(r->h, &r->h->lecturer, r->path, "{}")->status;
	return NULL;
}

static void
one_confirmation_wins(void **state)
{
	struct hall h = hall_open();
	const char *s = session(&h, &h.lecturer, "2026-08-01 11"),
		   *id = record(&h, s, &h.student, "flagged", "2026-08-01 11:02:00"),
		   *path = PATH(h.t, "/api/v1/lecturer/attendance/%s/confirm", id);
	struct racer racers[REVIEWERS];
	pthread_t threads[REVIEWERS];
	pthread_barrier_t start;
	int won = 0;

	(void)state;
	pthread_barrier_init(&start, NULL, REVIEWERS);
	for (int i = 0; i < REVIEWERS; i++) {
		racers[i] = (struct racer){&h, path, &start, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, racer_run, &racers[i]), 0);
	}
	for (int i = 0; i < REVIEWERS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(racers[i].status == 200 || racers[i].status == 409);
		won += racers[i].status == 200;
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(won, 1);
	assert_int_equal(count(h.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'review_decided' AND result = 'success'"), 1);
	test_close(h.t);
}

/* --- figures ---------------------------------------------------------------------------------------------------------------- */

static void
figures_follow_the_records(void **state)
{
	struct hall h = hall_open();
	struct test_user u[4];
	static const char *const statuses[] = {"present", "late", "flagged", "excused"};
	const char *monday = session(&h, &h.lecturer, "2026-07-27 09"), *sunday = session(&h, &h.lecturer, "2026-07-26 09"),
		   *now = session(&h, &h.lecturer, "2026-08-01 12"), *foreign = session(&h, &h.stranger, "2026-07-27 10");

	(void)state;
	for (int i = 0; i < 4; i++) {
		u[i] = test_user(h.t, ROLE_STUDENT);
		enrol(&h, &u[i]);
		record(&h, monday, &u[i], statuses[i], "2026-07-27 09:05:00");
	}
	record(&h, sunday, &u[0], "present", "2026-07-26 09:05:00");
	record(&h, sunday, &u[1], "absent", "2026-07-26 09:59:59");
	record(&h, sunday, &u[2], "rejected", "2026-07-26 09:05:00");
	record(&h, foreign, &h.student, "present", "2026-07-27 10:05:00");
	(void)now;

	struct test_reply *got = get(&h, &h.lecturer, "/api/v1/lecturer/dashboard");
	expect_status(got, 200);
	expect_json(got, "sessions", "{'total':3,'open':1}");
	expect_json(got, "records", "{'present':2,'late':1,'excused':1,'absent':1,'flagged':1,'rejected':1}");
	expect_int(got, "students", 4);
	expect_json(got, "average_attendance_rate", "37.5"); /* 3 of 8 */
	expect_int(get(&h, &h.stranger, "/api/v1/lecturer/dashboard"), "students", 1);
	expect_int(get(&h, &h.admin, "/api/v1/lecturer/dashboard"), "sessions.total", 4);
	expect_error(get(&h, &h.student, "/api/v1/lecturer/dashboard"), 403, "forbidden");

	got = get(&h, &h.lecturer, "/api/v1/lecturer/reports?period=week");
	expect_text(got, "period", "week");
	expect_text(got, "series.0.start", "2026-07-20"); /* the Sunday is of the week before */
	expect_int(got, "series.0.sessions", 1);
	expect_json(got, "series.0.expected", "4");
	expect_json(got, "series.0.attendance_rate", "25");
	expect_text(got, "series.1.start", "2026-07-27");
	expect_int(got, "series.1.sessions", 2);
	expect_json(got, "series.1.attendance_rate", "50");
	expect_text(get(&h, &h.lecturer, "/api/v1/lecturer/reports"), "series.0.start", "2026-07-26");
	got = get(&h, &h.lecturer, "/api/v1/lecturer/reports?period=month&from=2026-07-27");
	expect_text(got, "series.0.start", "2026-07-01");
	expect_int(got, "series.0.sessions", 1);
	expect_error(get(&h, &h.lecturer, "/api/v1/lecturer/reports?period=year"), 422, "validation_error");

	got = get(&h, &h.admin, "/api/v1/admin/analytics");
	expect_status(got, 200);
	expect_int(got, "users.student", 5);
	expect_int(got, "users.lecturer", 2);
	expect_json(got, "flags", "{'device':0,'geofence':1,'network':0,'face':0}");
	expect_text(got, "per_day.1.date", "2026-07-27");
	expect_int(got, "per_day.1.marks", 4);
	expect_int(got, "per_day.1.flagged", 1);
	expect_error(get(&h, &h.reviewer, "/api/v1/admin/analytics"), 403, "forbidden");
	test_close(h.t);
}

/* The job leaves a session alone until its course has a roster. */
static void
a_roster_that_comes_late_is_counted(void **state)
{
	struct hall h = hall_open();
	static const char *const rates[] = {"0", "50"};
	struct test_user u[2];
	const char *s = session(&h, &h.lecturer, "2026-07-27 09");
	int64_t rows;

	(void)state;
	for (int i = 0; i < 5; i++)
		u[i % 2] = test_user(h.t, ROLE_STUDENT);
	record(&h, s, &u[0], "present", "2026-07-27 09:05:00");
	for (int late = 0; late < 2; late++) {
		struct ctx cx;
		if (late) {
			enrol(&h, &u[0]);
			enrol(&h, &u[1]);
		}
		ctx_as(h.t, &cx, NULL);
		must(&cx, db_write_bulk(&cx, (enum err(*)(struct ctx *, void *))event_expected_write, &rows));
		assert_int_equal(rows, late);
		expect_json(get(&h, &h.lecturer, "/api/v1/lecturer/dashboard"), "average_attendance_rate", rates[late]);
	}
	test_close(h.t);
}

/* The same totals when the job has counted the records. */
static void
counted_records_give_the_same_figures(void **state)
{
	struct hall h = hall_open();
	const char *s = session(&h, &h.lecturer, "2026-07-27 09");
	int64_t turns = 1;

	(void)state;
	static const char *const statuses[] = {"present", "late", "excused", "absent", "flagged", "rejected"};
	for (int i = 0; i < 6; i++) {
		struct test_user u = test_user(h.t, ROLE_STUDENT);
		record(&h, s, &u, statuses[i], "2026-07-27 09:05:00");
	}
	for (int counted = 0; counted < 2; counted++) {
		struct test_reply *got = get(&h, &h.lecturer, "/api/v1/lecturer/dashboard");
		expect_json(got, "records", "{'present':1,'late':1,'excused':1,'absent':1,'flagged':1,'rejected':1}");
		test_advance(h.t, HOURS_US);
		test_login(h.t, &h.lecturer);
		struct ctx cx;
		ctx_as(h.t, &cx, &h.admin);
		while (turns)
			must(&cx, db_write(&cx, (enum err(*)(struct ctx *, void *))event_counts_write, &turns));
	}
	assert_int_equal(count(h.t, "SELECT absent FROM event_counts"), 1);
	test_close(h.t);
}

static void
absences_in_a_row(void **state)
{
	struct hall h = hall_open();
	struct test_user never = test_user_named(h.t, ROLE_STUDENT, "never@example.org", "Never Here"),
			 once = test_user_named(h.t, ROLE_STUDENT, "once@example.org", "Once Here"),
			 excused = test_user_named(h.t, ROLE_STUDENT, "excused@example.org", "Ex Cused");
	static const char *const starts[] = {"2026-07-06 09", "2026-07-13 09", "2026-07-20 09", "2026-07-27 09"};
	const char *ids[4], *path = PATH(h.t, "/api/v1/lecturer/courses/%s/absences", h.course);

	(void)state;
	for (int i = 0; i < 4; i++)
		ids[i] = session(&h, &h.lecturer, starts[i]);
	session(&h, &h.lecturer, "2026-08-08 09"); /* to come */
	enrol(&h, &never);
	enrol(&h, &once);
	enrol(&h, &excused);
	record(&h, ids[0], &once, "late", "2026-07-06 09:30:00");
	for (int i = 1; i < 3; i++)
		record(&h, ids[i], &excused, "excused", "2026-07-13 09:30:00");
	record(&h, ids[3], &never, "rejected", "2026-07-27 09:30:00");

	struct test_reply *got = get(&h, &h.lecturer, path);
	expect_status(got, 200);
	expect_json(got, "absences.0",
		PATH(h.t,
			"{'student':{'id':'%s','email':'never@example.org','full_name':'Never Here'},'consecutive':4,"
			"'last_attended_at':null}",
			never.id.text));
	expect_text(got, "absences.1.student.email", "once@example.org");
	expect_int(got, "absences.1.consecutive", 3);
	expect_text(got, "absences.1.last_attended_at", "2026-07-06T09:00:00Z");
	assert_null(reply_at(got, "absences.2"));
	got = get(&h, &h.lecturer, PATH(h.t, "%s?consecutive=2", path));
	expect_text(got, "absences.2.student.email", "excused@example.org");
	expect_int(got, "absences.2.consecutive", 2);
	expect_error(get(&h, &h.stranger, path), 404, "not_found");
	expect_error(get(&h, &h.lecturer, PATH(h.t, "%s?consecutive=0", path)), 422, "validation_error");
	test_close(h.t);
}

static void
the_roll_can_be_taken_away(void **state)
{
	struct hall h = hall_open();
	struct test_user formula = test_user_named(h.t, ROLE_STUDENT, "f@example.org", "=HYPERLINK(\"x\")");
	const char *s = session(&h, &h.lecturer, "2026-07-27 09"), *path = PATH(h.t, "/api/v1/lecturer/sessions/%s/export", s),
		   *id = record(&h, s, &formula, "flagged", "2026-07-27 09:05:00");
	struct test_reply *got = get(&h, &h.lecturer, path);

	(void)state;
	expect_status(got, 200);
	assert_string_equal(
		got->body, PATH(h.t,
				   "attendance_id,full_name,email,status,marked_at,distance_m,flags,reason\r\n%s,"
				   "\"'=HYPERLINK(\"\"x\"\")\",f@example.org,flagged,2026-07-27T09:05:00Z,,geofence,\r\n",
				   id));
	assert_non_null(strstr(reply_head(got, "Content-Disposition"), ".csv\""));
	got = get(&h, &h.lecturer, PATH(h.t, "%s?format=json", path));
	expect_text(got, "records.0.full_name", "=HYPERLINK(\"x\")");
	got = get(&h, &h.lecturer, PATH(h.t, "%s?format=xlsx", path));
	expect_status(got, 200);
	assert_memory_equal(got->body, "PK", 2);
	expect_error(get(&h, &h.stranger, path), 404, "not_found");
	expect_error(get(&h, &h.student, path), 403, "forbidden");
	expect_error(get(&h, &h.lecturer, PATH(h.t, "%s?format=pdf", path)), 422, "validation_error");
	assert_int_equal(count(h.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'export' AND result = 'success'"), 3);
	test_close(h.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flagged_mark_is_confirmed),
		cmocka_unit_test(a_reviewer_decides_everywhere),
		cmocka_unit_test(a_dispute_waits_for_a_decision),
		cmocka_unit_test(one_confirmation_wins),
		cmocka_unit_test(figures_follow_the_records),
		cmocka_unit_test(a_roster_that_comes_late_is_counted),
		cmocka_unit_test(counted_records_give_the_same_figures),
		cmocka_unit_test(absences_in_a_row),
		cmocka_unit_test(the_roll_can_be_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
