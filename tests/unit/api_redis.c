/* Counters that nodes share in Redis, with real servers: what two nodes see of each other, and what is left when Redis is not. */
#include "support.h"

#include "attendance_env.h"
#include "redis_env.h"

#include "api/shared_limits.h"
#include "core/metrics.h"
#include "http/limit.h"

enum { THREADS = 8, TURNS = 50 };

static const struct limit five = {"five", 5, 600}, hundred = {"hundred", 100, 600}, brief = {"brief", 1, 1};

struct node {
	struct test *t;
	struct limiter *l;
};

static struct node
node_open_at(const char *url, const char *more, const char *timeout)
{
	char address[240];

	snprintf(address, sizeof(address), "REDIS_URL=%s", url);
	struct test *t = test_open(TEST_CONF(address, timeout, "RATE_LIMIT_ENABLED=true", more));
	const char *message = "";
	if (!shared_limits_open(&t->arena, &t->srv, &message))
		fail_msg("%s", message);
	return (struct node){t, t->srv.limiter};
}

/* On a slow machine, too, an answer of Redis comes in time. */
static struct node
node_open(const struct redis_server *s)
{
	return node_open_at(s->url, NULL, "REDIS_TIMEOUT_MS=5000");
}

static void
node_close(struct node *n)
{
	shared_limits_close(&n->t->srv);
	test_close(n->t);
}

static enum limit_verdict
hit(const struct node *n, const struct limit *limit, const char *key)
{
	const struct limit_hit one = {*limit, key, false};
	int retry_s;
	size_t which;

	return limiter_hit(n->l, &one, 1, &which, &retry_s);
}

/* What Redis holds under the only key, and how long yet. */
static void
look_inside(const struct node *n, int64_t *ret_count, int64_t *ret_ms)
{
	static struct redis_script s = {.text = "local found = {} "
						"for _, key in ipairs(redis.call('KEYS', '{muster}:limit:*')) do"
						" found[#found + 1] = key "
						"end "
						"if #found ~= 1 then return {-#found, 0} end "
						"return {tonumber(redis.call('GET', found[1])), redis.call('PTTL', found[1])}"};
	int64_t answer[2];

	redis_script_init(&s);
	assert_true(redis_run(n->t->srv.redis, &s, 0, NULL, 0, answer, 2));
	*ret_count = answer[0];
	*ret_ms = answer[1];
}

static void
two_nodes_share_a_bucket(void **state)
{
	struct redis_server s = {0};
	const struct limit_hit one = {five, "ada@example.org", false};
	int retry_s = 0;
	size_t which = 9;

	(void)state;
	redis_server_open(&s);
	struct node a = node_open(&s), b = node_open(&s);
	for (int i = 0; i < 5; i++)
		assert_int_equal(hit(i % 2 ? &a : &b, &five, one.key), LIMIT_TAKEN);
	assert_int_equal(limiter_hit(a.l, &one, 1, &which, &retry_s), LIMIT_FULL);
	assert_int_equal(which, 0);
	assert_true(retry_s > 0 && retry_s <= 600);
	assert_int_equal(hit(&b, &five, one.key), LIMIT_FULL);
	assert_int_equal(hit(&b, &five, "grace@example.org"), LIMIT_TAKEN);
	assert_int_equal(hit(&b, &hundred, one.key), LIMIT_TAKEN);
	limiter_return(b.l, &one, NULL, 1);
	assert_int_equal(hit(&a, &five, one.key), LIMIT_TAKEN);
	assert_int_equal(hit(&a, &five, one.key), LIMIT_FULL);
	assert_int_equal(limiter_drain(b.l, &one), 5);
	assert_int_equal(limiter_drain(a.l, &one), 0);
	assert_int_equal(hit(&a, &five, one.key), LIMIT_TAKEN);
	node_close(&a);
	node_close(&b);
	redis_server_close(&s);
}

static void
a_window_ends_where_it_began_to(void **state)
{
	struct redis_server s = {0};
	const struct limit_hit one = {five, "ada@example.org", false};
	int64_t n, ms, later_ms;

	(void)state;
	redis_server_open(&s);
	struct node a = node_open(&s);
	assert_int_equal(hit(&a, &five, one.key), LIMIT_TAKEN);
	look_inside(&a, &n, &ms);
	assert_int_equal(n, 1);
	assert_true(ms > 0 && ms <= 600000);
	redis_pause();
	limiter_return(a.l, &one, NULL, 1);
	look_inside(&a, &n, &later_ms);
	assert_int_equal(n, 0);
	assert_true(later_ms > 0 && later_ms < ms);
	assert_int_equal(hit(&a, &five, one.key), LIMIT_TAKEN);
	look_inside(&a, &n, &ms);
	assert_int_equal(n, 1);
	assert_true(ms > 0 && ms <= later_ms);
	limiter_return(a.l, &one, NULL, 1);
	limiter_return(a.l, &one, NULL, 1); /* never below nothing */
	look_inside(&a, &n, &ms);
	assert_int_equal(n, 0);
	node_close(&a);
	redis_server_close(&s);
}

