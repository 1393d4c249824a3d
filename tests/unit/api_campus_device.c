/* Registering devices over the dispatcher: who gets which, what is kept of it, who is told, and what administrators decide. */
#include "attendance_env.h"

#define BIND "/api/v1/student/device/bind"
#define RESETS "/api/v1/admin/imei-resets"
#define DENY "/api/v1/admin/deny-imei-reset"
#define OWN "/api/v1/student/device"
#define APPROVE "/api/v1/admin/approve-imei-reset"
#define TEXT(t, ...) arena_printf(&(t)->arena, __VA_ARGS__)

static struct test_reply *
bind_id(struct test *t, const struct test_user *u, const char *imei)
{
	return call(t, POST, BIND, u->bearer, TEXT(t, "{'imei':'%s'}", imei));
}

static struct test_reply *
bind_key(struct test *t, const struct test_user *u, const char *jwk)
{
	const struct test_request rq = {
		.method = POST, .path = BIND, .bearer = u->bearer, .body = TEXT(t, "{\"public_key\":%s}", jwk)};

	return call_with(t, &rq);
}

static struct test_reply *
approve(struct test *t, const struct test_user *admin, const char *what, const char *id)
{
	return call(t, POST, APPROVE, admin->bearer, TEXT(t, "{'%s':'%s'}", what, id));
}

static int64_t
devices(struct test *t, const struct test_user *u, const char *status)
{
	return count(
		t, TEXT(t, "SELECT COUNT(*) FROM devices WHERE user_id = '%s' AND status = '%s'", u->id.text, status));
}

static const char *
last_audit(struct test *t)
{
	return sql_text(t, "SELECT action || ' ' || result || ' ' || details FROM audit_logs ORDER BY seq DESC LIMIT 1");
}

static const char *
last_word(struct test *t, const struct test_user *u)
{
	return sql_text(t, TEXT(t, "SELECT type || ': ' || title FROM notifications WHERE user_id = '%s' ORDER BY seq DESC LIMIT 1",
				   u->id.text));
}

static void
the_first_binds_and_a_change_waits(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);
	struct test_reply *got = bind_id(t, &student, " 35-209900-176148-1 ");
	const char *device = text_at(got, "device_id");

	(void)state;
	expect_status(got, 201);
	expect_text(got, "status", "bound");
	assert_null(reply_at(got, "request_id"));
	assert_string_equal(last_audit(t), "device_bound success {\"kind\":\"imei\",\"how\":\"request\"}");
	assert_string_equal(last_word(t, &student), "security: Device registered");
	/* Nothing that was given is kept, nor a hash without a key. */
	assert_int_equal(count(t, "SELECT COUNT(*) FROM devices WHERE device_hash LIKE '%176148%' OR key_id IS NULL"), 0);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE details LIKE '%176148%'"), 0);
	assert_int_equal(count(t, "SELECT length(device_hash) FROM devices"), 43);

	got = bind_id(t, &student, "35-209900-176148-1");
	expect_status(got, 201);
	expect_text(got, "device_id", device);

	got = bind_id(t, &student, "another");
	expect_status(got, 202);
	expect_text(got, "status", "pending");
	assert_null(reply_at(got, "device_id"));
	const char *request = text_at(got, "request_id");
	assert_string_equal(last_audit(t), "device_bound pending {\"kind\":\"imei\"}");
	assert_string_equal(last_word(t, &student), "security: Another device was asked for");
	assert_string_equal(last_word(t, &admin), "security: Another device");
	expect_text(bind_id(t, &student, "another"), "request_id", request);
	assert_int_equal(devices(t, &student, "pending"), 1);
	expect_text(bind_id(t, &student, "35-209900-176148-1"), "device_id", device); /* still the one it has */

	got = bind_id(t, &student, "a third");
	expect_status(got, 202);
	assert_string_not_equal(text_at(got, "request_id"), request);
	assert_int_equal(devices(t, &student, "pending"), 1);
	assert_int_equal(devices(t, &student, "bound"), 1);
	expect_error(approve(t, &admin, "request_id", request), 404, "not_found");
	test_close(t);
}

