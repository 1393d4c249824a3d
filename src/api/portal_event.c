/* Portal: events, for everybody who is signed in; made and changed by administrators. */
#include "api/lists.h"

#include "attendance/event.h"

struct event_query {
	int64_t from, to;
	int kind;
	int64_t limit;
};
static const char *const kind_names[] = {"", "event", "all", NULL};
static const struct field event_query_fields[] = {
	F(struct event_query, from, F_TIME, 0, 0, "Not before; default: 30 days ago"),
	F(struct event_query, to, F_TIME | F_DAY_END, 0, 0, "Not after; default: 90 days ahead"),
	F_ENUM(struct event_query, kind, 0, kind_names, "all: campus sessions too, for administrators"),
	LIMIT_FIELD(struct event_query),
};
static const struct schema event_query_schema = SCHEMA("EventQuery", struct event_query, event_query_fields);

struct event_list {
	struct list events;
};
static const struct field event_list_fields[] = {
	F_LIST(struct event_list, events, 0, &event_schema, "By time"),
};
static const struct schema event_list_schema = SCHEMA("EventList", struct event_list, event_list_fields);

static enum err
list_events(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct event_query *q = rq->query;
	int64_t from_us = field_or(q->from, cx->now_us - 30 * DAYS_US);
	int64_t to_us = field_or(q->to, cx->now_us + 90 * DAYS_US);
	bool all = q->kind == 2 && cx->actor->role == ROLE_ADMIN;
	struct event_list out;

	TRY(event_list(cx, from_us, to_us, all, field_or(q->limit, LIST_MAX), &out.events));
	return reply_record(rs, &event_list_schema, &out);
}

static enum err
get_event(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct event out;

	TRY(event_get(cx, rq->params[0], &out));
	return reply_record(rs, &event_schema, &out);
}

static enum err
create_event(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct event out;

	TRY(event_create(cx, rq->body, &out));
	return reply_record(rs, &event_schema, &out);
}

static enum err
change_event(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct event out;

	TRY(event_change(cx, rq->params[0], rq->body, &out));
	return reply_record(rs, &event_schema, &out);
}

static enum err
delete_event(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	TRY(event_delete(cx, rq->params[0]));
	return reply_empty(rs, 204);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/events",
		.handler = list_events,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.query = &event_query_schema,
		.reply = &event_list_schema,
		.status = 200,
		.tag = "events",
		.summary = "Events around now, or in a range"},
	{.method = GET,
		.path = "/api/events/{id}",
		.handler = get_event,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &event_schema,
		.status = 200,
		.tag = "events",
		.summary = "One event"},
	{.method = POST,
		.path = "/api/admin/events",
		.handler = create_event,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &event_new_schema,
		.reply = &event_schema,
		.status = 201,
		.idempotent = true,
		.fresh_session = true,
		.tag = "events",
		.summary = "Make an event",
		.text = "A time in the past is accepted.  Marks are taken until ends_at, and without one always."},
	{.method = PATCH,
		.path = "/api/admin/events/{id}",
		.handler = change_event,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &event_change_schema,
		.reply = &event_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "events",
		.summary = "Change an event",
		.text = "Members that are absent or null stay as they are."},
	{.method = DELETE,
		.path = "/api/admin/events/{id}",
		.handler = delete_event,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.status = 204,
		.fresh_session = true,
		.tag = "events",
		.summary = "Delete an event",
		.text = "Its records stay in the database; its codes and claims are good for nothing from now on."},
};
const struct route_table portal_event_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
