/* Accounts: signing in with a provider.  The provider's pages lie between start and callback; identity/oauth.h says what holds.
 */
#include <string.h>

#include "api/accounts.h"
#include "api/dispatch.h"
#include "core/conf.h"
#include "identity/oauth.h"
#include "identity/oidc.h"
#include "store/db.h"

enum { CODE_MAX = 2000, STATE_MAX = 200, URI_MAX = 2000, FACTOR_MAX = 40 };

/* --- providers ---- */

struct provider_out {
	const char *id, *name;
};
static const struct field provider_out_fields[] = {
	F(struct provider_out, id, 0, 0, 0, "Its place in paths"),
	F(struct provider_out, name, 0, 0, 0, "For the button"),
};
static const struct schema provider_out_schema = SCHEMA("OauthProvider", struct provider_out, provider_out_fields);
struct providers_out {
	struct list providers;
};
static const struct field providers_out_fields[] = {
	F_LIST(struct providers_out, providers, 0, &provider_out_schema, "Those that are configured"),
};
static const struct schema providers_out_schema = SCHEMA("OauthProviders", struct providers_out, providers_out_fields);

static enum err
providers(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct config *conf = cx->srv->conf;
	size_t n = oidc_provider_count(conf);
	struct provider_out *items = arena_new(cx->arena, struct provider_out, n);
	const struct providers_out out = {.providers = {items, n}};

	(void)rq;
	for (size_t i = 0; i < n; i++) {
		struct oidc_provider p = oidc_provider_nth(cx->arena, conf, i);
		items[i] = (struct provider_out){p.id, p.name};
	}
	return reply_record(rs, &providers_out_schema, &out);
}

/* --- start ---- */

struct start_in {
	const char *redirect_uri;
};
static const struct field start_in_fields[] = {
	F(struct start_in, redirect_uri, 0, 1, URI_MAX,
		"One of OAUTH_ALLOWED_REDIRECT_URIS; default: the provider's configured one"),
};
static const struct schema start_in_schema = SCHEMA("OauthStartIn", struct start_in, start_in_fields);
struct start_out {
	const char *authorization_url, *state, *binding;
};
static const struct field start_out_fields[] = {
	F(struct start_out, authorization_url, F_SECRET, 0, 0, "Where the browser goes"),
	F(struct start_out, state, F_SECRET, 0, 0, "Comes back with the provider's answer"),
	F(struct start_out, binding, F_SECRET, 0, 0, "Must come back at the callback, where no cookie does"),
};
static const struct schema start_out_schema = SCHEMA("OauthStart", struct start_out, start_out_fields);

static enum err
start(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct start_in *query = rq->query;
	const struct oauth_starting in = {
		.provider = rq->params[0], .redirect_uri = query->redirect_uri, .binding = oauth_binding_read(cx, rq, NULL)};
	struct oauth_started s;

	TRY(oauth_start(cx, &in, &s));
	oauth_binding_give(cx, rq, rs, s.binding, cx->srv->conf->oauth_state_ttl + cx->srv->conf->oauth_link_ttl);
	if (accepts(rq, "application/json", "text/html")) {
		const struct start_out out = {s.authorization_url, s.state, s.binding};
		return reply_record(rs, &start_out_schema, &out);
	}
	reply_header(rs, "Location", s.authorization_url);
	return reply_empty(rs, 302);
}

/* --- callback ---- */

struct callback_in {
	const char *code, *state, *error, *iss, *binding;
	const char *error_description, *error_uri, *scope, *session_state, *authuser, *prompt, *hd;
};
static const struct field callback_in_fields[] = {
	F(struct callback_in, code, F_SECRET, 1, CODE_MAX, "Of the provider; required unless there is an error"),
	F(struct callback_in, state, F_REQUIRED | F_SECRET, 1, STATE_MAX, "Of the start"),
	F(struct callback_in, error, 0, 1, 100, "The provider's own refusal"),
	F(struct callback_in, iss, 0, 1, URI_MAX, "The provider's issuer (RFC 9207)"),
	F(struct callback_in, binding, F_SECRET, 1, STATE_MAX, "Of the start, where no cookie comes along"),
	F(struct callback_in, error_description, F_TOLERATED, 0, 0, "Ignored"),
	F(struct callback_in, error_uri, F_TOLERATED, 0, 0, "Ignored"),
	F(struct callback_in, scope, F_TOLERATED, 0, 0, "Ignored"),
	F(struct callback_in, session_state, F_TOLERATED, 0, 0, "Ignored"),
	F(struct callback_in, authuser, F_TOLERATED, 0, 0, "Ignored"),
	F(struct callback_in, prompt, F_TOLERATED, 0, 0, "Ignored"),
	F(struct callback_in, hd, F_TOLERATED, 0, 0, "Ignored"),
};
static const struct schema callback_in_schema = SCHEMA("OauthCallbackIn", struct callback_in, callback_in_fields);

