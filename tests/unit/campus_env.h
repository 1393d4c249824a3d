/* What the tests of the campus surface share: a lecturer with a course of students, sessions, codes and marks, all over the API. */
#ifndef MUSTER_TESTS_CAMPUS_ENV_H
#define MUSTER_TESTS_CAMPUS_ENV_H

#include <stdio.h>
#include <string.h>

#include "support.h"

#define TEXT(c, ...) arena_printf(&(c)->t->arena, __VA_ARGS__)
#define NOBODYS_ID "01890a5d-ac96-774b-bcce-b302099a8057"

enum { CLASS_STUDENTS = 3 };

struct campus {
	struct test *t;
	struct test_user lecturer, stranger, admin, students[CLASS_STUDENTS]; /* stranger: another lecturer */
	const char *course;						     /* id; its roster has the students */
};

static inline struct test_reply *
get(struct campus *c, const struct test_user *u, const char *path)
{
	return call(c->t, GET, path, u ? u->bearer : NULL, NULL);
}

static inline struct test_reply *
post(struct campus *c, const struct test_user *u, const char *path, const char *body)
{
	return call(c->t, POST, path, u ? u->bearer : NULL, body);
}

static inline struct campus
campus_open_with(const char *const *overrides)
{
	struct campus c = {.t = test_open(overrides)};
	struct test_reply *r;

	c.lecturer = test_user(c.t, ROLE_LECTURER);
	c.stranger = test_user(c.t, ROLE_LECTURER);
	c.admin = test_user(c.t, ROLE_ADMIN);
	r = post(&c, &c.lecturer, "/api/v1/lecturer/courses", "{'code':'MA101','title':'Algorithms'}");
	expect_status(r, 201);
	c.course = text_at(r, "id");
	for (int i = 0; i < CLASS_STUDENTS; i++) {
		c.students[i] = test_user(c.t, ROLE_STUDENT);
		r = post(&c, &c.lecturer, TEXT(&c, "/api/v1/lecturer/courses/%s/roster", c.course),
			TEXT(&c, "{'email':'%s'}", c.students[i].email));
		expect_status(r, 201);
	}
	return c;
}

static inline struct campus
campus_open(void)
{
	return campus_open_with(TEST_CONF("ACCESS_TOKEN_EXPIRE_MINUTES=120"));
}

/* `more` are further members, ",'title':'x'" or "". */
static inline struct test_reply *
session_new(struct campus *c, const char *more)
{
	struct test_reply *r = post(c, &c->lecturer, "/api/v1/lecturer/sessions",
		TEXT(c, "{'course_id':'%s'%s%s}", c->course, strstr(more, "duration") ? "" : ",'duration_minutes':60", more));

	expect_status(r, 201);
	return r;
}

static inline const char *
session_id(struct campus *c, const char *more)
{
	return text_at(session_new(c, more), "id");
}

/* Without a course: anybody may mark. */
static inline const char *
open_session_id(struct campus *c, const char *more)
{
	struct test_reply *r = post(c, &c->lecturer, "/api/v1/lecturer/sessions", TEXT(c, "{'duration_minutes':60%s}", more));

	expect_status(r, 201);
	return text_at(r, "id");
}

static inline const char *
session_path(struct campus *c, const char *id, const char *rest)
{
	return TEXT(c, "/api/v1/lecturer/sessions/%s%s", id, rest);
}

static inline struct test_reply *
qr_of(struct campus *c, const char *id)
{
	struct test_reply *r = get(c, &c->lecturer, session_path(c, id, "/qr"));

	expect_status(r, 200);
	return r;
}

static inline struct test_reply *
mark_json(struct campus *c, const struct test_user *u, const char *body)
{
	return post(c, u, "/api/v1/student/attendance", body);
}

static inline struct test_reply *
mark_qr(struct campus *c, const struct test_user *u, const struct test_reply *qr)
{
	return mark_json(c, u,
		TEXT(c, "{'qr_session_id':'%s','qr_nonce':'%s'}", text_at(qr, "qr_session_id"), text_at(qr, "qr_nonce")));
}

static inline struct test_reply *
mark_payload(struct campus *c, const struct test_user *u, const char *payload)
{
	return mark_json(c, u, TEXT(c, "{'qr_payload':'%s'}", payload));
}

/* "signature" … "face" → the verdict of that layer; "" when it was not asked.  `list` is the list of layers. */
static inline const char *
verdict_of(const json_t *list, const char *layer)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)list, i, one) if (!strcmp(json_string_value(json_object_get(one, "layer")), layer)) return
		json_string_value(json_object_get(one, "verdict"));
	return "";
}

#endif
