/*
 * Streams and the one thread that writes to them.
 *
 * How a connection changes hands: the loop duplicates its descriptor and then tells the library that the request failed.  The
 * library drops the connection without a byte; with MHD_USE_TURBO it does not shut the socket down either, so our duplicate goes
 * on with the same connection (tests/unit/http_stream.c is what notices a version that does otherwise).  We then write the whole
 * reply, header included.  With TLS the library has the keys: there a content reader takes what is pending and suspends the
 * connection when nothing is.
 *
 * A stream's lock covers what it has pending and whether it is over; the thread's lock covers the list of streams that have work.
 * Order: stream, then thread.  Everything else of a stream belongs to the thread.
 */
#include "http/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "http/inside.h"

enum { TICK_MS = 200, EVENTS_AT_ONCE = 128, SEND_BUFFER = 16 << 10, UNHEARD_MS = 30000, SCRAP = 4096 };

static const char beat[] = ":\n\n";

struct stream {
	pthread_mutex_t lock;
	atomic_int refs;
	/* under lock */
	struct streams *home; /* NULL: no connection yet, or none any more */
	char *data;           /* pending */
	size_t n, cap, allowed;
	bool over;            /* takes nothing any more */
	bool cut;             /* it lagged: what is pending is not worth sending */
	bool queued;          /* in home->ready */
	bool suspended;       /* TLS */
	struct MHD_Connection *mhd; /* TLS: NULL once the library has let go */
	struct loop *loop;
	/* set before it is given away */
	void (*on_end)(void *arg);
	void *on_end_arg;
	/* the thread's */
	struct stream *next_ready; /* under home->lock */
	struct stream *next, *prev; /* by the time of the last byte, longest silence first */
	int fd;                /* the thread's own; with TLS the library's, good while mhd is set */
	bool tls, listed, wants_out;
	int64_t last_us;
};

struct streams {
	const struct source *source;
	struct metrics *metrics;
	pthread_t thread;
	int epoll, wake;
	atomic_int count;
	struct stream *first, *last; /* the thread's */
	pthread_mutex_t lock;
	struct stream *ready;        /* under lock */
	bool ending, stop;           /* under lock */
};

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
	rs->no_store = true;
	rs->stream = st;
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
make_ready(struct stream *st)
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

/* Under the stream's lock. */
static void
forget_data(struct stream *st)
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
		forget_data(st);
		make_ready(st);
		ok = false;
	} else if (ok) {
		append(st, bytes.p, bytes.n);
		make_ready(st);
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
	make_ready(st);
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
	forget_data(st);
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

/* --- the thread ----------------------------------------------------------------------------------------------------------- */

static void
list_remove(struct streams *home, struct stream *st)
{
	*(st->prev ? &st->prev->next : &home->first) = st->next;
	*(st->next ? &st->next->prev : &home->last) = st->prev;
}

static void
list_append(struct streams *home, struct stream *st)
{
	st->prev = home->last;
	st->next = NULL;
	*(home->last ? &home->last->next : &home->first) = st;
	home->last = st;
}

static void
heard(struct streams *home, struct stream *st)
{
	st->last_us = home->source->monotonic_us(home->source->arg);
	list_remove(home, st);
	list_append(home, st);
}

static void
watch(struct streams *home, struct stream *st, int op)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | (st->wants_out ? EPOLLOUT : 0), .data.ptr = st};

	if (epoll_ctl(home->epoll, op, st->fd, op == EPOLL_CTL_DEL ? NULL : &ev) != 0)
		BUG("epoll_ctl: %s", strerror(errno));
}

