/*
 * A load generator: sends prepared requests over keep-alive connections and prints one JSON line of figures.
 *
 *	load --port P --file REQUESTS [--conns 64] [--seconds S] [--skip N] [--count N] [--cycle] [--pid PID] [--fresh] [--rate R]
 *
 * REQUESTS holds records of a 32-bit little-endian length and that many bytes of one HTTP/1.1 request.  Each connection has one
 * request in flight.  Without --cycle every record is sent once and the run ends when all are answered; with it the file is
 * repeated until the time is over.  --fresh opens a new connection per request.  --rate sends at most R requests a second.
 * --skip leaves out the first N records.  --pid adds the CPU time and resident memory of that process.  Latency is from the write of a
 * request to the last byte of its reply.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_MAX = 1 << 20, STATUS_MAX = 600 };

struct conn {
	int fd;
	bool busy;
	const uint8_t *out;
	size_t out_left;
	int64_t sent_us;
	char *in;
	size_t n_in, cap_in, need; /* need: whole reply's size once the headers are there, else 0 */
};

struct run {
	struct sockaddr_in to;
	const uint8_t *file, *end, *next;
	bool cycle, fresh;
	int64_t count_left, sent, answered, broken;
	int64_t rate, started_us;
	int64_t status[STATUS_MAX];
	uint32_t *latency;
	size_t n_latency, cap_latency;
	int epoll;
};

static int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
conn_open(struct run *r, struct conn *c)
{
	int one = 1;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&r->to, sizeof(r->to)) != 0)
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0)
		die("epoll_ctl");
	c->busy = false;
	c->n_in = c->need = c->out_left = 0;
}

/* False when there is nothing more to send (now). */
static bool
conn_next(struct run *r, struct conn *c)
{
	uint32_t n;

	if (r->count_left == 0)
		return false;
	if (r->rate > 0 && r->sent >= (now_us() - r->started_us) * r->rate / 1000000 + 1)
		return false;
	if (r->next >= r->end) {
		if (!r->cycle)
			return false;
		r->next = r->file;
	}
	memcpy(&n, r->next, 4);
	c->out = r->next + 4;
	c->out_left = n;
	r->next += 4 + n;
	if (r->count_left > 0)
		r->count_left--;
	r->sent++;
	c->busy = true;
	c->n_in = c->need = 0;
	c->sent_us = now_us();
	return true;
}

