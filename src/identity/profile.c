/*
 * What people do to their own account.  Every statement says whose row it is; a password is looked at outside every transaction,
 * and the write that follows holds only for the hash that it was compared with.
 */
#include "identity/profile.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "identity/lockout.h"
#include "identity/mail.h"
#include "identity/password.h"
#include "identity/secret.h"
#include "identity/session.h"
#include "store/db.h"

static const struct field mail_wishes_fields[] = {
	F(struct mail_wishes, decisions, 0, 0, 0, "Decisions about the account and its marks"),
	F(struct mail_wishes, marks, 0, 0, 0, "Marks, for administrators"),
	F(struct mail_wishes, reminders, 0, 0, 0, "Sessions that begin soon"),
};
const struct schema mail_wishes_schema = SCHEMA("MailWishes", struct mail_wishes, mail_wishes_fields);
static const struct field profile_fields[] = {
	PROFILE_FIELDS(role_names),
	F_OBJ(struct profile, mail, &mail_wishes_schema, "Which mail is wanted"),
};
static const struct schema profile_schema = SCHEMA("ProfileRow", struct profile, profile_fields);

SQL(PROFILE_GET, "u",
	"SELECT u.id, u.email, u.full_name AS name, u.role, u.is_active,"
	" EXISTS (SELECT 1 FROM mfa_totp m WHERE m.user_id = u.id AND m.enabled_at IS NOT NULL) AS mfa_enabled,"
	" u.email_verified_at IS NOT NULL AS email_verified, u.created_at, u.mail_decisions AS \"mail.decisions\","
	" u.mail_marks AS \"mail.marks\", u.mail_reminders AS \"mail.reminders\" FROM users u WHERE u.id = $1");

enum err
profile_get(struct ctx *cx, const char *user_id, struct profile *ret)
{
	return db_one(cx, &PROFILE_GET, &profile_schema, ret, V(user_id));
}

static struct val
tri_val(enum tri t)
{
	return t == TRI_UNSET ? val_null() : val_int(t == TRI_YES);
}

SQL(PROFILE_CHANGE, "utbbbm",
	"UPDATE users SET full_name = COALESCE($2, full_name), mail_decisions = COALESCE($3, mail_decisions),"
	" mail_marks = COALESCE($4, mail_marks), mail_reminders = COALESCE($5, mail_reminders), updated_at = $6 WHERE id = $1");

enum err
profile_change(struct ctx *cx, const char *user_id, const struct profile_change *in, struct profile *ret)
{
	TRY(db_exec(cx, &PROFILE_CHANGE, NULL, V(user_id), V(in->name), tri_val(in->decisions), tri_val(in->marks),
		tri_val(in->reminders), V(cx->now_us)));
	session_forget_user(cx, user_id);
	return profile_get(cx, user_id, ret);
}

static const struct field session_info_fields[] = {
	F(struct session_info, id, 0, 0, 0, "Session."),
	F(struct session_info, user_agent, 0, 0, 0, "What it was begun with."),
	F(struct session_info, ip_address, 0, 0, 0, "Where it was begun."),
	F(struct session_info, web, 0, 0, 0, "Its refresh token is a cookie."),
	F(struct session_info, mfa, 0, 0, 0, "A second factor was given."),
	F(struct session_info, created_at, F_TIME, 0, 0, "Login."),
	F(struct session_info, last_used_at, F_TIME, 0, 0, "Last refresh, or the login."),
	F(struct session_info, expires_at, F_TIME, 0, 0, "Its end, however often it is refreshed."),
};
static const struct schema session_info_schema = SCHEMA("SessionInfo", struct session_info, session_info_fields);

SQL(SESSION_LIST, "um",
	"SELECT id, user_agent, ip_address, web, mfa, created_at, last_used_at, expires_at FROM sessions"
	" WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY last_used_at DESC, id DESC LIMIT 100");

enum err
session_list(struct ctx *cx, const char *user_id, struct list *ret)
{
	return db_all(cx, &SESSION_LIST, &session_info_schema, ret, V(user_id), V(cx->now_us));
}

