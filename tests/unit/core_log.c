/* Log: every line is one JSON object whatever is in it; levels; nothing is lost between threads or at the end. */
#include "core_env.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "core/json.h"
#include "core/log.h"

static int ends[2];

static int
open_pipe(void **state)
{
	(void)state;
	return pipe(ends);
}

static int
close_pipe(void **state)
{
	log_close();
	close(ends[0]);
	close(ends[1]);
	return reset(state);
}

/* The next `n` bytes or what there is, as text. */
static char *
take(size_t n)
{
	char *text = arena_alloc(&arena, n + 1, 1);
	ssize_t got = read(ends[0], text, n);

	assert_true(got >= 0);
	return text;
}

static const json_t *
only_line(char *text)
{
	char *end = strchr(text, '\n');

	assert_non_null(end);
	assert_int_equal(end[1], 0);
	const json_t *v = json_read(&arena, (struct span){(const uint8_t *)text, (size_t)(end - text)});
	if (!v)
		fail_msg("not JSON: %s", text);
	return v;
}

static const char *
text_at(const json_t *v, const char *name)
{
	return json_string_value(json_object_get(v, name));
}

static void
a_line_has_the_members_of_the_contract(void **state)
{
	(void)state;
	struct client client = {.request_id = "req-1", .ip = "", .user_agent = ""};
	struct ctx cx;
	int64_t at_us;

	ctx_init(&cx, &arena, NULL);
	cx.client = &client;
	log_open(LOG_INFO, ends[1]);
	log_info(&cx, "request", "answered", LOG_INT("status_code", 201), LOG_TEXT("path", "/api/x"), LOG_TEXT("user_id", NULL));
	log_flush();
	const json_t *v = only_line(take(65536));
	char *stamp = arena_strdup(&arena, text_at(v, "timestamp"));
	assert_true(time_parse(stamp, false, &at_us));
	assert_true(llabs(time_wall_us() - at_us) < MINUTES_US);
	assert_string_equal(text_at(v, "level"), "INFO");
	assert_string_equal(text_at(v, "logger"), "muster");
	assert_string_equal(text_at(v, "module"), "tests/unit/core_log");
	assert_string_equal(text_at(v, "function"), "a_line_has_the_members_of_the_contract");
	assert_string_equal(text_at(v, "message"), "answered");
	assert_string_equal(text_at(v, "event_type"), "request");
	assert_string_equal(text_at(v, "request_id"), "req-1");
	assert_string_equal(text_at(v, "path"), "/api/x");
	assert_string_equal(text_at(v, "user_id"), "");
	assert_int_equal(json_integer_value(json_object_get(v, "status_code")), 201);
}

static void
hostile_values_stay_inside(void **state)
{
	(void)state;
	static const char *const values[] = {"a\nb", "\r\n{\"level\":\"INFO\"}", "\x1b[2J\x1b]0;owned\x07", "\"},{\"x\":\"", "\\",
		"\\\"", "\x7f\x01\x1f", "\xff\xfe\xc0\x80", "\xed\xa0\x80", "\xc2\x9b\x33\x31m", "\xe2\x80\xa8", "😀é", "\xf0\x9f",
		"%s%n%x", "\t"};

	log_open(LOG_DEBUG, ends[1]);
	for (size_t i = 0; i < COUNT(values); i++) {
		log_debug(NULL, "test", values[i], LOG_TEXT("value", values[i]));
		log_flush();
		char *text = take(65536);
		for (const char *p = text; *p && *p != '\n'; p++)
			if ((uint8_t)*p < 0x20 || *p == 0x7f || ((uint8_t)*p == 0xc2 && (uint8_t)p[1] < 0xa0))
				fail_msg("value %zu: raw control in %s", i, text);
		const json_t *v = only_line(text);
		if (str_utf8_valid(span_str(values[i])))
			assert_string_equal(text_at(v, "value"), values[i]);
		assert_non_null(text_at(v, "message"));
	}
	/* long values are cut between characters, and a line of many of them still ends well */
	char *large = arena_alloc(&arena, 100001, 1);
	for (int i = 0; i < 100000; i += 2)
		memcpy(large + i, "é", 2);
	log_warning(NULL, "test", large, LOG_TEXT("a", large), LOG_TEXT("b", large + 1), LOG_TEXT("c", large), LOG_INT("n", 1));
	log_flush();
	const json_t *v = only_line(take(65536));
	assert_true(strlen(text_at(v, "message")) <= 2000);
	assert_true(str_utf8_valid(span_str(text_at(v, "message"))));
}

