/* Signing up, in and out over the dispatcher; the administrators' decision and audit list. */
#include "support.h"

#include <string.h>

static struct test_reply *
sign_up(struct test *t, const char *email)
{
	return call(t, POST, "/api/auth/signup", NULL,
		PATH(t, "{'email':'%s','password':'%s','full_name':' Ada Lovelace '}", email, TEST_PASSWORD));
}

static struct test_reply *
sign_in(struct test *t, const char *email, const char *password)
{
	return call(t, POST, "/api/auth/login", NULL, PATH(t, "{'username':'%s','password':'%s'}", email, password));
}

static struct test_reply *
refresh(struct test *t, const char *token)
{
	return call(t, POST, "/api/auth/refresh", NULL, PATH(t, "{'refresh_token':'%s'}", token));
}

static struct test_reply *
decide(struct test *t, const struct test_user *admin, const char *id, const char *body)
{
	return call(t, POST, PATH(t, "/api/admin/approval-requests/%s/decide", id), admin->bearer, body);
}

/* --- the whole way ---- */

static void
from_signup_to_logout(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	struct test_reply *r = sign_up(t, "Ada@Example.org");

	expect_status(r, 201);
	expect_text(r, "status", "pending");
	expect_text(r, "expires_at", "2026-08-01T12:03:00Z");
	expect_head(r, "Cache-Control", "no-store");
	const char *id = text_at(r, "approval_request_id"), *path = PATH(t, "/api/auth/approval-requests/%s", id);
	r = call(t, GET, path, NULL, NULL);
	expect_text(r, "id", id);
	expect_text(r, "status", "pending");
	expect_int(r, "time_remaining_seconds", 180);
	r = sign_in(t, "ada@example.org", TEST_PASSWORD);
	expect_error(r, 403, "account_pending");
	expect_text(r, "approval_request_id", id);
	expect_text(r, "expires_at", "2026-08-01T12:03:00Z");
	r = call(t, GET, "/api/admin/approval-requests?status=pending", admin.bearer, NULL);
	expect_int(r, "total", 1);
	expect_text(r, "requests.0.id", id);
	expect_text(r, "requests.0.user.email", "ada@example.org");
	expect_text(r, "requests.0.user.full_name", "Ada Lovelace");
	expect_int(r, "requests.0.attempts", 1);
	expect_text(r, "requests.0.ip_address", "192.0.2.1");
	expect_json(r, "requests.0.email_verified", "false");
	r = decide(t, &admin, id, "{'decision':'approved','rejection_reason':'ignored'}");
	expect_status(r, 200);
	expect_text(r, "status", "approved");
	expect_json(r, "rejection_reason", "null");
	expect_json(r, "user.is_active", "true");
	expect_text(r, "user.role", "student");
	expect_text(call(t, GET, path, NULL, NULL), "status", "approved");

	r = sign_in(t, "ada@example.org", TEST_PASSWORD);
	expect_status(r, 200);
	expect_text(r, "token_type", "bearer");
	expect_int(r, "expires_in", 900);
	expect_text(r, "user.email", "ada@example.org");
	expect_text(r, "user.role", "student");
	expect_head(r, "Cache-Control", "no-store");
	assert_non_null(reply_head(r, "X-Device-Token"));
	const char *bearer = text_at(r, "access_token"), *first = text_at(r, "refresh_token");
	r = call(t, GET, "/api/auth/me", bearer, NULL);
	expect_status(r, 200);
	expect_text(r, "full_name", "Ada Lovelace");
	expect_json(r, "is_active", "true");
	r = refresh(t, first);
	expect_status(r, 200);
	expect_head(r, "Cache-Control", "no-store");
	const char *second = text_at(r, "refresh_token"), *second_bearer = text_at(r, "access_token");
	expect_status(call(t, GET, "/api/auth/me", second_bearer, NULL), 200);
	expect_status(call(t, POST, "/api/auth/logout", NULL, PATH(t, "{'refresh_token':'%s'}", second)), 204);
	expect_error(call(t, GET, "/api/auth/me", second_bearer, NULL), 401, "token_revoked");
	expect_error(call(t, GET, "/api/auth/me", bearer, NULL), 401, "token_revoked");
	expect_error(refresh(t, second), 401, "token_revoked");
	expect_status(call(t, POST, "/api/auth/logout", NULL, PATH(t, "{'refresh_token':'%s'}", second)), 204);
	expect_status(call(t, POST, "/api/auth/logout", NULL, "{'refresh_token':'unknown'}"), 204);
}

