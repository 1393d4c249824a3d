/*
 * The phases of a request, over a small table of routes made for it: what is refused, in which order, in which words, and what
 * every reply carries.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/conf.h"
#include "http/limit.h"

/* --- rows made for these tests ---- */

struct word {
	const char *word;
};
static const struct field word_fields[] = {F(struct word, word, 0, 0, 0, "A word.")};
static const struct schema word_schema = SCHEMA("Word", struct word, word_fields);

struct item_in {
	const char *title;
	int64_t amount;
	const char *grant_type;
};
static const struct field item_in_fields[] = {
	F(struct item_in, title, F_REQUIRED | F_TRIM, 1, 20, "What it is."),
	F(struct item_in, amount, 0, 1, 10, "How many."),
	F(struct item_in, grant_type, F_TOLERATED, 0, 0, "Ignored."),
};
static const struct schema item_in_schema = SCHEMA("ItemIn", struct item_in, item_in_fields);

struct range {
	int64_t page;
};
static const struct field range_fields[] = {F(struct range, page, 0, 1, 100, "Page.")};
static const struct schema range_schema = SCHEMA("Range", struct range, range_fields);

static enum err
say(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)cx;
	return reply_record(rs, &word_schema, &(struct word){rq->params[0] ? rq->params[0] : "hello"});
}

static enum err
say_who(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)rq;
	return reply_record(rs, &word_schema, &(struct word){cx->actor ? cx->actor->email : "nobody"});
}

static enum err
say_title(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct item_in *in = rq->body;

	(void)cx;
	return reply_record(rs, &word_schema, &(struct word){in->title});
}

SQL(TOUCH, "t",
	"INSERT INTO guards (name, touched) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET touched = guards.touched + 1");

/* Writes first and fails then, so that the undo can be seen. */
static enum err
touch(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct item_in *in = rq->body;
	const char *title = in ? in->title : "bare";

	TRY(db_exec(cx, &TOUCH, NULL, V(title)));
	if (strcmp(title, "undo") == 0) {
		error_text(cx, "attendance_id", "a-1");
		error_number(cx, "left", 3);
		reply_header(rs, "Set-Cookie", "left=behind");
		return fail(cx, ERR_CONFLICT, "It is \"taken\".");
	}
	if (strcmp(title, "refuse") == 0)
		return refuse(cx, ERR_CONFLICT);
	if (strcmp(title, "unlisted") == 0)
		return fail(cx, ERR_EMAIL_TAKEN, NULL);
	if (strcmp(title, "limited") == 0)
		return fail(cx, ERR_RATE_LIMITED, NULL);
	if (strcmp(title, "internal") == 0)
		return fail_internal(cx, ERR_INTERNAL, "secret detail");
	return reply_record(rs, &word_schema, &(struct word){title});
}

static enum err
missing(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)rq;
	(void)rs;
	return fail(cx, ERR_NOT_FOUND, NULL);
}

static enum err
page(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)cx;
	if (request_header(rq, "X-Own"))
		reply_header(rs, "Permissions-Policy", "camera=(self)");
	return reply_bytes(rs, "text/html; charset=utf-8", SPAN_LIT("<p>"));
}

#define ROW(m, p, fn, acc, ln)                                                                                            \
	.method = (m), .path = (p), .handler = (fn), .access = (acc), .lane = (ln), .status = 200, .reply = &word_schema, \
	.tag = "test", .summary = "Test"

