/*
 * Opening and closing the front.
 *
 * Every loop has a listening socket of its own on the same port (SO_REUSEPORT), so the kernel spreads connections without a
 * shared accept lock.  Closing follows the one order that the library survives: it aborts the process when a daemon is stopped
 * with a suspended connection.  So: no new connections, wait for the exchanges under way, resume what is left with 503, then
 * stop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/inside.h"

enum { BACKLOG = 4096, LOOPS_MAX = 64, PEM_MAX = 256 << 10, FORCED_MS = 2000 };

struct listen_address {
	struct sockaddr_storage sa;
	socklen_t n;
};

struct pem {
	char *cert, *key;
};

static bool
address_make(const char *host, int port, struct listen_address *ret)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	memset(&ret->sa, 0, sizeof(ret->sa));
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(&ret->sa, &v4, sizeof(v4));
		ret->n = sizeof(v4);
		return true;
	}
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
		return false;
	memcpy(&ret->sa, &v6, sizeof(v6));
	ret->n = sizeof(v6);
	return true;
}

/* A bound socket, or -1 with errno.  `shared` ones listen beside each other. */
static int
socket_bind(const struct listen_address *at, bool shared)
{
	int fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0, saved;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
		(at->sa.ss_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
		bind(fd, (const struct sockaddr *)&at->sa, at->n) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/*
 * Opens n listening sockets on one port.  SO_REUSEPORT would also let a second server of the same user in, silently sharing
 * the port's connections, so the port is first tried without it.
 */
static bool
sockets_open(const struct http_options *o, int n, int *fds, int *ret_port)
{
	struct listen_address at;
	int probe, opened = 0;

	if (!address_make(o->host, o->port, &at)) {
		errno = EINVAL;
		return false;
	}
	if (o->port != 0) {
		probe = socket_bind(&at, false);
		if (probe < 0)
			return false;
		close(probe);
	}
	for (; opened < n; opened++) {
		fds[opened] = socket_bind(&at, true);
		if (fds[opened] < 0 || listen(fds[opened], BACKLOG) != 0)
			break;
		if (getsockname(fds[opened], (struct sockaddr *)&at.sa, &at.n) != 0)
			break;
	}
	if (opened == n) {
		*ret_port = ntohs(at.sa.ss_family == AF_INET ? ((struct sockaddr_in *)&at.sa)->sin_port
							     : ((struct sockaddr_in6 *)&at.sa)->sin6_port);
		return true;
	}
	for (int i = 0, saved = errno; i <= opened; errno = saved, i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return false;
}

/* The number of open files the connections need; less if the system gives less. */
static void
files_raise(void)
{
	struct rlimit l;
	rlim_t want = CONNECTIONS_MAX + STREAMS_MAX + 512;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur >= want)
		return;
	l.rlim_cur = l.rlim_max < want ? l.rlim_max : want;
	setrlimit(RLIMIT_NOFILE, &l);
}

static char *
pem_read(struct arena *a, const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = arena_new(a, char, PEM_MAX + 1);
	size_t n;

	if (!f)
		return NULL;
	n = fread(text, 1, PEM_MAX, f);
	fclose(f);
	text[n] = '\0';
	return n > 0 && n < PEM_MAX ? text : NULL;
}

static void
on_connection(void *arg, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what)
{
	struct loop *loop = arg;
	struct http_server *s = loop->server;
	struct conn *c = *context;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (!c)
			return;
		conn_closed(c);
		free(c);
		*context = NULL;
	} else {
		c = calloc(1, sizeof(*c));
		if (!c)
			BUG("out of memory");
		c->loop = loop;
		c->mhd = mhd;
		c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		if (!address_of_socket(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr, c->peer))
			BUG("a connection of an unknown family");
		ip_text(c->peer, c->peer_ip);
		c->trusted = address_trusted(s, c->peer);
		*context = c;
		conn_opened(loop, c);
	}
	if (s->o.metrics)
		metrics_add(s->o.metrics, M_CONNECTIONS, NULL, what == MHD_CONNECTION_NOTIFY_CLOSED ? -1 : 1);
}

/* The target is ours to decode: the library's decoding would hide %00 and %2F. */
static size_t
on_unescape(void *arg, struct MHD_Connection *mhd, char *text)
{
	(void)arg, (void)mhd;
	return strlen(text);
}

static struct MHD_Daemon *
daemon_start(struct loop *loop, int fd, const struct pem *pem)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, pem->cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, pem->key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem *more = pem->cert ? tls : &tls[3];

	if (pem->cert)
		flags |= MHD_USE_TLS;
	return MHD_start_daemon(flags, 0, NULL, NULL, exchange_on_access, loop, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)(CONNECTIONS_MAX / loop->server->n_loops), MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
#if MHD_VERSION >= 0x00097701
		MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#else
		/* At 1 the library itself would answer a missing Host, and cut a blank in the target without a word. */
		MHD_OPTION_STRICT_FOR_CLIENT, 0,
#endif
		MHD_OPTION_URI_LOG_CALLBACK, exchange_on_uri, loop, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, loop,
		MHD_OPTION_NOTIFY_COMPLETED, exchange_on_completed, loop, MHD_OPTION_NOTIFY_CONNECTION, on_connection, loop,
		MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static const char *
trusted_parse(struct http_server *s, struct arena *a)
{
	size_t n = 0;

	while (s->o.trusted_proxies && s->o.trusted_proxies[n])
		n++;
	s->trusted = arena_new(a, struct cidr, n + 1);
	for (; s->n_trusted < n; s->n_trusted++)
		if (!cidr_parse(s->o.trusted_proxies[s->n_trusted], &s->trusted[s->n_trusted]))
			return arena_printf(a, "\"%s\" is neither an address nor a network", s->o.trusted_proxies[s->n_trusted]);
	return NULL;
}

static struct http_server *
server_new(struct arena *a, const struct http_options *o)
{
	struct http_server *s = arena_new(a, struct http_server, 1);
	pthread_condattr_t monotonic;

	s->o = *o;
	s->n_loops = o->loops > 0 ? o->loops : 2;
	if (s->n_loops > LOOPS_MAX || !o->handle || !o->source)
		BUG("bad options of the HTTP server");
	s->header_deadline_us = INT64_C(1000) * (o->header_deadline_ms > 0 ? o->header_deadline_ms : HEADER_DEADLINE_MS);
	s->body_deadline_us = INT64_C(1000) * (o->body_deadline_ms > 0 ? o->body_deadline_ms : BODY_DEADLINE_MS);
	s->reply_deadline_us = INT64_C(1000) * (o->reply_deadline_ms > 0 ? o->reply_deadline_ms : REPLY_DEADLINE_MS);
	s->loops = arena_new(a, struct loop, (size_t)s->n_loops);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->drained, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&s->resume_wake, NULL);
	for (int i = 0; i < s->n_loops; i++) {
		s->loops[i].server = s;
		pthread_mutex_init(&s->loops[i].lock, NULL);
	}
	return s;
}

