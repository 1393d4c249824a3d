/*
 * Rows that take files: when their prepare() runs and what of it reaches the handler, what a key stands for when the body is a form, and
 * who may send megabytes.
 */
#include "support.h"

#include "core/conf.h"
#include "face_stub.h"

struct note {
	const char *title;
};
static const struct field note_fields[] = {F(struct note, title, 0, 1, 20, "What it is.")};
static const struct schema note_schema = SCHEMA("Note", struct note, note_fields);
struct note_out {
	const char *title;
	int64_t files, bytes, prepared;
};
static const struct field note_out_fields[] = {
	F(struct note_out, title, F_NULLABLE, 0, 0, "What it is."),
	F(struct note_out, files, 0, 0, 0, "How many."),
	F(struct note_out, bytes, 0, 0, 0, "Of the first."),
	F(struct note_out, prepared, 0, 0, 0, "What prepare() left."),
};
static const struct schema note_out_schema = SCHEMA("NoteOut", struct note_out, note_out_fields);

static atomic_int prepared_n;

static enum err
prepare(struct ctx *cx, struct request *rq)
{
	int64_t *left = arena_new(cx->arena, int64_t, 1);

	if (cx->db)
		BUG("prepare() has a connection");
	*left = 100 + atomic_fetch_add(&prepared_n, 1);
	rq->prepared = left;
	if (str_eq(((const struct note *)rq->body)->title, "refuse"))
		return fail(cx, ERR_FACE_UNAVAILABLE, NULL);
	if (str_eq(((const struct note *)rq->body)->title, "mismatch"))
		return fail(cx, ERR_FACE_MISMATCH, NULL);
	return OK;
}

SQL(NOTE_DO, "t",
	"INSERT INTO guards (name, touched) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET touched = guards.touched + 1");

static enum err
note(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct note_out out = {.title = ((const struct note *)rq->body)->title};

	if (rq->parts)
		out.files = rq->parts->n_files;
	if (out.files)
		out.bytes = (int64_t)rq->parts->files[0].bytes.n;
	if (rq->prepared)
		out.prepared = *(const int64_t *)rq->prepared;
	TRY(db_exec(cx, &NOTE_DO, NULL, V("notes")));
	return reply_record(rs, &note_out_schema, &out);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/t/notes",
		.handler = note,
		.access = STUDENT,
		.lane = LANE_WRITE,
		.body = &note_schema,
		.form = true,
		.files = {"photo", 0, 2},
		.prepare = prepare,
		.reply = &note_out_schema,
		.status = 201,
		.errors = ERRORS(ERR_FACE_UNAVAILABLE, ERR_FACE_MISMATCH),
		.failure = AUDIT_FACE_ENROLLED,
		.idempotent = true,
		.tag = "test",
		.summary = "Test"},
	{.method = POST,
		.path = "/api/t/plain",
		.handler = note,
		.access = STUDENT,
		.lane = LANE_WRITE,
		.body = &note_schema,
		.reply = &note_out_schema,
		.status = 201,
		.tag = "test",
		.summary = "Test"},
};
static const struct route_table table = ROUTE_TABLE(SURFACE_PORTAL, rows);
static const struct route_table *const tables[] = {&table};

static struct test *
open_test(void)
{
	atomic_store(&prepared_n, 0);
	return test_open_with(NULL, tables, 1);
}

static struct test_reply *
post(struct test *t, const struct test_user *u, const char *boundary, const char *title, const char *picture, const char *key)
{
	struct buf b;

	buf_init(&b, &t->arena, 1000);
	buf_printf(&b, "--%s\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n%s\r\n", boundary, title);
	buf_printf(&b, "--%s\r\nContent-Disposition: form-data; name=\"scope\"\r\n\r\nunknown\r\n", boundary);
	if (picture) {
		struct span bytes = stub_picture(&t->arena, picture);
		buf_printf(&b, "--%s\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"p\"\r\n\r\n", boundary);
		buf_add(&b, bytes.p, bytes.n);
		buf_str(&b, "\r\n");
	}
	buf_printf(&b, "--%s--\r\n", boundary);
	return call_with(t, &(struct test_request){.method = POST,
				    .path = "/api/t/notes",
				    .bearer = u->bearer,
				    .content_type = arena_printf(&t->arena, "multipart/form-data; boundary=%s", boundary),
				    .body = b.p,
				    .body_n = b.n,
				    .idempotency_key = key});
}

