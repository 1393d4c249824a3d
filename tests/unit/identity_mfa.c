/*
 * TOTP against RFC 6238's vectors; what a step, a backup code and a pending token are worth once, with 64 threads at each;
 * secrets bound to their accounts.
 */
#include "mfa_env.h"

#include <crypt.h>
#include <dlfcn.h>

#include "core/fernet.h"
#include "core/keys.h"
#include "identity/mfa.h"
#include "identity/secret.h"
#include "identity/token.h"

enum { THREADS = 64 };

/* --- the algorithm ---- */

static void
rfc_6238_vectors(void **state)
{
	static const struct {
		int64_t at_s;
		const char *code;
	} rows[] = {{59, "94287082"}, {1111111109, "07081804"}, {1111111111, "14050471"}, {1234567890, "89005924"},
		{2000000000, "69279037"}, {20000000000, "65353130"}};
	const struct totp t = {.secret = span_str("12345678901234567890"), .period_s = 30, .digits = 8};
	char code[TOTP_DIGITS_MAX + 1];
	int64_t step;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		totp_code(&t, rows[i].at_s / 30, code);
		assert_string_equal(code, rows[i].code);
		for (int64_t off = rows[i].at_s < 60 ? -1 : -2; off <= 2; off++) {
			bool found = totp_find(&t, rows[i].at_s + off * 30, rows[i].code, &step);
			assert_int_equal(found, off >= -1 && off <= 1);
			if (found)
				assert_int_equal(step, rows[i].at_s / 30);
		}
	}
	static const char *const bad[] = {"", "9428708", "942870822", "9428708x", "-9428708", "94287082\n", "٩4287082"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(totp_find(&t, 59, bad[i], &step));
	assert_true(totp_find(&t, 59, "9428 7082", &step));
}

static void
base_32(void **state)
{
	static const char *const rows[][2] = {{"", ""}, {"f", "MY"}, {"fo", "MZXQ"}, {"foo", "MZXW6"}, {"foob", "MZXW6YQ"},
		{"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}};
	struct arena a;
	struct span out;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < 7; i++) {
		assert_string_equal(base32_text(&a, span_str(rows[i][0])), rows[i][1]);
		assert_true(base32_read(&a, rows[i][1], &out));
		assert_int_equal(out.n, strlen(rows[i][0]));
		assert_memory_equal(out.p ? (const char *)out.p : "", rows[i][0], out.n);
	}
	assert_false(base32_read(&a, "MZXW6===", &out));
	assert_false(base32_read(&a, "mzxw6", &out));
	arena_release(&a);
}

/* --- an account with a factor ---- */

struct person {
	struct test *t;
	struct test_user user;
	const char *secret;
	struct list codes;
	struct ctx cx;
	const char *code;
};

static enum err
verify_run(struct ctx *cx, void *arg)
{
	struct person *p = arg;

	return mfa_verify(cx, p->code, &p->codes);
}

static struct person
enrolled(struct test *t)
{
	struct person p = {.t = t, .user = test_user(t, ROLE_STUDENT)};
	struct mfa_setup made;

	test_ctx(t, &p.cx);
	p.cx.actor = arena_new(&t->arena, struct actor, 1);
	memcpy((void *)(uintptr_t)p.cx.actor, &p.user.actor, sizeof(struct actor));
	assert_int_equal(mfa_setup(&p.cx, NULL, NULL, &made), OK);
	p.secret = made.secret;
	p.code = app_code(t, p.secret, 0);
	assert_int_equal(db_write(&p.cx, verify_run, &p), OK);
	assert_int_equal(p.codes.count, 10);
	return p;
}

static enum err
await_run(struct ctx *cx, void *arg)
{
	struct mfa_completing *c = arg;
	int64_t life_s;

	return mfa_await(cx, cx->actor->user_id.text, "password", &c->mfa_token, &life_s);
}

/* A pending login of this person. */
static const char *
pending(struct person *p)
{
	struct mfa_completing c;

	p->cx.now_us = p->t->wall_us;
	assert_int_equal(db_write(&p->cx, await_run, &c), OK);
	return c.mfa_token;
}

struct trying {
	struct test *t;
	struct mfa_completing in;
	struct login_result out;
	enum err result;
};

static enum err
complete_run(struct ctx *cx, void *arg)
{
	struct trying *y = arg;

	return mfa_complete(cx, &y->in, &y->out);
}

static void *
complete_thread(void *arg)
{
	struct trying *y = arg;

	y->result = test_write(y->t, complete_run, y);
	return NULL;
}

static enum err
complete(struct test *t, const char *token, const char *code, const char *backup)
{
	struct trying y = {.t = t, .in = {.mfa_token = token, .factor = {code, backup}}};

	complete_thread(&y);
	return y.result;
}

/* --- once ---- */

static void
a_step_is_good_once(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);

	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, 0), NULL), ERR_INVALID_CODE); /* the enrolment's */
	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, -1), NULL), ERR_INVALID_CODE);
	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, 1), NULL), OK);
	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, 1), NULL), ERR_INVALID_CODE);
	test_advance(t, 60 * SECONDS_US);
	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, -1), NULL), ERR_INVALID_CODE);
	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, 0), NULL), OK);
}

