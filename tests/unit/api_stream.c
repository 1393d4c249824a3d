/*
 * Notifications as they come and the frames of a screen, over the dispatcher.  No ticker runs here: a test takes its turns, on
 * the clock that it sets, and looks at what the streams were sent.
 */
#include "attendance_env.h"
#include "run_job.h"
#include "stream_env.h"

#include "attendance/display.h"
#include "jobs/ticker.h"
#include "notify/live.h"
#include "notify/notify.h"

static void
check(struct test *t)
{
	struct ctx cx;

	test_ctx(t, &cx);
	ticker_check(&cx);
}

static bool
over(const struct test_reply *r)
{
	return stream_over(r->x.reply.stream);
}

/* --- notifications ------------------------------------------------------------------------------------------------------------
 */

struct sending {
	const char *user_id, *message;
	bool undone;
};

static enum err
send_run(struct ctx *cx, void *arg)
{
	const struct sending *s = arg;

	TRY(notify_user(cx, s->user_id,
		&(const struct notification_new){
			.type = "decision", .title = "Decided", .message = s->message, .data = "{\"n\":1}"}));
	return s->undone ? fail(cx, ERR_CONFLICT, NULL) : OK;
}

static void
tell(struct test *t, const struct test_user *to, const char *message, bool undone)
{
	struct sending s = {to->id.text, message, undone};
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, send_run, &s), undone ? ERR_CONFLICT : OK);
}

static struct test_reply *
listen_after(struct test *t, const struct test_user *u, const char *last_id)
{
	const struct header last = {"Last-Event-ID", last_id};

	return call_with(t, &(struct test_request){.method = GET,
				    .path = "/api/notifications/stream",
				    .bearer = u->bearer,
				    .headers = &last,
				    .n_headers = last_id ? 1 : 0});
}

static void
notifications_come_after_their_commit(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user one = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);
	struct test_reply *a = listen_after(t, &one, NULL), *b = listen_after(t, &one, NULL), *c = listen_after(t, &other, NULL);

	(void)state;
	expect_status(a, 200);
	assert_string_equal(a->x.reply.content_type, "text/event-stream");
	expect_head(a, "Cache-Control", "no-store");
	expect_head(a, "X-Accel-Buffering", "no");
	assert_string_equal(sent(t, a), "retry: 2000\n\n");
	sent(t, b);
	sent(t, c);
	tell(t, &one, "never", true);
	tell(t, &one, "first", false);
	const char *text = sent(t, a);
	const char *id = sql_text(t, "SELECT id FROM notifications");
	assert_string_equal(text,
		PATH(t,
			"event: notification\nid: %s\ndata: {\"id\":\"%s\",\"type\":\"decision\",\"title\":\"Decided\","
			"\"message\":\"first\",\"data\":{\"n\":1},\"is_read\":false,\"created_at\":\"2026-08-01T12:00:00Z\"}\n\n",
			id, id));
	assert_string_equal(sent(t, b), text);
	assert_string_equal(sent(t, c), "");
	expect_error(call(t, GET, "/api/notifications/stream", NULL, NULL), 401, "not_authenticated");
	test_close(t);
}

static void
what_was_missed_comes_again(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user one = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);
	static const char *const strange[] = {"", "x", "7", "00000000-0000-4000-8000-000000000000"};

	(void)state;
	for (int i = 0; i < 6; i++) {
		tell(t, &one, PATH(t, "m%d", i), false);
		tell(t, &other, "foreign", false);
		test_advance(t, 4 * SECONDS_US);
	}
	const char *last = sql_text(t, "SELECT id FROM notifications WHERE message = 'm4'");
	const char *text = sent(t, listen_after(t, &one, last));
	/* m4 at 16 s: from 6 s on, so m2 at 8 s is the first. */
	assert_null(strstr(text, "\"m1\""));
	assert_true(strstr(text, "\"m2\"") < strstr(text, "\"m3\"") && strstr(text, "\"m3\"") < strstr(text, "\"m4\"") &&
		    strstr(text, "\"m4\"") < strstr(text, "\"m5\""));
	assert_int_equal(occurs(text, "event: notification"), 4);
	assert_null(strstr(text, "foreign"));
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		assert_string_equal(sent(t, listen_after(t, &one, strange[i])), "retry: 2000\n\n");
	/* More than a listener may lag: it is not cut for having been away. */
	for (int i = 0; i < 300; i++)
		tell(t, &one, PATH(t, "long %0300d", i), false);
	struct test_reply *r = listen_after(t, &one, last);
	assert_false(over(r));
	assert_int_equal(occurs(sent(t, r), "event: notification"), 304);
	test_close(t);
}

