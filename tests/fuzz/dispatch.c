/*
 * Requests to the dispatcher, in process: a lecturer's course with an event and a session under way, and a script of requests on it.
 *
 *	POST /api/attendance/mark?x=1
 *	as: student            (or lecturer, admin, other: another student; without it: nobody)
 *	after: 3600            (seconds by which the clock moves first)
 *	Content-Type: text/csv
 *
 *	body, up to a line of three equals signs, behind which the next request begins
 *
 * "@course" and its like stand for what the database and the replies so far hold, see `names`.  The database is made anew every
 * SCRIPTS_KEPT scripts.
 */
#include "fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "unit/campus_env.h"

enum { SCRIPTS_KEPT = 50, REQUESTS_MAX = 8, HEADERS_MAX = 16, EXPANDED_MAX = 64 << 10 };

static struct campus campus;
static int scripts;
static struct name {
	const char *name, *value;
} names[16];

static void
name_set(const char *name, const char *value)
{
	size_t i = 0;

	while (names[i].name && strcmp(names[i].name, name) != 0)
		i++;
	HOLDS(i < sizeof(names) / sizeof(names[0]) - 1);
	names[i] = (struct name){name, value};
}

static void
campus_begin(void)
{
	memset(names, 0, sizeof(names));
	campus = campus_open_with(TEST_CONF("ACCESS_TOKEN_EXPIRE_MINUTES=120", "PUBLIC_BASE_URL=https://attend.example.org"));
	const char *session = session_id(&campus, "");
	struct test_reply *qr = qr_of(&campus, session);
	struct test_reply *event = post(&campus, &campus.admin, "/api/admin/events",
		"{'title':'Lecture','scheduled_at':'2026-08-01T11:00:00Z','ends_at':'2026-08-01T14:00:00Z'}");
	expect_status(event, 201);
	struct test_reply *code = post(&campus, &campus.admin, "/api/admin/qr-sessions", TEXT(&campus, "{'event_id':'%s'}", text_at(event, "id")));
	expect_status(code, 201);
	name_set("course", campus.course);
	name_set("session", session);
	name_set("event", text_at(event, "id"));
	name_set("payload", text_at(code, "qr_payload"));
	name_set("code", text_at(code, "code"));
	name_set("qrid", text_at(qr, "qr_session_id"));
	name_set("nonce", text_at(qr, "qr_nonce"));
	name_set("student", campus.students[0].id.text);
	name_set("refresh", campus.students[0].refresh_token);
	name_set("email", campus.students[0].email);
	name_set("id", NOBODYS_ID);
	name_set("token", "x");
}

void
fuzz_dispatch_end(void)
{
	if (campus.t)
		test_close(campus.t);
	campus = (struct campus){0};
	scripts = 0;
}

static struct span
expand(struct arena *a, struct span in)
{
	struct buf out;

	buf_init(&out, a, in.n + 512);
	for (size_t i = 0; i < in.n && out.n < EXPANDED_MAX; i++) {
		size_t n = 0;

		for (size_t k = 0; in.p[i] == '@' && names[k].name && n == 0; k++) {
			n = strlen(names[k].name);
			if (in.n - i - 1 < n || memcmp(in.p + i + 1, names[k].name, n) != 0)
				n = 0;
			else
				buf_str(&out, names[k].value);
		}
		if (n == 0)
			buf_chr(&out, (char)in.p[i]);
		i += n;
	}
	return buf_span(&out);
}

static enum method
method_read(const char *text)
{
	for (enum method m = GET; m < METHOD__OTHER; m++)
		if (strcmp(method_name(m), text) == 0)
			return m;
	return METHOD__OTHER;
}

static const char *
bearer_of(const char *who)
{
	const struct name rows[] = {{"student", campus.students[0].bearer}, {"other", campus.students[1].bearer},
		{"lecturer", campus.lecturer.bearer}, {"admin", campus.admin.bearer}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, who) == 0)
			return rows[i].value;
	return NULL;
}

/*
 * What the front lets through (http/guard.c): a target of visible ASCII, names that are tokens, values without control characters.
 * But for the description of the routes: it takes no input, and writing it costs as much as a hundred other requests.
 */
