/*
 * Makes a database for the benchmarks, on either engine, and the requests to send to it.  Reads the same environment as the server.
 *
 *	seed DIR STUDENTS EVENTS [SESSIONS | USERS RECORDS AUDIT_ROWS]
 *
 * Writes into DIR:  marks.req (STUDENTS × EVENTS marks, one student after the other per event), burst.req (one mark for each
 * student on an event of its own), me.req, events.req, stats.req, audit.req, login.req (one each per student or one for the admin),
 * and peer.json: what another program needs to read these tokens and codes.
 *
 * With SESSIONS there are so many campus sessions as well, with a fence, of one course with all students on its roster; the first half
 * of them bound a device a week ago, "phone-<number>"; and campus.json says the sessions' codes and the students' tokens.  With the
 * three last numbers (SQLite only) the tables are filled up to that size first, as a club or university would have after years.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attendance/device_parts.h"
#include "attendance/rotation.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/log.h"
#include "identity/password.h"
#include "identity/session.h"
#include "store/db.h"
#include "store/migrate.h"

extern char **environ;

struct bench {
	struct ctx cx;
	sqlite3 *raw;
	const char *dir;
	int64_t students, events, sessions;
	struct account *who;
	char (*token)[1024];
	struct uuid *event_id;
	char **payload;
	struct uuid *session_id, course_id;
	const char *admin_token, *password_hash;
	struct uuid admin_id;
};

static void
die(const char *what, const char *why)
{
	fprintf(stderr, "seed: %s: %s\n", what, why ? why : "");
	exit(1);
}

static void
sql(struct bench *b, const char *text)
{
	char *message = NULL;

	if (sqlite3_exec(b->raw, text, NULL, NULL, &message) != SQLITE_OK)
		die(text, message);
}

struct turn { /* of at most a hundred rows */
	struct bench *b;
	int64_t from, to;
};

static void
in_turns(struct bench *b, int64_t count, enum err (*fn)(struct ctx *cx, void *arg), const char *what)
{
	enum { ROWS = 100 };

	for (int64_t i = 0; i < count; i += ROWS) {
		struct turn t = {b, i, i + ROWS < count ? i + ROWS : count};

		if (db_write(&b->cx, fn, &t) != OK)
			die(what, b->cx.error.internal);
	}
}

SQL(SEED_USER, "uttttm",
	"INSERT INTO users (id, email, full_name, role, is_active, password_hash, mail_decisions, mail_marks, mail_reminders,"
	" created_at, updated_at) VALUES ($1, $2, $3, $4, TRUE, $5, TRUE, TRUE, TRUE, $6, $6)");

static enum err
people_turn(struct ctx *cx, void *arg)
{
	struct turn *t = arg;
	struct bench *b = t->b;

	for (int64_t i = t->from; i < t->to; i++) {
		b->who[i] = (struct account){.id = new_id(cx), .role = ROLE_STUDENT, .is_active = true, .disabled_at = TIME_NONE,
			.email = arena_printf(cx->arena, "bench-%06lld@example.org", (long long)i),
			.full_name = arena_printf(cx->arena, "Student %06lld", (long long)i)};
		TRY(db_exec(cx, &SEED_USER, NULL, V(b->who[i].id.text), V(b->who[i].email), V(b->who[i].full_name), V("student"),
			V(b->password_hash), V(cx->now_us)));
	}
	return OK;
}

static enum err
make_admin(struct ctx *cx, void *arg)
{
	struct bench *b = arg;

	b->admin_id = new_id(cx);
	return db_exec(cx, &SEED_USER, NULL, V(b->admin_id.text), V("bench-admin@example.org"), V("Bench Admin"), V("admin"),
		V(b->password_hash), V(cx->now_us));
}

SQL(SEED_EVENT, "utmu",
	"INSERT INTO events (id, kind, title, scheduled_at, owner_id, taken, generation, require_device, require_face, is_deleted,"
	" created_at, updated_at) VALUES ($1, 'event', $2, $3, $4, 0, 0, FALSE, FALSE, FALSE, $3, $3)");
SQL(SEED_CODE, "uuttumm",
	"INSERT INTO qr_sessions (id, event_id, token, key_id, created_by, created_at, expires_at, is_revoked)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE)");

