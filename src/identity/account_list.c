/*
 * The list of accounts.
 *
 * A search is for a part of a text, which no ordinary index can help, so it reads accounts from the newest on until the page is
 * full.  What bounds it: nothing is sorted (ids of version 7 are in the order of time), texts are joined to the rows of one page
 * only, and counting stops where no page may lie; a page that is not full says the total by itself.
 */
#include "identity/account_list.h"

#include <string.h>

#include "store/db.h"

/* By enum account_state. */
static const char *const account_state_names[] = {"", "active", "disabled", "pending", "rejected", "timeout", NULL};
_Static_assert(sizeof(account_state_names) / sizeof(account_state_names[0]) == STATE_TIMEOUT + 2, "every state has its name");

static const struct field account_row_fields[] = {
	F(struct account_row, id, 0, 0, 0, "Account"),
	F(struct account_row, email, 0, 0, 0, "Its address"),
	F(struct account_row, full_name, 0, 0, 0, "Name"),
	F_ENUM(struct account_row, role, 0, role_names, "Role"),
	F(struct account_row, is_active, 0, 0, 0, "May sign in"),
	F_ENUM(struct account_row, state, 0, account_state_names, "Why it may, or may not"),
	F(struct account_row, email_verified, 0, 0, 0, "Its address was proven"),
	F(struct account_row, created_at, F_TIME, 0, 0, "Sign-up"),
	F(struct account_row, last_login_at, F_TIME | F_NULLABLE, 0, 0, "Last login among the sessions that are still known"),
};
const struct schema account_row_schema = SCHEMA("AccountRow", struct account_row, account_row_fields);

/* What a row of the database has, and the derived state needs. */
struct found {
	struct account account;
	int64_t last_login_at;
};
static const struct field found_fields[] = {
	F_OBJ(struct found, account, &account_schema, NULL),
	F(struct found, last_login_at, F_TIME, 0, 0, NULL),
};
static const struct schema found_schema = SCHEMA("FoundAccount", struct found, found_fields);

#define FOUND_COLUMNS                                                                                                  \
	"SELECT " ACCOUNT_REF("u", "account") ","                                                                      \
	" u.role AS \"account.role\", u.is_active AS \"account.is_active\", u.disabled_at AS \"account.disabled_at\"," \
	" u.email_verified_at AS \"account.email_verified_at\", u.created_at AS \"account.created_at\","               \
	" r.status AS \"account.approval_status\", r.expires_at AS \"account.approval_expires_at\","                   \
	" (SELECT MAX(s.login_at) FROM sessions s WHERE s.user_id = u.id) AS last_login_at"
#define FOUND_REQUEST                                                                                           \
	" LEFT JOIN approval_requests r ON r.id = (SELECT q.id FROM approval_requests q WHERE q.user_id = u.id" \
	" ORDER BY q.requested_at DESC, q.id DESC LIMIT 1)"

/* $1 pattern, $2 role */
#define FOUND_KEYS                                                                     \
	"SELECT k.id FROM users k WHERE k.id > '00000000-0000-0000-0000-000000000000'" \
	"{?1 AND (k.email LIKE lower($1) ESCAPE '!' OR lower(k.full_name) LIKE lower($1) ESCAPE '!')}{?2 AND k.role = $2}"

SQL(ACCOUNT_PAGE, "ttii",
	FOUND_COLUMNS " FROM (" FOUND_KEYS " ORDER BY k.id DESC LIMIT $3 OFFSET $4) p JOIN users u ON u.id = p.id" FOUND_REQUEST
		      " ORDER BY u.id DESC");
SQL(ACCOUNT_COUNT, "tti", "SELECT COUNT(*) FROM (" FOUND_KEYS " LIMIT $3) c");
SQL(ACCOUNT_TOTAL, "", "SELECT COUNT(*) FROM users");

/* A pattern that finds `search` as it stands anywhere in a text. */
static const char *
like_pattern(struct arena *a, const char *search)
{
	struct buf out;

	buf_init(&out, a, strlen(search) + 8);
	buf_chr(&out, '%');
	for (const char *p = search; *p; p++) {
		if (strchr("%_!", *p))
			buf_chr(&out, '!');
		buf_chr(&out, *p);
	}
	buf_chr(&out, '%');
	return buf_cstr(&out);
}

static struct account_row
row_of(const struct ctx *cx, const struct found *f)
{
	const struct account *a = &f->account;

	return (struct account_row){
		.id = a->id,
		.email = a->email,
		.full_name = a->full_name,
		.role = a->role,
		.is_active = a->is_active,
		.state = account_state(a, cx->now_us),
		.email_verified = a->email_verified_at != TIME_NONE,
		.created_at = a->created_at,
		.last_login_at = f->last_login_at,
	};
}

static enum err
total_of(struct ctx *cx, const struct account_filter *f, struct val pattern, struct val role, size_t on_page, int64_t *ret)
{
	int64_t before = (f->page - 1) * f->limit;

	if (on_page > 0 && (int64_t)on_page < f->limit) {
		*ret = before + (int64_t)on_page;
		return OK;
	}
	if (on_page == 0 && before == 0) {
		*ret = 0;
		return OK;
	}
	if (pattern.kind == VAL_NULL && role.kind == VAL_NULL)
		return db_int(cx, &ACCOUNT_TOTAL, ret);
	return db_int(cx, &ACCOUNT_COUNT, ret, pattern, role, V(PAGE_DEPTH_MAX + 1));
}

enum err
account_list(struct ctx *cx, const struct account_filter *f, struct list *ret, int64_t *ret_total)
{
	bool searched = f->search && f->search[0];
	struct val pattern = searched ? val_text(like_pattern(cx->arena, f->search)) : val_null();
	struct val role = f->role != ROLE_UNSET ? val_text(role_names[f->role]) : val_null();
	struct list found;
	int64_t total;

	if (f->page * f->limit > PAGE_DEPTH_MAX)
		return fail(cx, ERR_PAGE_TOO_DEEP, NULL);
	TRY(db_all(cx, &ACCOUNT_PAGE, &found_schema, &found, pattern, role, V(f->limit), V((f->page - 1) * f->limit)));
	TRY(total_of(cx, f, pattern, role, found.count, &total));
	struct account_row *rows = arena_new(cx->arena, struct account_row, found.count + 1);
	for (size_t i = 0; i < found.count; i++)
		rows[i] = row_of(cx, &((const struct found *)found.items)[i]);
	*ret = (struct list){rows, found.count};
	*ret_total = total;
	return OK;
}

SQL(ACCOUNT_ONE, "u", FOUND_COLUMNS " FROM users u" FOUND_REQUEST " WHERE u.id = $1");

enum err
account_get(struct ctx *cx, const char *id, struct account_row *ret)
{
	struct found f;

	TRY(db_one(cx, &ACCOUNT_ONE, &found_schema, &f, V(id)));
	*ret = row_of(cx, &f);
	return OK;
}
