/* Marks at sessions, over the API: every way to present a code, every refusal, and what the student is told. */
#include "campus_env.h"
#include "face_stub.h"

#include "attendance/rotation.h"
#include "core/keys.h"

/* --- the good ways ---------------------------------------------------------------------------------------------------------- */

static void
a_mark_tells_what_was_checked(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'late_after_minutes':10");
	struct test_reply *qr = qr_of(&c, id), *r = mark_qr(&c, &c.students[0], qr);

	(void)state;
	expect_status(r, 201);
	expect_text(r, "status", "present");
	expect_text(r, "session.id", id);
	expect_text(r, "session.title", "Algorithms");
	expect_text(r, "session.course.code", "MA101");
	expect_text(r, "session.lecturer.full_name", c.lecturer.full_name);
	expect_text(r, "session.status", "open");
	expect_text(r, "marked_at", "2026-08-01T12:00:00Z");
	static const char *const order[] = {"signature", "expiry", "window", "enrolment", "duplicate", "replay", "claim", "device",
		"geofence", "network", "face"};
	assert_int_equal(json_array_size(reply_at(r, "layers")), 11);
	for (int i = 0; i < 11; i++) {
		expect_text(r, TEXT(&c, "layers.%d.layer", i), order[i]);
		expect_text(r, TEXT(&c, "layers.%d.verdict", i), i < 6 ? "pass" : "skip");
	}
	r = mark_qr(&c, &c.students[0], qr);
	expect_error(r, 409, "duplicate_attendance");
	expect_text(r, "error.details.marked_at", "2026-08-01T12:00:00Z");
	assert_string_equal(verdict_of(reply_at(r, "error.details.layers"), "duplicate"), "reject");
	assert_string_equal(verdict_of(reply_at(r, "error.details.layers"), "signature"), "pass");
	test_close(c.t);
}

static struct test_reply *
send_as(struct campus *c, const struct test_user *u, const char *type, const char *body)
{
	return call_with(c->t, &(const struct test_request){.method = POST,
				       .path = "/api/v1/student/attendance",
				       .bearer = u->bearer,
				       .body = body,
				       .content_type = type});
}

static void
forms_of_the_old_system_are_read(void **state)
{
	struct campus c = campus_open();
	struct test_reply *qr = qr_of(&c, session_id(&c, ""));
	const char *id = text_at(qr, "qr_session_id"), *nonce = text_at(qr, "qr_nonce");

	(void)state;
	expect_status(send_as(&c, &c.students[0], "multipart/form-data; boundary=x",
			      TEXT(&c,
				      "--x\r\nContent-Disposition: form-data; name=\"qr_session_id\"\r\n\r\n%s\r\n"
				      "--x\r\nContent-Disposition: form-data; name=\"qr_nonce\"\r\n\r\n%s\r\n"
				      "--x\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\nwhatever\r\n"
				      "--x\r\nContent-Disposition: form-data; name=\"seat\"\r\n\r\n12\r\n"
				      "--x\r\nContent-Disposition: form-data; name=\"classroom_photo\"; filename=\"a.jpg\"\r\n"
				      "Content-Type: image/jpeg\r\n\r\nnot looked at\r\n--x--\r\n",
				      id, nonce)),
		201);
	expect_status(send_as(&c, &c.students[1], "application/x-www-form-urlencoded",
			      TEXT(&c, "qr_session_id=%s&qr_nonce=%s&latitude=&code=ABCD", id, nonce)),
		201);
	expect_status(mark_payload(&c, &c.students[2], TEXT(&c, "https://muster.example.org/c#%s", text_at(qr, "qr_payload"))), 201);
	test_close(c.t);
}

