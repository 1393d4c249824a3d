/*
 * Displays: screens in the room that show an event's present code and count; of a session, a lecturer may have them of his own.
 *
 * A display token (KEY_DISPLAY) opens the frames of one event and nothing else, is no login, and stands until the event's end, at most
 * 12 hours; a session's stands at least so long, since a session may be prolonged, and shows nothing once it is over.  Its row makes
 * it revocable.  Codes of sessions are computed (rotation.h); what follows is about portal events.  While a screen is connected, time
 * is cut into slots and each slot has one code, unique in the database, so that every node shows the same; it is good for
 * ROTATION_LEAD_S longer than it is shown.
 */
#ifndef MUSTER_ATTENDANCE_DISPLAY_H
#define MUSTER_ATTENDANCE_DISPLAY_H

#include "core/field.h"
#include "notify/live.h"

enum { DISPLAY_STREAMS_MAX = 3, DISPLAY_LIFE_H = 12, LATEST_NAMES = 5 };

struct display {
	const char *display_token;
	int64_t expires_at;
	int64_t streams; /* screens of this event on this node now */
};
extern const struct schema display_schema;
/* In the write lane.  ERR_EVENT_NOT_FOUND, ERR_EVENT_NOT_OPEN (over).  Audited. */
enum err display_open(struct ctx *cx, const char *event_id, struct display *ret) MUST_CHECK;
struct displays_revoked {
	int64_t revoked;
};
extern const struct schema displays_revoked_schema;
/* Every display of the event ends, within a second.  ERR_EVENT_NOT_FOUND. */
enum err display_revoke(struct ctx *cx, const char *event_id, struct displays_revoked *ret) MUST_CHECK;

/* Form, MAC and time, without the database: fills topic and token_id.  ERR_NOT_AUTHENTICATED. */
enum err display_verify(struct ctx *cx, const char *token, struct live_seat *ret) MUST_CHECK;
/* The token's row and its maker still stand: fills user_id.  ERR_TOKEN_REVOKED.  Needs cx->db. */
enum err display_stands(struct ctx *cx, struct live_seat *seat) MUST_CHECK;
/* The event takes marks: ERR_EVENT_NOT_FOUND, ERR_EVENT_NOT_OPEN.  Needs cx->db. */
enum err display_event_open(struct ctx *cx, const char *event_id) MUST_CHECK;

struct frame_event {
	struct uuid id;
	const char *title, *notes;
	int64_t scheduled_at, ends_at;
};
struct frame {
	struct uuid session_id; /* the code's id */
	const char *qr_payload, *code;
	int64_t issued_at, expires_at, rotates_at;
	struct frame_event event;
	int64_t count, server_time;
};
extern const struct schema frame_schema;

/*
 * One turn over every event that has a screen on this node: makes the code of the slot, sends frames and counts that are new, ends
 * what is over.  Counts go out at most every COUNT_EVERY_MS.  On a thread of its own, which may wait for the database; what
 * displays_open() gives belongs to that thread.
 */
enum { COUNT_EVERY_MS = 250, RECOUNT_EVERY_MS = 1000 };
struct displays;
struct displays *displays_open(void);
void displays_close(struct displays *d);
void displays_turn(struct ctx *cx, struct displays *d);

#endif
