/* An account as campus shows it. */
#ifndef MUSTER_ATTENDANCE_PERSON_H
#define MUSTER_ATTENDANCE_PERSON_H

#include "core/field.h"

struct person {
	struct uuid id;
	const char *email, *full_name;
	enum role role;
	bool is_active, device_bound, face_enrolled;
};
extern const struct schema person_schema;
enum err person_get(struct ctx *cx, const char *user_id, struct person *ret) MUST_CHECK; /* ERR_NOT_FOUND */

#endif
