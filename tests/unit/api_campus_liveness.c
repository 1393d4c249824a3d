/*
 * The liveness challenge over the API: what is handed out, what becomes of answers, good, wrong and hostile, and that a selfie that
 * nobody asked for is neither looked at nor kept.  The helper sees what the test says (face_stub.h); at the end once the real one, where it
 * and the models are.
 */
#include "campus_env.h"
#include "face_stub.h"
#include "face_turn.h"

#include "attendance/liveness.h"
#include "net/storage.h"

#define ALL ",'require_face':true,'require_liveness':true"
#define STRICT ALL ",'policy':{'face':'reject'}"
#define MARK "/api/v1/student/attendance"

static struct campus
open_campus(const char *more)
{
	return campus_open_with(TEST_CONF(stub_program(), "FACE_MODELS_DIR=stub", "FACE_TIMEOUT_SECONDS=60", more));
}

/* A student whose enrolled face is "face 0". */
static struct test_user
enrolled(struct campus *c)
{
	struct test_user u = test_user(c->t, ROLE_STUDENT);
	struct form f = {0};

	form_text(&f, &c->t->arena, "consent", "true");
	form_file(&f, &c->t->arena, "file", stub_picture(&c->t->arena, "face 0"));
	expect_status(send_form(c->t, "/api/v1/student/enroll-face", &u, &f), 201);
	return u;
}

static struct test_reply *
ask(struct campus *c, const struct test_user *u, const char *ref)
{
	return get(c, u, TEXT(c, "/api/v1/student/liveness?event_id=%s", ref));
}

/* Pictures that show these, up to NULL, with this challenge (NULL: none). */
static struct test_reply *
mark_seen(struct campus *c, const struct test_user *u, const char *session, const char *challenge, const char *const *sees)
{
	struct test_reply *qr = qr_of(c, session);
	struct form f = {0};

	form_text(&f, &c->t->arena, "qr_session_id", session);
	form_text(&f, &c->t->arena, "qr_nonce", text_at(qr, "qr_nonce"));
	if (challenge)
		form_text(&f, &c->t->arena, "liveness_challenge", challenge);
	for (; *sees; sees++)
		form_file(&f, &c->t->arena, "selfie", stub_picture(&c->t->arena, *sees));
	return send_form(c->t, MARK, u, &f);
}
#define SEES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* What is seen of each pose, put into the order of `asked`. */
struct posed {
	const char *straight, *left, *right;
};
static const struct posed honest = {"face 5", "face 20 yaw 30", "face 25 yaw -30"};

static const char *const *
in_order(struct campus *c, const struct test_reply *asked, const struct posed *p)
{
	const char **sees = arena_new(&c->t->arena, const char *, 4);

	for (int i = 0; i < 3; i++) {
		const char *pose = text_at(asked, TEXT(c, "poses.%d", i));
		sees[i] = !strcmp(pose, "straight") ? p->straight : !strcmp(pose, "left") ? p->left : p->right;
	}
	return sees;
}

static struct test_reply *
answer(struct campus *c, const struct test_user *u, const char *session, const struct test_reply *asked, const struct posed *p)
{
	return mark_seen(c, u, session, text_at(asked, "challenge"), in_order(c, asked, p));
}

static const char *
detail_of(const json_t *layers)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)layers, i, one) if (!strcmp(json_string_value(json_object_get(one, "layer")), "face"))
		return json_string_value(json_object_get(one, "detail"));
	return "";
}

static void
expect_face(const struct test_reply *r, const char *verdict, const char *detail)
{
	const json_t *layers = reply_at(r, r->status == 201 ? "layers" : "error.details.layers");

	assert_int_equal(r->status, strcmp(verdict, "reject") ? 201 : 403);
	assert_string_equal(detail_of(layers), detail);
	assert_string_equal(verdict_of(layers, "face"), verdict);
}

static size_t
stored(struct campus *c)
{
	struct conf_list names;
	const char *why = NULL;

	assert_int_equal(storage_list(c->t->srv.storage, &c->t->arena, "selfies/", "", &names, &why), STORED);
	return names.count;
}

/* --- asking ---- */

