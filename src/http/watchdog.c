/*
 * Two helper threads.  The watchdog ends connections whose phase has passed its absolute deadline: the library's own time-out is
 * idle time, which one byte every so often keeps away for ever.  It shuts the socket down under the loop's lock; the descriptor
 * is closed only after conn_closed() took the same lock, so it cannot hit a successor.  It also reads on for a while from
 * connections that were closed with a body unread, since the reset that a close would send makes the client lose the reply.
 *
 * The resumer collects resumes while many connections of a loop are suspended: the library walks all of them at each wake-up, so
 * one walk serves all replies of a batch.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "http/inside.h"

enum { TICK_MAX_MS = 1000, STALE_MS = 20 };

void
conn_phase(struct conn *c, enum phase phase, int64_t at_us)
{
	atomic_store_explicit(&c->clock, at_us * 8 + phase, memory_order_relaxed);
}

void
conn_opened(struct loop *loop, struct conn *c)
{
	conn_phase(c, PHASE_HEADER, time_monotonic_us() + loop->server->header_deadline_us);
	pthread_mutex_lock(&loop->lock);
	c->prev = NULL;
	c->next = loop->conns;
	if (c->next)
		c->next->prev = c;
	loop->conns = c;
	pthread_mutex_unlock(&loop->lock);
}

void
conn_closed(struct conn *c)
{
	struct loop *loop = c->loop;
	struct http_server *s = loop->server;

	pthread_mutex_lock(&loop->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		loop->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&loop->lock);
	if (!c->linger)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->n_lingerers < LINGERERS_MAX) {
		int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);

		if (fd >= 0) {
			shutdown(fd, SHUT_WR);
			s->lingerers[s->n_lingerers++] = (struct lingerer){fd, time_monotonic_us() + LINGER_MS * 1000, 0};
			eventfd_write(s->watch_wake, 1);
		}
	}
	pthread_mutex_unlock(&s->lock);
}

/* Milliseconds since the client's last byte; -1 when the kernel cannot say. */
static int64_t
last_byte_ms(int fd)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		return -1;
	return info.tcpi_last_data_recv;
}

/*
 * On a kept-alive connection the library does not say when the next request's first byte comes, so the kernel is asked when the
 * last one came: later than the end of the reply (by more than the kernel's clock is coarse) means that a header has begun.
 */
static void
conn_idle_check(struct conn *c, int64_t clock, int64_t now_us)
{
	int64_t since_us = clock >> 3, ms;

	if (now_us - since_us < 2 * STALE_MS * 1000)
		return;
	ms = last_byte_ms(c->fd);
	if (ms < 0 || now_us - ms * 1000 <= since_us + STALE_MS * 1000)
		return;
	/* The loop may have gone on meanwhile; then its word stands. */
	atomic_compare_exchange_strong(
		&c->clock, &clock, (now_us - ms * 1000 + c->loop->server->header_deadline_us) * 8 + PHASE_HEADER);
}

/* A reader who does not read gets a reset: else the kernel would keep the rest of the reply for it. */
static void
conn_cut(const struct conn *c, enum phase phase)
{
	const struct linger reset = {.l_onoff = 1};

	if (phase == PHASE_REPLY)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	shutdown(c->fd, SHUT_RDWR);
}

static void
loop_check(struct loop *loop, int64_t now_us)
{
	pthread_mutex_lock(&loop->lock);
	for (struct conn *c = loop->conns; c; c = c->next) {
		int64_t clock = atomic_load_explicit(&c->clock, memory_order_relaxed);
		enum phase phase = (enum phase)(clock & 7);

		if (phase == PHASE_IDLE)
			conn_idle_check(c, clock, now_us);
		else if (phase != PHASE_APP && clock >> 3 <= now_us)
			conn_cut(c, phase);
	}
	pthread_mutex_unlock(&loop->lock);
}

/* True when it is over: end of input, too much, too long, or an error. */
static bool
linger_over(struct lingerer *l, bool readable, int64_t now_us)
{
	char scrap[16 << 10];
	ssize_t n;

	if (now_us >= l->until_us)
		return true;
	if (!readable)
		return false;
	n = recv(l->fd, scrap, sizeof(scrap), MSG_DONTWAIT);
	if (n > 0)
		l->got += (size_t)n;
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || l->got > DRAIN_MAX;
}

