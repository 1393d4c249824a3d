/* Reminders of sessions: who gets them, when, and that each comes once. */
#include "campus_env.h"
#include "run_job.h"

#include "attendance/session.h"

#define TOLD "SELECT COUNT(*) FROM notifications WHERE type = 'reminder'"
#define MAILED "SELECT COUNT(*) FROM outbox WHERE template = 'reminder'"

static void
remind(struct campus *c)
{
	(void)run_job(c->t, "remind");
}

static void
expect_told(struct campus *c, int64_t told)
{
	remind(c);
	assert_int_equal(count(c->t, TOLD), told);
}

static void
the_roster_is_told_half_an_hour_before(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'starts_at':'2026-08-01T13:00:00Z','title':'Week 3'");

	(void)state;
	test_advance(c.t, 30 * MINUTES_US - SECONDS_US);
	expect_told(&c, 0);
	test_advance(c.t, SECONDS_US);
	assert_int_equal(run_job(c.t, "remind"), BULK_TURN_ROWS);
	for (int i = 0; i < CLASS_STUDENTS; i++) {
		struct test_reply *r = get(&c, &c.students[i], "/api/notifications");
		expect_int(r, "total", 1);
		expect_text(r, "notifications.0.type", "reminder");
		expect_text(r, "notifications.0.title", "A session is about to begin");
		expect_text(r, "notifications.0.message", "Week 3 (MA101) begins in 30 minutes.");
		expect_text(r, "notifications.0.data.event_id", id);
		expect_text(r, "notifications.0.data.course_id", c.course);
		expect_text(r, "notifications.0.data.starts_at", "2026-08-01T13:00:00Z");
		assert_int_equal(count(c.t, TEXT(&c, MAILED " AND recipient = '%s'", c.students[i].email)), 1);
	}
	expect_int(get(&c, &c.lecturer, "/api/notifications"), "total", 0);
	assert_string_equal(sql_text(c.t, TEXT(&c, "SELECT data FROM outbox WHERE recipient = '%s'", c.students[0].email)),
		TEXT(&c, "{\"name\":\"%s\",\"session\":\"Week 3\",\"course\":\"MA101\",\"at\":\"2026-08-01 13:00 UTC\"}",
			c.students[0].full_name));
	assert_int_equal(run_job(c.t, "remind"), 0);
	test_advance(c.t, 10 * MINUTES_US);
	expect_status(post(&c, &c.students[0], "/api/notifications/read-all", NULL), 200); /* and what was read is not told again */
	expect_told(&c, CLASS_STUDENTS);
	assert_int_equal(count(c.t, MAILED), CLASS_STUDENTS);
	test_close(c.t);
}

static void
who_is_not_told_or_not_mailed(void **state)
{
	struct campus c = campus_open();

	(void)state;
	(void)session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");
	(void)open_session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");
	expect_status(call(c.t, PATCH, "/v1/auth/me", c.students[0].bearer, "{'mail':{'reminders':false}}"), 200);
	sql_run(c.t, TEXT(&c, "UPDATE users SET is_active = 0, disabled_at = created_at WHERE id = '%s'", c.students[1].id.text));
	expect_told(&c, CLASS_STUDENTS - 1);
	assert_int_equal(count(c.t, TEXT(&c, TOLD " AND user_id = uuid('%s')", c.students[1].id.text)), 0);
	assert_int_equal(count(c.t, MAILED), CLASS_STUDENTS - 2);
	assert_int_equal(count(c.t, TEXT(&c, MAILED " AND recipient = '%s'", c.students[2].email)), 1);
	test_close(c.t);
}

static void
what_is_not_told_of(void **state)
{
	struct campus c = campus_open();
	const char *closed = session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");
	const char *deleted = session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");

	(void)state;
	(void)session_id(&c, ""); /* has begun */
	(void)session_id(&c, ",'starts_at':'2026-08-01T12:10:00Z'");
	(void)session_id(&c, ",'starts_at':'2026-08-01T13:30:00Z'");
	expect_status(post(&c, &c.lecturer, session_path(&c, closed, "/close"), NULL), 200);
	expect_status(call(c.t, DELETE, TEXT(&c, "/api/admin/events/%s", deleted), c.admin.bearer, NULL), 204);
	test_advance(c.t, 10 * MINUTES_US); /* nobody looked meanwhile: the one of 12:10 begins */
	expect_told(&c, 0);
	expect_status(post(&c, &c.admin, "/api/admin/events",
			      TEXT(&c, "{'title':'Portal','scheduled_at':'2026-08-01T12:20:00Z','course_id':'%s'}", c.course)),
		201);
	expect_told(&c, 0);
	test_close(c.t);
}

static void
each_session_of_a_series_for_itself(void **state)
{
	struct campus c = campus_open();

	(void)state;
	for (int i = 0; i < 3; i++)
		(void)session_id(&c, TEXT(&c, ",'starts_at':'2026-08-%02dT12:30:00Z'", 1 + 7 * i));
	for (int i = 1; i <= 3; i++) {
		expect_told(&c, i * CLASS_STUDENTS);
		test_advance(c.t, 7 * DAYS_US);
	}
	expect_told(&c, 3 * CLASS_STUDENTS);
	test_close(c.t);
}

static void
move(struct campus *c, const char *id, const char *starts_at)
{
	expect_status(
		call(c->t, PATCH, session_path(c, id, ""), c->lecturer.bearer, TEXT(c, "{'starts_at':'%s'}", starts_at)), 200);
}

