/*
 * Sessions: making, changing, closing them.
 *
 * Whose a session is stands in the WHERE of every statement.  A label is taken by the unique index over sessions that are not
 * closed: an insert that finds it taken tries another.  Whatever changes what codes are made of (label, rotation) bumps the
 * generation, which kills the codes that are out.
 */
#include "attendance/session.h"

#include <string.h>

#include "attendance/count.h"
#include "attendance/event.h"
#include "attendance/policy.h"
#include "attendance/rotation.h"
#include "attendance/session_row.h"
#include "audit/audit.h"
#include "core/conf.h"
#include "http/server.h"
#include "net/face.h"
#include "notify/live.h"
#include "store/db.h"

enum { RADIUS_DEFAULT_M = 100, NETWORKS_MAX = 50, LABEL_TRIES = 20 };

#define SESSION_IN_FIELDS(required)                                                                                         \
	F(struct session_in, course_id, 0, 0, 0, "Only those on the course's roster may mark"),                             \
		F(struct session_in, title, F_TRIM, 1, NAME_MAX_BYTES, "What it is called; default: the course's title"),   \
		F(struct session_in, starts_at, F_TIME, 0, 0, "When it begins; default: now"),                              \
		F(struct session_in, duration_minutes, (required), 1, DURATION_MAX_MINUTES, "How long it takes marks"),     \
		F(struct session_in, latitude, 0, -90, 90, "Place, degrees north"),                                         \
		F(struct session_in, longitude, 0, -180, 180, "Place, degrees east"),                                       \
		F(struct session_in, geofence_radius_m, 0, 1, RADIUS_MAX_M,                                                 \
			"How far from the place a mark may come; default where there is a place: 100"),                     \
		F(struct session_in, rotate_seconds, 0, ROTATE_SECONDS_MIN, ROTATE_SECONDS_MAX,                             \
			"How long a code stays on the screen; default: QR_EXPIRY_SECONDS less 10"),                         \
		F(struct session_in, require_device, 0, 0, 0, "A mark without a device is a fault"),                        \
		F(struct session_in, require_face, 0, 0, 0, "A mark without a face is a fault"),                            \
		F(struct session_in, require_liveness, 0, 0, 0,                                                             \
			"A mark without an answer to a liveness challenge is a fault; needs require_face"),                 \
		F(struct session_in, late_after_minutes, 0, 0, DURATION_MAX_MINUTES,                                        \
			"A mark so long after the beginning is late; default: never"),                                      \
		F_LIST(struct session_in, networks, 0, NULL, "CIDRs that marks should come from; default: any"),            \
		F(struct session_in, policy, F_JSON, 0, 0,                                                                  \
			"{device, geofence, network, face: off|flag|reject, claim: off|flag|on}"),                          \
		F(struct session_in, code, F_TOLERATED, 0, 0, "Ignored: the server gives the label")

static const struct field session_new_fields[] = {SESSION_IN_FIELDS(F_REQUIRED)};
static const struct field session_change_fields[] = {SESSION_IN_FIELDS(0)};
const struct schema session_new_schema = SCHEMA("SessionNew", struct session_in, session_new_fields);
const struct schema session_change_schema = SCHEMA("SessionChange", struct session_in, session_change_fields);

static const struct field session_course_fields[] = {
	F(struct session_course, id, 0, 0, 0, "Course"),
	F(struct session_course, code, 0, 0, 0, "Its code"),
	F(struct session_course, title, 0, 0, 0, "Its title"),
};
const struct schema session_course_schema = SCHEMA("SessionCourse", struct session_course, session_course_fields);
static const struct field session_lecturer_fields[] = {
	F(struct session_lecturer, id, 0, 0, 0, "Account"),
	F(struct session_lecturer, full_name, F_NULLABLE, 0, 0, "Name; not told of portal events"),
};
const struct schema session_lecturer_schema = SCHEMA("SessionLecturer", struct session_lecturer, session_lecturer_fields);
static const struct field session_counts_fields[] = {
	F(struct session_counts, present, 0, 0, 0, "Marked in time"),
	F(struct session_counts, late, 0, 0, 0, "Marked late"),
	F(struct session_counts, excused, 0, 0, 0, "Excused"),
	F(struct session_counts, absent, 0, 0, 0, "Absent"),
	F(struct session_counts, flagged, 0, 0, 0, "Waiting for review"),
	F(struct session_counts, rejected, 0, 0, 0, "Rejected by a reviewer"),
};
static const struct schema session_counts_schema = SCHEMA("SessionCounts", struct session_counts, session_counts_fields);

