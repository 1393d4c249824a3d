/*
 * A stream and its thread as they are, for stream.c (one stream: sending, taking a connection over) and stream_thread.c (writing to
 * all of them).
 *
 * A stream's lock covers what it has pending and whether it is over; the thread's lock covers the list of streams that have work.
 * Order: stream, then thread.  Everything else of a stream belongs to the thread.
 */
#ifndef MUSTER_HTTP_STREAM_INSIDE_H
#define MUSTER_HTTP_STREAM_INSIDE_H

#include "http/inside.h"

struct stream {
	pthread_mutex_t lock;
	atomic_int refs;
	/* under lock */
	struct streams *home; /* NULL: no connection yet, or none any more */
	char *data;           /* pending */
	size_t n, cap, allowed;
	bool over;            /* takes nothing any more */
	bool cut;             /* it lagged: what is pending is not worth sending */
	bool queued;          /* in home->ready */
	bool suspended;       /* TLS */
	struct MHD_Connection *mhd; /* TLS: NULL once the library has let go */
	struct loop *loop;
	/* set before it is given away */
	void (*on_end)(void *arg);
	void *on_end_arg;
	/* the thread's */
	struct stream *next_ready; /* under home->lock */
	struct stream *next, *prev; /* by the time of the last byte, longest silence first */
	int fd;                /* the thread's own; with TLS the library's, good while mhd is set */
	bool tls, listed, wants_out;
	int64_t last_us;
};

struct streams {
	const struct source *source;
	struct metrics *metrics;
	pthread_t thread;
	int epoll, wake;
	atomic_int count;
	struct stream *first, *last; /* the thread's */
	pthread_mutex_t lock;
	struct stream *ready;        /* under lock */
	bool ending, stop;           /* under lock */
};

void stream_forget_data(struct stream *st);

#endif
