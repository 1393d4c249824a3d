/*
 * Signed and sealed texts.  Inputs cannot forge a MAC, so besides reading the input each target makes a good token of it, and looks
 * that reading gives it back and that one changed character spoils it.
 */
#include "fuzz.h"

#include <string.h>

#include "attendance/p256.h"
#include "attendance/qr.h"
#include "attendance/rotation.h"
#include "core/fernet.h"
#include "core/jws.h"
#include "identity/oidc.h"

/* Another character of the alphabet at a place that the input chooses. */
static char *
spoiled(struct arena *a, const char *token, struct span in)
{
	char *out = arena_strdup(a, token);
	size_t at = 0;

	for (size_t i = 0; i < in.n; i++)
		at = at * 31 + in.p[i];
	at %= strlen(out);
	out[at] = out[at] == 'A' ? 'B' : 'A';
	return out;
}

static void
read_claims(struct span claims)
{
	static const char *const names[] = {"sub", "sid", "exp", "a", "", "\"", "{"};
	char text[64];
	int64_t number;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (claim_text(claims, names[i], text, sizeof(text)))
			HOLDS(strlen(text) < sizeof(text) && !strchr(text, '"'));
		(void)claim_int(claims, names[i], &number);
	}
}

static void
own_tokens_come_back(struct arena *a, struct span in)
{
	const struct keys *keys = fuzz_server()->srv.keys;
	const char *claims = fuzz_text(a, in);
	struct span back;

	if (!claims[0] || strlen(claims) > 1200)
		return;
	const char *token = jws_sign(a, key_current(keys, KEY_ACCESS), "at+jwt", claims);
	HOLDS(strlen(token) <= TOKEN_MAX);
	HOLDS(jws_verify(a, keys, KEY_ACCESS, "at+jwt", token, &back) && span_eq(back, span_str(claims)));
	HOLDS(!jws_verify(a, keys, KEY_ACCESS, "mfa+jwt", token, &back));
	HOLDS(!jws_verify(a, keys, KEY_DEVICE, "at+jwt", token, &back));
	HOLDS(!jws_verify(a, keys, KEY_ACCESS, "at+jwt", spoiled(a, token, in), &back));
}

void
fuzz_jws(struct arena *a, struct span in)
{
	const char *token = fuzz_text(a, in);
	struct jws_parts parts;
	struct span claims;

	own_tokens_come_back(a, in);
	read_claims(in);
	/* "header.payload.signature" in plain text: what stands in the segments is easier to reach so. */
	if (memchr(token, '\n', strlen(token))) {
		struct span rest = in;
		const char *header = fuzz_line(a, &rest), *payload = fuzz_line(a, &rest);
		token = arena_printf(a, "%s.%s.%s", b64url_text(a, span_str(header)), b64url_text(a, span_str(payload)),
			b64url_text(a, rest));
	}
	if (jws_split(a, token, &parts)) {
		HOLDS(parts.alg && strlen(token) <= FOREIGN_TOKEN_MAX);
		HOLDS(json_is_object(json_read(a, parts.header)));
		HOLDS(parts.signed_bytes.p == (const uint8_t *)token && token[parts.signed_bytes.n] == '.');
		HOLDS(strcmp(b64url_text(a, parts.signature), token + parts.signed_bytes.n + 1) == 0);
	}
	if (jws_verify(a, fuzz_server()->srv.keys, KEY_ACCESS, "at+jwt", token, &claims))
		HOLDS(jws_split(a, token, &parts) && parts.alg == JWS_HS256 && span_eq(parts.payload, claims));
}

static void
p256_comes_back(struct arena *a, const char *text)
{
	struct p256 key, again;

	if (!p256_read(a, text, &key))
		return;
	HOLDS(p256_read(a, p256_jwk(a, key.x, key.y), &again) && memcmp(&key, &again, sizeof(key)) == 0);
	HOLDS(!p256_signed(a, key.x, key.y, SPAN_LIT("message"), text));
}

