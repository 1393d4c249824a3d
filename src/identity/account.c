/*
 * Accounts.  Invariants: an address exists once, in its canonical form (unique index); at least one active administrator stays
 * (guard row `admins` is updated before the count, so that two changes cannot pass each other); whoever changes state, role or
 * password makes the session table forget the account at COMMIT.
 */
#include "identity/account.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "identity/password.h"
#include "identity/session.h"
#include "store/db.h"

static const struct field account_fields[] = {
	F(struct account, id, 0, 0, 0, "Id."),
	F(struct account, email, 0, 0, 0, "Canonical address."),
	F(struct account, full_name, 0, 0, 0, "Name."),
	F_ENUM(struct account, role, 0, role_names, "Role."),
	F(struct account, is_active, 0, 0, 0, "May sign in."),
	F(struct account, disabled_at, F_TIME | F_NULLABLE, 0, 0, "When an administrator closed it."),
	F(struct account, password_hash, F_SECRET | F_NULLABLE, 0, 0, "Stored hash."),
	F(struct account, email_verified_at, F_TIME | F_NULLABLE, 0, 0, "When its address was proven."),
	F(struct account, created_at, F_TIME, 0, 0, "Sign-up."),
	F(struct account, approval_status, F_NULLABLE, 0, 0, "Status of the newest approval request."),
	F(struct account, approval_request_id, F_NULLABLE, 0, 0, "That request."),
	F(struct account, approval_expires_at, F_TIME | F_NULLABLE, 0, 0, "Its end."),
};
const struct schema account_schema = SCHEMA("Account", struct account, account_fields);
static const struct field account_ref_fields[] = {
	F(struct account_ref, id, 0, 0, 0, "Account"),
	F(struct account_ref, email, 0, 0, 0, "Its address"),
	F(struct account_ref, full_name, 0, 0, 0, "Its name"),
};
const struct schema account_ref_schema = SCHEMA("AccountRef", struct account_ref, account_ref_fields);

enum account_state
account_state(const struct account *a, int64_t now_us)
{
	if (a->is_active)
		return STATE_ACTIVE;
	if (a->disabled_at != TIME_NONE)
		return STATE_DISABLED;
	if (str_eq(a->approval_status, "pending"))
		return a->approval_expires_at > now_us ? STATE_PENDING : STATE_TIMEOUT;
	if (str_eq(a->approval_status, "rejected"))
		return STATE_REJECTED;
	if (str_eq(a->approval_status, "timeout"))
		return STATE_TIMEOUT;
	return STATE_DISABLED;
}

#define ACCOUNT_SELECT                                                                                                 \
	"SELECT u.id, u.email, u.full_name, u.role, u.is_active, u.disabled_at, u.password_hash, u.email_verified_at," \
	" u.created_at, r.status AS approval_status, r.id AS approval_request_id, r.expires_at AS approval_expires_at" \
	" FROM users u LEFT JOIN approval_requests r ON r.id = (SELECT q.id FROM approval_requests q"                  \
	" WHERE q.user_id = u.id ORDER BY q.requested_at DESC, q.id DESC LIMIT 1)"

SQL(ACCOUNT_BY_EMAIL, "t", ACCOUNT_SELECT " WHERE u.email = $1");

enum err
account_by_email(struct ctx *cx, const char *canonical, struct account *ret, bool *ret_found)
{
	return db_find(cx, &ACCOUNT_BY_EMAIL, &account_schema, ret, ret_found, V(canonical));
}

SQL(ACCOUNT_BY_ID, "u", ACCOUNT_SELECT " WHERE u.id = $1");

enum err
account_by_id(struct ctx *cx, const char *id, struct account *ret)
{
	return db_one(cx, &ACCOUNT_BY_ID, &account_schema, ret, V(id));
}

SQL(ACCOUNT_INSERT, "utttbtmm",
	"INSERT INTO users (id, email, full_name, role, is_active, password_hash, email_verified_at, mail_decisions, mail_marks,"
	" mail_reminders, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, TRUE, TRUE, TRUE, $8, $8)"
	" ON CONFLICT (email) DO NOTHING");

enum err
account_insert(struct ctx *cx, const struct account_new *in, struct uuid *ret_id)
{
	struct uuid id = new_id(cx);
	int64_t rows;

	if (in->role <= ROLE_UNSET || in->role >= ROLE__MAX)
		BUG("role %d", (int)in->role);
	TRY(db_exec(cx, &ACCOUNT_INSERT, &rows, V_ID(id), V(in->email), V(in->full_name), V(role_names[in->role]),
		V(in->is_active), V(in->password_hash), V(in->email_verified ? cx->now_us : TIME_NONE), V(cx->now_us)));
	if (rows == 0)
		return fail(cx, ERR_EMAIL_TAKEN, NULL);
	*ret_id = id;
	return OK;
}

