/*
 * Portal: what goes on: one's notifications as they come, and an event's frames on the screen of a room.
 *
 * Frames open by an administrator's access token or by a display token, so their row is for anyone and the handler looks at the
 * bearer itself; a display token is good for nothing else, since nothing else asks for its key.
 */
#include <string.h>

#include "api/call.h"
#include "api/displays.h"
#include "attendance/display.h"
#include "identity/session.h"
#include "notify/live.h"
#include "notify/notify.h"
#include "store/db.h"

enum { ACCOUNT_STREAMS_MAX = 10 };

/* Tells the client how soon to come back, and everything between that there is a stream. */
static const char opening[] = "retry: 2000\n\n";

static struct live_seat
seat_of_session(const struct actor *who, enum live_kind kind, const char *topic)
{
	struct live_seat seat = {.kind = kind, .user_id = who->user_id, .session_id = who->session_id, .role = who->role};

	str_copy(seat.topic.text, sizeof(seat.topic.text), topic);
	return seat;
}

/* An error after this must abandon the stream. */
static enum err
join(struct ctx *cx, const struct live_seat *seat, int max, const char *too_many, struct stream **ret)
{
	struct stream *st;

	if (!cx->srv->live)
		return fail_internal(cx, ERR_UNAVAILABLE, "there is no hub");
	st = stream_new();
	stream_send(st, SPAN_LIT(opening));
	if (!live_join(cx->srv->live, st, seat, max)) {
		stream_release(st);
		return fail(cx, ERR_CONFLICT, "%s", too_many);
	}
	*ret = st;
	return OK;
}

/* --- notifications --------------------------------------------------------------------------------------------------------- */

static enum err
send_missed(struct ctx *cx, const char *last_id, struct stream *st)
{
	struct list list;
	struct uuid id;

	if (!last_id || !uuid_canonical(last_id, &id) || uuid_v7_time_us(id.text) < 0)
		return OK;
	TRY(notification_missed(cx, id.text, &list));
	const struct notification *rows = list.items;
	for (size_t i = 0; i < list.count; i++)
		stream_send_backlog(st, notification_event(cx, &rows[i]));
	return OK;
}

/* Listens first and reads then: what is committed between comes twice, and nothing is lost. */
static enum err
notification_stream(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct live_seat seat = seat_of_session(cx->actor, LIVE_ACCOUNT, cx->actor->user_id.text);
	int max = cx->srv->conf->rate_limit_enabled ? ACCOUNT_STREAMS_MAX : 0;
	struct stream *st;

	TRY(join(cx, &seat, max, "This account listens in too many places already.", &st));
	enum err e = send_missed(cx, request_header(rq, "Last-Event-ID"), st);
	if (e != OK) {
		stream_abandon(st);
		return e;
	}
	return reply_stream(rs, st);
}

/* --- displays --------------------------------------------------------------------------------------------------------------- */

enum err
display_open_handler(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct display out;

	TRY(display_open(cx, rq->params[0], &out));
	return reply_record(rs, &display_schema, &out);
}

enum err
display_revoke_handler(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct displays_revoked out;

	TRY(display_revoke(cx, rq->params[0], &out));
	return reply_record(rs, &displays_revoked_schema, &out);
}

struct opening_frames {
	const char *event_id;
	struct live_seat *seat;
};

static enum err
look_before_frames(struct ctx *cx, void *arg)
{
	const struct opening_frames *o = arg;

	if (o->seat->token_id.text[0])
		TRY(display_stands(cx, o->seat));
	return display_event_open(cx, o->event_id);
}

/* Codes will be shown without a display token: this is their trace. */
static enum err
audit_frames(struct ctx *cx, void *arg)
{
	const struct opening_frames *o = arg;

	return audit_ok(cx, AUDIT_QR_GENERATED, "display", NULL, AUDIT_TEXT("event_id", o->event_id));
}

