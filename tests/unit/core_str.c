/* Text: buffers, UTF-8 validity, controls, numbers; times and ids as text. */

#include "core_env.h"

#include "core/str.h"
#include "core/time.h"
#include "core/uuid.h"

static void
buffers_grow(void **state)
{
	(void)state;
	struct buf b;

	buf_init(&b, &arena, 0);
	assert_string_equal(buf_cstr(&b), "");
	for (int i = 0; i < 1000; i++) {
		buf_int(&b, i);
		buf_chr(&b, ',');
	}
	assert_true(str_starts(buf_cstr(&b), "0,1,2,"));
	assert_true(str_ends(buf_cstr(&b), ",998,999,"));
	assert_int_equal(strlen(buf_cstr(&b)), b.n);
	size_t before = b.n;
	buf_printf(&b, "%0*d", 700, 1);
	assert_int_equal(b.n, before + 700);
	assert_int_equal(buf_span(&b).n, b.n);

	buf_init(&b, &arena, 10);
	buf_int(&b, INT64_MIN);
	buf_str(&b, " ");
	buf_int(&b, INT64_MAX);
	assert_string_equal(buf_cstr(&b), "-9223372036854775808 9223372036854775807");
}

static void
utf8(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t n;
		bool valid;
	} rows[] = {
		{"", 0, true},
		{"plain", 5, true},
		{"a\0b", 3, false},
		{"\xc2\x80", 2, true},
		{"\xdf\xbf", 2, true},
		{"\xc0\x80", 2, false}, /* overlong NUL */
		{"\xc1\xbf", 2, false},
		{"\x80", 1, false},
		{"\xbf", 1, false},
		{"\xe0\xa0\x80", 3, true},
		{"\xe0\x9f\xbf", 3, false},
		{"\xed\x9f\xbf", 3, true},
		{"\xed\xa0\x80", 3, false}, /* surrogate */
		{"\xed\xbf\xbf", 3, false},
		{"\xee\x80\x80", 3, true},
		{"\xef\xbf\xbf", 3, true},
		{"\xf0\x90\x80\x80", 4, true},
		{"\xf0\x8f\xbf\xbf", 4, false},
		{"\xf4\x8f\xbf\xbf", 4, true},
		{"\xf4\x90\x80\x80", 4, false},
		{"\xf5\x80\x80\x80", 4, false},
		{"\xff", 1, false},
		{"\xe2\x82", 2, false},
		{"\xe2\x82\x41", 3, false},
		{"\xf0\x9f\x98", 3, false},
		{"\xf0\x9f\x98\x80 ok", 7, true},
		{"\xc3", 1, false},
		{"\xc3(", 2, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (str_utf8_valid((struct span){(const uint8_t *)rows[i].bytes, rows[i].n}) != rows[i].valid)
			fail_msg("row %zu", i);
}

static void
controls(void **state)
{
	(void)state;
	assert_false(str_has_control("Jürgen Müller 😀"));
	assert_true(str_has_control("a\nb"));
	assert_true(str_has_control("a\tb"));
	assert_true(str_has_control("\x1b[2J"));
	assert_true(str_has_control("del\x7f"));
	assert_true(str_has_control("\xc2\x9b"
				    "2J"));
	assert_false(str_has_control("\xc2\xa0"));
}

static void
numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		int64_t v;
	} rows[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"007", true, 7},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999999", false, 0},
		{"", false, 0},
		{"-", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1.0", false, 0},
		{"0x10", false, 0},
		{"١", false, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t v = -77;
		if (str_int(rows[i].text, INT64_MIN, INT64_MAX, &v) != rows[i].good || v != (rows[i].good ? rows[i].v : -77))
			fail_msg("%s", rows[i].text);
	}
	int64_t v;
	assert_false(str_int("11", 0, 10, &v));
	assert_false(str_int("-1", 0, 10, &v));
	assert_true(str_int("10", 0, 10, &v));
}