SQL(ADMINS_GUARD, "", "UPDATE guards SET touched = touched + 1 WHERE name = 'admins'");
SQL(ADMINS_OTHERS, "u", "SELECT count(*) FROM users WHERE role = 'admin' AND is_active AND id <> $1");

static enum err
keep_one_admin(struct ctx *cx, const char *id)
{
	int64_t others;

	TRY(db_exec(cx, &ADMINS_GUARD, NULL));
	TRY(db_int(cx, &ADMINS_OTHERS, &others, V(id)));
	return others > 0 ? OK : fail(cx, ERR_LAST_ADMIN, NULL);
}

SQL(ACCOUNT_CHANGE, "utbmm", "UPDATE users SET role = $2, is_active = $3, disabled_at = $4, updated_at = $5 WHERE id = $1");

static enum err
audit_change(struct ctx *cx, const struct account *old, enum role role, bool active)
{
	if (role != old->role)
		TRY(audit_ok(cx, AUDIT_ROLE_CHANGED, "user", old->id.text, AUDIT_TEXT("from", role_names[old->role]),
			AUDIT_TEXT("to", role_names[role])));
	if (active == old->is_active)
		return OK;
	if (!active)
		return audit_ok(cx, AUDIT_ACCOUNT_DISABLED, "user", old->id.text);
	return audit_ok(
		cx, AUDIT_ROLE_CHANGED, "user", old->id.text, AUDIT_TEXT("to", role_names[role]), AUDIT_TEXT("state", "active"));
}

SQL(ACCOUNT_LOCK, "u", "UPDATE users SET updated_at = updated_at WHERE id = $1");

enum err
account_hold(struct ctx *cx, const char *id)
{
	return db_exec(cx, &ACCOUNT_LOCK, NULL, V(id));
}

enum err
account_change(struct ctx *cx, const char *id, enum role role, enum tri is_active)
{
	struct account old;

	TRY(account_hold(cx, id));
	TRY(account_by_id(cx, id, &old));
	enum role new_role = role == ROLE_UNSET ? old.role : role;
	bool active = is_active == TRI_UNSET ? old.is_active : is_active == TRI_YES;
	if (old.is_active && old.role == ROLE_ADMIN && (!active || new_role != ROLE_ADMIN))
		TRY(keep_one_admin(cx, id));
	int64_t disabled_at = active ? TIME_NONE : is_active == TRI_NO ? cx->now_us : old.disabled_at;
	TRY(db_exec(cx, &ACCOUNT_CHANGE, NULL, V(id), V(role_names[new_role]), V(active), V(disabled_at), V(cx->now_us)));
	if (!active)
		TRY(session_end_all(cx, id, NULL, "disabled"));
	session_forget_user(cx, id);
	return audit_change(cx, &old, new_role, active);
}

struct admin_ensure {
	struct account_new account;
	bool exists, created;
};

static enum err
admin_look(struct ctx *cx, void *arg)
{
	struct admin_ensure *e = arg;
	struct account old;

	return account_by_email(cx, e->account.email, &old, &e->exists);
}

static enum err
admin_insert(struct ctx *cx, void *arg)
{
	struct admin_ensure *e = arg;
	struct uuid id;
	enum err result = account_insert(cx, &e->account, &id);

	e->created = result == OK;
	if (result == ERR_EMAIL_TAKEN) {
		error_clear(cx);
		return OK;
	}
	TRY(result);
	return audit_ok(cx, AUDIT_SIGNUP, "user", id.text, AUDIT_TEXT("role", "admin"), AUDIT_TEXT("by", "command"));
}

/* Its own transactions, since hashing must hold none open. */
enum err
admin_ensure(struct ctx *cx, const char *email, const char *password, bool *ret_created)
{
	struct admin_ensure e = {
		.account = {.full_name = "Administrator", .role = ROLE_ADMIN, .is_active = true, .email_verified = true}};

	if (!email_canonical(cx->arena, email, &e.account.email)) {
		error_field(cx, "email", "is not an e-mail address");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	TRY(db_read(cx, admin_look, &e));
	if (!e.exists) {
		TRY(password_hash(cx, password, &e.account.password_hash));
		TRY(db_write(cx, admin_insert, &e));
	}
	*ret_created = e.created;
	return OK;
}
