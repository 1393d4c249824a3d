/*
 * Figures that no single request can count: the memory in use, how hard one address tries to sign in, and how many people were
 * marked by the first code they presented.  Every node asks the audit trail for itself, so that none keeps telling what was true
 * while it led; an alert rule takes the greatest of the nodes'.
 */
#ifndef MUSTER_JOBS_WATCH_H
#define MUSTER_JOBS_WATCH_H

#include "core/ctx.h"

enum { WATCH_EVERY_S = 30, WATCH_LOGINS_S = 300, WATCH_SCANS_S = 600 };

/* Reads the last minutes and sets the gauges; without metrics it does nothing.  A database that is away leaves those of the trail as they were. */
enum err watch_look(struct ctx *cx) MUST_CHECK;

#endif