/* --- signup ---- */

static void
signup_refuses(void **state)
{
	static const struct {
		const char *body, *field;
	} rows[] = {
		{"{'email':'no address','password':'Correct-Horse-7','full_name':'A'}", "email"},
		{"{'email':'a@example.org','password':'short','full_name':'A'}", "password"},
		{"{'email':'a@example.org','password':'correct-horse-7','full_name':'A'}", "password"},
		{"{'email':'a@example.org','password':'Correct-Horse-7','full_name':'  '}", "full_name"},
		{"{'email':'a@example.org','password':'Correct-Horse-7'}", "full_name"},
		{"{'email':'a@example.org','password':'Correct-Horse-7','full_name':'A','role':'admin'}", "role"},
		{"{'email':'a@example.org','password':'Correct-Horse-7','full_name':'A','is_active':true}", "is_active"},
		{"{'email':'a@example.org','password':'Correct-Horse-7','full_name':'A','id':'x'}", "id"},
		{"{'email':'a@example.org','password':'Correct-Horse-7','full_name':'A','email_verified_at':'x'}",
			"email_verified_at"},
		{"{'email':'a@example.org','password':7,'full_name':'A'}", "password"},
	};
	struct test *t = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test_reply *r = call(t, POST, "/api/auth/signup", NULL, rows[i].body);
		expect_error(r, 422, "validation_error");
		expect_text(r, "details.0.field", rows[i].field);
	}
	/* both faults in one answer; nothing of the password comes back */
	struct test_reply *r = call(t, POST, "/api/auth/signup", NULL, "{'email':'x','password':'secretx','full_name':'A'}");
	expect_error(r, 422, "validation_error");
	assert_null(strstr(r->body, "secretx"));
	expect_error(call(t, POST, "/api/auth/signup", NULL,
			     "{'email':'a@example.org','password':'Correct\\u0000Horse-7','full_name':'A'}"),
		400, "malformed_request");
	char *big = arena_alloc(&t->arena, 2000, 1);
	memset(big, 'x', 1999);
	r = call(t, POST, "/api/auth/signup", NULL, PATH(t, "{'email':'a@example.org','password':'%s','full_name':'A'}", big));
	expect_error(r, 422, "validation_error");
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 0);
}