/* Waits for a tick's end or for lingerers' input; false at the end of the server. */
static bool
watch_wait(struct http_server *s, int tick_ms)
{
	struct pollfd fds[LINGERERS_MAX + 1] = {{.fd = s->watch_wake, .events = POLLIN}};
	int n, kept = 0;
	int64_t now_us;
	eventfd_t ignored;
	bool end;

	pthread_mutex_lock(&s->lock);
	n = s->n_lingerers;
	for (int i = 0; i < n; i++)
		fds[i + 1] = (struct pollfd){.fd = s->lingerers[i].fd, .events = POLLIN};
	pthread_mutex_unlock(&s->lock);
	if (poll(fds, (nfds_t)n + 1, tick_ms) < 0 && errno != EINTR)
		BUG("poll failed");
	if (fds[0].revents)
		eventfd_read(s->watch_wake, &ignored);
	now_us = time_monotonic_us();
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < s->n_lingerers; i++) { /* new ones are behind the n that were polled */
		if (linger_over(&s->lingerers[i], i < n && fds[i + 1].revents, now_us))
			close(s->lingerers[i].fd);
		else
			s->lingerers[kept++] = s->lingerers[i];
	}
	s->n_lingerers = kept;
	end = s->helpers_end;
	pthread_mutex_unlock(&s->lock);
	return !end;
}

/* See loop_nudge_open(). */
static void
loop_nudge(struct loop *loop)
{
	bool used;

	pthread_mutex_lock(&loop->lock);
	used = loop->conns != NULL;
	pthread_mutex_unlock(&loop->lock);
	if (used)
		eventfd_write(loop->nudge, 1);
}

static void *
watchdog_thread(void *arg)
{
	struct http_server *s = arg;
	int64_t shortest_us = s->header_deadline_us, checked_us = 0;
	int tick_ms;

	shortest_us = s->body_deadline_us < shortest_us ? s->body_deadline_us : shortest_us;
	shortest_us = s->reply_deadline_us < shortest_us ? s->reply_deadline_us : shortest_us;
	tick_ms = (int)(shortest_us / 8000);
	tick_ms = tick_ms > TICK_MAX_MS ? TICK_MAX_MS : tick_ms < 5 ? 5 : tick_ms;
	pthread_setname_np(pthread_self(), "http-watch");
	while (watch_wait(s, tick_ms < NUDGE_MS ? tick_ms : NUDGE_MS)) {
		int64_t now_us = time_monotonic_us();

		for (int i = 0; i < s->n_loops; i++)
			loop_nudge(&s->loops[i]);
		if (now_us - checked_us < tick_ms * 900)
			continue;
		checked_us = now_us;
		for (int i = 0; i < s->n_loops; i++)
			loop_check(&s->loops[i], now_us);
	}
	return NULL;
}

void
resume_later(struct server_side *side)
{
	struct http_server *s = side->loop->server;
	bool first;

	if (atomic_load_explicit(&side->loop->suspended, memory_order_relaxed) <= RESUME_DIRECT_MAX) {
		MHD_resume_connection(side->mhd);
		return;
	}
	pthread_mutex_lock(&s->lock);
	first = !s->resumes;
	side->next = s->resumes;
	s->resumes = side;
	if (first)
		pthread_cond_signal(&s->resume_wake);
	pthread_mutex_unlock(&s->lock);
}

static void *
resumer_thread(void *arg)
{
	struct http_server *s = arg;
	const struct timespec pause = {.tv_nsec = RESUME_COLLECT_US * 1000};
	bool end = false;

	pthread_setname_np(pthread_self(), "http-resume");
	while (!end) {
		struct server_side *side, *next;

		pthread_mutex_lock(&s->lock);
		while (!s->resumes && !s->helpers_end)
			pthread_cond_wait(&s->resume_wake, &s->lock);
		end = s->helpers_end;
		pthread_mutex_unlock(&s->lock);
		if (!end)
			nanosleep(&pause, NULL);
		pthread_mutex_lock(&s->lock);
		side = s->resumes;
		s->resumes = NULL;
		pthread_mutex_unlock(&s->lock);
		for (; side; side = next) {
			next = side->next; /* once resumed it is the loop's */
			MHD_resume_connection(side->mhd);
		}
	}
	return NULL;
}

void
watchdog_start(struct http_server *s)
{
	s->watch_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->watch_wake < 0 || pthread_create(&s->watchdog, NULL, watchdog_thread, s) != 0 ||
		pthread_create(&s->resumer, NULL, resumer_thread, s) != 0)
		BUG("no thread for the HTTP watchdog");
}

void
watchdog_stop(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->helpers_end = true;
	pthread_cond_signal(&s->resume_wake);
	pthread_mutex_unlock(&s->lock);
	eventfd_write(s->watch_wake, 1);
	pthread_join(s->watchdog, NULL);
	pthread_join(s->resumer, NULL);
	for (int i = 0; i < s->n_lingerers; i++)
		close(s->lingerers[i].fd);
	close(s->watch_wake);
}
