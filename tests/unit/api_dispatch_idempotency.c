/*
 * What a failed write leaves behind, and idempotency keys: one piece of work per key, whoever repeats it and when.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "core/conf.h"
#include "http/limit.h"

struct thing {
	const char *title;
};
static const struct field thing_fields[] = {F(struct thing, title, F_REQUIRED, 1, 20, "What it is.")};
static const struct schema thing_schema = SCHEMA("Thing", struct thing, thing_fields);

struct thing_out {
	const char *title;
	int64_t runs;
};
static const struct field thing_out_fields[] = {
	F(struct thing_out, title, 0, 0, 0, "What it is."),
	F(struct thing_out, runs, 0, 0, 0, "How often it was done."),
};
static const struct schema thing_out_schema = SCHEMA("ThingOut", struct thing_out, thing_out_fields);

SQL(THING_DO, "t",
	"INSERT INTO guards (name, touched) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET touched = guards.touched + 1"
	" RETURNING touched");

/* The gate holds the writer's thread inside a handler until the test has seen what it wanted to see. */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_shut, gate_reached;

static void
gate_pass(void)
{
	pthread_mutex_lock(&gate_lock);
	gate_reached = true;
	pthread_cond_broadcast(&gate_moved);
	while (gate_shut)
		pthread_cond_wait(&gate_moved, &gate_lock);
	pthread_mutex_unlock(&gate_lock);
}

static enum err
act(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct thing_out out = {.title = ((const struct thing *)rq->body)->title};

	TRY(db_int(cx, &THING_DO, &out.runs, V(out.title)));
	if (strcmp(out.title, "gate") == 0)
		gate_pass();
	if (strcmp(out.title, "undo") == 0)
		return fail(cx, ERR_CONFLICT, NULL);
	if (strcmp(out.title, "refuse") == 0)
		return refuse(cx, ERR_CONFLICT);
	if (strcmp(out.title, "internal") == 0)
		return fail_internal(cx, ERR_INTERNAL, "secret detail");
	if (strcmp(out.title, "limited") == 0)
		return fail(cx, ERR_RATE_LIMITED, NULL);
	if (strcmp(out.title, "unlisted") == 0)
		return refuse(cx, ERR_EMAIL_TAKEN);
	if (strcmp(out.title, "silent") == 0)
		return ERR_CONFLICT;
	return reply_record(rs, &thing_out_schema, &out);
}

static enum err
refuse_read(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	(void)rq;
	(void)rs;
	return fail(cx, ERR_CONFLICT, NULL);
}

#define THING(p)                                                                                                     \
	.method = POST, .path = (p), .handler = act, .access = SIGNED_IN, .lane = LANE_WRITE, .body = &thing_schema, \
	.reply = &thing_out_schema, .status = 201, .errors = ERRORS(ERR_CONFLICT), .failure = AUDIT_EVENT_CREATED,   \
	.idempotent = true, .tag = "test", .summary = "Test"
static const struct route rows[] = {
	{THING("/api/t/fresh"), .fresh_session = true},
	{THING("/api/t/things"), .limit = {{"things", 3, 60}, BY_ACCOUNT, 0}},
	{THING("/api/t/others/{id}")},
	{.method = GET,
		.path = "/api/t/read",
		.handler = refuse_read,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &thing_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_CONFLICT),
		.failure = AUDIT_EXPORT,
		.tag = "test",
		.summary = "Test"},
	{.method = POST,
		.path = "/api/t/admin",
		.handler = act,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &thing_schema,
		.reply = &thing_out_schema,
		.status = 201,
		.failure = AUDIT_EVENT_DELETED,
		.tag = "test",
		.summary = "Test"},
};
static const struct route_table table = ROUTE_TABLE(SURFACE_PORTAL, rows);
static const struct route_table *const tables[] = {&table};

static struct test *
open_test(const char *const *conf)
{
	return test_open_with(conf, tables, 1);
}

/* Called from several threads, so nothing of it lies in the test's arena. */
static struct test_reply *
post(struct test *t, const struct test_user *u, const char *title, const char *key)
{
	char body[100];

	snprintf(body, sizeof(body), "{\"title\":\"%s\"}", title);
	return call_with(
		t, &(struct test_request){
			   .method = POST, .path = "/api/t/things", .bearer = u->bearer, .body = body, .idempotency_key = key});
}

static int64_t
runs(struct test *t, const char *title)
{
	return count(t, arena_printf(&t->arena, "SELECT touched FROM guards WHERE name = '%s'", title));
}

static int64_t
audited(struct test *t, const char *action)
{
	return count(
		t, arena_printf(&t->arena, "SELECT count(*) FROM audit_logs WHERE action = '%s' AND result = 'failure'", action));
}

/* --- the undo and the trace ---- */

