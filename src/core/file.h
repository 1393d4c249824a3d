/* Files that must outlast a loss of power. */
#ifndef MUSTER_CORE_FILE_H
#define MUSTER_CORE_FILE_H

#include <stdbool.h>

/* What a file holds, or which names a folder has, is on the disk.  False with errno. */
bool file_sync(const char *path);

#endif
