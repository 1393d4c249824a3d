/* The query that lists share which are not paged: a limit and nothing else. */
#include "api/lists.h"

struct limit_query {
	int64_t limit;
};
static const struct field limit_query_fields[] = {LIMIT_FIELD(struct limit_query)};
const struct schema limit_query_schema = SCHEMA("LimitQuery", struct limit_query, limit_query_fields);

int64_t
limit_of(const struct request *rq)
{
	const struct limit_query *q = rq->query;

	return field_or(q->limit, LIST_MAX);
}
