/*
 * Reminding the roster of a session that is about to begin.
 *
 * A roster can be long, so it is told in turns, in the order of ids: `reminded_to` is who was told last, `reminded_at` that all were.
 * Both are written with what they tell of, behind a statement that takes the session's row; so whatever breaks off, and whoever goes
 * on, nobody is told twice.  A move to a time that is further off than a reminder comes clears both.
 */
#include "attendance/session.h"

#include "notify/notify.h"
#include "store/db.h"

enum { REMIND_MINUTES = 30, TURN_STUDENTS = BULK_TURN_ROWS / 2 }; /* of a student: a notification, and a mail */

bool
session_reminds_again(const struct ctx *cx, int64_t old_starts_at, int64_t starts_at)
{
	return starts_at != old_starts_at && starts_at > cx->now_us + REMIND_MINUTES * MINUTES_US;
}

struct upcoming {
	struct uuid id, course_id, reminded_to;
	const char *title, *course;
	int64_t scheduled_at;
};
static const struct field upcoming_fields[] = {
	F(struct upcoming, id, 0, 0, 0, NULL),
	F(struct upcoming, course_id, 0, 0, 0, NULL),
	F(struct upcoming, reminded_to, 0, 0, 0, NULL),
	F(struct upcoming, title, 0, 0, 0, NULL),
	F(struct upcoming, course, 0, 0, 0, NULL),
	F(struct upcoming, scheduled_at, F_TIME, 0, 0, NULL),
};
static const struct schema upcoming_schema = SCHEMA("UpcomingSession", struct upcoming, upcoming_fields);

struct enrolled {
	struct uuid id;
	const char *email, *full_name;
	bool mail_reminders;
};
static const struct field enrolled_fields[] = {
	F(struct enrolled, id, 0, 0, 0, NULL),
	F(struct enrolled, email, 0, 0, 0, NULL),
	F(struct enrolled, full_name, 0, 0, 0, NULL),
	F(struct enrolled, mail_reminders, 0, 0, 0, NULL),
};
static const struct schema enrolled_schema = SCHEMA("RemindedStudent", struct enrolled, enrolled_fields);

static const char *
mail_data(struct ctx *cx, const struct upcoming *s, const struct enrolled *to)
{
	char at[TIME_WIRE_BYTES + 1];
	struct buf out;
	struct json j;

	time_to_wire(s->scheduled_at, at);
	buf_init(&out, cx->arena, 256);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "name", to->full_name);
	json_str(&j, "session", s->title);
	json_str(&j, "course", s->course);
	json_str(&j, "at", arena_printf(cx->arena, "%.10s %.5s UTC", at, at + 11));
	json_obj_end(&j);
	return buf_cstr(&out);
}

static enum err
remind_each(struct ctx *cx, const struct upcoming *s, const struct list *students)
{
	const struct enrolled *each = students->items;
	int minutes = (int)((s->scheduled_at - cx->now_us + MINUTES_US - 1) / MINUTES_US);
	char at[TIME_WIRE_BYTES + 1];

	time_to_wire(s->scheduled_at, at);
	const struct notification_new n = {.type = "reminder",
		.title = "A session is about to begin",
		.message = arena_printf(
			cx->arena, minutes == 1 ? "%s (%s) begins in %d minute." : "%s (%s) begins in %d minutes.", s->title, s->course, minutes),
		.data = arena_printf(cx->arena, "{\"event_id\":\"%s\",\"course_id\":\"%s\",\"starts_at\":\"%s\"}", s->id.text,
			s->course_id.text, at)};
	for (size_t i = 0; i < students->count; i++) {
		TRY(notify_user(cx, each[i].id.text, &n));
		if (each[i].mail_reminders)
			TRY(outbox_mail(cx, each[i].email, "reminder", mail_data(cx, s, &each[i])));
	}
	return OK;
}

SQL(REMIND_NEXT, "mm",
	"UPDATE events SET reminded_to = reminded_to WHERE id = (SELECT id FROM events WHERE kind = 'session' AND reminded_at IS NULL"
	" AND scheduled_at > $1 AND scheduled_at <= $2 AND closed_at IS NULL AND NOT is_deleted AND course_id IS NOT NULL"
	" ORDER BY scheduled_at LIMIT 1) AND reminded_at IS NULL AND scheduled_at > $1 AND scheduled_at <= $2 AND closed_at IS NULL"
	" AND NOT is_deleted RETURNING id, course_id, reminded_to, title, scheduled_at,"
	" (SELECT c.code FROM courses c WHERE c.id = course_id) AS course");
SQL(REMIND_STUDENTS, "uui",
	"SELECT u.id, u.email, u.full_name, u.mail_reminders FROM enrollments n JOIN users u ON u.id = n.user_id"
	" WHERE n.course_id = $1{?2 AND n.user_id > $2} AND u.is_active ORDER BY n.user_id LIMIT $3");
SQL(REMIND_REACHED, "uu", "UPDATE events SET reminded_to = $2 WHERE id = $1");
SQL(REMIND_DONE, "um", "UPDATE events SET reminded_at = $2 WHERE id = $1");

enum err
campus_session_remind(struct ctx *cx, int64_t *ret_rows)
{
	struct list students;
	struct upcoming s;
	bool found;

	TRY(db_find(cx, &REMIND_NEXT, &upcoming_schema, &s, &found, V(cx->now_us), V(cx->now_us + REMIND_MINUTES * MINUTES_US)));
	*ret_rows = found ? BULK_TURN_ROWS : 0;
	if (!found)
		return OK;
	TRY(db_all(cx, &REMIND_STUDENTS, &enrolled_schema, &students, V_ID(s.course_id), V_ID(s.reminded_to), V(TURN_STUDENTS)));
	TRY(remind_each(cx, &s, &students));
	if (students.count < TURN_STUDENTS)
		return db_exec(cx, &REMIND_DONE, NULL, V_ID(s.id), V(cx->now_us));
	const struct enrolled *last = (const struct enrolled *)students.items + TURN_STUDENTS - 1;
	return db_exec(cx, &REMIND_REACHED, NULL, V_ID(s.id), V_ID(last->id));
}
