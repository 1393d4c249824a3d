/*
 * Devices, places and networks of marks, through the whole pipeline: what is flagged, what of it is kept, and what follows for
 * other records.
 */
#include "lesson_env.h"

#include "core/keys.h"

/* --- ids ------------------------------------------------------------------------------------------------------------------- */

static void
the_first_passing_mark_binds(void **state)
{
	struct room r = room_open();
	struct lesson fenced = lesson(&r, FENCE), one = lesson(&r, ""), two = lesson(&r, ", require_device = TRUE");

	(void)state;
	/* Flagged for another reason: nothing binds. */
	assert_int_equal(mark_with(&r, &r.student, &fenced, "phone").cx.error.code, OK);
	assert_string_equal(record_of(&r, &r.student, &fenced), "flagged geofence");
	assert_int_equal(ROWS(r, "devices"), 0);

	mark_with(&r, &r.student, &one, "phone");
	assert_string_equal(record_of(&r, &r.student, &one), "present -");
	assert_string_equal(detail_of(&r, &r.student, &one, "device"), "first use");
	assert_int_equal(ROWS(r, "devices WHERE status = 'bound'"), 1);
	assert_int_equal(ROWS(r, "audit_logs WHERE action = 'device_bound' AND details = '{\"kind\":\"imei\",\"how\":\"first_use\"}'"),
		1);
	assert_int_equal(ROWS(r, "notifications WHERE title = 'Device registered'"), 1);

	/* The same one passes from now on, however it is padded; another does not, and none is enough unless one is required. */
	test_advance(r.t, MINUTES_US / 2);
	mark_with(&r, &r.student, &two, " phone ");
	assert_string_equal(record_of(&r, &r.student, &two), "present -");
	struct lesson three = lesson(&r, ""), four = lesson(&r, ", require_device = TRUE"), five = lesson(&r, "");
	mark_with(&r, &r.student, &three, "other phone");
	assert_string_equal(record_of(&r, &r.student, &three), "flagged device");
	mark_with(&r, &r.student, &four, NULL);
	assert_string_equal(record_of(&r, &r.student, &four), "flagged device");
	assert_string_equal(detail_of(&r, &r.student, &four, "device"), "No device was named.");
	mark_with(&r, &r.student, &five, "  ");
	assert_string_equal(record_of(&r, &r.student, &five), "present -");
	assert_int_equal(ROWS(r, "devices"), 1);
	room_close(&r);
}

static void
somebody_elses_device_is_flagged(void **state)
{
	struct room r = room_open();
	struct test_user friend = test_user(r.t, ROLE_STUDENT);
	struct lesson one = lesson(&r, ""), two = lesson(&r, ""), three = lesson(&r, "");

	(void)state;
	mark_with(&r, &r.student, &one, "phone");
	mark_with(&r, &friend, &two, "phone");
	assert_string_equal(record_of(&r, &friend, &two), "flagged device");
	assert_string_equal(detail_of(&r, &friend, &two, "device"), "The device is registered for another account.");
	assert_int_equal(ROWS(r, "devices"), 1);
	/* Its owner is not blamed for what the friend did elsewhere. */
	test_advance(r.t, MINUTES_US / 2);
	mark_with(&r, &r.student, &three, "phone");
	assert_string_equal(record_of(&r, &r.student, &three), "present -");
	room_close(&r);
}

