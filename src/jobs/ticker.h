/*
 * What every node does for itself, whoever leads the jobs: the screens' frames and counts, four times a second, and once a second
 * the end of streams whose session or token has ended.
 */
#ifndef MUSTER_JOBS_TICKER_H
#define MUSTER_JOBS_TICKER_H

#include "core/ctx.h"

struct ticker;
struct ticker *ticker_open(const struct server *srv);
void ticker_close(struct ticker *t); /* NULL is nothing */

/* Ends the streams of sessions, accounts and tokens that no longer stand; for the ticker and for tests. */
void ticker_check(struct ctx *cx);

#endif
