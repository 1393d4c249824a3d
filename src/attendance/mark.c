/*
 * Load, judge, write.
 *
 * What is written is conditional on the first row, and that one on the unique key of (event, student): of two simultaneous marks
 * the second inserts nothing, and a fresh load then tells it why.  Any failure after a write undoes the unit of work, so a place
 * that was taken is given back with it.  Counts and notifications are a job's work: two students' marks touch no common row, but
 * for events that have a capacity.
 */
#include "attendance/mark.h"

#include <string.h>

#include "attendance/case.h"
#include "attendance/count.h"
#include "attendance/history.h"
#include "attendance/measure.h"
#include "attendance/rotation.h"
#include "audit/audit.h"
#include "core/metrics.h"
#include "notify/live.h"
#include "store/db.h"

static const struct field mark_in_fields[] = {
	F(struct mark_in, qr_payload, 0, 0, TOKEN_MAX, "What the QR picture says, with or without its URL"),
	F(struct mark_in, claim, F_SECRET, 0, TOKEN_MAX, "A claim made when the code was scanned"),
	F(struct mark_in, proof, F_SECRET, 0, 128,
		"base64url r‖s of ES256 over the claim's characters, by the key it was made with"),
	F(struct mark_in, code, 0, 0, 64, "The typed short code; needs event_id"),
	F(struct mark_in, event_id, 0, LABEL_CHARS, ID_BYTES, "The event of a typed code, or a session's label"),
};
const struct schema mark_in_schema = SCHEMA("MarkIn", struct mark_in, mark_in_fields);
static const struct field mark_event_fields[] = {
	F(struct mark_event, id, 0, 0, 0, "Event"),
	F(struct mark_event, title, 0, 0, 0, "Its title"),
	F(struct mark_event, scheduled_at, F_TIME, 0, 0, "When it begins"),
};
static const struct schema mark_event_schema = SCHEMA("MarkEvent", struct mark_event, mark_event_fields);
static const struct field mark_out_fields[] = {
	F(struct mark_out, attendance_id, 0, 0, 0, "The record"),
	F_OBJ(struct mark_out, event, &mark_event_schema, "What was marked"),
	F(struct mark_out, marked_at, F_TIME, 0, 0, "When the code was presented"),
	F(struct mark_out, message, 0, 0, 0, "A sentence for the student"),
};
const struct schema mark_out_schema = SCHEMA("MarkOut", struct mark_out, mark_out_fields);

static const struct field campus_mark_in_fields[] = {
	F(struct mark_in, qr_session_id, 0, 0, 64, "The session's id; with qr_nonce"),
	F(struct mark_in, qr_nonce, 0, 0, 64, "Its present nonce"),
	F(struct mark_in, qr_payload, 0, 0, TOKEN_MAX, "Instead: what the QR picture says, with or without its URL"),
	F(struct mark_in, claim, F_SECRET, 0, TOKEN_MAX, "Instead: a claim made when the code was scanned"),
	F(struct mark_in, proof, F_SECRET, 0, 128,
		"base64url r‖s of ES256 over the claim's characters, by the key it was made with"),
	F(struct mark_in, code, 0, 0, 64, "Instead, with event_id: the typed short code; without event_id it is ignored"),
	F(struct mark_in, event_id, 0, LABEL_CHARS, ID_BYTES, "The session of a typed code, or its label"),
	F(struct mark_in, latitude, 0, -90, 90, "Where the student is, degrees north"),
	F(struct mark_in, longitude, 0, -180, 180, "Degrees east"),
	F(struct mark_in, accuracy, 0, 0, 1000000, "How exact that is, metres"),
	F(struct mark_in, imei, F_SECRET | F_TRIM, 1, 200, "Any stable id of the device"),
	F(struct mark_in, device_challenge, F_SECRET, 0, TOKEN_MAX, "Challenge that the device was given"),
	F(struct mark_in, device_signature, F_SECRET, 0, 128,
		"base64url r‖s over SHA-256(challenge ‖ 0x00 ‖ payload or claim)"),
	F(struct mark_in, liveness_challenge, F_SECRET, 0, TOKEN_MAX, "Challenge that the three selfies answer"),
	{.name = "classroom_photo", .offset = offsetof(struct mark_in, tolerated), .flags = F_TOLERATED, .kind = K_TEXT,
		.text = "Ignored"},
};
const struct schema campus_mark_in_schema = SCHEMA("CampusMarkIn", struct mark_in, campus_mark_in_fields);
static const struct field campus_mark_out_fields[] = {
	F(struct campus_mark_out, attendance_id, 0, 0, 0, "The record"),
	F(struct campus_mark_out, status, 0, 0, 0, "present, late, or flagged: it will be reviewed"),
	F_OBJ(struct campus_mark_out, session, &session_student_schema, "What was marked"),
	F_LIST(struct campus_mark_out, layers, 0, &layer_said_schema, "What was checked, in order"),
	F(struct campus_mark_out, marked_at, F_TIME, 0, 0, "When the code was presented"),
};
const struct schema campus_mark_out_schema = SCHEMA("CampusMarkOut", struct campus_mark_out, campus_mark_out_fields);