static void
a_pending_token_is_good_once(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	const char *token = pending(&p), *other = pending(&p), **codes = p.codes.items;

	assert_int_equal(complete(t, token, NULL, codes[0]), OK);
	assert_int_equal(complete(t, token, NULL, codes[1]), ERR_TOKEN_INVALID);
	assert_int_equal(complete(t, other, NULL, codes[1]), OK); /* the code was not spent by the refusal */
	token = pending(&p);
	test_advance(t, 5 * MINUTES_US);
	assert_int_equal(complete(t, token, NULL, codes[2]), ERR_TOKEN_INVALID);
	assert_int_equal(complete(t, p.user.bearer, NULL, codes[2]), ERR_TOKEN_INVALID);
	assert_int_equal(complete(t, "a.b.c", NULL, codes[2]), ERR_TOKEN_INVALID);
}

static void
five_wrong_codes_end_a_pending_token(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	const char *token = pending(&p), **codes = p.codes.items;

	for (int i = 0; i < MFA_TRIES; i++)
		assert_int_equal(complete(t, token, wrong_code(t, p.secret), NULL), ERR_INVALID_CODE);
	assert_int_equal(complete(t, token, NULL, codes[0]), ERR_TOKEN_INVALID);
	assert_int_equal(complete(t, pending(&p), NULL, codes[0]), OK);
}

static void
wrong_codes_count_per_account_over_all_tokens(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	const char **codes = p.codes.items;

	for (int i = 0; i < 8; i++)
		assert_int_equal(
			complete(t, pending(&p), i % 2 ? wrong_code(t, p.secret) : NULL, i % 2 ? NULL : "0000-0000-0000-0000"),
			ERR_INVALID_CODE);
	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, 1), NULL), ERR_ACCOUNT_LOCKED);
	assert_int_equal(count(t, "SELECT count(*) FROM login_failures WHERE subject LIKE 'email:%'"), 0);
	test_advance(t, 901 * SECONDS_US);
	assert_int_equal(complete(t, pending(&p), NULL, codes[0]), OK);
	for (int i = 0; i < 8; i++)
		assert_int_equal(complete(t, pending(&p), wrong_code(t, p.secret), NULL), ERR_INVALID_CODE);
	assert_int_equal(complete(t, pending(&p), NULL, codes[1]), ERR_ACCOUNT_LOCKED);
}

static void
two_factors_or_none_are_refused(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	const char **codes = p.codes.items;

	assert_int_equal(complete(t, pending(&p), app_code(t, p.secret, 1), codes[0]), ERR_VALIDATION);
	assert_int_equal(complete(t, pending(&p), NULL, NULL), ERR_VALIDATION);
}