static enum err
events_turn(struct ctx *cx, void *arg)
{
	struct turn *t = arg;
	struct bench *b = t->b;
	int64_t expires_us = (cx->now_us / SECONDS_US + 86400) * SECONDS_US;

	for (int64_t i = t->from; i < t->to; i++) {
		struct uuid qr_id = new_id(cx);
		uint8_t noise[16];
		char nonce[32];

		b->event_id[i] = new_id(cx);
		TRY(db_exec(cx, &SEED_EVENT, NULL, V(b->event_id[i].text), V(arena_printf(cx->arena, "Lecture %lld", (long long)i)),
			V(cx->now_us), V(b->admin_id.text)));
		random_bytes(cx, noise, sizeof(noise));
		b64url_encode((struct span){noise, sizeof(noise)}, nonce);
		TRY(db_exec(cx, &SEED_CODE, NULL, V(qr_id.text), V(b->event_id[i].text), V(nonce),
			V(key_current(cx->srv->keys, KEY_QR)->id), V(b->admin_id.text), V(cx->now_us), V(expires_us)));
		b->payload[i] = qr_payload(cx, qr_id.text, nonce, expires_us);
	}
	return OK;
}

static void
make_people_and_events(struct bench *b)
{
	if (db_write(&b->cx, make_admin, b) != OK)
		die("administrator", b->cx.error.internal);
	in_turns(b, b->students, people_turn, "people");
	in_turns(b, b->events, events_turn, "events");
}

/* --- a course, its roster and its sessions ---- */

SQL(SEED_COURSE, "uum",
	"INSERT INTO courses (id, code, title, owner_id, is_deleted, created_at) VALUES ($1, 'MA101', 'Algorithms', $2, FALSE, $3)");
SQL(SEED_ENROL, "uum", "INSERT INTO enrollments (course_id, user_id, created_at) VALUES ($1, $2, $3)");
SQL(SEED_SESSION, "uuuttmmi",
	"INSERT INTO events (id, course_id, owner_id, label, title, scheduled_at, ends_at, rotate_seconds, kind, taken, generation,"
	" latitude, longitude, geofence_radius_m, require_device, require_face, is_deleted, created_at, updated_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'session', 0, 0, 52.5163, 13.3777, 60, TRUE, FALSE, FALSE, $6, $6)");

/* One code for the length of the run: the benchmark's requests are written before it. */
enum { ONE_STEP_SECONDS = 2000000000 };

static enum err
make_course(struct ctx *cx, void *arg)
{
	struct bench *b = arg;

	b->course_id = new_id(cx);
	return db_exec(cx, &SEED_COURSE, NULL, V_ID(b->course_id), V_ID(b->admin_id), V(cx->now_us));
}

static enum err
roster_turn(struct ctx *cx, void *arg)
{
	struct turn *t = arg;

	for (int64_t i = t->from; i < t->to; i++)
		TRY(db_exec(cx, &SEED_ENROL, NULL, V_ID(t->b->course_id), V_ID(t->b->who[i].id), V(cx->now_us)));
	return OK;
}

SQL(SEED_DEVICE, "uuttm",
	"INSERT INTO devices (id, user_id, device_hash, key_id, status, created_at) VALUES ($1, $2, $3, $4, 'bound', $5)");

static enum err
devices_turn(struct ctx *cx, void *arg)
{
	const struct key *key = key_current(cx->srv->keys, KEY_DEVICE_ID);
	struct turn *t = arg;

	for (int64_t i = t->from; i < t->to; i++) {
		const struct device_shown phone = {.text = arena_printf(cx->arena, "phone-%lld", (long long)i)};
		char hash[B64_SHA256_CHARS + 1];
		struct uuid id = new_id(cx);

		device_hash(key, &phone, hash);
		TRY(db_exec(cx, &SEED_DEVICE, NULL, V_ID(id), V_ID(t->b->who[i].id), V((const char *)hash), V(key->id),
			V(cx->now_us - 7 * DAYS_US)));
	}
	return OK;
}

