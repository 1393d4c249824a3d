/*
 * Enrolling, comparing and deleting a face over the dispatcher, with a helper that sees what the test says (face_stub.h), and once with the
 * real one where it and the models are.
 */
#include "support.h"

#include "face_stub.h"
#include "run_job.h"
#include "net/face.h"
#include "net/storage.h"

#define ENROL "/api/v1/student/enroll-face"
#define VERIFY "/api/v1/student/verify-face"
#define FACE "/api/v1/student/face"
#define PATIENCE "FACE_TIMEOUT_SECONDS=60"
#define TEXT(t, ...) arena_printf(&(t)->arena, __VA_ARGS__)

static struct test *
open_stub(const char *more)
{
	return test_open(TEST_CONF(stub_program(), "FACE_MODELS_DIR=stub", PATIENCE, more));
}

/* Pictures that show these, up to NULL. */
static struct test_reply *
enrol(struct test *t, const struct test_user *u, const char *const *sees)
{
	struct form f = {0};

	form_text(&f, &t->arena, "consent", "true");
	form_text(&f, &t->arena, "lecture", "an unknown part");
	for (; *sees; sees++)
		form_file(&f, &t->arena, "file", stub_picture(&t->arena, *sees));
	return send_form(t, ENROL, u, &f);
}
#define SEES(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct test_reply *
verify(struct test *t, const struct test_user *u, const char *sees)
{
	struct form f = {0};

	form_file(&f, &t->arena, "file", stub_picture(&t->arena, sees));
	return send_form(t, VERIFY, u, &f);
}

static int64_t
references(struct test *t, const struct test_user *u)
{
	return count(t, TEXT(t, "SELECT COUNT(*) FROM face_references WHERE user_id = '%s'", u->id.text));
}

static const char *
last_audit(struct test *t)
{
	return sql_text(t, "SELECT action || ' ' || result || ' ' || details FROM audit_logs ORDER BY seq DESC LIMIT 1");
}

