/*
 * What went wrong in other attendance systems, one test a point, so that it is found by its name.  Points that another program of
 * this directory proves as a whole are listed with the test that does it.
 *
 *	one record for one student, whatever comes at once       api_campus_hall: one_student_from_many_threads
 *	the same request twice has one answer                    api_campus_mark: a_mark_can_be_repeated_by_its_key
 *	a room shares a code, and replay is a student's own      attendance_mark: a_room_shares_one_code
 *	any number of screens, nothing stored                    api_campus_session: all_screens_agree
 *	a session to come, one that is over                      api_campus_mark: the_window_and_the_roster, codes_of_a_time_to_come
 *	the code of another session, a forged one                api_campus_mark: what_is_no_code_of_this_session
 *	coordinates that are none, NaN, infinite                 api_campus_layers: positions_are_checked
 *	cells that a spreadsheet would run                       attendance_record: csv_is_safe_for_spreadsheets
 *	a list of 1,500                                          api_campus_hall: a_hall_marks_one_session
 *	absences that were corrected are none                    here, and api_campus_review: absences_in_a_row
 */
#include "campus_env.h"

enum { SHARING = 300 };

static struct test_reply *
mark_with(struct campus *c, const struct test_user *u, const struct test_reply *qr, const char *more)
{
	return mark_json(c, u,
		TEXT(c, "{'qr_session_id':'%s','qr_nonce':'%s'%s}", text_at(qr, "qr_session_id"), text_at(qr, "qr_nonce"), more));
}

/* --- codes and clocks ------------------------------------------------------------------------------------------------------ */

/* Two screens and a reload, over several codes: whichever somebody scanned, and the one before it for its last seconds, marks. */
static void
two_projectors_and_a_refreshed_tab_show_codes_that_mark(void **state)
{
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ",'rotate_seconds':30");
	struct test_reply *before = qr_of(&c, id);

	(void)state;
	for (int step = 0; step < 4; step++) {
		struct test_user on_one = test_user(c.t, ROLE_STUDENT), on_two = test_user(c.t, ROLE_STUDENT), slow = test_user(c.t, ROLE_STUDENT);
		struct test_reply *one = qr_of(&c, id), *two = qr_of(&c, id);
		qr_of(&c, id); /* the tab is reloaded */
		expect_text(mark_qr(&c, &on_two, two), "status", "present");
		expect_text(mark_qr(&c, &on_one, one), "status", "present");
		expect_text(mark_qr(&c, &slow, before), "status", "present");
		before = one;
		test_advance(c.t, 30 * SECONDS_US);
	}
	test_close(c.t);
}

/* What a lecturer's browser believes of the time is told by headers and changes nothing. */
static void
a_lecturers_wrong_clock_refuses_nobody(void **state)
{
	static const char *const dates[] = {"Sat, 01 Aug 2026 11:55:00 GMT", "Sat, 01 Aug 2026 12:05:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"};
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ""), *path = session_path(&c, id, "/qr");

	(void)state;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		const struct header clock[] = {{"Date", dates[i]}, {"If-Modified-Since", dates[i]}};
		struct test_user u = test_user(c.t, ROLE_STUDENT);
		struct test_reply *qr = call_with(c.t,
			&(const struct test_request){.method = GET, .path = path, .bearer = c.lecturer.bearer, .headers = clock, .n_headers = 2});
		expect_status(qr, 200);
		assert_string_equal(qr->body, qr_of(&c, id)->body);
		expect_text(mark_qr(&c, &u, qr), "status", "present");
	}
	test_close(c.t);
}

