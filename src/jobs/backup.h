/* Backups into BACKUP_DIR: by the daily job, and by hand. */
#ifndef MUSTER_JOBS_BACKUP_H
#define MUSTER_JOBS_BACKUP_H

#include "core/ctx.h"

/* Makes one with that path, and audits it.  No transaction may be open. */
enum err backup_to(struct ctx *cx, const char *path) MUST_CHECK;
/* Makes one in the folder, named by the time, audits it, and drops the oldest over BACKUP_KEEP and what killed ones left.  Likewise. */
enum err backup_now(struct ctx *cx, const char **ret_path) MUST_CHECK;
/* Where the job puts them. */
const char *backup_folder(struct ctx *cx);
/* The newest there; NULL when there is none. */
const char *backup_newest(struct ctx *cx);

#endif