static const struct route portal_rows[] = {
	{ROW(GET, "/api/t/open", say, ANYONE, LANE_LOOP)},
	{ROW(GET, "/api/t/who", say_who, ANYONE, LANE_READ)},
	{ROW(GET, "/api/t/me", say_who, SIGNED_IN, LANE_LOOP)},
	{ROW(GET, "/api/t/student", say_who, STUDENT, LANE_LOOP)},
	{ROW(GET, "/api/t/lecturer", say_who, LECTURER, LANE_LOOP)},
	{ROW(GET, "/api/t/reviewer", say_who, REVIEWER, LANE_LOOP)},
	{ROW(GET, "/api/t/admin", say_who, ADMIN, LANE_READ)},
	{ROW(GET, "/api/t/hall", say, ANYONE, LANE_LOOP), .hall = true},
	{ROW(GET, "/api/t/twice", say, SIGNED_IN, LANE_LOOP), .limit = {{"twice", 2, 60}, BY_ACCOUNT, 0}},
	{ROW(GET, "/api/t/configured", say, ANYONE, LANE_LOOP),
		.limit = {{"configured", 99, 60}, BY_IP, offsetof(struct config, rl_mark_account_limit)}},
	{ROW(GET, "/api/t/items", say, SIGNED_IN, LANE_LOOP), .query = &range_schema},
	{ROW(GET, "/api/t/items/fixed", say_who, ANYONE, LANE_LOOP)},
	{ROW(GET, "/api/t/items/{id}", say, ANYONE, LANE_LOOP)},
	{ROW(GET, "/api/t/items/{id}/missing", missing, ANYONE, LANE_READ)},
	{ROW(GET, "/api/t/names/{name}", say, ANYONE, LANE_LOOP)},
	{ROW(POST, "/api/t/form", say_title, ANYONE, LANE_LOOP), .body = &item_in_schema, .form = true, .no_store = true},
	{ROW(POST, "/api/t/bare", touch, SIGNED_IN, LANE_WRITE)},
	{ROW(POST, "/api/t/hash", say_title, ANYONE, LANE_HASH), .body = &item_in_schema},
	{ROW(POST, "/api/t/work", say_title, ANYONE, LANE_WORK), .body = &item_in_schema},
	{.method = POST,
		.path = "/api/t/items",
		.handler = touch,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.body = &item_in_schema,
		.reply = &word_schema,
		.status = 201,
		.errors = ERRORS(ERR_CONFLICT),
		.failure = AUDIT_EVENT_CREATED,
		.idempotent = true,
		.tag = "test",
		.summary = "Test"},
	{ROW(POST, "/api/t/fresh", touch, ADMIN, LANE_WRITE), .fresh_session = true},
	{.method = GET,
		.path = "/api/t/page",
		.handler = page,
		.access = ANYONE,
		.lane = LANE_LOOP,
		.reply_type = "text/html",
		.status = 200,
		.hidden = true,
		.summary = "Test"},
};
static const struct route campus_rows[] = {
	{ROW(GET, "/api/v1/t/me", say_who, SIGNED_IN, LANE_LOOP)},
	{.method = POST,
		.path = "/api/v1/t/items",
		.handler = touch,
		.access = ANYONE,
		.lane = LANE_WRITE,
		.body = &item_in_schema,
		.reply = &word_schema,
		.status = 201,
		.errors = ERRORS(ERR_CONFLICT),
		.tag = "test",
		.summary = "Test"},
};
static const struct route_table portal = ROUTE_TABLE(SURFACE_PORTAL, portal_rows);
static const struct route_table campus = ROUTE_TABLE(SURFACE_CAMPUS, campus_rows);
static const struct route_table *const tables[] = {&portal, &campus};

static const char some_id[] = "0190d7a3-6a5e-7c4b-8f2d-3b1e5a9c7d10";

static struct test *
open_test(const char *const *conf)
{
	return test_open_with(conf, tables, 2);
}

static struct test_reply *
get(struct test *t, const char *path, const char *bearer)
{
	return call(t, GET, path, bearer, NULL);
}

/* --- routing ---- */

