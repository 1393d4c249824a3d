/* The link names the address that it was sent to: it proves nothing when the account has another one by then. */
#include "identity/verify.h"

#include "identity/mail.h"
#include "identity/secret.h"
#include "store/db.h"

enum { LINK_HOURS = 24 };
static const char purpose[] = "email_verify";

enum err
email_verify_send(struct ctx *cx, const struct account *who)
{
	const char *token;

	TRY(secret_issue(cx,
		&(const struct secret_new){.purpose = purpose,
			.user_id = who->id.text,
			.binding = who->email,
			.life_us = LINK_HOURS * HOURS_US,
			.only_one = true},
		&token));
	return mail_link(cx, who, "email_verify", "/app/verify", token, LINK_HOURS * 60);
}

enum err
email_verify_request(struct ctx *cx)
{
	struct account who;

	TRY(account_by_id(cx, cx->actor->user_id.text, &who));
	return who.email_verified_at == TIME_NONE ? email_verify_send(cx, &who) : OK;
}

SQL(VERIFY_DONE, "um", "UPDATE users SET email_verified_at = $2, updated_at = $2 WHERE id = $1 AND email_verified_at IS NULL");

enum err
email_verify(struct ctx *cx, const char *token)
{
	struct secret_taken taken;
	struct account who;

	TRY(secret_peek(cx, purpose, token, &taken));
	TRY(account_by_id(cx, taken.user_id.text, &who));
	enum account_state state = account_state(&who, cx->now_us);
	if (state != STATE_ACTIVE && state != STATE_PENDING)
		return fail(cx, ERR_TOKEN_INVALID, NULL);
	TRY(secret_consume(cx, purpose, token, who.id.text, who.email, &taken));
	return db_exec(cx, &VERIFY_DONE, NULL, V_ID(who.id), V(cx->now_us));
}
