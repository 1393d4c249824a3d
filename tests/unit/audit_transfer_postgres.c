/*
 * A SQLite database moved into PostgreSQL whole: the sealed audit trail verifies there as it did before, and whatever is wrong leaves
 * the target as it was.
 */
#include "store_env.h"

#include "audit/audit.h"
#include "audit/seal.h"
#include "core/conf.h"
#include "core/keys.h"
#include "store/transfer.h"

enum { ROWS = 25 };

static const char *const variables[] = {"ENV=dev", "SECRET_KEY=0123456789abcdef0123456789abcdef-access",
	"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes", "TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper",
	"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=Correct-Horse-7", NULL};

struct both {
	struct env *from, *to;
};

static struct config *conf;
static struct keys *keys;

static void
serve(struct env *env)
{
	env->srv.conf = conf;
	env->srv.keys = keys;
}

static int
open_all(void **state)
{
	const char *message = "";

	conf = conf_load(variables, NULL, &message);
	if (!conf)
		fail_msg("%s", message);
	keys = keys_open(conf);
	return env_open(state);
}

static int
close_all(void **state)
{
	keys_close(keys);
	conf_free(conf);
	return env_close(state);
}

static int
setup(void **state)
{
	struct both *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->from = env_make(false, "SELECT 1");
	p->to = env_make(true, "SELECT 1");
	serve(p->from);
	serve(p->to);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct both *p = *state;

	env_free(p->from);
	env_free(p->to);
	free(p);
	return 0;
}

static enum err
write_rows(struct ctx *cx, void *arg)
{
	(void)arg;
	for (int i = 0; i < ROWS; i++)
		TRY(audit_ok(cx, AUDIT_LOGIN, "user", arena_printf(cx->arena, "Zoë \"%d\"\t\\N\n", i)));
	return OK;
}

static enum err
write_seal(struct ctx *cx, void *arg)
{
	return audit_seal(cx, arg);
}

/* Sealed as if an hour had passed. */
static void
fill(struct env *env)
{
	struct ctx cx;
	int64_t rows = 0;

	env_cx(env, &cx);
	assert_int_equal(db_write(&cx, write_rows, NULL), OK);
	cx.now_us += HOURS_US;
	assert_int_equal(db_write(&cx, write_seal, &rows), OK);
	assert_int_equal(rows, ROWS);
}

static struct audit_verdict
verdict(struct env *env)
{
	struct audit_verdict v;
	struct ctx cx;

	env_cx(env, &cx);
	assert_int_equal(audit_verify(&cx, NULL, &v), OK);
	return v;
}

static int64_t
rows_of(struct env *env)
{
	struct list sums;
	const char *message = "";
	int64_t rows = 0;

	if (checksum_all(&env->arena, env->url, &sums, &message) != OK)
		fail_msg("%s", message);
	for (size_t i = 0; i < sums.count; i++)
		rows += ((const struct table_sum *)sums.items)[i].rows;
	return rows;
}

static void
is_refused(struct both *p, const char *why)
{
	int64_t before = rows_of(p->to);
	const char *message = "";
	struct list sums;

	assert_int_equal(transfer_to_postgres(&p->to->arena, p->from->path, p->to->url, false, &sums, &message), ERR_UNAVAILABLE);
	if (!strstr(message, why))
		fail_msg("%s", message);
	assert_int_equal(rows_of(p->to), before);
}

static void
move(struct both *p, bool dry_run)
{
	const char *message = "";
	struct list sums;

	if (transfer_to_postgres(&p->to->arena, p->from->path, p->to->url, dry_run, &sums, &message) != OK)
		fail_msg("%s", message);
	assert_true(sums.count > 20);
}

static void
the_sealed_trail_verifies_after(void **state)
{
	struct both *p = *state;
	struct ctx cx;

	fill(p->from);
	struct audit_verdict before = verdict(p->from);
	assert_int_equal(before.rows, ROWS);
	int64_t empty = rows_of(p->to);
	move(p, true);
	assert_int_equal(rows_of(p->to), empty);
	move(p, false);
	struct audit_verdict after = verdict(p->to);
	assert_null(after.fault);
	assert_int_equal(after.rows, before.rows);
	assert_int_equal(after.seals, before.seals);
	assert_string_equal(after.head, before.head);
	assert_int_equal(verdict(p->from).rows, ROWS); /* the file is as it was */

	/* It goes on where it ended: the sequences were moved too. */
	env_cx(p->to, &cx);
	assert_int_equal(db_write(&cx, write_rows, NULL), OK);
	assert_int_equal(env_count(p->to, "SELECT MAX(seq) FROM audit_logs"), 2 * ROWS);
	(void)env_sql(p->to, "ALTER TABLE audit_logs DISABLE TRIGGER USER; UPDATE audit_logs SET action = 'logout' WHERE seq = 7");
	after = verdict(p->to);
	assert_non_null(after.fault);
	assert_int_equal(after.bad_seq, 7);
}

