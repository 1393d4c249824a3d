/*
 * Limits that are changed while servers run: rows of the table `limits`, each named as its variable, which win over it.  Every server
 * looks once a second, and at once when another node or `muster limits` tells of a change (NEWS_LIMITS).
 */
#ifndef MUSTER_JOBS_LIMITS_H
#define MUSTER_JOBS_LIMITS_H

#include "core/conf.h"
#include "core/field.h"

/* Keeps what the configuration says, to go back to; `conf` is the server's and outlives it. */
struct limits *limits_open(struct config *conf);
void limits_close(struct limits *l);
/* Makes the configuration what the table says; on one thread.  A failure changes nothing. */
enum err limits_look(struct ctx *cx, struct limits *l) MUST_CHECK;

struct limit_set {
	const char *name;
	int64_t value, changed_at;
};
/* Every row of the table, by name.  Needs cx->db. */
enum err limits_list(struct ctx *cx, struct list *ret) MUST_CHECK;

/*
 * In the write lane; audited.  ERR_NOT_FOUND: no such live variable; ERR_VALIDATION: the value is out of its bounds.
 * value FIELD_NONE: back to what each server's configuration says.
 */
enum err limits_set(struct ctx *cx, const char *name, int64_t value) MUST_CHECK;

#endif
