/* See file.h. */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/str.h"

bool
file_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool done = fd >= 0 && !FAULT("file.fsync") && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return done;
}

bool
file_make_folder(const char *path)
{
	char part[4096];

	if (strlen(path) >= sizeof(part)) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (size_t n = 1; path[n - 1]; n++) {
		if (path[n] != '/' && path[n] != 0)
			continue;
		str_copy(part, n + 1, path);
		bool made = !FAULT("file.mkdir") && mkdir(part, 0700) == 0;
		if (made ? !file_sync(dirname(part)) : errno != EEXIST)
			return false;
	}
	return true;
}