/* A student's clock is evidence at most: no member takes it, and a form's is not read. */
static void
a_students_clock_is_never_the_record(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'late_after_minutes':10");

	(void)state;
	test_advance(c.t, 20 * MINUTES_US);
	struct test_reply *qr = qr_of(&c, id);
	expect_error(mark_with(&c, &c.students[0], qr, ",'marked_at':'2026-08-01T12:00:00Z'"), 422, "validation_error");
	const struct header early[] = {{"Date", "Sat, 01 Aug 2026 12:00:00 GMT"}};
	const char *form = TEXT(&c,
		"--x\r\nContent-Disposition: form-data; name=\"qr_payload\"\r\n\r\n%s\r\n"
		"--x\r\nContent-Disposition: form-data; name=\"marked_at\"\r\n\r\n2026-08-01T12:00:00Z\r\n--x--\r\n",
		text_at(qr, "qr_payload"));
	struct test_reply *r = call_with(c.t, &(const struct test_request){.method = POST, .path = "/api/v1/student/attendance",
		.bearer = c.students[0].bearer, .content_type = "multipart/form-data; boundary=x", .body = form, .headers = early, .n_headers = 1});
	expect_status(r, 201);
	expect_text(r, "marked_at", "2026-08-01T12:20:00Z");
	expect_text(r, "status", "late");
	test_close(c.t);
}

/* --- honest students ------------------------------------------------------------------------------------------------------- */

/* With the limits on: one address for the hall and one model of phone lock out, slow down and flag nobody. */
static void
three_hundred_behind_one_address_with_one_phone_model_all_mark(void **state)
{
	static const struct header model[] = {{"User-Agent", "Mozilla/5.0 (Linux; Android 14; SM-A546B)"}};
	struct campus c = campus_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true", "ACCESS_TOKEN_EXPIRE_MINUTES=120"));
	const char *id = open_session_id(&c, ",'require_device':true");
	struct test_reply *qr = qr_of(&c, id);

	(void)state;
	for (int i = 0; i < SHARING; i++) {
		struct test_user u = test_user(c.t, ROLE_STUDENT);
		struct test_reply *r = call_with(c.t,
			&(const struct test_request){.method = POST, .path = "/api/v1/student/attendance", .bearer = u.bearer,
				.body = TEXT(&c, "{\"qr_session_id\":\"%s\",\"qr_nonce\":\"%s\",\"imei\":\"phone %d\"}", id, text_at(qr, "qr_nonce"), i),
				.ip = "198.51.100.7", .headers = model, .n_headers = 1});
		expect_status(r, 201);
		expect_text(r, "status", "present");
	}
	expect_int(get(&c, &c.lecturer, session_path(&c, id, "")), "counts.present", SHARING);
	test_close(c.t);
}

/* A position of (0,0) or none is missing, and one that is hardly exact opens no fence: flagged, never refused. */
static void
zero_missing_and_vague_positions_are_flagged(void **state)
{
	static const char *const vague[] = {",'latitude':0,'longitude':0", "", ",'latitude':47.3769", ",'longitude':8.5417",
		",'latitude':47.40,'longitude':8.5417,'accuracy':999999"};
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'geofence_radius_m':100");
	struct test_reply *qr = qr_of(&c, id);

	(void)state;
	for (size_t i = 0; i < sizeof(vague) / sizeof(vague[0]); i++) {
		struct test_user u = test_user(c.t, ROLE_STUDENT);
		struct test_reply *r = mark_with(&c, &u, qr, vague[i]);
		expect_status(r, 201);
		expect_text(r, "status", "flagged");
		assert_string_equal(verdict_of(reply_at(r, "layers"), "geofence"), "flag");
	}
	test_close(c.t);
}

/* --- what a person decided stands ------------------------------------------------------------------------------------------ */

static void
marking_again_after_a_review_changes_nothing(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'geofence_radius_m':100");
	struct test_reply *mark = mark_qr(&c, &c.students[0], qr_of(&c, id)), *r;
	const char *record = text_at(mark, "attendance_id");

	(void)state;
	expect_text(mark, "status", "flagged");
	r = post(&c, &c.admin, TEXT(&c, "/api/v1/admin/attendance/%s/set-status", record), "{'status':'rejected','reason':'Seen elsewhere.'}");
	expect_status(r, 200);
	test_advance(c.t, 2 * MINUTES_US);
	r = mark_with(&c, &c.students[0], qr_of(&c, id), ",'latitude':47.3769,'longitude':8.5417,'accuracy':5");
	expect_error(r, 409, "duplicate_attendance");
	expect_text(r, "error.details.attendance_id", record);
	r = get(&c, &c.lecturer, session_path(&c, id, "/attendance"));
	expect_text(r, "records.0.status", "rejected");
	expect_text(r, "records.0.reason", "Seen elsewhere.");
	expect_text(r, "records.0.marked_by", c.admin.id.text);
	assert_string_equal(sql_text(c.t, "SELECT original_status FROM attendance_records"), "flagged");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'review_decided' AND details LIKE '%Seen elsewhere.%'"), 1);
	test_close(c.t);
}

