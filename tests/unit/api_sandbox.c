/* What the server may no longer do once it serves, and what it still can: each attempt in a process of its own that is closed in first. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/sandbox.h"
#include "core/conf.h"
#include "core/log.h"
#include "face_env.h"
#include "net/face.h"

enum { DONE = 0, KILLED = 1000, NOT_CLOSED = 250, NO_CONF = 251 };

static char folder[] = "/tmp/muster-sandbox-XXXXXX";
static char path_of_file[256];

static const char *
in_folder(const char *name)
{
	(void)snprintf(path_of_file, sizeof(path_of_file), "%s/%s", folder, name);
	return path_of_file;
}

static int
result(long r)
{
	return r < 0 ? errno : DONE;
}

/* --- attempts ---------------------------------------------------------------------------------------------------------------- */

static int
trace(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static void *
trace_in_thread(void *arg)
{
	*(int *)arg = trace();
	return NULL;
}

/* The threads that were there before. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_t older;
static int older_result;

static void *
wait_and_trace(void *arg)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return trace_in_thread(arg);
}

static int
trace_older(void)
{
	pthread_mutex_unlock(&gate);
	pthread_join(older, NULL);
	return older_result;
}

static int
trace_newer(void)
{
	pthread_t t;
	int got = -1;

	if (pthread_create(&t, NULL, trace_in_thread, &got) != 0)
		return EAGAIN;
	pthread_join(t, NULL);
	return got;
}

static int
mount_something(void)
{
	return result(mount("none", folder, "tmpfs", 0, NULL));
}

static int
make_namespace(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int
clone_namespace(void)
{
	return result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
}

static int
become_root(void)
{
	return result(setuid(0));
}

static int
run_shell(void)
{
	char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "exit 0", NULL}, *const env[] = {NULL};

	return result(execve("/bin/sh", argv, env));
}

static int
make_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int
read_at(const char *path)
{
	return result(open(path, O_RDONLY | O_CLOEXEC));
}

static int
read_shadow(void)
{
	return read_at("/etc/shadow");
}

static int
read_shell(void)
{
	return read_at("/bin/sh");
}

static int
read_environment(void)
{
	return read_at("/proc/1/environ");
}

static int
read_hosts(void)
{
	return read_at("/etc/hosts");
}

static int
write_settings(void)
{
	return result(open("/etc/muster-was-here", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int
write_library(void)
{
	return result(open("/usr/lib/muster-was-here", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int
write_device(void)
{
	return result(mknod(in_folder("device"), S_IFCHR | 0600, 0));
}

static int
link_name(void)
{
	return result(symlink("/etc/shadow", in_folder("link")));
}

static int
map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : DONE;
}

static int
make_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? EIO : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
listen_again(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? EIO : result(bind(fd, (struct sockaddr *)&at, sizeof(at)));
}

static int
raw_packets(void)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int
signal_parent(void)
{
	return result(kill(getppid(), 0));
}

static int
keep_a_file(void)
{
	int fd = open(in_folder("muster.db"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) != 0 || ftruncate(fd, 0) != 0 || close(fd) != 0)
		return errno;
	int r = result(rename(path_of_file, "/tmp/muster-sandbox-renamed"));
	return r ? r : result(unlink("/tmp/muster-sandbox-renamed"));
}

/* As net/storage.c keeps an upload. */
static int
keep_an_upload(void)
{
	int fd = open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	char name[64];

	if (fd < 0)
		return errno;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return result(linkat(AT_FDCWD, name, AT_FDCWD, in_folder("upload"), AT_SYMLINK_FOLLOW));
}

/* As attendance/sheet_xlsx.c writes a workbook. */
static int
write_a_workbook(void)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", memfd_create("sheet", MFD_CLOEXEC));
	FILE *f = fopen(name, "wb"), *other = tmpfile();
	return f && other && fputc('x', f) == 'x' && fclose(f) == 0 && fclose(other) == 0 ? DONE : EIO;
}

static int
resolve(void)
{
	struct addrinfo *list = NULL;
	int r = getaddrinfo("localhost", "80", NULL, &list);

	if (list)
		freeaddrinfo(list);
	return r ? EIO : DONE;
}

/* It ends by itself where it is given no socket. */
static int
run_faces(void)
{
	char *argv[] = {NULL, NULL}, *const env[] = {NULL};
	char path[FACE_PATH_BYTES];
	struct arena a;
	pid_t pid;

	arena_init(&a);
	(void)str_copy(path, sizeof(path), face_program(&a));
	argv[0] = path;
	int r = posix_spawn(&pid, path, NULL, NULL, argv, env), status = 0;
	return r ? r : waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? DONE : ECHILD;
}

/* --- the table --------------------------------------------------------------------------------------------------------------- */

