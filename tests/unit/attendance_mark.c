/* Marks against a real database: what is written, what is refused, and what happens at the same time. */
#include "attendance_env.h"

/* --- one mark -------------------------------------------------------------------------------------------------------------- */

static void
a_mark_writes_four_rows(void **state)
{
	struct room r = room_open();
	struct marking m = {.in = {.qr_payload = r.code.qr_payload}};
	int64_t audits = ROWS(r, "audit_logs");

	(void)state;
	must(&m.cx, mark_from(r.t, &r.student, HERE, &m));
	assert_string_equal(m.out.event.id.text, r.event.id.text);
	assert_string_equal(m.out.event.title, "Algorithms");
	assert_int_equal(m.out.marked_at, TEST_START_US);
	assert_int_equal(
		count(r.t,
			arena_printf(&r.t->arena,
				"SELECT COUNT(*) FROM attendance_records WHERE id = '%s' AND event_id = '%s' AND user_id = '%s'"
				" AND status = 'present' AND original_status = 'present' AND method = 'qr' AND qr_session_id = "
				"'%s'"
				" AND marked_at = '2026-08-01 12:00:00.000000'",
				m.out.attendance_id.text, r.event.id.text, r.student.id.text, r.code.session_id.text)),
		1);
	assert_int_equal(ROWS(r, "used_nonces"), 1);
	assert_int_equal(ROWS(r, "verification_logs"), 1);
	assert_int_equal(ROWS(r, "spent_claims"), 0);
	assert_int_equal(ROWS(r, "audit_logs"), audits + 1);
	assert_string_equal(sql_text(r.t, "SELECT action || ' ' || result FROM audit_logs ORDER BY seq DESC LIMIT 1"),
		"attendance_marked success");
	room_close(&r);
}

