/*
 * Primitives over OpenSSL 3.  Failure of the library here is a broken process: it aborts.
 */
#ifndef MUSTER_CORE_CRYPTO_H
#define MUSTER_CORE_CRYPTO_H

#include "core/str.h"

enum { SHA256_BYTES = 32, KEY_BYTES = 32, B64_SHA256_CHARS = 43 };

void crypto_random(void *ret, size_t n); /* kernel-seeded generator, buffered per thread; aborts on failure */
void crypto_sha256(struct span in, uint8_t ret[SHA256_BYTES]);
/* HMAC-SHA256 over the concatenation of `parts` (re-uses one context per thread). */
void crypto_hmac(struct span key, const struct span *parts, size_t n, uint8_t ret[SHA256_BYTES]);
/* HKDF-SHA256 (RFC 5869), empty salt: one key per use from one secret. */
void crypto_hkdf(struct span secret, const char *info, uint8_t ret[KEY_BYTES]);
bool crypto_equal(const void *a, const void *b, size_t n); /* constant time */
void crypto_wipe(void *p, size_t n);                       /* not optimised away */

/* base64url without padding (RFC 4648 §5).  Decoding is strict: no padding, no white space, no stray bits. */
size_t b64url_encoded_size(size_t n);
void b64url_encode(struct span in, char *ret); /* writes b64url_encoded_size(n) characters and NUL */
char *b64url_text(struct arena *a, struct span in);
bool b64url_decode(struct arena *a, const char *in, size_t n, struct span *ret);

void hex_encode(struct span in, char *ret); /* 2n characters and NUL, lower-case */
int hex_value(char c); /* of one digit of either case; -1: none */
bool hex_decode(const char *in, uint8_t *ret, size_t n); /* exactly 2n characters */

extern const char crockford_alphabet[33]; /* 0-9 A-Z without I L O U */
/* Reads a typed code: case does not matter, I L read as 1, O as 0, blanks and hyphens are skipped.  False unless exactly `n`
 * symbols; `ret` gets n upper-case characters and NUL. */
bool crockford_canonical(const char *in, size_t n, char *ret);

#endif
