/*
 * Landlock: what the process may open, write and run, as rights beneath folders.  It binds the calling thread and those that come after,
 * so it is closed while there is only one.  Rules hold files, not names: what may be replaced under way is granted by its folder.
 *
 * Constants stand here because a kernel's headers know only what they were built with; a right that the running kernel does not know is
 * left out of what is asked of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/sandbox.h"
#include "net/face.h"
#include "store/paths.h"

enum fs_right {
	EXECUTE = 1 << 0,
	WRITE_FILE = 1 << 1,
	READ_FILE = 1 << 2,
	READ_DIR = 1 << 3,
	REMOVE_DIR = 1 << 4,
	REMOVE_FILE = 1 << 5,
	MAKE_DIR = 1 << 7,
	MAKE_REG = 1 << 8,
	REFER = 1 << 13,
	TRUNCATE = 1 << 14,
};
enum { FS_FIRST = (1 << 13) - 1, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL = 1 << 15 };
enum { SCOPE_SIGNAL = 1 << 1 };
enum { WITH_REFER = 2, WITH_TRUNCATE = 3, WITH_IOCTL = 5, WITH_SCOPE = 6 };
enum { RULE_PATH = 1, ASK_VERSION = 1 };

enum {
	LOOK = READ_FILE | READ_DIR,
	RUN = EXECUTE | READ_FILE,
	KEEP = LOOK | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE,
	OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE,
};

struct ruleset_asked {
	uint64_t fs, net, scoped; /* net: the filter of calls lets nobody listen */
};
struct path_rule {
	uint64_t rights;
	int32_t parent;
} __attribute__((packed));

struct rules {
	int fd;
	uint64_t known; /* rights over files that this kernel has */
	bool broken;
	struct arena *arena;
};

static void
close_file(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

int
landlock_version(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);

	return v > 0 ? (int)v : 0;
}

/* What is not there needs no right, and false says so. */
static bool
grant(struct rules *r, const char *path, uint64_t rights)
{
	int fd CLEANUP(close_file) = path && path[0] ? open(path, O_PATH | O_CLOEXEC) : -1;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	if (!S_ISDIR(st.st_mode))
		rights &= OF_FILES;
	const struct path_rule rule = {.rights = rights & r->known, .parent = fd};
	if (syscall(SYS_landlock_add_rule, r->fd, RULE_PATH, &rule, 0) != 0)
		r->broken = true;
	return true;
}

static void
grant_list(struct rules *r, const char *const *paths, uint64_t rights)
{
	for (; *paths; paths++)
		(void)grant(r, *paths, rights);
}

/*
 * /etc as a folder, for resolv.conf is replaced under way; what is secret in it is kept from the server by its owner.  Only root is kept
 * from nothing, and gets what libraries ask for, one by one.
 */
static void
grant_settings(struct rules *r)
{
	static const char *const for_root[] = {"/etc/alternatives", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/gai.conf",
		"/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/krb5.conf", "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf",
		"/etc/passwd", "/etc/pki/tls/certs", "/etc/protocols", "/etc/resolv.conf", "/etc/services", "/etc/ssl/certs",
		"/etc/ssl/openssl.cnf", "/etc/timezone", NULL};
	static const char *const folder[] = {"/etc", NULL};

	grant_list(r, geteuid() == 0 ? for_root : folder, LOOK);
}

static void
grant_system(struct rules *r)
{
	static const char *const looked_at[] = {"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec",
		"/usr/local/lib", "/usr/share", "/usr/local/share", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
		"/sys/devices/system/cpu", "/proc/sys/vm/overcommit_memory", "/dev/urandom", "/dev/random", NULL};
	static const char *const temporary[] = {"/tmp", "/var/tmp", NULL};

	grant_list(r, looked_at, LOOK);
	grant_settings(r);
	(void)grant(r, getenv("SSL_CERT_FILE"), READ_FILE);
	(void)grant(r, getenv("SSL_CERT_DIR"), LOOK);
	(void)grant(r, "/dev/null", READ_FILE | WRITE_FILE);
	grant_list(r, temporary, KEEP);
	(void)grant(r, getenv("TMPDIR"), KEEP);
	(void)grant(r, getenv("SQLITE_TMPDIR"), KEEP);
}

/* The kernel runs a program by way of its loader, which is the same as ours. */
static int
loader_of(struct dl_phdr_info *info, size_t size, void *ret)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*(const char **)ret = (const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return 1; /* the first is the program itself */
}

/* A package's folder is granted whole: an upgrade under way replaces the files in it. */
static bool
grant_program(struct rules *r, const char *path)
{
	static const char packages[] = "/usr/lib/postgresql";

	return grant(r, str_starts(path, packages) ? packages : path, RUN | LOOK);
}

static bool
grant_programs(struct rules *r, const struct config *conf, const struct db_paths *db)
{
	char program[FACE_PATH_BYTES];
	const char *loader = NULL;

	faces_program(conf, program); /* decodes pictures without models too */
	bool any = grant_program(r, program);
	(void)grant(r, conf->face_models_dir, LOOK);
	for (const char *const *tool = db->tools; *tool; tool++)
		any = grant_program(r, *tool) || any;
	(void)dl_iterate_phdr(loader_of, &loader);
	if (any)
		(void)grant(r, loader, RUN);
	return any;
}

static bool
grant_all(struct rules *r, const struct config *conf)
{
	struct db_paths db;

	db_paths(r->arena, conf->database_url, &db);
	grant_system(r);
	(void)grant(r, conf->data_dir, KEEP);
	(void)grant(r, conf->backup_dir, KEEP);
	(void)grant(r, db.folder, KEEP);
	grant_list(r, db.files, LOOK);
	(void)grant(r, conf->tls_cert_file, READ_FILE);
	(void)grant(r, conf->tls_key_file, READ_FILE);
	return grant_programs(r, conf, &db);
}

int
landlock_close(const struct config *conf, bool *ret_runs)
{
	int version = landlock_version();
	struct ruleset_asked asked = {.fs = FS_FIRST};
	struct arena a;

	*ret_runs = true; /* what nobody can tell apart must be allowed */
	if (!version)
		return 0;
	asked.fs |= version >= WITH_REFER ? FS_REFER : 0;
	asked.fs |= version >= WITH_TRUNCATE ? FS_TRUNCATE : 0;
	asked.fs |= version >= WITH_IOCTL ? FS_IOCTL : 0;
	asked.scoped = version >= WITH_SCOPE ? SCOPE_SIGNAL : 0;
	/* An older kernel takes a longer struct whose end is zero. */
	int fd CLEANUP(close_file) = (int)syscall(SYS_landlock_create_ruleset, &asked, sizeof(asked), 0);
	if (fd < 0)
		return 0;
	arena_init(&a);
	struct rules r = {.fd = fd, .known = asked.fs, .arena = &a};
	*ret_runs = grant_all(&r, conf);
	arena_release(&a);
	if (r.broken || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		return 0;
	return version;
}
