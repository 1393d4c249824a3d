/*
 * Sessions and their tokens.
 *
 * Access tokens are JWTs (HS256, claims iss aud sub role sid iat exp jti typ); refresh tokens are opaque, 256 bits, stored as HMAC.
 * The live sessions sit in a bounded in-memory table, so authentication costs no query; whoever changes an account or a session
 * calls the forget functions, which take effect at COMMIT, before any reply of that batch.
 */
#ifndef MUSTER_IDENTITY_SESSION_H
#define MUSTER_IDENTITY_SESSION_H

#include "identity/account.h"

/* --- the table of live sessions ---------------------------------------------------------------------------------------------- */
struct session_table *session_table_open(size_t max_entries);
void session_table_close(struct session_table *t);
void session_table_flush(struct session_table *t); /* somebody else wrote to the database */
void session_table_forget(struct session_table *t, const char *user_id); /* another node changed this account */

struct access_claims {
	struct uuid user_id, session_id;
};
/*
 * Phase one, no I/O: form, key, MAC, typ, iss, aud, time.  ERR_NOT_AUTHENTICATED or ERR_ACCESS_EXPIRED.
 */
enum err access_verify(struct ctx *cx, const char *token, struct access_claims *ret) MUST_CHECK;
/*
 * Phase two, from memory: OK with *ret filled (texts in cx->arena), ERR_TOKEN_REVOKED, or *ret_miss = true when the table does not know:
 * then call session_fill() where there is a read connection.
 */
enum err session_lookup(struct ctx *cx, const struct access_claims *c, struct actor *ret, bool *ret_miss) MUST_CHECK;
/*
 * The same for who asks again and again (streams): an entry past its lease is told apart from none, and is no miss.
 */
enum err session_lookup_aged(struct ctx *cx, const struct access_claims *c, struct actor *ret, bool *ret_miss, bool *ret_aged) MUST_CHECK;
enum err session_fill(struct ctx *cx, const struct access_claims *c, struct actor *ret) MUST_CHECK;
/* Inside a transaction: the session and its account still stand (rows with admin, password, MFA or decide rights). */
enum err session_recheck(struct ctx *cx) MUST_CHECK;

/* --- mint: the only place that makes tokens ----------------------------------------------------------------------------------- */
struct proof { /* what was shown; mint asserts that it is enough for this account */
	bool password, mfa, oauth;
	bool web; /* the refresh token goes into a cookie */
};
struct tokens {
	const char *access_token, *refresh_token;
	int64_t access_expires_s;  /* life of the access token in seconds */
	int64_t refresh_expires_at; /* µs */
	struct uuid session_id;
};
/*
 * Begins a session for an active account inside the present transaction: checks again that the account is active (and, when it has
 * MFA, that proof.mfa), ends the user's other sessions under SINGLE_DEVICE, writes session and refresh token.  Not audited here.
 * Errors: ERR_INVALID_CREDENTIALS when the account is not active any more.
 */
enum err mint_session(struct ctx *cx, const struct account *who, const struct proof *proof, struct tokens *ret) MUST_CHECK;

/*
 * Rotates in one atomic statement.  Within 15 s, while the successor is unused, the same successor is given again with a fresh access
 * token; anything else of a used token is reuse: the family is revoked, audited, notified, and the answer refuse()d with
 * ERR_TOKEN_REVOKED.  Unknown or expired: ERR_NOT_AUTHENTICATED.  An account that is no longer active: ERR_TOKEN_REVOKED.
 * RL_REFRESH_USER_LIMIT: ERR_RATE_LIMITED.
 */
enum err session_refresh(struct ctx *cx, const char *refresh_token, struct account *ret_who, struct tokens *ret) MUST_CHECK;

/* Ends the session a refresh token belongs to (also a rotated one).  Unknown or expired tokens are no error.  Audited. */
enum err session_logout(struct ctx *cx, const char *refresh_token) MUST_CHECK;
/* Ends one session by id; ERR_NOT_FOUND unless it is `user_id`'s and live. */
enum err session_end(struct ctx *cx, const char *user_id, const char *session_id, const char *reason) MUST_CHECK;
/* Ends all of a user's sessions but `except` (NULL: none). */
enum err session_end_all(struct ctx *cx, const char *user_id, const char *except, const char *reason) MUST_CHECK;
/* After COMMIT the next request of this user asks the database again, here and (by news) on every other node. */
void session_forget_user(struct ctx *cx, const char *user_id);

/* Job: expired refresh tokens, sessions, one-time secrets go. */
enum err session_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