static void
taken_address_answers_alike(void **state)
{
	struct test *t = *state;
	struct test_user owner = test_user_named(t, ROLE_STUDENT, "owner@example.org", "Owner");
	struct test_reply *fresh = sign_up(t, "new@example.org"), *taken = sign_up(t, "OWNER@example.org");

	(void)owner;
	expect_status(taken, 201);
	assert_int_equal(fresh->body_n, taken->body_n);
	json_t *a = json_copy(fresh->json), *b = json_copy(taken->json);
	json_object_del(a, "approval_request_id");
	json_object_del(b, "approval_request_id");
	assert_true(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	for (int later = 0; later < 2; later++) {
		a = json_copy(
			call(t, GET, PATH(t, "/api/auth/approval-requests/%s", text_at(fresh, "approval_request_id")), NULL, NULL)
				->json);
		b = json_copy(
			call(t, GET, PATH(t, "/api/auth/approval-requests/%s", text_at(taken, "approval_request_id")), NULL, NULL)
				->json);
		json_object_del(a, "id");
		json_object_del(b, "id");
		assert_true(json_equal(a, b));
		json_decref(a);
		json_decref(b);
		test_advance(t, 3 * MINUTES_US);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM outbox WHERE recipient = 'owner@example.org'"), 1);
	expect_error(
		call(t, GET, "/api/auth/approval-requests/01900000-0000-7000-8000-000000000000", NULL, NULL), 404, "not_found");
}

static void
signup_is_limited(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_reply *r;

	(void)state;
	for (int i = 0; i < 5; i++) /* a weak password is not counted */
		expect_status(
			call(t, POST, "/api/auth/signup", NULL, "{'email':'a@example.org','password':'weak','full_name':'A'}"),
			422);
	for (int i = 0; i < 3; i++)
		expect_status(sign_up(t, PATH(t, "a%d@example.org", i)), 201);
	r = sign_up(t, "a4@example.org");
	expect_error(r, 429, "rate_limited");
	assert_non_null(reply_head(r, "Retry-After"));
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 3);
	test_close(t);
}

/* --- login ---- */

/* Status, headers and body, without what names the request. */
static const char *
masked(struct test *t, const struct test_reply *r)
{
	struct buf b;
	const char *id = reply_head(r, "X-Request-ID");

	buf_init(&b, &t->arena, 1000);
	buf_printf(&b, "%d\n", r->status);
	for (size_t i = 0; i < r->x.reply.n_headers; i++)
		if (strcasecmp(r->x.reply.headers[i].name, "X-Request-ID") != 0)
			buf_printf(&b, "%s: %s\n", r->x.reply.headers[i].name, r->x.reply.headers[i].value);
	const char *at = id ? strstr(r->body, id) : NULL;
	buf_printf(&b, "%.*s%s", at ? (int)(at - r->body) : (int)r->body_n, r->body, at ? at + strlen(id) : "");
	return arena_strdup(&t->arena, buf_cstr(&b));
}

static void
failed_logins_are_equal_bytes(void **state)
{
	static const char *const emails[] = {"nobody@example.org", "active@example.org", "disabled@example.org",
		"oauth@example.org", "pending@example.org", "no address"};
	struct test *t = *state;
	const char *first = NULL;

	test_user_named(t, ROLE_ADMIN, "active@example.org", "A");
	test_user_named(t, ROLE_STUDENT, "disabled@example.org", "D");
	test_user_named(t, ROLE_STUDENT, "oauth@example.org", "O");
	sql_run(t, "UPDATE users SET is_active = 0, disabled_at = created_at WHERE email = 'disabled@example.org'");
	sql_run(t, "UPDATE users SET password_hash = NULL WHERE email = 'oauth@example.org'");
	expect_status(sign_up(t, "pending@example.org"), 201);
	for (size_t i = 0; i < sizeof(emails) / sizeof(emails[0]); i++) {
		struct test_reply *r = sign_in(t, emails[i], "Wrong-Horse-7");
		expect_error(r, 401, "invalid_credentials");
		expect_head(r, "WWW-Authenticate", "Bearer realm=\"muster\"");
		expect_head(r, "Set-Cookie", NULL);
		if (!first)
			first = masked(t, r);
		assert_string_equal(masked(t, r), first);
	}
	assert_string_equal(masked(t, sign_in(t, "disabled@example.org", TEST_PASSWORD)), first);
	/* locked: known and unknown alike */
	for (int i = 0; i < 8; i++) {
		sign_in(t, "active@example.org", "Wrong-Horse-7");
		sign_in(t, "nobody@example.org", "Wrong-Horse-7");
	}
	struct test_reply *locked = sign_in(t, "active@example.org", TEST_PASSWORD);
	expect_error(locked, 429, "account_locked");
	expect_head(locked, "Retry-After", "900");
	assert_string_equal(masked(t, locked), masked(t, sign_in(t, "nobody@example.org", TEST_PASSWORD)));
}

static void
states_after_a_right_password(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *late = text_at(sign_up(t, "late@example.org"), "approval_request_id");
	const char *id = text_at(sign_up(t, "ada@example.org"), "approval_request_id");

	struct test_reply *r = decide(t, &admin, id, "{'decision':'rejected','rejection_reason':'Not of this club'}");
	expect_text(r, "status", "rejected");
	expect_text(r, "rejection_reason", "Not of this club");
	expect_error(sign_in(t, "ada@example.org", TEST_PASSWORD), 403, "account_rejected");
	expect_error(decide(t, &admin, id, "{'decision':'approved'}"), 409, "already_decided");
	test_advance(t, 3 * MINUTES_US);
	expect_error(sign_in(t, "late@example.org", TEST_PASSWORD), 403, "approval_timeout");
	expect_error(decide(t, &admin, late, "{'decision':'approved'}"), 409, "approval_expired");
	expect_status(sign_up(t, "late@example.org"), 201);
	expect_error(sign_in(t, "late@example.org", TEST_PASSWORD), 403, "account_pending");
}

static void
login_takes_forms(void **state)
{
	struct test *t = *state;
	const struct {
		const char *type, *body;
		int status;
	} rows[] = {
		{"application/x-www-form-urlencoded", "username=ada%40example.org&password=Correct-Horse-7", 200},
		{"application/x-www-form-urlencoded",
			"grant_type=password&username=ada%40example.org&password=Correct-Horse-7&scope=&client_id=string&client_"
			"secret=string",
			200},
		{"application/x-www-form-urlencoded", "username=ada%40example.org&password=Correct-Horse-7&role=admin", 422},
		{"application/x-www-form-urlencoded", "username=ada%40example.org", 422},
		{"application/json",
			"{\"username\":\"ada@example.org\",\"password\":\"Correct-Horse-7\",\"grant_type\":\"password\"}", 200},
		{"application/json", "{\"username\":\"ada@example.org\",\"password\":\"Correct-Horse-7\",\"is_active\":true}",
			422},
		{"text/plain", "{\"username\":\"ada@example.org\",\"password\":\"Correct-Horse-7\"}", 415},
	};

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_status(call_with(t, &(struct test_request){.method = POST,
						   .path = "/api/auth/login",
						   .body = rows[i].body,
						   .content_type = rows[i].type}),
			rows[i].status);
}

static void
second_factor_shape(void **state)
{
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	sql_run(t, "INSERT INTO mfa_totp (user_id, secret, key_id, last_step, enabled_at, created_at)"
		   " SELECT id, 'x', 'x', 0, created_at, created_at FROM users");
	struct test_reply *r = sign_in(t, "ada@example.org", TEST_PASSWORD);
	expect_status(r, 200);
	expect_json(r, "mfa_required", "true");
	expect_int(r, "expires_in", 300);
	assert_int_equal(json_object_size(r->json), 3);
	expect_head(r, "X-Device-Token", NULL);
	expect_head(r, "Set-Cookie", NULL);
	const char *pending = text_at(r, "mfa_token");
	expect_error(call(t, GET, "/api/auth/me", pending, NULL), 401, "not_authenticated");
	expect_error(refresh(t, pending), 422, "validation_error");
}

static void
known_device_over_the_wire(void **state)
{
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	const char *token = reply_head(sign_in(t, "ada@example.org", TEST_PASSWORD), "X-Device-Token");
	for (int i = 0; i < 8; i++)
		sign_in(t, "ada@example.org", "Wrong-Horse-7");
	expect_error(sign_in(t, "ada@example.org", TEST_PASSWORD), 429, "account_locked");
	const struct header headers[] = {{"X-Device-Token", token}, {"Cookie", PATH(t, "a=b; muster_dt=%s", token)}};
	for (int i = 0; i < 2; i++)
		expect_status(
			call_with(t, &(struct test_request){.method = POST,
					     .path = "/api/auth/login",
					     .body = "{\"username\":\"ada@example.org\",\"password\":\"" TEST_PASSWORD "\"}",
					     .headers = &headers[i],
					     .n_headers = 1}),
			200);
}

/* --- the web client's cookie ---- */

static struct test_reply *
web(struct test *t, const char *path, const char *origin, const char *cookie, const char *body, bool tls)
{
	struct header headers[4] = {{"X-Muster-Client", "web"}, {"Host", "attend.example.org"}};
	size_t n = 2;

	if (origin)
		headers[n++] = (struct header){"Origin", origin};
	if (cookie)
		headers[n++] = (struct header){"Cookie", cookie};
	return call_with(t, &(struct test_request){
				    .method = POST, .path = path, .body = body, .headers = headers, .n_headers = n, .tls = tls});
}

/* "name=value" of the first cookie whose name is `name`; NULL for none. */
static const char *
cookie_of(struct test *t, const struct test_reply *r, const char *name, const char **ret_rest)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < r->x.reply.n_headers; i++) {
		const struct header *h = &r->x.reply.headers[i];
		if (strcasecmp(h->name, "Set-Cookie") == 0 && strncmp(h->value, name, n) == 0 && h->value[n] == '=') {
			*ret_rest = h->value + strcspn(h->value, ";");
			return arena_strndup(&t->arena, h->value, strcspn(h->value, ";"));
		}
	}
	return NULL;
}

