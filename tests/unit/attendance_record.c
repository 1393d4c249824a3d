/* Events, rolls, a student's own records, counts, statistics, CSV, and what is forgotten. */
#include "attendance_env.h"

#include "attendance/count.h"

/* Without the room's own event. */
static struct room
empty_open_with(const char *const *overrides)
{
	struct room r = {.t = test_open(overrides)};

	r.admin = test_user(r.t, ROLE_ADMIN);
	r.student = test_user(r.t, ROLE_STUDENT);
	return r;
}

static struct room
empty_open(void)
{
	return empty_open_with(NULL);
}

static struct event
event_at(struct room *r, const char *title, int64_t scheduled_us)
{
	struct event_new in = event_plain(r->t, title);

	in.scheduled_at = scheduled_us;
	return make_event(r->t, &r->admin, in);
}

static void
mark_by(struct room *r, const struct event *e, const struct test_user *u)
{
	struct qr_session code = make_code(r->t, &r->admin, e);

	expect_err(OK, mark_payload(r->t, u, code.qr_payload));
}

/* --- events ---------------------------------------------------------------------------------------------------------------- */

struct listing {
	int64_t from_us, to_us, limit;
	bool all;
	const char *id;
	struct list list;
	struct event event;
};

static enum err
list_run(struct ctx *cx, void *arg)
{
	struct listing *l = arg;

	return event_list(cx, l->from_us, l->to_us, l->all, l->limit, &l->list);
}

static enum err
get_run(struct ctx *cx, void *arg)
{
	struct listing *l = arg;

	return event_get(cx, l->id, &l->event);
}

static struct listing
events_of(struct room *r, const struct test_user *who, bool all)
{
	struct listing l = {.from_us = 0, .to_us = TEST_START_US + 100 * DAYS_US, .limit = LIST_MAX, .all = all};
	struct ctx cx;

	ctx_as(r->t, &cx, who);
	must(&cx, db_read(&cx, list_run, &l));
	return l;
}

static enum err
get_event(struct room *r, const struct test_user *who, const char *id, struct event *ret)
{
	struct listing l = {.id = id};
	struct ctx cx;

	ctx_as(r->t, &cx, who);
	enum err e = db_read(&cx, get_run, &l);
	*ret = l.event;
	return e;
}

static void
lists_are_by_time_and_kind(void **state)
{
	struct room r = empty_open();
	struct event late = event_at(&r, "Late", TEST_START_US + HOURS_US);
	struct event early = event_at(&r, "Early", TEST_START_US - HOURS_US);
	struct event session = event_at(&r, "Session", TEST_START_US);
	struct event gone = event_at(&r, "Gone", TEST_START_US), found;

	(void)state;
	sql_run(r.t, arena_printf(&r.t->arena, "UPDATE events SET kind = 'session' WHERE id = '%s'", session.id.text));
	delete_event(r.t, &r.admin, &gone);
	struct listing l = events_of(&r, &r.student, false);
	assert_int_equal(l.list.count, 2);
	const struct event *rows = l.list.items;
	assert_string_equal(rows[0].id.text, early.id.text);
	assert_string_equal(rows[1].id.text, late.id.text);
	assert_int_equal(events_of(&r, &r.admin, true).list.count, 3);
	expect_err(OK, get_event(&r, &r.student, late.id.text, &found));
	expect_err(OK, get_event(&r, &r.admin, session.id.text, &found));
	expect_err(ERR_NOT_FOUND, get_event(&r, &r.student, session.id.text, &found));
	expect_err(ERR_NOT_FOUND, get_event(&r, &r.admin, gone.id.text, &found));
	test_close(r.t);
}

static enum err
counts_run(struct ctx *cx, void *arg)
{
	return event_counts_write(cx, arg);
}

static void
count_job(struct test *t)
{
	struct ctx cx;
	int64_t rows;

	do {
		ctx_as(t, &cx, NULL);
		must(&cx, db_write_bulk(&cx, counts_run, &rows));
	} while (rows == BULK_TURN_ROWS);
}