#define SESSION_FIELDS                                                                                                         \
	F(struct campus_session, id, 0, 0, 0, "Session; also the qr_session_id of its codes"),                                 \
		F_PTR(struct campus_session, course, F_NULLABLE, &session_course_schema, "Whose roster may mark"),             \
		F_OBJ(struct campus_session, lecturer, &session_lecturer_schema, "Whose it is"),                               \
		F(struct campus_session, title, 0, 0, 0, "What it is called"),                                                 \
		F(struct campus_session, code, F_NULLABLE, 0, 0, "Lasting label of 4 letters; finds it, never marks"),         \
		F(struct campus_session, status, 0, 0, 0, "scheduled, open or closed"),                                        \
		F(struct campus_session, starts_at, F_TIME, 0, 0, "When it begins"),                                           \
		F(struct campus_session, ends_at, F_TIME | F_NULLABLE, 0, 0, "When it ends"),                                  \
		F(struct campus_session, closed_at, F_TIME | F_NULLABLE, 0, 0, "When it was closed"),                          \
		F(struct campus_session, latitude, F_NULLABLE, 0, 0, "Place, degrees north"),                                  \
		F(struct campus_session, longitude, F_NULLABLE, 0, 0, "Place, degrees east"),                                  \
		F(struct campus_session, geofence_radius_m, F_NULLABLE, 0, 0, "How far from the place a mark may come"),       \
		F(struct campus_session, rotate_seconds, F_NULLABLE, 0, 0, "How long a code stays on the screen"),             \
		F(struct campus_session, require_device, 0, 0, 0, "A mark without a device is a fault"),                       \
		F(struct campus_session, require_face, 0, 0, 0, "A mark without a face is a fault"),                           \
		F(struct campus_session, require_liveness, 0, 0, 0, "A mark without head turns, as asked, is a fault"),        \
		F(struct campus_session, late_after_minutes, F_NULLABLE, 0, 0, "A mark so long after the beginning is late")

static const struct field session_student_fields[] = {SESSION_FIELDS};
const struct schema session_student_schema = SCHEMA("StudentSession", struct campus_session, session_student_fields);
static const struct field session_fields[] = {
	SESSION_FIELDS,
	F(struct campus_session, networks, F_JSON | F_NULLABLE, 0, 0, "CIDRs that marks should come from"),
	F(struct campus_session, policy, F_JSON | F_NULLABLE, 0, 0, "What a fault of each check is worth"),
	F_OBJ(struct campus_session, counts, &session_counts_schema, "Records by status"),
};
const struct schema session_schema = SCHEMA("CampusSession", struct campus_session, session_fields);
static const struct field session_row_fields[] = {
	SESSION_FIELDS,
	F(struct campus_session, networks, F_JSON, 0, 0, NULL),
	F(struct campus_session, policy, F_JSON, 0, 0, NULL),
	F_OBJ(struct campus_session, counts, &session_counts_schema, NULL),
	F(struct campus_session, generation, 0, 0, 0, NULL),
};
const struct schema session_row_schema = SCHEMA("CampusSessionRow", struct campus_session, session_row_fields);

/* --- reading --------------------------------------------------------------------------------------------------------------- */

const char *
session_status(int64_t starts_at, int64_t ends_at, int64_t closed_at, int64_t now_us)
{
	if (closed_at != TIME_NONE || (ends_at != TIME_NONE && ends_at <= now_us))
		return "closed";
	return starts_at > now_us ? "scheduled" : "open";
}

const char *
owner_only(const struct ctx *cx)
{
	return cx->actor->role == ROLE_ADMIN ? NULL : cx->actor->user_id.text;
}

/* event_counts says present for late too, attended for flagged too, and in none of its columns is what was rejected. */
#define ALL(column) "COALESCE(k." column ", 0) + COALESCE(y." column ", 0)"
#define SESSION_SELECT                                                                                                    \
	"SELECT " SESSION_COLUMNS ", e.networks, e.policy, e.generation,"                                                 \
	" " ALL("present") " - (" ALL("late") ") AS \"counts.present\", " ALL("late") " AS \"counts.late\","              \
	" " ALL("excused") " AS \"counts.excused\", " ALL("absent") " AS \"counts.absent\","                              \
	" " ALL("attended") " - (" ALL("present") ") AS \"counts.flagged\","                                              \
	" " ALL("records") " - (" ALL("attended") ") - (" ALL("excused") ") - (" ALL("absent") ") AS \"counts.rejected\"" \
	" FROM " SESSION_TABLES " LEFT JOIN event_counts k ON k.event_id = e.id LEFT JOIN " YOUNG_COUNTS                  \
	" y ON y.event_id = e.id"