static void
a_challenge_is_given_where_it_is_asked_for(void **state)
{
	struct campus c = open_campus(NULL);
	struct test_user *u = &c.students[0];
	static const struct {
		const char *members;
		bool face, liveness;
	} rows[] = {
		{"", false, false},
		{",'require_face':true", true, false},
		{ALL, true, true},
		{ALL ",'policy':{'face':'flag'}", true, true},
		{ALL ",'policy':{'face':'off'}", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test_reply *r = ask(&c, u, session_id(&c, rows[i].members));
		expect_status(r, 200);
		expect_head(r, "Cache-Control", "no-store");
		assert_int_equal(json_is_true(reply_at(r, "require_face")), rows[i].face);
		assert_int_equal(json_is_true(reply_at(r, "require_liveness")), rows[i].liveness);
		assert_int_equal(json_is_string(reply_at(r, "challenge")), rows[i].liveness);
		assert_int_equal(json_array_size(reply_at(r, "poses")), rows[i].liveness ? 3 : 0);
		if (rows[i].liveness)
			expect_text(r, "expires_at", "2026-08-01T12:01:00Z");
		else
			expect_json(r, "expires_at", "null");
	}
	struct test_reply *s = session_new(&c, ALL);
	char label[5];
	for (int i = 0; i < 5; i++)
		label[i] = (char)(text_at(s, "code")[i] | (i < 4 ? 0x20 : 0));
	struct test_reply *r = ask(&c, u, label);
	expect_status(r, 200);
	expect_json(r, "require_liveness", "true");
	test_close(c.t);
}

static void
every_order_is_asked_for(void **state)
{
	struct campus c = open_campus(NULL);
	const char *s = session_id(&c, ALL);
	int seen[27] = {0}, orders = 0;

	(void)state;
	for (int i = 0; i < 120; i++) {
		struct test_reply *r = ask(&c, &c.students[0], s);
		int order = 0;
		for (int k = 0; k < 3; k++) {
			char first = text_at(r, TEXT(&c, "poses.%d", k))[0];
			order = order * 3 + (first == 's' ? 0 : first == 'l' ? 1 : 2);
		}
		orders += seen[order]++ == 0;
	}
	assert_int_equal(orders, 6);
	test_close(c.t);
}

static void
only_students_are_told_and_only_of_sessions(void **state)
{
	struct campus c = open_campus("RATE_LIMIT_ENABLED=true");
	const struct test_user *u = &c.students[0];
	const char *s = session_id(&c, ALL);

	(void)state;
	expect_error(get(&c, u, "/api/v1/student/liveness"), 422, "validation_error");
	expect_error(ask(&c, u, "nowhere"), 422, "validation_error");
	expect_error(ask(&c, u, "QQQQ"), 404, "event_not_found");
	expect_error(ask(&c, u, NOBODYS_ID), 404, "event_not_found");
	struct test_reply *portal = post(&c, &c.admin, "/api/admin/events", "{'title':'A','scheduled_at':'2026-08-01T12:00:00Z'}");
	expect_status(portal, 201);
	expect_error(ask(&c, u, text_at(portal, "id")), 404, "event_not_found");
	expect_error(ask(&c, &c.lecturer, s), 403, "forbidden");
	expect_error(get(&c, NULL, TEXT(&c, "/api/v1/student/liveness?event_id=%s", s)), 401, "not_authenticated");
	for (int i = 0; i < 5; i++)
		expect_status(ask(&c, u, s), 200);
	expect_error(ask(&c, u, s), 429, "rate_limited");
	expect_status(ask(&c, &c.students[1], s), 200);
	test_close(c.t);
}

static void
liveness_needs_a_face(void **state)
{
	struct campus c = open_campus(NULL);
	static const char lone[] = "{'duration_minutes':60,'require_liveness':true}";
	struct test_reply *r = post(&c, &c.lecturer, "/api/v1/lecturer/sessions", lone);

	(void)state;
	expect_error(r, 422, "validation_error");
	expect_json(r, "error.details.fields", "[{'field':'require_liveness','message':'needs require_face'}]");
	r = session_new(&c, ALL);
	expect_json(r, "require_liveness", "true");
	const char *one = session_path(&c, text_at(r, "id"), "");
	expect_error(call(c.t, PATCH, one, c.lecturer.bearer, "{'require_face':false}"), 422, "validation_error");
	expect_json(call(c.t, PATCH, one, c.lecturer.bearer, "{'title':'B'}"), "require_liveness", "true");
	r = get(&c, &c.students[0], "/api/v1/student/sessions");
	expect_json(r, "sessions.0.require_liveness", "true");
	r = call(c.t, PATCH, one, c.lecturer.bearer, "{'require_face':false,'require_liveness':false}");
	expect_status(r, 200);
	expect_json(r, "require_liveness", "false");
	r = session_new(&c, "");
	expect_json(r, "require_liveness", "false");
	one = session_path(&c, text_at(r, "id"), "");
	expect_error(call(c.t, PATCH, one, c.lecturer.bearer, "{'require_liveness':true}"), 422, "validation_error");
	expect_status(call(c.t, PATCH, one, c.lecturer.bearer, "{'require_face':true,'require_liveness':true}"), 200);
	test_close(c.t);
}

/* --- answering ---- */

static void
turns_are_measured_against_the_straight_picture(void **state)
{
	static const char still[] = "the head was not turned as the liveness challenge asked",
			  others[] = "the pictures of the liveness challenge show different faces";
	static const struct {
		struct posed seen;
		const char *verdict, *detail;
	} rows[] = {
		{{"face 5", "face 20 yaw 30", "face 25 yaw -30"}, "pass", "the enrolled face, turned as asked"},
		{{"face 0 yaw 10", "face 0 yaw 30", "face 0 yaw -10"}, "pass", "the enrolled face, turned as asked"},
		{{"face 0 yaw 10", "face 0 yaw 29", "face 0 yaw -30"}, "reject", still},
		{{"face 0", "face 0", "face 0"}, "reject", still}, /* one still picture, three times */
		{{"face 0", "face 0 yaw 9", "face 0 yaw -9"}, "reject", still}, /* a print that is tilted */
		{{"face 0", "face 0 yaw -30", "face 0 yaw 30"}, "reject", still}, /* the other way round, or mirrored */
		{{"face 0", "face 0 yaw 30", "face 0 yaw 30"}, "reject", still},
		{{"face 0", "face 70 yaw 30", "face 0 yaw -30"}, "reject", others},
		{{"face 0", "face 0", "face 90 yaw -30"}, "reject", others},
		{{"face 0", "face 0 yaw 30", "verdict 5"}, "reject", "no face is in the picture"},
		{{"face 0", "verdict 6", "face 0 yaw -30"}, "reject", "several faces are in the picture"},
		{{"face 0 yaw 26", "face 0 yaw 50", "face 0 yaw -30"}, "reject", "the face is turned away; look at the camera"},
		{{"face 90", "face 90 yaw 30", "face 90 yaw -30"}, "reject", "not the enrolled face"},
		{{"face 63", "face 63 yaw 30", "face 63 yaw -30"}, "flag", "like the enrolled face, but not enough to be sure"},
		{{"face 63", "face 63 yaw 30", "face 63"}, "reject", still},
		{{"face 0", "die", "face 0 yaw -30"}, "flag", "not_checked"},
		{{"face 0", "face 0 yaw 30", "nonsense"}, "flag", "not_checked"},
		{{"die", "face 0 yaw 30", "face 0 yaw -30"}, "flag", "not_checked"},
	};
	struct campus c = open_campus(NULL);
	const char *s = open_session_id(&c, STRICT);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test_user u = enrolled(&c);
		struct test_reply *r = answer(&c, &u, s, ask(&c, &u, s), &rows[i].seen);
		const char *verdict = verdict_of(reply_at(r, r->status == 201 ? "layers" : "error.details.layers"), "face");
		if (strcmp(verdict, rows[i].verdict))
			fail_msg("row %zu: %d %s", i, r->status, r->body);
		expect_face(r, rows[i].verdict, rows[i].detail);
	}
	test_close(c.t);
}

