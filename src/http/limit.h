/*
 * The one limiter.  A key's window opens with its first hit and holds `max` hits for `window_s` seconds.  Bounded memory: when the
 * table is full, new keys share one bucket per limit.  Places that were never needed cost no memory.  Time is monotonic.
 *
 * Request rates are counted in this process: limiter_take() and its like, from any thread.  What nodes must count together goes
 * through limiter_hit() and its like: they ask the backend, where one is set, and the memory of this process otherwise.
 */
#ifndef MUSTER_HTTP_LIMIT_H
#define MUSTER_HTTP_LIMIT_H

#include "core/ctx.h"

struct limit {
	const char *name;   /* static: part of the key and label of the metric */
	int64_t max;        /* hits per window; > 0 */
	int64_t window_s;
	bool of_anybody;    /* keys that one who wants to has many of (networks): they fill a quarter of the table at most */
};

struct limiter *limiter_open(const struct source *source, size_t max_keys);
void limiter_close(struct limiter *l);

/* Takes one hit.  False when the window is full: *ret_retry_s says when it opens again (≥ 1). */
bool limiter_take(struct limiter *l, const struct limit *limit, const char *key, int *ret_retry_s);
/* Gives `n` hits back (a success where only failures count). */
void limiter_give_back(struct limiter *l, const struct limit *limit, const char *key, int64_t n);
int64_t limiter_count(struct limiter *l, const struct limit *limit, const char *key);


/* --- counted together ---- */

struct limit_hit {
	struct limit limit;
	const char *key;
	bool only_counts; /* refuses nothing: counted while there is room */
};
enum limit_verdict { LIMIT_TAKEN = 1, LIMIT_FULL, LIMIT_AWAY };
enum { LIMIT_HITS_MAX = 6 };

/*
 * Takes all of the hits or, when one of those that refuse finds its window full, none.  LIMIT_FULL: hits[*ret_which] was full, and
 * its window opens in *ret_retry_s.  LIMIT_AWAY: the backend is required and does not answer.  May wait for the backend: never on
 * a loop or inside a transaction.
 */
enum limit_verdict limiter_hit(struct limiter *l, const struct limit_hit *hits, size_t n, size_t *ret_which, int *ret_retry_s)
	MUST_CHECK;
/* Gives amounts[i] hits back, or one of each where `amounts` is NULL. */
void limiter_return(struct limiter *l, const struct limit_hit *hits, const int64_t *amounts, size_t n);
/* Takes all that a window holds out of it, and says how much that was. */
int64_t limiter_drain(struct limiter *l, const struct limit_hit *hit);

/*
 * Where the counters of several nodes are.  Each call says false when it cannot tell; a required backend's hits are refused then,
 * others are counted in this process until it is back.  What the backend took is counted here as well, so that a node that is
 * left alone knows its own.
 */
struct limit_backend {
	bool (*hit)(void *arg, const struct limit_hit *hits, size_t n, bool *ret_taken, size_t *ret_which, int *ret_retry_s);
	bool (*give)(void *arg, const struct limit_hit *hits, const int64_t *amounts, size_t n);
	bool (*drain)(void *arg, const struct limit_hit *hit, int64_t *ret_n);
	void *arg;
	bool required;
};
/* Before the first hit. */
void limiter_share(struct limiter *l, const struct limit_backend *backend);
/* limiter_hit() may wait. */
bool limiter_is_shared(const struct limiter *l);

#endif