static void
expect_count(struct room *r, const struct event *e, int64_t want, bool attended, int line)
{
	struct listing l = events_of(r, &r->student, false);
	const struct event *rows = l.list.items;
	struct event one;

	expect_err(OK, get_event(r, &r->student, e->id.text, &one));
	for (size_t i = 0; i < l.list.count; i++)
		if (str_eq(rows[i].id.text, e->id.text) &&
			(rows[i].attendance_count != want || rows[i].user_attended != attended))
			fail_msg("line %d: listed %lld", line, (long long)rows[i].attendance_count);
	if (one.attendance_count != want || one.user_attended != attended)
		fail_msg("line %d: %lld", line, (long long)one.attendance_count);
}

static enum err
recount_run(struct ctx *cx, void *arg)
{
	return event_recount(cx, arg);
}

/* Right before, between and after the job's turns, and after a change by hand. */
static void
counts_are_right_at_once(void **state)
{
	struct room r = empty_open();
	struct event e = event_at(&r, "Counted", TEST_START_US), other = event_at(&r, "Other", TEST_START_US);
	struct test_user users[4];
	struct ctx cx;

	(void)state;
	for (int i = 0; i < 4; i++)
		users[i] = test_user(r.t, ROLE_STUDENT);
	expect_count(&r, &e, 0, false, __LINE__);
	mark_by(&r, &e, &users[0]);
	mark_by(&r, &other, &users[0]);
	expect_count(&r, &e, 1, false, __LINE__);
	test_advance(r.t, MINUTES_US);
	mark_by(&r, &e, &r.student);
	expect_count(&r, &e, 2, true, __LINE__);
	count_job(r.t);
	assert_int_equal(count(r.t, "SELECT SUM(records) FROM event_counts"), 2); /* the last mark is younger than the position */
	expect_count(&r, &e, 2, true, __LINE__);
	expect_count(&r, &other, 1, false, __LINE__);
	mark_by(&r, &e, &users[1]);
	test_advance(r.t, MINUTES_US);
	count_job(r.t);
	count_job(r.t);
	assert_int_equal(count(r.t, "SELECT SUM(records) FROM event_counts"), 4);
	expect_count(&r, &e, 3, true, __LINE__);

	sql_run(r.t, arena_printf(&r.t->arena, "UPDATE attendance_records SET status = 'rejected' WHERE user_id = '%s'",
			     users[1].id.text));
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_write(&cx, recount_run, e.id.text));
	expect_count(&r, &e, 2, true, __LINE__);
	mark_by(&r, &e, &users[2]);
	expect_count(&r, &e, 3, true, __LINE__);
	test_advance(r.t, MINUTES_US);
	count_job(r.t);
	expect_count(&r, &e, 3, true, __LINE__);
	test_close(r.t);
}

static enum err
stats_run(struct ctx *cx, void *arg)
{
	return stats_get(cx, arg);
}

static struct stats
stats_of(struct room *r)
{
	struct stats s;
	struct ctx cx;

	ctx_as(r->t, &cx, &r->admin);
	must(&cx, db_read(&cx, stats_run, &s));
	return s;
}

