/*
 * Requests for another device, and what administrators do about them.
 *
 * The account's row is held before its devices are read, as in device_bind(), so a request is approved once.  Who loses a device
 * to somebody else is told like the one who gets it.
 */
#include "attendance/device.h"
#include "audit/audit.h"
#include "notify/notify.h"
#include "store/db.h"

/* --- the list -------------------------------------------------------------------------------------------------------------- */

static const struct field device_request_fields[] = {
	F(struct device_request, request_id, 0, 0, 0, "Request"),
	F_OBJ(struct device_request, user, &account_ref_schema, "Who asks"),
	F(struct device_request, kind, 0, 0, 0, "imei or public_key"),
	F(struct device_request, reason, F_NULLABLE, 0, 0, "What was said for it"),
	F(struct device_request, requested_at, F_TIME, 0, 0, "When"),
	F(struct device_request, bound_at, F_TIME | F_NULLABLE, 0, 0, "Since when the account has its present device; null: it has none"),
	F_PTR(struct device_request, owner, F_NULLABLE, &account_ref_schema, "Who would lose this device; null: nobody"),
};
static const struct schema device_request_schema = SCHEMA("DeviceRequest", struct device_request, device_request_fields);
static const struct field device_requests_fields[] = {
	F_LIST(struct device_requests, requests, 0, &device_request_schema, "Oldest first"),
};
const struct schema device_requests_schema = SCHEMA("DeviceRequests", struct device_requests, device_requests_fields);

SQL(DEVICE_REQUESTS, "i",
	"SELECT d.id AS request_id, " ACCOUNT_REF("u", "user") ","
	" CASE WHEN d.public_key IS NULL THEN 'imei' ELSE 'public_key' END AS kind, d.reason, d.created_at AS requested_at,"
	" COALESCE(b.decided_at, b.created_at) AS bound_at,"
	" " ACCOUNT_REF("ou", "owner")
	" FROM devices d JOIN users u ON u.id = d.user_id"
	" LEFT JOIN devices b ON b.user_id = d.user_id AND b.status = 'bound'"
	" LEFT JOIN devices o ON o.device_hash = d.device_hash AND o.status = 'bound' AND o.user_id <> d.user_id"
	" LEFT JOIN users ou ON ou.id = o.user_id"
	" WHERE d.status = 'pending' ORDER BY d.created_at, d.id LIMIT $1");

enum err
device_request_list(struct ctx *cx, int64_t limit, struct device_requests *ret)
{
	return db_all(cx, &DEVICE_REQUESTS, &device_request_schema, &ret->requests, V(limit));
}

/* --- deciding -------------------------------------------------------------------------------------------------------------- */

static const struct field device_reset_in_fields[] = {
	F(struct device_reset_in, user_id, 0, 0, 0, "Whose open request is approved, or whose device is let go"),
	F(struct device_reset_in, request_id, 0, 0, 0, "Instead: the request that is approved"),
};
const struct schema device_reset_in_schema = SCHEMA("DeviceResetIn", struct device_reset_in, device_reset_in_fields);
static const struct field device_reset_out_fields[] = {
	F(struct device_reset_out, user_id, 0, 0, 0, "Account"),
	F(struct device_reset_out, status, 0, 0, 0, "bound: the requested device; reset: none, the next one binds"),
	F(struct device_reset_out, device_id, F_NULLABLE, 0, 0, "The device that is bound now"),
};
const struct schema device_reset_out_schema = SCHEMA("DeviceResetOut", struct device_reset_out, device_reset_out_fields);

struct request_row {
	struct uuid id, user_id;
	const char *status, *device_hash;
};
static const struct field request_row_fields[] = {
	F(struct request_row, id, 0, 0, 0, NULL),
	F(struct request_row, user_id, 0, 0, 0, NULL),
	F(struct request_row, status, 0, 0, 0, NULL),
	F(struct request_row, device_hash, 0, 0, 0, NULL),
};
static const struct schema request_row_schema = SCHEMA("DeviceRequestRow", struct request_row, request_row_fields);

SQL(RESET_REQUEST, "u", "SELECT id, user_id, status, device_hash FROM devices WHERE id = $1");
SQL(RESET_OPEN, "u", "SELECT id, user_id, status, device_hash FROM devices WHERE user_id = $1 AND status = 'pending'");

