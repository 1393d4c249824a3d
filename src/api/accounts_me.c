/* Accounts: one's own account, sessions and password. */
#include "api/accounts.h"
#include "identity/session.h"
#include "identity/verify.h"
#include "store/db.h"

static const struct field me_fields[] = {
	PROFILE_FIELDS(role_names_upper),
	F_OBJ(struct profile, mail, &mail_wishes_schema, "Which mail is wanted"),
};
static const struct schema me_schema = SCHEMA("UserMe", struct profile, me_fields);

static enum err
me(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct profile out;

	(void)rq;
	TRY(profile_get(cx, cx->actor->user_id.text, &out));
	return reply_record(rs, &me_schema, &out);
}

struct wishes_in {
	enum tri decisions, marks, reminders;
};
static const struct field wishes_in_fields[] = {
	F(struct wishes_in, decisions, 0, 0, 0, "Decisions about the account and its marks"),
	F(struct wishes_in, marks, 0, 0, 0, "Marks, for administrators"),
	F(struct wishes_in, reminders, 0, 0, 0, "Sessions that begin soon"),
};
static const struct schema wishes_in_schema = SCHEMA("MailWishesIn", struct wishes_in, wishes_in_fields);
struct me_in {
	const char *name;
	struct wishes_in *mail;
};
static const struct field me_in_fields[] = {
	F(struct me_in, name, F_TRIM, 1, NAME_MAX_BYTES, "Name"),
	F_PTR(struct me_in, mail, 0, &wishes_in_schema, "Which mail is wanted; what is left out stays"),
};
static const struct schema me_in_schema = SCHEMA("UserMeIn", struct me_in, me_in_fields);

static enum err
me_change(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct me_in *in = rq->body;
	struct profile_change change = {.name = in->name};
	struct profile out;

	if (in->mail) {
		change.decisions = in->mail->decisions;
		change.marks = in->mail->marks;
		change.reminders = in->mail->reminders;
	}
	TRY(profile_change(cx, cx->actor->user_id.text, &change, &out));
	return reply_record(rs, &me_schema, &out);
}

/* --- sessions ---- */

struct session_out {
	struct uuid id;
	const char *device, *ip_address;
	int64_t created_at, last_used_at, expires_at;
	bool web, mfa, current;
};
static const struct field session_out_fields[] = {
	F(struct session_out, id, 0, 0, 0, "Session"),
	F(struct session_out, device, 0, 0, 0, "User agent that began it"),
	F(struct session_out, ip_address, 0, 0, 0, "Address that it began from"),
	F(struct session_out, created_at, F_TIME, 0, 0, "Login"),
	F(struct session_out, last_used_at, F_TIME, 0, 0, "Last refresh, or the login"),
	F(struct session_out, expires_at, F_TIME, 0, 0, "Its end, however often it is refreshed"),
	F(struct session_out, web, 0, 0, 0, "A browser holds its refresh token as a cookie"),
	F(struct session_out, mfa, 0, 0, 0, "A second factor was given"),
	F(struct session_out, current, 0, 0, 0, "The one that asks"),
};
static const struct schema session_out_schema = SCHEMA("Session", struct session_out, session_out_fields);
struct sessions_out {
	struct list sessions;
};
static const struct field sessions_out_fields[] = {
	F_LIST(struct sessions_out, sessions, 0, &session_out_schema, "Those that stand, last used first"),
};
static const struct schema sessions_out_schema = SCHEMA("Sessions", struct sessions_out, sessions_out_fields);

static enum err
sessions(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct sessions_out out;
	struct list list;

	(void)rq;
	TRY(session_list(cx, cx->actor->user_id.text, &list));
	const struct session_info *in = list.items;
	struct session_out *items = arena_new(cx->arena, struct session_out, list.count);
	for (size_t i = 0; i < list.count; i++)
		items[i] = (struct session_out){.id = in[i].id,
			.device = in[i].user_agent,
			.ip_address = in[i].ip_address,
			.created_at = in[i].created_at,
			.last_used_at = in[i].last_used_at,
			.expires_at = in[i].expires_at,
			.web = in[i].web,
			.mfa = in[i].mfa,
			.current = str_eq(in[i].id.text, cx->actor->session_id.text)};
	out.sessions = (struct list){items, list.count};
	return reply_record(rs, &sessions_out_schema, &out);
}