/* More records than one turn takes: the position stops between and goes on. */
static void
counting_goes_in_turns(void **state)
{
	enum { RECORDS = 4500 };
	struct room r = empty_open();
	struct event e = event_at(&r, "Big", TEST_START_US);
	struct ctx cx;
	int64_t rows;

	(void)state;
	sql_run(r.t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4500)"
		     " INSERT INTO users SELECT uuid(printf('01890000-0000-7000-8000-%012d', i)), 'u' || i || '@example.org', 'U', "
		     "'student', 1,"
		     " NULL, NULL, NULL, 0, 0, 0, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000' FROM n");
	sql_run(r.t, arena_printf(&r.t->arena,
			     "INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, "
			     "recorded_at)"
			     " SELECT id, '%s', id, 'present', 'present', 'import', created_at, created_at FROM users WHERE "
			     "full_name = 'U'",
			     e.id.text));
	expect_count(&r, &e, RECORDS, false, __LINE__);
	ctx_as(r.t, &cx, NULL);
	must(&cx, db_write_bulk(&cx, counts_run, &rows));
	assert_int_equal(rows, BULK_TURN_ROWS);
	assert_int_equal(count(r.t, "SELECT records FROM event_counts"), 2000);
	expect_count(&r, &e, RECORDS, false, __LINE__);
	count_job(r.t);
	assert_int_equal(count(r.t, "SELECT records FROM event_counts"), RECORDS);
	expect_count(&r, &e, RECORDS, false, __LINE__);

	/* Records below the position of an event that was never counted: an import of the past. */
	struct event imported = event_at(&r, "Imported", TEST_START_US - HOURS_US);
	sql_run(r.t,
		arena_printf(&r.t->arena,
			"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, "
			"recorded_at)"
			" SELECT uuid(replace(CAST(id AS TEXT), '01890000', '01880000')), '%s', id, 'late', 'late', 'import', created_at, created_at"
			" FROM users WHERE full_name = 'U' LIMIT 10",
			imported.id.text));
	expect_count(&r, &imported, 10, false, __LINE__);
	struct stats s = stats_of(&r);
	assert_int_equal(s.attendance.total_records, RECORDS + 10);
	assert_true(s.attendance.average_attendance_rate > 50.0); /* 4,510 of 2 × 4,501 */
	ctx_as(r.t, &cx, NULL);
	must(&cx, db_write(&cx, recount_run, imported.id.text));
	expect_count(&r, &imported, 10, false, __LINE__);
	test_close(r.t);
}

struct changing {
	const char *id;
	struct event_new in;
	struct event out;
};

static enum err
change_run(struct ctx *cx, void *arg)
{
	struct changing *c = arg;

	return event_change(cx, c->id, &c->in, &c->out);
}

static void
events_are_checked(void **state)
{
	struct room r = empty_open();
	struct event_making m = {.in = event_plain(r.t, "Bad")};
	struct ctx cx;

	(void)state;
	const struct event_new good = m.in;
	for (int i = 0; i < 7; i++) {
		m.in = good;
		m.in.ends_at = i == 0 ? m.in.scheduled_at : TIME_NONE;
		m.in.latitude = i == 1 ? 47.0 : NAN;
		m.in.longitude = i == 2 ? 8.0 : NAN;
		m.in.policy = i == 3 ? "[]" : i == 4 ? "{\"claim\":\"reject\"}" : i == 5 ? "{\"layer\":\"off\"}" : NULL;
		if (i == 6)
			uuid_canonical("01890a5d-ac96-774b-bcce-b302099a8057", &m.in.course_id);
		ctx_as(r.t, &cx, &r.admin);
		expect_err(ERR_VALIDATION, db_write(&cx, event_run, &m));
	}
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM events"), 0);

	struct event e = make_event(r.t, &r.admin, good);
	struct changing c = {.id = e.id.text};
	field_clear(&event_change_schema, &c.in);
	c.in.notes = "Room 5";
	c.in.capacity = 3;
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_write(&cx, change_run, &c));
	assert_string_equal(c.out.title, "Bad");
	assert_string_equal(c.out.notes, "Room 5");
	assert_int_equal(c.out.capacity, 3);
	c.in.ends_at = e.scheduled_at - 1;
	expect_err(ERR_VALIDATION, db_write(&cx, change_run, &c));
	test_close(r.t);
}

/* A capacity that comes after the first marks counts those too. */
static void
capacity_may_come_later(void **state)
{
	struct room r = empty_open();
	struct event e = event_at(&r, "Filling", TEST_START_US);
	struct test_user second = test_user(r.t, ROLE_STUDENT);
	struct changing c = {.id = e.id.text};
	struct ctx cx;

	(void)state;
	mark_by(&r, &e, &r.student);
	field_clear(&event_change_schema, &c.in);
	c.in.capacity = 1;
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_write(&cx, change_run, &c));
	struct qr_session code = make_code(r.t, &r.admin, &e);
	expect_err(ERR_EVENT_FULL, mark_payload(r.t, &second, code.qr_payload));
	test_close(r.t);
}

