/*
 * What was used up is forgotten when nothing can bring it back: a nonce after an hour, and never before its code and every claim
 * made from the code have expired.  A claim lives at most so long after its spending as after its making.  Which device marked is
 * forgotten when its session, of a day at most, and the cool-down are over.
 */
#include "attendance/record.h"

#include "core/conf.h"
#include "store/db.h"

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
	int64_t before_us = cx->now_us - (alive_us > HOURS_US ? alive_us : HOURS_US);
	int64_t cooldown_us = conf->device_cooldown_minutes * MINUTES_US;
	int64_t uses_before_us = cx->now_us - (cooldown_us > 2 * DAYS_US ? cooldown_us : 2 * DAYS_US);
	int64_t nonces, claims, uses;

	TRY(db_exec(cx, &NONCES_DROP, &nonces, V(before_us), V(BULK_TURN_ROWS)));
	TRY(db_exec(cx, &CLAIMS_DROP, &claims, V(before_us), V(BULK_TURN_ROWS)));
	TRY(db_exec(cx, &USES_DROP, &uses, V(uses_before_us), V(BULK_TURN_ROWS)));
	*ret_rows = nonces > claims ? nonces : claims;
	if (uses > *ret_rows)
		*ret_rows = uses;
	return OK;
}
