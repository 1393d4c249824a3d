/* Running PostgreSQL's own programs: without a shell, and with nothing secret among the arguments. */
#ifndef MUSTER_STORE_TOOL_H
#define MUSTER_STORE_TOOL_H

#include "core/arena.h"
#include "core/str.h"

/* The program in PATH, or what Debian's wrapper of that name there stands for; NULL when there is none. */
const char *tool_find(struct arena *a, const char *name);

/*
 * Runs `argv` (its [0] as tool_find() gave it) to its end, with an environment of this process's PATH, HOME, locale and PG… variables
 * and, before those, `env` ("NAME=value", NULL at the end).  Standard output goes to `out_fd`, or when that is -1 into *ret_out (its
 * first TOOL_OUT_MAX bytes).  False with *ret_message, the first line that it had to say, when it cannot be run or fails.
 */
enum { TOOL_OUT_MAX = 1 << 20 };
bool tool_run(struct arena *a, const char *const *argv, const char *const *env, int out_fd, const char **ret_out, const char **ret_message);

#endif