/* --- own records ----------------------------------------------------------------------------------------------------------- */

static enum err
own_run(struct ctx *cx, void *arg)
{
	return record_list_own(cx, LIST_MAX, arg);
}

static void
own_rate_counts_what_could_be_attended(void **state)
{
	struct room r = empty_open();
	struct own_records own;
	struct ctx cx;

	(void)state;
	ctx_as(r.t, &cx, &r.student);
	must(&cx, db_read(&cx, own_run, &own));
	assert_int_equal(own.total, 0);
	assert_true(own.attendance_rate == 0.0);

	struct event first = event_at(&r, "First", TEST_START_US - DAYS_US), future;
	event_at(&r, "Second", TEST_START_US - HOURS_US);
	event_at(&r, "Third", TEST_START_US - HOURS_US);
	future = event_at(&r, "To come", TEST_START_US + HOURS_US);
	struct event before = event_at(&r, "Before the account", TEST_START_US - 9 * DAYS_US);
	sql_run(r.t, arena_printf(&r.t->arena, "UPDATE events SET created_at = scheduled_at WHERE id = '%s'", before.id.text));
	struct event gone = event_at(&r, "Deleted", TEST_START_US - HOURS_US);
	mark_by(&r, &first, &r.student);
	mark_by(&r, &gone, &r.student);
	delete_event(r.t, &r.admin, &gone);

	ctx_as(r.t, &cx, &r.student);
	must(&cx, db_read(&cx, own_run, &own));
	assert_int_equal(own.attended, 1);
	assert_int_equal(own.total, 3);
	assert_true(own.attendance_rate == 33.3);
	assert_int_equal(own.records.count, 1);
	const struct own_record *rows = own.records.items;
	assert_string_equal(rows[0].event.title, "First");

	mark_by(&r, &future, &r.student); /* attended before its time is over: never above 100 % */
	must(&cx, db_read(&cx, own_run, &own));
	assert_int_equal(own.attended, 2);
	assert_int_equal(own.total, 4);
	assert_true(own.attendance_rate == 50.0);
	test_close(r.t);
}

/* --- rolls and CSV --------------------------------------------------------------------------------------------------------- */

struct rolling {
	const char *id;
	struct roll roll;
};

static enum err
roll_run(struct ctx *cx, void *arg)
{
	struct rolling *q = arg;

	return record_list_event(cx, q->id, LIST_MAX, &q->roll);
}

static enum err
roll_all(struct ctx *cx, void *arg)
{
	struct rolling *q = arg;

	return record_list_all(cx, q->id, &q->roll);
}

/* So many records more. */
static void
records(struct test *t, const struct event *e, int from, int to)
{
	sql_run(t, arena_printf(&t->arena,
			   "WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
			   " INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders,"
			   " created_at, updated_at) SELECT uuid(printf('01890a5d-ac96-774b-bcce-%%012d', i)),"
			   " printf('s%%d@many.example', i), 'Some One', 'student', 1, 1, 1, 1, '2026-01-01 00:00:00.000000',"
			   " '2026-01-01 00:00:00.000000' FROM n",
			   from, to));
	sql_run(t, arena_printf(&t->arena,
			   "INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at,"
			   " recorded_at) SELECT id, '%s', id, 'present', 'present', 'import', created_at, created_at FROM users"
			   " WHERE id >= uuid(printf('01890a5d-ac96-774b-bcce-%%012d', %d)) AND email LIKE '%%many.example'",
			   e->id.text, from));
}

