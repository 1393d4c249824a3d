/*
 * Signing in, refreshing, signing out: how the tokens travel, and what the rows of every surface have in common.
 *
 * By default a refresh token is a member of the body, both ways.  With `X-Muster-Client: web` it lives in a cookie that scripts
 * cannot read (`__Host-muster_rt`; `muster_rt` where a dev server speaks plain HTTP); requests that use it need that header, an
 * Origin equal to the server's own, and no body, so no foreign page can make one.
 */
#ifndef MUSTER_API_TRANSPORT_H
#define MUSTER_API_TRANSPORT_H

#include "api/route.h"
#include "identity/login.h"

/* Sets the cookie of a web client.  Others get the token in the body: the return value, NULL for web clients. */
const char *refresh_token_give(struct ctx *cx, const struct request *rq, struct reply *rs, const struct tokens *t);
void refresh_cookie_clear(struct ctx *cx, const struct request *rq, struct reply *rs);

/* The body of refresh and logout, and the handler of logout, which is one on every surface. */
struct refresh_in {
	const char *refresh_token;
};
extern const struct schema refresh_in_schema;
enum err logout_handler(struct ctx *cx, const struct request *rq, struct reply *rs) MUST_CHECK;

/* The body of a login, but for the portal's, which may be a form. */
struct email_login_in {
	const char *email, *password;
};
extern const struct schema email_login_in_schema;

/* login_password() and session_refresh() with what the request carries: known device, web client, token in body or cookie. */
enum err login_with(struct ctx *cx, const struct request *rq, enum login_surface surface, const char *email, const char *password,
	struct login_result *ret) MUST_CHECK;
enum err refresh_with(struct ctx *cx, const struct request *rq, struct account *ret_who, struct tokens *ret) MUST_CHECK;

/* What portal and campus answer to a login (tokens, or that a second factor is due) and to a refresh. */
extern const struct schema portal_tokens_schema, campus_tokens_schema;
enum err login_reply(struct ctx *cx, const struct request *rq, struct reply *rs, const struct schema *as,
	const struct login_result *r) MUST_CHECK;
enum err tokens_reply(struct ctx *cx, const struct request *rq, struct reply *rs, const struct schema *as, const struct account *who,
	const struct tokens *t) MUST_CHECK;

/* The rows: what a surface adds is path, handler, body and reply, tag. */
#define LOGIN_ROW                                                                                                                  \
	.method = POST, .access = ANYONE, .lane = LANE_HASH, .status = 200, .no_store = true, .summary = "Sign in",                \
	.errors = ERRORS(                                                                                                          \
		ERR_INVALID_CREDENTIALS, ERR_ACCOUNT_PENDING, ERR_ACCOUNT_REJECTED, ERR_APPROVAL_TIMEOUT, ERR_ACCOUNT_LOCKED)
#define LOGIN_TEXT \
	"A known device sends X-Device-Token along. With X-Muster-Client: web the refresh token comes as a cookie."
#define REFRESH_ROW                                                                                                             \
	.method = POST, .access = ANYONE, .lane = LANE_WRITE, .hall = true, .body = &refresh_in_schema, .status = 200,          \
	.errors = ERRORS(ERR_NOT_AUTHENTICATED, ERR_TOKEN_REVOKED, ERR_FORBIDDEN), .no_store = true,                            \
	.summary = "A new pair of tokens",                                                                                      \
	.text = "The same refresh token gives the same successor for 15 seconds while that is unused; any later use ends the " \
		"session."
#define LOGOUT_ROW                                                                                                          \
	.method = POST, .handler = logout_handler, .access = ANYONE, .lane = LANE_WRITE, .body = &refresh_in_schema,        \
	.status = 204, .errors = ERRORS(ERR_NOT_AUTHENTICATED, ERR_FORBIDDEN), .no_store = true, .summary = "Sign out", \
	.text = "Also with an unknown or expired token; a rotated one ends its session."

/* X-Device-Token, or its cookie; NULL when there is neither. */
const char *device_token_read(struct ctx *cx, const struct request *rq);
void device_token_give(struct ctx *cx, const struct request *rq, struct reply *rs, const char *token);

/*
 * The browser that began a sign-in with a provider: a secret of its own, in a cookie that also comes along when the provider sends the
 * browser back (SameSite=Lax), or as the member `binding` of clients without cookies.
 */
const char *oauth_binding_read(struct ctx *cx, const struct request *rq, const char *in_body);
void oauth_binding_give(struct ctx *cx, const struct request *rq, struct reply *rs, const char *binding, int64_t life_s);

#endif
