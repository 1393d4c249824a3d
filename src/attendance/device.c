/*
 * Binding and changing devices.
 *
 * Whoever binds or resets first holds the account's row, so one account's requests take turns on every engine; two accounts that
 * want one device meet in the unique index over bound hashes.  A mark that binds (attendance/measure.c) holds nothing and
 * leaves it to the same indexes.
 */
#include "attendance/device.h"

#include "attendance/device_parts.h"
#include "attendance/p256.h"
#include "audit/audit.h"
#include "notify/notify.h"

static const struct field device_in_fields[] = {
	F(struct device_in, imei, F_SECRET | F_TRIM, 1, DEVICE_TEXT_MAX, "Any id that stays with the device; only its HMAC is kept"),
	F(struct device_in, public_key, F_JSON, 0, 0, "Instead: a P-256 public key as JWK, whose private half never leaves the device"),
	F(struct device_in, reason, F_TRIM, 0, DEVICE_REASON_MAX, "Why, for the administrator who decides about another device"),
};
const struct schema device_in_schema = SCHEMA("DeviceIn", struct device_in, device_in_fields);
static const struct field device_out_fields[] = {
	F(struct device_out, device_id, F_OMIT, 0, 0, "The device, when it is bound"),
	F(struct device_out, status, 0, 0, 0, "bound, or pending until an administrator decides (answer 202)"),
	F(struct device_out, request_id, F_OMIT, 0, 0, "The request, while it is pending"),
};
const struct schema device_out_schema = SCHEMA("DeviceOut", struct device_out, device_out_fields);

static const struct field device_row_fields[] = {
	F(struct device_row, id, 0, 0, 0, NULL),
	F(struct device_row, device_hash, 0, 0, 0, NULL),
	F(struct device_row, key_id, 0, 0, 0, NULL),
	F(struct device_row, public_key, 0, 0, 0, NULL),
	F(struct device_row, since, F_TIME, 0, 0, NULL),
};
const struct schema device_row_schema = SCHEMA("DeviceRow", struct device_row, device_row_fields);

/* --- comparing ------------------------------------------------------------------------------------------------------------- */

void
device_hash(const struct key *key, const struct device_shown *shown, char ret[B64_SHA256_CHARS + 1])
{
	const struct span parts[] = {shown->jwk ? SPAN_LIT("key\n") : SPAN_LIT("id\n"), span_str(shown->text)};
	uint8_t mac[SHA256_BYTES];

	crypto_hmac(key_span(key), parts, 2, mac);
	b64url_encode((struct span){mac, sizeof(mac)}, ret);
}

bool
device_lapsed(struct ctx *cx, const struct device_row *row)
{
	return !row->public_key && (!row->key_id || !key_find(cx->srv->keys, KEY_DEVICE_ID, row->key_id));
}

bool
device_is(struct ctx *cx, const struct device_row *row, const struct device_shown *shown)
{
	char hash[B64_SHA256_CHARS + 1];

	if (row->public_key || shown->jwk)
		return str_eq(row->public_key, shown->jwk);
	if (device_lapsed(cx, row))
		return false;
	device_hash(key_find(cx->srv->keys, KEY_DEVICE_ID, row->key_id), shown, hash);
	return str_eq(hash, row->device_hash);
}

SQL(DEVICE_ELSEWHERE, "tu", "SELECT COUNT(*) FROM devices WHERE device_hash = $1 AND status = 'bound' AND user_id <> $2");

enum err
device_elsewhere(struct ctx *cx, const char *user_id, const struct device_shown *shown, size_t n, bool *ret)
{
	char hash[B64_SHA256_CHARS + 1];
	int64_t rows = 0;

	for (; n < key_count(cx->srv->keys, KEY_DEVICE_ID) && !rows; n++) {
		device_hash(key_nth(cx->srv->keys, KEY_DEVICE_ID, n), shown, hash);
		TRY(db_int(cx, &DEVICE_ELSEWHERE, &rows, V((const char *)hash), V(user_id)));
	}
	*ret = rows > 0;
	return OK;
}

/* --- telling --------------------------------------------------------------------------------------------------------------- */

static enum err
tell(struct ctx *cx, const char *user_id, const char *title, const char *message)
{
	return notify_user(
		cx, user_id, &(const struct notification_new){.type = "security", .title = title, .message = message});
}

enum err
device_tell_bound(struct ctx *cx, const char *user_id, const char *device_id, const char *kind, const char *how)
{
	TRY(audit_ok(cx, AUDIT_DEVICE_BOUND, "device", device_id, AUDIT_TEXT("kind", kind), AUDIT_TEXT("how", how)));
	return tell(cx, user_id, "Device registered",
		"A device was registered for your attendance.  If it is not yours, tell an administrator.");
}

static const char *
kind_of(const struct device_shown *shown)
{
	return shown->jwk ? "public_key" : "imei";
}

/* --- binding --------------------------------------------------------------------------------------------------------------- */

static enum err
read_shown(struct ctx *cx, const struct device_in *in, struct device_shown *ret)
{
	struct p256 key;

	if ((in->imei != NULL) + (in->public_key != NULL) != 1) {
		error_field(cx, "imei", "give either imei or public_key");
	} else if (in->imei) {
		*ret = (struct device_shown){.text = in->imei};
		return OK;
	} else if (p256_read(cx->arena, in->public_key, &key)) {
		*ret = (struct device_shown){
			.text = arena_printf(cx->arena, "%s", key.thumbprint), .jwk = p256_jwk(cx->arena, key.x, key.y)};
		return OK;
	} else {
		error_field(cx, "public_key", "must be a P-256 public key as JWK");
	}
	return fail(cx, ERR_VALIDATION, NULL);
}