#define MARK_COLUMNS                                                                                          \
	"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at,"  \
	" recorded_at, qr_session_id, nonce, flags, distance_m) SELECT $1, e.id, $2, $3, $4, $5, $6, $7, "
#define MARK_ONCE                                                                                                  \
	" AND NOT EXISTS (SELECT 1 FROM spent_claims s WHERE s.claim_id = $10{+ OFFSET 0}) ON CONFLICT (event_id, user_id) DO" \
	" NOTHING"
SQL(MARK_INSERT, "uutttmmutui",
	MARK_COLUMNS "q.id, q.token, $9, $11 FROM {+@ CROSS JOIN }qr_sessions q JOIN events e ON e.id = q.event_id"
		     " WHERE q.id = $8 AND NOT q.is_revoked AND NOT e.is_deleted" MARK_ONCE);
/* $12 is the nonce, $13 the label that the code had: as long as it stands, the code was not withdrawn. */
SQL(MARK_SESSION, "uutttmmutuitt",
	MARK_COLUMNS "e.id, $12, $9, $11 FROM {+@ CROSS JOIN }events e WHERE e.id = $8 AND e.label = $13 AND NOT e.is_deleted"
		     " AND (e.closed_at IS NULL OR e.closed_at > $6)" MARK_ONCE);
SQL(MARK_REPLACE, "utmmutti",
	"UPDATE attendance_records SET status = $2, marked_at = $3, recorded_at = $4, changed_at = $4, qr_session_id = $5,"
	" method = $6, flags = $7, distance_m = $8, reason = NULL, marked_by = NULL"
	" WHERE id = $1 AND status = 'absent' AND original_status = 'absent'");
SQL(MARK_NONCE, "tuumu",
	"INSERT INTO used_nonces (nonce, user_id, event_id, used_at) SELECT $1, $2, $3, $4{+ FROM @}"
	" WHERE EXISTS (SELECT 1 FROM attendance_records WHERE id = $5{+ OFFSET 0}) ON CONFLICT (nonce, user_id) DO NOTHING");
SQL(MARK_LAYERS, "utm",
	"INSERT INTO verification_logs (attendance_id, layers, created_at) SELECT $1, $2, $3{+ FROM @}"
	" WHERE EXISTS (SELECT 1 FROM attendance_records WHERE id = $1{+ OFFSET 0})");
SQL(MARK_SPEND, "umu",
	"INSERT INTO spent_claims (claim_id, spent_at) SELECT $1, $2{+ FROM @}"
	" WHERE EXISTS (SELECT 1 FROM attendance_records WHERE id = $3{+ OFFSET 0}) ON CONFLICT (claim_id) DO NOTHING");
SQL(MARK_TAKE_PLACE, "u", "UPDATE events SET taken = taken + 1 WHERE id = $1 AND taken < capacity");

static void
count_verdict(struct ctx *cx, const char *verdict)
{
	if (cx->srv->metrics)
		metrics_add(cx->srv->metrics, M_MARKS, verdict, 1);
}

static enum err
judge(struct ctx *cx, struct mark_case *c)
{
	enum err why = layers_judge(c, true);

	if (why == OK)
		return OK;
	count_verdict(cx, err_row(why)->code);
	if (why == ERR_DUPLICATE_ATTENDANCE) {
		error_text(cx, "attendance_id", c->row.record_id.text);
		error_time(cx, "marked_at", c->row.record_marked_at);
	}
	error_json(cx, "layers", layers_json(cx->arena, c));
	return fail(cx, why, NULL);
}

static const char *
status_of(const struct mark_case *c, const char *flags)
{
	if (flags)
		return "flagged";
	if (c->row.late_after_minutes != FIELD_NONE && c->at_us > c->row.scheduled_at + c->row.late_after_minutes * MINUTES_US)
		return "late";
	return "present";
}

