/*
 * Rows that take files: how large their bodies may be, how they are taken apart, and what a file must be before any handler sees it.
 *
 * A body of megabytes is worth holding only for somebody who may send it, so one over the ordinary ceiling is refused at its headers
 * unless the access token is good; a smaller one takes the ordinary way through the phases, where it is counted.  That is when it is
 * complete: who sends long ones without a token, or never ends them, shares a part of the memory for bodies with others like him.
 */
#include "api/upload.h"

#include <string.h>

#include "api/call.h"
#include "core/image.h"
#include "identity/token.h"

enum { FORM_ALLOWANCE = 320 << 10 }; /* texts and headers beside the files: MULTIPART_TEXTS_MAX, and the parts' heads */

static int64_t
max_file_bytes(const struct config *conf)
{
	return conf->upload_max_image_mb << 20;
}

int64_t
upload_body_max(const struct config *conf, const struct route *r)
{
	return r->files.max ? r->files.max * max_file_bytes(conf) + FORM_ALLOWANCE : BODY_MAX;
}

struct multipart_rule
upload_rule(const struct config *conf, const struct route *r)
{
	return (struct multipart_rule){.file_part = r->files.part,
		.max_files = r->files.max,
		.max_file_bytes = max_file_bytes(conf),
		.ignore_files = r->files.max > 0,
		.length = -1};
}

/* Such rows have no parameters in their paths (router.c sees to it), so this needs no memory. */
static const struct route *
row_with_files(const struct dispatcher *d, const struct request *rq)
{
	size_t n = strlen(rq->path), n_rows;
	const struct row *rows = router_rows(d->router, &n_rows);

	if (rq->method != POST)
		return NULL;
	if (n > 1 && rq->path[n - 1] == '/')
		n--;
	for (size_t i = 0; i < n_rows; i++) {
		const struct route *r = rows[i].route;
		if (r->files.max && strncmp(r->path, rq->path, n) == 0 && !r->path[n])
			return r;
	}
	return NULL;
}

static bool
fits(const struct request *rq, int64_t max)
{
	const char *length = request_header(rq, "Content-Length");
	int64_t n;

	return length && str_int(length, 0, max, &n);
}

static enum err
check_token(const struct dispatcher *d, const struct request *rq)
{
	const struct client client = {.request_id = rq->id, .ip = rq->ip, .user_agent = ""};
	const char *token = bearer_token(request_header(rq, "Authorization"));
	struct access_claims claims;
	struct arena a;
	struct ctx cx;

	if (!token)
		return ERR_NOT_AUTHENTICATED;
	arena_init(&a);
	ctx_init(&cx, &a, d->srv);
	cx.client = &client;
	enum err e = access_verify(&cx, token, &claims);
	arena_release(&a);
	return e;
}

void
dispatch_body_limit(void *dispatcher, const struct request *rq, struct body_rule *ret)
{
	const struct dispatcher *d = dispatcher;
	const struct route *r = row_with_files(d, rq);
	enum err e = fits(rq, STRANGER_BODY_LONG) ? OK : check_token(d, rq);

	ret->max = r ? upload_body_max(d->conf, r) : BODY_MAX; /* rows without a body ignore what is sent, within it */
	ret->stranger = e != OK;
	ret->refusal = r && !fits(rq, BODY_MAX) ? e : OK;
}

bool
dispatch_uploads(void *dispatcher, const struct request *rq, struct multipart_rule *ret)
{
	const struct dispatcher *d = dispatcher;
	const struct route *r = row_with_files(d, rq);

	if (r)
		*ret = upload_rule(d->conf, r);
	return r;
}

static bool
type_allowed(const struct config *conf, enum image_kind kind)
{
	for (size_t i = 0; i < conf->upload_allowed_image_types.count; i++)
		if (strcmp(conf->upload_allowed_image_types.items[i], image_types[kind]) == 0)
			return true;
	return false;
}

enum err
upload_check(struct ctx *cx, const struct route *r, const struct request *rq)
{
	const struct multipart_parts *parts = rq->parts;
	struct image_info info;
	int n = parts ? parts->n_files : 0;

	if (!r->files.max)
		return OK;
	if (n < r->files.min || n > r->files.max) {
		if (r->files.max == 1)
			error_field(cx, r->files.part, n ? "one file at most" : "is required, as a file of multipart/form-data");
		else
			error_field(cx, r->files.part, "%d to %d files of multipart/form-data", r->files.min, r->files.max);
		return fail(cx, ERR_VALIDATION, NULL);
	}
	for (int i = 0; i < n; i++) {
		bool whole = image_probe(parts->files[i].bytes, &info);
		if (info.kind == IMAGE_NONE || !type_allowed(cx->srv->conf, info.kind))
			return fail(cx, ERR_UNSUPPORTED_MEDIA, "This is no picture of a type that is accepted here.");
		if (!whole) {
			error_field(cx, r->files.part, "is no complete picture");
			return fail(cx, ERR_VALIDATION, NULL);
		}
	}
	return OK;
}