/* Every change stays readable: to the staff with who, to the student with the same reasons, to nobody else. */
static void
what_became_of_a_record_is_told(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'geofence_radius_m':100");
	const char *record = text_at(
			   mark_with(&c, &c.students[0], qr_of(&c, id), ",'latitude':47.4,'longitude':8.5417"), "attendance_id"),
		   *path = TEXT(&c, "/api/v1/attendance/%s/history", record);
	struct test_reply *r = get(&c, &c.students[0], path);

	(void)state;
	expect_json(r, "changes", "[]");
	expect_text(r, "original_status", "flagged");
	r = post(&c, &c.admin, TEXT(&c, "/api/v1/admin/attendance/%s/set-status", record), "{'status':'rejected','reason':'Not seen.'}");
	expect_text(r, "changes.0.from", "flagged");
	test_advance(c.t, MINUTES_US);
	r = call(c.t, PATCH, session_path(&c, id, TEXT(&c, "/attendance/%s", record)), c.lecturer.bearer,
		"{'status':'late','reason':'Came at ten.'}");
	expect_status(r, 200);

	const struct test_user *staff[] = {&c.lecturer, &c.admin};
	for (int i = 0; i < 2; i++)
		expect_json(get(&c, staff[i], path), "changes",
			TEXT(&c,
				"[{'at':'2026-08-01T12:00:00Z','from':'flagged','to':'rejected','reason':'Not seen.','by_role':'admin',"
				"'by':{'id':'%s','full_name':'%s'}},{'at':'2026-08-01T12:01:00Z','from':'rejected','to':'late',"
				"'reason':'Came at ten.','by_role':'lecturer','by':{'id':'%s','full_name':'%s'}}]",
				c.admin.id.text, c.admin.full_name, c.lecturer.id.text, c.lecturer.full_name));
	r = get(&c, &c.lecturer, path);
	expect_text(r, "student.email", c.students[0].email);
	expect_text(r, "session.kind", "session");
	expect_text(r, "method", "qr");
	expect_text(r, "marked_by", c.lecturer.id.text);
	expect_json(r, "has_selfie", "false");
	assert_non_null(strstr(r->body, "\"score\":"));
	r = get(&c, &c.students[0], path);
	expect_json(r, "marked_by", "null");
	assert_non_null(strstr(r->body, "\"layer\":\"geofence\",\"verdict\":\"flag\",\"detail\":\""));
	assert_null(strstr(r->body, "\"score\":"));
	expect_json(r, "changes.0",
		"{'at':'2026-08-01T12:00:00Z','from':'flagged','to':'rejected','reason':'Not seen.','by_role':'admin','by':null}");
	expect_text(r, "changes.1.reason", "Came at ten.");
	expect_json(r, "changes.1.by", "null");
	expect_text(r, "status", "late");
	expect_error(get(&c, &c.students[1], path), 404, "not_found");
	expect_error(get(&c, &c.stranger, path), 404, "not_found");
	test_close(c.t);
}

/* Who wrote a record by hand stays to be seen when somebody else has changed it. */
static void
who_made_a_record_by_hand_is_told(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, "");
	struct test_reply *r = post(&c, &c.lecturer, session_path(&c, id, "/attendance"),
		TEXT(&c, "{'user_id':'%s','status':'excused','reason':'Ill.'}", c.students[0].id.text));
	const char *record = text_at(r, "attendance_id");

	(void)state;
	r = post(&c, &c.admin, TEXT(&c, "/api/v1/admin/attendance/%s/set-status", record), "{'status':'absent','reason':'No note.'}");
	expect_text(r, "changes.0.from", "none");
	expect_text(r, "changes.0.to", "excused");
	expect_text(r, "changes.0.reason", "Ill.");
	expect_text(r, "changes.0.by.id", c.lecturer.id.text);
	expect_text(r, "changes.1.by.id", c.admin.id.text);
	expect_json(get(&c, &c.students[0], TEXT(&c, "/api/v1/attendance/%s/history", record)), "layers", "null");
	test_close(c.t);
}

