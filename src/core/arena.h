/*
 * Arena: the memory of one unit of work.  Allocation never fails (out of memory aborts), nothing is freed singly, and everything
 * dies together at arena_reset() or arena_release().  Pages are wiped on reset, since any of them may have held a secret; free
 * space is poisoned under AddressSanitizer.
 */
#ifndef MUSTER_CORE_ARENA_H
#define MUSTER_CORE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "core/err.h"

struct arena_page;
struct arena {
	struct arena_page *page; /* newest page; NULL before the first allocation */
	struct arena_defer *defers;
	size_t total;            /* bytes handed out since the last reset */
};

void arena_init(struct arena *a);
void arena_reset(struct arena *a);   /* runs the deferred calls (newest first), wipes, keeps one page for reuse */
void arena_release(struct arena *a); /* the same, and gives all memory back */

/* Zeroed memory, aligned for any type.  `n` × `size` overflow aborts. */
void *arena_alloc(struct arena *a, size_t n, size_t size) __attribute__((returns_nonnull));
#define arena_new(a, type, n) ((type *)arena_alloc((a), (n), sizeof(type)))

char *arena_strdup(struct arena *a, const char *s) __attribute__((returns_nonnull));
char *arena_strndup(struct arena *a, const char *s, size_t n) __attribute__((returns_nonnull)); /* stops at NUL or n */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3) __attribute__((returns_nonnull));
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) PRINTF(2, 0) __attribute__((returns_nonnull));

/* Calls fn(arg) when the arena is reset or released: for the rare outside resource that outlives its function. */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);

#endif
