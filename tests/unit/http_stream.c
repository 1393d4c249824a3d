/*
 * Streams over the front: what arrives, who is cut, and how they end.  The clock of heartbeats is the test's own.
 */
#include "unit/certificate.h"
#include "unit/http_env.h"

#include <openssl/ssl.h>
#include <signal.h>

enum { LISTENERS_MAX = 300 };

struct hall {
	struct app base; /* server, port, arena */
	atomic_llong clock_us;
	struct metrics *metrics;
	struct stream *streams[LISTENERS_MAX]; /* under base.lock */
	int n, ended;
};

static int64_t
hall_clock(void *arg)
{
	return atomic_load(&((struct hall *)arg)->clock_us);
}

static void
hall_random(void *arg, void *ret, size_t n)
{
	source_system.random(arg, ret, n);
}

static void
on_end(void *arg)
{
	struct hall *h = arg;

	pthread_mutex_lock(&h->base.lock);
	h->ended++;
	pthread_cond_broadcast(&h->base.changed);
	pthread_mutex_unlock(&h->base.lock);
}

static void
listen_to(void *state, void *arg)
{
	struct exchange *x = arg;
	struct hall *h = x->app;
	struct stream *st = stream_new();

	(void)state;
	stream_on_end(st, on_end, h);
	stream_send(st, SPAN_LIT("data: first\n\n"));
	pthread_mutex_lock(&h->base.lock);
	h->streams[h->n++] = stream_hold(st);
	pthread_cond_broadcast(&h->base.changed);
	pthread_mutex_unlock(&h->base.lock);
	assert_int_equal(reply_stream(&x->reply, st), OK);
	reply_header(&x->reply, "X-Seen", strcmp(x->request.path, "/bad") == 0 ? "a\r\nb" : "stream");
	exchange_reply(x);
}

static void
hall_handle(void *arg, struct exchange *x)
{
	struct hall *h = arg;

	x->app = h;
	if (strcmp(x->request.path, "/later") == 0) {
		struct pool_task *t = &h->base.tasks[atomic_fetch_add(&h->base.n_tasks, 1) % 4096];

		*t = (struct pool_task){.run = listen_to, .arg = x};
		exchange_defer(x);
		assert_true(pool_submit(h->base.pool, t));
	} else if (strcmp(x->request.path, "/plain") == 0) {
		answer_text(x, "plain");
		exchange_reply(x);
	} else {
		listen_to(NULL, x);
	}
}

static struct hall *
hall_open(const char *cert, const char *key)
{
	static const struct pool_options pool = {.name = "test", .threads = 2, .max_queued = 1000};
	struct hall *h = calloc(1, sizeof(*h));
	struct source *source;
	const char *message = "";

	assert_non_null(h);
	arena_init(&h->base.arena);
	pthread_mutex_init(&h->base.lock, NULL);
	pthread_cond_init(&h->base.changed, NULL);
	h->base.pool = pool_open(&pool);
	h->metrics = metrics_open(1);
	source = arena_new(&h->base.arena, struct source, 1);
	*source = (struct source){hall_clock, hall_clock, hall_random, h};
	const struct http_options o = {.host = "127.0.0.1",
		.loops = 2,
		.max_body = 1000,
		.source = source,
		.handle = hall_handle,
		.metrics = h->metrics,
		.tls_cert_file = cert,
		.tls_key_file = key,
		.arg = h};
	if (http_server_open(&h->base.arena, &o, &h->base.server, &message) != OK)
		print_error("%s\n", message);
	assert_non_null(h->base.server);
	h->base.port = http_server_port(h->base.server);
	return h;
}

static void
hall_wait(struct hall *h, const int *what, int n)
{
	pthread_mutex_lock(&h->base.lock);
	while (*what < n)
		pthread_cond_wait(&h->base.changed, &h->base.lock);
	pthread_mutex_unlock(&h->base.lock);
}

/* The handler's thread put it there; what the client read since is no order that the language knows of. */
static struct stream *
stream_at(struct hall *h, int i)
{
	pthread_mutex_lock(&h->base.lock);
	struct stream *st = h->streams[i];
	pthread_mutex_unlock(&h->base.lock);
	return st;
}

static int
ended(struct hall *h)
{
	pthread_mutex_lock(&h->base.lock);
	int n = h->ended;
	pthread_mutex_unlock(&h->base.lock);
	return n;
}

static int64_t
open_streams(struct hall *h)
{
	struct arena a CLEANUP(arena_release);
	struct buf out;
	const char *at;

	arena_init(&a);
	buf_init(&out, &a, 1024);
	metrics_print(h->metrics, &out, NULL);
	at = strstr(buf_cstr(&out), "\nmuster_sse_clients ");
	return at ? strtol(at + 20, NULL, 10) : 0;
}

