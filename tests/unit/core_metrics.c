/* Metrics: what /metrics prints after known samples, from several threads too. */
#include "core_env.h"

#include <pthread.h>

#include "core/metrics.h"
#include "core/str.h"

static const char *
label(size_t i)
{
	return i ? "method=\"POST\",route=\"/b\"" : "method=\"GET\",route=\"/a\"";
}

static const char *
printed(const struct metrics *m)
{
	struct buf b;

	buf_init(&b, &arena, 0);
	metrics_print(m, &b, label);
	return buf_cstr(&b);
}

static void
assert_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);
	size_t n = strlen(line);

	if (!at || (at != text && at[-1] != '\n') || at[n] != '\n')
		fail_msg("no line: %s", line);
}

static void
counters_gauges_histograms(void **state)
{
	(void)state;
	struct metrics *m = metrics_open(2);

	metrics_add(m, M_MARKS, "present", 2);
	metrics_add(m, M_MARKS, (char[]){"present"}, 1); /* equal text, other address */
	metrics_add(m, M_MARKS, "quote\"d", 1);
	metrics_add(m, M_APPROVAL_TIMEOUTS, NULL, 4);
	metrics_set(m, M_WAL_BYTES, 4096);
	metrics_add(m, M_CONNECTIONS, NULL, 5);
	metrics_add(m, M_CONNECTIONS, NULL, -2);
	metrics_observe(m, M_BATCH_SIZE, 1);
	metrics_observe(m, M_BATCH_SIZE, 3);
	metrics_observe(m, M_BATCH_SIZE, 10000);
	metrics_request(m, 1, 201, 1500);
	metrics_request(m, 1, 201, 20000000);
	metrics_request(m, 1, 418, 0);
	metrics_request(m, 1, 99999, 0);
	metrics_request(m, 7, 200, 0); /* no such route: ignored */
	metrics_add(NULL, M_MARKS, "present", 1);
	const char *text = printed(m);
	assert_line(text, "# TYPE muster_marks_total counter");
	assert_line(text, "muster_marks_total{verdict=\"present\"} 3");
	assert_line(text, "muster_marks_total{verdict=\"quote\\\"d\"} 1");
	assert_line(text, "muster_approval_timeouts_total 4");
	assert_line(text, "muster_wal_bytes 4096");
	assert_line(text, "muster_http_connections 3");
	assert_line(text, "muster_batch_size_bucket{le=\"1\"} 1");
	assert_line(text, "muster_batch_size_bucket{le=\"4\"} 2");
	assert_line(text, "muster_batch_size_bucket{le=\"512\"} 2");
	assert_line(text, "muster_batch_size_bucket{le=\"+Inf\"} 3");
	assert_line(text, "muster_batch_size_sum 10004");
	assert_line(text, "muster_batch_size_count 3");
	assert_line(text, "muster_http_requests_total{method=\"POST\",route=\"/b\",status=\"201\"} 2");
	assert_line(text, "muster_http_requests_total{method=\"POST\",route=\"/b\",status=\"other\"} 2");
	assert_line(text, "muster_http_request_seconds_bucket{method=\"POST\",route=\"/b\",le=\"0.001\"} 2");
	assert_line(text, "muster_http_request_seconds_bucket{method=\"POST\",route=\"/b\",le=\"0.002\"} 3");
	assert_line(text, "muster_http_request_seconds_bucket{method=\"POST\",route=\"/b\",le=\"+Inf\"} 4");
	assert_line(text, "muster_http_request_seconds_sum{method=\"POST\",route=\"/b\"} 20.0015");
	assert_null(strstr(text, "route=\"/a\""));
	metrics_close(m);
}

static void
labels_are_bounded(void **state)
{
	(void)state;
	struct metrics *m = metrics_open(1);

	for (int i = 0; i < 200; i++)
		metrics_add(m, M_LOGINS, arena_printf(&arena, "label%d", i), 1);
	metrics_add(m, M_LOGINS, "label3", 1);
	const char *text = printed(m);
	assert_line(text, "muster_logins_total{result=\"label3\"} 2");
	assert_line(text, "muster_logins_total{result=\"label62\"} 1");
	assert_line(text, "muster_logins_total{result=\"other\"} 137");
	assert_null(strstr(text, "label63\""));
	metrics_close(m);
}

static void *
hammer(void *arg)
{
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	for (int i = 0; i < 20000; i++) {
		metrics_add(arg, M_RATE_LIMITED, names[i % 8], 1);
		metrics_request(arg, 0, 200, i % 100);
	}
	return NULL;
}

static void
no_sample_is_lost(void **state)
{
	(void)state;
	struct metrics *m = metrics_open(1);
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, hammer, m), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	const char *text = printed(m);
	assert_line(text, "muster_rate_limited_total{limit=\"a\"} 10000");
	assert_line(text, "muster_rate_limited_total{limit=\"h\"} 10000");
	assert_line(text, "muster_http_requests_total{method=\"GET\",route=\"/a\",status=\"200\"} 80000");
	metrics_close(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(counters_gauges_histograms, reset),
		cmocka_unit_test_teardown(labels_are_bounded, reset),
		cmocka_unit_test_teardown(no_sample_is_lost, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