/* A set of keys; behind an empty line a token that one of them may have signed. */
void
fuzz_jwks(struct arena *a, struct span in)
{
	const uint8_t *cut = in.n ? memmem(in.p, in.n, "\n\n", 2) : NULL;
	struct span set = {in.p, cut ? (size_t)(cut - in.p) : in.n};
	const char *token = cut ? fuzz_text(a, (struct span){cut + 2, in.n - set.n - 2}) : "";
	const json_t *document = json_read(a, set), *keys = json_object_get(document, "keys"), *jwk;
	char thumbprint[B64_SHA256_CHARS + 1];
	struct jws_parts parts;
	bool split = jws_split(a, token, &parts);

	p256_comes_back(a, fuzz_text(a, set));
	for (size_t i = 0; i <= json_array_size(keys) && i < 8; i++) {
		jwk = i < json_array_size(keys) ? json_array_get(keys, i) : document;
		struct jws_public *key = jws_public_from_jwk(jwk);
		if (!key)
			continue;
		HOLDS(jwk_thumbprint(jwk, thumbprint) && strlen(thumbprint) == B64_SHA256_CHARS);
		HOLDS(!json_object_get(jwk, "d"));
		if (split && jws_verify_public(key, &parts))
			HOLDS(parts.alg != JWS_HS256 && parts.signature.n > 0);
		HOLDS(!jws_es256_raw(key, set, (struct span){set.p, set.n < 64 ? set.n : 64}));
		jws_public_free(key);
	}
}

void
fuzz_fernet(struct arena *a, struct span in)
{
	static const uint8_t key_bytes[FERNET_KEY_BYTES] = "0123456789abcdef0123456789abcde", iv[FERNET_IV_BYTES] = "an iv of 16 byt";
	const struct span key = {key_bytes, sizeof(key_bytes)};
	const char *token = fuzz_text(a, in);
	struct span plain;
	struct ctx cx;

	if (fernet_open(a, key, 1000, 60, token, &plain))
		HOLDS(strlen(token) % 4 == 0 && plain.n < strlen(token));
	const char *made = fernet_seal(a, key, 1000, iv, in);
	HOLDS(fernet_open(a, key, 1060, 60, made, &plain) && span_eq(plain, in));
	HOLDS(!fernet_open(a, key, 1061, 60, made, &plain));
	HOLDS(!fernet_open(a, key, 1000, FERNET_ANY_AGE, spoiled(a, made, in), &plain));
	fuzz_ctx(&cx, a);
	HOLDS(!sealed_open(&cx, NULL, "totp", "somebody", token));
	if (!str_utf8_valid(in))
		return;
	const char *sealed = sealed_text(&cx, "totp", "somebody", token, NULL);
	HOLDS(str_eq(sealed_open(&cx, NULL, "totp", "somebody", sealed), token));
	HOLDS(!sealed_open(&cx, NULL, "totp", "somebody else", sealed));
}

/* What the payload says is signed for it: that must be accepted, and nothing else that says so. */
static void
signed_payload_comes_back(struct ctx *cx, const struct qr_code *said, struct span in)
{
	struct qr_code back;
	const char *payload = qr_payload(cx, said->session_id.text, said->nonce, said->expires_us);

	HOLDS(strlen(payload) <= QR_PAYLOAD_MAX);
	HOLDS(qr_parse(cx, payload, &back) == OK && qr_parse(cx, qr_link(cx, payload), &back) == OK);
	HOLDS(strcmp(back.session_id.text, said->session_id.text) == 0 && strcmp(back.nonce, said->nonce) == 0);
	HOLDS(back.expires_us == said->expires_us && back.key_id[0]);
	HOLDS(qr_parse(cx, spoiled(cx->arena, payload, in), &back) != OK);
}

void
fuzz_qr(struct arena *a, struct span in)
{
	const char *text = fuzz_text(a, in);
	struct qr_code said = {.expires_us = 0}, code;
	char ref[ID_BYTES + 1];
	int64_t step;
	struct ctx cx;

	fuzz_ctx(&cx, a);
	if (text[0] == '{') /* its plain text, encoded here */
		text = b64url_text(a, span_str(text));
	if (qr_peek(&cx, text, &said)) {
		HOLDS(uuid_valid(said.session_id.text) && strlen(said.nonce) <= QR_NONCE_MAX && said.expires_us > 0);
		signed_payload_comes_back(&cx, &said, in);
		(void)rotation_nonce_read(said.nonce, &step);
	}
	if (qr_parse(&cx, text, &code) == OK)
		HOLDS(strcmp(code.session_id.text, said.session_id.text) == 0 && code.expires_us == said.expires_us);
	if (rotation_nonce_read(text, &step))
		HOLDS(step >= 0 && strlen(text) <= QR_NONCE_MAX);
	if (event_ref_read(text, ref))
		HOLDS(uuid_valid(ref) || event_ref_is_label(ref));
}
