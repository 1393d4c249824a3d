/* The token names the account and its end under a key of its own; members that are empty are left out. */
#include "attendance/challenge.h"

#include "core/json.h"
#include "core/jws.h"

const char *
challenge_sign(struct ctx *cx, const char *typ, struct challenge *c, int64_t *ret_expires_at)
{
	int64_t expires_s = cx->now_us / SECONDS_US + CHALLENGE_LIFE_S;
	struct buf b;
	struct json j;

	c->id = new_id(cx);
	buf_init(&b, cx->arena, 256);
	json_init(&j, &b);
	json_obj(&j, NULL);
	json_str(&j, "jti", c->id.text);
	json_str(&j, "sub", cx->actor->user_id.text);
	if (c->about.text[0])
		json_str(&j, "ev", c->about.text);
	if (c->says[0])
		json_str(&j, "says", c->says);
	json_int(&j, "exp", expires_s);
	json_obj_end(&j);
	*ret_expires_at = expires_s * SECONDS_US;
	return jws_sign(cx->arena, key_current(cx->srv->keys, KEY_CHALLENGE), typ, buf_cstr(&b));
}

bool
challenge_read(struct ctx *cx, const char *typ, const char *token, struct challenge *ret)
{
	struct challenge c = {0};
	char sub[ID_BYTES + 1];
	struct span claims;
	int64_t exp;

	if (!token || !jws_verify(cx->arena, cx->srv->keys, KEY_CHALLENGE, typ, token, &claims) ||
		!claim_text(claims, "jti", c.id.text, sizeof(c.id.text)) || !claim_text(claims, "sub", sub, sizeof(sub)) ||
		!claim_int(claims, "exp", &exp) || !str_eq(sub, cx->actor->user_id.text) || cx->now_us >= exp * SECONDS_US)
		return false;
	if (!claim_text(claims, "ev", c.about.text, sizeof(c.about.text)))
		c.about.text[0] = '\0';
	if (!claim_text(claims, "says", c.says, sizeof(c.says)))
		c.says[0] = '\0';
	*ret = c;
	return true;
}