/* Redis' clock, not the node's: that one stands still here. */
static void
a_full_window_opens_again(void **state)
{
	struct redis_server s = {0};

	(void)state;
	redis_server_open(&s);
	struct node a = node_open(&s);
	assert_int_equal(hit(&a, &brief, "k"), LIMIT_TAKEN);
	redis_eventually(hit(&a, &brief, "k") == LIMIT_TAKEN);
	node_close(&a);
	redis_server_close(&s);
}

static void
all_hits_or_none(void **state)
{
	struct redis_server s = {0};
	const struct limit one = {"one", 1, 600}, two = {"two", 2, 600};
	const struct limit_hit hits[] = {{five, "a", false}, {one, "a", false}, {two, "a", true}};
	size_t which = 9;
	int retry_s;

	(void)state;
	redis_server_open(&s);
	struct node a = node_open(&s);
	for (int backed = 1; backed >= 0; backed--) { /* the same without Redis, under other keys */
		struct limiter *l = backed ? a.l : limiter_open(&a.t->srv.source, 100);
		assert_int_equal(limiter_hit(l, hits, 3, &which, &retry_s), LIMIT_TAKEN);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(limiter_hit(l, hits, 3, &which, &retry_s), LIMIT_FULL);
			assert_int_equal(which, 1);
		}
		for (int i = 0; i < 3; i++) /* what only counts refuses nothing, and does not run over */
			assert_int_equal(limiter_hit(l, &hits[2], 1, &which, &retry_s), LIMIT_TAKEN);
		assert_int_equal(limiter_drain(l, &hits[0]), 1);
		assert_int_equal(limiter_drain(l, &hits[1]), 1);
		assert_int_equal(limiter_drain(l, &hits[2]), 2);
		if (!backed)
			limiter_close(l);
	}
	node_close(&a);
	redis_server_close(&s);
}

struct hitting {
	struct node node;
	atomic_int *taken, *asked;
	atomic_bool *stop;
	pthread_t thread;
};

static void *
hit_often(void *arg)
{
	struct hitting *h = arg;

	for (int i = 0; h->stop ? !atomic_load(h->stop) : i < TURNS; i++) {
		if (hit(&h->node, &hundred, "everybody") == LIMIT_TAKEN)
			atomic_fetch_add(h->taken, 1);
		atomic_fetch_add(h->asked, 1);
	}
	return NULL;
}

static void
hitting_start(struct hitting *list, const struct node *a, const struct node *b, const struct hitting *model)
{
	for (int i = 0; i < THREADS; i++) {
		list[i] = *model;
		list[i].node = i % 2 ? *a : *b;
		assert_int_equal(pthread_create(&list[i].thread, NULL, hit_often, &list[i]), 0);
	}
}

static void
a_hundred_of_many_threads(void **state)
{
	struct redis_server s = {0};
	struct hitting list[THREADS];
	atomic_int taken = 0, asked = 0;

	(void)state;
	redis_server_open(&s);
	struct node a = node_open(&s), b = node_open(&s);
	hitting_start(list, &a, &b, &(const struct hitting){.taken = &taken, .asked = &asked});
	for (int i = 0; i < THREADS; i++)
		pthread_join(list[i].thread, NULL);
	assert_int_equal(asked, THREADS * TURNS);
	assert_int_equal(taken, 100);
	assert_true(redis_is_up(a.t->srv.redis) && redis_is_up(b.t->srv.redis));
	node_close(&a);
	node_close(&b);
	redis_server_close(&s);
}

static void
killed_under_load_and_back(void **state)
{
	struct redis_server s = {0};
	struct hitting list[THREADS];
	atomic_int taken = 0, asked = 0;
	atomic_bool stop = false;

	(void)state;
	redis_server_open(&s);
	struct node a = node_open(&s), b = node_open(&s);
	hitting_start(list, &a, &b, &(const struct hitting){.taken = &taken, .asked = &asked, .stop = &stop});
	redis_eventually(taken >= 100);
	assert_int_equal(taken, 100);
	redis_server_stop(&s);
	redis_eventually(!redis_is_up(a.t->srv.redis) && !redis_is_up(b.t->srv.redis));
	int before = asked;
	redis_eventually(asked > before + 1000); /* the nodes go on by themselves, with what they have counted */
	assert_true(taken <= 300);
	for (int i = 0; i < 100; i++)
		(void)hit(&a, &hundred, "alone");
	assert_int_equal(hit(&a, &hundred, "alone"), LIMIT_FULL);
	assert_int_equal(hit(&b, &hundred, "alone"), LIMIT_TAKEN);

	redis_server_start(&s); /* it knows neither scripts nor counters any more */
	redis_eventually(redis_is_up(a.t->srv.redis) && redis_is_up(b.t->srv.redis));
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(list[i].thread, NULL);
	for (int i = 0; i < 5; i++)
		assert_int_equal(hit(i % 2 ? &a : &b, &five, "afterwards"), LIMIT_TAKEN);
	assert_int_equal(hit(&a, &five, "afterwards"), LIMIT_FULL);
	assert_int_equal(hit(&b, &five, "afterwards"), LIMIT_FULL);
	node_close(&a);
	node_close(&b);
	redis_server_close(&s);
}

