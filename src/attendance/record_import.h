/*
 * Attendance records from elsewhere: the rows of identity/import.h, each a person at a session.
 *
 * A session is known by its course's code, its title and its start; one that is not there is made, closed, for the row's owner or
 * the one given here.  A record that is there stays as it is, so a file can be imported again.
 */
#ifndef MUSTER_ATTENDANCE_RECORD_IMPORT_H
#define MUSTER_ATTENDANCE_RECORD_IMPORT_H

#include "identity/import.h"

struct record_import {
	const char *owner_email; /* of sessions whose rows name nobody; may be NULL */
};
/* Makes `im` take attendance; `r` must live as long. */
void record_import(struct import *im, const struct record_import *r);

#endif
