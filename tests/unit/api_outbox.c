/*
 * Two nodes, each with a store of its own on one database, send from one outbox to a mail server that answers when it is told to.
 * The clock is set by the test: a claim ends when the test says so.
 */
#include "attendance_env.h"
#include "smtp_peer.h"

#include <string.h>

#include "core/conf.h"
#include "jobs/rows.h"
#include "notify/notify.h"

/* --- the nodes -------------------------------------------------------------------------------------------------------------- */

struct node {
	struct server srv;
	pthread_t thread;
	enum err err;
	int64_t sent;
};

static void *
node_run(void *arg)
{
	struct node *n = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &n->srv);
	n->err = outbox_send(&cx, &n->sent);
	arena_release(&a);
	return NULL;
}

static void
node_start(struct node *n, struct test *t)
{
	const struct db_options options = {.url = t->srv.conf->database_url, .readers = 2, .cache_mb = 8};
	const char *message = "";

	n->srv = t->srv;
	if (db_open(&t->arena, &options, &n->srv.store, &message) != OK)
		fail_msg("database: %s", message);
	assert_int_equal(pthread_create(&n->thread, NULL, node_run, n), 0);
}

static void
node_end(struct node *n, enum err want, int64_t sent)
{
	(void)pthread_join(n->thread, NULL);
	db_close(n->srv.store);
	assert_int_equal(n->err, want);
	assert_int_equal(n->sent, sent);
}

static enum err
put(struct ctx *cx, void *arg)
{
	return outbox_mail(cx, arg, "password_changed", "{\"name\":\"Ada\"}");
}

static struct test *
open_with(struct post *p, int held, const char *const *recipients)
{
	char url[64];

	post_open(p, held);
	(void)snprintf(url, sizeof(url), "SMTP_URL=smtp://127.0.0.1:%d", p->port);
	struct test *t = test_open(TEST_CONF(url, "MAIL_FROM=muster@example.org"));
	for (; *recipients; recipients++) {
		assert_int_equal(test_write(t, put, (void *)(uintptr_t)*recipients), OK);
		test_advance(t, 1); /* so that they are sent in this order */
	}
	return t;
}

static void
expect_received(const struct post *p, const char *const *want)
{
	int n = 0;

	for (; want[n]; n++)
		assert_string_equal(p->mail[n].to, want[n]);
	assert_int_equal(p->received, n);
}

/* --- tests ------------------------------------------------------------------------------------------------------------------ */

/* The run is older than a claim lasts, the mail that is under way is not. */
static void
a_slow_run_keeps_the_mail_it_is_at(void **state)
{
	static const char *const mails[] = {"a@example.org", "b@example.org", "c@example.org", NULL};
	struct node old = {0}, new = {0};
	struct post p;

	(void)state;
	struct test *t = open_with(&p, 2, mails);
	node_start(&old, t);
	await(&p, 1);
	test_advance(t, 4 * MINUTES_US);
	answer(&p, 0, "250 taken\r\n");
	await(&p, 2);
	test_advance(t, 4 * MINUTES_US);
	node_start(&new, t); /* it has the lead now, and takes what is nobody's */
	node_end(&new, OK, 1);
	answer(&p, 1, "250 taken\r\n");
	node_end(&old, OK, 2);
	expect_received(&p, mails);
	assert_int_equal(count(t, "SELECT COUNT(*) FROM outbox WHERE sent_at IS NOT NULL AND attempts = 1"), 3);
	test_close(t);
	post_close(&p);
}

/* A node that stood still for longer than a claim comes back with a failure: the mail is the other's, and stays so. */
static void
who_outlasted_a_claim_leaves_the_mail_alone(void **state)
{
	static const char *const mails[] = {"a@example.org", NULL}, *const twice[] = {"a@example.org", "a@example.org", NULL};
	static const char *const late[] = {"250 taken\r\n", "451 later\r\n", "550 never\r\n", "421 away\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
		struct node old = {0}, new = {0}, third = {0};
		struct post p;
		struct test *t = open_with(&p, 2, mails);

		node_start(&old, t);
		await(&p, 1);
		test_advance(t, 6 * MINUTES_US);
		node_start(&new, t);
		await(&p, 2);
		answer(&p, 0, late[i]);
		node_end(&old, late[i][0] == '4' && late[i][1] == '2' ? ERR_UNAVAILABLE : OK, i == 0);
		node_start(&third, t);
		node_end(&third, OK, 0);
		answer(&p, 1, "250 taken\r\n");
		node_end(&new, OK, 1);
		expect_received(&p, twice);
		assert_int_equal(count(t, "SELECT COUNT(*) FROM outbox WHERE sent_at IS NOT NULL AND last_error IS NULL"), 1);
		test_close(t);
		post_close(&p);
	}
}

/* While a claim lasts nobody else takes the mail; a process that died with it loses nothing. */
static void
the_claim_of_a_dead_node_ends(void **state)
{
	static const char *const mails[] = {"a@example.org", NULL};
	struct node first = {0}, second = {0};
	struct post p;

	(void)state;
	struct test *t = open_with(&p, 0, mails);
	sql_run(t, "UPDATE outbox SET attempts = 1, next_try_at = '2026-08-01 12:05:00.000000'");
	test_advance(t, 4 * MINUTES_US);
	node_start(&first, t);
	node_end(&first, OK, 0);
	test_advance(t, 2 * MINUTES_US);
	node_start(&second, t);
	node_end(&second, OK, 1);
	expect_received(&p, mails);
	test_close(t);
	post_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_run_keeps_the_mail_it_is_at),
		cmocka_unit_test(who_outlasted_a_claim_leaves_the_mail_alone),
		cmocka_unit_test(the_claim_of_a_dead_node_ends),
	};

	return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
