/*
 * The bus' thread: hear, tell, beat.
 *
 * A beat is one small query a second: it tries for the leader's lock, reads the database's clock and shows that the connection
 * lives.  The lock belongs to the connection, so it goes with the process; and a process that is stopped stops beating, upon which the
 * server ends the connection (idle_session_timeout) and another node gets the lock.  Holding it is therefore never proof that a
 * write is still due: jobs.c checks again inside each transaction.
 *
 * since_us is the wall time of the last beat that was answered: up to then everything that was told has been heard.
 */
#include "store/bus.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "store/engine.h"

enum { BEAT_MS = 1000, TELL_EVERY_MS = 100, RETRY_MS = 500, NOTIFIES_A_TURN = 30 };
static const char settings[] = "SET synchronous_commit = off";
static const char listening[] = "SET synchronous_commit = off; LISTEN muster";
/* PostgreSQL 14 and later; an older one keeps a stopped leader's lock until its connection breaks. */
static const char end_when_stopped[] = "SET idle_session_timeout = '10s'";
static const char beat_leading[] = "SELECT 't', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
static const char beat_waiting[] = "SELECT pg_try_advisory_lock(7311064125120315), "
				   "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

struct bus {
	struct bus_options o;
	char *url;
	pthread_t thread;
	pthread_mutex_t lock; /* of the queue */
	struct news_queue *queue;
	int wake; /* eventfd: something waits, or stop */
	atomic_bool stop;
	PGconn *conn;
	int64_t since_us;                  /* wall */
	int64_t beat_us, told_us, tried_us; /* monotonic */
	bool leading, away_logged, apart;
	int64_t terms;
	_Atomic int64_t term, beats;
	_Atomic int clock;
};

/* --- telling: any thread ---------------------------------------------------------------------------------------------------- */

static void
wake(struct bus *b)
{
	ssize_t n = write(b->wake, &(uint64_t){1}, sizeof(uint64_t));

	(void)n; /* full means that it is awake */
}

static void
add(struct bus *b, const struct news *n, int64_t told_us)
{
	(void)pthread_mutex_lock(&b->lock);
	news_queue_add(b->queue, n, told_us);
	(void)pthread_mutex_unlock(&b->lock);
}

struct telling {
	struct bus *bus;
	struct news news;
};

static void
tell(void *arg)
{
	const struct telling *t = arg;

	add(t->bus, &t->news, time_wall_us());
	wake(t->bus);
}

void
bus_tell(struct ctx *cx, enum news_kind kind, const char *id, const char *of)
{
	struct telling *t;

	if (!cx->srv->bus)
		return;
	t = arena_new(cx->arena, struct telling, 1);
	*t = (struct telling){.bus = cx->srv->bus, .news.kind = kind};
	str_copy(t->news.id.text, sizeof(t->news.id.text), id);
	str_copy(t->news.of.text, sizeof(t->news.of.text), of ? of : "");
	db_on_commit(cx, tell, t);
}

/* --- the connection: the bus' thread ---------------------------------------------------------------------------------------- */

static void
log_away(struct bus *b, const char *why)
{
	if (!b->away_logged)
		log_warning(NULL, "bus.lost", "other nodes are not heard until the database is back", LOG_TEXT("why", why));
	b->away_logged = true;
}

/* What the connection said of it, its end included, is gone with it. */
static void
lose(struct bus *b)
{
	log_away(b, PQerrorMessage(b->conn));
	PQfinish(b->conn);
	b->conn = NULL;
	b->leading = false;
	atomic_store(&b->term, 0);
	atomic_store(&b->clock, CLOCK_UNKNOWN);
}

