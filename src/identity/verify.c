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

struct owner {
	struct uuid user_id;
	const char *email;
};
static const struct field owner_fields[] = {
	F(struct owner, user_id, 0, 0, 0, "Whose link it is."),
	F(struct owner, email, 0, 0, 0, "The address now."),
};
static const struct schema owner_schema = SCHEMA("VerifyOwner", struct owner, owner_fields);

SQL(VERIFY_OWNER, "u", "SELECT id AS user_id, email FROM users WHERE id = $1 AND is_active");
SQL(VERIFY_DONE, "um", "UPDATE users SET email_verified_at = $2, updated_at = $2 WHERE id = $1 AND email_verified_at IS NULL");

enum err
email_verify(struct ctx *cx, const char *token)
{
	struct secret_taken taken;
	struct owner owner;
	bool found;

	TRY(secret_peek(cx, purpose, token, &taken));
	TRY(db_find(cx, &VERIFY_OWNER, &owner_schema, &owner, &found, V_ID(taken.user_id)));
	if (!found)
		return fail(cx, ERR_TOKEN_INVALID, NULL);
	TRY(secret_consume(cx, purpose, token, owner.user_id.text, owner.email, &taken));
	return db_exec(cx, &VERIFY_DONE, NULL, V_ID(owner.user_id), V(cx->now_us));
}