static enum err
sessions_turn(struct ctx *cx, void *arg)
{
	struct turn *t = arg;
	struct bench *b = t->b;

	for (int64_t i = t->from; i < t->to; i++) {
		const char *label = arena_printf(cx->arena, "A%03lld", (long long)i);

		b->session_id[i] = new_id(cx);
		TRY(db_exec(cx, &SEED_SESSION, NULL, V_ID(b->session_id[i]), V_ID(b->course_id), V_ID(b->admin_id), V(label), V(label),
			V(cx->now_us), V(cx->now_us + HOURS_US), V((int64_t)ONE_STEP_SECONDS)));
	}
	return OK;
}

static void
make_sessions(struct bench *b)
{
	if (db_write(&b->cx, make_course, b) != OK)
		die("course", b->cx.error.internal);
	in_turns(b, b->students, roster_turn, "roster");
	in_turns(b, b->students / 2, devices_turn, "devices");
	in_turns(b, b->sessions, sessions_turn, "sessions");
}

static void
write_campus(struct bench *b)
{
	const struct key *key = key_current(b->cx.srv->keys, KEY_CODE);
	char path[1024], nonce[QR_NONCE_MAX + 1];
	FILE *f;

	snprintf(path, sizeof(path), "%s/campus.json", b->dir);
	f = fopen(path, "we");
	if (f == NULL)
		die(path, "cannot be written");
	fputs("{\"sessions\":[", f);
	for (int64_t i = 0; i < b->sessions; i++) {
		const struct rotation r = {b->session_id[i].text, 0, ONE_STEP_SECONDS};

		rotation_nonce(key, &r, rotation_at(b->cx.now_us, ONE_STEP_SECONDS).step, nonce);
		fprintf(f, "%s{\"id\":\"%s\",\"nonce\":\"%s\"}", i ? "," : "", b->session_id[i].text, nonce);
	}
	fputs("],\"tokens\":[", f);
	for (int64_t i = 0; i < b->students; i++)
		fprintf(f, "%s\"%s\"", i ? "," : "", b->token[i]);
	fputs("]}\n", f);
	fclose(f);
}

static enum err
mint_turn(struct ctx *cx, void *arg)
{
	struct turn *t = arg;
	struct proof proof = {.password = true};
	struct tokens tokens;

	for (int64_t i = t->from; i < t->to; i++) {
		TRY(mint_session(cx, &t->b->who[i], &proof, &tokens));
		str_copy(t->b->token[i], sizeof(t->b->token[i]), tokens.access_token);
	}
	return OK;
}

static enum err
mint_admin(struct ctx *cx, void *arg)
{
	struct bench *b = arg;
	struct account admin = {.id = b->admin_id, .role = ROLE_ADMIN, .is_active = true, .email = "bench-admin@example.org",
		.full_name = "Bench Admin", .disabled_at = TIME_NONE};
	struct proof proof = {.password = true};
	struct tokens tokens;

	TRY(mint_session(cx, &admin, &proof, &tokens));
	b->admin_token = arena_strdup(b->cx.arena, tokens.access_token);
	return OK;
}

static void
make_tokens(struct bench *b)
{
	in_turns(b, b->students, mint_turn, "mint");
	if (db_write(&b->cx, mint_admin, b) != OK)
		die("mint", b->cx.error.internal);
}