static enum err
who_opens_frames(struct ctx *cx, const struct request *rq, struct live_seat *ret)
{
	const char *bearer = bearer_token(request_header(rq, "Authorization"));
	struct access_claims claims;

	if (cx->actor) {
		if (cx->actor->role != ROLE_ADMIN && cx->actor->role != ROLE_LECTURER)
			return fail(cx, ERR_FORBIDDEN, NULL);
		*ret = seat_of_session(cx->actor, LIVE_EVENT, rq->params[0]);
		return OK;
	}
	if (display_verify(cx, bearer ? bearer : "", ret) == OK)
		return strcmp(ret->topic.text, rq->params[0]) == 0 ? OK : fail(cx, ERR_FORBIDDEN, NULL);
	/* Neither: say what is wrong with it as an access token, so that a page knows to refresh. */
	error_clear(cx);
	TRY(access_verify(cx, bearer ? bearer : "", &claims));
	return fail(cx, ERR_TOKEN_REVOKED, NULL);
}

enum err
frames_handler(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct live_seat seat;
	struct opening_frames o = {rq->params[0], &seat};
	struct stream *st;

	TRY(who_opens_frames(cx, rq, &seat));
	TRY(db_read(cx, look_before_frames, &o));
	TRY(join(cx, &seat, seat.token_id.text[0] ? DISPLAY_STREAMS_MAX : ACCOUNT_STREAMS_MAX,
		"As many screens as may show this are connected already.", &st));
	if (cx->actor) {
		enum err e = db_write(cx, audit_frames, &o);
		if (e != OK) {
			stream_abandon(st);
			return e;
		}
	}
	live_poke(cx->srv->live);
	return reply_stream(rs, st);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/notifications/stream",
		.handler = notification_stream,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply_type = "text/event-stream",
		.status = 200,
		.errors = ERRORS(ERR_CONFLICT),
		.no_store = true,
		.tag = "notifications",
		.summary = "One's notifications as they come",
		.text = "Server-Sent Events.  `event: notification` with `id:` and, as data, what the list shows.  With "
			"`Last-Event-ID` those from 10 s before that id come first: drop the ids that you know.  A comment "
			"line comes every 15 s.  The stream ends with its session; a listener 64 KB behind is cut.  The token "
			"goes into the header, never into the address."},
	{.method = POST,
		.path = "/api/admin/events/{id}/display",
		.handler = display_open_handler,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.reply = &display_schema,
		.status = 201,
		.errors = ERRORS(ERR_EVENT_NOT_FOUND, ERR_EVENT_NOT_OPEN),
		.failure = AUDIT_QR_GENERATED,
		.no_store = true,
		.fresh_session = true,
		.tag = "codes",
		.summary = "A token for the screen in the room",
		.text = "It reads this event's frames and nothing else, on at most 3 screens at once, until the event's end "
			"and at most for 12 hours.  Give it to the page in the fragment of its address."},
	{.method = DELETE,
		.path = "/api/admin/events/{id}/display",
		.handler = display_revoke_handler,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.reply = &displays_revoked_schema,
		.status = 200,
		.errors = ERRORS(ERR_EVENT_NOT_FOUND),
		.fresh_session = true,
		.tag = "codes",
		.summary = "End every screen of an event",
		.text = "Its display tokens are withdrawn, and the screens go dark within a second.  Codes that are out stay "
			"good until they expire; withdraw them apart."},
	{.method = GET,
		.path = "/api/admin/events/{id}/frames",
		.handler = frames_handler,
		.access = ANYONE,
		.lane = LANE_WORK,
		.hall = true,
		.reply_type = "text/event-stream",
		.status = 200,
		.errors = ERRORS(ERR_NOT_AUTHENTICATED, ERR_TOKEN_REVOKED, ERR_FORBIDDEN, ERR_ACCESS_EXPIRED, ERR_EVENT_NOT_FOUND,
			ERR_EVENT_NOT_OPEN, ERR_CONFLICT),
		.no_store = true,
		.tag = "codes",
		.summary = "What the screen in the room shows",
		.text = "Server-Sent Events, for an administrator or with a display token as the bearer.  `event: frame`: the "
			"present code with its picture's text, `count` and `server_time`; the next one comes 10 s before it "
			"expires.  `event: count`: `{count,latest}` with the last names, at most 4 a second.  `event: ended`: "
			"the event is over."},
};
const struct route_table portal_stream_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
