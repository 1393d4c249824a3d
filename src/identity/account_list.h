/* Accounts as administrators see them: a list that can be searched, and one account. */
#ifndef MUSTER_IDENTITY_ACCOUNT_LIST_H
#define MUSTER_IDENTITY_ACCOUNT_LIST_H

#include "identity/account.h"

struct account_row {
	struct uuid id;
	const char *email, *full_name;
	enum role role;
	bool is_active;
	enum account_state state;
	bool email_verified;
	int64_t created_at, last_login_at;
};
extern const struct schema account_row_schema;

struct account_filter {
	const char *search; /* part of address or name, ASCII case does not matter; NULL: all */
	enum role role;	    /* ROLE_UNSET: all */
	int64_t page, limit;
};
enum { ACCOUNT_SEARCH_MAX = 100 }; /* bytes */

/*
 * Newest first.  *ret_total is exact up to PAGE_DEPTH_MAX; with a filter, PAGE_DEPTH_MAX + 1 means more.  ERR_PAGE_TOO_DEEP.
 */
enum err account_list(struct ctx *cx, const struct account_filter *f, struct list *ret, int64_t *ret_total) MUST_CHECK;
enum err account_get(struct ctx *cx, const char *id, struct account_row *ret) MUST_CHECK; /* ERR_NOT_FOUND */

#endif