/* Years of use, straight into the tables. */
static void
make_history(struct bench *b, int64_t users, int64_t records, int64_t audit_rows)
{
	const char *file = strstr(b->cx.srv->conf->database_url, "///");
	int64_t events = records / 500 + 1;
	char text[2048];

	if (file == NULL || sqlite3_open(file + 3, &b->raw) != SQLITE_OK)
		die("history", "needs a SQLite database");
	sql(b, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000");
	sql(b, "BEGIN");
	snprintf(text, sizeof(text),
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %lld)"
		" INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, created_at, updated_at)"
		" SELECT printf('00000000-0000-7000-8000-%%012x', i), printf('old-%%07d@example.org', i), printf('Old Student %%d', i),"
		" 'student', 1, 1, 1, 1, '2023-01-01 00:00:00.000000', '2023-01-01 00:00:00.000000' FROM n",
		(long long)users);
	sql(b, text);
	snprintf(text, sizeof(text),
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %lld)"
		" INSERT INTO events (id, kind, title, scheduled_at, ends_at, owner_id, taken, generation, require_device, require_face,"
		" expected, is_deleted, created_at, updated_at)"
		" SELECT printf('00000001-0000-7000-8000-%%012x', i), 'event', printf('Old lecture %%d', i),"
		" strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000', 'now', printf('-%%d hours', i * 9)),"
		" strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000', 'now', printf('-%%d hours', i * 9 - 2)), '%s', 0, 0, 0, 0, 600, 0,"
		" '2023-01-01 00:00:00.000000', '2023-01-01 00:00:00.000000' FROM n",
		(long long)events, b->admin_id.text);
	sql(b, text);
	snprintf(text, sizeof(text),
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %lld)"
		" INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at)"
		" SELECT printf('00000002-0000-7000-8000-%%012x', i), printf('00000001-0000-7000-8000-%%012x', i / 500 + 1),"
		" printf('00000000-0000-7000-8000-%%012x', (i * 7919) %% %lld + 1), 'present', 'present', 'qr',"
		" '2024-01-01 00:00:00.000000', '2024-01-01 00:00:00.000000' FROM n",
		(long long)records - 1, (long long)users);
	sql(b, text);
	snprintf(text, sizeof(text),
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %lld)"
		" INSERT INTO audit_logs (id, created_at, action, result, actor_id, entity_type, entity_id, ip_address, user_agent,"
		" request_id, details)"
		" SELECT printf('00000003-0000-7000-8000-%%012x', i),"
		" strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000', 'now', printf('-%%d seconds', (%lld - i) * 30)),"
		" CASE i %% 4 WHEN 0 THEN 'login' WHEN 1 THEN 'attendance_failed' ELSE 'attendance_marked' END, 'success',"
		" printf('00000000-0000-7000-8000-%%012x', i %% %lld + 1), 'attendance_record',"
		" printf('00000002-0000-7000-8000-%%012x', i), '192.0.2.1', 'Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36',"
		" printf('00000004-0000-7000-8000-%%012x', i), '{}' FROM n",
		(long long)audit_rows, (long long)audit_rows, (long long)users);
	sql(b, text);
	/* What the counting job would have done as the marks came. */
	sql(b, "INSERT INTO event_counts (event_id, records, attended, present)"
	       " SELECT event_id, count(*), count(*), count(*) FROM attendance_records GROUP BY event_id");
	sql(b, "UPDATE positions SET reached = (SELECT max(id) FROM attendance_records)");
	sql(b, "COMMIT");
	sql(b, "ANALYZE");
	sqlite3_close(b->raw);
}

static void
put_request(FILE *f, const char *method, const char *path, const char *token, const char *body)
{
	char text[8192], auth[1200] = "";
	uint32_t n;

	if (token != NULL)
		snprintf(auth, sizeof(auth), "Authorization: Bearer %s\r\n", token);
	if (body != NULL)
		n = (uint32_t)snprintf(text, sizeof(text),
			"%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36\r\n%s"
			"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			method, path, auth, strlen(body), body);
	else
		n = (uint32_t)snprintf(text, sizeof(text),
			"%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36\r\n%s\r\n",
			method, path, auth);
	if (fwrite(&n, 4, 1, f) != 1 || fwrite(text, n, 1, f) != 1)
		die("write", "request file");
}

static FILE *
request_file(struct bench *b, const char *name)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.req", b->dir, name);
	f = fopen(path, "we");
	if (f == NULL)
		die(path, "cannot be written");
	return f;
}

