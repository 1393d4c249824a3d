/* Private to store/: backups of PostgreSQL by pg_dump and pg_restore; backup.h says what each function does. */
#ifndef MUSTER_STORE_BACKUP_POSTGRES_H
#define MUSTER_STORE_BACKUP_POSTGRES_H

#include "core/ctx.h"

bool dump_is_one(const char *path); /* does the file begin as pg_dump's custom format does? */
enum err dump_write(struct arena *a, const char *url, const char *draft, const atomic_bool *stop, const char **ret_message) MUST_CHECK;
enum err dump_check(struct arena *a, const char *path, const atomic_bool *stop, const char **ret_message) MUST_CHECK;
enum err dump_restore(struct arena *a, const char *url, const char *path, const char **ret_kept, const char **ret_message) MUST_CHECK;

#endif
