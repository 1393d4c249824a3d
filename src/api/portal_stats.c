/* Portal: figures for administrators. */
#include "api/route.h"

#include "attendance/record.h"

static enum err
stats(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct stats out;

	(void)rq;
	TRY(stats_get(cx, &out));
	return reply_record(rs, &stats_schema, &out);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/admin/stats",
		.handler = stats,
		.access = ADMIN,
		.lane = LANE_READ,
		.reply = &stats_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "statistics",
		.summary = "Accounts, events and attendance in figures",
		.text = "At most ten seconds old."},
};
const struct route_table portal_stats_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
