/* The queue of news; and buses of several nodes on a real PostgreSQL: who hears what, who leads, whose clock is wrong. */
#include "store_env.h"

#include "store/bus.h"


static const char id_a[] = "01890a5d-ac96-774b-bcce-b302099a8057", id_b[] = "01890a5d-ac96-774b-bcce-b302099a8058";

static struct news
news_of(enum news_kind kind, const char *id, const char *of)
{
	struct news n = {.kind = kind};

	str_copy(n.id.text, sizeof(n.id.text), id);
	str_copy(n.of.text, sizeof(n.of.text), of ? of : "");
	return n;
}

/* --- the queue ---- */

struct heard {
	pthread_mutex_t lock;
	struct news last;
	int count, missed;
	int64_t since_us;
};

static void
count_line(void *arg, const struct news *n)
{
	struct heard *h = arg;

	h->last = *n;
	h->count++;
}

static void
told_once_until_it_is_taken(void **state)
{
	struct news_queue *q = news_queue_open();
	struct news event = news_of(NEWS_EVENT, id_a, NULL), note = news_of(NEWS_NOTIFICATION, id_a, id_b);
	char text[NEWS_PAYLOAD];
	struct heard h = {0};

	(void)state;
	assert_false(news_queue_take(q, text));
	for (int i = 0; i < 5000; i++)
		news_queue_add(q, &event, 1);
	news_queue_add(q, &note, 2);
	assert_true(news_queue_waits(q));
	assert_true(news_queue_take(q, text));
	assert_false(news_queue_waits(q));
	news_read(text, count_line, &h);
	assert_int_equal(h.count, 2);
	assert_int_equal(h.last.kind, NEWS_NOTIFICATION);
	assert_string_equal(h.last.id.text, id_a);
	assert_string_equal(h.last.of.text, id_b);
	news_queue_add(q, &event, 3); /* what was taken may be told again */
	assert_true(news_queue_take(q, text));
	news_queue_close(q);
}

static void
one_of_many(struct news *n, int i)
{
	*n = news_of(NEWS_USER, id_a, NULL);
	(void)snprintf(n->id.text + 24, sizeof(n->id.text) - 24, "%012x", (unsigned)i);
}

static void
retold_while_others_wait(void **state)
{
	struct news_queue *q = news_queue_open();
	char text[NEWS_PAYLOAD];
	struct heard h = {0};
	struct news n;

	(void)state;
	for (int i = 0; i < 2 * NEWS_LINES; i++) {
		one_of_many(&n, i);
		news_queue_add(q, &n, 1);
	}
	assert_true(news_queue_take(q, text));
	news_read(text, count_line, &h);
	assert_int_equal(h.count, NEWS_LINES);
	one_of_many(&n, 0);
	news_queue_add(q, &n, 1);
	while (news_queue_take(q, text))
		news_read(text, count_line, &h);
	assert_int_equal(h.count, 2 * NEWS_LINES + 1);
	assert_string_equal(h.last.id.text, n.id.text);
	news_queue_close(q);
}

static void
a_full_queue_says_since_when(void **state)
{
	const int64_t since_us = INT64_C(1785585600) * SECONDS_US;
	struct news_queue *q = news_queue_open();
	char text[NEWS_PAYLOAD];
	struct heard h = {0};
	struct news n;

	(void)state;
	for (int i = 0; i <= NEWS_MAX; i++) {
		one_of_many(&n, i);
		news_queue_add(q, &n, since_us + i);
	}
	assert_true(news_queue_take(q, text));
	news_read(text, count_line, &h);
	assert_int_equal(h.count, 1);
	assert_int_equal(h.last.kind, NEWS_MANY);
	assert_int_equal(uuid_v7_time_us(h.last.id.text), since_us);
	assert_false(news_queue_take(q, text));
	news_queue_close(q);
}

/* As the bus does when it could not tell: what it took goes back, beside what came since. */
static void
what_was_not_told_keeps_its_time(void **state)
{
	const int64_t since_us = INT64_C(1785585600) * SECONDS_US;
	struct news_queue *q = news_queue_open();
	char text[NEWS_PAYLOAD];
	struct heard h = {0};
	struct news n;

	(void)state;
	one_of_many(&n, 1);
	news_queue_add(q, &n, since_us);
	int64_t taken_us = news_queue_since(q);
	assert_true(news_queue_take(q, text));
	news_queue_add(q, &n, since_us + 8 * SECONDS_US);
	news_queue_add(q, &(const struct news){.kind = NEWS_MANY}, taken_us);
	assert_true(news_queue_take(q, text));
	news_read(text, count_line, &h);
	assert_int_equal(h.last.kind, NEWS_MANY);
	assert_int_equal(uuid_v7_time_us(h.last.id.text), since_us);
	news_queue_close(q);
}

