/*
 * Accounts and rosters from CSV, on both engines: in every form of hash that passlib writes people keep their passwords, wrong rows
 * are named by their line while the right ones go in, and a dry run changes nothing.
 */
#include "attendance_env.h"

#include <string.h>

#include "attendance/roster_import.h"
#include "identity/import.h"

static struct import_report
import_text(struct test *t, const char *text, bool dry_run)
{
	struct import im;
	struct ctx cx;

	test_ctx(t, &cx);
	import_open(&im, &cx, "people.csv", dry_run);
	must(&cx, import_csv(&im, span_str(text)));
	struct import_report r = im.report;
	import_close(&im);
	return r;
}

static int
login(struct test *t, const char *email, const char *password)
{
	return call(t, POST, "/api/auth/login", NULL,
		arena_printf(&t->arena, "{'username':'%s','password':'%s'}", email, password))
		->status;
}

static void
people_keep_their_passwords(void **state)
{
	static const char *const hashes[] = {
		"$2b$04$eBT2AtacOtwtTov/KGT5o.bwFwpJ/kRj/WdeYCCF50/JVRp5JkHbG",
		"$2a$04$ahJ1l7Uch/.YuW/z/9HPU.MEGpKCYvbjJomn90VvItciwzwt1/Yuy",
		"$2y$05$apWjyDrE8WIzjnp8kBSnrefj9moNfxE1jsT65izSwCF2sctp8TpJK",
		"$bcrypt-sha256$2b,4$3notKMAj5ha4Q8D9tBJPQ.$paKNdWyCTkFK4R7bvcd95VF6x6eqOju",
		"$argon2id$v=19$m=64,t=1,p=1$2RsDAKCUkvL+H0MIoTQGYA$56lVXE5kuWe/UVDcZ6kxpw",
		"$argon2id$v=19$m=1024,t=2,p=2$bO2d0xqjNKY05vzf+1/LmQ$sv5FYMLZZ4IrkPUGPUI8rg",
		"$pbkdf2-sha256$1000$SwkBAGAshbDWmlMKgRBiTA$YXfRouB32L2vkMXJC1w6KSpRtpYlIPTWWyI3C/oy9oI",
	};
	struct test *t = test_open(NULL);
	struct buf csv;

	(void)state;
	buf_init(&csv, &t->arena, 1024);
	buf_str(&csv, "email,full_name,role,is_active,hashed_password\n");
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
		buf_printf(&csv, "p%zu@example.org,Person %zu,student,1,\"%s\"\n", i, i, hashes[i]);
	struct import_report r = import_text(t, buf_cstr(&csv), false);
	assert_int_equal(r.added, sizeof(hashes) / sizeof(hashes[0]));
	assert_int_equal(r.failed, 0);
	for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		const char *email = arena_printf(&t->arena, "p%zu@example.org", i);
		assert_int_equal(login(t, email, "Correct-Horse-8"), 401);
		if (login(t, email, TEST_PASSWORD) != 200)
			fail_msg("nobody comes in with %s", hashes[i]);
		assert_int_equal(login(t, email, TEST_PASSWORD), 200); /* and again, after it was hashed anew */
	}
	assert_int_equal(count(t, "SELECT COUNT(*) FROM users WHERE password_hash LIKE '$2b$04$%'"), r.added);
	test_close(t);
}

static void
wrong_rows_are_named_by_their_line(void **state)
{
	static const char text[] =
		"email,full_name,role,is_active,password_hash\n"
		"good@example.org,Good,,,\n"
		"a@example.org,A,student,1,plaintext\n"
		"b@example.org,B,student,1,$1$salt$hash\n"
		"c@example.org,C,student,1,$2x$04$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxjy\n"
		"d@example.org,D,student,1,$2b$15$eBT2AtacOtwtTov/KGT5o.bwFwpJ/kRj/WdeYCCF50/JVRp5JkHbG\n"
		"e@example.org,E,student,1,\"$argon2id$v=19$m=1048576,t=1,p=1$2RsDAKCUkvL+H0MIoTQGYA$56lVXE5kuWe/UVDcZ6kxpw\"\n"
		"f@example.org,F,student,1,$pbkdf2-sha256$2000001$SwkBAGAshbDWmlMKgRBiTA$YXfRouB32L2vkMXJC1w6KSpRtpYlIPTWWyI3C/oy9oI\n"
		"no address,G,student,1,\n"
		"h@example.org,H,king,1,\n"
		"good@EXAMPLE.org,Again,admin,1,\n"
		"last@example.org,Last,lecturer,0,\n";
	struct test *t = test_open(NULL);

	(void)state;
	struct import_report dry = import_text(t, text, true);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM users"), 0);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs"), 0);
	struct import_report r = import_text(t, text, false);
	assert_int_equal(r.rows, 11);
	assert_int_equal(r.added, 2);
	assert_int_equal(r.existing, 1);
	assert_int_equal(r.failed, 8);
	assert_int_equal(dry.added, r.added);
	assert_int_equal(dry.failed, r.failed);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(r.errors[i].row, 3 + i);
		assert_int_equal(dry.errors[i].row, 3 + i);
		assert_string_equal(dry.errors[i].message, r.errors[i].message);
	}
	assert_string_equal(sql_text(t, "SELECT role FROM users WHERE email = 'good@example.org'"), "student");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'import'"), 1);
	r = import_text(t, text, false);
	assert_int_equal(r.added, 0);
	assert_int_equal(r.existing, 3);
	test_close(t);
}

static enum err
find_course(struct ctx *cx, void *arg)
{
	return roster_course(cx, arg);
}

static struct import_report
roster(struct test *t, const char *owner, const char *text)
{
	struct roster_course course = {.code = "CS1", .title = "Logic", .owner_email = owner};
	struct import im;
	struct ctx cx;

	test_ctx(t, &cx);
	must(&cx, db_write(&cx, find_course, &course));
	import_open(&im, &cx, "roster.csv", false);
	roster_import(&im, &course.id);
	must(&cx, import_csv(&im, span_str(text)));
	struct import_report r = im.report;
	import_close(&im);
	return r;
}

static void
a_roster_makes_its_course_and_enrols_once(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user lecturer = test_user(t, ROLE_LECTURER), old = test_user(t, ROLE_STUDENT);
	const char *text = arena_printf(&t->arena, "email,full_name\n%s,\nnew@example.org,New\nnobody@example.org,\n%s,\n", old.email, old.email);

	(void)state;
	struct import_report r = roster(t, lecturer.email, text);
	assert_int_equal(r.added, 2);
	assert_int_equal(r.existing, 1);
	assert_int_equal(r.failed, 1);
	assert_int_equal(r.errors[0].row, 4);
	r = roster(t, NULL, text);
	assert_int_equal(r.added, 0);
	assert_int_equal(r.existing, 3);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM courses"), 1);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM enrollments"), 2);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(people_keep_their_passwords),
		cmocka_unit_test(wrong_rows_are_named_by_their_line),
		cmocka_unit_test(a_roster_makes_its_course_and_enrols_once),
	};

	return cmocka_run_group_tests_name("imports", tests, NULL, NULL);
}