/* By default a fault is for a person to look at; lecturer and student read the same words. */
static void
a_fault_is_flagged_by_default(void **state)
{
	static const struct posed still = {"face 0", "face 0", "face 0"};
	struct campus c = open_campus(NULL);
	const char *s = open_session_id(&c, ALL);
	struct test_user u = enrolled(&c);
	struct test_reply *r = answer(&c, &u, s, ask(&c, &u, s), &still);

	(void)state;
	expect_face(r, "flag", "the head was not turned as the liveness challenge asked");
	expect_text(r, "status", "flagged");
	expect_json(r, "session.require_liveness", "true");
	r = get(&c, &u, "/api/v1/student/attendance");
	expect_json(r, "records.0.reasons", "['the head was not turned as the liveness challenge asked']");
	expect_text(r, "records.0.flags", "face");
	r = get(&c, &c.lecturer, session_path(&c, s, "/flagged"));
	assert_non_null(strstr(r->body, "the head was not turned as the liveness challenge asked"));
	test_close(c.t);
}

static void
only_the_straight_picture_is_kept(void **state)
{
	struct campus c = open_campus(NULL);
	const char *s = open_session_id(&c, ALL);
	struct test_user u = enrolled(&c);
	struct test_reply *r = answer(&c, &u, s, ask(&c, &u, s), &honest);

	(void)state;
	expect_face(r, "pass", "the enrolled face, turned as asked");
	expect_text(r, "status", "present");
	assert_int_equal(stored(&c), 1);
	r = get(&c, &c.lecturer, TEXT(&c, "/api/v1/lecturer/attendance/%s/selfie", text_at(r, "attendance_id")));
	expect_status(r, 200);
	struct span straight = stub_picture(&c.t->arena, honest.straight);
	assert_int_equal(r->body_n, straight.n);
	assert_memory_equal(r->body, straight.p, straight.n);
	test_close(c.t);
}

