/*
 * Many listeners of one event stream, in one thread.
 *
 *	listeners --port P --token T --count N [--path /api/notifications/stream]
 *
 * Prints {"connected":N,"failed":F} once every connection has its 200, then {"round":K,"first_ns":…,"last_ns":…} (CLOCK_MONOTONIC)
 * each time the last of them has got its K-th event.  Ends with its standard input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 4096, CONNECTING_MAX = 256 };

static const char answer[] = "HTTP/1.1 200", event[] = "\nevent: ";

struct listener {
	int fd;
	size_t answered, matched; /* characters of `answer` and `event` seen in a row */
	int events;
	bool open;
};

static struct listener *all;
static int count = 5000, opened, open_now, failed;
static int heard[ROUNDS_MAX];
static int64_t first_ns[ROUNDS_MAX];

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
die(const char *what)
{
	fprintf(stderr, "listeners: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
dial(int epoll, int i, int port, const char *request)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	if (write(fd, request, strlen(request)) != (ssize_t)strlen(request))
		die("write");
	all[i].fd = fd;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll_ctl");
}

static void
report_connected(void)
{
	if (open_now + failed == count) {
		printf("{\"connected\":%d,\"failed\":%d}\n", open_now, failed);
		fflush(stdout);
	}
}

static void
got_event(struct listener *l)
{
	int round = l->events++;

	if (round >= ROUNDS_MAX)
		return;
	if (heard[round]++ == 0)
		first_ns[round] = now_ns();
	if (heard[round] < open_now)
		return;
	printf("{\"round\":%d,\"first_ns\":%lld,\"last_ns\":%lld}\n", round + 1, (long long)first_ns[round], (long long)now_ns());
	fflush(stdout);
}

static void
take(struct listener *l, const char *p, ssize_t n)
{
	for (ssize_t i = 0; i < n; i++) {
		if (l->answered < sizeof(answer) - 1) {
			if (p[i] != answer[l->answered++]) {
				l->answered = sizeof(answer);
				failed++;
				report_connected();
			} else if (l->answered == sizeof(answer) - 1) {
				l->open = true;
				open_now++;
				report_connected();
			}
			continue;
		}
		l->matched = p[i] == event[l->matched] ? l->matched + 1 : p[i] == event[0];
		if (l->matched == sizeof(event) - 1) {
			l->matched = 0;
			got_event(l);
		}
	}
}

static void
on_input(int epoll, struct listener *l)
{
	char bytes[16384];
	ssize_t n = recv(l->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0) {
		take(l, bytes, n);
	} else if (n == 0 || errno != EAGAIN) {
		epoll_ctl(epoll, EPOLL_CTL_DEL, l->fd, NULL);
		close(l->fd);
		open_now -= l->open;
	}
}

int
main(int argc, char **argv)
{
	const char *token = "", *path = "/api/notifications/stream";
	static char request[4096];
	struct rlimit files;
	int port = 0, epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = UINT32_MAX}, got[512];

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--port") == 0)
			port = (int)strtol(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--token") == 0)
			token = argv[i + 1];
		else if (strcmp(argv[i], "--path") == 0)
			path = argv[i + 1];
		else if (strcmp(argv[i], "--count") == 0)
			count = (int)strtol(argv[i + 1], NULL, 10);
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	all = calloc((size_t)count, sizeof(*all));
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", path, token);
	if (!all || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &ev) != 0)
		die("start");
	for (;;) {
		while (opened < count && opened - open_now - failed < CONNECTING_MAX)
			dial(epoll, opened++, port, request);
		int n = epoll_wait(epoll, got, 512, -1);
		for (int i = 0; i < n; i++) {
			if (got[i].data.u32 == UINT32_MAX)
				return 0; /* nobody writes to it: its end */
			on_input(epoll, &all[got[i].data.u32]);
		}
	}
}