/* Its end.  The list's reference goes; the caller has one of its own, or does not look at it again. */
static void
close_stream(struct streams *home, struct stream *st)
{
	const struct linger reset = {.l_onoff = 1};

	if (!st->listed)
		return;
	st->listed = false;
	list_remove(home, st);
	pthread_mutex_lock(&st->lock);
	st->over = true;
	st->home = NULL;
	forget_data(st);
	pthread_mutex_unlock(&st->lock);
	if (!st->tls) {
		watch(home, st, EPOLL_CTL_DEL);
		if (st->cut)
			setsockopt(st->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		else
			shutdown(st->fd, SHUT_WR);
		close(st->fd);
	}
	atomic_fetch_sub(&home->count, 1);
	if (home->metrics)
		metrics_add(home->metrics, M_SSE_CLIENTS, NULL, -1);
	if (st->on_end)
		st->on_end(st->on_end_arg);
	stream_release(st);
}

/* Sends what the socket takes.  False: the stream is at its end. */
static bool
flush(struct streams *home, struct stream *st)
{
	size_t done = 0;
	ssize_t sent = 0;
	bool waits, go_on;

	pthread_mutex_lock(&st->lock);
	while (done < st->n && (sent = send(st->fd, st->data + done, st->n - done, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
		done += (size_t)sent;
	if (done == st->n) {
		forget_data(st);
	} else if (done > 0) {
		memmove(st->data, st->data + done, st->n - done);
		st->n -= done;
	}
	waits = st->n > 0;
	go_on = waits ? sent > 0 || errno == EAGAIN || errno == EINTR : !st->over;
	pthread_mutex_unlock(&st->lock);
	if (done > 0)
		heard(home, st);
	if (go_on && waits != st->wants_out) {
		st->wants_out = waits;
		watch(home, st, EPOLL_CTL_MOD);
	}
	return go_on;
}

/* The library comes for what is pending.  False: it has let go. */
static bool
flush_tls(struct streams *home, struct stream *st)
{
	bool there;

	pthread_mutex_lock(&st->lock);
	there = st->mhd != NULL;
	if (there && st->cut)
		shutdown(st->fd, SHUT_RDWR);
	if (there && st->suspended && (st->n > 0 || st->over)) {
		st->suspended = false;
		atomic_fetch_sub_explicit(&st->loop->suspended, 1, memory_order_relaxed);
		MHD_resume_connection(st->mhd);
	}
	pthread_mutex_unlock(&st->lock);
	if (there)
		heard(home, st);
	return there;
}

static void
list(struct streams *home, struct stream *st)
{
	st->listed = true;
	list_append(home, st);
	if (!st->tls)
		watch(home, st, EPOLL_CTL_ADD);
}

/* Its reference is the ready list's. */
static void
serve(struct streams *home, struct stream *st)
{
	bool go_on;

	pthread_mutex_lock(&st->lock);
	st->queued = false;
	go_on = st->home != NULL;
	pthread_mutex_unlock(&st->lock);
	if (go_on) {
		if (!st->listed)
			list(home, st);
		if (!(st->tls ? flush_tls(home, st) : flush(home, st)))
			close_stream(home, st);
	}
	stream_release(st);
}

static void
serve_ready(struct streams *home)
{
	struct stream *st, *next;

	pthread_mutex_lock(&home->lock);
	st = home->ready;
	home->ready = NULL;
	pthread_mutex_unlock(&home->lock);
	for (; st; st = next) {
		next = st->next_ready; /* before `queued` is cleared: then somebody else may set it */
		serve(home, st);
	}
}

/* What a listener says is not looked at; that it has gone is. */
static bool
peer_there(const struct stream *st)
{
	char scrap[SCRAP];
	ssize_t n = recv(st->fd, scrap, sizeof(scrap), MSG_DONTWAIT);

	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void
on_event(struct streams *home, const struct epoll_event *ev)
{
	struct stream *st = ev->data.ptr;
	eventfd_t ignored;

	if (!st) {
		eventfd_read(home->wake, &ignored);
		return;
	}
	bool there = !(ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && (!(ev->events & EPOLLIN) || peer_there(st));
	if (!there || !flush(home, st))
		close_stream(home, st);
}

static void
beat_silent(struct streams *home)
{
	int64_t now_us = home->source->monotonic_us(home->source->arg);

	while (home->first && now_us - home->first->last_us >= STREAM_BEAT_S * SECONDS_US) {
		struct stream *st = home->first;

		heard(home, st); /* also when it is over: nobody is asked twice */
		stream_send(st, SPAN_LIT(beat));
	}
}

/* Everybody ends: what is pending goes out if the socket takes it, and that is all. */
static void
end_all(struct streams *home)
{
	for (struct stream *st = home->first, *next; st; st = next) {
		next = st->next;
		pthread_mutex_lock(&st->lock);
		st->over = true;
		pthread_mutex_unlock(&st->lock);
		if (st->tls ? !flush_tls(home, st) : (flush(home, st), true))
			close_stream(home, st);
	}
}

static void *
streams_thread(void *arg)
{
	struct streams *home = arg;
	struct epoll_event events[EVENTS_AT_ONCE];
	bool ending = false, stop = false;

	pthread_setname_np(pthread_self(), "http-stream");
	while (!stop) {
		int n = epoll_wait(home->epoll, events, EVENTS_AT_ONCE, TICK_MS);

		if (n < 0 && errno != EINTR)
			BUG("epoll_wait: %s", strerror(errno));
		pthread_mutex_lock(&home->lock);
		ending = home->ending;
		stop = home->stop;
		pthread_mutex_unlock(&home->lock);
		for (int i = 0; i < n; i++)
			on_event(home, &events[i]);
		serve_ready(home);
		if (ending)
			end_all(home);
		else
			beat_silent(home);
	}
	serve_ready(home);
	if (home->first)
		BUG("a stream outlived its server");
	return NULL;
}

/* --- for the server ------------------------------------------------------------------------------------------------------- */

struct streams *
streams_open(const struct source *source, struct metrics *metrics)
{
	struct streams *home = calloc(1, sizeof(*home));
	struct epoll_event ev = {.events = EPOLLIN};

	if (!home)
		BUG("out of memory");
	home->source = source;
	home->metrics = metrics;
	pthread_mutex_init(&home->lock, NULL);
	home->epoll = epoll_create1(EPOLL_CLOEXEC);
	home->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (home->epoll < 0 || home->wake < 0 || epoll_ctl(home->epoll, EPOLL_CTL_ADD, home->wake, &ev) != 0 ||
		pthread_create(&home->thread, NULL, streams_thread, home) != 0)
		BUG("no thread for streams");
	return home;
}

static void
order(struct streams *home, bool stop)
{
	pthread_mutex_lock(&home->lock);
	home->ending = true;
	home->stop = stop;
	pthread_mutex_unlock(&home->lock);
	eventfd_write(home->wake, 1);
}

void
streams_end(struct streams *home)
{
	order(home, false);
}

void
streams_close(struct streams *home)
{
	order(home, true);
	pthread_join(home->thread, NULL);
	close(home->epoll);
	close(home->wake);
	pthread_mutex_destroy(&home->lock);
	free(home);
}

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
	make_ready(st);
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
	buf_printf(out, "HTTP/1.1 200 OK\r\nDate: %s\r\nConnection: close\r\nContent-Type: %s\r\nCache-Control: no-store\r\n",
		http_date(a), rs->content_type);
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
			forget_data(st);
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
	make_ready(st);
	pthread_mutex_unlock(&st->lock);
	stream_release(st);
}

struct MHD_Response *
stream_response(struct streams *home, struct reply *rs, struct server_side *side)
{
	struct stream *st = rs->stream;
	struct MHD_Response *r;

	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SCRAP, tls_read, stream_hold(st), tls_free);
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
