/*
 * The compiled route tables.  Paths without parameters are found by one hash probe; the others by a walk over a tree of segments, in
 * which a fixed segment is tried before a parameter.
 *
 * One trailing slash names the same route, HEAD is answered by GET's row, and parameters named `id` or `…_id` must be UUIDs: they
 * come back in lower case, and anything else is no such path.
 */
#ifndef MUSTER_API_ROUTER_H
#define MUSTER_API_ROUTER_H

#include "api/route.h"

struct row {
	const struct route *route;
	enum surface surface;
	size_t number; /* over all tables, in their order */
	int n_params;
	bool is_id[PATH_PARAMS_MAX];
};

/* May this row answer so?  Its own list, and what the dispatcher adds by the row's properties. */
bool row_answers(const struct row *row, enum err e);

struct router;
struct router *router_open(struct arena *a, const struct route_table *const *tables, size_t n_tables);
const struct row *router_rows(const struct router *r, size_t *ret_count);

struct route_match {
	const struct row *row;
	const char *allow; /* the methods of the path, for Allow; NULL when the path is unknown */
	const char *params[PATH_PARAMS_MAX];
};
/* OK, ERR_NOT_FOUND, ERR_METHOD_NOT_ALLOWED (with ret->allow), ERR_MALFORMED_REQUEST (bad percent-encoding). */
enum err router_find(const struct router *r, struct arena *a, enum method m, const char *path, struct route_match *ret) MUST_CHECK;

/* A parameter's name: "{event_id}" gives "event_id".  False when the segment of `n` bytes is none. */
bool path_param(const char *segment, size_t n, const char **ret_name, size_t *ret_n);

#endif