/* --- challenges that are none ---- */

static void
a_challenge_binds_student_and_session_and_time(void **state)
{
	static const char missing[] = "the liveness challenge was not answered",
			  stale[] = "the liveness challenge has expired, or is not of this student and session";
	struct campus c = open_campus(NULL);
	const char *s = open_session_id(&c, STRICT), *other = open_session_id(&c, STRICT);
	struct test_user u = enrolled(&c), friend = enrolled(&c);
	struct test_reply *asked = ask(&c, &u, s), *device = get(&c, &u, "/api/v1/student/device/challenge");
	const char *const *sees = in_order(&c, asked, &honest), *token = text_at(asked, "challenge");
	char *forged = arena_strdup(&c.t->arena, token);

	(void)state;
	forged[strlen(forged) / 2] ^= 1;
	expect_face(mark_seen(&c, &u, s, NULL, sees), "reject", missing);
	expect_face(mark_seen(&c, &u, s, NULL, SEES("face 0")), "reject", missing);
	expect_face(mark_seen(&c, &u, s, token, SEES("face 0")), "reject", missing);
	expect_face(mark_seen(&c, &u, s, token, SEES("face 0", "face 0 yaw 30")), "reject", missing);
	expect_face(mark_seen(&c, &u, s, "", sees), "reject", missing);
	expect_face(mark_seen(&c, &u, s, forged, sees), "reject", stale);
	expect_face(mark_seen(&c, &u, s, "a.b.c", sees), "reject", stale);
	expect_face(mark_seen(&c, &u, s, text_at(device, "challenge"), sees), "reject", stale);
	expect_face(mark_seen(&c, &friend, s, token, sees), "reject", stale);
	expect_face(mark_seen(&c, &u, other, token, sees), "reject", stale);
	expect_error(mark_seen(&c, &u, s, token, SEES("face 0", "face 0", "face 0", "face 0")), 422, "validation_error");
	expect_error(mark_seen(&c, &u, s, token, SEES("verdict 3", "verdict 3", "verdict 3")), 422, "validation_error");
	struct form f = {0};
	form_text(&f, &c.t->arena, "liveness_challenge", token);
	form_file(&f, &c.t->arena, "selfie", stub_picture(&c.t->arena, "face 0"));
	expect_error(send_form(c.t, MARK, &u, &f), 422, "validation_error"); /* no code at all */
	expect_status(mark_json(&c, &u, TEXT(&c, "{'qr_session_id':'%s','qr_nonce':'1.x','liveness_challenge':'%s'}", s, token)), 400);
	test_advance(c.t, 59 * SECONDS_US);
	struct test_user late = enrolled(&c);
	struct test_reply *fresh = ask(&c, &late, s);
	expect_face(mark_seen(&c, &u, s, token, sees), "pass", "the enrolled face, turned as asked");
	test_advance(c.t, 60 * SECONDS_US);
	expect_face(answer(&c, &late, s, fresh, &honest), "reject", stale);
	expect_face(answer(&c, &late, s, ask(&c, &late, s), &honest), "pass", "the enrolled face, turned as asked");
	test_close(c.t);
}

