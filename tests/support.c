/*
 * A whole server in process, without sockets.  Everything of a test lies in one folder that test_close() removes, and on one
 * clock that moves only by test_advance(), so nothing here ever waits.
 *
 * MUSTER_TEST_DATABASE_URL (postgresql:///…) makes every test a database of its own on that server instead of a SQLite file.
 *
 * References to layers above store/ are weak: tests of audit/ and identity/ link this object without api/.
 */
#include "support.h"

#include <ftw.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/keys.h"
#include "core/metrics.h"
#include "identity/hasher.h"
#include "identity/password.h"
#include "notify/live.h"
#include "store/migrate.h"

#pragma weak limiter_open
#pragma weak limiter_close
#pragma weak session_table_open
#pragma weak session_table_close
#pragma weak session_table_flush
#pragma weak live_open
#pragma weak live_close
#pragma weak stream_abandon
#pragma weak hasher_open
#pragma weak hasher_close
#pragma weak password_hash
#pragma weak account_insert
#pragma weak account_by_id
#pragma weak mint_session
#pragma weak request_header
#pragma weak method_name
#pragma weak route_tables
#pragma weak route_table_count
#pragma weak dispatch_open_with
#pragma weak dispatch_close
#pragma weak dispatch_strict
#pragma weak dispatch_call
#pragma weak dispatch_route
#pragma weak dispatch_route_count

enum { LIMIT_KEYS = 10000, SESSIONS = 10000, ENV_MAX = 64 };

/* --- clock, chance, folder ---- */

static int64_t
test_wall(void *arg)
{
	return atomic_load(&((struct test *)arg)->wall_us);
}

static int64_t
test_monotonic(void *arg)
{
	return atomic_load(&((struct test *)arg)->monotonic_us);
}

/* SplitMix64: the same bytes in every run, and never the same twice in one. */
static void
test_random(void *arg, void *ret, size_t n)
{
	struct test *t = arg;
	uint8_t *out = ret;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++) {
		uint64_t z = t->random_state += 0x9e3779b97f4a7c15u;
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		out[i] = (uint8_t)(z ^ (z >> 31));
	}
	pthread_mutex_unlock(&t->lock);
}

void
test_advance(struct test *t, int64_t us)
{
	atomic_fetch_add(&t->wall_us, us);
	atomic_fetch_add(&t->monotonic_us, us);
}

