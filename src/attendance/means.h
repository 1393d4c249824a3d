/*
 * What the actor marks attendance with: the registered device, the open request for another one, the enrolled face.  For the account's
 * own eyes.  A public key is shown, so that a browser can tell whether it is the one; an id never is, nor a template.
 */
#ifndef MUSTER_ATTENDANCE_MEANS_H
#define MUSTER_ATTENDANCE_MEANS_H

#include "core/field.h"

struct own_device {
	struct uuid device_id;
	const char *kind;	/* "imei", "public_key" */
	const char *public_key; /* JWK; NULL: it is an id */
	int64_t bound_at;
};
struct own_request {
	struct uuid request_id;
	const char *kind, *public_key, *reason;
	int64_t requested_at;
};
struct own_devices {
	struct own_device *device;   /* NULL: none is registered */
	struct own_request *request; /* NULL: none is open */
};
extern const struct schema own_devices_schema;
enum err own_devices(struct ctx *cx, struct own_devices *ret) MUST_CHECK;

struct own_face {
	bool available;	    /* faces can be compared here */
	bool enrolled;	    /* with templates of the present model */
	int64_t references; /* templates that are kept, of whatever model */
	int64_t consent_at; /* FIELD_NONE: nothing is kept, or no consent was asked for (dev only) */
};
extern const struct schema own_face_schema;
enum err own_face(struct ctx *cx, struct own_face *ret) MUST_CHECK;

#endif
