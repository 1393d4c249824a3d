/* Place and network of marks, through the whole pipeline: what is flagged, and what is kept of where somebody was. */
#include "lesson_env.h"

#define INSIDE {.latitude = 47.3770, .longitude = 8.5418, .accuracy = 12}
static const struct mark_in inside = INSIDE;

/* Some 120 km away. */
#define BERN ", latitude = 46.9480, longitude = 7.4474, geofence_radius_m = 200"
static const struct mark_in in_bern = {.latitude = 46.9481, .longitude = 7.4475, .accuracy = 12};

static void
places_by_policy(void **state)
{
	static const struct {
		const char *name;
		struct mark_in in;
		const char *policy;
		enum err want;
		const char *record, *detail;
	} rows[] = {
		{"inside", INSIDE, "flag", OK, "present -", "Inside; position good to 20 m."},
		{"outside", {.latitude = 47.3800, .longitude = 8.5417, .accuracy = 12}, "flag", OK, "flagged geofence",
			"Outside; position good to 20 m."},
		{"missing", {.latitude = NAN, .longitude = NAN}, "flag", OK, "flagged geofence", "No position was told."},
		{"null island", {.latitude = 0, .longitude = 0}, "flag", OK, "flagged geofence", "No position was told."},
		{"inside, strict", INSIDE, "reject", OK, "present -", "Inside; position good to 20 m."},
		{"outside, strict", {.latitude = 47.3800, .longitude = 8.5417}, "reject", ERR_OUTSIDE_GEOFENCE, "", NULL},
		{"missing, strict", {.latitude = NAN, .longitude = NAN}, "reject", ERR_OUTSIDE_GEOFENCE, "", NULL},
		{"outside, off", {.latitude = 47.3800, .longitude = 8.5417}, "off", OK, "present -", "no such layer"},
	};
	struct room r = room_open();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test_user u = test_user(r.t, ROLE_STUDENT);
		struct lesson l = lesson(&r, TEXT(r.t, FENCE ", policy = '{\"geofence\":\"%s\"}'", rows[i].policy));
		struct marking m = mark_in_lesson(&r, &u, &l, rows[i].in);
		if (m.cx.error.code != rows[i].want || !str_eq(record_of(&r, &u, &l), rows[i].record))
			fail_msg("%s: %s", rows[i].name, record_of(&r, &u, &l));
		if (rows[i].detail)
			assert_string_equal(detail_of(&r, &u, &l, "geofence"), rows[i].detail);
	}
	room_close(&r);
}

/* Inside or outside, metres, and a word for the accuracy; nowhere the position itself. */
static void
no_position_is_kept(void **state)
{
	struct room r = room_open();
	struct lesson l = lesson(&r, FENCE);
	const struct mark_in in = {.latitude = 47.38123, .longitude = 8.54321, .accuracy = 17.25};

	(void)state;
	mark_in_lesson(&r, &r.student, &l, in);
	assert_string_equal(record_of(&r, &r.student, &l), "flagged geofence");
	assert_non_null(strstr(sql_text(r.t, "SELECT layers FROM verification_logs"), "\"score\":495"));
	assert_int_equal(ROWS(r, "verification_logs WHERE layers LIKE '%7.38%' OR layers LIKE '%8.54%' OR layers LIKE '%17%'"), 0);
	assert_int_equal(ROWS(r, "audit_logs WHERE details LIKE '%7.38%' OR details LIKE '%8.54%'"), 0);
	assert_int_equal(ROWS(r, "notifications WHERE message LIKE '%7.38%' OR data LIKE '%7.38%'"), 0);
	room_close(&r);
}

