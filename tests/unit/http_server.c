/*
 * The front as a whole: deadlines, hand-off to other threads, opening and closing, TLS, and what it counts.
 */
#include "unit/certificate.h"
#include "unit/http_env.h"

#include <semaphore.h>
#include <openssl/ssl.h>

/* --- deadlines ----------------------------------------------------------------------------------------------------------- */

enum { DEADLINE_MS = 250 };
static const struct http_options hurried = {
	.header_deadline_ms = DEADLINE_MS, .body_deadline_ms = DEADLINE_MS, .reply_deadline_ms = DEADLINE_MS};

static void
pause_ms(int ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* Sends `head`, then a byte every few milliseconds until the server ends the connection; the milliseconds it took, -1 if it does not. */
static int
dribble(struct client_conn *c, const char *head)
{
	int64_t began_us = time_monotonic_us();

	client_text(c, head);
	while (time_monotonic_us() - began_us < PATIENCE_MS * INT64_C(1000)) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		char b;

		client_send(c, "a", 1);
		if (poll(&p, 1, 20) == 1 && recv(c->fd, &b, 1, 0) <= 0)
			return (int)((time_monotonic_us() - began_us) / 1000);
	}
	return -1;
}

static void
test_deadlines(void **state)
{
	struct app *app = app_open(hurried);
	struct client_conn *fresh = client_open(app->port), *kept = client_open(app->port), *body = client_open(app->port),
			   *idle = client_open(app->port);
	struct answer a;
	int ms;

	(void)state;
	client_text(idle, "GET /a HTTP/1.1\r\n" H "\r\n");
	client_answer(idle, false, &a);
	assert_int_equal(a.status, 200);
	assert_true(dribble(fresh, "GET /a HTTP/1.1\r\nX-A: ") >= 0); /* its time runs since it was opened */
	client_close(kept);
	kept = client_open(app->port);
	client_text(kept, "GET /a HTTP/1.1\r\n" H "\r\n");
	client_answer(kept, false, &a);
	pause_ms(2 * DEADLINE_MS); /* idle is no offence */
	ms = dribble(kept, "GET /a HTTP/1.1\r\nX-A: ");
	assert_in_range(ms, DEADLINE_MS, PATIENCE_MS);
	client_close(body);
	body = client_open(app->port);
	ms = dribble(body, "POST /a HTTP/1.1\r\n" H "Content-Length: 10000\r\n\r\n");
	assert_in_range(ms, DEADLINE_MS, PATIENCE_MS);
	client_text(idle, "GET /b HTTP/1.1\r\n" H "\r\n");
	client_answer(idle, false, &a);
	assert_string_equal(a.body, "GET /b? ");
	client_close(fresh);
	client_close(kept);
	client_close(body);
	client_close(idle);
	app_close(app);
}

/* The reply waits for a reader who takes a little of it now and then, but not for ever. */
static void
test_slow_reader(void **state)
{
	struct app *app = app_open(hurried);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)app->port)};
	static const char get[] = "GET /big HTTP/1.1\r\n" H "\r\n";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	int64_t began_us = time_monotonic_us();
	size_t got = 0;
	ssize_t n = 1;
	char some[512];

	(void)state;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, get, sizeof(get) - 1, 0), sizeof(get) - 1);
	while (n > 0) {
		assert_true(time_monotonic_us() - began_us < PATIENCE_MS * INT64_C(1000));
		pause_ms(20);
		n = recv(fd, some, sizeof(some), 0);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_in_range(time_monotonic_us() - began_us, DEADLINE_MS * 1000, PATIENCE_MS * 1000);
	assert_true(got < 8 << 20);
	close(fd);
	app_close(app);
}

/* A handler that takes its time is not cut, and its exchange stays whole when the client is. */
static void
test_handler_has_no_deadline(void **state)
{
	struct app *app = app_open(hurried);
	struct client_conn *c = client_open(app->port);
	struct answer a;

	(void)state;
	client_text(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
	app_wait_held(app, 1);
	pause_ms(3 * DEADLINE_MS);
	app_release_held(app);
	client_answer(c, false, &a);
	assert_string_equal(a.body, "later /hold");
	client_close(c);
	app_close(app);
}

/* --- hand-off ------------------------------------------------------------------------------------------------------------ */

static void
test_many_deferred(void **state)
{
	enum { N = 200 };
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c[N];
	struct answer a;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			c[i] = client_open(app->port);
			client_text(c[i], "POST /hold HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
		}
		app_wait_held(app, N);
		app_release_held(app);
		for (int i = 0; i < N; i++) {
			client_answer(c[i], false, &a);
			assert_string_equal(a.body, "later /hold");
			client_close(c[i]);
		}
	}
	app_close(app);
}

struct stop { /* a handler that keeps its loop until it may go on */
	sem_t reached, go;
};

