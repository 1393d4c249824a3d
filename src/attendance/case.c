/*
 * One statement reads everything a verdict needs; a typed code is first looked up among the event's recent ones.
 *
 * A session's code has no row of its own: its nonce is derived again from the session's row (rotation.h), and then the case looks
 * like that of any other code.  Else the nonce of the payload must be the row's: a MAC alone says that some code of ours had it.
 * Typed codes of the last minutes are candidates although they have expired or were withdrawn, so that a slow typist reads
 * "expired" and not "wrong"; a live one wins.
 */
#include "attendance/case.h"

#include <string.h>

#include "attendance/count.h"
#include "attendance/measure.h"
#include "attendance/rotation.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/metrics.h"
#include "http/limit.h"
#include "http/server.h"
#include "identity/throttle.h"
#include "net/face.h"
#include "store/db.h"

static const struct field mark_row_fields[] = {
	F(struct mark_row, qr_id, 0, 0, 0, NULL),
	F(struct mark_row, event_id, 0, 0, 0, NULL),
	F(struct mark_row, course_id, 0, 0, 0, NULL),
	F(struct mark_row, token, 0, 0, 0, NULL),
	F(struct mark_row, key_id, 0, 0, 0, NULL),
	F(struct mark_row, code_expires_at, F_TIME, 0, 0, NULL),
	F(struct mark_row, is_revoked, 0, 0, 0, NULL),
	F(struct mark_row, kind, 0, 0, 0, NULL),
	F(struct mark_row, title, 0, 0, 0, NULL),
	F(struct mark_row, policy, 0, 0, 0, NULL),
	F(struct mark_row, scheduled_at, F_TIME, 0, 0, NULL),
	F(struct mark_row, ends_at, F_TIME, 0, 0, NULL),
	F(struct mark_row, closed_at, F_TIME, 0, 0, NULL),
	F(struct mark_row, capacity, 0, 0, 0, NULL),
	F(struct mark_row, taken, 0, 0, 0, NULL),
	F(struct mark_row, late_after_minutes, 0, 0, 0, NULL),
	F(struct mark_row, rotate_seconds, 0, 0, 0, NULL),
	F(struct mark_row, is_deleted, 0, 0, 0, NULL),
	F(struct mark_row, record_id, 0, 0, 0, NULL),
	F(struct mark_row, record_status, 0, 0, 0, NULL),
	F(struct mark_row, record_original, 0, 0, 0, NULL),
	F(struct mark_row, record_marked_at, F_TIME, 0, 0, NULL),
	F(struct mark_row, nonce_used, 0, 0, 0, NULL),
	F(struct mark_row, claim_spent, 0, 0, 0, NULL),
	F(struct mark_row, enrolled, 0, 0, 0, NULL),
	F(struct mark_row, owner_id, 0, 0, 0, NULL),
	F(struct mark_row, latitude, 0, 0, 0, NULL),
	F(struct mark_row, longitude, 0, 0, 0, NULL),
	F(struct mark_row, geofence_radius_m, 0, 0, 0, NULL),
	F(struct mark_row, networks, 0, 0, 0, NULL),
	F(struct mark_row, require_device, 0, 0, 0, NULL),
	F(struct mark_row, require_face, 0, 0, 0, NULL),
	F(struct mark_row, require_liveness, 0, 0, 0, NULL),
	F(struct mark_row, generation, 0, 0, 0, NULL),
	F(struct mark_row, label, 0, 0, 0, NULL),
	F(struct mark_row, course_code, 0, 0, 0, NULL),
	F(struct mark_row, course_title, 0, 0, 0, NULL),
	F(struct mark_row, lecturer_name, 0, 0, 0, NULL),
	F(struct mark_row, counted_to, 0, 0, 0, NULL),
};
const struct schema mark_row_schema = SCHEMA("MarkRow", struct mark_row, mark_row_fields);

/* OFFSET 0, and a LATERAL: else PostgreSQL may plan, while a table is small, to read all of it for many calls. */
#define THERE(rows) "EXISTS (SELECT 1 FROM " rows "{+ OFFSET 0})"
/* $2 is the student, $3 the claim. */
#define LOAD_COLUMNS                                                                                                    \
	"e.id AS event_id, e.course_id, e.kind, e.title, e.policy, e.scheduled_at, e.ends_at, e.closed_at, e.capacity," \
	" e.taken, e.late_after_minutes, e.rotate_seconds, e.is_deleted, e.owner_id, e.latitude, e.longitude,"          \
	" e.geofence_radius_m, e.networks, e.require_device, e.require_face, e.require_liveness, e.generation,"         \
	" r.id AS record_id, r.status AS record_status, r.original_status AS record_original,"                          \
	" r.marked_at AS record_marked_at,"                                                                             \
	" " THERE("spent_claims s WHERE s.claim_id = $3") " AS claim_spent,"                                            \
	" CASE WHEN " THERE("enrollments n WHERE n.course_id = e.course_id AND n.user_id = $2") " THEN TRUE"            \
	" WHEN " THERE("enrollments a WHERE a.course_id = e.course_id") " THEN FALSE END AS enrolled,"                  \
	" " COUNTED_TO " AS counted_to"
