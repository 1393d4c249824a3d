/*
 * The front over real sockets: framing, bodies, deadlines, hand-off to other threads, and closing.  Clients here speak raw bytes, since
 * what matters is what a careless or hostile peer may send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* core/ctx.h has its own */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/inside.h"
#include "http/pool.h"

enum { PATIENCE_MS = 8000, BODY_LIMIT = 64 << 10, HELD_MAX = 256 };

/* --- an application ------------------------------------------------------------------------------------------------------ */

struct app {
	struct arena arena;
	struct http_server *server;
	int port;
	struct pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct exchange *held[HELD_MAX];
	int n_held;
	atomic_int handled, gone;
	struct pool_task tasks[4096];
	atomic_uint n_tasks;
};

static void
answer_text(struct exchange *x, const char *text)
{
	x->reply.content_type = "text/plain";
	x->reply.body = span_str(text);
}

static void
later(void *state, void *arg)
{
	struct exchange *x = arg;

	(void)state;
	answer_text(x, arena_printf(&x->arena, "later %s", x->request.path));
	exchange_reply(x);
}

static void
later_unless_gone(void *state, void *arg)
{
	struct exchange *x = arg;
	struct app *app = x->app;

	if (exchange_gone(x))
		atomic_fetch_add(&app->gone, 1);
	later(state, arg);
}

static void
handle(void *arg, struct exchange *x)
{
	struct app *app = arg;
	const struct request *rq = &x->request;

	atomic_fetch_add(&app->handled, 1);
	x->app = app;
	if (strcmp(rq->path, "/later") == 0 || strcmp(rq->path, "/gone") == 0) {
		struct pool_task *t = &app->tasks[atomic_fetch_add(&app->n_tasks, 1) % 4096];

		*t = (struct pool_task){.run = rq->path[1] == 'g' ? later_unless_gone : later, .arg = x};
		exchange_defer(x);
		assert_true(pool_submit(app->pool, t));
		return;
	}
	if (strcmp(rq->path, "/hold") == 0) {
		exchange_defer(x);
		pthread_mutex_lock(&app->lock);
		app->held[app->n_held++] = x;
		pthread_cond_broadcast(&app->changed);
		pthread_mutex_unlock(&app->lock);
		return;
	}
	if (strcmp(rq->path, "/big") == 0) {
		x->reply.body = (struct span){arena_new(&x->arena, uint8_t, 8 << 20), 8 << 20};
	} else if (strcmp(rq->path, "/empty") == 0) {
		reply_empty(&x->reply, 204);
	} else if (strcmp(rq->path, "/split") == 0) {
		answer_text(x, "secret");
		reply_header(&x->reply, "X-Bad", "a\r\nSet-Cookie: b=c");
	} else if (strcmp(rq->path, "/who") == 0) {
		answer_text(x, arena_printf(&x->arena, "%s %s %d %d %s", rq->ip, rq->peer_ip, rq->tls, rq->forwarded, rq->id));
	} else {
		answer_text(x, arena_printf(&x->arena, "%s %s?%s %.*s", method_name(rq->method), rq->path, rq->query_text,
				       (int)rq->raw_body.n, rq->raw_body.n > 0 ? (const char *)rq->raw_body.p : ""));
		reply_header(&x->reply, "X-Seen", "yes");
	}
	exchange_reply(x);
}

static int64_t
body_limit(void *arg, const struct request *rq)
{
	(void)arg;
	return strcmp(rq->path, "/small") == 0 ? 10 : strcmp(rq->path, "/large") == 0 ? 4 << 20 : BODY_LIMIT;
}

static void
refuse_with(void *arg, struct exchange *x, enum err code)
{
	(void)arg;
	answer_text(x, arena_printf(&x->arena, "refused %s", err_row(code)->code));
	reply_header(&x->reply, "X-Seen", "refused");
	assert_int_equal(x->request.path[0], '/');
	assert_non_null(x->request.id);
}

