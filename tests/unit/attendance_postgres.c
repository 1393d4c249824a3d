/*
 * Marks on PostgreSQL by three nodes, where they really run at the same time: the races that a single writer hides.  And every
 * statement of the domain, prepared in all its variants on both engines.
 */
#include <semaphore.h>

#include "store_env.h"

#include "attendance/count.h"
#include "attendance/event.h"
#include "attendance/mark.h"
#include "attendance/record.h"
#include "attendance/session.h"
#include "core/conf.h"
#include "core/keys.h"
#include "notify/notify.h"

enum { STUDENTS = 48, NODES = 3 };

static const char *const variables[] = {"ENV=dev", "SECRET_KEY=0123456789abcdef0123456789abcdef-access",
	"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes", "TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper",
	"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=Correct-Horse-7", NULL};

static void
every_statement_is_prepared(void **state)
{
	const char *message = "";

	(void)state;
	for (int pg = 0; pg < 2; pg++) {
		struct env *env = env_make(pg, "SELECT 1");
		if (!db_prepare_all(env->srv.store, &message))
			fail_msg("%s", message);
		env_free(env);
	}
}

/* --- a hall on PostgreSQL -------------------------------------------------------------------------------------------------- */

struct hall {
	struct env *env;
	struct server nodes[NODES]; /* the first one's store is env's */
	struct actor admin, students[STUDENTS];
};

static struct actor
person(struct env *env, int number, enum role role)
{
	struct actor a = {.role = role};

	snprintf(a.user_id.text, sizeof(a.user_id.text), "01890000-0000-7000-8000-%012d", number);
	(void)env_sql(env, arena_printf(&env->arena,
				   "INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, "
				   "mail_reminders, created_at,"
				   " updated_at) VALUES ('%s', 'p%d@example.org', 'P', '%s', TRUE, FALSE, FALSE, FALSE, "
				   "'2026-01-01 00:00:00',"
				   " '2026-01-01 00:00:00')",
				   a.user_id.text, number, role_names[role]));
	return a;
}

static struct hall
hall_open(void)
{
	struct hall h = {.env = env_make(true, "SELECT 1")};
	const char *message = "";

	h.env->srv.conf = conf_load(variables, NULL, &message);
	if (!h.env->srv.conf)
		fail_msg("%s", message);
	h.env->srv.keys = keys_open(h.env->srv.conf);
	for (int i = 0; i < NODES; i++) {
		h.nodes[i] = h.env->srv;
		if (i && db_open(&h.env->arena, &h.env->options, &h.nodes[i].store, &message) != OK)
			fail_msg("%s", message);
	}
	h.admin = person(h.env, 1, ROLE_ADMIN);
	for (int i = 0; i < STUDENTS; i++)
		h.students[i] = person(h.env, 100 + i, ROLE_STUDENT);
	return h;
}

static void
hall_close(struct hall *h)
{
	for (int i = 1; i < NODES; i++)
		db_close(h->nodes[i].store);
	keys_close((struct keys *)(uintptr_t)h->env->srv.keys);
	conf_free((struct config *)(uintptr_t)h->env->srv.conf);
	env_free(h->env);
}

struct making {
	int64_t capacity;
	struct event event;
	struct qr_session code;
};

static enum err
make_run(struct ctx *cx, void *arg)
{
	struct making *m = arg;
	struct event_new in;

	field_clear(&event_new_schema, &in);
	in.title = "Hall";
	in.scheduled_at = cx->now_us - HOURS_US;
	in.capacity = m->capacity;
	TRY(event_create(cx, &in, &m->event));
	return qr_generate(cx, m->event.id.text, &m->code);
}

static void
do_as(struct hall *h, const struct actor *who, enum err (*fn)(struct ctx *, void *), void *arg)
{
	struct ctx cx;

	env_cx(h->env, &cx);
	cx.actor = who;
	enum err e = db_write(&cx, fn, arg);
	if (e != OK)
		fail_msg("%s at %s:%d %s", err_row(e)->name, cx.error.file, cx.error.line,
			cx.error.internal ? cx.error.internal : "");
}

