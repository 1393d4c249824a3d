/* A turn of a job, now. */
#ifndef MUSTER_TESTS_RUN_JOB_H
#define MUSTER_TESTS_RUN_JOB_H

#include "jobs/jobs.h"
#include "support.h"

/* How many rows it did.  In the test's own object, where the torture finds it. */
static inline int64_t
run_job(struct test *t, const char *name)
{
	struct ctx cx;
	int64_t rows = -1;

	test_ctx(t, &cx);
	if (job_run(&cx, name, &rows) != OK)
		fail_msg("%s: %s", name, cx.error.internal ? cx.error.internal : "");
	return rows;
}

#endif
