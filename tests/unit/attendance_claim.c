/* Claims: made without a login, spent once, by the browser that scanned, and judged at the time of the scan. */
#include "attendance_env.h"

static void
a_claim_outlives_its_code(void **state)
{
	struct room r = room_open();
	struct browser b = browser_open(r.t);
	struct claim_out claim;
	int64_t audits = ROWS(r, "audit_logs");

	(void)state;
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, b.jwk, &claim));
	assert_string_equal(claim.event.title, "Algorithms");
	assert_int_equal(claim.expires_at, TEST_START_US + 15 * MINUTES_US);
	assert_int_equal(ROWS(r, "audit_logs"), audits);
	test_advance(r.t, 10 * MINUTES_US); /* rotated away long ago, and a newer code shows */
	make_code(r.t, &r.admin, &r.event);
	expect_err(ERR_QR_EXPIRED, mark_payload(r.t, &r.student, r.code.qr_payload));
	expect_err(OK, mark_claim(r.t, &r.student, claim.claim, browser_sign(r.t, &b, claim.claim)));
	assert_string_equal(sql_text(r.t, "SELECT status || ' ' || moment(marked_at) || ' ' || moment(recorded_at) FROM attendance_records"),
		"present 2026-08-01 12:00:00.000000 2026-08-01 12:10:00.000000");
	assert_int_equal(ROWS(r, "spent_claims"), 1);
	browser_close(&b);
	room_close(&r);
}

static void
a_claim_is_spent_once(void **state)
{
	struct room r = room_open();
	struct test_user other = test_user(r.t, ROLE_STUDENT);
	struct claim_out claim;

	(void)state;
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, NULL, &claim));
	expect_err(OK, mark_claim(r.t, &r.student, claim.claim, NULL));
	expect_err(ERR_DUPLICATE_ATTENDANCE, mark_claim(r.t, &r.student, claim.claim, NULL));
	expect_err(ERR_NONCE_REUSED, mark_claim(r.t, &other, claim.claim, NULL));
	assert_int_equal(ROWS(r, "attendance_records"), 1);
	room_close(&r);
}

static void
a_claim_needs_its_browser(void **state)
{
	struct room r = room_open();
	struct browser mine = browser_open(r.t), theirs = browser_open(r.t);
	struct claim_out claim;

	(void)state;
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, mine.jwk, &claim));
	expect_err(ERR_INVALID_PROOF, mark_claim(r.t, &r.student, claim.claim, NULL));
	expect_err(ERR_INVALID_PROOF, mark_claim(r.t, &r.student, claim.claim, ""));
	expect_err(ERR_INVALID_PROOF, mark_claim(r.t, &r.student, claim.claim, browser_sign(r.t, &theirs, claim.claim)));
	expect_err(ERR_INVALID_PROOF, mark_claim(r.t, &r.student, claim.claim, browser_sign(r.t, &mine, "another text")));
	assert_int_equal(ROWS(r, "spent_claims"), 0);
	expect_err(OK, mark_claim(r.t, &r.student, claim.claim, browser_sign(r.t, &mine, claim.claim)));
	browser_close(&mine);
	browser_close(&theirs);
	room_close(&r);
}

static void
a_claim_is_ours_or_refused(void **state)
{
	struct room r = room_open();
	struct claim_out claim;

	(void)state;
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, NULL, &claim));
	char *forged = arena_strdup(&r.t->arena, claim.claim);
	char *at = strrchr(forged, '.') - 4;
	*at = *at == 'A' ? 'B' : 'A';
	expect_err(ERR_INVALID_SIGNATURE, mark_claim(r.t, &r.student, forged, NULL));
	expect_err(ERR_INVALID_QR, mark_claim(r.t, &r.student, "a.b", NULL));
	enum err e = mark_claim(r.t, &r.student, r.student.bearer, NULL); /* a token of ours for another use */
	expect_err(ERR_INVALID_SIGNATURE, e);
	test_advance(r.t, 15 * MINUTES_US);
	expect_err(ERR_QR_EXPIRED, mark_claim(r.t, &r.student, claim.claim, NULL));
	room_close(&r);
}

