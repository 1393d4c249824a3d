/*
 * Events.  Lists read counts from count.h; what the asker attended is read once, by account.
 *
 * A change that moves an event's time forgets how many were expected: the job writes it again when the new time has passed.
 */
#include "attendance/event.h"

#include <string.h>

#include "attendance/count.h"
#include "attendance/policy.h"
#include "attendance/session.h"
#include "audit/audit.h"
#include "store/db.h"

enum { CAPACITY_MAX = 1000000 };

#define EVENT_NEW_FIELDS(required)                                                                                    \
	F(struct event_new, title, (required) | F_TRIM, 1, NAME_MAX_BYTES, "What it is called"),                      \
		F(struct event_new, description, F_TRIM | F_MULTILINE, 0, TEXT_MAX_BYTES, "For participants"),        \
		F(struct event_new, notes, F_TRIM | F_MULTILINE, 0, TEXT_MAX_BYTES, "Further remarks"),               \
		F(struct event_new, scheduled_at, (required) | F_TIME, 0, 0, "When it begins; may lie in the past"),  \
		F(struct event_new, ends_at, F_TIME, 0, 0, "From then on it takes no marks; absent: never"),          \
		F(struct event_new, course_id, 0, 0, 0, "Only those on the course's roster may mark"),                \
		F(struct event_new, capacity, 0, 1, CAPACITY_MAX, "How many may mark"),                               \
		F(struct event_new, latitude, 0, -90, 90, "Place, degrees north"),                                    \
		F(struct event_new, longitude, 0, -180, 180, "Place, degrees east"),                                  \
		F(struct event_new, geofence_radius_m, 0, 1, RADIUS_MAX_M, "How far from the place a mark may come"), \
		F(struct event_new, policy, F_JSON, 0, 0,                                                             \
			"{device, geofence, network, face: off|flag|reject, claim: off|flag|on}")

static const struct field event_new_fields[] = {EVENT_NEW_FIELDS(F_REQUIRED)};
static const struct field event_change_fields[] = {EVENT_NEW_FIELDS(0)};
const struct schema event_new_schema = SCHEMA("EventNew", struct event_new, event_new_fields);
const struct schema event_change_schema = SCHEMA("EventChange", struct event_new, event_change_fields);

static const struct field event_fields[] = {
	F(struct event, id, 0, 0, 0, "Event"),
	F(struct event, title, 0, 0, 0, "What it is called"),
	F(struct event, description, F_NULLABLE, 0, 0, "For participants"),
	F(struct event, scheduled_at, F_TIME, 0, 0, "When it begins"),
	F(struct event, ends_at, F_TIME | F_NULLABLE, 0, 0, "From then on it takes no marks"),
	F(struct event, notes, F_NULLABLE, 0, 0, "Further remarks"),
	F(struct event, course_id, F_NULLABLE, 0, 0, "Whose roster may mark"),
	F(struct event, capacity, F_NULLABLE, 0, 0, "How many may mark"),
	F(struct event, created_by, 0, 0, 0, "Account that made it"),
	F(struct event, created_at, F_TIME, 0, 0, "When it was made"),
	F(struct event, user_attended, 0, 0, 0, "Whether the one who asks has marked"),
	F(struct event, attendance_count, 0, 0, 0, "How many have marked"),
};
const struct schema event_schema = SCHEMA("Event", struct event, event_fields);

/* --- reading --------------------------------------------------------------------------------------------------------------- */

/* Without a counted row nothing up to the position was counted yet, so the old records are counted here, by index. */
#define EVENT_COLUMNS                                                                                                           \
	"e.id, e.title, e.description, e.scheduled_at, e.ends_at, e.notes, e.course_id, e.capacity, e.owner_id AS created_by,"  \
	" e.created_at, e.id IN (SELECT m.event_id FROM attendance_records m WHERE m.user_id = $1"                              \
	" AND m.status IN ('present', 'late', 'flagged')) AS user_attended,"                                                    \
	" COALESCE((SELECT k.attended FROM event_counts k WHERE k.event_id = e.id), (SELECT COUNT(*) FROM attendance_records o" \
	" WHERE o.event_id = e.id AND o.status IN ('present', 'late', 'flagged') AND o.id <= " COUNTED_TO "))"

SQL(EVENT_BY_ID, "uut",
	"SELECT " EVENT_COLUMNS " + COALESCE(y.attended, 0) AS attendance_count FROM events e"
	" LEFT JOIN " YOUNG_COUNTS " y ON y.event_id = e.id WHERE e.id = $2 AND NOT e.is_deleted{?3 AND e.kind = $3}");

enum err
event_get(struct ctx *cx, const char *id, struct event *ret)
{
	const char *who = cx->actor ? cx->actor->user_id.text : NULL;

	/* A campus session is its course's business; here it is there for administrators only. */
	const char *kind = cx->actor && cx->actor->role == ROLE_ADMIN ? NULL : "event";

	return db_one(cx, &EVENT_BY_ID, &event_schema, ret, V(who), V(id), V(kind));
}

SQL(EVENT_LIST, "ummti",
	"SELECT " EVENT_COLUMNS " + COALESCE(y.attended, 0) AS attendance_count FROM events e"
	" LEFT JOIN " YOUNG_COUNTS " y ON y.event_id = e.id"
	" WHERE e.scheduled_at >= $2 AND e.scheduled_at <= $3 AND NOT e.is_deleted{?4 AND e.kind = $4}"
	" ORDER BY e.scheduled_at, e.id LIMIT $5");

