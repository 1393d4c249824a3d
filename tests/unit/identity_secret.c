/* One-time secrets, and the job that removes what has expired. */
#include "session_env.h"

#include "identity/secret.h"

/* --- one-time secrets ---- */

struct taking {
	struct test *t;
	const char *purpose, *secret, *user_id, *binding;
	enum err result;
	char data[100];
};

static enum err
take_run(struct ctx *cx, void *arg)
{
	struct taking *k = arg;
	struct secret_taken taken;

	TRY(secret_consume(cx, k->purpose, k->secret, k->user_id, k->binding, &taken));
	str_copy(k->data, sizeof(k->data), taken.data ? taken.data : "");
	return OK;
}

static void *
take_thread(void *arg)
{
	struct taking *k = arg;

	k->result = test_write(k->t, take_run, k);
	return NULL;
}

static enum err
take(struct test *t, const char *purpose, const char *secret, const char *user_id, const char *binding)
{
	struct taking k = {.t = t, .purpose = purpose, .secret = secret, .user_id = user_id, .binding = binding};

	take_thread(&k);
	return k.result;
}

struct issuing {
	struct secret_new new;
	const char *secret;
};

static enum err
issue_run(struct ctx *cx, void *arg)
{
	struct issuing *i = arg;

	return secret_issue(cx, &i->new, &i->secret);
}

static const char *
issue(struct test *t, struct secret_new new)
{
	struct issuing i = {.new = new};
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(db_write(&cx, issue_run, &i), OK);
	return i.secret;
}

static void
secret_is_taken_once(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT), v = test_user(t, ROLE_STUDENT);
	const struct secret_new reset = {
		.purpose = "password_reset", .user_id = u.id.text, .life_us = HOURS_US, .data = "{\"a\":1}"};
	static struct taking k[32];
	pthread_t threads[32];
	int won = 0;

	const char *secret = issue(t, reset);
	assert_int_equal(take(t, "email_verify", secret, NULL, NULL), ERR_TOKEN_INVALID); /* another purpose */
	assert_int_equal(take(t, "password_reset", secret, v.id.text, NULL), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "password_reset", "nonsense", NULL, NULL), ERR_TOKEN_INVALID);
	for (int i = 0; i < 32; i++) {
		k[i] = (struct taking){.t = t, .purpose = "password_reset", .secret = secret, .user_id = u.id.text};
		pthread_create(&threads[i], NULL, take_thread, &k[i]);
	}
	for (int i = 0; i < 32; i++) {
		pthread_join(threads[i], NULL);
		won += k[i].result == OK;
		assert_true(k[i].result == OK || k[i].result == ERR_TOKEN_INVALID);
		assert_string_equal(k[i].data, k[i].result == OK ? "{\"a\":1}" : "");
	}
	assert_int_equal(won, 1);
}

static void
secret_binding_expiry_and_only_one(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct secret_new new = {.purpose = "oauth_state", .user_id = u.id.text, .binding = "browser", .life_us = MINUTES_US};

	const char *bound = issue(t, new);
	assert_int_equal(take(t, "oauth_state", bound, NULL, NULL), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "oauth_state", bound, NULL, "another"), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "oauth_state", bound, NULL, "browser"), OK);
	const char *late = issue(t, new);
	test_advance(t, MINUTES_US);
	assert_int_equal(take(t, "oauth_state", late, NULL, "browser"), ERR_TOKEN_INVALID);
	new.binding = NULL;
	new.only_one = true;
	const char *older = issue(t, new), *newer = issue(t, new);
	assert_int_equal(take(t, "oauth_state", older, NULL, NULL), ERR_TOKEN_INVALID);
	assert_int_equal(take(t, "oauth_state", newer, NULL, "any"), OK);
	struct test *after = restart(t, OTHER "," PEPPER, SECRET);
	const char *old_key = issue(t, new);
	assert_int_equal(take(after, "oauth_state", old_key, NULL, NULL), OK);
	restart_end(after);
}

/* --- the cleaning job ---- */

static enum err
expire_run(struct ctx *cx, void *arg)
{
	return session_expire(cx, arg);
}

static void
cleaning(void **state)
{
	struct test *t = *state;
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct refreshing r;
	struct ctx cx;
	int64_t rows, total = 0;
	char token[64];

	str_copy(token, sizeof(token), u.refresh_token);
	for (int i = 0; i < 150; i++) {
		assert_int_equal(refresh(t, token, &r), OK);
		str_copy(token, sizeof(token), r.successor);
	}
	issue(t, (struct secret_new){.purpose = "x", .user_id = u.id.text, .life_us = 1});
	test_ctx(t, &cx);
	assert_int_equal(db_write_bulk(&cx, expire_run, &rows), OK);
	assert_int_equal(rows, 0);
	test_advance(t, 91 * DAYS_US);
	do {
		test_ctx(t, &cx);
		assert_int_equal(db_write_bulk(&cx, expire_run, &rows), OK);
		assert_true(rows <= BULK_TURN_ROWS);
		total += rows;
	} while (rows == BULK_TURN_ROWS);
	assert_int_equal(total, 151 + 1 + 1);
	assert_int_equal(count(t, "SELECT count(*) FROM refresh_tokens"), 0);
	assert_int_equal(count(t, "SELECT count(*) FROM sessions"), 0);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(secret_is_taken_once),
		STANDARD(secret_binding_expiry_and_only_one),
		STANDARD(cleaning),
	};

	return cmocka_run_group_tests_name("identity_secret", tests, NULL, NULL);
}
