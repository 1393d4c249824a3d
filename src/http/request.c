/*
 * What the rest of the program asks of a request and does to a reply.  Pairs and cookies come from strangers: anything that is
 * not well-formed is refused here, so that values inside the program are UTF-8 without control characters.
 */
#include <string.h>
#include <strings.h>

#include "http/request.h"

enum { PAIRS_MAX = 1000 };

static const char *const method_names[] = {"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"};

const char *
method_name(enum method m)
{
	return m >= 0 && m <= METHOD__OTHER ? method_names[m] : "OTHER";
}

const char *
request_header(const struct request *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_headers; i++)
		if (strcasecmp(rq->headers[i].name, name) == 0)
			return rq->headers[i].value;
	return NULL;
}

/* Finds `name` in one Cookie header; *ret_n is the value's length without the quotes it may stand in. */
static const char *
cookie_find(const char *header, const char *name, size_t *ret_n)
{
	size_t name_n = strlen(name);

	for (const char *p = header; *p;) {
		size_t n;

		p += strspn(p, " \t;");
		n = strcspn(p, ";");
		if (n > name_n && memcmp(p, name, name_n) == 0 && p[name_n] == '=') {
			const char *v = p + name_n + 1;

			n -= name_n + 1;
			while (n > 0 && (v[n - 1] == ' ' || v[n - 1] == '\t'))
				n--;
			if (n >= 2 && v[0] == '"' && v[n - 1] == '"')
				v++, n -= 2;
			*ret_n = n;
			return v;
		}
		p += n;
	}
	return NULL;
}

const char *
request_cookie(struct arena *a, const struct request *rq, const char *name)
{
	for (size_t i = 0; i < rq->n_headers; i++) {
		const char *v;
		size_t n;

		if (strcasecmp(rq->headers[i].name, "Cookie") != 0)
			continue;
		v = cookie_find(rq->headers[i].value, name, &n);
		if (v)
			return arena_strndup(a, v, n);
	}
	return NULL;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes one name or value; NULL when it is malformed. */
static const char *
form_decode(struct arena *a, const char *p, size_t n)
{
	char *out = arena_new(a, char, n + 1);
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (c == '%') {
			int hi = n - i > 2 ? hex_digit(p[i + 1]) : -1, lo = n - i > 2 ? hex_digit(p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return NULL;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (c == '\0')
			return NULL;
		out[len++] = c;
	}
	out[len] = '\0';
	if (!str_utf8_valid((struct span){(const uint8_t *)out, len}) || str_has_control(out))
		return NULL;
	return out;
}

bool
pairs_parse(struct arena *a, const char *text, size_t n, struct pair **ret, size_t *ret_count)
{
	size_t count = 0, max = 1;
	struct pair *pairs;

	for (size_t i = 0; i < n; i++)
		max += text[i] == '&';
	if (max > PAIRS_MAX)
		return false;
	pairs = arena_new(a, struct pair, max);
	for (size_t i = 0; i < n;) {
		const char *p = text + i, *end = memchr(p, '&', n - i), *eq;
		size_t len = end ? (size_t)(end - p) : n - i;

		i += len + 1;
		if (len == 0)
			continue;
		eq = memchr(p, '=', len);
		pairs[count].name = form_decode(a, p, eq ? (size_t)(eq - p) : len);
		pairs[count].value = eq ? form_decode(a, eq + 1, len - (size_t)(eq - p) - 1) : "";
		if (!pairs[count].name || !pairs[count].value)
			return false;
		count++;
	}
	*ret = pairs;
	*ret_count = count;
	return true;
}

void
reply_header(struct reply *rs, const char *name, const char *value)
{
	if (rs->n_headers == sizeof(rs->headers) / sizeof(rs->headers[0]))
		BUG("too many reply headers, at %s", name);
	rs->headers[rs->n_headers++] = (struct header){name, value};
}

enum err
reply_record(struct reply *rs, const struct schema *s, const void *rec)
{
	struct buf out;
	struct json j;

	buf_init(&out, rs->arena, 512);
	json_init(&j, &out);
	field_write_json(&j, NULL, s, rec);
	rs->content_type = NULL;
	rs->body = buf_span(&out);
	return OK;
}

enum err
reply_bytes(struct reply *rs, const char *content_type, struct span body)
{
	rs->content_type = content_type;
	rs->body = body;
	return OK;
}

enum err
reply_empty(struct reply *rs, int status)
{
	rs->status = status;
	rs->content_type = NULL;
	rs->body = (struct span){NULL, 0};
	return OK;
}