void
test_ctx(struct test *t, struct ctx *cx)
{
	ctx_init(cx, &t->arena, &t->srv);
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* --- opening ---- */

/* --- a database on a PostgreSQL server ---- */

static PGresult *
pg_run(const char *url, const char *sql)
{
	PGconn *conn = PQconnectdb(url);
	PGresult *r = PQexec(conn, sql);

	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	PQfinish(conn);
	return r;
}

static const char *
server_url(void)
{
	const char *url = getenv("MUSTER_TEST_DATABASE_URL");

	return url && url[0] ? url : NULL;
}

/* Those of SQLite's that tests look at results with. */
static const char sqlite_functions[] =
	"CREATE FUNCTION json_extract(doc text, path text) RETURNS text LANGUAGE sql AS"
	" $$ SELECT doc::jsonb #>> string_to_array(substr(path, 3), '.') $$;"
	"CREATE FUNCTION concat_step(so_far text, item text, mark text) RETURNS text LANGUAGE sql AS"
	" $$ SELECT CASE WHEN item IS NULL THEN so_far ELSE coalesce(so_far || mark, '') || item END $$;"
	"CREATE FUNCTION concat_step(so_far text, item text) RETURNS text LANGUAGE sql AS"
	" $$ SELECT concat_step(so_far, item, ',') $$;"
	"CREATE AGGREGATE group_concat(text) (sfunc = concat_step, stype = text);"
	"CREATE AGGREGATE group_concat(text, text) (sfunc = concat_step, stype = text);"
	"CREATE FUNCTION printf(form text, n bigint) RETURNS text LANGUAGE sql AS"
	" $$ SELECT regexp_replace(form, '%0(\\d+)d', lpad(n::text, substring(form FROM '%0(\\d+)d')::int, '0')) $$;";

/* The server's URL with another database's name in it. */
static void
make_database(struct test *t)
{
	static atomic_int number;
	const char *url = server_url(), *name = strstr(url, "///"), *rest = strchr(url, '?');

	if (!name)
		fail_msg("MUSTER_TEST_DATABASE_URL: postgresql:///postgres?host=… is meant");
	t->pg_name = arena_printf(&t->arena, "muster_%ld_%d", (long)getpid(), atomic_fetch_add(&number, 1));
	t->pg_url = arena_printf(&t->arena, "%.*s///%s%s", (int)(name - url), url, t->pg_name, rest ? rest : "");
	PQclear(pg_run(url, arena_printf(&t->arena, "CREATE DATABASE %s", t->pg_name)));
	PQclear(pg_run(t->pg_url, sqlite_functions));
}

static struct config *
make_config(struct test *t, const char *const *overrides)
{
	const char *env[ENV_MAX] = {
		"ENV=dev",
		"SECRET_KEY=0123456789abcdef0123456789abcdef-access",
		"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes",
		"TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper",
		"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa",
		"ADMIN_PASSWORD=" TEST_PASSWORD,
		"BCRYPT_ROUNDS=4",
		"RATE_LIMIT_ENABLED=false",
		arena_printf(&t->arena, "DATA_DIR=%s", t->dir),
		arena_printf(&t->arena, "DATABASE_URL=%s", t->pg_url ? t->pg_url : arena_printf(&t->arena, "sqlite:///%s", t->db_path)),
	};
	const char *message = "";
	size_t n = 0;

	while (env[n])
		n++;
	for (; overrides && *overrides; overrides++) {
		size_t name_n = strcspn(*overrides, "=") + 1, at = 0;
		while (at < n && strncmp(env[at], *overrides, name_n) != 0)
			at++;
		if (at == ENV_MAX - 1)
			fail_msg("more than %d variables", ENV_MAX);
		env[at] = *overrides;
		n = at == n ? n + 1 : n;
	}
	struct config *conf = conf_load(env, NULL, &message);
	if (!conf)
		fail_msg("configuration: %s", message);
	return conf;
}

static void
foreign_write(void *arg)
{
	struct test *t = arg;

	if (session_table_flush && t->srv.sessions)
		session_table_flush(t->srv.sessions);
}

static void
open_store(struct test *t)
{
	const struct db_options options = {.url = t->srv.conf->database_url,
		.readers = 2,
		.cache_mb = 8,
		.metrics = t->srv.metrics,
		.foreign_write = foreign_write,
		.arg = t};
	const char *message = "";
	int applied;

	if (migrate_up(&t->arena, t->srv.conf->database_url, t->wall_us, &applied, &message) != OK)
		fail_msg("migrations: %s", message);
	if (db_open(&t->arena, &options, &t->srv.store, &message) != OK)
		fail_msg("database: %s", message);
}

struct test *
test_open_with(const char *const *overrides, const struct route_table *const *tables, size_t n)
{
	struct test *t = calloc(1, sizeof(*t));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(t);
	arena_init(&t->arena);
	pthread_mutex_init(&t->lock, NULL);
	t->wall_us = TEST_START_US;
	t->monotonic_us = HOURS_US;
	t->random_state = 42;
	snprintf(t->dir, sizeof(t->dir), "%s/muster-test-XXXXXX", tmp ? tmp : P_tmpdir);
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->db_path, sizeof(t->db_path), "%s/muster.db", t->dir);
	t->srv.source = (struct source){test_wall, test_monotonic, test_random, t};
	if (server_url())
		make_database(t);
	t->srv.conf = make_config(t, overrides);
	t->srv.keys = keys_open(t->srv.conf);
	t->srv.metrics = metrics_open(dispatch_route_count ? dispatch_route_count() : 1);
	if (limiter_open)
		t->srv.limiter = limiter_open(&t->srv.source, LIMIT_KEYS);
	if (session_table_open)
		t->srv.sessions = session_table_open(&t->srv.source, SESSIONS);
	if (live_open)
		t->srv.live = live_open();
	if (hasher_open)
		t->srv.hasher = hasher_open(t->srv.conf);
	open_store(t);
	if (dispatch_open_with) {
		t->d = dispatch_open_with(&t->arena, &t->srv, tables, n);
		dispatch_strict(t->d, true);
	}
	return t;
}

