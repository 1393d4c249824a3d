/* A hall at once: 1,500 marks of one session, the same student from several threads, a session that closes under the marks. */
#include "campus_env.h"

#include <pthread.h>

#include "attendance/mark.h"

enum { HALL = 1500, AT_ONCE = 6, ROUNDS = 4 };

struct marking {
	struct mark_in in;
	struct campus_mark_out out;
};

static enum err
mark_run(struct ctx *cx, void *arg)
{
	struct marking *m = arg;

	return attendance_mark_campus(cx, &m->in, &m->out);
}

static struct actor
seat(struct campus *c, int n)
{
	struct actor a = {.role = ROLE_STUDENT};

	snprintf(a.user_id.text, sizeof(a.user_id.text), "01890000-0000-7000-8000-%012d", n);
	sql_run(c->t, TEXT(c,
			      "INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders,"
			      " created_at, updated_at) VALUES ('%s', 'h%d@example.org', 'H', 'student', TRUE, FALSE, FALSE, FALSE,"
			      " '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
			      a.user_id.text, n));
	return a;
}

static void
a_hall_marks_one_session(void **state)
{
	struct campus c = campus_open();
	const char *id = open_session_id(&c, ",'rotate_seconds':300");
	struct test_reply *qr = qr_of(&c, id);

	(void)state;
	for (int i = 0; i < HALL; i++) {
		struct marking m = {.in = {.qr_session_id = id, .qr_nonce = text_at(qr, "qr_nonce")}};
		struct actor who = seat(&c, i);
		struct ctx cx;
		test_ctx(c.t, &cx);
		cx.actor = &who;
		assert_int_equal(db_write(&cx, mark_run, &m), OK);
		assert_string_equal(m.out.status, "present");
	}
	expect_int(get(&c, &c.lecturer, session_path(&c, id, "")), "counts.present", HALL);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM used_nonces"), HALL);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM verification_logs"), HALL);
	struct test_reply *r = get(&c, &c.lecturer, session_path(&c, id, "/attendance"));
	assert_int_equal(json_array_size(reply_at(r, "records")), HALL);
	test_close(c.t);
}

/* --- races ------------------------------------------------------------------------------------------------------------------- */

struct racer {
	struct campus *c;
	const struct test_user *who;
	const char *path, *body;
	pthread_barrier_t *start;
	int status;
	const char *code;
	pthread_t thread;
};

static void *
race(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->start);
	struct test_reply *got = call(r->c->t, POST, r->path, r->who->bearer, r->body);
	r->status = got->status;
	r->code = got->status < 300 ? "" : error_code(got);
	return NULL;
}

static void
run(struct racer *racers, int n)
{
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, (unsigned)n);
	for (int i = 0; i < n; i++) {
		racers[i].start = &start;
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < n; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_barrier_destroy(&start);
}

static const char *
parts_of(struct campus *c, const struct test_reply *qr)
{
	return TEXT(c, "{'qr_session_id':'%s','qr_nonce':'%s'}", text_at(qr, "qr_session_id"), text_at(qr, "qr_nonce"));
}

static void
one_student_from_many_threads(void **state)
{
	struct campus c = campus_open();

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct test_reply *qr = qr_of(&c, session_id(&c, ""));
		struct racer racers[AT_ONCE];
		int marked = 0;
		for (int i = 0; i < AT_ONCE; i++)
			racers[i] = (struct racer){.c = &c, .who = &c.students[0], .path = "/api/v1/student/attendance", .body = parts_of(&c, qr)};
		run(racers, AT_ONCE);
		for (int i = 0; i < AT_ONCE; i++) {
			marked += racers[i].status == 201;
			if (racers[i].status != 201)
				assert_string_equal(racers[i].code, "duplicate_attendance");
		}
		assert_int_equal(marked, 1);
	}
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_records"), ROUNDS);
	test_close(c.t);
}

/* Whatever comes first: a mark stands or is refused for the close, and nobody has two records. */
static void
closing_under_the_marks(void **state)
{
	struct campus c = campus_open();

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		const char *id = session_id(&c, "");
		struct test_reply *qr = qr_of(&c, id);
		struct racer racers[CLASS_STUDENTS + 1];
		int marked = 0;
		for (int i = 0; i < CLASS_STUDENTS; i++)
			racers[i] = (struct racer){.c = &c, .who = &c.students[i], .path = "/api/v1/student/attendance", .body = parts_of(&c, qr)};
		racers[CLASS_STUDENTS] = (struct racer){.c = &c, .who = &c.lecturer, .path = session_path(&c, id, "/close")};
		run(racers, CLASS_STUDENTS + 1);
		assert_int_equal(racers[CLASS_STUDENTS].status, 200);
		for (int i = 0; i < CLASS_STUDENTS; i++) {
			marked += racers[i].status == 201;
			if (racers[i].status != 201)
				assert_string_equal(racers[i].code, "session_closed");
		}
		expect_int(get(&c, &c.lecturer, session_path(&c, id, "")), "counts.present", marked);
		expect_error(mark_json(&c, &c.students[0], parts_of(&c, qr)), 409,
			"session_closed");
	}
	test_close(c.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hall_marks_one_session),
		cmocka_unit_test(one_student_from_many_threads),
		cmocka_unit_test(closing_under_the_marks),
	};

	return cmocka_run_group_tests_name("api_campus_hall", tests, NULL, NULL);
}
