/* Argon2 wants megabytes for each run: a machine that has none left must not read as a wrong password, nor end the server. */
#include "login_env.h"

#include <argon2.h>
#include <dlfcn.h>

#include "identity/profile.h"
#include "identity/reset.h"
#include "identity/signup.h"

/* In front of the library's: while `missing`, it finds no memory. */
static int missing;

int
argon2id_verify(const char *encoded, const void *password, size_t n)
{
	int (*real)(const char *, const void *, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "argon2id_verify");
	return missing ? missing : real(encoded, password, n);
}

int
argon2id_hash_encoded(const uint32_t passes, const uint32_t kib, const uint32_t lanes, const void *password, const size_t n,
	const void *salt, const size_t salt_n, const size_t hash_n, char *encoded, const size_t encoded_n)
{
	int (*real)(uint32_t, uint32_t, uint32_t, const void *, size_t, const void *, size_t, size_t, char *, size_t);

	*(void **)&real = dlsym(RTLD_NEXT, "argon2id_hash_encoded");
	return missing ? missing : real(passes, kib, lanes, password, n, salt, salt_n, hash_n, encoded, encoded_n);
}

static void
be(struct test *t, struct ctx *cx, const struct test_user *u)
{
	static const struct client client = {.request_id = "r", .ip = "192.0.2.1", .user_agent = "test"};

	test_ctx(t, cx);
	cx->actor = u ? &u->actor : NULL;
	cx->client = &client;
}

static int
setup(void **state)
{
	missing = 0;
	*state = test_open(TEST_CONF("PASSWORD_HASH=argon2id"));
	return 0;
}

static void
nobody_is_locked_out(void **state)
{
	static const int reasons[] = {ARGON2_MEMORY_ALLOCATION_ERROR, ARGON2_THREAD_FAIL};
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	int64_t tries = conf_live(&t->srv.conf->login_fail_ip_threshold) + conf_live(&t->srv.conf->login_fail_email_threshold);

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		missing = reasons[i];
		for (int64_t k = 0; k < tries; k++)
			assert_int_equal(login(t, u.email, NULL).e, ERR_UNAVAILABLE);
		assert_int_equal(count(t, "SELECT count(*) FROM login_failures WHERE failures > 0 OR locked_until IS NOT NULL"), 0);
		assert_int_equal(failed_rows(t, "wrong_password"), 0);
	}
	missing = 0;
	assert_int_equal(login(t, u.email, "Wrong-Horse-7").e, ERR_INVALID_CREDENTIALS);
	assert_int_equal(login(t, u.email, NULL).e, OK);
}

static void
the_old_password_is_not_judged(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	int64_t tries = conf_live(&t->srv.conf->login_fail_email_threshold) + 1;
	struct ctx cx;

	missing = ARGON2_MEMORY_ALLOCATION_ERROR;
	for (int64_t k = 0; k < tries; k++) {
		be(t, &cx, &u);
		assert_int_equal(password_change(&cx, TEST_PASSWORD, "Another-Horse-8"), ERR_UNAVAILABLE);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM login_failures WHERE failures > 0 OR locked_until IS NOT NULL"), 0);
	missing = 0;
	be(t, &cx, &u);
	assert_int_equal(password_change(&cx, TEST_PASSWORD, "Another-Horse-8"), OK);
	assert_int_equal(login(t, u.email, "Another-Horse-8").e, OK);
}

static void
no_password_is_taken(void **state)
{
	struct test *t = *state;
	const struct newcomer in = {.email = "new@example.org",
		.full_name = "New",
		.password = TEST_PASSWORD,
		.role = ROLE_STUDENT,
		.surface = LOGIN_PORTAL};
	struct signup_done done;
	struct ctx cx;

	missing = ARGON2_MEMORY_ALLOCATION_ERROR;
	be(t, &cx, NULL);
	assert_int_equal(signup(&cx, &in, &done), ERR_UNAVAILABLE);
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 0);
	missing = 0;
	be(t, &cx, NULL);
	assert_int_equal(signup(&cx, &in, &done), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_is_locked_out, setup, test_teardown),
		cmocka_unit_test_setup_teardown(the_old_password_is_not_judged, setup, test_teardown),
		cmocka_unit_test_setup_teardown(no_password_is_taken, setup, test_teardown),
	};

	return cmocka_run_group_tests_name("hash memory", tests, NULL, NULL);
}
