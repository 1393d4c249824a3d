/* Campus: the device a student marks with, and the requests of students who have another one. */
#include "api/lists.h"

#include "attendance/device.h"

static enum err
bind(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct device_out out;

	TRY(device_bind(cx, rq->body, &out));
	if (out.request_id.text[0])
		rs->status = 202;
	return reply_record(rs, &device_out_schema, &out);
}

static enum err
challenge(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct device_challenge out;

	(void)rq;
	TRY(device_challenge_make(cx, &out));
	return reply_record(rs, &device_challenge_schema, &out);
}

static enum err
list_resets(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct device_requests out;

	TRY(device_request_list(cx, limit_of(rq), &out));
	return reply_record(rs, &device_requests_schema, &out);
}

static enum err
reset(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct device_reset_out out;

	TRY(device_reset(cx, rq->body, &out));
	return reply_record(rs, &device_reset_out_schema, &out);
}

static enum err
deny(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	TRY(device_deny(cx, rq->body));
	return reply_empty(rs, 204);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/v1/student/device/bind",
		.handler = bind,
		.access = STUDENT,
		.lane = LANE_WRITE,
		.limit = {{"device_bind", 10, 3600}, BY_ACCOUNT, offsetof(struct config, rl_device_account_limit)},
		.body = &device_in_schema,
		.reply = &device_out_schema,
		.status = 201,
		.failure = AUDIT_DEVICE_BOUND,
		.tag = "devices",
		.summary = "Register the device that attendance is marked with",
		.text = "The account's first device is bound at once.  Another one, or one that another account has, is a request to "
			"an administrator (202).  What is bound or asked for already is answered again with the same ids."},
	{.method = GET,
		.path = "/api/v1/student/device/challenge",
		.handler = challenge,
		.access = STUDENT,
		.lane = LANE_LOOP,
		.reply = &device_challenge_schema,
		.status = 200,
		.no_store = true,
		.tag = "devices",
		.summary = "Get a challenge for the device's key to sign",
		.text = "Good for 60 seconds and one mark.  device_signature is base64url of r‖s, ES256 by the registered key over the "
			"challenge, a zero byte, and what is presented: qr_payload or claim as sent; or qr_session_id, a full stop "
			"and qr_nonce."},
	{.method = GET,
		.path = "/api/v1/admin/imei-resets",
		.handler = list_resets,
		.access = ADMIN,
		.lane = LANE_READ,
		.query = &limit_query_schema,
		.reply = &device_requests_schema,
		.status = 200,
		.tag = "devices",
		.summary = "List students who ask for another device"},
	{.method = POST,
		.path = "/api/v1/admin/approve-imei-reset",
		.handler = reset,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &device_reset_in_schema,
		.reply = &device_reset_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_NOT_FOUND, ERR_ALREADY_DECIDED),
		.failure = AUDIT_DEVICE_RESET,
		.idempotent = true,
		.fresh_session = true,
		.tag = "devices",
		.summary = "Give a student another device",
		.text = "Binds the requested device.  For an account without a request its present device is let go, and the next one "
			"binds.  Whoever had the device before loses it and is told."},
	{.method = POST,
		.path = "/api/v1/admin/deny-imei-reset",
		.handler = deny,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &device_denied_in_schema,
		.status = 204,
		.errors = ERRORS(ERR_NOT_FOUND, ERR_ALREADY_DECIDED),
		.failure = AUDIT_DEVICE_RESET,
		.idempotent = true,
		.fresh_session = true,
		.tag = "devices",
		.summary = "Deny a student another device",
		.text = "The request ends and the student is told; the present device stays."},
};
const struct route_table campus_device_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
