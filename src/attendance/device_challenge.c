/*
 * Challenges.  A token under a key of its own names the account and its end; whether it was used stands in spent_claims, where the
 * successful mark writes its id.  So a mark that fails may be tried again with the same challenge, as with a claim.
 */
#include "attendance/device.h"

#include "attendance/device_parts.h"
#include "core/jws.h"

static const char challenge_typ[] = "device-challenge";

static const struct field device_challenge_fields[] = {
	F(struct device_challenge, challenge, 0, 0, 0, "What the key signs, together with what is presented"),
	F(struct device_challenge, expires_at, F_TIME, 0, 0, "Until when"),
};
const struct schema device_challenge_schema = SCHEMA("DeviceChallenge", struct device_challenge, device_challenge_fields);

enum err
device_challenge_make(struct ctx *cx, struct device_challenge *ret)
{
	int64_t expires_s = cx->now_us / SECONDS_US + CHALLENGE_LIFE_S;
	struct uuid id = new_id(cx);
	struct buf b;
	struct json j;

	buf_init(&b, cx->arena, 256);
	json_init(&j, &b);
	json_obj(&j, NULL);
	json_str(&j, "jti", id.text);
	json_str(&j, "sub", cx->actor->user_id.text);
	json_int(&j, "exp", expires_s);
	json_obj_end(&j);
	ret->challenge = jws_sign(cx->arena, key_current(cx->srv->keys, KEY_CHALLENGE), challenge_typ, buf_cstr(&b));
	ret->expires_at = expires_s * SECONDS_US;
	return OK;
}

bool
device_challenge_good(struct ctx *cx, const char *challenge, struct uuid *ret_id)
{
	char sub[ID_BYTES + 1];
	struct span claims;
	int64_t exp;

	return challenge && jws_verify(cx->arena, cx->srv->keys, KEY_CHALLENGE, challenge_typ, challenge, &claims) &&
	       claim_text(claims, "jti", ret_id->text, sizeof(ret_id->text)) && claim_text(claims, "sub", sub, sizeof(sub)) &&
	       claim_int(claims, "exp", &exp) && str_eq(sub, cx->actor->user_id.text) && cx->now_us < exp * SECONDS_US;
}
