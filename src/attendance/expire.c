/*
 * What was used up is forgotten when nothing can bring it back: a nonce after an hour, and never before its code and every claim
 * made from the code have expired.  A claim lives at most so long after its spending as after its making.  Which device marked is
 * forgotten when its session, of a day at most, and the cool-down are over.
 *
 * What time it is, is taken from the run before, an hour ago: when the clock is set forward by days and back again, codes and
 * claims live again, and what they were used for must still be known.
 */
#include "attendance/record.h"

#include <string.h>

#include "core/conf.h"
#include "store/db.h"

struct run_before {
	struct uuid at; /* its time */
};
static const struct field run_before_fields[] = {F(struct run_before, at, 0, 0, 0, "Its time.")};
static const struct schema run_before_schema = SCHEMA("RunBefore", struct run_before, run_before_fields);

SQL(RUN_BEFORE, "", "SELECT reached AS at FROM positions WHERE name = 'nonce_expire'");
SQL(RUN_NOTE, "u",
	"INSERT INTO positions (name, reached) VALUES ('nonce_expire', $1) ON CONFLICT (name) DO UPDATE SET reached = "
	"excluded.reached");

static enum err
run_note(struct ctx *cx)
{
	static const uint8_t chance[10];
	struct uuid at = uuid_v7(cx->now_us, chance);

	return db_exec(cx, &RUN_NOTE, NULL, V_ID(at));
}

/* The first run only notes its time. */
static enum err
run_before(struct ctx *cx, int64_t *ret_us)
{
	struct run_before before;
	bool found;

	TRY(db_find(cx, &RUN_BEFORE, &run_before_schema, &before, &found));
	*ret_us = found ? uuid_v7_time_us(before.at.text) : 0;
	if (*ret_us > cx->now_us)
		*ret_us = cx->now_us;
	return OK;
}

SQL(NONCES_DROP, "mi",
	"DELETE FROM used_nonces WHERE (nonce, user_id) IN (SELECT nonce, user_id FROM used_nonces WHERE used_at < $1 LIMIT $2)");
SQL(CLAIMS_DROP, "mi",
	"DELETE FROM spent_claims WHERE claim_id IN (SELECT claim_id FROM spent_claims WHERE spent_at < $1 LIMIT $2)");
SQL(USES_DROP, "mi",
	"DELETE FROM device_uses WHERE (device_hash, event_id) IN"
	" (SELECT device_hash, event_id FROM device_uses WHERE used_at < $1 LIMIT $2)");

enum err
nonce_expire(struct ctx *cx, int64_t *ret_rows)
{
	const struct config *conf = cx->srv->conf;
	int64_t alive_us = conf->qr_expiry_seconds * SECONDS_US + conf->claim_expire_minutes * MINUTES_US + MINUTES_US;
	int64_t cooldown_us = conf->device_cooldown_minutes * MINUTES_US, nonces, claims, uses, then_us;

	TRY(run_before(cx, &then_us));
	int64_t before_us = then_us - (alive_us > HOURS_US ? alive_us : HOURS_US);
	int64_t uses_before_us = then_us - (cooldown_us > 2 * DAYS_US ? cooldown_us : 2 * DAYS_US);
	TRY(db_exec(cx, &NONCES_DROP, &nonces, V(before_us), V(BULK_TURN_ROWS)));
	TRY(db_exec(cx, &CLAIMS_DROP, &claims, V(before_us), V(BULK_TURN_ROWS)));
	TRY(db_exec(cx, &USES_DROP, &uses, V(uses_before_us), V(BULK_TURN_ROWS)));
	*ret_rows = nonces > claims ? nonces : claims;
	if (uses > *ret_rows)
		*ret_rows = uses;
	return *ret_rows < BULK_TURN_ROWS ? run_note(cx) : OK; /* a run of many turns goes by one time */
}