static void
files_are_prepared_before_the_write(void **state)
{
	struct test *t = open_test();
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *r = post(t, &u, "x", "one", "face 0", NULL);

	(void)state;
	expect_status(r, 201);
	expect_text(r, "title", "one");
	expect_int(r, "files", 1);
	expect_int(r, "bytes", (int64_t)stub_picture(&t->arena, "face 0").n);
	expect_int(r, "prepared", 100);
	r = post(t, &u, "x", "two", NULL, NULL);
	expect_int(r, "files", 0);
	expect_int(r, "prepared", 0);
	r = call(t, POST, "/api/t/notes", u.bearer, "{'title':'json'}");
	expect_status(r, 201);
	expect_int(r, "prepared", 0);
	expect_error(call(t, POST, "/api/t/notes", u.bearer, "{'scope':'unknown'}"), 422, "validation_error");
	assert_int_equal(atomic_load(&prepared_n), 1);
	test_close(t);
}

static void
what_cannot_be_prepared_is_refused_and_written_down(void **state)
{
	struct test *t = open_test();
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_error(post(t, &u, "x", "refuse", "face 0", NULL), 503, "face_unavailable");
	expect_error(post(t, &u, "x", "mismatch", "face 0", NULL), 403, "face_mismatch");
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE result = 'failure' AND details LIKE '%face_mismatch%'"), 1);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM guards WHERE name = 'notes'"), 0);
	test_close(t);
}

static void
a_key_stands_for_what_the_form_says(void **state)
{
	struct test *t = open_test();
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *first = post(t, &u, "x", "one", "face 0", "k"), *again = post(t, &u, "y", "one", "face 0", "k");

	(void)state;
	expect_status(first, 201);
	expect_status(again, 201);
	assert_string_equal(again->body, first->body);
	expect_error(post(t, &u, "x", "one", "face 1", "k"), 422, "idempotency_key_reused");
	expect_error(post(t, &u, "x", "two", "face 0", "k"), 422, "idempotency_key_reused");
	expect_error(post(t, &u, "x", "one", NULL, "k"), 422, "idempotency_key_reused");
	assert_int_equal(count(t, "SELECT touched FROM guards WHERE name = 'notes'"), 1);
	test_close(t);
}

/* The ceiling at the headers: megabytes are for who is signed in. */
static void
strangers_send_no_megabytes(void **state)
{
	struct test *t = open_test();
	struct test_user u = test_user(t, ROLE_STUDENT);
	const int64_t files_max = (2 * 5 << 20) + (320 << 10);
	const struct {
		const char *path, *token, *length;
		enum err refusal;
		int64_t max;
		bool stranger;
	} cases[] = {
		{"/api/t/notes", NULL, "1000", OK, files_max, false},
		{"/api/t/notes", NULL, "20000", OK, files_max, true},
		{"/api/t/notes", u.bearer, "9000000", OK, files_max, false},
		{"/api/t/notes/", u.bearer, NULL, OK, files_max, false},
		{"/api/t/notes", NULL, "9000000", ERR_NOT_AUTHENTICATED, files_max, true},
		{"/api/t/notes", NULL, NULL, ERR_NOT_AUTHENTICATED, files_max, true}, /* chunked */
		{"/api/t/notes", "forged", "9000000", ERR_NOT_AUTHENTICATED, files_max, true},
		{"/api/t/plain", NULL, "16384", OK, BODY_MAX, false},
		{"/api/t/plain", NULL, "16385", OK, BODY_MAX, true},
		{"/api/t/plain", "forged", "9000000", OK, BODY_MAX, true},
		{"/api/t/note", u.bearer, "9000000", OK, BODY_MAX, false},
		{"/api/t/notes/x", u.bearer, NULL, OK, BODY_MAX, false},
		{"/api/t/notes/x", NULL, NULL, OK, BODY_MAX, true},
	};

	(void)state;
	for (size_t i = 0; i <= sizeof(cases) / sizeof(cases[0]); i++) {
		bool late = i == sizeof(cases) / sizeof(cases[0]);
		const char *token = late ? u.bearer : cases[i].token, *length = late ? "9000000" : cases[i].length;
		struct header headers[2];
		struct request rq = {.method = POST, .path = late ? "/api/t/notes" : cases[i].path, .id = "r", .ip = "192.0.2.1", .headers = headers};
		struct body_rule rule = {0};
		if (late)
			test_advance(t, 16 * MINUTES_US);
		if (token)
			headers[rq.n_headers++] = (struct header){"Authorization", arena_printf(&t->arena, "Bearer %s", token)};
		if (length)
			headers[rq.n_headers++] = (struct header){"Content-Length", length};
		dispatch_body_limit(t->d, &rq, &rule);
		enum err want = late ? ERR_ACCESS_EXPIRED : cases[i].refusal;
		if (rule.refusal != want || (!late && (rule.stranger != cases[i].stranger || rule.max != cases[i].max)))
			fail_msg("case %zu: %d, %lld, %d", i, (int)rule.refusal, (long long)rule.max, rule.stranger);
	}
	test_close(t);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_prepared_before_the_write),
		cmocka_unit_test(what_cannot_be_prepared_is_refused_and_written_down),
		cmocka_unit_test(a_key_stands_for_what_the_form_says),
		cmocka_unit_test(strangers_send_no_megabytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