#define LOAD_RECORD                                                                                       \
	" LEFT JOIN {+LATERAL (SELECT * FROM }attendance_records r{+ WHERE r.event_id = e.id AND"         \
	" r.user_id = $2 OFFSET 0) r} ON r.event_id = e.id AND r.user_id = $2"
#define NONCE_USED(nonce) THERE("used_nonces u WHERE u.nonce = " nonce " AND u.user_id = $2") " AS nonce_used, "

SQL(MARK_LOAD, "uuu",
	"SELECT {+many.number, }q.id AS qr_id, q.token, q.key_id, q.expires_at AS code_expires_at, q.is_revoked,"
	" " NONCE_USED("q.token") LOAD_COLUMNS " FROM {+@ CROSS JOIN }qr_sessions q JOIN events e ON e.id = q.event_id"
	LOAD_RECORD " WHERE q.id = $1");
SQL(SESSION_LOAD, "uuut",
	"SELECT {+many.number, }e.id AS qr_id, e.label, c.code AS course_code, c.title AS course_title,"
	" l.full_name AS lecturer_name, " NONCE_USED("$4") LOAD_COLUMNS " FROM {+@ CROSS JOIN }events e"
	" JOIN users l ON l.id = e.owner_id LEFT JOIN courses c ON c.id = e.course_id" LOAD_RECORD
	" WHERE e.id = $1 AND e.kind = 'session'");

/* What is unsaid is flag.  Rotating fast is done against codes being passed on, and a claim is a code that keeps: there it is reviewed. */
void
case_policy(struct ctx *cx, struct mark_case *c)
{
	enum { FAST_ROTATION_S = 30 };
	bool fast = c->row.rotate_seconds != FIELD_NONE && c->row.rotate_seconds < FAST_ROTATION_S;
	struct policy *p = &c->policy;
	int *const layers[] = {&p->device, &p->geofence, &p->network, &p->face};

	*p = policy_read(cx->arena, c->row.policy);
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		if (!*layers[i])
			*layers[i] = LAYER_FLAG;
	if (!p->claim)
		p->claim = fast ? CLAIM_POLICY_FLAG : CLAIM_POLICY_ON;
	c->face_model = faces_model(cx->srv->faces) != NULL;
}

struct mark_asks
case_asks(const struct mark_case *c)
{
	bool face = c->row.require_face && c->policy.face != LAYER_OFF;

	return (struct mark_asks){c->row.event_id, face, face && c->row.require_liveness && c->face_model};
}

/* --- codes of sessions ------------------------------------------------------------------------------------------------------ */

bool
code_of_session(const struct qr_code *code)
{
	return strchr(code->nonce, '.') != NULL;
}

/* Generations are bumped by hand, so a code that was on the screen lies few of them back. */
static bool
fits_older(struct ctx *cx, struct rotation r, int64_t step, const char *nonce)
{
	enum { GENERATIONS_REMEMBERED = 16 };

	for (int i = 0; i < GENERATIONS_REMEMBERED && r.generation > 0; i++) {
		r.generation--;
		if (rotation_nonce_fits(cx, &r, step, nonce))
			return true;
	}
	return false;
}

/*
 * Fills what a portal code has in its row.  A claim was made of a code that was good: it dies with the label, which `regenerate`
 * replaces, and outlives a rotation.
 */
static void
read_session_code(struct ctx *cx, struct mark_case *c)
{
	const struct rotation r = {c->row.event_id.text, c->row.generation, c->row.rotate_seconds};
	int64_t step;

	c->row.token = c->code.nonce;
	if (c->by_claim) {
		c->row.code_expires_at = c->code.expires_us;
		c->row.is_revoked = !str_eq(c->claim.label, c->row.label);
		return;
	}
	if (r.rotate_seconds == FIELD_NONE || !rotation_nonce_read(c->code.nonce, &step)) {
		c->signature = ERR_INVALID_QR;
		return;
	}
	const struct rotation_step at = rotation_step(step, r.rotate_seconds);
	c->row.code_expires_at = at.expires_us;
	if (!rotation_nonce_fits(cx, &r, step, c->code.nonce)) {
		c->row.is_revoked = c->code.key_id[0] || fits_older(cx, r, step, c->code.nonce);
		if (!c->row.is_revoked)
			c->signature = ERR_INVALID_SIGNATURE;
	} else if (at.begins_us > c->at_us + ROTATION_LEAD_S * SECONDS_US) {
		c->signature = ERR_INVALID_QR; /* of a time to come: the clock of another node is far ahead */
	}
}

