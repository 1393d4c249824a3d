/*
 * Raw bytes on a connection, through the library, the guard and the dispatcher.  The guard's promise is looked at where it is given:
 * what reaches the application is one request that cannot be read in two ways.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, TURN_MS = 5, DEADLINE_MS = 50, SOURCES = 1 << 16 };

static struct http_server *server;
static int port;
static _Atomic in_addr_t source; /* of the connection under way: what comes late from an earlier one is not counted */
static atomic_int handled, finished;

static bool
counted(const struct exchange *x)
{
	struct in_addr peer;

	return inet_pton(AF_INET, x->request.peer_ip, &peer) == 1 && peer.s_addr == atomic_load(&source);
}

static int
named(const struct request *rq, const char *name)
{
	int n = 0;

	for (size_t i = 0; i < rq->n_headers; i++)
		n += strcasecmp(rq->headers[i].name, name) == 0;
	return n;
}

static bool
visible(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	return true;
}

static void
handle(void *dispatcher, struct exchange *x)
{
	const struct request *rq = &x->request;
	const char *length = request_header(rq, "Content-Length");
	int64_t n = 0;

	if (counted(x))
		atomic_fetch_add(&handled, 1);
	HOLDS(rq->path[0] == '/' && visible(rq->path) && visible(rq->query_text));
	HOLDS(rq->n_headers <= HEADER_COUNT_MAX && named(rq, "Host") <= 1 && named(rq, "Content-Length") <= 1);
	HOLDS(!length || (named(rq, "Transfer-Encoding") == 0 && str_int(length, 0, INT64_MAX, &n)));
	HOLDS(rq->parts || named(rq, "Transfer-Encoding") > 0 || rq->raw_body.n == (size_t)n);
	HOLDS(rq->id && rq->id[0] && strlen(rq->id) <= REQUEST_ID_MAX);
	for (size_t i = 0; i < rq->n_headers; i++) {
		HOLDS(rq->headers[i].name[0] && visible(rq->headers[i].name) && !strchr(rq->headers[i].name, ':'));
		for (const char *p = rq->headers[i].value; *p; p++)
			HOLDS((uint8_t)*p >= ' ' || *p == '\t');
	}
	dispatch_handle(dispatcher, x);
}

static void
finish(void *dispatcher, struct exchange *x)
{
	bool here = counted(x);

	dispatch_finish(dispatcher, x);
	if (here)
		atomic_fetch_add(&finished, 1);
}

static void
begin(void)
{
	static const char *const proxies[] = {"127.0.0.0/8", NULL};
	struct test *t = fuzz_server();
	const char *message = "";
	const struct http_options o = {.host = "127.0.0.1",
		.loops = 1,
		.max_body = BODY_MAX,
		.trusted_proxies = proxies,
		.metrics = t->srv.metrics,
		.source = &t->srv.source,
		.header_deadline_ms = DEADLINE_MS,
		.body_deadline_ms = DEADLINE_MS,
		.handle = handle,
		.finish = finish,
		.body_limit = dispatch_body_limit,
		.uploads = dispatch_uploads,
		.refuse = dispatch_refuse,
		.arg = t->d};

	HOLDS(http_server_open(&t->arena, &o, &server, &message) == OK);
	port = http_server_port(server);
}

void
fuzz_http_end(void)
{
	if (server)
		http_server_close(server, 2000);
	server = NULL;
}

/*
 * From one of many addresses in turn: one has too few ports for the thousands of connections that the system remembers as closed.
 * Negative when the system has no room for another.
 */
static int
connected(void)
{
	static uint32_t turn;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + turn++ % SOURCES)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	atomic_store(&handled, 0);
	atomic_store(&finished, 0);
	atomic_store(&source, from.sin_addr.s_addr);
	HOLDS(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) == 0);
	HOLDS(bind(fd, (const struct sockaddr *)&from, sizeof(from)) == 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/*
 * Everything that comes back until the server closes.  The library may overlook the end of our side when it comes along with data, or
 * while the request is in another thread; such a connection ends by a deadline, or here when all that was handled is answered.
 */
static struct span
talk(struct arena *a, struct span in)
{
	int fd = connected();
	const struct linger reset = {.l_onoff = 1}; /* so that the other side does not keep its half either */
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	struct buf out;
	char piece[4096];
	ssize_t n = 1;

	buf_init(&out, a, sizeof(piece));
	if (fd < 0)
		return buf_span(&out);
	for (size_t at = 0; at < in.n && (n = send(fd, in.p + at, in.n - at, MSG_NOSIGNAL)) > 0;)
		at += (size_t)n;
	shutdown(fd, SHUT_WR);
	for (int turn = 0; n > 0; turn++) {
		if (poll(&ready, 1, TURN_MS) != 1) {
			HOLDS(turn < PATIENCE_MS / TURN_MS);
			if (atomic_load(&handled) > 0 && atomic_load(&handled) == atomic_load(&finished))
				break;
			continue;
		}
		n = recv(fd, piece, sizeof(piece), 0);
		if (n > 0)
			buf_add(&out, piece, (size_t)n);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	return buf_span(&out);
}

static int
occurrences(struct span in, const char *text)
{
	const uint8_t *p = in.p, *end = in.p + in.n;
	int n = 0;

	while (p < end && (p = memmem(p, (size_t)(end - p), text, strlen(text)))) {
		p += strlen(text);
		n++;
	}
	return n;
}

void
fuzz_http(struct arena *a, struct span in)
{
	if (!server)
		begin();
	struct span out = talk(a, in);
	HOLDS(out.n == 0 || (out.n > 12 && memcmp(out.p, "HTTP/1.", 7) == 0));
	/* Each request that was handled had a request line of its own. */
	HOLDS(atomic_load(&handled) <= occurrences(in, "HTTP/1."));
}
