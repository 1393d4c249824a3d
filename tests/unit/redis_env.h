/* A real redis-server on a Unix socket in a directory of its own; it dies with the test. */
#ifndef MUSTER_TESTS_REDIS_ENV_H
#define MUSTER_TESTS_REDIS_ENV_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/redis.h"
#include "net/redis_link.h"

enum { REDIS_WAIT_S = 60, REDIS_EXTRA_MAX = 14 };

struct redis_server {
	pid_t pid;
	char dir[128], path[160], url[200];
	const char *password; /* NULL: none */
	const char *extra[REDIS_EXTRA_MAX]; /* further words of its command line */
};

static void
redis_pause(void)
{
	const struct timespec while_ms = {.tv_nsec = 2000000};

	(void)nanosleep(&while_ms, NULL);
}

/* Asks again until it is true. */
#define redis_eventually(condition)                                                                  \
	do {                                                                                         \
		int64_t until_us_ = time_monotonic_us() + REDIS_WAIT_S * SECONDS_US;                 \
		while (!(condition)) {                                                               \
			if (time_monotonic_us() > until_us_)                                         \
				fail_msg("not within %d s: %s", REDIS_WAIT_S, #condition);           \
			redis_pause();                                                               \
		}                                                                                    \
	} while (0)

static bool
redis_listens(const struct redis_server *s)
{
	const struct redis_address address = {.path = s->path, .password = s->password};
	struct redis_place place;
	char why[REDIS_MESSAGE_MAX];

	(void)redis_resolve(&address, &place, 1);
	struct redis_link *l = redis_link_open(&address, &place, NULL, time_monotonic_us() + SECONDS_US, why);
	redis_link_close(l);
	return l != NULL;
}

/* False: it ended at once. */
static bool
redis_server_try(struct redis_server *s)
{
	const char *argv[12 + REDIS_EXTRA_MAX] = {
		"redis-server", "--port", "0", "--unixsocket", s->path, "--save", "", "--appendonly", "no", "--dir", s->dir};
	size_t n = 11;

	for (size_t i = 0; i < REDIS_EXTRA_MAX && s->extra[i]; i++)
		argv[n++] = s->extra[i];
	argv[n] = NULL;
	(void)unlink(s->path);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		int null = open("/dev/null", O_RDWR);
		(void)dup2(null, 1);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	redis_eventually(waitpid(s->pid, NULL, WNOHANG) != 0 || redis_listens(s));
	if (kill(s->pid, 0) == 0)
		return true;
	s->pid = 0;
	return false;
}

static void
redis_server_start(struct redis_server *s)
{
	if (!redis_server_try(s))
		fail_msg("redis-server did not start (Debian package redis-server)");
}

static void
redis_server_stop(struct redis_server *s)
{
	if (s->pid <= 0)
		return;
	(void)kill(s->pid, SIGKILL);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	s->pid = 0;
}

static void
redis_server_place(struct redis_server *s)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(s->dir, sizeof(s->dir), "%s/muster-redis-XXXXXX", tmp ? tmp : P_tmpdir);
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/socket", s->dir);
	snprintf(s->url, sizeof(s->url), "unix://%s", s->path);
}

static inline void
redis_server_open(struct redis_server *s)
{
	redis_server_place(s);
	redis_server_start(s);
}

static void
redis_server_close(struct redis_server *s)
{
	redis_server_stop(s);
	(void)unlink(s->path);
	(void)rmdir(s->dir);
}

static bool
redis_is_up(struct redis *r)
{
	struct redis_state now;

	redis_look(r, &now);
	return now.up;
}

#endif
