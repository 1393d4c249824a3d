/*
 * Whoever can read the mailbox owns the address: where it was never proven before, the account may be somebody else's
 * preparation, so what that person could come back by (linked providers) goes with the old password.
 */
#include "identity/reset.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "core/metrics.h"
#include "http/server.h"
#include "identity/known_device.h"
#include "identity/lockout.h"
#include "identity/mail.h"
#include "identity/oauth.h"
#include "identity/password.h"
#include "identity/secret.h"
#include "identity/session.h"
#include "identity/throttle.h"
#include "store/db.h"

enum { NOTED_MINUTES = 60, TURN_REQUESTS = 20 };
static const char purpose[] = "password_reset", noted[] = "reset_request";

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static enum err
note_request(struct ctx *cx, void *arg)
{
	const char *email = arg, *ignored;
	struct json j;
	struct buf out;

	buf_init(&out, cx->arena, 128);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "email", email);
	json_obj_end(&j);
	TRY(secret_issue(cx,
		&(const struct secret_new){.purpose = noted, .data = buf_cstr(&out), .life_us = NOTED_MINUTES * MINUTES_US},
		&ignored));
	return audit_ok(cx, AUDIT_PASSWORD_RESET_REQUESTED, NULL, NULL, AUDIT_TEXT("email", email));
}

enum err
reset_request(struct ctx *cx, const char *typed)
{
	const struct config *conf = cx->srv->conf;
	const struct limit by_ip = {"reset_ip", conf_live(&conf->rl_reset_ip_limit) * (network_shared(cx) ? SHARED_NETWORK_FACTOR : 1), 3600};
	const struct limit by_email = {"reset_email", conf_live(&conf->rl_reset_email_limit), 3600};
	const char *email = NULL;
	char prefix[IP_TEXT_BYTES];

	ip_prefix(cx->client->ip, prefix);
	bool is_address = email_canonical(cx->arena, typed, &email);
	const struct limit_hit hits[] = {{by_ip, prefix, false}, {by_email, email, false}};
	enum err taken = throttle(cx, hits, is_address ? 2 : 1);
	if (taken == ERR_RATE_LIMITED) { /* nobody is told */
		error_clear(cx);
		return OK;
	}
	TRY(taken);
	if (!is_address)
		return OK;
	return db_write(cx, note_request, (void *)(uintptr_t)email);
}

/* --- the link ------------------------------------------------------------------------------------------------------------- */

struct noted_row {
	struct uuid id;
	const char *data;
};
static const struct field noted_fields[] = {
	F(struct noted_row, id, 0, 0, 0, "Request."),
	F(struct noted_row, data, F_JSON, 0, 0, "The address."),
};
static const struct schema noted_schema = SCHEMA("ResetRequest", struct noted_row, noted_fields);

SQL(RESET_NOTED, "tmi",
	"SELECT id, data FROM one_time_secrets WHERE purpose = $1 AND used_at IS NULL AND expires_at > $2 ORDER BY created_at, "
	"id LIMIT $3");
SQL(RESET_TAKE, "u", "DELETE FROM one_time_secrets WHERE id = $1 AND used_at IS NULL");

static enum err
send_link(struct ctx *cx, const char *email)
{
	int64_t minutes = cx->srv->conf->password_reset_expire_minutes;
	struct account who;
	const char *token;
	bool found;

	TRY(account_by_email(cx, email, &who, &found));
	if (!found || !who.is_active)
		return OK;
	TRY(secret_issue(cx,
		&(const struct secret_new){
			.purpose = purpose, .user_id = who.id.text, .life_us = minutes * MINUTES_US, .only_one = true},
		&token));
	return mail_link(cx, &who, "password_reset", "/app/reset", token, minutes);
}

enum err
reset_deliver(struct ctx *cx, int64_t *ret_rows)
{
	struct list list;
	int64_t rows;

	TRY(db_all(cx, &RESET_NOTED, &noted_schema, &list, V(noted), V(cx->now_us), V(TURN_REQUESTS)));
	const struct noted_row *requests = list.items;
	for (size_t i = 0; i < list.count; i++) {
		const json_t *data = json_read(cx->arena, span_str(requests[i].data));
		const char *email = json_string_value(json_object_get(data, "email"));
		TRY(db_exec(cx, &RESET_TAKE, &rows, V_ID(requests[i].id)));
		if (rows == 1 && email)
			TRY(send_link(cx, email));
	}
	*ret_rows = list.count == TURN_REQUESTS ? BULK_TURN_ROWS : (int64_t)list.count; /* a full turn: there may be more */
	return OK;
}

/* --- the new password ----------------------------------------------------------------------------------------------------- */

struct confirming {
	const char *token, *hash;
	struct secret_taken taken;
	struct account who;
};

static enum err
confirm_look(struct ctx *cx, void *arg)
{
	struct confirming *c = arg;

	TRY(secret_peek(cx, purpose, c->token, &c->taken));
	return account_by_id(cx, c->taken.user_id.text, &c->who);
}

SQL(RESET_PASSWORD, "utm",
	"UPDATE users SET password_hash = $2, email_verified_at = COALESCE(email_verified_at, $3), updated_at = $3 WHERE id = $1 "
	"AND is_active");

static enum err
confirm_write(struct ctx *cx, void *arg)
{
	struct confirming *c = arg;
	int64_t rows;

	TRY(secret_consume(cx, purpose, c->token, NULL, NULL, &c->taken));
	const char *id = c->taken.user_id.text;
	TRY(account_by_id(cx, id, &c->who));
	TRY(db_exec(cx, &RESET_PASSWORD, &rows, V(id), V(c->hash), V(cx->now_us)));
	if (rows == 0)
		return fail(cx, ERR_TOKEN_INVALID, NULL); /* closed since */
	if (c->who.email_verified_at == TIME_NONE)
		TRY(oauth_identities_forget(cx, id));
	TRY(known_device_forget(cx, id));
	TRY(secret_kill(cx, purpose, id));
	TRY(session_end_all(cx, id, NULL, "password_reset"));
	TRY(lockout_success(cx, &(const struct lockout_attempt){.email = c->who.email}));
	TRY(mail_notice(cx, &c->who, "password_changed"));
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_PASSWORD_RESET,
				       .result = "success",
				       .actor_id = id,
				       .entity_type = "user",
				       .entity_id = id});
}

enum err
reset_confirm(struct ctx *cx, const char *token, const char *new_password)
{
	struct confirming c = {.token = token};

	TRY(db_read(cx, confirm_look, &c));
	TRY(password_check(cx, POLICY_CLASSES, "new_password", new_password, c.who.email, c.who.full_name));
	TRY(password_hash(cx, new_password, &c.hash));
	return db_write(cx, confirm_write, &c);
}