static void
paths_find_their_rows(void **state)
{
	struct test *t = open_test(NULL);
	static const struct {
		enum method method;
		const char *path;
		int status;
		const char *word; /* of a 200 */
	} cases[] = {
		{GET, "/api/t/open", 200, "hello"},
		{GET, "/api/t/open/", 200, "hello"},
		{HEAD, "/api/t/open", 200, "hello"},
		{GET, "/api/t/%6fpen", 200, "hello"},
		{GET, "/api/t/open?any=thing", 200, "hello"},
		{GET, "/api/t/open//", 404, NULL},
		{GET, "//api/t/open", 404, NULL},
		{GET, "/api/t%2Fopen", 404, NULL},
		{GET, "/api/t/op", 404, NULL},
		{GET, "/", 404, NULL},
		{GET, "/api/t/items/fixed", 200, "nobody"},
		{GET, "/api/t/items/0190D7A3-6A5E-7C4B-8F2D-3B1E5A9C7D10", 200, some_id},
		{GET, "/api/t/items/0190d7a3-6a5e-7c4b-8f2d-3b1e5a9c7d1", 404, NULL},
		{GET, "/api/t/items/1", 404, NULL},
		{GET, "/api/t/names/a%20b", 200, "a b"},
		{GET, "/api/t/names/a%2Fb", 200, "a/b"},
		{GET, "/api/t/names/a%zz", 400, NULL},
		{GET, "/api/t/names/a%0", 400, NULL},
		{GET, "/api/t/names/a%00b", 400, NULL},
		{GET, "/api/t/names/a%0ab", 400, NULL},
		{GET, "/api/t/names/%ff", 400, NULL},
		{GET, "/api/t/names/", 404, NULL},
		{GET, "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t", 404, NULL},
		{PUT, "/api/t/open", 405, NULL},
		{METHOD__OTHER, "/api/t/open", 405, NULL},
		{PUT, "/api/t/nothing", 404, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_reply *r = call(t, cases[i].method, cases[i].path, NULL, NULL);
		expect_status(r, cases[i].status);
		if (cases[i].word)
			expect_text(r, "word", cases[i].word);
	}
	expect_head(call(t, DELETE, "/api/t/items", NULL, NULL), "Allow", "GET, HEAD, POST, OPTIONS");
	expect_head(call(t, GET, "/api/t/form", NULL, NULL), "Allow", "POST, OPTIONS");
	test_close(t);
}

/* --- the error documents, to the byte ---- */

static void
errors_have_their_surface_shape(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user lecturer = test_user(t, ROLE_LECTURER);
	static const struct {
		enum method method;
		const char *path, *body;
		bool signed_in;
		const char *reply;
	} cases[] = {
		{GET, "/api/none", NULL, false,
			"{\"error\":\"not_found\",\"message\":\"There is no such thing here.\",\"request_id\":\"r-1\"}"},
		{GET, "/none", NULL, false,
			"{\"error\":\"not_found\",\"message\":\"There is no such thing here.\",\"request_id\":\"r-1\"}"},
		{GET, "/api/v1/none", NULL, false,
			"{\"error\":{\"code\":\"HTTP_ERROR\",\"message\":\"There is no such thing here.\","
			"\"details\":{\"reason\":\"not_found\"},\"request_id\":\"r-1\"}}"},
		{GET, "/v1/none", NULL, false,
			"{\"error\":{\"code\":\"HTTP_ERROR\",\"message\":\"There is no such thing here.\","
			"\"details\":{\"reason\":\"not_found\"},\"request_id\":\"r-1\"}}"},
		{GET, "/v1/health", NULL, false,
			"{\"error\":\"not_found\",\"message\":\"There is no such thing here.\",\"request_id\":\"r-1\"}"},
		{GET, "/apifoo", NULL, false,
			"{\"error\":\"not_found\",\"message\":\"There is no such thing here.\",\"request_id\":\"r-1\"}"},
		{POST, "/api/t/items", "{\"title\":\"undo\"}", true,
			"{\"error\":\"conflict\",\"message\":\"It is \\\"taken\\\".\",\"request_id\":\"r-1\","
			"\"attendance_id\":\"a-1\",\"left\":3}"},
		{POST, "/api/v1/t/items", "{\"title\":\"undo\"}", false,
			"{\"error\":{\"code\":\"HTTP_ERROR\",\"message\":\"It is "
			"\\\"taken\\\".\",\"details\":{\"reason\":\"conflict\","
			"\"attendance_id\":\"a-1\",\"left\":3},\"request_id\":\"r-1\"}}"},
		{POST, "/api/v1/t/items", "{\"title\":\"internal\"}", false,
			"{\"error\":{\"code\":\"INTERNAL_ERROR\",\"message\":\"Something went wrong on our side.\","
			"\"details\":{\"reason\":\"internal_error\"},\"request_id\":\"r-1\"}}"},
		{POST, "/api/t/items", "{\"title\":\"internal\"}", true,
			"{\"error\":\"internal_error\",\"message\":\"Something went wrong on our "
			"side.\",\"request_id\":\"r-1\"}"},
		{POST, "/api/t/items", "[", true,
			"{\"error\":\"malformed_request\",\"message\":\"The body is not well-formed "
			"JSON.\",\"request_id\":\"r-1\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_reply *r = call_with(t, &(struct test_request){.method = cases[i].method,
							    .path = cases[i].path,
							    .body = cases[i].body,
							    .request_id = "r-1",
							    .bearer = cases[i].signed_in ? lecturer.bearer : NULL});
		assert_string_equal(r->body, cases[i].reply);
		expect_head(r, "X-Request-ID", "r-1");
		expect_head(r, "Set-Cookie", NULL);
	}
	test_close(t);
}

