/* Codes as text and as pictures: form, MAC, key lists, typed codes, SVG and PNG. */
#include "attendance_env.h"

#include <png.h>
#include <qrencode.h>

#include "core/keys.h"

#define SESSION "01890a5d-ac96-774b-bcce-b302099a8057"
#define NONCE "AAECAwQFBgcICQoLDA0ODw"

static enum err
parse(struct test *t, const char *payload, struct qr_code *ret)
{
	struct ctx cx;

	test_ctx(t, &cx);
	return qr_parse(&cx, payload, ret);
}

static char *
payload_of(struct test *t)
{
	struct ctx cx;

	test_ctx(t, &cx);
	return qr_payload(&cx, SESSION, NONCE, TEST_START_US);
}

static void
reads_what_it_wrote(void **state)
{
	struct test *t = *state;
	struct qr_code code;
	struct span json;
	char *payload = payload_of(t);

	assert_int_equal(strcspn(payload, "=+/"), strlen(payload));
	assert_true(b64url_decode(&t->arena, payload, strlen(payload), &json));
	const char *want = "{\"s\":\"" SESSION "\",\"n\":\"" NONCE "\",\"x\":1785585600,\"h\":\"";
	assert_memory_equal(json.p, want, strlen(want));
	assert_int_equal(json.n, strlen(want) + 43 + 2);

	expect_err(OK, parse(t, payload, &code));
	assert_string_equal(code.session_id.text, SESSION);
	assert_string_equal(code.nonce, NONCE);
	assert_int_equal(code.expires_us, TEST_START_US);
	assert_string_equal(code.key_id, key_current(t->srv.keys, KEY_QR)->id);
	expect_err(OK, parse(t, arena_printf(&t->arena, "https://m.example/c#%s", payload), &code));
	expect_err(OK, parse(t, arena_printf(&t->arena, "http://10.0.0.2:8000/deep/c#%s", payload), &code));
	expect_err(ERR_INVALID_QR, parse(t, arena_printf(&t->arena, "https://m.example/d#%s", payload), &code));
}

/* What says the same is the same: a client that decoded and encoded the JSON again. */
static void
reads_other_spelling(void **state)
{
	struct test *t = *state;
	struct qr_code code;
	struct span json;
	char *payload = payload_of(t);

	b64url_decode(&t->arena, payload, strlen(payload), &json);
	json_t *o = json_loadb((const char *)json.p, json.n, 0, NULL);
	char *sorted = json_dumps(o, JSON_SORT_KEYS);
	expect_err(OK, parse(t, b64url_text(&t->arena, span_str(sorted)), &code));
	json_object_set_new(o, "y", json_true());
	char *more = json_dumps(o, 0);
	expect_err(ERR_INVALID_QR, parse(t, b64url_text(&t->arena, span_str(more)), &code));
	free(sorted);
	free(more);
	json_decref(o);
}

static void
no_single_change_passes(void **state)
{
	struct test *t = *state;
	struct qr_code code;
	char *payload = payload_of(t);
	size_t n = strlen(payload), signatures = 0;

	for (size_t i = 0; i < n; i++) {
		char kept = payload[i];
		payload[i] = kept == 'A' ? 'B' : 'A';
		enum err e = parse(t, payload, &code);
		if (e != ERR_INVALID_QR && e != ERR_INVALID_SIGNATURE)
			fail_msg("character %zu changed: %s", i, e ? err_row(e)->name : "OK");
		signatures += e == ERR_INVALID_SIGNATURE;
		payload[i] = kept;
	}
	assert_true(signatures > n / 4);
	for (size_t keep = 0; keep < n; keep++) {
		char *cut = arena_strndup(&t->arena, payload, keep);
		assert_int_equal(parse(t, cut, &code), ERR_INVALID_QR);
	}
}

static void
each_member_is_signed(void **state)
{
	static const struct {
		const char *from, *to;
	} rows[] = {{"\"x\":1785585600", "\"x\":1785585601"}, {SESSION, "01890a5d-ac96-774b-bcce-b302099a8058"},
		{NONCE, "AAECAwQFBgcICQoLDA0ODg"}, {"\"h\":\"", "\"h\":\"x"}};
	struct test *t = *state;
	struct qr_code code;
	struct span json;
	char *payload = payload_of(t);

	b64url_decode(&t->arena, payload, strlen(payload), &json);
	const char *text = arena_strndup(&t->arena, (const char *)json.p, json.n);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = strstr(text, rows[i].from);
		assert_non_null(at);
		const char *forged =
			arena_printf(&t->arena, "%.*s%s%s", (int)(at - text), text, rows[i].to, at + strlen(rows[i].from));
		expect_err(ERR_INVALID_SIGNATURE, parse(t, b64url_text(&t->arena, span_str(forged)), &code));
	}
}

static void
refuses_other_forms(void **state)
{
	static const char *const rows[] = {"", " ", "{}", "e30", "bnVsbA", "W10", "eyJzIjoxfQ", "%00", "/c#",
		"https://m.example/c#", "eyJzIjoieCIsIm4iOiJ5IiwieCI6MSwiaCI6InoifQ"};
	struct test *t = *state;
	struct qr_code code;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_err(ERR_INVALID_QR, parse(t, rows[i], &code));
	char *longer = arena_new(&t->arena, char, 5000);
	memset(longer, 'A', 4999);
	expect_err(ERR_INVALID_QR, parse(t, longer, &code));
}

