/* Private to attendance/: what the last layers weigh, and what follows from a mark for devices. */
#ifndef MUSTER_ATTENDANCE_MEASURE_H
#define MUSTER_ATTENDANCE_MEASURE_H

#include "attendance/layers/layer.h"

/* Reads into *c the network, and by one statement each, where the event asks, the device and the place of the mark before. */
enum err measure(struct ctx *cx, struct mark_case *c) MUST_CHECK;
/* In a job's ahead(): the device of a mark at this session. */
void measure_ahead(struct ctx *cx, const struct mark_in *in, const char *event_id);
/*
 * After the mark `attendance_id` was written, in its transaction: its device is noted, binds when it is the student's first and
 * nothing was flagged, and another account's record made with it is flagged as well; the challenge is used up.
 */
enum err measure_settle(struct ctx *cx, const struct mark_case *c, const struct uuid *attendance_id, const char *flags) MUST_CHECK;

#endif
