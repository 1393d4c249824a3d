/*
 * What nodes on one PostgreSQL tell each other: news (NOTIFY), the leader's lock, and how far this node's clock is from the database's.
 *
 * One connection and one thread per node.  News go out after the COMMIT that made them, many in one NOTIFY and at most one NOTIFY a
 * tenth of a second: a NOTIFY inside a batch would hold a lock of the whole database until its flush is over.  So they may be lost
 * with the node that made them, or while a connection is away: whoever hears news only sooner forgets, or looks sooner, and is told by
 * missed() when some may not have come.
 *
 * Where one process has the database to itself (SQLite) there is no bus: a NULL one is told nothing, leads always, and has no skew.
 */
#ifndef MUSTER_STORE_BUS_H
#define MUSTER_STORE_BUS_H

#include "core/ctx.h"

enum news_kind { /* also what goes over the wire: never change one */
	NEWS_UNSET = 0,
	NEWS_USER = 'u',         /* id: an account whose sessions, role or state changed */
	NEWS_NOTIFICATION = 'n', /* id: for whom, of: the notification */
	NEWS_EVENT = 'e',        /* id: an event whose count or code changed */
	NEWS_DISPLAY = 'd',      /* id: an event whose screens were ended */
	NEWS_LIMITS = 'l',       /* limits were set; id: nobody's */
	NEWS_MANY = '*'          /* id's time: more than can be told since then; receivers hear missed() */
};
struct news {
	enum news_kind kind;
	struct uuid id, of; /* "" when unused */
};

struct bus_options {
	const char *url; /* DATABASE_URL */
	const struct source *source;
	int64_t max_skew_us; /* clocks that surely differ by more are apart */
	/* Both on the bus' own thread, which may wait for the database. */
	void (*hear)(void *arg, const struct news *n);   /* from another node; NULL: a command, which only tells, and never leads */
	void (*missed)(void *arg, int64_t since_us);     /* what came since then (wall time) may not have been heard */
	void *arg;
};
/* Tries once to connect; what does not succeed is tried again for ever. */
struct bus *bus_open(const struct bus_options *o);
void bus_close(struct bus *b);

/* After the COMMIT of this unit of work; not at all when it is undone.  `of` may be NULL. */
void bus_tell(struct ctx *cx, enum news_kind kind, const char *id, const char *of);

/* Not 0 while this node holds the leader's lock; another number each time that it gets it. */
int64_t bus_term(const struct bus *b);
/* How often the connection, and with it the lock, was seen to live.  The beat after the next was asked for after this moment. */
int64_t bus_beats(const struct bus *b);

/* This node's clock beside the database's; compared once a second, a change is logged. */
enum clock_state { CLOCK_UNSET = 0, CLOCK_NONE /* no bus */, CLOCK_UNKNOWN /* no answer yet */, CLOCK_FINE, CLOCK_APART };
enum clock_state bus_clock(const struct bus *b);

/* --- the queue, for the bus and its test ---- */

enum { NEWS_MAX = 2048, NEWS_LINES = 90, NEWS_PAYLOAD = 7800 };
struct news_queue;
struct news_queue *news_queue_open(void);
void news_queue_close(struct news_queue *q);
/* Once however often it is told before it is taken; when full, all becomes one NEWS_MANY of the time of the oldest. */
void news_queue_add(struct news_queue *q, const struct news *n, int64_t told_us);
/* Text for one NOTIFY, of at most NEWS_LINES; false when nothing waits. */
bool news_queue_take(struct news_queue *q, char ret[NEWS_PAYLOAD]);
bool news_queue_waits(const struct news_queue *q);
/* When the oldest that waits was told, or before. */
int64_t news_queue_since(const struct news_queue *q);
/* Calls fn for every line that is well-formed and of a known kind. */
void news_read(const char *payload, void (*fn)(void *arg, const struct news *n), void *arg);

#endif