SQL(SESSION_GET, "uu",
	SESSION_SELECT " WHERE e.id = $1 AND e.kind = 'session' AND NOT e.is_deleted{?2 AND e.owner_id = $2}");

static enum err
get(struct ctx *cx, const char *id, const char *owner_id, struct campus_session *ret)
{
	TRY(db_one(cx, &SESSION_GET, &session_row_schema, ret, V(id), V(owner_id)));
	ret->status = session_status(ret->starts_at, ret->ends_at, ret->closed_at, cx->now_us);
	if (ret->rotate_seconds == FIELD_NONE) /* one that was imported never showed a code */
		ret->rotate_seconds = ROTATE_SECONDS_MAX;
	return OK;
}

enum err
campus_session_get(struct ctx *cx, const char *id, struct campus_session *ret)
{
	return get(cx, id, owner_only(cx), ret);
}

enum err
campus_session_any(struct ctx *cx, const char *id, struct campus_session *ret)
{
	return get(cx, id, NULL, ret);
}

SQL(SESSION_LIST, "uui",
	SESSION_SELECT " WHERE e.kind = 'session' AND NOT e.is_deleted{?1 AND e.owner_id = $1}{?2 AND e.course_id = $2}"
		       " ORDER BY e.scheduled_at DESC, e.id DESC LIMIT $3");

enum err
campus_session_list(struct ctx *cx, const char *course_id, int64_t limit, struct list *ret)
{
	TRY(db_all(cx, &SESSION_LIST, &session_row_schema, ret, V(owner_only(cx)), V(course_id), V(limit)));
	struct campus_session *rows = ret->items;
	for (size_t i = 0; i < ret->count; i++)
		rows[i].status = session_status(rows[i].starts_at, rows[i].ends_at, rows[i].closed_at, cx->now_us);
	return OK;
}

/* --- what holds between members ---------------------------------------------------------------------------------------------- */

static void
check_networks(struct ctx *cx, const struct list *networks)
{
	const char *const *texts = networks->items;
	struct cidr cidr;

	if (networks->count > NETWORKS_MAX)
		error_field(cx, "networks", "are at most %d", NETWORKS_MAX);
	for (size_t i = 0; i < networks->count; i++)
		if (!cidr_parse(texts[i], &cidr))
			error_field(cx, "networks", "%.60s is no address with a prefix, like 192.0.2.0/24", texts[i]);
}

static bool
will_be(enum tri said, bool was)
{
	return said == TRI_UNSET ? was : said == TRI_YES;
}

/* `old` is what a change begins with; of a new session nothing. */
static enum err
check_session(struct ctx *cx, const struct session_in *in, const struct campus_session *old)
{
	double latitude = isnan(in->latitude) ? old->latitude : in->latitude;
	double longitude = isnan(in->longitude) ? old->longitude : in->longitude;
	bool face = will_be(in->require_face, old->require_face);

	if (isnan(latitude) != isnan(longitude))
		error_field(cx, isnan(latitude) ? "latitude" : "longitude", "latitude and longitude go together");
	if (!isnan(in->geofence_radius_m) && isnan(latitude))
		error_field(cx, "geofence_radius_m", "needs latitude and longitude");
	if (will_be(in->require_liveness, old->require_liveness) && !face)
		error_field(cx, "require_liveness", "needs require_face");
	if (in->networks.items)
		check_networks(cx, &in->networks);
	if (in->policy)
		policy_check(cx, in->policy);
	if (error_has_fields(cx))
		return fail(cx, ERR_VALIDATION, NULL);
	bool blind = in->require_face == TRI_YES && !faces_model(cx->srv->faces);
	return blind ? fail(cx, ERR_FACE_NOT_INSTALLED, NULL) : OK;
}

/* NULL: not said; an empty list is none. */
static const char *
networks_json(struct ctx *cx, const struct list *networks)
{
	const char *const *texts = networks->items;
	struct buf out;
	struct json j;

	if (!texts)
		return NULL;
	buf_init(&out, cx->arena, 128);
	json_init(&j, &out);
	json_arr(&j, NULL);
	for (size_t i = 0; i < networks->count; i++)
		json_str(&j, NULL, texts[i]);
	json_arr_end(&j);
	return buf_cstr(&out);
}

static const struct field titled_fields[] = {F(struct session_course, title, 0, 0, 0, NULL)};
static const struct schema titled_schema = SCHEMA("TitledCourse", struct session_course, titled_fields);

SQL(SESSION_OF_COURSE, "uu", "SELECT title FROM courses WHERE id = $1 AND NOT is_deleted{?2 AND owner_id = $2}");