static void
web_cookie(void **state)
{
	static const struct {
		const char *setting;
		bool tls;
		const char *name, *attributes, *origin;
	} rows[] = {
		{"PUBLIC_BASE_URL=", false, "muster_rt", "; Path=/; Max-Age=1209600; HttpOnly; SameSite=Strict",
			"http://attend.example.org"},
		{"PUBLIC_BASE_URL=", true, "__Host-muster_rt", "; Path=/; Max-Age=1209600; HttpOnly; SameSite=Strict; Secure",
			"https://attend.example.org"},
		{"PUBLIC_BASE_URL=https://attend.example.org", false, "__Host-muster_rt",
			"; Path=/; Max-Age=1209600; HttpOnly; SameSite=Strict; Secure", "https://attend.example.org"},
	};
	static const char *const foreign[] = {NULL, "null", "https://evil.example", "https://attend.example.org.evil.example",
		"https://attend.example.org@evil.example", "https://attend.example.or", "attend.example.org", ""};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test *t = test_open(TEST_CONF(rows[i].setting));
		const char *login = "{\"username\":\"ada@example.org\",\"password\":\"" TEST_PASSWORD "\"}", *rest = "";
		test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
		struct test_reply *r = web(t, "/api/auth/login", rows[i].origin, NULL, login, rows[i].tls);
		expect_status(r, 200);
		assert_null(reply_at(r, "refresh_token"));
		assert_non_null(reply_at(r, "access_token"));
		const char *cookie = cookie_of(t, r, rows[i].name, &rest);
		assert_non_null(cookie);
		assert_string_equal(rest, rows[i].attributes);
		for (size_t k = 0; k < sizeof(foreign) / sizeof(foreign[0]); k++) {
			expect_error(web(t, "/api/auth/refresh", foreign[k], cookie, NULL, rows[i].tls), 403, "forbidden");
			expect_error(web(t, "/api/auth/logout", foreign[k], cookie, NULL, rows[i].tls), 403, "forbidden");
		}
		expect_error(web(t, "/api/auth/refresh", rows[i].origin, cookie, "{\"refresh_token\":\"x\"}", rows[i].tls), 422,
			"validation_error");
		expect_error(web(t, "/api/auth/refresh", rows[i].origin, NULL, NULL, rows[i].tls), 401, "not_authenticated");
		expect_error(web(t, "/api/auth/logout", rows[i].origin, NULL, NULL, rows[i].tls), 401, "not_authenticated");
		/* without the header the cookie counts for nothing: a form of another site cannot send it */
		const struct header only_cookie = {"Cookie", cookie};
		expect_error(
			call_with(t,
				&(struct test_request){
					.method = POST, .path = "/api/auth/refresh", .headers = &only_cookie, .n_headers = 1}),
			422, "validation_error");
		r = web(t, "/api/auth/refresh", rows[i].origin, cookie, NULL, rows[i].tls);
		expect_status(r, 200);
		const char *next = cookie_of(t, r, rows[i].name, &rest);
		assert_string_not_equal(next, cookie);
		/* two tabs: the loser gets the same successor, and its refusal later clears nobody's cookie */
		assert_string_equal(
			cookie_of(t, web(t, "/api/auth/refresh", rows[i].origin, cookie, NULL, rows[i].tls), rows[i].name, &rest),
			next);
		r = web(t, "/api/auth/refresh", rows[i].origin, PATH(t, "%s=unknown", rows[i].name), NULL, rows[i].tls);
		expect_error(r, 401, "not_authenticated");
		expect_head(r, "Set-Cookie", NULL);
		r = web(t, "/api/auth/logout", rows[i].origin, next, NULL, rows[i].tls);
		expect_status(r, 204);
		assert_string_equal(cookie_of(t, r, rows[i].name, &rest), PATH(t, "%s=", rows[i].name));
		assert_non_null(strstr(rest, "Max-Age=0"));
		expect_error(web(t, "/api/auth/refresh", rows[i].origin, next, NULL, rows[i].tls), 401, "token_revoked");
		test_close(t);
	}
}

