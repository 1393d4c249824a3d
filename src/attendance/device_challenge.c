/* The challenge that a device's key signs, together with what is presented: one of attendance/challenge.h, about nothing more. */
#include "attendance/device.h"

#include "attendance/challenge.h"
#include "attendance/device_parts.h"

static const char challenge_typ[] = "device-challenge";

static const struct field device_challenge_fields[] = {
	F(struct device_challenge, challenge, 0, 0, 0, "What the key signs, together with what is presented"),
	F(struct device_challenge, expires_at, F_TIME, 0, 0, "Until when"),
};
const struct schema device_challenge_schema = SCHEMA("DeviceChallenge", struct device_challenge, device_challenge_fields);

enum err
device_challenge_make(struct ctx *cx, struct device_challenge *ret)
{
	struct challenge c = {0};

	ret->challenge = challenge_sign(cx, challenge_typ, &c, &ret->expires_at);
	return OK;
}

bool
device_challenge_good(struct ctx *cx, const char *challenge, struct uuid *ret_id)
{
	struct challenge c;

	if (!challenge_read(cx, challenge_typ, challenge, &c))
		return false;
	*ret_id = c.id;
	return true;
}