/* Each once, in one order; and what is too much for a file is said, not cut. */
static void
a_file_has_all_or_is_refused(void **state)
{
	enum { PAGES = 2 * LIST_MAX };
	struct room r = empty_open();
	struct event e = event_at(&r, "Roll", TEST_START_US);
	struct rolling q = {.id = e.id.text};
	struct ctx cx;

	(void)state;
	records(r.t, &e, 1, PAGES);
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_read(&cx, roll_all, &q));
	assert_int_equal(q.roll.records.count, PAGES);
	const struct roll_record *rows = q.roll.records.items;
	for (size_t i = 1; i < PAGES; i++)
		assert_true(strcmp(rows[i - 1].attendance_id.text, rows[i].attendance_id.text) < 0);
	records(r.t, &e, PAGES + 1, ROLL_FILE_MAX);
	must(&cx, db_read(&cx, roll_all, &q));
	assert_int_equal(q.roll.records.count, ROLL_FILE_MAX);
	records(r.t, &e, ROLL_FILE_MAX + 1, ROLL_FILE_MAX + 1);
	assert_int_equal(db_read(&cx, roll_all, &q), ERR_UNAVAILABLE);
	assert_string_equal(cx.error.message, "This roll has over 50000 records, too many for a file.");
	test_close(r.t);
}

static void
csv_is_safe_for_spreadsheets(void **state)
{
	static const struct {
		const char *name, *cell;
	} rows[] = {{"Ada Lovelace", ",Ada Lovelace,"}, {"=HYPERLINK(\"x\")", ",\"'=HYPERLINK(\"\"x\"\")\","}, {"+1", ",'+1,"},
		{"-2", ",'-2,"}, {"@SUM(A1)", ",'@SUM(A1),"}, {"\tTab", ",'\tTab,"}, {"\rReturn", ",\"'\rReturn\","},
		{"Last, First", ",\"Last, First\","}, {"Zo\xc3\xab =1", ",Zo\xc3\xab =1,"}};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct room r = empty_open();
	struct event e = event_at(&r, "Roll", TEST_START_US);
	struct rolling q = {.id = e.id.text};
	struct ctx cx;
	struct span csv;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		struct test_user u =
			test_user_named(r.t, ROLE_STUDENT, arena_printf(&r.t->arena, "s%zu@example.org", i), rows[i].name);
		mark_by(&r, &e, &u);
	}
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_read(&cx, roll_run, &q));
	assert_int_equal(q.roll.total, ROWS);
	const struct sheet sheet = record_sheet(&cx, &q.roll);
	must(&cx, sheet_csv(&cx, &sheet, &csv));
	const char *text = arena_strndup(&r.t->arena, (const char *)csv.p, csv.n);
	const char *head = "attendance_id,user_id,full_name,email,status,method,marked_at,reason,marked_by\r\n";
	assert_memory_equal(text, head, strlen(head));
	for (size_t i = 0; i < ROWS; i++)
		if (!strstr(text, rows[i].cell))
			fail_msg("%s is not in %s", rows[i].cell, text);
	assert_non_null(strstr(text, ",present,qr,2026-08-01T12:00:00Z,,\r\n"));
	test_close(r.t);
}

/* --- statistics ------------------------------------------------------------------------------------------------------------ */

static enum err
expected_run(struct ctx *cx, void *arg)
{
	return event_expected_write(cx, arg);
}

static void
statistics_follow_the_contract(void **state)
{
	struct room r = empty_open();
	struct stats s = stats_of(&r);
	struct ctx cx;
	int64_t rows;

	(void)state;
	assert_int_equal(s.users.total, 2);
	assert_int_equal(s.users.admins, 1);
	assert_int_equal(s.users.students, 1);
	assert_true(s.attendance.average_attendance_rate == 0.0);

	struct test_user second = test_user(r.t, ROLE_STUDENT), third = test_user(r.t, ROLE_STUDENT);
	(void)third;
	struct event past = event_at(&r, "Past", TEST_START_US - HOURS_US);
	event_at(&r, "Empty", TEST_START_US - HOURS_US);
	struct event next = event_at(&r, "Next", TEST_START_US + HOURS_US);
	mark_by(&r, &past, &r.student);
	mark_by(&r, &past, &second);
	mark_by(&r, &next, &r.student);
	s = stats_of(&r);
	assert_int_equal(s.events.total, 2 + 1);
	assert_int_equal(s.events.upcoming, 1);
	assert_int_equal(s.attendance.total_records, 3);
	assert_true(s.attendance.average_attendance_rate == 33.3); /* 2 of 2 × 3 */

	/* Once written, later students do not change what was expected. */
	ctx_as(r.t, &cx, NULL);
	must(&cx, db_write_bulk(&cx, expected_run, &rows));
	assert_int_equal(rows, 2);
	must(&cx, db_write_bulk(&cx, expected_run, &rows));
	assert_int_equal(rows, 0);
	test_user(r.t, ROLE_STUDENT);
	s = stats_of(&r);
	assert_int_equal(s.users.students, 4);
	assert_true(s.attendance.average_attendance_rate == 33.3);

	test_advance(r.t, MINUTES_US);
	count_job(r.t);
	s = stats_of(&r);
	assert_int_equal(s.attendance.total_records, 3);
	assert_true(s.attendance.average_attendance_rate == 33.3);
	test_close(r.t);
}

