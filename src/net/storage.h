/*
 * Where uploaded bytes live: a directory under DATA_DIR, or a bucket of any S3-compatible store (STORAGE_BACKEND).  Objects are named
 * by the program ("selfies/2026-08-01/<uuid>"), never by a client; nobody but the server reads them.
 *
 * Order of work: put the object, then write the row that names it.  An object whose row was never written is an orphan, and a
 * job's prey; a row without its object cannot be.
 *
 * Blocking, bounded in time and size: for the files lane and jobs only.
 */
#ifndef MUSTER_NET_STORAGE_H
#define MUSTER_NET_STORAGE_H

#include "core/conf.h"

enum { STORAGE_OBJECT_MAX = 20 << 20, STORAGE_NAME_MAX = 120, STORAGE_PAGE = 500, STORAGE_PRESIGN_MAX_S = 60 };

enum stored { STORED_UNSET = 0, STORED, STORED_ABSENT, STORED_FAILED };

struct storage;
/* No I/O.  The configuration must outlive it. */
struct storage *storage_open(struct arena *a, const struct config *conf);

/*
 * All: *ret_why, when STORED_FAILED, is for the log.  Names are of [a-z0-9/.-]: to put or sign another one is a BUG(), and as none was
 * ever put, there is none to get or delete.
 */
enum stored storage_put(const struct storage *s, struct arena *a, const char *name, const char *type, struct span bytes,
			const char **ret_why) MUST_CHECK;
enum stored storage_get(const struct storage *s, struct arena *a, const char *name, struct span *ret, const char **ret_why) MUST_CHECK;
/* STORED also when it was not there. */
enum stored storage_delete(const struct storage *s, struct arena *a, const char *name, const char **ret_why) MUST_CHECK;
/* Names under `prefix` that come after `after` ("": from the first), in order, at most STORAGE_PAGE; fewer may come, none at the end. */
enum stored storage_list(const struct storage *s, struct arena *a, const char *prefix, const char *after, struct conf_list *ret,
			 const char **ret_why) MUST_CHECK;
/* Can it be used now? */
enum stored storage_check(const struct storage *s, struct arena *a, const char **ret_why) MUST_CHECK;
/* A URL that gives this object to whoever has it, for `seconds` (at most STORAGE_PRESIGN_MAX_S); NULL where there are none. */
const char *storage_presign(const struct storage *s, struct arena *a, const char *name, int seconds);

#endif
