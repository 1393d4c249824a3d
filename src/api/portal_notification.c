/* Portal: one's own notifications. */
#include "api/lists.h"

#include "notify/notify.h"

struct notification_query {
	enum tri unread;
	int64_t page, limit;
};
static const struct field notification_query_fields[] = {
	F(struct notification_query, unread, 0, 0, 0, "true: only unread ones"),
	PAGE_QUERY_FIELDS(struct notification_query),
};
static const struct schema notification_query_schema =
	SCHEMA("NotificationQuery", struct notification_query, notification_query_fields);

struct notification_page {
	struct list notifications;
	int64_t unread, total, page, limit;
};
static const struct field notification_page_fields[] = {
	F_LIST(struct notification_page, notifications, 0, &notification_schema, "Newest first"),
	F(struct notification_page, unread, 0, 0, 0, "How many are unread"),
	F(struct notification_page, total, 0, 0, 0, "How many there are in all pages"),
	PAGE_FIELDS(struct notification_page),
};
static const struct schema notification_page_schema =
	SCHEMA("NotificationPage", struct notification_page, notification_page_fields);

struct read_all_reply {
	int64_t updated;
};
static const struct field read_all_fields[] = {
	F(struct read_all_reply, updated, 0, 0, 0, "How many were unread"),
};
static const struct schema read_all_schema = SCHEMA("NotificationsRead", struct read_all_reply, read_all_fields);

static enum err
list_notifications(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct notification_query *q = rq->query;
	struct notification_page out;

	out.page = field_or(q->page, 1);
	out.limit = field_or(q->limit, PAGE_LIMIT_DEFAULT);
	TRY(notification_list(cx, q->unread == TRI_YES, out.page, out.limit, &out.notifications, &out.total, &out.unread));
	return reply_record(rs, &notification_page_schema, &out);
}

static enum err
read_one(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct notification out;

	TRY(notification_read(cx, rq->params[0], &out));
	return reply_record(rs, &notification_schema, &out);
}

static enum err
read_all(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct read_all_reply out;

	(void)rq;
	TRY(notification_read_all(cx, &out.updated));
	return reply_record(rs, &read_all_schema, &out);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/notifications",
		.handler = list_notifications,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.query = &notification_query_schema,
		.reply = &notification_page_schema,
		.status = 200,
		.errors = ERRORS(ERR_PAGE_TOO_DEEP),
		.tag = "notifications",
		.summary = "One's own notifications"},
	{.method = POST,
		.path = "/api/notifications/{id}/read",
		.handler = read_one,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.reply = &notification_schema,
		.status = 200,
		.tag = "notifications",
		.summary = "Mark one as read"},
	{.method = POST,
		.path = "/api/notifications/read-all",
		.handler = read_all,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.reply = &read_all_schema,
		.status = 200,
		.tag = "notifications",
		.summary = "Mark all as read"},
};
const struct route_table portal_notification_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
