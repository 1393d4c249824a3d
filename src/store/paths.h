/* What an engine opens on this machine, for a process that gives up the rest of the file system. */
#ifndef MUSTER_STORE_PATHS_H
#define MUSTER_STORE_PATHS_H

#include "core/arena.h"

enum { DB_FILES_MAX = 12, DB_TOOLS_MAX = 2 };
struct db_paths {
	const char *file, *folder;               /* SQLite: the file, and where it and its logs are; else NULL */
	const char *files[DB_FILES_MAX + 1];     /* PostgreSQL: what its library may read (certificates, passwords), NULL at the end */
	const char *tools[DB_TOOLS_MAX + 1];     /* PostgreSQL: the programs of backups that are there, NULL at the end */
};
void db_paths(struct arena *a, const char *url, struct db_paths *ret);

#endif