static void
a_stream_ends_with_its_session(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user stays = test_user(t, ROLE_STUDENT), leaves = test_user(t, ROLE_STUDENT),
			 demoted = test_user(t, ROLE_ADMIN), disabled = test_user(t, ROLE_STUDENT);
	struct test_reply *r[] = {listen_after(t, &stays, NULL), listen_after(t, &leaves, NULL), listen_after(t, &demoted, NULL),
		listen_after(t, &disabled, NULL)};

	(void)state;
	check(t);
	for (int i = 0; i < 4; i++)
		assert_false(over(r[i]));
	expect_status(call(t, POST, "/api/auth/logout", NULL, PATH(t, "{'refresh_token':'%s'}", leaves.refresh_token)), 204);
	sql_run(t, PATH(t, "UPDATE users SET role = 'student' WHERE id = '%s'", demoted.id.text));
	sql_run(t, PATH(t, "UPDATE users SET is_active = 0 WHERE id = '%s'", disabled.id.text));
	session_table_flush(t->srv.sessions);
	check(t);
	assert_false(over(r[0]));
	for (int i = 1; i < 4; i++)
		assert_true(over(r[i]));
	test_advance(t, t->srv.conf->session_absolute_days * DAYS_US);
	check(t);
	assert_true(over(r[0]));
	test_close(t);
}

static void
an_account_listens_in_few_places(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_user one = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);
	struct test_reply *first = NULL;

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct test_reply *r = listen_after(t, &one, NULL);
		expect_status(r, 200);
		first = first ? first : r;
	}
	expect_error(listen_after(t, &one, NULL), 409, "conflict");
	expect_status(listen_after(t, &other, NULL), 200);
	stream_abandon(first->x.reply.stream);
	first->x.reply.stream = NULL;
	expect_status(listen_after(t, &one, NULL), 200);
	test_close(t);
}

/* --- displays ------------------------------------------------------------------------------------------------------------------
 */

struct screen_room {
	struct test *t;
	struct test_user admin, student;
	struct event event;
	struct displays *displays;
	const char *display_path, *frames_path;
};

static struct screen_room
screen_room_open(int64_t minutes)
{
	struct screen_room r = {.t = test_open(NULL)};
	struct event_new in;

	r.admin = test_user(r.t, ROLE_ADMIN);
	r.student = test_user_named(r.t, ROLE_STUDENT, "ada@example.org", "Ada \"Count\" Lovelace");
	in = event_plain(r.t, "Algorithms");
	if (minutes)
		in.ends_at = r.t->wall_us + minutes * MINUTES_US;
	r.event = make_event(r.t, &r.admin, in);
	r.displays = displays_open();
	r.display_path = PATH(r.t, "/api/admin/events/%s/display", r.event.id.text);
	r.frames_path = PATH(r.t, "/api/admin/events/%s/frames", r.event.id.text);
	return r;
}

static void
screen_room_close(struct screen_room *r)
{
	displays_close(r->displays);
	test_close(r->t);
}

static void
turn(struct screen_room *r)
{
	struct ctx cx;

	test_ctx(r->t, &cx);
	displays_turn(&cx, r->displays);
}

static const char *
display_token(struct screen_room *r)
{
	struct test_reply *d = call(r->t, POST, r->display_path, r->admin.bearer, NULL);

	expect_status(d, 201);
	return text_at(d, "display_token");
}

