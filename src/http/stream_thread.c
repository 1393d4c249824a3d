/*
 * The one thread that writes to all streams: an epoll over the connections it owns, the list of streams that were sent something,
 * and the list of all by how long they have heard nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "http/stream_inside.h"

enum { TICK_MS = 200, EVENTS_AT_ONCE = 128, SCRAP = 4096 };

static const char beat[] = ":\n\n";

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

static int64_t
now(const struct streams *home)
{
	return home->source->monotonic_us(home->source->arg);
}

/* `at_us` is from before the bytes went out: who has them may count on the next ones from there. */
static void
heard(struct streams *home, struct stream *st, int64_t at_us)
{
	st->last_us = at_us;
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
	stream_forget_data(st);
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
	int64_t at_us = now(home);
	size_t done = 0;
	ssize_t sent = 0;
	bool waits, go_on;

	pthread_mutex_lock(&st->lock);
	while (done < st->n && (sent = send(st->fd, st->data + done, st->n - done, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
		done += (size_t)sent;
	if (done == st->n) {
		stream_forget_data(st);
	} else if (done > 0) {
		memmove(st->data, st->data + done, st->n - done);
		st->n -= done;
	}
	waits = st->n > 0;
	go_on = waits ? sent > 0 || errno == EAGAIN || errno == EINTR : !st->over;
	pthread_mutex_unlock(&st->lock);
	if (done > 0)
		heard(home, st, at_us);
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
	int64_t at_us = now(home);
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
		heard(home, st, at_us);
	return there;
}

static void
list(struct streams *home, struct stream *st)
{
	st->listed = true;
	st->last_us = now(home);
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
	int64_t now_us = now(home);

	while (home->first && now_us - home->first->last_us >= STREAM_BEAT_S * SECONDS_US) {
		struct stream *st = home->first;

		heard(home, st, now_us); /* also when it is over: nobody is asked twice */
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
