/*
 * Linking by password, and one's own links.  The password goes through login_password(), so guessing it here is counted, locked
 * and timed as at any login; and the link is made only together with every factor the account has.
 */
#include "identity/oauth_parts.h"

#include <string.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/json.h"
#include "identity/mail.h"
#include "identity/secret.h"
#include "store/db.h"

static const char purpose[] = "oauth_link";

struct linking {
	const struct oauth_linking *in;
	struct secret_taken taken;
	struct account who;
	const char *mfa_token;
	struct login_result result;
};

static enum err
look(struct ctx *cx, void *arg)
{
	struct linking *l = arg;

	TRY(secret_peek(cx, purpose, l->in->link_token, &l->taken));
	return account_by_id(cx, l->taken.user_id.text, &l->who);
}

/* Within the login: whoever finds the token spent gets no session either. */
static enum err
make_link(struct ctx *cx, void *arg, const struct account *who)
{
	struct linking *l = arg;
	struct oauth_person p = {0};

	TRY(secret_consume(cx, purpose, l->in->link_token, who->id.text, l->in->binding, &l->taken));
	const json_t *data = json_read(cx->arena, span_str(l->taken.data));
	p.provider = json_string_value(json_object_get(data, "provider"));
	p.claims.issuer = json_string_value(json_object_get(data, "issuer"));
	p.claims.subject = json_string_value(json_object_get(data, "subject"));
	p.claims.email = json_string_value(json_object_get(data, "email"));
	TRY(oauth_identity_insert(cx, who->id.text, &p));
	return mail_notice(cx, who, "oauth_linked");
}

static enum err
complete_and_link(struct ctx *cx, void *arg)
{
	struct linking *l = arg;
	const struct mfa_completing c = {.mfa_token = l->mfa_token,
		.factor = l->in->factor,
		.device_token = l->in->device_token,
		.web = l->in->web};

	TRY(mfa_complete(cx, &c, &l->result));
	return make_link(cx, l, &l->who);
}

/* The binding is looked at before the password is: a link token in another browser opens no way to guess. */
static enum err
check_binding(struct ctx *cx, void *arg)
{
	struct linking *l = arg;
	struct secret_taken ignored;

	TRY(secret_consume(cx, purpose, l->in->link_token, l->who.id.text, l->in->binding, &ignored));
	return fail(cx, ERR_CONFLICT, NULL); /* undone: it was good, and stays so */
}

enum err
oauth_link(struct ctx *cx, const struct oauth_linking *in, struct login_result *ret)
{
	struct linking l = {.in = in};
	enum err e;

	TRY(db_read(cx, look, &l));
	e = db_write(cx, check_binding, &l);
	if (e != ERR_CONFLICT)
		return e;
	error_clear(cx);
	const struct login login = {.email = l.who.email,
		.password = in->password,
		.device_token = in->device_token,
		.surface = LOGIN_ACCOUNTS,
		.web = in->web,
		.also = make_link,
		.also_arg = &l};
	TRY(login_password(cx, &login, &l.result));
	l.mfa_token = l.result.mfa_token;
	if (l.mfa_token && (in->factor.code || in->factor.backup_code))
		TRY(db_write(cx, complete_and_link, &l));
	*ret = l.result;
	return OK;
}

/* --- one's own links ------------------------------------------------------------------------------------------------------ */

static const struct field identity_fields[] = {
	F(struct oauth_identity, provider, 0, 0, 0, "Name of the provider"),
	F(struct oauth_identity, issuer, 0, 0, 0, "Its issuer"),
	F(struct oauth_identity, email, F_NULLABLE, 0, 0, "Address there when it was linked"),
	F(struct oauth_identity, created_at, F_TIME, 0, 0, "When it was linked"),
	F(struct oauth_identity, last_used_at, F_TIME | F_NULLABLE, 0, 0, "Last login"),
};
const struct schema oauth_identity_schema = SCHEMA("OauthIdentity", struct oauth_identity, identity_fields);

SQL(IDENTITY_LIST, "u",
	"SELECT provider, issuer, email, created_at, last_used_at FROM oauth_identities WHERE user_id = $1 ORDER BY created_at, "
	"id");

enum err
oauth_identities(struct ctx *cx, struct list *ret)
{
	return db_all(cx, &IDENTITY_LIST, &oauth_identity_schema, ret, V_ID(cx->actor->user_id));
}

/* The account's row is held first: two unlinkings at once cannot both leave the other's link as the last. */
SQL(UNLINK, "ut", "DELETE FROM oauth_identities WHERE user_id = $1 AND provider = $2");
SQL(WAYS_IN, "u",
	"SELECT (SELECT count(*) FROM oauth_identities WHERE user_id = $1)"
	" + (SELECT count(*) FROM users WHERE id = $1 AND password_hash IS NOT NULL)");

enum err
oauth_unlink(struct ctx *cx, const char *provider)
{
	const char *id = cx->actor->user_id.text;
	int64_t rows, left;

	TRY(account_hold(cx, id));
	TRY(db_exec(cx, &UNLINK, &rows, V(id), V(provider)));
	if (rows == 0)
		return fail(cx, ERR_NOT_FOUND, NULL);
	TRY(db_int(cx, &WAYS_IN, &left, V(id)));
	if (left == 0)
		return fail(cx, ERR_LAST_LOGIN, NULL);
	return audit_ok(cx, AUDIT_OAUTH_UNLINKED, "user", id, AUDIT_TEXT("provider", provider));
}

SQL(IDENTITIES_FORGET, "u", "DELETE FROM oauth_identities WHERE user_id = $1");

enum err
oauth_identities_forget(struct ctx *cx, const char *user_id)
{
	return db_exec(cx, &IDENTITIES_FORGET, NULL, V(user_id));
}
