/*
 * The local kind: DATA_DIR/uploads/NAME.  A file appears under its name only when it is whole and on disk: it is written without a
 * name (O_TMPFILE), synced, linked, and its directory synced; where the file system cannot do that, under a name that no listing shows.
 */
#include "net/storage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/fault.h"
#include "core/file.h"
#include "net/s3.h"

enum { FREE_MIN_MB = 64 };

struct storage {
	const struct config *conf;
	const char *root; /* of the local kind */
	struct s3 s3;
};

struct storage *
storage_open(struct arena *a, const struct config *conf)
{
	struct storage *s = arena_new(a, struct storage, 1);

	s->conf = conf;
	s->root = arena_printf(a, "%s/uploads", conf->data_dir);
	if (conf->storage_backend == STORAGE_S3)
		s->s3 = s3_open(a, conf);
	return s;
}

static bool
is_remote(const struct storage *s)
{
	return s->conf->storage_backend == STORAGE_S3;
}

/* No object was ever put under another name, so one that a row names wrongly is not there. */
static bool
is_name(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= STORAGE_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789/.-") == n && name[0] != '/' &&
	       !strstr(name, "..") && !strstr(name, "//") && !strstr(name, "/.");
}

/* --- local ---- */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static enum stored
no(struct arena *a, const char *what, const char **ret_why)
{
	*ret_why = arena_printf(a, "%s: %s", what, strerror(errno));
	return STORED_FAILED;
}

