/*
 * The hub of live news on this node: who listens to what.
 *
 * News are published after the COMMIT that made them, by hooks of that unit of work: live_publish_later() and live_mark() set
 * those hooks.  live_publish() is where news enter; what another node tells this one (store/bus.h) comes in there as well.
 * Publishing never blocks on a listener.
 *
 * A listener of an account gets its notifications as they are.  A listener of an event (a screen) gets frames and counts, made
 * by who calls live_events() in turn: marks only say that the count has changed, so a full hall costs a few counts a second.
 */
#ifndef MUSTER_NOTIFY_LIVE_H
#define MUSTER_NOTIFY_LIVE_H

#include "core/ctx.h"
#include "http/stream.h"

enum live_kind { LIVE_UNSET = 0, LIVE_ACCOUNT, LIVE_EVENT };

/* Who listens, and on whose word: a session, or a token of its own. */
struct live_seat {
	enum live_kind kind;
	struct uuid topic;      /* account or event */
	struct uuid user_id;
	struct uuid session_id; /* empty: by token_id */
	struct uuid token_id;
	enum role role;         /* what the session's account was */
};

struct live *live_open(void);
void live_close(struct live *l); /* when no listener is left */

/*
 * From now on the stream gets what is published; it leaves by itself when it is over.  False, and nothing done, when there are
 * `max` already of the same topic and token (0: any number).
 */
bool live_join(struct live *l, struct stream *st, const struct live_seat *seat, int max) MUST_CHECK;
bool live_any(struct live *l);
/* How many listen to it; by a token of their own only, when asked. */
int live_count(struct live *l, enum live_kind kind, const char *topic, bool by_token);

/* News: to the listeners of an account these bytes; for an event, that its count has changed (`bytes` are not looked at). */
void live_publish(struct live *l, enum live_kind kind, const char *topic, struct span bytes);
/* The same after the COMMIT of this unit of work, and not at all when it is undone.  Nothing where no hub is. */
void live_publish_later(struct ctx *cx, enum live_kind kind, const char *topic, struct span bytes);
/* A mark was made or changed, or a code withdrawn: cheap when nobody looks. */
void live_mark(struct ctx *cx, const char *event_id);

/* --- for the node's ticker ---- */

/* Waits for live_poke() (somebody joined, or may have to leave), at most max_ms; true when it came. */
bool live_wait(struct live *l, int max_ms);
void live_poke(struct live *l);

struct live_event { /* one that has listeners */
	struct uuid id, user_id; /* on one listener's word */
	bool changed;            /* marks came since the last call */
	bool joined;             /* somebody waits for the first frame */
};
size_t live_events(struct live *l, struct arena *a, struct live_event **ret);
/* To those who have had a frame; live_greet() to those who wait for the first. */
void live_send(struct live *l, const char *event_id, struct span bytes);
void live_greet(struct live *l, const char *event_id, struct span bytes);
void live_end(struct live *l, const char *event_id, struct span last_words);

/* Every seat with its stream, held; the caller releases them. */
struct live_listener {
	struct live_seat seat;
	struct stream *stream;
};
size_t live_listeners(struct live *l, struct arena *a, struct live_listener **ret);

#endif
