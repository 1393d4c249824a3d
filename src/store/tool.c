/*
 * One child at a time, waited for by the thread that started it.  Both its outputs are read as they come, so it never waits for us;
 * beyond what is kept they are thrown away.  It gets default signals, whatever the threads of a server have blocked.
 */
#include "store/tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fault.h"

enum { ENV_MAX = 128, PATH_MAX_BYTES = 4096, LOOK_MS = 200 };
extern char **environ;

/* Debian keeps one folder a version; `name` in the newest of them. */
static const char *
newest_of_debian(struct arena *a, const char *name)
{
	static const char root[] = "/usr/lib/postgresql";
	DIR *d = opendir(root);
	const char *found = NULL;
	int64_t version, newest = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		const char *full = arena_printf(a, "%s/%s/bin/%s", root, e->d_name, name);
		if (str_int(e->d_name, 1, INT32_MAX, &version) && version > newest && access(full, X_OK) == 0) {
			newest = version;
			found = full;
		}
	}
	if (d)
		(void)closedir(d);
	return found;
}

/* Debian's pg_dump in PATH is a script that looks for the real one; nobody who may run few programs needs its interpreter. */
static const char *
past_wrapper(struct arena *a, const char *name, const char *path)
{
	char *target = realpath(path, NULL);
	const char *real = target && str_ends(target, "/pg_wrapper") ? newest_of_debian(a, name) : NULL;

	free(target);
	return real ? real : path;
}

const char *
tool_find(struct arena *a, const char *name)
{
	const char *path = getenv("PATH");

	for (const char *p = path; p && *p;) {
		size_t n = strcspn(p, ":");
		const char *full = arena_printf(a, "%.*s/%s", (int)n, p, name);
		if (n > 0 && n < PATH_MAX_BYTES && access(full, X_OK) == 0)
			return past_wrapper(a, name, full);
		p += n + (p[n] == ':');
	}
	return NULL;
}

static bool
is_named(const char *const *env, size_t n, const char *entry)
{
	size_t name = strcspn(entry, "=") + 1;

	for (size_t i = 0; i < n; i++)
		if (strncmp(env[i], entry, name) == 0)
			return true;
	return false;
}

/* The secrets of this process's environment are none of the child's business. */
static const char **
make_environment(struct arena *a, const char *const *env)
{
	static const char *const passed[] = {"PATH=", "HOME=", "LANG=", "LC_", "TZ=", "TMPDIR=", "PG"};
	const char **all = arena_new(a, const char *, ENV_MAX + 1);
	size_t n = 0;

	for (; env && *env && n < ENV_MAX; env++)
		all[n++] = *env;
	for (char **e = environ; *e && n < ENV_MAX; e++)
		for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
			if (str_starts(*e, passed[i]) && !is_named(all, n, *e)) {
				all[n++] = *e;
				break;
			}
	return all;
}

struct child {
	pid_t pid;
	int out[2], err[2]; /* read end, write end; -1: closed, or not wanted */
};

static void
close_end(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void
close_child(struct child *c)
{
	close_end(&c->out[0]);
	close_end(&c->out[1]);
	close_end(&c->err[0]);
	close_end(&c->err[1]);
}

static int
start(struct child *c, const char *const *argv, const char *const *env, int out_fd)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setsigdefault(&attributes, &all);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&files, out_fd >= 0 ? out_fd : c->out[1], 1);
	(void)posix_spawn_file_actions_adddup2(&files, c->err[1], 2);
	int e = FAULT("tool.spawn") ? EAGAIN
				    : posix_spawn(&c->pid, argv[0], &files, &attributes, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attributes);
	return e;
}

/* Reads both ends until the child has closed them.  Whose end nobody wants to wait for is killed, and closes them. */
static void
listen_to(struct child *c, const atomic_bool *stop, struct buf *out, struct buf *err)
{
	struct pollfd fds[2] = {{.fd = c->out[0], .events = POLLIN}, {.fd = c->err[0], .events = POLLIN}};
	struct buf *const texts[2] = {out, err};
	char chunk[8192];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (stop && *stop)
			(void)kill(c->pid, SIGKILL);
		if (poll(fds, 2, stop ? LOOK_MS : -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
			if (n > 0 && texts[i]->n + (size_t)n <= TOOL_OUT_MAX)
				buf_add(texts[i], chunk, (size_t)n);
			else if (n == 0 || (n < 0 && errno != EINTR))
				fds[i].fd = -1;
		}
	}
}

static int
wait_for(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

bool
tool_run(struct arena *a, const struct tool *t, const char **ret_out, const char **ret_message)
{
	CLEANUP(close_child) struct child c = {.pid = -1, .out = {-1, -1}, .err = {-1, -1}};
	const char *argv[TOOL_ARGS_MAX + 2] = {tool_find(a, t->name)};
	struct buf out, err;

	if (!argv[0]) {
		*ret_message = arena_printf(a, "there is no %s in PATH: install PostgreSQL's client programs (Debian package postgresql-client)",
			t->name);
		return false;
	}
	for (int i = 0; t->args[i] && i < TOOL_ARGS_MAX; i++)
		argv[i + 1] = t->args[i];
	buf_init(&out, a, 4096);
	buf_init(&err, a, 1024);
	if ((t->out_fd < 0 && pipe2(c.out, O_CLOEXEC) != 0) || pipe2(c.err, O_CLOEXEC) != 0) {
		*ret_message = arena_printf(a, "%s: %s", t->name, strerror(errno));
		return false;
	}
	int e = start(&c, argv, make_environment(a, t->env), t->out_fd);
	if (e) {
		*ret_message = arena_printf(a, "%s cannot be run: %s", t->name, strerror(e));
		return false;
	}
	close_end(&c.out[1]);
	close_end(&c.err[1]);
	listen_to(&c, t->stop, &out, &err);
	int status = wait_for(c.pid);
	if (ret_out)
		*ret_out = buf_cstr(&out);
	if (status == 0)
		return true;
	char *said = arena_strdup(a, buf_cstr(&err));
	said[strcspn(said, "\n")] = 0;
	*ret_message = said[0] ? said : arena_printf(a, "%s ended with status %d", t->name, status);
	return false;
}
