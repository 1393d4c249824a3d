/*
 * Display tokens.  The row lies among the one-time secrets, which expire by the same job; it is looked up by its id, the token's
 * jti, so its hash is only there to be unique.
 */
#include "attendance/display.h"

#include <string.h>

#include "attendance/session.h"
#include "audit/audit.h"
#include "core/json.h"
#include "core/jws.h"
#include "core/keys.h"
#include "store/bus.h"
#include "store/db.h"

static const char display_typ[] = "display";

static const struct field display_fields[] = {
	F(struct display, display_token, F_SECRET, 0, 0, "Bearer of the event's frames, for the page on the screen; no login"),
	F(struct display, expires_at, F_TIME, 0, 0,
		"Its end: the event's, at most 12 hours from now; of a session at least 12 hours from now, but it shows nothing once the session is over"),
	F(struct display, streams, 0, 0, 0, "How many screens show this event now"),
};
const struct schema display_schema = SCHEMA("Display", struct display, display_fields);
static const struct field displays_revoked_fields[] = {
	F(struct displays_revoked, revoked, 0, 0, 0, "How many display tokens there were"),
};
const struct schema displays_revoked_schema = SCHEMA("DisplaysRevoked", struct displays_revoked, displays_revoked_fields);

struct display_event {
	const char *kind;
	int64_t ends_at, closed_at;
};
static const struct field display_event_fields[] = {
	F(struct display_event, kind, 0, 0, 0, NULL),
	F(struct display_event, ends_at, F_TIME, 0, 0, NULL),
	F(struct display_event, closed_at, F_TIME, 0, 0, NULL),
};
static const struct schema display_event_schema = SCHEMA("DisplayEvent", struct display_event, display_event_fields);

/* Lecturers have screens of their own sessions. */
SQL(DISPLAY_EVENT, "uu",
	"SELECT kind, ends_at, closed_at FROM events WHERE id = $1 AND NOT is_deleted"
	"{?2 AND kind = 'session' AND owner_id = $2}");

static enum err
find_open_event(struct ctx *cx, const char *event_id, struct display_event *ret)
{
	const char *owner = cx->actor ? owner_only(cx) : NULL;
	bool found;

	TRY(db_find(cx, &DISPLAY_EVENT, &display_event_schema, ret, &found, V(event_id), V(owner)));
	if (!found)
		return fail(cx, ERR_EVENT_NOT_FOUND, NULL);
	if ((ret->ends_at != TIME_NONE && ret->ends_at <= cx->now_us) || ret->closed_at != TIME_NONE)
		return fail(cx, ERR_EVENT_NOT_OPEN, "The event is over; it takes no more marks.");
	return OK;
}

enum err
display_event_open(struct ctx *cx, const char *event_id)
{
	struct display_event event;

	return find_open_event(cx, event_id, &event);
}

static const char *
token_make(struct ctx *cx, const char *event_id, const char *id, int64_t expires_at)
{
	struct json j;
	struct buf out;

	buf_init(&out, cx->arena, 256);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "typ", display_typ);
	json_str(&j, "evt", event_id);
	json_str(&j, "jti", id);
	json_int(&j, "iat", cx->now_us / SECONDS_US);
	json_int(&j, "exp", expires_at / SECONDS_US);
	json_obj_end(&j);
	return jws_sign(cx->arena, key_current(cx->srv->keys, KEY_DISPLAY), display_typ, buf_cstr(&out));
}

SQL(DISPLAY_INSERT, "uutttmm",
	"INSERT INTO one_time_secrets (id, purpose, user_id, secret_hash, key_id, binding, data, created_at, expires_at)"
	" VALUES ($1, 'display', $2, $3, $4, '', $5, $6, $7)");

