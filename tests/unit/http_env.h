/*
 * What the tests of the front share: an application with one path for each way to answer, and a client that speaks raw bytes,
 * since what matters is what a careless or hostile peer may send.
 */
#ifndef MUSTER_TESTS_HTTP_ENV_H
#define MUSTER_TESTS_HTTP_ENV_H

#include "our_fail.h"

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

enum { PATIENCE_MS = 30000, BODY_LIMIT = 64 << 10, HELD_MAX = 256 };

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

static inline void
answer_text(struct exchange *x, const char *text)
{
	x->reply.content_type = "text/plain";
	x->reply.body = span_str(text);
}

static inline void
later(void *state, void *arg)
{
	struct exchange *x = arg;

	(void)state;
	answer_text(x, arena_printf(&x->arena, "later %s", x->request.path));
	exchange_reply(x);
}

static inline void
later_unless_gone(void *state, void *arg)
{
	struct exchange *x = arg;
	struct app *app = x->app;

	if (exchange_gone(x))
		atomic_fetch_add(&app->gone, 1);
	later(state, arg);
}

/* What came of an upload, in one line. */
static inline const char *
parts_text(struct arena *a, const struct multipart_parts *parts)
{
	struct buf b;

	buf_init(&b, a, 100);
	for (size_t i = 0; i < parts->n_pairs; i++)
		buf_printf(&b, "%s=%s ", parts->pairs[i].name, parts->pairs[i].value);
	buf_printf(&b, "files %d", parts->n_files);
	for (int i = 0; i < parts->n_files && i < 2; i++)
		buf_printf(&b, " %zu:%02x", parts->files[i].bytes.n, parts->files[i].bytes.p[parts->files[i].bytes.n - 1]);
	return buf_cstr(&b);
}

static inline void
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
	} else if (rq->parts) {
		answer_text(x, parts_text(&x->arena, rq->parts));
	} else if (strcmp(rq->path, "/who") == 0) {
		answer_text(x, arena_printf(&x->arena, "%s %s %d %d %s", rq->ip, rq->peer_ip, rq->tls, rq->forwarded, rq->id));
	} else {
		answer_text(x, arena_printf(&x->arena, "%s %s?%s %.*s", method_name(rq->method), rq->path, rq->query_text,
				       (int)rq->raw_body.n, rq->raw_body.n > 0 ? (const char *)rq->raw_body.p : ""));
		reply_header(&x->reply, "X-Seen", "yes");
	}
	exchange_reply(x);
}

static inline bool
uploads(void *arg, const struct request *rq, struct multipart_rule *ret)
{
	(void)arg;
	*ret = (struct multipart_rule){.file_part = "file", .max_files = 2, .max_file_bytes = 2 << 20, .ignore_files = true};
	return strcmp(rq->path, "/large") == 0;
}

static inline void
body_limit(void *arg, const struct request *rq, struct body_rule *ret)
{
	(void)arg;
	ret->stranger = strncmp(rq->path, "/stranger", 9) == 0;
	ret->refusal = strcmp(rq->path, "/stranger") == 0 ? ERR_NOT_AUTHENTICATED : OK;
	ret->max = strcmp(rq->path, "/small") == 0 ? 10 : strstr(rq->path, "/large") ? 4 << 20 : BODY_LIMIT;
}

static inline void
refuse_with(void *arg, struct exchange *x, enum err code)
{
	(void)arg;
	answer_text(x, arena_printf(&x->arena, "refused %s", err_row(code)->code));
	reply_header(&x->reply, "X-Seen", "refused");
	assert_int_equal(x->request.path[0], '/');
	assert_non_null(x->request.id);
}

static inline struct app *
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
	o.uploads = uploads;
	o.refuse = refuse_with;
	o.arg = app;
	if (http_server_open(&app->arena, &o, &app->server, &message) != OK)
		print_error("%s\n", message);
	assert_non_null(app->server);
	app->port = http_server_port(app->server);
	return app;
}

static inline void
app_close(struct app *app)
{
	http_server_close(app->server, 2000);
	pool_close(app->pool);
	arena_release(&app->arena);
	free(app);
}

static inline void
app_wait_held(struct app *app, int n)
{
	pthread_mutex_lock(&app->lock);
	while (app->n_held < n)
		pthread_cond_wait(&app->changed, &app->lock);
	pthread_mutex_unlock(&app->lock);
}

static inline void
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

static inline int
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

static inline struct client_conn *
client_open(int port)
{
	struct client_conn *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->fd = dial(port);
	return c;
}

static inline void
client_close(struct client_conn *c)
{
	close(c->fd);
	free(c);
}

/* Sends what the server takes; a refused upload may end in the middle. */
static inline void
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

static inline void
client_text(struct client_conn *c, const char *text)
{
	client_send(c, text, strlen(text));
}

/* More input; false at the end of the connection. */
static inline bool
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

static inline void
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
static inline bool
client_ended(struct client_conn *c, bool rest_allowed)
{
	while (client_fill(c))
		;
	if (c->n > 0 && !rest_allowed)
		print_error("before the end: %s\n", c->in);
	return rest_allowed ? !strstr(c->in, "X-Seen") : c->n == 0;
}

#define H "Host: h\r\n"

/* Sends `head`, then `n` times `piece`, then `tail`; returns the status of the answer, 0 when the connection just ends. */
static inline int
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

#endif