/* The account's row is held afterwards; *ret without an id: there is no open request, and none was named. */
static enum err
find_request(struct ctx *cx, const struct device_reset_in *in, struct request_row *ret)
{
	bool found;

	*ret = (struct request_row){.user_id = in->user_id};
	if (in->request_id.text[0])
		TRY(db_one(cx, &RESET_REQUEST, &request_row_schema, ret, V_ID(in->request_id)));
	TRY(account_hold(cx, ret->user_id.text));
	if (in->request_id.text[0])
		TRY(db_one(cx, &RESET_REQUEST, &request_row_schema, ret, V_ID(in->request_id)));
	else
		TRY(db_find(cx, &RESET_OPEN, &request_row_schema, ret, &found, V_ID(in->user_id)));
	if (ret->id.text[0] && !str_eq(ret->status, "pending"))
		return fail(cx, ERR_ALREADY_DECIDED, NULL);
	return OK;
}

static enum err
settle(struct ctx *cx, const char *user_id, const char *device_id, const char *outcome, const char *message)
{
	TRY(audit_ok(cx, AUDIT_DEVICE_RESET, "user", user_id, AUDIT_TEXT("outcome", outcome), AUDIT_TEXT("device_id", device_id)));
	return notify_user(cx, user_id,
		&(const struct notification_new){.type = "decision", .title = "Your device", .message = message, .mail = "decision"});
}

SQL(RESET_RETIRE, "umu",
	"UPDATE devices SET status = 'retired', decided_at = $2, decided_by = $3 WHERE user_id = $1 AND status = 'bound'");
SQL(RESET_TAKE, "tumu",
	"UPDATE devices SET status = 'retired', decided_at = $3, decided_by = $4"
	" WHERE device_hash = $1 AND status = 'bound' AND user_id <> $2 RETURNING id, user_id, status, device_hash");
SQL(RESET_BIND, "umu", "UPDATE devices SET status = 'bound', decided_at = $2, decided_by = $3 WHERE id = $1 AND status = 'pending'");

static enum err
approve(struct ctx *cx, const struct request_row *r)
{
	const char *by = cx->actor->user_id.text;
	struct request_row lost;
	bool taken;
	int64_t rows;

	TRY(db_exec(cx, &RESET_RETIRE, NULL, V_ID(r->user_id), V(cx->now_us), V(by)));
	TRY(db_find(cx, &RESET_TAKE, &request_row_schema, &lost, &taken, V(r->device_hash), V_ID(r->user_id), V(cx->now_us), V(by)));
	if (taken)
		TRY(settle(cx, lost.user_id.text, lost.id.text, "taken",
			"Your device was registered for another account.  The next one you use will be yours."));
	TRY(db_exec(cx, &RESET_BIND, &rows, V_ID(r->id), V(cx->now_us), V(by)));
	if (!rows)
		return fail(cx, ERR_ALREADY_DECIDED, NULL);
	return settle(cx, r->user_id.text, r->id.text, "bound", "Your other device is registered for attendance now.");
}

enum err
device_reset(struct ctx *cx, const struct device_reset_in *in, struct device_reset_out *ret)
{
	struct request_row r;
	int64_t rows;

	if ((in->user_id.text[0] != 0) + (in->request_id.text[0] != 0) != 1) {
		error_field(cx, "user_id", "give either user_id or request_id");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	TRY(find_request(cx, in, &r));
	if (r.id.text[0]) {
		TRY(approve(cx, &r));
		*ret = (struct device_reset_out){.user_id = r.user_id, .status = "bound", .device_id = r.id};
		return OK;
	}
	TRY(db_exec(cx, &RESET_RETIRE, &rows, V_ID(in->user_id), V(cx->now_us), V_ID(cx->actor->user_id)));
	if (!rows)
		return fail(cx, ERR_NOT_FOUND, "This account has neither a device nor a request.");
	*ret = (struct device_reset_out){.user_id = in->user_id, .status = "reset"};
	return settle(cx, in->user_id.text, NULL, "reset", "Your device was reset.  The next one you use will be yours.");
}

static const struct field device_denied_in_fields[] = {
	F(struct device_denied_in, request_id, F_REQUIRED, 0, 0, "The request"),
};
const struct schema device_denied_in_schema = SCHEMA("DeviceDeniedIn", struct device_denied_in, device_denied_in_fields);

SQL(RESET_DENY, "umu", "UPDATE devices SET status = 'retired', decided_at = $2, decided_by = $3 WHERE id = $1 AND status = 'pending'");

enum err
device_deny(struct ctx *cx, const struct device_denied_in *in)
{
	struct request_row r;
	int64_t rows;

	TRY(find_request(cx, &(const struct device_reset_in){.request_id = in->request_id}, &r));
	TRY(db_exec(cx, &RESET_DENY, &rows, V_ID(r.id), V(cx->now_us), V_ID(cx->actor->user_id)));
	if (!rows)
		return fail(cx, ERR_ALREADY_DECIDED, NULL);
	return settle(cx, r.user_id.text, r.id.text, "denied",
		"You cannot have the other device registered.  The one you had stays yours; ask an administrator why.");
}
