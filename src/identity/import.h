/*
 * Accounts from elsewhere, in turns of IMPORT_TURN_ROWS rows, each a transaction of its own through the writer's bulk queue: few
 * rows, because on SQLite a turn of another process is time in which the server cannot write.  An address that exists is left
 * alone, so a file can be imported again after its errors were mended.
 */
#ifndef MUSTER_IDENTITY_IMPORT_H
#define MUSTER_IDENTITY_IMPORT_H

#include "core/csv.h"
#include "identity/account.h"

struct import_row { /* what a file says, unchecked; NULL: nothing */
	int64_t line;
	const char *email, *full_name, *role, *is_active, *password_hash;
	const char *course, *session, *owner, *starts_at, *ends_at, *status, *marked_at, *reason; /* of an attendance record */
};

/* A column that a file may have.  Its first column in such a table is the one that must be there. */
struct import_column {
	const char *name;
	size_t offset; /* of a const char * in struct import_row */
};

enum { IMPORT_ERRORS_KEPT = 1000, IMPORT_TURN_ROWS = 25 };
struct import_error {
	int64_t row; /* line of the file, or number of the row */
	const char *message;
};
struct import_report {
	int64_t rows, added, existing, failed;
	struct import_error *errors; /* the first IMPORT_ERRORS_KEPT */
};

struct import {
	struct ctx *cx;	    /* its arena keeps the report */
	const char *source; /* for the audit trail */
	bool dry_run;
	struct import_row batch[IMPORT_TURN_ROWS];
	size_t n;
	struct arena memory; /* of the present batch */
	struct import_report report;
	const struct import_column *columns; /* ends with a NULL name; users: import_account_columns */
	/* What is done with each row inside the transaction; users: import_account(). */
	enum err (*take)(struct ctx *cx, struct import *im, const struct import_row *row);
	void *arg;
};
void import_open(struct import *im, struct ctx *cx, const char *source, bool dry_run);
void import_close(struct import *im);
/* A row whose texts live in im->memory; runs a turn when the batch is full.  Between turns it lets other writers in. */
enum err import_add(struct import *im, const struct import_row *row) MUST_CHECK;
enum err import_finish(struct import *im) MUST_CHECK;
void import_refuse(struct import *im, int64_t row, const char *fmt, ...) PRINTF(3, 4); /* a row that is wrong */

extern const struct import_column import_account_columns[];
enum err import_account(struct ctx *cx, struct import *im, const struct import_row *row) MUST_CHECK;

/*
 * A whole CSV file, whose first line names columns of im->columns in any order; others are refused.  ERR_VALIDATION when the
 * header is wrong.
 */
enum err import_csv(struct import *im, struct span text) MUST_CHECK;

#endif