static void
server_clear(struct http_server *s)
{
	for (int i = 0; i < s->n_loops; i++) {
		struct server_side *side, *next;

		for (side = s->loops[i].free; side; side = next) {
			next = side->next;
			exchange_free(side);
		}
		pthread_mutex_destroy(&s->loops[i].lock);
	}
	pthread_cond_destroy(&s->drained);
	pthread_cond_destroy(&s->resume_wake);
	pthread_mutex_destroy(&s->lock);
}

/*
 * The library takes 128 events at a time and, when it got exactly 128, asks again before it works on them, ready to sleep until the
 * next connection times out: a room of that many would wait for a stranger.  So the watchdog nudges each loop through a descriptor
 * among its events; one without a pointer means nothing to the library.
 */
static void
loop_nudge_open(struct loop *loop)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};

	loop->nudge = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!info || loop->nudge < 0 || epoll_ctl(info->epoll_fd, EPOLL_CTL_ADD, loop->nudge, &event) != 0)
		BUG("an HTTP loop cannot be nudged: %s", strerror(errno));
}

/* Certificate, proxies, sockets, daemons; NULL or what was wrong. */
static const char *
server_start(struct http_server *s, struct arena *a)
{
	const struct http_options *o = &s->o;
	struct pem pem = {0};
	int fds[LOOPS_MAX];
	const char *wrong = trusted_parse(s, a);

	if (wrong)
		return wrong;
	if (!o->tls_cert_file != !o->tls_key_file)
		return "a TLS certificate needs its key, and a key its certificate";
	if (o->tls_cert_file) {
		pem.cert = pem_read(a, o->tls_cert_file);
		pem.key = pem_read(a, o->tls_key_file);
		if (!pem.cert || !pem.key)
			return arena_printf(a, "cannot read %s", pem.cert ? o->tls_key_file : o->tls_cert_file);
	}
	files_raise();
	if (!sockets_open(o, s->n_loops, fds, &s->port))
		return arena_printf(a, "cannot listen on %s port %d: %s", o->host, o->port, strerror(errno));
	for (int i = 0; i < s->n_loops; i++) {
		s->loops[i].daemon = daemon_start(&s->loops[i], fds[i], &pem);
		if (s->loops[i].daemon) {
			loop_nudge_open(&s->loops[i]);
			continue;
		}
		for (int k = 0; k < i; k++) {
			MHD_stop_daemon(s->loops[k].daemon);
			close(s->loops[k].nudge);
		}
		for (int k = i + 1; k < s->n_loops; k++) /* the library has closed its own */
			close(fds[k]);
		return o->tls_cert_file ? "certificate and key do not fit" : "the HTTP library does not start";
	}
	return NULL;
}

