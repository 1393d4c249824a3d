/* A mail server that keeps whom it was given mail for, and answers when it is told to. */
#ifndef MUSTER_TESTS_SMTP_PEER_H
#define MUSTER_TESTS_SMTP_PEER_H

#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAILS = 16, BACKLOG = 8, WAIT_SECONDS = 60, ADDRESS = 64 };

struct post {
	int listener, port;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	int held; /* so many mails wait for answer(), those after them are taken at once */
	int sessions; /* under way */
	int received;
	struct {
		char to[ADDRESS];
		const char *answer;
	} mail[MAILS];
};
struct session {
	struct post *post;
	int socket;
};

static const char *
post_take(struct post *p, const char *to)
{
	(void)pthread_mutex_lock(&p->lock);
	int i = p->received < MAILS - 1 ? p->received++ : p->received;
	(void)snprintf(p->mail[i].to, ADDRESS, "%s", to);
	if (i >= p->held)
		p->mail[i].answer = "250 taken\r\n";
	(void)pthread_cond_broadcast(&p->changed);
	while (!p->mail[i].answer)
		(void)pthread_cond_wait(&p->changed, &p->lock);
	const char *answer = p->mail[i].answer;
	(void)pthread_mutex_unlock(&p->lock);
	return answer;
}

static void *
session_run(void *arg)
{
	struct session s = *(struct session *)arg;
	FILE *in = fdopen(s.socket, "r");
	char line[2048], to[ADDRESS] = "";
	bool data = false;
	const char *answer = "220 post\r\n";

	free(arg);
	do {
		if (answer)
			(void)!send(s.socket, answer, strlen(answer), MSG_NOSIGNAL);
		if (!fgets(line, sizeof(line), in))
			break;
		answer = "250 well\r\n";
		if (data && strcmp(line, ".\r\n") == 0) {
			data = false;
			answer = post_take(s.post, to);
		} else if (data)
			answer = NULL;
		else if (strncmp(line, "RCPT TO:<", 9) == 0)
			(void)snprintf(to, sizeof(to), "%.*s", (int)strcspn(line + 9, ">"), line + 9);
		else if (strncmp(line, "DATA", 4) == 0) {
			data = true;
			answer = "354 go on\r\n";
		}
	} while (strncmp(line, "QUIT", 4) != 0);
	(void)fclose(in);
	(void)pthread_mutex_lock(&s.post->lock);
	s.post->sessions--;
	(void)pthread_cond_broadcast(&s.post->changed);
	(void)pthread_mutex_unlock(&s.post->lock);
	return NULL;
}

static void *
post_run(void *arg)
{
	struct post *p = arg;

	for (;;) {
		int socket = accept(p->listener, NULL, NULL);
		if (socket < 0)
			return NULL;
		struct session *s = calloc(1, sizeof(*s));
		pthread_t thread;
		*s = (struct session){p, socket};
		(void)pthread_mutex_lock(&p->lock);
		p->sessions++;
		(void)pthread_mutex_unlock(&p->lock);
		assert_int_equal(pthread_create(&thread, NULL, session_run, s), 0);
		(void)pthread_detach(thread);
	}
}

__attribute__((unused)) static void
post_open(struct post *p, int held)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	*p = (struct post){.held = held, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->changed, NULL);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(p->listener, BACKLOG), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
	p->port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, post_run, p), 0);
}

__attribute__((unused)) static void
post_close(struct post *p)
{
	(void)shutdown(p->listener, SHUT_RDWR);
	(void)pthread_join(p->thread, NULL);
	(void)close(p->listener);
	(void)pthread_mutex_lock(&p->lock);
	while (p->sessions > 0)
		(void)pthread_cond_wait(&p->changed, &p->lock);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
}

/* Until so many mails came in. */
__attribute__((unused)) static void
await(struct post *p, int received)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	(void)pthread_mutex_lock(&p->lock);
	while (p->received < received)
		if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT)
			fail_msg("%d mails instead of %d", p->received, received);
	(void)pthread_mutex_unlock(&p->lock);
}

__attribute__((unused)) static void
answer(struct post *p, int i, const char *text)
{
	(void)pthread_mutex_lock(&p->lock);
	p->mail[i].answer = text;
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

#endif
