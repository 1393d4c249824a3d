/*
 * Reading what a client sent.  Form 400 or 415, meaning 422: a body that cannot be taken apart is malformed, one whose members
 * break the row's schema is refused by the field table with one message per member.
 *
 * The server takes the multipart bodies of rows with files apart as they come; whatever else is multipart lies in raw_body and goes
 * through the same parser here.
 */
#include "api/body.h"

#include <string.h>
#include <strings.h>

#include "api/upload.h"
#include "core/json.h"

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

static bool
in_schema(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return true;
	return false;
}

static enum err
read_multipart(struct ctx *cx, const struct route *r, struct request *rq, const char *content_type, void *ret)
{
	if (!rq->parts) {
		const struct multipart_rule rule = upload_rule(cx->srv->conf, r);
		struct multipart *m = multipart_open(cx->arena, content_type, &rule);
		struct multipart_parts *parts = arena_new(cx->arena, struct multipart_parts, 1);
		enum err e = m ? multipart_feed(m, rq->raw_body.p, rq->raw_body.n) : ERR_MALFORMED_REQUEST;
		if (e == OK)
			e = multipart_end(m, parts);
		if (e != OK)
			return fail(cx, e, e == ERR_MALFORMED_REQUEST ? "The form is not well-formed." : NULL);
		rq->parts = parts;
	}
	struct pair *known = arena_new(cx->arena, struct pair, rq->parts->n_pairs);
	size_t n = 0;
	for (size_t i = 0; i < rq->parts->n_pairs; i++)
		if (!r->files.max || in_schema(r->body, rq->parts->pairs[i].name))
			known[n++] = rq->parts->pairs[i];
	return field_read_pairs(cx, r->body, known, n, ret);
}

static enum err
read_form(struct ctx *cx, const struct route *r, struct request *rq, const char *content_type, void *ret)
{
	struct pair *pairs = NULL;
	size_t n = 0;

	if (media_is(content_type, "multipart/form-data"))
		return read_multipart(cx, r, rq, content_type, ret);
	if (!pairs_parse(cx->arena, (const char *)rq->raw_body.p, rq->raw_body.n, &pairs, &n))
		return fail(cx, ERR_MALFORMED_REQUEST, "The form is not well-formed.");
	return field_read_pairs(cx, r->body, pairs, n, ret);
}

enum err
body_read(struct ctx *cx, const struct route *r, struct request *rq, const char *content_type, const char *content_encoding)
{
	if (!r->body)
		return OK;
	if (rq->raw_body.n > (size_t)upload_body_max(cx->srv->conf, r))
		return fail(cx, ERR_BODY_TOO_LARGE, NULL);
	bool json = media_is(content_type, "application/json");
	bool form = r->form && (media_is(content_type, "application/x-www-form-urlencoded") ||
				       media_is(content_type, "multipart/form-data"));
	const char *charset = content_type ? header_param(cx->arena, content_type, "charset", 20) : NULL;
	bool sent = rq->parts || rq->raw_body.n;
	bool csv = r->csv && media_is(content_type, "text/csv");
	if (sent && ((!json && !form && !csv) || (charset && strcasecmp(charset, "utf-8") != 0)))
		return fail(cx, ERR_UNSUPPORTED_MEDIA, NULL);
	if (content_encoding && strcasecmp(content_encoding, "identity") != 0)
		return fail(cx, ERR_UNSUPPORTED_MEDIA, "Send the body without a content encoding.");
	if (csv)
		return OK;
	void *body = arena_alloc(cx->arena, 1, r->body->size);
	if (form && sent)
		TRY(read_form(cx, r, rq, content_type, body));
	else
		TRY(read_json(cx, r->body, rq->raw_body, body));
	TRY(upload_check(cx, r, rq));
	rq->body = body;
	return OK;
}
