/* Campus: signing up, in and out.  The same functions of identity/ as on the portal; only shapes differ. */
#include "api/transport.h"
#include "attendance/person.h"
#include "identity/signup.h"

/* --- register ---------------------------------------------------------------------------------------------------------------- */

static const char *const chosen_roles[] = {"", "student", "lecturer", NULL};

struct register_in {
	const char *email, *password, *full_name;
	int role; /* index into chosen_roles */
};
static const struct field register_in_fields[] = {
	F(struct register_in, email, F_REQUIRED | F_TRIM, 3, EMAIL_MAX, "Address"),
	F(struct register_in, password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX, "At least 8 characters; no common one"),
	F(struct register_in, full_name, F_REQUIRED | F_TRIM, 1, NAME_MAX_BYTES, "Name"),
	F_ENUM(struct register_in, role, 0, chosen_roles, "Default: student"),
};
static const struct schema register_in_schema = SCHEMA("CampusRegisterIn", struct register_in, register_in_fields);

struct registered { /* the account, or a pending request */
	struct uuid id;
	const char *email, *full_name;
	enum role role;
	enum tri is_active, device_bound, face_enrolled;
	const char *status;
	struct uuid approval_request_id;
	int64_t expires_at;
	const char *message;
};
static const struct field registered_fields[] = {
	F(struct registered, id, F_OMIT, 0, 0, "Account"),
	F(struct registered, email, F_OMIT, 0, 0, "Its address"),
	F(struct registered, full_name, F_OMIT, 0, 0, "Name"),
	F_ENUM(struct registered, role, F_OMIT, role_names, "Role"),
	F(struct registered, is_active, F_OMIT, 0, 0, "May sign in"),
	F(struct registered, device_bound, F_OMIT, 0, 0, "Has a device to mark with"),
	F(struct registered, face_enrolled, F_OMIT, 0, 0, "Has enrolled a face"),
	F(struct registered, status, F_OMIT, 0, 0, "pending: an administrator decides first (answer 202)"),
	F(struct registered, approval_request_id, F_OMIT, 0, 0, "Ask for its state at /api/auth/approval-requests/{id}"),
	F(struct registered, expires_at, F_TIME | F_OMIT, 0, 0, "When the request times out if nobody decides"),
	F(struct registered, message, F_OMIT, 0, 0, "For the person"),
};
static const struct schema registered_schema = SCHEMA("CampusRegistered", struct registered, registered_fields);

static enum err
reply_pending(struct reply *rs, const struct signup_result *r)
{
	const struct registered out = {.status = "pending",
		.approval_request_id = r->approval_request_id,
		.expires_at = r->expires_at,
		.message = APPROVAL_PENDING_TEXT};

	rs->status = 202;
	return reply_record(rs, &registered_schema, &out);
}

static enum err
sign_up(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct register_in *in = rq->body;
	struct signup_done done;

	TRY(signup(cx,
		&(const struct newcomer){.email = in->email,
			.full_name = in->full_name,
			.password = in->password,
			.role = in->role == 2 ? ROLE_LECTURER : ROLE_STUDENT,
			.surface = LOGIN_CAMPUS},
		&done));
	if (done.pending)
		return reply_pending(rs, &done.request);
	const struct registered out = {.id = done.who.id,
		.email = done.who.email,
		.full_name = done.who.full_name,
		.role = done.who.role,
		.is_active = TRI_YES,
		.device_bound = TRI_NO,
		.face_enrolled = TRI_NO,
		.expires_at = TIME_NONE};
	return reply_record(rs, &registered_schema, &out);
}

/* --- login, refresh, logout -------------------------------------------------------------------------------------------------- */

static enum err
login(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct email_login_in *in = rq->body;
	struct login_result r;

	TRY(login_with(cx, rq, LOGIN_CAMPUS, in->email, in->password, &r));
	return login_reply(cx, rq, rs, &campus_tokens_schema, &r);
}

static enum err
refresh(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct account who;
	struct tokens tokens;

	TRY(refresh_with(cx, rq, &who, &tokens));
	return tokens_reply(cx, rq, rs, &campus_tokens_schema, &who, &tokens);
}

/* With a refresh token like everywhere; with nothing but the access token its session ends. */
static enum err
logout(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct refresh_in *in = rq->body;

	if (in->refresh_token || rq->web || !cx->actor)
		return logout_handler(cx, rq, rs);
	enum err e = session_end(cx, cx->actor->user_id.text, cx->actor->session_id.text, "logout");
	if (e == ERR_NOT_FOUND) { /* it has ended meanwhile */
		error_clear(cx);
		return reply_empty(rs, 204);
	}
	TRY(e);
	TRY(audit_ok(cx, AUDIT_LOGOUT, "session", cx->actor->session_id.text));
	return reply_empty(rs, 204);
}

static enum err
me(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct person out;

	(void)rq;
	TRY(person_get(cx, cx->actor->user_id.text, &out));
	return reply_record(rs, &person_schema, &out);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/v1/auth/register",
		.handler = sign_up,
		.access = ANYONE,
		.lane = LANE_HASH,
		.body = &register_in_schema,
		.reply = &registered_schema,
		.status = 201,
		.errors = ERRORS(ERR_EMAIL_TAKEN),
		.no_store = true,
		.tag = "campus",
		.summary = "Open an account",
		.text = "SIGNUP_POLICY=open makes an active student.  With approval, and for a lecturer but where "
			"OPEN_LECTURER_SIGNUP is on, the answer is 202 and an administrator decides; a taken address is then "
			"answered like a free one."},
	{LOGIN_ROW,
		.path = "/api/v1/auth/login",
		.handler = login,
		.body = &email_login_in_schema,
		.reply = &campus_tokens_schema,
		.tag = "campus",
		.text = LOGIN_TEXT "  With a second factor there is an mfa_token instead of tokens; /v1/auth/mfa/complete takes it."},
	{REFRESH_ROW, .path = "/api/v1/auth/refresh", .handler = refresh, .reply = &campus_tokens_schema, .tag = "campus"},
	{.method = POST,
		.path = "/api/v1/auth/logout",
		.handler = logout,
		.access = ANYONE,
		.lane = LANE_WRITE,
		.body = &refresh_in_schema,
		.status = 204,
		.errors = ERRORS(ERR_NOT_AUTHENTICATED, ERR_FORBIDDEN),
		.no_store = true,
		.tag = "campus",
		.summary = "Sign out",
		.text = "With the refresh token, or with the access token alone."},
	{.method = GET,
		.path = "/api/v1/auth/me",
		.handler = me,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &person_schema,
		.status = 200,
		.no_store = true,
		.tag = "campus",
		.summary = "Who am I?"},
};
const struct route_table campus_auth_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
