/*
 * What every reply carries, and the error documents of the surfaces.
 *
 * The constant headers are one prebuilt array that is copied as it is; a handler that needs another value (the web app's pages
 * and their Permissions-Policy) sets its own before, and keeps it.  An error reply drops whatever the handler had set.
 */
#include <string.h>
#include <strings.h>

#include "api/call.h"
#include "core/json.h"

static const char expose_headers[] = "X-Request-ID, Retry-After, X-Device-Token";
static const char allow_headers[] =
	"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Device-Token, X-Muster-Client, X-Request-ID";

void
reply_fixed_init(struct dispatcher *d)
{
	const struct header fixed[HEADERS_FIXED] = {
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "strict-origin-when-cross-origin"},
		{"Permissions-Policy", "camera=(), microphone=(), geolocation=(), interest-cohort=()"},
	};

	memcpy(d->fixed, fixed, sizeof(fixed));
}

static bool
has_header(const struct reply *rs, const char *name)
{
	for (size_t i = 0; i < rs->n_headers; i++)
		if (strcasecmp(rs->headers[i].name, name) == 0)
			return true;
	return false;
}

static void
add_cors(const struct dispatcher *d, const struct call *c, const struct request *rq, struct reply *rs)
{
	const struct conf_list *origins = &d->conf->cors_origins;
	const char *origin = c ? c->origin : request_header(rq, "Origin");

	if (origins->count == 0)
		return;
	reply_header(rs, "Vary", "Origin");
	if (!origin || !conf_list_has(origins, origin))
		return;
	reply_header(rs, "Access-Control-Allow-Origin", origin);
	if (d->conf->cors_allow_credentials)
		reply_header(rs, "Access-Control-Allow-Credentials", "true");
	if (!c || rq->method != OPTIONS) {
		reply_header(rs, "Access-Control-Expose-Headers", expose_headers);
	} else if (c->allow && request_header(rq, "Access-Control-Request-Method")) {
		reply_header(rs, "Access-Control-Allow-Methods", c->allow);
		reply_header(rs, "Access-Control-Allow-Headers", allow_headers);
		reply_header(rs, "Access-Control-Max-Age", "600");
	}
}

void
reply_common(const struct dispatcher *d, const struct call *c, const struct request *rq, struct reply *rs)
{
	if (rs->n_headers == 0) {
		memcpy(rs->headers, d->fixed, sizeof(d->fixed));
		rs->n_headers = HEADERS_FIXED;
	} else {
		for (size_t i = 0; i < HEADERS_FIXED; i++)
			if (!has_header(rs, d->fixed[i].name))
				reply_header(rs, d->fixed[i].name, d->fixed[i].value);
	}
	reply_header(rs, "X-Request-ID", rq->id);
	if (c && c->row && c->row->route->no_store && !has_header(rs, "Cache-Control"))
		reply_header(rs, "Cache-Control", "no-store");
	if (d->conf->env == ENV_PROD && rq->tls)
		reply_header(rs, "Strict-Transport-Security", "max-age=31536000");
	if (rs->content_type && str_starts(rs->content_type, "text/html") && !has_header(rs, "Content-Security-Policy"))
		reply_header(rs, "Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'");
	add_cors(d, c, rq, rs);
}

static void
write_notes(struct json *j, const struct error *e, bool nested)
{
	for (const struct error_note *n = e->notes; n; n = n->next) {
		if (n->field || (n->json && !nested))
			continue;
		if (n->json)
			json_raw(j, n->name, n->text);
		else if (n->text)
			json_str(j, n->name, n->text);
		else
			json_int(j, n->name, n->number);
	}
}

static void
write_fields(struct json *j, const char *key, const struct error *e)
{
	json_arr(j, key);
	for (const struct error_note *n = e->notes; n; n = n->next) {
		if (!n->field)
			continue;
		json_obj(j, NULL);
		json_str(j, "field", n->field);
		json_str(j, "message", n->text);
		json_obj_end(j);
	}
	json_arr_end(j);
}

static void
write_flat(struct json *j, const struct request *rq, const struct error *e)
{
	const struct err_row *row = err_row(e->code);

	json_str(j, "error", row->code);
	json_str(j, "message", e->message ? e->message : row->sentence);
	json_str(j, "request_id", rq->id);
	write_notes(j, e, false);
	if (e->code == ERR_VALIDATION)
		write_fields(j, "details", e);
}

static void
write_nested(struct json *j, const struct request *rq, const struct error *e)
{
	const struct err_row *row = err_row(e->code);

	json_obj(j, "error");
	json_str(j, "code", row->status == 422 ? "VALIDATION_ERROR" : row->status == 500 ? "INTERNAL_ERROR" : "HTTP_ERROR");
	json_str(j, "message", e->message ? e->message : row->sentence);
	json_obj(j, "details");
	json_str(j, "reason", row->code);
	write_notes(j, e, true);
	if (row->status == 422)
		write_fields(j, "fields", e);
	json_obj_end(j);
	json_str(j, "request_id", rq->id);
	json_obj_end(j);
}

void
error_body(struct buf *out, enum surface s, const struct request *rq, const struct error *e)
{
	struct json j;

	json_init(&j, out);
	json_obj(&j, NULL);
	if (s == SURFACE_CAMPUS || s == SURFACE_ACCOUNTS)
		write_nested(&j, rq, e);
	else
		write_flat(&j, rq, e);
	json_obj_end(&j);
}

static const char *
challenge(enum err code)
{
	switch (code) {
	case ERR_ACCESS_EXPIRED:
		return "Bearer realm=\"muster\", error=\"invalid_token\", error_description=\"expired\"";
	case ERR_TOKEN_REVOKED:
		return "Bearer realm=\"muster\", error=\"invalid_token\", error_description=\"revoked\"";
	default:
		return "Bearer realm=\"muster\"";
	}
}

void
reply_error(struct reply *rs, enum surface s, const struct request *rq, const struct error *e)
{
	const struct err_row *row = err_row(e->code);
	struct buf out;

	buf_init(&out, rs->arena, 256);
	error_body(&out, s, rq, e);
	rs->status = row->status;
	rs->content_type = NULL;
	rs->body = buf_span(&out);
	rs->n_headers = 0;
	if (row->status == 401)
		reply_header(rs, "WWW-Authenticate", challenge(e->code));
	if (e->retry_after_s > 0 || row->status == 429 || row->status == 503 || e->code == ERR_IDEMPOTENCY_RUNNING)
		reply_header(rs, "Retry-After", arena_printf(rs->arena, "%d", e->retry_after_s > 0 ? e->retry_after_s : 1));
}

static bool
under(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

enum surface
surface_of_path(const char *path)
{
	if (!path || under(path, "/v1/health") || under(path, "/v1/ready") || under(path, "/api/v1/health"))
		return SURFACE_OPS;
	if (under(path, "/api/v1"))
		return SURFACE_CAMPUS;
	if (under(path, "/api"))
		return SURFACE_PORTAL;
	return under(path, "/v1") ? SURFACE_ACCOUNTS : SURFACE_OPS;
}

bool
accepts(const struct request *rq, const char *type, const char *other)
{
	const char *accept = request_header(rq, "Accept");
	const char *at = accept ? strcasestr(accept, type) : NULL, *before = accept ? strcasestr(accept, other) : NULL;

	return at && (!before || at < before);
}
