/* Seals: what they prove, what they name, and what is left of both when rows go to the archive. */
#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/seal.h"
#include "core/conf.h"

static enum err
write_run(struct ctx *cx, void *arg)
{
	(void)arg;
	return audit_ok(cx, AUDIT_EVENT_CREATED, "event", "01900000-0000-7000-8000-000000000002", AUDIT_TEXT("title", "a\"b"));
}

static enum err
seal_run(struct ctx *cx, void *arg)
{
	return audit_seal(cx, arg);
}

static void
write_rows(struct test *t, int n)
{
	for (int i = 0; i < n; i++) {
		struct ctx cx;
		test_ctx(t, &cx);
		assert_int_equal(db_write(&cx, write_run, NULL), OK);
	}
}

static int64_t
seal(struct test *t)
{
	struct ctx cx;
	int64_t rows = -1;

	test_ctx(t, &cx);
	assert_int_equal(db_write_bulk(&cx, seal_run, &rows), OK);
	return rows;
}

static int64_t
archive(struct test *t)
{
	struct ctx cx;
	int64_t rows = -1;

	test_ctx(t, &cx);
	assert_int_equal(audit_archive(&cx, &rows), OK);
	return rows;
}

static struct audit_verdict
verify(struct test *t, const char *expect)
{
	struct audit_verdict v;
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(audit_verify(&cx, expect, &v), OK);
	return v;
}

/* Somebody with the file and the will. */
static void
tamper(struct test *t, const char *sql)
{
	if (t->pg_url) {
		sql_run(t, "DROP TRIGGER IF EXISTS audit_logs_append_only ON audit_logs");
		sql_run(t, "ALTER TABLE audit_logs ALTER COLUMN seq DROP IDENTITY IF EXISTS");
	} else {
		sql_run(t, "DROP TRIGGER IF EXISTS audit_logs_no_update");
		sql_run(t, "DROP TRIGGER IF EXISTS audit_logs_no_delete");
	}
	sql_run(t, sql);
}

/* 25 rows in seals of 10, 10, 5. */
static struct test *
sealed(void)
{
	static const int sizes[] = {10, 10, 5};
	struct test *t = test_open(NULL);

	for (size_t i = 0; i < 3; i++) {
		write_rows(t, sizes[i]);
		test_advance(t, SEAL_AGE_S * SECONDS_US);
		assert_int_equal(seal(t), sizes[i]);
	}
	return t;
}

static void
only_settled_rows_are_sealed(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	assert_int_equal(seal(t), 0);
	assert_string_equal(verify(t, NULL).head, "");
	write_rows(t, 3);
	test_advance(t, SEAL_AGE_S * SECONDS_US - 1);
	assert_int_equal(seal(t), 0);
	test_advance(t, 1);
	write_rows(t, 2);
	assert_int_equal(seal(t), 3);
	assert_int_equal(seal(t), 0);
	struct audit_verdict v = verify(t, NULL);
	assert_null(v.fault);
	assert_int_equal(v.rows, 3);
	assert_int_equal(v.seals, 1);
	assert_int_equal(v.unsealed, 2);
	assert_int_equal(strlen(v.head), B64_SHA256_CHARS);
	assert_null(verify(t, v.head).fault);
	test_close(t);
}

