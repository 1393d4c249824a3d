/*
 * Passwords: policy, and the four stored formats that passlib writes ($2b$/$2a$/$2y$, $bcrypt-sha256$, $argon2id$, $pbkdf2-sha256$).
 * No truncation: over 72 bytes bcrypt is used as bcrypt_sha256.  Parameters are bounded on the way in (bcrypt 4–14, argon2 at most
 * 128 MiB and t 10, pbkdf2 at most 2,000,000 rounds).
 */
#ifndef MUSTER_IDENTITY_PASSWORD_H
#define MUSTER_IDENTITY_PASSWORD_H

#include "core/ctx.h"
#include "core/conf.h"

enum password_policy { POLICY_CLASSES = 1, POLICY_LENGTH }; /* portal and accounts; campus */

/* Reports every broken rule with error_field(cx, field, …); ERR_VALIDATION when there was one. */
enum err password_check(struct ctx *cx, enum password_policy policy, const char *field, const char *password, const char *email,
			const char *full_name) MUST_CHECK;
bool password_common(const char *password); /* among the 10,000 most common; case does not matter */

/*
 * Slow: tens to hundreds of milliseconds; only on the hash lane (identity/hasher.h) or in a command.  ERR_UNAVAILABLE: the scheme found no
 * memory to run in, which says nothing of the password.
 */
enum err password_hash(struct ctx *cx, const char *password, const char **ret) MUST_CHECK;
/* *ret_same is false for malformed or out-of-bounds hashes too. */
enum err password_verify(struct ctx *cx, const char *hash, const char *password, bool *ret_same) MUST_CHECK;
/* True when the hash is not what the present configuration would write. */
bool password_stale(const struct config *conf, const char *hash);
/* Well-formed, known scheme, parameters in bounds: for imports. */
bool password_hash_acceptable(const char *hash, bool dev);

/*
 * A fake hash for an address without account (or without password): scheme and cost drawn by HMAC(e-mail) from `mix`, the schemes
 * present in the table, so that a miss costs what a hit costs.
 */
struct password_mix {
	const char *sample[16]; /* prefixes with parameters, "$2b$12$", "$argon2id$v=19$m=19456,t=2,p=1$" */
	int64_t weight[16];
	int n;
};
char *password_decoy(struct arena *a, const struct config *conf, const struct password_mix *mix, const uint8_t draw[32]);

#endif