static void
reuse_over_the_wire(void **state)
{
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	struct test_reply *r = sign_in(t, "ada@example.org", TEST_PASSWORD);
	const char *bearer = text_at(r, "access_token"), *first = text_at(r, "refresh_token");
	const char *second = text_at(refresh(t, first), "refresh_token");
	test_advance(t, 16 * SECONDS_US);
	r = refresh(t, first);
	expect_error(r, 401, "token_revoked");
	expect_error(refresh(t, second), 401, "token_revoked");
	expect_error(call(t, GET, "/api/auth/me", bearer, NULL), 401, "token_revoked");
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'refresh_reuse_detected'"), 1);
	expect_error(refresh(t, "unknown"), 401, "not_authenticated");
	expect_error(call(t, POST, "/api/auth/refresh", NULL, NULL), 422, "validation_error");
	assert_null(strstr(r->body, first));
}

static void
refresh_is_limited(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true", "RL_REFRESH_USER_LIMIT=3"));
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *token = u.refresh_token;

	(void)state;
	for (int i = 0; i < 3; i++)
		token = text_at(refresh(t, token), "refresh_token");
	struct test_reply *r = refresh(t, token);
	expect_error(r, 429, "rate_limited");
	test_advance(t, HOURS_US);
	expect_status(refresh(t, token), 200); /* the refused one was not spent */
	test_close(t);
}

