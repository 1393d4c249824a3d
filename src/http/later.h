/*
 * Tasks that run a fixed while after they were given, in the order in which they were given.
 */
#ifndef MUSTER_HTTP_LATER_H
#define MUSTER_HTTP_LATER_H

#include "core/ctx.h"
#include "core/metrics.h"

struct later;
struct later_task { /* the caller's, until it runs */
	void (*run)(void *arg);
	void *arg;
	struct later_task *next;
	int64_t due_us;
};
struct later_options {
	const char *name; /* thread name, at most 15 characters */
	int delay_ms;
	int max; /* that wait at once */
	struct metrics *metrics; /* NULL: none */
	enum metric gauge;       /* how many wait */
};
struct later *later_open(const struct later_options *o);
void later_close(struct later *l); /* runs what waits without delay */
bool later_add(struct later *l, struct later_task *task) MUST_CHECK; /* false: full */

#endif
