/*
 * A presented token is looked up together with the address of the login, so that another account's device is no device at all.
 */
#include "identity/known_device.h"

#include "core/field.h"
#include "identity/token.h"
#include "store/db.h"

static const char device_domain[] = "device";

struct device_row {
	struct uuid id;
};
static const struct field device_fields[] = {F(struct device_row, id, 0, 0, 0, "Device.")};
static const struct schema device_schema = SCHEMA("KnownDevice", struct device_row, device_fields);

SQL(DEVICE_FIND, "ttttmt",
	"SELECT d.id FROM known_devices d JOIN users u ON u.id = d.user_id"
	" WHERE d.token_hash IN ($1, $2, $3, $4) AND d.expires_at > $5 AND u.email = $6");

enum err
known_device_find(struct ctx *cx, const char *token, const char *email, struct uuid *ret)
{
	struct opaque_hashes h;
	struct device_row row;
	bool found = false;

	if (opaque_shape(token)) {
		opaque_hashes(cx, KEY_DEVICE, device_domain, token, &h);
		TRY(db_find(cx, &DEVICE_FIND, &device_schema, &row, &found, V(h.text[0]), V(h.text[1]), V(h.text[2]),
			V(h.text[3]), V(cx->now_us), V(email)));
	}
	*ret = found ? row.id : (struct uuid){0};
	return OK;
}

SQL(DEVICE_PROLONG, "uum", "UPDATE known_devices SET expires_at = $3 WHERE id = $1 AND user_id = $2");
SQL(DEVICE_INSERT, "uuttmmt",
	"INSERT INTO known_devices (id, user_id, token_hash, key_id, created_at, expires_at, user_agent)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)");
SQL(DEVICE_TRIM, "ui",
	"DELETE FROM known_devices WHERE id IN"
	" (SELECT id FROM known_devices WHERE user_id = $1 ORDER BY expires_at DESC, id DESC LIMIT 1000 OFFSET $2)");

enum err
known_device_keep(struct ctx *cx, const char *user_id, const struct uuid *device, const char *token, const char **ret_token)
{
	const struct key *key = key_current(cx->srv->keys, KEY_DEVICE);
	int64_t expires_at = cx->now_us + KNOWN_DEVICE_DAYS * DAYS_US, rows = 0;
	struct uuid id = new_id(cx);

	if (device->text[0])
		TRY(db_exec(cx, &DEVICE_PROLONG, &rows, V_ID(*device), V(user_id), V(expires_at)));
	if (rows > 0) {
		*ret_token = token;
		return OK;
	}
	const char *fresh = opaque_new(cx);
	TRY(db_exec(cx, &DEVICE_INSERT, NULL, V_ID(id), V(user_id), V(opaque_hash(cx->arena, key, device_domain, fresh)),
		V(key->id), V(cx->now_us), V(expires_at), V(cx->client->user_agent)));
	TRY(db_exec(cx, &DEVICE_TRIM, NULL, V(user_id), V(KNOWN_DEVICES_MAX)));
	*ret_token = fresh;
	return OK;
}

SQL(DEVICE_FORGET, "u", "DELETE FROM known_devices WHERE user_id = $1");

enum err
known_device_forget(struct ctx *cx, const char *user_id)
{
	return db_exec(cx, &DEVICE_FORGET, NULL, V(user_id));
}
