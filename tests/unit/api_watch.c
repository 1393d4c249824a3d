/* The gauges that are read from the audit trail: what they count, and when it is forgotten. */
#include "attendance_env.h"

#include "audit/audit.h"
#include "core/metrics.h"
#include "jobs/watch.h"

static const char *
no_route(size_t i)
{
	(void)i;
	return "";
}

/* A gauge as /metrics tells it after another look. */
static int64_t
gauge(struct test *t, const char *name)
{
	struct buf out;
	struct ctx cx;

	test_ctx(t, &cx);
	must(&cx, watch_look(&cx));
	buf_init(&out, &t->arena, 4096);
	metrics_print(t->srv.metrics, &out, no_route);
	const char *line = strstr(buf_cstr(&out), arena_printf(&t->arena, "\n%s ", name));
	assert_non_null(line);
	return strtoll(line + strlen(name) + 2, NULL, 10);
}

static void
failed_login(struct test *t, const char *ip)
{
	static const char body[] = "{\"username\":\"nobody@example.org\",\"password\":\"Not-This-1\"}";

	(void)call_with(t, &(const struct test_request){POST, "/api/auth/login", .body = body, .ip = ip});
}

struct many {
	const char *ip;
	int64_t count;
};

/* One row that stands for several refusals. */
static enum err
note_many(struct ctx *cx, void *arg)
{
	const struct many *m = arg;
	const struct client from = {.request_id = "test", .ip = m->ip, .user_agent = ""};
	const struct audit_note note = AUDIT_INT("count", m->count);

	cx->client = &from;
	enum err e = audit_write(cx,
		&(const struct audit_entry){.action = AUDIT_LOGIN_FAILED, .result = "failure", .notes = &note, .n_notes = 1});
	cx->client = NULL;
	return e;
}

static void
the_address_with_most_failed_logins_counts(void **state)
{
	struct test *t = test_open(NULL);
	struct many many = {"192.0.2.8", 15};

	(void)state;
	assert_int_equal(gauge(t, "muster_login_failures_worst_ip"), 0);
	for (int i = 0; i < 3; i++)
		failed_login(t, "192.0.2.7");
	for (int i = 0; i < 4; i++)
		failed_login(t, "192.0.2.8");
	failed_login(t, "192.0.2.9");
	assert_int_equal(gauge(t, "muster_login_failures_worst_ip"), 4);
	expect_err(OK, test_write(t, note_many, &many));
	assert_int_equal(gauge(t, "muster_login_failures_worst_ip"), 19);
	test_advance(t, (WATCH_LOGINS_S + 1) * SECONDS_US);
	failed_login(t, "192.0.2.7");
	assert_int_equal(gauge(t, "muster_login_failures_worst_ip"), 1);
	test_close(t);
}

static int
present(struct test *t, const struct test_user *u, const char *payload)
{
	return call(t, POST, "/api/attendance/mark", u->bearer, arena_printf(&t->arena, "{'qr_payload':'%s'}", payload))->status;
}

static void
who_is_marked_by_the_first_code_counts(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), ann = test_user(t, ROLE_STUDENT), ben = test_user(t, ROLE_STUDENT),
			 cy = test_user(t, ROLE_STUDENT);
	struct event e = make_event(t, &admin, event_plain(t, "Algorithms"));
	struct qr_session code = make_code(t, &admin, &e);

	(void)state;
	assert_int_equal(present(t, &ann, code.qr_payload), 201);
	assert_int_equal(present(t, &ben, "no-code"), 400);
	assert_int_equal(present(t, &ben, code.qr_payload), 201);
	assert_int_equal(present(t, &cy, "no-code"), 400);
	assert_int_equal(gauge(t, "muster_first_scans"), 3);
	assert_int_equal(gauge(t, "muster_first_scans_marked"), 1);
	test_advance(t, (WATCH_SCANS_S + 1) * SECONDS_US);
	assert_int_equal(gauge(t, "muster_first_scans"), 0);
	assert_int_equal(present(t, &ann, make_code(t, &admin, &e).qr_payload), 409); /* has been marked: no trouble, and no scan */
	assert_int_equal(gauge(t, "muster_first_scans"), 0);
	test_close(t);
}

/* A sanitizer brings an allocator of its own, of which the gauge knows nothing. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void
memory_in_use_counts(void **state)
{
	enum { MORE_BYTES = 8 << 20, SLACK_BYTES = 1 << 20 };
	struct test *t = test_open(NULL);
	int64_t before = gauge(t, "muster_heap_bytes");
	char *volatile more = malloc(MORE_BYTES);

	(void)state;
	assert_in_range(gauge(t, "muster_heap_bytes") - before, MORE_BYTES - SLACK_BYTES, MORE_BYTES + SLACK_BYTES);
	free(more);
	assert_in_range(gauge(t, "muster_heap_bytes"), 1, before + SLACK_BYTES);
	test_close(t);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_address_with_most_failed_logins_counts),
		cmocka_unit_test(who_is_marked_by_the_first_code_counts),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		cmocka_unit_test(memory_in_use_counts),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