/* The portal's route and the campus' are one pipeline: each takes the other's codes. */
static void
the_portal_takes_session_codes(void **state)
{
	struct campus c = campus_open();
	struct test_reply *made = session_new(&c, ""), *qr = qr_of(&c, text_at(made, "id")), *r;
	const char *code = text_at(qr, "code"), *label = text_at(made, "code");

	(void)state;
	r = post(&c, &c.students[0], "/api/attendance/mark", TEXT(&c, "{'qr_payload':'%s'}", text_at(qr, "qr_payload")));
	expect_status(r, 201);
	expect_text(r, "event.id", text_at(made, "id"));
	r = post(&c, &c.students[1], "/api/attendance/mark", TEXT(&c, "{'code':'%s','event_id':'%s'}", code, text_at(made, "id")));
	expect_status(r, 201);
	r = mark_json(&c, &c.students[2], TEXT(&c, "{'code':'%s','event_id':'%s'}", code, str_lower(&c.t->arena, label)));
	expect_status(r, 201);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_records WHERE method = 'code'"), 2);

	r = post(&c, &c.admin, "/api/admin/events", "{'title':'Meetup','scheduled_at':'2026-08-01T12:00:00Z','capacity':1}");
	const char *event = text_at(r, "id");
	r = post(&c, &c.admin, "/api/admin/qr-sessions", TEXT(&c, "{'event_id':'%s'}", event));
	const char *payload = text_at(r, "qr_payload");
	r = mark_payload(&c, &c.students[0], payload);
	expect_status(r, 201);
	expect_text(r, "session.title", "Meetup");
	expect_json(r, "session.course", "null");
	expect_error(mark_payload(&c, &c.students[1], payload), 409, "event_full");
	sql_run(c.t, "UPDATE events SET is_deleted = TRUE WHERE capacity = 1");
	expect_error(mark_payload(&c, &c.students[2], payload), 404, "event_not_found");
	test_close(c.t);
}

static const char *
claim_of(struct campus *c, const char *body)
{
	struct test_reply *r = post(c, NULL, "/api/attendance/claim", body);

	expect_status(r, 201);
	return text_at(r, "claim");
}

/* Who scans is told what else to bring, and nothing of the policy. */
static void
a_claim_says_what_the_mark_needs(void **state)
{
	static const struct {
		const char *with, *asks;
	} cases[] = {
		{"", "{'place':false,'device':false,'face':false,'liveness':false}"},
		{",'latitude':47.3,'longitude':8.5,'require_device':true", "{'place':true,'device':true,'face':false,'liveness':false}"},
		{",'latitude':47.3,'longitude':8.5,'require_device':true,'policy':{'geofence':'off','device':'off'}",
			"{'place':false,'device':false,'face':false,'liveness':false}"},
		{",'require_face':true", "{'place':false,'device':false,'face':true,'liveness':false}"},
		{",'require_face':true,'require_liveness':true", "{'place':false,'device':false,'face':true,'liveness':true}"},
		{",'require_face':true,'require_liveness':true,'policy':{'face':'off'}",
			"{'place':false,'device':false,'face':false,'liveness':false}"},
	};
	struct campus c = campus_open_with(TEST_CONF(stub_program(), "FACE_MODELS_DIR=stub", "FACE_TIMEOUT_SECONDS=60"));

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_reply *qr = qr_of(&c, text_at(session_new(&c, cases[i].with), "id"));
		struct test_reply *r =
			post(&c, NULL, "/api/attendance/claim", TEXT(&c, "{'qr_payload':'%s'}", text_at(qr, "qr_payload")));
		expect_text(r, "event.kind", "session");
		expect_json(r, "event.asks", cases[i].asks);
	}
	test_close(c.t);
}

static void
claims_outlive_rotation_and_the_end(void **state)
{
	struct campus c = campus_open();
	struct test_reply *made = session_new(&c, ",'late_after_minutes':1"), *qr = qr_of(&c, text_at(made, "id")), *r;
	const char *id = text_at(made, "id");
	const char *scanned = claim_of(&c, TEXT(&c, "{'qr_payload':'%s'}", text_at(qr, "qr_payload")));
	const char *typed = claim_of(&c, TEXT(&c, "{'code':'%s','event_id':'%s'}", text_at(qr, "code"), text_at(made, "code")));

	(void)state;
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/qr/rotate"), NULL), 200);
	test_advance(c.t, 5 * MINUTES_US);
	expect_status(post(&c, &c.lecturer, session_path(&c, id, "/close"), NULL), 200);
	r = mark_json(&c, &c.students[0], TEXT(&c, "{'claim':'%s'}", scanned));
	expect_status(r, 201);
	expect_text(r, "status", "present"); /* judged at the time of the scan */
	expect_text(r, "marked_at", "2026-08-01T12:00:00Z");
	expect_error(mark_json(&c, &c.students[1], TEXT(&c, "{'claim':'%s'}", scanned)), 400, "nonce_reused");
	expect_status(mark_json(&c, &c.students[1], TEXT(&c, "{'claim':'%s'}", typed)), 201);
	test_close(c.t);
}