static void
validation_names_the_fields(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_ADMIN);
	struct test_reply *r = call(t, POST, "/api/t/items", u.bearer, "{'amount':11,'is_admin':true}");

	(void)state;
	expect_error(r, 422, "validation_error");
	assert_int_equal(json_array_size(reply_at(r, "details")), 3);
	for (size_t i = 0; i < 3; i++) {
		const json_t *note = json_array_get(reply_at(r, "details"), i);
		assert_int_equal(json_object_size(note), 2);
		assert_true(json_is_string(json_object_get(note, "field")) && json_is_string(json_object_get(note, "message")));
	}
	r = call(t, POST, "/api/v1/t/items", NULL, "{'title':'ok','is_admin':true}");
	expect_text(r, "error.code", "VALIDATION_ERROR");
	expect_text(r, "error.details.reason", "validation_error");
	expect_text(r, "error.details.fields.0.field", "is_admin");
	expect_status(call(t, POST, "/api/t/items", u.bearer, "{'title':'ok','grant_type':7}"), 201);
	expect_error(get(t, "/api/t/items?page=0", u.bearer), 422, "validation_error");
	expect_error(get(t, "/api/t/items?pag=1", u.bearer), 422, "validation_error");
	expect_error(get(t, "/api/t/items?page=%zz", u.bearer), 400, "malformed_request");
	expect_status(get(t, "/api/t/items?page=7", u.bearer), 200);
	test_close(t);
}

/* --- bodies ---- */

