/*
 * multipart/form-data from strangers: what is kept, what is refused, and that neither depends on how the bytes were cut.
 */
#include "http_env.h"

#include "http/multipart.h"

#define CD "Content-Disposition: form-data; name="
#define TYPE "multipart/form-data; boundary=x"

static const struct multipart_rule photos = {
	.file_part = "file", .max_files = 2, .max_file_bytes = 8, .length = -1, .ignore_files = true};
static const struct multipart_rule plain = {.length = -1};

/* In pieces of `step` bytes. */
static enum err
parse(struct arena *a, const char *type, const struct multipart_rule *rule, struct span body, size_t step,
	struct multipart_parts *ret)
{
	struct multipart *m = multipart_open(a, type, rule);

	if (!m)
		return ERR_MALFORMED_REQUEST;
	for (size_t at = 0; at < body.n; at += step)
		TRY(multipart_feed(m, body.p + at, body.n - at < step ? body.n - at : step));
	return multipart_end(m, ret);
}

struct body {
	const char *name;
	const struct multipart_rule *rule;
	const char *type;
	struct span body;
	enum err want;
	const char *parts; /* parts_text() of a good one */
};
#define B(text) SPAN_LIT(text)
static const struct body bodies[] = {
	{"text", &plain, TYPE, B("--x\r\n" CD "\"a\"\r\n\r\n1\r\n--x--\r\n"), OK, "a=1 files 0"},
	{"no parts", &plain, TYPE, B("--x--"), OK, "files 0"},
	{"epilogue", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n1\r\n--x--\r\nanything\r\n--x\r\n"), OK, "a=1 files 0"},
	{"empty value", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n\r\n--x--"), OK, "a= files 0"},
	{"near delimiters are content", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n\r\r\n\r\n-\r\n--\r\n--y--x\r\n--x--"), OK,
		"a=\r\r\n\r\n-\r\n--\r\n--y--x files 0"},
	{"quoted boundary", &plain, "multipart/form-data; charset=utf-8; boundary=\"a b;c\"",
		B("--a b;c\r\n" CD "a\r\n\r\n1\r\n--a b;c--"), OK, "a=1 files 0"},
	{"semicolon in a name", &plain, TYPE, B("--x\r\n" CD "\"a; b\"\r\n\r\n1\r\n--x--"), OK, "a; b=1 files 0"},
	{"file", &photos, TYPE, B("--x\r\n" CD "file; filename=\"p.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\xff\r\n\x07\r\n--x--"), OK,
		"files 1 4:07"},
	{"file without a file name", &photos, TYPE, B("--x\r\n" CD "file\r\n\r\nab\r\n--x--"), OK, "files 1 2:62"},
	{"file of just the size", &photos, TYPE, B("--x\r\n" CD "file\r\n\r\n12345678\r\n--x--"), OK, "files 1 8:38"},
	{"empty file is none", &photos, TYPE, B("--x\r\n" CD "file; filename=\"\"\r\n\r\n\r\n--x--"), OK, "files 0"},
	{"three files are counted", &photos, TYPE,
		B("--x\r\n" CD "file\r\n\r\n1\r\n--x\r\n" CD "file\r\n\r\n2\r\n--x\r\n" CD "file\r\n\r\n3\r\n--x--"), OK, "files 3 1:31 1:32"},
	{"another file is forgotten", &photos, TYPE,
		B("--x\r\n" CD "classroom_photo; filename=\"p\"\r\n\r\n\xff\xfe 123456789\r\n--x\r\n" CD "b\r\n\r\n2\r\n--x--"), OK,
		"b=2 files 0"},
	{"path in a file name", &photos, TYPE, B("--x\r\n" CD "file; filename=\"../../etc/passwd\"\r\n\r\n1\r\n--x--"), OK, "files 1 1:31"},
	/* refused */
	{"file too large", &photos, TYPE, B("--x\r\n" CD "file\r\n\r\n123456789\r\n--x--"), ERR_BODY_TOO_LARGE, NULL},
	{"third file too large", &photos, TYPE,
		B("--x\r\n" CD "file\r\n\r\n1\r\n--x\r\n" CD "file\r\n\r\n2\r\n--x\r\n" CD "file\r\n\r\n123456789\r\n--x--"),
		ERR_BODY_TOO_LARGE, NULL},
	{"file where none is wanted", &plain, TYPE, B("--x\r\n" CD "a; filename=f\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"encoded file name where none is wanted", &plain, TYPE, B("--x\r\n" CD "a; filename*=UTF-8''f\r\n\r\n1\r\n--x--"),
		ERR_MALFORMED_REQUEST, NULL},
	{"preamble", &plain, TYPE, B("hello\r\n--x\r\n" CD "a\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"nothing", &plain, TYPE, B(""), ERR_MALFORMED_REQUEST, NULL},
	{"no end", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n1\r\n--x"), ERR_MALFORMED_REQUEST, NULL},
	{"half an end", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n1\r\n--x-"), ERR_MALFORMED_REQUEST, NULL},
	{"cut in the value", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n1"), ERR_MALFORMED_REQUEST, NULL},
	{"cut in the head", &plain, TYPE, B("--x\r\n" CD "a\r\n"), ERR_MALFORMED_REQUEST, NULL},
	{"another boundary", &plain, TYPE, B("--y\r\n" CD "a\r\n\r\n1\r\n--y--"), ERR_MALFORMED_REQUEST, NULL},
	{"bytes after a delimiter", &plain, TYPE, B("--x \r\n" CD "a\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"no name", &plain, TYPE, B("--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"empty name", &plain, TYPE, B("--x\r\n" CD "\"\"\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"no disposition", &plain, TYPE, B("--x\r\nContent-Type: text/plain\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"no head", &plain, TYPE, B("--x\r\n\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"attachment", &plain, TYPE, B("--x\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"two dispositions", &plain, TYPE, B("--x\r\n" CD "a\r\n" CD "b\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"open quote", &plain, TYPE, B("--x\r\n" CD "\"a\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"control character in a name", &plain, TYPE, B("--x\r\n" CD "\"a\x01\"\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"NUL in a head", &plain, TYPE, B("--x\r\n" CD "\"a\0b\"\r\n\r\n1\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"NUL in a value", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n1\0002\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"a value that is no UTF-8", &plain, TYPE, B("--x\r\n" CD "a\r\n\r\n\xff\r\n--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"no boundary", &plain, "multipart/form-data", B("--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"boundary that is not closed", &plain, "multipart/form-data; boundary=\"x", B("--x--"), ERR_MALFORMED_REQUEST, NULL},
	{"boundary inside another parameter", &plain, "multipart/form-data; a=\"; boundary=x\"", B("--x--"), ERR_MALFORMED_REQUEST, NULL},
};

static void
every_cut_reads_the_same(void **state)
{
	struct arena a;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		const struct body *b = &bodies[i];
		for (size_t step = 1; step <= b->body.n + 1; step++) {
			struct multipart_parts parts = {0};
			arena_init(&a);
			enum err e = parse(&a, b->type, b->rule, b->body, step, &parts);
			if (e != b->want || (e == OK && strcmp(parts_text(&a, &parts), b->parts) != 0)) {
				print_error("%s, by %zu: %d, %s\n", b->name, step, (int)e, e == OK ? parts_text(&a, &parts) : "");
				assert_true(false);
			}
			arena_release(&a);
		}
	}
}

/* Every byte of a good body changed to every value that means something: never more than the rule allows, never a read past the end. */
static void
changed_bytes_stay_within_the_rule(void **state)
{
	static const char good[] = "--x\r\n" CD "\"a\"\r\n\r\n1\r\n--x\r\n" CD "file; filename=\"p\"\r\nContent-Type: b\r\n\r\nabc\r\n--x--\r\n";
	static const char evil[] = "\0\r\n-\";=x\xff";
	struct arena a;
	int read = 0;

	(void)state;
	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		for (size_t k = 0; k < sizeof(evil) - 1; k++) {
			struct multipart_parts parts = {0};
			arena_init(&a);
			char *bytes = arena_new(&a, char, sizeof(good) - 1);
			memcpy(bytes, good, sizeof(good) - 1);
			bytes[at] = evil[k];
			enum err e = parse(&a, TYPE, &photos, (struct span){(const uint8_t *)bytes, sizeof(good) - 1}, 7, &parts);
			assert_true(e == OK || e == ERR_MALFORMED_REQUEST || e == ERR_BODY_TOO_LARGE);
			assert_true(e != OK || (parts.n_pairs <= 2 && parts.n_files <= 1));
			read += e == OK;
			arena_release(&a);
		}
	}
	assert_true(read > 0);
}

static void
parts_heads_and_texts_have_ceilings(void **state)
{
	struct multipart_parts parts;
	struct arena a;
	struct buf b;

	(void)state;
	for (int n = MULTIPART_PARTS_MAX; n <= MULTIPART_PARTS_MAX + 1; n++) {
		arena_init(&a);
		buf_init(&b, &a, 0);
		for (int i = 0; i < n; i++)
			buf_printf(&b, "--x\r\n" CD "a%d\r\n\r\n1\r\n", i);
		buf_str(&b, "--x--");
		enum err want = n > MULTIPART_PARTS_MAX ? ERR_MALFORMED_REQUEST : OK;
		assert_int_equal(parse(&a, TYPE, &plain, buf_span(&b), 100, &parts), want);
		arena_release(&a);
	}
	for (int over = 0; over < 2; over++) {
		arena_init(&a);
		buf_init(&b, &a, 0);
		buf_str(&b, "--x\r\n" CD "a\r\nX: ");
		while (b.n < 5 + MULTIPART_HEADERS_MAX - 4 + (size_t)over)
			buf_chr(&b, 'y');
		buf_str(&b, "\r\n\r\n1\r\n--x--");
		assert_int_equal(parse(&a, TYPE, &plain, buf_span(&b), 100, &parts), over ? ERR_MALFORMED_REQUEST : OK);
		arena_release(&a);
	}
	for (int over = 0; over < 2; over++) {
		arena_init(&a);
		buf_init(&b, &a, 0);
		buf_str(&b, "--x\r\n" CD "a\r\n\r\n");
		for (int i = 1; i < MULTIPART_TEXTS_MAX + over; i++)
			buf_chr(&b, 'y');
		buf_str(&b, "\r\n--x--");
		assert_int_equal(parse(&a, TYPE, &plain, buf_span(&b), 4000, &parts), over ? ERR_BODY_TOO_LARGE : OK);
		arena_release(&a);
	}
}

/* --- through the server ---- */

static struct buf
upload(struct arena *a, const char *path, size_t n, bool announced)
{
	struct buf b, body;

	buf_init(&body, a, n + 200);
	buf_str(&body, "--x\r\n" CD "a\r\n\r\n1\r\n--x\r\n" CD "file; filename=p\r\n\r\n");
	for (size_t i = 0; i < n; i++)
		buf_chr(&body, (char)(i % 251));
	buf_str(&body, "\r\n--x--\r\n");
	buf_init(&b, a, body.n + 200);
	buf_printf(&b, "POST %s HTTP/1.1\r\n" H "Content-Type: " TYPE "\r\n", path);
	if (announced) {
		buf_printf(&b, "Content-Length: %zu\r\n\r\n", body.n);
		buf_add(&b, body.p, body.n);
	} else {
		buf_printf(&b, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", body.n);
		buf_add(&b, body.p, body.n);
		buf_str(&b, "\r\n0\r\n\r\n");
	}
	return b;
}

static void
the_server_takes_uploads_apart(void **state)
{
	static const struct {
		const char *path;
		size_t n;
		bool announced;
		const char *want;
	} cases[] = {
		{"/large", 100, true, "a=1 files 1 100:63"},
		{"/large", 2 << 20, true, "a=1 files 1 2097152:2e"},
		{"/large", 2 << 20, false, "a=1 files 1 2097152:2e"},
		{"/large", (2 << 20) + 1, true, "refused body_too_large"},
		{"/large", (2 << 20) + 1, false, "refused body_too_large"},
		{"/large", 5 << 20, true, "refused body_too_large"},
		{"/stranger", 100, true, "refused not_authenticated"},
	};
	struct app *app = app_open((struct http_options){.max_body = BODY_LIMIT});
	struct answer r;
	struct arena a;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		arena_init(&a);
		struct buf b = upload(&a, cases[i].path, cases[i].n, cases[i].announced);
		struct client_conn *c = client_open(app->port);
		client_send(c, b.p, b.n);
		client_answer(c, false, &r);
		if (strcmp(r.body, cases[i].want) != 0) {
			print_error("case %zu: %d %s\n", i, r.status, r.body);
			assert_true(false);
		}
		client_close(c);
		arena_release(&a);
	}
	app_close(app);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_reads_the_same),
		cmocka_unit_test(changed_bytes_stay_within_the_rule),
		cmocka_unit_test(parts_heads_and_texts_have_ceilings),
		cmocka_unit_test(the_server_takes_uploads_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
