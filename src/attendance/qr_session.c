/*
 * QR sessions: the rows behind the codes that an administrator makes by hand.
 *
 * The row keeps nonce and key id, never payload or typed code; both are derived again when a picture is drawn.  A code lives
 * whole seconds, at least as long as it says.  Revoking reaches codes that have expired too, since a claim outlives its code.
 */
#include "attendance/qr.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "core/keys.h"
#include "notify/live.h"
#include "store/db.h"

static const struct field qr_session_fields[] = {
	F(struct qr_session, session_id, 0, 0, 0, "The code's id; revoke and picture take it"),
	F(struct qr_session, qr_payload, F_SECRET, 0, 0, "What the QR picture says"),
	F(struct qr_session, code, F_SECRET, 0, 0, "The same to be typed: 6 characters of Crockford's base 32"),
	F(struct qr_session, expires_at, F_TIME, 0, 0, "Until when both are good"),
	F(struct qr_session, expires_in_seconds, 0, 0, 0, "Their life"),
};
const struct schema qr_session_schema = SCHEMA("QrSession", struct qr_session, qr_session_fields);

struct open_event {
	struct uuid id;
	int64_t ends_at, closed_at;
};
static const struct field open_event_fields[] = {
	F(struct open_event, id, 0, 0, 0, NULL),
	F(struct open_event, ends_at, F_TIME, 0, 0, NULL),
	F(struct open_event, closed_at, F_TIME, 0, 0, NULL),
};
static const struct schema open_event_schema = SCHEMA("OpenEvent", struct open_event, open_event_fields);

SQL(QR_EVENT, "u", "SELECT id, ends_at, closed_at FROM events WHERE id = $1 AND NOT is_deleted");
SQL(QR_INSERT, "uuttumm",
	"INSERT INTO qr_sessions (id, event_id, token, key_id, created_by, created_at, expires_at, is_revoked)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE)");

enum err
qr_generate(struct ctx *cx, const char *event_id, struct qr_session *ret)
{
	struct open_event event;
	struct qr_session out;
	char nonce[QR_NONCE_CHARS + 1], code[SHORT_CODE_CHARS + 1];
	const char *key_id = key_current(cx->srv->keys, KEY_QR)->id;
	int64_t life_s = cx->srv->conf->qr_expiry_seconds;
	bool found;

	TRY(db_find(cx, &QR_EVENT, &open_event_schema, &event, &found, V(event_id)));
	if (!found)
		return fail(cx, ERR_EVENT_NOT_FOUND, NULL);
	if ((event.ends_at != TIME_NONE && event.ends_at <= cx->now_us) || event.closed_at != TIME_NONE)
		return fail(cx, ERR_EVENT_NOT_OPEN, "The event is over; it takes no more marks.");

	qr_nonce(cx, nonce);
	out.session_id = new_id(cx);
	out.expires_at = ((cx->now_us + SECONDS_US - 1) / SECONDS_US + life_s) * SECONDS_US;
	out.expires_in_seconds = life_s;
	TRY(db_exec(cx, &QR_INSERT, NULL, V_ID(out.session_id), V_ID(event.id), V((const char *)nonce), V(key_id),
		V_ID(cx->actor->user_id), V(cx->now_us), V(out.expires_at)));
	TRY(audit_ok(cx, AUDIT_QR_GENERATED, "qr_session", out.session_id.text, AUDIT_TEXT("event_id", event.id.text)));

	qr_short_code(cx, key_id, out.session_id.text, nonce, code);
	out.qr_payload = qr_payload(cx, out.session_id.text, nonce, out.expires_at);
	out.code = arena_strdup(cx->arena, code);
	*ret = out;
	return OK;
}

struct revoked_code {
	struct uuid event_id;
};
static const struct field revoked_code_fields[] = {
	F(struct revoked_code, event_id, 0, 0, 0, NULL),
};
static const struct schema revoked_code_schema = SCHEMA("RevokedCode", struct revoked_code, revoked_code_fields);

SQL(QR_REVOKE, "umu",
	"UPDATE qr_sessions SET is_revoked = TRUE, revoked_at = $2, revoked_by = $3 WHERE id = $1 AND NOT is_revoked"
	" RETURNING event_id");
SQL(QR_EXISTS, "u", "SELECT 1 FROM qr_sessions WHERE id = $1");

