/*
 * The one limiter.  A key's window opens with its first hit and holds `max` hits for `window_s` seconds.  Bounded memory: when the
 * table is full, new keys share one bucket per limit.  Time is monotonic.
 */
#ifndef MUSTER_HTTP_LIMIT_H
#define MUSTER_HTTP_LIMIT_H

#include "core/ctx.h"

struct limit {
	const char *name;   /* static: part of the key and label of the metric */
	int64_t max;        /* hits per window; > 0 */
	int64_t window_s;
};

struct limiter *limiter_open(const struct source *source, size_t max_keys);
void limiter_close(struct limiter *l);

/* Takes one hit.  False when the window is full: *ret_retry_s says when it opens again (≥ 1). */
bool limiter_take(struct limiter *l, const struct limit *limit, const char *key, int *ret_retry_s);
/* Gives `n` hits back (a success where only failures count). */
void limiter_give_back(struct limiter *l, const struct limit *limit, const char *key, int64_t n);
int64_t limiter_count(struct limiter *l, const struct limit *limit, const char *key);

#endif