/* --- administrators ---- */

static void
only_admins_decide(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *id = text_at(sign_up(t, "ada@example.org"), "approval_request_id");

	for (enum role role = ROLE_STUDENT; role < ROLE_ADMIN; role++) {
		struct test_user u = test_user(t, role);
		expect_error(decide(t, &u, id, "{'decision':'approved'}"), 403, "forbidden");
		expect_error(call(t, GET, "/api/admin/approval-requests", u.bearer, NULL), 403, "forbidden");
		expect_error(call(t, GET, "/api/admin/audit-logs", u.bearer, NULL), 403, "forbidden");
	}
	expect_error(call(t, GET, "/api/admin/audit-logs", NULL, NULL), 401, "not_authenticated");
	expect_error(decide(t, &admin, id, "{'decision':'perhaps'}"), 422, "validation_error");
	expect_error(decide(t, &admin, id, "{'decision':'approved','approved_role':'owner'}"), 422, "validation_error");
	expect_error(decide(t, &admin, id, "{}"), 422, "validation_error");
	expect_error(decide(t, &admin, "01900000-0000-7000-8000-000000000000", "{'decision':'approved'}"), 404, "not_found");
	expect_error(decide(t, &admin, "nonsense", "{'decision':'approved'}"), 404, "not_found");
	/* a session that ended a moment ago decides nothing, though its token has not expired */
	sql_run(t, "UPDATE sessions SET revoked_at = created_at");
	expect_error(decide(t, &admin, id, "{'decision':'approved'}"), 401, "token_revoked");
	assert_string_equal(sql_text(t, "SELECT status FROM approval_requests"), "pending");
	test_login(t, &admin);
	expect_text(decide(t, &admin, id, "{'decision':'approved','approved_role':'lecturer'}"), "user.role", "lecturer");
}

static void
decision_is_idempotent(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	const char *path =
		PATH(t, "/api/admin/approval-requests/%s/decide", text_at(sign_up(t, "ada@example.org"), "approval_request_id"));
	const struct test_request rq = {.method = POST,
		.path = path,
		.bearer = admin.bearer,
		.body = "{\"decision\":\"approved\"}",
		.idempotency_key = "k1"};

	struct test_reply *first = call_with(t, &rq), *again = call_with(t, &rq);
	expect_status(first, 200);
	expect_status(again, 200);
	assert_string_equal(first->body, again->body);
	assert_int_equal(
		count(t, "SELECT count(*) FROM audit_logs WHERE action = 'approval_approved' AND result = 'success'"), 1);
}

