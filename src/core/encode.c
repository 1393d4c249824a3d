/*
 * Text forms of bytes: base64url, hexadecimal, Crockford's base 32.  Decoding is strict, so that a value has exactly one
 * spelling: what was signed or hashed cannot be written a second way.
 */
#include "core/crypto.h"

#include <string.h>

static const char b64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";
const char crockford_alphabet[33] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

size_t
b64url_encoded_size(size_t n)
{
	return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}

void
b64url_encode(struct span in, char *ret)
{
	size_t i = 0;

	for (; i + 3 <= in.n; i += 3) {
		uint32_t v = (uint32_t)in.p[i] << 16 | (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];
		*ret++ = b64_alphabet[v >> 18];
		*ret++ = b64_alphabet[v >> 12 & 63];
		*ret++ = b64_alphabet[v >> 6 & 63];
		*ret++ = b64_alphabet[v & 63];
	}
	if (in.n - i == 1) {
		*ret++ = b64_alphabet[in.p[i] >> 2];
		*ret++ = b64_alphabet[(in.p[i] & 3) << 4];
	} else if (in.n - i == 2) {
		*ret++ = b64_alphabet[in.p[i] >> 2];
		*ret++ = b64_alphabet[(in.p[i] & 3) << 4 | in.p[i + 1] >> 4];
		*ret++ = b64_alphabet[(in.p[i + 1] & 15) << 2];
	}
	*ret = 0;
}

char *
b64url_text(struct arena *a, struct span in)
{
	char *p = arena_alloc(a, b64url_encoded_size(in.n) + 1, 1);

	b64url_encode(in, p);
	return p;
}

/* Value plus one, so that what is not listed is 0. */
static const uint8_t b64_values[256] = {
	['A'] = 1,
	2,
	3,
	4,
	5,
	6,
	7,
	8,
	9,
	10,
	11,
	12,
	13,
	14,
	15,
	16,
	17,
	18,
	19,
	20,
	21,
	22,
	23,
	24,
	25,
	26,
	['a'] = 27,
	28,
	29,
	30,
	31,
	32,
	33,
	34,
	35,
	36,
	37,
	38,
	39,
	40,
	41,
	42,
	43,
	44,
	45,
	46,
	47,
	48,
	49,
	50,
	51,
	52,
	['0'] = 53,
	54,
	55,
	56,
	57,
	58,
	59,
	60,
	61,
	62,
	['-'] = 63,
	['_'] = 64,
};

bool
b64url_decode(struct arena *a, const char *in, size_t n, struct span *ret)
{
	size_t rest = n % 4;

	if (rest == 1)
		return false;
	uint8_t *out = arena_alloc(a, n / 4 * 3 + (rest ? rest - 1 : 0) + 1, 1), *to = out;
	const uint8_t *p = (const uint8_t *)in, *end = p + (n - rest);
	for (; p < end; p += 4) {
		uint32_t v0 = b64_values[p[0]], v1 = b64_values[p[1]], v2 = b64_values[p[2]], v3 = b64_values[p[3]];
		if (!v0 || !v1 || !v2 || !v3)
			return false;
		uint32_t v = (v0 - 1) << 18 | (v1 - 1) << 12 | (v2 - 1) << 6 | (v3 - 1);
		*to++ = (uint8_t)(v >> 16);
		*to++ = (uint8_t)(v >> 8);
		*to++ = (uint8_t)v;
	}
	if (rest) {
		uint32_t v0 = b64_values[p[0]], v1 = b64_values[p[1]], v2 = rest == 3 ? b64_values[p[2]] : 1;
		if (!v0 || !v1 || !v2)
			return false;
		uint32_t v = (v0 - 1) << 12 | (v1 - 1) << 6 | (v2 - 1);
		if (v & (rest == 3 ? 0x3 : 0x3ff)) /* stray bits; the third symbol of two is none */
			return false;
		*to++ = (uint8_t)(v >> 10);
		if (rest == 3)
			*to++ = (uint8_t)(v >> 2);
	}
	*ret = (struct span){out, (size_t)(to - out)};
	return true;
}

void
hex_encode(struct span in, char *ret)
{
	for (size_t i = 0; i < in.n; i++) {
		*ret++ = hex_digits[in.p[i] >> 4];
		*ret++ = hex_digits[in.p[i] & 15];
	}
	*ret = 0;
}

int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hex_decode(const char *in, uint8_t *ret, size_t n)
{
	if (strnlen(in, 2 * n + 1) != 2 * n)
		return false;
	for (size_t i = 0; i < 2 * n; i++)
		if (hex_value(in[i]) < 0)
			return false;
	for (size_t i = 0; i < n; i++)
		ret[i] = (uint8_t)(hex_value(in[2 * i]) << 4 | hex_value(in[2 * i + 1]));
	return true;
}

static char
crockford_symbol(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - ('a' - 'A'));
	if (c == 'I' || c == 'L')
		return '1';
	if (c == 'O')
		return '0';
	return c && strchr(crockford_alphabet, c) ? c : 0;
}

bool
crockford_canonical(const char *in, size_t n, char *ret)
{
	size_t have = 0;

	/* Twice over the same text, so that `ret` is touched only when all of it is good. */
	for (const char *p = in; *p; p++)
		if (*p != ' ' && *p != '-' && (!crockford_symbol(*p) || ++have > n))
			return false;
	if (have != n)
		return false;
	for (const char *p = in; *p; p++)
		if (*p != ' ' && *p != '-')
			*ret++ = crockford_symbol(*p);
	*ret = 0;
	return true;
}