static void
failures_undo_and_leave_a_trace(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_error(post(t, &u, "undo", NULL), 409, "conflict");
	assert_int_equal(runs(t, "undo"), -1);
	assert_int_equal(audited(t, "event_created"), 1);
	expect_error(post(t, &u, "refuse", NULL), 409, "conflict");
	assert_int_equal(runs(t, "refuse"), 1); /* a refusal keeps its writes */
	assert_int_equal(audited(t, "event_created"), 2);
	expect_error(post(t, &u, "internal", NULL), 500, "internal_error");
	assert_int_equal(runs(t, "internal"), -1);
	assert_int_equal(audited(t, "event_created"), 3);
	expect_status(post(t, &u, "fine", NULL), 201);
	assert_int_equal(audited(t, "event_created"), 3);

	/* Refusals before the handler, of somebody we know. */
	expect_error(post(t, &u, "", NULL), 422, "validation_error");
	assert_int_equal(audited(t, "event_created"), 4);
	expect_error(call(t, POST, "/api/t/admin", u.bearer, "{'title':'a'}"), 403, "forbidden");
	assert_int_equal(audited(t, "event_deleted"), 1);
	expect_error(call(t, POST, "/api/t/admin", NULL, "{'title':'a'}"), 401, "not_authenticated");
	assert_int_equal(audited(t, "event_deleted"), 1);
	expect_error(call(t, GET, "/api/t/read", u.bearer, NULL), 409, "conflict");
	assert_int_equal(audited(t, "export"), 1);
	assert_string_equal(sql_text(t, "SELECT actor_id FROM audit_logs WHERE action = 'export'"), u.id.text);
	test_close(t);
}

static void
unlisted_errors_become_internal(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	dispatch_strict(t->d, false);
	struct test_reply *r = post(t, &u, "unlisted", NULL);
	expect_error(r, 500, "internal_error");
	assert_null(strstr(r->body, "address"));   /* nothing of the unlisted error's words */
	assert_int_equal(runs(t, "unlisted"), -1); /* refused as it was, it is undone */
	expect_error(post(t, &u, "silent", NULL), 409, "conflict");
	test_close(t);
}

/* --- keys ---- */

static void
a_key_gives_the_first_reply_again(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT), other = test_user(t, ROLE_STUDENT);
	struct test_reply *first = post(t, &u, "a", "key-1"), *again = post(t, &u, "a", "key-1");

	(void)state;
	expect_status(first, 201);
	expect_status(again, 201);
	assert_string_equal(first->body, again->body);
	assert_int_equal(runs(t, "a"), 1);
	expect_error(post(t, &u, "b", "key-1"), 422, "idempotency_key_reused");
	assert_int_equal(runs(t, "b"), -1);
	expect_int(post(t, &other, "a", "key-1"), "runs", 2); /* another account's key is another key */
	expect_int(post(t, &u, "a", "key-2"), "runs", 3);
	expect_int(post(t, &u, "a", NULL), "runs", 4);
	test_advance(t, 24 * HOURS_US - SECONDS_US);
	test_login(t, &u);
	expect_int(post(t, &u, "a", "key-1"), "runs", 1);
	test_advance(t, 2 * SECONDS_US);
	expect_int(post(t, &u, "a", "key-1"), "runs", 5); /* its day is over */
	expect_int(post(t, &u, "a", "key-1"), "runs", 5);
	test_close(t);
}

static void
a_key_belongs_to_its_path(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_request rq = {.method = POST,
		.path = "/api/t/others/0190d7a3-6a5e-7c4b-8f2d-3b1e5a9c7d10",
		.bearer = u.bearer,
		.body = "{\"title\":\"p\"}",
		.idempotency_key = "k"};

	(void)state;
	expect_status(call_with(t, &rq), 201);
	rq.path = "/api/t/others/0190d7a3-6a5e-7c4b-8f2d-3b1e5a9c7d11";
	expect_error(call_with(t, &rq), 422, "idempotency_key_reused");
	expect_int(post(t, &u, "p", "k"), "runs", 2); /* another route */
	test_close(t);
}

static void
keys_are_checked(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	char key[130];

	(void)state;
	memset(key, 'k', sizeof(key));
	key[129] = '\0';
	struct test_reply *r = post(t, &u, "a", key);
	expect_error(r, 422, "validation_error");
	expect_text(r, "details.0.field", "Idempotency-Key");
	expect_error(post(t, &u, "a", ""), 422, "validation_error");
	expect_error(post(t, &u, "a", "two words"), 422, "validation_error");
	key[128] = '\0';
	expect_status(post(t, &u, "a", key), 201);
	test_close(t);
}

static void
what_is_stored_and_what_not(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_reply *first = post(t, &u, "refuse", "k1"), *again = post(t, &u, "refuse", "k1");

	(void)state;
	expect_error(first, 409, "conflict");
	assert_string_equal(first->body, again->body);
	assert_int_equal(runs(t, "refuse"), 1);
	assert_int_equal(audited(t, "event_created"), 1); /* the repetition did nothing */
	first = post(t, &u, "undo", "k2");
	again = post(t, &u, "undo", "k2");
	expect_error(first, 409, "conflict");
	assert_string_equal(first->body, again->body);
	expect_error(post(t, &u, "internal", "k3"), 500, "internal_error");
	expect_error(post(t, &u, "limited", "k4"), 429, "rate_limited");
	expect_error(post(t, &u, "", "k5"), 422, "validation_error");
	assert_int_equal(count(t, "SELECT count(*) FROM idempotency_keys"), 2);
	expect_status(post(t, &u, "c", "k3"), 201); /* not used up */
	expect_status(post(t, &u, "c", "k4"), 201);
	test_close(t);
}