/* Somebody was faster between load and write: what is there now says what to answer. */
static enum err
judge_again(struct ctx *cx, struct mark_case *c)
{
	TRY(case_load(cx, cx->actor->user_id.text, c));
	TRY(judge(cx, c));
	return fail_internal(cx, ERR_UNAVAILABLE, "a mark that nothing forbids was not written");
}

static enum err
write_mark(struct ctx *cx, struct mark_case *c, const struct uuid *id, const char *status, const char *flags)
{
	enum { PORTAL_ARGS = 11 }; /* nonce and label come after */
	const char *who = cx->actor->user_id.text;
	bool replaces = c->row.record_id.text[0], session = c->row.label != NULL;
	int64_t distance_m = layers_distance_m(c);
	struct db_step steps[] = {
		DB_STEP(&MARK_SESSION, NULL, NULL, V(id->text), V(who), V(status), V(status), V(c->method), V(c->at_us),
			V(cx->now_us), V_ID(c->row.qr_id), V(flags), V_ID(c->claim.id), V(distance_m), V(c->row.token),
			V(c->row.label)),
		DB_STEP(&MARK_NONCE, NULL, NULL, V(c->row.token), V(who), V_ID(c->row.event_id), V(cx->now_us), V(id->text)),
		DB_STEP(&MARK_LAYERS, NULL, NULL, V(id->text), V(layers_json(cx->arena, c)), V(cx->now_us)),
		DB_STEP(&MARK_SPEND, NULL, NULL, V_ID(c->claim.id), V(cx->now_us), V(id->text)),
	};
	const struct db_step replace = DB_STEP(&MARK_REPLACE, NULL, NULL, V(id->text), V(status), V(c->at_us), V(cx->now_us),
		V_ID(c->row.qr_id), V(c->method), V(flags), V(distance_m));

	if (!session) {
		steps[0].sql = &MARK_INSERT;
		steps[0].n_args = PORTAL_ARGS;
	}
	if (replaces)
		steps[0] = replace;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		steps[i].expect = 1;
	TRY(db_list(cx, steps, c->by_claim ? 4 : 3));
	if (steps[0].rows != 1)
		return judge_again(cx, c);
	if (steps[1].rows != 1 || (c->by_claim && steps[3].rows != 1))
		return fail(cx, ERR_NONCE_REUSED, NULL);
	if (replaces)
		TRY(history_add(cx, id->text, who,
			&(const struct history_change){c->row.record_status, status, "The code was scanned in time."}));
	/* An id below the position comes from a clock that was set back. */
	bool late = strcmp(id->text, c->row.counted_to.text) <= 0;
	return replaces || late ? event_recount(cx, c->row.event_id.text) : OK;
}