static void
audit_list_over_the_wire(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);

	test_user_named(t, ROLE_STUDENT, "ada@example.org", "Ada");
	const char *user = text_at(sign_in(t, "ada@example.org", TEST_PASSWORD), "user.id");
	test_advance(t, DAYS_US);
	test_login(t, &admin);
	sign_in(t, "ada@example.org", "Wrong-Horse-7");
	struct test_reply *r = call(t, GET, "/api/admin/audit-logs", admin.bearer, NULL);
	expect_status(r, 200);
	expect_int(r, "total", 2);
	expect_int(r, "page", 1);
	expect_int(r, "limit", 20);
	expect_text(r, "logs.0.action", "login_failed");
	expect_json(r, "logs.0.actor", "null");
	expect_text(r, "logs.0.details.reason", "wrong_password");
	expect_text(r, "logs.0.entity_id", user);
	expect_text(r, "logs.1.action", "login");
	expect_text(r, "logs.1.actor.email", "ada@example.org");
	expect_text(r, "logs.1.ip_address", "192.0.2.1");
	expect_int(call(t, GET, "/api/admin/audit-logs?action=login", admin.bearer, NULL), "total", 1);
	expect_int(call(t, GET, PATH(t, "/api/admin/audit-logs?user_id=%s", user), admin.bearer, NULL), "total", 1);
	expect_int(call(t, GET, "/api/admin/audit-logs?from=2026-08-02", admin.bearer, NULL), "total", 1);
	expect_int(call(t, GET, "/api/admin/audit-logs?to=2026-08-01", admin.bearer, NULL), "total", 1);
	expect_int(call(t, GET, "/api/admin/audit-logs?from=2026-08-01T12:00:00Z&to=2026-08-02", admin.bearer, NULL), "total", 2);
	expect_error(call(t, GET, "/api/admin/audit-logs?page=501", admin.bearer, NULL), 422, "page_too_deep");
	expect_error(call(t, GET, "/api/admin/approval-requests?page=501", admin.bearer, NULL), 422, "page_too_deep");
	expect_error(call(t, GET, "/api/admin/audit-logs?action=nonsense", admin.bearer, NULL), 422, "validation_error");
	expect_error(call(t, GET, "/api/admin/audit-logs?limit=101", admin.bearer, NULL), 422, "validation_error");
}

/* Disabled or demoted: in force at the next request, with a token that has not expired. */
static void
changes_are_in_force_at_once(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN), keeper = test_user(t, ROLE_ADMIN);

	(void)keeper;
	expect_status(call(t, GET, "/api/admin/audit-logs", admin.bearer, NULL), 200);
	sql_run(t, PATH(t, "UPDATE users SET role = 'student' WHERE id = '%s'", admin.id.text));
	expect_error(call(t, GET, "/api/admin/audit-logs", admin.bearer, NULL), 403, "forbidden");
	sql_run(t, PATH(t, "UPDATE users SET is_active = 0 WHERE id = '%s'", admin.id.text));
	struct test_reply *r = call(t, GET, "/api/admin/audit-logs", admin.bearer, NULL);
	assert_true(r->status == 401 || r->status == 403);
	expect_error(refresh(t, admin.refresh_token), 401, "token_revoked");
	if (t->pg_url)
		test_advance(t, SECONDS_US); /* what another program writes is seen there when the session's lease ends */
	expect_error(
		call(t, GET, "/api/auth/me", admin.bearer, NULL), 401, "token_revoked"); /* that write made the table forget */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(from_signup_to_logout),
		STANDARD(signup_refuses),
		STANDARD(taken_address_answers_alike),
		cmocka_unit_test(signup_is_limited),
		STANDARD(failed_logins_are_equal_bytes),
		STANDARD(states_after_a_right_password),
		STANDARD(login_takes_forms),
		STANDARD(second_factor_shape),
		STANDARD(known_device_over_the_wire),
		cmocka_unit_test(web_cookie),
		STANDARD(reuse_over_the_wire),
		cmocka_unit_test(refresh_is_limited),
		STANDARD(only_admins_decide),
		STANDARD(decision_is_idempotent),
		STANDARD(audit_list_over_the_wire),
		STANDARD(changes_are_in_force_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
