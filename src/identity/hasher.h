/*
 * The hash lane's bookkeeping: one thread per core at nice 10, and a queue of at most one second of work, hasher_queue_max(); beyond
 * it the dispatcher answers ERR_OVERLOADED.
 */
#ifndef MUSTER_IDENTITY_HASHER_H
#define MUSTER_IDENTITY_HASHER_H

#include "core/ctx.h"

enum { HASH_SLOW_MS = 250 }; /* of one hash: more is worth a warning */

struct hasher *hasher_open(const struct config *conf); /* times the present setting; takes a few milliseconds */
void hasher_close(struct hasher *h);
int64_t hasher_hash_us(const struct hasher *h);        /* how long one hash takes here */
int hasher_queue_max(const struct hasher *h, int threads); /* jobs that make one second of work, at least 2 × threads */

/* The schemes that the table holds (identity/password.h), at most a minute old.  Reads the database by itself. */
struct password_mix;
enum err hasher_mix(struct ctx *cx, struct password_mix *ret) MUST_CHECK;

#endif