/* A Redis that hangs is as good as none: whoever finds out waits for the time-out, nobody after that. */
static void
hangs(void **state)
{
	struct redis_server s = {0};

	(void)state;
	redis_server_open(&s);
	struct node a = node_open_at(s.url, NULL, "REDIS_TIMEOUT_MS=500");
	redis_eventually(redis_is_up(a.t->srv.redis));
	assert_int_equal(hit(&a, &five, "k"), LIMIT_TAKEN); /* the node remembers its own */
	assert_int_equal(kill(s.pid, SIGSTOP), 0);
	assert_int_equal(hit(&a, &five, "k"), LIMIT_TAKEN);
	assert_false(redis_is_up(a.t->srv.redis));
	for (int i = 0; i < 3; i++)
		assert_int_equal(hit(&a, &five, "k"), LIMIT_TAKEN);
	assert_int_equal(hit(&a, &five, "k"), LIMIT_FULL);
	assert_int_equal(kill(s.pid, SIGCONT), 0);
	redis_eventually(redis_is_up(a.t->srv.redis));
	node_close(&a);
	redis_server_close(&s);
}

/* --- through the server ---------------------------------------------------------------------------------------------------- */

static struct test_reply *
log_in(const struct node *n, const char *password)
{
	const char *body = arena_printf(&n->t->arena, "{'username':'nobody@example.org','password':'%s'}", password);

	return call(n->t, POST, "/api/auth/login", NULL, body);
}

static struct test_reply *
sign_up(const struct node *n, int number)
{
	return call(n->t, POST, "/api/auth/signup", NULL,
		arena_printf(&n->t->arena,
			"{'full_name':'Ada Example','email':'ada%d@example.org','password':'Correct-Horse-7'}",
			number));
}

static void
logins_and_signups_are_counted_together(void **state)
{
	struct redis_server s = {0};
	static const char four[] = "RL_PORTAL_LOGIN_IP_LIMIT=4";

	(void)state;
	redis_server_open(&s);
	struct node a = node_open_at(s.url, four, "REDIS_TIMEOUT_MS=5000"), b = node_open_at(s.url, four, "REDIS_TIMEOUT_MS=5000");
	struct test_user ada = test_user_named(a.t, ROLE_STUDENT, "known@example.org", "Ada");
	for (int i = 0; i < 3; i++)
		expect_error(log_in(i % 2 ? &a : &b, "Wrong-Horse-7"), 401, "invalid_credentials");
	for (int i = 0; i < 3; i++) /* a right one gives its hit back */
		expect_status(call(a.t, POST, "/api/auth/login", NULL,
				      arena_printf(&a.t->arena, "{'username':'%s','password':'" TEST_PASSWORD "'}", ada.email)),
			200);
	expect_error(log_in(&b, "Wrong-Horse-7"), 401, "invalid_credentials");
	expect_error(log_in(&a, "Wrong-Horse-7"), 429, "rate_limited");
	expect_error(log_in(&b, "Wrong-Horse-7"), 429, "rate_limited");

	for (int i = 0; i < 3; i++)
		expect_status(sign_up(i % 2 ? &a : &b, i), 201);
	struct test_reply *full = sign_up(&a, 3);
	expect_error(full, 429, "rate_limited");
	assert_non_null(reply_head(full, "Retry-After"));
	expect_error(sign_up(&b, 3), 429, "rate_limited");
	node_close(&a);
	node_close(&b);
	redis_server_close(&s);
}