static enum err
reply_login(struct ctx *cx, const struct request *rq, struct reply *rs, const struct login_result *r, bool mfa_enabled)
{
	if (!r->tokens.access_token)
		return accounts_mfa_due(rs, r->mfa_token, r->mfa_expires_s);
	return accounts_grant(cx, rq, rs,
		&(const struct grant){
			.who = &r->who, .tokens = &r->tokens, .device_token = r->device_token, .mfa_enabled = mfa_enabled});
}

/* The fragment stays in the browser: no server and no referrer sees it. */
static enum err
to_the_app(struct ctx *cx, struct reply *rs, enum err e, const char *code)
{
	const char *fragment = e == OK ? code : arena_printf(cx->arena, "error=%s", err_row(e)->code);

	reply_header(rs, "Location", arena_printf(cx->arena, "/app/oauth#%s", fragment));
	return reply_empty(rs, 303);
}

static enum err
callback(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct callback_in *in = rq->method == POST ? rq->body : rq->query;
	bool browser = accepts(rq, "text/html", "application/json");
	const struct oauth_answer answer = {.provider = rq->params[0],
		.code = in->code,
		.state = in->state,
		.error = in->error,
		.issuer = in->iss,
		.binding = oauth_binding_read(cx, rq, in->binding),
		.device_token = device_token_read(cx, rq),
		.web = rq->web,
		.by_code = browser};
	struct oauth_entry entry = {0};

	enum err e = oauth_callback(cx, &answer, &entry);
	if (browser) {
		error_clear(cx);
		return to_the_app(cx, rs, e, entry.one_time_code);
	}
	TRY(e);
	return reply_login(cx, rq, rs, &entry.login, false);
}

struct complete_in {
	const char *code, *binding;
};
static const struct field complete_in_fields[] = {
	F(struct complete_in, code, F_REQUIRED | F_SECRET, 1, STATE_MAX, "Behind the # of /app/oauth"),
	F(struct complete_in, binding, F_SECRET, 1, STATE_MAX, "Of the start, where no cookie comes along"),
};
static const struct schema complete_in_schema = SCHEMA("OauthCompleteIn", struct complete_in, complete_in_fields);

static enum err
complete(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct complete_in *in = rq->body;
	const struct oauth_answer answer = {.provider = rq->params[0],
		.code = in->code,
		.binding = oauth_binding_read(cx, rq, in->binding),
		.device_token = device_token_read(cx, rq),
		.web = rq->web};
	struct login_result r;

	TRY(oauth_complete(cx, &answer, &r));
	return reply_login(cx, rq, rs, &r, false);
}

/* --- links ---- */

struct link_in {
	const char *link_token, *password, *code, *backup_code, *binding;
};
static const struct field link_in_fields[] = {
	F(struct link_in, link_token, F_REQUIRED | F_SECRET, 1, STATE_MAX, "Of the refused login"),
	F(struct link_in, password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX, "Password of the account"),
	F(struct link_in, code, F_SECRET, 1, FACTOR_MAX, "Code of the app, where the account has a second factor, or instead:"),
	F(struct link_in, backup_code, F_SECRET, 1, FACTOR_MAX, "One of the backup codes"),
	F(struct link_in, binding, F_SECRET, 1, STATE_MAX, "Of the start, where no cookie comes along"),
};
static const struct schema link_in_schema = SCHEMA("OauthLinkIn", struct link_in, link_in_fields);

static enum err
link_confirm(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct link_in *in = rq->body;
	const struct oauth_linking linking = {.link_token = in->link_token,
		.password = in->password,
		.binding = oauth_binding_read(cx, rq, in->binding),
		.device_token = device_token_read(cx, rq),
		.factor = {.code = in->code, .backup_code = in->backup_code},
		.web = rq->web};
	struct login_result r;

	TRY(oauth_link(cx, &linking, &r));
	return reply_login(cx, rq, rs, &r, in->code || in->backup_code);
}

struct identities_out {
	struct list identities;
};
static const struct field identities_out_fields[] = {
	F_LIST(struct identities_out, identities, 0, &oauth_identity_schema, "Linked providers, oldest first"),
};
static const struct schema identities_out_schema = SCHEMA("OauthIdentities", struct identities_out, identities_out_fields);

static enum err
identities(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct identities_out out;

	(void)rq;
	TRY(oauth_identities(cx, &out.identities));
	return reply_record(rs, &identities_out_schema, &out);
}

