/*
 * One statement reads everything a verdict needs; a typed code is first looked up among the event's recent ones.
 *
 * The nonce of the payload must be the row's: a MAC alone says that some code of ours had it.  Typed codes of the last minutes
 * are candidates although they have expired or were withdrawn, so that a slow typist reads "expired" and not "wrong"; a live one
 * wins.
 */
#include "attendance/case.h"

#include "attendance/count.h"
#include "attendance/measure.h"

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
	F(struct mark_row, has_roster, 0, 0, 0, NULL),
	F(struct mark_row, enrolled, 0, 0, 0, NULL),
	F(struct mark_row, owner_id, 0, 0, 0, NULL),
	F(struct mark_row, latitude, 0, 0, 0, NULL),
	F(struct mark_row, longitude, 0, 0, 0, NULL),
	F(struct mark_row, geofence_radius_m, 0, 0, 0, NULL),
	F(struct mark_row, networks, 0, 0, 0, NULL),
	F(struct mark_row, require_device, 0, 0, 0, NULL),
	F(struct mark_row, require_face, 0, 0, 0, NULL),
	F(struct mark_row, generation, 0, 0, 0, NULL),
	F(struct mark_row, counted_to, 0, 0, 0, NULL),
};
const struct schema mark_row_schema = SCHEMA("MarkRow", struct mark_row, mark_row_fields);

/* OFFSET 0, and a LATERAL: else PostgreSQL may plan, while a table is small, to read all of it for many calls. */
#define THERE(rows) "EXISTS (SELECT 1 FROM " rows "{+ OFFSET 0})"
SQL(MARK_LOAD, "uuu",
	"SELECT {+many.number, }q.id AS qr_id, q.event_id, e.course_id, q.token, q.key_id, q.expires_at AS code_expires_at, q.is_revoked,"
	" e.kind, e.title, e.policy, e.scheduled_at, e.ends_at, e.closed_at, e.capacity, e.taken, e.late_after_minutes,"
	" e.rotate_seconds, e.is_deleted, e.owner_id, e.latitude, e.longitude, e.geofence_radius_m, e.networks,"
	" e.require_device, e.require_face, e.generation,"
	" r.id AS record_id, r.status AS record_status, r.original_status AS record_original, r.marked_at AS record_marked_at,"
	" " THERE("used_nonces u WHERE u.nonce = q.token AND u.user_id = $2") " AS nonce_used,"
	" " THERE("spent_claims s WHERE s.claim_id = $3") " AS claim_spent,"
	" " THERE("enrollments a WHERE a.course_id = e.course_id") " AS has_roster,"
	" " THERE("enrollments n WHERE n.course_id = e.course_id AND n.user_id = $2") " AS enrolled,"
	" " COUNTED_TO " AS counted_to"
	" FROM {+@ CROSS JOIN }qr_sessions q JOIN events e ON e.id = q.event_id"
	" LEFT JOIN {+LATERAL (SELECT * FROM }attendance_records r{+ WHERE r.event_id = q.event_id AND r.user_id = $2 OFFSET 0) r}"
	" ON r.event_id = q.event_id AND r.user_id = $2 WHERE q.id = $1");

/* Reads what the event's policy says; unsaid is flag.  Rotating fast is done against codes being passed on, and a claim is a code
 * that keeps: there it is reviewed by default. */
static void
read_policy(struct ctx *cx, struct mark_case *c)
{
	enum { FAST_ROTATION_S = 30 };
	static const char *const layer_words[] = {"", "flag", "reject", "off", NULL};
	static const char *const claim_words[] = {"", "on", "flag", "off", NULL};
	const json_t *policy = c->row.policy ? json_read(cx->arena, span_str(c->row.policy)) : NULL;
	struct {
		const char *name;
		enum layer_policy *at;
	} layers[] = {{"device", &c->device_policy}, {"geofence", &c->geofence_policy}, {"network", &c->network_policy},
		{"face", &c->face_policy}};

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		const char *word = json_string_value(json_object_get(policy, layers[i].name));
		int said = word ? enum_index(layer_words, word) : 0;
		*layers[i].at = said ? (enum layer_policy)said : LAYER_FLAG;
	}
	const char *word = json_string_value(json_object_get(policy, "claim"));
	bool fast = c->row.rotate_seconds != FIELD_NONE && c->row.rotate_seconds < FAST_ROTATION_S;
	c->claim_policy = word ? enum_index(claim_words, word) : 0;
	if (!c->claim_policy)
		c->claim_policy = fast ? CLAIM_POLICY_FLAG : CLAIM_POLICY_ON;
}

enum err
case_load(struct ctx *cx, const char *student_id, struct mark_case *c)
{
	bool found;

	c->found = false;
	if (c->signature != OK)
		return OK;
	TRY(db_find(
		cx, &MARK_LOAD, &mark_row_schema, &c->row, &found, V_ID(c->code.session_id), V(student_id), V_ID(c->claim.id)));
	if (!found || !str_eq(c->row.token, c->code.nonce))
		return OK;
	c->found = true;
	read_policy(cx, c);
	c->face_model = faces_model(cx->srv->faces) != NULL;
	return student_id && c->in ? measure(cx, c) : OK;
}

void
case_ahead(struct ctx *cx, const struct qr_code *code, const char *student_id)
{
	const struct uuid no_claim = {""};

	db_ahead(cx, &MARK_LOAD, V_ID(code->session_id), V(student_id), V_ID(no_claim));
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

enum { GUESS_WINDOW_S = 60, SHARED_NETWORK_FACTOR = 100 };

const char typed_code_refusal[] = "Too many wrong codes; wait, or scan the picture.";

size_t
typed_code_hits(struct ctx *cx, const char *event_id, struct limit_hit ret[LIMIT_HITS_MAX])
{
	const struct config *conf = cx->srv->conf;

	if (cx->actor) {
		const struct limit own = {"typed_code", conf->rl_code_account_limit, GUESS_WINDOW_S};
		ret[0] = (struct limit_hit){own, cx->actor->user_id.text, false};
		return 1;
	}
	char *prefix = arena_new(cx->arena, char, 46);
	ip_prefix(cx->client->ip, prefix);
	int64_t by_ip = conf->rl_code_ip_limit * (network_shared(cx) ? SHARED_NETWORK_FACTOR : 1);
	ret[0] = (struct limit_hit){{"typed_code_ip", by_ip, GUESS_WINDOW_S}, prefix, false};
	ret[1] = (struct limit_hit){{"typed_code_event", conf->rl_code_event_limit, GUESS_WINDOW_S}, event_id, false};
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

enum err
case_of_typed(struct ctx *cx, const char *event_id, const char *code, struct mark_case *ret)
{
	enum { REMEMBERED_MINUTES = 10 };
	char typed[SHORT_CODE_CHARS + 1], derived[SHORT_CODE_CHARS + 1];
	const struct candidate *hit = NULL;
	struct list list;

	*ret = (struct mark_case){.now_us = cx->now_us, .at_us = cx->now_us, .method = "code", .signature = ERR_INVALID_QR};
	if (!crockford_canonical(code, SHORT_CODE_CHARS, typed))
		return OK;
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
