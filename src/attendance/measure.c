/*
 * What the layers that measure weigh, and what follows from a mark for devices.
 *
 * Campus sessions ask; portal events only where they have a fence, so a plain portal mark costs no statement more.  The table
 * device_uses closes the race of two accounts with one device: its key is device and event, so of two marks at the same moment
 * the second waits for the first and then, run again, sees it.  In the same way the unique indexes of `devices` decide between
 * two first uses.
 */
#include "attendance/measure.h"

#include "attendance/count.h"
#include "attendance/device_parts.h"
#include "attendance/history.h"
#include "attendance/p256.h"
#include "attendance/selfie.h"
#include "audit/audit.h"
#include "core/conf.h"
#include "http/server.h"
#include "notify/notify.h"

/* --- what is there --------------------------------------------------------------------------------------------------------- */

struct device_look {
	struct device_row bound;
	bool elsewhere, spent, again; /* again: this account noted it before, with a record that was removed since */
	struct uuid twin;
	int64_t lately;
};
static const struct field device_look_fields[] = {
	F_OBJ(struct device_look, bound, &device_row_schema, NULL),
	F(struct device_look, elsewhere, 0, 0, 0, NULL),
	F(struct device_look, spent, 0, 0, 0, NULL),
	F(struct device_look, again, 0, 0, 0, NULL),
	F(struct device_look, twin, 0, 0, 0, NULL),
	F(struct device_look, lately, F_TIME, 0, 0, NULL),
};
static const struct schema device_look_schema = SCHEMA("DeviceLook", struct device_look, device_look_fields);

/*
 * $1 student, $2 hash of the id, $3 event, $4 challenge; a device that others used after $5 is warm, and only in sessions that began
 * after $6 and ended after $7 can that have been.  OFFSET 0 and LATERAL as in MARK_LOAD.
 *
 * The account's own device is nobody else's, and who used it before it was bound has cooled down when that was before $5: so other
 * sessions are searched for new devices only.
 */
#define ID_OR_KEY "COALESCE($2, CASE WHEN d.public_key IS NOT NULL THEN d.device_hash END)"
#define USED_HERE "x.device_hash = " ID_OR_KEY " AND x.event_id = $3"
#define USED_THERE                                                                                   \
	"(SELECT y.used_at FROM device_uses y WHERE y.device_hash = " ID_OR_KEY " AND y.event_id = v.id" \
	" AND y.user_id <> $1{+ OFFSET 0})"
SQL(DEVICE_LOOK, "utuummm",
	"SELECT {+many.number, }d.id AS \"bound.id\", d.device_hash AS \"bound.device_hash\", d.key_id AS \"bound.key_id\","
	" d.public_key AS \"bound.public_key\", COALESCE(d.decided_at, d.created_at) AS \"bound.since\","
	" CASE WHEN d.device_hash = $2 THEN FALSE ELSE EXISTS (SELECT 1 FROM devices o WHERE o.device_hash = $2"
	" AND o.status = 'bound' AND o.user_id <> $1{+ OFFSET 0}) END AS elsewhere,"
	" EXISTS (SELECT 1 FROM spent_claims s WHERE s.claim_id = $4{+ OFFSET 0}) AS spent,"
	" COALESCE(x.user_id = $1, FALSE) AS again, CASE WHEN x.user_id <> $1 THEN x.attendance_id END AS twin,"
	" CASE WHEN d.device_hash = $2 AND COALESCE(d.decided_at, d.created_at) <= $5 THEN NULL ELSE"
	" (SELECT MAX(" USED_THERE ") FROM events v WHERE v.kind = 'session' AND v.scheduled_at > $6"
	" AND (v.ends_at IS NULL OR v.ends_at > $7) AND v.id <> $3) END AS lately"
	" FROM {+@ CROSS JOIN }users u LEFT JOIN {+LATERAL (SELECT * FROM }devices d"
	"{+ WHERE d.user_id = $1 AND d.status = 'bound' OFFSET 0) d} ON d.user_id = u.id AND d.status = 'bound'"
	" LEFT JOIN {+LATERAL (SELECT * FROM }device_uses x{+ WHERE " USED_HERE " OFFSET 0) x} ON " USED_HERE " WHERE u.id = $1");

