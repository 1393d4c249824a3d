/*
 * Jobs and requests that need something outside of the program, with a mail server, a bucket and a Redis of their own, and what must hold
 * whatever of it fails: a mail waits or was received, a row of the trail is in the database or in a file, a backup is whole.
 */
#include "campus_env.h"
#include "face_stub.h"
#include "redis_env.h"
#include "run_job.h"
#include "s3_peer.h"
#include "smtp_peer.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "api/shared_limits.h"
#include "audit/seal.h"
#include "core/conf.h"
#include "jobs/jobs.h"
#include "notify/notify.h"
#include "store/backup.h"

#define MARK "/api/v1/student/attendance"

static const char *const mails[] = {"a@example.org", "b@example.org", "c@example.org", NULL};
static struct post server;
static int post_kept;
static struct bucket bucket;
static bool names_are_lost; /* fsync() of a folder fails: what was renamed into it may not be there after a loss of power */

int
fsync(int fd)
{
	struct stat st;

	if (names_are_lost && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* --- what must hold, for tests/torture ---- */

static bool
was_received(const char *to)
{
	for (int i = 0; i < server.received; i++)
		if (strcmp(server.mail[i].to, to) == 0)
			return true;
	return false;
}

static const char *
mail_is_lost(struct test *t, bool sent)
{
	for (const char *const *to = mails; *to; to++) {
		const char *sql = arena_printf(&t->arena, "SELECT COUNT(*) FROM outbox WHERE recipient = '%s' AND sent_at IS NULL", *to);
		bool waits = count(t, sql) == 1;
		if (!waits && !was_received(*to))
			return "a mail is lost";
		if (sent && waits)
			return "a mail still waits";
	}
	return NULL;
}

/* A connection that was lost is made anew after a pause. */
static const char *
row_is_lost(struct test *t)
{
	int64_t until_us = time_monotonic_us() + REDIS_WAIT_S * SECONDS_US;
	struct audit_verdict v;
	struct ctx cx;

	for (;;) {
		test_ctx(t, &cx);
		enum err e = audit_verify(&cx, NULL, &v);
		if (e == OK)
			return v.fault;
		if (e != ERR_UNAVAILABLE || time_monotonic_us() > until_us)
			return "the trail cannot be verified";
		redis_pause();
	}
}

/* Under its name, every one is whole. */
static const char *
backup_is_torn(struct test *t, int want)
{
	const char *folder = arena_printf(&t->arena, "%s/backups", t->srv.conf->data_dir), *message = "";
	DIR *d = opendir(folder);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d))) {
		const char *path = arena_printf(&t->arena, "%s/%s", folder, e->d_name);
		if (e->d_name[0] == '.' || !str_ends(e->d_name, backup_suffix(t->srv.conf->database_url)))
			continue;
		n++;
		if (backup_check(&t->arena, path, &message) != OK)
			break;
	}
	if (d)
		closedir(d);
	return message[0] ? message : n < want ? "a backup is missing" : NULL;
}

static const char *
selfie_is_lost(struct test *t)
{
	return count(t, "SELECT COUNT(*) FROM selfies") > bucket_count(&bucket) ? "a row without its object" : NULL;
}

static const char *
what_is_wrong(struct test *t, const char *step, bool again)
{
	if (strcmp(step, "outbox") == 0)
		return mail_is_lost(t, again);
	if (strcmp(step, "audit_archive") == 0)
		return row_is_lost(t);
	if (strcmp(step, "backup") == 0)
		return backup_is_torn(t, again);
	if (strcmp(step, "POST " MARK) == 0)
		return selfie_is_lost(t);
	return NULL;
}

const char *
torture_peers(struct test *t, const char *step, enum torture_moment moment)
{
	switch (moment) {
	case TORTURE_KEEP:
	case TORTURE_BACK:
		bucket_keep(&bucket, moment == TORTURE_BACK);
		post_kept = moment == TORTURE_KEEP ? server.received : post_kept;
		server.received = post_kept;
		return NULL;
	case TORTURE_RETRY:
		if (strcmp(step, "outbox") == 0)
			test_advance(t, 10 * MINUTES_US); /* until claims end */
		return NULL;
	case TORTURE_AFTER:
	case TORTURE_AGAIN:
		return what_is_wrong(t, step, moment == TORTURE_AGAIN);
	}
	return NULL;
}

/* --- tests ---- */

