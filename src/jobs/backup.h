/* Backups into BACKUP_DIR: by the daily job, and by hand. */
#ifndef MUSTER_JOBS_BACKUP_H
#define MUSTER_JOBS_BACKUP_H

#include "core/ctx.h"

/* Makes one, named by the time, audits it, and drops the oldest over BACKUP_KEEP.  No transaction may be open. */
enum err backup_now(struct ctx *cx, const char **ret_path) MUST_CHECK;
/* The newest in the folder; NULL when there is none. */
const char *backup_newest(struct ctx *cx);

#endif