static void
what_is_not_understood_is_passed_over(void **state)
{
	static const char *const bad[] = {"", "\n\n", "u", "u \n", "x 01890a5d-ac96-774b-bcce-b302099a8057\n",
		"u 01890a5d-ac96-774b-bcce-b302099a805\n", "u 01890a5d-ac96-774b-bcce-b302099a805g\n",
		"n 01890a5d-ac96-774b-bcce-b302099a8057 01890a5d\n", "u01890a5d-ac96-774b-bcce-b302099a80577\n"};
	struct heard h = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		news_read(bad[i], count_line, &h);
	assert_int_equal(h.count, 0);
	news_read("? what\nu 01890a5d-ac96-774b-bcce-b302099a8057", count_line, &h);
	assert_int_equal(h.count, 1);
}

/* --- nodes ---- */

struct node {
	struct server srv;
	struct heard heard;
	_Atomic int64_t ahead_us;
	struct source source;
};

static void
hear(void *arg, const struct news *n)
{
	struct node *node = arg;

	pthread_mutex_lock(&node->heard.lock);
	count_line(&node->heard, n);
	pthread_mutex_unlock(&node->heard.lock);
}

static void
missed(void *arg, int64_t since_us)
{
	struct node *node = arg;

	pthread_mutex_lock(&node->heard.lock);
	node->heard.missed++;
	node->heard.since_us = since_us;
	pthread_mutex_unlock(&node->heard.lock);
}

static int64_t
wall(void *arg)
{
	const struct node *node = arg;

	return time_wall_us() + node->ahead_us;
}

static void
node_open(struct node *node, struct env *env)
{
	*node = (struct node){.srv = env->srv, .source = source_system};
	node->source.wall_us = wall;
	node->source.arg = node;
	pthread_mutex_init(&node->heard.lock, NULL);
	node->srv.bus = bus_open(&(const struct bus_options){
		.url = env->url, .source = &node->source, .max_skew_us = SECONDS_US, .hear = hear, .missed = missed, .arg = node});
}

static void
node_close(struct node *node)
{
	bus_close(node->srv.bus);
	pthread_mutex_destroy(&node->heard.lock);
}

static int
heard_count(struct node *node)
{
	pthread_mutex_lock(&node->heard.lock);
	int n = node->heard.count;
	pthread_mutex_unlock(&node->heard.lock);
	return n;
}

static int
missed_count(struct node *node)
{
	pthread_mutex_lock(&node->heard.lock);
	int n = node->heard.missed;
	pthread_mutex_unlock(&node->heard.lock);
	return n;
}

struct write_of {
	enum news_kind kind;
	const char *id;
	enum err result;
};

SQL(BUS_TOUCH, "", "UPDATE things SET n = n + 1");

static enum err
write_run(struct ctx *cx, void *arg)
{
	const struct write_of *w = arg;

	TRY(db_exec(cx, &BUS_TOUCH, NULL));
	bus_tell(cx, w->kind, w->id, NULL);
	return w->result == OK ? OK : fail(cx, w->result, NULL);
}

static void
write_and_tell(struct node *node, enum news_kind kind, const char *id, enum err result)
{
	struct write_of w = {kind, id, result};
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &node->srv);
	assert_int_equal(db_write(&cx, write_run, &w), result);
	arena_release(&a);
}

static const char things[] = "CREATE TABLE things (n BIGINT NOT NULL); INSERT INTO things VALUES (0)";

static void
others_hear_what_was_committed(void **state)
{
	struct env *env = env_make(true, things);
	struct node a, b;

	(void)state;
	node_open(&a, env);
	node_open(&b, env);
	write_and_tell(&a, NEWS_EVENT, id_a, ERR_CONFLICT); /* undone: nobody hears of it */
	write_and_tell(&a, NEWS_USER, id_b, OK);
	eventually(heard_count(&b) > 0);
	assert_int_equal(b.heard.last.kind, NEWS_USER);
	assert_string_equal(b.heard.last.id.text, id_b);
	write_and_tell(&b, NEWS_DISPLAY, id_a, OK);
	eventually(heard_count(&a) > 0);
	assert_int_equal(a.heard.last.kind, NEWS_DISPLAY); /* and never its own */
	assert_int_equal(heard_count(&a), 1);
	assert_int_equal(heard_count(&b), 1);
	node_close(&a);
	node_close(&b);
	env_free(env);
}

