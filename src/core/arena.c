/*
 * Arena: a chain of pages, newest first.  Invariant: every byte of a page that was not handed out is zero, so that an allocation
 * needs no clearing; reset restores it by wiping what was used.  A page doubles in size up to PAGE_MAX; larger requests get a
 * page of their own.  Under AddressSanitizer free space is poisoned and allocations are kept apart by a red zone.
 */
#include "core/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
enum { RED_ZONE = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
enum { RED_ZONE = 0 };
#endif

enum { ALIGN = 16, PAGE_MIN = 8 << 10, PAGE_MAX = 256 << 10, PAGE_KEPT_MAX = 64 << 10 };

struct arena_page {
	struct arena_page *older;
	size_t used, cap;
	_Alignas(ALIGN) uint8_t bytes[];
};

struct arena_defer {
	void (*fn)(void *arg);
	void *arg;
	struct arena_defer *older;
};

void
arena_init(struct arena *a)
{
	*a = (struct arena){0};
}

static void
add_page(struct arena *a, size_t need)
{
	size_t cap = a->page ? a->page->cap * 2 : PAGE_MIN;

	if (cap > PAGE_MAX)
		cap = PAGE_MAX;
	if (cap < need)
		cap = need;
	if (cap > SIZE_MAX - sizeof(struct arena_page))
		BUG("allocation of %zu bytes", need);
	struct arena_page *p = calloc(1, sizeof(*p) + cap);
	if (!p)
		BUG("out of memory (%zu bytes)", cap);
	p->cap = cap;
	p->older = a->page;
	a->page = p;
	ASAN_POISON_MEMORY_REGION(p->bytes, cap);
}

void *
arena_alloc(struct arena *a, size_t n, size_t size)
{
	size_t want, need;

	if (__builtin_mul_overflow(n, size, &want) || __builtin_add_overflow(want, (size_t)(ALIGN - 1 + RED_ZONE), &need))
		BUG("allocation of %zu x %zu bytes", n, size);
	need &= ~(size_t)(ALIGN - 1);
	if (need == 0)
		need = ALIGN; /* distinct pointers, also for nothing */
	if (!a->page || a->page->cap - a->page->used < need)
		add_page(a, need);

	uint8_t *p = a->page->bytes + a->page->used;
	a->page->used += need;
	a->total += want;
	ASAN_UNPOISON_MEMORY_REGION(p, want);
	return p;
}

static void
run_defers(struct arena *a)
{
	while (a->defers) { /* one call may add another */
		struct arena_defer *d = a->defers;
		a->defers = d->older;
		d->fn(d->arg);
	}
}

static void
wipe(struct arena_page *p)
{
	ASAN_UNPOISON_MEMORY_REGION(p->bytes, p->used);
	explicit_bzero(p->bytes, p->used);
	p->used = 0;
}

void
arena_reset(struct arena *a)
{
	run_defers(a);
	struct arena_page *kept = NULL;
	for (struct arena_page *p = a->page, *older; p; p = older) {
		older = p->older;
		wipe(p);
		if (!kept && p->cap <= PAGE_KEPT_MAX) { /* newest first: the largest that is worth keeping */
			kept = p;
			p->older = NULL;
			ASAN_POISON_MEMORY_REGION(p->bytes, p->cap);
		} else {
			ASAN_UNPOISON_MEMORY_REGION(p->bytes, p->cap);
			free(p);
		}
	}
	*a = (struct arena){.page = kept};
}

void
arena_release(struct arena *a)
{
	arena_reset(a);
	if (a->page) {
		ASAN_UNPOISON_MEMORY_REGION(a->page->bytes, a->page->cap);
		free(a->page);
	}
	*a = (struct arena){0};
}

char *
arena_strdup(struct arena *a, const char *s)
{
	size_t n = strlen(s);
	char *p = arena_alloc(a, n + 1, 1);

	memcpy(p, s, n);
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = arena_alloc(a, len + 1, 1);

	memcpy(p, s, len);
	return p;
}

char *
arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	va_list again;

	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		BUG("format %s", fmt);
	char *p = arena_alloc(a, (size_t)n + 1, 1);
	if (vsnprintf(p, (size_t)n + 1, fmt, ap) != n)
		BUG("format %s", fmt);
	return p;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	char *p = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return p;
}

void
arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
	struct arena_defer *d = arena_new(a, struct arena_defer, 1);

	*d = (struct arena_defer){fn, arg, a->defers};
	a->defers = d;
}