static void
one_of_three_inputs(void **state)
{
	struct room r = room_open();
	const struct mark_in rows[] = {
		{.proof = "x"},
		{.qr_payload = "a", .claim = "b"},
		{.claim = "b", .code = "c", .event_id = r.event.id.text},
		{.code = "ABCDEF"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct marking m = {.in = rows[i]};
		expect_err(ERR_VALIDATION, mark_from(r.t, &r.student, HERE, &m));
		assert_true(error_has_fields(&m.cx));
	}
	room_close(&r);
}

static void
each_refusal_has_its_own_error(void **state)
{
	struct room r = room_open();
	struct test *other = test_open(TEST_CONF("QR_SIGNING_SECRET=another-another-another-another-another"));
	struct event later;
	struct ctx cx;

	(void)state;
	ctx_as(other, &cx, NULL);
	expect_err(ERR_INVALID_QR, mark_payload(r.t, &r.student, "not a code"));
	expect_err(ERR_INVALID_SIGNATURE,
		mark_payload(r.t, &r.student, qr_payload(&cx, r.code.session_id.text, "nonce", r.code.expires_at)));
	ctx_as(r.t, &cx, NULL); /* ours, but of no row, or not the row's nonce */
	expect_err(ERR_INVALID_QR, mark_payload(r.t, &r.student, qr_payload(&cx, r.event.id.text, "nonce", r.code.expires_at)));
	expect_err(ERR_INVALID_QR,
		mark_payload(r.t, &r.student, qr_payload(&cx, r.code.session_id.text, "nonce", r.code.expires_at)));

	struct qr_session dead = make_code(r.t, &r.admin, &r.event);
	revoke_code(r.t, &r.admin, &dead);
	expect_err(ERR_QR_REVOKED, mark_payload(r.t, &r.student, dead.qr_payload));

	struct event_new in = event_plain(r.t, "Over soon");
	in.ends_at = TEST_START_US + 30 * SECONDS_US;
	struct event over = make_event(r.t, &r.admin, in);
	struct qr_session late = make_code(r.t, &r.admin, &over);
	later = make_event(r.t, &r.admin, event_plain(r.t, "Deleted"));
	struct qr_session gone = make_code(r.t, &r.admin, &later);
	delete_event(r.t, &r.admin, &later);
	expect_err(ERR_EVENT_NOT_FOUND, mark_payload(r.t, &r.student, gone.qr_payload));
	test_advance(r.t, 30 * SECONDS_US);
	expect_err(ERR_EVENT_NOT_OPEN, mark_payload(r.t, &r.student, late.qr_payload));

	expect_err(OK, mark_payload(r.t, &r.student, r.code.qr_payload));
	struct marking again = {.in = {.qr_payload = r.code.qr_payload}};
	expect_err(ERR_DUPLICATE_ATTENDANCE, mark_from(r.t, &r.student, HERE, &again));
	assert_string_equal(again.cx.error.notes->name, "attendance_id");
	assert_string_equal(again.cx.error.notes->text, sql_text(r.t, "SELECT id FROM attendance_records"));
	assert_string_equal(again.cx.error.notes->next->name, "marked_at");
	assert_string_equal(again.cx.error.notes->next->text, "2026-08-01T12:00:30Z");
	sql_run(r.t, "DELETE FROM attendance_records");
	expect_err(ERR_NONCE_REUSED, mark_payload(r.t, &r.student, r.code.qr_payload));

	struct test_user second = test_user(r.t, ROLE_STUDENT);
	test_advance(r.t, 30 * SECONDS_US - 1);
	expect_err(OK, mark_payload(r.t, &second, r.code.qr_payload));
	struct test_user third = test_user(r.t, ROLE_STUDENT);
	test_advance(r.t, 1);
	expect_err(ERR_QR_EXPIRED, mark_payload(r.t, &third, r.code.qr_payload));
	assert_int_equal(ROWS(r, "attendance_records"), 1);
	assert_int_equal(ROWS(r, "verification_logs"), 2);
	test_close(other);
	room_close(&r);
}

static void
a_roster_decides(void **state)
{
	struct room r = room_open();
	struct test_user stranger = test_user(r.t, ROLE_STUDENT);
	const char *course = "01890a5d-ac96-774b-bcce-b302099a8057";
	struct event_new in = event_plain(r.t, "Seminar");

	(void)state;
	sql_run(r.t, arena_printf(&r.t->arena,
			     "INSERT INTO courses VALUES ('%s', 'S1', 'Seminar', '%s', 0, '2026-01-01 00:00:00.000000')", course,
			     r.admin.id.text));
	uuid_canonical(course, &in.course_id);
	struct event e = make_event(r.t, &r.admin, in);
	struct qr_session code = make_code(r.t, &r.admin, &e);
	expect_err(OK, mark_payload(r.t, &r.admin, code.qr_payload)); /* no roster yet: everybody */
	sql_run(r.t, arena_printf(&r.t->arena, "INSERT INTO enrollments VALUES ('%s', '%s', '2026-01-01 00:00:00.000000')",
			     course, r.student.id.text));
	expect_err(ERR_NOT_ENROLLED, mark_payload(r.t, &stranger, code.qr_payload));
	expect_err(OK, mark_payload(r.t, &r.student, code.qr_payload));
	room_close(&r);
}

/* --- many ------------------------------------------------------------------------------------------------------------------ */

static void
a_room_shares_one_code(void **state)
{
	struct room r = room_open();

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct test_user u = test_user(r.t, ROLE_STUDENT);
		expect_err(OK, mark_payload(r.t, &u, r.code.qr_payload));
	}
	assert_int_equal(ROWS(r, "attendance_records"), 300);
	assert_int_equal(count(r.t, "SELECT COUNT(DISTINCT user_id) FROM attendance_records"), 300);
	assert_int_equal(ROWS(r, "used_nonces"), 300);
	room_close(&r);
}

enum { THREADS = 64 };
struct racer {
	struct test *t;
	const struct test_user *user;
	const char *payload;
	pthread_barrier_t *start;
	enum err got;
};

