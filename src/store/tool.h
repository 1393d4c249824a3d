/* Running PostgreSQL's own programs: without a shell, and with nothing secret among the arguments. */
#ifndef MUSTER_STORE_TOOL_H
#define MUSTER_STORE_TOOL_H

#include <stdatomic.h>

#include "core/arena.h"
#include "core/str.h"

/* The program in PATH, or what Debian's wrapper of that name there stands for; NULL when there is none. */
const char *tool_find(struct arena *a, const char *name);

struct tool {
	const char *name;	/* as tool_find() takes it */
	const char *const *args; /* NULL at the end, at most TOOL_ARGS_MAX */
	const char *const *env;	/* "NAME=value", NULL at the end, before this process's own; NULL: none */
	int out_fd;		/* where standard output goes; -1: into *ret_out */
	const atomic_bool *stop; /* NULL: never; true: it is killed */
};

/*
 * Runs it to its end, with an environment of `env` and this process's PATH, HOME, locale and PG… variables.  *ret_out: the first
 * TOOL_OUT_MAX bytes of its standard output.  False with *ret_message, the first line that it had to say, when it is not there, cannot be
 * run, fails or is killed.
 */
enum { TOOL_ARGS_MAX = 12, TOOL_OUT_MAX = 1 << 20 };
bool tool_run(struct arena *a, const struct tool *t, const char **ret_out, const char **ret_message);

#endif
