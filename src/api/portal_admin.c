/* Portal: what administrators decide and look up. */
#include "api/lists.h"

#include "identity/approval.h"

/* --- approval requests ---- */

enum { DECISION_APPROVED = 1, DECISION_REJECTED };
static const char *const decisions[] = {"", "approved", "rejected", NULL};

struct approval_query {
	int status;
	int64_t page, limit;
};
static const struct field approval_query_fields[] = {
	F_ENUM(struct approval_query, status, 0, approval_statuses, "Only these; default: all"),
	PAGE_QUERY_FIELDS(struct approval_query),
};
static const struct schema approval_query_schema = SCHEMA("ApprovalQuery", struct approval_query, approval_query_fields);

struct approval_page {
	struct list requests;
	bool mail_configured;
	int64_t total, page, limit;
};
static const struct field approval_page_fields[] = {
	F_LIST(struct approval_page, requests, 0, &approval_row_schema, "Newest first"),
	F(struct approval_page, mail_configured, 0, 0, 0, "Addresses can be proven: a signup is sent a link"),
	F(struct approval_page, total, 0, 0, 0, "How many there are in all pages"),
	PAGE_FIELDS(struct approval_page),
};
static const struct schema approval_page_schema = SCHEMA("ApprovalPage", struct approval_page, approval_page_fields);

static enum err
list_approvals(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct approval_query *q = rq->query;
	struct approval_page out = {.mail_configured = cx->srv->conf->smtp_url[0],
		.page = field_or(q->page, 1),
		.limit = field_or(q->limit, PAGE_LIMIT_DEFAULT)};

	TRY(approval_list(cx, q->status, out.page, out.limit, &out.requests, &out.total));
	return reply_record(rs, &approval_page_schema, &out);
}

struct decide_in {
	int decision;
	enum role approved_role;
	const char *rejection_reason;
};
static const struct field decide_in_fields[] = {
	F_ENUM(struct decide_in, decision, F_REQUIRED, decisions, "The decision"),
	F_ENUM(struct decide_in, approved_role, 0, role_names, "Default: the role asked for"),
	F(struct decide_in, rejection_reason, F_TRIM | F_MULTILINE, 0, TEXT_MAX_BYTES,
		"Told to the person; ignored when approved"),
};
static const struct schema decide_in_schema = SCHEMA("DecideIn", struct decide_in, decide_in_fields);

static const struct field decided_user_fields[] = {
	F(struct account, id, 0, 0, 0, "Account"),
	F(struct account, email, 0, 0, 0, "Its address"),
	F(struct account, full_name, 0, 0, 0, "Name"),
	F_ENUM(struct account, role, 0, role_names, "Role"),
	F(struct account, is_active, 0, 0, 0, "May sign in"),
};
static const struct schema decided_user_schema = SCHEMA("DecidedUser", struct account, decided_user_fields);

static const struct field decided_fields[] = {
	F(struct approval_decided, id, 0, 0, 0, "The request"),
	F(struct approval_decided, status, 0, 0, 0, "approved or rejected"),
	F(struct approval_decided, decided_at, F_TIME, 0, 0, "Now"),
	F(struct approval_decided, rejection_reason, F_NULLABLE, 0, 0, "What the person is told"),
	F_OBJ(struct approval_decided, user, &decided_user_schema, "The account"),
};
static const struct schema decided_schema = SCHEMA("Decided", struct approval_decided, decided_fields);

static enum err
decide(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct decide_in *body = rq->body;
	struct approval_decision in = {.approve = body->decision == DECISION_APPROVED,
		.role = body->approved_role,
		.rejection_reason = body->rejection_reason};
	struct approval_decided out;

	if (!uuid_canonical(rq->params[0], &in.id))
		return fail(cx, ERR_NOT_FOUND, NULL);
	TRY(approval_decide(cx, &in, &out));
	return reply_record(rs, &decided_schema, &out);
}

/* --- the audit trail ---- */

struct audit_query {
	int action;
	struct uuid user_id;
	int64_t from, to, page, limit;
};
static const struct field audit_query_fields[] = {
	F_ENUM(struct audit_query, action, 0, audit_action_names, "Only this action"),
	F(struct audit_query, user_id, 0, 0, 0, "Only what this account did"),
	F(struct audit_query, from, F_TIME, 0, 0, "Not before"),
	F(struct audit_query, to, F_TIME | F_DAY_END, 0, 0, "Not after; a date means all of that day"),
	PAGE_QUERY_FIELDS(struct audit_query),
};
static const struct schema audit_query_schema = SCHEMA("AuditQuery", struct audit_query, audit_query_fields);

struct audit_page {
	struct list logs;
	int64_t total, page, limit;
};
static const struct field audit_page_fields[] = {
	F_LIST(struct audit_page, logs, 0, &audit_row_schema, "Newest first"),
	F(struct audit_page, total, 0, 0, 0, "How many there are in all pages; with a filter, 10001 means more than 10000"),
	PAGE_FIELDS(struct audit_page),
};
static const struct schema audit_page_schema = SCHEMA("AuditPage", struct audit_page, audit_page_fields);

static enum err
list_audit(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct audit_query *q = rq->query;
	const struct audit_filter f = {.action = q->action,
		.user_id = q->user_id,
		.from_us = q->from,
		.to_us = q->to,
		.page = field_or(q->page, 1),
		.limit = field_or(q->limit, PAGE_LIMIT_DEFAULT)};
	struct audit_page out = {.page = f.page, .limit = f.limit};

	TRY(audit_list(cx, &f, &out.logs, &out.total));
	return reply_record(rs, &audit_page_schema, &out);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/admin/approval-requests",
		.handler = list_approvals,
		.access = ADMIN,
		.lane = LANE_READ,
		.query = &approval_query_schema,
		.reply = &approval_page_schema,
		.status = 200,
		.errors = ERRORS(ERR_PAGE_TOO_DEEP),
		.fresh_session = true,
		.tag = "administration",
		.summary = "Signups and their state"},
	{.method = POST,
		.path = "/api/admin/approval-requests/{id}/decide",
		.handler = decide,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &decide_in_schema,
		.reply = &decided_schema,
		.status = 200,
		.errors = ERRORS(ERR_APPROVAL_EXPIRED, ERR_ALREADY_DECIDED),
		.failure = AUDIT_APPROVAL_APPROVED,
		.idempotent = true,
		.fresh_session = true,
		.tag = "administration",
		.summary = "Approve or reject a signup",
		.text = "Of two administrators who decide at once, one wins; the other is told that it was decided."},
	{.method = GET,
		.path = "/api/admin/audit-logs",
		.handler = list_audit,
		.access = ADMIN,
		.lane = LANE_READ,
		.query = &audit_query_schema,
		.reply = &audit_page_schema,
		.status = 200,
		.errors = ERRORS(ERR_PAGE_TOO_DEEP),
		.fresh_session = true,
		.tag = "administration",
		.summary = "The audit trail"},
};
const struct route_table portal_admin_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
