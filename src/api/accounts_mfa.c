/* Accounts: the second factor.  A login of any surface that is answered with mfa_token is completed here. */
#include "api/accounts.h"
#include "attendance/qr.h"
#include "identity/mfa.h"
#include "store/db.h"

enum { CODE_MAX = 20, BACKUP_MAX = 40 };

struct setup_in {
	const char *password, *code;
};
static const struct field setup_in_fields[] = {
	F(struct setup_in, password, F_SECRET, 1, PASSWORD_MAX, "Needed when the login is older than 10 minutes"),
	F(struct setup_in, code, F_SECRET, 1, CODE_MAX,
		"Needed where a factor is active that this login has not shown within 10 minutes"),
};
static const struct schema setup_in_schema = SCHEMA("MfaSetupIn", struct setup_in, setup_in_fields);
struct setup_out {
	const char *secret, *otpauth_uri, *qr_svg;
};
static const struct field setup_out_fields[] = {
	F(struct setup_out, secret, F_SECRET, 0, 0, "Base 32, to be typed where no picture can be read"),
	F(struct setup_out, otpauth_uri, F_SECRET, 0, 0, "What the picture holds"),
	F(struct setup_out, qr_svg, F_SECRET, 0, 0, "The picture"),
};
static const struct schema setup_out_schema = SCHEMA("MfaSetup", struct setup_out, setup_out_fields);

static enum err
setup(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct setup_in *in = rq->body;
	struct mfa_setup made;
	struct span svg;

	TRY(mfa_setup(cx, in->password, in->code, &made));
	TRY(qr_svg(cx, made.otpauth_uri, &svg));
	const struct setup_out out = {.secret = made.secret,
		.otpauth_uri = made.otpauth_uri,
		.qr_svg = arena_strndup(cx->arena, (const char *)svg.p, svg.n)};
	return reply_record(rs, &setup_out_schema, &out);
}

struct code_in {
	const char *code;
};
static const struct field code_in_fields[] = {F(struct code_in, code, F_REQUIRED | F_SECRET, 1, CODE_MAX, "Code of the app")};
static const struct schema code_in_schema = SCHEMA("MfaCodeIn", struct code_in, code_in_fields);
struct codes_out {
	struct list backup_codes;
};
static const struct field codes_out_fields[] = {
	F_LIST(struct codes_out, backup_codes, F_SECRET, NULL, "Shown this once; each is good for one login"),
};
static const struct schema codes_out_schema = SCHEMA("BackupCodes", struct codes_out, codes_out_fields);

static enum err
verify(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct code_in *in = rq->body;
	struct codes_out out;

	TRY(mfa_verify(cx, in->code, &out.backup_codes));
	return reply_record(rs, &codes_out_schema, &out);
}

static enum err
regenerate(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct code_in *in = rq->body;
	struct codes_out out;

	TRY(mfa_regenerate(cx, in->code, &out.backup_codes));
	return reply_record(rs, &codes_out_schema, &out);
}

struct complete_in {
	const char *mfa_token, *code, *backup_code;
};
static const struct field complete_in_fields[] = {
	F(struct complete_in, mfa_token, F_REQUIRED | F_SECRET, 1, TOKEN_MAX, "Of the login"),
	F(struct complete_in, code, F_SECRET, 1, CODE_MAX, "Code of the app, or instead:"),
	F(struct complete_in, backup_code, F_SECRET, 1, BACKUP_MAX, "One of the backup codes"),
};
static const struct schema complete_in_schema = SCHEMA("MfaCompleteIn", struct complete_in, complete_in_fields);

static enum err
complete(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct complete_in *in = rq->body;
	const struct mfa_completing completing = {.mfa_token = in->mfa_token,
		.factor = {.code = in->code, .backup_code = in->backup_code},
		.device_token = device_token_read(cx, rq),
		.web = rq->web};
	struct login_result r;

	TRY(mfa_complete(cx, &completing, &r));
	return accounts_grant(cx, rq, rs,
		&(const struct grant){.who = &r.who, .tokens = &r.tokens, .device_token = r.device_token, .mfa_enabled = true});
}

