/* An event's roll as a workbook: read back by unpacking the file and looking into its sheet. */
#include "attendance_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static uint32_t
le(const char *p, int bytes)
{
	uint32_t v = 0;

	for (int i = bytes; i-- > 0;)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

/* One member of a ZIP file, by its central directory; NULL when there is none of that name. */
static const char *
unzip(struct test *t, const struct test_reply *r, const char *name)
{
	const char *end = r->body + r->body_n - 22;

	while (end > r->body && memcmp(end, "PK\5\6", 4) != 0)
		end--;
	assert_memory_equal(end, "PK\5\6", 4);
	const char *p = r->body + le(end + 16, 4);
	for (uint32_t i = 0; i < le(end + 10, 2); i++, p += 46 + le(p + 28, 2) + le(p + 30, 2) + le(p + 32, 2)) {
		if (le(p + 28, 2) != strlen(name) || memcmp(p + 46, name, strlen(name)) != 0)
			continue;
		const char *local = r->body + le(p + 42, 4);
		char *out = arena_alloc(&t->arena, le(p + 24, 4) + 1, 1);
		z_stream z = {.next_in = (Bytef *)(local + 30 + le(local + 26, 2) + le(local + 28, 2)),
			.avail_in = le(p + 20, 4),
			.next_out = (Bytef *)out,
			.avail_out = le(p + 24, 4)};
		assert_int_equal(inflateInit2(&z, -MAX_WBITS), Z_OK);
		assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
		inflateEnd(&z);
		return out;
	}
	return NULL;
}

static void
expect_cell(const char *sheet, const char *cell, const char *text)
{
	char want[300];

	snprintf(want, sizeof(want), "<c r=\"%s\" t=\"inlineStr\"><is><t>%s</t></is></c>", cell, text);
	if (!strstr(sheet, want))
		fail_msg("no %s in %s", want, sheet);
}

static void
every_cell_is_a_text(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN),
			 risky = test_user_named(t, ROLE_STUDENT, "risky@example.org", "=cmd|' /C calc'!A0"),
			 plain = test_user_named(t, ROLE_STUDENT, "plain@example.org", "<Ada> & \xC3\x89");
	struct event e = make_event(t, &admin, event_plain(t, "Algorithms"));
	const char *path = PATH(t, "/api/admin/events/%s/attendance", e.id.text);
	const struct test_user *const who[] = {&risky, &plain};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		test_advance(t, SECONDS_US);
		expect_status(
			call(t, POST, path, admin.bearer,
				PATH(t, "{'user_id':'%s','status':'late','reason':'%s'}", who[i]->id.text, i ? "12345" : "-1+1")),
			201);
	}
	struct test_reply *r = call(t, GET, PATH(t, "%s.xlsx", path), admin.bearer, NULL);
	expect_status(r, 200);
	assert_string_equal(r->x.reply.content_type, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
	expect_head(r, "Content-Disposition", PATH(t, "attachment; filename=\"attendance-%s.xlsx\"", e.id.text));
	expect_head(r, "Cache-Control", "no-store");
	const char *sheet = unzip(t, r, "xl/worksheets/sheet1.xml");
	assert_non_null(sheet);
	expect_cell(sheet, "C2", "'=cmd|' /C calc'!A0");
	expect_cell(sheet, "D2", "risky@example.org");
	expect_cell(sheet, "H2", "'-1+1");
	expect_cell(sheet, "C3", "&lt;Ada&gt; &amp; \xC3\x89");
	expect_cell(sheet, "E3", "late");
	expect_cell(sheet, "G3", "2026-08-01T12:00:02Z");
	expect_cell(sheet, "H3", "12345");
	assert_null(strstr(sheet, "<f>"));
	assert_null(strstr(sheet, "<v>"));
	assert_int_equal(count(t, "SELECT COUNT(*) FROM audit_logs WHERE action = 'export' AND details LIKE '%\"xlsx\"%'"), 1);
	test_close(t);
}

static int
lines(const struct test_reply *r)
{
	int n = 0;

	for (const char *p = r->body; (p = strchr(p, '\n')); p++)
		n++;
	return n;
}

/* One page of a list and one record more. */
static void
a_full_roll_and_an_empty_one(void **state)
{
	struct test *t = test_open(NULL);
	struct test_user admin = test_user(t, ROLE_ADMIN), student = test_user(t, ROLE_STUDENT);
	struct event e = make_event(t, &admin, event_plain(t, "Algorithms"));
	const char *path = PATH(t, "/api/admin/events/%s/attendance.xlsx", e.id.text);

	(void)state;
	const char *sheet = unzip(t, call(t, GET, path, admin.bearer, NULL), "xl/worksheets/sheet1.xml");
	assert_non_null(strstr(sheet, "r=\"I1\""));
	assert_null(strstr(sheet, "r=\"A2\""));
	sql_run(t,
		PATH(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)"
			" INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, "
			"created_at,"
			" updated_at) SELECT uuid(printf('01890a5d-ac96-774b-bcce-%%012d', i)), printf('s%%d@many.example', i), 'Some "
			"One',"
			" 'student', 1, 1, 1, 1, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000' FROM n"));
	sql_run(t, PATH(t,
			   "INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, "
			   "recorded_at)"
			   " SELECT id, '%s', id, 'present', 'present', 'import', created_at, created_at FROM users WHERE email "
			   "LIKE "
			   "'%%many.example'",
			   e.id.text));
	sheet = unzip(t, call(t, GET, path, admin.bearer, NULL), "xl/worksheets/sheet1.xml");
	assert_non_null(strstr(sheet, "r=\"A5002\""));
	struct test_reply *csv = call(t, GET, PATH(t, "/api/admin/events/%s/attendance.csv", e.id.text), admin.bearer, NULL);
	assert_int_equal(lines(csv), 1 + LIST_MAX + 1);
	assert_non_null(strstr(csv->body, "s1@many.example"));
	assert_non_null(strstr(csv->body, "s5001@many.example"));
	sql_run(t, PATH(t, "UPDATE events SET kind = 'session' WHERE id = '%s'", e.id.text));
	csv = call(t, GET, PATH(t, "/api/v1/lecturer/sessions/%s/export", e.id.text), admin.bearer, NULL);
	expect_status(csv, 200);
	assert_int_equal(lines(csv), 1 + LIST_MAX + 1);
	expect_error(call(t, GET, path, student.bearer, NULL), 403, "forbidden");
	expect_error(call(t, GET, "/api/admin/events/01890a5d-ac96-774b-bcce-b302099a8057/attendance.xlsx", admin.bearer, NULL),
		404, "not_found");
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_a_text),
		cmocka_unit_test(a_full_roll_and_an_empty_one),
	};

	return cmocka_run_group_tests_name("portal: workbooks", tests, NULL, NULL);
}
