/*
 * Which of the points of core/fault.h fails.  One plan at a time, for all threads.
 */
#ifndef MUSTER_TORTURE_FAULT_H
#define MUSTER_TORTURE_FAULT_H

#include "core/fault.h"

enum { FAULT_POINTS_MAX = 4096 };

/* From now on points are counted, from 1; the one with number `at` fails (0: none), and with `ever` all that come after it. */
void fault_arm(long at, bool ever);
/* How many were passed; none fails any more. */
long fault_disarm(void);
const char *fault_struck(void);     /* the first that failed since fault_arm(); NULL: none did */
const char *fault_name(long number); /* of a point passed since fault_arm() */

/* SQLite's files fail too, below the library: makes the shim the default (vfs.c). */
void torture_vfs(void);

#endif
