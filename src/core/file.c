/* See file.h. */
#include "core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/fault.h"

bool
file_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool done = fd >= 0 && !FAULT("file.fsync") && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return done;
}
