/*
 * The second factor: TOTP (identity/totp.h) and backup codes.
 *
 * The secret is 160 bits, stored as a Fernet token whose plaintext names the account.  A step is accepted once per account, by
 * one conditional UPDATE, the step that proved the enrolment included.  Wrong codes are counted per account, apart from passwords
 * (ERR_ACCOUNT_LOCKED), and at most MFA_TRIES per pending token.  Backup codes are 80 random bits, one hashed row each.
 */
#ifndef MUSTER_IDENTITY_MFA_H
#define MUSTER_IDENTITY_MFA_H

#include "identity/login.h"

enum { MFA_TRIES = 5, MFA_RECENT_MINUTES = 10 };

enum err mfa_is_enabled(struct ctx *cx, const char *user_id, bool *ret) MUST_CHECK;

/*
 * A new secret for the present account, not active before mfa_verify(); an active one stays till then.  With a login older than
 * MFA_RECENT_MINUTES it takes the password, and where a factor is active and this login did not show it, a code too.
 * On the hash lane.  ERR_REAUTH_REQUIRED, ERR_INVALID_CREDENTIALS, ERR_INVALID_CODE, ERR_ACCOUNT_LOCKED.
 */
struct mfa_setup {
	const char *secret; /* base 32 */
	const char *otpauth_uri;
};
enum err mfa_setup(struct ctx *cx, const char *password, const char *code, struct mfa_setup *ret) MUST_CHECK;

/* In a transaction.  Activates the new secret; *ret is a list of const char *, shown once.  ERR_MFA_NOT_ENABLED: no setup. */
enum err mfa_verify(struct ctx *cx, const char *code, struct list *ret_codes) MUST_CHECK;
enum err mfa_regenerate(struct ctx *cx, const char *code, struct list *ret_codes) MUST_CHECK;

struct factor { /* exactly one of the two is there */
	const char *code, *backup_code;
};
/* On the hash lane.  `password` (instead of a factor) only within MFA_RECENT_MINUTES of a login with a factor. */
enum err mfa_disable(struct ctx *cx, const struct factor *f, const char *password) MUST_CHECK;

/* --- the pending login ---------------------------------------------------------------------------------------------------- */

/* In a transaction: a token that is good for nothing but mfa_complete(), once. `via` "password" or "oauth". */
enum err mfa_await(
	struct ctx *cx, const char *user_id, const char *via, const char **ret_token, int64_t *ret_expires_s) MUST_CHECK;

struct mfa_completing {
	const char *mfa_token;
	struct factor factor;
	const char *device_token;
	bool web;
};
/*
 * In a transaction.  ERR_TOKEN_INVALID: forged, expired, used, or MFA_TRIES wrong codes; ERR_INVALID_CODE; ERR_ACCOUNT_LOCKED;
 * ERR_INVALID_CREDENTIALS: the account was closed meanwhile.
 */
enum err mfa_complete(struct ctx *cx, const struct mfa_completing *in, struct login_result *ret) MUST_CHECK;

extern const char mfa_seal_purpose[]; /* of a TOTP secret's sealed text (core/fernet.h) */

#endif