static void
one_device_for_two_flags_both(void **state)
{
	struct room r = room_open();
	struct test_user friend = test_user(r.t, ROLE_STUDENT), third = test_user(r.t, ROLE_STUDENT);
	struct lesson l = lesson(&r, "");
	const char *record = NULL;

	(void)state;
	struct marking first = mark_with(&r, &r.student, &l, "phone");
	record = first.out.attendance_id.text;
	assert_string_equal(record_of(&r, &r.student, &l), "present -");
	test_advance(r.t, SECONDS_US);
	struct marking second = mark_with(&r, &friend, &l, "phone");
	assert_string_equal(record_of(&r, &friend, &l), "flagged device");
	assert_string_equal(detail_of(&r, &friend, &l, "device"), "Another account marked with the same device here.");
	assert_string_equal(record_of(&r, &r.student, &l), "flagged device");
	assert_string_equal(detail_of(&r, &r.student, &l, "device"), "Another account marked with the same device later.");
	assert_string_equal(
		sql_text(r.t, TEXT(r.t, "SELECT original_status FROM attendance_records WHERE id = '%s'", record)), "present");
	assert_int_equal(count(r.t, TEXT(r.t, "SELECT COUNT(*) FROM verification_logs WHERE attendance_id = '%s'", record)), 2);
	assert_int_equal(count(r.t, TEXT(r.t,
				       "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_changed' AND entity_id = '%s' AND "
				       "details LIKE '%%\"other_record\":\"%s\"%%'",
				       record, second.out.attendance_id.text)),
		1);
	assert_int_equal(count(r.t, TEXT(r.t, "SELECT COUNT(*) FROM notifications WHERE user_id = '%s' AND title = 'Attendance under "
					      "review'",
				       r.student.id.text)),
		1);
	assert_int_equal(count(r.t, TEXT(r.t, "SELECT COUNT(*) FROM outbox WHERE template = 'decision' AND recipient = '%s'",
				       r.student.email)),
		1);
	/* Neither learns who the other is. */
	assert_int_equal(count(r.t, TEXT(r.t, "SELECT COUNT(*) FROM notifications WHERE message LIKE '%%%s%%' OR data LIKE '%%%s%%'",
				       friend.email, friend.id.text)),
		0);

	/* A third: flagged too, and the first's record is not written again. */
	test_advance(r.t, SECONDS_US);
	mark_with(&r, &third, &l, "phone");
	assert_string_equal(record_of(&r, &third, &l), "flagged device");
	assert_string_equal(record_of(&r, &r.student, &l), "flagged device");
	assert_int_equal(ROWS(r, "audit_logs WHERE action = 'attendance_changed'"), 1);
	room_close(&r);
}

