/* Every step of the window is computed whatever matches, so the time says nothing about a guess. */
#include "identity/totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "core/crypto.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void
totp_code(const struct totp *t, int64_t step, char ret[TOTP_DIGITS_MAX + 1])
{
	uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	uint32_t modulus = 1;

	if (t->digits < 1 || t->digits > TOTP_DIGITS_MAX)
		BUG("%lld digits", (long long)t->digits);
	for (int i = 0; i < 8; i++)
		counter[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
	if (!HMAC(EVP_sha1(), t->secret.p, (int)t->secret.n, counter, sizeof(counter), mac, &n) || n != 20)
		BUG("HMAC-SHA-1 does not work");
	size_t at = mac[19] & 15;
	uint32_t number =
		(uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8 | mac[at + 3];
	for (int64_t i = 0; i < t->digits; i++)
		modulus *= 10;
	snprintf(ret, TOTP_DIGITS_MAX + 1, "%0*u", (int)t->digits, number % modulus);
	crypto_wipe(mac, sizeof(mac));
}

bool
totp_find(const struct totp *t, int64_t now_s, const char *typed, int64_t *ret_step)
{
	char code[TOTP_DIGITS_MAX + 1], digits[TOTP_DIGITS_MAX + 1];
	int64_t present = now_s / t->period_s, n = 0;
	bool found = false;

	for (const char *p = typed; *p; p++) {
		if (*p == ' ')
			continue;
		if (*p < '0' || *p > '9' || n == t->digits)
			return false;
		digits[n++] = *p;
	}
	if (n != t->digits)
		return false;
	for (int64_t step = present - TOTP_WINDOW; step <= present + TOTP_WINDOW; step++) {
		totp_code(t, step, code);
		if (crypto_equal(code, digits, (size_t)n)) {
			*ret_step = step;
			found = true;
		}
	}
	return found;
}

char *
base32_text(struct arena *a, struct span in)
{
	char *out = arena_new(a, char, in.n * 8 / 5 + 2), *p = out;
	uint32_t bits = 0;
	int have = 0;

	for (size_t i = 0; i < in.n; i++) {
		bits = bits << 8 | in.p[i];
		for (have += 8; have >= 5; have -= 5)
			*p++ = alphabet[bits >> (have - 5) & 31];
	}
	if (have > 0)
		*p++ = alphabet[bits << (5 - have) & 31];
	*p = 0;
	return out;
}

bool
base32_read(struct arena *a, const char *in, struct span *ret)
{
	uint8_t *out = arena_new(a, uint8_t, strlen(in) * 5 / 8 + 1);
	uint32_t bits = 0;
	size_t n = 0;
	int have = 0;

	for (; *in; in++) {
		const char *at = strchr(alphabet, *in);
		if (!at)
			return false;
		bits = bits << 5 | (uint32_t)(at - alphabet);
		have += 5;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	*ret = (struct span){out, n};
	return true;
}
