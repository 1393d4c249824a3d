/*
 * Claims: a scan that outlives its code, so that login may come after it.
 *
 * A claim is a signed token and nothing is stored until it is spent.  It carries the browser's public key whole, since the proof
 * is checked long after; everything in it is flat and without escapes, as the claim reader wants it.
 */
#include "attendance/case.h"
#include "attendance/p256.h"

#include <string.h>

#include "attendance/rotation.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/jws.h"
#include "core/metrics.h"
#include "http/limit.h"
#include "http/server.h"

static const char claim_typ[] = "claim";

static const struct field claim_in_fields[] = {
	F(struct claim_in, qr_payload, 0, 0, TOKEN_MAX, "What the QR picture says, with or without its URL"),
	F(struct claim_in, code, 0, 0, 64, "The typed short code instead; needs event_id"),
	F(struct claim_in, event_id, 0, LABEL_CHARS, ID_BYTES, "The event of a typed code, or a session's label"),
	F(struct claim_in, public_key, F_JSON, 0, 0, "P-256 public key as JWK; required in staging and production"),
};
const struct schema claim_in_schema = SCHEMA("ClaimIn", struct claim_in, claim_in_fields);
static const struct field claim_asks_fields[] = {
	F(struct claim_asks, place, 0, 0, 0, "Where the student is"),
	F(struct claim_asks, device, 0, 0, 0, "A registered device"),
	F(struct claim_asks, face, 0, 0, 0, "A selfie"),
	F(struct claim_asks, liveness, 0, 0, 0, "Three of them, which answer a liveness challenge"),
};
static const struct schema claim_asks_schema = SCHEMA("ClaimAsks", struct claim_asks, claim_asks_fields);
static const struct field claim_event_fields[] = {
	F(struct claim_event, id, 0, 0, 0, "Event or session"),
	F(struct claim_event, title, 0, 0, 0, "Title of the event"),
	F(struct claim_event, kind, 0, 0, 0, "event, or session: marked at POST /api/v1/student/attendance"),
	F_OBJ(struct claim_event, asks, &claim_asks_schema, "What the mark should carry besides"),
};
static const struct schema claim_event_schema = SCHEMA("ClaimEvent", struct claim_event, claim_event_fields);
static const struct field claim_out_fields[] = {
	F(struct claim_out, claim, F_SECRET, 0, 0, "Give it to mark after signing in"),
	F(struct claim_out, expires_at, F_TIME, 0, 0, "Until when"),
	F_OBJ(struct claim_out, event, &claim_event_schema, "What it is for"),
};
const struct schema claim_out_schema = SCHEMA("ClaimOut", struct claim_out, claim_out_fields);

/* --- the client ------------------------------------------------------------------------------------------------------------ */

static void
client_mac(const struct key *key, const char *what, const char *value, char ret[B64_SHA256_CHARS + 1])
{
	uint8_t mac[SHA256_BYTES];
	const struct span parts[] = {SPAN_LIT("muster.claim."), span_str(what), SPAN_LIT("\n"), span_str(value)};

	crypto_hmac(key_span(key), parts, sizeof(parts) / sizeof(parts[0]), mac);
	b64url_encode((struct span){mac, sizeof(mac)}, ret);
}

static void
client_macs(struct ctx *cx, char ret_network[B64_SHA256_CHARS + 1], char ret_agent[B64_SHA256_CHARS + 1])
{
	const struct key *key = key_current(cx->srv->keys, KEY_CLIENT);
	char network[IP_TEXT_BYTES];

	ip_prefix(cx->client->ip, network);
	client_mac(key, "net", network, ret_network);
	client_mac(key, "ua", cx->client->user_agent, ret_agent);
}

/* Under any key of the list: a key may be retired between scan and mark. */
static bool
client_is(struct ctx *cx, const char *what, const char *value, const char *mac)
{
	char own[B64_SHA256_CHARS + 1];
	bool same = false;

	for (size_t i = 0; i < key_count(cx->srv->keys, KEY_CLIENT); i++) {
		client_mac(key_nth(cx->srv->keys, KEY_CLIENT, i), what, value, own);
		same = same || str_eq(own, mac);
	}
	return same;
}

