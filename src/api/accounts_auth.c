/* Accounts: signing up, in and out.  The same functions of identity/ as on the portal; only shapes and limits differ. */
#include "api/accounts.h"
#include "identity/signup.h"

/* --- signup ---- */

struct signup_in {
	const char *name, *email, *password;
};
static const struct field signup_in_fields[] = {
	F(struct signup_in, name, F_REQUIRED | F_TRIM, 1, NAME_MAX_BYTES, "Name"),
	F(struct signup_in, email, F_REQUIRED | F_TRIM, 3, EMAIL_MAX, "Address"),
	F(struct signup_in, password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX,
		"At least 8 characters with upper case, lower case, digit and special character; no common one"),
};
static const struct schema signup_in_schema = SCHEMA("AccountsSignupIn", struct signup_in, signup_in_fields);

static enum err
sign_up(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct signup_in *in = rq->body;
	struct signup_done done;

	TRY(signup(cx,
		&(const struct newcomer){.email = in->email,
			.full_name = in->name,
			.password = in->password,
			.role = ROLE_STUDENT,
			.surface = LOGIN_ACCOUNTS,
			.web = rq->web},
		&done));
	if (done.pending)
		return accounts_pending(rs, &done.request.approval_request_id, done.request.expires_at);
	TRY(accounts_grant(
		cx, rq, rs, &(const struct grant){.who = &done.who, .tokens = &done.tokens, .device_token = done.device_token}));
	rs->status = 201;
	return OK;
}

/* --- login, refresh, logout ---- */

static enum err
login(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct email_login_in *in = rq->body;
	struct login_result r;

	TRY(login_with(cx, rq, LOGIN_ACCOUNTS, in->email, in->password, &r));
	if (r.mfa_token)
		return accounts_mfa_due(rs, r.mfa_token, r.mfa_expires_s);
	return accounts_grant(
		cx, rq, rs, &(const struct grant){.who = &r.who, .tokens = &r.tokens, .device_token = r.device_token});
}

static enum err
refresh(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct profile profile;
	struct account who;
	struct tokens tokens;

	TRY(refresh_with(cx, rq, &who, &tokens));
	TRY(profile_get(cx, who.id.text, &profile));
	return accounts_grant(
		cx, rq, rs, &(const struct grant){.who = &who, .tokens = &tokens, .mfa_enabled = profile.mfa_enabled});
}

static enum err
logout_all(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const char *id = cx->actor->user_id.text;

	TRY(session_end_all(cx, id, NULL, "logout_all"));
	TRY(audit_ok(cx, AUDIT_LOGOUT_ALL, "user", id));
	if (rq->web)
		refresh_cookie_clear(cx, rq, rs);
	return reply_empty(rs, 204);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/v1/auth/signup",
		.handler = sign_up,
		.access = ANYONE,
		.lane = LANE_HASH,
		.body = &signup_in_schema,
		.reply = &accounts_tokens_schema,
		.status = 201,
		.errors = ERRORS(ERR_EMAIL_TAKEN),
		.no_store = true,
		.tag = "accounts",
		.summary = "Open an account",
		.text = "SIGNUP_POLICY=open makes an active student and answers tokens. With approval the answer is 202 and an "
			"administrator decides; a taken address is then answered like a free one."},
	{LOGIN_ROW,
		.path = "/v1/auth/login",
		.handler = login,
		.body = &email_login_in_schema,
		.reply = &accounts_tokens_schema,
		.tag = "accounts",
		.text = LOGIN_TEXT},
	{REFRESH_ROW, .path = "/v1/auth/refresh", .handler = refresh, .reply = &accounts_tokens_schema, .tag = "accounts"},
	{LOGOUT_ROW, .path = "/v1/auth/logout", .tag = "accounts"},
	{.method = POST,
		.path = "/v1/auth/logout-all",
		.handler = logout_all,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.status = 204,
		.no_store = true,
		.tag = "accounts",
		.summary = "Sign out everywhere"},
};
const struct route_table accounts_auth_routes = ROUTE_TABLE(SURFACE_ACCOUNTS, rows);
