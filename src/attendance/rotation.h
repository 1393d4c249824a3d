/*
 * Codes of campus sessions: a pure function of server time.
 *
 * Time is cut into steps of rotate_seconds since the epoch.  A step's nonce is "<step in base 36>.<22 characters>", the latter an
 * HMAC (KEY_CODE) over session, generation and step; so an expired nonce can be told from a forged one, nothing is stored per
 * rotation, and any number of screens, tabs and nodes agree.  A code is good from its step's beginning until ROTATION_LEAD_S
 * after the step's end.
 */
#ifndef MUSTER_ATTENDANCE_ROTATION_H
#define MUSTER_ATTENDANCE_ROTATION_H

#include "attendance/qr.h"

enum { ROTATION_LEAD_S = 10, ROTATE_SECONDS_MIN = 2, ROTATE_SECONDS_MAX = 300, LABEL_CHARS = 4 };

struct rotation_step {
	int64_t step, begins_us, rotates_us, expires_us;
};
struct rotation_step rotation_at(int64_t at_us, int64_t rotate_seconds);
struct rotation_step rotation_step(int64_t step, int64_t rotate_seconds);

struct rotation { /* what a session's codes are made of */
	const char *session_id;
	int64_t generation, rotate_seconds;
};
struct key;
void rotation_nonce(const struct key *key, const struct rotation *r, int64_t step, char ret[QR_NONCE_MAX + 1]);

/* Is it of the form of a session's nonce?  Its step, unchecked but for having times. */
bool rotation_nonce_read(const char *nonce, int64_t *ret_step);
/* The MAC fits under a key of this server and this generation. */
bool rotation_nonce_fits(struct ctx *cx, const struct rotation *r, int64_t step, const char *nonce);
/*
 * The steps whose typed code this is, newest first, back to `oldest_us` and at most ROTATION_TYPED_MAX of them: the nonce of the
 * first that fits.
 */
enum { ROTATION_TYPED_MAX = 120 };
bool rotation_typed(struct ctx *cx, const struct rotation *r, const char *typed, int64_t oldest_us, char ret_nonce[QR_NONCE_MAX + 1],
	struct rotation_step *ret_step);

/* What stands where an event's id does: an id, made lower-case, or a session's label, made upper-case. */
bool event_ref_read(const char *text, char ret[ID_BYTES + 1]);
bool event_ref_is_label(const char *ref);
void label_random(const struct ctx *cx, char ret[LABEL_CHARS + 1]);

#endif
