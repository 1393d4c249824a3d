/* Campus: the code of a session, and the screens that show it.  Replies with a code are the owner's and are kept by nobody. */
#include "api/displays.h"

#include "attendance/display.h"
#include "attendance/session_qr.h"

static enum err
qr(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct session_code out;

	TRY(session_qr(cx, rq->params[0], &out));
	return reply_record(rs, &session_code_schema, &out);
}

static enum err
rotate(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct session_code out;

	TRY(session_rotate(cx, rq->params[0], &out));
	return reply_record(rs, &session_code_schema, &out);
}

static enum err
status(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct session_qr_status out;

	TRY(session_qr_state(cx, rq->params[0], &out));
	return reply_record(rs, &session_qr_status_schema, &out);
}

static enum err
make_display(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct session_code there;

	TRY(session_qr(cx, rq->params[0], &there)); /* ours, and not closed */
	return display_open_handler(cx, rq, rs);
}

static enum err
revoke_displays(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct campus_session there;

	TRY(campus_session_get(cx, rq->params[0], &there));
	return display_revoke_handler(cx, rq, rs);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/v1/lecturer/sessions/{id}/qr",
		.handler = qr,
		.access = LECTURER,
		.lane = LANE_READ,
		.reply = &session_code_schema,
		.status = 200,
		.errors = ERRORS(ERR_SESSION_CLOSED),
		.no_store = true,
		.tag = "sessions",
		.summary = "The code to show now",
		.text = "A function of the server's time: however many ask, all get the same.  Ask again at rotates_at; it stays "
			"good until expires_at."},
	{.method = POST,
		.path = "/api/v1/lecturer/sessions/{id}/qr/rotate",
		.handler = rotate,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.reply = &session_code_schema,
		.status = 200,
		.errors = ERRORS(ERR_SESSION_CLOSED),
		.no_store = true,
		.tag = "sessions",
		.summary = "Withdraw the present code and show another"},
	{.method = GET,
		.path = "/api/v1/lecturer/sessions/{id}/qr/status",
		.handler = status,
		.access = LECTURER,
		.lane = LANE_READ,
		.reply = &session_qr_status_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "Where the rotation stands"},
	{.method = POST,
		.path = "/api/v1/lecturer/sessions/{id}/display",
		.handler = make_display,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.reply = &display_schema,
		.status = 201,
		.errors = ERRORS(ERR_SESSION_CLOSED),
		.failure = AUDIT_QR_GENERATED,
		.no_store = true,
		.tag = "sessions",
		.summary = "A token for the screen in the room",
		.text = "It reads this session's frames and nothing else, on at most 3 screens at once, until the session ends, and is "
			"no login.  Give it to the page in the fragment of its address."},
	{.method = DELETE,
		.path = "/api/v1/lecturer/sessions/{id}/display",
		.handler = revoke_displays,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.reply = &displays_revoked_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "End every screen of a session",
		.text = "Its display tokens are withdrawn, and the screens go dark within a second."},
	{.method = GET,
		.path = "/api/v1/lecturer/sessions/{id}/frames",
		.handler = frames_handler,
		.access = ANYONE,
		.lane = LANE_WORK,
		.hall = true,
		.reply_type = "text/event-stream",
		.status = 200,
		.errors = ERRORS(ERR_NOT_AUTHENTICATED, ERR_TOKEN_REVOKED, ERR_FORBIDDEN, ERR_ACCESS_EXPIRED, ERR_EVENT_NOT_FOUND,
			ERR_EVENT_NOT_OPEN, ERR_CONFLICT),
		.no_store = true,
		.tag = "sessions",
		.summary = "What the screen in the room shows",
		.text = "Server-Sent Events, for the owner or with a display token as the bearer.  `event: frame`: the reply of `qr` "
			"with `count` and `server_time`, whenever the code changes.  `event: count`: `{count,latest}` with the last "
			"names, at most 4 a second.  `event: ended`: the session is over."},
};
const struct route_table campus_qr_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
