/* Device, place and network of campus marks over the API: what the student is told, what is refused, what is kept. */
#include "browser_env.h"
#include "campus_env.h"

#define FENCE ",'latitude':47.3769,'longitude':8.5417,'geofence_radius_m':100"

/* A mark with its further members, at a session with its own; as a student who has marked nowhere else. */
static struct test_reply *
mark_at(struct campus *c, const struct test_user *u, const char *session, const char *more)
{
	struct test_reply *qr = qr_of(c, session);

	return mark_json(c, u, TEXT(c, "{'qr_session_id':'%s','qr_nonce':'%s'%s}", session, text_at(qr, "qr_nonce"), more));
}

static const char *
record_of(struct campus *c, const char *session, const struct test_user *u)
{
	return sql_text(c->t, TEXT(c,
				      "SELECT status || ' ' || COALESCE(flags, '-') FROM attendance_records WHERE event_id = '%s' AND "
				      "user_id = '%s'",
				      session, u->id.text));
}

static void
every_verdict_by_every_policy(void **state)
{
	static const struct {
		const char *name, *layer, *session, *mark, *error; /* error NULL: it is no fault */
		const char *verdict;				   /* where nothing is a fault */
	} rows[] = {
		{"own device", "device", ",'require_device':true", ",'imei':'%s'", NULL, "pass"},
		{"no device", "device", ",'require_device':true", "", "device_mismatch", NULL},
		{"no device wanted", "device", "", "", NULL, "skip"},
		{"somebody's device", "device", "", ",'imei':'taken'", "device_mismatch", NULL},
		{"inside", "geofence", FENCE, ",'latitude':47.3770,'longitude':8.5417,'accuracy':8", NULL, "pass"},
		{"by its accuracy", "geofence", FENCE, ",'latitude':47.3781,'longitude':8.5417,'accuracy':500", NULL, "pass"},
		{"outside", "geofence", FENCE, ",'latitude':47.3790,'longitude':8.5417,'accuracy':500", "outside_geofence", NULL},
		{"null island", "geofence", FENCE, ",'latitude':0,'longitude':0", "outside_geofence", NULL},
		{"no position", "geofence", FENCE, "", "outside_geofence", NULL},
		{"no fence", "geofence", "", ",'latitude':0,'longitude':0", NULL, "skip"},
		{"network of the hall", "network", ",'networks':['192.0.2.0/24','2001:db8::/32']", "", NULL, "pass"},
		{"another network", "network", ",'networks':['198.51.100.0/24','2001:db8::/32']", "", "network_not_allowed", NULL},
		{"any network", "network", "", "", NULL, "skip"},
	};
	static const char *const policies[] = {"flag", "reject", "off"};
	struct campus c = campus_open();
	struct test_user owner = test_user(c.t, ROLE_STUDENT);

	(void)state;
	expect_status(post(&c, &owner, "/api/v1/student/device/bind", "{'imei':'taken'}"), 201);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int p = 0; p < 3; p++) {
			struct test_user u = test_user(c.t, ROLE_STUDENT);
			const char *s = open_session_id(&c,
				TEXT(&c, "%s,'policy':{'%s':'%s'}", rows[i].session, rows[i].layer, policies[p]));
			const char *more = str_eq(rows[i].name, "own device") ? TEXT(&c, ",'imei':'%s'", u.email) : rows[i].mark;
			struct test_reply *got = mark_at(&c, &u, s, more);
			if (rows[i].error && p == 1) {
				expect_error(got, 403, rows[i].error);
				assert_string_equal(verdict_of(reply_at(got, "error.details.layers"), rows[i].layer), "reject");
				assert_string_equal(record_of(&c, s, &u), "");
				continue;
			}
			bool flagged = rows[i].error && p == 0;
			const char *verdict = flagged ? "flag" : p == 2 ? "skip" : rows[i].verdict;
			expect_status(got, 201);
			expect_text(got, "status", flagged ? "flagged" : "present");
			if (strcmp(verdict_of(reply_at(got, "layers"), rows[i].layer), verdict) != 0)
				fail_msg("%s, %s: %s", rows[i].name, policies[p],
					verdict_of(reply_at(got, "layers"), rows[i].layer));
			assert_string_equal(
				record_of(&c, s, &u), flagged ? TEXT(&c, "flagged %s", rows[i].layer) : "present -");
		}
	test_close(c.t);
}