static void
handle_stop(void *arg, struct exchange *x)
{
	struct stop *stop = arg;

	if (strcmp(x->request.path, "/stop") == 0) {
		sem_post(&stop->reached);
		sem_wait(&stop->go);
	}
	answer_text(x, "on");
	exchange_reply(x);
}

/* As many requests at one moment as the library takes events at once: answered, although nobody else comes to wake it. */
static void
test_full_house(void **state)
{
	enum { EVENTS = 128 };
	struct stop stop;
	struct http_options o = {.host = "127.0.0.1", .loops = 1, .max_body = 100, .source = &source_system, .handle = handle_stop, .arg = &stop};
	struct client_conn *c[EVENTS], *first;
	struct http_server *server;
	struct arena arena;
	struct answer a;
	const char *message;

	(void)state;
	arena_init(&arena);
	sem_init(&stop.reached, 0, 0);
	sem_init(&stop.go, 0, 0);
	assert_int_equal(http_server_open(&arena, &o, &server, &message), OK);
	first = client_open(http_server_port(server));
	for (int i = 0; i < EVENTS; i++) {
		c[i] = client_open(http_server_port(server));
		client_text(c[i], "GET /a HTTP/1.1\r\n" H "\r\n");
		client_answer(c[i], false, &a);
		assert_int_equal(a.status, 200);
	}
	client_text(first, "GET /stop HTTP/1.1\r\n" H "\r\n");
	sem_wait(&stop.reached);
	for (int i = 0; i < EVENTS; i++)
		client_text(c[i], "GET /b HTTP/1.1\r\n" H "\r\n");
	sem_post(&stop.go);
	for (int i = 0; i < EVENTS; i++) {
		client_answer(c[i], false, &a);
		assert_int_equal(a.status, 200);
		client_close(c[i]);
	}
	client_close(first);
	http_server_close(server, 2000);
	arena_release(&arena);
}

static void
test_gone(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;

	(void)state;
	client_text(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
	app_wait_held(app, 1);
	assert_false(exchange_gone(app->held[0]));
	client_close(c);
	while (!exchange_gone(app->held[0]))
		sched_yield();
	app_release_held(app);
	c = client_open(app->port);
	client_text(c, "GET /gone HTTP/1.1\r\n" H "\r\n");
	client_answer(c, false, &a);
	assert_string_equal(a.body, "later /gone");
	assert_int_equal(app->gone, 0);
	client_close(c);
	app_close(app);
}

static void *
storm_thread(void *arg)
{
	static const char *const parts[] = {"GET /later HTTP/1.1\r\n" H "\r\n", "GET /big HTTP/1.1\r\n" H "\r\n", "GET /a HT",
		"POST /later HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc",
		"GET /later HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H "\r\n",
		"POST /later HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"};
	const struct linger reset = {.l_onoff = 1};
	struct app *app = arg;

	for (int i = 0; i < 1000; i++) {
		int fd = dial(app->port);
		const char *text = parts[i % 6];

		send(fd, text, strlen(text), MSG_NOSIGNAL);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (i % 3 == 0)
			sched_yield();
		close(fd);
	}
	return NULL;
}

static void
test_reset_storm(void **state)
{
	struct app *app = app_open((struct http_options){0});
	pthread_t threads[2];
	struct client_conn *c;
	struct answer a;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, storm_thread, app), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	c = client_open(app->port);
	client_text(c, "GET /later HTTP/1.1\r\n" H "\r\n");
	client_answer(c, false, &a);
	assert_string_equal(a.body, "later /later");
	assert_true(app->handled > 500);
	client_close(c);
	app_close(app);
}

/* --- closing ------------------------------------------------------------------------------------------------------------- */

struct closing {
	struct app *app;
	int grace_ms;
};

static void *
closing_thread(void *arg)
{
	struct closing *k = arg;

	http_server_close(k->app->server, k->grace_ms);
	return NULL;
}

static void
wait_refused(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (bool refused = false; !refused;) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		refused = connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0;
		close(fd);
	}
}

static void
test_close_waits(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port), *idle = client_open(app->port);
	struct closing k = {app, 60000};
	pthread_t thread;
	struct answer a;

	(void)state;
	client_text(idle, "GET /a HTTP/1.1\r\n" H "\r\n");
	client_answer(idle, false, &a);
	client_text(c, "GET /hold HTTP/1.1\r\n" H "\r\n");
	app_wait_held(app, 1);
	assert_int_equal(pthread_create(&thread, NULL, closing_thread, &k), 0);
	wait_refused(app->port);
	/* Until the last answer is out, a kept connection is served, and told to end. */
	client_text(idle, "GET /b HTTP/1.1\r\n" H "\r\n");
	client_answer(idle, false, &a);
	assert_int_equal(a.status, 200);
	assert_non_null(strcasestr(a.head, "Connection: close"));
	app_release_held(app);
	client_answer(c, false, &a);
	assert_string_equal(a.body, "later /hold");
	assert_true(client_ended(c, false));
	pthread_join(thread, NULL);
	app->server = NULL;
	client_close(c);
	client_close(idle);
	app_close(app);
}

