/* What the files of core/conf*.c share; nobody else includes it. */
#ifndef MUSTER_CORE_CONF_PARTS_H
#define MUSTER_CORE_CONF_PARTS_H

#include "core/conf.h"

/* One configuration in the making.  `set` says of each row whether a value was given. */
struct conf_making {
	struct config *c;
	struct arena *a;
	bool *set;
	const char *wrong; /* the line that stops the start, in the arena; NULL so far */
};

bool conf_wrong(struct conf_making *m, const char *fmt, ...) PRINTF(2, 3); /* keeps the first line; always false */
void conf_warn(struct conf_making *m, const char *fmt, ...) PRINTF(2, 3);
const char *conf_row_name(const struct conf_row *row, char ret[64]); /* the documented one */
bool conf_row_named(const struct conf_row *row, const char *name);
bool conf_is_set(const struct conf_making *m, const void *member);

/* Reads `value` into the row's member. */
bool conf_set_row(struct conf_making *m, const struct conf_row *row, const char *value);

/* conf_secrets.c: fills the CONF_GENERATE rows that are unset from DATA_DIR/secrets.env, making what is not there. */
bool conf_secrets(struct conf_making *m);

/* conf_rules.c: what follows from other variables, then the rules over one and several variables. */
bool conf_rules(struct conf_making *m);

#endif
