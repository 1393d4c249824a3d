/*
 * The key is rebuilt from its coordinates at each use: what is stored or carried is text that any other program could have
 * written, so that it lies on the curve is never taken on trust.
 */
#include "attendance/p256.h"

#include <string.h>

#include "core/json.h"
#include "core/jws.h"

static void
key_free(struct jws_public **k)
{
	if (*k)
		jws_public_free(*k);
}

const char *
p256_jwk(struct arena *a, const char *x, const char *y)
{
	return arena_printf(a, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
}

static bool
coordinate(struct arena *a, const json_t *jwk, const char *name, char ret[B64_SHA256_CHARS + 1])
{
	const char *text = json_string_value(json_object_get(jwk, name));
	struct span bytes;

	if (!text || strlen(text) != B64_SHA256_CHARS || !b64url_decode(a, text, B64_SHA256_CHARS, &bytes))
		return false;
	str_copy(ret, B64_SHA256_CHARS + 1, text);
	return true;
}

bool
p256_read(struct arena *a, const char *text, struct p256 *ret)
{
	struct p256 p;
	const json_t *jwk = json_read(a, span_str(text));

	if (json_is_string(jwk))
		jwk = json_read(a, span_str(json_string_value(jwk)));
	if (!str_eq(json_string_value(json_object_get(jwk, "kty")), "EC") ||
		!str_eq(json_string_value(json_object_get(jwk, "crv")), "P-256") || !coordinate(a, jwk, "x", p.x) ||
		!coordinate(a, jwk, "y", p.y))
		return false;
	const json_t *plain = json_read(a, span_str(p256_jwk(a, p.x, p.y)));
	CLEANUP(key_free) struct jws_public *key = jws_public_from_jwk(plain);
	if (!key || !jwk_thumbprint(plain, p.thumbprint))
		return false;
	*ret = p;
	return true;
}

bool
p256_signed(struct arena *a, const char *x, const char *y, struct span message, const char *signature)
{
	struct span raw;

	if (!signature || !b64url_decode(a, signature, strlen(signature), &raw))
		return false;
	CLEANUP(key_free)
	struct jws_public *key = jws_public_from_jwk(json_read(a, span_str(p256_jwk(a, x, y))));
	return key && jws_es256_raw(key, message, raw);
}