enum err
http_server_open(struct arena *a, const struct http_options *o, struct http_server **ret, const char **ret_message)
{
	struct http_server *s = server_new(a, o);
	const char *wrong;

	watchdog_start(s);
	s->streams = streams_open(o->source, o->metrics);
	wrong = server_start(s, a);
	if (wrong) {
		streams_close(s->streams);
		watchdog_stop(s);
		server_clear(s);
		*ret_message = wrong;
		return ERR_UNAVAILABLE;
	}
	*ret = s;
	return OK;
}

int
http_server_port(const struct http_server *s)
{
	return s->port;
}

static int
in_flight(struct http_server *s)
{
	int n = 0;

	for (int i = 0; i < s->n_loops; i++)
		n += atomic_load(&s->loops[i].in_flight);
	return n;
}

/* Waits until no exchange is under way; false after max_ms. */
static bool
drain(struct http_server *s, int max_ms)
{
	int64_t until_us = time_monotonic_us() + (int64_t)max_ms * 1000;
	const struct timespec until = time_spec(until_us);
	bool empty;

	pthread_mutex_lock(&s->lock);
	while (!(empty = in_flight(s) == 0) && time_monotonic_us() < until_us)
		pthread_cond_timedwait(&s->drained, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
	return empty;
}

/* Takes from the app what it has not answered.  Suspended connections stay, so the lock is not held over the library's. */
static void
abandon(struct loop *loop)
{
	struct server_side *taken = NULL, *next;

	pthread_mutex_lock(&loop->lock);
	for (struct conn *c = loop->conns; c; c = c->next) {
		struct server_side *side = atomic_load(&c->side);
		int was = SIDE_DEFERRED;

		if (side && atomic_compare_exchange_strong(&side->state, &was, SIDE_ABANDONED)) {
			side->next = taken;
			taken = side;
		}
	}
	pthread_mutex_unlock(&loop->lock);
	for (; taken; taken = next) {
		next = taken->next;
		MHD_resume_connection(taken->mhd);
	}
}

void
http_server_close(struct http_server *s, int grace_ms)
{
	if (!s)
		return;
	atomic_store(&s->closing, true);
	for (int i = 0; i < s->n_loops; i++) {
		MHD_socket fd = MHD_quiesce_daemon(s->loops[i].daemon);

		if (fd != MHD_INVALID_SOCKET)
			close(fd);
	}
	streams_end(s->streams);
	drain(s, grace_ms);
	atomic_store(&s->stopping, true);
	for (int waited_ms = 0; !drain(s, 10) && waited_ms < FORCED_MS; waited_ms += 10)
		for (int i = 0; i < s->n_loops; i++)
			abandon(&s->loops[i]);
	for (int i = 0; i < s->n_loops; i++)
		MHD_stop_daemon(s->loops[i].daemon);
	streams_close(s->streams);
	watchdog_stop(s);
	for (int i = 0; i < s->n_loops; i++)
		close(s->loops[i].nudge);
	server_clear(s);
}
