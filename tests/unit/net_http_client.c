/* Requests to others: what is sent, and what a hostile server cannot make of it: redirects, endless answers, other protocols. */
#include "our_fail.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_client.h"

/* Answers each connection with one text; `endless` goes on with bytes until the client hangs up, `silent` says nothing until then. */
struct peer {
	int listener, port;
	const char *answer;
	bool endless, silent;
	atomic_int connections;
	char request[4000];
	pthread_t thread;
};

static void *
peer_run(void *arg)
{
	static const char filler[1 << 16];
	struct peer *p = arg;

	for (;;) {
		int c = accept(p->listener, NULL, NULL);
		if (c < 0)
			return NULL;
		p->connections++;
		size_t n = 0;
		while (n < sizeof(p->request) - 1) {
			ssize_t got = recv(c, p->request + n, sizeof(p->request) - 1 - n, 0);
			if (got <= 0)
				break;
			n += (size_t)got;
			p->request[n] = 0;
			const char *end = strstr(p->request, "\r\n\r\n");
			const char *length = strstr(p->request, "Content-Length: ");
			if (end && (!length || strstr(end, "z=1")))
				break;
		}
		if (p->silent)
			(void)!recv(c, p->request, 1, 0);
		else
			(void)!send(c, p->answer, strlen(p->answer), MSG_NOSIGNAL);
		while (p->endless && send(c, filler, sizeof(filler), MSG_NOSIGNAL) > 0)
			continue;
		close(c);
	}
}

static int
peer_open(void **state)
{
	static struct peer p;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	p = (struct peer){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(bind(p.listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(p.listener, 8), 0);
	assert_int_equal(getsockname(p.listener, (struct sockaddr *)&at, &n), 0);
	p.port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&p.thread, NULL, peer_run, &p), 0);
	*state = &p;
	return 0;
}

static int
peer_close(void **state)
{
	struct peer *p = *state;

	shutdown(p->listener, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->listener);
	return 0;
}

static struct arena arena;

static bool
fetch(const struct peer *p, const char *form, struct http_answer *ret, const char **ret_why)
{
	const struct http_fetch f = {.url = arena_printf(&arena, "http://127.0.0.1:%d/path", p->port),
		.form = form,
		.authorization = form ? "Basic eA==" : NULL,
		.plain = true};

	return http_fetch(&arena, &f, ret, ret_why);
}

static void
get_and_post(void **state)
{
	struct peer *p = *state;
	struct http_answer r;
	const char *why = "";

	p->answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
	assert_true(fetch(p, NULL, &r, &why));
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body.n, 5);
	assert_string_equal((const char *)r.body.p, "hello");
	assert_memory_equal(p->request, "GET /path HTTP/1.1\r\n", 20);
	assert_null(strstr(p->request, "Authorization"));
	assert_true(fetch(p, "a=b&z=1", &r, &why));
	assert_memory_equal(p->request, "POST /path HTTP/1.1\r\n", 21);
	assert_non_null(strstr(p->request, "Authorization: Basic eA==\r\n"));
	assert_non_null(strstr(p->request, "Content-Type: application/x-www-form-urlencoded\r\n"));
	assert_non_null(strstr(p->request, "\r\n\r\na=b&z=1"));
}

static void
redirects_are_answers(void **state)
{
	struct peer *p = *state;
	struct http_answer r;
	const char *why = "";

	p->answer = arena_printf(&arena,
		"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		p->port);
	assert_true(fetch(p, NULL, &r, &why));
	assert_int_equal(r.status, 302);
	assert_int_equal(p->connections, 1);
}

static void
endless_answers_are_cut(void **state)
{
	struct peer *p = *state;
	struct http_answer r;
	const char *why = "";

	p->endless = true;
	p->answer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
	assert_false(fetch(p, NULL, &r, &why));
	assert_string_equal(why, "the answer is too large");
	p->answer = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n";
	assert_false(fetch(p, NULL, &r, &why));
}

static void
half_answers_are_none(void **state)
{
	struct peer *p = *state;
	struct http_answer r;
	const char *why = "";

	p->answer = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nhello";
	assert_false(fetch(p, NULL, &r, &why));
	p->answer = "nonsense\r\n\r\n";
	assert_false(fetch(p, NULL, &r, &why));
}

/* Whoever never answers is left when the caller's time is over; nothing else would end this. */
static void
silence_is_left(void **state)
{
	struct peer *p = *state;
	struct http_answer r = {.status = 99};
	const char *why = "";

	p->silent = true;
	const struct http_fetch f = {
		.url = arena_printf(&arena, "http://127.0.0.1:%d/", p->port), .plain = true, .total_ms = 300};
	assert_false(http_fetch(&arena, &f, &r, &why));
	assert_int_equal(r.status, 99);
	assert_non_null(strstr(why, "imeout"));
}

static void
only_https_and_only_http(void **state)
{
	struct peer *p = *state;
	const char *why = "";
	struct http_answer r;
	const struct http_fetch rows[] = {{.url = arena_printf(&arena, "http://127.0.0.1:%d/", p->port)},
		{.url = "file:///etc/hostname", .plain = true}, {.url = "gopher://127.0.0.1/", .plain = true},
		{.url = arena_printf(&arena, "https://127.0.0.1:%d/", p->port)}, {.url = "", .plain = true}};

	p->answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_false(http_fetch(&arena, &rows[i], &r, &why));
	assert_true(p->connections <= 1);
}

static void
percent_encoding(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, &arena, 10);
	url_encode(&out, "aZ09-._~ +/%&=\xc3\xa9");
	assert_string_equal(buf_cstr(&out), "aZ09-._~%20%2B%2F%25%26%3D%C3%A9");
}

int
main(void)
{
#define IN(f) cmocka_unit_test_setup_teardown(f, peer_open, peer_close)
	const struct CMUnitTest tests[] = {
		IN(get_and_post),
		IN(redirects_are_answers),
		IN(endless_answers_are_cut),
		IN(half_answers_are_none),
		IN(silence_is_left),
		IN(only_https_and_only_http),
		cmocka_unit_test(percent_encoding),
	};

	arena_init(&arena);
	int failed = cmocka_run_group_tests_name("net_http_client", tests, NULL, NULL);
	arena_release(&arena);
	return failed;
}