static void
bodies_are_read_or_refused(void **state)
{
	struct test *t = open_test(NULL);
	static char large[BODY_MAX + 2];
	static const struct {
		const char *path, *type, *body;
		int status;
		const char *code;
	} cases[] = {
		{"/api/t/form", "application/json", "{\"title\":\"a\"}", 200, ""},
		{"/api/t/form", "Application/JSON; charset=UTF-8", "{\"title\":\"a\"}", 200, ""},
		{"/api/t/form", "application/json; charset=latin1", "{\"title\":\"a\"}", 415, "unsupported_media_type"},
		{"/api/t/form", "application/jsonx", "{\"title\":\"a\"}", 415, "unsupported_media_type"},
		{"/api/t/form", "text/plain", "{\"title\":\"a\"}", 415, "unsupported_media_type"},
		{"/api/t/form", "", "{\"title\":\"a\"}", 415, "unsupported_media_type"},
		{"/api/t/form", "", "", 422, "validation_error"},
		{"/api/t/form", "text/plain", "", 422, "validation_error"},
		{"/api/t/form", "application/json", "[]", 400, "malformed_request"},
		{"/api/t/form", "application/json", "{\"title\":\"a\"} x", 400, "malformed_request"},
		{"/api/t/form", "application/json", "{\"title\":\"a\",\"title\":\"b\"}", 400, "malformed_request"},
		{"/api/t/form", "application/json", "{\"title\":\"\xff\"}", 400, "malformed_request"},
		{"/api/t/form", "application/json", "{\"title\":\"a\\u0000\"}", 400, "malformed_request"},
		{"/api/t/form", "application/json", "{\"title\":7}", 422, "validation_error"},
		{"/api/t/form", "application/x-www-form-urlencoded", "title=a&amount=3&grant_type=password", 200, ""},
		{"/api/t/form", "application/x-www-form-urlencoded", "title=a&amount=many", 422, "validation_error"},
		{"/api/t/form", "application/x-www-form-urlencoded", "title=%zz", 400, "malformed_request"},
		{"/api/t/hash", "application/x-www-form-urlencoded", "title=a", 415, "unsupported_media_type"},
		{"/api/t/form", "multipart/form-data; boundary=\"x y\"",
			"--x y\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na\r\n"
			"--x y\r\ncontent-disposition: form-data; name=amount\r\nContent-Type: text/plain\r\n\r\n3\r\n--x "
			"y--\r\n",
			200, ""},
		{"/api/t/form", "multipart/form-data; boundary=x",
			"--x\r\nContent-Disposition: form-data; name=\"title\"; filename=\"f\"\r\n\r\na\r\n--x--", 400,
			"malformed_request"},
		{"/api/t/form", "multipart/form-data; boundary=x",
			"--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na", 400, "malformed_request"},
		{"/api/t/form", "multipart/form-data; boundary=x", "--x", 400, "malformed_request"},
		{"/api/t/form", "multipart/form-data", "--x--", 400, "malformed_request"},
		{"/api/t/form", "multipart/form-data; boundary=x", "--x--", 422, "validation_error"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_reply *r = call_with(
			t, &(struct test_request){
				   .method = POST, .path = cases[i].path, .content_type = cases[i].type, .body = cases[i].body});
		if (r->status != cases[i].status || strcmp(error_code(r), cases[i].code) != 0)
			fail_msg("case %zu: %d %s", i, r->status, r->body);
		if (r->status == 200)
			expect_text(r, "word", "a");
	}
	memset(large, ' ', sizeof(large));
	expect_error(
		call_with(
			t, &(struct test_request){.method = POST, .path = "/api/t/form", .body = large, .body_n = BODY_MAX + 1}),
		413, "body_too_large");
	const struct header gzip = {"Content-Encoding", "gzip"};
	expect_error(call_with(t,
			     &(struct test_request){
				     .method = POST, .path = "/api/t/form", .body = "{}", .headers = &gzip, .n_headers = 1}),
		415, "unsupported_media_type");
	test_close(t);
}

static void
rows_without_body_ignore_it(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(call_with(t, &(struct test_request){.method = POST, .path = "/api/t/bare", .bearer = u.bearer}), 200);
	expect_status(call_with(t, &(struct test_request){.method = POST,
					   .path = "/api/t/bare",
					   .bearer = u.bearer,
					   .body = "{]",
					   .content_type = "text/weird"}),
		200);
	assert_int_equal(count(t, "SELECT touched FROM guards WHERE name = 'bare'"), 2);
	test_close(t);
}

/* --- who asks ---- */

static void
tokens_are_checked(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	const char *forged = arena_printf(&t->arena, "%sx", u.bearer);
	struct test_reply *r = get(t, "/api/t/me", u.bearer);

	(void)state;
	expect_text(r, "word", u.email);
	r = get(t, "/api/t/me", NULL);
	expect_error(r, 401, "not_authenticated");
	expect_head(r, "WWW-Authenticate", "Bearer realm=\"muster\"");
	expect_error(get(t, "/api/t/me", forged), 401, "not_authenticated");
	expect_error(get(t, "/api/v1/t/me", "x"), 401, "not_authenticated");
	expect_text(get(t, "/api/v1/t/me", u.bearer), "word", u.email);
	const struct header basic = {"Authorization", "Basic YTpi"}, odd = {"Authorization", "bEARER  x"};
	expect_error(call_with(t, &(struct test_request){.method = GET, .path = "/api/t/me", .headers = &basic, .n_headers = 1}),
		401, "not_authenticated");
	expect_error(call_with(t, &(struct test_request){.method = GET, .path = "/api/t/me", .headers = &odd, .n_headers = 1}),
		401, "not_authenticated");

	/* Rows for anyone know who comes with a good token, and do not mind a bad one. */
	expect_text(get(t, "/api/t/who", u.bearer), "word", u.email);
	expect_text(get(t, "/api/t/who", forged), "word", "nobody");
	expect_text(get(t, "/api/t/who", NULL), "word", "nobody");
	test_advance(t, 16 * MINUTES_US);
	r = get(t, "/api/t/me", u.bearer);
	expect_error(r, 401, "token_expired");
	expect_head(r, "WWW-Authenticate", "Bearer realm=\"muster\", error=\"invalid_token\", error_description=\"expired\"");
	expect_text(get(t, "/api/t/who", u.bearer), "word", "nobody");
	test_close(t);
}

static void
ended_sessions_are_refused(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT), first = u;

	(void)state;
	expect_status(get(t, "/api/t/me", first.bearer), 200);
	test_login(t, &u); /* SINGLE_DEVICE: the new session ends the first */
	struct test_reply *r = get(t, "/api/t/me", first.bearer);
	expect_error(r, 401, "token_revoked");
	expect_head(r, "WWW-Authenticate", "Bearer realm=\"muster\", error=\"invalid_token\", error_description=\"revoked\"");
	expect_text(get(t, "/api/t/who", first.bearer), "word", "nobody");
	expect_status(get(t, "/api/t/me", u.bearer), 200);
	test_close(t);
}

