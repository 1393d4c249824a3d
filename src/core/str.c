/*
 * Text and bytes.  Everything is ASCII or UTF-8 by our own tables: nothing here looks at the locale.
 */
#include "core/str.h"

#include <stdio.h>
#include <string.h>

struct span
span_str(const char *s)
{
	return s ? (struct span){(const uint8_t *)s, strlen(s)} : (struct span){0};
}

static void
grow(struct buf *b, size_t n)
{
	size_t need;

	if (__builtin_add_overflow(b->n, n, &need) || __builtin_add_overflow(need, (size_t)1, &need))
		BUG("buffer of %zu bytes", n);
	if (need <= b->cap)
		return;
	size_t cap = b->cap > SIZE_MAX / 2 ? need : b->cap * 2;
	if (cap < 64)
		cap = 64;
	if (cap < need)
		cap = need;
	char *p = arena_alloc(b->arena, cap, 1);
	if (b->n)
		memcpy(p, b->p, b->n);
	b->p = p;
	b->cap = cap;
}

void
buf_init(struct buf *b, struct arena *a, size_t hint)
{
	*b = (struct buf){.arena = a};
	if (hint)
		grow(b, hint);
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	grow(b, n);
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void
buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_chr(struct buf *b, char c)
{
	grow(b, 1);
	b->p[b->n++] = c;
	b->p[b->n] = 0;
}

void
buf_int(struct buf *b, int64_t v)
{
	char text[20];
	size_t at = sizeof(text);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do {
		text[--at] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		text[--at] = '-';
	buf_add(b, text + at, sizeof(text) - at);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char small[256];

	va_start(ap, fmt);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		BUG("format %s", fmt);
	if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
		explicit_bzero(small, (size_t)n);
		return;
	}
	grow(b, (size_t)n);
	va_start(ap, fmt);
	(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

struct span
buf_span(const struct buf *b)
{
	return (struct span){(const uint8_t *)b->p, b->n};
}

const char *
buf_cstr(struct buf *b)
{
	return b->p ? b->p : "";
}

bool
str_eq(const char *a, const char *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a, b) == 0;
}

bool
str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool
str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

char *
str_lower(struct arena *a, const char *s)
{
	char *p = arena_strdup(a, s);

	for (char *q = p; *q; q++)
		if (*q >= 'A' && *q <= 'Z')
			*q = (char)(*q + ('a' - 'A'));
	return p;
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *
str_trim(struct arena *a, const char *s)
{
	while (is_blank(*s))
		s++;
	size_t n = strlen(s);
	while (n && is_blank(s[n - 1]))
		n--;
	return arena_strndup(a, s, n);
}

/* Length of the well-formed sequence that begins at p (RFC 3629, table 3-7 of Unicode), 0 when there is none. */
static size_t
utf8_sequence(const uint8_t *p, size_t n)
{
	uint8_t c = p[0], low = 0x80, high = 0xbf;
	size_t len;

	if (c < 0x80)
		return c != 0;
	if (c >= 0xc2 && c <= 0xdf) {
		len = 2;
	} else if (c >= 0xe0 && c <= 0xef) {
		len = 3;
		if (c == 0xe0)
			low = 0xa0; /* overlong */
		if (c == 0xed)
			high = 0x9f; /* surrogates */
	} else if (c >= 0xf0 && c <= 0xf4) {
		len = 4;
		if (c == 0xf0)
			low = 0x90; /* overlong */
		if (c == 0xf4)
			high = 0x8f; /* over U+10FFFF */
	} else {
		return 0;
	}
	if (n < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return len;
}

bool
str_utf8_valid(struct span s)
{
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_sequence(s.p + i, s.n - i);
		if (!len)
			return false;
		i += len;
	}
	return true;
}

bool
str_has_control(const char *s)
{
	for (const uint8_t *p = (const uint8_t *)s; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return true;
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			return true;
	}
	return false;
}

bool
str_int(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = *s == '-';
	int64_t v = 0;

	if (negative)
		s++;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		int64_t digit = *s - '0';
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, negative ? -digit : digit, &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

size_t
str_copy(char *dst, size_t cap, const char *src)
{
	if (!cap)
		return 0;
	size_t n = strnlen(src, cap - 1);
	memcpy(dst, src, n);
	dst[n] = 0;
	return n;
}