enum err
case_load(struct ctx *cx, const char *student_id, struct mark_case *c)
{
	bool session = code_of_session(&c->code), found;

	c->found = false;
	if (c->signature != OK)
		return OK;
	if (session)
		TRY(db_find(cx, &SESSION_LOAD, &mark_row_schema, &c->row, &found, V_ID(c->code.session_id), V(student_id),
			V_ID(c->claim.id), V((const char *)c->code.nonce)));
	else
		TRY(db_find(cx, &MARK_LOAD, &mark_row_schema, &c->row, &found, V_ID(c->code.session_id), V(student_id),
			V_ID(c->claim.id)));
	if (!found || (!session && !str_eq(c->row.token, c->code.nonce)))
		return OK;
	c->found = true;
	if (session)
		read_session_code(cx, c);
	case_policy(cx, c);
	return student_id && c->in ? measure(cx, c) : OK;
}

void
case_ahead(struct ctx *cx, const struct qr_code *code, const char *student_id)
{
	const struct uuid no_claim = {""};

	if (code_of_session(code))
		db_ahead(cx, &SESSION_LOAD, V_ID(code->session_id), V(student_id), V_ID(no_claim), V((const char *)code->nonce));
	else
		db_ahead(cx, &MARK_LOAD, V_ID(code->session_id), V(student_id), V_ID(no_claim));
}

bool
code_of_parts(const char *session_id, const char *nonce, struct qr_code *ret)
{
	int64_t step;

	if (!uuid_canonical(session_id, &ret->session_id) || !rotation_nonce_read(nonce, &step))
		return false;
	str_copy(ret->nonce, sizeof(ret->nonce), nonce);
	return true;
}

enum err
case_of_parts(struct ctx *cx, const char *session_id, const char *nonce, struct mark_case *ret)
{
	*ret = (struct mark_case){.now_us = cx->now_us, .at_us = cx->now_us, .method = "qr"};
	if (!code_of_parts(session_id, nonce, &ret->code))
		ret->signature = ERR_INVALID_QR;
	return OK;
}

enum err
case_of_payload(struct ctx *cx, const char *payload, struct mark_case *ret)
{
	const struct source *s = &cx->srv->source;
	int64_t from = s->monotonic_us(s->arg);

	*ret = (struct mark_case){.now_us = cx->now_us, .at_us = cx->now_us, .method = "qr"};
	ret->signature = qr_parse(cx, payload, &ret->code);
	if (cx->srv->metrics)
		metrics_observe(
			cx->srv->metrics, M_QR_VERIFY_SECONDS, (double)(s->monotonic_us(s->arg) - from) / (double)SECONDS_US);
	return OK;
}

/* --- typed codes ----------------------------------------------------------------------------------------------------------- */

enum { GUESS_WINDOW_S = 60, REMEMBERED_MINUTES = 10 };

const char typed_code_refusal[] = "Too many wrong codes; wait, or scan the picture.";

size_t
typed_code_hits(struct ctx *cx, const char *event_ref, struct limit_hit ret[LIMIT_HITS_MAX])
{
	const struct config *conf = cx->srv->conf;
	char *event = arena_new(cx->arena, char, ID_BYTES + 1); /* one spelling, and none: the handler refuses what is no reference */

	if (cx->actor) {
		const struct limit own = {"typed_code", conf_live(&conf->rl_code_account_limit), GUESS_WINDOW_S};
		ret[0] = (struct limit_hit){own, cx->actor->user_id.text, false};
		return 1;
	}
	char *prefix = arena_new(cx->arena, char, IP_TEXT_BYTES);
	ip_prefix(cx->client->ip, prefix);
	if (!event_ref || !event_ref_read(event_ref, event))
		event[0] = 0;
	int64_t by_ip = conf_live(&conf->rl_code_ip_limit) * (network_shared(cx) ? SHARED_NETWORK_FACTOR : 1);
	ret[0] = (struct limit_hit){{"typed_code_ip", by_ip, GUESS_WINDOW_S}, prefix, false};
	ret[1] = (struct limit_hit){{"typed_code_event", conf_live(&conf->rl_code_event_limit), GUESS_WINDOW_S}, event, false};
	return 2;
}