static struct app *
app_open(struct http_options o)
{
	static const struct pool_options pool = {.name = "test", .threads = 2, .max_queued = 100000};
	struct app *app = calloc(1, sizeof(*app));
	const char *message = NULL;

	assert_non_null(app);
	arena_init(&app->arena);
	pthread_mutex_init(&app->lock, NULL);
	pthread_cond_init(&app->changed, NULL);
	app->pool = pool_open(&pool);
	o.host = o.host ? o.host : "127.0.0.1";
	o.loops = 2;
	o.source = &source_system;
	o.handle = handle;
	o.body_limit = body_limit;
	o.refuse = refuse_with;
	o.arg = app;
	if (http_server_open(&app->arena, &o, &app->server, &message) != OK)
		print_error("%s\n", message);
	assert_non_null(app->server);
	app->port = http_server_port(app->server);
	return app;
}

static void
app_close(struct app *app)
{
	http_server_close(app->server, 2000);
	pool_close(app->pool);
	arena_release(&app->arena);
	free(app);
}

static void
app_wait_held(struct app *app, int n)
{
	pthread_mutex_lock(&app->lock);
	while (app->n_held < n)
		pthread_cond_wait(&app->changed, &app->lock);
	pthread_mutex_unlock(&app->lock);
}

static void
app_release_held(struct app *app)
{
	pthread_mutex_lock(&app->lock);
	while (app->n_held > 0)
		later(NULL, app->held[--app->n_held]);
	pthread_mutex_unlock(&app->lock);
}

/* --- a client ------------------------------------------------------------------------------------------------------------ */

struct client_conn {
	int fd;
	char in[1 << 17]; /* read and not yet taken */
	size_t n;
};

struct answer {
	int status; /* 0: the connection ended instead */
	char head[4096];
	char body[1 << 17];
	size_t body_n;
};

static int
dial(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static struct client_conn *
client_open(int port)
{
	struct client_conn *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->fd = dial(port);
	return c;
}

static void
client_close(struct client_conn *c)
{
	close(c->fd);
	free(c);
}

/* Sends what the server takes; a refused upload may end in the middle. */
static void
client_send(struct client_conn *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		p += sent;
		n -= (size_t)sent;
	}
}

static void
client_text(struct client_conn *c, const char *text)
{
	client_send(c, text, strlen(text));
}

