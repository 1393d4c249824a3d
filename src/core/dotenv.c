/*
 * The grammar of .env: blank lines, # comments, and [export] NAME=value lines.
 *
 *   NAME=plain text # comment      the comment starts at a # behind white space
 *   NAME='as it stands'            nothing is special inside
 *   NAME="with \n \t \" \\"        these escapes only; $ means itself
 *
 * LF or CRLF.  A value never spans lines, so that the number of a malformed line is the place of the mistake.
 */
#include <string.h>

#include "core/conf.h"

static bool
is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_name(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static const char *
skip_space(const char *p)
{
	while (is_space(*p))
		p++;
	return p;
}

/* Behind a quoted value only white space or a comment may follow. */
static bool
ends_clean(const char *p)
{
	const char *q = skip_space(p);

	return !*q || (*q == '#' && q > p);
}

static bool
take_quoted(const char *p, struct buf *value)
{
	char quote = *p++;

	for (; *p && *p != quote; p++) {
		char c = *p;
		if (quote == '"' && c == '\\') {
			static const char from[] = "nrt\"\\", to[] = "\n\r\t\"\\";
			const char *at = p[1] ? strchr(from, p[1]) : NULL;
			if (at) {
				c = to[at - from];
				p++;
			}
		}
		buf_chr(value, c);
	}
	return *p == quote && ends_clean(p + 1);
}

static void
take_plain(const char *p, struct buf *value)
{
	size_t n = 0;

	/* p stands right behind the "=", so that "A= # note" is an empty value and "A=#1" is not. */
	while (p[n] && !(p[n] == '#' && n > 0 && is_space(p[n - 1])))
		n++;
	while (n && is_space(p[n - 1]))
		n--;
	const char *start = skip_space(p);
	if (start < p + n)
		buf_add(value, start, (size_t)(p + n - start));
}

static bool
take_line(struct arena *a, const char *line, const char **ret_name, const char **ret_value)
{
	const char *p = skip_space(line);
	struct buf value;

	*ret_name = NULL;
	if (!*p || *p == '#')
		return true;
	if (str_starts(p, "export") && is_space(p[6]))
		p = skip_space(p + 6);
	size_t n = 0;
	while (is_name(p[n], n == 0))
		n++;
	const char *equals = skip_space(p + n);
	if (!n || *equals != '=')
		return false;
	buf_init(&value, a, 64);
	const char *from = skip_space(equals + 1);
	if (*from == '\'' || *from == '"') {
		if (!take_quoted(from, &value))
			return false;
	} else {
		take_plain(equals + 1, &value);
	}
	*ret_name = arena_strndup(a, p, n);
	*ret_value = buf_cstr(&value);
	return true;
}

bool
dotenv_parse(
	struct arena *a, struct span text, void (*set)(void *arg, const char *name, const char *value), void *arg, int *ret_line)
{
	const char *p = (const char *)text.p;
	size_t left = text.n;

	if (left >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) { /* some editors begin UTF-8 with a mark */
		p += 3;
		left -= 3;
	}
	for (int number = 1; left; number++) {
		const char *end = memchr(p, '\n', left), *name, *value;
		size_t n = end ? (size_t)(end - p) : left, whole = end ? n + 1 : n;
		if (n && p[n - 1] == '\r')
			n--;
		struct span line = {(const uint8_t *)p, n};
		if (!str_utf8_valid(line) || !take_line(a, arena_strndup(a, p, n), &name, &value)) {
			*ret_line = number;
			return false;
		}
		if (name)
			set(arg, name, value);
		p += whole;
		left -= whole;
	}
	return true;
}