static void
an_administrator_decides(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN);
	struct test_user student = test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");

	(void)state;
	expect_json(call(t, GET, RESETS, admin.bearer, NULL), "requests", "[]");
	bind_id(t, &student, "one");
	test_advance(t, MINUTES_US);
	const char *request = text_at(bind_id(t, &student, "two"), "request_id");
	struct test_reply *got = call(t, GET, RESETS "?limit=5", admin.bearer, NULL);
	expect_status(got, 200);
	expect_text(got, "requests.0.request_id", request);
	expect_text(got, "requests.0.user.email", "ada@example.org");
	expect_text(got, "requests.0.kind", "imei");
	expect_text(got, "requests.0.requested_at", "2026-08-01T12:01:00Z");
	expect_text(got, "requests.0.bound_at", "2026-08-01T12:00:00Z");
	expect_json(got, "requests.0.owner", "null");

	got = approve(t, &admin, "request_id", request);
	expect_status(got, 200);
	expect_text(got, "status", "bound");
	expect_text(got, "device_id", request);
	expect_text(got, "user_id", student.id.text);
	assert_non_null(strstr(last_audit(t), "device_reset success {\"outcome\":\"bound\""));
	assert_string_equal(last_word(t, &student), "decision: Your device");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM outbox WHERE template = 'decision' AND recipient = 'ada@example.org'"), 1);
	assert_int_equal(devices(t, &student, "bound"), 1);
	assert_int_equal(devices(t, &student, "retired"), 1);
	expect_status(bind_id(t, &student, "two"), 201);
	expect_error(approve(t, &admin, "request_id", request), 409, "already_decided");
	assert_non_null(strstr(last_audit(t), "device_reset failure"));

	/* By account: the open request, and without one the device it has. */
	request = text_at(bind_id(t, &student, "three"), "request_id");
	expect_text(approve(t, &admin, "user_id", student.id.text), "device_id", request);
	got = approve(t, &admin, "user_id", student.id.text);
	expect_text(got, "status", "reset");
	expect_json(got, "device_id", "null");
	assert_int_equal(devices(t, &student, "bound"), 0);
	expect_error(approve(t, &admin, "user_id", student.id.text), 404, "not_found");
	expect_error(approve(t, &admin, "user_id", "01890a5d-ac96-774b-bcce-b302099a8057"), 404, "not_found");
	expect_status(bind_id(t, &student, "four"), 201);
	test_close(t);
}

static void
a_request_is_denied(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);
	const char *own = text_at(bind_id(t, &student, "one"), "device_id");
	struct test_reply *got = call(t, POST, BIND, student.bearer, "{'imei':'two','reason':' The old one broke '}");
	const char *body = TEXT(t, "{'request_id':'%s'}", text_at(got, "request_id"));

	(void)state;
	expect_text(call(t, GET, RESETS, admin.bearer, NULL), "requests.0.reason", "The old one broke");
	expect_error(call(t, POST, DENY, student.bearer, body), 403, "forbidden");
	expect_status(call(t, POST, DENY, admin.bearer, body), 204);
	assert_non_null(strstr(last_audit(t), "device_reset success {\"outcome\":\"denied\""));
	assert_string_equal(last_word(t, &student), "decision: Your device");
	expect_error(call(t, POST, DENY, admin.bearer, body), 409, "already_decided");
	expect_error(approve(t, &admin, "request_id", text_at(got, "request_id")), 409, "already_decided");
	expect_error(call(t, POST, DENY, admin.bearer, "{}"), 422, "validation_error");
	expect_error(call(t, POST, DENY, admin.bearer, "{'request_id':'01890a5d-ac96-774b-bcce-b302099a8057'}"), 404, "not_found");
	expect_json(call(t, GET, RESETS, admin.bearer, NULL), "requests", "[]");
	expect_text(bind_id(t, &student, "one"), "device_id", own);
	expect_status(bind_id(t, &student, "two"), 202); /* may ask again */
	test_close(t);
}