static void
levels_are_kept(void **state)
{
	(void)state;
	assert_false(log_on(LOG_CRITICAL)); /* closed */
	log_open(LOG_WARNING, ends[1]);
	assert_false(log_on(LOG_INFO));
	assert_true(log_on(LOG_WARNING));
	log_info(NULL, "test", "not this");
	log_error(NULL, "test", "this");
	log_close();
	const json_t *v = only_line(take(65536));
	assert_string_equal(text_at(v, "message"), "this");
	log_close(); /* twice does nothing */
}

static void
lines_come_out_by_themselves(void **state)
{
	(void)state;
	struct pollfd p = {.fd = ends[0], .events = POLLIN};

	log_open(LOG_INFO, ends[1]);
	log_info(NULL, "test", "buffered");
	assert_int_equal(poll(&p, 1, 5000), 1); /* nobody flushed */
	assert_string_equal(text_at(only_line(take(65536)), "message"), "buffered");
}

enum { THREADS = 4, LINES = 500 };

static void *
chatter(void *arg)
{
	(void)arg;
	for (int i = 0; i < LINES; i++)
		log_info(NULL, "test", "line", LOG_INT("i", i));
	return NULL;
}

static void *
collect(void *arg)
{
	int *count = arg;
	char chunk[4096];
	ssize_t n;

	while (*count < THREADS * LINES && (n = read(ends[0], chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++)
			*count += chunk[i] == '\n';
	return NULL;
}

static void
threads_lose_nothing(void **state)
{
	(void)state;
	pthread_t t[THREADS], reader;
	int count = 0;

	log_open(LOG_INFO, ends[1]);
	assert_int_equal(pthread_create(&reader, NULL, collect, &count), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, chatter, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	log_close();
	pthread_join(reader, NULL);
	assert_int_equal(count, THREADS * LINES);
}

static void
a_stuck_reader_stops_nobody(void **state)
{
	(void)state;
	char *filler = arena_alloc(&arena, 2001, 1);
	bool told = false;

	/* Nobody reads: the pipe takes 64 KB and the buffers 2 MB; all further lines must be dropped, not waited for. */
	memset(filler, 'x', 2000);
	log_open(LOG_INFO, ends[1]);
	for (int i = 0; i < 3000; i++)
		log_info(NULL, "test", filler);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	struct pollfd p = {.fd = ends[0], .events = POLLIN};
	for (int round = 0; !told && round < 100000; round++) {
		char chunk[65537];
		if (poll(&p, 1, 100) != 1)
			log_info(NULL, "test", "one more, to carry the news");
		ssize_t n = read(ends[0], chunk, sizeof(chunk) - 1);
		chunk[n > 0 ? n : 0] = 0;
		told = strstr(chunk, "log.dropped") != NULL;
	}
	assert_true(told);
	while (true) { /* let the writer finish before the pipe is closed */
		char chunk[65536];
		if (read(ends[0], chunk, sizeof(chunk)) <= 0 && poll(&p, 1, 100) != 1)
			break;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_the_members_of_the_contract, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(hostile_values_stay_inside, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(levels_are_kept, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(lines_come_out_by_themselves, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(threads_lose_nothing, open_pipe, close_pipe),
		cmocka_unit_test_setup_teardown(a_stuck_reader_stops_nobody, open_pipe, close_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