/* Refused marks leave it; the mark that is written uses it up, for that account's next record here too. */
static void
a_challenge_is_used_up_by_a_mark(void **state)
{
	static const struct posed still = {"face 0", "face 0", "face 0"};
	struct campus c = open_campus(NULL);
	const char *s = open_session_id(&c, STRICT);
	struct test_user u = enrolled(&c);
	struct test_reply *asked = ask(&c, &u, s);

	(void)state;
	expect_status(answer(&c, &u, s, asked, &still), 403);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM spent_claims"), 0);
	expect_face(answer(&c, &u, s, asked, &honest), "pass", "the enrolled face, turned as asked");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM spent_claims"), 1);
	expect_error(answer(&c, &u, s, asked, &honest), 409, "duplicate_attendance");
	sql_run(c.t, "DELETE FROM attendance_records");
	sql_run(c.t, "DELETE FROM used_nonces");
	expect_face(answer(&c, &u, s, asked, &honest), "reject", "the liveness challenge was used before");
	expect_status(call(c.t, PATCH, session_path(&c, s, ""), c.lecturer.bearer, "{'policy':{'face':'flag'}}"), 200);
	expect_face(answer(&c, &u, s, asked, &honest), "flag", "the liveness challenge was used before");
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM spent_claims"), 1);
	test_close(c.t);
}

/* --- selfies that nobody asked for ---- */

/* "verdict 3" would be a 422, "die" a helper's end, if anybody looked. */
static void
a_selfie_that_is_not_asked_for_is_dropped_unseen(void **state)
{
	static const char *const sees[] = {"face 90", "face 0", "verdict 3", "die"};
	static const char *const sessions[] = {"", ",'policy':{'face':'reject'}", ALL ",'policy':{'face':'off'}"};
	struct campus c = open_campus(NULL);

	(void)state;
	for (size_t k = 0; k < sizeof(sessions) / sizeof(sessions[0]); k++) {
		const char *s = open_session_id(&c, sessions[k]);
		for (size_t i = 0; i < sizeof(sees) / sizeof(sees[0]); i++) {
			struct test_user u = enrolled(&c);
			struct test_reply *r = mark_seen(&c, &u, s, NULL, SEES(sees[i]));
			expect_status(r, 201);
			expect_text(r, "status", "present");
			assert_string_equal(verdict_of(reply_at(r, "layers"), "face"), "skip");
		}
	}
	assert_int_equal(stored(&c), 0);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM selfies"), 0);
	test_close(c.t);
}

/* A mark that cannot be written costs no look and no place in storage. */
static void
a_code_that_is_none_has_no_selfie_looked_at(void **state)
{
	struct campus c = open_campus(NULL);
	const char *s = open_session_id(&c, ALL);
	struct test_user u = enrolled(&c);
	struct form f = {0}, both = {0};

	(void)state;
	form_text(&f, &c.t->arena, "qr_payload", "bm90aGluZw");
	form_file(&f, &c.t->arena, "selfie", stub_picture(&c.t->arena, "verdict 3"));
	expect_error(send_form(c.t, MARK, &u, &f), 400, "invalid_qr");
	form_text(&both, &c.t->arena, "event_id", s);
	form_text(&both, &c.t->arena, "code", "000000");
	form_file(&both, &c.t->arena, "selfie", stub_picture(&c.t->arena, "verdict 3"));
	expect_error(send_form(c.t, MARK, &u, &both), 400, "invalid_qr");
	assert_int_equal(stored(&c), 0);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_failed'"), 2);
	test_close(c.t);
}

/* --- the real helper ---- */

static const struct {
	const char *name;
	struct face_points points;
} people[] = {
	{"M001153", {92, 146, 119, 156}},
	{"H001042", {93, 140, 115, 136}},
};

static struct span
portrait(struct campus *c, size_t i, const char *year)
{
	return photo(&c->t->arena, TEXT(c, "%s_%s.jpg", people[i].name, year));
}

/* As somebody does before a camera: further and further, until it is enough. */
static struct span
turn_until_seen(struct campus *c, size_t i, int side)
{
	struct face_answer *straight = arena_new(&c->t->arena, struct face_answer, 2), *turned = straight + 1;
	struct span picture = portrait(c, i, "gpo2015");

	assert_true(faces_examine(c->t->srv.faces, picture, FACE_STRAIGHT, 60000, straight));
	for (int degrees = 20; degrees <= 46; degrees += 2) {
		struct span s = turned_face(&c->t->arena, picture, &people[i].points, side * degrees);
		assert_true(faces_examine(c->t->srv.faces, s, FACE_TURNED, 60000, turned));
		double likeness = face_likeness(straight->face_template, turned->face_template, straight->numbers);
		if (side * ((double)turned->yaw - (double)straight->yaw) > LIVENESS_TURN_DEGREES && likeness > faces_model(c->t->srv.faces)->review)
			return s;
	}
	fail_msg("%s turned to side %d is not seen as turned", people[i].name, side);
	return picture;
}