static enum err
course_title(struct ctx *cx, const struct session_in *in, const char **ret)
{
	struct session_course course;
	bool found;

	if (!in->course_id.text[0])
		return OK;
	TRY(db_find(cx, &SESSION_OF_COURSE, &titled_schema, &course, &found, V_ID(in->course_id), V(owner_only(cx))));
	if (!found)
		return fail(cx, ERR_NOT_FOUND, "There is no such course.");
	*ret = course.title;
	return OK;
}

/* --- writing ----------------------------------------------------------------------------------------------------------------- */

SQL(SESSION_INSERT, "utmmuurrrtttiibbmb",
	"INSERT INTO events (id, kind, title, scheduled_at, ends_at, course_id, owner_id, taken, latitude, longitude,"
	" geofence_radius_m, networks, policy, label, generation, rotate_seconds, late_after_minutes, require_device,"
	" require_face, is_deleted, created_at, updated_at, require_liveness) VALUES ($1, 'session', $2, $3, $4, $5, $6, 0, $7, $8,"
	" $9, $10, $11, $12, 0, $13, $14, $15, $16, FALSE, $17, $17, $18)"
	" ON CONFLICT (label) WHERE closed_at IS NULL AND NOT is_deleted DO NOTHING");

static int64_t
default_rotation(const struct config *conf)
{
	int64_t s = conf->qr_expiry_seconds - ROTATION_LEAD_S;

	return s < ROTATE_SECONDS_MIN ? ROTATE_SECONDS_MIN : s > ROTATE_SECONDS_MAX ? ROTATE_SECONDS_MAX : s;
}

static enum err
insert(struct ctx *cx, const struct session_in *in, const struct uuid *id, const char *title)
{
	int64_t starts_at = in->starts_at != TIME_NONE ? in->starts_at : cx->now_us / SECONDS_US * SECONDS_US;
	int64_t ends_at = starts_at + in->duration_minutes * MINUTES_US;
	int64_t rotate_s = field_or(in->rotate_seconds, default_rotation(cx->srv->conf));
	double radius_m = isnan(in->geofence_radius_m) && !isnan(in->latitude) ? RADIUS_DEFAULT_M : in->geofence_radius_m;
	char label[LABEL_CHARS + 1];
	int64_t rows = 0;

	for (int i = 0; i < LABEL_TRIES && !rows; i++) {
		label_random(cx, label);
		TRY(db_exec(cx, &SESSION_INSERT, &rows, V_ID(*id), V(title), V(starts_at), V(ends_at), V_ID(in->course_id),
			V_ID(cx->actor->user_id), V(in->latitude), V(in->longitude), V(radius_m),
			V(networks_json(cx, &in->networks)), V(in->policy), V((const char *)label), V(rotate_s),
			V(in->late_after_minutes), V(in->require_device == TRI_YES), V(in->require_face == TRI_YES),
			V(cx->now_us), V(in->require_liveness == TRI_YES)));
	}
	return rows ? OK : fail(cx, ERR_CONFLICT, "No label is free; close some sessions.");
}

enum err
campus_session_create(struct ctx *cx, const struct session_in *in, struct campus_session *ret)
{
	const char *title = "Session";
	struct uuid id = new_id(cx);

	TRY(check_session(cx, in, &(const struct campus_session){.latitude = NAN, .longitude = NAN}));
	TRY(course_title(cx, in, &title));
	title = in->title ? in->title : title;
	TRY(insert(cx, in, &id, title));
	TRY(audit_ok(cx, AUDIT_SESSION_CREATED, "session", id.text, AUDIT_TEXT("title", title)));
	return campus_session_get(cx, id.text, ret);
}

static enum err
get_unclosed(struct ctx *cx, const char *id, struct campus_session *ret)
{
	TRY(campus_session_get(cx, id, ret));
	return str_eq(ret->status, "closed") ? fail(cx, ERR_SESSION_CLOSED, NULL) : OK;
}

SQL(SESSION_CHANGE, "umtmmurrrttiibbibi",
	"UPDATE events SET updated_at = $2, title = COALESCE($3, title), scheduled_at = $4, ends_at = $5,"
	" course_id = COALESCE($6, course_id), latitude = COALESCE($7, latitude), longitude = COALESCE($8, longitude),"
	" geofence_radius_m = COALESCE($9, geofence_radius_m), networks = COALESCE($10, networks),"
	" policy = COALESCE($11, policy), rotate_seconds = COALESCE($12, rotate_seconds),"
	" late_after_minutes = COALESCE($13, late_after_minutes), require_device = $14, require_face = $15,"
	" generation = generation + $16, require_liveness = $17{?18 , reminded_at = NULL, reminded_to = NULL}"
	" WHERE id = $1 AND closed_at IS NULL AND NOT is_deleted");