struct test *
test_open(const char *const *overrides)
{
	if (&route_tables && &route_table_count)
		return test_open_with(overrides, route_tables, route_table_count);
	return test_open_with(overrides, NULL, 0);
}

void
test_close(struct test *t)
{
	if (t->d)
		dispatch_close(t->d);
	db_close(t->srv.store);
	if (t->srv.hasher)
		hasher_close(t->srv.hasher);
	if (t->srv.sessions)
		session_table_close(t->srv.sessions);
	if (t->srv.limiter)
		limiter_close(t->srv.limiter);
	for (struct test_reply *r = t->replies, *next; r; r = next) {
		next = r->next;
		json_decref(r->json);
		if (stream_abandon)
			stream_abandon(r->x.reply.stream);
		arena_release(&r->x.arena);
		free(r);
	}
	if (live_close)
		live_close(t->srv.live);
	metrics_close(t->srv.metrics);
	keys_close((struct keys *)(uintptr_t)t->srv.keys);
	conf_free((struct config *)(uintptr_t)t->srv.conf);
	if (t->pg_name)
		PQclear(pg_run(server_url(), arena_printf(&t->arena, "DROP DATABASE %s WITH (FORCE)", t->pg_name)));
	nftw(t->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	arena_release(&t->arena);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- accounts ---- */

struct making {
	const char *password_hash;
	struct test_user *user;
	bool insert;
};

static enum err
make_user(struct ctx *cx, void *arg)
{
	struct making *m = arg;
	struct test_user *u = m->user;
	const struct account_new new = {.email = u->email,
		.full_name = u->full_name,
		.password_hash = m->password_hash,
		.role = u->role,
		.is_active = true,
		.email_verified = true};
	const struct proof proof = {.password = true};
	struct account who;
	struct tokens tokens;

	if (m->insert)
		TRY(account_insert(cx, &new, &u->id));
	TRY(account_by_id(cx, u->id.text, &who));
	TRY(mint_session(cx, &who, &proof, &tokens));
	u->bearer = tokens.access_token;
	u->refresh_token = tokens.refresh_token;
	u->session_id = tokens.session_id;
	return OK;
}

static void
make(struct test *t, struct making *m)
{
	struct ctx cx;

	test_ctx(t, &cx);
	if (m->insert)
		m->password_hash = password_hash(&t->arena, t->srv.conf, TEST_PASSWORD);
	enum err e = db_write(&cx, make_user, m);
	if (e != OK)
		fail_msg("no account: %s at %s:%d: %s", err_row(e)->name, cx.error.file, cx.error.line,
			cx.error.internal ? cx.error.internal : "");
	m->user->actor = (struct actor){.user_id = m->user->id,
		.session_id = m->user->session_id,
		.role = m->user->role,
		.email = m->user->email,
		.full_name = m->user->full_name,
		.login_at_us = cx.now_us};
}

struct test_user
test_user_named(struct test *t, enum role role, const char *email, const char *full_name)
{
	struct test_user u = {.role = role, .email = email, .full_name = full_name};

	make(t, &(struct making){.user = &u, .insert = true});
	return u;
}

struct test_user
test_user(struct test *t, enum role role)
{
	static atomic_int number;
	int n = atomic_fetch_add(&number, 1) + 1;

	return test_user_named(t, role, arena_printf(&t->arena, "%s%d@example.org", role_names[role], n),
		arena_printf(&t->arena, "Test %s %d", role_names[role], n));
}

void
test_login(struct test *t, struct test_user *u)
{
	make(t, &(struct making){.user = u});
}

/* --- the database, past the program ---- */

/*
 * The tests' own statements are written for SQLite: a number for a boolean is taken inside this transaction only, so that the
 * program's statements get no such help.
 */
static PGresult *
pg_run_kindly(const char *url, const char *sql)
{
	static const char cast[] = "UPDATE pg_cast SET castcontext = '%c' WHERE castsource = 23 AND casttarget = 16";
	PGconn *conn = PQconnectdb(url);
	char text[sizeof(cast) + 8];

	PQclear(PQexec(conn, "BEGIN"));
	snprintf(text, sizeof(text), cast, 'i');
	PQclear(PQexec(conn, text));
	PGresult *r = PQexec(conn, sql);
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	snprintf(text, sizeof(text), cast, 'e');
	PQclear(PQexec(conn, text));
	PGresult *end = PQexec(conn, "COMMIT");
	if (PQresultStatus(end) != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	PQclear(end);
	PQfinish(conn);
	return r;
}

static bool
run_pg(struct test *t, const char *sql, char *ret, size_t cap)
{
	PGresult *r = pg_run_kindly(t->pg_url, sql);
	bool found = PQntuples(r) > 0 && !PQgetisnull(r, 0, 0);

	if (found && PQftype(r, 0) == 16) /* a boolean is 1 or 0 in SQLite */
		str_copy(ret, cap, PQgetvalue(r, 0, 0)[0] == 't' ? "1" : "0");
	else if (found)
		str_copy(ret, cap, PQgetvalue(r, 0, 0));
	PQclear(r);
	return found;
}

static bool
run_sql(struct test *t, const char *sql, char *ret, size_t cap)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	bool found = false;

	if (t->pg_url)
		return run_pg(t, sql, ret, cap);
	assert_int_equal(sqlite3_open_v2(t->db_path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	int rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
	if (text) {
		str_copy(ret, cap, text);
		found = true;
	}
	while (rc == SQLITE_ROW)
		rc = sqlite3_step(stmt);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return found;
}

int64_t
count(struct test *t, const char *sql)
{
	char text[64];
	int64_t n;

	return run_sql(t, sql, text, sizeof(text)) && str_int(text, INT64_MIN, INT64_MAX, &n) ? n : -1;
}

const char *
sql_text(struct test *t, const char *sql)
{
	char *text = arena_new(&t->arena, char, 16384);

	return run_sql(t, sql, text, 16384) ? text : "";
}

void
sql_run(struct test *t, const char *sql)
{
	char text[64];

	run_sql(t, sql, text, sizeof(text));
}

/* --- replies against their schemas ---- */

static const char *value_mismatch(struct arena *a, const struct field *f, const json_t *v);

static bool
is_time_text(const json_t *v)
{
	int64_t at_us;
	char again[TIME_WIRE_BYTES + 1];

	if (!json_is_string(v) || !time_parse(json_string_value(v), false, &at_us))
		return false;
	time_to_wire(at_us, again);
	return strcmp(again, json_string_value(v)) == 0;
}

static const char *
list_mismatch(struct arena *a, const struct field *f, const json_t *v)
{
	if (!json_is_array(v))
		return "is no list";
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);
		const char *wrong = f->sub ? schema_mismatch(a, f->sub, item) : json_is_string(item) ? "" : "is no text";
		if (wrong[0])
			return arena_printf(a, "[%zu] %s", i, wrong);
	}
	return "";
}

static const char *
enum_mismatch(const struct field *f, const json_t *v)
{
	for (int i = 1; f->names[i]; i++)
		if (json_is_string(v) && strcmp(f->names[i], json_string_value(v)) == 0)
			return "";
	return "is none of the enumeration";
}

static const char *
value_mismatch(struct arena *a, const struct field *f, const json_t *v)
{
	if (json_is_null(v))
		return (f->flags & F_NULLABLE) || f->kind == K_PTR ? "" : "is null, but not F_NULLABLE";
	switch ((enum field_kind)f->kind) {
	case K_TEXT:
		return (f->flags & F_JSON) || json_is_string(v) ? "" : "is no text";
	case K_ID:
		return json_is_string(v) && uuid_valid(json_string_value(v)) ? "" : "is no UUID";
	case K_INT:
		if (f->flags & F_TIME)
			return is_time_text(v) ? "" : "is no time";
		return json_is_integer(v) ? "" : "is no integer";
	case K_NUM:
		return json_is_number(v) ? "" : "is no number";
	case K_BOOL:
	case K_TRI:
		return json_is_boolean(v) ? "" : "is no boolean";
	case K_TIME:
		return is_time_text(v) ? "" : "is no time";
	case K_ENUM:
		return enum_mismatch(f, v);
	case K_OBJ:
	case K_PTR:
		return schema_mismatch(a, f->sub, v);
	case K_LIST:
		return list_mismatch(a, f, v);
	default:
		return "";
	}
}

const char *
schema_mismatch(struct arena *a, const struct schema *s, const json_t *value)
{
	size_t members = 0;

	if (!json_is_object(value))
		return "is no object";
	for (size_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		const json_t *v = json_object_get(value, f->name);
		if (!v && ((f->flags & F_OMIT) || (f->flags & F_TOLERATED)))
			continue;
		const char *wrong = v ? value_mismatch(a, f, v) : "is missing";
		if (wrong[0])
			return arena_printf(a, ".%s %s", f->name, wrong);
		members++;
	}
	return members == json_object_size(value) ? "" : "has members that its schema does not list";
}

/* --- calls ---- */

static void
cover(const struct route *route, const struct test_reply *r)
{
	const char *path = getenv("MUSTER_COVERAGE");
	FILE *out = path && route && !route->hidden ? fopen(path, "a") : NULL;

	if (!out)
		return;
	fprintf(out, "%s %s %s\n", method_name(route->method), route->path, error_code(r)[0] ? error_code(r) : "ok");
	fclose(out);
}

static void
fill_request(struct test_reply *r, const struct test_request *in)
{
	struct request *rq = &r->x.request;
	struct arena *a = &r->x.arena;
	struct header *h = arena_new(a, struct header, in->n_headers + 4);
	const char *query = strchr(in->path, '?');

	rq->method = in->method;
	rq->path = query ? arena_strndup(a, in->path, (size_t)(query - in->path)) : arena_strdup(a, in->path);
	rq->query_text = arena_strdup(a, query ? query + 1 : "");
	rq->ip = rq->peer_ip = arena_strdup(a, in->ip ? in->ip : "192.0.2.1");
	rq->id = in->request_id ? arena_strdup(a, in->request_id) : NULL;
	rq->forwarded = in->forwarded;
	rq->tls = in->tls;
	rq->headers = h;
	if (in->body)
		rq->raw_body = (struct span){(const uint8_t *)in->body, in->body_n ? in->body_n : strlen(in->body)};
	for (size_t i = 0; i < in->n_headers; i++)
		h[rq->n_headers++] = in->headers[i];
	if (in->bearer)
		h[rq->n_headers++] = (struct header){"Authorization", arena_printf(a, "Bearer %s", in->bearer)};
	if (in->idempotency_key)
		h[rq->n_headers++] = (struct header){"Idempotency-Key", arena_strdup(a, in->idempotency_key)};
	if (in->content_type ? in->content_type[0] : in->body != NULL)
		h[rq->n_headers++] = (struct header){"Content-Type", in->content_type ? in->content_type : "application/json"};
}

static void
check_reply(struct test *t, const struct test_request *in, struct test_reply *r)
{
	enum surface surface;
	struct reply *rs = &r->x.reply;
	const struct route *route = dispatch_route(t->d, &r->x.arena, in->method, r->x.request.path, &surface);
	bool json = r->body_n && (!rs->content_type || str_starts(rs->content_type, "application/json"));

	if (json && !r->json)
		fail_msg("%s %s: the reply is no JSON: %s", method_name(in->method), in->path, r->body);
	if (route && route->reply && r->json && r->status >= 200 && r->status < 300) {
		const char *wrong = schema_mismatch(&r->x.arena, route->reply, r->json);
		if (wrong[0])
			fail_msg("%s %s: the reply does not fit %s: %s\n%s", method_name(in->method), in->path,
				route->reply->name, wrong, r->body);
	}
	cover(route, r);
}

struct test_reply *
call_with(struct test *t, const struct test_request *in)
{
	struct test_reply *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	if (!t->d)
		fail_msg("this test is linked without api/");
	arena_init(&r->x.arena);
	fill_request(r, in);
	dispatch_call(t->d, &r->x);
	r->status = r->x.reply.status;
	r->body_n = r->x.reply.body.n;
	r->body = r->body_n ? memcpy(arena_new(&r->x.arena, char, r->body_n + 1), r->x.reply.body.p, r->body_n) : "";
	r->json = r->body_n ? json_loadb(r->body, r->body_n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL) : NULL;
	pthread_mutex_lock(&t->lock);
	r->next = t->replies;
	t->replies = r;
	pthread_mutex_unlock(&t->lock);
	check_reply(t, in, r);
	return r;
}

static char *
double_quotes(struct arena *a, const char *text)
{
	char *out = arena_strdup(a, text);

	for (char *p = out; *p; p++)
		if (*p == '\'')
			*p = '"';
	return out;
}

struct test_reply *
call(struct test *t, enum method m, const char *path, const char *bearer, const char *body)
{
	struct arena a CLEANUP(arena_release);

	arena_init(&a);
	return call_with(t, &(struct test_request){
				    .method = m, .path = path, .bearer = bearer, .body = body ? double_quotes(&a, body) : NULL});
}

/* --- what came back ---- */

const char *
reply_head(const struct test_reply *r, const char *name)
{
	for (size_t i = 0; i < r->x.reply.n_headers; i++)
		if (strcasecmp(r->x.reply.headers[i].name, name) == 0)
			return r->x.reply.headers[i].value;
	return NULL;
}

json_t *
reply_at(const struct test_reply *r, const char *path)
{
	json_t *at = r->json;
	char name[100];

	while (at && *path) {
		size_t n = strcspn(path, "."), index = 0;
		if (n >= sizeof(name))
			return NULL;
		str_copy(name, n + 1, path);
		if (json_is_array(at)) {
			index = strtoul(name, NULL, 10);
			at = json_array_get(at, index);
		} else {
			at = json_object_get(at, name);
		}
		path += n + (path[n] == '.');
	}
	return at;
}

const char *
text_at(const struct test_reply *r, const char *path)
{
	const json_t *v = reply_at(r, path);

	if (!json_is_string(v))
		fail_msg("%s is no text in %s", path, r->body);
	return json_string_value(v);
}

int64_t
int_at(const struct test_reply *r, const char *path)
{
	const json_t *v = reply_at(r, path);

	if (!json_is_integer(v))
		fail_msg("%s is no integer in %s", path, r->body);
	return json_integer_value(v);
}

const char *
error_code(const struct test_reply *r)
{
	const json_t *error = r->status >= 400 ? json_object_get(r->json, "error") : NULL;
	const json_t *reason = json_is_string(error) ? error : json_object_get(json_object_get(error, "details"), "reason");

	return json_is_string(reason) ? json_string_value(reason) : "";
}

static void
blame(const char *file, int line, const struct test_reply *r)
{
	print_error("%s %s → %d %s\n", method_name(r->x.request.method), r->x.request.path, r->status, r->body);
	_fail(file, line);
}

void
expect_status_at(const struct test_reply *r, int want, const char *file, int line)
{
	if (r->status == want)
		return;
	print_error("status %d wanted\n", want);
	blame(file, line, r);
}

void
expect_error_at(const struct test_reply *r, int want, const char *code, const char *file, int line)
{
	if (r->status == want && strcmp(error_code(r), code) == 0)
		return;
	print_error("%d %s wanted\n", want, code);
	blame(file, line, r);
}

void
expect_text_at(const struct test_reply *r, const char *path, const char *want, const char *file, int line)
{
	const json_t *v = reply_at(r, path);

	if (json_is_string(v) && strcmp(json_string_value(v), want) == 0)
		return;
	print_error("%s = \"%s\" wanted\n", path, want);
	blame(file, line, r);
}

void
expect_int_at(const struct test_reply *r, const char *path, int64_t want, const char *file, int line)
{
	const json_t *v = reply_at(r, path);

	if (json_is_integer(v) && json_integer_value(v) == want)
		return;
	print_error("%s = %lld wanted\n", path, (long long)want);
	blame(file, line, r);
}

void
expect_json_at(const struct test_reply *r, const char *path, const char *want, const char *file, int line)
{
	struct arena a CLEANUP(arena_release);

	arena_init(&a);
	json_t *wanted = json_loads(double_quotes(&a, want), JSON_DECODE_ANY, NULL);
	if (!wanted)
		fail_msg("the test's own JSON is wrong: %s", want);
	bool same = json_equal(reply_at(r, path), wanted);
	json_decref(wanted);
	if (same)
		return;
	print_error("%s = %s wanted\n", path, want);
	blame(file, line, r);
}

void
expect_head_at(const struct test_reply *r, const char *name, const char *want, const char *file, int line)
{
	const char *have = reply_head(r, name);

	if (str_eq(have, want))
		return;
	print_error("header %s: \"%s\" wanted, \"%s\" found\n", name, want ? want : "(absent)", have ? have : "(absent)");
	blame(file, line, r);
}