/* --- the password, once more ---------------------------------------------------------------------------------------------- */

struct confirming {
	struct account who;
	int64_t locked_until;
	const char *new_hash;
};

static enum err
confirm_begin(struct ctx *cx, void *arg)
{
	struct confirming *c = arg;
	const char *id = cx->actor->user_id.text;

	TRY(session_recheck(cx));
	TRY(lockout_account_reserve(cx, "password", id, &c->locked_until));
	return account_by_id(cx, id, &c->who);
}

static enum err
confirm_right(struct ctx *cx, void *arg)
{
	(void)arg;
	return lockout_account_success(cx, "password", cx->actor->user_id.text);
}

static enum err
confirm_failed(struct ctx *cx, void *arg)
{
	const struct confirming *c = arg;
	bool locked = c->locked_until > 0;
	const struct audit_note notes[] = {
		AUDIT_TEXT("reason", locked ? "account_locked" : "wrong_password"), AUDIT_TEXT("step", "password_again")};

	TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN_FAILED,
				    .result = "failure",
				    .entity_type = "user",
				    .entity_id = cx->actor->user_id.text,
				    .notes = notes,
				    .n_notes = 2}));
	if (locked)
		lockout_tell(cx, c->locked_until);
	return refuse(cx, locked ? ERR_ACCOUNT_LOCKED : ERR_INVALID_CREDENTIALS);
}

static enum err
confirm_give_back(struct ctx *cx, void *arg)
{
	(void)arg;
	return lockout_account_give_back(cx, "password", cx->actor->user_id.text);
}

/* As for a sign-in: an outage is no failure of who types. */
static enum err
confirm_not_judged(struct ctx *cx, struct confirming *c, enum err why)
{
	const struct error told = cx->error;

	if (c->locked_until == 0 && db_write(cx, confirm_give_back, c) != OK)
		error_clear(cx);
	cx->error = told;
	return why;
}

enum err
password_confirm(struct ctx *cx, const char *password, const char **ret_hash)
{
	struct confirming c = {.locked_until = 0};

	TRY(db_write(cx, confirm_begin, &c));
	bool right = false;
	enum err e = OK;
	if (c.locked_until == 0 && c.who.password_hash)
		e = password_verify(cx, c.who.password_hash, password, &right);
	if (e == OK)
		e = db_write(cx, right ? confirm_right : confirm_failed, &c);
	if (e == ERR_UNAVAILABLE || e == ERR_OVERLOADED)
		return confirm_not_judged(cx, &c, e);
	TRY(e);
	*ret_hash = c.who.password_hash;
	return OK;
}

SQL(PASSWORD_CHANGE, "uttm",
	"UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND is_active AND password_hash = $2");

static enum err
change_write(struct ctx *cx, void *arg)
{
	const struct confirming *c = arg;
	const char *id = cx->actor->user_id.text;
	struct account now; /* not c->who: what a run undone has read must not be compared with */
	int64_t rows;

	TRY(session_recheck(cx));
	TRY(db_exec(cx, &PASSWORD_CHANGE, &rows, V(id), V(c->who.password_hash), V(c->new_hash), V(cx->now_us)));
	if (rows == 0)
		return fail(cx, ERR_INVALID_CREDENTIALS, NULL); /* somebody else changed it meanwhile */
	TRY(secret_kill(cx, "password_reset", id));
	TRY(session_end_all(cx, id, cx->actor->session_id.text, "password_changed"));
	TRY(account_by_id(cx, id, &now));
	TRY(mail_notice(cx, &now, "password_changed"));
	return audit_ok(cx, AUDIT_PASSWORD_CHANGED, "user", id);
}

enum err
password_change(struct ctx *cx, const char *current, const char *new_password)
{
	struct confirming c = {.locked_until = 0};

	TRY(password_check(cx, POLICY_CLASSES, "new_password", new_password, cx->actor->email, cx->actor->full_name));
	TRY(password_confirm(cx, current, &c.who.password_hash));
	TRY(password_hash(cx, new_password, &c.new_hash));
	return db_write(cx, change_write, &c);
}
