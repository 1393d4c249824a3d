/* What a login answers on portal and campus: one record, of which campus does not show the account. */
#include "api/transport.h"

struct tokens_user {
	struct uuid id;
	const char *email, *full_name;
	enum role role;
};
static const struct field tokens_user_fields[] = {
	F(struct tokens_user, id, 0, 0, 0, "Account"),
	F(struct tokens_user, email, 0, 0, 0, "Its address"),
	F(struct tokens_user, full_name, 0, 0, 0, "Name"),
	F_ENUM(struct tokens_user, role, 0, role_names, "Role"),
};
static const struct schema tokens_user_schema = SCHEMA("PortalUser", struct tokens_user, tokens_user_fields);

struct tokens_out {
	const char *access_token, *refresh_token, *token_type;
	int64_t expires_in;
	struct tokens_user *user;
	enum tri mfa_required;
	const char *mfa_token;
};
#define TOKENS                                                                                                                   \
	F(struct tokens_out, access_token, F_OMIT | F_SECRET, 0, 0, "For Authorization: Bearer"),                                \
		F(struct tokens_out, refresh_token, F_OMIT | F_SECRET, 0, 0, "For the next pair; a web client has it as a cookie"), \
		F(struct tokens_out, token_type, F_OMIT, 0, 0, "bearer"),                                                        \
		F(struct tokens_out, expires_in, 0, 0, 0, "Life of the access token, or of mfa_token, in seconds")
#define SECOND_FACTOR                                                                                                            \
	F(struct tokens_out, mfa_required, F_OMIT, 0, 0, "true: a second factor is due, and there are no tokens yet"),           \
		F(struct tokens_out, mfa_token, F_OMIT | F_SECRET, 0, 0, "For /v1/auth/mfa/complete")
static const struct field portal_tokens_fields[] = {
	TOKENS,
	F_PTR(struct tokens_out, user, F_OMIT, &tokens_user_schema, "Who signed in"),
	SECOND_FACTOR,
};
const struct schema portal_tokens_schema = SCHEMA("PortalTokens", struct tokens_out, portal_tokens_fields);
static const struct field campus_tokens_fields[] = {TOKENS, SECOND_FACTOR};
const struct schema campus_tokens_schema = SCHEMA("CampusTokens", struct tokens_out, campus_tokens_fields);

enum err
tokens_reply(struct ctx *cx, const struct request *rq, struct reply *rs, const struct schema *as, const struct account *who,
	const struct tokens *t)
{
	struct tokens_user user = {.id = who->id, .email = who->email, .full_name = who->full_name, .role = who->role};
	const struct tokens_out out = {.access_token = t->access_token,
		.refresh_token = refresh_token_give(cx, rq, rs, t),
		.token_type = "bearer",
		.expires_in = t->access_expires_s,
		.user = &user};

	return reply_record(rs, as, &out);
}

enum err
login_reply(struct ctx *cx, const struct request *rq, struct reply *rs, const struct schema *as, const struct login_result *r)
{
	if (r->mfa_token) {
		const struct tokens_out out = {.mfa_required = TRI_YES, .mfa_token = r->mfa_token, .expires_in = r->mfa_expires_s};
		return reply_record(rs, as, &out);
	}
	device_token_give(cx, rq, rs, r->device_token);
	return tokens_reply(cx, rq, rs, as, &r->who, &r->tokens);
}
