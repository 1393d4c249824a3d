/*
 * Marking: one pipeline for portal and campus.
 *
 *	load    everything the verdict needs, in one statement
 *	judge   the ordered table of layers (attendance/layers/): pure functions over what was loaded
 *	write   attendance row, used nonce, verification log, audit row: a statement list in which each statement is conditional
 *	        on the one before, so that two simultaneous marks give one row whatever the engine
 */
#ifndef MUSTER_ATTENDANCE_MARK_H
#define MUSTER_ATTENDANCE_MARK_H

#include "attendance/qr.h"
#include "http/limit.h"
#include "attendance/session.h"

enum verdict { VERDICT_UNSET = 0, VERDICT_PASS, VERDICT_FLAG, VERDICT_REJECT, VERDICT_SKIP };

struct selfie; /* attendance/selfie.h */

/* Exactly one of qr_payload, qr_session_id with qr_nonce, claim, code.  What a route cannot carry counts as missing. */
struct mark_in {
	const char *qr_payload;
	const char *qr_session_id, *qr_nonce; /* a session's code in two parts */
	const char *claim, *proof;
	const char *code;
	const char *event_id;		      /* with code: an id, or a session's label */
	double latitude, longitude, accuracy; /* degrees, metres; NAN or 0, 0: not told */
	const char *imei;		      /* any stable id of the device */
	const char *device_challenge, *device_signature;
	const char *liveness_challenge;
	const struct selfie *selfie; /* no schema fills it */
	const char *tolerated;	     /* never read */
};
extern const struct schema mark_in_schema;	  /* the portal's */
extern const struct schema campus_mark_in_schema; /* campus' */

struct mark_event {
	struct uuid id;
	const char *title;
	int64_t scheduled_at;
};
struct mark_out {
	struct uuid attendance_id;
	struct mark_event event;
	int64_t marked_at;
	const char *message;
};
extern const struct schema mark_out_schema;
/*
 * In the write lane.  The errors and their order are the contract's §2.1: INVALID_QR INVALID_SIGNATURE QR_REVOKED QR_EXPIRED
 * EVENT_NOT_FOUND EVENT_NOT_OPEN SESSION_CLOSED EVENT_FULL NOT_ENROLLED DUPLICATE_ATTENDANCE (with attendance_id, marked_at)
 * NONCE_REUSED, INVALID_PROOF; wrong typed codes are INVALID_QR.
 */
enum err attendance_mark(struct ctx *cx, const struct mark_in *in, struct mark_out *ret) MUST_CHECK;
/* Before it, for all marks of a batch: says what it will read (store/db.h). */
void attendance_mark_ahead(struct ctx *cx, const struct mark_in *in);

/*
 * A row that takes typed codes counts the wrong ones by these: for the account, or for IP and event when nobody is signed in.  The
 * hits stay with the answer INVALID_QR.
 */
size_t typed_code_hits(struct ctx *cx, const char *event_ref, struct limit_hit ret[LIMIT_HITS_MAX]);
extern const char typed_code_refusal[]; /* what is said to who has none left */

struct campus_mark_out {
	struct uuid attendance_id;
	const char *status;
	struct campus_session session; /* as students see it */
	struct list layers;	       /* of struct layer_said */
	int64_t marked_at;
};
extern const struct schema campus_mark_out_schema;
/* The same for the campus surface; besides: DEVICE_MISMATCH OUTSIDE_GEOFENCE NETWORK_NOT_ALLOWED FACE_MISMATCH by policy. */
enum err attendance_mark_campus(struct ctx *cx, const struct mark_in *in, struct campus_mark_out *ret) MUST_CHECK;

struct mark_asks {
	struct uuid event_id;
	bool face, liveness; /* policy and models included */
};
/* What the session of this mark asks pictures for, on any lane but the write lane; nothing where the code leads to no session. */
enum err attendance_mark_asks(struct ctx *cx, const struct mark_in *in, struct mark_asks *ret) MUST_CHECK;

struct claim_in { /* qr_payload, or code with event_id (or a session's label) */
	const char *qr_payload, *code, *event_id;
	const char *public_key; /* JWK as JSON text; required in staging and prod */
};
extern const struct schema claim_in_schema;
struct claim_asks { /* what a mark needs besides the claim, lest it be flagged or refused */
	bool place, device, face, liveness;
};
struct claim_event {
	struct uuid id;
	const char *title, *kind; /* kind: "event", "session" */
	struct claim_asks asks;
};
struct claim_out {
	const char *claim;
	int64_t expires_at;
	struct claim_event event;
};
extern const struct schema claim_out_schema;
/* In the read lane: nothing is written. */
enum err attendance_claim(struct ctx *cx, const struct claim_in *in, struct claim_out *ret) MUST_CHECK;

#endif
