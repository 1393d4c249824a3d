/*
 * The router is built once at the start and never changes, so it needs no lock.
 *
 * A bad row stops the start with BUG(): a route whose access, lane or documents were forgotten must not be served.
 * Percent-encoding is undone segment by segment after the path was cut at its slashes, so an encoded slash is never a separator.
 */
#include "api/router.h"

#include <string.h>

#include "core/crypto.h"
#include "core/limits.h"

struct node {
	const char *text; /* of the segment; a parameter's is NULL */
	size_t n;
	struct node *first, *next; /* fixed children; siblings */
	struct node *param;
	const struct row *rows[METHOD__OTHER];
	const char *allow;
};

struct router {
	struct row *rows;
	size_t n_rows;
	struct node root;
	struct slot { /* paths without parameters */
		const char *path;
		size_t n;
		const struct node *node;
	} * slots;
	size_t mask;
};

bool
path_param(const char *segment, size_t n, const char **ret_name, size_t *ret_n)
{
	if (n < 3 || segment[0] != '{' || segment[n - 1] != '}')
		return false;
	*ret_name = segment + 1;
	*ret_n = n - 2;
	return true;
}

static void
check_route(const struct route *r)
{
	if (!r->path || r->path[0] != '/')
		BUG("route without a path");
	if (r->path[1] && str_ends(r->path, "/"))
		BUG("%s: a row's path has no trailing slash", r->path);
	bool body_rule = r->method != GET || !r->body;
	if (r->method == METHOD_UNSET || r->method == HEAD || r->method >= OPTIONS || !r->handler)
		BUG("%s: method or handler is missing", r->path);
	if (r->access == ACCESS_UNSET || r->lane == LANE_UNSET)
		BUG("%s %s: access or lane is missing", method_name(r->method), r->path);
	if (!r->summary || (!r->tag && !r->hidden))
		BUG("%s %s: summary or tag is missing", method_name(r->method), r->path);
	if (r->status < 200 || r->status > 399 || !body_rule)
		BUG("%s %s: status or body does not fit", method_name(r->method), r->path);
	if (!r->reply && !r->reply_type && r->status != 204 && r->status < 300)
		BUG("%s %s: reply is missing", method_name(r->method), r->path);
	if (r->limit.limit.name && (r->limit.by == BY_UNSET || r->limit.limit.max <= 0 || r->limit.limit.window_s <= 0))
		BUG("%s %s: limit is incomplete", method_name(r->method), r->path);
	if (r->limit.by == BY_ACCOUNT && r->access == ANYONE)
		BUG("%s %s: nobody's account cannot be counted", method_name(r->method), r->path);
	if (r->idempotent && (r->method != POST || r->lane != LANE_WRITE || r->access == ANYONE))
		BUG("%s %s: idempotent rows are POSTs of an account on the write lane", method_name(r->method), r->path);
	if (r->fresh_session && (r->access == ANYONE || r->lane == LANE_LOOP))
		BUG("%s %s: fresh_session needs an account and a database", method_name(r->method), r->path);
	if (r->form && !r->body)
		BUG("%s %s: a form needs a body", method_name(r->method), r->path);
	if (r->files.max && (!r->form || !r->files.part || r->access == ANYONE || r->method != POST || strchr(r->path, '{')))
		BUG("%s %s: files come in forms, by POST of an account, to a path without parameters", method_name(r->method), r->path);
	if (r->prepare && !r->files.max)
		BUG("%s %s: there is nothing to prepare", method_name(r->method), r->path);
}

bool
row_answers(const struct row *row, enum err e)
{
	const struct route *r = row->route;

	for (size_t i = 0; i < ROUTE_ERRORS_MAX && r->errors[i] != OK; i++)
		if (r->errors[i] == e)
			return true;
	switch (e) {
	case ERR_INTERNAL:
	case ERR_RATE_LIMITED:
		return true;
	case ERR_OVERLOADED:
	case ERR_UNAVAILABLE:
		return r->lane != LANE_LOOP || r->access != ANYONE;
	case ERR_MALFORMED_REQUEST:
		return r->body || r->query || row->n_params > 0;
	case ERR_VALIDATION:
		return r->body || r->query || r->idempotent;
	case ERR_BODY_TOO_LARGE:
	case ERR_UNSUPPORTED_MEDIA:
		return r->body;
	case ERR_NOT_FOUND:
		return row->n_params > 0;
	case ERR_NOT_AUTHENTICATED:
	case ERR_ACCESS_EXPIRED:
	case ERR_TOKEN_REVOKED:
		return r->access != ANYONE;
	case ERR_FORBIDDEN:
		return r->access > SIGNED_IN;
	case ERR_IDEMPOTENCY_REUSED:
	case ERR_IDEMPOTENCY_RUNNING:
		return r->idempotent;
	default:
		return false;
	}
}

