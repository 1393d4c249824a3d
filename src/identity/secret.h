/*
 * One primitive for every one-time secret: purpose, user, client binding, keyed hash, expiry, atomic consume.
 * It serves password reset, e-mail verification, MFA pending tokens, OAuth state and link tokens, and backup codes.
 */
#ifndef MUSTER_IDENTITY_SECRET_H
#define MUSTER_IDENTITY_SECRET_H

#include "core/ctx.h"

/* Makes a secret of 256 random bits (base64url) and stores its keyed hash.  `data` (JSON or NULL) comes back at consume. */
struct secret_new {
	const char *purpose, *user_id, *binding, *data;
	int64_t life_us;
	bool only_one; /* kills the user's older ones of this purpose */
};
enum err secret_issue(struct ctx *cx, const struct secret_new *in, const char **ret_secret) MUST_CHECK;
/* The same with a secret that the caller chose (a backup code). */
enum err secret_store(struct ctx *cx, const struct secret_new *in, const char *secret) MUST_CHECK;

/*
 * Takes it, once: the row must have this purpose, be unexpired and unused, and, where it was bound, carry this binding (and this user when
 * user_id is given).  ERR_TOKEN_INVALID for everything else, without telling which.
 */
struct secret_taken {
	struct uuid id, user_id;
	const char *data;
};
enum err secret_consume(struct ctx *cx, const char *purpose, const char *secret, const char *user_id, const char *binding,
			struct secret_taken *ret) MUST_CHECK;

/* Looks without taking, and without the binding: whose it is.  ERR_TOKEN_INVALID. */
enum err secret_peek(struct ctx *cx, const char *purpose, const char *secret, struct secret_taken *ret) MUST_CHECK;
/* Kills a user's live ones of this purpose. */
enum err secret_kill(struct ctx *cx, const char *purpose, const char *user_id) MUST_CHECK;

#endif
