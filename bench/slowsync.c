/* Preloaded library: adds SLOWSYNC_US to every fsync and fdatasync, to imitate a slower disk.  For SQLite's
 * process, and for PostgreSQL's, whose wal_sync_method is fdatasync on Linux. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void
delay(void)
{
	const char *us = getenv("SLOWSYNC_US");

	usleep(us ? (useconds_t)strtoul(us, NULL, 10) : 5000);
}

int
fsync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");

	delay();
	return real(fd);
}

int
fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	delay();
	return real(fd);
}