struct before_look {
	int64_t at, distance_m;
	double latitude, longitude, radius_m;
};
static const struct field before_look_fields[] = {
	F(struct before_look, at, F_TIME, 0, 0, NULL),
	F(struct before_look, distance_m, 0, 0, 0, NULL),
	F(struct before_look, latitude, 0, 0, 0, NULL),
	F(struct before_look, longitude, 0, 0, 0, NULL),
	F(struct before_look, radius_m, 0, 0, 0, NULL),
};
static const struct schema before_look_schema = SCHEMA("MarkBefore", struct before_look, before_look_fields);

/* Not IN (…), as in attendance_records: SQLite would build a table of the list each time. */
SQL(BEFORE_LOOK, "uum",
	"SELECT r.marked_at AS at, r.distance_m, e.latitude, e.longitude, e.geofence_radius_m AS radius_m"
	" FROM attendance_records r JOIN events e ON e.id = r.event_id WHERE r.user_id = $1 AND r.marked_at > $3 AND r.event_id <> $2"
	" AND e.latitude IS NOT NULL AND e.longitude IS NOT NULL AND (r.method = 'qr' OR r.method = 'code')"
	" AND r.status <> 'absent' AND r.status <> 'excused' AND r.status <> 'rejected' ORDER BY r.marked_at DESC LIMIT 1");

/* --- the device ------------------------------------------------------------------------------------------------------------ */

/* What the key signs beside the challenge: what was presented, as it was sent. */
static const char *
presented(struct ctx *cx, const struct mark_in *in)
{
	if (in->qr_payload)
		return in->qr_payload;
	if (in->claim)
		return in->claim;
	if (in->qr_session_id && in->qr_nonce)
		return arena_printf(cx->arena, "%s.%s", in->qr_session_id, in->qr_nonce);
	return in->code ? in->code : "";
}

static bool
key_signed(struct ctx *cx, const char *jwk, const struct mark_in *in)
{
	struct p256 key;
	struct buf text;

	buf_init(&text, cx->arena, 1024);
	buf_str(&text, in->device_challenge);
	buf_chr(&text, '\0');
	buf_str(&text, presented(cx, in));
	return p256_read(cx->arena, jwk, &key) && p256_signed(cx->arena, key.x, key.y, buf_span(&text), in->device_signature);
}

static enum signing
signing_of(struct ctx *cx, const struct device_look *m, const struct mark_case *c)
{
	const struct mark_in *in = c->in;

	if (!in->device_challenge || !in->device_signature)
		return SIGNING_MISSING;
	if (!c->device.challenge.text[0])
		return SIGNING_STALE;
	if (!key_signed(cx, m->bound.public_key, in))
		return SIGNING_BAD;
	return m->spent ? SIGNING_SPENT : SIGNING_GOOD;
}

static int64_t
warm_from_us(const struct ctx *cx)
{
	return cx->now_us - cx->srv->conf->device_cooldown_minutes * MINUTES_US;
}

static enum err
read_device(struct ctx *cx, const struct device_look *m, const struct device_shown *shown, const char *hash, struct mark_case *c)
{
	struct mark_device *d = &c->device;
	bool older = false;

	d->bound = m->bound.id.text[0] && !device_lapsed(cx, &m->bound);
	if (m->bound.id.text[0] && !d->bound)
		d->lapsed = m->bound.id;
	d->own = d->shown && d->bound && device_is(cx, &m->bound, shown);
	d->signing = m->bound.public_key ? signing_of(cx, m, c) : SIGNING_UNSET;
	d->twin = m->twin;
	if (d->shown)
		TRY(device_elsewhere(cx, cx->actor->user_id.text, shown, 1, &older));
	d->elsewhere = m->elsewhere || older;
	bool mine = d->own || d->signing == SIGNING_GOOD;
	d->again = m->again;
	d->lately = m->lately != TIME_NONE && m->lately > warm_from_us(cx) && !(mine && m->bound.since <= m->lately);
	if (d->shown)
		d->hash = hash;
	else if (d->signing == SIGNING_GOOD)
		d->hash = m->bound.device_hash;
	return OK;
}