static void
conn_write(struct conn *c)
{
	while (c->out_left > 0) {
		ssize_t n = send(c->fd, c->out, c->out_left, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		c->out += n;
		c->out_left -= (size_t)n;
	}
}

static void
note_latency(struct run *r, int64_t us)
{
	if (r->n_latency == r->cap_latency) {
		r->cap_latency = r->cap_latency ? r->cap_latency * 2 : 1 << 16;
		r->latency = realloc(r->latency, r->cap_latency * sizeof(*r->latency));
		if (r->latency == NULL)
			die("realloc");
	}
	r->latency[r->n_latency++] = (uint32_t)us;
}

static void
parse_head(struct conn *c)
{
	char *head_end, *line;
	size_t length = 0;

	c->in[c->n_in] = '\0';
	head_end = strstr(c->in, "\r\n\r\n");
	if (head_end == NULL)
		return;
	for (line = c->in; line < head_end; line = strstr(line, "\r\n") + 2)
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			length = strtoul(line + 15, NULL, 10);
	c->need = (size_t)(head_end + 4 - c->in) + length;
}

/* True when the reply is complete. */
static bool
conn_read(struct run *r, struct conn *c, bool *ret_closed)
{
	*ret_closed = false;
	for (;;) {
		ssize_t n;

		if (c->cap_in - c->n_in < 4096) {
			c->cap_in = c->cap_in ? c->cap_in * 2 : 8192;
			if (c->cap_in > REPLY_MAX * 8 || (c->in = realloc(c->in, c->cap_in)) == NULL)
				die("reply too large");
		}
		n = recv(c->fd, c->in + c->n_in, c->cap_in - c->n_in - 1, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			*ret_closed = true;
			return false;
		}
		if (n < 0)
			return false;
		c->n_in += (size_t)n;
		if (c->need == 0)
			parse_head(c);
		if (c->need > 0 && c->n_in >= c->need) {
			int status = atoi(c->in + 9);

			note_latency(r, now_us() - c->sent_us);
			r->answered++;
			if (status > 0 && status < STATUS_MAX)
				r->status[status]++;
			c->busy = false;
			return true;
		}
	}
}

static void
conn_event(struct run *r, struct conn *c)
{
	bool closed;

	if (c->fd < 0)
		return;
	conn_write(c);
	for (;;) {
		bool done = conn_read(r, c, &closed);

		if (closed) {
			r->broken += c->busy;
			close(c->fd);
			conn_open(r, c);
		} else if (!done) {
			return;
		} else if (r->fresh) {
			close(c->fd);
			conn_open(r, c);
		}
		if (!conn_next(r, c))
			return;
		conn_write(c);
	}
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double
percentile_ms(const struct run *r, double p)
{
	size_t i = (size_t)(p * (double)r->n_latency);

	if (r->n_latency == 0)
		return 0;
	return r->latency[i < r->n_latency ? i : r->n_latency - 1] / 1000.0;
}

/* CPU of a process and its children's threads, µs; resident set, KiB. */
static void
process_figures(int pid, int64_t *ret_cpu_us, int64_t *ret_rss_kib)
{
	char path[64], line[1024], *p;
	unsigned long user = 0, sys = 0;
	long rss = 0;
	FILE *f;

	*ret_cpu_us = *ret_rss_kib = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(line, sizeof(line), f) != NULL && (p = strrchr(line, ')')) != NULL)
		sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld", &user, &sys,
			&rss);
	fclose(f);
	*ret_cpu_us = (int64_t)(user + sys) * 1000000 / sysconf(_SC_CLK_TCK);
	*ret_rss_kib = rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static void
print_figures(struct run *r, int conns, double seconds, int64_t cpu_us, int64_t rss_kib)
{
	qsort(r->latency, r->n_latency, sizeof(*r->latency), by_value);
	printf("{\"answered\":%lld,\"broken\":%lld,\"seconds\":%.3f,\"per_second\":%.0f,\"conns\":%d,"
	       "\"p50_ms\":%.2f,\"p90_ms\":%.2f,\"p95_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,\"cpu_us_each\":%.1f,\"rss_mib\":%.1f,\"status\":{",
		(long long)r->answered, (long long)r->broken, seconds, (double)r->answered / seconds, conns, percentile_ms(r, 0.50),
		percentile_ms(r, 0.90), percentile_ms(r, 0.95), percentile_ms(r, 0.99), percentile_ms(r, 1.0),
		r->answered ? (double)cpu_us / (double)r->answered : 0.0, (double)rss_kib / 1024.0);
	for (int i = 0, first = 1; i < STATUS_MAX; i++)
		if (r->status[i] > 0) {
			printf("%s\"%d\":%lld", first ? "" : ",", i, (long long)r->status[i]);
			first = 0;
		}
	puts("}}");
}

static void
drive(struct run *r, struct conn *conns, int n, double seconds)
{
	struct epoll_event ev[256];
	int64_t end_us;
	bool more = true;

	r->started_us = now_us();
	end_us = seconds > 0 ? r->started_us + (int64_t)(seconds * 1e6) : INT64_MAX;
	for (int i = 0; i < n && conn_next(r, &conns[i]); i++)
		conn_write(&conns[i]);
	while (more) {
		int got = epoll_wait(r->epoll, ev, 256, r->rate > 0 ? 1 : 100);

		for (int i = 0; i < got; i++)
			conn_event(r, ev[i].data.ptr);
		if (now_us() >= end_us)
			r->count_left = 0;
		more = false;
		if (r->rate > 0)
			for (int i = 0; i < n; i++)
				if (!conns[i].busy && conn_next(r, &conns[i]))
					conn_write(&conns[i]);
		for (int i = 0; i < n && !more; i++)
			more = conns[i].busy;
		more |= r->rate > 0 && r->count_left != 0 && (r->cycle || r->next < r->end);
	}
}

int
main(int argc, char **argv)
{
	struct run r = {.count_left = -1};
	const char *file = NULL;
	int conns_n = 64, pid = 0, port = 0, fd;
	double seconds = 0;
	struct stat st;
	struct conn *conns;
	int64_t cpu0 = 0, cpu1 = 0, rss = 0, start, skip = 0;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(a, "--cycle") == 0) {
			r.cycle = true;
			continue;
		}
		if (strcmp(a, "--fresh") == 0) {
			r.fresh = true;
			continue;
		}
		i++;
		if (strcmp(a, "--port") == 0)
			port = (int)strtol(v, NULL, 10);
		else if (strcmp(a, "--file") == 0)
			file = v;
		else if (strcmp(a, "--conns") == 0)
			conns_n = (int)strtol(v, NULL, 10);
		else if (strcmp(a, "--seconds") == 0)
			seconds = strtod(v, NULL);
		else if (strcmp(a, "--count") == 0)
			r.count_left = strtoll(v, NULL, 10);
		else if (strcmp(a, "--skip") == 0)
			skip = strtoll(v, NULL, 10);
		else if (strcmp(a, "--rate") == 0)
			r.rate = strtoll(v, NULL, 10);
		else if (strcmp(a, "--pid") == 0)
			pid = (int)strtol(v, NULL, 10);
		else
			file = NULL;
	}
	if (file == NULL || port == 0 || (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0 || fstat(fd, &st) != 0) {
		fprintf(stderr, "usage: load --port P --file REQUESTS [--conns N] [--seconds S] [--skip N] [--count N] [--cycle] "
				"[--fresh] [--rate R] [--pid PID]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r.file = r.next = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	r.end = r.file + st.st_size;
	for (uint32_t n; skip > 0 && r.next < r.end; skip--, r.next += 4 + n)
		memcpy(&n, r.next, 4);
	r.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	conns = calloc((size_t)conns_n, sizeof(*conns));
	if (r.file == MAP_FAILED || r.epoll < 0 || conns == NULL)
		die("set-up");
	for (int i = 0; i < conns_n; i++)
		conn_open(&r, &conns[i]);
	process_figures(pid, &cpu0, &rss);
	start = now_us();
	drive(&r, conns, conns_n, seconds);
	seconds = (double)(now_us() - start) / 1e6;
	process_figures(pid, &cpu1, &rss);
	print_figures(&r, conns_n, seconds, cpu1 - cpu0, rss);
	return 0;
}
