/* Jobs by name, what they leave in the database, failures, and the thread's start and stop. */
#include "attendance_env.h"
#include "run_job.h"

#include "jobs/jobs.h"

static void
every_job_runs_on_an_empty_database(void **state)
{
	struct test *t = test_open(NULL);
	struct ctx cx;
	int64_t rows;

	(void)state;
	for (size_t i = 0; i < job_row_count; i++) {
		assert_int_equal(run_job(t, job_rows[i].name), 0);
		const char *sql = arena_printf(&t->arena,
			"SELECT moment(last_started_at) || moment(last_finished_at) || COALESCE(last_error, '') FROM jobs WHERE name = '%s' AND "
			"leader <> ''",
			job_rows[i].name);
		assert_string_equal(sql_text(t, sql), "2026-08-01 12:00:00.0000002026-08-01 12:00:00.000000");
	}
	test_ctx(t, &cx);
	expect_err(ERR_NOT_FOUND, job_run(&cx, "no_such_job", &rows));
	test_close(t);
}

static void
marks_are_told_once_per_event(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), a = test_user(t, ROLE_STUDENT), b = test_user(t, ROLE_STUDENT);
	struct event e = make_event(t, &admin, event_plain(t, "Algorithms")),
		     other = make_event(t, &admin, event_plain(t, "Graphs"));
	struct qr_session code = make_code(t, &admin, &e), second = make_code(t, &admin, &other);
	const char *texts = "SELECT group_concat(message, '|') FROM (SELECT message FROM notifications WHERE type = 'marks' "
			    "ORDER BY message) m";

	(void)state;
	expect_err(OK, mark_payload(t, &a, code.qr_payload));
	run_job(t, "notify_marks");
	assert_string_equal(sql_text(t, texts), "1 person has marked attendance at Algorithms.");
	test_advance(t, 10 * SECONDS_US);
	run_job(t, "notify_marks");
	expect_err(OK, mark_payload(t, &b, code.qr_payload));
	expect_err(OK, mark_payload(t, &b, second.qr_payload));
	run_job(t, "notify_marks");
	assert_string_equal(
		sql_text(t, texts), "1 person has marked attendance at Graphs.|2 people have marked attendance at Algorithms.");
	assert_int_equal(
		count(t, "SELECT COUNT(*) FROM notifications n JOIN users u ON u.id = n.user_id WHERE u.role = 'student'"), 0);
	sql_run(t, "UPDATE notifications SET is_read = 1, coalesce_key = NULL");
	run_job(t, "notify_marks");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM notifications WHERE is_read = 0"), 0);
	test_close(t);
}

/* One for each notification that is new, whatever comes to it until it is read. */
static void
marks_are_mailed_to_who_wishes(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), other = test_user(t, ROLE_ADMIN), disabled = test_user(t, ROLE_ADMIN);
	struct test_user a = test_user(t, ROLE_STUDENT), b = test_user(t, ROLE_STUDENT), c = test_user(t, ROLE_STUDENT);
	struct event e = make_event(t, &admin, event_plain(t, "Algorithms"));
	struct qr_session code = make_code(t, &admin, &e);
	const char *mails = "SELECT COUNT(*) FROM outbox WHERE template = 'marks'";

	(void)state;
	expect_status(call(t, PATCH, "/v1/auth/me", other.bearer, "{'mail':{'marks':false}}"), 200);
	sql_run(t, PATH(t, "UPDATE users SET is_active = 0, disabled_at = created_at WHERE id = '%s'", disabled.id.text));
	expect_err(OK, mark_payload(t, &a, code.qr_payload));
	run_job(t, "notify_marks");
	assert_int_equal(count(t, mails), 1);
	assert_string_equal(sql_text(t, "SELECT recipient || data FROM outbox WHERE template = 'marks'"),
		PATH(t, "%s{\"name\":\"%s\",\"title\":\"New attendance\",\"message\":\"1 person has marked attendance at Algorithms.\"}",
			admin.email, admin.full_name));
	test_advance(t, 10 * SECONDS_US);
	expect_err(OK, mark_payload(t, &b, code.qr_payload));
	run_job(t, "notify_marks");
	assert_int_equal(count(t, mails), 1);
	expect_status(call(t, POST, "/api/notifications/read-all", admin.bearer, NULL), 200);
	run_job(t, "notify_marks");
	assert_int_equal(count(t, mails), 1);
	test_advance(t, 10 * SECONDS_US);
	expect_err(OK, mark_payload(t, &c, code.qr_payload));
	run_job(t, "notify_marks");
	assert_int_equal(count(t, mails), 2);
	test_close(t);
}

