/*
 * The yardstick for the server's own overhead: libmicrohttpd with the same daemon flags and two loops, and nothing else.  Answers
 * any GET with one fixed body and fixed headers.
 *
 *   bare_http PORT BODYFILE HEADERFILE      (one "Name: value" a line)
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPS = 2, HEADERS_MAX = 32, FILE_MAX = 4 << 20 };

struct header {
	char *name, *value;
};
struct page {
	char *body;
	size_t body_n;
	struct header headers[HEADERS_MAX];
	int n_headers;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static char *
file_read(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "re");
	char *p = malloc(FILE_MAX + 1);

	if (!f || !p)
		die(path);
	*ret_n = fread(p, 1, FILE_MAX, f);
	p[*ret_n] = '\0';
	fclose(f);
	return p;
}

static void
headers_read(struct page *page, const char *path)
{
	size_t n;
	char *save = NULL;

	for (char *line = strtok_r(file_read(path, &n), "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		char *colon = strchr(line, ':');

		if (!colon || page->n_headers == HEADERS_MAX)
			continue;
		*colon = '\0';
		page->headers[page->n_headers++] = (struct header){line, colon + 1 + strspn(colon + 1, " ")};
	}
}

/* A response of its own for each request, as every server needs whose replies differ. */
static enum MHD_Result
answer(void *arg, struct MHD_Connection *c, const char *url, const char *method, const char *version, const char *data, size_t *n,
	void **state)
{
	const struct page *page = arg;
	struct MHD_Response *r;
	enum MHD_Result ok;

	(void)url, (void)method, (void)version, (void)data;
	if (!*state || *n > 0) {
		*state = arg;
		*n = 0;
		return MHD_YES;
	}
	r = MHD_create_response_from_buffer(page->body_n, page->body, MHD_RESPMEM_PERSISTENT);
	if (!r)
		return MHD_NO;
	for (int i = 0; i < page->n_headers; i++)
		MHD_add_response_header(r, page->headers[i].name, page->headers[i].value);
	ok = MHD_queue_response(c, 200, r);
	MHD_destroy_response(r);
	return ok;
}

static int
listen_on(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		die("listen");
	return fd;
}

int
main(int argc, char **argv)
{
	static struct page page;
	struct MHD_Daemon *daemons[LOOPS];
	sigset_t ends;
	int sig;

	if (argc != 4) {
		fprintf(stderr, "usage: bare_http PORT BODYFILE HEADERFILE\n");
		return 2;
	}
	page.body = file_read(argv[2], &page.body_n);
	headers_read(&page, argv[3]);
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	for (int i = 0; i < LOOPS; i++) {
		daemons[i] =
			MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO,
				0, NULL, NULL, answer, &page, MHD_OPTION_LISTEN_SOCKET, listen_on((int)strtol(argv[1], NULL, 10)),
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)8192, MHD_OPTION_CONNECTION_LIMIT, 6000u,
				MHD_OPTION_CONNECTION_TIMEOUT, 75u, MHD_OPTION_END);
		if (!daemons[i])
			die("MHD_start_daemon");
	}
	sigwait(&ends, &sig);
	for (int i = 0; i < LOOPS; i++)
		MHD_stop_daemon(daemons[i]);
	return 0;
}
