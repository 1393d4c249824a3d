/*
 * Cookies are Strict: only our own pages send them (but for the one that awaits a provider's answer).  A cookie is set when something
 * was won and cleared at logout, never because a request was refused: the loser of a race between two tabs must not sign out the winner.
 */
#include "api/transport.h"

#include <string.h>
#include <strings.h>

#include "core/conf.h"
#include "identity/known_device.h"

static const char device_header[] = "X-Device-Token";

/* Browsers refuse __Host- and Secure on plain HTTP, which only a server in dev may speak to them. */
static bool
plain_http(const struct ctx *cx, const struct request *rq)
{
	return cx->srv->conf->env == ENV_DEV && !rq->tls && !str_starts(cx->srv->conf->public_base_url, "https://");
}

static const char *
cookie_name(struct ctx *cx, const struct request *rq, const char *name)
{
	return plain_http(cx, rq) ? name : arena_printf(cx->arena, "__Host-%s", name);
}

static void
cookie_write(struct ctx *cx, const struct request *rq, struct reply *rs, const char *name, const char *value, int64_t life_s,
	const char *same_site)
{
	reply_header(rs, "Set-Cookie",
		arena_printf(cx->arena, "%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=%s%s", cookie_name(cx, rq, name), value,
			(long long)life_s, same_site, plain_http(cx, rq) ? "" : "; Secure"));
}

static void
cookie_set(struct ctx *cx, const struct request *rq, struct reply *rs, const char *name, const char *value, int64_t life_s)
{
	cookie_write(cx, rq, rs, name, value, life_s, "Strict");
}

/* The server's own origin: as PUBLIC_BASE_URL says, else as the request's Host; behind a proxy the scheme may be either. */
static bool
own_origin(const struct ctx *cx, const struct request *rq)
{
	const char *origin = request_header(rq, "Origin"), *base = cx->srv->conf->public_base_url,
		   *host = request_header(rq, "Host");

	if (!origin)
		return false;
	if (*base) {
		const char *authority = strstr(base, "://");
		size_t n = authority ? (size_t)(authority + 3 - base) + strcspn(authority + 3, "/") : strlen(base);
		return strlen(origin) == n && strncasecmp(origin, base, n) == 0;
	}
	if (str_starts(origin, "https://"))
		origin += 8;
	else if (str_starts(origin, "http://") && !rq->tls)
		origin += 7;
	else
		return false;
	return host && strcasecmp(origin, host) == 0;
}

/* `in_body` is the body's member or NULL.  ERR_VALIDATION, ERR_FORBIDDEN (foreign Origin), ERR_NOT_AUTHENTICATED (no cookie). */
static enum err
refresh_token_read(struct ctx *cx, const struct request *rq, const char *in_body, const char **ret)
{
	if (!rq->web) {
		if (!in_body)
			error_field(cx, "refresh_token", "is required");
		*ret = in_body;
		return in_body ? OK : fail(cx, ERR_VALIDATION, NULL);
	}
	if (!own_origin(cx, rq))
		return fail(cx, ERR_FORBIDDEN, NULL);
	if (rq->raw_body.n > 0) {
		error_field(cx, "refresh_token", "comes in the cookie; a web client sends no body");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	const char *token = request_cookie(cx->arena, rq, cookie_name(cx, rq, "muster_rt"));
	if (!token)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	*ret = token;
	return OK;
}

const char *
refresh_token_give(struct ctx *cx, const struct request *rq, struct reply *rs, const struct tokens *t)
{
	if (!rq->web)
		return t->refresh_token;
	cookie_set(cx, rq, rs, "muster_rt", t->refresh_token, (t->refresh_expires_at - cx->now_us) / SECONDS_US);
	return NULL;
}

void
refresh_cookie_clear(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	cookie_set(cx, rq, rs, "muster_rt", "", 0);
}

static const struct field refresh_in_fields[] = {
	F(struct refresh_in, refresh_token, F_SECRET, 1, 200, "Required, unless it comes in a web client's cookie"),
};
const struct schema refresh_in_schema = SCHEMA("RefreshIn", struct refresh_in, refresh_in_fields);

static const struct field email_login_in_fields[] = {
	F(struct email_login_in, email, F_REQUIRED, 1, EMAIL_MAX, "Address of the account"),
	F(struct email_login_in, password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX, "Password"),
};
const struct schema email_login_in_schema = SCHEMA("EmailLoginIn", struct email_login_in, email_login_in_fields);

enum err
logout_handler(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct refresh_in *in = rq->body;
	const char *token;

	TRY(refresh_token_read(cx, rq, in->refresh_token, &token));
	TRY(session_logout(cx, token));
	if (rq->web)
		refresh_cookie_clear(cx, rq, rs);
	return reply_empty(rs, 204);
}

enum err
login_with(struct ctx *cx, const struct request *rq, enum login_surface surface, const char *email, const char *password,
	struct login_result *ret)
{
	const struct login in = {.email = email,
		.password = password,
		.device_token = device_token_read(cx, rq),
		.surface = surface,
		.web = rq->web};

	return login_password(cx, &in, ret);
}

enum err
refresh_with(struct ctx *cx, const struct request *rq, struct account *ret_who, struct tokens *ret)
{
	const struct refresh_in *in = rq->body;
	const char *token;

	TRY(refresh_token_read(cx, rq, in->refresh_token, &token));
	return session_refresh(cx, token, ret_who, ret);
}

const char *
device_token_read(struct ctx *cx, const struct request *rq)
{
	const char *token = request_header(rq, device_header);

	return token ? token : request_cookie(cx->arena, rq, cookie_name(cx, rq, "muster_dt"));
}

void
device_token_give(struct ctx *cx, const struct request *rq, struct reply *rs, const char *token)
{
	if (!token)
		return;
	reply_header(rs, device_header, token);
	cookie_set(cx, rq, rs, "muster_dt", token, KNOWN_DEVICE_DAYS * (DAYS_US / SECONDS_US));
}

const char *
oauth_binding_read(struct ctx *cx, const struct request *rq, const char *in_body)
{
	return in_body ? in_body : request_cookie(cx->arena, rq, cookie_name(cx, rq, "muster_ob"));
}

void
oauth_binding_give(struct ctx *cx, const struct request *rq, struct reply *rs, const char *binding, int64_t life_s)
{
	cookie_write(cx, rq, rs, "muster_ob", binding, life_s, "Lax");
}