static void
a_screen_shows_codes_that_mark(void **state)
{
	struct screen_room r = screen_room_open(0);
	struct test *t = r.t;
	struct test_reply *s = call(t, GET, r.frames_path, display_token(&r), NULL);

	(void)state;
	expect_status(s, 200);
	assert_string_equal(sent(t, s), "retry: 2000\n\n");
	turn(&r);
	const char *text = sent(t, s);
	json_t *frame = event_data(t, text, "frame", 0), *first = event_data(t, text, "count", 0);
	assert_string_equal(schema_mismatch(&t->arena, &frame_schema, frame), "");
	assert_string_equal(member(json_object_get(frame, "event"), "title"), "Algorithms");
	assert_int_equal(json_integer_value(json_object_get(frame, "count")), 0);
	assert_int_equal(member_time(frame, "server_time"), t->wall_us);
	assert_int_equal(member_time(frame, "issued_at"), t->wall_us);
	assert_int_equal(member_time(frame, "expires_at") - member_time(frame, "rotates_at"), 10 * SECONDS_US);
	assert_in_range(member_time(frame, "rotates_at") - t->wall_us, 1, 50 * SECONDS_US);
	assert_int_equal(json_array_size(json_object_get(first, "latest")), 0);

	/* Both forms of the code mark. */
	expect_status(call(t, POST, "/api/attendance/mark", r.student.bearer,
			      PATH(t, "{'code':'%s','event_id':'%s'}", member(frame, "code"), r.event.id.text)),
		201);
	test_advance(t, SECONDS_US / 2);
	turn(&r);
	text = sent(t, s);
	assert_null(event_data(t, text, "frame", 0));
	json_t *present = event_data(t, text, "count", 0);
	assert_int_equal(json_integer_value(json_object_get(present, "count")), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(present, "latest"), 0)), "Ada \"Count\" Lovelace");
	struct test_user other = test_user(t, ROLE_STUDENT);
	expect_status(
		call(t, POST, "/api/attendance/mark", other.bearer, PATH(t, "{'qr_payload':'%s'}", member(frame, "qr_payload"))),
		201);

	/* The job tells administrators, live as well. */
	struct test_reply *told = listen_after(t, &r.admin, NULL);
	run_job(t, "notify_marks");
	assert_non_null(strstr(sent(t, told), "\"message\":\"2 people have marked attendance at Algorithms.\""));

	/* The next code comes when the slot ends, and then the first is good for 10 s more. */
	test_advance(t, member_time(frame, "rotates_at") - SECONDS_US - t->wall_us);
	turn(&r);
	assert_null(event_data(t, sent(t, s), "frame", 0));
	test_advance(t, SECONDS_US);
	turn(&r);
	json_t *second = event_data(t, sent(t, s), "frame", 0);
	assert_string_not_equal(member(second, "session_id"), member(frame, "session_id"));
	assert_string_not_equal(member(second, "code"), member(frame, "code"));
	assert_int_equal(member_time(second, "rotates_at") - member_time(frame, "rotates_at"), 50 * SECONDS_US);
	struct test_user late = test_user(t, ROLE_STUDENT), later = test_user(t, ROLE_STUDENT);
	test_advance(t, 9 * SECONDS_US);
	expect_status(
		call(t, POST, "/api/attendance/mark", late.bearer, PATH(t, "{'qr_payload':'%s'}", member(frame, "qr_payload"))),
		201);
	test_advance(t, SECONDS_US);
	expect_error(
		call(t, POST, "/api/attendance/mark", later.bearer, PATH(t, "{'qr_payload':'%s'}", member(frame, "qr_payload"))),
		400, "token_expired");

	/* One row a slot, and one trace for all of it. */
	assert_int_equal(count(t, "SELECT COUNT(*) FROM qr_sessions WHERE slot IS NOT NULL"), 2);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'qr_generated'"), 1);
	screen_room_close(&r);
}

/* Two nodes: each has its own hub and turns, and they share the database. */
static void
two_nodes_show_the_same_code(void **state)
{
	struct screen_room r = screen_room_open(0);
	struct test *t = r.t;
	struct displays *other_node = displays_open();
	struct test_reply *a = call(t, GET, r.frames_path, display_token(&r), NULL);
	struct ctx cx;

	(void)state;
	turn(&r);
	json_t *here = event_data(t, sent(t, a), "frame", 0);
	struct live *hub = t->srv.live, *other_hub = live_open();
	t->srv.live = other_hub;
	struct test_reply *b = call(t, GET, r.frames_path, r.admin.bearer, NULL);
	test_ctx(t, &cx);
	displays_turn(&cx, other_node);
	json_t *there = event_data(t, sent(t, b), "frame", 0);
	assert_string_equal(member(here, "session_id"), member(there, "session_id"));
	assert_string_equal(member(here, "code"), member(there, "code"));
	assert_string_equal(member(here, "qr_payload"), member(there, "qr_payload"));
	/* What is marked elsewhere shows within a second, without a word from that node. */
	t->srv.live = NULL;
	expect_status(call(t, POST, "/api/attendance/mark", r.student.bearer,
			      PATH(t, "{'qr_payload':'%s'}", member(here, "qr_payload"))),
		201);
	t->srv.live = hub;
	test_advance(t, SECONDS_US);
	turn(&r);
	assert_int_equal(json_integer_value(json_object_get(event_data(t, sent(t, a), "count", 0), "count")), 1);
	stream_abandon(b->x.reply.stream);
	b->x.reply.stream = NULL;
	displays_close(other_node);
	live_close(other_hub);
	screen_room_close(&r);
}

