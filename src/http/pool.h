/*
 * A bounded pool of threads: the read lane, the hash lane and the lanes for slow outside work are each one of these.
 */
#ifndef MUSTER_HTTP_POOL_H
#define MUSTER_HTTP_POOL_H

#include "core/ctx.h"
#include "core/metrics.h"

struct pool;
struct pool_task {
	void (*run)(void *thread_state, void *arg);
	void *arg;
	struct pool_task *next;
};
struct pool_options {
	const char *name;    /* thread name, at most 15 characters */
	int threads;
	int nice;            /* 0, or 10 for the hash lane */
	int max_queued;      /* pool_submit() refuses beyond */
	struct metrics *metrics; /* NULL: none; M_POOL_BUSY is told under `name`, which must be static */
	enum metric gauge;   /* queue length */
	void *(*thread_open)(void *arg);          /* makes each thread's state (a read connection); may be NULL */
	void (*thread_close)(void *thread_state); /* may be NULL */
	void *arg;
};
struct pool *pool_open(const struct pool_options *o);
void pool_close(struct pool *p); /* runs what is queued, then joins */
bool pool_submit(struct pool *p, struct pool_task *task) MUST_CHECK; /* false: full */
int pool_queued(const struct pool *p);

#endif
