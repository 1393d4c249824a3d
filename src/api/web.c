/*
 * The web app: its pages, its service worker and manifest, and its files under /app/assets/.
 *
 * The app does its own routing, so every path of its page table answers with one document; the table comes along as an embedded
 * file made by web/build.mjs, so that it is kept in one place only.  A path that is not in it gets the same document with status
 * 404 and says so itself.  A server built with WEB=0 has none of these files and answers 404.
 *
 * Names under assets/ carry a hash of their content and never change; everything else is asked for again each time.
 */
#include <string.h>

#include "api/assets.h"
#include "api/dispatch.h"
#include "core/asset.h"

static const char app_csp[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
	"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
static const char app_permissions[] = "camera=(self), microphone=(), geolocation=(self), interest-cohort=()";

/* "/app/events/:id" fits "/app/events/018f…"; a trailing slash does not count. */
static bool
path_fits(const char *pattern, size_t n, const char *path)
{
	const char *end = pattern + n;

	while (pattern < end && *path) {
		if (*pattern == ':' && *path != '/') {
			pattern += strcspn(pattern, "/\n");
			path += strcspn(path, "/");
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	if (pattern < end && *pattern == '/')
		pattern++;
	if (*path == '/')
		path++;
	return pattern == end && !*path;
}

static bool
is_page(const char *path)
{
	const struct asset *table = asset_find("app/pages.txt");
	const char *at = (const char *)table->plain.p, *end = at + table->plain.n;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = newline ? (size_t)(newline - at) : (size_t)(end - at);
		if (path_fits(at, n, path))
			return true;
		at += n + 1;
	}
	return false;
}

static enum err
document(struct ctx *cx, const struct request *rq, struct reply *rs, const char *name)
{
	const struct asset *html = asset_find(name);

	if (!html)
		return fail(cx, ERR_NOT_FOUND, NULL);
	reply_header(rs, "Content-Security-Policy", app_csp);
	reply_header(rs, "Permissions-Policy", app_permissions);
	enum err e = reply_asset(rs, rq, html, "no-cache");
	if (rs->status != 304 && !is_page(rq->path))
		rs->status = 404;
	return e;
}

static enum err
check_in(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return document(cx, rq, rs, "app/c.html");
}

static enum err
page(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return document(cx, rq, rs, "app/index.html");
}

/* /app/{name}: a page, or one of the few files whose address must stay the same. */
static enum err
page_or_file(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct asset *file = asset_find(arena_printf(cx->arena, "app/%s", rq->params[0]));

	if (!file || str_ends(file->name, ".html") || str_ends(file->name, ".txt"))
		return page(cx, rq, rs);
	if (strcmp(file->name, "app/sw.js") == 0) {
		reply_header(rs, "Service-Worker-Allowed", "/"); /* /c is its too */
		reply_header(rs, "Content-Security-Policy", app_csp);
	}
	return reply_asset(rs, rq, file, "no-cache");
}

static enum err
hashed_file(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct asset *file = asset_find(arena_printf(cx->arena, "app/assets/%s", rq->params[0]));

	if (!file)
		return fail(cx, ERR_NOT_FOUND, NULL);
	if (str_ends(file->name, ".js")) /* a worker has the policy of its own reply */
		reply_header(rs, "Content-Security-Policy", app_csp);
	return reply_asset(rs, rq, file, "public, max-age=31536000, immutable");
}

#define WEB_ROW(row_path, fn, type, text)                                                                           \
	{                                                                                                           \
		.method = GET, .path = row_path, .handler = fn, .access = ANYONE, .lane = LANE_LOOP, .hall = true,  \
		.reply_type = type, .status = 200, .errors = ERRORS(ERR_NOT_FOUND), .hidden = true, .summary = text \
	}

static const struct route rows[] = {
	WEB_ROW("/c", check_in, "text/html", "Check-in page"),
	WEB_ROW("/app", page, "text/html", "Web app"),
	WEB_ROW("/app/{name}", page_or_file, "text/html", "Page of the web app"),
	WEB_ROW("/app/{name}/{item}", page, "text/html", "Page of the web app"),
	WEB_ROW("/app/assets/{file}", hashed_file, "application/octet-stream", "File of the web app"),
};
extern const struct route_table web_routes;
const struct route_table web_routes = ROUTE_TABLE(SURFACE_OPS, rows);
