/*
 * Who somebody from a provider is here.  The link of (issuer, subject) decides; an address only ever leads to a question.  Two
 * who arrive at once are kept apart by the unique index of the links: the second is refused and finds the link at its next try.
 */
#include "identity/oauth_parts.h"

#include <string.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/json.h"
#include "identity/approval.h"
#include "identity/known_device.h"
#include "identity/mail.h"
#include "identity/secret.h"
#include "identity/token.h"
#include "store/db.h"

enum { CODE_SECONDS = 60 };
static const char code_purpose[] = "oauth_code", link_purpose[] = "oauth_link";

/* --- links ---------------------------------------------------------------------------------------------------------------- */

SQL(IDENTITY_INSERT, "uuttttm",
	"INSERT INTO oauth_identities (id, user_id, provider, issuer, subject, email, created_at, last_used_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (issuer, subject) DO NOTHING");

enum err
oauth_identity_insert(struct ctx *cx, const char *user_id, const struct oauth_person *p)
{
	struct uuid id = new_id(cx);
	int64_t rows;

	TRY(db_exec(cx, &IDENTITY_INSERT, &rows, V_ID(id), V(user_id), V(p->provider), V(p->claims.issuer), V(p->claims.subject),
		V(p->claims.email), V(cx->now_us)));
	if (rows == 0)
		return fail(cx, ERR_TOKEN_INVALID, NULL); /* linked a moment ago, by somebody else */
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_OAUTH_LINKED,
				       .result = "success",
				       .actor_id = user_id,
				       .entity_type = "user",
				       .entity_id = user_id,
				       .notes = (const struct audit_note[]){AUDIT_TEXT("provider", p->provider),
					       AUDIT_TEXT("issuer", p->claims.issuer)},
				       .n_notes = 2});
}

struct owner {
	struct uuid user_id;
};
static const struct field owner_fields[] = {F(struct owner, user_id, 0, 0, 0, "Whose link it is.")};
static const struct schema owner_schema = SCHEMA("IdentityOwner", struct owner, owner_fields);

SQL(IDENTITY_USE, "ttm", "UPDATE oauth_identities SET last_used_at = $3 WHERE issuer = $1 AND subject = $2 RETURNING user_id");

/* --- in ------------------------------------------------------------------------------------------------------------------- */

static enum err
refuse_state(struct ctx *cx, const char *provider, const struct account *who)
{
	enum account_state state = account_state(who, cx->now_us);

	if (state == STATE_REJECTED)
		return oauth_refuse(cx, provider, who->id.text, ERR_ACCOUNT_REJECTED, "account_rejected");
	if (state == STATE_TIMEOUT)
		return oauth_refuse(cx, provider, who->id.text, ERR_APPROVAL_TIMEOUT, "approval_timeout");
	if (state != STATE_PENDING)
		return oauth_refuse(cx, provider, who->id.text, ERR_INVALID_CREDENTIALS, "account_disabled");
	error_text(cx, "approval_request_id", who->approval_request_id.text);
	error_time(cx, "expires_at", who->approval_expires_at);
	return oauth_refuse(cx, provider, who->id.text, ERR_ACCOUNT_PENDING, "account_pending");
}

/* The login itself: the account's state, then its second factor, then a session. */
static enum err
enter(struct ctx *cx, const struct oauth_answer *in, const char *user_id, struct login_result *ret)
{
	const struct proof proof = {.oauth = true, .web = in->web};
	struct login_result r = {0};
	struct uuid device;
	bool mfa;

	TRY(account_by_id(cx, user_id, &r.who));
	if (!r.who.is_active)
		return refuse_state(cx, in->provider, &r.who);
	TRY(mfa_is_enabled(cx, user_id, &mfa));
	if (mfa) {
		TRY(mfa_await(cx, user_id, "oauth", &r.mfa_token, &r.mfa_expires_s));
	} else {
		TRY(known_device_find(cx, in->device_token, r.who.email, &device));
		TRY(mint_session(cx, &r.who, &proof, &r.tokens));
		TRY(known_device_keep(cx, user_id, &device, in->device_token, &r.device_token));
	}
	*ret = r;
	const struct audit_note notes[] = {AUDIT_TEXT("via", "oauth"), AUDIT_TEXT("provider", in->provider)};
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN,
				       .result = mfa ? "pending" : "success",
				       .actor_id = user_id,
				       .entity_type = mfa ? "user" : "session",
				       .entity_id = mfa ? user_id : r.tokens.session_id.text,
				       .notes = notes,
				       .n_notes = 2});
}

/* A browser gets a code that means nothing to anybody else; what it stands for is looked at again when it is redeemed. */
static enum err
give_code(struct ctx *cx, const struct oauth_answer *in, const char *user_id, const char *data, struct oauth_entry *ret)
{
	return secret_issue(cx,
		&(const struct secret_new){.purpose = code_purpose,
			.user_id = user_id,
			.binding = in->binding,
			.data = data,
			.life_us = CODE_SECONDS * SECONDS_US},
		&ret->one_time_code);
}

static enum err
let_in(struct ctx *cx, const struct oauth_answer *in, const char *user_id, struct oauth_entry *ret)
{
	struct account who;

	if (!in->by_code)
		return enter(cx, in, user_id, &ret->login);
	TRY(account_by_id(cx, user_id, &who));
	return who.is_active ? give_code(cx, in, user_id, NULL, ret) : refuse_state(cx, in->provider, &who);
}