static struct making
make(struct hall *h, int64_t capacity)
{
	struct making m = {.capacity = capacity};

	do_as(h, &h->admin, make_run, &m);
	return m;
}

/* --- races ----------------------------------------------------------------------------------------------------------------- */

struct racer {
	const struct server *node;
	const struct actor *who;
	struct mark_in in;
	struct mark_out out;
	pthread_barrier_t *start;
	enum err got;
	char why[200];
};

static enum err
mark_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;

	return attendance_mark(cx, &r->in, &r->out);
}

static void *
race(void *arg)
{
	struct racer *r = arg;
	struct ctx cx;
	struct arena a;

	arena_init(&a);
	ctx_init(&cx, &a, r->node);
	cx.actor = r->who;
	pthread_barrier_wait(r->start);
	r->got = db_write(&cx, mark_run, r);
	str_copy(r->why, sizeof(r->why), cx.error.internal ? cx.error.internal : "");
	arena_release(&a);
	return NULL;
}

static void
race_all(struct hall *h, bool same, const char *payload, int ret[ERR__MAX])
{
	struct racer racers[STUDENTS];
	pthread_t threads[STUDENTS];
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, STUDENTS);
	for (int i = 0; i < STUDENTS; i++) {
		racers[i] = (struct racer){.node = &h->nodes[i % NODES],
			.who = &h->students[same ? 0 : i],
			.in = {.qr_payload = payload},
			.start = &start};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	memset(ret, 0, sizeof(int) * ERR__MAX);
	for (int i = 0; i < STUDENTS; i++) {
		pthread_join(threads[i], NULL);
		ret[racers[i].got]++;
		if (racers[i].why[0])
			print_message("%s: %s\n", err_row(racers[i].got)->name, racers[i].why);
	}
	pthread_barrier_destroy(&start);
}

static void
one_student_marks_once(void **state)
{
	struct hall h = hall_open();
	int got[ERR__MAX];

	(void)state;
	for (int round = 1; round <= 5; round++) {
		struct making m = make(&h, FIELD_NONE);
		race_all(&h, true, m.code.qr_payload, got);
		assert_int_equal(got[OK], 1);
		assert_int_equal(got[ERR_DUPLICATE_ATTENDANCE], STUDENTS - 1);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM attendance_records"), round);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM used_nonces"), round);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM verification_logs"), round);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_marked'"), round);
	}
	hall_close(&h);
}

static void
places_are_never_given_twice(void **state)
{
	struct hall h = hall_open();
	int got[ERR__MAX];

	(void)state;
	for (int round = 1; round <= 3; round++) {
		struct making m = make(&h, 5);
		race_all(&h, false, m.code.qr_payload, got);
		assert_int_equal(got[OK], 5);
		assert_int_equal(got[ERR_EVENT_FULL], STUDENTS - 5);
		assert_int_equal(env_count(h.env, "SELECT MAX(taken) FROM events"), 5);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM attendance_records"), 5 * round);
	}
	hall_close(&h);
}

/* --- two batches in opposite order ------------------------------------------------------------------------------------------ */

struct queued {
	struct racer mark; /* node, who, in, out, got */
	struct ctx cx;
	struct arena arena;
	struct db_job job;
	sem_t *done;
};

static enum err
queued_run(struct ctx *cx, void *arg)
{
	struct queued *q = arg;

	return attendance_mark(cx, &q->mark.in, &q->mark.out);
}

static void
queued_ahead(struct ctx *cx, void *arg)
{
	struct queued *q = arg;

	attendance_mark_ahead(cx, &q->mark.in);
}

static void
queued_done(void *arg, enum err result)
{
	struct queued *q = arg;

	q->mark.got = result;
	(void)sem_post(q->done);
}