/* --- the key --------------------------------------------------------------------------------------------------------------- */

static enum err
read_key(struct ctx *cx, const char *text, struct p256 *ret)
{
	const char *wrong = NULL;

	*ret = (struct p256){.x = ""};
	if (!text)
		wrong = cx->srv->conf->env != ENV_DEV ? "is required" : NULL;
	else if (!p256_read(cx->arena, text, ret))
		wrong = "must be a P-256 public key as JWK";
	if (!wrong)
		return OK;
	error_field(cx, "public_key", "%s", wrong);
	return fail(cx, ERR_VALIDATION, NULL);
}

/* --- making ---------------------------------------------------------------------------------------------------------------- */

static const char *
sign_claim(struct ctx *cx, const struct mark_case *c, const struct p256 *pub, int64_t expires_us)
{
	char network[B64_SHA256_CHARS + 1], agent[B64_SHA256_CHARS + 1];
	struct uuid id = new_id(cx);
	struct buf b;
	struct json j;

	client_macs(cx, network, agent);
	buf_init(&b, cx->arena, 768);
	json_init(&j, &b);
	json_obj(&j, NULL);
	json_str(&j, "jti", id.text);
	json_str(&j, "s", c->code.session_id.text);
	json_str(&j, "n", c->code.nonce);
	json_int(&j, "x", c->code.expires_us / SECONDS_US);
	json_str(&j, "ev", c->row.event_id.text);
	if (c->row.label)
		json_str(&j, "lb", c->row.label);
	json_str(&j, "m", c->method);
	json_int(&j, "at", c->at_us);
	if (pub->x[0]) {
		json_str(&j, "kt", pub->thumbprint);
		json_str(&j, "kx", pub->x);
		json_str(&j, "ky", pub->y);
	}
	json_str(&j, "net", network);
	json_str(&j, "ua", agent);
	json_int(&j, "iat", cx->now_us / SECONDS_US);
	json_int(&j, "exp", expires_us / SECONDS_US);
	json_obj_end(&j);
	return jws_sign(cx->arena, key_current(cx->srv->keys, KEY_CLAIM), claim_typ, buf_cstr(&b));
}

/* Payloads that are not ours cost little, but a hall's generous limit by address is not meant for them. */
static enum err
count_foreign(struct ctx *cx)
{
	const struct limit limit = {"claim_foreign", conf_live(&cx->srv->conf->rate_limit_per_minute), 60};
	char prefix[IP_TEXT_BYTES];
	int retry_s = 1;

	if (!cx->srv->limiter || !cx->srv->conf->rate_limit_enabled)
		return OK;
	ip_prefix(cx->client->ip, prefix);
	if (limiter_take(cx->srv->limiter, &limit, prefix, &retry_s))
		return OK;
	cx->error.retry_after_s = retry_s;
	return fail(cx, ERR_RATE_LIMITED, NULL);
}

static enum err
check_claim_in(struct ctx *cx, const struct claim_in *in, char ret_ref[ID_BYTES + 1])
{
	if (in->qr_payload ? in->code != NULL : in->code == NULL)
		error_field(cx, "qr_payload", "give either qr_payload or code with event_id");
	else
		return in->code ? typed_ref(cx, in->event_id, ret_ref) : OK;
	return fail(cx, ERR_VALIDATION, NULL);
}

static struct claim_event
event_of(const struct mark_case *c)
{
	const struct mark_row *row = &c->row;
	const struct mark_asks asks = case_asks(c);

	return (struct claim_event){.id = row->event_id,
		.title = row->title,
		.kind = row->kind,
		.asks = {.place = !isnan(row->latitude) && c->policy.geofence != LAYER_OFF,
			.device = row->require_device && c->policy.device != LAYER_OFF,
			.face = asks.face && c->face_model,
			.liveness = asks.liveness}};
}