struct candidate {
	struct uuid id;
	const char *token, *key_id;
	int64_t expires_at;
	bool is_revoked;
};
static const struct field candidate_fields[] = {
	F(struct candidate, id, 0, 0, 0, NULL),
	F(struct candidate, token, 0, 0, 0, NULL),
	F(struct candidate, key_id, 0, 0, 0, NULL),
	F(struct candidate, expires_at, F_TIME, 0, 0, NULL),
	F(struct candidate, is_revoked, 0, 0, 0, NULL),
};
static const struct schema candidate_schema = SCHEMA("TypedCandidate", struct candidate, candidate_fields);

SQL(TYPED_CANDIDATES, "um",
	"SELECT id, token, key_id, expires_at, is_revoked FROM qr_sessions WHERE event_id = $1 AND expires_at > $2"
	" ORDER BY expires_at DESC, id DESC LIMIT 200");

struct typed_event {
	struct uuid id;
	const char *kind;
	int64_t generation, rotate_seconds;
};
static const struct field typed_event_fields[] = {
	F(struct typed_event, id, 0, 0, 0, NULL),
	F(struct typed_event, kind, 0, 0, 0, NULL),
	F(struct typed_event, generation, 0, 0, 0, NULL),
	F(struct typed_event, rotate_seconds, 0, 0, 0, NULL),
};
static const struct schema typed_event_schema = SCHEMA("TypedEvent", struct typed_event, typed_event_fields);

SQL(TYPED_BY_ID, "u", "SELECT id, kind, generation, rotate_seconds FROM events WHERE id = $1");
/* A label is unique among sessions that are not closed, and may come again later. */
SQL(TYPED_BY_LABEL, "t",
	"SELECT id, kind, generation, rotate_seconds FROM events WHERE label = $1 AND NOT is_deleted"
	" ORDER BY CASE WHEN closed_at IS NULL THEN 0 ELSE 1 END, scheduled_at DESC LIMIT 1");

static enum err
search_portal(struct ctx *cx, const char *event_id, const char *typed, struct mark_case *ret)
{
	char derived[SHORT_CODE_CHARS + 1];
	const struct candidate *hit = NULL;
	struct list list;

	TRY(db_all(
		cx, &TYPED_CANDIDATES, &candidate_schema, &list, V(event_id), V(cx->now_us - REMEMBERED_MINUTES * MINUTES_US)));
	const struct candidate *rows = list.items;
	for (size_t i = 0; i < list.count; i++) {
		qr_short_code(cx, rows[i].key_id, rows[i].id.text, rows[i].token, derived);
		bool live = !rows[i].is_revoked && rows[i].expires_at > cx->now_us;
		if (crypto_equal(typed, derived, SHORT_CODE_CHARS) && (!hit || live))
			hit = &rows[i];
	}
	if (!hit)
		return OK;
	ret->signature = OK;
	ret->code = (struct qr_code){.session_id = hit->id, .expires_us = hit->expires_at};
	str_copy(ret->code.nonce, sizeof(ret->code.nonce), hit->token);
	str_copy(ret->code.key_id, sizeof(ret->code.key_id), hit->key_id);
	return OK;
}

static void
search_session(struct ctx *cx, const struct typed_event *e, const char *typed, struct mark_case *ret)
{
	const struct rotation r = {e->id.text, e->generation, e->rotate_seconds};
	char nonce[QR_NONCE_MAX + 1];
	struct rotation_step at;

	if (r.rotate_seconds == FIELD_NONE || !rotation_typed(cx, &r, typed, cx->now_us - REMEMBERED_MINUTES * MINUTES_US, nonce, &at))
		return;
	ret->signature = OK;
	ret->code = (struct qr_code){.session_id = e->id, .expires_us = at.expires_us};
	str_copy(ret->code.nonce, sizeof(ret->code.nonce), nonce);
}

enum err
typed_ref(struct ctx *cx, const char *text, char ret_ref[ID_BYTES + 1])
{
	if (text && event_ref_read(text, ret_ref))
		return OK;
	error_field(cx, "event_id", text ? "is no id of an event and no label of a session" : "is required with code");
	return fail(cx, ERR_VALIDATION, NULL);
}

enum err
case_of_typed(struct ctx *cx, const char *event_ref, const char *code, struct mark_case *ret)
{
	char typed[SHORT_CODE_CHARS + 1];
	struct typed_event event;
	bool found;

	*ret = (struct mark_case){.now_us = cx->now_us, .at_us = cx->now_us, .method = "code", .signature = ERR_INVALID_QR};
	TRY(db_find(cx, event_ref_is_label(event_ref) ? &TYPED_BY_LABEL : &TYPED_BY_ID, &typed_event_schema, &event, &found,
		V(event_ref)));
	if (!found || !crockford_canonical(code, SHORT_CODE_CHARS, typed))
		return OK;
	if (str_eq(event.kind, "session"))
		search_session(cx, &event, typed, ret);
	else
		TRY(search_portal(cx, event.id.text, typed, ret));
	return OK;
}