static void
regenerating_kills_codes_and_claims(void **state)
{
	struct campus c = campus_open();
	struct test_reply *made = session_new(&c, ""), *qr = qr_of(&c, text_at(made, "id")), *r;
	const char *id = text_at(made, "id"), *old_label = text_at(made, "code");
	const char *claim = claim_of(&c, TEXT(&c, "{'qr_payload':'%s'}", text_at(qr, "qr_payload")));

	(void)state;
	r = post(&c, &c.lecturer, session_path(&c, id, "/regenerate"), NULL);
	expect_status(r, 200);
	assert_string_not_equal(text_at(r, "code"), old_label);
	expect_error(mark_json(&c, &c.students[0], TEXT(&c, "{'claim':'%s'}", claim)), 400, "qr_revoked");
	expect_error(mark_qr(&c, &c.students[0], qr), 400, "qr_revoked");
	expect_error(mark_payload(&c, &c.students[0], text_at(qr, "qr_payload")), 400, "qr_revoked");
	expect_error(mark_json(&c, &c.students[0], TEXT(&c, "{'code':'%s','event_id':'%s'}", text_at(qr, "code"), old_label)), 400,
		"invalid_qr");
	expect_status(mark_qr(&c, &c.students[0], qr_of(&c, id)), 201);
	test_close(c.t);
}

/* --- refusals --------------------------------------------------------------------------------------------------------------- */

static struct test_reply *
mark_parts(struct campus *c, const char *id, const char *nonce)
{
	return mark_json(c, &c->students[0], TEXT(c, "{'qr_session_id':'%s','qr_nonce':'%s'}", id, nonce));
}

static void
what_is_no_code_of_this_session(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ""), *other = session_id(&c, "");
	const char *nonce = text_at(qr_of(&c, id), "qr_nonce"), *dot = strchr(nonce, '.');
	const char *forged = TEXT(&c, "%.*s.%s", (int)(dot - nonce), nonce, "AAAAAAAAAAAAAAAAAAAAAA");
	struct test_reply *r;

	(void)state;
	static const char *const badly_formed[] = {"", "x", "zz.short", "-1.AAAAAAAAAAAAAAAAAAAAAA", "0a.AAAAAAAAAAAAAAAAAAAAAA",
		"A.AAAAAAAAAAAAAAAAAAAAAA", ".AAAAAAAAAAAAAAAAAAAAAA", "zzzzzzzzz.AAAAAAAAAAAAAAAAAAAAAA", "a.AAAAAAAAAAAAAAAAAAAA+A",
		"a.AAAAAAAAAAAAAAAAAAAAAA.b"};
	for (size_t i = 0; i < sizeof(badly_formed) / sizeof(badly_formed[0]); i++)
		expect_error(mark_parts(&c, id, badly_formed[i]), 400, "invalid_qr");
	expect_error(mark_parts(&c, "no-uuid", nonce), 400, "invalid_qr");
	expect_error(mark_parts(&c, NOBODYS_ID, nonce), 400, "invalid_qr");
	expect_error(mark_payload(&c, &c.students[0], "AAAA"), 400, "invalid_qr");
	r = mark_parts(&c, id, forged);
	expect_error(r, 400, "invalid_signature");
	assert_string_equal(verdict_of(reply_at(r, "error.details.layers"), "signature"), "reject");
	expect_error(mark_parts(&c, other, nonce), 400, "invalid_signature"); /* the code of another session */
	expect_error(mark_json(&c, &c.students[0], "{}"), 422, "validation_error");
	expect_error(mark_json(&c, &c.students[0], TEXT(&c, "{'qr_session_id':'%s'}", id)), 422, "validation_error");
	expect_error(mark_json(&c, &c.students[0], "{'code':'ABCDEF','event_id':'no!!'}"), 422, "validation_error");
	expect_error(mark_json(&c, &c.students[0], "{'code':'ABCDEF','event_id':'ZZZZ'}"), 400, "invalid_qr");
	expect_error(mark_qr(&c, &c.lecturer, qr_of(&c, id)), 403, "forbidden");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_records"), 0);
	expect_status(mark_parts(&c, id, nonce), 201); /* every refusal allows another try */
	test_close(c.t);
}