/* --- an address that is taken --------------------------------------------------------------------------------------------- */

static const char *
person_data(struct ctx *cx, const struct oauth_person *p)
{
	struct json j;
	struct buf out;

	buf_init(&out, cx->arena, 300);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "provider", p->provider);
	json_str(&j, "issuer", p->claims.issuer);
	json_str(&j, "subject", p->claims.subject);
	json_str(&j, "email", p->claims.email);
	json_obj_end(&j);
	return buf_cstr(&out);
}

static enum err
demand_link(struct ctx *cx, const struct oauth_answer *in, const char *user_id, const char *data)
{
	const char *token;

	TRY(secret_issue(cx,
		&(const struct secret_new){.purpose = link_purpose,
			.user_id = user_id,
			.binding = in->binding,
			.data = data,
			.life_us = cx->srv->conf->oauth_link_ttl * SECONDS_US},
		&token));
	error_text(cx, "link_token", token);
	return oauth_refuse(cx, in->provider, user_id, ERR_LINK_REQUIRED, "link_required");
}

static enum err
known_address(struct ctx *cx, const struct oauth_answer *in, const struct oauth_person *p, const struct account *who,
	struct oauth_entry *ret)
{
	const char *id = who->id.text;

	if (p->claims.email_proven && who->email_verified_at != TIME_NONE && who->is_active) {
		TRY(oauth_identity_insert(cx, id, p));
		TRY(mail_notice(cx, who, "oauth_linked"));
		return let_in(cx, in, id, ret);
	}
	return in->by_code ? give_code(cx, in, id, person_data(cx, p), ret) : demand_link(cx, in, id, person_data(cx, p));
}

/* --- somebody new --------------------------------------------------------------------------------------------------------- */

/* Whoever took the address since it was looked for is somebody else: the request that was made for them is not ours. */
static enum err
new_pending(struct ctx *cx, const struct oauth_answer *in, const struct oauth_person *p, const char *email, const char *name,
	struct oauth_entry *ret)
{
	const struct signup signup = {.email = email,
		.full_name = name,
		.role = ROLE_STUDENT,
		.life_us = cx->srv->conf->signup_request_hours * HOURS_US};
	struct signup_result made;
	struct account who;
	bool found;

	TRY(approval_signup(cx, &signup, &made));
	TRY(account_by_email(cx, email, &who, &found));
	if (!found)
		BUG("a signup without an account");
	if (!str_eq(who.approval_request_id.text, made.approval_request_id.text))
		return known_address(cx, in, p, &who, ret);
	TRY(oauth_identity_insert(cx, who.id.text, p));
	return refuse_state(cx, in->provider, &who);
}

static enum err
new_active(struct ctx *cx, const struct oauth_answer *in, const struct oauth_person *p, const char *email, const char *name,
	struct oauth_entry *ret)
{
	const struct account_new account = {.email = email,
		.full_name = name,
		.role = ROLE_STUDENT,
		.is_active = true,
		.email_verified = p->claims.email_proven};
	const struct audit_note notes[] = {
		AUDIT_TEXT("email", email), AUDIT_TEXT("role", "student"), AUDIT_TEXT("provider", p->provider)};
	struct account who;
	struct uuid id;
	bool found;

	enum err e = account_insert(cx, &account, &id);
	if (e == ERR_EMAIL_TAKEN) {
		error_clear(cx); /* somebody signed up with it a moment ago */
		TRY(account_by_email(cx, email, &who, &found));
		return known_address(cx, in, p, &who, ret);
	}
	TRY(e);
	TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_SIGNUP,
				    .result = "success",
				    .actor_id = id.text,
				    .entity_type = "user",
				    .entity_id = id.text,
				    .notes = notes,
				    .n_notes = 3}));
	TRY(oauth_identity_insert(cx, id.text, p));
	return let_in(cx, in, id.text, ret);
}

enum err
oauth_arrive(struct ctx *cx, const struct oauth_answer *in, const struct oauth_person *p, struct oauth_entry *ret)
{
	const char *email = NULL, *name;
	struct owner owner;
	struct account who;
	bool found;

	TRY(db_find(cx, &IDENTITY_USE, &owner_schema, &owner, &found, V(p->claims.issuer), V(p->claims.subject), V(cx->now_us)));
	if (found)
		return let_in(cx, in, owner.user_id.text, ret);
	if (!p->claims.email || !email_canonical(cx->arena, p->claims.email, &email)) {
		error_text(cx, "oauth_error", "no_email");
		return oauth_refuse(cx, in->provider, NULL, ERR_OAUTH_FAILED, "no_email");
	}
	TRY(account_by_email(cx, email, &who, &found));
	if (found)
		return known_address(cx, in, p, &who, ret);
	name = p->claims.name ? p->claims.name : arena_strndup(cx->arena, email, strcspn(email, "@"));
	if (cx->srv->conf->signup_policy == SIGNUP_APPROVAL)
		return new_pending(cx, in, p, email, name, ret);
	return new_active(cx, in, p, email, name, ret);
}

/* --- a browser's code ----------------------------------------------------------------------------------------------------- */

enum err
oauth_complete(struct ctx *cx, const struct oauth_answer *in, struct login_result *ret)
{
	struct secret_taken taken;

	TRY(secret_consume(cx, code_purpose, in->code, NULL, in->binding, &taken));
	if (taken.data)
		return demand_link(cx, in, taken.user_id.text, taken.data);
	return enter(cx, in, taken.user_id.text, ret);
}
