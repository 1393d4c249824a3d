/*
 * What the tests of the domain and of the API share: a migrated database of their own on either engine, a clock that stands still, a
 * seeded random source, the server's services, and calls through the dispatcher in process.
 *
 * The same object is linked into tests of lower layers; services of layers that are not linked are simply not there.
 */
#ifndef MUSTER_TESTS_SUPPORT_H
#define MUSTER_TESTS_SUPPORT_H

#include "our_fail.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/dispatch.h"
#include "identity/session.h"
#include "store/db.h"

#define TEST_START_US (INT64_C(1785585600) * SECONDS_US) /* 2026-08-01T12:00:00Z */
#define TEST_PASSWORD "Correct-Horse-7"

struct test {
	struct arena arena;
	struct server srv;
	struct dispatcher *d; /* NULL where api/ is not linked */
	char dir[200];
	char db_path[240];
	const char *pg_url, *pg_name; /* set: the database is on a PostgreSQL server, and db_path names nothing */
	struct pg_conn *pg;           /* the tests' own connection to it; NULL until it is needed */
	bool pg_touched;              /* its schema was changed */
	atomic_llong wall_us, monotonic_us;
	pthread_mutex_t lock; /* of random state and replies */
	uint64_t random_state;
	struct test_reply *replies;
};

/* `overrides`: "NAME=value" …, NULL at the end; NULL for none.  Limits by IP and account are off unless asked for. */
struct test *test_open(const char *const *overrides);
struct test *test_open_with(const char *const *overrides, const struct route_table *const *tables, size_t n);
#define TEST_CONF(...) ((const char *const[]){__VA_ARGS__, NULL})
void test_close(struct test *t);
void test_advance(struct test *t, int64_t us); /* both clocks */
void test_ctx(struct test *t, struct ctx *cx); /* nobody, in the test's arena */
/* One write by nobody, with an arena of its own; from any thread. */
enum err test_write(struct test *t, enum err (*run)(struct ctx *cx, void *arg), void *arg);

/* For cmocka: a test that gets the test_open(NULL) it runs in as its state. */
int test_setup(void **state);
int test_teardown(void **state);
#define STANDARD(name) cmocka_unit_test_setup_teardown(name, test_setup, test_teardown)

/* A path or a body, in the test's arena. */
#define PATH(t, ...) arena_printf(&(t)->arena, __VA_ARGS__)

/* Accounts made by the domain's own functions. */
struct test_user {
	struct uuid id, session_id;
	enum role role;
	const char *email, *full_name;
	const char *bearer;  /* access token */
	const char *refresh_token;
	struct actor actor;  /* for cx->actor */
};
/* Active, with TEST_PASSWORD and one session; the address is made from role and number. */
struct test_user test_user(struct test *t, enum role role);
struct test_user test_user_named(struct test *t, enum role role, const char *email, const char *full_name);
/* By what the configuration says; and whether a password is the one of a hash. */
const char *test_hash(struct test *t, const char *password);
bool test_hash_is(struct test *t, const char *hash, const char *password);
/* Another session of the same account, as a login gives it. */
void test_login(struct test *t, struct test_user *u);

/* --- the database, past the program -------------------------------------------------------------------------------------------- */
/* In SQLite's words on both engines; moment(at) is a time as text, uuid(text) an id.  From one thread at a time. */
int64_t count(struct test *t, const char *sql); /* first column of the first row; -1 when there is none */
const char *sql_text(struct test *t, const char *sql); /* the same as text; "" for null and none */
void sql_run(struct test *t, const char *sql);
const char *sql_error(struct test *t, const char *sql); /* what the database says against it; "" when it ran */
/* Of test_open() and test_close(): nothing where the database is a file. */
void test_database_make(struct test *t);
void test_database_drop(struct test *t);

/* --- calls ------------------------------------------------------------------------------------------------------------------------- */
struct test_request {
	enum method method;
	const char *path;            /* with its query */
	const char *bearer;          /* NULL: nobody */
	const char *body;            /* sent as it is; NULL: none */
	size_t body_n;               /* 0: strlen(body) */
	const char *content_type;    /* NULL: application/json when there is a body; "": none */
	const char *idempotency_key;
	const char *ip;              /* NULL: 192.0.2.1 */
	const char *request_id;      /* NULL: a new one */
	const struct header *headers;
	size_t n_headers;
	bool forwarded, tls;
};
struct test_reply {
	int status;
	const char *body; /* NUL-terminated */
	size_t body_n;
	json_t *json;     /* NULL when the body is none */
	struct exchange x;
	struct test_reply *next;
};
/*
 * One request through every phase.  A JSON reply of success is checked against its row's schema: exactly the members, of their types.
 * Replies live until test_close().  May be called from several threads.
 */
struct test_reply *call_with(struct test *t, const struct test_request *rq);
/* What it is made of: one pass through the dispatcher, held against nothing; the caller frees. */
struct test_reply *request_run(struct test *t, const struct test_request *rq);
void reply_free(struct test_reply *r);
/* tests/torture, where it is linked: around each call, and before a test's end. */
void torture_before(struct test *t, const struct test_request *rq);
void torture_after(void);
void torture_end(struct test *t);
/*
 * What a test program may say of its peers and files, which tests/torture cannot put back: they are to remember how it is, and to go back
 * to that.  What is wrong after a run in which something failed, and after the next one, before which the clock may be moved; NULL: nothing.
 */
enum torture_moment { TORTURE_KEEP, TORTURE_BACK, TORTURE_AFTER, TORTURE_RETRY, TORTURE_AGAIN };
const char *torture_peers(struct test *t, const char *step, enum torture_moment moment);
/* `body` in JSON with single quotes for double ones; NULL for none. */
struct test_reply *call(struct test *t, enum method m, const char *path, const char *bearer, const char *body);

const char *reply_head(const struct test_reply *r, const char *name); /* a header's value; NULL when absent */
json_t *reply_at(const struct test_reply *r, const char *path);       /* "user.email", "records.0.status"; NULL when absent */
const char *text_at(const struct test_reply *r, const char *path);    /* fails the test when it is no text */
int64_t int_at(const struct test_reply *r, const char *path);
const char *error_code(const struct test_reply *r);                   /* of either error shape; "" for none */

#define expect_status(r, want) expect_status_at((r), (want), __FILE__, __LINE__)
#define expect_error(r, want, code) expect_error_at((r), (want), (code), __FILE__, __LINE__)
#define expect_text(r, path, want) expect_text_at((r), (path), (want), __FILE__, __LINE__)
#define expect_int(r, path, want) expect_int_at((r), (path), (want), __FILE__, __LINE__)
/* The value at `path` equals this JSON (single quotes). */
#define expect_json(r, path, want) expect_json_at((r), (path), (want), __FILE__, __LINE__)
/* A header's value; NULL: it must be absent. */
#define expect_head(r, name, want) expect_head_at((r), (name), (want), __FILE__, __LINE__)
void expect_status_at(const struct test_reply *r, int want, const char *file, int line);
void expect_error_at(const struct test_reply *r, int want, const char *code, const char *file, int line);
void expect_text_at(const struct test_reply *r, const char *path, const char *want, const char *file, int line);
void expect_int_at(const struct test_reply *r, const char *path, int64_t want, const char *file, int line);
void expect_json_at(const struct test_reply *r, const char *path, const char *want, const char *file, int line);
void expect_head_at(const struct test_reply *r, const char *name, const char *want, const char *file, int line);

/* "members and types of `value` are those of `s`"; "" or what is wrong.  In `a`. */
const char *schema_mismatch(struct arena *a, const struct schema *s, const json_t *value);

#endif