static void
an_enrolled_face_is_recognised(void **state)
{
	static const struct {
		const char *sees, *verdict;
		bool verified, scored;
	} cases[] = {
		{"face 10", "match", true, true},
		{"face 60", "match", true, true}, /* the second picture's is nearer */
		{"face 94", "review", false, true},
		{"face 120", "no_match", false, true},
		{"face 190", "no_match", false, true},
		{"verdict 5", "no_face", false, false},
		{"verdict 6", "several_faces", false, false},
		{"verdict 8", "blurred", false, false},
		{"verdict 9", "off_pose", false, false},
	};
	struct test *t = open_stub(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = enrol(t, &u, SEES("face 0", "face 30"));

	(void)state;
	expect_status(r, 201);
	expect_json(r, "", "{'enrolled':true,'references':2,'consent_at':'2026-08-01T12:00:00Z'}");
	expect_json(call(t, GET, FACE, u.bearer, NULL), "",
		"{'available':true,'enrolled':true,'references':2,'consent_at':'2026-08-01T12:00:00Z'}");
	assert_string_equal(last_audit(t), "face_enrolled success {\"references\":2,\"consent\":\"yes\"}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r = verify(t, &u, cases[i].sees);
		expect_status(r, 200);
		expect_text(r, "verdict", cases[i].verdict);
		assert_int_equal(json_is_true(reply_at(r, "verified")), cases[i].verified);
		assert_int_equal(json_is_number(reply_at(r, "score")), cases[i].scored);
		assert_true(json_number_value(reply_at(r, "threshold")) == 0.5);
		assert_string_equal(last_audit(t), TEXT(t, "face_verified %s {\"verdict\":\"%s\"}", cases[i].verified ? "success" : "failure",
							   cases[i].verdict));
	}
	test_close(t);
}

/* What is stored is sealed, and for its account: moved to another one it is no template at all. */
static void
templates_are_sealed_for_their_account(void **state)
{
	struct test *t = open_stub(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT), thief = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(enrol(t, &u, SEES("face 0")), 201);
	const char *stored = sql_text(t, "SELECT template FROM face_references");
	assert_true(str_starts(stored, "gAAAA"));
	assert_true(strlen(stored) > 700);
	assert_null(strstr(stored, "AACAPw")); /* 1.0f, plain */
	sql_run(t, TEXT(t, "UPDATE face_references SET user_id = '%s'", thief.id.text));
	expect_error(verify(t, &thief, "face 0"), 409, "conflict");
	expect_error(verify(t, &u, "face 0"), 409, "conflict");
	test_close(t);
}

static void
templates_of_another_model_are_none(void **state)
{
	struct test *t = open_stub(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(enrol(t, &u, SEES("face 0")), 201);
	sql_run(t, "UPDATE face_references SET model_sha256 = 'b'");
	expect_error(verify(t, &u, "face 0"), 409, "conflict");
	expect_status(enrol(t, &u, SEES("face 90")), 201);
	assert_int_equal(references(t, &u), 1);
	test_close(t);
}

static void
another_face_takes_a_deletion_first(void **state)
{
	struct test *t = open_stub(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(enrol(t, &other, SEES("face 0")), 201);
	expect_status(enrol(t, &u, SEES("face 0", "face 10", "face 20")), 201);
	expect_status(enrol(t, &u, SEES("face 20")), 201);
	assert_int_equal(references(t, &u), 1);
	expect_error(enrol(t, &u, SEES("face 100")), 403, "face_mismatch");
	assert_string_equal(last_audit(t), "face_enrolled failure {\"reason\":\"face_mismatch\"}");
	assert_int_equal(references(t, &u), 1);
	expect_status(call(t, DELETE, FACE, u.bearer, NULL), 204);
	assert_int_equal(references(t, &u), 0);
	assert_string_equal(last_audit(t), "face_deleted success {\"references\":1,\"selfies\":0}");
	assert_int_equal(references(t, &other), 1);
	expect_status(enrol(t, &u, SEES("face 100")), 201);
	expect_status(call(t, DELETE, FACE, u.bearer, NULL), 204);
	int64_t rows = count(t, "SELECT COUNT(*) FROM audit_logs");
	expect_status(call(t, DELETE, FACE, u.bearer, NULL), 204); /* nothing to do, nothing to tell */
	expect_json(call(t, GET, FACE, u.bearer, NULL), "", "{'available':true,'enrolled':false,'references':0,'consent_at':null}");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs"), rows);
	test_close(t);
}

static void
pictures_that_will_not_do_are_named(void **state)
{
	struct test *t = open_stub("UPLOAD_MAX_IMAGE_MB=1");
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = enrol(t, &u, SEES("face 0", "verdict 8", "verdict 5"));
	struct form four = {0}, none = {0}, text = {0}, png = {0}, cut = {0}, large = {0};
	char *much = calloc(1, (1 << 20) + 1);

	(void)state;
	expect_error(r, 422, "validation_error");
	expect_json(r, "error.details.fields",
		"[{'field':'file.1','message':'the face is blurred; hold still'},{'field':'file.2','message':'no face is in the picture'}]");
	r = enrol(t, &u, SEES("face 0", "face 90"));
	expect_error(r, 422, "validation_error");
	expect_json(r, "error.details.fields", "[{'field':'file.1','message':'shows another face than the first picture'}]");
	r = enrol(t, &u, SEES("verdict 3"));
	expect_json(r, "error.details.fields", "[{'field':'file','message':'the picture cannot be read'}]");
	assert_int_equal(references(t, &u), 0);

	for (int i = 0; i < 4; i++)
		form_file(&four, &t->arena, "file", grey_jpeg(&t->arena));
	expect_error(send_form(t, ENROL, &u, &four), 422, "validation_error");
	form_text(&none, &t->arena, "consent", "true");
	r = send_form(t, ENROL, &u, &none);
	expect_json(r, "error.details.fields", "[{'field':'file','message':'1 to 3 files of multipart/form-data'}]");
	expect_error(call(t, POST, VERIFY, u.bearer, "{}"), 422, "validation_error");
	form_file(&text, &t->arena, "file", SPAN_LIT("#!/bin/sh\nname.jpg"));
	expect_error(send_form(t, VERIFY, &u, &text), 415, "unsupported_media_type");
	form_file(&png, &t->arena, "file", SPAN_LIT("\x89PNG\r\n\x1a\n"));
	expect_error(send_form(t, VERIFY, &u, &png), 422, "validation_error");
	struct span jpeg = grey_jpeg(&t->arena);
	form_file(&cut, &t->arena, "file", (struct span){jpeg.p, 60});
	expect_error(send_form(t, VERIFY, &u, &cut), 422, "validation_error");
	assert_non_null(much);
	form_file(&large, &t->arena, "file", (struct span){(const uint8_t *)much, (1 << 20) + 1});
	expect_error(send_form(t, VERIFY, &u, &large), 413, "body_too_large");
	free(much);
	test_close(t);
}

static void
only_listed_types_are_taken(void **state)
{
	struct test *t = open_stub("UPLOAD_ALLOWED_IMAGE_TYPES=image/png");
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_error(enrol(t, &u, SEES("face 0")), 415, "unsupported_media_type");
	test_close(t);
}

static void
only_students_have_faces(void **state)
{
	struct test *t = open_stub(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), lecturer = test_user(t, ROLE_LECTURER);

	(void)state;
	expect_error(enrol(t, &admin, SEES("face 0")), 403, "forbidden");
	expect_error(verify(t, &lecturer, "face 0"), 403, "forbidden");
	expect_error(call(t, DELETE, FACE, admin.bearer, NULL), 403, "forbidden");
	test_close(t);
}

static void
consent_is_asked_for_outside_development(void **state)
{
	for (int dev = 0; dev < 2; dev++) {
		struct test *t = test_open(TEST_CONF(stub_program(), "FACE_MODELS_DIR=stub", PATIENCE, dev ? "ENV=dev" : "ENV=staging", "BCRYPT_ROUNDS=10"));
		struct test_user u = test_user(t, ROLE_STUDENT);
		struct form silent = {0}, refused = {0};

		(void)state;
		form_file(&silent, &t->arena, "file", stub_picture(&t->arena, "face 0"));
		form_text(&refused, &t->arena, "consent", "false");
		form_file(&refused, &t->arena, "file", stub_picture(&t->arena, "face 0"));
		struct test_reply *r = send_form(t, ENROL, &u, &silent), *s = send_form(t, ENROL, &u, &refused);
		if (dev) {
			expect_status(r, 201);
			expect_json(r, "consent_at", "null");
		} else {
			expect_error(r, 422, "consent_required");
			expect_error(s, 422, "consent_required");
			assert_int_equal(references(t, &u), 0);
			expect_status(enrol(t, &u, SEES("face 0")), 201);
		}
		test_close(t);
	}
}

static void
without_a_model_faces_are_unavailable(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = enrol(t, &u, SEES("face 0"));

	(void)state;
	expect_error(r, 503, "face_unavailable");
	assert_non_null(reply_head(r, "Retry-After"));
	expect_error(verify(t, &u, "face 0"), 503, "face_unavailable");
	expect_json(call(t, GET, FACE, u.bearer, NULL), "available", "false");
	expect_status(call(t, DELETE, FACE, u.bearer, NULL), 204);
	test_close(t);
}

static void
a_helper_that_fails_is_no_verdict(void **state)
{
	static const char *const fatal[] = {"die", "nonsense"};
	struct test *t = open_stub(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(enrol(t, &u, SEES("face 0")), 201);
	for (size_t i = 0; i < 2; i++) {
		expect_error(verify(t, &u, fatal[i]), 503, "face_unavailable");
		expect_error(enrol(t, &u, SEES(fatal[i])), 503, "face_unavailable");
		expect_status(verify(t, &u, "face 0"), 200);
	}
	assert_int_equal(references(t, &u), 1);
	test_close(t);
}

/* --- selfies at rest ---- */

struct room {
	struct test_user lecturer, stranger, admin, student, reviewer;
	const char *record;
};

/* A session with one mark; how marks come to be is attendance_face's and campus' matter. */
static struct room
open_room(struct test *t)
{
	struct room r = {test_user(t, ROLE_LECTURER), test_user(t, ROLE_LECTURER), test_user(t, ROLE_ADMIN), test_user(t, ROLE_STUDENT),
		test_user(t, ROLE_REVIEWER), "01980000-0000-7000-8000-00000000aaaa"};

	struct test_reply *e = call(t, POST, "/api/admin/events", r.admin.bearer, "{'title':'Algebra','scheduled_at':'2026-08-01T12:00:00Z'}");
	expect_status(e, 201);
	sql_run(t, TEXT(t, "UPDATE events SET owner_id = '%s', kind = 'session'", r.lecturer.id.text));
	sql_run(t, TEXT(t,
			   "INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at)"
			   " VALUES ('%s', '%s', '%s', 'flagged', 'flagged', 'qr', '2026-08-01 12:00:00.000000', '2026-08-01 12:00:00.000000')",
			   r.record, text_at(e, "id"), r.student.id.text));
	return r;
}

static const char *
store(struct test *t, const struct room *r, const char *object, bool named)
{
	const char *why = NULL;

	assert_int_equal(storage_put(t->srv.storage, &t->arena, object, "image/jpeg", grey_jpeg(&t->arena), &why), STORED);
	if (named)
		sql_run(t, TEXT(t,
				   "INSERT INTO selfies (attendance_id, user_id, object, content_type, created_at) VALUES ('%s', '%s', '%s',"
				   " 'image/jpeg', '2026-08-01 12:00:00.000000')",
				   r->record, r->student.id.text, object));
	return object;
}

static bool
is_stored(struct test *t, const char *object)
{
	struct span bytes;
	const char *why = NULL;

	return storage_get(t->srv.storage, &t->arena, object, &bytes, &why) == STORED;
}

#define OBJECT(day, hex) "selfies/2026-08-0" day "/01" hex "-0000-7000-8000-000000000001"

static void
those_who_decide_see_a_selfie_and_nobody_else(void **state)
{
	struct test *t = test_open(NULL);
	struct room r = open_room(t);
	const char *path = TEXT(t, "/api/v1/lecturer/attendance/%s/selfie", r.record);
	const char *any = TEXT(t, "/api/v1/admin/attendance/%s/selfie", r.record), *queue = "/api/v1/admin/flagged";
	struct span jpeg = grey_jpeg(&t->arena);

	(void)state;
	expect_error(call(t, GET, path, r.lecturer.bearer, NULL), 404, "not_found");
	expect_error(call(t, GET, any, r.reviewer.bearer, NULL), 404, "not_found");
	assert_true(json_is_false(reply_at(call(t, GET, queue, r.reviewer.bearer, NULL), "flagged.0.has_selfie")));
	const char *object = store(t, &r, OBJECT("1", "9f0d5400"), true);
	assert_true(json_is_true(reply_at(call(t, GET, queue, r.reviewer.bearer, NULL), "flagged.0.has_selfie")));
	const struct {
		const struct test_user *who;
		const char *path;
	} those[] = {{&r.lecturer, path}, {&r.admin, path}, {&r.admin, any}, {&r.reviewer, any}};
	for (size_t i = 0; i < sizeof(those) / sizeof(those[0]); i++) {
		struct test_reply *got = call(t, GET, those[i].path, those[i].who->bearer, NULL);
		expect_status(got, 200);
		assert_int_equal(got->body_n, jpeg.n);
		assert_memory_equal(got->body, jpeg.p, jpeg.n);
		expect_head(got, "Cache-Control", "private, no-store");
		expect_head(got, "X-Content-Type-Options", "nosniff");
		assert_string_equal(got->x.reply.content_type, "image/jpeg");
	}
	assert_int_equal(count(t, TEXT(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'export' AND entity_type = 'selfie'"
					  " AND entity_id = '%s'", r.record)), 4);
	expect_error(call(t, GET, path, r.stranger.bearer, NULL), 404, "not_found");
	expect_error(call(t, GET, path, r.student.bearer, NULL), 403, "forbidden");
	expect_error(call(t, GET, any, r.lecturer.bearer, NULL), 403, "forbidden");
	const char *why = NULL;
	assert_int_equal(storage_delete(t->srv.storage, &t->arena, object, &why), STORED);
	expect_error(call(t, GET, path, r.lecturer.bearer, NULL), 404, "not_found");
	test_close(t);
}

/* The times of these names: 2026-08-01T10:50, 11:10 and 12:00, and one that is no name of ours. */
static void
the_sweep_takes_old_orphans_alone(void **state)
{
	struct test *t = test_open(NULL);
	struct room r = open_room(t);
	int64_t minutes[] = {-70, -50, 0};
	const char *orphan[3];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		uint8_t chance[10] = {(uint8_t)i};
		struct uuid id = uuid_v7(TEST_START_US + minutes[i] * MINUTES_US, chance);
		orphan[i] = store(t, &r, TEXT(t, "selfies/2026-08-01/%s", id.text), false);
	}
	uint8_t chance[10] = {9};
	struct uuid old = uuid_v7(TEST_START_US - 30 * DAYS_US, chance);
	const char *kept = store(t, &r, TEXT(t, "selfies/2026-07-02/%s", old.text), true);
	const char *foreign = store(t, &r, "selfies/2026-08-01/notes.txt", false);
	assert_int_equal(run_job(t, "selfie_sweep"), 1);
	assert_false(is_stored(t, orphan[0]));
	assert_true(is_stored(t, orphan[1]) && is_stored(t, orphan[2]) && is_stored(t, kept) && is_stored(t, foreign));
	test_advance(t, 11 * MINUTES_US);
	assert_int_equal(run_job(t, "selfie_sweep"), 1);
	assert_false(is_stored(t, orphan[1]));
	assert_true(is_stored(t, orphan[2]));
	test_close(t);
}

static void
selfies_end_with_their_time(void **state)
{
	struct test *t = test_open(TEST_CONF("SELFIE_RETENTION_DAYS=2"));
	struct room r = open_room(t);
	const char *object = store(t, &r, OBJECT("1", "9f0d5400"), true);

	(void)state;
	test_advance(t, 2 * DAYS_US - SECONDS_US);
	assert_int_equal(run_job(t, "selfie_expire"), 0);
	assert_true(is_stored(t, object));
	test_advance(t, 2 * SECONDS_US);
	assert_int_equal(run_job(t, "selfie_expire"), 1);
	assert_false(is_stored(t, object));
	assert_int_equal(count(t, "SELECT COUNT(*) FROM selfies"), 0);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM attendance_records"), 1);
	test_close(t);
}

static void
deleting_a_face_deletes_its_selfies(void **state)
{
	struct test *t = test_open(NULL);
	struct room r = open_room(t);
	const char *object = store(t, &r, OBJECT("1", "9f0d5400"), true);

	(void)state;
	expect_status(call(t, DELETE, FACE, r.student.bearer, NULL), 204);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM selfies"), 0);
	assert_false(is_stored(t, object));
	assert_string_equal(last_audit(t), "face_deleted success {\"references\":0,\"selfies\":1}");
	test_close(t);
}

/* --- the real helper ---- */

static void
real_faces_are_told_apart(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a);
	const char *program = face_program(&a);
	bool there = access(FACE_MODELS, R_OK) == 0 && access(program, X_OK) == 0;
	struct test *t = test_open(TEST_CONF(arena_printf(&a, "FACE_PROGRAM=%s", program), "FACE_MODELS_DIR=" FACE_MODELS, PATIENCE));
	if (there && faces_model(t->srv.faces)) {
		struct test_user u = test_user(t, ROLE_STUDENT);
		struct form enrolment = {0}, same = {0}, other = {0};
		form_text(&enrolment, &t->arena, "consent", "true");
		form_file(&enrolment, &t->arena, "file", photo(&t->arena, "S001184_gpo2015.jpg"));
		form_file(&same, &t->arena, "file", photo(&t->arena, "S001184_2021.jpg"));
		form_file(&other, &t->arena, "file", photo(&t->arena, "T000472_2021.jpg"));
		expect_status(send_form(t, ENROL, &u, &enrolment), 201);
		expect_text(send_form(t, VERIFY, &u, &same), "verdict", "match");
		expect_text(send_form(t, VERIFY, &u, &other), "verdict", "no_match");
	} else {
		print_message("# faces are not compared here: %s\n", there ? faces_message(t->srv.faces) : "there is no " FACE_MODELS);
	}
	test_close(t);
	arena_release(&a);
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_enrolled_face_is_recognised),
		cmocka_unit_test(templates_are_sealed_for_their_account),
		cmocka_unit_test(templates_of_another_model_are_none),
		cmocka_unit_test(another_face_takes_a_deletion_first),
		cmocka_unit_test(pictures_that_will_not_do_are_named),
		cmocka_unit_test(only_listed_types_are_taken),
		cmocka_unit_test(only_students_have_faces),
		cmocka_unit_test(consent_is_asked_for_outside_development),
		cmocka_unit_test(without_a_model_faces_are_unavailable),
		cmocka_unit_test(a_helper_that_fails_is_no_verdict),
		cmocka_unit_test(those_who_decide_see_a_selfie_and_nobody_else),
		cmocka_unit_test(the_sweep_takes_old_orphans_alone),
		cmocka_unit_test(selfies_end_with_their_time),
		cmocka_unit_test(deleting_a_face_deletes_its_selfies),
		cmocka_unit_test(real_faces_are_told_apart),
	};

	(void)argc;
	stub_main(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