/* The directory of `path`, made with its parents where it is missing. */
static int
open_directory(struct arena *a, const char *path)
{
	const char *dir = arena_strndup(a, path, (size_t)(strrchr(path, '/') - path));

	return !file_make_folder(dir) || FAULT("file.open") ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
write_whole(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = FAULT("file.write") ? -1 : write(fd, bytes.p, bytes.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
	return !FAULT("file.fsync") && fsync(fd) == 0;
}

static bool
put_named(struct arena *a, int dir, const char *base, struct span bytes)
{
	uint8_t chance[8];
	char hex[2 * sizeof(chance) + 1];

	crypto_random(chance, sizeof(chance));
	hex_encode((struct span){chance, sizeof(chance)}, hex);
	const char *temp = arena_printf(a, ".new-%s", hex);
	int fd CLEANUP(close_fd) = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	if (write_whole(fd, bytes) && !FAULT("file.rename") && renameat(dir, temp, dir, base) == 0)
		return true;
	(void)unlinkat(dir, temp, 0);
	return false;
}

static enum stored
put_once(const struct storage *s, struct arena *a, const char *name, struct span bytes, bool named, bool *ret_gone, const char **ret_why)
{
	const char *path = arena_printf(a, "%s/%s", s->root, name), *base = strrchr(path, '/') + 1;
	int dir CLEANUP(close_fd) = open_directory(a, path);
	int fd CLEANUP(close_fd) = dir >= 0 && !named ? openat(dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600) : -1;
	bool good;

	*ret_gone = dir < 0 && errno == ENOENT;
	if (dir < 0)
		return no(a, "the directory of uploads", ret_why);
	if (fd >= 0)
		good = write_whole(fd, bytes) && !FAULT("file.link") &&
		       linkat(AT_FDCWD, arena_printf(a, "/proc/self/fd/%d", fd), dir, base, AT_SYMLINK_FOLLOW) == 0;
	else
		good = put_named(a, dir, base, bytes);
	*ret_gone = !good && errno == ENOENT;
	if (!good || FAULT("file.fsync") || fsync(dir) != 0)
		return no(a, "an upload cannot be written", ret_why);
	return STORED;
}

/* local_delete() may take the day's directory away while nothing has a name in it yet: then once more, with a name from the beginning. */
static enum stored
local_put(const struct storage *s, struct arena *a, const char *name, struct span bytes, const char **ret_why)
{
	enum { TRIES = 8 };
	enum stored result = STORED_FAILED;
	bool gone = true;

	for (int i = 0; gone && i < TRIES; i++)
		result = put_once(s, a, name, bytes, i > 0, &gone, ret_why);
	return result;
}

static enum stored
local_get(const struct storage *s, struct arena *a, const char *name, struct span *ret, const char **ret_why)
{
	int fd CLEANUP(close_fd) = open(arena_printf(a, "%s/%s", s->root, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	size_t n = 0;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return STORED_ABSENT;
	if (fd < 0 || fstat(fd, &st) != 0)
		return no(a, "an upload cannot be read", ret_why);
	if (!S_ISREG(st.st_mode) || st.st_size > STORAGE_OBJECT_MAX) {
		*ret_why = "an upload is no file, or larger than any that was taken";
		return STORED_FAILED;
	}
	uint8_t *p = arena_new(a, uint8_t, (size_t)st.st_size);
	while (n < (size_t)st.st_size) {
		ssize_t got = FAULT("file.read") ? -1 : read(fd, p + n, (size_t)st.st_size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return no(a, "an upload cannot be read", ret_why);
		n += (size_t)got;
	}
	*ret = (struct span){p, n};
	return STORED;
}

static enum stored
local_delete(const struct storage *s, struct arena *a, const char *name, const char **ret_why)
{
	const char *path = arena_printf(a, "%s/%s", s->root, name);

	if ((FAULT("file.unlink") || unlink(path) != 0) && errno != ENOENT && errno != ENOTDIR)
		return no(a, "an upload cannot be deleted", ret_why);
	/* The day's directory goes with its last file. */
	(void)rmdir(arena_strndup(a, path, (size_t)(strrchr(path, '/') - path)));
	return STORED;
}

static int
visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

struct entries {
	struct dirent **items;
	int n;
};

static void
free_entries(struct entries *e)
{
	for (int i = 0; i < e->n; i++)
		free(e->items[i]);
	free(e->items);
}

static int
by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Not every file system says so in its directory. */
static bool
is_directory(struct arena *a, const struct storage *s, const char *path, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return lstat(arena_printf(a, "%s/%s", s->root, path), &st) == 0 && S_ISDIR(st.st_mode);
}

/* Depth first, in the order of the names: a directory's is a prefix of all below it. */
static void
list_below(const struct storage *s, struct arena *a, const char *name, const char *after, struct conf_list *ret)
{
	struct entries e CLEANUP(free_entries) = {NULL, 0};

	e.n = scandir(arena_printf(a, "%s/%s", s->root, name), &e.items, visible, by_bytes);
	if (e.n < 0)
		e.n = 0;
	for (int i = 0; i < e.n && ret->count < STORAGE_PAGE; i++) {
		const char *path = arena_printf(a, "%s%s", name, e.items[i]->d_name);
		if (is_directory(a, s, path, e.items[i])) {
			const char *below = arena_printf(a, "%s/", path);
			if (strncmp(below, after, strlen(below)) >= 0) /* else all of it was before */
				list_below(s, a, below, after, ret);
		} else if (strcmp(path, after) > 0) {
			ret->items[ret->count++] = path;
		}
	}
}

static enum stored
local_check(const struct storage *s, const char **ret_why)
{
	struct statvfs fs;

	if (access(s->conf->data_dir, W_OK | X_OK) != 0 || statvfs(s->conf->data_dir, &fs) != 0)
		*ret_why = "the data directory cannot be written";
	else if ((uint64_t)fs.f_bavail * fs.f_frsize < (uint64_t)FREE_MIN_MB << 20)
		*ret_why = "the data directory is nearly full";
	else
		return STORED;
	return STORED_FAILED;
}

/* --- either ---- */

enum stored
storage_put(const struct storage *s, struct arena *a, const char *name, const char *type, struct span bytes, const char **ret_why)
{
	if (!is_name(name))
		BUG("\"%s\" is no name of an object", name);
	if (bytes.n > STORAGE_OBJECT_MAX)
		BUG("an object of %zu bytes", bytes.n);
	return is_remote(s) ? s3_put(&s->s3, a, name, type, bytes, ret_why) : local_put(s, a, name, bytes, ret_why);
}

enum stored
storage_get(const struct storage *s, struct arena *a, const char *name, struct span *ret, const char **ret_why)
{
	if (!is_name(name))
		return STORED_ABSENT;
	return is_remote(s) ? s3_get(&s->s3, a, name, ret, ret_why) : local_get(s, a, name, ret, ret_why);
}

enum stored
storage_delete(const struct storage *s, struct arena *a, const char *name, const char **ret_why)
{
	if (!is_name(name))
		return STORED;
	return is_remote(s) ? s3_delete(&s->s3, a, name, ret_why) : local_delete(s, a, name, ret_why);
}

enum stored
storage_list(const struct storage *s, struct arena *a, const char *prefix, const char *after, struct conf_list *ret,
	const char **ret_why)
{
	if (is_remote(s))
		return s3_list(&s->s3, a, prefix, after, ret, ret_why);
	*ret = (struct conf_list){arena_new(a, const char *, STORAGE_PAGE), 0};
	list_below(s, a, prefix, after, ret);
	return STORED;
}

enum stored
storage_check(const struct storage *s, struct arena *a, const char **ret_why)
{
	struct conf_list names;

	if (!is_remote(s))
		return local_check(s, ret_why);
	return s3_list(&s->s3, a, "probe/", "", &names, ret_why);
}

const char *
storage_presign(const struct storage *s, struct arena *a, const char *name, int seconds)
{
	if (!is_name(name))
		BUG("\"%s\" is no name of an object", name);
	if (seconds < 1 || seconds > STORAGE_PRESIGN_MAX_S)
		BUG("a URL for %d seconds", seconds);
	return is_remote(s) ? s3_presign(&s->s3, a, name, seconds) : NULL;
}
