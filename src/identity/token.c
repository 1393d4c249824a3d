/*
 * Access tokens (RFC 7519, RFC 9068's typ "at+jwt") and opaque secrets.
 *
 * A token's MAC and claims are checked without any I/O; whether its session still stands is the session table's to say.  The role
 * stands in the token for clients to read; the server never believes it.  Opaque secrets are stored as HMACs only, under keys
 * that their rows name, so that one index lookup under each listed key finds them and a retired key makes them unknown.
 */
#include "identity/token.h"

#include <string.h>

#include "core/conf.h"
#include "core/jws.h"
#include "core/json.h"

enum { CLAIMS_HINT = 400, CLAIM_TEXT_MAX = 300, SKEW_S = 60 };
static const char access_typ[] = "at+jwt";

const char *
opaque_new(struct ctx *cx)
{
	uint8_t secret[OPAQUE_BYTES];

	random_bytes(cx, secret, sizeof(secret));
	const char *text = b64url_text(cx->arena, (struct span){secret, sizeof(secret)});
	crypto_wipe(secret, sizeof(secret));
	return text;
}

bool
opaque_shape(const char *token)
{
	size_t n = token ? strnlen(token, OPAQUE_CHARS + 1) : 0;

	return n == OPAQUE_CHARS && strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

const char *
opaque_hash(struct arena *a, const struct key *key, const char *domain, const char *token)
{
	uint8_t mac[SHA256_BYTES];
	const struct span parts[] = {{(const uint8_t *)domain, strlen(domain) + 1}, span_str(token)};

	crypto_hmac(key_span(key), parts, 2, mac);
	return b64url_text(a, (struct span){mac, sizeof(mac)});
}

void
opaque_hashes(struct ctx *cx, enum key_use use, const char *domain, const char *token, struct opaque_hashes *ret)
{
	size_t n = key_count(cx->srv->keys, use);

	*ret = (struct opaque_hashes){0};
	for (size_t i = 0; i < n && i < SECRETS_MAX; i++)
		ret->text[i] = opaque_hash(cx->arena, key_nth(cx->srv->keys, use, i), domain, token);
}

const char *
opaque_successor(struct ctx *cx, const char *key_id, const char *predecessor, const char *session_id, const char *salt)
{
	uint8_t mac[SHA256_BYTES];
	const struct key *key = key_find(cx->srv->keys, KEY_SUCCESSOR, key_id);
	const struct span parts[] = {span_str(predecessor), span_str(session_id), span_str(salt)};

	if (!key)
		return NULL;
	crypto_hmac(key_span(key), parts, 3, mac);
	const char *text = b64url_text(cx->arena, (struct span){mac, sizeof(mac)});
	crypto_wipe(mac, sizeof(mac));
	return text;
}

/* --- access tokens ---- */

static void
claims_begin(struct json *j, struct buf *out, struct ctx *cx, const char *sub)
{
	buf_init(out, cx->arena, CLAIMS_HINT);
	json_init(j, out);
	json_obj(j, NULL);
	json_str(j, "iss", cx->srv->conf->jwt_issuer);
	json_str(j, "aud", cx->srv->conf->jwt_audience);
	json_str(j, "sub", sub);
}

static void
claims_end(struct json *j, struct ctx *cx, int64_t expires_s, const char *jti, const char *typ)
{
	json_int(j, "iat", cx->now_us / SECONDS_US);
	json_int(j, "exp", expires_s);
	json_str(j, "jti", jti);
	json_str(j, "typ", typ);
	json_obj_end(j);
}

const char *
access_token(
	struct ctx *cx, const struct account *who, const struct uuid *session_id, int64_t session_expires_at, int64_t *ret_life_s)
{
	int64_t now_s = cx->now_us / SECONDS_US, expires_s = now_s + cx->srv->conf->access_token_expire_minutes * 60;
	int64_t session_s = session_expires_at / SECONDS_US;
	struct uuid jti = new_id(cx);
	struct json j;
	struct buf out;

	if (expires_s > session_s)
		expires_s = session_s;
	claims_begin(&j, &out, cx, who->id.text);
	json_str(&j, "role", role_names[who->role]);
	json_str(&j, "sid", session_id->text);
	claims_end(&j, cx, expires_s, jti.text, "access");
	*ret_life_s = expires_s - now_s;
	return jws_sign(cx->arena, key_current(cx->srv->keys, KEY_ACCESS), access_typ, buf_cstr(&out));
}

const char *
mfa_pending_token(struct ctx *cx, const char *user_id, const char *jti, int64_t expires_at)
{
	struct json j;
	struct buf out;

	claims_begin(&j, &out, cx, user_id);
	claims_end(&j, cx, expires_at / SECONDS_US, jti, "mfa_pending");
	return jws_sign(cx->arena, key_current(cx->srv->keys, KEY_MFA_PENDING), "mfa_pending", buf_cstr(&out));
}

bool
claim_equals(struct span claims, const char *name, const char *want)
{
	char text[CLAIM_TEXT_MAX];

	return claim_text(claims, name, text, sizeof(text)) && strcmp(text, want) == 0;
}

enum err
access_verify(struct ctx *cx, const char *token, struct access_claims *ret)
{
	const struct config *conf = cx->srv->conf;
	struct access_claims c;
	struct span claims;
	int64_t iat, exp, now_s = cx->now_us / SECONDS_US;

	if (!jws_verify(cx->arena, cx->srv->keys, KEY_ACCESS, access_typ, token, &claims))
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	if (!claim_equals(claims, "typ", "access") || !claim_equals(claims, "iss", conf->jwt_issuer) ||
		!claim_equals(claims, "aud", conf->jwt_audience) || !claim_int(claims, "iat", &iat) ||
		!claim_int(claims, "exp", &exp) || !claim_text(claims, "sub", c.user_id.text, sizeof(c.user_id.text)) ||
		!uuid_valid(c.user_id.text) || !claim_text(claims, "sid", c.session_id.text, sizeof(c.session_id.text)) ||
		!uuid_valid(c.session_id.text))
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	if (iat > now_s + SKEW_S)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	if (exp <= now_s)
		return fail(cx, ERR_ACCESS_EXPIRED, NULL);
	*ret = c;
	return OK;
}
