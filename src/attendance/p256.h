/*
 * A browser's or phone's P-256 key as it comes in: a JWK (RFC 7517) as JSON text, or as a JSON text in a JSON text.  Only the two
 * coordinates are kept, so whatever else a browser exports (key_ops, ext) does not matter.
 */
#ifndef MUSTER_ATTENDANCE_P256_H
#define MUSTER_ATTENDANCE_P256_H

#include "core/crypto.h"

struct p256 {
	char x[B64_SHA256_CHARS + 1], y[B64_SHA256_CHARS + 1]; /* "" without a key */
	char thumbprint[B64_SHA256_CHARS + 1];		       /* RFC 7638 */
};
/* False, and *ret untouched, unless it is a point on the curve. */
bool p256_read(struct arena *a, const char *text, struct p256 *ret);
/* The JWK of the two coordinates, without anything else. */
const char *p256_jwk(struct arena *a, const char *x, const char *y);
/* Is `signature`, base64url of r‖s (64 bytes), ES256 over `message` by the key of these coordinates?  NULL is no signature. */
bool p256_signed(struct arena *a, const char *x, const char *y, struct span message, const char *signature);

#endif
