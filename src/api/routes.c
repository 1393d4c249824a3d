/* The list of all route tables: the first answer to "where does this path live?".  Order counts for metrics only. */
#include <stdio.h>

#include "api/dispatch.h"

extern const struct route_table ops_routes;
extern const struct route_table portal_auth_routes, portal_admin_routes;
extern const struct route_table portal_user_routes, portal_manual_routes;
extern const struct route_table portal_event_routes, portal_qr_routes, portal_attendance_routes, portal_notification_routes,
	portal_stats_routes;
extern const struct route_table portal_stream_routes;
extern const struct route_table accounts_auth_routes, accounts_me_routes, accounts_mfa_routes;
extern const struct route_table accounts_reset_routes, accounts_oauth_routes;
extern const struct route_table campus_auth_routes, campus_course_routes, campus_session_routes, campus_qr_routes;
extern const struct route_table campus_roll_routes, campus_mark_routes, campus_device_routes, campus_face_routes, campus_means_routes;
extern const struct route_table campus_review_routes, campus_report_routes;
extern const struct route_table web_routes;

const struct route_table *const route_tables[] = {
	&ops_routes,
	&portal_auth_routes,
	&portal_admin_routes,
	&portal_user_routes,
	&portal_event_routes,
	&portal_qr_routes,
	&portal_attendance_routes,
	&portal_manual_routes,
	&portal_notification_routes,
	&portal_stream_routes,
	&portal_stats_routes,
	&accounts_auth_routes,
	&accounts_me_routes,
	&accounts_mfa_routes,
	&accounts_reset_routes,
	&accounts_oauth_routes,
	&campus_auth_routes,
	&campus_course_routes,
	&campus_session_routes,
	&campus_qr_routes,
	&campus_roll_routes,
	&campus_mark_routes,
	&campus_device_routes,
	&campus_face_routes,
	&campus_means_routes,
	&campus_review_routes,
	&campus_report_routes,
	&web_routes,
};
const size_t route_table_count = sizeof(route_tables) / sizeof(route_tables[0]);

size_t
dispatch_route_count(void)
{
	size_t n = 1;

	for (size_t t = 0; t < route_table_count; t++)
		n += route_tables[t]->count;
	return n;
}

const char *
dispatch_route_label(size_t i)
{
	static _Thread_local char label[200];

	for (size_t t = 0; t < route_table_count; i -= route_tables[t++]->count) {
		if (i >= route_tables[t]->count)
			continue;
		const struct route *r = &route_tables[t]->rows[i];
		snprintf(label, sizeof(label), "method=\"%s\",route=\"%s\"", method_name(r->method), r->path);
		return label;
	}
	return "method=\"\",route=\"unmatched\"";
}
