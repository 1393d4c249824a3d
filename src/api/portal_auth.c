/* Portal: signing up, waiting for approval, signing in and out. */
#include "api/transport.h"
#include "identity/signup.h"

/* --- signup ---- */

struct signup_in {
	const char *email, *password, *full_name;
};
static const struct field signup_in_fields[] = {
	F(struct signup_in, email, F_REQUIRED | F_TRIM, 3, EMAIL_MAX, "Address"),
	F(struct signup_in, password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX,
		"At least 8 characters with upper case, lower case, digit and special character; no common one"),
	F(struct signup_in, full_name, F_REQUIRED | F_TRIM, 1, NAME_MAX_BYTES, "Name"),
};
static const struct schema signup_in_schema = SCHEMA("SignupIn", struct signup_in, signup_in_fields);

struct signup_out {
	struct uuid approval_request_id;
	const char *status;
	int64_t expires_at;
	const char *message;
};
static const struct field signup_out_fields[] = {
	F(struct signup_out, approval_request_id, 0, 0, 0, "Ask for its state here"),
	F(struct signup_out, status, 0, 0, 0, "pending"),
	F(struct signup_out, expires_at, F_TIME, 0, 0, "When it times out if nobody decides"),
	F(struct signup_out, message, 0, 0, 0, "For the person"),
};
static const struct schema signup_out_schema = SCHEMA("SignupOut", struct signup_out, signup_out_fields);

static enum err
sign_up(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct signup_in *in = rq->body;
	struct signup_done done;

	TRY(signup(cx,
		&(const struct newcomer){.email = in->email,
			.full_name = in->full_name,
			.password = in->password,
			.role = ROLE_STUDENT,
			.surface = LOGIN_PORTAL},
		&done));
	const struct signup_out out = {.approval_request_id = done.request.approval_request_id,
		.status = "pending",
		.expires_at = done.request.expires_at,
		.message = APPROVAL_PENDING_TEXT};
	return reply_record(rs, &signup_out_schema, &out);
}

static enum err
approval_state(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct approval_status out;

	TRY(approval_status(cx, rq->params[0], &out));
	return reply_record(rs, &approval_status_schema, &out);
}

/* --- login ---- */

struct login_in {
	const char *username, *password;
	const char *grant_type, *scope, *client_id, *client_secret;
};
static const struct field login_in_fields[] = {
	F(struct login_in, username, F_REQUIRED, 1, EMAIL_MAX, "Address of the account"),
	F(struct login_in, password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX, "Password"),
	F(struct login_in, grant_type, F_TOLERATED, 0, 0, "Ignored"),
	F(struct login_in, scope, F_TOLERATED, 0, 0, "Ignored"),
	F(struct login_in, client_id, F_TOLERATED, 0, 0, "Ignored"),
	F(struct login_in, client_secret, F_TOLERATED | F_SECRET, 0, 0, "Ignored"),
};
static const struct schema login_in_schema = SCHEMA("LoginIn", struct login_in, login_in_fields);

static enum err
login(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct login_in *in = rq->body;
	struct login_result r;

	TRY(login_with(cx, rq, LOGIN_PORTAL, in->username, in->password, &r));
	return login_reply(cx, rq, rs, &portal_tokens_schema, &r);
}

/* --- with a refresh token ---- */

static enum err
refresh(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct account who;
	struct tokens t;

	TRY(refresh_with(cx, rq, &who, &t));
	return tokens_reply(cx, rq, rs, &portal_tokens_schema, &who, &t);
}

struct me_out {
	struct uuid id;
	const char *email, *full_name;
	enum role role;
	bool is_active;
};
static const struct field me_out_fields[] = {
	F(struct me_out, id, 0, 0, 0, "Account"),
	F(struct me_out, email, 0, 0, 0, "Its address"),
	F(struct me_out, full_name, 0, 0, 0, "Name"),
	F_ENUM(struct me_out, role, 0, role_names, "Role"),
	F(struct me_out, is_active, 0, 0, 0, "Always true: others are not signed in"),
};
static const struct schema me_out_schema = SCHEMA("Me", struct me_out, me_out_fields);

static enum err
me(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct actor *who = cx->actor;
	const struct me_out out = {
		.id = who->user_id, .email = who->email, .full_name = who->full_name, .role = who->role, .is_active = true};

	(void)rq;
	return reply_record(rs, &me_out_schema, &out);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/auth/signup",
		.handler = sign_up,
		.access = ANYONE,
		.lane = LANE_HASH,
		.body = &signup_in_schema,
		.reply = &signup_out_schema,
		.status = 201,
		.no_store = true,
		.tag = "auth",
		.summary = "Ask for an account",
		.text = "An administrator decides within a few minutes. A taken address is answered like a free one; its "
			"owner gets a mail. After rejection or timeout the same address may sign up again."},
	{.method = GET,
		.path = "/api/auth/approval-requests/{id}",
		.handler = approval_state,
		.access = ANYONE,
		.lane = LANE_READ,
		.hall = true,
		.reply = &approval_status_schema,
		.status = 200,
		.no_store = true,
		.tag = "auth",
		.summary = "State of a signup"},
	{LOGIN_ROW,
		.path = "/api/auth/login",
		.handler = login,
		.body = &login_in_schema,
		.form = true,
		.reply = &portal_tokens_schema,
		.tag = "auth",
		.text = "JSON or an HTML form. " LOGIN_TEXT},
	{REFRESH_ROW, .path = "/api/auth/refresh", .handler = refresh, .reply = &portal_tokens_schema, .tag = "auth"},
	{LOGOUT_ROW, .path = "/api/auth/logout", .tag = "auth"},
	{.method = GET,
		.path = "/api/auth/me",
		.handler = me,
		.access = SIGNED_IN,
		.lane = LANE_LOOP,
		.reply = &me_out_schema,
		.status = 200,
		.no_store = true,
		.tag = "auth",
		.summary = "Who am I?"},
};
const struct route_table portal_auth_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