/* --- the rest -------------------------------------------------------------------------------------------------------------- */

static enum err
read_before(struct ctx *cx, struct mark_case *c)
{
	struct before_look b;
	bool found;

	TRY(db_find(cx, &BEFORE_LOOK, &before_look_schema, &b, &found, V_ID(cx->actor->user_id), V_ID(c->row.event_id),
		V(c->at_us - DAYS_US)));
	if (!found)
		return OK;
	c->before = (struct mark_before){.there = true, .at_us = b.at, .latitude = b.latitude, .longitude = b.longitude};
	if (b.distance_m != FIELD_NONE)
		c->before.margin_m = (double)b.distance_m;
	else if (!isnan(b.radius_m))
		c->before.margin_m = b.radius_m;
	return OK;
}

static enum network_place
network_of(struct ctx *cx, const char *networks)
{
	const json_t *list = networks ? json_read(cx->arena, span_str(networks)) : NULL;
	uint8_t ip[16];

	if (!json_array_size(list))
		return NETWORK_ANY;
	bool known = ip_parse(cx->client->ip, ip);
	for (size_t i = 0; known && i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct cidr cidr;
		if (text && cidr_parse(text, &cidr) && cidr_has(&cidr, ip))
			return NETWORK_INSIDE;
	}
	return NETWORK_OUTSIDE;
}

/* What DEVICE_LOOK is asked with; the same for one mark each time. */
struct asking {
	struct device_shown shown;
	char hash[B64_SHA256_CHARS + 1];
	struct uuid challenge;
	int64_t used_after_us, ended_after_us, began_after_us;
};

static struct asking
asking_of(struct ctx *cx, const struct mark_in *in)
{
	struct asking q = {.shown = {.text = in->imei ? str_trim(cx->arena, in->imei) : ""}, .used_after_us = warm_from_us(cx)};

	q.ended_after_us = q.used_after_us - cx->srv->conf->claim_expire_minutes * MINUTES_US;
	q.began_after_us = q.ended_after_us - DURATION_MAX_MINUTES * MINUTES_US;
	if (q.shown.text[0])
		device_hash(key_current(cx->srv->keys, KEY_DEVICE_ID), &q.shown, q.hash);
	if (!device_challenge_good(cx, in->device_challenge, &q.challenge))
		q.challenge = (struct uuid){0};
	return q;
}
#define ASKED_WITH(cx, q, event_id) \
	V_ID((cx)->actor->user_id), V((q)->hash[0] ? (const char *)(q)->hash : NULL), V(event_id), V_ID((q)->challenge), \
		V((q)->used_after_us), V((q)->began_after_us), V((q)->ended_after_us)

void
measure_ahead(struct ctx *cx, const struct mark_in *in, const char *event_id)
{
	const struct asking q = asking_of(cx, in);

	db_ahead(cx, &DEVICE_LOOK, ASKED_WITH(cx, &q, event_id));
}

static enum err
look_at_device(struct ctx *cx, struct mark_case *c)
{
	struct asking q = asking_of(cx, c->in);
	struct device_look m;
	bool found;

	c->device.shown = q.shown.text[0];
	c->device.challenge = q.challenge;
	TRY(db_find(cx, &DEVICE_LOOK, &device_look_schema, &m, &found, ASKED_WITH(cx, &q, (const char *)c->row.event_id.text)));
	if (!found)
		return fail_internal(cx, ERR_INTERNAL, "the account that marks has no row");
	return read_device(cx, &m, &q.shown, arena_printf(cx->arena, "%s", q.hash), c);
}

