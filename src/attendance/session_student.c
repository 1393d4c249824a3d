/*
 * What a student sees: sessions to go to, and what became of the marks.  No code, no networks and no policy: those are the
 * lecturer's.  Reasons are the findings of verification_logs, in the words that the layers used.
 */
#include "attendance/session_row.h"

#include "attendance/layers/layer.h"
#include "core/json.h"
#include "store/db.h"

SQL(OWN_SESSIONS, "um",
	"SELECT " SESSION_COLUMNS " FROM " SESSION_TABLES " JOIN enrollments n ON n.course_id = e.course_id"
	" WHERE n.user_id = $1 AND e.kind = 'session' AND NOT e.is_deleted AND e.closed_at IS NULL AND e.scheduled_at <= $2"
	" AND e.ends_at > $2 ORDER BY e.ends_at, e.id LIMIT 5000");

enum err
campus_session_list_own(struct ctx *cx, struct list *ret)
{
	TRY(db_all(cx, &OWN_SESSIONS, &session_row_schema, ret, V_ID(cx->actor->user_id), V(cx->now_us)));
	struct campus_session *rows = ret->items;
	for (size_t i = 0; i < ret->count; i++)
		rows[i].status = session_status(rows[i].starts_at, rows[i].ends_at, rows[i].closed_at, cx->now_us);
	return OK;
}

static const struct field history_session_fields[] = {
	F(struct history_session, id, 0, 0, 0, "Session or event"),
	F_PTR(struct history_session, course, F_NULLABLE, &session_course_schema, "Its course"),
	F(struct history_session, title, 0, 0, 0, "What it is called"),
	F(struct history_session, starts_at, F_TIME, 0, 0, "When it began"),
};
static const struct schema history_session_schema = SCHEMA("HistorySession", struct history_session, history_session_fields);

#define HISTORY_FIELDS                                                                                                      \
	F(struct history_row, attendance_id, 0, 0, 0, "The record"),                                                        \
		F_OBJ(struct history_row, session, &history_session_schema, "What was marked"),                             \
		F(struct history_row, status, 0, 0, 0, "present, late, excused, absent, flagged or rejected"),              \
		F(struct history_row, original_status, 0, 0, 0, "What it was at first"),                                    \
		F(struct history_row, method, 0, 0, 0, "qr, code, manual or import"),                                       \
		F(struct history_row, marked_at, F_TIME, 0, 0, "When the code was presented"),                              \
		F(struct history_row, distance_m, F_NULLABLE, 0, 0, "How far from the place, metres"),                      \
		F(struct history_row, reason, F_NULLABLE, 0, 0, "Why it was made or changed by hand"),                      \
		F(struct history_row, flags, F_NULLABLE, 0, 0, "What was found, separated by commas"),                      \
		F(struct history_row, dispute_note, F_NULLABLE, 0, 0, "What the student said against it"),                  \
		F(struct history_row, disputed_at, F_TIME | F_NULLABLE, 0, 0, "When")

static const struct field history_fields[] = {
	HISTORY_FIELDS,
	F_LIST(struct history_row, reasons, 0, NULL, "What the checks found, in plain words"),
};
const struct schema history_row_schema = SCHEMA("OwnMark", struct history_row, history_fields);
static const struct field history_load_fields[] = {HISTORY_FIELDS, F(struct history_row, layers, 0, 0, 0, NULL)};
static const struct schema history_load_schema = SCHEMA("OwnMarkRow", struct history_row, history_load_fields);

/* Of what was flagged: the layers' own sentences. */
static struct list
reasons_of(struct ctx *cx, const char *layers)
{
	const json_t *said = layers ? json_read(cx->arena, span_str(layers)) : NULL, *one;
	const char **texts = arena_new(cx->arena, const char *, json_array_size(said) + 1);
	size_t i, n = 0;

	json_array_foreach((json_t *)said, i, one)
	{
		const char *detail = json_string_value(json_object_get(one, "detail"));
		if (detail && str_eq(json_string_value(json_object_get(one, "verdict")), "flag"))
			texts[n++] = detail;
	}
	return (struct list){texts, n};
}

SQL(HISTORY, "ui",
	"SELECT r.id AS attendance_id, e.id AS \"session.id\", c.id AS \"session.course.id\", c.code AS \"session.course.code\","
	" c.title AS \"session.course.title\", e.title AS \"session.title\", e.scheduled_at AS \"session.starts_at\", r.status,"
	" r.original_status, r.method, r.marked_at, r.distance_m, r.reason, r.flags, r.dispute_note, r.disputed_at,"
	" CASE WHEN r.flags IS NULL THEN NULL ELSE " LAYERS_OF_RECORD " END AS layers"
	" FROM attendance_records r JOIN events e ON e.id = r.event_id LEFT JOIN courses c ON c.id = e.course_id"
	" WHERE r.user_id = $1 AND NOT e.is_deleted ORDER BY r.marked_at DESC, r.id DESC LIMIT $2");

enum err
campus_session_history(struct ctx *cx, int64_t limit, struct list *ret)
{
	TRY(db_all(cx, &HISTORY, &history_load_schema, ret, V_ID(cx->actor->user_id), V(limit)));
	struct history_row *rows = ret->items;
	for (size_t i = 0; i < ret->count; i++)
		rows[i].reasons = reasons_of(cx, rows[i].layers);
	return OK;
}