/* Claims are read, marks are written: neither lane may wait for Redis, and both are counted there. */
static void
typed_codes_are_counted_together(void **state)
{
	struct redis_server s = {0};
	char url[240];
	const char *message = "";

	(void)state;
	redis_server_open(&s);
	snprintf(url, sizeof(url), "REDIS_URL=%s", s.url);
	struct room r = room_open_with(TEST_CONF(
		url, "REDIS_TIMEOUT_MS=5000", "RATE_LIMIT_ENABLED=true", "RL_CODE_ACCOUNT_LIMIT=2", "RL_CODE_IP_LIMIT=4"));
	assert_true(shared_limits_open(&r.t->arena, &r.t->srv, &message));
	struct node a = {r.t, r.t->srv.limiter}, b = node_open_at(s.url, "RL_CODE_IP_LIMIT=4", "REDIS_TIMEOUT_MS=5000");
	const char *event = r.event.id.text;
	const char *right = arena_printf(&r.t->arena, "{'code':'%s','event_id':'%s'}", r.code.code, event);
	const char *wrong = arena_printf(&r.t->arena, "{'code':'short','event_id':'%s'}", event);
	static const char claim[] = "/api/attendance/claim", mark[] = "/api/attendance/mark";

	for (int i = 0; i < 4; i++) {
		expect_status(call(a.t, POST, claim, NULL, right), 201);
		expect_error(call(i % 2 ? a.t : b.t, POST, claim, NULL, wrong), 400, "invalid_qr");
	}
	expect_error(call(a.t, POST, claim, NULL, right), 429, "rate_limited");
	expect_error(call(b.t, POST, claim, NULL, wrong), 429, "rate_limited");

	expect_status(call(a.t, POST, mark, r.student.bearer, right), 201);
	expect_error(call(a.t, POST, mark, r.student.bearer, right), 409, "duplicate_attendance");
	for (int i = 0; i < 2; i++)
		expect_error(call(a.t, POST, mark, r.student.bearer, wrong), 400, "invalid_qr");
	expect_error(call(a.t, POST, mark, r.student.bearer, right), 429, "rate_limited");
	assert_true(redis_is_up(a.t->srv.redis) && redis_is_up(b.t->srv.redis));
	node_close(&a);
	node_close(&b);
	redis_server_close(&s);
}

static void
ready_says_what_it_is_without(void **state)
{
	static const struct {
		const char *required, *status, *login;
		int ready, answer;
	} rows[] = {
		{"REDIS_REQUIRED=false", "degraded", "invalid_credentials", 200, 401},
		{"REDIS_REQUIRED=true", "down", "unavailable", 503, 503},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct redis_server s = {0};
		redis_server_open(&s);
		struct node a = node_open_at(s.url, rows[i].required, "REDIS_TIMEOUT_MS=5000");
		struct test_reply *ready = call(a.t, GET, "/v1/ready", NULL, NULL);
		expect_status(ready, 200);
		expect_text(ready, "checks.redis.status", "ok");
		expect_error(log_in(&a, "Wrong-Horse-7"), 401, "invalid_credentials");
		redis_server_stop(&s);
		struct test_reply *login = log_in(&a, "Wrong-Horse-7");
		expect_error(login, rows[i].answer, rows[i].login);
		if (rows[i].answer == 503)
			assert_non_null(reply_head(login, "Retry-After"));
		ready = call(a.t, GET, "/v1/ready", NULL, NULL);
		expect_status(ready, rows[i].ready);
		expect_text(ready, "status", rows[i].status);
		expect_text(ready, "checks.redis.status", "failed");
		redis_server_start(&s);
		redis_eventually(redis_is_up(a.t->srv.redis));
		expect_text(call(a.t, GET, "/v1/ready", NULL, NULL), "status", "ok");
		expect_error(log_in(&a, "Wrong-Horse-7"), 401, "invalid_credentials");
		node_close(&a);
		redis_server_close(&s);
	}
}

/* Away from the start: the server starts all the same, and says so. */
static void
away_from_the_start(void **state)
{
	(void)state;
	struct node a = node_open_at("unix:///nowhere/at/all", NULL, "REDIS_TIMEOUT_MS=100");
	expect_text(call(a.t, GET, "/v1/ready", NULL, NULL), "status", "degraded");
	assert_int_equal(hit(&a, &five, "k"), LIMIT_TAKEN);
	node_close(&a);
	struct test *t = test_open(NULL);
	const char *message = "";
	assert_true(shared_limits_open(&t->arena, &t->srv, &message));
	assert_null(t->srv.redis);
	expect_text(call(t, GET, "/v1/ready", NULL, NULL), "checks.redis.status", "skipped");
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_nodes_share_a_bucket),
		cmocka_unit_test(a_window_ends_where_it_began_to),
		cmocka_unit_test(a_full_window_opens_again),
		cmocka_unit_test(all_hits_or_none),
		cmocka_unit_test(a_hundred_of_many_threads),
		cmocka_unit_test(killed_under_load_and_back),
		cmocka_unit_test(hangs),
		cmocka_unit_test(logins_and_signups_are_counted_together),
		cmocka_unit_test(typed_codes_are_counted_together),
		cmocka_unit_test(ready_says_what_it_is_without),
		cmocka_unit_test(away_from_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
