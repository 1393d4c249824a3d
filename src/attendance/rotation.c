/*
 * Steps, nonces, labels.  A nonce is compared as text and in constant time, under every key of the list, so that the time taken
 * says nothing about which one fits.
 */
#include "attendance/rotation.h"

#include <string.h>

#include "core/keys.h"

static const char nonce_tag[] = "muster.rotation.v1";
static const char base36[] = "0123456789abcdefghijklmnopqrstuvwxyz";

enum { STEP_DIGITS_MAX = 8, MAC_BYTES = 16 };
/* The last step whose times fit at every rotation: steps of 2 s reach it in 1,900 years. */
#define STEP_MAX ((INT64_MAX / SECONDS_US - ROTATION_LEAD_S) / ROTATE_SECONDS_MAX - 1)

struct rotation_step
rotation_step(int64_t step, int64_t rotate_seconds)
{
	int64_t begins_s = step * rotate_seconds;

	return (struct rotation_step){.step = step,
		.begins_us = begins_s * SECONDS_US,
		.rotates_us = (begins_s + rotate_seconds) * SECONDS_US,
		.expires_us = (begins_s + rotate_seconds + ROTATION_LEAD_S) * SECONDS_US};
}

struct rotation_step
rotation_at(int64_t at_us, int64_t rotate_seconds)
{
	return rotation_step(at_us / SECONDS_US / rotate_seconds, rotate_seconds);
}

void
rotation_nonce(const struct key *key, const struct rotation *r, int64_t step, char ret[QR_NONCE_MAX + 1])
{
	char digits[STEP_DIGITS_MAX + 1], numbers[48], mac_text[QR_NONCE_CHARS + 1];
	uint8_t mac[SHA256_BYTES];
	int n = STEP_DIGITS_MAX;

	digits[n] = 0;
	for (int64_t left = step; n > 0; left /= 36) {
		digits[--n] = base36[left % 36];
		if (left < 36)
			break;
	}
	snprintf(numbers, sizeof(numbers), "%lld\n%lld", (long long)r->generation, (long long)step);
	const struct span parts[] = {
		SPAN_LIT(nonce_tag), SPAN_LIT("\n"), span_str(r->session_id), SPAN_LIT("\n"), span_str(numbers)};
	crypto_hmac(key_span(key), parts, sizeof(parts) / sizeof(parts[0]), mac);
	b64url_encode((struct span){mac, MAC_BYTES}, mac_text);
	snprintf(ret, QR_NONCE_MAX + 1, "%s.%s", digits + n, mac_text);
}

bool
rotation_nonce_read(const char *nonce, int64_t *ret_step)
{
	const char *dot = strchr(nonce, '.');
	int64_t step = 0;

	if (!dot || dot == nonce || dot - nonce > STEP_DIGITS_MAX || (nonce[0] == '0' && dot - nonce > 1) ||
		strlen(dot + 1) != QR_NONCE_CHARS)
		return false;
	for (const char *p = nonce; p < dot; p++) {
		const char *digit = memchr(base36, *p, sizeof(base36) - 1);
		if (!digit)
			return false;
		step = step * 36 + (digit - base36);
	}
	if (step > STEP_MAX)
		return false;
	for (const char *p = dot + 1; *p; p++)
		if (!((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_'))
			return false;
	*ret_step = step;
	return true;
}

bool
rotation_nonce_fits(struct ctx *cx, const struct rotation *r, int64_t step, const char *nonce)
{
	char own[QR_NONCE_MAX + 1];
	bool fits = false;

	for (size_t i = 0; i < key_count(cx->srv->keys, KEY_CODE); i++) {
		rotation_nonce(key_nth(cx->srv->keys, KEY_CODE, i), r, step, own);
		fits |= strlen(own) == strlen(nonce) && crypto_equal(own, nonce, strlen(own));
	}
	return fits;
}

bool
rotation_typed(struct ctx *cx, const struct rotation *r, const char *typed, int64_t oldest_us, char ret_nonce[QR_NONCE_MAX + 1],
	struct rotation_step *ret_step)
{
	struct rotation_step at = rotation_at(cx->now_us, r->rotate_seconds);
	char nonce[QR_NONCE_MAX + 1], code[SHORT_CODE_CHARS + 1];

	for (int back = 0; back < ROTATION_TYPED_MAX && at.step >= 0 && at.expires_us > oldest_us; back++) {
		for (size_t i = 0; i < key_count(cx->srv->keys, KEY_CODE); i++) {
			const struct key *key = key_nth(cx->srv->keys, KEY_CODE, i);
			rotation_nonce(key, r, at.step, nonce);
			qr_short_code(cx, key->id, r->session_id, nonce, code);
			if (!crypto_equal(typed, code, SHORT_CODE_CHARS))
				continue;
			memcpy(ret_nonce, nonce, sizeof(nonce));
			*ret_step = at;
			return true;
		}
		at = rotation_step(at.step - 1, r->rotate_seconds);
	}
	return false;
}

/* --- labels ----------------------------------------------------------------------------------------------------------------- */

/* No vowels, so that no word comes about, and no L, which reads as a digit. */
static const char label_letters[] = "BCDFGHJKMNPQRSTVWXYZ";

bool
event_ref_is_label(const char *ref)
{
	return strlen(ref) == LABEL_CHARS;
}

bool
event_ref_read(const char *text, char ret[ID_BYTES + 1])
{
	struct uuid id;

	if (uuid_canonical(text, &id)) {
		memcpy(ret, id.text, sizeof(id.text));
		return true;
	}
	if (!event_ref_is_label(text))
		return false;
	for (int i = 0; i < LABEL_CHARS; i++) {
		char c = text[i];
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (c < 'A' || c > 'Z')
			return false;
		ret[i] = c;
	}
	ret[LABEL_CHARS] = 0;
	return true;
}

void
label_random(const struct ctx *cx, char ret[LABEL_CHARS + 1])
{
	uint8_t bytes[LABEL_CHARS * 2];

	random_bytes(cx, bytes, sizeof(bytes));
	for (int i = 0; i < LABEL_CHARS; i++)
		ret[i] = label_letters[(bytes[2 * i] << 8 | bytes[2 * i + 1]) % (int)(sizeof(label_letters) - 1)];
	ret[LABEL_CHARS] = 0;
}
