/*
 * A small strict JWS layer (RFC 7515, 7518, 7519; the advice of RFC 8725): compact form, HS256, RS256, ES256, EdDSA.
 * The algorithm belongs to the key and the header must equal it; crit, jku, jwk, x5u, x5c and zip are refused; no JWE, no "none".
 */
#ifndef MUSTER_CORE_JWS_H
#define MUSTER_CORE_JWS_H

#include <jansson.h>

#include "core/ctx.h"
#include "core/crypto.h"
#include "core/keys.h"

enum jws_alg { JWS_UNSET = 0, JWS_HS256, JWS_RS256, JWS_ES256, JWS_EDDSA };

struct jws_public; /* an asymmetric public key with its one algorithm */

/* From one member of a JWK set.  NULL: unknown kty/crv, RSA under 2048 bits, alg or use that does not fit, point not on curve. */
struct jws_public *jws_public_from_jwk(const json_t *jwk);
void jws_public_free(struct jws_public *k);
/* RFC 7638 thumbprint, base64url of SHA-256. */
bool jwk_thumbprint(const json_t *jwk, char ret[B64_SHA256_CHARS + 1]);

struct jws_parts { /* spans into the token */
	struct span header, payload, signature, signed_bytes;
	char kid[65];       /* "" when absent */
	char typ[33];
	enum jws_alg alg;
};
/* Splits and checks form and header, of at most FOREIGN_TOKEN_MAX bytes; verifies nothing yet. */
bool jws_split(struct arena *a, const char *token, struct jws_parts *ret);

/* HS256 with our own keys: kid names the key of `use`, typ must equal.  The payload JSON is `claims` (an object's text). */
char *jws_sign(struct arena *a, const struct key *key, const char *typ, const char *claims);
/*
 * True only when size (TOKEN_MAX), form, typ, kid, algorithm and MAC all fit; *ret_claims spans the payload JSON in `a`.  Expiry is
 * the caller's.
 */
bool jws_verify(struct arena *a, const struct keys *keys, enum key_use use, const char *typ, const char *token,
		struct span *ret_claims);
/* Asymmetric: the signature of `parts` under `key`; alg must be the key's. */
bool jws_verify_public(const struct jws_public *key, const struct jws_parts *parts);
/* Raw ES256 (r‖s, 64 bytes) over `message`. */
bool jws_es256_raw(const struct jws_public *key, struct span message, struct span signature);

/*
 * Reads one member of a flat claims object that WE wrote and whose MAC was verified: no escapes, no nesting.
 * Text is copied to ret (false when absent, of another type, or longer than cap - 1).
 */
bool claim_text(struct span claims, const char *name, char *ret, size_t cap);
bool claim_int(struct span claims, const char *name, int64_t *ret);

#endif