/* A session that ended between the look at it and the work: whoever signs in again may use the key. */
static void
an_ended_session_uses_no_key_up(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct test_request rq = {
		.method = POST, .path = "/api/t/fresh", .bearer = u.bearer, .body = "{\"title\":\"a\"}", .idempotency_key = "k"};

	(void)state;
	expect_status(call(t, POST, "/api/t/things", u.bearer, "{'title':'b'}"), 201); /* the session is remembered */
	sql_run(t, "UPDATE sessions SET revoked_at = created_at");
	expect_error(call_with(t, &rq), 401, "token_revoked");
	assert_int_equal(runs(t, "a"), -1);
	test_login(t, &u);
	rq.bearer = u.bearer;
	expect_status(call_with(t, &rq), 201);
	expect_status(call_with(t, &rq), 201);
	assert_int_equal(runs(t, "a"), 1);
	test_close(t);
}

static void
a_repetition_is_not_counted(void **state)
{
	struct test *t = open_test(TEST_CONF("RATE_LIMIT_ENABLED=true"));
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	for (int i = 0; i < 10; i++)
		expect_status(post(t, &u, "a", "k"), 201);
	expect_status(post(t, &u, "b", NULL), 201);
	expect_status(post(t, &u, "b", NULL), 201);
	struct test_reply *r = post(t, &u, "b", NULL);
	expect_error(r, 429, "rate_limited");
	expect_head(r, "Retry-After", "60");
	test_close(t);
}

/* --- the same key at the same time ---- */

enum { WAITING = 64, CALLERS = WAITING + 2 };

struct crowd {
	struct test *t;
	const struct test_user *user;
	struct test_reply *replies[CALLERS];
	pthread_mutex_t lock;
	pthread_cond_t answered;
	int n;
};

static void *
one_of_the_crowd(void *arg)
{
	struct crowd *c = arg;
	struct test_reply *r = post(c->t, c->user, "gate", "same");

	pthread_mutex_lock(&c->lock);
	c->replies[c->n++] = r;
	pthread_cond_signal(&c->answered);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/*
 * The first stands in its handler; 64 wait for it in memory; the one beyond is refused at once, which is also the proof that the
 * 64 wait.  Then the first goes on, and all have its reply.
 */
static void
the_second_waits_for_the_first(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);
	struct crowd c = {.t = t, .user = &u, .lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};
	pthread_t threads[CALLERS];

	(void)state;
	gate_shut = true;
	gate_reached = false;
	for (int i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_of_the_crowd, &c), 0);
	pthread_mutex_lock(&c.lock);
	while (c.n == 0)
		pthread_cond_wait(&c.answered, &c.lock);
	assert_int_equal(c.n, 1);
	pthread_mutex_unlock(&c.lock);
	expect_error(c.replies[0], 409, "idempotency_in_progress");
	expect_head(c.replies[0], "Retry-After", "1");

	pthread_mutex_lock(&gate_lock);
	while (!gate_reached)
		pthread_cond_wait(&gate_moved, &gate_lock);
	gate_shut = false;
	pthread_cond_broadcast(&gate_moved);
	pthread_mutex_unlock(&gate_lock);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 1; i < CALLERS; i++) {
		expect_status(c.replies[i], 201);
		assert_string_equal(c.replies[i]->body, "{\"title\":\"gate\",\"runs\":1}");
	}
	assert_int_equal(runs(t, "gate"), 1);
	test_close(t);
}

/* Another node has the key: its row is there, without a reply. */
static void
another_node_is_running_it(void **state)
{
	struct test *t = open_test(NULL);
	struct test_user u = test_user(t, ROLE_STUDENT);

	(void)state;
	expect_status(post(t, &u, "a", "k"), 201);
	sql_run(t, "UPDATE idempotency_keys SET status = NULL, reply = NULL");
	struct test_reply *r = post(t, &u, "a", "k");
	expect_error(r, 409, "idempotency_in_progress");
	expect_head(r, "Retry-After", "1");
	assert_int_equal(runs(t, "a"), 1);
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_undo_and_leave_a_trace),
		cmocka_unit_test(unlisted_errors_become_internal),
		cmocka_unit_test(a_key_gives_the_first_reply_again),
		cmocka_unit_test(a_key_belongs_to_its_path),
		cmocka_unit_test(keys_are_checked),
		cmocka_unit_test(what_is_stored_and_what_not),
		cmocka_unit_test(an_ended_session_uses_no_key_up),
		cmocka_unit_test(a_repetition_is_not_counted),
		cmocka_unit_test(the_second_waits_for_the_first),
		cmocka_unit_test(another_node_is_running_it),
	};

	return cmocka_run_group_tests_name("api_dispatch_idempotency", tests, NULL, NULL);
}