static void
the_edges_of_a_code(void **state)
{
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ",'rotate_seconds':30");
	struct test_reply *qr = qr_of(&c, id);

	(void)state;
	expect_text(qr, "issued_at", "2026-08-01T12:00:00Z");
	expect_text(qr, "rotates_at", "2026-08-01T12:00:30Z");
	expect_text(qr, "expires_at", "2026-08-01T12:00:40Z");
	test_advance(c.t, 40 * SECONDS_US - 1);
	expect_status(mark_qr(&c, &c.students[0], qr), 201);
	test_advance(c.t, 1);
	expect_error(mark_qr(&c, &c.students[1], qr), 400, "token_expired");
	expect_error(mark_payload(&c, &c.students[1], text_at(qr, "qr_payload")), 400, "token_expired");
	expect_error(mark_json(&c, &c.students[1], TEXT(&c, "{'code':'%s','event_id':'%s'}", text_at(qr, "code"), id)), 400,
		"token_expired");
	expect_error(mark_parts(&c, id, TEXT(&c, "1%s", strchr(text_at(qr, "qr_nonce"), '.'))), 400, "invalid_signature");
	test_close(c.t);
}

/* A code that another node's clock made too early. */
static void
codes_of_a_time_to_come(void **state)
{
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ",'rotate_seconds':30");
	const struct rotation r = {id, 0, 30};
	char nonce[QR_NONCE_MAX + 1];
	struct rotation_step at = rotation_at(c.t->wall_us, 30);

	(void)state;
	rotation_nonce(key_current(c.t->srv.keys, KEY_CODE), &r, at.step + 1, nonce);
	expect_error(mark_parts(&c, id, nonce), 400, "invalid_qr");
	test_advance(c.t, 20 * SECONDS_US);
	expect_status(mark_parts(&c, id, nonce), 201); /* 10 s apart are forgiven */
	test_close(c.t);
}

/* A step so far off that it has no time is of no form, whatever its MAC. */
static void
steps_beyond_all_time(void **state)
{
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ",'rotate_seconds':300");
	static const char zs[] = "zzzzzzzz";
	int read = 0;

	(void)state;
	for (size_t n = 1; n < sizeof(zs); n++) {
		int64_t step;
		if (!rotation_nonce_read(TEXT(&c, "%s.AAAAAAAAAAAAAAAAAAAAAA", zs + sizeof(zs) - 1 - n), &step))
			continue;
		const struct rotation_step at = rotation_step(step, ROTATE_SECONDS_MAX);
		assert_true(at.begins_us > 0 && at.begins_us < at.rotates_us && at.rotates_us < at.expires_us);
		read++;
	}
	assert_int_equal(read, 6);
	expect_error(mark_parts(&c, id, "zzzzzzzz.AAAAAAAAAAAAAAAAAAAAAA"), 400, "invalid_qr");
	test_close(c.t);
}

static void
the_window_and_the_roster(void **state)
{
	struct campus c = campus_open();
	const char *future = session_id(&c, ",'starts_at':'2026-08-01T13:00:00Z'"), *id = session_id(&c, ",'late_after_minutes':10");
	const struct test_user outsider = test_user(c.t, ROLE_STUDENT);
	struct test_reply *r;

	(void)state;
	r = mark_qr(&c, &c.students[0], qr_of(&c, future));
	expect_error(r, 409, "event_not_open");
	assert_string_equal(verdict_of(reply_at(r, "error.details.layers"), "window"), "reject");
	expect_error(mark_qr(&c, &outsider, qr_of(&c, id)), 403, "not_enrolled");
	test_advance(c.t, 10 * MINUTES_US);
	expect_text(mark_qr(&c, &c.students[0], qr_of(&c, id)), "status", "present");
	test_advance(c.t, 1);
	expect_text(mark_qr(&c, &c.students[1], qr_of(&c, id)), "status", "late");
	test_advance(c.t, 50 * MINUTES_US - 2);
	struct test_reply *last = qr_of(&c, id);
	test_advance(c.t, 1);
	expect_error(mark_qr(&c, &c.students[2], last), 409, "session_closed");
	test_close(c.t);
}