SQL(LIVENESS_SPENT, "u", "SELECT COUNT(*) FROM spent_claims WHERE claim_id = $1");

/* Only a mark that answers a challenge pays for it. */
static enum err
look_at_liveness(struct ctx *cx, struct mark_case *c)
{
	int64_t spent = 0;

	if (c->in->selfie && c->in->selfie->liveness.challenge.text[0])
		TRY(db_int(cx, &LIVENESS_SPENT, &spent, V_ID(c->in->selfie->liveness.challenge)));
	c->liveness_spent = spent != 0;
	return OK;
}

enum err
measure(struct ctx *cx, struct mark_case *c)
{
	const struct mark_row *row = &c->row;
	bool wanted = str_eq(row->kind, "session") || row->require_device || c->in->imei;

	c->network = network_of(cx, row->networks);
	c->before = (struct mark_before){0};
	c->device = (struct mark_device){.asked = wanted && c->policy.device != LAYER_OFF};
	if (c->device.asked)
		TRY(look_at_device(cx, c));
	TRY(look_at_liveness(cx, c));
	return isnan(row->latitude) || c->policy.geofence == LAYER_OFF ? OK : read_before(cx, c);
}

/* --- what follows ---------------------------------------------------------------------------------------------------------- */

SQL(SETTLE_FLAG, "um",
	"UPDATE attendance_records SET status = 'flagged', changed_at = $2,"
	" flags = CASE WHEN flags IS NULL THEN 'device' ELSE flags || ',device' END WHERE id = $1 AND marked_by IS NULL"
	" AND status IN ('present', 'late', 'flagged') AND (flags IS NULL OR ',' || flags || ',' NOT LIKE '%,device,%')"
	" RETURNING user_id AS id");
SQL(SETTLE_LOG, "umt",
	"INSERT INTO verification_logs (attendance_id, created_at, layers) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");

struct owner_row {
	struct uuid id;
	const char *was;
};
static const struct field owner_row_fields[] = {
	F(struct owner_row, id, 0, 0, 0, NULL),
	F(struct owner_row, was, 0, 0, 0, NULL),
};
static const struct schema owner_row_schema = SCHEMA("RecordOwner", struct owner_row, owner_row_fields);

SQL(SETTLE_WAS, "u", "SELECT user_id AS id, status AS was FROM attendance_records WHERE id = $1");

/* The other record made with this device, unless somebody decided about it. */
static enum err
flag_twin(struct ctx *cx, const struct mark_case *c, const char *attendance_id)
{
	static const char layers[] =
		"[{\"layer\":\"device\",\"verdict\":\"flag\",\"detail\":\"Another account marked with the same device later.\"}]";
	const char *twin = c->device.twin.text;
	struct owner_row before, owner;
	bool found;

	TRY(db_find(cx, &SETTLE_WAS, &owner_row_schema, &before, &found, V(twin)));
	if (found)
		TRY(db_find(cx, &SETTLE_FLAG, &owner_row_schema, &owner, &found, V(twin), V(cx->now_us)));
	if (!found)
		return OK;
	TRY(history_add(cx, twin, NULL,
		&(const struct history_change){before.was, "flagged", "Another account marked with the same device."}));
	/* Behind the mark's own row, also when that is of this very moment. */
	TRY(db_exec(cx, &SETTLE_LOG, NULL, V(twin), V(cx->now_us + 1), V((const char *)layers)));
	TRY(audit_ok(cx, AUDIT_ATTENDANCE_CHANGED, "attendance_record", twin, AUDIT_TEXT("event_id", c->row.event_id.text),
		AUDIT_TEXT("user_id", owner.id.text), AUDIT_TEXT("to", "flagged"), AUDIT_TEXT("reason", "same device"),
		AUDIT_TEXT("other_record", attendance_id)));
	TRY(notify_user(cx, owner.id.text,
		&(const struct notification_new){.type = "decision",
			.title = "Attendance under review",
			.message = arena_printf(cx->arena,
				"Your attendance at %s will be reviewed: another account marked with the same device.", c->row.title),
			.mail = "decision"}));
	return event_recount(cx, c->row.event_id.text);
}

