/* Campus: what a student marks with, for the student to see. */
#include "api/route.h"

#include "attendance/means.h"

static enum err
show_device(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct own_devices out;

	(void)rq;
	TRY(own_devices(cx, &out));
	return reply_record(rs, &own_devices_schema, &out);
}

static enum err
show_face(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct own_face out;

	(void)rq;
	TRY(own_face(cx, &out));
	return reply_record(rs, &own_face_schema, &out);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/v1/student/device",
		.handler = show_device,
		.access = STUDENT,
		.lane = LANE_READ,
		.reply = &own_devices_schema,
		.status = 200,
		.tag = "devices",
		.summary = "See one's registered device and open request"},
	{.method = GET,
		.path = "/api/v1/student/face",
		.handler = show_face,
		.access = STUDENT,
		.lane = LANE_READ,
		.reply = &own_face_schema,
		.status = 200,
		.tag = "faces",
		.summary = "See whether faces are compared here and one's own is enrolled"},
};
const struct route_table campus_means_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