/* What can be known of a mark before its row is read. */
static enum err
begin_case(struct ctx *cx, const struct mark_in *in, struct mark_case *ret)
{
	bool parts = in->qr_session_id && in->qr_nonce;
	char ref[ID_BYTES + 1];

	if ((in->qr_payload != NULL) + (in->claim != NULL) + (in->code != NULL) + parts != 1) {
		error_field(cx, "qr_payload", "give one of qr_payload, claim, and code with event_id");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	if (in->claim) {
		TRY(case_of_claim(cx, in->claim, in->proof, ret));
	} else if (in->code) {
		TRY(typed_ref(cx, in->event_id, ref));
		TRY(case_of_typed(cx, ref, in->code, ret));
	} else if (parts) {
		TRY(case_of_parts(cx, in->qr_session_id, in->qr_nonce, ret));
	} else {
		TRY(case_of_payload(cx, in->qr_payload, ret));
	}
	return OK;
}

static enum err
open_case(struct ctx *cx, const struct mark_in *in, struct mark_case *ret)
{
	TRY(begin_case(cx, in, ret));
	ret->in = in;
	return case_load(cx, cx->actor->user_id.text, ret);
}

/* Clients of the old system send `code` along with the payload. */
static struct mark_in
campus_in(const struct mark_in *in)
{
	struct mark_in own = *in;

	if (!own.event_id || own.qr_payload || own.claim || own.qr_session_id)
		own.code = NULL;
	return own;
}

struct asking {
	struct mark_in in;
	struct mark_asks *asks;
};

static enum err
read_asks(struct ctx *cx, void *arg)
{
	const struct asking *a = arg;
	struct mark_case c;

	TRY(begin_case(cx, &a->in, &c));
	TRY(case_load(cx, cx->actor->user_id.text, &c));
	*a->asks = c.found ? case_asks(&c) : (struct mark_asks){0};
	return OK;
}

enum err
attendance_mark_asks(struct ctx *cx, const struct mark_in *in, struct mark_asks *ret)
{
	struct asking a = {campus_in(in), ret};

	return db_read(cx, read_asks, &a);
}

/* Of the codes only those that are read without a query or a costly check. */
void
attendance_mark_ahead(struct ctx *cx, const struct mark_in *in)
{
	struct qr_code code;

	if (in->qr_payload ? qr_peek(cx, in->qr_payload, &code)
			   : in->qr_session_id && in->qr_nonce && code_of_parts(in->qr_session_id, in->qr_nonce, &code)) {
		case_ahead(cx, &code, cx->actor->user_id.text);
		if (code_of_session(&code))
			measure_ahead(cx, in, code.session_id.text);
	}
}

struct marked {
	struct uuid id;
	const char *status, *flags;
};

static enum err
mark(struct ctx *cx, const struct mark_in *in, struct mark_case *c, struct marked *ret)
{
	TRY(open_case(cx, in, c));
	TRY(judge(cx, c));
	if (c->row.capacity != FIELD_NONE) {
		struct db_step take = DB_STEP(&MARK_TAKE_PLACE, NULL, NULL, V_ID(c->row.event_id));
		take.expect = 1;
		TRY(db_list(cx, &take, 1));
		if (take.rows != 1)
			return judge_again(cx, c);
	}

	ret->id = c->row.record_id.text[0] ? c->row.record_id : new_id(cx);
	ret->flags = layers_flags(cx->arena, c);
	ret->status = status_of(c, ret->flags);
	TRY(write_mark(cx, c, &ret->id, ret->status, ret->flags));
	TRY(measure_settle(cx, c, &ret->id, ret->flags));
	TRY(audit_ok(cx, AUDIT_ATTENDANCE_MARKED, "attendance_record", ret->id.text, AUDIT_TEXT("event_id", c->row.event_id.text),
		AUDIT_TEXT("status", ret->status), AUDIT_TEXT("method", c->method)));

	count_verdict(cx, ret->flags ? "flag" : "pass");
	live_mark(cx, c->row.event_id.text);
	return OK;
}

enum err
attendance_mark(struct ctx *cx, const struct mark_in *in, struct mark_out *ret)
{
	struct mark_case c;
	struct marked m;

	TRY(mark(cx, in, &c, &m));
	*ret = (struct mark_out){
		.attendance_id = m.id,
		.event = {c.row.event_id, c.row.title, c.row.scheduled_at},
		.marked_at = c.at_us,
		.message = m.flags ? "Your attendance is recorded and will be reviewed." : "Your attendance is marked.",
	};
	return OK;
}

static struct session_course *
course_of(struct ctx *cx, const struct mark_row *row)
{
	if (!row->course_code)
		return NULL;
	struct session_course *course = arena_new(cx->arena, struct session_course, 1);
	*course = (struct session_course){row->course_id, row->course_code, row->course_title};
	return course;
}

enum err
attendance_mark_campus(struct ctx *cx, const struct mark_in *in, struct campus_mark_out *ret)
{
	const struct mark_in own = campus_in(in);
	struct mark_case c;
	struct marked m;

	TRY(mark(cx, &own, &c, &m));
	const struct mark_row *row = &c.row;
	*ret = (struct campus_mark_out){
		.attendance_id = m.id,
		.status = m.status,
		.session = {.id = row->event_id,
			.course = course_of(cx, row),
			.lecturer = {row->owner_id, row->lecturer_name},
			.title = row->title,
			.code = row->label,
			.status = session_status(row->scheduled_at, row->ends_at, row->closed_at, cx->now_us),
			.starts_at = row->scheduled_at,
			.ends_at = row->ends_at,
			.closed_at = row->closed_at,
			.latitude = row->latitude,
			.longitude = row->longitude,
			.geofence_radius_m = row->geofence_radius_m,
			.rotate_seconds = row->rotate_seconds,
			.require_device = row->require_device,
			.require_face = row->require_face,
			.require_liveness = row->require_liveness,
			.late_after_minutes = row->late_after_minutes},
		.layers = layers_list(cx->arena, &c),
		.marked_at = c.at_us,
	};
	return OK;
}