static void
nobody_is_in_two_towns_at_once(void **state)
{
	struct room r = room_open();
	struct lesson zurich = lesson(&r, FENCE), bern = lesson(&r, BERN), nowhere = lesson(&r, "");

	(void)state;
	mark_in_lesson(&r, &r.student, &zurich, inside);
	assert_string_equal(record_of(&r, &r.student, &zurich), "present -");
	mark_in_lesson(&r, &r.student, &nowhere, (struct mark_in){0}); /* says nothing about where */
	test_advance(r.t, MINUTES_US / 2);
	mark_in_lesson(&r, &r.student, &bern, in_bern);
	assert_string_equal(record_of(&r, &r.student, &bern), "flagged geofence");
	assert_string_equal(
		detail_of(&r, &r.student, &bern, "geofence"), "Too far from the mark before for the time between.");

	/* Two hours later the train has come back. */
	test_advance(r.t, 2 * HOURS_US);
	struct lesson back = lesson(&r, FENCE);
	mark_in_lesson(&r, &r.student, &back, inside);
	assert_string_equal(record_of(&r, &r.student, &back), "present -");

	/* Even where outside is refused this is not: the mark before may be the wrong one. */
	struct lesson hard = lesson(&r, BERN ", policy = '{\"geofence\":\"reject\"}'");
	assert_int_equal(mark_in_lesson(&r, &r.student, &hard, in_bern).cx.error.code, OK);
	assert_string_equal(record_of(&r, &r.student, &hard), "flagged geofence");
	room_close(&r);
}

/* Records that are no marks, or that came to nothing, say nothing of where somebody was. */
static void
only_marks_say_where(void **state)
{
	static const char *const sets[] = {"method = 'manual'", "method = 'import'", "status = 'rejected'", "status = 'excused'"};

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct room r = room_open();
		struct lesson zurich = lesson(&r, FENCE), bern = lesson(&r, BERN);
		mark_in_lesson(&r, &r.student, &zurich, inside);
		sql_run(r.t, TEXT(r.t, "UPDATE attendance_records SET %s", sets[i]));
		mark_in_lesson(&r, &r.student, &bern, in_bern);
		if (!str_eq(record_of(&r, &r.student, &bern), "present -"))
			fail_msg("%s: %s", sets[i], record_of(&r, &r.student, &bern));
		room_close(&r);
	}
}

static void
networks(void **state)
{
#define HALL "'[\"192.0.2.0/25\",\"2001:db8:5::/48\",\"203.0.113.7\"]'"
	static const struct {
		const char *ip, *list, *policy;
		enum err want;
		const char *record;
	} rows[] = {
		{"192.0.2.127", HALL, "flag", OK, "present -"},
		{"192.0.2.128", HALL, "flag", OK, "flagged network"},
		{"::ffff:192.0.2.5", HALL, "flag", OK, "present -"},
		{"203.0.113.7", HALL, "flag", OK, "present -"},
		{"203.0.113.8", HALL, "flag", OK, "flagged network"},
		{"2001:db8:5:ffff::1", HALL, "flag", OK, "present -"},
		{"2001:db8:6::1", HALL, "flag", OK, "flagged network"},
		{"192.0.2.5", "'[\"::ffff:192.0.2.0/121\"]'", "flag", OK, "present -"},
		{"", HALL, "flag", OK, "flagged network"},
		{"192.0.2.128", HALL, "reject", ERR_NETWORK_NOT_ALLOWED, ""},
		{"192.0.2.127", HALL, "reject", OK, "present -"},
		{"192.0.2.128", HALL, "off", OK, "present -"},
		{"192.0.2.128", "'[]'", "flag", OK, "present -"},
		{"192.0.2.128", "NULL", "reject", OK, "present -"},
		{"192.0.2.128", "'[\"0.0.0.0/0\"]'", "flag", OK, "present -"},
		{"2001:db8::1", "'[\"0.0.0.0/0\"]'", "flag", OK, "flagged network"},
	};
	struct room r = room_open();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct client from = {.request_id = "test", .ip = rows[i].ip, .user_agent = "Phone"};
		struct test_user u = test_user(r.t, ROLE_STUDENT);
		struct lesson l = lesson(
			&r, TEXT(r.t, ", networks = %s, policy = '{\"network\":\"%s\"}'", rows[i].list, rows[i].policy));
		struct marking m = {.in = {.qr_payload = l.code.qr_payload}};
		enum err e = mark_from(r.t, &u, &from, &m);
		if (e != rows[i].want || !str_eq(record_of(&r, &u, &l), rows[i].record))
			fail_msg("row %zu, %s: %s", i, rows[i].ip, record_of(&r, &u, &l));
	}
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_by_policy),
		cmocka_unit_test(no_position_is_kept),
		cmocka_unit_test(nobody_is_in_two_towns_at_once),
		cmocka_unit_test(only_marks_say_where),
		cmocka_unit_test(networks),
	};

	return cmocka_run_group_tests_name("attendance: place and network", tests, NULL, NULL);
}
