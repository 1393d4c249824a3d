/* Failed requests and jobs are reported, without holding anybody up and without anything of the people concerned. */
#include "support.h"

#include "core/conf.h"
#include "jobs/jobs.h"
#include "sentry_peer.h"

enum { FLUSH_MS = 60000 }; /* ends early when all is sent */

struct note {
	const char *email;
};
static const struct field note_fields[] = {F(struct note, email, F_REQUIRED, 1, 200, "An address.")};
static const struct schema note_schema = SCHEMA("Note", struct note, note_fields);

static enum err
break_down(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct note *in = rq->body;

	(void)rs;
	error_text(cx, "canary", "canary-note");
	return fail_internal(cx, ERR_INTERNAL, "no row of %s", in->email);
}

static enum err
refuse_it(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)rq;
	(void)rs;
	return fail(cx, ERR_NOT_FOUND, NULL);
}

#define ROW(p, fn)                                                                                                          \
	.method = POST, .path = (p), .handler = (fn), .access = SIGNED_IN, .lane = LANE_LOOP, .status = 200, .tag = "test", \
	.summary = "Test", .reply = &note_schema
static const struct route rows[] = {
	{ROW("/api/t/{id}/break", break_down), .body = &note_schema},
	{ROW("/api/t/{id}/refuse", refuse_it)},
};
static const struct route_table table = {SURFACE_PORTAL, rows, sizeof(rows) / sizeof(rows[0])};
static const struct route_table *const tables[] = {&table};

static struct test *
open_reporting(const struct peer *p)
{
	static char dsn[80];
	struct test *t;

	(void)snprintf(dsn, sizeof(dsn), "SENTRY_DSN=http://abc123@127.0.0.1:%d/42", p->port);
	t = test_open_with(TEST_CONF(dsn), tables, 1);
	t->srv.sentry = sentry_open(t->srv.conf, &t->srv.source, NULL);
	assert_non_null(t->srv.sentry);
	return t;
}

static void
requests_do_not_wait_and_reports_say_nothing(void **state)
{
	struct peer *p = peer_open();
	struct test *t = open_reporting(p);
	struct test_user u = test_user_named(t, ROLE_STUDENT, "canary-user@example.org", "Canary Name");
	const struct header headers[] = {{"Cookie", "canary-cookie=1"}, {"User-Agent", "canary-agent"}};
	const char *canaries[] = {
		"canary", "Canary", "01890a5d", u.bearer, u.id.text, "@example.org", "192.0.2.1", "Bearer", "query"};

	(void)state;
	peer_hold(p, true);
	for (int i = 0; i < 3; i++) {
		struct test_reply *r =
			call_with(t, &(const struct test_request){.method = POST,
					     .path = "/api/t/01890a5d-ac96-774b-bcce-b302099a8057/break?token=canary-query",
					     .bearer = u.bearer,
					     .body = "{\"email\":\"canary-body@example.org\"}",
					     .request_id = "req-7",
					     .headers = headers,
					     .n_headers = 2});
		expect_status(r, 500);
	}
	expect_status(call(t, POST, "/api/t/01890a5d-ac96-774b-bcce-b302099a8057/refuse", u.bearer, NULL), 404);
	assert_int_equal(peer_answered(p), 0);
	peer_hold(p, false);
	sentry_close(t->srv.sentry, FLUSH_MS);
	assert_int_equal(p->received, 3);
	for (int i = 0; i < 3; i++) {
		assert_non_null(strstr(p->report[i], "\"transaction\":\"POST /api/t/{id}/break\""));
		assert_non_null(strstr(p->report[i], "\"request_id\":\"req-7\""));
		assert_non_null(strstr(p->report[i], "\"type\":\"INTERNAL\""));
		assert_non_null(strstr(p->report[i], "\"function\":\"break_down\""));
		for (size_t k = 0; k < sizeof(canaries) / sizeof(canaries[0]); k++)
			assert_null(strstr(p->report[i], canaries[k]));
	}
	test_close(t);
	peer_close(p);
}

static void
a_failed_job_is_reported(void **state)
{
	struct peer *p = peer_open();
	struct test *t = open_reporting(p);
	struct ctx cx;
	int64_t count_rows;

	(void)state;
	sql_run(t, "DELETE FROM positions WHERE name = 'event_counts'");
	test_ctx(t, &cx);
	assert_int_equal(job_run(&cx, "event_counts", &count_rows), ERR_NOT_FOUND);
	assert_int_equal(job_run(&cx, "nonce_expire", &count_rows), OK);
	sentry_close(t->srv.sentry, FLUSH_MS);
	assert_int_equal(p->received, 1);
	assert_non_null(strstr(p->report[0], "\"transaction\":\"job event_counts\""));
	assert_non_null(strstr(p->report[0], "\"type\":\"NOT_FOUND\""));
	test_close(t);
	peer_close(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_do_not_wait_and_reports_say_nothing),
		cmocka_unit_test(a_failed_job_is_reported),
	};

	return cmocka_run_group_tests_name("api_sentry", tests, NULL, NULL);
}