/* A key is shown to its owner, an id to nobody. */
static void
everybody_sees_their_own(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user student = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);
	struct browser b = browser_open(t);

	(void)state;
	expect_json(call(t, GET, OWN, student.bearer, NULL), "", "{'device':null,'request':null}");
	const char *device = text_at(bind_key(t, &student, b.jwk), "device_id");
	struct test_reply *got = call(t, POST, BIND, student.bearer, "{'imei':'phone','reason':'Broken'}");
	const char *request = text_at(got, "request_id");
	got = call(t, GET, OWN, student.bearer, NULL);
	expect_text(got, "device.device_id", device);
	expect_text(got, "device.kind", "public_key");
	expect_text(got, "device.public_key.crv", "P-256");
	expect_text(got, "device.bound_at", "2026-08-01T12:00:00Z");
	expect_json(got, "request",
		TEXT(t, "{'request_id':'%s','kind':'imei','public_key':null,'reason':'Broken','requested_at':'2026-08-01T12:00:00Z'}",
			request));
	expect_json(call(t, GET, OWN, other.bearer, NULL), "", "{'device':null,'request':null}");
	browser_close(&b);
	test_close(t);
}

/* Second-hand phones: the request goes on, and the administrator sees who loses it. */
static void
a_device_has_one_owner(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), first = test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada"),
			 second = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(bind_id(t, &first, "phone"), 201);
	struct test_reply *got = bind_id(t, &second, "phone");
	expect_status(got, 202);
	const char *request = text_at(got, "request_id");
	got = call(t, GET, RESETS, admin.bearer, NULL);
	expect_text(got, "requests.0.owner.email", "ada@example.org");
	expect_json(got, "requests.0.bound_at", "null");
	expect_status(approve(t, &admin, "request_id", request), 200);
	assert_int_equal(devices(t, &first, "bound"), 0);
	assert_int_equal(devices(t, &second, "bound"), 1);
	assert_string_equal(last_word(t, &first), "decision: Your device");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'device_reset'"), 2);
	expect_status(bind_id(t, &first, "phone"), 202);
	test_close(t);
}