/* NULL after the connection was given up. */
static PGresult *
query(struct bus *b, const char *text, const char *argument)
{
	PGresult *r = PQexecParams(b->conn, text, argument ? 1 : 0, NULL, &argument, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return r;
	lose(b);
	PQclear(r);
	return NULL;
}

static bool
integer_of(const PGresult *r, int column, int64_t *ret)
{
	return PQntuples(r) == 1 && str_int(PQgetvalue(r, 0, column), INT64_MIN, INT64_MAX, ret);
}

/* The database read its clock somewhere between our two looks: only what lies outside of them is sure. */
static int64_t
surely_apart(int64_t before_us, int64_t after_us, int64_t database_us)
{
	if (before_us > database_us)
		return before_us - database_us;
	return after_us < database_us ? after_us - database_us : 0;
}

static void
compare_clocks(struct bus *b, int64_t skew_us)
{
	bool apart = skew_us > b->o.max_skew_us || skew_us < -b->o.max_skew_us, was = b->apart;

	atomic_store(&b->clock, apart ? CLOCK_APART : CLOCK_FINE);
	b->apart = apart;
	if (apart && !was)
		log_warning(NULL, "clock.apart", "this node's clock and the database's differ; set them by one server",
			LOG_INT("ahead_ms", skew_us / 1000));
	else if (was && !apart)
		log_info(NULL, "clock.fine", "this node's clock and the database's agree again");
}

static bool
beat(struct bus *b)
{
	const struct source *s = b->o.source;
	int64_t wall_us = time_wall_us(), before_us = s->wall_us(s->arg), database_us;
	PGresult *r = query(b, b->leading ? beat_leading : beat_waiting, NULL);
	int64_t after_us = s->wall_us(s->arg);

	if (!r)
		return false;
	if (integer_of(r, 1, &database_us))
		compare_clocks(b, surely_apart(before_us, after_us, database_us));
	if (!b->leading && PQgetvalue(r, 0, 0)[0] == 't') {
		b->leading = true;
		atomic_store(&b->term, ++b->terms);
		log_info(NULL, "bus.leading", "this node leads the jobs");
	}
	PQclear(r);
	b->since_us = wall_us;
	b->beat_us = time_monotonic_us();
	atomic_fetch_add(&b->beats, 1);
	return true;
}

static bool
connect_bus(struct bus *b)
{
	const char *message = "";
	struct arena a;

	b->tried_us = time_monotonic_us();
	arena_init(&a);
	b->conn = postgres_connect(&a, b->url, false, &message);
	if (b->conn) {
		PQclear(PQexec(b->conn, end_when_stopped));
		PGresult *r = PQexec(b->conn, b->o.hear ? listening : settings);
		bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
		PQclear(r);
		if (!ok)
			lose(b);
	} else {
		log_away(b, message);
	}
	arena_release(&a);
	return b->conn != NULL;
}

/* It listens before it asks what was missed: what is told between comes twice. */
static bool
reconnect(struct bus *b)
{
	int64_t since_us = b->since_us;

	if (!connect_bus(b) || (b->o.hear && !beat(b)))
		return false;
	if (b->away_logged)
		log_info(NULL, "bus.back", "other nodes are heard again");
	b->away_logged = false;
	if (b->o.hear)
		b->o.missed(b->o.arg, since_us);
	return true;
}

static void
hear_one(void *arg, const struct news *n)
{
	struct bus *b = arg;
	int64_t since_us = uuid_v7_time_us(n->id.text);

	if (n->kind == NEWS_MANY)
		b->o.missed(b->o.arg, since_us > 0 ? since_us : 0);
	else
		b->o.hear(b->o.arg, n);
}

static void
hear(struct bus *b)
{
	if (!PQconsumeInput(b->conn)) {
		lose(b);
		return;
	}
	for (PGnotify *n; (n = PQnotifies(b->conn));) {
		if (n->be_pid != PQbackendPID(b->conn))
			news_read(n->extra, hear_one, b);
		PQfreemem(n);
	}
}

static bool
take(struct bus *b, char payload[NEWS_PAYLOAD], int64_t *ret_since_us)
{
	(void)pthread_mutex_lock(&b->lock);
	*ret_since_us = news_queue_since(b->queue);
	bool any = news_queue_take(b->queue, payload);
	(void)pthread_mutex_unlock(&b->lock);
	return any;
}

/* What was taken and perhaps not told is told as NEWS_MANY later, of the time when it was news: finding out may take long. */
static void
tell_others(struct bus *b)
{
	char payload[NEWS_PAYLOAD];
	int64_t since_us;

	for (int i = 0; i < NOTIFIES_A_TURN && take(b, payload, &since_us); i++) {
		PGresult *r = query(b, "SELECT pg_notify('muster', $1)", payload);
		if (!r) {
			add(b, &(const struct news){.kind = NEWS_MANY}, since_us);
			return;
		}
		PQclear(r);
		b->told_us = time_monotonic_us();
	}
}

static bool
anything_waits(struct bus *b)
{
	(void)pthread_mutex_lock(&b->lock);
	bool waits = news_queue_waits(b->queue);
	(void)pthread_mutex_unlock(&b->lock);
	return waits;
}

static int
ms_until(int64_t from_us, int after_ms)
{
	int64_t left_us = from_us + after_ms * INT64_C(1000) - time_monotonic_us();

	return left_us > 0 ? (int)(left_us / 1000) + 1 : 0;
}

static void
wait_for_work(struct bus *b)
{
	struct pollfd fds[2] = {{.fd = b->wake, .events = POLLIN}, {.fd = b->conn ? PQsocket(b->conn) : -1, .events = POLLIN}};
	int ms = !b->conn ? ms_until(b->tried_us, RETRY_MS) : b->o.hear ? ms_until(b->beat_us, BEAT_MS) : -1;
	uint64_t drained;

	if (b->conn && anything_waits(b)) { /* its tenth of a second is not over: a wake-up says nothing new */
		ms = ms_until(b->told_us, TELL_EVERY_MS);
		fds[0].fd = -1;
	}
	(void)poll(fds, 2, ms);
	ssize_t n = read(b->wake, &drained, sizeof(drained));
	(void)n; /* not blocking; empty is fine */
}

static void
turn(struct bus *b)
{
	if (!b->conn && (ms_until(b->tried_us, RETRY_MS) > 0 || !reconnect(b)))
		return;
	if (ms_until(b->told_us, TELL_EVERY_MS) == 0)
		tell_others(b);
	if (b->conn && b->o.hear && ms_until(b->beat_us, BEAT_MS) == 0)
		(void)beat(b);
	if (b->conn && b->o.hear) /* last: what came with an answer wakes nobody */
		hear(b);
}

static void *
bus_main(void *arg)
{
	struct bus *b = arg;

	while (!b->stop) {
		turn(b);
		if (!b->stop)
			wait_for_work(b);
	}
	if (b->conn)
		tell_others(b);
	return NULL;
}

/* --- opening and closing ----------------------------------------------------------------------------------------------------- */

struct bus *
bus_open(const struct bus_options *o)
{
	struct bus *b;

	if (!url_is_postgres(o->url))
		return NULL;
	b = calloc(1, sizeof(*b));
	if (!b || !(b->url = strdup(o->url)))
		BUG("out of memory");
	b->o = *o;
	b->queue = news_queue_open();
	b->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->since_us = time_wall_us();
	b->told_us = time_monotonic_us() - TELL_EVERY_MS * INT64_C(1000);
	atomic_store(&b->clock, CLOCK_UNKNOWN);
	(void)pthread_mutex_init(&b->lock, NULL);
	(void)(connect_bus(b) && o->hear && beat(b));
	if (b->wake < 0 || pthread_create(&b->thread, NULL, bus_main, b) != 0)
		BUG("the bus does not start");
	(void)pthread_setname_np(b->thread, "bus");
	return b;
}

void
bus_close(struct bus *b)
{
	if (!b)
		return;
	b->stop = true;
	wake(b);
	(void)pthread_join(b->thread, NULL);
	PQfinish(b->conn);
	(void)close(b->wake);
	(void)pthread_mutex_destroy(&b->lock);
	news_queue_close(b->queue);
	free(b->url);
	free(b);
}

int64_t
bus_term(const struct bus *b)
{
	return b ? atomic_load(&b->term) : 1;
}

int64_t
bus_beats(const struct bus *b)
{
	return b ? atomic_load(&b->beats) : 0;
}

enum clock_state
bus_clock(const struct bus *b)
{
	return b ? (enum clock_state)atomic_load(&b->clock) : CLOCK_NONE;
}
