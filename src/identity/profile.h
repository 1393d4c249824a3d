/* An account as its owner sees it, and what the owner may change about it. */
#ifndef MUSTER_IDENTITY_PROFILE_H
#define MUSTER_IDENTITY_PROFILE_H

#include "identity/account.h"

struct mail_wishes {
	bool decisions, marks, reminders;
};
struct profile {
	struct uuid id;
	const char *email, *name;
	enum role role;
	bool is_active, mfa_enabled, email_verified;
	int64_t created_at;
	struct mail_wishes mail;
};
extern const struct schema mail_wishes_schema;
/* All but the mail; `roles` are the words for the role. */
#define PROFILE_FIELDS(roles)                                                         \
	F(struct profile, id, 0, 0, 0, "Account"),                                    \
		F(struct profile, email, 0, 0, 0, "Its address"),                     \
		F(struct profile, name, 0, 0, 0, "Name"),                             \
		F_ENUM(struct profile, role, 0, roles, "Role"),                       \
		F(struct profile, is_active, 0, 0, 0, "May sign in"),                 \
		F(struct profile, mfa_enabled, 0, 0, 0, "A second factor is asked for"), \
		F(struct profile, email_verified, 0, 0, 0, "The address was proven"), \
		F(struct profile, created_at, F_TIME, 0, 0, "Sign-up")
enum err profile_get(struct ctx *cx, const char *user_id, struct profile *ret) MUST_CHECK; /* ERR_NOT_FOUND */

/* NULL and TRI_UNSET keep what is there. */
struct profile_change {
	const char *name;
	enum tri decisions, marks, reminders;
};
enum err profile_change(struct ctx *cx, const char *user_id, const struct profile_change *in, struct profile *ret) MUST_CHECK;

/* Sessions of one account that still stand, last used first. */
struct session_info {
	struct uuid id;
	const char *user_agent, *ip_address;
	bool web, mfa;
	int64_t created_at, last_used_at, expires_at;
};
enum err session_list(struct ctx *cx, const char *user_id, struct list *ret) MUST_CHECK;

/*
 * Changes the password of the present account: on the hash lane, its own transactions.  The current one is counted against like a
 * login's (ERR_ACCOUNT_LOCKED), by account.  All other sessions end, reset links die, the owner gets a mail.
 * ERR_INVALID_CREDENTIALS (also for an account without password: a reset gives it one), ERR_VALIDATION.
 */
enum err password_change(struct ctx *cx, const char *current, const char *new_password) MUST_CHECK;

/*
 * The account's password, for steps that need it again: counted by account, in its own transactions, on the hash lane.
 * *ret_hash is what it was compared with.
 */
enum err password_confirm(struct ctx *cx, const char *password, const char **ret_hash) MUST_CHECK;

#endif
