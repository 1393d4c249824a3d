/*
 * JSON in and out.
 *
 * In: jansson reads the text after a scan of our own for depth, since its limit is not ours.  A tree may hold passwords, so the
 * library's memory is wiped before it is freed.  Out: no tree; the writer keeps only the depth and one bit per depth.
 */
#include "core/json.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/time.h"

static void
wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void
start(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

/* Depth by brackets outside strings.  What is not JSON may be miscounted; the parser refuses it afterwards anyway. */
static bool
depth_fits(struct span text)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return false;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return true;
}

static void
release(void *arg)
{
	json_decref(arg);
}

json_t *
json_read(struct arena *a, struct span text)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	json_error_t error;

	pthread_once(&once, start);
	/* The library's reader loses a NUL behind a number. */
	if (!text.n || memchr(text.p, 0, text.n) || !depth_fits(text))
		return NULL;
	json_t *v = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (v)
		arena_defer(a, release, v);
	return v;
}

void
json_escape(struct buf *out, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];
		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
			continue;
		char code[6] = {'\\', 0};
		size_t len = 2, width = 1;

		if (c == '"' || c == '\\') {
			code[1] = (char)c;
		} else if (c == '\n') {
			code[1] = 'n';
		} else if (c == '\r') {
			code[1] = 'r';
		} else if (c == '\t') {
			code[1] = 't';
		} else if (c < 0x20 || c == 0x7f) {
			memcpy(code, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
			len = 6;
		} else if (c == 0xe2 && n - i > 2 && (uint8_t)s[i + 1] == 0x80 && ((uint8_t)s[i + 2] | 1) == 0xa9) {
			/* U+2028 and U+2029 end a line in older JavaScript. */
			memcpy(code, (char[]){'\\', 'u', '2', '0', '2', hex[(uint8_t)s[i + 2] & 15]}, 6);
			len = 6;
			width = 3;
		} else {
			continue;
		}
		buf_add(out, s + from, i - from);
		buf_add(out, code, len);
		i += width - 1;
		from = i + 1;
	}
	buf_add(out, s + from, n - from);
}

void
json_init(struct json *j, struct buf *out)
{
	*j = (struct json){.out = out};
}

static void
before(struct json *j, const char *key)
{
	uint64_t bit = UINT64_C(1) << j->depth;

	if (j->has & bit)
		buf_chr(j->out, ',');
	j->has |= bit;
	if (key) {
		buf_chr(j->out, '"');
		json_escape(j->out, key, strlen(key));
		buf_add(j->out, "\":", 2);
	}
}

static void
open_level(struct json *j, const char *key, char c)
{
	before(j, key);
	buf_chr(j->out, c);
	if (++j->depth > 63)
		BUG("JSON deeper than 63");
	j->has &= ~(UINT64_C(1) << j->depth);
}

static void
close_level(struct json *j, char c)
{
	if (--j->depth < 0)
		BUG("JSON closed too often");
	buf_chr(j->out, c);
}

void
json_obj(struct json *j, const char *key)
{
	open_level(j, key, '{');
}

void
json_obj_end(struct json *j)
{
	close_level(j, '}');
}

void
json_arr(struct json *j, const char *key)
{
	open_level(j, key, '[');
}

void
json_arr_end(struct json *j)
{
	close_level(j, ']');
}

void
json_raw(struct json *j, const char *key, const char *json_text)
{
	before(j, key);
	buf_str(j->out, json_text ? json_text : "null");
}

void
json_none(struct json *j, const char *key)
{
	json_raw(j, key, "null");
}

void
json_strn(struct json *j, const char *key, const char *v, size_t n)
{
	if (!v) {
		json_none(j, key);
		return;
	}
	before(j, key);
	buf_chr(j->out, '"');
	json_escape(j->out, v, n);
	buf_chr(j->out, '"');
}

void
json_str(struct json *j, const char *key, const char *v)
{
	json_strn(j, key, v, v ? strlen(v) : 0);
}

void
json_int(struct json *j, const char *key, int64_t v)
{
	before(j, key);
	buf_int(j->out, v);
}

/*
 * A value of at most seven decimals, as coordinates and rates are, without the search below.  The quotient of two exact integers is
 * rounded once, so when it gives v back, those digits are v's.
 */
static bool
few_decimals(double v, char text[40])
{
	enum { SCALE = 10000000, DECIMALS = 7 };
	double scaled = nearbyint(v * SCALE);

	if (fabs(scaled) > 9e15 || scaled / SCALE != v || (v == 0 && signbit(v)))
		return false;
	int64_t n = (int64_t)fabs(scaled);
	int len = snprintf(text, 40, "%s%lld.%07lld", v < 0 ? "-" : "", (long long)(n / SCALE), (long long)(n % SCALE));
	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	text[len] = 0;
	return true;
}

void
json_num(struct json *j, const char *key, double v)
{
	char text[40];

	if (!isfinite(v)) {
		json_none(j, key);
		return;
	}
	if (few_decimals(v, text)) {
		json_raw(j, key, text);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	for (char *p = text; *p; p++) /* a foreign locale's decimal sign */
		if (!strchr("0123456789+-e", *p))
			*p = '.';
	json_raw(j, key, text);
}

void
json_bool(struct json *j, const char *key, bool v)
{
	json_raw(j, key, v ? "true" : "false");
}

void
json_time(struct json *j, const char *key, int64_t at_us)
{
	char text[TIME_WIRE_BYTES + 1];

	if (at_us == TIME_NONE) {
		json_none(j, key);
		return;
	}
	time_to_wire(at_us, text);
	json_strn(j, key, text, TIME_WIRE_BYTES);
}