static enum err
put(struct ctx *cx, void *arg)
{
	return outbox_mail(cx, arg, "password_changed", "{\"name\":\"Ada\"}");
}

static void
every_mail_is_sent(void **state)
{
	char url[64];

	(void)state;
	post_open(&server, 0);
	(void)snprintf(url, sizeof(url), "SMTP_URL=smtp://127.0.0.1:%d", server.port);
	struct test *t = test_open(TEST_CONF(url, "MAIL_FROM=muster@example.org"));
	run_job(t, "mail_probe");
	for (const char *const *to = mails; *to; to++)
		assert_int_equal(test_write(t, put, (void *)(uintptr_t)*to), OK);
	assert_int_equal(run_job(t, "outbox"), 3);
	assert_int_equal(server.received, 3);
	assert_null(mail_is_lost(t, true));
	assert_int_equal(run_job(t, "outbox"), 0);
	assert_int_equal(server.received, 3);
	test_close(t);
	post_close(&server);
	server.received = post_kept = 0;
}

static void
old_rows_are_sealed_and_archived(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	for (int i = 0; i < 2; i++)
		expect_status(call(t, POST, "/api/auth/login", NULL, "{'username':'nobody@example.org','password':'Wrong-Horse-7'}"),
			401);
	test_advance(t, HOURS_US);
	assert_int_equal(run_job(t, "audit_seal"), 2);
	assert_int_equal(run_job(t, "audit_archive"), 0);
	test_advance(t, 366 * DAYS_US);
	assert_int_equal(run_job(t, "audit_archive"), 2);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs"), 0);
	assert_null(row_is_lost(t));
	test_close(t);
}

static void
backed_up_yesterday(struct test *t)
{
	sql_run(t, "INSERT INTO jobs (name, last_started_at, last_good_start, last_finished_at)"
		   " VALUES ('backup', '2026-07-31 12:00:00.000000', '2026-07-31 12:00:00.000000', '2026-07-31 12:00:00.000000')");
}

static void
a_night_brings_a_backup(void **state)
{
	struct test *t = test_open(TEST_CONF("BACKUP_KEEP=2"));

	(void)state;
	assert_non_null(backup_is_torn(t, 1));
	backed_up_yesterday(t);
	run_job(t, "backup");
	assert_null(backup_is_torn(t, 1));
	test_close(t);
}

/* Nothing is deleted, nor called done, before the file's name is on the disk. */
static void
a_name_that_is_not_on_the_disk_is_none(void **state)
{
	static const char *const jobs[] = {"audit_archive", "backup"};
	struct test *t = test_open(NULL);
	struct ctx cx;
	int64_t rows;

	(void)state;
	expect_status(call(t, POST, "/api/auth/login", NULL, "{'username':'nobody@example.org','password':'Wrong-Horse-7'}"), 401);
	backed_up_yesterday(t);
	test_advance(t, HOURS_US);
	assert_int_equal(run_job(t, "audit_seal"), 1);
	test_advance(t, 366 * DAYS_US);
	names_are_lost = true;
	for (int i = 0; i < 2; i++) {
		test_ctx(t, &cx);
		assert_int_equal(job_run(&cx, jobs[i], &rows), ERR_UNAVAILABLE);
	}
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs"), 1);
	names_are_lost = false;
	assert_int_equal(run_job(t, "audit_archive"), 1);
	run_job(t, "backup");
	assert_null(backup_is_torn(t, 1));
	test_close(t);
}

/* --- a bucket ---- */

static const char *
mark_with_selfie(struct campus *c)
{
	struct test_user *u = &c->students[0];
	struct form face = {0}, mark = {0};

	form_text(&face, &c->t->arena, "consent", "true");
	form_file(&face, &c->t->arena, "file", stub_picture(&c->t->arena, "face 0"));
	expect_status(send_form(c->t, "/api/v1/student/enroll-face", u, &face), 201);
	const char *session = open_session_id(c, ",'require_face':true");
	form_text(&mark, &c->t->arena, "qr_session_id", session);
	form_text(&mark, &c->t->arena, "qr_nonce", text_at(qr_of(c, session), "qr_nonce"));
	form_file(&mark, &c->t->arena, "selfie", stub_picture(&c->t->arena, "face 5"));
	struct test_reply *r = send_form(c->t, MARK, u, &mark);
	expect_status(r, 201);
	return text_at(r, "attendance_id");
}

