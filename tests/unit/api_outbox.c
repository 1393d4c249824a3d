/*
 * Two nodes, each with a store of its own on one database, send from one outbox to a mail server that answers when it is told to.
 * The clock is set by the test: a claim ends when the test says so.
 */
#include "attendance_env.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conf.h"
#include "jobs/rows.h"
#include "notify/notify.h"

/* --- the mail server -------------------------------------------------------------------------------------------------------- */

enum { MAILS = 16, SESSIONS = 8, WAIT_SECONDS = 60, ADDRESS = 64 };

struct post {
	int listener, port;
	pthread_t thread, session[SESSIONS];
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	int held; /* so many mails wait for answer(), those after them are taken at once */
	int received;
	struct {
		char to[ADDRESS];
		const char *answer;
	} mail[MAILS];
};
struct session {
	struct post *post;
	int socket;
};

static const char *
post_take(struct post *p, const char *to)
{
	(void)pthread_mutex_lock(&p->lock);
	int i = p->received < MAILS - 1 ? p->received++ : p->received;
	(void)snprintf(p->mail[i].to, ADDRESS, "%s", to);
	if (i >= p->held)
		p->mail[i].answer = "250 taken\r\n";
	(void)pthread_cond_broadcast(&p->changed);
	while (!p->mail[i].answer)
		(void)pthread_cond_wait(&p->changed, &p->lock);
	const char *answer = p->mail[i].answer;
	(void)pthread_mutex_unlock(&p->lock);
	return answer;
}

static void *
session_run(void *arg)
{
	struct session s = *(struct session *)arg;
	FILE *in = fdopen(s.socket, "r");
	char line[2048], to[ADDRESS] = "";
	bool data = false;
	const char *answer = "220 post\r\n";

	free(arg);
	do {
		if (answer)
			(void)!send(s.socket, answer, strlen(answer), MSG_NOSIGNAL);
		if (!fgets(line, sizeof(line), in))
			break;
		answer = "250 well\r\n";
		if (data && strcmp(line, ".\r\n") == 0) {
			data = false;
			answer = post_take(s.post, to);
		} else if (data)
			answer = NULL;
		else if (strncmp(line, "RCPT TO:<", 9) == 0)
			(void)snprintf(to, sizeof(to), "%.*s", (int)strcspn(line + 9, ">"), line + 9);
		else if (strncmp(line, "DATA", 4) == 0) {
			data = true;
			answer = "354 go on\r\n";
		}
	} while (strncmp(line, "QUIT", 4) != 0);
	(void)fclose(in);
	return NULL;
}

static void *
post_run(void *arg)
{
	struct post *p = arg;

	for (int n = 0; n < SESSIONS; n++) {
		struct session *s = calloc(1, sizeof(*s));
		*s = (struct session){p, accept(p->listener, NULL, NULL)};
		if (s->socket < 0) {
			free(s);
			break;
		}
		assert_int_equal(pthread_create(&p->session[n], NULL, session_run, s), 0);
	}
	return NULL;
}

static void
post_open(struct post *p, int held)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	*p = (struct post){.held = held, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->changed, NULL);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(p->listener, SESSIONS), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
	p->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, post_run, p), 0);
}

static void
post_close(struct post *p)
{
	(void)shutdown(p->listener, SHUT_RDWR);
	(void)pthread_join(p->thread, NULL);
	(void)close(p->listener);
	for (int i = 0; i < SESSIONS && p->session[i]; i++)
		(void)pthread_join(p->session[i], NULL);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
}

/* Until so many mails came in. */
static void
await(struct post *p, int received)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	(void)pthread_mutex_lock(&p->lock);
	while (p->received < received)
		if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT)
			fail_msg("%d mails instead of %d", p->received, received);
	(void)pthread_mutex_unlock(&p->lock);
}

static void
answer(struct post *p, int i, const char *text)
{
	(void)pthread_mutex_lock(&p->lock);
	p->mail[i].answer = text;
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

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