static void
write_requests(struct bench *b)
{
	FILE *marks = request_file(b, "marks"), *burst = request_file(b, "burst"), *me = request_file(b, "me"),
	     *login = request_file(b, "login"), *events = request_file(b, "events"), *stats = request_file(b, "stats"),
	     *audit = request_file(b, "audit");
	char body[1024];

	for (int64_t e = 0; e < b->events; e++) {
		snprintf(body, sizeof(body), "{\"qr_payload\":\"%s\"}", b->payload[e]);
		for (int64_t i = 0; i < b->students; i++)
			put_request(e == 0 ? burst : marks, "POST", "/api/attendance/mark", b->token[i], body);
	}
	for (int64_t i = 0; i < b->students; i++) {
		put_request(me, "GET", "/api/auth/me", b->token[i], NULL);
		snprintf(body, sizeof(body), "{\"username\":\"%s\",\"password\":\"Correct-horse-7\"}", b->who[i].email);
		put_request(login, "POST", "/api/auth/login", NULL, body);
	}
	put_request(events, "GET", "/api/events", b->admin_token, NULL);
	put_request(stats, "GET", "/api/admin/stats", b->admin_token, NULL);
	put_request(audit, "GET", "/api/admin/audit-logs", b->admin_token, NULL);
	put_request(audit, "GET", "/api/admin/audit-logs?action=login_failed&page=1&limit=100", b->admin_token, NULL);
	put_request(audit, "GET", "/api/admin/audit-logs?action=login&page=3&limit=100", b->admin_token, NULL);
	fclose(marks);
	fclose(burst);
	fclose(me);
	fclose(login);
	fclose(events);
	fclose(stats);
	fclose(audit);
}

static void
write_peer(struct bench *b)
{
	const struct key *access = key_current(b->cx.srv->keys, KEY_ACCESS), *qr = key_current(b->cx.srv->keys, KEY_QR);
	const struct config *conf = b->cx.srv->conf;
	char access_hex[2 * KEY_BYTES + 1], qr_hex[2 * KEY_BYTES + 1], path[1024];
	FILE *f;

	hex_encode(key_span(access), access_hex);
	hex_encode(key_span(qr), qr_hex);
	snprintf(path, sizeof(path), "%s/peer.json", b->dir);
	f = fopen(path, "we");
	if (f == NULL)
		die(path, "cannot be written");
	fprintf(f, "{\"access_kid\":\"%s\",\"access_key\":\"%s\",\"qr_key\":\"%s\",\"issuer\":\"%s\",\"audience\":\"%s\"}\n",
		access->id, access_hex, qr_hex, conf->jwt_issuer, conf->jwt_audience);
	fclose(f);
}

int
main(int argc, char **argv)
{
	struct arena arena;
	struct bench b = {0};
	struct server srv = {0};
	const char *message = NULL;
	int applied;

	if (argc != 4 && argc != 5 && argc != 7) {
		fprintf(stderr, "usage: seed DIR STUDENTS EVENTS [SESSIONS | USERS RECORDS AUDIT_ROWS]\n");
		return 2;
	}
	arena_init(&arena);
	srv.conf = conf_load((const char *const *)environ, NULL, &message);
	if (srv.conf == NULL)
		die("configuration", message);
	srv.keys = keys_open(srv.conf);
	srv.source = source_system;
	srv.sessions = session_table_open(1024);
	ctx_init(&b.cx, &arena, &srv);
	b.dir = argv[1];
	b.students = strtoll(argv[2], NULL, 10);
	b.events = strtoll(argv[3], NULL, 10);
	b.sessions = argc == 5 ? strtoll(argv[4], NULL, 10) : 0;
	b.who = arena_new(&arena, struct account, (size_t)b.students);
	b.token = arena_alloc(&arena, (size_t)b.students, sizeof(*b.token));
	b.event_id = arena_new(&arena, struct uuid, (size_t)b.events);
	b.payload = arena_new(&arena, char *, (size_t)b.events);
	b.session_id = arena_new(&arena, struct uuid, (size_t)b.sessions);
	if (password_hash(&b.cx, "Correct-horse-7", &b.password_hash) != OK)
		die("hash", "no memory");
	if (migrate_up(&arena, srv.conf->database_url, b.cx.now_us, &applied, &message) != OK)
		die("migrate", message);
	if (db_open(&arena, &(struct db_options){.url = srv.conf->database_url, .readers = 1, .cache_mb = 64}, &srv.store, &message) != OK)
		die("open", message);
	make_people_and_events(&b);
	if (b.sessions > 0)
		make_sessions(&b);
	make_tokens(&b);
	db_close(srv.store);
	if (argc == 7)
		make_history(&b, strtoll(argv[4], NULL, 10), strtoll(argv[5], NULL, 10), strtoll(argv[6], NULL, 10));
	write_requests(&b);
	write_peer(&b);
	if (b.sessions > 0)
		write_campus(&b);
	printf("{\"students\":%lld,\"events\":%lld}\n", (long long)b.students, (long long)b.events);
	return 0;
}