static void
a_target_with_rows_is_refused(void **state)
{
	struct both *p = *state;

	fill(p->from);
	move(p, false);
	is_refused(p, "not empty: its table audit_");
}

static void
what_a_server_writes_first_counts_too(void **state)
{
	struct both *p = *state;

	(void)env_sql(p->to, "UPDATE guards SET touched = 7");
	is_refused(p, "not empty: its table guards has 1 rows");
}

static void
other_schemas_are_refused(void **state)
{
	struct both *p = *state;
	const char *message = "";
	int undone;

	(void)env_sql(p->from, "UPDATE schema_migrations SET sha256 = 'f00' WHERE number = 2");
	is_refused(p, "0002_audit_seals was edited");
	(void)env_sql(p->from, "DELETE FROM schema_migrations WHERE number > 1");
	is_refused(p, "older than this program: run muster migrate up on it");
	(void)env_sql(p->from, "DELETE FROM schema_migrations");
	is_refused(p, "no database of this program");
	env_free(p->from);
	p->from = env_make(false, "SELECT 1");
	assert_int_equal(migrate_down(&p->to->arena, p->to->url, 1, &undone, &message), OK);
	is_refused(p, "the target: its schema is older");
}

/* The last table's last row is wrong, after all the others were copied. */
static void
what_postgresql_cannot_hold_leaves_nothing(void **state)
{
	static const char *const wrong[][2] = {
		{"CAST(x'610062' AS TEXT)", "zero byte"},
		{"CAST(x'ff' AS TEXT)", "invalid byte sequence"},
	};
	struct both *p = *state;

	fill(p->from);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		(void)env_sql(p->from, arena_printf(&p->from->arena,
					       "DELETE FROM verification_logs; INSERT INTO verification_logs (attendance_id, created_at, layers)"
					       " VALUES ('01890000-0000-7000-8000-000000000001', '2026-01-01 00:00:00.000000', '[]'),"
					       " ('01890000-0000-7000-8000-000000000002', '2026-01-01 00:00:00.000000', %s)",
					       wrong[i][0]));
		is_refused(p, wrong[i][1]);
	}
	(void)env_sql(p->from, "DELETE FROM verification_logs; INSERT INTO spent_claims VALUES ('no uuid', '2026-01-01 00:00:00.000000')");
	is_refused(p, "table spent_claims: ");
	(void)env_sql(p->from, "DELETE FROM spent_claims; PRAGMA foreign_keys = OFF;"
			       "INSERT INTO enrollments VALUES ('01890000-0000-7000-8000-000000000001',"
			       " '01890000-0000-7000-8000-000000000001', '2026-01-01 00:00:00.000000')");
	is_refused(p, "table enrollments: ");
	(void)env_sql(p->from, "DELETE FROM enrollments");
	move(p, false);
}

/* What could come between the copy and its end, here by a trigger: it is seen, and nothing stays. */
static void
a_copy_that_differs_is_found(void **state)
{
	struct both *p = *state;

	fill(p->from);
	(void)env_sql(p->to,
		"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.user_agent = 'x'; RETURN NEW; END $$;"
		"CREATE TRIGGER meddle BEFORE INSERT ON audit_logs FOR EACH ROW WHEN (NEW.seq = 20) EXECUTE FUNCTION meddle()");
	is_refused(p, "the copy of table audit_logs differs");
	(void)env_sql(p->to, "DROP TRIGGER meddle ON audit_logs");
	move(p, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_sealed_trail_verifies_after),
		TEST(a_target_with_rows_is_refused),
		TEST(what_a_server_writes_first_counts_too),
		TEST(other_schemas_are_refused),
		TEST(what_postgresql_cannot_hold_leaves_nothing),
		TEST(a_copy_that_differs_is_found),
	};

	return cmocka_run_group_tests_name("moving a database", tests, open_all, close_all);
}