/* Ends whatever is open; every stream must have said so. */
static void
hall_close(struct hall *h)
{
	http_server_close(h->base.server, 2000);
	assert_int_equal(h->ended, h->n);
	assert_int_equal(open_streams(h), 0);
	for (int i = 0; i < h->n; i++) {
		assert_true(stream_over(stream_at(h, i)));
		assert_false(stream_send(stream_at(h, i), SPAN_LIT("data: late\n\n")));
		stream_release(stream_at(h, i));
	}
	pool_close(h->base.pool);
	metrics_close(h->metrics);
	arena_release(&h->base.arena);
	free(h);
}

static struct client_conn *
listener(struct hall *h, const char *path)
{
	struct client_conn *c = client_open(h->base.port);
	char request[200];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", path);
	client_text(c, request);
	return c;
}

/* Reads until `text` has come, and forgets what came up to its end; false when the connection ends before. */
static bool
reads(struct client_conn *c, const char *text)
{
	char *at;

	while (c->n == 0 || !(at = strstr(c->in, text)))
		if (!client_fill(c))
			return false;
	at += strlen(text);
	c->n -= (size_t)(at - c->in);
	memmove(c->in, at, c->n + 1);
	return true;
}

static bool
ends(struct client_conn *c)
{
	while (client_fill(c))
		;
	return c->n == 0;
}

static void
test_events_arrive(void **state)
{
	static const char *const paths[] = {"/now", "/later"};
	struct hall *h = hall_open(NULL, NULL);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct client_conn *c = listener(h, paths[i]);
		struct answer a;

		client_answer(c, true, &a);
		assert_int_equal(a.status, 200);
		assert_non_null(strstr(a.head, "\r\nContent-Type: text/event-stream\r\n"));
		assert_non_null(strstr(a.head, "\r\nCache-Control: no-store\r\n"));
		assert_non_null(strstr(a.head, "\r\nX-Seen: stream\r\n"));
		assert_non_null(strstr(a.head, "\r\nDate: "));
		assert_null(strstr(a.head, "Content-Length"));
		assert_null(strstr(a.head, "chunked"));
		assert_true(reads(c, "data: first\n\n"));
		assert_true(stream_send(stream_at(h, i), SPAN_LIT("data: second\n\n")));
		assert_true(reads(c, "data: second\n\n"));
		client_text(c, "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n"); /* nobody answers on a stream */
		assert_true(stream_send(stream_at(h, i), SPAN_LIT("data: third\n\n")));
		assert_true(reads(c, "data: third\n\n"));
		assert_int_equal(c->n, 0);
		assert_int_equal(open_streams(h), 1);
		stream_send(stream_at(h, i), SPAN_LIT("data: last\n\n"));
		stream_finish(stream_at(h, i));
		assert_false(stream_send(stream_at(h, i), SPAN_LIT("data: late\n\n")));
		assert_true(reads(c, "data: last\n\n"));
		assert_true(ends(c));
		hall_wait(h, &h->ended, i + 1);
		client_close(c);
	}
	hall_close(h);
}

/* After a keep-alive exchange, and with the next request already sent: the connection is the stream's from its request on. */
static void
test_stream_after_other_requests(void **state)
{
	struct hall *h = hall_open(NULL, NULL);
	struct client_conn *c = client_open(h->base.port);
	struct answer a;

	(void)state;
	client_text(c,
		"GET /plain HTTP/1.1\r\n" H "\r\nGET /plain HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H "\r\nGET /plain "
		"HTTP/1.1\r\n" H "\r\n");
	client_answer(c, false, &a);
	assert_string_equal(a.body, "plain");
	client_answer(c, false, &a);
	assert_string_equal(a.body, "plain");
	client_answer(c, true, &a);
	assert_int_equal(a.status, 200);
	assert_true(reads(c, "data: first\n\n"));
	assert_int_equal(c->n, 0);
	client_close(c);
	hall_wait(h, &h->ended, 1);
	hall_close(h);
}

static void
test_head_has_no_stream(void **state)
{
	struct hall *h = hall_open(NULL, NULL);
	struct client_conn *c = client_open(h->base.port);
	struct answer a;

	(void)state;
	client_text(c, "HEAD /later HTTP/1.1\r\n" H "\r\nGET /plain HTTP/1.1\r\n" H "\r\n");
	client_answer(c, true, &a);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.head, "text/event-stream"));
	client_answer(c, false, &a);
	assert_string_equal(a.body, "plain");
	client_close(c);
	hall_wait(h, &h->ended, 1);
	/* A header that would split the reply: no reply, and no stream. */
	c = listener(h, "/bad");
	assert_true(ends(c));
	client_close(c);
	hall_wait(h, &h->ended, 2);
	hall_close(h);
}