static void
roles_are_kept_apart(void **state)
{
	struct test *t = open_test(NULL);
	static const struct {
		const char *path;
		bool may[ROLE__MAX];
	} cases[] = {
		{"/api/t/me", {[ROLE_STUDENT] = true, [ROLE_LECTURER] = true, [ROLE_REVIEWER] = true, [ROLE_ADMIN] = true}},
		{"/api/t/student", {[ROLE_STUDENT] = true}},
		{"/api/t/lecturer", {[ROLE_LECTURER] = true, [ROLE_ADMIN] = true}},
		{"/api/t/reviewer", {[ROLE_REVIEWER] = true, [ROLE_ADMIN] = true}},
		{"/api/t/admin", {[ROLE_ADMIN] = true}},
	};

	(void)state;
	for (enum role role = ROLE_STUDENT; role < ROLE__MAX; role++) {
		struct test_user u = test_user(t, role);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct test_reply *r = get(t, cases[i].path, u.bearer);
			if (cases[i].may[role])
				expect_text(r, "word", u.email);
			else
				expect_error(r, 403, "forbidden");
		}
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_error(get(t, cases[i].path, NULL), 401, "not_authenticated");
	test_close(t);
}

static void
fresh_rows_look_again(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_ADMIN);

	(void)state;
	expect_status(call(t, POST, "/api/t/fresh", u.bearer, NULL), 200);
	/* Another program writes: the table of sessions still holds the old row when the request arrives. */
	sql_run(t, arena_printf(&t->arena, "UPDATE users SET is_active = 0 WHERE id = '%s'", u.id.text));
	struct test_reply *r = call(t, POST, "/api/t/fresh", u.bearer, NULL);
	expect_status(r, 401);
	assert_int_equal(count(t, "SELECT touched FROM guards WHERE name = 'bare'"), 1);
	test_close(t);
}

/* --- order ---- */

static void
phases_keep_their_order(void **state)
{
	struct test *t = open_test(TEST_CONF("RATE_LIMIT_ENABLED=true", "RL_ACCOUNT_LIMIT=4"));
	struct test_user student = test_user(t, ROLE_STUDENT);
	struct test_user lecturer = test_user(t, ROLE_LECTURER);
	struct test_request rq = {
		.method = POST, .path = "/api/t/items", .body = "{", .content_type = "text/plain", .idempotency_key = ""};

	(void)state;
	expect_error(call_with(t, &rq), 401, "not_authenticated"); /* token before body */
	rq.bearer = student.bearer;
	expect_error(call_with(t, &rq), 403, "forbidden"); /* role before body */
	rq.bearer = lecturer.bearer;
	expect_error(call_with(t, &rq), 415, "unsupported_media_type"); /* type before JSON */
	rq.content_type = NULL;
	expect_error(call_with(t, &rq), 400, "malformed_request"); /* JSON before meaning */
	rq.body = "{}";
	expect_error(call_with(t, &rq), 422, "validation_error"); /* meaning before the key */
	rq.body = "{\"title\":\"a\"}";
	expect_error(call_with(t, &rq), 422, "validation_error"); /* then the key */
	expect_error(call_with(t, &rq), 429, "rate_limited");	  /* limit before all of it */
	rq.bearer = NULL;
	expect_error(call_with(t, &rq), 401, "not_authenticated"); /* token before that */
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_find_their_rows),
		cmocka_unit_test(errors_have_their_surface_shape),
		cmocka_unit_test(validation_names_the_fields),
		cmocka_unit_test(bodies_are_read_or_refused),
		cmocka_unit_test(rows_without_body_ignore_it),
		cmocka_unit_test(tokens_are_checked),
		cmocka_unit_test(ended_sessions_are_refused),
		cmocka_unit_test(roles_are_kept_apart),
		cmocka_unit_test(fresh_rows_look_again),
		cmocka_unit_test(phases_keep_their_order),
	};

	return cmocka_run_group_tests_name("api_dispatch", tests, NULL, NULL);
}