static void
statistics_are_kept_but_not_over_ten_seconds(void **state)
{
	struct room r = empty_open();

	(void)state;
	r.t->srv.stats = stats_cache_open();
	assert_int_equal(stats_of(&r).users.students, 1);
	test_user(r.t, ROLE_STUDENT);
	assert_int_equal(stats_of(&r).users.students, 1);
	test_advance(r.t, 10 * SECONDS_US);
	assert_int_equal(stats_of(&r).users.students, 2);
	stats_cache_close(r.t->srv.stats);
	r.t->srv.stats = NULL;
	test_close(r.t);
}

/* --- forgetting ------------------------------------------------------------------------------------------------------------ */

static enum err
nonce_run(struct ctx *cx, void *arg)
{
	return nonce_expire(cx, arg);
}

/* Two runs: the second goes by the time of the first. */
static int64_t
expire(struct test *t)
{
	struct ctx cx;
	int64_t first, second;

	ctx_as(t, &cx, NULL);
	must(&cx, db_write_bulk(&cx, nonce_run, &first));
	assert_int_equal(first, 0);
	must(&cx, db_write_bulk(&cx, nonce_run, &second));
	return second;
}

static void
nonces_are_kept_while_they_matter(void **state)
{
	struct room r = empty_open();
	struct event e = event_at(&r, "Nonces", TEST_START_US);
	struct claim_out claim;

	(void)state;
	struct qr_session code = make_code(r.t, &r.admin, &e);
	expect_err(OK, claim_payload(r.t, code.qr_payload, NULL, &claim));
	expect_err(OK, mark_claim(r.t, &r.student, claim.claim, NULL));
	test_advance(r.t, HOURS_US);
	assert_int_equal(expire(r.t), 0);
	test_advance(r.t, SECONDS_US);
	assert_int_equal(expire(r.t), 1);
	assert_int_equal(count(r.t, "SELECT (SELECT COUNT(*) FROM used_nonces) + (SELECT COUNT(*) FROM spent_claims)"), 0);
	test_close(r.t);

	/* A claim that lives two hours keeps its nonce for longer than that. */
	r = empty_open_with(TEST_CONF("CLAIM_EXPIRE_MINUTES=120"));
	e = event_at(&r, "Long claims", TEST_START_US);
	mark_by(&r, &e, &r.student);
	test_advance(r.t, 2 * HOURS_US);
	assert_int_equal(expire(r.t), 0);
	test_advance(r.t, 3 * MINUTES_US);
	assert_int_equal(expire(r.t), 1);
	test_close(r.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_by_time_and_kind),
		cmocka_unit_test(counts_are_right_at_once),
		cmocka_unit_test(counting_goes_in_turns),
		cmocka_unit_test(events_are_checked),
		cmocka_unit_test(capacity_may_come_later),
		cmocka_unit_test(own_rate_counts_what_could_be_attended),
		cmocka_unit_test(a_file_has_all_or_is_refused),
		cmocka_unit_test(csv_is_safe_for_spreadsheets),
		cmocka_unit_test(statistics_follow_the_contract),
		cmocka_unit_test(statistics_are_kept_but_not_over_ten_seconds),
		cmocka_unit_test(nonces_are_kept_while_they_matter),
	};

	return cmocka_run_group_tests_name("attendance: events and records", tests, NULL, NULL);
}