static struct node *
child(struct arena *a, struct node *at, const char *segment, size_t n)
{
	for (struct node *c = at->first; c; c = c->next)
		if (c->n == n && memcmp(c->text, segment, n) == 0)
			return c;
	struct node *c = arena_new(a, struct node, 1);
	c->text = segment;
	c->n = n;
	c->next = at->first;
	at->first = c;
	return c;
}

static void
add_param(struct row *row, const char *name, size_t n)
{
	if (row->n_params == PATH_PARAMS_MAX)
		BUG("%s: too many parameters", row->route->path);
	row->is_id[row->n_params++] = (n == 2 && memcmp(name, "id", 2) == 0) || (n > 3 && memcmp(name + n - 3, "_id", 3) == 0);
}

static void
add_row(struct arena *a, struct router *r, struct row *row)
{
	const char *path = row->route->path;
	struct node *at = &r->root;

	for (const char *p = path; *p == '/' && p[1];) {
		size_t n = strcspn(++p, "/"), name_n;
		const char *name;
		if (n == 0)
			BUG("%s: empty segment", path);
		if (path_param(p, n, &name, &name_n)) {
			add_param(row, name, name_n);
			if (!at->param)
				at->param = arena_new(a, struct node, 1);
			at = at->param;
		} else {
			at = child(a, at, p, n);
		}
		p += n;
	}
	if (at->rows[row->route->method])
		BUG("%s %s: listed twice", method_name(row->route->method), path);
	at->rows[row->route->method] = row;
}

static void
make_allow(struct arena *a, struct node *n)
{
	struct buf b;

	buf_init(&b, a, 64);
	for (enum method m = GET; m < METHOD__OTHER; m++) {
		bool has = n->rows[m] || (m == HEAD && n->rows[GET]) || (m == OPTIONS && b.n);
		if (has)
			buf_printf(&b, "%s%s", b.n ? ", " : "", method_name(m));
	}
	n->allow = b.n ? buf_cstr(&b) : NULL;
	for (struct node *c = n->first; c; c = c->next)
		make_allow(a, c);
	if (n->param)
		make_allow(a, n->param);
}

static size_t
hash(const char *s, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)s[i]) * 0x100000001b3u;
	return (size_t)(h ^ (h >> 29));
}

static const struct node *
probe(const struct router *r, const char *path, size_t n)
{
	for (size_t i = hash(path, n) & r->mask; r->slots[i].path; i = (i + 1) & r->mask)
		if (r->slots[i].n == n && memcmp(r->slots[i].path, path, n) == 0)
			return r->slots[i].node;
	return NULL;
}

static void
make_slots(struct arena *a, struct router *r)
{
	size_t size = 16;

	while (size < 3 * r->n_rows)
		size *= 2;
	r->mask = size - 1;
	r->slots = arena_new(a, struct slot, size);
	for (size_t k = 0; k < r->n_rows; k++) {
		const char *path = r->rows[k].route->path;
		size_t n = strlen(path);
		if (r->rows[k].n_params || probe(r, path, n))
			continue;
		const struct node *at = &r->root;
		for (const char *p = path; p[1];) {
			size_t len = strcspn(++p, "/");
			for (at = at->first; at->n != len || memcmp(at->text, p, len) != 0;)
				at = at->next;
			p += len;
			if (!*p)
				break;
		}
		size_t i = hash(path, n) & r->mask;
		while (r->slots[i].path)
			i = (i + 1) & r->mask;
		r->slots[i] = (struct slot){path, n, at};
	}
}

