/*
 * JWS, compact form: splitting and the checks of the header, our own HS256 tokens, and the reader of our own claims.
 * Public keys are jws_public.c.
 *
 * A token of ours has a header that follows from key and typ alone, so that jws_verify() compares text before it thinks of
 * parsing; any other spelling goes the long way and meets the same checks.  Nothing in a header chooses an algorithm or a place
 * to fetch from.
 */
#include "core/jws.h"

#include <string.h>

#include "core/json.h"

enum { HEADER_TEXT_MAX = 192 };

static const char *const alg_names[] = {"", "HS256", "RS256", "ES256", "EdDSA", NULL};
_Static_assert(sizeof(alg_names) / sizeof(alg_names[0]) == JWS_EDDSA + 2, "every algorithm has its name");

/* kid and typ end up in comparisons and look-ups; whatever could be more than a name is refused. */
static bool
take_name(const json_t *header, const char *member, char *ret, size_t cap)
{
	const json_t *v = json_object_get(header, member);
	const char *s = json_string_value(v);

	ret[0] = 0;
	if (!v)
		return true;
	if (!s || !*s || strlen(s) >= cap)
		return false;
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '"' || *p == '\\')
			return false;
	str_copy(ret, cap, s);
	return true;
}

static enum jws_alg
take_alg(const json_t *header)
{
	const char *s = json_string_value(json_object_get(header, "alg"));

	for (int i = 1; s && alg_names[i]; i++)
		if (strcmp(alg_names[i], s) == 0)
			return (enum jws_alg)i;
	return JWS_UNSET;
}

static bool
split_segments(const char *token, size_t max_bytes, const char *seg[3], size_t len[3])
{
	size_t n = strnlen(token, max_bytes + 1);

	if (n > max_bytes)
		return false;
	const char *end = token + n;
	for (int i = 0; i < 3; i++) {
		const char *dot = i < 2 ? memchr(token, '.', (size_t)(end - token)) : end;
		if (!dot || dot == token)
			return false;
		seg[i] = token;
		len[i] = (size_t)(dot - token);
		token = dot + 1;
	}
	return memchr(seg[2], '.', len[2]) == NULL;
}

bool
jws_split(struct arena *a, const char *token, struct jws_parts *ret)
{
	static const char *const refused[] = {"crit", "jku", "jwk", "x5u", "x5c", "zip", "b64", "enc", "epk", NULL};
	struct jws_parts parts = {0};
	const char *seg[3];
	size_t len[3];

	if (!split_segments(token, FOREIGN_TOKEN_MAX, seg, len))
		return false;
	if (!b64url_decode(a, seg[0], len[0], &parts.header) || !b64url_decode(a, seg[1], len[1], &parts.payload) ||
		!b64url_decode(a, seg[2], len[2], &parts.signature))
		return false;
	const json_t *header = json_read(a, parts.header);
	if (!json_is_object(header))
		return false;
	for (int i = 0; refused[i]; i++)
		if (json_object_get(header, refused[i]))
			return false;
	parts.alg = take_alg(header);
	if (!parts.alg || !take_name(header, "kid", parts.kid, sizeof(parts.kid)) ||
		!take_name(header, "typ", parts.typ, sizeof(parts.typ)))
		return false;
	parts.signed_bytes = (struct span){(const uint8_t *)token, (size_t)(seg[1] + len[1] - token)};
	*ret = parts;
	return true;
}

/* The header segment of our own tokens; returns its length. */
static size_t
own_header(const struct key *key, const char *typ, char ret[HEADER_TEXT_MAX])
{
	char json[HEADER_TEXT_MAX / 4 * 3 - 3];
	size_t n = 0;
	const char *const parts[] = {"{\"alg\":\"HS256\",\"kid\":\"", key->id, "\",\"typ\":\"", typ, "\"}"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t m = strlen(parts[i]);
		if (m > sizeof(json) - n)
			BUG("typ %s is too long", typ);
		memcpy(json + n, parts[i], m);
		n += m;
	}
	b64url_encode((struct span){(const uint8_t *)json, n}, ret);
	return b64url_encoded_size(n);
}

char *
jws_sign(struct arena *a, const struct key *key, const char *typ, const char *claims)
{
	char header[HEADER_TEXT_MAX];
	uint8_t mac[SHA256_BYTES];
	size_t claims_n = strlen(claims), header_n = own_header(key, typ, header);
	size_t signed_n = header_n + 1 + b64url_encoded_size(claims_n);
	char *token = arena_alloc(a, signed_n + 1 + B64_SHA256_CHARS + 1, 1);

	memcpy(token, header, header_n);
	token[header_n] = '.';
	b64url_encode((struct span){(const uint8_t *)claims, claims_n}, token + header_n + 1);
	crypto_hmac(key_span(key), &(struct span){(const uint8_t *)token, signed_n}, 1, mac);
	token[signed_n] = '.';
	b64url_encode((struct span){mac, sizeof(mac)}, token + signed_n + 1);
	return token;
}

