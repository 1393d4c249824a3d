/* The present code of a session, for its owner's screen: computed (rotation.h), never stored. */
#ifndef MUSTER_ATTENDANCE_SESSION_QR_H
#define MUSTER_ATTENDANCE_SESSION_QR_H

#include "attendance/rotation.h"
#include "attendance/session.h"

struct code_session {
	struct uuid id;
	const char *title;
	int64_t starts_at, ends_at;
};
struct code_place {
	double latitude, longitude, geofence_radius_m;
};
struct session_code {
	struct uuid qr_session_id;
	const char *qr_nonce, *qr_payload, *code, *label;
	int64_t issued_at, expires_at, rotates_at;
	struct code_session session;
	struct session_course *course;
	struct session_lecturer lecturer;
	struct code_place *location; /* NULL: none */
	/* in frames only */
	int64_t count, server_time;
};
extern const struct schema session_code_schema, session_frame_schema;

/* ERR_NOT_FOUND, ERR_SESSION_CLOSED.  Before the beginning there are codes already; they do not mark yet. */
enum err session_qr(struct ctx *cx, const char *id, struct session_code *ret) MUST_CHECK;
/* The code of that session now, whatever its state. */
void session_code_of(struct ctx *cx, const struct campus_session *s, struct session_code *ret);
/* A new generation: the code on the screens dies at once; claims stay.  Audited. */
enum err session_rotate(struct ctx *cx, const char *id, struct session_code *ret) MUST_CHECK;

struct session_qr_status {
	bool active;
	int64_t generation, rotation_count, seconds_left, expires_at, rotates_at;
};
extern const struct schema session_qr_status_schema;
enum err session_qr_state(struct ctx *cx, const char *id, struct session_qr_status *ret) MUST_CHECK;

#endif