static void
small_tools(void **state)
{
	(void)state;
	char small[4];

	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq(NULL, ""));
	assert_true(str_eq("a", "a"));
	assert_string_equal(str_lower(&arena, "ÄBC xyZ"), "Äbc xyz");
	assert_string_equal(str_trim(&arena, " \t\r\n a b \n"), "a b");
	assert_string_equal(str_trim(&arena, "   "), "");
	assert_int_equal(str_copy(small, sizeof(small), "abcdef"), 3);
	assert_string_equal(small, "abc");
	assert_int_equal(span_str(NULL).n, 0);
}

static void
times_in(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool end_of_day, good;
		const char *sql;
	} rows[] = {
		{"1970-01-01T00:00:00Z", false, true, "1970-01-01 00:00:00.000000"},
		{"2024-02-29T12:34:56Z", false, true, "2024-02-29 12:34:56.000000"},
		{"2000-02-29T00:00:00Z", false, true, "2000-02-29 00:00:00.000000"},
		{"2026-01-31t09:00:00z", false, true, "2026-01-31 09:00:00.000000"},
		{"2026-01-31 09:00:00", false, true, "2026-01-31 09:00:00.000000"},
		{"2026-01-31T09:00:00.5Z", false, true, "2026-01-31 09:00:00.500000"},
		{"2026-01-31T09:00:00.1234567Z", false, true, "2026-01-31 09:00:00.123456"},
		{"2026-01-31T23:30:00-01:00", false, true, "2026-02-01 00:30:00.000000"},
		{"2026-03-01T00:30:00+05:45", false, true, "2026-02-28 18:45:00.000000"},
		{"2026-01-01T00:00:00-00:00", false, true, "2026-01-01 00:00:00.000000"},
		{"2026-01-31", false, true, "2026-01-31 00:00:00.000000"},
		{"2026-01-31", true, true, "2026-01-31 23:59:59.999999"},
		{"2026-01-31T10:00:00Z", true, true, "2026-01-31 10:00:00.000000"},
		{"9999-12-31T23:59:59.999999Z", false, true, "9999-12-31 23:59:59.999999"},
		{"9999-12-31", true, true, "9999-12-31 23:59:59.999999"},
		{"9999-12-31T23:59:59-01:00", false, false, NULL},
		{"1970-01-01T00:00:00+00:01", false, false, NULL},
		{"1969-12-31T23:59:59Z", false, false, NULL},
		{"0000-01-01", false, false, NULL},
		{"2023-02-29", false, false, NULL},
		{"1900-02-29", false, false, NULL},
		{"2100-02-29", false, false, NULL},
		{"2026-04-31", false, false, NULL},
		{"2026-00-10", false, false, NULL},
		{"2026-13-10", false, false, NULL},
		{"2026-01-00", false, false, NULL},
		{"2026-01-32", false, false, NULL},
		{"2026-01-01T24:00:00Z", false, false, NULL},
		{"2026-01-01T23:60:00Z", false, false, NULL},
		{"2016-12-31T23:59:60Z", false, false, NULL}, /* a leap second */
		{"2026-01-01T10:00Z", false, false, NULL},
		{"2026-01-01T10:00:00.Z", false, false, NULL},
		{"2026-01-01T10:00:00+0100", false, false, NULL},
		{"2026-01-01T10:00:00+24:00", false, false, NULL},
		{"2026-01-01T10:00:00+01:60", false, false, NULL},
		{"2026-01-01T10:00:00Zx", false, false, NULL},
		{"2026-01-01T10:00:00Z ", false, false, NULL},
		{" 2026-01-01", false, false, NULL},
		{"2026-1-1", false, false, NULL},
		{"26-01-01", false, false, NULL},
		{"20260101", false, false, NULL},
		{"+002026-01-01", false, false, NULL},
		{"2026-01-01T", false, false, NULL},
		{"1767225600", false, false, NULL},
		{"now", false, false, NULL},
		{"", false, false, NULL},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t at_us = -77;
		char sql[TIME_SQL_BYTES + 1];
		if (time_parse(rows[i].text, rows[i].end_of_day, &at_us) != rows[i].good)
			fail_msg("%s", rows[i].text);
		if (!rows[i].good) {
			assert_int_equal(at_us, -77);
			continue;
		}
		time_to_sql(at_us, sql);
		assert_string_equal(sql, rows[i].sql);
		int64_t back;
		assert_true(time_from_sql(sql, &back));
		assert_int_equal(back, at_us);
	}
}