static void
what_is_moved_is_told_again_when_it_is_far_off_again(void **state)
{
	struct campus c = campus_open();
	const char *id = session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");

	(void)state;
	expect_told(&c, CLASS_STUDENTS);
	move(&c, id, "2026-08-01T12:30:00Z"); /* not further off than a reminder comes */
	expect_told(&c, CLASS_STUDENTS);
	move(&c, id, "2026-08-01T13:00:00Z");
	expect_told(&c, CLASS_STUDENTS);
	test_advance(c.t, 30 * MINUTES_US);
	expect_told(&c, 2 * CLASS_STUDENTS);
	expect_status(call(c.t, PATCH, session_path(&c, id, ""), c.lecturer.bearer, "{'title':'Other'}"), 200);
	expect_told(&c, 2 * CLASS_STUDENTS);
	expect_status(call(c.t, PATCH, TEXT(&c, "/api/admin/events/%s", id), c.admin.bearer,
			      "{'scheduled_at':'2026-08-01T14:00:00Z','ends_at':'2026-08-01T15:00:00Z'}"),
		200);
	expect_told(&c, 2 * CLASS_STUDENTS);
	test_advance(c.t, HOURS_US);
	expect_told(&c, 3 * CLASS_STUDENTS);
	assert_int_equal(count(c.t, MAILED), 3 * CLASS_STUDENTS);
	test_close(c.t);
}

/* --- in turns ------------------------------------------------------------------------------------------------------------------ */

enum { MANY = 2 * BULK_TURN_ROWS };

static void
fill_roster(struct campus *c)
{
	sql_run(c->t, TEXT(c,
			      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
			      " INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, created_at,"
			      " updated_at) SELECT uuid(printf('01890a5d-ac96-774b-bcce-%%012d', i)), printf('r%%d@many.example', i), 'R',"
			      " 'student', 1, 0, 0, 1, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000' FROM n",
			      MANY));
	sql_run(c->t, TEXT(c,
			      "INSERT INTO enrollments (course_id, user_id, created_at) SELECT '%s', id, created_at FROM users"
			      " WHERE email LIKE '%%many.example'",
			      c->course));
}

static void
expect_each_once(struct campus *c)
{
	assert_int_equal(count(c->t, TOLD), CLASS_STUDENTS + MANY);
	assert_int_equal(count(c->t, "SELECT COUNT(DISTINCT user_id) FROM notifications WHERE type = 'reminder'"),
		CLASS_STUDENTS + MANY);
	assert_int_equal(count(c->t, MAILED), CLASS_STUDENTS + MANY);
	assert_int_equal(count(c->t, "SELECT COUNT(DISTINCT recipient) FROM outbox"), CLASS_STUDENTS + MANY);
}

/* One turn, then the program ends. */
static int64_t
one_turn(struct campus *c)
{
	const atomic_bool stop = true;
	const struct job *job = job_rows;
	struct ctx cx;
	int64_t rows;

	while (strcmp(job->name, "remind") != 0)
		job++;
	test_ctx(c->t, &cx);
	cx.stop = &stop;
	assert_int_equal(job_lead(&cx, job, NULL, &rows), OK);
	return rows;
}

static void
a_roster_longer_than_a_turn_that_breaks_off(void **state)
{
	struct campus c = campus_open();

	(void)state;
	fill_roster(&c);
	(void)session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");
	assert_int_equal(one_turn(&c), BULK_TURN_ROWS);
	int64_t told = count(c.t, TOLD);
	assert_in_range(told, 1, BULK_TURN_ROWS);
	assert_in_range(told + count(c.t, MAILED), 1, BULK_TURN_ROWS); /* a turn is short */
	sql_run(c.t, "UPDATE notifications SET is_read = TRUE");
	test_advance(c.t, MINUTES_US);
	remind(&c);
	expect_each_once(&c);
	test_close(c.t);
}

static void
what_is_moved_between_two_turns_begins_anew(void **state)
{
	struct campus c = campus_open();

	(void)state;
	fill_roster(&c);
	const char *id = session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");
	(void)one_turn(&c);
	int64_t told = count(c.t, TOLD);
	move(&c, id, "2026-08-01T13:00:00Z");
	remind(&c);
	assert_int_equal(count(c.t, TOLD), told);
	test_advance(c.t, 30 * MINUTES_US);
	remind(&c);
	assert_int_equal(count(c.t, TOLD), told + CLASS_STUDENTS + MANY);
	test_close(c.t);
}

/* Who was leader a moment ago and has not noticed. */
static enum err
turn(struct ctx *cx, void *arg)
{
	return campus_session_remind(cx, arg);
}

static void *
all_turns(void *arg)
{
	enum err e = OK;

	for (int64_t rows = 1; rows && e == OK;)
		e = test_write(arg, turn, &rows);
	return e == OK ? arg : NULL;
}

static void
two_at_once_tell_each_once(void **state)
{
	struct campus c = campus_open();
	pthread_t threads[2];
	void *done[2];

	(void)state;
	fill_roster(&c);
	(void)session_id(&c, ",'starts_at':'2026-08-01T12:20:00Z'");
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, all_turns, c.t), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], &done[i]), 0);
	assert_non_null(done[0]);
	assert_non_null(done[1]);
	expect_each_once(&c);
	test_close(c.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_roster_is_told_half_an_hour_before),
		cmocka_unit_test(who_is_not_told_or_not_mailed),
		cmocka_unit_test(what_is_not_told_of),
		cmocka_unit_test(each_session_of_a_series_for_itself),
		cmocka_unit_test(what_is_moved_is_told_again_when_it_is_far_off_again),
		cmocka_unit_test(a_roster_longer_than_a_turn_that_breaks_off),
		cmocka_unit_test(what_is_moved_between_two_turns_begins_anew),
		cmocka_unit_test(two_at_once_tell_each_once),
	};

	return cmocka_run_group_tests_name("reminders", tests, NULL, NULL);
}