static void *
race(void *arg)
{
	struct racer *r = arg;
	struct marking m = {.in = {.qr_payload = r->payload}};
	struct arena a;

	arena_init(&a);
	ctx_init(&m.cx, &a, &r->t->srv);
	m.cx.actor = &r->user->actor;
	m.cx.client = HERE;
	pthread_barrier_wait(r->start);
	r->got = db_write(&m.cx, mark_run, &m);
	arena_release(&a);
	return NULL;
}

/* How many got what; threads[i] marks as users[i]. */
static void
race_all(struct test *t, const struct test_user *users, bool same, const char *payload, int ret[ERR__MAX])
{
	struct racer racers[THREADS];
	pthread_t threads[THREADS];
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){t, &users[same ? 0 : i], payload, &start, OK};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	memset(ret, 0, sizeof(int) * ERR__MAX);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		ret[racers[i].got]++;
	}
	pthread_barrier_destroy(&start);
}

static void
one_student_marks_once(void **state)
{
	struct room r = room_open();
	int got[ERR__MAX];

	(void)state;
	race_all(r.t, &r.student, true, r.code.qr_payload, got);
	assert_int_equal(got[OK], 1);
	assert_int_equal(got[ERR_DUPLICATE_ATTENDANCE], THREADS - 1);
	assert_int_equal(ROWS(r, "attendance_records"), 1);
	assert_int_equal(ROWS(r, "used_nonces"), 1);
	assert_int_equal(ROWS(r, "verification_logs"), 1);
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_marked'"), 1);
	room_close(&r);
}

static void
places_are_never_given_twice(void **state)
{
	enum { PLACES = 5 };
	struct room r = room_open();
	struct test_user users[THREADS];
	struct event_new in = event_plain(r.t, "Laboratory");
	int got[ERR__MAX];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		users[i] = test_user(r.t, ROLE_STUDENT);
	in.capacity = PLACES;
	struct event e = make_event(r.t, &r.admin, in);
	struct qr_session code = make_code(r.t, &r.admin, &e);
	race_all(r.t, users, false, code.qr_payload, got);
	assert_int_equal(got[OK], PLACES);
	assert_int_equal(got[ERR_EVENT_FULL], THREADS - PLACES);
	assert_int_equal(count(r.t, "SELECT taken FROM events WHERE capacity = 5"), PLACES);
	assert_int_equal(ROWS(r, "attendance_records"), PLACES);
	room_close(&r);
}

/*
 * A rival's row appears after the load: on PostgreSQL another node's, here a trigger's.  The answer is what a second look tells,
 * and nothing of the attempt stays.
 */
static void
a_rival_between_load_and_write(void **state)
{
	struct room r = room_open();
	struct event_new in = event_plain(r.t, "Rivals");
	int64_t audits;

	(void)state;
	in.capacity = 5;
	struct event e = make_event(r.t, &r.admin, in);
	struct qr_session code = make_code(r.t, &r.admin, &e);
	audits = ROWS(r, "audit_logs");
	const char *row = arena_printf(&r.t->arena,
		"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at) VALUES"
		" ('01890a5d-ac96-774b-bcce-b302099a8057', '%s', '%s', 'present', 'present', 'qr', '2026-08-01 11:59:00.000000',"
		" '2026-08-01 11:59:00.000000');",
		e.id.text, r.student.id.text);
	if (r.t->pg_url)
		sql_run(r.t, arena_printf(&r.t->arena,
				     "CREATE FUNCTION rival() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s RETURN NEW; END $$;"
				     "CREATE TRIGGER rival BEFORE UPDATE OF taken ON events FOR EACH ROW EXECUTE FUNCTION rival()",
				     row));
	else
		sql_run(r.t, arena_printf(&r.t->arena, "CREATE TRIGGER rival BEFORE UPDATE OF taken ON events BEGIN %s END", row));
	struct marking m = {.in = {.qr_payload = code.qr_payload}};
	expect_err(ERR_DUPLICATE_ATTENDANCE, mark_from(r.t, &r.student, HERE, &m));
	assert_string_equal(m.cx.error.notes->text, "01890a5d-ac96-774b-bcce-b302099a8057");
	assert_int_equal(ROWS(r, "used_nonces"), 0);
	assert_int_equal(ROWS(r, "verification_logs"), 0);
	assert_int_equal(ROWS(r, "audit_logs"), audits);
	assert_int_equal(count(r.t, "SELECT taken FROM events WHERE capacity = 5"), 0);
	sql_run(r.t, r.t->pg_url ? "DROP TRIGGER rival ON events" : "DROP TRIGGER rival");
	expect_err(OK, mark_payload(r.t, &r.student, code.qr_payload));
	room_close(&r);
}

