/*
 * The rows of tables/errors.def, in the order of enum err, and the last words of a broken process.
 *
 * bug_at() writes with one write(2) and no allocation: it may run with locks held or the heap damaged.
 */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct err_row rows[ERR__MAX] = {
#define E(id, status, code, sentence) [ERR_##id] = {#id, (status), (code), (sentence)},
#include "tables/errors.def"
#undef E
};

const struct err_row *
err_row(enum err e)
{
	if ((int)e <= OK || e >= ERR__MAX)
		BUG("no row for error %d", (int)e);
	return &rows[e];
}

void
bug_at(const char *file, int line, const char *func, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n = snprintf(text, sizeof(text), "muster: BUG at %s:%d %s(): ", file, line, func);

	if (n < 0 || (size_t)n >= sizeof(text) - 1)
		n = 0;
	va_start(ap, fmt);
	int m = vsnprintf(text + n, sizeof(text) - (size_t)n - 1, fmt, ap);
	va_end(ap);

	size_t len = (size_t)n + (m < 0 ? 0 : (size_t)m);
	if (len > sizeof(text) - 2)
		len = sizeof(text) - 2;
	text[len++] = '\n';
	for (size_t off = 0; off < len;) {
		ssize_t w = write(STDERR_FILENO, text + off, len - off);
		if (w <= 0)
			break;
		off += (size_t)w;
	}
	abort();
}
