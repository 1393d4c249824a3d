/* JSON: what the reader refuses, what the writer escapes. */
#include "core_env.h"

#include <locale.h>
#include <math.h>

#include "core/json.h"
#include "core/time.h"

static void
reader_is_strict(void **state)
{
	(void)state;
	static const char *const good[] = {"{}", "[]", "null", "1", "-0.5e3", "\"\\u00e9\\ud83d\\ude00\"",
		" {\"a\":[1,{\"b\":null}]} ", "\"]]]]]]]\"", "{\"a\":1,\"b\":1}"};
	static const char *const bad[] = {"", " ", "{", "}", "{}{}", "{}x", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "{a:1}",
		"'a'", "\"\\u0000\"", "\"a\\u0000b\"", "\"\\ud800\"", "\"\x01\"", "\"\n\"", "\"\xff\"", "\"\xc0\x80\"",
		"\"\xed\xa0\x80\"", "NaN", "Infinity", "01", "+1", "1.", ".5", "0x1", "// c\n1", "\xef\xbb\xbf{}",
		"99999999999999999999999", "1e999", "tru", "True", "\"\\x\"", "\"unterminated", "{\"a\"}", "[1 2]"};

	for (size_t i = 0; i < COUNT(good); i++)
		if (!json_read(&arena, span_str(good[i])))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (json_read(&arena, span_str(bad[i])))
			fail_msg("%s", bad[i]);
	assert_null(json_read(&arena, SPAN_LIT("{}\0")));
	assert_null(json_read(&arena, SPAN_LIT("\"a\0b\"")));
	assert_null(json_read(&arena, (struct span){0}));
}

static void
depth_is_bounded(void **state)
{
	(void)state;
	for (int depth = 30; depth < 36; depth++) {
		struct buf b;
		buf_init(&b, &arena, 0);
		for (int i = 0; i < depth; i++)
			buf_str(&b, i % 2 ? "{\"k\":" : "[");
		buf_str(&b, "1");
		for (int i = depth; i-- > 0;)
			buf_str(&b, i % 2 ? "}" : "]");
		assert_int_equal(json_read(&arena, buf_span(&b)) != NULL, depth <= 32);
	}
	struct buf b;
	buf_init(&b, &arena, 0);
	for (int i = 0; i < 500000; i++)
		buf_chr(&b, '[');
	assert_null(json_read(&arena, buf_span(&b)));
}

static void
writer_puts_commas_and_escapes(void **state)
{
	(void)state;
	struct buf b;
	struct json j;

	buf_init(&b, &arena, 0);
	json_init(&j, &b);
	json_obj(&j, NULL);
	json_str(&j, "a", "q\" b\\ s/ \n\r\t\b\f\x1b\x7f é \xe2\x80\xa8\xe2\x80\xa9 \xe2\x80\xaa");
	json_str(&j, "none", NULL);
	json_int(&j, "min", INT64_MIN);
	json_arr(&j, "l");
	json_bool(&j, NULL, true);
	json_bool(&j, NULL, false);
	json_obj(&j, NULL);
	json_obj_end(&j);
	json_arr(&j, NULL);
	json_arr_end(&j);
	json_none(&j, NULL);
	json_arr_end(&j);
	json_time(&j, "at", 0);
	json_time(&j, "never", TIME_NONE);
	json_raw(&j, "raw", "{\"x\":1}");
	json_strn(&j, "part", "abcdef", 3);
	json_str(&j, "key \"q\"\n", "");
	json_obj_end(&j);
	assert_string_equal(buf_cstr(&b),
		"{\"a\":\"q\\\" b\\\\ s/ \\n\\r\\t\\u0008\\u000c\\u001b\\u007f é \\u2028\\u2029 \xe2\x80\xaa\",\"none\":null,"
		"\"min\":-9223372036854775808,\"l\":[true,false,{},[],null],\"at\":\"1970-01-01T00:00:00Z\",\"never\":null,"
		"\"raw\":{\"x\":1},\"part\":\"abc\",\"key \\\"q\\\"\\n\":\"\"}");
	assert_non_null(json_read(&arena, buf_span(&b)));
}

static void
numbers_read_back(void **state)
{
	(void)state;
	static const struct {
		double v;
		const char *text;
	} rows[] = {{0, "0"}, {-0.0, "-0"}, {1, "1"}, {0.1, "0.1"}, {1.5, "1.5"}, {1e21, "1e+21"},
		{1.0 / 3, "0.3333333333333333"}, {48.85837, "48.85837"}, {5e-324, "4.94065645841247e-324"}, {NAN, "null"},
		{INFINITY, "null"}, {-INFINITY, "null"}, {1.7976931348623157e308, "1.7976931348623157e+308"}};

	/* a locale with a decimal comma, where one is installed, must change nothing */
	(void)setlocale(LC_ALL, "de_DE.UTF-8");
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf b;
		struct json j;
		buf_init(&b, &arena, 0);
		json_init(&j, &b);
		json_num(&j, NULL, rows[i].v);
		assert_string_equal(buf_cstr(&b), rows[i].text);
	}
	uint64_t seed = 1;
	for (int i = 0; i < 20000; i++) {
		double v;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(&v, &seed, sizeof(v));
		if (!isfinite(v))
			continue;
		struct buf b;
		struct json j;
		buf_init(&b, &arena, 0);
		json_init(&j, &b);
		json_num(&j, NULL, v);
		assert_true(strtod(buf_cstr(&b), NULL) == v);
	}
	(void)setlocale(LC_ALL, "C");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(reader_is_strict, reset),
		cmocka_unit_test_teardown(depth_is_bounded, reset),
		cmocka_unit_test_teardown(writer_puts_commas_and_escapes, reset),
		cmocka_unit_test_teardown(numbers_read_back, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