static void
old_replies_are_forgotten(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	sql_run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250)"
		   " INSERT INTO idempotency_keys SELECT '01890a5d-ac96-774b-bcce-b302099a8057', 'r', i, 'h', 200, NULL, NULL,"
		   " '2026-07-31 12:00:00.000000' FROM n");
	assert_int_equal(run_job(t, "idempotency_expire"), 0); /* not over 24 hours */
	sql_run(t, "UPDATE idempotency_keys SET created_at = '2026-07-31 11:59:59.999999' WHERE CAST(idempotency_key AS INTEGER) "
		   "> 20");
	assert_int_equal(run_job(t, "idempotency_expire"), 230);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM idempotency_keys"), 20);
	test_close(t);
}

static void
approvals_time_out(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	struct test_reply *r = call(
		t, POST, "/api/auth/signup", NULL, "{'email':'new@example.org','password':'Correct-Horse-7','full_name':'New'}");
	expect_status(r, 201);
	assert_int_equal(run_job(t, "approval_expire"), 0);
	test_advance(t, 3 * MINUTES_US);
	assert_int_equal(run_job(t, "approval_expire"), 1);
	assert_string_equal(sql_text(t, "SELECT status FROM approval_requests"), "timeout");
	test_close(t);
}

/* Somebody else holds a name in the way: the job fails, says so, and works again afterwards. */
static void
a_failure_is_noted(void **state)
{
	struct test *t = test_open(NULL);
	struct ctx cx;
	int64_t rows;

	(void)state;
	sql_run(t, "DELETE FROM positions WHERE name = 'event_counts'");
	test_ctx(t, &cx);
	expect_err(ERR_NOT_FOUND, job_run(&cx, "event_counts", &rows));
	assert_int_equal(count(t, "SELECT COUNT(*) FROM jobs WHERE name = 'event_counts' AND last_error <> '' AND "
				  "last_finished_at IS NULL"),
		1);
	sql_run(t, "INSERT INTO positions VALUES ('event_counts', '00000000-0000-0000-0000-000000000000')");
	run_job(t, "event_counts");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM jobs WHERE last_error IS NULL AND last_finished_at IS NOT NULL"), 1);
	test_close(t);
}

static struct test *slow_in;

static enum err
slow(struct ctx *cx, int64_t *ret_rows)
{
	(void)cx;
	test_advance(slow_in, 5 * SECONDS_US);
	*ret_rows = 0;
	return OK;
}

static void
a_run_ends_when_it_is_over(void **state)
{
	static const struct job jobs[] = {{"slow", 60, slow}, {"slow_outside", 60, slow, JOBS_OUTSIDE}};
	struct test *t = slow_in = test_open(NULL);
	struct ctx cx;
	int64_t rows;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		test_ctx(t, &cx);
		must(&cx, job_lead(&cx, &jobs[i], NULL, &rows));
	}
	assert_string_equal(sql_text(t, "SELECT moment(last_started_at) || moment(last_finished_at) FROM jobs WHERE name = 'slow'"),
		"2026-08-01 12:00:00.0000002026-08-01 12:00:05.000000");
	assert_string_equal(
		sql_text(t, "SELECT moment(last_started_at) || moment(last_finished_at) FROM jobs WHERE name = 'slow_outside'"),
		"2026-08-01 12:00:05.0000002026-08-01 12:00:10.000000");
	test_close(t);
}

/* The clock stands still, so no job is due; the thread must stop all the same, at once. */
static void
the_scheduler_stops(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	struct scheduler *s = scheduler_open(&t->srv);
	scheduler_close(s);
	scheduler_close(NULL);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM jobs"), 0);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_on_an_empty_database),
		cmocka_unit_test(marks_are_told_once_per_event),
		cmocka_unit_test(marks_are_mailed_to_who_wishes),
		cmocka_unit_test(old_replies_are_forgotten),
		cmocka_unit_test(approvals_time_out),
		cmocka_unit_test(a_failure_is_noted),
		cmocka_unit_test(a_run_ends_when_it_is_over),
		cmocka_unit_test(the_scheduler_stops),
	};

	return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