static void
selfies_live_in_a_bucket(void **state)
{
	char url[80];

	(void)state;
	bucket_open(&bucket);
	(void)snprintf(url, sizeof(url), "S3_ENDPOINT=http://127.0.0.1:%d", bucket.port);
	struct campus c = campus_open_with(TEST_CONF(stub_program(), "FACE_MODELS_DIR=stub", "FACE_TIMEOUT_SECONDS=60", "STORAGE_BACKEND=s3",
		url, "S3_BUCKET=rooms", "S3_ACCESS_KEY=a", "S3_SECRET_KEY=b", "SELFIE_RETENTION_DAYS=2", "ACCESS_TOKEN_EXPIRE_MINUTES=120"));
	run_job(c.t, "storage_probe");
	const char *record = mark_with_selfie(&c);
	assert_int_equal(bucket_count(&bucket), 1);
	struct test_reply *r = get(&c, &c.lecturer, TEXT(&c, "/api/v1/lecturer/attendance/%s/selfie", record));
	expect_status(r, 200);
	struct span sent = stub_picture(&c.t->arena, "face 5");
	assert_int_equal(r->body_n, sent.n);
	assert_memory_equal(r->body, sent.p, sent.n);
	sql_run(c.t, "UPDATE selfies SET object = 'selfies/2026-08-01/none'"); /* now nothing names what is there */
	test_advance(c.t, DAYS_US);
	assert_int_equal(run_job(c.t, "selfie_sweep"), 1);
	assert_int_equal(bucket_count(&bucket), 0);
	test_advance(c.t, 2 * DAYS_US);
	assert_int_equal(run_job(c.t, "selfie_expire"), 1);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM selfies"), 0);
	test_close(c.t);
	bucket_close(&bucket);
}

/* --- memory ---- */

/* What it is without: identity_hash_memory. */
static void
a_hash_takes_its_memory(void **state)
{
	struct test *t = test_open(TEST_CONF("PASSWORD_HASH=argon2id"));
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(call(t, POST, "/v1/auth/login", NULL,
			      arena_printf(&t->arena, "{'email':'%s','password':'" TEST_PASSWORD "'}", u.email)), 200);
	expect_error(call(t, POST, "/v1/auth/login", NULL,
			     arena_printf(&t->arena, "{'email':'%s','password':'Wrong-Horse-7'}", u.email)), 401, "invalid_credentials");
	test_close(t);
}

/* --- Redis ---- */

static void
limits_are_in_redis(void **state)
{
	static const char *const required[] = {"REDIS_REQUIRED=false", "REDIS_REQUIRED=true"};
	struct redis_server s = {0};
	char url[240];

	(void)state;
	redis_server_open(&s);
	(void)snprintf(url, sizeof(url), "REDIS_URL=%s", s.url);
	for (int i = 0; i < 2; i++) {
		struct test *t = test_open(TEST_CONF(url, "REDIS_TIMEOUT_MS=5000", "RATE_LIMIT_ENABLED=true", required[i],
			"RATE_LIMIT_PER_MINUTE=1000000", "RL_PORTAL_LOGIN_IP_LIMIT=1000000", "RL_LOGIN_EMAIL_LIMIT=1000000"));
		const char *message = "";
		struct test_user u = test_user(t, ROLE_STUDENT);
		assert_true(shared_limits_open(&t->arena, &t->srv, &message));
		expect_status(call(t, POST, "/api/auth/login", NULL,
				      arena_printf(&t->arena, "{'username':'%s','password':'" TEST_PASSWORD "'}", u.email)), 200);
		expect_error(call(t, POST, "/api/auth/login", NULL,
				     arena_printf(&t->arena, "{'username':'%s','password':'Wrong-Horse-7'}", u.email)), 401, "invalid_credentials");
		assert_true(redis_is_up(t->srv.redis));
		shared_limits_close(&t->srv);
		test_close(t);
	}
	redis_server_close(&s);
}

int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mail_is_sent),
		cmocka_unit_test(old_rows_are_sealed_and_archived),
		cmocka_unit_test(a_night_brings_a_backup),
		cmocka_unit_test(a_name_that_is_not_on_the_disk_is_none),
		cmocka_unit_test(selfies_live_in_a_bucket),
		cmocka_unit_test(a_hash_takes_its_memory),
		cmocka_unit_test(limits_are_in_redis),
	};

	(void)argc;
	stub_main(argv[0]);
	return cmocka_run_group_tests_name("outside", tests, NULL, NULL);
}