static void
test_who_goes_is_noticed(void **state)
{
	struct hall *h = hall_open(NULL, NULL);
	struct client_conn *c[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		c[i] = listener(h, "/later");
		assert_true(reads(c[i], "data: first\n\n"));
	}
	client_close(c[0]);
	hall_wait(h, &h->ended, 1);
	shutdown(c[1]->fd, SHUT_WR);
	hall_wait(h, &h->ended, 2);
	assert_true(ends(c[1]));
	assert_int_equal(open_streams(h), 1);
	client_close(c[1]);
	client_close(c[2]);
	hall_wait(h, &h->ended, 3);
	hall_close(h);
}

static void
test_silence_has_a_heartbeat(void **state)
{
	struct hall *h = hall_open(NULL, NULL);
	struct client_conn *a = listener(h, "/now"), *b = listener(h, "/now");

	(void)state;
	assert_true(reads(a, "data: first\n\n"));
	assert_true(reads(b, "data: first\n\n"));
	atomic_fetch_add(&h->clock_us, 14 * SECONDS_US);
	assert_true(stream_send(stream_at(h, 0), SPAN_LIT("data: a\n\n")));
	assert_true(stream_send(stream_at(h, 1), SPAN_LIT("data: b\n\n")));
	assert_true(reads(a, "\n\n"));
	assert_true(reads(b, "\n\n"));
	for (int i = 0; i < 2; i++) {
		atomic_fetch_add(&h->clock_us, 15 * SECONDS_US);
		assert_true(reads(a, ":\n\n"));
		assert_true(reads(b, ":\n\n"));
		assert_int_equal(a->n + b->n, 0);
	}
	client_close(a);
	client_close(b);
	hall_close(h);
}

/* A listener who does not read is cut; another beside it hears everything. */
static void
test_lag_is_cut(void **state)
{
	struct hall *h = hall_open(NULL, NULL);
	struct client_conn *lazy = client_open(h->base.port), *good;
	char event[1000];
	int small = 4096, sent = 0;

	(void)state;
	setsockopt(lazy->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	client_text(lazy, "GET /now HTTP/1.1\r\n" H "\r\n");
	hall_wait(h, &h->n, 1);
	good = listener(h, "/now");
	assert_true(reads(good, "data: first\n\n"));
	memset(event, 'x', sizeof(event));
	memcpy(event, "data: ", 6);
	memcpy(event + sizeof(event) - 2, "\n\n", 2);
	for (; sent < 5000 && stream_send(stream_at(h, 0), (struct span){(const uint8_t *)event, sizeof(event)}); sent++) {
		assert_true(stream_send(stream_at(h, 1), (struct span){(const uint8_t *)event, sizeof(event)}));
		assert_true(reads(good, "xx\n\n"));
	}
	hall_wait(h, &h->ended, 1);
	assert_true(stream_over(stream_at(h, 0)));
	assert_false(stream_over(stream_at(h, 1)));
	assert_in_range(sent, 60, 1000); /* 64 KB here, and what the kernels of both sides keep */
	/* What was missed may be more than the bound, before and after the connection is there. */
	char *backlog = calloc(1, 300000);
	memset(backlog, 'y', 299999);
	assert_true(stream_send_backlog(stream_at(h, 1), span_str(backlog)));
	assert_true(stream_send(stream_at(h, 1), SPAN_LIT("\n\n")));
	free(backlog);
	for (size_t got = 0; got < 300001; got += good->n, good->n = 0)
		assert_true(client_fill(good));
	client_close(lazy);
	client_close(good);
	hall_close(h);
}

static void
test_all_hear(void **state)
{
	enum { N = 200 };
	struct hall *h = hall_open(NULL, NULL);
	struct client_conn *c[N];

	(void)state;
	for (int i = 0; i < N; i++)
		c[i] = listener(h, i % 2 ? "/now" : "/later");
	hall_wait(h, &h->n, N);
	for (int i = 0; i < N; i++)
		assert_true(stream_send(stream_at(h, i), SPAN_LIT("data: all\n\n")));
	for (int i = 0; i < N; i++)
		assert_true(reads(c[i], "data: first\n\ndata: all\n\n"));
	assert_int_equal(open_streams(h), N);
	/* The server stops: all end, orderly. */
	http_server_close(h->base.server, 2000);
	for (int i = 0; i < N; i++) {
		assert_true(ends(c[i]));
		client_close(c[i]);
	}
	assert_int_equal(h->ended, N);
	for (int i = 0; i < N; i++)
		stream_release(stream_at(h, i));
	pool_close(h->base.pool);
	metrics_close(h->metrics);
	arena_release(&h->base.arena);
	free(h);
}

/* Streams come while the server stops: none may be left, and nothing may hang. */
static void
test_stop_in_the_rush(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct hall *h = hall_open(NULL, NULL);
		struct client_conn *c[50];

		for (int i = 0; i < 50; i++)
			c[i] = listener(h, "/later");
		hall_wait(h, &h->n, round * 5);
		http_server_close(h->base.server, 2000);
		for (int i = 0; i < 50; i++)
			client_close(c[i]);
		pool_close(h->base.pool);
		assert_int_equal(h->ended, h->n);
		for (int i = 0; i < h->n; i++)
			stream_release(stream_at(h, i));
		metrics_close(h->metrics);
		arena_release(&h->base.arena);
		free(h);
	}
}

