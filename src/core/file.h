/* Files that must outlast a loss of power, and folders that must be there. */
#ifndef MUSTER_CORE_FILE_H
#define MUSTER_CORE_FILE_H

#include <stdbool.h>

/* What a file holds, or which names a folder has, is on the disk.  False with errno. */
bool file_sync(const char *path);
/* `path` and those above it, 0700 each, where they are not there yet; their names are on the disk.  False with errno. */
bool file_make_folder(const char *path);

#endif
