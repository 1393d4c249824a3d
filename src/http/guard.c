/*
 * The framing guard.  The library is lenient where RFC 9112 lets a server choose, and two programs that choose differently about
 * where a request ends can be played against each other.  So whatever is ambiguous is refused and the connection closed: a length
 * with a transfer coding, two lengths or hosts, codings other than "chunked", bytes that do not belong into names and values,
 * line folding, and NUL, which the library's C strings would hide: for that the raw header block is compared with what the
 * library made of it.
 */
#include <string.h>
#include <strings.h>

#include "http/inside.h"

struct seen {
	struct server_side *side;
	const char *host, *coding, *length, *id;
	bool forwarded, bad;
};

static bool
token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool
name_ok(const char *name, size_t n)
{
	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!token_char((unsigned char)name[i]))
			return false;
	return true;
}

static bool
value_ok(const char *value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static void
take_once(struct seen *seen, const char **slot, const char *value)
{
	if (*slot)
		seen->bad = true;
	*slot = value;
}

static enum MHD_Result
on_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_n, const char *value, size_t value_n)
{
	struct seen *seen = arg;
	struct server_side *side = seen->side;
	struct request *rq = &side->x.request;

	(void)kind;
	if (!value)
		value = "", value_n = 0;
	if (rq->n_headers == HEADER_COUNT_MAX || !name_ok(name, name_n) || !value_ok(value, value_n)) {
		seen->bad = true;
		return MHD_NO;
	}
	side->headers[rq->n_headers++] = (struct header){name, value};
	switch (name[0] | 0x20) {
	case 'h':
		if (strcasecmp(name, "Host") == 0)
			take_once(seen, &seen->host, value);
		break;
	case 'c':
		if (strcasecmp(name, "Content-Length") == 0)
			take_once(seen, &seen->length, value);
		break;
	case 't':
		if (strcasecmp(name, "Transfer-Encoding") == 0)
			take_once(seen, &seen->coding, value);
		break;
	case 'f':
		seen->forwarded |= strcasecmp(name, "Forwarded") == 0;
		break;
	case 'x':
		if (strcasecmp(name, "X-Request-ID") == 0)
			seen->id = value;
		else
			seen->forwarded |= strncasecmp(name, "X-Forwarded-", 12) == 0;
		break;
	}
	return MHD_YES;
}

#if MHD_VERSION < 0x01000000
/* The terminators the library wrote: exactly two bytes of CRLF after `p`, then `next`. */
static bool
line_ends(const char *p, const char *next)
{
	return p + 2 == next && p[0] == '\0' && (p[1] == '\0' || p[1] == '\n');
}

/*
 * Every byte from the request line to the end of the headers must be part of a string we were given, or the blank, colon or line
 * end between two of them.  Version 1.0 of the library checks this itself.
 */
static bool
block_whole(const struct server_side *side, const char *version, const char *end)
{
	const char *p = version + strlen(version);

	if (side->uri + side->uri_n + 1 != version)
		return false;
	for (size_t i = 0; i < side->x.request.n_headers; i++) {
		const struct header *h = &side->headers[i];

		if (!line_ends(p, h->name))
			return false;
		p = h->name + strlen(h->name) + 1;
		while (p < h->value && (*p == ' ' || *p == '\t' || *p == '\0'))
			p++;
		if (p != h->value)
			return false;
		p += strlen(p);
	}
	return p + 4 == end && line_ends(p, p + 2) && line_ends(p + 2, end);
}
#endif

/* One copy of the whole header block; the strings in it move along. */
static void
headers_copy(struct server_side *side, const char *block, size_t block_n)
{
	struct request *rq = &side->x.request;
	char *copy = arena_new(&side->x.arena, char, block_n + 1);
	uintptr_t base = (uintptr_t)block;

	memcpy(copy, block, block_n);
	for (size_t i = 0; i < rq->n_headers; i++) {
		const char **strings[] = {&side->headers[i].name, &side->headers[i].value};

		for (int k = 0; k < 2; k++) {
			uintptr_t at = (uintptr_t)*strings[k];

			if (at >= base && at - base < block_n)
				*strings[k] = copy + (at - base);
			else
				*strings[k] = arena_strdup(&side->x.arena, *strings[k]);
		}
	}
	rq->headers = side->headers;
}

static enum method
method_of(const char *s)
{
	static const struct {
		const char *name;
		enum method method;
	} rows[] = {{"GET", GET}, {"HEAD", HEAD}, {"POST", POST}, {"PUT", PUT}, {"PATCH", PATCH}, {"DELETE", DELETE},
		{"OPTIONS", OPTIONS}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, s) == 0)
			return rows[i].method;
	return METHOD__OTHER;
}

static bool
id_ok(const char *s)
{
	size_t n = s ? strlen(s) : 0;

	if (n == 0 || n > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
			    c == '-'))
			return false;
	}
	return true;
}

static void
id_set(struct server_side *side, const char *given)
{
	const struct source *source = side->loop->server->o.source;
	uint8_t random[10];

	if (id_ok(given)) {
		str_copy(side->id, sizeof(side->id), given);
	} else {
		source->random(source->arg, random, sizeof(random));
		str_copy(side->id, sizeof(side->id), uuid_v7(source->wall_us(source->arg), random).text);
	}
	side->x.request.id = side->id;
}

/* The target is a path of visible ASCII, as every client sends that encodes it. */
static bool
target_ok(const struct request *rq)
{
	const char *const parts[] = {rq->path, rq->query_text};

	if (rq->path[0] != '/')
		return false;
	for (int i = 0; i < 2; i++)
		for (const unsigned char *p = (const unsigned char *)parts[i]; *p; p++)
			if (*p <= 0x20 || *p >= 0x7f)
				return false;
	return true;
}

static bool
framing_ok(struct server_side *side, const struct seen *seen, const char *version)
{
	int64_t n;

	if (seen->bad || (seen->length && seen->coding) || (!seen->host && strcmp(version, "HTTP/1.1") == 0))
		return false;
	if (seen->coding && (strcasecmp(seen->coding, "chunked") != 0 || strcmp(version, "HTTP/1.1") != 0))
		return false;
	if (seen->length) {
		if (seen->length[0] < '0' || seen->length[0] > '9' || !str_int(seen->length, 0, INT64_MAX, &n))
			return false;
		side->length = n;
	}
	side->has_body = seen->coding || side->length > 0;
	return true;
}

enum err
guard_read(struct server_side *side, const char *method, const char *version)
{
	struct request *rq = &side->x.request;
	struct seen seen = {.side = side};
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(side->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	size_t block_n = info ? info->header_size : 0;
	bool ok;

	rq->method = method_of(method);
	MHD_get_connection_values_n(side->mhd, MHD_HEADER_KIND, on_header, &seen);
	ok = framing_ok(side, &seen, version) && target_ok(rq);
#if MHD_VERSION < 0x01000000
	ok = ok && block_whole(side, version, method + block_n);
#endif
	rq->forwarded = seen.forwarded;
	id_set(side, seen.id);
	headers_copy(side, method, block_n);
	if (side->conn->trusted)
		address_client(side->loop->server, rq, side->conn->peer, side->ip);
	else
		memcpy(side->ip, side->conn->peer_ip, sizeof(side->ip));
	return ok ? OK : ERR_MALFORMED_REQUEST;
}