static void
what_kills_a_claim(void **state)
{
	struct room r = room_open();
	struct claim_out by_code, by_event, by_all;
	struct event gone = make_event(r.t, &r.admin, event_plain(r.t, "Gone"));
	struct qr_session code = make_code(r.t, &r.admin, &gone);

	(void)state;
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, NULL, &by_code));
	expect_err(OK, claim_payload(r.t, code.qr_payload, NULL, &by_event));
	test_advance(r.t, 2 * MINUTES_US); /* both codes have expired: revoking reaches them still */
	revoke_code(r.t, &r.admin, &r.code);
	delete_event(r.t, &r.admin, &gone);
	expect_err(ERR_QR_REVOKED, mark_claim(r.t, &r.student, by_code.claim, NULL));
	expect_err(ERR_EVENT_NOT_FOUND, mark_claim(r.t, &r.student, by_event.claim, NULL));

	struct qr_making all = {.rows = -1};
	struct ctx cx;
	code = make_code(r.t, &r.admin, &r.event);
	expect_err(OK, claim_payload(r.t, code.qr_payload, NULL, &by_all));
	test_advance(r.t, 2 * MINUTES_US);
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_write(&cx, qr_revoke_all_run, &all));
	assert_int_equal(all.rows, 0); /* none was live */
	expect_err(ERR_QR_REVOKED, mark_claim(r.t, &r.student, by_all.claim, NULL));
	room_close(&r);
}

static void
no_claim_of_a_dead_code(void **state)
{
	struct room r = room_open();
	struct qr_session dead = make_code(r.t, &r.admin, &r.event);
	struct claim_out claim;

	(void)state;
	revoke_code(r.t, &r.admin, &dead);
	expect_err(ERR_QR_REVOKED, claim_payload(r.t, dead.qr_payload, NULL, &claim));
	expect_err(ERR_INVALID_QR, claim_payload(r.t, "x", NULL, &claim));
	expect_err(ERR_VALIDATION, claim_payload(r.t, r.code.qr_payload, "{\"kty\":\"EC\"}", &claim));
	expect_err(ERR_VALIDATION, claim_payload(r.t, r.code.qr_payload, "7", &claim));
	test_advance(r.t, MINUTES_US);
	expect_err(ERR_QR_EXPIRED, claim_payload(r.t, r.code.qr_payload, NULL, &claim));
	room_close(&r);
}

static void
another_network_is_flagged(void **state)
{
	static const struct {
		const char *policy;
		const struct client *from;
		const char *status, *flags;
	} rows[] = {
		{NULL, HERE, "present", ""},
		{NULL, ELSEWHERE, "flagged", "scanned_elsewhere"},
		{"{\"claim\":\"flag\"}", HERE, "flagged", "claim"},
		{"{\"claim\":\"flag\"}", ELSEWHERE, "flagged", "scanned_elsewhere"},
		{"{\"claim\":\"on\",\"device\":\"off\"}", HERE, "present", ""},
	};
	struct room r = room_open();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct event_new in = event_plain(r.t, "Policy");
		in.policy = rows[i].policy;
		struct event e = make_event(r.t, &r.admin, in);
		struct qr_session code = make_code(r.t, &r.admin, &e);
		struct claim_out claim;
		expect_err(OK, claim_payload(r.t, code.qr_payload, NULL, &claim));
		struct marking m = {.in = {.claim = claim.claim}};
		expect_err(OK, mark_from(r.t, &r.student, rows[i].from, &m));
		const char *sql = arena_printf(&r.t->arena,
			"SELECT status || ' ' || COALESCE(flags, '') FROM attendance_records WHERE event_id = '%s'", e.id.text);
		assert_string_equal(sql_text(r.t, sql), arena_printf(&r.t->arena, "%s %s", rows[i].status, rows[i].flags));
	}
	/* Where codes rotate fast, every claim is reviewed unless the event says otherwise. */
	for (int said = 0; said < 2; said++) {
		struct event_new fast = event_plain(r.t, "Fast");
		fast.policy = said ? "{\"claim\":\"on\"}" : NULL;
		struct event f = make_event(r.t, &r.admin, fast);
		sql_run(r.t, arena_printf(&r.t->arena, "UPDATE events SET rotate_seconds = 29 WHERE id = '%s'", f.id.text));
		struct qr_session shown = make_code(r.t, &r.admin, &f);
		struct claim_out kept;
		expect_err(OK, claim_payload(r.t, shown.qr_payload, NULL, &kept));
		expect_err(OK, mark_claim(r.t, &r.student, kept.claim, NULL));
		const char *sql =
			arena_printf(&r.t->arena, "SELECT status FROM attendance_records WHERE event_id = '%s'", f.id.text);
		assert_string_equal(sql_text(r.t, sql), said ? "present" : "flagged");
	}

	struct event_new in = event_plain(r.t, "No claims");
	in.policy = "{\"claim\":\"off\"}";
	struct event e = make_event(r.t, &r.admin, in);
	struct qr_session code = make_code(r.t, &r.admin, &e);
	struct claim_out claim;
	expect_err(ERR_CONFLICT, claim_payload(r.t, code.qr_payload, NULL, &claim));
	room_close(&r);
}

