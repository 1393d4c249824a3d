/*
 * One stream: what is pending for it, and how it gets a connection.
 *
 * How a connection changes hands: the loop duplicates its descriptor and then tells the library that the request failed.  The
 * library drops the connection without a byte; with MHD_USE_TURBO it does not shut the socket down either, so our duplicate goes
 * on with the same connection (tests/unit/http_stream.c is what notices a version that does otherwise).  We then write the whole
 * reply, header included.  With TLS the library has the keys: there a content reader takes what is pending and suspends the
 * connection when nothing is.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "http/stream_inside.h"

enum { SEND_BUFFER = 16 << 10, UNHEARD_MS = 30000, TLS_BLOCK = 4096 };

/* --- one stream ----------------------------------------------------------------------------------------------------------- */

struct stream *
stream_new(void)
{
	struct stream *st = calloc(1, sizeof(*st));

	if (!st)
		BUG("out of memory");
	pthread_mutex_init(&st->lock, NULL);
	st->refs = 1;
	st->fd = -1;
	st->allowed = STREAM_LAG_MAX;
	return st;
}

struct stream *
stream_hold(struct stream *st)
{
	atomic_fetch_add_explicit(&st->refs, 1, memory_order_relaxed);
	return st;
}

void
stream_release(struct stream *st)
{
	if (!st || atomic_fetch_sub(&st->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&st->lock);
	free(st->data);
	free(st);
}

enum err
reply_stream(struct reply *rs, struct stream *st)
{
	rs->content_type = "text/event-stream";
	rs->stream = st;
	reply_header(rs, "Cache-Control", "no-store");
	reply_header(rs, "X-Accel-Buffering", "no"); /* nginx would keep events back */
	return OK;
}

void
stream_on_end(struct stream *st, void (*fn)(void *arg), void *arg)
{
	st->on_end = fn;
	st->on_end_arg = arg;
}

/* Under the stream's lock: the thread shall look at it. */
static void
stream_make_ready(struct stream *st)
{
	struct streams *home = st->home;
	bool first;

	if (!home || st->queued)
		return;
	st->queued = true;
	stream_hold(st);
	pthread_mutex_lock(&home->lock);
	first = !home->ready;
	st->next_ready = home->ready;
	home->ready = st;
	pthread_mutex_unlock(&home->lock);
	if (first)
		eventfd_write(home->wake, 1);
}

/* Under the stream's lock. */
static void
append(struct stream *st, const void *p, size_t n)
{
	size_t need = st->n + n;

	if (need > st->cap) {
		st->cap = need < 512 ? 512 : need + need / 2;
		st->data = realloc(st->data, st->cap);
		if (!st->data)
			BUG("out of memory");
	}
	memcpy(st->data + st->n, p, n);
	st->n = need;
}

void
stream_forget_data(struct stream *st)
{
	free(st->data);
	st->data = NULL;
	st->n = st->cap = 0;
	st->allowed = STREAM_LAG_MAX;
}

static bool
send_within(struct stream *st, struct span bytes, size_t more)
{
	bool ok;

	pthread_mutex_lock(&st->lock);
	st->allowed += more;
	ok = !st->over;
	if (ok && st->n + bytes.n > st->allowed) {
		st->over = st->cut = true;
		stream_forget_data(st);
		stream_make_ready(st);
		ok = false;
	} else if (ok) {
		append(st, bytes.p, bytes.n);
		stream_make_ready(st);
	}
	pthread_mutex_unlock(&st->lock);
	return ok;
}

bool
stream_send(struct stream *st, struct span bytes)
{
	return send_within(st, bytes, 0);
}

bool
stream_send_backlog(struct stream *st, struct span bytes)
{
	return send_within(st, bytes, bytes.n);
}

void
stream_finish(struct stream *st)
{
	pthread_mutex_lock(&st->lock);
	st->over = true;
	stream_make_ready(st);
	pthread_mutex_unlock(&st->lock);
}

bool
stream_over(struct stream *st)
{
	pthread_mutex_lock(&st->lock);
	bool over = st->over;
	pthread_mutex_unlock(&st->lock);
	return over;
}

const char *
stream_take(struct stream *st, struct arena *a)
{
	pthread_mutex_lock(&st->lock);
	const char *text = arena_strndup(a, st->n ? st->data : "", st->n);
	stream_forget_data(st);
	pthread_mutex_unlock(&st->lock);
	return text;
}

void
sse_event(struct buf *out, const char *event, const char *id, const char *data)
{
	buf_printf(out, "event: %s\n", event);
	if (id)
		buf_printf(out, "id: %s\n", id);
	buf_printf(out, "data: %s\n\n", data);
}

/* Its exchange ended before it had a connection. */
void
stream_abandon(struct stream *st)
{
	if (!st)
		return;
	pthread_mutex_lock(&st->lock);
	st->over = true;
	pthread_mutex_unlock(&st->lock);
	if (st->on_end)
		st->on_end(st->on_end_arg);
	stream_release(st);
}

/* --- a connection for it ------------------------------------------------------------------------------------------------- */

bool
streams_full(struct streams *home)
{
	return atomic_load(&home->count) >= STREAMS_MAX;
}

/* From here on the thread has it; its reference is the reply's. */
static void
attach(struct streams *home, struct stream *st)
{
	atomic_fetch_add(&home->count, 1);
	if (home->metrics)
		metrics_add(home->metrics, M_SSE_CLIENTS, NULL, 1);
	st->home = home;
	stream_make_ready(st);
}

static const char *
http_date(struct arena *a)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = time(NULL);
	struct tm t;

	gmtime_r(&now, &t);
	return arena_printf(a, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT", days + 3 * t.tm_wday, t.tm_mday, months + 3 * t.tm_mon,
		t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* False: a header that must not go out. */
static bool
head_write(struct buf *out, struct arena *a, const struct reply *rs)
{
	buf_init(out, a, 2048);
	buf_printf(
		out, "HTTP/1.1 200 OK\r\nDate: %s\r\nConnection: close\r\nContent-Type: %s\r\n", http_date(a), rs->content_type);
	for (size_t i = 0; i < rs->n_headers; i++) {
		if (str_has_control(rs->headers[i].name) || str_has_control(rs->headers[i].value))
			return false;
		buf_printf(out, "%s: %s\r\n", rs->headers[i].name, rs->headers[i].value);
	}
	buf_str(out, "\r\n");
	return true;
}

static int
take_socket(int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), on = 1, off = 0, buffer = SEND_BUFFER, unheard = UNHEARD_MS;

	if (own < 0)
		return -1;
	/* A small buffer in the kernel, or a listener could lag there by megabytes. */
	setsockopt(own, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	setsockopt(own, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard, sizeof(unheard));
	setsockopt(own, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
	setsockopt(own, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return own;
}

bool
stream_take_over(struct streams *home, struct reply *rs, int fd)
{
	struct stream *st = rs->stream;
	struct buf head;
	int own;

	if (!head_write(&head, rs->arena, rs))
		return false;
	own = take_socket(fd);
	if (own < 0)
		return false;
	rs->stream = NULL;
	pthread_mutex_lock(&st->lock);
	st->fd = own;
	append(st, head.p, head.n);
	/* Before what was sent already. */
	memmove(st->data + head.n, st->data, st->n - head.n);
	memcpy(st->data, head.p, head.n);
	st->allowed += head.n;
	attach(home, st);
	pthread_mutex_unlock(&st->lock);
	return true;
}

/* --- TLS: on the loop's thread ---------------------------------------------------------------------------------------------- */

static ssize_t
tls_read(void *arg, uint64_t at, char *ret, size_t max)
{
	struct stream *st = arg;
	ssize_t n = 0;

	(void)at;
	pthread_mutex_lock(&st->lock);
	if (st->n > 0) {
		n = (ssize_t)(st->n < max ? st->n : max);
		memcpy(ret, st->data, (size_t)n);
		memmove(st->data, st->data + n, st->n - (size_t)n);
		st->n -= (size_t)n;
		if (st->n == 0)
			stream_forget_data(st);
	} else if (st->over) {
		n = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		st->suspended = true;
		atomic_fetch_add_explicit(&st->loop->suspended, 1, memory_order_relaxed);
		MHD_suspend_connection(st->mhd);
	}
	pthread_mutex_unlock(&st->lock);
	return n;
}

static void
tls_free(void *arg)
{
	struct stream *st = arg;

	pthread_mutex_lock(&st->lock);
	st->mhd = NULL;
	st->over = true;
	stream_make_ready(st);
	pthread_mutex_unlock(&st->lock);
	stream_release(st);
}

struct MHD_Response *
stream_response(struct streams *home, struct reply *rs, struct server_side *side)
{
	struct stream *st = rs->stream;
	struct MHD_Response *r;

	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, TLS_BLOCK, tls_read, stream_hold(st), tls_free);
	if (!r) {
		stream_release(st);
		return NULL;
	}
	rs->stream = NULL;
	pthread_mutex_lock(&st->lock);
	st->tls = true;
	st->mhd = side->mhd;
	st->loop = side->loop;
	st->fd = side->fd;
	attach(home, st);
	pthread_mutex_unlock(&st->lock);
	return r;
}