static void
counts_are_few(void **state)
{
	struct screen_room r = screen_room_open(0);
	struct test *t = r.t;
	struct test_reply *s = call(t, GET, r.frames_path, r.admin.bearer, NULL);
	int counts = 0;

	(void)state;
	turn(&r);
	json_t *frame = event_data(t, sent(t, s), "frame", 0);
	for (int i = 0; i < 20; i++) { /* a mark and a turn every 50 ms */
		struct test_user u = test_user(t, ROLE_STUDENT);
		expect_status(call(t, POST, "/api/attendance/mark", u.bearer,
				      PATH(t, "{'qr_payload':'%s'}", member(frame, "qr_payload"))),
			201);
		test_advance(t, 50000);
		turn(&r);
		counts += occurs(sent(t, s), "event: count");
	}
	assert_int_equal(counts, 4);
	test_advance(t, 250000);
	turn(&r);
	assert_null(event_data(t, sent(t, s), "count", 0)); /* nothing is owed: the last one said 20 */
	screen_room_close(&r);
}

static void
a_withdrawn_code_is_replaced(void **state)
{
	struct screen_room r = screen_room_open(0);
	struct test *t = r.t;
	struct test_reply *s = call(t, GET, r.frames_path, r.admin.bearer, NULL);

	(void)state;
	turn(&r);
	json_t *first = event_data(t, sent(t, s), "frame", 0);
	test_advance(t, 3 * SECONDS_US);
	expect_status(
		call(t, POST, PATH(t, "/api/admin/qr-sessions/%s/revoke", member(first, "session_id")), r.admin.bearer, NULL),
		200);
	turn(&r);
	json_t *second = event_data(t, sent(t, s), "frame", 0);
	assert_string_not_equal(member(second, "session_id"), member(first, "session_id"));
	assert_string_equal(member(second, "rotates_at"), member(first, "rotates_at"));
	expect_status(call(t, POST, "/api/attendance/mark", r.student.bearer,
			      PATH(t, "{'qr_payload':'%s'}", member(second, "qr_payload"))),
		201);
	test_advance(t, SECONDS_US);
	turn(&r);
	assert_null(event_data(t, sent(t, s), "frame", 0));
	screen_room_close(&r);
}

static void
a_display_token_opens_frames_and_nothing_else(void **state)
{
	struct screen_room r = screen_room_open(0);
	struct test *t = r.t;
	const char *token = display_token(&r);
	struct event other = make_event(t, &r.admin, event_plain(t, "Other"));
	static const char *const elsewhere[] = {
		"/api/auth/me", "/api/events", "/api/notifications/stream", "/api/admin/qr-sessions/active"};

	(void)state;
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		expect_error(call(t, GET, elsewhere[i], token, NULL), 401, "not_authenticated");
	expect_error(call(t, POST, r.display_path, token, NULL), 401, "not_authenticated");
	expect_error(call(t, GET, PATH(t, "/api/admin/events/%s/frames", other.id.text), token, NULL), 403, "forbidden");
	expect_error(call(t, GET, r.frames_path, r.student.bearer, NULL), 403, "forbidden");
	expect_error(call(t, GET, r.frames_path, NULL, NULL), 401, "not_authenticated");
	expect_error(call(t, GET, r.frames_path, PATH(t, "%sx", token), NULL), 401, "not_authenticated");
	expect_error(call(t, POST, r.display_path, r.student.bearer, NULL), 403, "forbidden");
	/* Three screens; the admin sees how many there are. */
	for (int i = 0; i < 3; i++)
		expect_status(call(t, GET, r.frames_path, token, NULL), 200);
	expect_error(call(t, GET, r.frames_path, token, NULL), 409, "conflict");
	expect_int(call(t, POST, r.display_path, r.admin.bearer, NULL), "streams", 3);
	expect_status(call(t, GET, r.frames_path, r.admin.bearer, NULL), 200);
	/* An access token that has run out says so. */
	test_advance(t, t->srv.conf->access_token_expire_minutes * MINUTES_US);
	expect_error(call(t, GET, r.frames_path, r.admin.bearer, NULL), 401, "token_expired");
	test_advance(t, 12 * HOURS_US);
	expect_error(call(t, GET, r.frames_path, token, NULL), 401, "not_authenticated");
	screen_room_close(&r);
}

