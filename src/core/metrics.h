/*
 * Counters, gauges and histograms for /metrics.  Fixed families are declared in metrics.c; a sample costs one relaxed atomic add.
 */
#ifndef MUSTER_CORE_METRICS_H
#define MUSTER_CORE_METRICS_H

#include "core/str.h"

enum metric { /* one row each in metrics.c: name, kind, label, help */
	M_MARKS,              /* counter {verdict}: attendance marks */
	M_LOGINS,             /* counter {result} */
	M_WRITE_QUEUE,        /* gauge */
	M_READ_QUEUE,         /* gauge */
	M_HASH_QUEUE,         /* gauge */
	M_FILES_QUEUE,        /* gauge */
	M_WORK_QUEUE,         /* gauge */
	M_REFUSALS_HELD,      /* gauge: refusals for want of room, before their answer */
	M_POOL_BUSY,          /* gauge {pool}: threads at work */
	M_FACE_WAITING,       /* gauge: pictures waiting for a helper */
	M_FACE_BUSY,          /* gauge: helpers at work */
	M_FACE_STARTS,        /* counter: helpers started */
	M_FACE_PICTURES,      /* counter {result}: answered, late, failed, no_helper */
	M_BATCH_SIZE,         /* histogram: jobs per transaction */
	M_COMMIT_SECONDS,     /* histogram */
	M_WAL_BYTES,          /* gauge */
	M_CONNECTIONS,        /* gauge: open HTTP connections */
	M_BODY_BYTES,         /* gauge: request bodies in flight */
	M_HEAP_BYTES,         /* gauge: memory in use, without what the allocator keeps for later */
	M_JOB_RUNS,           /* counter {job} */
	M_JOB_FAILURES,       /* counter {job} */
	M_SSE_CLIENTS,        /* gauge */
	M_OUTBOX,             /* gauge: mails waiting */
	M_QR_VERIFY_SECONDS,  /* histogram: checks of one code */
	M_LOGIN_SECONDS,      /* histogram */
	M_RATE_LIMITED,       /* counter {limit} */
	M_APPROVAL_TIMEOUTS,  /* counter */
	M_DEADLOCKS,          /* counter */
	M_ERROR_REPORTS,      /* counter {result}: sent, dropped, failed */
	M_REDIS_UP,           /* gauge: 1 or 0 */
	M_REDIS_CALLS,        /* counter {result}: ok, failed, skipped */
	M_LOGIN_FAILURES_WORST, /* gauge */
	M_FIRST_SCANS,        /* gauge */
	M_FIRST_SCANS_MARKED, /* gauge */
	M_PASSWORD_HASH,      /* gauge {scheme}: 1 for the configured one */
	M__MAX
};

struct metrics *metrics_open(size_t routes); /* routes: how many rows the request families have */
void metrics_close(struct metrics *m);
/* `label` is one of a small fixed set of static strings, or NULL; at most 64 per family, further ones share "other". */
void metrics_add(struct metrics *m, enum metric id, const char *label, int64_t n); /* counters and gauges */
void metrics_set(struct metrics *m, enum metric id, int64_t v);                    /* gauges */
void metrics_observe(struct metrics *m, enum metric id, double v);                 /* histograms */
void metrics_request(struct metrics *m, size_t route, int status, int64_t latency_us);
/* Prometheus text format.  route_label(i) gives `method="GET",route="/x"` of row i. */
void metrics_print(const struct metrics *m, struct buf *out, const char *(*route_label)(size_t i));

#endif
