/*
 * Jobs in the server: one row each; of several nodes one leads and does them, and when it dies another takes over.  Most are a
 * function over ctx that works in short turns through db_write_bulk(), BULK_TURN_ROWS rows that are written one by one, or some thousands that
 * are read or written by one statement, and share one thread.  Those that wait for something outside (mail, files, other programs) are
 * called without a transaction, and have threads of their own so that the others need not wait.
 */
#ifndef MUSTER_JOBS_JOBS_H
#define MUSTER_JOBS_JOBS_H

#include "jobs/leader.h"

/* The jobs of a thread wait for each other. */
enum job_thread {
	JOBS_DATABASE = 0, /* short turns, each in a transaction */
	JOBS_OUTSIDE,	   /* whatever one waits for has a time-out of seconds */
	JOBS_LONG,	   /* may take an hour, and looks at ctx_stops() where it can leave off */
	JOBS__THREADS
};

struct job {
	const char *name;
	int64_t period_s;
	/* One turn inside the transaction; *ret_rows = rows it did; called again at once while it did BULK_TURN_ROWS. */
	enum err (*run)(struct ctx *cx, int64_t *ret_rows);
	enum job_thread thread; /* but for JOBS_DATABASE: no transaction: run() uses db_read() and db_write() itself, once a period */
};
extern const struct job job_rows[];
extern const size_t job_row_count;

struct scheduler;
struct scheduler *scheduler_open(const struct server *srv);
void scheduler_close(struct scheduler *s);
/* Runs one job by name now, whatever its period; for tests and commands. */
enum err job_run(struct ctx *cx, const char *name, int64_t *ret_rows) MUST_CHECK;
/* All its turns, or until ctx_stops(); what fails then is only logged.  Once another claim than `lead`'s stands nothing more is done or noted. */
enum err job_lead(
	struct ctx *cx, const struct job *job, const struct lead *lead, int64_t *ret_rows) MUST_CHECK;

#endif