/* --- while a password is hashed ---- */

static struct person *activates; /* does so within the next hash; NULL: nobody */
static enum err activated;

/* In front of the library's. */
char *
crypt_r(const char *phrase, const char *setting, struct crypt_data *restrict data)
{
	struct person *p = activates;
	char *(*real)(const char *, const char *, struct crypt_data *);

	activates = NULL;
	if (p)
		activated = db_write(&p->cx, verify_run, p);
	*(void **)&real = dlsym(RTLD_NEXT, "crypt_r");
	return real(phrase, setting, data);
}

static void
a_factor_activated_meanwhile_is_asked_for(void **state)
{
	struct test *t = *state;
	struct person p = {.t = t, .user = test_user(t, ROLE_STUDENT)};
	struct mfa_setup made;
	struct ctx cx;

	test_advance(t, (MFA_RECENT_MINUTES + 1) * MINUTES_US);
	test_ctx(t, &p.cx);
	p.cx.actor = &p.user.actor;
	assert_int_equal(mfa_setup(&p.cx, TEST_PASSWORD, NULL, &made), OK);
	p.code = app_code(t, made.secret, 0);
	test_ctx(t, &cx);
	cx.actor = &p.user.actor;
	activates = &p;
	activated = ERR_INTERNAL;
	assert_int_equal(mfa_setup(&cx, TEST_PASSWORD, NULL, &made), ERR_REAUTH_REQUIRED);
	assert_int_equal(activated, OK);
	assert_int_equal(count(t, "SELECT count(*) FROM mfa_totp WHERE pending_secret IS NOT NULL"), 0);
}

/* --- races ---- */

static int
winners(struct trying *tries, enum err loser)
{
	pthread_t threads[THREADS];
	int won = 0;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, complete_thread, &tries[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		won += tries[i].result == OK;
		if (tries[i].result != OK && tries[i].result != loser && tries[i].result != ERR_ACCOUNT_LOCKED)
			fail_msg("%s", err_row(tries[i].result)->name);
	}
	return won;
}

static int64_t
live_sessions(struct test *t, const struct person *p)
{
	return count(t, arena_printf(&t->arena, "SELECT count(*) FROM sessions WHERE user_id = '%s' AND mfa", p->user.id.text));
}

static void
many_threads_one_step(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	struct trying tries[THREADS] = {0};

	for (int i = 0; i < THREADS; i++)
		tries[i] =
			(struct trying){.t = t, .in = {.mfa_token = pending(&p), .factor = {.code = app_code(t, p.secret, 1)}}};
	assert_int_equal(winners(tries, ERR_INVALID_CODE), 1);
	assert_int_equal(live_sessions(t, &p), 1);
}

static void
many_threads_one_backup_code(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	struct trying tries[THREADS] = {0};
	const char **codes = p.codes.items;

	for (int i = 0; i < THREADS; i++)
		tries[i] = (struct trying){.t = t, .in = {.mfa_token = pending(&p), .factor = {.backup_code = codes[4]}}};
	assert_int_equal(winners(tries, ERR_INVALID_CODE), 1);
	assert_int_equal(live_sessions(t, &p), 1);
	assert_int_equal(count(t, "SELECT count(*) FROM one_time_secrets WHERE purpose = 'mfa_backup' AND used_at IS NULL"), 9);
}

static void
many_threads_one_pending_token(void **state)
{
	struct test *t = *state;
	struct person p = enrolled(t);
	struct trying tries[THREADS] = {0};
	const char *token = pending(&p), **codes = p.codes.items;

	for (int i = 0; i < THREADS; i++)
		tries[i] = (struct trying){.t = t, .in = {.mfa_token = token, .factor = {.backup_code = codes[i % 10]}}};
	assert_int_equal(winners(tries, ERR_TOKEN_INVALID), 1);
	assert_int_equal(live_sessions(t, &p), 1);
}

