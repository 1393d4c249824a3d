/*
 * All that a request may change and that outlives it: the database and the uploads.  Read, kept, put back, compared.
 */
#ifndef MUSTER_TORTURE_STATE_H
#define MUSTER_TORTURE_STATE_H

#include "support.h"

/* Every row of every table as text, sorted. */
struct state_table {
	const char *name;
	const char **rows;
	size_t n;
};
struct state {
	struct state_table *tables;
	size_t n;
	const uint64_t *known; /* hashes of the words that look like ids, sorted */
	size_t n_known;
};
/*
 * `old` NULL: as it is.  Otherwise what looks like an id or a secret and was not in `old` reads "*": a request that was run again made
 * others, and is the same for that.
 */
void state_read(struct test *t, struct arena *a, const struct state *old, struct state *ret);
enum but { BUT_NOTHING, BUT_TRACES, BUT_COUNTS }; /* which tables are not looked at (state.c); each includes the one before */
/* The name of a table that differs; NULL: none. */
const char *state_differs(const struct state *a, const struct state *b, enum but but);
bool state_same_table(const struct state *a, const struct state *b, const char *table);
void state_print_difference(const struct state *want, const struct state *have);

/* One copy at a time. */
void state_keep(struct test *t);
void state_put_back(struct test *t);
void state_forget(struct test *t); /* the copy; at the end of a test too */
/* PostgreSQL: no transaction is open and no statement runs but ours.  False: some stay. */
bool state_is_quiet(struct test *t);

#endif