static struct test_reply *
mark_pictures(struct campus *c, const struct test_user *u, const char *session, struct span straight, struct span left, struct span right)
{
	struct test_reply *asked = ask(c, u, session);
	struct form f = {0};

	form_text(&f, &c->t->arena, "qr_session_id", session);
	form_text(&f, &c->t->arena, "qr_nonce", text_at(qr_of(c, session), "qr_nonce"));
	form_text(&f, &c->t->arena, "liveness_challenge", text_at(asked, "challenge"));
	for (int i = 0; i < 3; i++) {
		const char *pose = text_at(asked, TEXT(c, "poses.%d", i));
		form_file(&f, &c->t->arena, "selfie", !strcmp(pose, "straight") ? straight : !strcmp(pose, "left") ? left : right);
	}
	return send_form(c->t, MARK, u, &f);
}

static struct test_user
enrolled_by(struct campus *c, struct span picture)
{
	struct test_user u = test_user(c->t, ROLE_STUDENT);
	struct form f = {0};

	form_text(&f, &c->t->arena, "consent", "true");
	form_file(&f, &c->t->arena, "file", picture);
	expect_status(send_form(c->t, "/api/v1/student/enroll-face", &u, &f), 201);
	return u;
}

/* Enrolled with one portrait, at the lecture with another, years older. */
static void
real_turns_pass_and_stills_do_not(struct campus *c)
{
	enum { PEOPLE = sizeof(people) / sizeof(people[0]) };
	static const char still[] = "the head was not turned as the liveness challenge asked";
	const char *s = open_session_id(c, STRICT);

	for (size_t i = 0; i < PEOPLE; i++) {
		struct span straight = portrait(c, i, "gpo2015"), own = portrait(c, i, "2021"), other = portrait(c, (i + 1) % PEOPLE, "2021");
		struct span left = turn_until_seen(c, i, 1), right = turn_until_seen(c, i, -1);
		struct test_user u = enrolled_by(c, own);
		expect_face(mark_pictures(c, &u, s, straight, straight, straight), "reject", still);
		expect_face(mark_pictures(c, &u, s, straight, own, straight), "reject", still);
		expect_face(mark_pictures(c, &u, s, straight, right, left), "reject", still);
		expect_face(mark_pictures(c, &u, s, straight, left, left), "reject", still);
		expect_face(mark_pictures(c, &u, s, straight, other, other), "reject",
			"the pictures of the liveness challenge show different faces");
		expect_face(mark_pictures(c, &u, s, other, left, right), "reject", "not the enrolled face");
		expect_face(mark_pictures(c, &u, s, straight, left, right), "pass", "the enrolled face, turned as asked");
	}
}

static void
real_faces_are_seen_to_turn(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a);
	const char *program = face_program(&a);
	bool there = access(FACE_MODELS, R_OK) == 0 && access(program, X_OK) == 0;
	struct campus c = campus_open_with(
		TEST_CONF(arena_printf(&a, "FACE_PROGRAM=%s", program), "FACE_MODELS_DIR=" FACE_MODELS, "FACE_TIMEOUT_SECONDS=60"));
	if (there && faces_model(c.t->srv.faces))
		real_turns_pass_and_stills_do_not(&c);
	else
		print_message("# faces are not turned here: %s\n", there ? faces_message(c.t->srv.faces) : "there is no " FACE_MODELS);
	test_close(c.t);
	arena_release(&a);
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_challenge_is_given_where_it_is_asked_for),
		cmocka_unit_test(every_order_is_asked_for),
		cmocka_unit_test(only_students_are_told_and_only_of_sessions),
		cmocka_unit_test(liveness_needs_a_face),
		cmocka_unit_test(turns_are_measured_against_the_straight_picture),
		cmocka_unit_test(a_fault_is_flagged_by_default),
		cmocka_unit_test(only_the_straight_picture_is_kept),
		cmocka_unit_test(a_challenge_binds_student_and_session_and_time),
		cmocka_unit_test(a_challenge_is_used_up_by_a_mark),
		cmocka_unit_test(a_selfie_that_is_not_asked_for_is_dropped_unseen),
		cmocka_unit_test(a_code_that_is_none_has_no_selfie_looked_at),
		cmocka_unit_test(real_faces_are_seen_to_turn),
	};

	(void)argc;
	stub_main(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
