/*
 * Server-Sent Events: a reply that goes on.
 *
 * A handler makes a stream, gives it to whoever will have news, puts it into its reply, returns.  The adapter then takes the
 * connection over: the library lets go of it, and one thread of ours writes to all of them, so a listener costs a descriptor and
 * a few hundred bytes, and no request pays for listeners who wait.  (With TLS the library must stay; there the connection is
 * suspended between events.)
 *
 * Any thread may send.  What was sent before the connection was there is kept for it.  A listener that is STREAM_LAG_MAX behind is
 * cut; one that hears nothing for STREAM_BEAT_S gets a comment line, and so a peer that is no longer there is noticed.
 */
#ifndef MUSTER_HTTP_STREAM_H
#define MUSTER_HTTP_STREAM_H

#include "http/request.h"

enum { STREAM_LAG_MAX = 64 << 10, STREAM_BEAT_S = 15, STREAMS_MAX = 12000 };

struct stream;
/* One reference for the caller; reply_stream() takes over one that is given to it. */
struct stream *stream_new(void);
struct stream *stream_hold(struct stream *st);
void stream_release(struct stream *st); /* NULL is nothing */

/*
 * The reply becomes this stream: 200, text/event-stream.  The reference goes with it: an exchange that ends without sending its
 * reply ends the stream.  The last thing a handler does.
 */
enum err reply_stream(struct reply *rs, struct stream *st);

/* For the holder of a reply that will not be sent: the stream is over, and the reply's reference goes.  NULL is nothing. */
void stream_abandon(struct stream *st);

/*
 * Called once when the stream is over, whoever ended it; on another thread than any that sends, with no lock held.  Must not
 * block.  Set it before the stream is given away.
 */
void stream_on_end(struct stream *st, void (*fn)(void *arg), void *arg);

/* False: it is over, and nothing was taken. */
bool stream_send(struct stream *st, struct span bytes);
/* The same for what a listener missed, which may be more than STREAM_LAG_MAX. */
bool stream_send_backlog(struct stream *st, struct span bytes);
/* What was sent goes out, then the connection ends. */
void stream_finish(struct stream *st);
bool stream_over(struct stream *st);

/* One event in its wire form; id NULL: none.  `data` has no line break. */
void sse_event(struct buf *out, const char *event, const char *id, const char *data);

/* For tests without a connection: takes what was sent so far, as text in `a`. */
const char *stream_take(struct stream *st, struct arena *a);

#endif
