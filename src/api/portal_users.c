/* Portal: accounts, for administrators: who there is, and what each may do. */
#include "api/lists.h"

#include "identity/account_list.h"

struct user_query {
	const char *search;
	enum role role;
	int64_t page, limit;
};
static const struct field user_query_fields[] = {
	F(struct user_query, search, F_TRIM, 0, ACCOUNT_SEARCH_MAX, "Part of address or name; case does not matter"),
	F_ENUM(struct user_query, role, 0, role_names, "Only this role"),
	PAGE_QUERY_FIELDS(struct user_query),
};
static const struct schema user_query_schema = SCHEMA("UserQuery", struct user_query, user_query_fields);

struct user_page {
	struct list users;
	int64_t total, page, limit;
};
static const struct field user_page_fields[] = {
	F_LIST(struct user_page, users, 0, &account_row_schema, "Newest first"),
	F(struct user_page, total, 0, 0, 0, "How many there are in all pages; with a filter, 10001 means more than 10000"),
	PAGE_FIELDS(struct user_page),
};
static const struct schema user_page_schema = SCHEMA("UserPage", struct user_page, user_page_fields);

static enum err
list_users(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct user_query *q = rq->query;
	const struct account_filter f = {.search = q->search,
		.role = q->role,
		.page = field_or(q->page, 1),
		.limit = field_or(q->limit, PAGE_LIMIT_DEFAULT)};
	struct user_page out = {.page = f.page, .limit = f.limit};

	TRY(account_list(cx, &f, &out.users, &out.total));
	return reply_record(rs, &user_page_schema, &out);
}

static enum err
get_user(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct account_row out;

	TRY(account_get(cx, rq->params[0], &out));
	return reply_record(rs, &account_row_schema, &out);
}

struct user_change {
	enum role role;
	enum tri is_active;
};
static const struct field user_change_fields[] = {
	F_ENUM(struct user_change, role, 0, role_names, "New role; absent: as it is"),
	F(struct user_change, is_active, 0, 0, 0, "May sign in; absent: as it is"),
};
static const struct schema user_change_schema = SCHEMA("UserChange", struct user_change, user_change_fields);

static enum err
change_user(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct user_change *in = rq->body;
	struct account_row out;

	if (in->role == ROLE_UNSET && in->is_active == TRI_UNSET) {
		error_field(cx, "role", "give role, is_active or both");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	TRY(account_change(cx, rq->params[0], in->role, in->is_active));
	TRY(account_get(cx, rq->params[0], &out));
	return reply_record(rs, &account_row_schema, &out);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/admin/users",
		.handler = list_users,
		.access = ADMIN,
		.lane = LANE_READ,
		.query = &user_query_schema,
		.reply = &user_page_schema,
		.status = 200,
		.errors = ERRORS(ERR_PAGE_TOO_DEEP),
		.fresh_session = true,
		.tag = "administration",
		.summary = "Accounts, all or those that match"},
	{.method = GET,
		.path = "/api/admin/users/{id}",
		.handler = get_user,
		.access = ADMIN,
		.lane = LANE_READ,
		.reply = &account_row_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "administration",
		.summary = "One account"},
	{.method = PATCH,
		.path = "/api/admin/users/{id}",
		.handler = change_user,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &user_change_schema,
		.reply = &account_row_schema,
		.status = 200,
		.errors = ERRORS(ERR_LAST_ADMIN),
		.failure = AUDIT_ROLE_CHANGED,
		.fresh_session = true,
		.tag = "administration",
		.summary = "Change an account's role, or close and open it",
		.text = "In force at the account's next request; closing it ends its sessions.  One active administrator always "
			"stays."},
};
const struct route_table portal_user_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