static void
policies_reject(void **state)
{
	struct campus c = campus_open();
	struct test_reply *qr, *r;
	const char *id;

	(void)state;
	id = session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'policy':{'geofence':'reject'}");
	r = mark_qr(&c, &c.students[0], qr_of(&c, id));
	expect_error(r, 403, "outside_geofence");
	assert_string_equal(verdict_of(reply_at(r, "error.details.layers"), "geofence"), "reject");
	id = session_id(&c, ",'networks':['203.0.113.0/24'],'policy':{'network':'reject'}");
	expect_error(mark_qr(&c, &c.students[0], qr_of(&c, id)), 403, "network_not_allowed");
	id = session_id(&c, ",'require_device':true,'policy':{'device':'reject'}");
	expect_error(mark_qr(&c, &c.students[0], qr_of(&c, id)), 403, "device_mismatch");
	id = session_id(&c, ",'latitude':47.3769,'longitude':8.5417,'networks':['203.0.113.0/24'],'require_device':true");
	r = mark_qr(&c, &c.students[0], qr_of(&c, id));
	expect_status(r, 201);
	expect_text(r, "status", "flagged");

	id = session_id(&c, ",'policy':{'claim':'on'}");
	qr = qr_of(&c, id);
	const char *claim = claim_of(&c, TEXT(&c, "{'qr_payload':'%s'}", text_at(qr, "qr_payload")));
	expect_status(call(c.t, PATCH, session_path(&c, id, ""), c.lecturer.bearer, "{'policy':{'claim':'off'}}"), 200);
	expect_error(mark_json(&c, &c.students[1], TEXT(&c, "{'claim':'%s'}", claim)), 409, "conflict");
	test_close(c.t);
}

static void
a_face_may_be_demanded(void **state)
{
	struct campus c = campus_open_with(TEST_CONF(stub_program(), "FACE_MODELS_DIR=stub", "FACE_TIMEOUT_SECONDS=60"));
	struct test_reply *r = mark_qr(&c, &c.students[0], qr_of(&c, session_id(&c, ",'require_face':true,'policy':{'face':'reject'}")));

	(void)state;
	expect_error(r, 403, "face_mismatch");
	assert_string_equal(verdict_of(reply_at(r, "error.details.layers"), "face"), "reject");
	test_close(c.t);
}

static void
a_claim_needs_its_browser(void **state)
{
	struct campus c = campus_open();
	struct test_reply *qr = qr_of(&c, session_id(&c, ""));
	const char *claim = claim_of(&c,
		TEXT(&c,
			"{'qr_payload':'%s','public_key':{'kty':'EC','crv':'P-256',"
			"'x':'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4','y':'4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM'}}",
			text_at(qr, "qr_payload")));

	(void)state;
	expect_error(mark_json(&c, &c.students[0], TEXT(&c, "{'claim':'%s'}", claim)), 400, "invalid_proof");
	test_close(c.t);
}

static void
a_removed_record_keeps_its_nonce(void **state)
{
	struct campus c = campus_open();
	struct test_reply *qr = qr_of(&c, session_id(&c, ""));

	(void)state;
	expect_status(mark_qr(&c, &c.students[0], qr), 201);
	sql_run(c.t, "DELETE FROM attendance_records");
	expect_error(mark_qr(&c, &c.students[0], qr), 400, "nonce_reused");
	test_close(c.t);
}

static void
a_mark_can_be_repeated_by_its_key(void **state)
{
	struct campus c = campus_open();
	struct test_reply *qr = qr_of(&c, session_id(&c, "")), *r[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		r[i] = call_with(c.t, &(const struct test_request){.method = POST,
					      .path = "/api/v1/student/attendance",
					      .bearer = c.students[0].bearer,
					      .idempotency_key = "k1",
					      .body = TEXT(&c, "{\"qr_payload\":\"%s\"}", text_at(qr, "qr_payload"))});
		expect_status(r[i], 201);
	}
	assert_string_equal(r[0]->body, r[1]->body);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_records"), 1);
	test_close(c.t);
}

int
main(int argc, char **argv)
{
	stub_main(argc > 0 ? argv[0] : "");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_tells_what_was_checked),
		cmocka_unit_test(forms_of_the_old_system_are_read),
		cmocka_unit_test(the_portal_takes_session_codes),
		cmocka_unit_test(a_claim_says_what_the_mark_needs),
		cmocka_unit_test(claims_outlive_rotation_and_the_end),
		cmocka_unit_test(regenerating_kills_codes_and_claims),
		cmocka_unit_test(what_is_no_code_of_this_session),
		cmocka_unit_test(the_edges_of_a_code),
		cmocka_unit_test(codes_of_a_time_to_come),
		cmocka_unit_test(steps_beyond_all_time),
		cmocka_unit_test(the_window_and_the_roster),
		cmocka_unit_test(policies_reject),
		cmocka_unit_test(a_face_may_be_demanded),
		cmocka_unit_test(a_claim_needs_its_browser),
		cmocka_unit_test(a_removed_record_keeps_its_nonce),
		cmocka_unit_test(a_mark_can_be_repeated_by_its_key),
	};

	return cmocka_run_group_tests_name("api_campus_mark", tests, NULL, NULL);
}
