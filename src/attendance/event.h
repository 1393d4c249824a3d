/* Events: what attendance is marked for.  A portal event and a campus session are rows of one table (`kind`). */
#ifndef MUSTER_ATTENDANCE_EVENT_H
#define MUSTER_ATTENDANCE_EVENT_H

#include "core/field.h"

enum { RADIUS_MAX_M = 100000 }; /* of an event or a session */

struct event_new { /* also a change: absent members keep */
	const char *title, *description, *notes;
	int64_t scheduled_at, ends_at;
	struct uuid course_id;
	int64_t capacity;
	double latitude, longitude, geofence_radius_m;
	const char *policy; /* JSON object: {device, geofence, network, face: off|flag|reject, claim: off|flag|on} */
};
extern const struct schema event_new_schema, event_change_schema; /* portal's request bodies */

struct event {
	struct uuid id;
	const char *title, *description;
	int64_t scheduled_at, ends_at;
	const char *notes;
	struct uuid course_id;
	int64_t capacity;
	struct uuid created_by;
	int64_t created_at;
	bool user_attended;
	int64_t attendance_count;
};
extern const struct schema event_schema;

enum err event_create(struct ctx *cx, const struct event_new *in, struct event *ret) MUST_CHECK;
enum err event_get(struct ctx *cx, const char *id, struct event *ret) MUST_CHECK; /* ERR_NOT_FOUND */
enum err event_list(struct ctx *cx, int64_t from_us, int64_t to_us, bool all_kinds, int64_t limit, struct list *ret) MUST_CHECK;
enum err event_change(struct ctx *cx, const char *id, const struct event_new *in, struct event *ret) MUST_CHECK;
enum err event_delete(struct ctx *cx, const char *id) MUST_CHECK; /* soft */

#endif