/* The signature is compared in its text form: our decoding admits one spelling only, so the text is the value. */
static bool
mac_fits(const struct key *key, struct span signed_bytes, const char *signature, size_t n)
{
	uint8_t mac[SHA256_BYTES];
	char text[B64_SHA256_CHARS + 1];

	if (n != B64_SHA256_CHARS)
		return false;
	crypto_hmac(key_span(key), &signed_bytes, 1, mac);
	b64url_encode((struct span){mac, sizeof(mac)}, text);
	return crypto_equal(text, signature, B64_SHA256_CHARS);
}

static const struct key *
key_by_own_header(const struct keys *keys, enum key_use use, const char *typ, const char *header, size_t n)
{
	char own[HEADER_TEXT_MAX];

	for (size_t i = 0; i < key_count(keys, use); i++)
		if (own_header(key_nth(keys, use, i), typ, own) == n && memcmp(own, header, n) == 0)
			return key_nth(keys, use, i);
	return NULL;
}

static const struct key *
key_by_parsing(struct arena *a, const struct keys *keys, enum key_use use, const char *typ, const char *token)
{
	struct jws_parts parts;

	if (!jws_split(a, token, &parts) || parts.alg != JWS_HS256 || strcmp(parts.typ, typ) != 0)
		return NULL;
	return key_find(keys, use, parts.kid);
}

bool
jws_verify(
	struct arena *a, const struct keys *keys, enum key_use use, const char *typ, const char *token, struct span *ret_claims)
{
	const char *seg[3];
	size_t len[3];
	struct span claims;

	if (!split_segments(token, TOKEN_MAX, seg, len))
		return false;
	const struct key *key = key_by_own_header(keys, use, typ, seg[0], len[0]);
	if (!key)
		key = key_by_parsing(a, keys, use, typ, token);
	if (!key)
		return false;
	struct span signed_bytes = {(const uint8_t *)token, (size_t)(seg[1] + len[1] - token)};
	if (!mac_fits(key, signed_bytes, seg[2], len[2]) || !b64url_decode(a, seg[1], len[1], &claims))
		return false;
	*ret_claims = claims;
	return true;
}

/* Moves *at over a string without escapes that begins there. */
static bool
skip_string(struct span s, size_t *at, struct span *ret)
{
	if (*at >= s.n || s.p[*at] != '"')
		return false;
	const uint8_t *from = s.p + *at + 1;
	const uint8_t *end = memchr(from, '"', s.n - *at - 1);
	if (!end || memchr(from, '\\', (size_t)(end - from)))
		return false;
	*ret = (struct span){from, (size_t)(end - from)};
	*at = (size_t)(end - s.p) + 1;
	return true;
}

/* The member's value as it is written, a string with its quotes. */
static bool
find_claim(struct span claims, const char *name, struct span *ret)
{
	size_t at = 1, name_n = strlen(name);

	if (claims.n < 2 || claims.p[0] != '{' || claims.p[claims.n - 1] != '}')
		return false;
	while (at < claims.n - 1) {
		struct span member, text;
		if (!skip_string(claims, &at, &member) || at >= claims.n || claims.p[at++] != ':')
			return false;
		size_t from = at;
		if (at < claims.n && claims.p[at] == '"') {
			if (!skip_string(claims, &at, &text))
				return false;
		} else {
			while (at < claims.n - 1 && claims.p[at] != ',')
				at++;
		}
		if (member.n == name_n && memcmp(member.p, name, name_n) == 0) {
			*ret = (struct span){claims.p + from, at - from};
			return true;
		}
		if (at < claims.n - 1 && claims.p[at++] != ',')
			return false;
	}
	return false;
}

bool
claim_text(struct span claims, const char *name, char *ret, size_t cap)
{
	struct span v;

	if (!find_claim(claims, name, &v) || v.n < 2 || v.p[0] != '"' || v.n - 2 >= cap)
		return false;
	memcpy(ret, v.p + 1, v.n - 2);
	ret[v.n - 2] = 0;
	return true;
}

bool
claim_int(struct span claims, const char *name, int64_t *ret)
{
	struct span v;
	char text[24];

	if (!find_claim(claims, name, &v) || !v.n || v.n >= sizeof(text))
		return false;
	memcpy(text, v.p, v.n);
	text[v.n] = 0;
	return str_int(text, INT64_MIN, INT64_MAX, ret);
}
