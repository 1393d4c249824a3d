/* Private to jobs/: jobs that are nobody else's. */
#ifndef MUSTER_JOBS_ROWS_H
#define MUSTER_JOBS_ROWS_H

#include "jobs/jobs.h"

enum err notify_marks(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
enum err idempotency_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* What an older MFA_ENCRYPTION_KEY sealed is sealed again with the current one, so that the older can go. */
enum err reseal(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* Outside: the mails that are due, at most 100 a run; and whether the mail server answers at all. */
enum err outbox_send(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
enum err mail_probe(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* Outside: whether uploads can be stored. */
enum err storage_probe(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* Outside: the backup of BACKUP_AT, when its time has come. */
enum err backup_daily(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
