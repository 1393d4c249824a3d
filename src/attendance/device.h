/*
 * Devices that students mark with: one bound device an account, one account a device.
 *
 * A device is any lasting id that the client gives (imei) or, the strong form, a P-256 key that signs every mark.  Of an id only
 * its HMAC is stored; a key is stored as its JWK beside the HMAC of its thumbprint.  The first device binds at once; another one,
 * or one that belongs to another account, waits for an administrator.
 */
#ifndef MUSTER_ATTENDANCE_DEVICE_H
#define MUSTER_ATTENDANCE_DEVICE_H

#include "identity/account.h"

enum { DEVICE_TEXT_MAX = 200, DEVICE_REASON_MAX = 300 };

struct device_in {
	const char *imei, *public_key; /* one of the two */
	const char *reason;	       /* for the administrator, when it becomes a request; NULL: none */
};
extern const struct schema device_in_schema;
struct device_out {
	struct uuid device_id; /* bound */
	const char *status;    /* "bound", "pending" */
	struct uuid request_id; /* pending */
};
extern const struct schema device_out_schema;
/*
 * In the write lane, for the actor.  Asking again for what is bound or already asked for changes nothing and gives the same ids;
 * another device takes the place of an open request.
 */
enum err device_bind(struct ctx *cx, const struct device_in *in, struct device_out *ret) MUST_CHECK;

/* A challenge for the actor's key (attendance/challenge.h): nothing is written. */
struct device_challenge {
	const char *challenge;
	int64_t expires_at;
};
extern const struct schema device_challenge_schema;
enum err device_challenge_make(struct ctx *cx, struct device_challenge *ret) MUST_CHECK;

struct device_request {
	struct uuid request_id;
	struct account_ref user;
	const char *kind;             /* "imei", "public_key" */
	const char *reason;           /* NULL: none was given */
	int64_t requested_at;
	int64_t bound_at;             /* of the present device; TIME_NONE: there is none */
	struct account_ref *owner;  /* the account that has this device now; NULL: nobody */
};
struct device_requests {
	struct list requests;
};
extern const struct schema device_requests_schema;
/* Open requests, oldest first. */
enum err device_request_list(struct ctx *cx, int64_t limit, struct device_requests *ret) MUST_CHECK;

struct device_reset_in { /* one of the two */
	struct uuid user_id, request_id;
};
extern const struct schema device_reset_in_schema;
struct device_reset_out {
	struct uuid user_id;
	const char *status;    /* "bound": the requested device; "reset": none, the next one binds */
	struct uuid device_id; /* with "bound" */
};
extern const struct schema device_reset_out_schema;
/*
 * Approves a request, by its id or as the account's open one; for an account without one the present device is let go.  A device
 * that another account has is taken from it.  ERR_NOT_FOUND; ERR_ALREADY_DECIDED.
 */
enum err device_reset(struct ctx *cx, const struct device_reset_in *in, struct device_reset_out *ret) MUST_CHECK;

struct device_denied_in {
	struct uuid request_id;
};
extern const struct schema device_denied_in_schema;
/* Ends an open request; the account keeps what it has and may ask again.  ERR_NOT_FOUND; ERR_ALREADY_DECIDED. */
enum err device_deny(struct ctx *cx, const struct device_denied_in *in) MUST_CHECK;

#endif
