/*
 * Text and bytes.  Validated, bounded UTF-8 without NUL is `const char *`; bytes and unparsed input are a `struct span`.
 * A `struct buf` grows in an arena (never fails); append freely, read at the end.
 */
#ifndef MUSTER_CORE_STR_H
#define MUSTER_CORE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"

struct span {
	const uint8_t *p;
	size_t n;
};
#define SPAN_LIT(s) ((struct span){(const uint8_t *)(s), sizeof(s) - 1})
struct span span_str(const char *s); /* NULL gives {NULL,0} */

struct buf {
	struct arena *arena;
	char *p; /* always NUL-terminated once anything was appended */
	size_t n, cap;
};
void buf_init(struct buf *b, struct arena *a, size_t hint);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_chr(struct buf *b, char c);
void buf_int(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
struct span buf_span(const struct buf *b);
const char *buf_cstr(struct buf *b); /* "" when empty */

bool str_eq(const char *a, const char *b);              /* both may be NULL; NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char *str_lower(struct arena *a, const char *s);        /* ASCII only */
char *str_trim(struct arena *a, const char *s);         /* ASCII white space, both ends */
bool str_utf8_valid(struct span s);                     /* well-formed UTF-8 (RFC 3629) without NUL */
bool str_has_control(const char *s);                    /* C0, DEL or C1 controls */
bool str_int(const char *s, int64_t min, int64_t max, int64_t *ret); /* the whole of s, decimal */
size_t str_copy(char *dst, size_t cap, const char *src); /* truncates, terminates; returns bytes written */

#endif
