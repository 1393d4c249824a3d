/*
 * Reading what a client sent.  Form 400 or 415, meaning 422: a body that cannot be taken apart is malformed, one whose members
 * break the row's schema is refused by the field table with one message per member.
 *
 * Multipart here is the plain kind that browsers make of a form without files; uploads have a reader of their own.
 */
#include "api/body.h"

#include <string.h>
#include <strings.h>

#include "core/json.h"

enum { PARTS_MAX = 64, BOUNDARY_MAX = 70 }; /* RFC 2046 §5.1.1 */

enum err
query_read(struct ctx *cx, const struct route *r, struct request *rq)
{
	struct pair *pairs = NULL;
	size_t n = 0;

	if (!r->query)
		return OK;
	if (rq->query_text && !pairs_parse(cx->arena, rq->query_text, strlen(rq->query_text), &pairs, &n))
		return fail(cx, ERR_MALFORMED_REQUEST, "The query string is not well-formed.");
	void *query = arena_alloc(cx->arena, 1, r->query->size);
	TRY(field_read_pairs(cx, r->query, pairs, n, query));
	rq->query = query;
	return OK;
}

/* True when `header` names this media type; parameters may follow. */
static bool
media_is(const char *header, const char *type)
{
	size_t n = strlen(type);

	return header && strncasecmp(header, type, n) == 0 && strchr("; \t", header[n]);
}

/* One parameter of a header value, without quotes; NULL when it is absent or too long. */
static const char *
header_param(struct arena *a, const char *header, const char *name, size_t max)
{
	size_t name_n = strlen(name);

	for (const char *p = strchr(header, ';'); p; p = strchr(p, ';')) {
		p += 1 + strspn(p + 1, " \t");
		if (strncasecmp(p, name, name_n) != 0 || p[name_n] != '=')
			continue;
		p += name_n + 1;
		bool quoted = *p == '"';
		size_t n = quoted ? strcspn(++p, "\"") : strcspn(p, "; \t");
		return n == 0 || n > max || (quoted && p[n] != '"') ? NULL : arena_strndup(a, p, n);
	}
	return NULL;
}

static enum err
read_json(struct ctx *cx, const struct schema *s, struct span text, void *ret)
{
	json_t *value = json_read(cx->arena, text.n ? text : SPAN_LIT("{}"));

	if (!value)
		return fail(cx, ERR_MALFORMED_REQUEST, "The body is not well-formed JSON.");
	if (!json_is_object(value))
		return fail(cx, ERR_MALFORMED_REQUEST, "The body must be a JSON object.");
	return field_read_json(cx, s, value, ret);
}

static enum err
read_form(struct ctx *cx, const struct schema *s, const char *content_type, struct span body, void *ret)
{
	struct pair *pairs = NULL;
	size_t n = 0;
	bool good = media_is(content_type, "multipart/form-data")
			    ? multipart_pairs(cx->arena, content_type, body, &pairs, &n)
			    : pairs_parse(cx->arena, (const char *)body.p, body.n, &pairs, &n);

	if (!good)
		return fail(cx, ERR_MALFORMED_REQUEST, "The form is not well-formed.");
	return field_read_pairs(cx, s, pairs, n, ret);
}

enum err
body_read(struct ctx *cx, const struct route *r, struct request *rq, const char *content_type, const char *content_encoding)
{
	if (!r->body)
		return OK;
	if (rq->raw_body.n > BODY_MAX)
		return fail(cx, ERR_BODY_TOO_LARGE, NULL);
	bool json = media_is(content_type, "application/json");
	bool form = r->form && (media_is(content_type, "application/x-www-form-urlencoded") ||
				       media_is(content_type, "multipart/form-data"));
	const char *charset = content_type ? header_param(cx->arena, content_type, "charset", 20) : NULL;
	if (rq->raw_body.n && ((!json && !form) || (charset && strcasecmp(charset, "utf-8") != 0)))
		return fail(cx, ERR_UNSUPPORTED_MEDIA, NULL);
	if (content_encoding && strcasecmp(content_encoding, "identity") != 0)
		return fail(cx, ERR_UNSUPPORTED_MEDIA, "Send the body without a content encoding.");
	void *body = arena_alloc(cx->arena, 1, r->body->size);
	if (form && rq->raw_body.n)
		TRY(read_form(cx, r->body, content_type, rq->raw_body, body));
	else
		TRY(read_json(cx, r->body, rq->raw_body, body));
	rq->body = body;
	return OK;
}

/* The header lines of one part; false unless it is a named text part. */
static bool
part_name(struct arena *a, const char *p, const char *end, const char **ret_name)
{
	const char *name = NULL;

	while (p < end) {
		const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
		size_t n = (size_t)((eol ? eol : end) - p);
		const char *line = arena_strndup(a, p, n);
		if (strncasecmp(line, "Content-Disposition:", 20) == 0) {
			if (header_param(a, line, "filename", 1000) || header_param(a, line, "filename*", 1000))
				return false;
			name = header_param(a, line, "name", 100);
		}
		p += n + 2;
	}
	if (!name || !str_utf8_valid(span_str(name)) || str_has_control(name))
		return false;
	*ret_name = name;
	return true;
}

/* One part lies between p and end, without the line break before the next delimiter. */
static bool
read_part(struct arena *a, const char *p, const char *end, struct pair *ret)
{
	const char *blank = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);

	if (!blank || !part_name(a, p, blank, &ret->name))
		return false;
	const char *value = blank + 4;
	struct span text = {(const uint8_t *)value, (size_t)(end - value)};
	if (value > end || !str_utf8_valid(text))
		return false;
	ret->value = arena_strndup(a, value, text.n);
	return true;
}

bool
multipart_pairs(struct arena *a, const char *content_type, struct span body, struct pair **ret, size_t *ret_count)
{
	const char *boundary = header_param(a, content_type, "boundary", BOUNDARY_MAX);
	const char *p = (const char *)body.p, *end = p + body.n;

	if (!boundary)
		return false;
	const char *delimiter = arena_printf(a, "\r\n--%s", boundary);
	size_t n = strlen(delimiter), count = 0;
	struct pair *pairs = arena_new(a, struct pair, PARTS_MAX);
	if (body.n < n - 2 || memcmp(p, delimiter + 2, n - 2) != 0) /* no preamble: nobody sends one */
		return false;
	p += n - 2;
	for (;;) {
		if (end - p >= 2 && p[0] == '-' && p[1] == '-')
			break;
		if (end - p < 2 || p[0] != '\r' || p[1] != '\n' || count == PARTS_MAX)
			return false;
		p += 2;
		const char *stop = memmem(p, (size_t)(end - p), delimiter, n);
		if (!stop || !read_part(a, p, stop, &pairs[count++]))
			return false;
		p = stop + n;
	}
	*ret = pairs;
	*ret_count = count;
	return true;
}