static void
test_close_forced(void **state)
{
	enum { N = 100 };
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c[N];
	struct answer a;

	(void)state;
	for (int i = 0; i < N; i++) {
		c[i] = client_open(app->port);
		client_text(c[i], "GET /hold HTTP/1.1\r\n" H "X-Request-ID: given\r\n\r\n");
	}
	app_wait_held(app, N);
	http_server_close(app->server, 20);
	app->server = NULL;
	for (int i = 0; i < N; i++) {
		client_answer(c[i], false, &a);
		assert_int_equal(a.status, 503);
		assert_string_equal(a.body, "refused unavailable");
		client_close(c[i]);
	}
	/* The app still holds them; they are whole, and answering is harmless. */
	assert_string_equal(app->held[0]->request.path, "/hold");
	assert_string_equal(request_header(&app->held[0]->request, "x-request-id"), "given");
	assert_true(exchange_gone(app->held[0]));
	app_release_held(app);
	app_close(app);
}

/* --- opening ------------------------------------------------------------------------------------------------------------- */

static void
test_open(void **state)
{
	static const char *const bad_proxies[] = {"10.0.0.0/8", "10.0.0.0/33", NULL};
	struct app *one = app_open((struct http_options){0}), *two = app_open((struct http_options){0});
	struct http_options o = {.host = "127.0.0.1", .port = one->port, .source = &source_system, .handle = handle};
	struct http_server *s = NULL;
	const char *message = NULL;

	(void)state;
	assert_int_not_equal(one->port, two->port);
	assert_int_equal(http_server_open(&one->arena, &o, &s, &message), ERR_UNAVAILABLE);
	assert_non_null(strstr(message, "cannot listen on 127.0.0.1 port"));
	o.port = 0;
	o.host = "example.com";
	assert_int_equal(http_server_open(&one->arena, &o, &s, &message), ERR_UNAVAILABLE);
	o.host = "127.0.0.1";
	o.trusted_proxies = bad_proxies;
	assert_int_equal(http_server_open(&one->arena, &o, &s, &message), ERR_UNAVAILABLE);
	assert_string_equal(message, "\"10.0.0.0/33\" is neither an address nor a network");
	o.trusted_proxies = NULL;
	o.tls_cert_file = "nowhere.pem";
	assert_int_equal(http_server_open(&one->arena, &o, &s, &message), ERR_UNAVAILABLE);
	o.tls_key_file = "nowhere.pem";
	assert_int_equal(http_server_open(&one->arena, &o, &s, &message), ERR_UNAVAILABLE);
	assert_string_equal(message, "cannot read nowhere.pem");
	assert_null(s);
	app_close(one);
	app_close(two);
}

enum { LARGE_BYTES = 4 << 20, PART_BYTES = (1 << 20) + 1, LARGES_MAX = BODIES_IN_FLIGHT_MAX / LARGE_BYTES };

/* Asks to send a body of LARGE_BYTES; the status of the answer, 100 when it may. */
static int
offer_large(struct client_conn *c, const char *path)
{
	char head[200];
	struct answer a;

	(void)snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", path, LARGE_BYTES);
	client_text(c, head);
	client_answer(c, false, &a);
	if (a.status == 503)
		assert_string_equal(a.body, "refused overloaded");
	return a.status;
}

/* Bodies that begin and do not end fill `max` bytes, as `held` counts them; the next is refused, unless it is a small one of another kind. */
static void
fill_with_bodies(struct app *app, const char *path, int max, _Atomic int64_t *held, bool others_pass)
{
	struct client_conn *c[LARGES_MAX], *beyond = client_open(app->port);
	char *part = calloc(1, PART_BYTES);
	int n = max / LARGE_BYTES;

	assert_non_null(part);
	for (int i = 0; i < n; i++) {
		c[i] = client_open(app->port);
		assert_int_equal(offer_large(c[i], path), 100);
		client_send(c[i], part, PART_BYTES);
		while (atomic_load(held) < (i + 1) * (int64_t)LARGE_BYTES)
			sched_yield();
	}
	assert_int_equal(offer_large(beyond, path), 503);
	client_close(beyond);
	if (others_pass)
		assert_int_equal(send_repeated(app, "POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n", "abc", 1, ""), 200);
	for (int i = 0; i < n; i++)
		client_close(c[i]);
	while (atomic_load(held) > 0)
		sched_yield();
	free(part);
}

