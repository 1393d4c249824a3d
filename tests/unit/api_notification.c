/* The portal's notifications over the dispatcher. */
#include "support.h"

#include <string.h>

#include "notify/notify.h"

struct sending {
	const char *user_id, *message;
};

static enum err
send_run(struct ctx *cx, void *arg)
{
	const struct sending *s = arg;

	return notify_user(cx, s->user_id,
		&(const struct notification_new){
			.type = "decision", .title = "Decided", .message = s->message, .data = "{\"n\":1}"});
}

static void
send(struct test *t, const struct test_user *to, const char *message)
{
	struct sending s = {to->id.text, message};
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, send_run, &s), OK);
}

static void
own_notifications(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user one = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);

	(void)state;
	for (int i = 0; i < 25; i++)
		send(t, &one, arena_printf(&t->arena, "%d", i));
	send(t, &other, "foreign");
	struct test_reply *r = call(t, GET, "/api/notifications", one.bearer, NULL);
	assert_int_equal(json_array_size(reply_at(r, "notifications")), 20);
	expect_int(r, "total", 25);
	expect_int(r, "unread", 25);
	expect_int(r, "page", 1);
	expect_int(r, "limit", 20);
	expect_text(r, "notifications.0.message", "24");
	expect_json(r, "notifications.0.data", "{'n':1}");
	assert_null(strstr(r->body, "foreign"));

	const char *newest = text_at(r, "notifications.0.id");
	const char *path = arena_printf(&t->arena, "/api/notifications/%s/read", newest);
	expect_error(call(t, POST, path, other.bearer, NULL), 404, "not_found");
	expect_error(call(t, POST, path, NULL, NULL), 401, "not_authenticated");
	expect_json(call(t, POST, path, one.bearer, NULL), "is_read", "true");
	expect_status(call(t, POST, path, one.bearer, NULL), 200);
	r = call(t, GET, "/api/notifications?unread=true&page=3&limit=10", one.bearer, NULL);
	expect_int(r, "total", 24);
	assert_int_equal(json_array_size(reply_at(r, "notifications")), 4);
	expect_int(call(t, POST, "/api/notifications/read-all", one.bearer, NULL), "updated", 24);
	expect_int(call(t, GET, "/api/notifications", one.bearer, NULL), "unread", 0);
	expect_int(call(t, GET, "/api/notifications", other.bearer, NULL), "unread", 1);
	test_close(t);
}

static void
pages_are_bounded(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user one = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_error(call(t, GET, "/api/notifications?page=101&limit=100", one.bearer, NULL), 422, "page_too_deep");
	expect_status(call(t, GET, "/api/notifications?page=100&limit=100", one.bearer, NULL), 200);
	expect_error(call(t, GET, "/api/notifications?page=0", one.bearer, NULL), 422, "validation_error");
	expect_error(call(t, GET, "/api/notifications?limit=101", one.bearer, NULL), 422, "validation_error");
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_notifications),
		cmocka_unit_test(pages_are_bounded),
	};

	return cmocka_run_group_tests_name("portal: notifications", tests, NULL, NULL);
}
