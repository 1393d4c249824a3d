/* The checks of `muster doctor`: each writes findings; doctor.c prints them. */
#ifndef MUSTER_CLI_DOCTOR_H
#define MUSTER_CLI_DOCTOR_H

#include "cli/cli.h"

enum finding { FINDING_OK = 1, FINDING_SKIPPED, FINDING_WARNING, FINDING_FAILED };

enum { FINDINGS_MAX = 48 };
struct report {
	struct arena *arena;
	struct {
		enum finding level;
		const char *check, *message, *advice; /* advice NULL when there is nothing to do */
	} found[FINDINGS_MAX];
	int count;
};
void report_add(struct report *r, enum finding level, const char *check, const char *advice, const char *fmt, ...) PRINTF(5, 6);

/* From the configuration alone. */
void doctor_configuration(struct report *r, const struct config *conf);
void doctor_secrets(struct report *r, const struct config *conf);
void doctor_clock(struct report *r);
void doctor_hash(struct report *r, const struct config *conf);
void doctor_sandbox(struct report *r, const struct config *conf);
void doctor_faces(struct report *r, const struct config *conf);
/* The disk, the bucket, the newest backup. */
void doctor_storage(struct report *r, struct app *app);
/* Asks Redis. */
void doctor_redis(struct report *r, const struct config *conf);
/* Opens the database by itself. */
void doctor_database(struct report *r, struct app *app);
/* Of the database that doctor_database() opened: what still depends on older secrets. */
void doctor_rotation(struct report *r, struct app *app);

#endif
