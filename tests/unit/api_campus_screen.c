/*
 * Screens of sessions: what the frames say, that they change with the steps, and that whoever may show them may.  A test takes the
 * ticker's turns itself.
 */
#include "campus_env.h"
#include "stream_env.h"

#include "attendance/display.h"
#include "attendance/session_qr.h"
#include "jobs/ticker.h"
#include "notify/live.h"

struct hall {
	struct campus c;
	struct displays *displays;
	const char *id, *frames;
};

static struct hall
hall_open(const char *more)
{
	struct hall h = {.c = campus_open(), .displays = displays_open()};

	h.id = session_id(&h.c, more);
	h.frames = session_path(&h.c, h.id, "/frames");
	return h;
}

static void
hall_close(struct hall *h)
{
	displays_close(h->displays);
	test_close(h->c.t);
}

static void
turn(struct hall *h)
{
	struct ctx cx;

	test_ctx(h->c.t, &cx);
	displays_turn(&cx, h->displays);
}

static const char *
display_token(struct hall *h)
{
	return text_at(post(&h->c, &h->c.lecturer, session_path(&h->c, h->id, "/display"), NULL), "display_token");
}

static void
a_frame_is_the_code_of_the_step(void **state)
{
	struct hall h = hall_open(",'rotate_seconds':20");
	struct test *t = h.c.t;
	struct test_reply *s = call(t, GET, h.frames, display_token(&h), NULL), *own = get(&h.c, &h.c.lecturer, h.frames);

	(void)state;
	turn(&h);
	const json_t *frame = event_data(t, sent(t, s), "frame", 0), *qr = qr_of(&h.c, h.id)->json;
	const json_t *same = event_data(t, sent(t, own), "frame", 0);
	const char *name;
	json_t *value;
	assert_string_equal(schema_mismatch(&t->arena, &session_frame_schema, frame), "");
	json_object_foreach((json_t *)qr, name, value) assert_true(json_equal(value, json_object_get(frame, name)));
	assert_string_equal(member(same, "qr_nonce"), member(frame, "qr_nonce"));
	assert_int_equal(json_integer_value(json_object_get(frame, "count")), 0);

	expect_status(mark_payload(&h.c, &h.c.students[0], member(frame, "qr_payload")), 201);
	test_advance(t, SECONDS_US);
	turn(&h);
	const char *text = sent(t, s);
	assert_null(event_data(t, text, "frame", 0));
	const json_t *counted = event_data(t, text, "count", 0);
	assert_int_equal(json_integer_value(json_object_get(counted, "count")), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(counted, "latest"), 0)), h.c.students[0].full_name);

	test_advance(t, 19 * SECONDS_US - 1); /* the step's last moment: nothing new */
	turn(&h);
	assert_null(event_data(t, sent(t, s), "frame", 0));
	test_advance(t, 1); /* and at once when it has ended */
	turn(&h);
	const json_t *next = event_data(t, sent(t, s), "frame", 0);
	assert_string_not_equal(member(next, "qr_nonce"), member(frame, "qr_nonce"));
	expect_status(mark_payload(&h.c, &h.c.students[1], member(frame, "qr_payload")), 201); /* 10 s after it left the screen */
	assert_int_equal(count(t, "SELECT COUNT(*) FROM qr_sessions"), 0);
	hall_close(&h);
}

static void
rotating_shows_at_once_and_closing_ends(void **state)
{
	struct hall h = hall_open("");
	struct test *t = h.c.t;
	struct test_reply *s = call(t, GET, h.frames, display_token(&h), NULL);

	(void)state;
	turn(&h);
	const json_t *frame = event_data(t, sent(t, s), "frame", 0);
	test_advance(t, SECONDS_US);
	struct test_reply *r = post(&h.c, &h.c.lecturer, session_path(&h.c, h.id, "/qr/rotate"), NULL);
	turn(&h);
	const json_t *next = event_data(t, sent(t, s), "frame", 0);
	assert_string_not_equal(member(next, "qr_nonce"), member(frame, "qr_nonce"));
	assert_string_equal(member(next, "qr_nonce"), text_at(r, "qr_nonce"));
	test_advance(t, SECONDS_US);
	expect_status(post(&h.c, &h.c.lecturer, session_path(&h.c, h.id, "/close"), NULL), 200);
	turn(&h);
	assert_int_equal(occurs(sent(t, s), "event: ended"), 1);
	hall_close(&h);
}

static void
a_prolonged_session_keeps_its_screens(void **state)
{
	struct hall h = hall_open("");
	struct test *t = h.c.t;
	const char *token = display_token(&h);
	struct ctx cx;

	(void)state;
	struct test_reply *s = call(t, GET, h.frames, token, NULL);
	expect_status(call(t, PATCH, session_path(&h.c, h.id, ""), h.c.lecturer.bearer, "{'duration_minutes':90}"), 200);
	test_advance(t, 75 * MINUTES_US);
	test_ctx(t, &cx);
	ticker_check(&cx);
	assert_false(stream_over(s->x.reply.stream));
	expect_status(call(t, GET, h.frames, token, NULL), 200);
	test_advance(t, 15 * MINUTES_US);
	turn(&h);
	assert_int_equal(occurs(sent(t, s), "event: ended"), 1);
	expect_error(call(t, GET, h.frames, token, NULL), 409, "event_not_open");
	hall_close(&h);
}

static void
screens_are_few_and_their_lecturers(void **state)
{
	struct hall h = hall_open("");
	struct test *t = h.c.t;
	const char *token = display_token(&h);
	struct ctx cx;

	(void)state;
	struct test_reply *s = call(t, GET, h.frames, token, NULL);
	expect_status(s, 200);
	for (int i = 0; i < 2; i++)
		expect_status(call(t, GET, h.frames, token, NULL), 200);
	expect_error(call(t, GET, h.frames, token, NULL), 409, "conflict");
	expect_int(post(&h.c, &h.c.lecturer, session_path(&h.c, h.id, "/display"), NULL), "streams", 3);
	/* A lecturer who is none any more has no screens. */
	sql_run(t, TEXT(&h.c, "UPDATE users SET role = 'student' WHERE id = '%s'", h.c.lecturer.id.text));
	test_ctx(t, &cx);
	ticker_check(&cx);
	assert_true(stream_over(s->x.reply.stream));
	expect_error(call(t, GET, h.frames, token, NULL), 401, "token_revoked");
	test_advance(t, t->srv.conf->access_token_expire_minutes * MINUTES_US);
	expect_error(get(&h.c, &h.c.stranger, h.frames), 401, "token_expired");
	hall_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_the_code_of_the_step),
		cmocka_unit_test(rotating_shows_at_once_and_closing_ends),
		cmocka_unit_test(a_prolonged_session_keeps_its_screens),
		cmocka_unit_test(screens_are_few_and_their_lecturers),
	};

	return cmocka_run_group_tests_name("api_campus_screen", tests, NULL, NULL);
}
