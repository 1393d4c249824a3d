/* Accounts: a forgotten password. */
#include "api/accounts.h"
#include "identity/reset.h"

struct request_in {
	const char *email;
};
static const struct field request_in_fields[] = {F(struct request_in, email, F_REQUIRED, 1, EMAIL_MAX, "Address of the account")};
static const struct schema request_in_schema = SCHEMA("ResetRequestIn", struct request_in, request_in_fields);

static enum err
ask(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct request_in *in = rq->body;

	TRY(reset_request(cx, in->email));
	return accounts_message(rs, "If there is an account with this address, a mail with a link is on its way.");
}

struct confirm_in {
	const char *token, *new_password;
};
static const struct field confirm_in_fields[] = {
	F(struct confirm_in, token, F_REQUIRED | F_SECRET, 1, 200, "What the link carried"),
	F(struct confirm_in, new_password, F_REQUIRED | F_SECRET, 1, PASSWORD_MAX,
		"At least 8 characters with upper case, lower case, digit and special character; no common one"),
};
static const struct schema confirm_in_schema = SCHEMA("ResetConfirmIn", struct confirm_in, confirm_in_fields);

static enum err
confirm(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct confirm_in *in = rq->body;

	TRY(reset_confirm(cx, in->token, in->new_password));
	return accounts_message(rs, "The password was changed; sign in with it.");
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/v1/auth/password-reset/request",
		.handler = ask,
		.access = ANYONE,
		.lane = LANE_WORK,
		.body = &request_in_schema,
		.reply = &message_out_schema,
		.status = 202,
		.no_store = true,
		.tag = "accounts",
		.summary = "Ask for a link that sets a new password",
		.text = "The answer is the same whether there is such an account or not, and also beyond the limits."},
	{.method = POST,
		.path = "/v1/auth/password-reset/confirm",
		.handler = confirm,
		.access = ANYONE,
		.lane = LANE_HASH,
		.body = &confirm_in_schema,
		.reply = &message_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_TOKEN_INVALID),
		.no_store = true,
		.tag = "accounts",
		.summary = "Set a new password with the token of the link",
		.text = "All sessions end. It signs nobody in and leaves a second factor on."},
};
const struct route_table accounts_reset_routes = ROUTE_TABLE(SURFACE_ACCOUNTS, rows);