struct disable_in {
	const char *code, *backup_code, *password;
};
static const struct field disable_in_fields[] = {
	F(struct disable_in, code, F_SECRET, 1, CODE_MAX, "Code of the app, or instead:"),
	F(struct disable_in, backup_code, F_SECRET, 1, BACKUP_MAX, "One of the backup codes, or instead:"),
	F(struct disable_in, password, F_SECRET, 1, PASSWORD_MAX, "Password, within 10 minutes of a login with a second factor"),
};
static const struct schema disable_in_schema = SCHEMA("MfaDisableIn", struct disable_in, disable_in_fields);
struct disable_out {
	bool mfa_enabled;
};
static const struct field disable_out_fields[] = {F(struct disable_out, mfa_enabled, 0, 0, 0, "Always false")};
static const struct schema disable_out_schema = SCHEMA("MfaDisabled", struct disable_out, disable_out_fields);

static enum err
disable(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct disable_in *in = rq->body;
	const struct disable_out out = {.mfa_enabled = false};

	TRY(mfa_disable(cx, &(const struct factor){.code = in->code, .backup_code = in->backup_code}, in->password));
	return reply_record(rs, &disable_out_schema, &out);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/v1/auth/mfa/totp/setup",
		.handler = setup,
		.access = SIGNED_IN,
		.lane = LANE_HASH,
		.body = &setup_in_schema,
		.reply = &setup_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_REAUTH_REQUIRED, ERR_INVALID_CREDENTIALS, ERR_INVALID_CODE, ERR_ACCOUNT_LOCKED),
		.fresh_session = true,
		.no_store = true,
		.tag = "second factor",
		.summary = "Begin with a second factor, or with a new one",
		.text = "Nothing changes before its first code is verified."},
	{.method = POST,
		.path = "/v1/auth/mfa/totp/verify",
		.handler = verify,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.body = &code_in_schema,
		.reply = &codes_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_INVALID_CODE, ERR_MFA_NOT_ENABLED, ERR_ACCOUNT_LOCKED),
		.failure = AUDIT_MFA_ENABLED,
		.fresh_session = true,
		.no_store = true,
		.tag = "second factor",
		.summary = "Activate it with a first code"},
	{.method = POST,
		.path = "/v1/auth/mfa/complete",
		.handler = complete,
		.access = ANYONE,
		.lane = LANE_WRITE,
		.body = &complete_in_schema,
		.reply = &accounts_tokens_schema,
		.status = 200,
		.errors = ERRORS(ERR_TOKEN_INVALID, ERR_INVALID_CODE, ERR_ACCOUNT_LOCKED, ERR_INVALID_CREDENTIALS),
		.no_store = true,
		.tag = "second factor",
		.summary = "Complete a login with the second factor",
		.text = "For logins of every surface. A token takes at most 5 wrong codes; an account's wrong codes are counted "
			"over all tokens."},
	{.method = POST,
		.path = "/v1/auth/mfa/backup-codes/regenerate",
		.handler = regenerate,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.body = &code_in_schema,
		.reply = &codes_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_INVALID_CODE, ERR_MFA_NOT_ENABLED, ERR_ACCOUNT_LOCKED),
		.failure = AUDIT_BACKUP_CODES_REGENERATED,
		.fresh_session = true,
		.no_store = true,
		.tag = "second factor",
		.summary = "New backup codes; the old ones die"},
	{.method = POST,
		.path = "/v1/auth/mfa/disable",
		.handler = disable,
		.access = SIGNED_IN,
		.lane = LANE_HASH,
		.body = &disable_in_schema,
		.reply = &disable_out_schema,
		.status = 200,
		.errors = ERRORS(
			ERR_MFA_NOT_ENABLED, ERR_INVALID_CODE, ERR_INVALID_CREDENTIALS, ERR_ACCOUNT_LOCKED, ERR_REAUTH_REQUIRED),
		.fresh_session = true,
		.no_store = true,
		.tag = "second factor",
		.summary = "Switch the second factor off"},
};
const struct route_table accounts_mfa_routes = ROUTE_TABLE(SURFACE_ACCOUNTS, rows);
