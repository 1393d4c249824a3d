/* Marks, claims, records and rolls over the dispatcher, and the search for codes in what a student can read. */
#include "attendance_env.h"

#include <stdio.h>

static struct test_reply *
mark(struct room *r, const struct test_user *u, const char *name, const char *value)
{
	return call(r->t, POST, "/api/attendance/mark", u->bearer, PATH(r->t, "{'%s':'%s'}", name, value));
}

static struct test_reply *
claim(struct room *r, const char *payload)
{
	return call(r->t, POST, "/api/attendance/claim", NULL, PATH(r->t, "{'qr_payload':'%s'}", payload));
}

/* --- a mark, and what is seen of it ---------------------------------------------------------------------------------------- */

static void
a_mark_is_seen_everywhere(void **state)
{
	struct room r = room_open();
	struct test_reply *m = mark(&r, &r.student, "qr_payload", r.code.qr_payload), *again;

	(void)state;
	expect_status(m, 201);
	expect_text(m, "event.id", r.event.id.text);
	expect_text(m, "event.title", "Algorithms");
	expect_text(m, "event.scheduled_at", "2026-08-01T12:00:00Z");
	expect_text(m, "marked_at", "2026-08-01T12:00:00Z");
	test_advance(r.t, 5 * SECONDS_US);
	again = mark(&r, &r.student, "qr_payload", r.code.qr_payload);
	expect_error(again, 409, "duplicate_attendance");
	expect_text(again, "attendance_id", text_at(m, "attendance_id"));
	expect_text(again, "marked_at", "2026-08-01T12:00:00Z");

	struct test_reply *e = call(r.t, GET, PATH(r.t, "/api/events/%s", r.event.id.text), r.student.bearer, NULL);
	expect_json(e, "user_attended", "true");
	expect_int(e, "attendance_count", 1);
	e = call(r.t, GET, "/api/attendance/me", r.student.bearer, NULL);
	expect_text(e, "records.0.attendance_id", text_at(m, "attendance_id"));
	expect_text(e, "records.0.status", "present");
	expect_int(e, "attended", 1);
	expect_int(e, "total", 1);
	assert_true(json_number_value(reply_at(e, "attendance_rate")) == 100.0);
	e = call(r.t, GET, PATH(r.t, "/api/admin/events/%s/attendance", r.event.id.text), r.admin.bearer, NULL);
	expect_text(e, "event.title", "Algorithms");
	expect_text(e, "records.0.user.email", r.student.email);
	expect_text(e, "records.0.method", "qr");
	expect_json(e, "records.0.marked_by", "null");
	expect_int(e, "total", 1);
	expect_int(call(r.t, GET, "/api/admin/qr-sessions/active", r.admin.bearer, NULL), "sessions.0.marks", 1);
	expect_int(call(r.t, GET, "/api/admin/stats", r.admin.bearer, NULL), "attendance.total_records", 1);
	expect_json(call(r.t, GET, "/api/attendance/me", r.admin.bearer, NULL), "records", "[]");
	test_close(r.t);
}

static void
rolls_are_for_administrators(void **state)
{
	struct room r = room_open();
	const char *roll = PATH(r.t, "/api/admin/events/%s/attendance", r.event.id.text);
	const char *csv = PATH(r.t, "/api/admin/events/%s/attendance.csv", r.event.id.text);
	const char *none = "/api/admin/events/01890a5d-ac96-774b-bcce-b302099a8057/attendance";

	(void)state;
	struct test_user risky = test_user_named(r.t, ROLE_STUDENT, "risky@example.org", "=cmd|' /C calc'!A0");
	expect_status(mark(&r, &risky, "qr_payload", r.code.qr_payload), 201);
	expect_error(call(r.t, GET, roll, r.student.bearer, NULL), 403, "forbidden");
	expect_error(call(r.t, GET, csv, r.student.bearer, NULL), 403, "forbidden");
	expect_error(call(r.t, GET, csv, NULL, NULL), 401, "not_authenticated");
	expect_error(call(r.t, GET, none, r.admin.bearer, NULL), 404, "not_found");
	expect_error(call(r.t, GET, PATH(r.t, "%s.csv", none), r.admin.bearer, NULL), 404, "not_found");
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'export'"), 0);
	struct test_reply *f = call(r.t, GET, csv, r.admin.bearer, NULL);
	expect_status(f, 200);
	assert_string_equal(f->x.reply.content_type, "text/csv; charset=utf-8");
	expect_head(f, "Content-Disposition", PATH(r.t, "attachment; filename=\"attendance-%s.csv\"", r.event.id.text));
	assert_non_null(strstr(f->body, ",'=cmd|' /C calc'!A0,risky@example.org,present,qr,"));
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'export' AND result = 'success'"), 1);
	test_close(r.t);
}

