/*
 * What the tests of attendance/ share: units of work by a user at an address, events, codes, marks, and a browser's key.
 */
#ifndef MUSTER_TESTS_ATTENDANCE_ENV_H
#define MUSTER_TESTS_ATTENDANCE_ENV_H

#include <string.h>

#include "browser_env.h"
#include "support.h"

#include "attendance/event.h"
#include "attendance/mark.h"
#include "attendance/qr.h"
#include "attendance/record.h"
#include "core/conf.h"
#include "core/crypto.h"

/* Two networks. */
static const struct client at_home = {.request_id = "test", .ip = "192.0.2.1", .user_agent = "Phone"};
static const struct client at_work = {.request_id = "test", .ip = "198.51.100.9", .user_agent = "Phone"};
#define HERE (&at_home)
#define ELSEWHERE (&at_work)

/* One unit of work; the error stays in *cx. */
static inline void
ctx_as(struct test *t, struct ctx *cx, const struct test_user *u)
{
	test_ctx(t, cx);
	cx->actor = u ? &u->actor : NULL;
	cx->client = HERE;
}

#define must(cx, call)                                                                                                  \
	do {                                                                                                            \
		enum err must_ = (call);                                                                                \
		if (must_ != OK)                                                                                        \
			fail_msg("%s: %s at %s:%d %s", #call, err_row(must_)->name, (cx)->error.file, (cx)->error.line, \
				(cx)->error.internal ? (cx)->error.internal : "");                                      \
	} while (0)

#define expect_err(want, got)                                                                     \
	do {                                                                                      \
		enum err got_ = (got), want_ = (want);                                            \
		if (got_ != want_)                                                                \
			fail_msg("%s: %s instead of %s", #got, got_ ? err_row(got_)->name : "OK", \
				want_ ? err_row(want_)->name : "OK");                             \
	} while (0)

/* --- events and codes ------------------------------------------------------------------------------------------------------ */

struct event_making {
	struct event_new in;
	struct event out;
};

static inline enum err
event_run(struct ctx *cx, void *arg)
{
	struct event_making *m = arg;

	return event_create(cx, &m->in, &m->out);
}

static inline struct event_new
event_plain(struct test *t, const char *title)
{
	struct event_new in;

	field_clear(&event_new_schema, &in);
	in.title = title;
	in.scheduled_at = t->wall_us;
	return in;
}

static inline struct event
make_event(struct test *t, const struct test_user *admin, struct event_new in)
{
	struct event_making m = {.in = in};
	struct ctx cx;

	ctx_as(t, &cx, admin);
	must(&cx, db_write(&cx, event_run, &m));
	return m.out;
}

struct qr_making {
	const char *id;
	struct qr_session out;
	int64_t rows;
};

static inline enum err
qr_run(struct ctx *cx, void *arg)
{
	struct qr_making *m = arg;

	return qr_generate(cx, m->id, &m->out);
}

static inline enum err
qr_revoke_run(struct ctx *cx, void *arg)
{
	struct qr_making *m = arg;

	return qr_revoke(cx, m->id);
}

static inline enum err
qr_revoke_all_run(struct ctx *cx, void *arg)
{
	struct qr_making *m = arg;

	return qr_revoke_all(cx, &m->rows);
}

static inline struct qr_session
make_code(struct test *t, const struct test_user *admin, const struct event *e)
{
	struct qr_making m = {.id = e->id.text};
	struct ctx cx;

	ctx_as(t, &cx, admin);
	must(&cx, db_write(&cx, qr_run, &m));
	return m.out;
}

static inline void
revoke_code(struct test *t, const struct test_user *admin, const struct qr_session *code)
{
	struct qr_making m = {.id = code->session_id.text};
	struct ctx cx;

	ctx_as(t, &cx, admin);
	must(&cx, db_write(&cx, qr_revoke_run, &m));
}

static inline enum err
event_delete_run(struct ctx *cx, void *arg)
{
	return event_delete(cx, arg);
}

static inline void
delete_event(struct test *t, const struct test_user *admin, struct event *e)
{
	struct ctx cx;

	ctx_as(t, &cx, admin);
	must(&cx, db_write(&cx, event_delete_run, e->id.text));
}

/* --- marks and claims ------------------------------------------------------------------------------------------------------ */

struct marking {
	struct mark_in in;
	struct mark_out out;
	struct ctx cx; /* the error, when there was one */
};

static inline enum err
mark_run(struct ctx *cx, void *arg)
{
	struct marking *m = arg;

	return attendance_mark(cx, &m->in, &m->out);
}

static inline enum err
mark_from(struct test *t, const struct test_user *u, const struct client *from, struct marking *m)
{
	ctx_as(t, &m->cx, u);
	m->cx.client = from;
	return db_write(&m->cx, mark_run, m);
}

static inline enum err
mark_payload(struct test *t, const struct test_user *u, const char *payload)
{
	struct marking m = {.in = {.qr_payload = payload}};

	return mark_from(t, u, HERE, &m);
}

static inline enum err
mark_claim(struct test *t, const struct test_user *u, const char *claim, const char *proof)
{
	struct marking m = {.in = {.claim = claim, .proof = proof}};

	return mark_from(t, u, HERE, &m);
}

static inline enum err
mark_typed(struct test *t, const struct test_user *u, const struct event *e, const char *code)
{
	struct marking m = {.in = {.code = code, .event_id = e->id.text}};

	return mark_from(t, u, HERE, &m);
}

struct claiming {
	struct claim_in in;
	struct claim_out out;
};

static inline enum err
claim_run(struct ctx *cx, void *arg)
{
	struct claiming *c = arg;

	return attendance_claim(cx, &c->in, &c->out);
}

static inline enum err
claim_payload(struct test *t, const char *payload, const char *jwk, struct claim_out *ret)
{
	struct claiming c = {.in = {.qr_payload = payload, .public_key = jwk}};
	struct ctx cx;

	ctx_as(t, &cx, NULL);
	enum err e = db_read(&cx, claim_run, &c);
	*ret = c.out;
	return e;
}

/* --- a test with an event and a code --------------------------------------------------------------------------------------- */

struct room { /* a test with an event and a code */
	struct test *t;
	struct test_user admin, student;
	struct event event;
	struct qr_session code;
};

static inline struct room
room_open_with(const char *const *overrides)
{
	struct room r = {.t = test_open(overrides)};

	r.admin = test_user(r.t, ROLE_ADMIN);
	r.student = test_user(r.t, ROLE_STUDENT);
	r.event = make_event(r.t, &r.admin, event_plain(r.t, "Algorithms"));
	r.code = make_code(r.t, &r.admin, &r.event);
	return r;
}

static inline struct room
room_open(void)
{
	return room_open_with(NULL);
}

static inline void
room_close(struct room *r)
{
	test_close(r->t);
}

#define ROWS(r, table) count((r).t, "SELECT COUNT(*) FROM " table)

#endif
