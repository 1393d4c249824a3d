/* Private to jobs/: jobs that are nobody else's. */
#ifndef MUSTER_JOBS_ROWS_H
#define MUSTER_JOBS_ROWS_H

#include "jobs/jobs.h"

enum err notify_marks(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
enum err idempotency_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