/* More input; false at the end of the connection. */
static bool
client_fill(struct client_conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	ssize_t n;

	assert_true(c->n < sizeof(c->in) - 1);
	if (poll(&p, 1, PATIENCE_MS) != 1) {
		print_error("no answer in %d ms; so far: %.*s\n", PATIENCE_MS, (int)c->n, c->in);
		return false;
	}
	n = recv(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
	if (n <= 0)
		return false;
	c->n += (size_t)n;
	c->in[c->n] = '\0';
	return true;
}

static void
client_answer(struct client_conn *c, bool head_only, struct answer *ret)
{
	char *end, *length;
	size_t head_n, body_n;

	memset(ret, 0, sizeof(*ret));
	while (c->n == 0 || !(end = strstr(c->in, "\r\n\r\n")))
		if (!client_fill(c))
			return;
	head_n = (size_t)(end - c->in) + 4;
	assert_true(head_n < sizeof(ret->head));
	memcpy(ret->head, c->in, head_n);
	ret->head[head_n] = '\0';
	assert_memory_equal(ret->head, "HTTP/1.", 7);
	ret->status = (int)strtol(ret->head + 9, NULL, 10);
	length = strcasestr(ret->head, "\r\nContent-Length:");
	body_n = head_only || ret->status == 100 || !length ? 0 : (size_t)strtol(length + 17, NULL, 10);
	while (c->n < head_n + body_n)
		assert_true(client_fill(c));
	assert_true(body_n < sizeof(ret->body));
	memcpy(ret->body, c->in + head_n, body_n);
	ret->body_n = body_n;
	c->n -= head_n + body_n;
	memmove(c->in, c->in + head_n + body_n, c->n + 1);
}

/* The server ends the connection, and says nothing more before. */
static bool
client_ended(struct client_conn *c, bool rest_allowed)
{
	while (client_fill(c))
		;
	if (c->n > 0 && !rest_allowed)
		print_error("before the end: %s\n", c->in);
	return rest_allowed ? !strstr(c->in, "X-Seen") : c->n == 0;
}

/* --- framing ------------------------------------------------------------------------------------------------------------- */

#define H "Host: h\r\n"
#define TEXT(s) s, sizeof(s) - 1
struct framing_case {
	const char *what, *send;
	size_t n;
	int status[4];   /* of each answer */
	enum { STAYS, ENDS, ENDS_RAW } after; /* ENDS_RAW: the library's own answer, which says its header twice in some versions */
	const char *body; /* of the last answer; NULL: not looked at */
};

static const struct framing_case framing_cases[] = {
	{"one GET", TEXT("GET /a?b=c HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "GET /a?b=c "},
	{"3 pipelined GETs", TEXT("GET /a HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\nGET /c HTTP/1.1\r\n" H "\r\n"), {200, 200, 200},
		false, "GET /c? "},
	{"POST, GET, POST pipelined", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n" H "\r\n"
					     "POST /c HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\ndefg"), {200, 200, 200}, STAYS, "POST /c? defg"},
	{"deferred, pipelined", TEXT("GET /later HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H "\r\nGET /c HTTP/1.1\r\n" H "\r\n"),
		{200, 200, 200}, STAYS, "GET /c? "},
	{"chunked", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n"),
		{200, 200}, STAYS, "GET /b? "},
	{"chunk extension and trailer", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nX-T: v\r\n\r\n"),
		{200}, STAYS, "POST /a? abc"},
	{"empty body", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), {200}, STAYS, "POST /a? "},
	{"POST without length", TEXT("POST /a HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "POST /a? "},
	{"HTTP/1.0", TEXT("GET /a HTTP/1.0\r\n\r\n"), {200}, ENDS, "GET /a? "},
	{"HTTP/1.0 kept alive", TEXT("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n"), {200, 200}, ENDS, "GET /b? "},
	{"Connection: close", TEXT("GET /a HTTP/1.1\r\n" H "Connection: close\r\n\r\n"), {200}, ENDS, NULL},
	{"OPTIONS", TEXT("OPTIONS /a HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "OPTIONS /a? "},
	{"foreign method", TEXT("BREW /pot HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "OTHER /pot? "},
	{"percent sequences stay as sent", TEXT("GET /a%2Fb%00?c=%26 HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "GET /a%2Fb%00?c=%26 "},
	{"second question mark", TEXT("GET /a?b?c&d HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "GET /a?b?c&d "},
	{"blanks around a value", TEXT("GET /a HTTP/1.1\r\n" H "X-Request-ID:  \t q1 \r\nX-B:\r\n\r\n"), {200}, STAYS, NULL},

	{"length and coding", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), {400}, ENDS,
		"refused malformed_request"},
	{"two lengths", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), {400}, ENDS, NULL},
	{"list of lengths", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc"), {400}, ENDS_RAW, NULL},
	{"length with a sign", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc"), {400}, ENDS_RAW, NULL},
	{"negative length", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc"), {400}, ENDS_RAW, NULL},
	{"length beyond 63 bits", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\nabc"), {413}, ENDS_RAW, NULL},
	{"two hosts", TEXT("GET /a HTTP/1.1\r\n" H "Host: g\r\n\r\n"), {400}, ENDS, "refused malformed_request"},
	{"no host", TEXT("GET /a HTTP/1.1\r\n\r\n"), {400}, ENDS, NULL},
	{"xchunked", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), {400}, ENDS, "refused malformed_request"},
	{"gzip, chunked", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"chunked twice", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"chunked in HTTP/1.0", TEXT("POST /a HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"hexadecimal prefix in a chunk size", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"negative chunk size", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"chunk without its line end", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\0c\r\nX-B: c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL at the end of a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\0\r\nX-B: c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in the last value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\0c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL before a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: \0c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in a name", TEXT("GET /a HTTP/1.1\r\n" H "X\0A: b\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in the target", TEXT("GET /a\0b HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"blank in a name", TEXT("GET /a HTTP/1.1\r\n" H "X A: b\r\n\r\n"), {400}, ENDS, NULL},
	{"blank before the colon", TEXT("GET /a HTTP/1.1\r\n" H "Content-Length : 0\r\n\r\n"), {400}, ENDS, NULL},
	{"empty name", TEXT("GET /a HTTP/1.1\r\n" H ": b\r\n\r\n"), {400}, ENDS, NULL},
	{"control character in a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\001c\r\n\r\n"), {400}, ENDS, NULL},
	{"bare CR in a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\rX-B: c\r\n\r\n"), {400}, ENDS, NULL},
	{"folded header", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\r\n c\r\n\r\n"), {400}, ENDS, NULL},
	{"line without colon", TEXT("GET /a HTTP/1.1\r\n" H "X-A\r\n\r\n"), {400}, ENDS, NULL},
	{"bare LF", TEXT("GET /a HTTP/1.1\n" H "\n"), {400}, ENDS, NULL},
	{"target without slash", TEXT("GET a HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"absolute target", TEXT("GET http://h/a HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"asterisk target", TEXT("OPTIONS * HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"blank in the target", TEXT("GET /a b HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"control character in the target", TEXT("GET /a\001 HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"raw UTF-8 in the target", TEXT("GET /\xc3\xbc HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"413 by length", TEXT("POST /small HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\nabcdefghijk"), {413}, ENDS, "refused body_too_large"},
	{"exactly the limit", TEXT("POST /small HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nabcdefghij"), {200}, STAYS, "POST /small? abcdefghij"},
	{"413 when chunked", TEXT("POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n8\r\nabcdefgh\r\n0\r\n\r\n"),
		{413}, ENDS, "refused body_too_large"},
	{"header that cannot be sent", TEXT("GET /split HTTP/1.1\r\n" H "\r\n"), {500}, STAYS, ""},
	{"204", TEXT("GET /empty HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n"), {204, 200}, STAYS, "GET /b? "},
};

static void
test_framing(void **state)
{
	struct app *app = app_open((struct http_options){0});
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(framing_cases) / sizeof(framing_cases[0]); i++) {
		const struct framing_case *k = &framing_cases[i];
		struct client_conn *c = client_open(app->port);
		struct answer a = {0};
		bool ok = true;

		client_send(c, k->send, k->n);
		for (int n = 0; ok && n < 4 && k->status[n]; n++) {
			client_answer(c, false, &a);
			ok = a.status == k->status[n];
		}
		ok = ok && (!k->body || strcmp(a.body, k->body) == 0);
		if (ok && k->after != STAYS)
			ok = client_ended(c, k->after == ENDS_RAW);
		if (!ok)
			print_error("%s: %d %s\n", k->what, a.status, a.body);
		wrong += !ok;
		client_close(c);
	}
	assert_int_equal(wrong, 0);
	app_close(app);
}

/* Sends `head`, then `n` times `piece`, then `tail`; returns the status of the answer, 0 when the connection just ends. */
static int
send_repeated(struct app *app, const char *head, const char *piece, int n, const char *tail)
{
	struct client_conn *c = client_open(app->port);
	struct answer a;

	client_text(c, head);
	for (int i = 0; i < n; i++)
		client_text(c, piece);
	client_text(c, tail);
	client_answer(c, false, &a);
	client_close(c);
	return a.status;
}

static void
test_sizes(void **state)
{
	static const char hundred[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct app *app = app_open((struct http_options){0});
	char chunk[1100];

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	memcpy(chunk, "400\r\n", 5);
	memcpy(chunk + 5 + 1024, "\r\n", 3);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H "X-A: ", hundred, 40, "\r\n\r\n"), 200);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H "X-A: ", hundred, 655, "\r\n\r\n"), 431);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H, "X-A: b\r\n", 30, "\r\n"), 200);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H, "X-A: b\r\n", 300, "\r\n"), 431);
	assert_int_equal(send_repeated(app, "GET /", hundred, 200, " HTTP/1.1\r\n" H "\r\n"), 414);
	/* 64 chunks of 1 KiB are the limit; one more is drained and refused; beyond the drain the connection ends. */
	assert_int_equal(send_repeated(app, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", chunk, 64, "0\r\n\r\n"), 200);
	assert_int_equal(send_repeated(app, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", chunk, 65, "0\r\n\r\n"), 413);
	assert_int_equal(send_repeated(app, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", chunk, 1000, "0\r\n\r\n"), 0);
	app_close(app);
}

/* A refused body is read on for a while: a reset would take the answer from a client that still sends. */
static void
test_refused_upload(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	char part[50000] = {0};
	struct answer a;

	(void)state;
	client_text(c, "POST /small HTTP/1.1\r\n" H "Content-Length: 400000\r\n\r\n");
	for (int i = 0; i < 8; i++)
		client_send(c, part, sizeof(part));
	client_answer(c, false, &a);
	assert_int_equal(a.status, 413);
	assert_int_equal(recv(c->fd, part, 1, 0), 0); /* an orderly end, no ECONNRESET */
	client_close(c);
	app_close(app);
}

static void
test_continue(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;

	(void)state;
	client_text(c, "POST /a HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	client_answer(c, false, &a);
	assert_int_equal(a.status, 100);
	client_text(c, "abc");
	client_answer(c, false, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "POST /a? abc");
	client_text(c, "POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 30\r\n\r\n");
	client_answer(c, false, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strcasestr(a.head, "Connection: close"));
	assert_true(client_ended(c, false));
	client_close(c);
	app_close(app);
}

static void
test_head_and_half_close(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;

	(void)state;
	client_text(c, "HEAD /abc HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n");
	client_answer(c, true, &a);
	assert_int_equal(a.status, 200);
	assert_non_null(strcasestr(a.head, "Content-Length: 10\r\n"));
	client_answer(c, false, &a);
	assert_string_equal(a.body, "GET /b? ");
	client_text(c, "GET /later HTTP/1.1\r\n" H "\r\n");
	shutdown(c->fd, SHUT_WR);
	client_answer(c, false, &a);
	assert_string_equal(a.body, "later /later");
	assert_true(client_ended(c, false));
	client_close(c);
	app_close(app);
}

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

/* Sends a byte every few milliseconds until the server ends the connection; the milliseconds it took, -1 if it does not. */
static int
dribble(struct client_conn *c)
{
	int64_t began_us = time_monotonic_us();

	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		int ms = (int)((time_monotonic_us() - began_us) / 1000);
		char b;

		if (ms > PATIENCE_MS)
			return -1;
		client_send(c, "a", 1);
		if (poll(&p, 1, 20) == 1 && recv(c->fd, &b, 1, 0) <= 0)
			return ms;
	}
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
	client_text(fresh, "GET /a HTTP/1.1\r\nX-A: ");
	ms = dribble(fresh);
	assert_in_range(ms, DEADLINE_MS / 2, 5 * DEADLINE_MS);
	client_close(kept);
	kept = client_open(app->port);
	client_text(kept, "GET /a HTTP/1.1\r\n" H "\r\n");
	client_answer(kept, false, &a);
	pause_ms(2 * DEADLINE_MS); /* idle is no offence */
	client_text(kept, "GET /a HTTP/1.1\r\nX-A: ");
	ms = dribble(kept);
	assert_in_range(ms, DEADLINE_MS / 2, 5 * DEADLINE_MS);
	client_close(body);
	body = client_open(app->port);
	client_text(body, "POST /a HTTP/1.1\r\n" H "Content-Length: 10000\r\n\r\n");
	ms = dribble(body);
	assert_in_range(ms, DEADLINE_MS / 2, 5 * DEADLINE_MS);
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
		"POST /later HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc", "GET /later HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H "\r\n",
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

/* --- who asks ------------------------------------------------------------------------------------------------------------ */

struct who_case {
	const char *headers, *want;
};

static void
check_who(struct app *app, const struct who_case *k)
{
	struct client_conn *c = client_open(app->port);
	struct answer a;
	char text[2048];

	snprintf(text, sizeof(text), "GET /who HTTP/1.1\r\n" H "X-Request-ID: r\r\n%s\r\n", k->headers);
	client_text(c, text);
	client_answer(c, false, &a);
	if (strcmp(a.body, k->want) != 0)
		print_error("%s\n", k->headers);
	assert_string_equal(a.body, k->want);
	client_close(c);
}

static void
test_client_address(void **state)
{
	static const char *const trusted[] = {"127.0.0.1", "10.0.0.0/8", "2001:db8::/32", NULL}, *const others[] = {"10.0.0.0/8", NULL};
	static const struct who_case behind[] = { /* client, peer, tls, forwarded, id */
		{"", "127.0.0.1 127.0.0.1 0 0 r"},
		{"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 203.0.113.9, 192.0.2.7 , 10.1.2.3\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.9.9.9\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 10.2.2.2, 10.1.1.1\r\n", "10.2.2.2 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 192.0.2.7, ::ffff:10.0.0.1\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 2001:DB8:1::5, 2001:db9:0::1\r\n", "2001:db9::1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: [2001:db9::1]:4711\r\n", "2001:db9::1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: garbage\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 192.0.2.7, garbage\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 192.0.2.7, , 10.0.0.1\r\n", "10.0.0.1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: garbage, 10.0.0.1\r\n", "10.0.0.1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For:\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		{"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7 127.0.0.1 1 1 r"},
		{"X-Forwarded-Proto: https, http\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		{"X-Forwarded-Proto: httpsx\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		{"Forwarded: for=192.0.2.7\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
	}, direct[] = {
		{"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		{"", "127.0.0.1 127.0.0.1 0 0 r"},
	};
	struct app *app = app_open((struct http_options){.trusted_proxies = trusted});

	(void)state;
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++)
		check_who(app, &behind[i]);
	app_close(app);
	app = app_open((struct http_options){.trusted_proxies = others});
	for (size_t i = 0; i < sizeof(direct) / sizeof(direct[0]); i++)
		check_who(app, &direct[i]);
	app_close(app);
	app = app_open((struct http_options){.host = "::", .trusted_proxies = trusted}); /* a v4-mapped peer is the same peer */
	check_who(app, &behind[0]);
	check_who(app, &behind[1]);
	app_close(app);
}

static void
test_request_id(void **state)
{
	static const struct {
		const char *given;
		bool kept;
	} rows[] = {{"abc.DEF_1-2", true}, {"", false}, {"a b", false}, {"a/b", false}, {"\xc3\xbc", false}};
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;
	char text[512], long_id[140];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) + 2; i++) {
		size_t extra = i - sizeof(rows) / sizeof(rows[0]);
		bool in_table = i < sizeof(rows) / sizeof(rows[0]), kept = in_table ? rows[i].kept : extra == 0;
		const char *given = in_table ? rows[i].given : long_id, *got;

		memset(long_id, 'a', sizeof(long_id));
		long_id[extra == 0 ? REQUEST_ID_MAX : REQUEST_ID_MAX + 1] = '\0';
		snprintf(text, sizeof(text), "GET /who HTTP/1.1\r\n" H "X-Request-ID: %s\r\n\r\n", given);
		client_text(c, text);
		client_answer(c, false, &a);
		got = strrchr(a.body, ' ') + 1;
		if (kept)
			assert_string_equal(got, given);
		else
			assert_true(uuid_valid(got) && got[14] == '7');
	}
	client_close(c);
	app_close(app);
}

/* All bodies together are bounded: what comes beyond is refused at once, and served again when the others are gone. */
static void
test_bodies_together(void **state)
{
	enum { N = BODIES_IN_FLIGHT_MAX / (4 << 20), PART = (1 << 20) + 1 };
	static const char head[] = "POST /large HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 4194304\r\n\r\n";
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c[N], *beyond = client_open(app->port);
	struct answer a;
	char *part = calloc(1, PART);

	(void)state;
	assert_non_null(part);
	for (int i = 0; i < N; i++) {
		c[i] = client_open(app->port);
		client_text(c[i], head);
		client_answer(c[i], false, &a);
		assert_int_equal(a.status, 100);
		client_send(c[i], part, PART);
		while (atomic_load(&app->server->bodies) < (i + 1) * (int64_t)(4 << 20))
			sched_yield();
	}
	client_text(beyond, head);
	client_answer(beyond, false, &a);
	assert_int_equal(a.status, 503);
	assert_string_equal(a.body, "refused overloaded");
	client_close(beyond);
	for (int i = 0; i < N; i++)
		client_close(c[i]);
	while (atomic_load(&app->server->bodies) > 0)
		sched_yield();
	assert_int_equal(send_repeated(app, "POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n", "abc", 1, ""), 200);
	while (atomic_load(&app->server->bodies) > 0) /* the answer is there a moment before its exchange ends */
		sched_yield();
	free(part);
	app_close(app);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing), cmocka_unit_test(test_sizes), cmocka_unit_test(test_refused_upload),
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_head_and_half_close), cmocka_unit_test(test_deadlines), cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_handler_has_no_deadline),
		cmocka_unit_test(test_many_deferred), cmocka_unit_test(test_gone), cmocka_unit_test(test_reset_storm),
		cmocka_unit_test(test_close_waits), cmocka_unit_test(test_close_forced), cmocka_unit_test(test_open),
		cmocka_unit_test(test_client_address), cmocka_unit_test(test_request_id),
		cmocka_unit_test(test_bodies_together),
	};

	alarm(120); /* what waits for something that never comes */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