static bool
target_good(const char *path)
{
	for (const char *p = path; *p; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return false;
	return path[0] == '/' && !strstr(path, "openapi");
}

static bool
header_take(struct arena *a, const char *line, struct test_request *rq, struct header *headers)
{
	const char *colon = strchr(line, ':');

	if (!colon || colon == line || rq->n_headers == HEADERS_MAX)
		return false;
	const char *name = arena_strndup(a, line, (size_t)(colon - line)), *value = str_trim(a, colon + 1);
	for (const char *p = name; *p; p++)
		if (!isalnum((uint8_t)*p) && !strchr("-_", *p))
			return false;
	for (const char *p = value; *p; p++)
		if (((uint8_t)*p < ' ' && *p != '\t') || *p == 0x7f)
			return false;
	if (strcmp(name, "as") == 0) {
		rq->bearer = bearer_of(value);
	} else if (strcmp(name, "after") == 0) {
		int64_t s = 0;
		if (str_int(value, 0, 100000, &s))
			test_advance(campus.t, s * SECONDS_US);
	} else if (strcasecmp(name, "Content-Type") == 0) {
		rq->content_type = value;
	} else {
		headers[rq->n_headers++] = (struct header){name, value};
	}
	return true;
}

static void
reply_is_sound(const struct test_reply *r)
{
	const struct reply *rs = &r->x.reply;

	HOLDS(r->status >= 200 && r->status < 600 && r->status != 500);
	HOLDS(r->status < 400 || r->x.request.method == HEAD || (rs->content_type && str_starts(rs->content_type, "text/")) || error_code(r)[0]);
	for (size_t i = 0; i < rs->n_headers; i++)
		HOLDS(!strpbrk(rs->headers[i].name, "\r\n: ") && !strpbrk(rs->headers[i].value, "\r\n"));
}

/* What later requests may need of a reply. */
static void
remember(const struct test_reply *r)
{
	static const struct name rows[] = {{"id", "id"}, {"token", "token"}, {"token", "claim_token"}, {"token", "mfa_token"},
		{"refresh", "refresh_token"}, {"id", "attendance_id"}, {"nonce", "qr_nonce"}, {"qrid", "qr_session_id"}};

	for (size_t i = 0; r->json && i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *value = json_string_value(reply_at(r, rows[i].value));
		if (value)
			name_set(rows[i].name, arena_strdup(&campus.t->arena, value));
	}
}

/* No reply does, but one that quotes a request which learned it from what the program compares. */
static bool
names_directory(const void *text, size_t n)
{
	return memmem(text, n, campus.t->dir, strlen(campus.t->dir)) != NULL;
}

static void
run_request(struct arena *a, struct span in)
{
	const struct span text = in;
	struct test_request rq = {.content_type = NULL};
	struct header headers[HEADERS_MAX];
	const char *line = fuzz_line(a, &in), *blank = strchr(line, ' ');

	if (!blank || !target_good(blank + 1))
		return;
	rq.method = method_read(arena_strndup(a, line, (size_t)(blank - line)));
	rq.path = blank + 1;
	rq.headers = headers;
	while (in.n && *(line = fuzz_line(a, &in)))
		if (!header_take(a, line, &rq, headers))
			return;
	if (in.n) {
		rq.body = memcpy(arena_new(a, char, in.n + 1), in.p, in.n);
		rq.body_n = in.n;
	}
	const struct test_reply *r = call_with(campus.t, &rq);
	reply_is_sound(r);
	HOLDS(!names_directory(r->body, r->body_n) || names_directory(text.p, text.n));
	remember(r);
}

void
fuzz_dispatch(struct arena *a, struct span in)
{
	static const char cut[] = "\n===\n";

	if (scripts++ % SCRIPTS_KEPT == 0) {
		fuzz_dispatch_end();
		campus_begin();
		scripts = 1;
	}
	for (int i = 0; i < REQUESTS_MAX && in.n; i++) {
		const uint8_t *end = memmem(in.p, in.n, cut, strlen(cut));
		size_t n = end ? (size_t)(end - in.p) : in.n, skip = end ? n + strlen(cut) : n;

		run_request(a, expand(a, (struct span){in.p, n}));
		in.p += skip;
		in.n -= skip;
	}
}