struct consuming {
	struct test *t;
	const char *purpose, *secret;
	enum err result;
};

static enum err
consume_run(struct ctx *cx, void *arg)
{
	struct consuming *c = arg;
	struct secret_taken taken;

	return secret_consume(cx, c->purpose, c->secret, NULL, "browser", &taken);
}

static void *
consume_thread(void *arg)
{
	struct consuming *c = arg;

	c->result = test_write(c->t, consume_run, c);
	return NULL;
}

static enum err
issue_run(struct ctx *cx, void *arg)
{
	struct consuming *c = arg;

	return secret_issue(
		cx, &(const struct secret_new){.purpose = c->purpose, .binding = "browser", .life_us = MINUTES_US}, &c->secret);
}

static void
many_threads_every_other_secret(void **state)
{
	static const char *const purposes[] = {"password_reset", "email_verify", "oauth_state", "oauth_link", "oauth_code"};
	struct test *t = *state;
	struct ctx cx;

	for (size_t k = 0; k < sizeof(purposes) / sizeof(purposes[0]); k++) {
		struct consuming made = {.t = t, .purpose = purposes[k]}, each[THREADS];
		pthread_t threads[THREADS];
		int won = 0;
		test_ctx(t, &cx);
		assert_int_equal(db_write(&cx, issue_run, &made), OK);
		for (int i = 0; i < THREADS; i++) {
			each[i] = made;
			assert_int_equal(pthread_create(&threads[i], NULL, consume_thread, &each[i]), 0);
		}
		for (int i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			won += each[i].result == OK;
			assert_true(each[i].result == OK || each[i].result == ERR_TOKEN_INVALID);
		}
		assert_int_equal(won, 1);
	}
}

/* --- at rest ---- */

static void
secrets_are_sealed_and_bound(void **state)
{
	struct test *t = *state;
	struct person a = enrolled(t), b = enrolled(t);
	const char *row =
		sql_text(t, arena_printf(&t->arena, "SELECT secret FROM mfa_totp WHERE user_id = '%s'", a.user.id.text));

	assert_true(str_starts(row, "gAAAAA"));
	assert_null(strstr(row, a.secret));
	sql_run(t, arena_printf(&t->arena, "UPDATE mfa_totp SET secret = '%s' WHERE user_id = '%s'", row, b.user.id.text));
	assert_int_equal(complete(t, pending(&b), app_code(t, a.secret, 1), NULL), ERR_INVALID_CODE);
	assert_int_equal(complete(t, pending(&a), app_code(t, a.secret, 1), NULL), OK);
	const char **codes = a.codes.items;
	for (size_t i = 0; i < a.codes.count; i++)
		assert_int_equal(count(t, arena_printf(&t->arena,
						  "SELECT count(*) FROM one_time_secrets WHERE secret_hash LIKE '%%%s%%'"
						  " OR data LIKE '%%%s%%'",
						  codes[i], codes[i])),
			0);
}

static int
setup(void **state)
{
	*state = test_open(TEST_CONF("SINGLE_DEVICE=false", "BCRYPT_ROUNDS=4"));
	return 0;
}

static int
teardown(void **state)
{
	test_close(*state);
	return 0;
}

int
main(void)
{
#define IN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_6238_vectors),
		cmocka_unit_test(base_32),
		IN(a_step_is_good_once),
		IN(a_pending_token_is_good_once),
		IN(five_wrong_codes_end_a_pending_token),
		IN(wrong_codes_count_per_account_over_all_tokens),
		IN(two_factors_or_none_are_refused),
		IN(a_factor_activated_meanwhile_is_asked_for),
		IN(many_threads_one_step),
		IN(many_threads_one_backup_code),
		IN(many_threads_one_pending_token),
		IN(many_threads_every_other_secret),
		IN(secrets_are_sealed_and_bound),
	};

	return cmocka_run_group_tests_name("identity_mfa", tests, NULL, NULL);
}