static enum err
session_delete(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	TRY(session_end(cx, cx->actor->user_id.text, rq->params[0], "ended_by_owner"));
	TRY(audit_ok(cx, AUDIT_LOGOUT, "session", rq->params[0]));
	return reply_empty(rs, 204);
}

/* --- password and address ---- */

struct password_in {
	const char *current_password, *new_password;
};
static const struct field password_in_fields[] = {
	F(struct password_in, current_password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX, "The one that holds now"),
	F(struct password_in, new_password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX,
		"At least 8 characters with upper case, lower case, digit and special character; no common one"),
};
static const struct schema password_in_schema = SCHEMA("PasswordChangeIn", struct password_in, password_in_fields);

static enum err
change_password(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct password_in *in = rq->body;

	TRY(password_change(cx, in->current_password, in->new_password));
	return accounts_message(rs, "The password was changed; other sessions have ended.");
}

struct token_in {
	const char *token;
};
static const struct field token_in_fields[] = {F(struct token_in, token, F_REQUIRED | F_SECRET, 1, 200, "What the link carried")};
static const struct schema token_in_schema = SCHEMA("TokenIn", struct token_in, token_in_fields);

static enum err
verify(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct token_in *in = rq->body;

	TRY(email_verify(cx, in->token));
	return accounts_message(rs, "The address is proven.");
}

static enum err
verify_request(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)rq;
	TRY(email_verify_request(cx));
	return accounts_message(rs, "If the address is not proven yet, a mail is on its way.");
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/v1/auth/me",
		.handler = me,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &me_schema,
		.status = 200,
		.no_store = true,
		.tag = "accounts",
		.summary = "Who am I?"},
	{.method = PATCH,
		.path = "/v1/auth/me",
		.handler = me_change,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.body = &me_in_schema,
		.reply = &me_schema,
		.status = 200,
		.no_store = true,
		.tag = "accounts",
		.summary = "Change one's name and which mail is wanted"},
	{.method = GET,
		.path = "/v1/auth/sessions",
		.handler = sessions,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &sessions_out_schema,
		.status = 200,
		.no_store = true,
		.tag = "accounts",
		.summary = "One's own sessions"},
	{.method = DELETE,
		.path = "/v1/auth/sessions/{id}",
		.handler = session_delete,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.status = 204,
		.errors = ERRORS(ERR_NOT_FOUND),
		.no_store = true,
		.tag = "accounts",
		.summary = "End one of one's sessions"},
	{.method = POST,
		.path = "/v1/auth/password/change",
		.handler = change_password,
		.access = SIGNED_IN,
		.lane = LANE_HASH,
		.body = &password_in_schema,
		.reply = &message_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_INVALID_CREDENTIALS, ERR_ACCOUNT_LOCKED),
		.fresh_session = true,
		.no_store = true,
		.tag = "accounts",
		.summary = "Change one's password",
		.text = "Other sessions end; a mail tells the owner."},
	{.method = POST,
		.path = "/v1/auth/email/verify",
		.handler = verify,
		.access = ANYONE,
		.lane = LANE_WRITE,
		.body = &token_in_schema,
		.reply = &message_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_TOKEN_INVALID),
		.no_store = true,
		.tag = "accounts",
		.summary = "Prove an address with the token of the link"},
	{.method = POST,
		.path = "/v1/auth/email/verify/request",
		.handler = verify_request,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.limit = {{"email_verify", 3, 3600}, BY_ACCOUNT, 0},
		.reply = &message_out_schema,
		.status = 202,
		.no_store = true,
		.tag = "accounts",
		.summary = "Mail a link that proves one's address"},
};
const struct route_table accounts_me_routes = ROUTE_TABLE(SURFACE_ACCOUNTS, rows);
