/*
 * Nothing is written but by rotate, which bumps the generation: any number of projectors, tabs and nodes ask and get the same,
 * and a lecturer's clock does not matter.
 */
#include "attendance/session_qr.h"

#include "audit/audit.h"
#include "core/keys.h"
#include "notify/live.h"
#include "store/db.h"

static const struct field code_session_fields[] = {
	F(struct code_session, id, 0, 0, 0, "Session"),
	F(struct code_session, title, 0, 0, 0, "What it is called"),
	F(struct code_session, starts_at, F_TIME, 0, 0, "Its beginning"),
	F(struct code_session, ends_at, F_TIME, 0, 0, "Its end"),
};
static const struct schema code_session_schema = SCHEMA("CodeSession", struct code_session, code_session_fields);
static const struct field code_place_fields[] = {
	F(struct code_place, latitude, 0, 0, 0, "Degrees north"),
	F(struct code_place, longitude, 0, 0, 0, "Degrees east"),
	F(struct code_place, geofence_radius_m, F_NULLABLE, 0, 0, "How far from there a mark may come"),
};
static const struct schema code_place_schema = SCHEMA("CodePlace", struct code_place, code_place_fields);

#define CODE_FIELDS                                                                                           \
	F(struct session_code, qr_session_id, 0, 0, 0, "The session's own id"),                               \
		F(struct session_code, qr_nonce, F_SECRET, 0, 0, "Step in base 36, a dot, 22 characters"),    \
		F(struct session_code, qr_payload, F_SECRET, 0, 0, "What the QR picture says"),               \
		F(struct session_code, code, F_SECRET, 0, 0, "The same to be typed, with the label"),         \
		F(struct session_code, label, F_NULLABLE, 0, 0, "The session's lasting label; never marks"),  \
		F(struct session_code, issued_at, F_TIME, 0, 0, "When it began"),                             \
		F(struct session_code, expires_at, F_TIME, 0, 0, "Until when it is good"),                    \
		F(struct session_code, rotates_at, F_TIME, 0, 0, "When the next one comes"),                  \
		F_OBJ(struct session_code, session, &code_session_schema, "What it marks"),                   \
		F_PTR(struct session_code, course, F_NULLABLE, &session_course_schema, "Its course"),         \
		F_OBJ(struct session_code, lecturer, &session_lecturer_schema, "Whose it is"),                \
		F_PTR(struct session_code, location, F_NULLABLE, &code_place_schema, "Where it takes place")

static const struct field session_code_fields[] = {CODE_FIELDS};
const struct schema session_code_schema = SCHEMA("SessionCode", struct session_code, session_code_fields);
static const struct field session_frame_fields[] = {
	CODE_FIELDS,
	F(struct session_code, count, 0, 0, 0, "How many are present, late or flagged"),
	F(struct session_code, server_time, F_TIME, 0, 0, "Now"),
};
const struct schema session_frame_schema = SCHEMA("SessionFrame", struct session_code, session_frame_fields);

static struct code_place *
place_of(struct ctx *cx, const struct campus_session *s)
{
	if (isnan(s->latitude))
		return NULL;
	struct code_place *place = arena_new(cx->arena, struct code_place, 1);
	*place = (struct code_place){s->latitude, s->longitude, s->geofence_radius_m};
	return place;
}

void
session_code_of(struct ctx *cx, const struct campus_session *s, struct session_code *ret)
{
	const struct key *key = key_current(cx->srv->keys, KEY_CODE);
	const struct rotation r = {s->id.text, s->generation, s->rotate_seconds};
	const struct rotation_step at = rotation_at(cx->now_us, s->rotate_seconds);
	char nonce[QR_NONCE_MAX + 1], code[SHORT_CODE_CHARS + 1];

	rotation_nonce(key, &r, at.step, nonce);
	qr_short_code(cx, key->id, s->id.text, nonce, code);
	*ret = (struct session_code){.qr_session_id = s->id,
		.qr_nonce = arena_strdup(cx->arena, nonce),
		.qr_payload = qr_payload(cx, s->id.text, nonce, at.expires_us),
		.code = arena_strdup(cx->arena, code),
		.label = s->code,
		.issued_at = at.begins_us,
		.expires_at = at.expires_us,
		.rotates_at = at.rotates_us,
		.session = {s->id, s->title, s->starts_at, s->ends_at},
		.course = s->course,
		.lecturer = s->lecturer,
		.location = place_of(cx, s)};
}

enum err
session_qr(struct ctx *cx, const char *id, struct session_code *ret)
{
	struct campus_session s;

	TRY(campus_session_get(cx, id, &s));
	if (str_eq(s.status, "closed"))
		return fail(cx, ERR_SESSION_CLOSED, NULL);
	session_code_of(cx, &s, ret);
	return OK;
}

SQL(SESSION_ROTATE, "um", "UPDATE events SET generation = generation + 1, updated_at = $2 WHERE id = $1 AND closed_at IS NULL");

enum err
session_rotate(struct ctx *cx, const char *id, struct session_code *ret)
{
	TRY(session_qr(cx, id, ret));
	TRY(db_exec(cx, &SESSION_ROTATE, NULL, V(id), V(cx->now_us)));
	TRY(audit_ok(cx, AUDIT_QR_REVOKED, "session", id, AUDIT_TEXT("by", "rotate")));
	live_mark(cx, id);
	return session_qr(cx, id, ret);
}

static const struct field session_qr_status_fields[] = {
	F(struct session_qr_status, active, 0, 0, 0, "The session is open, so its code marks"),
	F(struct session_qr_status, generation, 0, 0, 0, "How often its codes were withdrawn"),
	F(struct session_qr_status, rotation_count, 0, 0, 0, "How many codes it has shown since it began"),
	F(struct session_qr_status, seconds_left, 0, 0, 0, "Until the next code; 0 when closed"),
	F(struct session_qr_status, expires_at, F_TIME | F_NULLABLE, 0, 0, "Until when the present code is good"),
	F(struct session_qr_status, rotates_at, F_TIME | F_NULLABLE, 0, 0, "When the next one comes"),
};
const struct schema session_qr_status_schema = SCHEMA("SessionQrStatus", struct session_qr_status, session_qr_status_fields);

enum err
session_qr_state(struct ctx *cx, const char *id, struct session_qr_status *ret)
{
	struct campus_session s;

	TRY(campus_session_get(cx, id, &s));
	bool closed = str_eq(s.status, "closed");
	int64_t until_us = closed ? (s.closed_at != TIME_NONE ? s.closed_at : s.ends_at) : cx->now_us;
	const struct rotation_step at = rotation_at(until_us, s.rotate_seconds);
	int64_t count = at.step - rotation_at(s.starts_at, s.rotate_seconds).step + 1;
	*ret = (struct session_qr_status){.active = str_eq(s.status, "open"),
		.generation = s.generation,
		.rotation_count = until_us < s.starts_at ? 0 : count,
		.seconds_left = closed ? 0 : (at.rotates_us - cx->now_us + SECONDS_US - 1) / SECONDS_US,
		.expires_at = closed ? TIME_NONE : at.expires_us,
		.rotates_at = closed ? TIME_NONE : at.rotates_us};
	return OK;
}