static enum err
unlink_identity(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	TRY(oauth_unlink(cx, rq->params[0]));
	return reply_empty(rs, 204);
}

#define CALLBACK_ERRORS                                                                                                          \
	ERRORS(ERR_NOT_FOUND, ERR_TOKEN_INVALID, ERR_OAUTH_FAILED, ERR_LINK_REQUIRED, ERR_ACCOUNT_PENDING, ERR_ACCOUNT_REJECTED, \
		ERR_APPROVAL_TIMEOUT, ERR_INVALID_CREDENTIALS)
#define CALLBACK_TEXT                                                                                                        \
	"Tokens, or a pending second factor. A browser (Accept: text/html) is sent to /app/oauth with a code behind the #, " \
	"good for one "                                                                                                      \
	"minute and one .../callback/complete, or with error=CODE."

static const struct route rows[] = {
	{.method = GET,
		.path = "/v1/auth/oauth/providers",
		.handler = providers,
		.access = ANYONE,
		.lane = LANE_LOOP,
		.reply = &providers_out_schema,
		.status = 200,
		.tag = "providers",
		.summary = "Providers that one can sign in with"},
	{.method = GET,
		.path = "/v1/auth/oauth/{provider}/start",
		.handler = start,
		.access = ANYONE,
		.lane = LANE_WORK,
		.query = &start_in_schema,
		.reply = &start_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_NOT_FOUND),
		.no_store = true,
		.tag = "providers",
		.summary = "Go to a provider",
		.text = "A redirect (302), or with Accept: application/json the address. Sets the cookie that binds the login "
			"to this browser."},
	{.method = GET,
		.path = "/v1/auth/oauth/{provider}/callback",
		.handler = callback,
		.access = ANYONE,
		.lane = LANE_WORK,
		.query = &callback_in_schema,
		.reply = &accounts_tokens_schema,
		.status = 200,
		.errors = CALLBACK_ERRORS,
		.no_store = true,
		.tag = "providers",
		.summary = "The provider's answer",
		.text = CALLBACK_TEXT},
	{.method = POST,
		.path = "/v1/auth/oauth/{provider}/callback",
		.handler = callback,
		.access = ANYONE,
		.lane = LANE_WORK,
		.body = &callback_in_schema,
		.form = true,
		.reply = &accounts_tokens_schema,
		.status = 200,
		.errors = CALLBACK_ERRORS,
		.no_store = true,
		.tag = "providers",
		.summary = "The provider's answer, from a client or as a form",
		.text = CALLBACK_TEXT},
	{.method = POST,
		.path = "/v1/auth/oauth/{provider}/callback/complete",
		.handler = complete,
		.access = ANYONE,
		.lane = LANE_WRITE,
		.body = &complete_in_schema,
		.reply = &accounts_tokens_schema,
		.status = 200,
		.errors = ERRORS(ERR_TOKEN_INVALID, ERR_LINK_REQUIRED, ERR_INVALID_CREDENTIALS),
		.failure = AUDIT_NONE,
		.no_store = true,
		.tag = "providers",
		.summary = "Exchange a browser's one-time code"},
	{.method = POST,
		.path = "/v1/auth/oauth/link/confirm",
		.handler = link_confirm,
		.access = ANYONE,
		.lane = LANE_HASH,
		.body = &link_in_schema,
		.reply = &accounts_tokens_schema,
		.status = 200,
		.errors = ERRORS(ERR_TOKEN_INVALID, ERR_INVALID_CREDENTIALS, ERR_ACCOUNT_PENDING, ERR_ACCOUNT_REJECTED,
			ERR_APPROVAL_TIMEOUT, ERR_ACCOUNT_LOCKED, ERR_INVALID_CODE),
		.no_store = true,
		.tag = "providers",
		.summary = "Link a provider to the account that has its address",
		.text = "Counted like a login. Where a second factor is due and none is given, the answer is the pending "
			"login and the link is not made: repeat it with the code."},
	{.method = GET,
		.path = "/v1/auth/oauth/identities",
		.handler = identities,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &identities_out_schema,
		.status = 200,
		.no_store = true,
		.tag = "providers",
		.summary = "One's linked providers"},
	{.method = DELETE,
		.path = "/v1/auth/oauth/identities/{provider}",
		.handler = unlink_identity,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.status = 204,
		.errors = ERRORS(ERR_NOT_FOUND, ERR_LAST_LOGIN),
		.failure = AUDIT_OAUTH_UNLINKED,
		.fresh_session = true,
		.no_store = true,
		.tag = "providers",
		.summary = "Unlink a provider",
		.text = "The last way in cannot be removed."},
};
const struct route_table accounts_oauth_routes = ROUTE_TABLE(SURFACE_ACCOUNTS, rows);
