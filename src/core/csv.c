/*
 * One pass, one record at a time.  After a bad record reading goes on behind its line's end, so one stray quote spoils one row
 * and not the rest of the file.
 */
#include "core/csv.h"

#include <string.h>

static bool
at_end(const struct csv *c)
{
	return c->left.n == 0;
}

static char
peek(const struct csv *c)
{
	return (char)*c->left.p;
}

static char
take(struct csv *c)
{
	char ch = (char)*c->left.p;

	c->left = (struct span){c->left.p + 1, c->left.n - 1};
	c->next_line += ch == '\n';
	return ch;
}

static char
separator_of(struct span text)
{
	const uint8_t *end = text.n ? memchr(text.p, '\n', text.n) : NULL;
	size_t n = end ? (size_t)(end - text.p) : text.n;

	if (n == 0 || memchr(text.p, ',', n))
		return ',';
	return memchr(text.p, ';', n) ? ';' : memchr(text.p, '\t', n) ? '\t' : ',';
}

void
csv_open(struct csv *c, struct span text)
{
	if (text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
		text = (struct span){text.p + 3, text.n - 3};
	*c = (struct csv){.left = text, .separator = separator_of(text), .next_line = 1};
}

static bool
ends_line(const struct csv *c)
{
	return at_end(c) || peek(c) == '\n' || (peek(c) == '\r' && (c->left.n == 1 || c->left.p[1] == '\n'));
}

static void
skip_line(struct csv *c)
{
	while (!at_end(c) && take(c) != '\n')
		continue;
}

/* The inside of a quoted field; false: no quote closed it. */
static bool
read_quoted(struct csv *c, struct buf *b)
{
	take(c);
	while (!at_end(c)) {
		char ch = take(c);
		if (ch == '"') {
			if (at_end(c) || peek(c) != '"')
				return true;
			take(c);
		}
		buf_chr(b, ch);
	}
	return false;
}

static const char *
read_field(struct csv *c, struct arena *a, const char **ret)
{
	struct buf b;

	buf_init(&b, a, 32);
	if (!at_end(c) && peek(c) == '"') {
		if (!read_quoted(c, &b))
			return "a quoted field is not closed";
		if (!ends_line(c) && peek(c) != c->separator)
			return "something follows a quoted field";
	} else {
		while (!ends_line(c) && peek(c) != c->separator) {
			if (peek(c) == '"')
				return "a quote stands inside a field that does not begin with one";
			buf_chr(&b, take(c));
		}
	}
	if (b.n > CSV_FIELD_MAX_BYTES)
		return "a field is too long";
	if (!str_utf8_valid(buf_span(&b)))
		return "a field is not valid UTF-8";
	*ret = buf_cstr(&b);
	return NULL;
}

enum csv_result
csv_next(struct csv *c, struct arena *a, struct csv_record *ret, const char **ret_why)
{
	const char *why = NULL;

	ret->count = 0;
	while (!at_end(c) && ends_line(c)) /* blank lines */
		take(c);
	c->line = c->next_line;
	if (at_end(c))
		return CSV_END;
	struct span begin = c->left;
	for (;;) {
		why = ret->count == CSV_FIELDS_MAX ? "there are too many fields" : read_field(c, a, &ret->field[ret->count]);
		if (why)
			break;
		ret->count++;
		if (ends_line(c)) {
			skip_line(c);
			return CSV_RECORD;
		}
		take(c);
	}
	c->left = begin; /* a quote that was never closed must not swallow the rows behind */
	c->next_line = c->line;
	skip_line(c);
	*ret_why = why;
	return CSV_BAD;
}
