/* The daily backup: when it comes, when it does not, and what is kept. */
#include "attendance_env.h"
#include "run_job.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "jobs/backup.h"
#include "store/backup.h"

static int
files(struct test *t)
{
	DIR *d = opendir(arena_printf(&t->arena, "%s/backups", t->srv.conf->data_dir));
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static const char *
suffix(const struct test *t)
{
	return t->pg_url ? ".dump" : ".db";
}

/* The clock begins at noon; BACKUP_AT is 03:00. */
static void
once_a_day(void **state)
{
	struct test *t = test_open(TEST_CONF("BACKUP_KEEP=2"));
	struct ctx cx;

	(void)state;
	run_job(t, "backup");
	assert_int_equal(files(t), 0);
	test_advance(t, 15 * HOURS_US - 1);
	run_job(t, "backup");
	assert_int_equal(files(t), 0);
	test_advance(t, 1);
	run_job(t, "backup");
	assert_int_equal(files(t), 1);
	test_advance(t, MINUTES_US);
	run_job(t, "backup");
	assert_int_equal(files(t), 1);
	assert_int_equal(count(t, arena_printf(&t->arena,
					  "SELECT COUNT(*) FROM audit_logs WHERE action = 'backup' AND entity_id = "
					  "'muster-20260802-030000%s'",
					  suffix(t))),
		1);
	for (int day = 0; day < 3; day++) { /* one of them three days late */
		test_advance(t, (day == 1 ? 3 : 1) * DAYS_US);
		run_job(t, "backup");
	}
	assert_int_equal(files(t), 2);
	test_ctx(t, &cx);
	const char *newest = backup_newest(&cx), *message = "";
	assert_true(str_ends(newest, arena_printf(&t->arena, "/backups/muster-20260807-030100%s", suffix(t))));
	if (backup_check(&t->arena, newest, &message) != OK)
		fail_msg("%s", message);
	test_close(t);
}

/* What was copied before that hour is not what was there then. */
static void
one_that_outlasts_the_hour_is_not_that_days(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	run_job(t, "backup");
	sql_run(t, "UPDATE jobs SET last_started_at = '2026-08-02 02:30:00.000000', last_good_start = '2026-08-02 02:30:00.000000',"
		   " last_finished_at = '2026-08-02 03:10:00.000000'");
	test_advance(t, 15 * HOURS_US + 11 * MINUTES_US);
	run_job(t, "backup");
	assert_int_equal(files(t), 1);
	run_job(t, "backup");
	assert_int_equal(files(t), 1);
	test_close(t);
}

/* Nor does one stand for it that had nothing to do yet, whose end came behind that hour, and the next of which failed. */
static void
one_that_fails_is_made_up_for(void **state)
{
	struct test *t = test_open(NULL);
	struct ctx cx;
	int64_t rows;

	(void)state;
	run_job(t, "backup");
	sql_run(t, "UPDATE jobs SET last_good_start = '2026-08-02 02:59:59.999000', last_finished_at = '2026-08-02 03:00:00.001000'");
	test_advance(t, 15 * HOURS_US + MINUTES_US);
	const char *folder = arena_printf(&t->arena, "%s/backups", t->srv.conf->data_dir);
	assert_int_equal(close(open(folder, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0); /* where a folder is wanted */
	test_ctx(t, &cx);
	expect_err(ERR_UNAVAILABLE, job_run(&cx, "backup", &rows));
	assert_int_equal(unlink(folder), 0);
	run_job(t, "backup");
	assert_int_equal(files(t), 1);
	test_close(t);
}

/* That is no failure, and it is made after the next start. */
static void
a_server_that_stops_waits_for_none(void **state)
{
	struct test *t = test_open(NULL);
	atomic_bool stop = true;
	struct ctx cx;
	int64_t rows;

	(void)state;
	run_job(t, "backup");
	test_advance(t, 15 * HOURS_US + MINUTES_US);
	test_ctx(t, &cx);
	cx.stop = &stop;
	must(&cx, job_run(&cx, "backup", &rows));
	assert_int_equal(files(t), 0);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM jobs WHERE last_error IS NOT NULL"), 0);
	run_job(t, "backup");
	assert_int_equal(files(t), 1);
	test_close(t);
}

/* Made so many days ago, by the test's clock. */
static const char *
draft(struct test *t, const char *name, int days)
{
	const char *path = arena_printf(&t->arena, "%s/backups/%s", t->srv.conf->data_dir, name);
	const struct timespec at = {.tv_sec = (time_t)((TEST_START_US - days * DAYS_US) / SECONDS_US)};
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, (const struct timespec[]){at, at}, 0), 0);
	return path;
}

static void
what_a_killed_one_left_goes_a_day_later(void **state)
{
	struct test *t = test_open(NULL);
	const char *path;
	struct ctx cx;

	(void)state;
	test_ctx(t, &cx);
	must(&cx, backup_now(&cx, &path));
	const char *old = draft(t, "muster-20260730-030000.db.new", 2), *log = draft(t, "muster-20260730-030000.db.new-wal", 2),
		   *dump = draft(t, "muster-20260730-030000.dump.new", 2), *young = draft(t, "muster-20260801-115900.db.new", 0),
		   *theirs = draft(t, "export.db.new", 2);
	test_advance(t, SECONDS_US);
	test_ctx(t, &cx);
	must(&cx, backup_now(&cx, &path));
	assert_int_equal(files(t), 4);
	assert_int_not_equal(access(old, F_OK), 0);
	assert_int_not_equal(access(log, F_OK), 0);
	assert_int_not_equal(access(dump, F_OK), 0);
	assert_int_equal(access(young, F_OK), 0);
	assert_int_equal(access(theirs, F_OK), 0);
	test_close(t);
}

static void
only_ours_are_removed(void **state)
{
	struct test *t = test_open(TEST_CONF("BACKUP_KEEP=1"));
	const char *path, *other;
	struct ctx cx;

	(void)state;
	for (int i = 0; i < 3; i++) {
		test_ctx(t, &cx);
		must(&cx, backup_now(&cx, &path));
		other = arena_printf(&t->arena, "%s.keep", path);
		assert_int_equal(symlink("x", other), 0);
		test_advance(t, SECONDS_US);
	}
	assert_int_equal(files(t), 4);
	assert_int_equal(access(path, R_OK), 0);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_a_day),
		cmocka_unit_test(one_that_outlasts_the_hour_is_not_that_days),
		cmocka_unit_test(one_that_fails_is_made_up_for),
		cmocka_unit_test(a_server_that_stops_waits_for_none),
		cmocka_unit_test(only_ours_are_removed),
		cmocka_unit_test(what_a_killed_one_left_goes_a_day_later),
	};

	return cmocka_run_group_tests_name("backups", tests, NULL, NULL);
}