struct attempt {
	const char *name;
	int (*make)(void);
	int expected;
	int landlock; /* the version that it takes */
	bool runs;    /* in a server that has programs to run */
};
static const struct attempt attempts[] = {
	{"ptrace", trace, KILLED, 0, false},
	{"ptrace in an older thread", trace_older, KILLED, 0, false},
	{"ptrace in a newer thread", trace_newer, KILLED, 0, false},
	{"mount", mount_something, KILLED, 0, false},
	{"unshare", make_namespace, KILLED, 0, true},
	{"clone a namespace", clone_namespace, ENOSYS, 0, true},
	{"setuid", become_root, KILLED, 0, true},
	{"a device", write_device, KILLED, 0, false},
	{"a shell, where nothing is run", run_shell, KILLED, 1, false},
	{"a process, where nothing is run", make_process, ENOSYS, 1, false},
	{"a shell", run_shell, EACCES, 1, true},
	{"/etc/shadow", read_shadow, EACCES, 1, false},
	{"/bin/sh, to load it oneself", read_shell, EACCES, 1, true},
	{"another's environment", read_environment, EACCES, 1, false},
	{"a file in /etc", write_settings, EACCES, 1, false},
	{"a file in /usr/lib", write_library, EACCES, 1, false},
	{"a symbolic link", link_name, ENOSYS, 0, false},
	{"memory to write and execute", map_code, ENOSYS, 0, false},
	{"written memory made executable", make_code, ENOSYS, 0, true},
	{"a new listener", listen_again, ENOSYS, 0, false},
	{"a packet socket", raw_packets, ENOSYS, 0, false},
	{"a signal to the parent", signal_parent, EPERM, 6, false},
	{"the database's file", keep_a_file, DONE, 0, false},
	{"an upload", keep_an_upload, DONE, 0, false},
	{"a workbook", write_a_workbook, DONE, 0, false},
	{"/etc/hosts", read_hosts, DONE, 0, false},
	{"a name", resolve, DONE, 0, false},
	{"muster-face", run_faces, DONE, 0, true},
};

static struct config *
configuration(bool runs)
{
	struct arena a;
	const char *message = "";

	arena_init(&a);
	const char *const env[] = {"ENV=dev", arena_printf(&a, "DATA_DIR=%s/var", folder), arena_printf(&a, "DATABASE_URL=sqlite:///%s/muster.db", folder),
		arena_printf(&a, "FACE_PROGRAM=%s", runs ? face_program(&a) : in_folder("none")), NULL};
	struct config *conf = conf_load(env, NULL, &message);
	if (!conf)
		print_error("%s\n", message);
	return conf;
}

static bool
close_in(bool runs, struct sandbox *s)
{
	struct config *conf = configuration(runs);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SANDBOX_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!conf)
		_exit(NO_CONF);
	if (!sandbox_close_files(s, conf))
		return false;
	pthread_mutex_lock(&gate);
	if (pthread_create(&older, NULL, wait_and_trace, &older_result) != 0 || !sandbox_close_calls(s, conf))
		return false;
	return s->calls;
}

/* What became of it: DONE, an errno, KILLED; -1: this kernel or build has no sandbox to test. */
static int
try(const struct attempt *t)
{
	pid_t pid = fork();
	int status = 0;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct sandbox s = {0};
		prctl(PR_SET_DUMPABLE, 0); /* no core files of those that are killed */
		_exit(close_in(t->runs, &s) ? t->make() : NOT_CLOSED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : KILLED + WTERMSIG(status);
	return WEXITSTATUS(status) == NOT_CLOSED ? -1 : WEXITSTATUS(status);
}

static void
each_attempt(void **state)
{
	int version = landlock_version(), bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *t = &attempts[i];
		int got = version < t->landlock ? -1 : try(t);
		if (got < 0)
			print_message("%s: not in this build, or not with this kernel\n", t->name);
		else if (got != t->expected)
			print_error("%s: %d instead of %d\n", t->name, got, t->expected);
		bad += got >= 0 && got != t->expected;
	}
	assert_int_equal(bad, 0);
}

/* One line a call, however often. */
static void
refusals_are_logged(void **state)
{
	char log[256], text[4096] = "";
	int status = 0;

	(void)state;
	(void)snprintf(log, sizeof(log), "%s", in_folder("log"));
	int fd = open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sandbox s = {0};
		sigset_t pending;
		if (!close_in(false, &s))
			_exit(NOT_CLOSED);
		log_open(LOG_INFO, fd);
		bool silent = sigpending(&pending) == 0 && !sigismember(&pending, SANDBOX_SIGNAL);
		(void)link_name();
		(void)link_name();
		bool told = sigpending(&pending) == 0 && sigismember(&pending, SANDBOX_SIGNAL);
		sandbox_refusals();
		sandbox_refusals();
		log_close();
		_exit(silent && told ? DONE : EIO);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NOT_CLOSED)
		skip();
	assert_int_equal(WEXITSTATUS(status), DONE);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	const char *line = strstr(text, "sandbox.refused");
	assert_non_null(line);
	assert_non_null(strstr(line, "\"call\":\"symlink\""));
	assert_null(strstr(line + 1, "sandbox.refused"));
	close(fd);
}

static int
make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

static int
remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_attempt),
		cmocka_unit_test(refusals_are_logged),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
