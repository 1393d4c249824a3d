/*
 * What every node does for itself, whoever leads the jobs: the screens' frames and counts, four times a second, and once a second
 * the end of streams whose session or token has ended, and the limits as they are set; now and then what watch.h counts.
 */
#ifndef MUSTER_JOBS_TICKER_H
#define MUSTER_JOBS_TICKER_H

#include "core/ctx.h"

struct ticker;
struct limits;
struct ticker *ticker_open(const struct server *srv, struct limits *limits);
void ticker_close(struct ticker *t); /* NULL is nothing */

/* Ends the streams of sessions, accounts and tokens that no longer stand; for the ticker and for tests. */
void ticker_check(struct ctx *cx);

#endif
