/* Campus: a student's face, and the selfies of marks.  What takes a helper or storage is done in prepare, or on the work lane. */
#include "api/route.h"

#include "attendance/selfie.h"

/* --- enrolment ---- */

static enum err
enrol_prepare(struct ctx *cx, struct request *rq)
{
	struct span pictures[FACE_PICTURES_MAX];
	struct face_pictures *seen;

	for (int i = 0; i < rq->parts->n_files; i++)
		pictures[i] = rq->parts->files[i].bytes;
	TRY(face_enrol_prepare(cx, rq->body, pictures, rq->parts->n_files, &seen));
	rq->prepared = seen;
	return OK;
}

static enum err
enrol(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct face_out out;

	TRY(face_enrol(cx, rq->body, rq->prepared, &out));
	return reply_record(rs, &face_out_schema, &out);
}

/* --- comparison ---- */

static const struct field nothing_fields[] = {{0}};
static const struct schema nothing_schema = {.name = "FaceVerifyIn", .fields = nothing_fields, .count = 0, .size = 1};

static enum err
verify_prepare(struct ctx *cx, struct request *rq)
{
	struct face_check *check;

	TRY(face_verify_prepare(cx, rq->parts->files[0].bytes, &check));
	rq->prepared = check;
	return OK;
}

static enum err
verify(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	TRY(face_verify_write(cx, rq->prepared));
	return reply_record(rs, &face_check_schema, rq->prepared);
}

static enum err
forget(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)rq;
	TRY(face_delete(cx));
	return reply_empty(rs, 204);
}

/* --- liveness ---- */

static enum err
ask_liveness(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct liveness_ask out;

	TRY(liveness_ask(cx, rq->query, &out));
	return reply_record(rs, &liveness_ask_schema, &out);
}

/* --- selfies ---- */

static enum err
show_selfie(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const char *type;
	struct span bytes;

	TRY(selfie_read(cx, rq->params[0], &type, &bytes));
	reply_header(rs, "Cache-Control", "private, no-store");
	reply_header(rs, "Content-Disposition", "inline");
	return reply_bytes(rs, type, bytes);
}

/* The rows differ in who may. */
#define SHOW_SELFIE                                                                                                                \
	.handler = show_selfie, .lane = LANE_WORK, .reply_type = "image/jpeg", .status = 200, .errors = ERRORS(ERR_NOT_FOUND)

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/v1/student/enroll-face",
		.handler = enrol,
		.access = STUDENT,
		.lane = LANE_WRITE,
		.limit = {{"face", 10, 600}, BY_ACCOUNT, offsetof(struct config, rl_face_account_limit)},
		.body = &face_in_schema,
		.form = true,
		.files = {"file", 1, FACE_PICTURES_MAX},
		.prepare = enrol_prepare,
		.reply = &face_out_schema,
		.status = 201,
		.errors = ERRORS(ERR_CONSENT_REQUIRED, ERR_FACE_UNAVAILABLE, ERR_FACE_MISMATCH),
		.failure = AUDIT_FACE_ENROLLED,
		.tag = "faces",
		.summary = "Enrol one's face from one to three pictures",
		.text = "Each picture must show one face, well lit, sharp and looking at the camera.  Only templates are kept, sealed; the "
			"pictures are not.  Enrolling again replaces the templates, if it is the same face."},
	{.method = POST,
		.path = "/api/v1/student/verify-face",
		.handler = verify,
		.access = STUDENT,
		.lane = LANE_WRITE,
		.limit = {{"face", 10, 600}, BY_ACCOUNT, offsetof(struct config, rl_face_account_limit)},
		.body = &nothing_schema,
		.form = true,
		.files = {"file", 1, 1},
		.prepare = verify_prepare,
		.reply = &face_check_schema,
		.status = 200,
		.errors = ERRORS(ERR_FACE_UNAVAILABLE, ERR_CONFLICT),
		.failure = AUDIT_FACE_VERIFIED,
		.tag = "faces",
		.summary = "Compare a picture with one's enrolled face",
		.text = "The picture is not kept."},
	{.method = DELETE,
		.path = "/api/v1/student/face",
		.handler = forget,
		.access = STUDENT,
		.lane = LANE_WORK,
		.status = 204,
		.tag = "faces",
		.summary = "Delete one's face: templates and selfies"},
	{.method = GET,
		.path = "/api/v1/student/liveness",
		.handler = ask_liveness,
		.access = STUDENT,
		.lane = LANE_READ,
		.limit = {{"liveness", 10, 60}, BY_ACCOUNT, 0},
		.query = &liveness_query_schema,
		.reply = &liveness_ask_schema,
		.status = 200,
		.errors = ERRORS(ERR_EVENT_NOT_FOUND),
		.no_store = true,
		.tag = "faces",
		.summary = "Ask what pictures a session wants, and for its liveness challenge",
		.text = "The challenge is good for 60 seconds, for this student and session and for one mark: send three selfies in the order "
			"of poses, not mirrored, and liveness_challenge.  It shows that somebody turned a head, and is no proof of life."},
	{.method = GET,
		.path = "/api/v1/lecturer/attendance/{id}/selfie",
		SHOW_SELFIE,
		.access = LECTURER,
		.tag = "sessions",
		.summary = "See the selfie of a mark",
		.text = "For the owner of the session and administrators; each look is audited.  JPEG or PNG, as it was sent."},
	{.method = GET,
		.path = "/api/v1/admin/attendance/{id}/selfie",
		SHOW_SELFIE,
		.access = REVIEWER,
		.tag = "review",
		.summary = "See the selfie of a mark in any session",
		.text = "For those who decide about it; each look is audited."},
};
const struct route_table campus_face_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