static void
every_listed_key_is_tried(void **state)
{
	struct test *old = *state;
	struct test *both = test_open(
		TEST_CONF("QR_SIGNING_SECRET=fresh-fresh-fresh-fresh-fresh-fresh,0123456789abcdef0123456789abcdef-codes"));
	struct test *fresh = test_open(TEST_CONF("QR_SIGNING_SECRET=fresh-fresh-fresh-fresh-fresh-fresh"));
	char *payload = payload_of(old);
	struct qr_code code;
	struct ctx cx;
	char before[SHORT_CODE_CHARS + 1], after[SHORT_CODE_CHARS + 1];

	expect_err(OK, parse(both, payload, &code));
	assert_string_equal(code.key_id, key_current(old->srv.keys, KEY_QR)->id);
	expect_err(ERR_INVALID_SIGNATURE, parse(fresh, payload, &code));

	test_ctx(old, &cx);
	qr_short_code(&cx, code.key_id, SESSION, NONCE, before);
	test_ctx(both, &cx);
	qr_short_code(&cx, code.key_id, SESSION, NONCE, after);
	assert_string_equal(before, after);
	assert_int_equal(strspn(before, crockford_alphabet), SHORT_CODE_CHARS);
	test_ctx(fresh, &cx);
	qr_short_code(&cx, code.key_id, SESSION, NONCE, after);
	assert_string_equal(after, "");
	test_close(both);
	test_close(fresh);
}

/* --- pictures -------------------------------------------------------------------------------------------------------------- */

struct reading {
	struct span left;
};

static void
png_take(png_structp png, png_bytep ret, size_t n)
{
	struct reading *r = png_get_io_ptr(png);

	assert_true(r->left.n >= n);
	memcpy(ret, r->left.p, n);
	r->left.p += n;
	r->left.n -= n;
}

static void
png_shows(struct span file, const QRcode *qr, int scale)
{
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	struct reading r = {file};
	uint8_t row[4096];

	png_set_read_fn(png, &r, png_take);
	png_read_info(png, info);
	int side = (qr->width + 8) * scale;
	assert_int_equal(png_get_image_width(png, info), side);
	assert_int_equal(png_get_image_height(png, info), side);
	assert_int_equal(png_get_bit_depth(png, info), 1);
	for (int y = 0; y < side; y++) {
		png_read_row(png, row, NULL);
		for (int x = 0; x < side; x++) {
			int mx = x / scale - 4, my = y / scale - 4;
			bool inside = mx >= 0 && my >= 0 && mx < qr->width && my < qr->width;
			bool dark = inside && (qr->data[my * qr->width + mx] & 1);
			assert_int_equal(!(row[x / 8] & (0x80 >> x % 8)), dark);
		}
	}
	png_destroy_read_struct(&png, &info, NULL);
}

static void
svg_shows(struct span file, const QRcode *qr)
{
	uint8_t dark[200][200] = {{0}};
	const char *p = strstr((const char *)file.p, "<path d=\"");
	int x, y, w, w2, used;

	assert_non_null(p);
	for (p += strlen("<path d=\""); sscanf(p, "M%d %dh%dv1h-%dz%n", &x, &y, &w, &w2, &used) == 4; p += used) {
		assert_int_equal(w, w2);
		for (int i = 0; i < w; i++)
			dark[y][x + i] = 1;
	}
	assert_memory_equal(p, "\"/></svg>", 9);
	for (y = 0; y < qr->width + 8; y++)
		for (x = 0; x < qr->width + 8; x++) {
			bool inside = x >= 4 && y >= 4 && x < qr->width + 4 && y < qr->width + 4;
			assert_int_equal(dark[y][x], inside && (qr->data[(y - 4) * qr->width + x - 4] & 1));
		}
}

static void
pictures_show_the_link(void **state)
{
	struct test *t = test_open(TEST_CONF("PUBLIC_BASE_URL=https://muster.example"));
	struct span svg, png;
	struct ctx cx;

	(void)state;
	test_ctx(t, &cx);
	char *payload = payload_of(t);
	const char *link = qr_link(&cx, payload);
	assert_string_equal(link, arena_printf(&t->arena, "https://muster.example/c#%s", payload));
	QRcode *qr = QRcode_encodeString(link, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
	must(&cx, qr_svg(&cx, link, &svg));
	svg_shows(svg, qr);
	for (int scale = 1; scale <= 12; scale += 11) {
		must(&cx, qr_png(&cx, link, scale, &png));
		png_shows(png, qr, scale);
	}
	QRcode_free(qr);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(reads_what_it_wrote),
		STANDARD(reads_other_spelling),
		STANDARD(no_single_change_passes),
		STANDARD(each_member_is_signed),
		STANDARD(refuses_other_forms),
		STANDARD(every_listed_key_is_tried),
		cmocka_unit_test(pictures_show_the_link),
	};

	return cmocka_run_group_tests_name("attendance: codes", tests, NULL, NULL);
}