/* --- TLS ----------------------------------------------------------------------------------------------------------------- */

struct tls_client {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
	char in[1 << 16];
	size_t n;
};

static void
tls_open(struct tls_client *c, int port)
{
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

	c->n = 0;
	c->context = SSL_CTX_new(TLS_client_method());
	c->ssl = SSL_new(c->context);
	c->fd = dial(port);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	SSL_set_fd(c->ssl, c->fd);
	assert_int_equal(SSL_connect(c->ssl), 1);
	SSL_write(c->ssl, "GET /later HTTP/1.1\r\n" H "\r\n", sizeof("GET /later HTTP/1.1\r\n" H "\r\n") - 1);
}

static bool
tls_reads(struct tls_client *c, const char *text)
{
	for (;;) {
		char *at = c->n ? strstr(c->in, text) : NULL;
		int got;

		if (at) {
			c->n -= (size_t)(at + strlen(text) - c->in);
			memmove(c->in, at + strlen(text), c->n + 1);
			return true;
		}
		got = SSL_read(c->ssl, c->in + c->n, (int)(sizeof(c->in) - 1 - c->n));
		if (got <= 0)
			return false;
		c->n += (size_t)got;
		c->in[c->n] = '\0';
	}
}

static void
tls_close(struct tls_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	close(c->fd);
}

static void
test_tls(void **state)
{
	char dir[200], cert[220], key[220];
	const char *tmp = getenv("TMPDIR");
	struct tls_client c[4];
	struct hall *h;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/http-stream-XXXXXX", tmp ? tmp : P_tmpdir);
	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	certificate_make(cert, key);
	h = hall_open(cert, key);
	unlink(cert);
	unlink(key);
	rmdir(dir);
	for (int i = 0; i < 4; i++) {
		tls_open(&c[i], h->base.port);
		assert_true(tls_reads(&c[i], "text/event-stream"));
		assert_true(tls_reads(&c[i], "data: first\n\n"));
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			assert_true(stream_send(stream_at(h, i), SPAN_LIT("data: more\n\n")));
		for (int i = 0; i < 4; i++)
			assert_true(tls_reads(&c[i], "data: more\n\n"));
	}
	atomic_fetch_add(&h->clock_us, 15 * SECONDS_US);
	for (int i = 0; i < 4; i++)
		assert_true(tls_reads(&c[i], ":\n\n"));
	/* One ends by the server, one by the client (noticed at the next event), two at the stop. */
	stream_finish(stream_at(h, 0));
	hall_wait(h, &h->ended, 1);
	tls_close(&c[1]);
	while (ended(h) < 2) {
		for (int i = 0; i < 4; i++)
			stream_send(stream_at(h, i), SPAN_LIT("data: x\n\n"));
		sched_yield();
	}
	assert_int_equal(open_streams(h), 2);
	hall_close(h);
	tls_close(&c[0]);
	tls_close(&c[2]);
	tls_close(&c[3]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_arrive),
		cmocka_unit_test(test_stream_after_other_requests),
		cmocka_unit_test(test_head_has_no_stream),
		cmocka_unit_test(test_who_goes_is_noticed),
		cmocka_unit_test(test_silence_has_a_heartbeat),
		cmocka_unit_test(test_lag_is_cut),
		cmocka_unit_test(test_all_hear),
		cmocka_unit_test(test_stop_in_the_rush),
		cmocka_unit_test(test_tls),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("http: streams", tests, NULL, NULL);
}
