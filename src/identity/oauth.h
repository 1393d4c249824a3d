/*
 * Signing in with a provider (identity/oidc.h): the state of a login under way, what a person of the provider is here, and links.
 *
 * State, nonce and PKCE verifier: the state is 256 random bits, stored as a hash, good once, for one browser (`binding`), one
 * provider and OAUTH_STATE_TTL; nonce and verifier are MACs of it, so nothing secret is stored.  A person is (issuer, subject),
 * never an address.  An existing account is linked by itself only when the provider proves the address and the account's is
 * proven too; else its password is asked for.  A new person follows SIGNUP_POLICY; a second factor and an account's state count
 * as always.
 */
#ifndef MUSTER_IDENTITY_OAUTH_H
#define MUSTER_IDENTITY_OAUTH_H

#include "identity/login.h"
#include "identity/mfa.h"

struct oauth_starting {
	const char *provider;
	const char *redirect_uri; /* NULL: the provider's configured one */
	const char *binding;	  /* of the browser's cookie; NULL: a new one */
};
struct oauth_started {
	const char *authorization_url, *state, *binding;
};
/* On the work lane.  ERR_NOT_FOUND, ERR_VALIDATION (redirect_uri), ERR_UNAVAILABLE. */
enum err oauth_start(struct ctx *cx, const struct oauth_starting *in, struct oauth_started *ret) MUST_CHECK;

struct oauth_answer {
	const char *provider, *code, *state;
	const char *error;  /* the provider's own refusal; NULL: none */
	const char *issuer; /* RFC 9207; NULL: none */
	const char *binding, *device_token;
	bool web;
	bool by_code; /* a browser: the reply is a one-time code for oauth_complete() */
};
struct oauth_entry { /* either login, or one_time_code */
	struct login_result login;
	const char *one_time_code;
};
/*
 * On the work lane.  ERR_TOKEN_INVALID (state), ERR_OAUTH_FAILED with detail oauth_error, ERR_LINK_REQUIRED with detail
 * link_token, ERR_ACCOUNT_PENDING, _REJECTED, ERR_APPROVAL_TIMEOUT, ERR_INVALID_CREDENTIALS (closed), ERR_UNAVAILABLE.  Refusals
 * are audited.
 */
enum err oauth_callback(struct ctx *cx, const struct oauth_answer *in, struct oauth_entry *ret) MUST_CHECK;
/* In a transaction: what the code of a browser stands for.  ERR_TOKEN_INVALID, and those of oauth_callback()'s end. */
enum err oauth_complete(struct ctx *cx, const struct oauth_answer *in, struct login_result *ret) MUST_CHECK;

struct oauth_linking {
	const char *link_token, *password, *binding, *device_token;
	struct factor factor; /* both NULL: none given yet */
	bool web;
};
/*
 * On the hash lane: a login with the password of the account (all of its refusals), then the link.  With a second factor due and
 * none given, the result is the pending login, the link is not made and the token stays good.
 */
enum err oauth_link(struct ctx *cx, const struct oauth_linking *in, struct login_result *ret) MUST_CHECK;

struct oauth_identity {
	const char *provider, *issuer, *email;
	int64_t created_at, last_used_at;
};
extern const struct schema oauth_identity_schema;
enum err oauth_identities(struct ctx *cx, struct list *ret) MUST_CHECK;
enum err oauth_unlink(struct ctx *cx, const char *provider) MUST_CHECK; /* ERR_NOT_FOUND, ERR_LAST_LOGIN */
/* All of an account's, where they may be somebody else's preparation. */
enum err oauth_identities_forget(struct ctx *cx, const char *user_id) MUST_CHECK;

#endif
