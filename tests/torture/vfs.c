/*
 * A layer over SQLite's own "unix" files in which reading, writing, truncating and syncing can fail, so that the library meets what
 * a dying disk or a full one gives it, and undoes what it had begun by itself.  Shared memory and locks are passed through.
 */
#include <sqlite3.h>
#include <string.h>

#include "torture/fault.h"

struct file {
	sqlite3_file base;
	sqlite3_file *real; /* lies behind */
};
static sqlite3_vfs *unix_vfs, vfs;

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return ((struct file *)(void *)f)->real;
}

static int
file_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int
file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return FAULT("vfs.read") ? SQLITE_IOERR_READ : real_of(f)->pMethods->xRead(real_of(f), to, n, at);
}

/* Half of it arrives: a torn page. */
static int
file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	if (!FAULT("vfs.write"))
		return real_of(f)->pMethods->xWrite(real_of(f), from, n, at);
	(void)real_of(f)->pMethods->xWrite(real_of(f), from, n / 2, at);
	return SQLITE_FULL;
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return FAULT("vfs.truncate") ? SQLITE_IOERR_TRUNCATE : real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int
file_sync(sqlite3_file *f, int flags)
{
	return FAULT("vfs.sync") ? SQLITE_IOERR_FSYNC : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}

static int
file_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int
file_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int
file_is_reserved(sqlite3_file *f, int *ret)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}

static int
file_control(sqlite3_file *f, int what, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), what, arg);
}

static int
file_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int
file_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int
shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int
shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);
}

static void
shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int
shm_unmap(sqlite3_file *f, int remove)
{
	return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no memory mapping */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_is_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
	.xShmMap = shm_map,
	.xShmLock = shm_lock,
	.xShmBarrier = shm_barrier,
	.xShmUnmap = shm_unmap,
};

static int
vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct file *file = (struct file *)(void *)f;

	(void)v;
	file->base.pMethods = NULL;
	file->real = (sqlite3_file *)(void *)(file + 1);
	if (FAULT("vfs.open"))
		return SQLITE_CANTOPEN;
	int rc = unix_vfs->xOpen(unix_vfs, name, file->real, flags, ret_flags);
	if (file->real->pMethods)
		file->base.pMethods = &methods;
	return rc;
}

void
torture_vfs(void)
{
	unix_vfs = sqlite3_vfs_find("unix");
	vfs = *unix_vfs; /* the other methods never look at which it is */
	vfs.pNext = NULL;
	vfs.zName = "torture";
	vfs.szOsFile = (int)sizeof(struct file) + unix_vfs->szOsFile;
	vfs.xOpen = vfs_open;
	(void)sqlite3_vfs_register(&vfs, 1);
}
