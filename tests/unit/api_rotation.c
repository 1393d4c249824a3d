/* What becomes of stored things when their secret changes: sealed again while the old value is listed, counted when it is not. */
#include "attendance_env.h"
#include "run_job.h"

#include "attendance/face.h"
#include "audit/seal.h"
#include "core/fernet.h"
#include "core/keys.h"
#include "identity/mfa.h"

#define LONG "0123456789abcdef0123456789abcdef-"

static void
use_keys(struct test *t, const char *secret_key, const char *retired, const char *mfa)
{
	const char *const variables[] = {"ENV=dev", arena_printf(&t->arena, "SECRET_KEY=%s", secret_key),
		arena_printf(&t->arena, "SECRET_KEY_RETIRED=%s", retired), "QR_SIGNING_SECRET=" LONG "codes", "TOKEN_PEPPER=" LONG "pepper",
		arena_printf(&t->arena, "MFA_ENCRYPTION_KEY=%s", mfa), "ADMIN_PASSWORD=Correct-Horse-7", NULL};
	const char *message = "";
	struct config *conf = conf_load(variables, NULL, &message);

	if (!conf)
		fail_msg("%s", message);
	keys_close((struct keys *)(uintptr_t)t->srv.keys);
	t->srv.keys = keys_open(conf);
	conf_free(conf);
}

static const char *
seal(struct test *t, const char *purpose, const struct test_user *u, const char *text, const char **ret_key_id)
{
	struct ctx cx;

	test_ctx(t, &cx);
	return sealed_text(&cx, purpose, u->id.text, text, ret_key_id);
}

/* What a column holds, opened under its own key id; "" when it does not open. */
static const char *
opened(struct test *t, const char *purpose, const struct test_user *u, const char *table, const char *column, const char *key_column)
{
	struct ctx cx;
	const char *where = arena_printf(&t->arena, "FROM %s WHERE user_id = uuid('%s')", table, u->id.text);
	const char *sealed = sql_text(t, arena_printf(&t->arena, "SELECT %s %s", column, where));
	const char *key_id = sql_text(t, arena_printf(&t->arena, "SELECT %s %s", key_column, where));

	test_ctx(t, &cx);
	const char *text = sealed_open(&cx, key_id, purpose, u->id.text, sealed);
	return text ? text : "";
}

static void
add_totp(struct test *t, const struct test_user *u, const char *sealed, const char *key_id, const char *pending)
{
	sql_run(t, arena_printf(&t->arena,
			   "INSERT INTO mfa_totp (user_id, secret, key_id, pending_secret, pending_key_id, last_step, created_at)"
			   " VALUES (uuid('%s'), '%s', '%s', '%s', '%s', 0, '2026-08-01 12:00:00.000000')",
			   u->id.text, sealed, key_id, pending, key_id));
}

static void
what_an_older_key_sealed_is_sealed_again(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user ann = test_user(t, ROLE_STUDENT), ben = test_user(t, ROLE_STUDENT);
	const char *key_id = NULL;

	(void)state;
	use_keys(t, LONG "access", "", LONG "old");
	const char *totp = seal(t, mfa_seal_purpose, &ann, "JBSWY3DPEHPK3PXP", &key_id);
	const char *pending = seal(t, mfa_seal_purpose, &ann, "GEZDGNBVGY3TQOJQ", &key_id);
	add_totp(t, &ann, totp, key_id, pending);
	add_totp(t, &ben, totp, key_id, pending); /* of somebody else: opens to nothing, and stays as it is */
	const char *face = seal(t, face_seal_purpose, &ann, "numbers", &key_id);
	sql_run(t, arena_printf(&t->arena,
			   "INSERT INTO face_references (id, user_id, model_sha256, template, key_id, consent_at, created_at) VALUES"
			   " (uuid('018f0000-0000-7000-8000-000000000001'), uuid('%s'), 'model', '%s', '%s',"
			   " '2026-08-01 12:00:00.000000', '2026-08-01 12:00:00.000000')",
			   ann.id.text, face, key_id));
	assert_int_equal(run_job(t, "reseal"), 0); /* one key: nothing to do */

	use_keys(t, LONG "access", "", LONG "new," LONG "old");
	assert_int_equal(run_job(t, "reseal"), 3);
	assert_int_equal(run_job(t, "reseal"), 0);

	use_keys(t, LONG "access", "", LONG "new");
	assert_string_equal(opened(t, mfa_seal_purpose, &ann, "mfa_totp", "secret", "key_id"), "JBSWY3DPEHPK3PXP");
	assert_string_equal(opened(t, mfa_seal_purpose, &ann, "mfa_totp", "pending_secret", "pending_key_id"), "GEZDGNBVGY3TQOJQ");
	assert_string_equal(opened(t, face_seal_purpose, &ann, "face_references", "template", "key_id"), "numbers");
	assert_string_equal(opened(t, mfa_seal_purpose, &ben, "mfa_totp", "secret", "key_id"), "");
	assert_int_equal(count(t, arena_printf(&t->arena, "SELECT COUNT(*) FROM mfa_totp WHERE secret = '%s'", totp)), 1);
	test_close(t);
}

static const char *
verdict(struct test *t)
{
	struct audit_verdict v;
	struct ctx cx;

	test_ctx(t, &cx);
	must(&cx, audit_verify(&cx, NULL, &v));
	return v.fault ? v.fault : "";
}

static void
seal_trail(struct test *t)
{
	(void)test_user(t, ROLE_STUDENT);
	struct test_user admin = test_user(t, ROLE_ADMIN);
	(void)make_event(t, &admin, event_plain(t, "Algorithms")); /* a row of the trail */
	test_advance(t, (SEAL_AGE_S + 1) * SECONDS_US);
	assert_true(run_job(t, "audit_seal") > 0);
}

static void
seals_outlive_the_key_that_made_them(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	use_keys(t, LONG "first", "", LONG "mfa");
	seal_trail(t);
	use_keys(t, LONG "second", LONG "first", LONG "mfa");
	seal_trail(t);
	assert_int_equal(count(t, "SELECT COUNT(DISTINCT key_id) FROM audit_seals"), 2);
	assert_string_equal(verdict(t), "");
	assert_int_equal(key_count(t->srv.keys, KEY_AUDIT), 2);
	for (int use = KEY_ACCESS; use < KEY__MAX; use++) /* a retired value is good for nothing else */
		if (use != KEY_AUDIT)
			assert_int_equal(key_count(t->srv.keys, (enum key_use)use), 1);
	use_keys(t, LONG "second", "", LONG "mfa");
	assert_non_null(strstr(verdict(t), "SECRET_KEY"));
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_older_key_sealed_is_sealed_again),
		cmocka_unit_test(seals_outlive_the_key_that_made_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