static void
a_turn_has_a_bound(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	sql_run(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO audit_logs (id, "
		   "created_at, action, result, ip_address, user_agent, request_id, details) SELECT "
		   "'01900000-0000-7000-8000-000000000002', '2026-01-01 00:00:00.000000', 'login', 'success', '', '', '', '{}' "
		   "FROM n");
	assert_int_equal(seal(t), SEAL_ROWS_MAX);
	assert_int_equal(seal(t), 500);
	assert_int_equal(verify(t, NULL).rows, 1500);
	test_close(t);
}

static void
the_first_bad_row_is_named(void **state)
{
	static const struct {
		const char *sql, *fault;
		int64_t bad_seq;
	} rows[] = {
		{"UPDATE audit_logs SET details = '{}' WHERE seq IN (12, 15)", "row seq 12 is not what was sealed", 12},
		{"UPDATE audit_logs SET actor_id = '01900000-0000-7000-8000-000000000002' WHERE seq = 3", "row seq 3 is not", 3},
		{"UPDATE audit_logs SET created_at = '2026-08-01 12:00:00.000001' WHERE seq = 10", "row seq 10 is not", 10},
		{"UPDATE audit_logs SET entity_id = NULL WHERE seq = 25", "row seq 25 is not", 25},
		{"UPDATE audit_logs SET ip_address = user_agent || 'x', user_agent = '' WHERE seq = 1", "row seq 1 is not", 1},
		{"DELETE FROM audit_logs WHERE seq = 5", "before row seq 6 something was removed", 6},
		{"DELETE FROM audit_logs WHERE seq = 1", "before row seq 2 something was removed", 2},
		{"DELETE FROM audit_logs WHERE seq = 20", "behind row seq 19 something was removed", 19},
		{"DELETE FROM audit_logs WHERE seq BETWEEN 11 AND 20", "behind row seq 0 something was removed", FIELD_NONE},
		{"DELETE FROM audit_logs WHERE seq IN (7, 8)", "before row seq 9 something was removed", 9},
		{"UPDATE audit_logs SET seq = 1000 - seq WHERE seq = 7", "before row seq 8 something was removed", 8},
		{"UPDATE audit_seals SET to_seq = 9, row_count = 9, row_macs = substr(row_macs, 1, 96) WHERE seq = 1",
			"seal 1 does not follow", FIELD_NONE},
		{"UPDATE audit_seals SET row_macs = 'x' WHERE seq = 2", "seal 2 is damaged", FIELD_NONE},
		{"DELETE FROM audit_seals WHERE seq = 2", "seal 3 is damaged, or one before it is missing", FIELD_NONE},
		{"UPDATE audit_seals SET key_id = 'deadbeef' WHERE seq = 2", "seal 2 was made with a key", FIELD_NONE},
		{"UPDATE audit_seals SET mac = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' WHERE seq = 3",
			"seal 3 does not follow", FIELD_NONE},
		{"UPDATE audit_seals SET archived_file = '../muster.db' WHERE seq = 1", "the archive ../muster.db is missing",
			FIELD_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test *t = sealed();
		assert_null(verify(t, NULL).fault);
		tamper(t, rows[i].sql);
		struct audit_verdict v = verify(t, NULL);
		if (!v.fault || !str_starts(v.fault, rows[i].fault) || v.bad_seq != rows[i].bad_seq)
			fail_msg("%s: %s (%lld)", rows[i].sql, v.fault ? v.fault : "intact", (long long)v.bad_seq);
		test_close(t);
	}
}

static void
an_added_row_is_found(void **state)
{
	struct test *t = sealed();

	(void)state;
	tamper(t, "DELETE FROM audit_logs WHERE seq = 21");
	tamper(t, "INSERT INTO audit_logs (seq, id, created_at, action, result, ip_address, user_agent, request_id, details) "
		  "VALUES (21, "
		  "'01900000-0000-7000-8000-000000000002', '2026-01-01 00:00:00.000000', 'login', 'success', '', '', '', '{}')");
	assert_int_equal(verify(t, NULL).bad_seq, 21);
	test_close(t);
}

static void
a_cut_end_is_found_with_a_head(void **state)
{
	struct test *t = sealed();
	struct audit_verdict v = verify(t, NULL);

	(void)state;
	assert_null(verify(t, sql_text(t, "SELECT mac FROM audit_seals WHERE seq = 2")).fault);
	tamper(t, "DELETE FROM audit_logs WHERE seq > 20");
	sql_run(t, "DELETE FROM audit_seals WHERE seq = 3");
	assert_null(verify(t, NULL).fault);
	assert_non_null(strstr(verify(t, v.head).fault, "expected head"));
	test_close(t);
}

static void
rows_are_append_only(void **state)
{
	struct test *t = sealed();

	(void)state;
	const char *triggers = t->pg_url
		? "SELECT COUNT(*) FROM pg_trigger WHERE tgrelid = 'audit_logs'::regclass AND NOT tgisinternal"
		: "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_logs'";
	assert_int_equal(count(t, triggers), 2);
	assert_non_null(strstr(sql_error(t, "UPDATE audit_logs SET action = 'login' WHERE seq = 1"), "append-only"));
	assert_non_null(strstr(sql_error(t, "DELETE FROM audit_logs WHERE seq = 1"), "append-only"));
	if (t->pg_url)
		assert_non_null(strstr(sql_error(t, "TRUNCATE audit_logs"), "append-only"));
	test_advance(t, 366 * DAYS_US);
	assert_int_equal(archive(t), 25); /* the one way that rows may go */
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs"), 0);
	test_close(t);
}

static const char *
archive_file(struct test *t)
{
	return arena_printf(&t->arena, "%s/archive/%s", t->srv.conf->data_dir,
		sql_text(t, "SELECT archived_file FROM audit_seals WHERE archived_file IS NOT NULL LIMIT 1"));
}

static void
an_archive_stays_verifiable(void **state)
{
	struct test *t = sealed();

	(void)state;
	assert_int_equal(archive(t), 0);
	test_advance(t, 365 * DAYS_US - SEAL_AGE_S * SECONDS_US + 1); /* the first two are over a year now */
	write_rows(t, 4);
	test_advance(t, SEAL_AGE_S * SECONDS_US);
	seal(t);
	struct audit_verdict before = verify(t, NULL);
	sql_run(t, "UPDATE audit_seals SET sealed_at = '2026-08-01 12:10:00.000000' WHERE seq = 3"); /* not covered by the MAC */
	test_advance(t, 0);
	assert_int_equal(archive(t), 20);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs"), 9);
	assert_string_equal(
		sql_text(t, "SELECT archived_file FROM audit_seals WHERE seq = 2"), "audit-000000000001-000000000020.jsonl.gz");
	struct audit_verdict v = verify(t, before.head);
	assert_null(v.fault);
	assert_int_equal(v.rows, 29);
	assert_int_equal(archive(t), 0);

	FILE *f = fopen(archive_file(t), "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, 100, SEEK_SET), 0);
	assert_int_equal(fputc('x', f), 'x');
	fclose(f);
	assert_non_null(verify(t, NULL).fault);
	assert_int_equal(remove(archive_file(t)), 0);
	assert_non_null(strstr(verify(t, NULL).fault, "missing or damaged"));
	test_close(t);
}

/* Red under the sanitizer alone: the number after it is no number. */
static void
behind_the_last_number_nothing_is_sealed(void **state)
{
	struct test *t = test_open(NULL);

	(void)state;
	write_rows(t, 3);
	test_advance(t, HOURS_US);
	sql_run(t, "INSERT INTO audit_seals (from_seq, to_seq, row_count, row_macs, mac, key_id, sealed_at) VALUES"
		   " (1, 9223372036854775807, 1, 'x', 'x', 'x', '2026-08-01 12:00:00.000000')");
	assert_int_equal(seal(t), 0);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_settled_rows_are_sealed),
		cmocka_unit_test(a_turn_has_a_bound),
		cmocka_unit_test(behind_the_last_number_nothing_is_sealed),
		cmocka_unit_test(the_first_bad_row_is_named),
		cmocka_unit_test(an_added_row_is_found),
		cmocka_unit_test(a_cut_end_is_found_with_a_head),
		cmocka_unit_test(rows_are_append_only),
		cmocka_unit_test(an_archive_stays_verifiable),
	};

	return cmocka_run_group_tests_name("audit: seals", tests, NULL, NULL);
}