static void
a_display_ends(void **state)
{
	struct screen_room r = screen_room_open(90);
	struct test *t = r.t;
	struct test_reply *d = call(t, POST, r.display_path, r.admin.bearer, NULL);
	const char *token = text_at(d, "display_token");
	struct test_reply *s = call(t, GET, r.frames_path, token, NULL), *own = call(t, GET, r.frames_path, r.admin.bearer, NULL);

	(void)state;
	expect_text(d, "expires_at", "2026-08-01T13:30:00Z");
	/* The one who made it signs in elsewhere: the screen stays. */
	expect_status(call(t, POST, "/api/auth/logout", NULL, PATH(t, "{'refresh_token':'%s'}", r.admin.refresh_token)), 204);
	check(t);
	assert_false(over(s));
	assert_true(over(own));
	expect_error(call(t, GET, r.frames_path, r.admin.bearer, NULL), 401, "token_revoked");
	/* Withdrawn. */
	test_login(t, &r.admin);
	expect_int(call(t, DELETE, r.display_path, r.admin.bearer, NULL), "revoked", 1);
	check(t);
	assert_true(over(s));
	expect_error(call(t, GET, r.frames_path, token, NULL), 401, "token_revoked");
	expect_int(call(t, DELETE, r.display_path, r.admin.bearer, NULL), "revoked", 0);
	/* Whose maker is no administrator any more. */
	token = display_token(&r);
	s = call(t, GET, r.frames_path, token, NULL);
	sql_run(t, PATH(t, "UPDATE users SET role = 'student' WHERE id = '%s'", r.admin.id.text));
	check(t);
	assert_true(over(s));
	sql_run(t, PATH(t, "UPDATE users SET role = 'admin' WHERE id = '%s'", r.admin.id.text));
	/* The event ends, and says so to all. */
	s = call(t, GET, r.frames_path, token, NULL);
	turn(&r);
	assert_non_null(event_data(t, sent(t, s), "frame", 0));
	test_advance(t, 90 * MINUTES_US);
	turn(&r);
	assert_non_null(event_data(t, sent(t, s), "ended", 0));
	assert_true(over(s));
	test_login(t, &r.admin);
	expect_error(call(t, POST, r.display_path, r.admin.bearer, NULL), 409, "event_not_open");
	expect_error(call(t, GET, r.frames_path, r.admin.bearer, NULL), 409, "event_not_open");
	screen_room_close(&r);
}

static void
an_event_that_is_not_there(void **state)
{
	struct screen_room r = screen_room_open(0);
	struct test *t = r.t;
	struct test_reply *s = call(t, GET, r.frames_path, display_token(&r), NULL);

	(void)state;
	expect_status(call(t, DELETE, PATH(t, "/api/admin/events/%s", r.event.id.text), r.admin.bearer, NULL), 204);
	turn(&r);
	assert_non_null(event_data(t, sent(t, s), "ended", 0));
	expect_error(call(t, POST, r.display_path, r.admin.bearer, NULL), 404, "event_not_found");
	expect_error(call(t, DELETE, r.display_path, r.admin.bearer, NULL), 404, "event_not_found");
	expect_error(call(t, GET, r.frames_path, r.admin.bearer, NULL), 404, "event_not_found");
	screen_room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notifications_come_after_their_commit),
		cmocka_unit_test(what_was_missed_comes_again),
		cmocka_unit_test(a_stream_ends_with_its_session),
		cmocka_unit_test(an_account_listens_in_few_places),
		cmocka_unit_test(a_screen_shows_codes_that_mark),
		cmocka_unit_test(two_nodes_show_the_same_code),
		cmocka_unit_test(counts_are_few),
		cmocka_unit_test(a_withdrawn_code_is_replaced),
		cmocka_unit_test(a_display_token_opens_frames_and_nothing_else),
		cmocka_unit_test(a_display_ends),
		cmocka_unit_test(an_event_that_is_not_there),
	};

	return cmocka_run_group_tests_name("portal: streams", tests, NULL, NULL);
}