enum err
qr_revoke(struct ctx *cx, const char *id)
{
	struct revoked_code code;
	bool revoked;
	int64_t exists;

	TRY(db_find(cx, &QR_REVOKE, &revoked_code_schema, &code, &revoked, V(id), V(cx->now_us), V_ID(cx->actor->user_id)));
	if (revoked) {
		live_mark(cx, code.event_id.text); /* screens that show it look for another at once */
		return audit_ok(cx, AUDIT_QR_REVOKED, "qr_session", id);
	}
	TRY(db_int(cx, &QR_EXISTS, &exists, V(id)));
	return exists ? OK : fail(cx, ERR_NOT_FOUND, NULL);
}

SQL(QR_REVOKE_ALL, "mum",
	"UPDATE qr_sessions SET is_revoked = TRUE, revoked_at = $1, revoked_by = $2 WHERE expires_at > $3 AND NOT is_revoked");
SQL(QR_COUNT_LIVE, "m", "SELECT COUNT(*) FROM qr_sessions WHERE expires_at > $1 AND NOT is_revoked");

enum err
qr_revoke_all(struct ctx *cx, int64_t *ret_rows)
{
	const char *who = cx->actor ? cx->actor->user_id.text : NULL;
	int64_t claim_us = cx->srv->conf->claim_expire_minutes * MINUTES_US;
	int64_t live;

	TRY(db_int(cx, &QR_COUNT_LIVE, &live, V(cx->now_us)));
	TRY(db_exec(cx, &QR_REVOKE_ALL, NULL, V(cx->now_us), V(who), V(cx->now_us - claim_us)));
	TRY(audit_ok(cx, AUDIT_QR_REVOKED, "qr_session", NULL, AUDIT_INT("count", live)));
	*ret_rows = live;
	return OK;
}

static const struct field qr_event_fields[] = {
	F(struct qr_event, id, 0, 0, 0, "Event"),
	F(struct qr_event, title, 0, 0, 0, "Its title"),
};
static const struct schema qr_event_schema = SCHEMA("QrEvent", struct qr_event, qr_event_fields);
static const struct field qr_active_fields[] = {
	F(struct qr_active, session_id, 0, 0, 0, "The code's id"),
	F_OBJ(struct qr_active, event, &qr_event_schema, "What it marks"),
	F(struct qr_active, created_at, F_TIME, 0, 0, "When it was made"),
	F(struct qr_active, expires_at, F_TIME, 0, 0, "Until when it is good"),
	F(struct qr_active, time_remaining_seconds, 0, 0, 0, "The same from now"),
	F(struct qr_active, marks, 0, 0, 0, "How many marked with it"),
};
const struct schema qr_active_schema = SCHEMA("QrActive", struct qr_active, qr_active_fields);

SQL(QR_ACTIVE, "m",
	"SELECT q.id AS session_id, e.id AS \"event.id\", e.title AS \"event.title\", q.created_at, q.expires_at,"
	" (SELECT COUNT(*) FROM attendance_records r WHERE r.event_id = q.event_id AND r.qr_session_id = q.id) AS marks"
	" FROM qr_sessions q JOIN events e ON e.id = q.event_id"
	" WHERE q.expires_at > $1 AND NOT q.is_revoked AND NOT e.is_deleted ORDER BY q.created_at DESC, q.id DESC LIMIT 5000");

enum err
qr_active_list(struct ctx *cx, struct list *ret)
{
	TRY(db_all(cx, &QR_ACTIVE, &qr_active_schema, ret, V(cx->now_us)));
	struct qr_active *rows = ret->items;
	for (size_t i = 0; i < ret->count; i++)
		rows[i].time_remaining_seconds = (rows[i].expires_at - cx->now_us) / SECONDS_US;
	return OK;
}

struct stored_code {
	const char *token;
	int64_t expires_at;
	bool is_revoked;
};
static const struct field stored_code_fields[] = {
	F(struct stored_code, token, 0, 0, 0, NULL),
	F(struct stored_code, expires_at, F_TIME, 0, 0, NULL),
	F(struct stored_code, is_revoked, 0, 0, 0, NULL),
};
static const struct schema stored_code_schema = SCHEMA("StoredCode", struct stored_code, stored_code_fields);

SQL(QR_STORED, "u", "SELECT token, expires_at, is_revoked FROM qr_sessions WHERE id = $1");

enum err
qr_session_payload(struct ctx *cx, const char *id, const char **ret_payload)
{
	struct stored_code code;

	TRY(db_one(cx, &QR_STORED, &stored_code_schema, &code, V(id)));
	if (code.is_revoked)
		return fail(cx, ERR_QR_REVOKED, NULL);
	if (code.expires_at <= cx->now_us)
		return fail(cx, ERR_QR_EXPIRED, NULL);
	*ret_payload = qr_payload(cx, id, code.token, code.expires_at);
	return OK;
}