/* One device for two: the first record's change is a rule's, and names nobody. */
static void
what_a_rule_changed_names_nobody(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, "");
	struct test_reply *qr = qr_of(&c, id);
	const char *first = text_at(mark_with(&c, &c.students[0], qr, ",'imei':'one phone'"), "attendance_id");

	(void)state;
	expect_text(mark_with(&c, &c.students[1], qr, ",'imei':'one phone'"), "status", "flagged");
	struct test_reply *r = get(&c, &c.students[0], TEXT(&c, "/api/v1/attendance/%s/history", first));
	expect_json(r, "changes",
		"[{'at':'2026-08-01T12:00:00Z','from':'present','to':'flagged','reason':'Another account marked with the same device.',"
		"'by_role':null,'by':null}]");
	assert_null(strstr(r->body, c.students[1].id.text));
	test_close(c.t);
}

/* Who scanned in time and comes back after the close replaces the absence, and that is told too. */
static void
an_absence_replaced_by_a_claim_is_told(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, "");
	const char *claim = text_at(post(&c, NULL, "/api/attendance/claim", TEXT(&c, "{'qr_payload':'%s'}", text_at(qr_of(&c, id), "qr_payload"))),
		"claim");

	(void)state;
	test_advance(c.t, SECONDS_US);
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/close"), NULL), 200);
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/rest-absent"), NULL), 200);
	test_advance(c.t, MINUTES_US);
	struct test_reply *r = mark_json(&c, &c.students[0], TEXT(&c, "{'claim':'%s'}", claim));
	expect_text(r, "status", "present");
	r = get(&c, &c.lecturer, TEXT(&c, "/api/v1/attendance/%s/history", text_at(r, "attendance_id")));
	expect_text(r, "original_status", "absent");
	expect_text(r, "changes.0.from", "absent");
	expect_text(r, "changes.0.to", "present");
	expect_text(r, "changes.0.by.id", c.students[0].id.text);
	test_close(c.t);
}

/* One decision about many: each told and written down, all of them or none. */
static void
several_records_are_decided_at_once(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'geofence_radius_m':100"), *ids[CLASS_STUDENTS];
	const char *own = "/api/v1/lecturer/attendance/decide", *all = "/api/v1/admin/attendance/decide";
	struct test_reply *qr = qr_of(&c, id), *r;

	(void)state;
	for (int i = 0; i < CLASS_STUDENTS; i++)
		ids[i] = text_at(mark_qr(&c, &c.students[i], qr), "attendance_id");
	const char *three = TEXT(&c, "{'attendance_ids':['%s','%s','%s'],'reason':'All were here.'}", ids[2], ids[0], ids[1]);
	expect_error(post(&c, &c.stranger, own, three), 404, "not_found");
	expect_error(post(&c, &c.lecturer, own, TEXT(&c, "{'attendance_ids':['%s','%s'],'reason':'x'}", ids[0], NOBODYS_ID)), 404, "not_found");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_changes"), 0);

	static const char *const wrong[] = {"{'attendance_ids':[],'reason':'x'}", "{'attendance_ids':['x'],'reason':'x'}", "{'reason':'x'}",
		"{'attendance_ids':['" NOBODYS_ID "','" NOBODYS_ID "'],'reason':'x'}", "{'attendance_ids':['" NOBODYS_ID "']}"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		expect_error(post(&c, &c.lecturer, own, wrong[i]), 422, "validation_error");
	expect_error(post(&c, &c.lecturer, own, TEXT(&c, "{'attendance_ids':['%s'],'status':'rejected','reason':'x'}", ids[0])), 422,
		"validation_error");

	r = post(&c, &c.lecturer, own, three);
	expect_status(r, 200);
	for (int i = 0; i < CLASS_STUDENTS; i++) {
		expect_text(r, TEXT(&c, "records.%d.status", i), "present");
		expect_text(r, TEXT(&c, "records.%d.changes.0.reason", i), "All were here.");
	}
	expect_text(r, "records.0.attendance_id", ids[2]);
	expect_error(post(&c, &c.lecturer, own, three), 409, "already_decided");
	expect_error(post(&c, &c.admin, all, three), 409, "already_decided");
	r = post(&c, &c.admin, all, TEXT(&c, "{'attendance_ids':['%s','%s'],'status':'rejected','reason':'A relay.'}", ids[0], ids[1]));
	expect_text(r, "records.1.status", "rejected");
	expect_text(r, "records.1.changes.1.reason", "A relay.");
	expect_error(post(&c, &c.admin, all, TEXT(&c, "{'attendance_ids':['%s'],'reason':'x'}", NOBODYS_ID)), 404, "not_found");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_changes"), CLASS_STUDENTS + 2);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'review_decided' AND result = 'success'"), CLASS_STUDENTS + 2);
	for (int i = 0; i < CLASS_STUDENTS; i++)
		assert_int_equal(count(c.t, TEXT(&c, "SELECT COUNT(*) FROM notifications WHERE user_id = '%s' AND type = 'decision'", c.students[i].id.text)),
			i < 2 ? 2 : 1);
	test_close(c.t);
}