/* What somebody decided stays; another flag is added to. */
static void
what_the_other_record_becomes(void **state)
{
	static const struct {
		const char *name, *set, *want;
	} rows[] = {
		{"late", "status = 'late'", "flagged device"},
		{"flagged for its place", "status = 'flagged', flags = 'geofence'", "flagged geofence,device"},
		{"decided", "status = 'present', marked_by = user_id", "present -"},
		{"absent by hand", "status = 'absent', marked_by = user_id", "absent -"},
		{"rejected", "status = 'rejected'", "rejected -"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct room r = room_open();
		struct test_user friend = test_user(r.t, ROLE_STUDENT);
		struct lesson l = lesson(&r, "");
		mark_with(&r, &r.student, &l, "phone");
		sql_run(r.t, TEXT(r.t, "UPDATE attendance_records SET %s", rows[i].set));
		mark_with(&r, &friend, &l, "phone");
		assert_string_equal(record_of(&r, &friend, &l), "flagged device");
		if (!str_eq(record_of(&r, &r.student, &l), rows[i].want))
			fail_msg("%s: %s", rows[i].name, record_of(&r, &r.student, &l));
		room_close(&r);
	}
}

/* A record was removed by hand, and its student marks again with the same device: no other account had it. */
static void
ones_own_mark_again_is_no_twin(void **state)
{
	struct room r = room_open();
	struct lesson l = lesson(&r, "");

	(void)state;
	mark_with(&r, &r.student, &l, "phone");
	sql_run(r.t, "DELETE FROM attendance_records");
	sql_run(r.t, "DELETE FROM used_nonces");
	struct marking again = mark_with(&r, &r.student, &l, "phone");
	assert_string_equal(record_of(&r, &r.student, &l), "present -");
	assert_string_equal(sql_text(r.t, "SELECT attendance_id FROM device_uses"), again.out.attendance_id.text);
	room_close(&r);
}

/* A phone that changes hands: the second account waits out the cool-down. */
static void
a_device_cools_down(void **state)
{
	struct room r = room_open_with(TEST_CONF("DEVICE_COOLDOWN_MINUTES=10"));
	struct test_user friend = test_user(r.t, ROLE_STUDENT);
	struct lesson one = lesson(&r, "");

	(void)state;
	mark_with(&r, &r.student, &one, "phone");
	test_advance(r.t, SECONDS_US);
	reset_device(&r, &r.student);
	assert_string_equal(bind_device(&r, &friend, (struct device_in){.imei = "phone"}), "bound");
	test_advance(r.t, 10 * MINUTES_US - 2 * SECONDS_US);
	struct lesson two = lesson(&r, "");
	mark_with(&r, &friend, &two, "phone");
	assert_string_equal(record_of(&r, &friend, &two), "flagged device");
	assert_string_equal(detail_of(&r, &friend, &two, "device"), "Another account used the device a short time ago.");
	test_advance(r.t, SECONDS_US);
	struct lesson three = lesson(&r, "");
	mark_with(&r, &friend, &three, "phone");
	assert_string_equal(record_of(&r, &friend, &three), "present -");
	room_close(&r);
}

/* Thirty students with one model of phone behind one address. */
static void
the_same_model_and_address_are_no_ground(void **state)
{
	struct room r = room_open();
	struct lesson l = lesson(&r, ", require_device = TRUE");

	(void)state;
	for (int i = 0; i < 30; i++) {
		struct test_user u = test_user(r.t, ROLE_STUDENT);
		mark_with(&r, &u, &l, TEXT(r.t, "phone %d", i));
		assert_string_equal(record_of(&r, &u, &l), "present -");
	}
	room_close(&r);
}

static void
policy_decides(void **state)
{
	struct room r = room_open();
	struct test_user friend = test_user(r.t, ROLE_STUDENT);
	struct lesson mine = lesson(&r, ""),
		      hard = lesson(&r, ", require_device = TRUE, policy = '{\"device\":\"reject\"}'"),
		      soft = lesson(&r, ", require_device = TRUE, policy = '{\"device\":\"off\"}'");

	(void)state;
	mark_with(&r, &r.student, &mine, "phone");
	assert_int_equal(mark_with(&r, &friend, &hard, "phone").cx.error.code, ERR_DEVICE_MISMATCH);
	assert_int_equal(mark_with(&r, &friend, &hard, NULL).cx.error.code, ERR_DEVICE_MISMATCH);
	assert_string_equal(record_of(&r, &friend, &hard), "");
	assert_int_equal(ROWS(r, "device_uses"), 1);
	/* Refused leaves nothing, so it may be tried again with the right one. */
	assert_int_equal(mark_with(&r, &friend, &hard, "own phone").cx.error.code, OK);
	assert_string_equal(record_of(&r, &friend, &hard), "present -");
	/* Off asks nothing and keeps nothing. */
	mark_with(&r, &friend, &soft, "phone");
	assert_string_equal(record_of(&r, &friend, &soft), "present -");
	assert_string_equal(detail_of(&r, &friend, &soft, "device"), "no such layer");
	assert_int_equal(ROWS(r, "device_uses"), 2);
	room_close(&r);
}

/* A portal event asks for no device, and a mark for it leaves none. */
static void
portal_events_ask_for_none(void **state)
{
	struct room r = room_open();

	(void)state;
	assert_int_equal(mark_payload(r.t, &r.student, r.code.qr_payload), OK);
	assert_int_equal(ROWS(r, "devices"), 0);
	assert_int_equal(ROWS(r, "device_uses"), 0);
	assert_int_equal(ROWS(r, "attendance_records WHERE status = 'present'"), 1);
	room_close(&r);
}

/* As long as a session can last and the cool-down, and not longer. */
static enum err
expire_run(struct ctx *cx, void *arg)
{
	return nonce_expire(cx, arg);
}

static void
who_used_a_device_is_forgotten(void **state)
{
	struct room r = room_open_with(TEST_CONF("DEVICE_COOLDOWN_MINUTES=4320"));
	struct lesson l = lesson(&r, "");
	static const int left[] = {1, 1, 1, 0}; /* after two to five days, by the time of the day before */
	int64_t rows;

	(void)state;
	mark_with(&r, &r.student, &l, "phone");
	test_advance(r.t, DAYS_US);
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		struct ctx cx;
		test_advance(r.t, DAYS_US);
		ctx_as(r.t, &cx, NULL);
		must(&cx, db_write(&cx, expire_run, &rows));
		assert_int_equal(ROWS(r, "device_uses"), left[i]);
	}
	assert_int_equal(ROWS(r, "devices"), 1);
	room_close(&r);
}

/* --- TOKEN_PEPPER changes -------------------------------------------------------------------------------------------------- */

static void
use_pepper(struct room *r, const char *list)
{
	const char *const variables[] = {"ENV=dev", "SECRET_KEY=0123456789abcdef0123456789abcdef-access",
		"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes", TEXT(r->t, "TOKEN_PEPPER=%s", list),
		"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=Correct-Horse-7", NULL};
	const char *message = "";
	struct config *conf = conf_load(variables, NULL, &message);

	if (!conf)
		fail_msg("%s", message);
	keys_close((struct keys *)(uintptr_t)r->t->srv.keys);
	r->t->srv.keys = keys_open(conf);
	conf_free(conf);
}

