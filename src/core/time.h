/*
 * Times are int64_t microseconds since 1970-01-01T00:00:00Z (`…_us`).  TIME_NONE means "no time".
 * Wire: YYYY-MM-DDTHH:MM:SSZ.  SQLite: YYYY-MM-DD HH:MM:SS.ffffff (UTC), which sorts as text.
 */
#ifndef MUSTER_CORE_TIME_H
#define MUSTER_CORE_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define TIME_NONE INT64_MIN
#define SECONDS_US INT64_C(1000000)
#define MINUTES_US (60 * SECONDS_US)
#define HOURS_US (60 * MINUTES_US)
#define DAYS_US (24 * HOURS_US)

enum { TIME_WIRE_BYTES = 20, TIME_SQL_BYTES = 26 };

int64_t time_wall_us(void);      /* CLOCK_REALTIME: expiry, codes, TOTP */
int64_t time_monotonic_us(void); /* CLOCK_MONOTONIC: limits, time-outs, latency */
struct timespec time_spec(int64_t at_us); /* as the system's calls want it; waits for condition variables go by the monotonic clock */

void time_to_wire(int64_t at_us, char ret[TIME_WIRE_BYTES + 1]);
void time_to_sql(int64_t at_us, char ret[TIME_SQL_BYTES + 1]);

/*
 * RFC 3339 with any offset; no offset is UTC; a bare date is 00:00 UTC, or with `end_of_day` the last microsecond of that day.
 * A blank may stand for the T.  Years 1970–9999; leap seconds, impossible dates and trailing bytes are refused.
 */
bool time_parse(const char *s, bool end_of_day, int64_t *ret_us);
/* Exactly the form of time_to_sql(), with 0–6 digits of fraction; also PostgreSQL's trailing "+00". */
bool time_from_sql(const char *s, int64_t *ret_us);

#endif
