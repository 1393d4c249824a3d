/*
 * Points where what lies outside of the program can fail: the database, files, sockets, other servers, full queues.
 *
 *	int rc = FAULT("sqlite.step") ? SQLITE_IOERR : sqlite3_step(stmt);
 *
 * In the program a point is the constant `false`.  In the objects of `make torture` it asks tests/torture/fault.c, which counts the
 * points that a request passes and lets the one fail that is to fail, with errno set to EIO.  Any thread may ask, so the answer
 * must be used where the call is made.  What aborts when it fails (memory, threads, the random source) has no point.
 */
#ifndef MUSTER_CORE_FAULT_H
#define MUSTER_CORE_FAULT_H

#include <stdbool.h>

#ifdef MUSTER_TORTURE
bool fault_strikes(const char *name);
#define FAULT(name) fault_strikes(name)
#else
#define FAULT(name) false
#endif

#endif
