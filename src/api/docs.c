/*
 * The documentation pages: /openapi.json, Swagger UI at /docs, Redoc at /redoc, and their files under /docs/.  They work offline,
 * ask nobody outside, and are there only where DOCS_ENABLED says so.
 *
 * Scripts run only from our own files.  Both viewers make style elements as they go, hence 'unsafe-inline' for styles alone;
 * Redoc searches in a worker that it makes from a blob.
 */
#include "api/docs.h"

#include "api/assets.h"
#include "api/dispatch.h"
#include "core/conf.h"

static const char docs_csp[] =
	"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
	"connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool
docs_served(const struct config *conf)
{
	return conf->docs_enabled && asset_find("docs/swagger.html");
}

static enum err
page(struct ctx *cx, const struct request *rq, struct reply *rs, const char *name)
{
	const struct asset *asset = cx->srv->conf->docs_enabled ? asset_find(name) : NULL;

	if (!asset)
		return fail(cx, ERR_NOT_FOUND, NULL);
	bool html = str_starts(asset->content_type, "text/html");
	if (html)
		reply_header(rs, "Content-Security-Policy", docs_csp);
	return reply_asset(rs, rq, asset, html ? "no-cache" : "public, max-age=3600");
}

enum err
docs_swagger(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return page(cx, rq, rs, "docs/swagger.html");
}

enum err
docs_redoc(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return page(cx, rq, rs, "docs/redoc.html");
}

enum err
docs_file(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return page(cx, rq, rs, arena_printf(cx->arena, "docs/%s", rq->params[0]));
}

enum err
docs_openapi(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct buf out;

	(void)rq;
	if (!cx->srv->conf->docs_enabled)
		return fail(cx, ERR_NOT_FOUND, NULL);
	buf_init(&out, rs->arena, 256 << 10);
	openapi_write(&out);
	reply_header(rs, "Cache-Control", "no-cache");
	return reply_bytes(rs, "application/json", buf_span(&out));
}