/* Who is said to be missing is asked when it is asked, of the records as they stand. */
static void
an_absence_that_was_corrected_warns_nobody(void **state)
{
	struct campus c = campus_open();
	const char *absences = TEXT(&c, "/api/v1/lecturer/courses/%s/absences?consecutive=1", c.course);

	(void)state;
	const char *id = session_id(&c, "");
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/close"), NULL), 200);
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/rest-absent"), NULL), 200);
	test_advance(c.t, 61 * MINUTES_US);
	struct test_reply *r = get(&c, &c.lecturer, absences);
	assert_int_equal(json_array_size(reply_at(r, "absences")), CLASS_STUDENTS);

	r = get(&c, &c.lecturer, session_path(&c, id, "/attendance"));
	const char *record = text_at(r, "records.0.attendance_id"), *who = text_at(r, "records.0.user.id");
	expect_status(call(c.t, PATCH, session_path(&c, id, TEXT(&c, "/attendance/%s", record)), c.lecturer.bearer,
			      "{'status':'present','reason':'Was there.'}"),
		200);
	r = get(&c, &c.lecturer, absences);
	assert_int_equal(json_array_size(reply_at(r, "absences")), CLASS_STUDENTS - 1);
	assert_null(strstr(r->body, who));
	test_close(c.t);
}

/* --- leaks ----------------------------------------------------------------------------------------------------------------- */

static const char *
filled(struct campus *c, const char *path, const char *session, const char *record)
{
	struct buf b;

	buf_init(&b, &c->t->arena, 0);
	for (const char *p = path; *p; p++) {
		if (*p != '{') {
			buf_chr(&b, *p);
			continue;
		}
		buf_str(&b, strstr(path, "/attendance/{") && p[-1] == '/' && strncmp(p - 11, "attendance/", 11) == 0 ? record : session);
		p = strchr(p, '}');
	}
	return buf_cstr(&b);
}

struct secrets {
	const char *text[6];
};

static void
scan(const struct secrets *s, const char *what, const char *text, size_t n)
{
	for (size_t i = 0; i < sizeof(s->text) / sizeof(s->text[0]); i++)
		if (memmem(text, n, s->text[i], strlen(s->text[i])))
			fail_msg("%s tells %s: %.*s", what, s->text[i], (int)n, text);
}

/* One request, and every byte of its answer. */
static void
ask_and_scan(struct campus *c, const struct secrets *s, const struct route *row, const char *path, const char *bearer, const char *body)
{
	struct test_reply *r = call(c->t, row->method, path, bearer, body);

	if (strcmp(row->path, "/api/v1/student/attendance") == 0 && row->method == POST && r->status == 201)
		fail_msg("an empty body marked");
	scan(s, path, r->body, r->body_n);
	for (size_t h = 0; h < r->x.reply.n_headers; h++)
		scan(s, path, r->x.reply.headers[h].value, strlen(r->x.reply.headers[h].value));
}