static void *
queue_all(void *arg)
{
	struct queued *q = arg;

	pthread_barrier_wait(q->mark.start);
	for (int i = 0; i < STUDENTS; i++)
		assert_true(db_submit(q[i].mark.node->store, &q[i].job));
	return NULL;
}

static void
queue_make(struct queued *q, const struct server *node, const struct actor *who, const struct racer *like, sem_t *done)
{
	q->mark = *like;
	q->mark.node = node;
	q->mark.who = who;
	q->done = done;
	arena_init(&q->arena);
	ctx_init(&q->cx, &q->arena, node);
	q->cx.actor = who;
	q->job = (struct db_job){.cx = &q->cx, .ahead = queued_ahead, .run = queued_run, .done = queued_done, .arg = q};
}

/*
 * Two nodes mark the same students in opposite order at the same time: whoever is ended by a deadlock or a lock time-out is run
 * again, so that in the end each student has one mark and each of the two requests a true answer.
 */
static void
opposite_orders_lose_no_mark(void **state)
{
	static struct queued q[2][STUDENTS];
	pthread_barrier_t start;
	pthread_t threads[2];
	sem_t done;

	(void)state;
	(void)setenv("PGOPTIONS", "-c client_min_messages=error -c deadlock_timeout=20ms", 1); /* of the nodes' connections */
	struct hall h = hall_open();
	(void)setenv("PGOPTIONS", "-c client_min_messages=error", 1);
	pthread_barrier_init(&start, NULL, 2);
	(void)sem_init(&done, 0, 0);
	for (int round = 1; round <= 10; round++) {
		struct making m = make(&h, FIELD_NONE);
		const struct racer like = {.in = {.qr_payload = m.code.qr_payload}, .start = &start};
		for (int n = 0; n < 2; n++)
			for (int i = 0; i < STUDENTS; i++)
				queue_make(&q[n][i], &h.nodes[n], &h.students[n ? STUDENTS - 1 - i : i], &like, &done);
		for (int n = 0; n < 2; n++)
			assert_int_equal(pthread_create(&threads[n], NULL, queue_all, q[n]), 0);
		for (int i = 0; i < 2 * STUDENTS; i++)
			while (sem_wait(&done) != 0)
				; /* a signal */
		for (int n = 0; n < 2; n++)
			pthread_join(threads[n], NULL);
		for (int i = 0; i < STUDENTS; i++) {
			enum err a = q[0][i].mark.got, b = q[1][STUDENTS - 1 - i].mark.got;
			if (!(a == OK && b == ERR_DUPLICATE_ATTENDANCE) && !(b == OK && a == ERR_DUPLICATE_ATTENDANCE))
				fail_msg("student %d: %s and %s", i, a ? err_row(a)->name : "OK", b ? err_row(b)->name : "OK");
		}
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM attendance_records"), STUDENTS * round);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM used_nonces"), STUDENTS * round);
		assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_marked'"), STUDENTS * round);
		for (int i = 0; i < 2 * STUDENTS; i++)
			arena_release(&q[i / STUDENTS][i % STUDENTS].arena);
	}
	pthread_barrier_destroy(&start);
	hall_close(&h);
}

/* --- two changes of one session -------------------------------------------------------------------------------------------- */

struct changing {
	const struct server *node;
	const struct actor *who;
	struct campus_session session;
	enum err got;
};

static enum err
session_run(struct ctx *cx, void *arg)
{
	struct changing *c = arg;
	struct session_in in;

	field_clear(&session_new_schema, &in);
	in.duration_minutes = 60;
	return campus_session_create(cx, &in, &c->session);
}

static enum err
change_run(struct ctx *cx, void *arg)
{
	struct changing *c = arg;
	struct campus_session out;
	struct session_in in;

	field_clear(&session_change_schema, &in);
	in.require_device = TRI_YES;
	return campus_session_change(cx, c->session.id.text, &in, &out);
}

