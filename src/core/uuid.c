/*
 * UUIDs by RFC 9562.  The text form is the value: ids travel as text through JSON and SQL, so nothing is converted on the way.
 */
#include "core/uuid.h"

#include <string.h>

#include "core/crypto.h"

static const char digits[] = "0123456789abcdef";

static bool
hyphen_at(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

struct uuid
uuid_from_bytes(const uint8_t b[16])
{
	struct uuid u;
	int at = 0;

	for (int i = 0; i < 16; i++) {
		if (hyphen_at(at))
			u.text[at++] = '-';
		u.text[at++] = digits[b[i] >> 4];
		u.text[at++] = digits[b[i] & 15];
	}
	u.text[at] = 0;
	return u;
}

struct uuid
uuid_v7(int64_t at_us, const uint8_t random[10])
{
	uint64_t ms = at_us < 0 ? 0 : (uint64_t)at_us / 1000;
	uint8_t b[16];

	for (int i = 0; i < 6; i++)
		b[i] = (uint8_t)(ms >> (40 - 8 * i));
	memcpy(b + 6, random, 10);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x70);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	return uuid_from_bytes(b);
}

struct uuid
uuid_v4(const uint8_t random[16])
{
	uint8_t b[16];

	memcpy(b, random, 16);
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	return uuid_from_bytes(b);
}

bool
uuid_valid(const char *s)
{
	for (int i = 0; i < ID_BYTES; i++)
		if (hyphen_at(i) ? s[i] != '-' : hex_value(s[i]) < 0)
			return false; /* also at the terminating NUL, so nothing is read behind it */
	return s[ID_BYTES] == 0;
}

bool
uuid_canonical(const char *s, struct uuid *ret)
{
	if (!uuid_valid(s))
		return false;
	for (int i = 0; i <= ID_BYTES; i++)
		ret->text[i] = s[i] >= 'A' && s[i] <= 'F' ? (char)(s[i] + ('a' - 'A')) : s[i];
	return true;
}

bool
uuid_bytes(const char *s, uint8_t ret[16])
{
	if (!uuid_valid(s))
		return false;
	for (int i = 0, at = 0; i < 16; i++) {
		if (hyphen_at(at))
			at++;
		ret[i] = (uint8_t)(hex_value(s[at]) << 4 | hex_value(s[at + 1]));
		at += 2;
	}
	return true;
}

int64_t
uuid_v7_time_us(const char *s)
{
	uint8_t b[16];
	int64_t ms = 0;

	if (!uuid_bytes(s, b) || b[6] >> 4 != 7 || b[8] >> 6 != 2)
		return -1;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | b[i];
	return ms * 1000;
}