struct router *
router_open(struct arena *a, const struct route_table *const *tables, size_t n_tables)
{
	struct router *r = arena_new(a, struct router, 1);

	for (size_t t = 0; t < n_tables; t++)
		r->n_rows += tables[t]->count;
	r->rows = arena_new(a, struct row, r->n_rows + 1);
	size_t k = 0;
	for (size_t t = 0; t < n_tables; t++)
		for (size_t i = 0; i < tables[t]->count; i++, k++) {
			check_route(&tables[t]->rows[i]);
			r->rows[k] = (struct row){.route = &tables[t]->rows[i], .surface = tables[t]->surface, .number = k};
			add_row(a, r, &r->rows[k]);
		}
	make_allow(a, &r->root);
	make_slots(a, r);
	return r;
}

const struct row *
router_rows(const struct router *r, size_t *ret_count)
{
	*ret_count = r->n_rows;
	return r->rows;
}

struct segments {
	const char *text[16];
	size_t n;
};

/* Cuts and decodes.  A path with more segments than any route has is simply unknown. */
static enum err
cut(struct arena *a, const char *path, size_t n, struct segments *ret)
{
	const char *p = path, *end = path + n;

	ret->n = 0;
	while (p < end) {
		p++;
		const char *slash = memchr(p, '/', (size_t)(end - p));
		const char *stop = slash ? slash : end;
		if (ret->n == sizeof(ret->text) / sizeof(ret->text[0]))
			return ERR_NOT_FOUND;
		char *out = arena_new(a, char, (size_t)(stop - p) + 1);
		ret->text[ret->n++] = out;
		for (; p < stop; p++) {
			uint8_t byte = (uint8_t)*p;
			if (byte == '%') {
				char digits[3] = {stop - p < 3 ? 0 : p[1], stop - p < 3 ? 0 : p[2], 0};
				if (!hex_decode(digits, &byte, 1))
					return ERR_MALFORMED_REQUEST;
				p += 2;
			}
			if (byte == 0)
				return ERR_MALFORMED_REQUEST;
			*out++ = (char)byte;
		}
	}
	return OK;
}

/* Fixed segments first; a dead end goes back to the parameter. */
static const struct node *
walk(const struct node *at, const struct segments *s, size_t i, const char **params, int n_params)
{
	if (i == s->n)
		return at->allow ? at : NULL;
	size_t n = strlen(s->text[i]);
	for (const struct node *c = at->first; c; c = c->next)
		if (c->n == n && memcmp(c->text, s->text[i], n) == 0) {
			const struct node *found = walk(c, s, i + 1, params, n_params);
			if (found)
				return found;
			break;
		}
	if (!at->param || n == 0 || n_params == PATH_PARAMS_MAX)
		return NULL;
	params[n_params] = s->text[i];
	return walk(at->param, s, i + 1, params, n_params + 1);
}

static enum err
check_params(struct arena *a, const struct row *row, struct route_match *m)
{
	for (int i = 0; i < row->n_params; i++) {
		if (str_has_control(m->params[i]) || !str_utf8_valid(span_str(m->params[i])))
			return ERR_MALFORMED_REQUEST;
		if (!row->is_id[i])
			continue;
		struct uuid *id = arena_new(a, struct uuid, 1);
		if (!uuid_canonical(m->params[i], id))
			return ERR_NOT_FOUND;
		m->params[i] = id->text;
	}
	return OK;
}

enum err
router_find(const struct router *r, struct arena *a, enum method m, const char *path, struct route_match *ret)
{
	struct segments segments;
	size_t n = strlen(path);

	*ret = (struct route_match){0};
	if (n > 1 && path[n - 1] == '/')
		n--;
	const struct node *at = probe(r, path, n);
	if (!at) {
		TRY(cut(a, path, n == 1 ? 0 : n, &segments));
		at = walk(&r->root, &segments, 0, ret->params, 0);
	}
	if (!at)
		return ERR_NOT_FOUND;
	ret->allow = at->allow;
	if (m == METHOD_UNSET || m >= METHOD__OTHER)
		return ERR_METHOD_NOT_ALLOWED;
	if (m == HEAD && !at->rows[HEAD])
		m = GET;
	ret->row = at->rows[m];
	if (m == OPTIONS)
		return OK;
	if (!ret->row)
		return ERR_METHOD_NOT_ALLOWED;
	return check_params(a, ret->row, ret);
}
