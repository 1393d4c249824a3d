/* CSV: what RFC 4180 says, what is met besides, and that no bytes upset it. */
#include "core_env.h"

#include <stdlib.h>
#include <string.h>

#include "core/csv.h"

/* Records as "a|b/c|d"; a bad one as "!". */
static const char *
read_all(struct arena *a, const char *text, size_t n)
{
	struct csv_record r;
	struct csv c;
	struct buf out;
	const char *why;

	buf_init(&out, a, 64);
	uint8_t *copy = malloc(n ? n : 1); /* of its own, so that a sanitizer sees a step too far */
	memcpy(copy, text, n);
	csv_open(&c, (struct span){copy, n});
	for (;;) {
		enum csv_result got = csv_next(&c, a, &r, &why);
		if (got == CSV_END)
			break;
		if (out.n)
			buf_chr(&out, '/');
		if (got == CSV_BAD)
			buf_chr(&out, '!');
		for (size_t i = 0; got == CSV_RECORD && i < r.count; i++) {
			buf_str(&out, i ? "|" : "");
			buf_str(&out, r.field[i]);
		}
	}
	free(copy);
	return buf_cstr(&out);
}

static void
texts(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", ""},
		{"a", "a"},
		{"a,b\r\nc,d\r\n", "a|b/c|d"},
		{"a,b\nc,d", "a|b/c|d"},
		{"\xEF\xBB\xBF"
		 "a,b",
			"a|b"},
		{"\n\r\n\na\n\n", "a"},
		{",\n,,", "|/||"},
		{"\"a,b\",\"c\"\"d\"\n", "a,b|c\"d"},
		{"\"line\r\nbreak\",x", "line\r\nbreak|x"},
		{"\"\"", ""},
		{" a , b ", " a | b "},
		{"a;b\nc,d;e", "a|b/c,d|e"},
		{"a\tb", "a|b"},
		{"a\"b,c\nd", "!/d"},
		{"\"a\"b,c\nd", "!/d"},
		{"\"never closed\nd\nf", "!/d/f"},
		{"x,y\n\"never closed\nd,e\nf,g", "x|y/!/d|e/f|g"},
		{"a\rb,c", "a\rb|c"},
		{"\xFF,a\nb", "!/b"},
		{"a,b\r", "a|b"},
	};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = read_all(&a, rows[i].text, strlen(rows[i].text));
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%zu: %s -> %s", i, rows[i].text, got);
	}
	assert_string_equal(read_all(&a, "a\0b,c\nd", 7), "!/d");
	arena_release(&a);
}

static void
lines_are_counted(void **state)
{
	struct arena a;
	struct csv_record r;
	struct csv c;
	const char *why;
	static const int64_t lines[] = {1, 3, 6};

	(void)state;
	arena_init(&a);
	csv_open(&c, span_str("a,b\n\n\"x\n\ny\",z\nc,d\n"));
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(csv_next(&c, &a, &r, &why), CSV_RECORD);
		assert_int_equal(c.line, lines[i]);
	}
	assert_int_equal(csv_next(&c, &a, &r, &why), CSV_END);
	arena_release(&a);
}

static void
bounds(void **state)
{
	struct arena a;
	char *many = malloc(200), *wide = malloc(CSV_FIELD_MAX_BYTES + 8);

	(void)state;
	arena_init(&a);
	memset(many, ',', 200);
	many[CSV_FIELDS_MAX - 1] = '\n';
	assert_int_equal(read_all(&a, many, CSV_FIELDS_MAX)[0], '|');
	many[CSV_FIELDS_MAX - 1] = ',';
	assert_string_equal(read_all(&a, many, CSV_FIELDS_MAX), "!");
	memset(wide, 'x', CSV_FIELD_MAX_BYTES + 1);
	assert_int_equal(strlen(read_all(&a, wide, CSV_FIELD_MAX_BYTES)), CSV_FIELD_MAX_BYTES);
	assert_string_equal(read_all(&a, wide, CSV_FIELD_MAX_BYTES + 1), "!");
	free(many);
	free(wide);
	arena_release(&a);
}

/* Every byte string comes to an end, in linear steps. */
static void
any_bytes(void **state)
{
	static const char alphabet[] = "a,\"\n\r;\t\xC3\xFF";
	uint64_t x = 88172645463325252ull;
	struct arena a;
	char text[40];

	(void)state;
	arena_init(&a);
	for (int round = 0; round < 50000; round++) {
		size_t n = 0;
		for (; n < sizeof(text); n++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			text[n] = alphabet[x % sizeof(alphabet)];
			if (x >> 40 & 1 && n > 20)
				break;
		}
		(void)read_all(&a, text, n);
		arena_reset(&a);
	}
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(lines_are_counted),
		cmocka_unit_test(bounds),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
