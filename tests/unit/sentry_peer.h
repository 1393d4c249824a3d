/* An endpoint for reports: keeps what it gets, and answers when it is let. */
#ifndef MUSTER_TESTS_SENTRY_PEER_H
#define MUSTER_TESTS_SENTRY_PEER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/sentry.h"

enum { PEER_REPORTS = 128, PEER_BYTES = 4096 };

struct peer {
	int listener, port;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool hold, closing;
	const char *answer;
	int received, answered;
	char report[PEER_REPORTS][PEER_BYTES]; /* head and body */
};

#define PEER_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

static void
peer_read(int c, char *out)
{
	size_t n = 0;

	while (n < PEER_BYTES - 1) {
		ssize_t got = recv(c, out + n, PEER_BYTES - 1 - n, 0);
		if (got <= 0)
			return;
		n += (size_t)got;
		out[n] = 0;
		const char *end = strstr(out, "\r\n\r\n"), *length = strstr(out, "Content-Length: ");
		if (end && length && n >= (size_t)(end + 4 - out) + strtoul(length + 16, NULL, 10))
			return;
	}
}

static void *
peer_run(void *arg)
{
	struct peer *p = arg;

	for (;;) {
		int c = accept(p->listener, NULL, NULL);
		if (c < 0)
			return NULL;
		peer_read(c, p->report[p->received % PEER_REPORTS]);
		pthread_mutex_lock(&p->lock);
		p->received++;
		pthread_cond_broadcast(&p->changed);
		while (p->hold && !p->closing)
			pthread_cond_wait(&p->changed, &p->lock);
		p->answered++;
		const char *answer = p->answer;
		pthread_mutex_unlock(&p->lock);
		(void)!send(c, answer, strlen(answer), MSG_NOSIGNAL);
		close(c);
	}
}

static inline struct peer *
peer_open(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct peer *p = calloc(1, sizeof(*p));
	socklen_t n = sizeof(at);

	assert_non_null(p);
	p->answer = PEER_OK;
	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(p->listener, 8), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
	p->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, peer_run, p), 0);
	return p;
}

static inline void
peer_hold(struct peer *p, bool hold)
{
	pthread_mutex_lock(&p->lock);
	p->hold = hold;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static inline void
peer_await(struct peer *p, int received)
{
	pthread_mutex_lock(&p->lock);
	while (p->received < received)
		pthread_cond_wait(&p->changed, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

static inline int
peer_answered(struct peer *p)
{
	pthread_mutex_lock(&p->lock);
	int n = p->answered;
	pthread_mutex_unlock(&p->lock);
	return n;
}

static inline void
peer_close(struct peer *p)
{
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	shutdown(p->listener, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->listener);
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

#endif