/* --- refusals, in the order of the contract, each with its audit reason ---------------------------------------------------- */

static void
expect_refused(struct room *r, struct test_reply *got, int status, const char *code)
{
	expect_error(got, status, code);
	const char *details =
		sql_text(r->t, "SELECT action || ' ' || result || ' ' || details FROM audit_logs ORDER BY seq DESC LIMIT 1");
	if (strncmp(details, "attendance_failed failure ", 26) != 0 || !strstr(details, PATH(r->t, "\"%s\"", code)))
		fail_msg("%s is audited as %s", code, details);
}

static void
refusals_by_state_of_the_event(void **state)
{
	static const struct {
		const char *sql; /* one fault; undone afterwards by the copy of the row */
		int status;
		const char *code;
		bool of_student;
	} rows[] = {
		{"UPDATE qr_sessions SET is_revoked = 1", 400, "qr_revoked", false},
		{"UPDATE qr_sessions SET expires_at = '2026-08-01 12:00:00.000000'", 400, "token_expired", false},
		{"UPDATE events SET is_deleted = 1", 404, "event_not_found", false},
		{"UPDATE events SET kind = 'session', scheduled_at = '2026-08-01 12:30:00.000000'", 409, "event_not_open", false},
		{"UPDATE events SET kind = 'session', closed_at = '2026-08-01 12:00:00.000000'", 409, "session_closed", false},
		{"UPDATE events SET capacity = 1, taken = 1", 409, "event_full", false},
		{"INSERT INTO enrollments SELECT course_id, owner_id, created_at FROM events", 403, "not_enrolled", true},
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct room r = room_open();

	(void)state;
	sql_run(r.t, PATH(r.t,
			     "INSERT INTO courses VALUES ('01890a5d-ac96-774b-bcce-b302099a8057', 'C', 'C', '%s', 0, '2026-01-01 "
			     "00:00:00.000000')",
			     r.admin.id.text));
	sql_run(r.t, "UPDATE events SET course_id = '01890a5d-ac96-774b-bcce-b302099a8057'");
	sql_run(r.t, "CREATE TABLE kept_events AS SELECT * FROM events");
	sql_run(r.t, "CREATE TABLE kept_codes AS SELECT * FROM qr_sessions");
	for (int i = 0; i < ROWS; i++) {
		for (int j = i; j < ROWS; j++) { /* the later fault as well: the earlier one is told */
			sql_run(r.t, rows[i].sql);
			if (j != i)
				sql_run(r.t, rows[j].sql);
			expect_refused(&r, mark(&r, &r.student, "qr_payload", r.code.qr_payload), rows[i].status, rows[i].code);
			struct test_reply *c = claim(&r, r.code.qr_payload);
			if (rows[i].of_student)
				expect_status(c, 201);
			else
				expect_error(c, rows[i].status, rows[i].code);
			sql_run(r.t, "DELETE FROM enrollments");
			sql_run(r.t, "UPDATE events SET (kind, scheduled_at, closed_at, capacity, taken, is_deleted) ="
				     " (SELECT kind, scheduled_at, closed_at, capacity, taken, is_deleted FROM kept_events)");
			sql_run(r.t, "UPDATE qr_sessions SET (is_revoked, expires_at) = (SELECT is_revoked, expires_at FROM "
				     "kept_codes)");
		}
	}
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM attendance_records"), 0);
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM used_nonces"), 0);
	expect_status(mark(&r, &r.student, "qr_payload", r.code.qr_payload), 201);
	sql_run(r.t, "DELETE FROM attendance_records");
	expect_refused(&r, mark(&r, &r.student, "qr_payload", r.code.qr_payload), 400, "nonce_reused");
	test_close(r.t);
}

static void
refusals_of_the_code_itself(void **state)
{
	struct room r = room_open();
	char *forged = arena_strdup(&r.t->arena, r.code.qr_payload);
	struct ctx cx;

	(void)state;
	expect_refused(&r, mark(&r, &r.student, "qr_payload", "no code"), 400, "invalid_qr");
	expect_error(claim(&r, "no code"), 400, "invalid_qr");
	size_t at = strlen(forged) - 20;
	forged[at] = forged[at] == 'A' ? 'Q' : 'A';
	expect_refused(&r, mark(&r, &r.student, "qr_payload", forged), 400, "invalid_signature");
	expect_error(claim(&r, forged), 400, "invalid_signature");
	ctx_as(r.t, &cx, NULL);
	expect_refused(&r, mark(&r, &r.student, "qr_payload", qr_payload(&cx, r.student.id.text, "n", r.code.expires_at)), 400,
		"invalid_qr");
	expect_refused(&r, mark(&r, &r.student, "claim", "no claim"), 400, "invalid_qr");
	expect_refused(&r, call(r.t, POST, "/api/attendance/mark", r.student.bearer, "{}"), 422, "validation_error");
	expect_error(call(r.t, POST, "/api/attendance/mark", r.student.bearer, "{'qr_payload':'x','status':'present'}"), 422,
		"validation_error");
	expect_error(call(r.t, POST, "/api/attendance/mark", NULL, PATH(r.t, "{'qr_payload':'%s'}", r.code.qr_payload)), 401,
		"not_authenticated");
	expect_error(call(r.t, POST, "/api/attendance/claim", NULL, "{'code':'ABCDEF'}"), 422, "validation_error");
	expect_error(call(r.t, POST, "/api/attendance/claim", NULL, "{'public_key':{}}"), 422, "validation_error");

	/* The picture's URL is as good as the payload. */
	expect_status(mark(&r, &r.student, "qr_payload", PATH(r.t, "https://muster.example/c#%s", r.code.qr_payload)), 201);
	test_close(r.t);
}

static void
claims_over_http(void **state)
{
	struct room r = room_open();
	struct browser mine = browser_open(r.t), theirs = browser_open(r.t);
	int64_t rows = count(r.t, "SELECT COUNT(*) FROM audit_logs");

	(void)state;
	struct test_reply *c = call(r.t, POST, "/api/attendance/claim", NULL,
		PATH(r.t, "{\"qr_payload\":\"%s\",\"public_key\":%s}", r.code.qr_payload, mine.jwk));
	expect_status(c, 201);
	expect_text(c, "event.title", "Algorithms");
	expect_text(c, "expires_at", "2026-08-01T12:15:00Z");
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM audit_logs"), rows);
	const char *token = text_at(c, "claim");
	const char *wrong = browser_sign(r.t, &theirs, token), *right = browser_sign(r.t, &mine, token);
	expect_refused(&r, mark(&r, &r.student, "claim", token), 400, "invalid_proof");
	expect_refused(&r,
		call(r.t, POST, "/api/attendance/mark", r.student.bearer, PATH(r.t, "{'claim':'%s','proof':'%s'}", token, wrong)),
		400, "invalid_proof");
	struct event_new in = event_plain(r.t, "No claims any more");
	struct event e = make_event(r.t, &r.admin, in);
	struct qr_session code = make_code(r.t, &r.admin, &e);
	const char *early = text_at(claim(&r, code.qr_payload), "claim");
	expect_status(
		call(r.t, PATCH, PATH(r.t, "/api/admin/events/%s", e.id.text), r.admin.bearer, "{'policy':{'claim':'off'}}"),
		200);
	expect_error(claim(&r, code.qr_payload), 409, "conflict");
	expect_refused(&r, mark(&r, &r.student, "claim", early), 409, "conflict");

	test_advance(r.t, 14 * MINUTES_US);
	test_login(r.t, &r.student);
	c = call(r.t, POST, "/api/attendance/mark", r.student.bearer, PATH(r.t, "{'claim':'%s','proof':'%s'}", token, right));
	expect_status(c, 201);
	expect_text(c, "marked_at", "2026-08-01T12:00:00Z");
	browser_close(&mine);
	browser_close(&theirs);
	test_close(r.t);
}

/* Typed codes need no camera; the claim's way has them too. */
static void
typed_codes_over_http(void **state)
{
	struct room r = room_open();
	const char *body = PATH(r.t, "{'code':'%.3s-%s','event_id':'%s'}", r.code.code, r.code.code + 3, r.event.id.text);

	(void)state;
	struct test_reply *c = call(r.t, POST, "/api/attendance/claim", NULL, body);
	expect_status(c, 201);
	expect_status(mark(&r, &r.student, "claim", text_at(c, "claim")), 201);
	assert_string_equal(sql_text(r.t, "SELECT method FROM attendance_records"), "code");
	struct test_user other = test_user(r.t, ROLE_STUDENT);
	expect_status(call(r.t, POST, "/api/attendance/mark", other.bearer, body), 201);
	test_close(r.t);
}

/* --- limits and repetition ------------------------------------------------------------------------------------------------- */

static void
five_marks_a_minute(void **state)
{
	struct room r = room_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_user other = test_user(r.t, ROLE_STUDENT);

	(void)state;
	for (int i = 0; i < 5; i++)
		expect_status(mark(&r, &r.student, "qr_payload", "x"), 400);
	struct test_reply *limited = mark(&r, &r.student, "qr_payload", r.code.qr_payload);
	expect_error(limited, 429, "rate_limited");
	assert_non_null(reply_head(limited, "Retry-After"));
	expect_status(mark(&r, &other, "qr_payload", r.code.qr_payload), 201);
	test_advance(r.t, MINUTES_US);
	struct qr_session fresh = make_code(r.t, &r.admin, &r.event);
	expect_status(mark(&r, &r.student, "qr_payload", fresh.qr_payload), 201);
	test_close(r.t);
}

static void
limits_are_configuration(void **state)
{
	struct room r =
		room_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true", "RL_MARK_ACCOUNT_LIMIT=2", "RL_QR_ADMIN_LIMIT=1", "RL_CODE_ACCOUNT_LIMIT=1"));
	const char *event = PATH(r.t, "{'event_id':'%s'}", r.event.id.text);
	const char *typed = PATH(r.t, "{'code':'000000','event_id':'%s'}", r.event.id.text);

	(void)state;
	expect_status(call(r.t, POST, "/api/admin/qr-sessions", r.admin.bearer, event), 201);
	expect_error(call(r.t, POST, "/api/admin/qr-sessions", r.admin.bearer, event), 429, "rate_limited");
	expect_error(call(r.t, POST, "/api/attendance/mark", r.student.bearer, typed), 400, "invalid_qr");
	expect_error(call(r.t, POST, "/api/attendance/mark", r.student.bearer, typed), 429, "rate_limited");
	expect_error(mark(&r, &r.student, "qr_payload", r.code.qr_payload), 429, "rate_limited");
	test_close(r.t);
}

/* A hall behind one address claims far more often than a minute's 60, but not with foreign payloads. */
static void
a_hall_may_claim(void **state)
{
	struct room r = room_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true"));

	(void)state;
	for (int i = 0; i < 300; i++)
		expect_status(claim(&r, r.code.qr_payload), 201);
	for (int i = 0; i < 60; i++)
		expect_error(claim(&r, "foreign"), 400, "invalid_qr");
	expect_error(claim(&r, "foreign"), 429, "rate_limited");
	expect_status(claim(&r, r.code.qr_payload), 201);
	test_close(r.t);
}

static struct test_reply *
type_code(struct room *r, const struct test_user *u, const struct event *event, const char *code)
{
	return call(r->t, POST, "/api/attendance/mark", u->bearer, PATH(r->t, "{'code':'%s','event_id':'%s'}", code, event->id.text));
}

static const char *
wrong_of(struct test *t, const char *code)
{
	return arena_printf(&t->arena, "%c%s", code[0] == 'Z' ? 'Y' : 'Z', code + 1);
}

static void
guessing_is_counted(void **state)
{
	struct room r = room_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true", "RL_MARK_ACCOUNT_LIMIT=100", "RL_QR_ADMIN_LIMIT=100"));
	struct test_user other = test_user(r.t, ROLE_STUDENT);
	const char *wrong = wrong_of(r.t, r.code.code);

	(void)state;
	for (int i = 0; i < 5; i++)
		expect_error(type_code(&r, &r.student, &r.event, wrong), 400, "invalid_qr");
	struct test_reply *limited = type_code(&r, &r.student, &r.event, r.code.code);
	expect_error(limited, 429, "rate_limited");
	expect_text(limited, "message", "Too many wrong codes; wait, or scan the picture.");
	assert_non_null(reply_head(limited, "Retry-After"));
	expect_status(type_code(&r, &other, &r.event, r.code.code), 201);		 /* somebody else's guesses are not ours */
	expect_status(mark(&r, &r.student, "qr_payload", r.code.qr_payload), 201); /* and pictures go on */

	/* Right codes cost nothing, whatever becomes of the mark. */
	for (int i = 0; i < 8; i++) {
		struct event e = make_event(r.t, &r.admin, event_plain(r.t, "More"));
		struct qr_session code = make_code(r.t, &r.admin, &e);
		expect_status(type_code(&r, &other, &e, code.code), 201);
		expect_error(type_code(&r, &other, &e, code.code), 409, "duplicate_attendance");
	}
	test_close(r.t);
}

static void
guessing_without_login_is_counted(void **state)
{
	struct room r = room_open_with(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_request rq = {.method = POST,
		.path = "/api/attendance/claim",
		.body = PATH(r.t, "{\"code\":\"%s\",\"event_id\":\"%s\"}", wrong_of(r.t, r.code.code), r.event.id.text)};

	(void)state;
	for (int address = 0, tries = 0; tries <= 300; address++) {
		rq.ip = arena_printf(&r.t->arena, "192.0.2.%d", address);
		for (int i = 0; i < 30 && tries <= 300; i++, tries++)
			expect_status(call_with(r.t, &rq), tries == 300 ? 429 : 400);
		if (address == 0)
			expect_error(call_with(r.t, &rq), 429, "rate_limited");
	}
	test_close(r.t);
}

static void
a_repeated_request_gets_its_reply_again(void **state)
{
	struct room r = room_open();
	struct test_request rq = {.method = POST,
		.path = "/api/attendance/mark",
		.bearer = r.student.bearer,
		.idempotency_key = "k1",
		.body = PATH(r.t, "{\"qr_payload\":\"%s\"}", r.code.qr_payload)};
	struct test_reply *first = call_with(r.t, &rq);

	(void)state;
	expect_status(first, 201);
	test_advance(r.t, HOURS_US);
	test_login(r.t, &r.student);
	rq.bearer = r.student.bearer;
	struct test_reply *again = call_with(r.t, &rq);
	expect_status(again, 201);
	assert_string_equal(first->body, again->body);
	rq.idempotency_key = "k2";
	expect_error(call_with(r.t, &rq), 400, "token_expired");
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM attendance_records"), 1);
	test_close(r.t);
}

enum { THREADS = 64 };
struct racer {
	struct room *room;
	pthread_barrier_t *start;
	int status;
};

static void *
race(void *arg)
{
	struct racer *a = arg;

	pthread_barrier_wait(a->start);
	struct test_request rq = {.method = POST,
		.path = "/api/attendance/mark",
		.bearer = a->room->student.bearer,
		.body = a->room->code.qr_payload};
	a->status = call_with(a->room->t, &rq)->status;
	return NULL;
}

static void
sixty_four_taps_are_one_mark(void **state)
{
	struct room r = room_open();
	struct racer racers[THREADS];
	pthread_t threads[THREADS];
	pthread_barrier_t start;
	int created = 0, conflicts = 0;

	(void)state;
	r.code.qr_payload = PATH(r.t, "{\"qr_payload\":\"%s\"}", r.code.qr_payload);
	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){&r, &start, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		created += racers[i].status == 201;
		conflicts += racers[i].status == 409;
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(created, 1);
	assert_int_equal(conflicts, THREADS - 1);
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM attendance_records"), 1);
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_marked'"), 1);
	assert_int_equal(count(r.t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'attendance_failed'"), THREADS - 1);
	test_close(r.t);
}

/* --- leaks ----------------------------------------------------------------------------------------------------------------- */

static const char *
fill_path(struct room *r, const char *path)
{
	struct buf b;

	buf_init(&b, &r->t->arena, 0);
	for (const char *p = path; *p; p++) {
		if (*p != '{') {
			buf_chr(&b, *p);
			continue;
		}
		buf_str(&b, strstr(path, "qr-sessions") ? r->code.session_id.text : r->event.id.text);
		p = strchr(p, '}');
	}
	return buf_cstr(&b);
}

static void
expect_no_code(struct room *r, const char *what, const char *text, size_t n)
{
	const char *nonce = sql_text(r->t, "SELECT token FROM qr_sessions");
	const char *const secrets[] = {r->code.qr_payload, r->code.code, nonce, "0123456789abcdef0123456789abcdef-codes"};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		assert_true(strlen(secrets[i]) >= SHORT_CODE_CHARS);
		if (memmem(text, n, secrets[i], strlen(secrets[i])))
			fail_msg("%s tells a code: %s", what, text);
	}
}

static void
no_reply_to_a_student_tells_a_code(void **state)
{
	struct room r = room_open();
	struct test_user other = test_user(r.t, ROLE_STUDENT);
	size_t seen = 0;

	(void)state;
	expect_status(mark(&r, &other, "qr_payload", r.code.qr_payload), 201);
	for (size_t i = 0; i < route_table_count; i++) {
		for (size_t k = 0; k < route_tables[i]->count; k++) {
			const struct route *row = &route_tables[i]->rows[k];
			const char *path = fill_path(&r, row->path);
			for (int signed_in = 0; signed_in < 2; signed_in++) {
				/* Each time another student: some of these requests sign the account out. */
				struct test_user u = test_user(r.t, ROLE_STUDENT);
				struct test_reply *got = call(r.t, row->method, path, signed_in ? u.bearer : NULL,
					row->method == GET ? NULL
					: row->body	   ? "{}"
							   : NULL);
				expect_no_code(&r, path, got->body, got->body_n);
				for (size_t h = 0; h < got->x.reply.n_headers; h++)
					expect_no_code(
						&r, path, got->x.reply.headers[h].value, strlen(got->x.reply.headers[h].value));
				seen++;
			}
		}
	}
	assert_true(seen >= 40);

	/* Replies that answer a code must not give back more than was said. */
	struct test_reply *replies[] = {mark(&r, &r.student, "qr_payload", r.code.qr_payload),
		mark(&r, &r.student, "qr_payload", r.code.qr_payload), claim(&r, r.code.qr_payload),
		call(r.t, GET, "/api/attendance/me", r.student.bearer, NULL),
		call(r.t, GET, "/api/events", r.student.bearer, NULL),
		call(r.t, GET, "/api/notifications", r.student.bearer, NULL)};
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		expect_no_code(&r, "a reply", replies[i]->body, replies[i]->body_n);
	const char *trail = sql_text(r.t, "SELECT group_concat(details || COALESCE(entity_id, '')) FROM audit_logs");
	expect_no_code(&r, "the audit trail", trail, strlen(trail));
	test_close(r.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_is_seen_everywhere),
		cmocka_unit_test(rolls_are_for_administrators),
		cmocka_unit_test(refusals_by_state_of_the_event),
		cmocka_unit_test(refusals_of_the_code_itself),
		cmocka_unit_test(claims_over_http),
		cmocka_unit_test(typed_codes_over_http),
		cmocka_unit_test(five_marks_a_minute),
		cmocka_unit_test(limits_are_configuration),
		cmocka_unit_test(a_hall_may_claim),
		cmocka_unit_test(guessing_is_counted),
		cmocka_unit_test(guessing_without_login_is_counted),
		cmocka_unit_test(a_repeated_request_gets_its_reply_again),
		cmocka_unit_test(sixty_four_taps_are_one_mark),
		cmocka_unit_test(no_reply_to_a_student_tells_a_code),
	};

	return cmocka_run_group_tests_name("portal: attendance", tests, NULL, NULL);
}
