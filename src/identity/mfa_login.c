/*
 * The pending login.  Its token is a JWT, so that forged and expired ones cost no query, whose jti is a one-time secret, so that
 * it is good once.  What a refusal counted stays: per account, so that a new token is no new chance, and per token.
 */
#include "identity/mfa_parts.h"

#include <string.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/jws.h"
#include "identity/known_device.h"
#include "identity/lockout.h"
#include "identity/mail.h"
#include "identity/secret.h"
#include "identity/token.h"
#include "store/db.h"

static const char purpose[] = "mfa_pending";

enum err
mfa_await(struct ctx *cx, const char *user_id, const char *via, const char **ret_token, int64_t *ret_expires_s)
{
	int64_t life_us = cx->srv->conf->mfa_token_expire_minutes * MINUTES_US;
	struct uuid jti = new_id(cx);

	TRY(secret_store(cx,
		&(const struct secret_new){.purpose = purpose,
			.user_id = user_id,
			.data = arena_printf(cx->arena, "{\"via\":\"%s\"}", via),
			.life_us = life_us},
		jti.text));
	*ret_token = mfa_pending_token(cx, user_id, jti.text, cx->now_us + life_us);
	*ret_expires_s = life_us / SECONDS_US;
	return OK;
}

struct pending {
	struct uuid user_id, jti;
};

static bool
pending_read(struct ctx *cx, const char *token, struct pending *ret)
{
	const struct config *conf = cx->srv->conf;
	struct span claims;
	int64_t exp;

	return strnlen(token, TOKEN_MAX + 1) <= TOKEN_MAX &&
	       jws_verify(cx->arena, cx->srv->keys, KEY_MFA_PENDING, purpose, token, &claims) &&
	       claim_equals(claims, "typ", purpose) && claim_equals(claims, "iss", conf->jwt_issuer) &&
	       claim_equals(claims, "aud", conf->jwt_audience) && claim_int(claims, "exp", &exp) && exp > cx->now_us / SECONDS_US &&
	       claim_text(claims, "sub", ret->user_id.text, sizeof(ret->user_id.text)) && uuid_valid(ret->user_id.text) &&
	       claim_text(claims, "jti", ret->jti.text, sizeof(ret->jti.text)) && uuid_valid(ret->jti.text);
}

static enum err
refuse_factor(struct ctx *cx, const struct pending *p, enum err why, const char *reason)
{
	const struct audit_note notes[] = {AUDIT_TEXT("reason", reason), AUDIT_TEXT("step", "second_factor")};

	TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN_FAILED,
				    .result = "failure",
				    .entity_type = p ? "user" : NULL,
				    .entity_id = p ? p->user_id.text : NULL,
				    .notes = notes,
				    .n_notes = 2}));
	return refuse(cx, why);
}

/* What is checked before any code is looked at: the token stands, has tries left, and its account is open. */
static enum err
pending_stands(struct ctx *cx, const struct pending *p, const char **ret_reason)
{
	int64_t life_us = cx->srv->conf->mfa_token_expire_minutes * MINUTES_US;
	struct secret_taken look;
	bool left;

	*ret_reason = NULL;
	enum err e = secret_peek(cx, purpose, p->jti.text, &look);
	if (e == ERR_TOKEN_INVALID || (e == OK && !str_eq(look.user_id.text, p->user_id.text))) {
		error_clear(cx);
		*ret_reason = "used_token";
		return OK;
	}
	TRY(e);
	TRY(lockout_token_try(cx, p->jti.text, MFA_TRIES, life_us, &left));
	if (!left)
		*ret_reason = "too_many_codes";
	return OK;
}

static enum err
let_in(struct ctx *cx, const struct mfa_completing *in, const char *data, struct login_result *ret)
{
	json_t *how = data ? json_read(cx->arena, span_str(data)) : NULL;
	const char *via = json_string_value(json_object_get(how, "via"));
	bool oauth = via && strcmp(via, "oauth") == 0;
	const struct proof proof = {.password = !oauth, .oauth = oauth, .mfa = true, .web = in->web};
	const char *factor = in->factor.code ? "totp" : "backup_code";
	struct uuid device;

	TRY(known_device_find(cx, in->device_token, ret->who.email, &device));
	TRY(mint_session(cx, &ret->who, &proof, &ret->tokens));
	TRY(known_device_keep(cx, ret->who.id.text, &device, in->device_token, &ret->device_token));
	if (in->factor.backup_code)
		TRY(mail_notice(cx, &ret->who, "backup_code_used"));
	const struct audit_note notes[] = {AUDIT_TEXT("via", oauth ? "oauth" : "password"), AUDIT_TEXT("second_factor", factor),
		AUDIT_TEXT("device", device.text[0] ? "known" : "new")};
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN,
				       .result = "success",
				       .actor_id = ret->who.id.text,
				       .entity_type = "session",
				       .entity_id = ret->tokens.session_id.text,
				       .notes = notes,
				       .n_notes = 3});
}

enum err
mfa_complete(struct ctx *cx, const struct mfa_completing *in, struct login_result *ret)
{
	struct login_result result = {0};
	struct secret_taken taken;
	struct pending p;
	enum err verdict;
	const char *reason;

	if (!in->factor.code == !in->factor.backup_code) {
		error_field(cx, "code", "exactly one of code and backup_code is needed");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	if (!pending_read(cx, in->mfa_token, &p))
		return refuse_factor(cx, NULL, ERR_TOKEN_INVALID, "bad_token");
	TRY(pending_stands(cx, &p, &reason));
	if (reason)
		return refuse_factor(cx, &p, ERR_TOKEN_INVALID, reason);
	TRY(account_by_id(cx, p.user_id.text, &result.who));
	if (!result.who.is_active)
		return refuse_factor(cx, &p, ERR_INVALID_CREDENTIALS, "account_disabled");
	TRY(factor_check(cx, p.user_id.text, &in->factor, &verdict));
	if (verdict != OK)
		return refuse_factor(cx, &p, verdict, verdict == ERR_INVALID_CODE ? "wrong_code" : "account_locked");
	TRY(secret_consume(cx, purpose, p.jti.text, p.user_id.text, NULL, &taken));
	TRY(let_in(cx, in, taken.data, &result));
	*ret = result;
	return OK;
}
