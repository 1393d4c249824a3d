/*
 * Known devices: a token given at every completed login, 180 days, bound to one account, stored as a hash.  Sent along with a
 * later login it only takes that login out of the e-mail's lock and the limits by IP; it never stands for a factor.
 */
#ifndef MUSTER_IDENTITY_KNOWN_DEVICE_H
#define MUSTER_IDENTITY_KNOWN_DEVICE_H

#include "core/ctx.h"

enum { KNOWN_DEVICE_DAYS = 180, KNOWN_DEVICES_MAX = 20 };

/* Is `token` a live device of the account with this address?  Then its id; else *ret is empty. */
enum err known_device_find(struct ctx *cx, const char *token, const char *email, struct uuid *ret) MUST_CHECK;
/*
 * Within the login's transaction: prolongs the device it came with (`device` not empty, and then `token` goes out again), or
 * makes a new one.  An account holds at most KNOWN_DEVICES_MAX; the oldest go.
 */
enum err known_device_keep(
	struct ctx *cx, const char *user_id, const struct uuid *device, const char *token, const char **ret_token) MUST_CHECK;
enum err known_device_forget(struct ctx *cx, const char *user_id) MUST_CHECK; /* all of an account's */

#endif
