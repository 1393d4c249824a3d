/* Device and face are looked up, not stored beside the account: they come and go by ways of their own. */
#include "attendance/person.h"

#include "store/db.h"

static const struct field person_fields[] = {
	F(struct person, id, 0, 0, 0, "Account"),
	F(struct person, email, 0, 0, 0, "Its address"),
	F(struct person, full_name, 0, 0, 0, "Name"),
	F_ENUM(struct person, role, 0, role_names, "Role"),
	F(struct person, is_active, 0, 0, 0, "May sign in"),
	F(struct person, device_bound, 0, 0, 0, "Has a device to mark with"),
	F(struct person, face_enrolled, 0, 0, 0, "Has enrolled a face"),
};
const struct schema person_schema = SCHEMA("CampusUser", struct person, person_fields);

SQL(PERSON_GET, "u",
	"SELECT u.id, u.email, u.full_name, u.role, u.is_active,"
	" EXISTS (SELECT 1 FROM devices d WHERE d.user_id = u.id AND d.status = 'bound') AS device_bound,"
	" EXISTS (SELECT 1 FROM face_references f WHERE f.user_id = u.id) AS face_enrolled FROM users u WHERE u.id = $1");

enum err
person_get(struct ctx *cx, const char *user_id, struct person *ret)
{
	return db_one(cx, &PERSON_GET, &person_schema, ret, V(user_id));
}
