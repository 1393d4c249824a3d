/* Parsers of the front: multipart bodies, cookies, forwarded addresses, forms and query strings. */
#include "fuzz.h"

#include <string.h>
#include <strings.h>

#include "http/inside.h"

/* --- multipart: the first line is the content type ---- */

static bool
reserve(void *arg, size_t bytes)
{
	size_t *left = arg;

	if (bytes > *left)
		return false;
	*left -= bytes;
	return true;
}

/* Fed in pieces of `step` bytes. */
static enum err
take_apart(struct arena *a, const char *type, struct span body, size_t step, struct multipart_parts *ret)
{
	size_t left = 1 << 20;
	const struct multipart_rule rule = {.file_part = "file",
		.max_files = 2,
		.max_file_bytes = 512,
		.length = -1,
		.ignore_files = body.n % 2,
		.reserve = reserve,
		.arg = &left};
	struct multipart *m = multipart_open(a, type, &rule);

	if (!m)
		return ERR_MALFORMED_REQUEST;
	for (size_t at = 0; at < body.n; at += step) {
		enum err e = multipart_feed(m, body.p + at, body.n - at < step ? body.n - at : step);
		if (e != OK)
			return e;
	}
	return multipart_end(m, ret);
}

static void
parts_within_bounds(const struct multipart_parts *parts)
{
	HOLDS(parts->n_pairs <= MULTIPART_PARTS_MAX);
	for (size_t i = 0; i < parts->n_pairs; i++)
		HOLDS(parts->pairs[i].name[0] && str_utf8_valid(span_str(parts->pairs[i].value)));
	for (int i = 0; i < parts->n_files && i < 2; i++)
		HOLDS(parts->files[i].bytes.n > 0 && parts->files[i].bytes.n <= 512);
}

static void
parts_equal(const struct multipart_parts *x, const struct multipart_parts *y)
{
	HOLDS(x->n_pairs == y->n_pairs && x->n_files == y->n_files);
	for (size_t i = 0; i < x->n_pairs; i++)
		HOLDS(str_eq(x->pairs[i].name, y->pairs[i].name) && str_eq(x->pairs[i].value, y->pairs[i].value));
	for (int i = 0; i < x->n_files && i < 2; i++)
		HOLDS(span_eq(x->files[i].bytes, y->files[i].bytes) && str_eq(x->files[i].type, y->files[i].type));
}

void
fuzz_multipart(struct arena *a, struct span in)
{
	static const size_t steps[] = {1, 2, 7};
	const char *type = fuzz_line(a, &in);
	struct multipart_parts whole = {0};
	enum err e = take_apart(a, type, in, in.n + 1, &whole);

	(void)media_is(type, "multipart/form-data");
	if (e == OK)
		parts_within_bounds(&whole);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct multipart_parts pieces = {0};

		HOLDS(take_apart(a, type, in, steps[i], &pieces) == e);
		if (e == OK)
			parts_equal(&whole, &pieces);
	}
}

/* --- headers: one a line ---- */

enum { LINES_MAX = 12 };

/* "Name: value"; false when the guard would have refused it. */
static bool
header_read(struct arena *a, const char *line, struct header *ret)
{
	const char *colon = strchr(line, ':');

	if (!colon || colon == line || str_has_control(colon))
		return false;
	ret->name = arena_strndup(a, line, (size_t)(colon - line));
	ret->value = colon + 1 + strspn(colon + 1, " \t");
	return true;
}

static size_t
headers_read(struct arena *a, struct span in, struct header ret[LINES_MAX])
{
	size_t n = 0;

	while (in.n && n < LINES_MAX)
		n += header_read(a, fuzz_line(a, &in), &ret[n]);
	return n;
}

/* The first line is the name of the cookie that is looked for. */
void
fuzz_cookie(struct arena *a, struct span in)
{
	const char *name = fuzz_line(a, &in), *value;
	struct header headers[LINES_MAX];
	struct request rq = {.headers = headers, .n_headers = headers_read(a, in, headers)};
	bool sent = false;

	if (!name[0] || strpbrk(name, "=; \t"))
		return;
	value = request_cookie(a, &rq, name);
	if (!value)
		return;
	HOLDS(!strchr(value, ';'));
	for (size_t i = 0; i < rq.n_headers; i++)
		sent |= strcasecmp(headers[i].name, "Cookie") == 0 && strstr(headers[i].value, name) && strstr(headers[i].value, value);
	HOLDS(sent);
	const struct header plain = {"Cookie", arena_printf(a, "a=b; %s=%s", name, value)};
	const struct request again = {.headers = &plain, .n_headers = 1};
	if (strcmp(name, "a") != 0 && value[0] && !strpbrk(value, " \t\""))
		HOLDS(str_eq(request_cookie(a, &again, name), value));
}

/* The first line is a CIDR that is trusted besides 10.0.0.0/8, the second the peer. */
void
fuzz_forwarded(struct arena *a, struct span in)
{
	struct cidr trusted[2];
	struct http_server s = {.trusted = trusted, .n_trusted = 1};
	struct header headers[LINES_MAX + 1] = {{"X-Forwarded-For", "203.0.113.9, 10.0.0.2"}};
	uint8_t peer[16], client[16];
	char ip[46], again[46], prefix[46];

	HOLDS(cidr_parse("10.0.0.0/8", &trusted[0]));
	if (cidr_parse(fuzz_line(a, &in), &trusted[1])) {
		HOLDS(cidr_has(&trusted[1], trusted[1].addr) && trusted[1].bits >= 0 && trusted[1].bits <= 128);
		s.n_trusted = 2;
	}
	if (!ip_parse(fuzz_line(a, &in), peer) || !address_trusted(&s, peer))
		HOLDS(ip_parse("10.0.0.1", peer));
	struct request rq = {.headers = headers + 1, .n_headers = headers_read(a, in, headers + 1)};
	address_client(&s, &rq, peer, ip);
	HOLDS(ip_parse(ip, client));
	ip_text(client, again);
	HOLDS(strcmp(ip, again) == 0);
	ip_prefix(ip, prefix);
	if (address_trusted(&s, client))
		return;
	/* An untrusted hop was found: what a client wrote further left changes nothing. */
	rq.headers--;
	rq.n_headers++;
	address_client(&s, &rq, peer, again);
	HOLDS(strcmp(ip, again) == 0);
}

/* --- forms and query strings ---- */

static void
pairs_write(struct buf *out, const struct pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *const both[] = {pairs[i].name, pairs[i].value};

		for (int k = 0; k < 2; k++) {
			buf_chr(out, k ? '=' : '&');
			for (const char *p = both[k]; *p; p++)
				buf_printf(out, "%%%02X", (uint8_t)*p);
		}
	}
}

void
fuzz_pairs(struct arena *a, struct span in)
{
	struct pair *pairs = NULL, *again = NULL;
	size_t n = 0, again_n = 0;
	struct buf out;

	if (!pairs_parse(a, (const char *)in.p, in.n, &pairs, &n))
		return;
	buf_init(&out, a, 3 * in.n + 8);
	pairs_write(&out, pairs, n);
	HOLDS(pairs_parse(a, buf_cstr(&out), out.n, &again, &again_n) && again_n == n);
	for (size_t i = 0; i < n; i++) {
		HOLDS(str_utf8_valid(span_str(pairs[i].value)) && !str_has_control(pairs[i].value));
		HOLDS(str_eq(pairs[i].name, again[i].name) && str_eq(pairs[i].value, again[i].value));
	}
}