static void
judged_at_the_time_of_the_scan(void **state)
{
	struct room r = room_open();
	struct test_user absent = test_user(r.t, ROLE_STUDENT), early = test_user(r.t, ROLE_STUDENT);
	struct event_new in = event_plain(r.t, "Lecture");
	struct claim_out first, second;

	(void)state;
	in.ends_at = TEST_START_US + 20 * MINUTES_US;
	struct event e = make_event(r.t, &r.admin, in);
	sql_run(r.t, arena_printf(&r.t->arena, "UPDATE events SET kind = 'session', late_after_minutes = 5 WHERE id = '%s'",
			     e.id.text));
	struct qr_session code = make_code(r.t, &r.admin, &e);
	expect_err(OK, claim_payload(r.t, code.qr_payload, NULL, &first));
	test_advance(r.t, 18 * MINUTES_US);
	struct qr_session last = make_code(r.t, &r.admin, &e);
	expect_err(OK, claim_payload(r.t, last.qr_payload, NULL, &second));
	expect_err(ERR_QR_EXPIRED, mark_claim(r.t, &early, first.claim, NULL));

	/* The session is over, and its absences are written. */
	test_advance(r.t, 5 * MINUTES_US);
	sql_run(r.t, arena_printf(&r.t->arena,
			     "INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, "
			     "recorded_at)"
			     " VALUES ('01890a5d-ac96-774b-bcce-b302099a8057', '%s', '%s', 'absent', 'absent', 'manual',"
			     " '2026-08-01 12:20:00.000000', '2026-08-01 12:20:00.000000')",
			     e.id.text, absent.id.text));
	expect_err(ERR_QR_EXPIRED, mark_payload(r.t, &absent, last.qr_payload));
	expect_err(OK, mark_claim(r.t, &absent, second.claim, NULL));
	assert_string_equal(sql_text(r.t, "SELECT status || ' ' || original_status || ' ' || moment(marked_at) FROM attendance_records"),
		"late absent 2026-08-01 12:18:00.000000");
	assert_int_equal(ROWS(r, "attendance_records"), 1);
	assert_int_equal(ROWS(r, "used_nonces"), 1);
	room_close(&r);
}

static void
keys_are_required_in_production(void **state)
{
	struct room r = room_open_with(TEST_CONF("ENV=staging", "SIGNUP_POLICY=approval", "BCRYPT_ROUNDS=10"));
	struct browser b = browser_open(r.t);
	struct claim_out claim;

	(void)state;
	expect_err(ERR_VALIDATION, claim_payload(r.t, r.code.qr_payload, NULL, &claim));
	expect_err(OK, claim_payload(r.t, r.code.qr_payload, b.jwk, &claim));
	browser_close(&b);
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_claim_outlives_its_code),
		cmocka_unit_test(a_claim_is_spent_once),
		cmocka_unit_test(a_claim_needs_its_browser),
		cmocka_unit_test(a_claim_is_ours_or_refused),
		cmocka_unit_test(what_kills_a_claim),
		cmocka_unit_test(no_claim_of_a_dead_code),
		cmocka_unit_test(another_network_is_flagged),
		cmocka_unit_test(judged_at_the_time_of_the_scan),
		cmocka_unit_test(keys_are_required_in_production),
	};

	return cmocka_run_group_tests_name("attendance: claims", tests, NULL, NULL);
}
