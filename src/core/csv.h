/*
 * CSV as RFC 4180 has it, and a little of what is met besides: a byte order mark, LF alone as a line's end, blank lines
 * (skipped), and a semicolon or tab for the comma when the first line has no comma.  Bounded and strict otherwise: UTF-8 without
 * NUL, a quote only where it may stand.
 */
#ifndef MUSTER_CORE_CSV_H
#define MUSTER_CORE_CSV_H

#include "core/str.h"

enum { CSV_FIELDS_MAX = 64, CSV_FIELD_MAX_BYTES = 16 << 10 };

struct csv {
	struct span left;
	char separator;
	int64_t line; /* of the record read last, from 1 */
	int64_t next_line;
};
struct csv_record {
	const char *field[CSV_FIELDS_MAX]; /* in the arena given to csv_next() */
	size_t count;
};

enum csv_result { CSV_UNSET = 0, CSV_RECORD, CSV_END, CSV_BAD };

void csv_open(struct csv *c, struct span text); /* text must live as long */
/* CSV_BAD: *ret_why says what is wrong with the record that begins in c->line; reading can go on with the next line. */
enum csv_result csv_next(struct csv *c, struct arena *a, struct csv_record *ret, const char **ret_why);

#endif