/* Every route of every surface, by a student of the course and by nobody: the code on the screen, the next one, and the secret. */
static void
no_reply_that_a_student_can_get_has_a_code(void **state)
{
	struct campus c = campus_open_with(TEST_CONF("QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes"));
	const char *id = session_id(&c, ",'rotate_seconds':300"), *record = text_at(mark_qr(&c, &c.students[0], qr_of(&c, id)), "attendance_id");
	struct test_reply *qr = qr_of(&c, id);
	struct secrets s = {{text_at(qr, "qr_nonce"), text_at(qr, "qr_payload"), text_at(qr, "code"), "0123456789abcdef-codes"}};
	size_t asked = 0;

	(void)state;
	test_advance(c.t, 300 * SECONDS_US);
	struct test_reply *next = qr_of(&c, id);
	s.text[4] = text_at(next, "qr_nonce");
	s.text[5] = text_at(next, "code");
	/* Answers to a code repeat none: a mark, a duplicate, a stranger, a wrong one, a claim. */
	struct test_reply *said[] = {mark_qr(&c, &c.students[1], next), mark_qr(&c, &c.students[1], next), mark_payload(&c, &c.students[1], text_at(next, "qr_payload")),
		mark_qr(&c, &c.stranger, next), mark_json(&c, &c.students[2], TEXT(&c, "{'code':'%s','event_id':'%s'}", s.text[2], id)),
		post(&c, NULL, "/api/attendance/claim", TEXT(&c, "{'code':'%s','event_id':'%s'}", text_at(next, "code"), id))};
	expect_status(said[0], 201);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		scan(&s, "an answer to a code", said[i]->body, said[i]->body_n);

	for (size_t t = 0; t < route_table_count; t++)
		for (size_t i = 0; i < route_tables[t]->count; i++) {
			const struct route *row = &route_tables[t]->rows[i];
			const char *path = filled(&c, row->path, id, record), *body = row->body ? "{}" : NULL;
			struct test_user gone = test_user(c.t, ROLE_STUDENT); /* some of these end the session, so each has a new one */
			sql_run(c.t, TEXT(&c, "UPDATE attendance_records SET user_id = '%s' WHERE id = '%s'", gone.id.text, record));
			sql_run(c.t, TEXT(&c,
					     "INSERT INTO enrollments (course_id, user_id, created_at) VALUES ('%s', '%s',"
					     " '2026-08-01 00:00:00.000000')",
					     c.course, gone.id.text));
			ask_and_scan(&c, &s, row, path, gone.bearer, body);
			ask_and_scan(&c, &s, row, path, NULL, body);
			asked += 2;
		}
	assert_true(asked >= 200);
	for (size_t i = 0; i < sizeof(s.text) / sizeof(s.text[0]); i++)
		assert_int_equal(count(c.t, TEXT(&c, "SELECT COUNT(*) FROM audit_logs WHERE details LIKE '%%%s%%'", s.text[i])), 0);
	test_close(c.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_projectors_and_a_refreshed_tab_show_codes_that_mark),
		cmocka_unit_test(a_lecturers_wrong_clock_refuses_nobody),
		cmocka_unit_test(a_students_clock_is_never_the_record),
		cmocka_unit_test(three_hundred_behind_one_address_with_one_phone_model_all_mark),
		cmocka_unit_test(zero_missing_and_vague_positions_are_flagged),
		cmocka_unit_test(marking_again_after_a_review_changes_nothing),
		cmocka_unit_test(what_became_of_a_record_is_told),
		cmocka_unit_test(who_made_a_record_by_hand_is_told),
		cmocka_unit_test(what_a_rule_changed_names_nobody),
		cmocka_unit_test(an_absence_replaced_by_a_claim_is_told),
		cmocka_unit_test(several_records_are_decided_at_once),
		cmocka_unit_test(an_absence_that_was_corrected_warns_nobody),
		cmocka_unit_test(no_reply_that_a_student_can_get_has_a_code),
	};

	return cmocka_run_group_tests_name("campus: what went wrong elsewhere", tests, NULL, NULL);
}