enum err
event_list(struct ctx *cx, int64_t from_us, int64_t to_us, bool all_kinds, int64_t limit, struct list *ret)
{
	const char *who = cx->actor ? cx->actor->user_id.text : NULL;
	const char *kind = all_kinds ? NULL : "event";

	return db_all(cx, &EVENT_LIST, &event_schema, ret, V(who), V(from_us), V(to_us), V(kind), V(limit));
}

/* --- writing --------------------------------------------------------------------------------------------------------------- */

SQL(EVENT_COURSE, "u", "SELECT 1 FROM courses WHERE id = $1 AND NOT is_deleted");

/* What holds between members; `scheduled_at` and `ends_at` are those the event will have. */
static enum err
check_event(struct ctx *cx, const struct event_new *in, int64_t scheduled_at, int64_t ends_at)
{
	int64_t there = 1;

	if (ends_at != TIME_NONE && ends_at <= scheduled_at)
		error_field(cx, "ends_at", "must be after scheduled_at");
	if (isnan(in->latitude) != isnan(in->longitude))
		error_field(cx, isnan(in->latitude) ? "latitude" : "longitude", "latitude and longitude go together");
	if (in->policy)
		policy_check(cx, in->policy);
	if (in->course_id.text[0])
		TRY(db_int(cx, &EVENT_COURSE, &there, V_ID(in->course_id)));
	if (!there)
		error_field(cx, "course_id", "is no course of this server");
	return error_has_fields(cx) ? fail(cx, ERR_VALIDATION, NULL) : OK;
}

SQL(EVENT_INSERT, "utttmmuuirrrtm",
	"INSERT INTO events (id, kind, title, description, notes, scheduled_at, ends_at, course_id, owner_id, capacity, taken, "
	"latitude,"
	" longitude, geofence_radius_m, policy, generation, require_device, require_face, is_deleted, created_at, updated_at)"
	" VALUES ($1, 'event', $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, $13, 0, FALSE, FALSE, FALSE, $14, $14)");

enum err
event_create(struct ctx *cx, const struct event_new *in, struct event *ret)
{
	struct uuid id = new_id(cx);

	TRY(check_event(cx, in, in->scheduled_at, in->ends_at));
	TRY(db_exec(cx, &EVENT_INSERT, NULL, V_ID(id), V(in->title), V(in->description), V(in->notes), V(in->scheduled_at),
		V(in->ends_at), V_ID(in->course_id), V_ID(cx->actor->user_id), V(in->capacity), V(in->latitude), V(in->longitude),
		V(in->geofence_radius_m), V(in->policy), V(cx->now_us)));
	TRY(audit_ok(cx, AUDIT_EVENT_CREATED, "event", id.text, AUDIT_TEXT("title", in->title)));
	return event_get(cx, id.text, ret);
}

SQL(EVENT_CHANGE, "umtttmmuirrrtii",
	"UPDATE events SET updated_at = $2, title = COALESCE($3, title), description = COALESCE($4, description),"
	" notes = COALESCE($5, notes), scheduled_at = COALESCE($6, scheduled_at), ends_at = COALESCE($7, ends_at),"
	" course_id = COALESCE($8, course_id), capacity = COALESCE($9, capacity), latitude = COALESCE($10, latitude),"
	" longitude = COALESCE($11, longitude), geofence_radius_m = COALESCE($12, geofence_radius_m), policy = COALESCE($13, "
	"policy)"
	"{?14 , expected = NULL}{?15 , reminded_at = NULL, reminded_to = NULL} WHERE id = $1 AND NOT is_deleted");
/* Where capacity comes later than the first marks, those have places too. */
SQL(EVENT_COUNT_TAKEN, "u",
	"UPDATE events SET taken = (SELECT COUNT(*) FROM attendance_records r WHERE r.event_id = $1"
	" AND r.status IN ('present', 'late', 'flagged')) WHERE id = $1");

enum err
event_change(struct ctx *cx, const char *id, const struct event_new *in, struct event *ret)
{
	struct event old;

	TRY(event_get(cx, id, &old));
	bool moves = in->scheduled_at != TIME_NONE || in->ends_at != TIME_NONE || in->course_id.text[0];
	int64_t starts_at = in->scheduled_at != TIME_NONE ? in->scheduled_at : old.scheduled_at;
	TRY(check_event(cx, in, starts_at, in->ends_at != TIME_NONE ? in->ends_at : old.ends_at));
	TRY(db_exec(cx, &EVENT_CHANGE, NULL, V(id), V(cx->now_us), V(in->title), V(in->description), V(in->notes),
		V(in->scheduled_at), V(in->ends_at), V_ID(in->course_id), V(in->capacity), V(in->latitude), V(in->longitude),
		V(in->geofence_radius_m), V(in->policy), moves ? val_int(1) : val_null(),
		session_reminds_again(cx, old.scheduled_at, starts_at) ? val_int(1) : val_null()));
	if (in->capacity != FIELD_NONE)
		TRY(db_exec(cx, &EVENT_COUNT_TAKEN, NULL, V(id)));
	TRY(audit_ok(cx, AUDIT_EVENT_UPDATED, "event", id));
	return event_get(cx, id, ret);
}

SQL(EVENT_DELETE, "um", "UPDATE events SET is_deleted = TRUE, deleted_at = $2, updated_at = $2 WHERE id = $1 AND NOT is_deleted");

enum err
event_delete(struct ctx *cx, const char *id)
{
	int64_t rows;

	TRY(db_exec(cx, &EVENT_DELETE, &rows, V(id), V(cx->now_us)));
	if (!rows)
		return fail(cx, ERR_NOT_FOUND, NULL);
	return audit_ok(cx, AUDIT_EVENT_DELETED, "event", id);
}
