/*
 * How refresh tokens and known-device tokens travel, the same on every surface that signs people in.
 *
 * By default a refresh token is a member of the body, both ways.  With `X-Muster-Client: web` it lives in a cookie that scripts
 * cannot read (`__Host-muster_rt`; `muster_rt` where a dev server speaks plain HTTP); requests that use it need that header, an
 * Origin equal to the server's own, and no body, so no foreign page can make one.
 */
#ifndef MUSTER_API_TRANSPORT_H
#define MUSTER_API_TRANSPORT_H

#include "api/route.h"
#include "identity/session.h"

/* `in_body` is the body's member or NULL.  ERR_VALIDATION, ERR_FORBIDDEN (foreign Origin), ERR_NOT_AUTHENTICATED (no cookie). */
enum err refresh_token_read(struct ctx *cx, const struct request *rq, const char *in_body, const char **ret) MUST_CHECK;
/* Sets the cookie of a web client.  Others get the token in the body: the return value, NULL for web clients. */
const char *refresh_token_give(struct ctx *cx, const struct request *rq, struct reply *rs, const struct tokens *t);
void refresh_cookie_clear(struct ctx *cx, const struct request *rq, struct reply *rs);

/* The body of refresh and logout, and the handler of logout, which is one on every surface. */
struct refresh_in {
	const char *refresh_token;
};
extern const struct schema refresh_in_schema;
enum err logout_handler(struct ctx *cx, const struct request *rq, struct reply *rs) MUST_CHECK;

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
