/*
 * Login by password, the same for all surfaces.  Runs on the hash lane; its own transactions:
 *
 *	1  db_write: reserve the attempt in every counter (limits by IP, lockout by e-mail and IP) and read the account
 *	2  hash      the same work for everybody: who has no password is checked against a decoy, whoever is closed or locked against
 *	             their own hash, and the result does not count
 *	3  db_write: check again what was read (WHERE is_active AND password_hash = $old), mint, audit, give reservations back
 *
 * Wrong password, unknown account, disabled account: ERR_INVALID_CREDENTIALS, same bytes.  After a right password only:
 * ERR_ACCOUNT_PENDING (with approval_request_id, expires_at), ERR_ACCOUNT_REJECTED, ERR_APPROVAL_TIMEOUT.
 * ERR_RATE_LIMITED and ERR_ACCOUNT_LOCKED carry Retry-After.  Every refusal is audited as login_failed.
 */
#ifndef MUSTER_IDENTITY_LOGIN_H
#define MUSTER_IDENTITY_LOGIN_H

#include "http/limit.h"
#include "identity/session.h"

enum login_surface { LOGIN_PORTAL = 1, LOGIN_CAMPUS, LOGIN_ACCOUNTS };

struct login {
	const char *email;        /* as typed */
	const char *password;
	const char *device_token; /* known device; NULL */
	enum login_surface surface;
	bool web;
	/*
	 * Called in the transaction that makes the session, just before it; NULL: nothing.  What it writes stands or falls with the
	 * session; its ERR_TOKEN_INVALID refuses the login.  With a second factor due there is no session yet, and it is not called.
	 */
	enum err (*also)(struct ctx *cx, void *arg, const struct account *who);
	void *also_arg;
};
struct login_result {
	struct account who;
	struct tokens tokens;       /* empty when mfa_token is set */
	const char *mfa_token;      /* NULL unless a second factor is due */
	int64_t mfa_expires_s;
	const char *device_token;   /* for X-Device-Token; NULL when mfa_token is set */
};
enum err login_password(struct ctx *cx, const struct login *in, struct login_result *ret) MUST_CHECK;

#endif