static void
positions_are_checked(void **state)
{
	static const char *const bad[] = {",'latitude':90.1,'longitude':0", ",'latitude':-91,'longitude':0",
		",'latitude':0,'longitude':180.5", ",'latitude':0,'longitude':-181", ",'latitude':'NaN','longitude':0",
		",'latitude':1e999,'longitude':0", ",'latitude':1,'longitude':1,'accuracy':-1"};
	static const char *const parts[] = {"nan", "NaN", "inf", "1e999", "0x10", "91", "-90.5", "47,3"};
	struct campus c = campus_open();
	const char *s = open_session_id(&c, FENCE);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct test_reply *got = mark_at(&c, &c.students[0], s, bad[i]);
		assert_true(got->status == 422 || (strstr(bad[i], "999") && got->status == 400));
	}
	const char *nonce = text_at(qr_of(&c, s), "qr_nonce");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const struct test_request rq = {.method = POST,
			.path = "/api/v1/student/attendance",
			.bearer = c.students[0].bearer,
			.content_type = "application/x-www-form-urlencoded",
			.body = TEXT(&c, "qr_session_id=%s&qr_nonce=%s&latitude=%s&longitude=8.5", s, nonce, parts[i])};
		expect_error(call_with(c.t, &rq), 422, "validation_error");
	}
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_records"), 0);
	expect_text(mark_at(&c, &c.students[0], s, ",'latitude':47.3769,'longitude':8.5417,'accuracy':0"), "status", "present");
	test_close(c.t);
}

/* What the lecturer's list and its export show of where somebody was. */
static void
distance_is_all_that_is_kept(void **state)
{
	struct campus c = campus_open();
	const char *s = open_session_id(&c, FENCE);

	(void)state;
	mark_at(&c, &c.students[0], s, ",'latitude':47.38123,'longitude':8.54321,'accuracy':17.25");
	assert_int_equal(count(c.t, "SELECT distance_m FROM attendance_records"), 495);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM attendance_records WHERE flags = 'geofence'"), 1);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM verification_logs WHERE layers LIKE '%7.38%' OR layers LIKE '%8.54%'"), 0);
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM audit_logs WHERE details LIKE '%7.38%' OR details LIKE '%8.54%'"), 0);
	test_close(c.t);
}

/* A whole class behind one address, with one model of phone. */
static void
a_shared_address_is_no_ground(void **state)
{
	struct campus c = campus_open();
	const char *s = open_session_id(&c, ",'require_device':true");

	(void)state;
	for (int i = 0; i < 40; i++) {
		struct test_user u = test_user(c.t, ROLE_STUDENT);
		expect_text(mark_at(&c, &u, s, TEXT(&c, ",'imei':'phone %d'", i)), "status", "present");
	}
	assert_int_equal(count(c.t, "SELECT COUNT(*) FROM devices WHERE status = 'bound'"), 40);
	test_close(c.t);
}

static void
one_phone_for_two_flags_both(void **state)
{
	struct campus c = campus_open();
	const char *s = session_id(&c, "");

	(void)state;
	expect_text(mark_at(&c, &c.students[0], s, ",'imei':'phone'"), "status", "present");
	expect_text(mark_at(&c, &c.students[1], s, ",'imei':'phone'"), "status", "flagged");
	expect_text(mark_at(&c, &c.students[2], s, ",'imei':'own'"), "status", "present");
	assert_string_equal(record_of(&c, s, &c.students[0]), "flagged device");
	assert_string_equal(record_of(&c, s, &c.students[1]), "flagged device");
	/* The first one reads it in the own history, with the reason; nobody reads who the other was. */
	struct test_reply *own = get(&c, &c.students[0], "/api/v1/student/attendance");
	expect_status(own, 200);
	assert_non_null(strstr(own->body, "\"flagged\""));
	assert_null(strstr(own->body, c.students[1].email));
	assert_null(strstr(own->body, c.students[1].id.text));
	/* The session's counts follow at once. */
	struct test_reply *session = get(&c, &c.lecturer, session_path(&c, s, ""));
	expect_int(session, "counts.flagged", 2);
	expect_int(session, "counts.present", 1);
	test_close(c.t);
}