static void *
change(void *arg)
{
	struct changing *c = arg;
	struct ctx cx;
	struct arena a;

	arena_init(&a);
	ctx_init(&cx, &a, c->node);
	cx.actor = c->who;
	c->got = db_write(&cx, change_run, c);
	arena_release(&a);
	return NULL;
}

/* Another node's change is still open when ours begins: neither is lost. */
static void
two_changes_of_a_session_both_stand(void **state)
{
	struct hall h = hall_open();
	struct changing c = {.node = &h.nodes[1], .who = &h.admin};
	pthread_t thread;

	(void)state;
	do_as(&h, &h.admin, session_run, &c);
	PGconn *other = PQconnectdb(h.env->url);
	PQclear(PQexec(other, arena_printf(&h.env->arena,
		"BEGIN; UPDATE events SET require_face = TRUE, ends_at = ends_at + INTERVAL '1 hour' WHERE id = '%s'",
		c.session.id.text)));
	assert_int_equal(pthread_create(&thread, NULL, change, &c), 0);
	eventually(env_count(h.env, "SELECT COUNT(*) FROM pg_locks WHERE NOT granted") > 0);
	PQclear(PQexec(other, "COMMIT"));
	PQfinish(other);
	pthread_join(thread, NULL);
	assert_int_equal(c.got, OK);
	assert_int_equal(env_count(h.env, "SELECT COUNT(*) FROM events WHERE require_device AND require_face"
					  " AND ends_at = scheduled_at + INTERVAL '2 hours'"), 1);
	hall_close(&h);
}

/* --- everything that reads ------------------------------------------------------------------------------------------------- */

struct looking {
	struct list events, notifications;
	struct stats stats;
	struct own_records own;
	struct roll roll;
	int64_t rows, unread;
	const char *event_id;
};

static enum err
look_run(struct ctx *cx, void *arg)
{
	struct looking *l = arg;

	TRY(event_list(cx, 0, cx->now_us + DAYS_US, false, LIST_MAX, &l->events));
	TRY(stats_get(cx, &l->stats));
	TRY(record_list_own(cx, LIST_MAX, &l->own));
	TRY(record_list_event(cx, l->event_id, LIST_MAX, &l->roll));
	return notification_list(cx, true, 1, 20, &l->notifications, &l->rows, &l->unread);
}

static enum err
jobs_run(struct ctx *cx, void *arg)
{
	int64_t *rows = arg;

	TRY(event_counts_write(cx, rows));
	TRY(event_expected_write(cx, rows));
	return nonce_expire(cx, rows);
}

static void
what_is_read_afterwards(void **state)
{
	struct hall h = hall_open();
	struct making m = make(&h, FIELD_NONE);
	struct looking l = {.event_id = m.event.id.text};
	int got[ERR__MAX];
	int64_t rows;

	(void)state;
	race_all(&h, false, m.code.qr_payload, got);
	assert_int_equal(got[OK], STUDENTS);
	for (int counted = 0; counted < 2; counted++) {
		do_as(&h, &h.students[3], look_run, &l);
		const struct event *e = l.events.items;
		assert_int_equal(l.events.count, 1);
		assert_int_equal(e->attendance_count, STUDENTS);
		assert_true(e->user_attended);
		assert_int_equal(l.stats.attendance.total_records, STUDENTS);
		assert_true(l.stats.attendance.average_attendance_rate == 100.0);
		assert_int_equal(l.own.attended, 1);
		assert_int_equal(l.own.total, 1);
		assert_int_equal(l.roll.total, STUDENTS);
		do_as(&h, NULL, jobs_run, &rows);
	}
	hall_close(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_statement_is_prepared),
		cmocka_unit_test(one_student_marks_once),
		cmocka_unit_test(places_are_never_given_twice),
		cmocka_unit_test(opposite_orders_lose_no_mark),
		cmocka_unit_test(two_changes_of_a_session_both_stand),
		cmocka_unit_test(what_is_read_afterwards),
	};

	return cmocka_run_group_tests_name("attendance on PostgreSQL", tests, env_open, env_close);
}
