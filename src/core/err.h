/*
 * Errors: one enum, generated with its HTTP status, stable code and sentence from tables/errors.def.
 *
 * A function that can fail returns `enum err` and is MUST_CHECK.  The place that discovers the failure calls fail() or
 * refuse() (core/ctx.h) exactly once; everybody above passes the value on with TRY().
 */
#ifndef MUSTER_CORE_ERR_H
#define MUSTER_CORE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))


enum err {
	OK = 0,
#define E(id, status, code, sentence) ERR_##id,
#include "tables/errors.def"
#undef E
	ERR__MAX
};

struct err_row {
	const char *name;     /* "QR_EXPIRED": the enum's own name, for logs */
	int status;           /* HTTP status */
	const char *code;     /* stable code of the reply, "token_expired" */
	const char *sentence; /* what a person reads when fail() gave no better one */
};

/* The row of an error; BUG() when `e` is OK or out of range. */
const struct err_row *err_row(enum err e);

/* Returns any error upward.  Safe because nothing needs unwinding by hand: data lives in the arena, the rest in CLEANUP locals. */
#define TRY(x)                                                                                                         \
	do {                                                                                                           \
		enum err try_ = (x);                                                                                   \
		if (try_ != OK)                                                                                        \
			return try_;                                                                                   \
	} while (0)

/* A broken invariant of our own: says where and aborts, in production too. */
#define BUG(...) bug_at(__FILE__, __LINE__, __func__, __VA_ARGS__)
void bug_at(const char *file, int line, const char *func, const char *fmt, ...) PRINTF(4, 5) __attribute__((noreturn));

#endif