SQL(DEVICE_OF, "ut",
	"SELECT id, device_hash, key_id, public_key, COALESCE(decided_at, created_at) AS since FROM devices"
	" WHERE user_id = $1 AND status = $2");
SQL(DEVICE_RETIRE, "u", "UPDATE devices SET status = 'retired' WHERE id = $1");
SQL(DEVICE_INSERT, "uutttttm",
	"INSERT INTO devices (id, user_id, device_hash, key_id, public_key, status, reason, created_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING");

static enum err
insert(struct ctx *cx, const struct device_shown *shown, const char *status, const char *reason, const struct uuid *id, bool *ret_done)
{
	const struct key *key = key_current(cx->srv->keys, KEY_DEVICE_ID);
	char hash[B64_SHA256_CHARS + 1];
	int64_t rows;

	device_hash(key, shown, hash);
	TRY(db_exec(cx, &DEVICE_INSERT, &rows, V_ID(*id), V_ID(cx->actor->user_id), V((const char *)hash), V(key->id), V(shown->jwk),
		V(status), V(reason), V(cx->now_us)));
	*ret_done = rows > 0;
	return OK;
}

static enum err
bind_first(struct ctx *cx, const struct device_shown *shown, struct device_out *ret, bool *ret_done)
{
	const char *who = cx->actor->user_id.text;
	struct uuid id = new_id(cx);
	bool taken;

	*ret_done = false;
	TRY(device_elsewhere(cx, who, shown, 0, &taken));
	if (taken)
		return OK;
	TRY(insert(cx, shown, "bound", NULL, &id, ret_done));
	if (!*ret_done) /* another account was faster */
		return OK;
	*ret = (struct device_out){.device_id = id, .status = "bound"};
	return device_tell_bound(cx, who, id.text, kind_of(shown), "request");
}

SQL(DEVICE_REHASH, "ttt",
	"UPDATE devices SET device_hash = $2, key_id = $3 WHERE device_hash = $1 AND (status = 'pending' OR (status = 'bound'"
	" AND NOT EXISTS (SELECT 1 FROM devices o WHERE o.device_hash = $2 AND o.status = 'bound')))");

/* What has this device gets the present key's hash, by which device_reset() finds whom to take it from. */
static enum err
rehash(struct ctx *cx, const struct device_shown *shown)
{
	const struct key *key = key_current(cx->srv->keys, KEY_DEVICE_ID);
	char hash[B64_SHA256_CHARS + 1], older[B64_SHA256_CHARS + 1];

	device_hash(key, shown, hash);
	for (size_t n = 1; n < key_count(cx->srv->keys, KEY_DEVICE_ID); n++) {
		device_hash(key_nth(cx->srv->keys, KEY_DEVICE_ID, n), shown, older);
		TRY(db_exec(cx, &DEVICE_REHASH, NULL, V((const char *)older), V((const char *)hash), V(key->id)));
	}
	return OK;
}

SQL(DEVICE_FORGET, "u", "DELETE FROM devices WHERE id = $1 AND status = 'pending'");

static enum err
ask(struct ctx *cx, const struct device_shown *shown, const char *reason, struct device_out *ret)
{
	const char *who = cx->actor->user_id.text;
	struct uuid id = new_id(cx);
	struct device_row open;
	bool found, done;

	TRY(rehash(cx, shown));
	TRY(db_find(cx, &DEVICE_OF, &device_row_schema, &open, &found, V(who), V("pending")));
	if (found && device_is(cx, &open, shown)) {
		*ret = (struct device_out){.status = "pending", .request_id = open.id};
		return OK;
	}
	if (found)
		TRY(db_exec(cx, &DEVICE_FORGET, NULL, V_ID(open.id)));
	TRY(insert(cx, shown, "pending", reason, &id, &done));
	if (!done)
		return fail_internal(cx, ERR_UNAVAILABLE, "an account's open request came to be while its row was held");
	*ret = (struct device_out){.status = "pending", .request_id = id};
	TRY(audit_write(cx,
		&(const struct audit_entry){.action = AUDIT_DEVICE_BOUND,
			.result = "pending",
			.entity_type = "device",
			.entity_id = id.text,
			.notes = (const struct audit_note[]){AUDIT_TEXT("kind", kind_of(shown))},
			.n_notes = 1}));
	TRY(notify_admins(cx,
		&(const struct notification_new){.type = "security",
			.title = "Another device",
			.message = arena_printf(cx->arena, "%s asks to mark attendance with another device.", cx->actor->full_name)}));
	return tell(cx, who, "Another device was asked for",
		"Somebody signed in as you asked to mark attendance with another device.  An administrator decides.  If it was not you, "
		"change your password.");
}

enum err
device_bind(struct ctx *cx, const struct device_in *in, struct device_out *ret)
{
	struct device_shown shown;
	struct device_row bound;
	bool found, done;

	TRY(read_shown(cx, in, &shown));
	TRY(account_hold(cx, cx->actor->user_id.text));
	TRY(db_find(cx, &DEVICE_OF, &device_row_schema, &bound, &found, V_ID(cx->actor->user_id), V("bound")));
	if (found && device_is(cx, &bound, &shown)) {
		*ret = (struct device_out){.device_id = bound.id, .status = "bound"};
		return OK;
	}
	if (found && device_lapsed(cx, &bound)) {
		TRY(db_exec(cx, &DEVICE_RETIRE, NULL, V_ID(bound.id)));
		found = false;
	}
	if (!found) {
		TRY(bind_first(cx, &shown, ret, &done));
		if (done)
			return OK;
	}
	return ask(cx, &shown, in->reason, ret);
}
