/*
 * Log lines go into one of two buffers; a thread swaps them and writes, so that a caller never waits for the file.  When standard
 * error is stuck and a buffer is full, lines are dropped and counted, and the count is logged as soon as there is room: a server
 * that stops because nobody reads its log would be worse.
 *
 * Values are escaped as JSON strings and broken UTF-8 is replaced, so a line is always one line and always JSON.
 */
#include "core/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/str.h"

enum { BUFFER_BYTES = 1 << 20, FLUSH_US = 50 * 1000, VALUE_MAX_BYTES = 2000, LINE_MAX_BYTES = 16 << 10 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;	/* for the writer */
	pthread_cond_t written; /* for log_flush() */
	pthread_t writer;
	char *fill, *drain;
	size_t n;
	uint64_t taken, done; /* swaps begun and finished */
	uint64_t dropped;
	bool open, urgent, stop;
	int fd;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int min_level = LOG_CRITICAL + 1; /* closed: nothing is logged */

static void
write_out(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return; /* there is nowhere left to say it */
		p += w;
		n -= (size_t)w;
	}
}

/* With the lock held; returns with it held. */
static void
swap_and_write(void)
{
	char *full = state.fill;
	size_t n = state.n;

	state.fill = state.drain;
	state.drain = full;
	state.n = 0;
	state.urgent = false;
	state.taken++;
	pthread_mutex_unlock(&state.lock);
	write_out(state.fd, full, n);
	pthread_mutex_lock(&state.lock);
	state.done = state.taken;
	pthread_cond_broadcast(&state.written);
}

static void *
writer(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&state.lock);
	while (!state.stop || state.n) {
		while (!state.n && !state.stop)
			pthread_cond_wait(&state.wake, &state.lock);
		const struct timespec until = time_spec(time_monotonic_us() + FLUSH_US);
		while (!state.urgent && !state.stop)
			if (pthread_cond_timedwait(&state.wake, &state.lock, &until) != 0)
				break;
		if (state.n)
			swap_and_write();
	}
	pthread_mutex_unlock(&state.lock);
	return NULL;
}

void
log_open(enum log_level min, int fd)
{
	pthread_condattr_t monotonic;

	pthread_mutex_lock(&state.lock);
	if (state.open)
		BUG("the log is open");
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&state.wake, &monotonic);
	pthread_cond_init(&state.written, NULL);
	pthread_condattr_destroy(&monotonic);
	state.fill = malloc(BUFFER_BYTES);
	state.drain = malloc(BUFFER_BYTES);
	if (!state.fill || !state.drain)
		BUG("out of memory");
	state.n = 0;
	state.taken = state.done = state.dropped = 0;
	state.urgent = state.stop = false;
	state.fd = fd;
	state.open = true;
	if (pthread_create(&state.writer, NULL, writer, NULL) != 0)
		BUG("no thread for the log");
	pthread_mutex_unlock(&state.lock);
	atomic_store(&min_level, min);
}

void
log_flush(void)
{
	pthread_mutex_lock(&state.lock);
	if (state.open) {
		uint64_t target = state.taken + (state.n > 0);
		state.urgent = state.n > 0;
		pthread_cond_signal(&state.wake);
		while (state.open && state.done < target)
			pthread_cond_wait(&state.written, &state.lock);
	}
	pthread_mutex_unlock(&state.lock);
}

void
log_close(void)
{
	atomic_store(&min_level, LOG_CRITICAL + 1);
	pthread_mutex_lock(&state.lock);
	if (!state.open || state.stop) {
		pthread_mutex_unlock(&state.lock);
		return;
	}
	state.stop = true;
	pthread_cond_signal(&state.wake);
	pthread_mutex_unlock(&state.lock);
	pthread_join(state.writer, NULL);
	pthread_mutex_lock(&state.lock);
	free(state.fill);
	free(state.drain);
	state.fill = state.drain = NULL;
	state.open = false;
	pthread_cond_broadcast(&state.written);
	pthread_mutex_unlock(&state.lock);
}

