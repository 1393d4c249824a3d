/* The replies that several files of the accounts surface give.  Roles are in upper case here, and only here. */
#include "api/accounts.h"
#include "identity/approval.h"

static const struct field user_fields[] = {PROFILE_FIELDS(role_names_upper)};
static const struct schema user_schema = SCHEMA("User", struct profile, user_fields);

static const struct field message_out_fields[] = {F(struct message_out, message, 0, 0, 0, "For the person")};
const struct schema message_out_schema = SCHEMA("Message", struct message_out, message_out_fields);

struct tokens_out {
	const char *access_token, *refresh_token, *token_type;
	int64_t expires_in;
	struct profile *user;
	enum tri mfa_required;
	const char *mfa_token, *status;
	struct uuid approval_request_id;
	int64_t expires_at;
	const char *message;
};
static const struct field tokens_out_fields[] = {
	F(struct tokens_out, access_token, F_OMIT | F_SECRET, 0, 0, "For Authorization: Bearer"),
	F(struct tokens_out, refresh_token, F_OMIT | F_SECRET, 0, 0, "For the next pair; a web client has it as a cookie"),
	F(struct tokens_out, token_type, F_OMIT, 0, 0, "bearer"),
	F(struct tokens_out, expires_in, F_OMIT, 0, 0, "Life of the access token, or of mfa_token, in seconds"),
	F_PTR(struct tokens_out, user, F_OMIT, &user_schema, "Who signed in"),
	F(struct tokens_out, mfa_required, F_OMIT, 0, 0, "true: a second factor is due, and there are no tokens yet"),
	F(struct tokens_out, mfa_token, F_OMIT | F_SECRET, 0, 0, "For /v1/auth/mfa/complete"),
	F(struct tokens_out, status, F_OMIT, 0, 0, "pending: an administrator decides first (answer 202)"),
	F(struct tokens_out, approval_request_id, F_OMIT, 0, 0, "Ask for its state at /api/auth/approval-requests/{id}"),
	F(struct tokens_out, expires_at, F_TIME | F_OMIT, 0, 0, "When the request times out if nobody decides"),
	F(struct tokens_out, message, F_OMIT, 0, 0, "For the person"),
};
const struct schema accounts_tokens_schema = SCHEMA("Tokens", struct tokens_out, tokens_out_fields);

static struct tokens_out
nothing(void)
{
	return (struct tokens_out){.expires_in = FIELD_NONE, .expires_at = FIELD_NONE};
}

enum err
accounts_grant(struct ctx *cx, const struct request *rq, struct reply *rs, const struct grant *g)
{
	const struct account *who = g->who;
	struct profile user = {.id = who->id,
		.email = who->email,
		.name = who->full_name,
		.role = who->role,
		.is_active = who->is_active,
		.mfa_enabled = g->mfa_enabled,
		.email_verified = who->email_verified_at != TIME_NONE,
		.created_at = who->created_at};
	struct tokens_out out = nothing();

	device_token_give(cx, rq, rs, g->device_token);
	out.access_token = g->tokens->access_token;
	out.refresh_token = refresh_token_give(cx, rq, rs, g->tokens);
	out.token_type = "bearer";
	out.expires_in = g->tokens->access_expires_s;
	out.user = &user;
	rs->status = 200;
	return reply_record(rs, &accounts_tokens_schema, &out);
}

enum err
accounts_mfa_due(struct reply *rs, const char *mfa_token, int64_t expires_s)
{
	struct tokens_out out = nothing();

	out.mfa_required = TRI_YES;
	out.mfa_token = mfa_token;
	out.expires_in = expires_s;
	rs->status = 200;
	return reply_record(rs, &accounts_tokens_schema, &out);
}

enum err
accounts_pending(struct reply *rs, const struct uuid *request_id, int64_t expires_at)
{
	struct tokens_out out = nothing();

	out.status = "pending";
	out.approval_request_id = *request_id;
	out.expires_at = expires_at;
	out.message = APPROVAL_PENDING_TEXT;
	rs->status = 202;
	return reply_record(rs, &accounts_tokens_schema, &out);
}

enum err
accounts_message(struct reply *rs, const char *message)
{
	const struct message_out out = {.message = message};

	return reply_record(rs, &message_out_schema, &out);
}