static enum err
change(struct ctx *cx, const struct session_in *in, const struct campus_session *old)
{
	int64_t starts_at = in->starts_at != TIME_NONE ? in->starts_at : old->starts_at;
	int64_t long_us =
		in->duration_minutes != FIELD_NONE ? in->duration_minutes * MINUTES_US : old->ends_at - old->starts_at;
	double radius_m = in->geofence_radius_m;
	bool other_steps = in->rotate_seconds != FIELD_NONE && in->rotate_seconds != old->rotate_seconds;
	int64_t rows;

	if (isnan(radius_m) && isnan(old->geofence_radius_m) && !isnan(in->latitude))
		radius_m = RADIUS_DEFAULT_M;
	if (starts_at + long_us <= cx->now_us)
		error_field(cx, "duration_minutes", "would end the session in the past; close it instead");
	if (error_has_fields(cx))
		return fail(cx, ERR_VALIDATION, NULL);
	TRY(db_exec(cx, &SESSION_CHANGE, &rows, V_ID(old->id), V(cx->now_us), V(in->title), V(starts_at), V(starts_at + long_us),
		V_ID(in->course_id), V(in->latitude), V(in->longitude), V(radius_m), V(networks_json(cx, &in->networks)),
		V(in->policy), V(in->rotate_seconds), V(in->late_after_minutes),
		V(will_be(in->require_device, old->require_device)), V(will_be(in->require_face, old->require_face)), V(other_steps),
		V(will_be(in->require_liveness, old->require_liveness)),
		session_reminds_again(cx, old->starts_at, starts_at) ? val_int(1) : val_null()));
	return rows ? OK : fail(cx, ERR_SESSION_CLOSED, NULL);
}

/* Held before it is read: of two changes at once the second begins with what the first left. */
SQL(SESSION_HOLD, "uu",
	"UPDATE events SET updated_at = updated_at WHERE id = $1 AND kind = 'session' AND NOT is_deleted{?2 AND owner_id = $2}");

enum err
campus_session_change(struct ctx *cx, const char *id, const struct session_in *in, struct campus_session *ret)
{
	struct campus_session old;
	const char *title;

	TRY(db_exec(cx, &SESSION_HOLD, NULL, V(id), V(owner_only(cx))));
	TRY(get_unclosed(cx, id, &old));
	TRY(check_session(cx, in, &old));
	TRY(course_title(cx, in, &title));
	TRY(change(cx, in, &old));
	TRY(audit_ok(cx, AUDIT_SESSION_UPDATED, "session", id));
	return campus_session_get(cx, id, ret);
}

SQL(SESSION_CLOSE, "um", "UPDATE events SET closed_at = $2, updated_at = $2 WHERE id = $1 AND closed_at IS NULL");

enum err
campus_session_close(struct ctx *cx, const char *id, struct campus_session *ret)
{
	int64_t rows;

	TRY(campus_session_get(cx, id, ret));
	if (str_eq(ret->status, "closed"))
		return OK;
	TRY(db_exec(cx, &SESSION_CLOSE, &rows, V(id), V(cx->now_us)));
	if (rows)
		TRY(audit_ok(cx, AUDIT_SESSION_CLOSED, "session", id, AUDIT_TEXT("by", "hand")));
	if (cx->srv->live)
		live_publish_later(cx, LIVE_EVENT, id, (struct span){NULL, 0});
	return campus_session_get(cx, id, ret);
}

SQL(SESSION_RELABEL, "utm",
	"UPDATE events SET label = $2, generation = generation + 1, updated_at = $3 WHERE id = $1 AND closed_at IS NULL"
	" AND NOT EXISTS (SELECT 1 FROM events o WHERE o.label = $2 AND o.closed_at IS NULL AND NOT o.is_deleted)");

enum err
campus_session_regenerate(struct ctx *cx, const char *id, struct campus_session *ret)
{
	char label[LABEL_CHARS + 1];
	int64_t rows = 0;

	TRY(get_unclosed(cx, id, ret));
	for (int i = 0; i < LABEL_TRIES && !rows; i++) {
		label_random(cx, label);
		TRY(db_exec(cx, &SESSION_RELABEL, &rows, V(id), V((const char *)label), V(cx->now_us)));
	}
	if (!rows)
		return fail(cx, ERR_CONFLICT, "No label is free; close some sessions.");
	TRY(audit_ok(cx, AUDIT_QR_REVOKED, "session", id, AUDIT_TEXT("by", "regenerate")));
	return campus_session_get(cx, id, ret);
}
