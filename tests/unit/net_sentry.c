/* Reports of errors over a socket: their bytes, a full queue, an endpoint that hangs or has enough, and DSNs that are none. */
#include "our_fail.h"

#include "core/conf.h"
#include "core/json.h"
#include "core/metrics.h"
#include "sentry_peer.h"

enum { FLUSH_MS = 60000 }; /* ends early when all is sent */

static struct arena arena;
static struct metrics *metrics;

static struct sentry *
open_at(const char *dsn)
{
	const struct config conf = {.sentry_dsn = (char *)dsn, .env = ENV_STAGING};

	return sentry_open(&conf, &source_system, metrics);
}

static struct sentry *
open_to(const struct peer *p)
{
	return open_at(arena_printf(&arena, "http://abc123@127.0.0.1:%d/errors/42", p->port));
}

static void
report(struct sentry *s, const char *request_id)
{
	sentry_report(s, &(const struct sentry_event){.error = "INTERNAL",
				 .what = "GET",
				 .where = "/v1/auth/me",
				 .file = "src/x.c",
				 .func = "f",
				 .line = 7,
				 .request_id = request_id});
}

static void
expect_count(const char *result, int64_t want)
{
	struct buf out;

	buf_init(&out, &arena, 1 << 16);
	metrics_print(metrics, &out, NULL);
	const char *line = strstr(buf_cstr(&out), arena_printf(&arena, "muster_error_reports_total{result=\"%s\"} ", result));
	assert_int_equal(line ? strtol(strchr(line, ' '), NULL, 10) : 0, want);
}

static int
set_up(void **state)
{
	metrics = metrics_open(0);
	*state = peer_open();
	return 0;
}

static int
tear_down(void **state)
{
	peer_close(*state);
	metrics_close(metrics);
	return 0;
}

static void
an_envelope(void **state)
{
	struct peer *p = *state;
	struct sentry *s = open_to(p);
	char *line[3];

	report(s, "req-1");
	sentry_close(s, FLUSH_MS);
	assert_int_equal(p->received, 1);
	expect_count("sent", 1);
	assert_memory_equal(p->report[0], "POST /errors/api/42/envelope/ HTTP/1.1\r\n", 40);
	assert_non_null(strstr(p->report[0], "\r\nContent-Type: application/x-sentry-envelope\r\n"));
	assert_null(strstr(p->report[0], "x-www-form-urlencoded"));
	assert_non_null(strstr(p->report[0],
		"\r\nX-Sentry-Auth: Sentry sentry_version=7, sentry_client=muster/" MUSTER_VERSION ", sentry_key=abc123\r\n"));
	line[0] = strstr(p->report[0], "\r\n\r\n") + 4;
	for (int i = 1; i < 3; i++) {
		line[i] = strchr(line[i - 1], '\n');
		*line[i]++ = 0;
	}
	*strchr(line[2], '\n') = 0;
	json_t *head = json_read(&arena, span_str(line[0])), *item = json_read(&arena, span_str(line[1])),
	       *event = json_read(&arena, span_str(line[2]));
	const char *id = json_string_value(json_object_get(head, "event_id"));
	assert_int_equal(strlen(id), 32);
	assert_int_equal(strspn(id, "0123456789abcdef"), 32);
	assert_int_equal(json_integer_value(json_object_get(item, "length")), strlen(line[2]));
	assert_string_equal(json_string_value(json_object_get(event, "event_id")), id);
	json_object_del(event, "event_id");
	assert_int_equal(strlen(json_string_value(json_object_get(event, "timestamp"))), TIME_WIRE_BYTES);
	json_object_del(event, "timestamp");
	char *rest = json_dumps(event, JSON_COMPACT);
	assert_string_equal(rest,
		"{\"platform\":\"c\",\"level\":\"error\",\"release\":\"muster@" MUSTER_VERSION
		"\",\"environment\":\"staging\",\"transaction\":\"GET /v1/auth/me\",\"tags\":{\"request_id\":\"req-1\"},"
		"\"exception\":{\"values\":[{\"type\":\"INTERNAL\",\"stacktrace\":{\"frames\":[{\"filename\":\"src/x.c\","
		"\"function\":\"f\",\"lineno\":7,\"in_app\":true}]}}]}}");
	free(rest);
}

/* The first report hangs at the endpoint; the ring takes its fill, the rest is dropped, and nobody waited. */
static void
a_hanging_endpoint_costs_reports_only(void **state)
{
	struct peer *p = *state;
	struct sentry *s = open_to(p);

	peer_hold(p, true);
	report(s, "first");
	peer_await(p, 1);
	for (int i = 0; i < SENTRY_QUEUE_MAX + 9; i++)
		report(s, "more");
	assert_int_equal(peer_answered(p), 0);
	expect_count("dropped", 9);
	expect_count("failed", 0);
	peer_hold(p, false);
	sentry_close(s, FLUSH_MS);
	expect_count("sent", SENTRY_QUEUE_MAX + 1);
	assert_int_equal(p->received, SENTRY_QUEUE_MAX + 1);
}

static void
closing_gives_up(void **state)
{
	struct peer *p = *state;
	struct sentry *s = open_to(p);

	peer_hold(p, true);
	report(s, "first");
	peer_await(p, 1);
	report(s, "second");
	sentry_close(s, 0);
	assert_int_equal(peer_answered(p), 0);
	expect_count("failed", 1);
	expect_count("dropped", 1);
	expect_count("sent", 0);
}

static void
an_endpoint_that_has_enough_gets_no_more(void **state)
{
	static const struct {
		const char *answer;
		int received;
	} rows[] = {
		{"HTTP/1.1 429 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 1},
		{"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 1},
		{"nonsense\r\n\r\n", 1},
		{"HTTP/1.1 400 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 3},
	};
	struct peer *p = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sentry *s = open_to(p);
		int before = p->received;
		p->answer = rows[i].answer;
		peer_hold(p, true);
		report(s, "a");
		peer_await(p, before + 1);
		report(s, "b");
		report(s, "c");
		peer_hold(p, false);
		sentry_close(s, FLUSH_MS);
		assert_int_equal(p->received - before, rows[i].received);
	}
	expect_count("failed", 6);
	expect_count("dropped", 6);
}

static void
what_is_no_dsn(void **state)
{
	static const char *const rows[] = {"", "nonsense", "http://host/1", "http://@host/1", "http://k@host", "http://k@host/",
		"http://k@/1", "http://k@host/1/", "http://k@host/1?x=y", "http://k@host/1#x", "http://k\r\nX: y@host/1",
		"http://k@l@host/1", "k@host/1"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_null(open_at(rows[i]));
	report(NULL, "x");
	sentry_close(NULL, 0);
	struct sentry *s = open_at("https://key:secret@sentry.example.org/1");
	assert_non_null(s);
	sentry_close(s, 0);
}

int
main(void)
{
#define IN(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN(an_envelope),
		IN(a_hanging_endpoint_costs_reports_only),
		IN(closing_gives_up),
		IN(an_endpoint_that_has_enough_gets_no_more),
		IN(what_is_no_dsn),
	};

	arena_init(&arena);
	int failed = cmocka_run_group_tests_name("net_sentry", tests, NULL, NULL);
	arena_release(&arena);
	return failed;
}