static void
times_out(void **state)
{
	(void)state;
	char wire[TIME_WIRE_BYTES + 1];
	char sql[TIME_SQL_BYTES + 1];
	int64_t v;

	time_to_wire(INT64_C(1767225599999999), wire);
	assert_string_equal(wire, "2025-12-31T23:59:59Z");
	time_to_sql(-1, sql);
	assert_string_equal(sql, "1969-12-31 23:59:59.999999");
	/* every day of 800 years, against a count of our own */
	int64_t day = 0;
	for (int y = 1970; y < 2770; y++)
		for (int m = 1; m <= 12; m++) {
			bool leap = y % 4 == 0 && (y % 100 || y % 400 == 0);
			int last = m == 2 ? 28 + leap : m == 4 || m == 6 || m == 9 || m == 11 ? 30 : 31;
			for (int d = 1; d <= last; d++, day++) {
				char want[64];
				(void)snprintf(want, sizeof(want), "%04d-%02d-%02dT00:00:00Z", y, m, d);
				time_to_wire(day * DAYS_US, wire);
				assert_string_equal(wire, want);
			}
		}
	static const char *const good[] = {"2026-01-02 03:04:05", "2026-01-02 03:04:05.1", "2026-01-02 03:04:05.123456+00"};
	static const char *const bad[] = {"2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z",
		"2026-01-02 03:04:05.1234567", "2026-01-02 03:04:05+01", "2026-01-02 03:04:05. ", ""};
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(time_from_sql(good[i], &v));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(time_from_sql(bad[i], &v));
	assert_true(time_monotonic_us() <= time_monotonic_us());
}

static void
uuids(void **state)
{
	(void)state;
	/* RFC 9562, appendix A.6 and A.3 */
	const uint8_t random[10] = {0xcc, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
	const uint8_t v4[16] = {0x91, 0x91, 0x08, 0xf7, 0x52, 0xd1, 0x43, 0x20, 0x9b, 0xac, 0xf8, 0x47, 0xdb, 0x41, 0x48, 0xa8};
	static const char *const bad[] = {"", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
		"017f22e279b07cc398c4dc0c0c07398f", "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e2-79b0-7cc3-98c4_dc0c0c07398f",
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398 ", "017f22e2"};
	struct uuid u = uuid_v7(INT64_C(0x017F22E279B0) * 1000 + 999, random);
	uint8_t bytes[16];

	assert_string_equal(u.text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
	assert_int_equal(uuid_v7_time_us(u.text), INT64_C(0x017F22E279B0) * 1000);
	u = uuid_v4(v4);
	assert_string_equal(u.text, "919108f7-52d1-4320-9bac-f847db4148a8");
	assert_int_equal(uuid_v7_time_us(u.text), -1);
	assert_true(uuid_bytes(u.text, bytes));
	assert_memory_equal(bytes, v4, 16);
	assert_true(uuid_canonical("919108F7-52D1-4320-9BAC-F847DB4148A8", &u));
	assert_string_equal(u.text, "919108f7-52d1-4320-9bac-f847db4148a8");
	for (size_t i = 0; i < COUNT(bad); i++)
		if (uuid_valid(bad[i]) || uuid_bytes(bad[i], bytes))
			fail_msg("%s", bad[i]);
	/* sorts by time */
	struct uuid early = uuid_v7(1000, (const uint8_t[10]){255}), late = uuid_v7(2000, (const uint8_t[10]){0});
	assert_true(strcmp(early.text, late.text) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(buffers_grow, reset),
		cmocka_unit_test(utf8),
		cmocka_unit_test(controls),
		cmocka_unit_test(numbers),
		cmocka_unit_test_teardown(small_tools, reset),
		cmocka_unit_test(times_in),
		cmocka_unit_test(times_out),
		cmocka_unit_test(uuids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
