/*
 * Accounts: one table `users`, one canonical e-mail, one derived state.
 *
 * The state is never stored twice: is_active → active; else disabled_at → disabled; else the newest approval request's status;
 * anything else is disabled.  Only an active account gets a token, by any path.
 */
#ifndef MUSTER_IDENTITY_ACCOUNT_H
#define MUSTER_IDENTITY_ACCOUNT_H

#include "core/field.h"

enum account_state { STATE_UNSET = 0, STATE_ACTIVE, STATE_DISABLED, STATE_PENDING, STATE_REJECTED, STATE_TIMEOUT };

struct account {
	struct uuid id;
	const char *email, *full_name;
	enum role role;
	bool is_active;
	int64_t disabled_at;
	const char *password_hash;         /* NULL: no password login */
	int64_t email_verified_at;
	int64_t created_at;
	const char *approval_status;       /* of the newest request; NULL: none */
	struct uuid approval_request_id;
	int64_t approval_expires_at;
};
extern const struct schema account_schema; /* row shape; never a reply */

/* An account inside another reply, and its columns in a SELECT: of the table `of`, as the member `as`. */
struct account_ref {
	struct uuid id;
	const char *email, *full_name;
};
extern const struct schema account_ref_schema;
#define ACCOUNT_REF(of, as) \
	of ".id AS \"" as ".id\", " of ".email AS \"" as ".email\", " of ".full_name AS \"" as ".full_name\""

enum account_state account_state(const struct account *a, int64_t now_us); /* a pending request past its time counts as timeout */

/*
 * The one canonical form: trimmed, one '@', domain IDNA to lower-case ASCII, local part lower-case, NFC, no control characters, at
 * most EMAIL_MAX bytes.  Everything else (uniqueness, lookup, lockout) uses only this.  False when it is no address.
 */
bool email_canonical(struct arena *a, const char *in, const char **ret);

enum err account_by_email(struct ctx *cx, const char *canonical, struct account *ret, bool *ret_found) MUST_CHECK;
enum err account_by_id(struct ctx *cx, const char *id, struct account *ret) MUST_CHECK; /* ERR_NOT_FOUND */

/* The account's row is this transaction's until its end: what others do to it waits.  No such account is no error. */
enum err account_hold(struct ctx *cx, const char *id) MUST_CHECK;

/* Inserts an account; ERR_EMAIL_TAKEN when the address exists.  The caller audits. */
struct account_new {
	const char *email, *full_name, *password_hash;
	enum role role;
	bool is_active, email_verified;
};
enum err account_insert(struct ctx *cx, const struct account_new *in, struct uuid *ret_id) MUST_CHECK;

/*
 * Changes role and/or activity (ROLE_UNSET, TRI_UNSET keep).  Refuses to take away the last active admin (ERR_LAST_ADMIN) by a guard
 * row.  Ends the account's sessions when it is disabled; a changed role is in force at the next request.  Audited.
 */
enum err account_change(struct ctx *cx, const char *id, enum role role, enum tri is_active) MUST_CHECK;

/*
 * The first admin, from ADMIN_EMAIL and ADMIN_PASSWORD or the command line: made active, or left alone when the address exists.  Hashes,
 * and so runs its own transactions: not from inside one.
 */
enum err admin_ensure(struct ctx *cx, const char *email, const char *password, bool *ret_created) MUST_CHECK;

#endif
