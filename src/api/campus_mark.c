/* Campus: students' marks. */
#include "api/route.h"

#include "attendance/mark.h"
#include "attendance/selfie.h"
#include "core/conf.h"

/* What a face and a bucket take is done before the mark's transaction. */
static enum err
mark_prepare(struct ctx *cx, struct request *rq)
{
	struct span pictures[LIVENESS_PICTURES];
	const struct selfie *selfie;

	for (int i = 0; i < rq->parts->n_files; i++)
		pictures[i] = rq->parts->files[i].bytes;
	TRY(selfie_prepare(cx, rq->body, pictures, rq->parts->n_files, &selfie));
	rq->prepared = (void *)selfie;
	return OK;
}

static enum err
mark(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct mark_in in = *(const struct mark_in *)rq->body;
	struct campus_mark_out out;

	in.selfie = rq->prepared;
	TRY(attendance_mark_campus(cx, &in, &out));
	return reply_record(rs, &campus_mark_out_schema, &out);
}

static size_t
mark_counts(struct ctx *cx, const void *body, struct limit_hit ret[LIMIT_HITS_MAX])
{
	const struct mark_in *in = body;

	return in->code && in->event_id ? typed_code_hits(cx, in->event_id, ret) : 0;
}

static void
mark_ahead(struct ctx *cx, const struct request *rq)
{
	attendance_mark_ahead(cx, rq->body);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/v1/student/attendance",
		.handler = mark,
		.ahead = mark_ahead,
		.access = STUDENT,
		.lane = LANE_WRITE,
		.count = {mark_counts, ERR_INVALID_QR, typed_code_refusal},
		.limit = {{"mark", 5, 60}, BY_ACCOUNT, offsetof(struct config, rl_mark_account_limit)},
		.body = &campus_mark_in_schema,
		.form = true,
		.files = {"selfie", 0, LIVENESS_PICTURES},
		.prepare = mark_prepare,
		.reply = &campus_mark_out_schema,
		.status = 201,
		.errors = ERRORS(ERR_INVALID_QR, ERR_INVALID_SIGNATURE, ERR_QR_REVOKED, ERR_QR_EXPIRED, ERR_EVENT_NOT_FOUND,
			ERR_EVENT_NOT_OPEN, ERR_SESSION_CLOSED, ERR_EVENT_FULL, ERR_NOT_ENROLLED, ERR_DUPLICATE_ATTENDANCE,
			ERR_NONCE_REUSED, ERR_INVALID_PROOF, ERR_CONFLICT, ERR_DEVICE_MISMATCH, ERR_OUTSIDE_GEOFENCE,
			ERR_NETWORK_NOT_ALLOWED, ERR_FACE_MISMATCH),
		.failure = AUDIT_ATTENDANCE_FAILED,
		.idempotent = true,
		.tag = "sessions",
		.summary = "Mark one's attendance at a session",
		.text = "With qr_session_id and qr_nonce, with qr_payload, with a claim, or with the typed code and the session's "
			"label.  Refusals say in details.layers what was checked.  What a check finds is flagged for review unless "
			"the session's policy says otherwise.  Where the session asks for faces, one selfie; where it asks for "
			"liveness, three, in the order of the challenge's poses, and liveness_challenge.  A selfie that is not "
			"asked for is dropped unseen."},
};
const struct route_table campus_mark_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