bool
log_on(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* One line in the making, on the caller's stack. */
struct line {
	char p[LINE_MAX_BYTES];
	size_t n;
};

static void
put(struct line *l, const char *s, size_t n)
{
	if (n <= sizeof(l->p) - l->n) {
		memcpy(l->p + l->n, s, n);
		l->n += n;
	}
}

/* The value cut to `max` bytes, never inside a character. */
static size_t
cut(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n <= max)
		return n;
	n = max;
	while (n && ((uint8_t)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void
put_code(struct line *l, unsigned c)
{
	static const char hex[] = "0123456789abcdef";

	put(l, (char[]){'\\', 'u', hex[c >> 12 & 15], hex[c >> 8 & 15], hex[c >> 4 & 15], hex[c & 15]}, 6);
}

static bool
is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void
put_escaped(struct line *l, const char *s, size_t n)
{
	bool utf8 = str_utf8_valid((struct span){(const uint8_t *)s, n});

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];
		if (c == '"' || c == '\\') {
			put(l, (char[]){'\\', (char)c}, 2);
		} else if (c < 0x20 || c == 0x7f) {
			put_code(l, c);
		} else if (c >= 0x80 && !utf8) {
			put_code(l, 0xfffd);
		} else if (c == 0xc2 && (uint8_t)s[i + 1] < 0xa0) { /* C1 controls move some terminals */
			put_code(l, (uint8_t)s[++i]);
		} else {
			put(l, (const char *)&c, 1);
		}
	}
}

/* Nearly all of what is logged is plain; that goes in one piece. */
static void
put_string(struct line *l, const char *s)
{
	size_t n = cut(s, VALUE_MAX_BYTES), plain = 0;

	while (plain < n && is_plain((uint8_t)s[plain]))
		plain++;
	put(l, "\"", 1);
	put(l, s, plain);
	if (plain < n)
		put_escaped(l, s + plain, n - plain);
	put(l, "\"", 1);
}

/* Room for the worst case of a member, and for the end of the line, or the member is left out. */
static void
put_member(struct line *l, const char *name, const char *text)
{
	size_t worst = 6 * (cut(text, VALUE_MAX_BYTES) + cut(name, VALUE_MAX_BYTES)) + 8;

	if (worst + 2 > sizeof(l->p) - l->n)
		return;
	if (l->n > 1)
		put(l, ",", 1);
	put_string(l, name);
	put(l, ":", 1);
	put_string(l, text);
}

static void
put_number(struct line *l, const char *name, int64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)v);

	if (6 * cut(name, VALUE_MAX_BYTES) + 32 > sizeof(l->p) - l->n)
		return;
	put(l, ",", 1);
	put_string(l, name);
	put(l, ":", 1);
	put(l, text, (size_t)n);
}

static void
put_head(struct line *l, enum log_level level, const char *file, const char *func)
{
	static const char *const names[] = {"", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
	char at[TIME_SQL_BYTES + 2], module[128];

	time_to_sql(time_wall_us(), at);
	at[10] = 'T';
	at[TIME_SQL_BYTES] = 'Z';
	at[TIME_SQL_BYTES + 1] = 0;
	str_copy(module, sizeof(module), str_starts(file, "src/") ? file + 4 : file);
	if (str_ends(module, ".c"))
		module[strlen(module) - 2] = 0;
	put(l, "{", 1);
	put_member(l, "timestamp", at);
	put_member(l, "level", names[level]);
	put_member(l, "logger", "muster");
	put_member(l, "module", module);
	put_member(l, "function", func);
}

/* With the lock held. */
static void
append(const struct line *l)
{
	if (l->n > BUFFER_BYTES - state.n) {
		state.dropped++;
		return;
	}
	memcpy(state.fill + state.n, l->p, l->n);
	state.n += l->n;
}

static void
tell_dropped(void)
{
	struct line l; /* of 16 KiB, which nobody clears for the lines that do not need it */

	if (!state.dropped || state.n > BUFFER_BYTES / 2)
		return;
	l.n = 0;
	put_head(&l, LOG_WARNING, __FILE__, __func__);
	put_member(&l, "message", "log lines were dropped because nobody took them");
	put_member(&l, "event_type", "log.dropped");
	put_number(&l, "count", (int64_t)state.dropped);
	put(&l, "}\n", 2);
	state.dropped = 0;
	append(&l);
}

void
log_at(enum log_level level, const char *file, const char *func, const char *request_id, const char *event, const char *message,
	const struct log_field *fields, size_t n)
{
	struct line l;

	if (!log_on(level))
		return;
	l.n = 0;
	put_head(&l, level, file, func);
	put_member(&l, "message", message ? message : "");
	put_member(&l, "event_type", event);
	if (request_id && request_id[0])
		put_member(&l, "request_id", request_id);
	for (size_t i = 0; i < n; i++)
		if (!fields[i].text)
			put_number(&l, fields[i].name, fields[i].number);
		else
			put_member(&l, fields[i].name, fields[i].text);
	put(&l, "}\n", 2);

	pthread_mutex_lock(&state.lock);
	if (state.open && state.fill) {
		bool first = state.n == 0;
		append(&l);
		tell_dropped();
		state.urgent = state.urgent || level >= LOG_WARNING;
		if (first || level >= LOG_WARNING)
			pthread_cond_signal(&state.wake);
	}
	pthread_mutex_unlock(&state.lock);
}
