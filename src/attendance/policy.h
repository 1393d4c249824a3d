/*
 * An event's policy: how the layers that measure weigh a fault, and what becomes of claims.
 *
 * It is kept as the JSON object that it came as, {"device": "reject", "claim": "off"}; members and their words are in policy.c.
 */
#ifndef MUSTER_ATTENDANCE_POLICY_H
#define MUSTER_ATTENDANCE_POLICY_H

#include "core/ctx.h"

/* Zero: it does not say. */
enum layer_policy { LAYER_POLICY_UNSET = 0, LAYER_FLAG, LAYER_REJECT, LAYER_OFF };
enum claim_policy { CLAIM_POLICY_UNSET = 0, CLAIM_POLICY_ON, CLAIM_POLICY_FLAG, CLAIM_POLICY_OFF };

struct policy {
	int device, geofence, network, face; /* enum layer_policy */
	int claim;                           /* enum claim_policy */
};

/* Notes an error of the field `policy` for text that is none. */
void policy_check(struct ctx *cx, const char *text);
/* Of text that was checked when it came; NULL says nothing. */
struct policy policy_read(struct arena *a, const char *text);

#endif
