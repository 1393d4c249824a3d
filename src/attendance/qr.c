/*
 * Payloads and typed codes: pure functions of keys, no database.
 *
 * The MAC is compared as text: base64url has several spellings of one value only where a decoder is lenient, and a tampered last
 * character must be a wrong signature, not a malformed code.  The form is ours, so it is read by a small scanner; a payload that
 * somebody re-encoded (blanks, another order) says the same and goes through the JSON reader.
 */
#include "attendance/qr.h"

#include <string.h>

#include "core/conf.h"
#include "core/keys.h"

enum { NONCE_BYTES = 16, EXPIRY_DIGITS_MAX = 12 };

static const char mac_tag[] = "muster.qr.v1";
static const char code_tag[] = "muster.code.v1";

/* --- reading --------------------------------------------------------------------------------------------------------------- */

struct payload { /* members as they stand in the text */
	struct span s, n, h;
	int64_t x;
};

static bool
take_literal(struct span *in, const char *text)
{
	size_t n = strlen(text);

	if (in->n < n || memcmp(in->p, text, n) != 0)
		return false;
	in->p += n;
	in->n -= n;
	return true;
}

static bool
take_text(struct span *in, struct span *ret)
{
	const uint8_t *end = memchr(in->p, '"', in->n);

	if (!end || memchr(in->p, '\\', (size_t)(end - in->p)))
		return false;
	*ret = (struct span){in->p, (size_t)(end - in->p)};
	in->n -= ret->n;
	in->p = end;
	return true;
}

static bool
take_int(struct span *in, int64_t *ret)
{
	int64_t v = 0;
	size_t i = 0;

	for (; i < in->n && in->p[i] >= '0' && in->p[i] <= '9'; i++) {
		if (i == EXPIRY_DIGITS_MAX)
			return false;
		v = v * 10 + (in->p[i] - '0');
	}
	if (i == 0 || (i > 1 && in->p[0] == '0'))
		return false;
	in->p += i;
	in->n -= i;
	*ret = v;
	return true;
}

static bool
read_compact(struct span in, struct payload *ret)
{
	return take_literal(&in, "{\"s\":\"") && take_text(&in, &ret->s) && take_literal(&in, "\",\"n\":\"") &&
	       take_text(&in, &ret->n) && take_literal(&in, "\",\"x\":") && take_int(&in, &ret->x) &&
	       take_literal(&in, ",\"h\":\"") && take_text(&in, &ret->h) && take_literal(&in, "\"}") && in.n == 0;
}

static bool
read_reencoded(struct ctx *cx, struct span in, struct payload *ret)
{
	const json_t *o = json_read(cx->arena, in);
	const json_t *x = json_object_get(o, "x");
	const char *s = json_string_value(json_object_get(o, "s"));
	const char *n = json_string_value(json_object_get(o, "n"));
	const char *h = json_string_value(json_object_get(o, "h"));

	if (!s || !n || !h || !json_is_integer(x) || json_object_size(o) != 4)
		return false;
	*ret = (struct payload){span_str(s), span_str(n), span_str(h), json_integer_value(x)};
	return true;
}

/* The part after the last "/c#": base64url has neither character. */
static const char *
without_url(const char *payload)
{
	const char *hash = strrchr(payload, '#');

	return hash && hash - payload >= 2 && hash[-1] == 'c' && hash[-2] == '/' ? hash + 1 : payload;
}

static bool
nonce_well_formed(struct span n)
{
	if (n.n == 0 || n.n > QR_NONCE_MAX)
		return false;
	for (size_t i = 0; i < n.n; i++) {
		uint8_t c = n.p[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
			    c == '.'))
			return false;
	}
	return true;
}

static bool
read_payload(struct ctx *cx, const char *payload, struct qr_code *ret, struct span *ret_mac)
{
	struct payload p;
	struct span json;
	char id[ID_BYTES + 1];
	size_t length = strnlen(payload, QR_PAYLOAD_MAX + 1);

	if (length > QR_PAYLOAD_MAX)
		return false;
	const char *text = without_url(payload);
	if (!b64url_decode(cx->arena, text, strlen(text), &json))
		return false;
	if (!read_compact(json, &p) && !read_reencoded(cx, json, &p))
		return false;
	if (p.s.n != ID_BYTES || !nonce_well_formed(p.n) || p.x <= 0 || p.x >= INT64_C(253402300800))
		return false;
	memcpy(id, p.s.p, ID_BYTES);
	id[ID_BYTES] = 0;
	if (!uuid_canonical(id, &ret->session_id))
		return false;
	memcpy(ret->nonce, p.n.p, p.n.n);
	ret->nonce[p.n.n] = 0;
	ret->expires_us = p.x * SECONDS_US;
	*ret_mac = p.h;
	return true;
}