#define OLD "0123456789abcdef0123456789abcdef-old"
#define NEW "0123456789abcdef0123456789abcdef-new"
#define NEWER "0123456789abcdef0123456789abcdef-newer"

static void
bindings_outlive_their_key(void **state)
{
	struct room r = room_open();
	struct test_user friend = test_user(r.t, ROLE_STUDENT);

	(void)state;
	use_pepper(&r, OLD);
	struct lesson one = lesson(&r, ""), two = lesson(&r, ""), three = lesson(&r, ""), four = lesson(&r, "");
	mark_with(&r, &r.student, &one, "phone");
	use_pepper(&r, NEW "," OLD);
	two.code = make_code(r.t, &r.admin, &two.event);
	mark_with(&r, &r.student, &two, "phone");
	assert_string_equal(record_of(&r, &r.student, &two), "present -");
	three.code = make_code(r.t, &r.admin, &three.event);
	mark_with(&r, &friend, &three, "phone");
	assert_string_equal(detail_of(&r, &friend, &three, "device"), "The device is registered for another account.");
	/* The old key is gone: nothing can be compared, so the next passing mark binds anew. */
	use_pepper(&r, NEW);
	four.code = make_code(r.t, &r.admin, &four.event);
	mark_with(&r, &r.student, &four, "new phone");
	assert_string_equal(record_of(&r, &r.student, &four), "present -");
	assert_string_equal(detail_of(&r, &r.student, &four, "device"), "first use");
	assert_int_equal(ROWS(r, "devices WHERE status = 'retired'"), 1);
	assert_int_equal(ROWS(r, "devices WHERE status = 'bound'"), 1);
	room_close(&r);
}

static enum err
requests_run(struct ctx *cx, void *arg)
{
	return device_request_list(cx, LIST_MAX, arg);
}

static const char *
bound_account(struct room *r)
{
	return count(r->t, "SELECT COUNT(*) FROM devices WHERE status = 'bound'") == 1
		? sql_text(r->t, "SELECT user_id FROM devices WHERE status = 'bound'") : "several";
}

/* However old the keys are under which the device was bound and asked for. */
static void
a_device_is_taken_under_any_key(void **state)
{
	struct room r = room_open();
	struct test_user friend = test_user(r.t, ROLE_STUDENT), third = test_user(r.t, ROLE_STUDENT);
	struct device_requests open;
	struct ctx cx;

	(void)state;
	use_pepper(&r, OLD);
	assert_string_equal(bind_device(&r, &r.student, (struct device_in){.imei = "phone"}), "bound");
	use_pepper(&r, NEW "," OLD);
	assert_string_equal(bind_device(&r, &friend, (struct device_in){.imei = "phone"}), "pending");
	use_pepper(&r, NEWER "," NEW "," OLD);
	assert_string_equal(bind_device(&r, &third, (struct device_in){.imei = "phone"}), "pending");
	ctx_as(r.t, &cx, &r.admin);
	must(&cx, db_read(&cx, requests_run, &open));
	const struct device_request *q = open.requests.items;
	assert_int_equal(open.requests.count, 2);
	for (int i = 0; i < 2; i++)
		assert_string_equal(q[i].owner ? q[i].owner->id.text : "nobody", r.student.id.text);
	reset_device(&r, &friend);
	assert_string_equal(bound_account(&r), friend.id.text);
	reset_device(&r, &third);
	assert_string_equal(bound_account(&r), third.id.text);
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_passing_mark_binds),
		cmocka_unit_test(somebody_elses_device_is_flagged),
		cmocka_unit_test(one_device_for_two_flags_both),
		cmocka_unit_test(what_the_other_record_becomes),
		cmocka_unit_test(ones_own_mark_again_is_no_twin),
		cmocka_unit_test(a_device_cools_down),
		cmocka_unit_test(the_same_model_and_address_are_no_ground),
		cmocka_unit_test(policy_decides),
		cmocka_unit_test(portal_events_ask_for_none),
		cmocka_unit_test(who_used_a_device_is_forgotten),
		cmocka_unit_test(bindings_outlive_their_key),
		cmocka_unit_test(a_device_is_taken_under_any_key),
	};

	return cmocka_run_group_tests_name("attendance: devices", tests, NULL, NULL);
}
