/*
 * Jobs in the server: one row each, run by one thread; with several nodes by one leader.  Each job is a function over ctx that
 * works in turns of at most BULK_TURN_ROWS rows, through db_write_bulk().
 */
#ifndef MUSTER_JOBS_JOBS_H
#define MUSTER_JOBS_JOBS_H

#include "core/ctx.h"

struct job {
	const char *name;
	int64_t period_s;
	/* One turn inside the transaction; *ret_rows = rows it did; called again at once while it did BULK_TURN_ROWS. */
	enum err (*run)(struct ctx *cx, int64_t *ret_rows);
};
extern const struct job job_rows[];
extern const size_t job_row_count;

struct scheduler;
struct scheduler *scheduler_open(const struct server *srv);
void scheduler_close(struct scheduler *s);
/* Runs one job by name now, whatever its period; for tests and commands. */
enum err job_run(struct ctx *cx, const char *name, int64_t *ret_rows) MUST_CHECK;

#endif
