/*
 * What `muster serve` gives up, for good and for its children: whoever gets into the process is left with its own files and sockets.
 *
 *   files   Landlock, before the first thread: reads the system's libraries and settings, writes DATA_DIR, the database's folder,
 *           BACKUP_DIR and temporary files, runs only muster-face and PostgreSQL's backup programs, signals only its own.
 *   calls   seccomp, when all threads run: no call that only an intruder makes (they kill the process), no memory that can be written
 *           and executed, no new listener, no namespaces, and programs only where it has any to run.
 *
 * A call that is merely unknown is no reason to end a lecture: it fails as on a kernel that does not have it (ENOSYS), and is logged as
 * sandbox.refused with its name.  One that nothing in this program can ever make ends it at once; what was acknowledged is on disk.
 */
#ifndef MUSTER_CLI_SANDBOX_H
#define MUSTER_CLI_SANDBOX_H

#include <signal.h>

#include "cli/doctor.h"

enum { SANDBOX_SIGNAL = SIGUSR1 }; /* to this process: calls were refused.  Block it before the first thread. */

struct sandbox {
	int files;   /* Landlock's version that is in force; 0: none */
	bool calls;  /* the filter is in force */
	bool runs;   /* there are programs that it may run */
	char why[128]; /* what is missing, and why; "" */
};

/* SANDBOX=off does nothing.  False: SANDBOX=required, and s->why says what the kernel lacks. */
bool sandbox_close_files(struct sandbox *s, const struct config *conf) MUST_CHECK;
bool sandbox_close_calls(struct sandbox *s, const struct config *conf) MUST_CHECK;
void sandbox_announce(const struct sandbox *s, const struct config *conf); /* one line of the log */
void sandbox_refusals(void); /* on SANDBOX_SIGNAL: logs each call the first time */

/* --- the parts --------------------------------------------------------------------------------------------------------------- */
int landlock_version(void); /* of this kernel; 0: none */
/* Returns the version in force, or 0 with errno. */
int landlock_close(const struct config *conf, bool *ret_runs);
bool calls_close(bool runs); /* false with errno */

#endif