enum err
display_open(struct ctx *cx, const char *event_id, struct display *ret)
{
	struct display_event event;
	struct uuid id = new_id(cx);
	int64_t expires_at = (cx->now_us / SECONDS_US) * SECONDS_US + DISPLAY_LIFE_H * HOURS_US;

	TRY(find_open_event(cx, event_id, &event));
	/* A session may be prolonged; of one that is over display_event_open() shows nothing. */
	if (event.ends_at != TIME_NONE && (event.ends_at < expires_at) != str_eq(event.kind, "session"))
		expires_at = event.ends_at;
	TRY(db_exec(cx, &DISPLAY_INSERT, NULL, V_ID(id), V_ID(cx->actor->user_id), V(id.text),
		V(key_current(cx->srv->keys, KEY_DISPLAY)->id), V(event_id), V(cx->now_us), V(expires_at)));
	TRY(audit_ok(cx, AUDIT_QR_GENERATED, "display", id.text, AUDIT_TEXT("event_id", event_id)));
	*ret = (struct display){
		.display_token = token_make(cx, event_id, id.text, expires_at),
		.expires_at = expires_at,
		.streams = cx->srv->live ? live_count(cx->srv->live, LIVE_EVENT, event_id, true) : 0,
	};
	return OK;
}

SQL(DISPLAY_EVENT_EXISTS, "uu",
	"SELECT 1 FROM events WHERE id = $1 AND NOT is_deleted{?2 AND kind = 'session' AND owner_id = $2}");
SQL(DISPLAY_REVOKE, "tm",
	"UPDATE one_time_secrets SET used_at = $2 WHERE purpose = 'display' AND data = $1 AND used_at IS NULL AND expires_at > "
	"$2");

static void
poke(void *live)
{
	live_poke(live);
}

enum err
display_revoke(struct ctx *cx, const char *event_id, struct displays_revoked *ret)
{
	int64_t exists, rows;

	TRY(db_int(cx, &DISPLAY_EVENT_EXISTS, &exists, V(event_id), V(owner_only(cx))));
	if (!exists)
		return fail(cx, ERR_EVENT_NOT_FOUND, NULL);
	TRY(db_exec(cx, &DISPLAY_REVOKE, &rows, V(event_id), V(cx->now_us)));
	if (rows)
		TRY(audit_ok(cx, AUDIT_QR_REVOKED, "display", NULL, AUDIT_TEXT("event_id", event_id), AUDIT_INT("count", rows)));
	if (cx->srv->live)
		db_on_commit(cx, poke, cx->srv->live);
	bus_tell(cx, NEWS_DISPLAY, event_id, NULL);
	ret->revoked = rows;
	return OK;
}

enum err
display_verify(struct ctx *cx, const char *token, struct live_seat *ret)
{
	struct live_seat seat = {.kind = LIVE_EVENT};
	struct span claims;
	char typ[16];
	int64_t expires_s;

	if (strnlen(token, TOKEN_MAX + 1) > TOKEN_MAX ||
		!jws_verify(cx->arena, cx->srv->keys, KEY_DISPLAY, display_typ, token, &claims) ||
		!claim_text(claims, "typ", typ, sizeof(typ)) || strcmp(typ, display_typ) != 0 ||
		!claim_text(claims, "evt", seat.topic.text, sizeof(seat.topic.text)) || !uuid_valid(seat.topic.text) ||
		!claim_text(claims, "jti", seat.token_id.text, sizeof(seat.token_id.text)) || !uuid_valid(seat.token_id.text) ||
		!claim_int(claims, "exp", &expires_s) || expires_s <= cx->now_us / SECONDS_US)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	*ret = seat;
	return OK;
}

struct display_row {
	struct uuid user_id;
};
static const struct field display_row_fields[] = {
	F(struct display_row, user_id, 0, 0, 0, NULL),
};
static const struct schema display_row_schema = SCHEMA("DisplayRow", struct display_row, display_row_fields);

SQL(DISPLAY_STANDS, "utmu",
	"SELECT s.user_id FROM one_time_secrets s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.purpose = 'display'"
	" AND s.data = $2 AND s.used_at IS NULL AND s.expires_at > $3 AND u.is_active AND (u.role = 'admin'"
	" OR (u.role = 'lecturer' AND EXISTS (SELECT 1 FROM events e WHERE e.id = $4 AND e.owner_id = u.id)))");

enum err
display_stands(struct ctx *cx, struct live_seat *seat)
{
	struct display_row row;
	bool found;

	TRY(db_find(
		cx, &DISPLAY_STANDS, &display_row_schema, &row, &found, V_ID(seat->token_id), V_ID(seat->topic), V(cx->now_us),
		V_ID(seat->topic)));
	if (!found)
		return fail(cx, ERR_TOKEN_REVOKED, NULL);
	seat->user_id = row.user_id;
	return OK;
}