/* --- typed codes ----------------------------------------------------------------------------------------------------------- */

/* One that is surely wrong: the first symbol is another. */
static const char *
wrong_of(struct test *t, const char *code)
{
	return arena_printf(&t->arena, "%c%s", code[0] == 'Z' ? 'Y' : 'Z', code + 1);
}

static void
a_typed_code_marks(void **state)
{
	struct room r = room_open();
	struct event other = make_event(r.t, &r.admin, event_plain(r.t, "Other"));

	(void)state;
	expect_err(ERR_INVALID_QR, mark_typed(r.t, &r.student, &r.event, wrong_of(r.t, r.code.code)));
	expect_err(ERR_INVALID_QR, mark_typed(r.t, &r.student, &other, r.code.code));
	expect_err(ERR_INVALID_QR, mark_typed(r.t, &r.student, &r.event, "short"));
	expect_err(OK, mark_typed(r.t, &r.student, &r.event, r.code.code));
	assert_string_equal(sql_text(r.t, "SELECT method FROM attendance_records"), "code");
	room_close(&r);
}

/* People type O for 0, and I or L for 1; codes are made until they have both digits. */
static void
look_alikes_are_the_same(void **state)
{
	struct room r = room_open();
	struct qr_session code;
	int tries = 0;

	(void)state;
	do
		code = make_code(r.t, &r.admin, &r.event);
	while ((!strchr(code.code, '0') || !strchr(code.code, '1')) && ++tries < 2000);
	assert_true(tries < 2000);
	for (int i = 0; i < 2; i++) {
		struct test_user u = test_user(r.t, ROLE_STUDENT);
		char typed[16] = "", *out = typed;
		for (const char *p = code.code; *p; p++) {
			if (p == code.code + 3)
				*out++ = i ? '-' : ' ';
			char c = *p == '0' ? "Oo"[i] : *p == '1' ? "IL"[i] : *p;
			*out++ = (char)(i && c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		*out = 0;
		expect_err(OK, mark_typed(r.t, &u, &r.event, typed));
	}
	room_close(&r);
}

static void
a_typed_code_dies_with_its_picture(void **state)
{
	struct room r = room_open();
	struct qr_session dead = make_code(r.t, &r.admin, &r.event);

	(void)state;
	revoke_code(r.t, &r.admin, &dead);
	expect_err(ERR_QR_REVOKED, mark_typed(r.t, &r.student, &r.event, dead.code));
	test_advance(r.t, MINUTES_US);
	expect_err(ERR_QR_EXPIRED, mark_typed(r.t, &r.student, &r.event, r.code.code));
	test_advance(r.t, 10 * MINUTES_US);
	expect_err(ERR_INVALID_QR, mark_typed(r.t, &r.student, &r.event, r.code.code));
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_writes_four_rows),
		cmocka_unit_test(one_of_three_inputs),
		cmocka_unit_test(each_refusal_has_its_own_error),
		cmocka_unit_test(a_roster_decides),
		cmocka_unit_test(a_room_shares_one_code),
		cmocka_unit_test(one_student_marks_once),
		cmocka_unit_test(places_are_never_given_twice),
		cmocka_unit_test(a_rival_between_load_and_write),
		cmocka_unit_test(a_typed_code_marks),
		cmocka_unit_test(look_alikes_are_the_same),
		cmocka_unit_test(a_typed_code_dies_with_its_picture),
	};

	return cmocka_run_group_tests_name("attendance: marks", tests, NULL, NULL);
}
