/* What the routes that answer lists have in common: how much they are asked for, and the page that they tell. */
#ifndef MUSTER_API_LISTS_H
#define MUSTER_API_LISTS_H

#include "api/route.h"

/* Unpaged: at most so many, from the top.  A row with limit_query_schema asks limit_of() for LIST_MAX or what was wished. */
#define LIMIT_FIELD(s) F(s, limit, 0, 1, 1000, "At most so many; default: all")
extern const struct schema limit_query_schema;
int64_t limit_of(const struct request *rq);

/* Paged: members page and limit of a query, FIELD_NONE where nothing was wished, and of its reply. */
#define PAGE_QUERY_FIELDS(s) \
	F(s, page, 0, 1, PAGE_DEPTH_MAX, "From 1"), F(s, limit, 0, 1, PAGE_LIMIT_MAX, "Default 20")
#define PAGE_FIELDS(s) F(s, page, 0, 0, 0, "This page"), F(s, limit, 0, 0, 0, "Its size")
_Static_assert(PAGE_LIMIT_DEFAULT == 20, "PAGE_QUERY_FIELDS says it");

#endif
