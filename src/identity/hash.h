/*
 * The stored password formats, one level below identity/password.h: taking a stored text apart, within bounds, and running its
 * scheme.
 *
 *	$2b$ $2a$ $2y$                       bcrypt (OpenBSD; $2x$ is refused)
 *	$bcrypt-sha256$v=2,t=2b,r=12$S$D     passlib: bcrypt over base64(HMAC-SHA256(key S, password))
 *	$bcrypt-sha256$2b,12$S$D             its version 1, over base64(SHA-256(password))
 *	$argon2id$v=19$m=19456,t=2,p=1$S$D   RFC 9106, the PHC string format
 *	$pbkdf2-sha256$29000$S$D             passlib, base64 with '.' for '+' and no padding
 */
#ifndef MUSTER_IDENTITY_HASH_H
#define MUSTER_IDENTITY_HASH_H

#include "core/str.h"

enum hash_scheme { SCHEME_UNSET = 0, SCHEME_BCRYPT, SCHEME_BCRYPT_SHA256, SCHEME_ARGON2ID, SCHEME_PBKDF2 };

enum {
	BCRYPT_BYTES_MAX = 72,
	BCRYPT_COST_MIN = 4,
	BCRYPT_COST_MAX = 14,
	BCRYPT_COST_WEAK = 10, /* below: dev only */
	ARGON2_MEMORY_MAX_KIB = 128 << 10,
	ARGON2_PASSES_MAX = 10,
	ARGON2_LANES_MAX = 16,
	PBKDF2_ROUNDS_MAX = 2000000,
	HASH_SALT_MAX = 64, /* bytes of a decoded salt or digest */
	HASH_TEXT_MAX = 512,
};

struct hash {
	enum hash_scheme scheme;
	int version;			    /* bcrypt_sha256: 1 or 2 */
	char minor;			    /* bcrypt: 'a', 'b' or 'y' */
	int64_t cost;			    /* bcrypt: log2 rounds; pbkdf2: rounds; argon2: passes */
	int64_t memory_kib, lanes;	    /* argon2 */
	struct span salt_text, digest_text; /* into the stored text */
	size_t params_n;		    /* bytes before the salt: "$2b$12$" */
};

/* False for anything malformed, unknown or out of bounds. */
bool hash_parse(const char *stored, struct hash *ret);
/* False: the scheme found no memory or thread to run in, so nothing was compared. */
bool hash_matches(const char *stored, const struct hash *h, const char *password, bool *ret_same) MUST_CHECK;
/* The salt is chosen at random.  bcrypt demands at most BCRYPT_BYTES_MAX bytes of password.  NULL: no memory or thread, as above. */
char *hash_make(struct arena *a, enum hash_scheme scheme, int64_t bcrypt_cost, const char *password);

/* What this program writes. */
enum { ARGON2_MEMORY_KIB = 19456, ARGON2_PASSES = 2, ARGON2_LANES = 1, PBKDF2_ROUNDS = 600000, HASH_SALT_BYTES = 16 };

/* A text that is well-formed for `params` ("$2b$12$") with salt and digest made from `seed`; NULL when the parameters are not. */
char *hash_fake(struct arena *a, const char *params, const uint8_t seed[32]);

#endif
