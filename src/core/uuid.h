/* UUIDs as lower-case text (RFC 9562).  Version 7 sorts by time; its 74 other bits are random. */
#ifndef MUSTER_CORE_UUID_H
#define MUSTER_CORE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"

struct uuid {
	char text[ID_BYTES + 1];
};

/* `random` gives the 10 bytes after the time (version and variant bits are set over them). */
struct uuid uuid_v7(int64_t at_us, const uint8_t random[10]);
struct uuid uuid_v4(const uint8_t random[16]);
bool uuid_valid(const char *s);                       /* 36 characters, hex in either case, hyphens in place */
bool uuid_canonical(const char *s, struct uuid *ret); /* the same, made lower-case */
bool uuid_bytes(const char *s, uint8_t ret[16]);
struct uuid uuid_from_bytes(const uint8_t b[16]);
int64_t uuid_v7_time_us(const char *s);               /* millisecond resolution; -1 when not version 7 */

#endif