static void
a_command_tells_and_leaves_the_lead_alone(void **state)
{
	struct env *env = env_make(true, things);
	struct node node, command = {.srv = env->srv};

	(void)state;
	command.srv.bus = bus_open(&(const struct bus_options){.url = env->url, .source = &source_system});
	assert_int_equal(bus_term(command.srv.bus), 0);
	node_open(&node, env);
	eventually(bus_term(node.srv.bus) != 0);
	write_and_tell(&command, NEWS_USER, id_a, OK);
	bus_close(command.srv.bus); /* tells what waits */
	eventually(heard_count(&node) == 1);
	node_close(&node);
	env_free(env);
}

static void
one_leads_and_when_it_goes_another(void **state)
{
	struct env *env = env_make(true, things);
	struct node a, b;

	(void)state;
	assert_int_equal(bus_term(NULL), 1);
	node_open(&a, env);
	node_open(&b, env);
	eventually(bus_term(a.srv.bus) != 0);
	int64_t first = bus_term(a.srv.bus);
	assert_int_equal(bus_term(b.srv.bus), 0);
	/* Its connection ends, as when the process does. */
	(void)env_sql(env, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted");
	eventually(bus_term(a.srv.bus) != first && bus_term(a.srv.bus) + bus_term(b.srv.bus) > 0);
	assert_true((bus_term(a.srv.bus) != 0) + (bus_term(b.srv.bus) != 0) == 1);
	node_close(&a);
	eventually(bus_term(b.srv.bus) != 0);
	node_close(&b);
	env_free(env);
}

static void
a_lost_connection_is_said(void **state)
{
	struct env *env = env_make(true, things);
	struct node a, b;
	int64_t before_us = time_wall_us();

	(void)state;
	node_open(&a, env);
	node_open(&b, env);
	assert_int_equal(missed_count(&b), 0);
	(void)env_sql(env, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%clock_timestamp()%' AND pid <> "
			   "pg_backend_pid()");
	eventually(missed_count(&a) > 0 && missed_count(&b) > 0);
	assert_true(b.heard.since_us >= before_us && b.heard.since_us <= time_wall_us());
	write_and_tell(&a, NEWS_USER, id_a, OK);
	eventually(heard_count(&b) == 1);
	node_close(&a);
	node_close(&b);
	env_free(env);
}

static void
clocks_apart_are_noticed(void **state)
{
	struct env *env = env_make(true, things);
	struct node a;

	(void)state;
	assert_int_equal(bus_clock(NULL), CLOCK_NONE);
	node_open(&a, env);
	eventually(bus_clock(a.srv.bus) == CLOCK_FINE);
	a.ahead_us = 3600 * SECONDS_US;
	eventually(bus_clock(a.srv.bus) == CLOCK_APART);
	a.ahead_us = 0;
	eventually(bus_clock(a.srv.bus) == CLOCK_FINE);
	a.ahead_us = -3600 * SECONDS_US;
	eventually(bus_clock(a.srv.bus) == CLOCK_APART);
	node_close(&a);
	env_free(env);
}

static void
no_bus_on_sqlite(void **state)
{
	struct env *env = env_make(false, things);
	struct node a;

	(void)state;
	node_open(&a, env);
	assert_null(a.srv.bus);
	write_and_tell(&a, NEWS_USER, id_a, OK);
	node_close(&a);
	env_free(env);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_once_until_it_is_taken),
		cmocka_unit_test(retold_while_others_wait),
		cmocka_unit_test(a_full_queue_says_since_when),
		cmocka_unit_test(what_was_not_told_keeps_its_time),
		cmocka_unit_test(what_is_not_understood_is_passed_over),
		cmocka_unit_test(others_hear_what_was_committed),
		cmocka_unit_test(a_command_tells_and_leaves_the_lead_alone),
		cmocka_unit_test(one_leads_and_when_it_goes_another),
		cmocka_unit_test(a_lost_connection_is_said),
		cmocka_unit_test(clocks_apart_are_noticed),
		cmocka_unit_test(no_bus_on_sqlite),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