enum err
attendance_claim(struct ctx *cx, const struct claim_in *in, struct claim_out *ret)
{
	struct mark_case c;
	struct p256 pub;
	char ref[ID_BYTES + 1];

	TRY(check_claim_in(cx, in, ref));
	TRY(read_key(cx, in->public_key, &pub));
	if (in->qr_payload)
		TRY(case_of_payload(cx, in->qr_payload, &c));
	else
		TRY(case_of_typed(cx, ref, in->code, &c));
	if (c.signature != OK && in->qr_payload)
		TRY(count_foreign(cx));
	TRY(case_load(cx, NULL, &c));

	enum err why = layers_judge(&c, false);
	if (why != OK)
		return fail(cx, why, NULL);
	if (c.policy.claim == CLAIM_POLICY_OFF)
		return fail(cx, ERR_CONFLICT, "This event takes no claims; sign in first, then scan.");

	int64_t expires_us = (cx->now_us / SECONDS_US + cx->srv->conf->claim_expire_minutes * 60) * SECONDS_US;
	*ret = (struct claim_out){
		.claim = sign_claim(cx, &c, &pub, expires_us), .expires_at = expires_us, .event = event_of(&c)};
	return OK;
}

/* --- reading --------------------------------------------------------------------------------------------------------------- */

static bool
claim_id_of(struct span claims, const char *name, struct uuid *ret)
{
	char text[ID_BYTES + 1];

	return claim_text(claims, name, text, sizeof(text)) && uuid_canonical(text, ret);
}

static bool
read_claims(struct span claims, struct mark_claim *ret)
{
	char method[8];
	int64_t x, exp;

	if (!claim_id_of(claims, "jti", &ret->id) || !claim_id_of(claims, "s", &ret->code.session_id) ||
		!claim_id_of(claims, "ev", &ret->event_id) ||
		!claim_text(claims, "n", ret->code.nonce, sizeof(ret->code.nonce)) || !claim_int(claims, "x", &x) ||
		!claim_int(claims, "at", &ret->at_us) || !claim_int(claims, "exp", &exp) ||
		!claim_text(claims, "m", method, sizeof(method)) ||
		!claim_text(claims, "net", ret->network, sizeof(ret->network)) ||
		!claim_text(claims, "ua", ret->agent, sizeof(ret->agent)))
		return false;
	ret->code.expires_us = x * SECONDS_US;
	ret->expires_us = exp * SECONDS_US;
	ret->typed = str_eq(method, "code");
	if (!claim_text(claims, "kx", ret->x, sizeof(ret->x)) || !claim_text(claims, "ky", ret->y, sizeof(ret->y)))
		ret->x[0] = ret->y[0] = 0;
	if (!claim_text(claims, "lb", ret->label, sizeof(ret->label)))
		ret->label[0] = 0;
	return true;
}

enum err
case_of_claim(struct ctx *cx, const char *claim, const char *proof, struct mark_case *ret)
{
	struct jws_parts parts;
	struct span claims;
	char network[IP_TEXT_BYTES];

	*ret = (struct mark_case){.now_us = cx->now_us, .at_us = cx->now_us, .method = "qr", .by_claim = true};
	if (!jws_split(cx->arena, claim, &parts)) {
		ret->signature = ERR_INVALID_QR;
		return OK;
	}
	if (!jws_verify(cx->arena, cx->srv->keys, KEY_CLAIM, claim_typ, claim, &claims)) {
		ret->signature = ERR_INVALID_SIGNATURE;
		return OK;
	}
	if (!read_claims(claims, &ret->claim))
		return fail_internal(cx, ERR_INTERNAL, "a claim of our own does not read");
	ret->code = ret->claim.code;
	ret->at_us = ret->claim.at_us;
	ret->method = ret->claim.typed ? "code" : "qr";
	ret->has_key = ret->claim.x[0] != 0;
	ret->proof_fits = ret->has_key && p256_signed(cx->arena, ret->claim.x, ret->claim.y, span_str(claim), proof);
	ip_prefix(cx->client->ip, network);
	ret->other_network = !client_is(cx, "net", network, ret->claim.network);
	ret->other_agent = !client_is(cx, "ua", cx->client->user_agent, ret->claim.agent);
	return OK;
}