/* --- MACs ------------------------------------------------------------------------------------------------------------------ */

static void
payload_mac(const struct key *key, const char *session_id, const char *nonce, int64_t expires_s, char ret[B64_SHA256_CHARS + 1])
{
	char digits[24];
	uint8_t mac[SHA256_BYTES];

	snprintf(digits, sizeof(digits), "%lld", (long long)expires_s);
	const struct span parts[] = {SPAN_LIT(mac_tag), SPAN_LIT("\n"), span_str(session_id), SPAN_LIT("\n"), span_str(nonce),
		SPAN_LIT("\n"), span_str(digits)};
	crypto_hmac(key_span(key), parts, sizeof(parts) / sizeof(parts[0]), mac);
	b64url_encode((struct span){mac, sizeof(mac)}, ret);
}

enum err
qr_parse(struct ctx *cx, const char *payload, struct qr_code *ret)
{
	struct qr_code code = {.expires_us = 0};
	struct span given;
	char mac[B64_SHA256_CHARS + 1];
	size_t keys = key_count(cx->srv->keys, KEY_QR);

	if (!read_payload(cx, payload, &code, &given))
		return fail(cx, ERR_INVALID_QR, NULL);
	/* Every key is tried, whichever fits, so that the time taken says nothing about which. */
	for (size_t i = 0; i < keys; i++) {
		const struct key *key = key_nth(cx->srv->keys, KEY_QR, i);
		payload_mac(key, code.session_id.text, code.nonce, code.expires_us / SECONDS_US, mac);
		if (given.n == B64_SHA256_CHARS && crypto_equal(mac, given.p, B64_SHA256_CHARS))
			str_copy(code.key_id, sizeof(code.key_id), key->id);
	}
	if (!code.key_id[0])
		return fail(cx, ERR_INVALID_SIGNATURE, NULL);
	*ret = code;
	return OK;
}

bool
qr_peek(struct ctx *cx, const char *payload, struct qr_code *ret)
{
	struct span mac;

	ret->key_id[0] = 0;
	return read_payload(cx, payload, ret, &mac);
}

char *
qr_payload(struct ctx *cx, const char *session_id, const char *nonce, int64_t expires_us)
{
	char mac[B64_SHA256_CHARS + 1];
	int64_t expires_s = expires_us / SECONDS_US;

	payload_mac(key_current(cx->srv->keys, KEY_QR), session_id, nonce, expires_s, mac);
	const char *json = arena_printf(
		cx->arena, "{\"s\":\"%s\",\"n\":\"%s\",\"x\":%lld,\"h\":\"%s\"}", session_id, nonce, (long long)expires_s, mac);
	return b64url_text(cx->arena, span_str(json));
}

const char *
qr_link(struct ctx *cx, const char *payload)
{
	const char *base = cx->srv->conf->public_base_url;

	if (!base[0])
		return payload;
	return arena_printf(cx->arena, "%s%sc#%s", base, str_ends(base, "/") ? "" : "/", payload);
}

void
qr_nonce(const struct ctx *cx, char ret[QR_NONCE_CHARS + 1])
{
	uint8_t bytes[NONCE_BYTES];

	_Static_assert((NONCE_BYTES * 8 + 5) / 6 == QR_NONCE_CHARS, "a nonce is 16 random bytes");
	random_bytes(cx, bytes, sizeof(bytes));
	b64url_encode((struct span){bytes, sizeof(bytes)}, ret);
}

void
qr_short_code(struct ctx *cx, const char *key_id, const char *session_id, const char *nonce, char ret[SHORT_CODE_CHARS + 1])
{
	const struct key *key = key_find(cx->srv->keys, KEY_CODE, key_id);
	uint8_t mac[SHA256_BYTES];

	memset(ret, 0, SHORT_CODE_CHARS + 1);
	if (!key)
		return;
	const struct span parts[] = {SPAN_LIT(code_tag), SPAN_LIT("\n"), span_str(session_id), SPAN_LIT("\n"), span_str(nonce)};
	crypto_hmac(key_span(key), parts, sizeof(parts) / sizeof(parts[0]), mac);
	uint32_t bits = (uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
	for (int i = 0; i < SHORT_CODE_CHARS; i++, bits <<= 5)
		ret[i] = crockford_alphabet[bits >> 27];
}
