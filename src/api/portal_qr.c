/* Portal: codes.  A reply with a code in it is for administrators only and is not kept by anybody (no-store, not idempotent). */
#include "api/route.h"

#include "attendance/qr.h"
#include "core/conf.h"

enum { PNG_SCALE = 12 };

struct qr_new {
	struct uuid event_id;
};
static const struct field qr_new_fields[] = {
	F(struct qr_new, event_id, F_REQUIRED, 0, 0, "What the code marks"),
};
static const struct schema qr_new_schema = SCHEMA("QrNew", struct qr_new, qr_new_fields);

struct qr_active_reply {
	struct list sessions;
};
static const struct field qr_active_reply_fields[] = {
	F_LIST(struct qr_active_reply, sessions, 0, &qr_active_schema, "Newest first"),
};
static const struct schema qr_active_reply_schema = SCHEMA("QrActiveList", struct qr_active_reply, qr_active_reply_fields);

struct qr_revoked {
	struct uuid session_id;
	const char *status;
};
static const struct field qr_revoked_fields[] = {
	F(struct qr_revoked, session_id, 0, 0, 0, "The code's id"),
	F(struct qr_revoked, status, 0, 0, 0, "revoked"),
};
static const struct schema qr_revoked_schema = SCHEMA("QrRevoked", struct qr_revoked, qr_revoked_fields);

struct qr_revoked_all {
	int64_t revoked;
};
static const struct field qr_revoked_all_fields[] = {
	F(struct qr_revoked_all, revoked, 0, 0, 0, "How many live codes there were"),
};
static const struct schema qr_revoked_all_schema = SCHEMA("QrRevokedAll", struct qr_revoked_all, qr_revoked_all_fields);

static enum err
generate(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct qr_new *in = rq->body;
	struct qr_session out;

	TRY(qr_generate(cx, in->event_id.text, &out));
	return reply_record(rs, &qr_session_schema, &out);
}

static enum err
active(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct qr_active_reply out;

	(void)rq;
	TRY(qr_active_list(cx, &out.sessions));
	return reply_record(rs, &qr_active_reply_schema, &out);
}

static enum err
revoke(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct qr_revoked out = {.status = "revoked"};

	TRY(qr_revoke(cx, rq->params[0]));
	str_copy(out.session_id.text, sizeof(out.session_id.text), rq->params[0]);
	return reply_record(rs, &qr_revoked_schema, &out);
}

static enum err
revoke_all(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct qr_revoked_all out;

	(void)rq;
	TRY(qr_revoke_all(cx, &out.revoked));
	return reply_record(rs, &qr_revoked_all_schema, &out);
}

static enum err
image_svg(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const char *payload;
	struct span picture;

	TRY(qr_session_payload(cx, rq->params[0], &payload));
	TRY(qr_svg(cx, qr_link(cx, payload), &picture));
	return reply_bytes(rs, "image/svg+xml", picture);
}

static enum err
image_png(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const char *payload;
	struct span picture;

	TRY(qr_session_payload(cx, rq->params[0], &payload));
	TRY(qr_png(cx, qr_link(cx, payload), PNG_SCALE, &picture));
	return reply_bytes(rs, "image/png", picture);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/admin/qr-sessions",
		.handler = generate,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.limit = {{"qr_generate", 10, 60}, BY_ACCOUNT, offsetof(struct config, rl_qr_admin_limit)},
		.body = &qr_new_schema,
		.reply = &qr_session_schema,
		.status = 201,
		.errors = ERRORS(ERR_EVENT_NOT_FOUND, ERR_EVENT_NOT_OPEN),
		.no_store = true,
		.fresh_session = true,
		.tag = "codes",
		.summary = "Make a code for an event"},
	{.method = GET,
		.path = "/api/admin/qr-sessions/active",
		.handler = active,
		.access = ADMIN,
		.lane = LANE_READ,
		.reply = &qr_active_reply_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "codes",
		.summary = "Codes that are good now"},
	{.method = POST,
		.path = "/api/admin/qr-sessions/{id}/revoke",
		.handler = revoke,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.reply = &qr_revoked_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "codes",
		.summary = "Withdraw a code",
		.text = "Marks and claims made with it are refused from the next request on.  Doing it twice is no error."},
	{.method = POST,
		.path = "/api/admin/qr-sessions/revoke-all",
		.handler = revoke_all,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.reply = &qr_revoked_all_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "codes",
		.summary = "Withdraw every code"},
	{.method = GET,
		.path = "/api/admin/qr-sessions/{id}/image.svg",
		.handler = image_svg,
		.access = ADMIN,
		.lane = LANE_READ,
		.reply_type = "image/svg+xml",
		.status = 200,
		.errors = ERRORS(ERR_QR_REVOKED, ERR_QR_EXPIRED),
		.no_store = true,
		.fresh_session = true,
		.tag = "codes",
		.summary = "The code as a picture that scales"},
	{.method = GET,
		.path = "/api/admin/qr-sessions/{id}/image.png",
		.handler = image_png,
		.access = ADMIN,
		.lane = LANE_READ,
		.reply_type = "image/png",
		.status = 200,
		.errors = ERRORS(ERR_QR_REVOKED, ERR_QR_EXPIRED),
		.no_store = true,
		.fresh_session = true,
		.tag = "codes",
		.summary = "The code as a picture"},
};
const struct route_table portal_qr_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