SQL(SETTLE_USE, "tuuum",
	"INSERT INTO device_uses (device_hash, event_id, user_id, attendance_id, used_at) SELECT $1, $2, $3, $4, $5{+ FROM @}"
	" WHERE TRUE ON CONFLICT (device_hash, event_id) DO NOTHING");
SQL(SETTLE_AGAIN, "tuuum",
	"UPDATE device_uses SET attendance_id = $4, used_at = $5 WHERE device_hash = $1 AND event_id = $2 AND user_id = $3");
SQL(SETTLE_SPEND, "um",
	"INSERT INTO spent_claims (claim_id, spent_at) SELECT $1, $2{+ FROM @} WHERE TRUE ON CONFLICT (claim_id) DO NOTHING");
SQL(SETTLE_LAPSE, "u", "UPDATE devices SET status = 'retired' WHERE id = $1 AND status = 'bound'");
SQL(SETTLE_BIND, "uuttm",
	"INSERT INTO devices (id, user_id, device_hash, key_id, status, created_at) SELECT $1, $2, $3, $4, 'bound', $5{+ FROM @}"
	" WHERE TRUE ON CONFLICT DO NOTHING");

/* Of two marks with one challenge at once the second finds it spent when it is run again. */
static enum err
liveness_settle(struct ctx *cx, const struct mark_case *c)
{
	int64_t rows = 1;

	if (!c->liveness_spent && c->in->selfie && c->in->selfie->liveness.challenge.text[0])
		TRY(db_exec(cx, &SETTLE_SPEND, &rows, V_ID(c->in->selfie->liveness.challenge), V(cx->now_us)));
	return rows == 1 ? OK : fail_internal(cx, ERR_UNAVAILABLE, "a challenge was used by two marks at once");
}

enum err
measure_settle(struct ctx *cx, const struct mark_case *c, const struct uuid *attendance_id, const char *flags)
{
	const struct mark_device *d = &c->device;
	const char *who = cx->actor->user_id.text;
	struct db_step steps[4];
	size_t n = 0;
	bool binds = d->shown && !d->bound && !d->signing && !flags;

	TRY(selfie_keep(cx, c, attendance_id->text));
	TRY(liveness_settle(cx, c));
	if (!d->asked)
		return OK;
	struct uuid device = new_id(cx);
	const struct db_step use = DB_STEP(d->again ? &SETTLE_AGAIN : &SETTLE_USE, NULL, NULL, V(d->hash), V_ID(c->row.event_id), V(who),
		V(attendance_id->text), V(cx->now_us));
	const struct db_step spend = DB_STEP(&SETTLE_SPEND, NULL, NULL, V_ID(d->challenge), V(cx->now_us));
	const struct db_step lapse = DB_STEP(&SETTLE_LAPSE, NULL, NULL, V_ID(d->lapsed));
	const struct db_step first = DB_STEP(&SETTLE_BIND, NULL, NULL, V_ID(device), V(who), V(d->hash),
		V(key_current(cx->srv->keys, KEY_DEVICE_ID)->id), V(cx->now_us));
	if (d->hash && !d->twin.text[0])
		steps[n++] = use;
	if (d->signing == SIGNING_GOOD)
		steps[n++] = spend;
	if (binds && d->lapsed.text[0])
		steps[n++] = lapse;
	if (binds)
		steps[n++] = first;
	for (size_t i = 0; i < n; i++)
		steps[i].expect = 1;
	if (n)
		TRY(db_list(cx, steps, n));
	for (size_t i = 0; i < n; i++)
		if (steps[i].rows != 1)
			return fail_internal(cx, ERR_UNAVAILABLE, "a device or challenge was used by two marks at once");
	if (d->twin.text[0])
		TRY(flag_twin(cx, c, attendance_id->text));
	return binds ? device_tell_bound(cx, who, device.text, "imei", "first_use") : OK;
}