/* All bodies together are bounded: what comes beyond is refused at once, and served again when the others are gone. */
static void
test_bodies_together(void **state)
{
	struct app *app = app_open((struct http_options){0});

	(void)state;
	fill_with_bodies(app, "/large", BODIES_IN_FLIGHT_MAX, &app->server->bodies, false);
	assert_int_equal(send_repeated(app, "POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n", "abc", 1, ""), 200);
	while (atomic_load(&app->server->bodies) > 0) /* the answer is there a moment before its exchange ends */
		sched_yield();
	app_close(app);
}

/* Who may send nothing, and has no need to, does not take the room of those who may. */
static void
test_strangers_bodies_together(void **state)
{
	struct app *app = app_open((struct http_options){0});

	(void)state;
	fill_with_bodies(app, "/stranger/large", STRANGERS_BODIES_MAX, &app->server->strangers_bodies, true);
	app_close(app);
}

static void
test_metrics(void **state)
{
	struct metrics *metrics = metrics_open(0);
	struct app *app = app_open((struct http_options){.metrics = metrics});
	struct client_conn *c = client_open(app->port);
	struct answer a;
	struct buf out;

	(void)state;
	client_text(c, "POST /hold HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
	app_wait_held(app, 1);
	buf_init(&out, &app->arena, 0);
	metrics_print(metrics, &out, NULL);
	assert_non_null(strstr(buf_cstr(&out), "\nmuster_http_connections 1\n"));
	assert_non_null(strstr(buf_cstr(&out), "\nmuster_http_body_bytes 3\n"));
	app_release_held(app);
	client_answer(c, false, &a);
	client_close(c);
	http_server_close(app->server, 2000);
	app->server = NULL;
	buf_init(&out, &app->arena, 0);
	metrics_print(metrics, &out, NULL);
	assert_non_null(strstr(buf_cstr(&out), "\nmuster_http_connections 0\n"));
	assert_non_null(strstr(buf_cstr(&out), "\nmuster_http_body_bytes 0\n"));
	app_close(app);
	metrics_close(metrics);
}

/* --- TLS ----------------------------------------------------------------------------------------------------------------- */

/* Asks /who over TLS of at most that version; false when there is no handshake. */
static bool
tls_ask(int port, int max_version, char *ret, size_t cap)
{
	static const char get[] = "GET /who HTTP/1.1\r\n" H "X-Request-ID: r\r\nConnection: close\r\n\r\n";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	int fd = dial(port), n = 0, got = 1;
	bool ok;

	SSL_set_security_level(ssl, 0);
	SSL_set_min_proto_version(ssl, TLS1_VERSION);
	SSL_set_max_proto_version(ssl, max_version);
	SSL_set_fd(ssl, fd);
	ok = SSL_connect(ssl) == 1;
	if (ok) {
		assert_int_equal(SSL_write(ssl, get, sizeof(get) - 1), sizeof(get) - 1);
		for (; got > 0; n += got > 0 ? got : 0)
			got = SSL_read(ssl, ret + n, (int)cap - 1 - n);
		ret[n] = '\0';
		assert_string_equal(SSL_get_version(ssl), max_version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return ok;
}

static void
test_tls(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char dir[200], cert[220], key[220], other[220], text[4096];
	struct http_server *s = NULL;
	const char *message = NULL;
	struct http_options o;
	struct app *app;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/http-tls-XXXXXX", tmp ? tmp : P_tmpdir);
	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	certificate_make(cert, other);
	certificate_make(cert, key);
	app = app_open((struct http_options){.tls_cert_file = cert, .tls_key_file = key});
	assert_true(tls_ask(app->port, TLS1_3_VERSION, text, sizeof(text)));
	assert_non_null(strstr(text, "127.0.0.1 127.0.0.1 1 0 r"));
	assert_true(tls_ask(app->port, TLS1_2_VERSION, text, sizeof(text)));
	assert_false(tls_ask(app->port, TLS1_1_VERSION, text, sizeof(text)));
	o = (struct http_options){
		.host = "127.0.0.1", .source = &source_system, .handle = handle, .tls_cert_file = cert, .tls_key_file = other};
	assert_int_equal(http_server_open(&app->arena, &o, &s, &message), ERR_UNAVAILABLE);
	assert_string_equal(message, "certificate and key do not fit");
	app_close(app);
	unlink(cert);
	unlink(key);
	unlink(other);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_handler_has_no_deadline),
		cmocka_unit_test(test_many_deferred),
		cmocka_unit_test(test_full_house),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_reset_storm),
		cmocka_unit_test(test_close_waits),
		cmocka_unit_test(test_close_forced),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_bodies_together),
		cmocka_unit_test(test_strangers_bodies_together),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_tls),
	};

	alarm(280); /* what waits for something that never comes */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