static void
keys_bind_too(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user student = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);
	struct browser b = browser_open(t), c = browser_open(t);
	struct test_reply *got = bind_key(t, &student, b.jwk);

	(void)state;
	expect_status(got, 201);
	/* Only the point is kept, however it is exported; the same key again is the same device. */
	assert_int_equal(count(t, "SELECT COUNT(*) FROM devices WHERE public_key LIKE '{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":%'"), 1);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM devices WHERE public_key LIKE '%key_ops%'"), 0);
	expect_text(bind_key(t, &student, b.jwk), "device_id", text_at(got, "device_id"));
	expect_status(bind_key(t, &student, c.jwk), 202);
	expect_status(bind_id(t, &student, "phone"), 202); /* from the strong form to the weak one is a change */
	expect_status(bind_key(t, &other, b.jwk), 202);
	browser_close(&b);
	browser_close(&c);
	test_close(t);
}

static void
what_is_refused(void **state)
{
	static const char *const bodies[] = {"{}", "{'imei':''}", "{'imei':'  '}", "{'imei':7}", "{'imei':'a','model':'b'}",
		"{'imei':'a','public_key':{}}", "{'public_key':'no'}", "{'public_key':{'kty':'EC','crv':'P-384'}}",
		"{'public_key':{'kty':'EC','crv':'P-256','x':'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',"
		"'y':'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE'}}",
		"{'public_key':{'kty':'RSA','n':'AQAB','e':'AQAB'}}"};
	struct test *t = test_open(NULL);
	struct test_user student = test_user(t, ROLE_STUDENT), admin = test_user(t, ROLE_ADMIN);

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		expect_error(call(t, POST, BIND, student.bearer, bodies[i]), 422, "validation_error");
	expect_error(bind_id(t, &student, TEXT(t, "%0201d", 1)), 422, "validation_error");
	expect_error(call(t, POST, APPROVE, admin.bearer, "{}"), 422, "validation_error");
	expect_error(call(t, POST, APPROVE, admin.bearer,
			     TEXT(t, "{'user_id':'%s','request_id':'%s'}", student.id.text, student.id.text)),
		422, "validation_error");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM devices"), 0);
	for (enum role role = ROLE_STUDENT; role <= ROLE_ADMIN; role++) {
		struct test_user u = test_user(t, role);
		if (role != ROLE_STUDENT) {
			expect_error(bind_id(t, &u, "x"), 403, "forbidden");
			expect_error(call(t, GET, "/api/v1/student/device/challenge", u.bearer, NULL), 403, "forbidden");
		}
		if (role != ROLE_ADMIN) {
			expect_error(call(t, GET, RESETS, u.bearer, NULL), 403, "forbidden");
			expect_error(approve(t, &u, "user_id", student.id.text), 403, "forbidden");
		}
	}
	test_close(t);
}

static void
registering_is_limited(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true", "RL_DEVICE_ACCOUNT_LIMIT=2"));
	struct test_user student = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(bind_id(t, &student, "a"), 201);
	expect_status(bind_id(t, &student, "b"), 202);
	expect_error(bind_id(t, &student, "c"), 429, "rate_limited");
	test_close(t);
}

/* --- portal marks ---------------------------------------------------------------------------------------------------------- */

/* The portal's mark carries neither device nor place: that counts as missing, and the event's policy says what it is worth. */
static void
what_the_portal_cannot_carry_is_missing(void **state)
{
#define FENCE "latitude = 47.3769, longitude = 8.5417, geofence_radius_m = 100"
	static const struct {
		const char *set, *policy, *error, *flags;
	} rows[] = {
		{FENCE, "geofence", "outside_geofence", "geofence"},
		{"kind = 'session', require_device = TRUE", "device", "device_mismatch", "device"},
		{"kind = 'session', networks = '[\"198.51.100.0/24\",\"2001:db8::/32\"]'", "network", "network_not_allowed", "network"},
	};
	struct room r = room_open();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static const char *const said[] = {"reject", "flag", "off"};
		for (int p = 0; p < 3; p++) {
			struct test_user u = test_user(r.t, ROLE_STUDENT);
			struct event e = make_event(r.t, &r.admin, event_plain(r.t, "Lecture"));
			struct qr_session code = make_code(r.t, &r.admin, &e);
			sql_run(r.t, TEXT(r.t, "UPDATE events SET %s, policy = '{\"%s\":\"%s\"}' WHERE id = '%s'", rows[i].set,
					     rows[i].policy, said[p], e.id.text));
			struct test_reply *got = call(r.t, POST, "/api/attendance/mark", u.bearer,
				TEXT(r.t, "{'qr_payload':'%s'}", code.qr_payload));
			if (p == 0)
				expect_error(got, 403, rows[i].error);
			else
				expect_status(got, 201);
			assert_string_equal(sql_text(r.t, TEXT(r.t, "SELECT flags FROM attendance_records WHERE event_id = '%s'",
								  e.id.text)),
				p == 1 ? rows[i].flags : "");
		}
	}
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_binds_and_a_change_waits),
		cmocka_unit_test(an_administrator_decides),
		cmocka_unit_test(a_request_is_denied),
		cmocka_unit_test(everybody_sees_their_own),
		cmocka_unit_test(a_device_has_one_owner),
		cmocka_unit_test(keys_bind_too),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(registering_is_limited),
		cmocka_unit_test(what_the_portal_cannot_carry_is_missing),
	};

	return cmocka_run_group_tests_name("api: campus devices", tests, NULL, NULL);
}
