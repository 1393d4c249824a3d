/* What the tests of devices, places and networks share: campus sessions, marks with what a phone says, and bound devices. */
#ifndef MUSTER_TESTS_LESSON_ENV_H
#define MUSTER_TESTS_LESSON_ENV_H

#include "attendance_env.h"

#include "attendance/device.h"

#define TEXT(t, ...) arena_printf(&(t)->arena, __VA_ARGS__)

/* --- sessions, devices, marks ---------------------------------------------------------------------------------------------- */

struct lesson {
	struct event event;
	struct qr_session code;
};

/* A campus session in an hour of its own; `more` are further columns. */
static inline struct lesson
lesson(struct room *r, const char *more)
{
	struct lesson l = {.event = make_event(r->t, &r->admin, event_plain(r->t, "Lecture"))};

	l.code = make_code(r->t, &r->admin, &l.event);
	sql_run(r->t, TEXT(r->t, "UPDATE events SET kind = 'session'%s WHERE id = '%s'", more, l.event.id.text));
	return l;
}

#define FENCE ", latitude = 47.3769, longitude = 8.5417, geofence_radius_m = 100"

static inline struct marking
mark_in_lesson(struct room *r, const struct test_user *u, const struct lesson *l, struct mark_in in)
{
	struct marking m = {.in = in};

	m.in.qr_payload = l->code.qr_payload;
	enum err e = mark_from(r->t, u, HERE, &m);
	assert_int_equal(e, m.cx.error.code);
	return m;
}

static inline struct marking
mark_with(struct room *r, const struct test_user *u, const struct lesson *l, const char *imei)
{
	return mark_in_lesson(r, u, l, (struct mark_in){.imei = imei});
}

/* "status flags" of a student's record. */
static inline const char *
record_of(struct room *r, const struct test_user *u, const struct lesson *l)
{
	return sql_text(r->t, TEXT(r->t,
				      "SELECT status || ' ' || COALESCE(flags, '-') FROM attendance_records WHERE user_id = '%s' AND "
				      "event_id = '%s'",
				      u->id.text, l->event.id.text));
}

/* The detail of one layer in the student's newest verification log. */
static inline const char *
detail_of(struct room *r, const struct test_user *u, const struct lesson *l, const char *layer)
{
	const char *text = sql_text(r->t, TEXT(r->t,
						 "SELECT v.layers FROM verification_logs v JOIN attendance_records a ON a.id = "
						 "v.attendance_id WHERE a.user_id = '%s' AND a.event_id = '%s'"
						 " ORDER BY v.created_at DESC LIMIT 1",
						 u->id.text, l->event.id.text));
	const json_t *list = json_read(&r->t->arena, span_str(text));

	for (size_t i = 0; i < json_array_size(list); i++)
		if (str_eq(json_string_value(json_object_get(json_array_get(list, i), "layer")), layer)) {
			const char *detail = json_string_value(json_object_get(json_array_get(list, i), "detail"));
			return detail ? detail : "";
		}
	return "no such layer";
}

struct binding {
	struct device_in in;
	struct device_out out;
};

static inline enum err
bind_run(struct ctx *cx, void *arg)
{
	struct binding *b = arg;

	return device_bind(cx, &b->in, &b->out);
}

static inline const char *
bind_device(struct room *r, const struct test_user *u, struct device_in in)
{
	struct binding b = {.in = in};
	struct ctx cx;

	ctx_as(r->t, &cx, u);
	must(&cx, db_write(&cx, bind_run, &b));
	return b.out.status;
}

static inline enum err
reset_run(struct ctx *cx, void *arg)
{
	struct device_reset_out out;

	return device_reset(cx, arg, &out);
}

static inline void
reset_device(struct room *r, const struct test_user *u)
{
	struct device_reset_in in = {.user_id = u->id};
	struct ctx cx;

	ctx_as(r->t, &cx, &r->admin);
	must(&cx, db_write(&cx, reset_run, &in));
}

#endif