static void
first_use_binds_over_the_api(void **state)
{
	struct campus c = campus_open();
	const char *s = session_id(&c, ",'require_device':true");
	struct test_reply *got = mark_at(&c, &c.students[0], s, ",'imei':'phone'");

	(void)state;
	expect_status(got, 201);
	for (size_t i = 0; i < json_array_size(reply_at(got, "layers")); i++) {
		const char *at = TEXT(&c, "layers.%zu.layer", i);
		if (str_eq(text_at(got, at), "device"))
			expect_text(got, TEXT(&c, "layers.%zu.detail", i), "first use");
	}
	expect_status(post(&c, &c.students[0], "/api/v1/student/device/bind", "{'imei':'phone'}"), 201);
	expect_status(post(&c, &c.students[0], "/api/v1/student/device/bind", "{'imei':'other'}"), 202);
	/* Another's record cannot be reached with one's own device, whatever is tampered with. */
	expect_error(mark_at(&c, &c.students[0], s, ",'imei':'phone'"), 409, "duplicate_attendance");
	test_close(c.t);
}

/* The strong form from end to end: the key binds, takes challenges, and signs what is presented in either of its forms. */
static void
a_key_signs_over_the_api(void **state)
{
	struct campus c = campus_open();
	struct browser b = browser_open(c.t), other = browser_open(c.t);
	const struct test_user *u = &c.students[0];
	static const struct {
		bool payload, foreign, another, want;
	} rows[] = {{true, false, false, true}, {false, false, false, true}, {true, true, false, false}, {true, false, true, false}};

	(void)state;
	const struct test_request bind = {.method = POST,
		.path = "/api/v1/student/device/bind",
		.bearer = u->bearer,
		.body = TEXT(&c, "{\"public_key\":%s}", b.jwk)};
	expect_status(call_with(c.t, &bind), 201);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *s = session_id(&c, "");
		struct test_reply *qr = qr_of(&c, s),
				  *got = get(&c, rows[i].another ? &c.students[1] : u, "/api/v1/student/device/challenge");
		expect_status(got, 200);
		expect_head(got, "Cache-Control", "no-store");
		const char *challenge = text_at(got, "challenge"), *nonce = text_at(qr, "qr_nonce");
		struct buf text;
		buf_init(&text, &c.t->arena, 0);
		buf_str(&text, challenge);
		buf_chr(&text, 0);
		buf_str(&text, rows[i].payload ? text_at(qr, "qr_payload") : TEXT(&c, "%s.%s", s, nonce));
		const char *signature = browser_sign_bytes(c.t, rows[i].foreign ? &other : &b, buf_span(&text));
		const char *presented = rows[i].payload ? TEXT(&c, "'qr_payload':'%s'", text_at(qr, "qr_payload"))
							: TEXT(&c, "'qr_session_id':'%s','qr_nonce':'%s'", s, nonce);
		got = mark_json(&c, u, TEXT(&c, "{%s,'device_challenge':'%s','device_signature':'%s'}", presented, challenge,
						signature));
		expect_status(got, 201);
		expect_text(got, "status", rows[i].want ? "present" : "flagged");
		assert_string_equal(verdict_of(reply_at(got, "layers"), "device"), rows[i].want ? "pass" : "flag");
	}
	browser_close(&b);
	browser_close(&other);
	test_close(c.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verdict_by_every_policy),
		cmocka_unit_test(positions_are_checked),
		cmocka_unit_test(distance_is_all_that_is_kept),
		cmocka_unit_test(a_shared_address_is_no_ground),
		cmocka_unit_test(one_phone_for_two_flags_both),
		cmocka_unit_test(first_use_binds_over_the_api),
		cmocka_unit_test(a_key_signs_over_the_api),
	};

	return cmocka_run_group_tests_name("api: layers of campus marks", tests, NULL, NULL);
}
