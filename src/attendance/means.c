/*
 * Reading only: what binds and what enrols is in attendance/device.c and attendance/face.c.  A row whose key has left TOKEN_PEPPER is
 * shown as registered although the next device takes its place, since that is what the account sees of it anywhere else.
 */
#include "attendance/means.h"

#include "net/face.h"
#include "store/db.h"

static const struct field own_device_fields[] = {
	F(struct own_device, device_id, 0, 0, 0, "Device"),
	F(struct own_device, kind, 0, 0, 0, "imei or public_key"),
	F(struct own_device, public_key, F_JSON | F_NULLABLE, 0, 0, "The key as JWK; null when it is an id"),
	F(struct own_device, bound_at, F_TIME, 0, 0, "Since when"),
};
static const struct schema own_device_schema = SCHEMA("OwnDevice", struct own_device, own_device_fields);
static const struct field own_request_fields[] = {
	F(struct own_request, request_id, 0, 0, 0, "Request"),
	F(struct own_request, kind, 0, 0, 0, "imei or public_key"),
	F(struct own_request, public_key, F_JSON | F_NULLABLE, 0, 0, "The key as JWK; null when it is an id"),
	F(struct own_request, reason, F_NULLABLE, 0, 0, "What was said for it"),
	F(struct own_request, requested_at, F_TIME, 0, 0, "When"),
};
static const struct schema own_request_schema = SCHEMA("OwnDeviceRequest", struct own_request, own_request_fields);
static const struct field own_devices_fields[] = {
	F_PTR(struct own_devices, device, F_NULLABLE, &own_device_schema, "The registered device; null: none"),
	F_PTR(struct own_devices, request, F_NULLABLE, &own_request_schema, "What waits for an administrator; null: nothing"),
};
const struct schema own_devices_schema = SCHEMA("OwnDevices", struct own_devices, own_devices_fields);

SQL(OWN_DEVICES, "u",
	"SELECT b.id AS \"device.device_id\", b.public_key AS \"device.public_key\","
	" CASE WHEN b.public_key IS NOT NULL THEN 'public_key' WHEN b.id IS NOT NULL THEN 'imei' END AS \"device.kind\","
	" COALESCE(b.decided_at, b.created_at) AS \"device.bound_at\", p.id AS \"request.request_id\","
	" CASE WHEN p.public_key IS NOT NULL THEN 'public_key' WHEN p.id IS NOT NULL THEN 'imei' END AS \"request.kind\","
	" p.public_key AS \"request.public_key\", p.reason AS \"request.reason\", p.created_at AS \"request.requested_at\""
	" FROM users u LEFT JOIN devices b ON b.user_id = u.id AND b.status = 'bound'"
	" LEFT JOIN devices p ON p.user_id = u.id AND p.status = 'pending' WHERE u.id = $1");

enum err
own_devices(struct ctx *cx, struct own_devices *ret)
{
	return db_one(cx, &OWN_DEVICES, &own_devices_schema, ret, V_ID(cx->actor->user_id));
}

static const struct field own_face_fields[] = {
	F(struct own_face, available, 0, 0, 0, "Faces are compared here"),
	F(struct own_face, enrolled, 0, 0, 0, "A face is enrolled and can be compared"),
	F(struct own_face, references, 0, 0, 0, "Templates that are kept, one a picture"),
	F(struct own_face, consent_at, F_TIME | F_NULLABLE, 0, 0, "When consent was given"),
};
const struct schema own_face_schema = SCHEMA("OwnFace", struct own_face, own_face_fields);

struct kept_face {
	int64_t kept, usable, consent_at;
};
static const struct field kept_face_fields[] = {
	F(struct kept_face, kept, 0, 0, 0, NULL),
	F(struct kept_face, usable, 0, 0, 0, NULL),
	F(struct kept_face, consent_at, F_TIME, 0, 0, NULL),
};
static const struct schema kept_face_schema = SCHEMA("KeptFace", struct kept_face, kept_face_fields);

SQL(OWN_FACE, "ut",
	"SELECT COUNT(*) AS kept, COALESCE(SUM(CASE WHEN model_sha256 = $2 THEN 1 ELSE 0 END), 0) AS usable,"
	" MAX(consent_at) AS consent_at FROM face_references WHERE user_id = $1");

enum err
own_face(struct ctx *cx, struct own_face *ret)
{
	const struct face_model *model = faces_model(cx->srv->faces);
	struct kept_face k;

	TRY(db_one(cx, &OWN_FACE, &kept_face_schema, &k, V_ID(cx->actor->user_id), V((const char *)(model ? model->sha256 : ""))));
	*ret = (struct own_face){
		.available = model != NULL, .enrolled = k.usable > 0, .references = k.kept, .consent_at = k.consent_at};
	return OK;
}
