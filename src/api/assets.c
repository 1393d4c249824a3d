/*
 * The table of embedded files is made once, at the first request for one, since its ETags are hashes of up to a megabyte each.
 * After that it is read without a lock.
 */
#include "api/assets.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/asset.h"
#include "core/crypto.h"

enum { ASSETS_MAX = 256 };

static struct asset assets[ASSETS_MAX];
static size_t n_assets;
static pthread_once_t assets_made = PTHREAD_ONCE_INIT;

static const char *
content_type(const char *name)
{
	static const struct {
		const char *suffix, *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".json", "application/json"},
		{".webmanifest", "application/manifest+json"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".ico", "image/x-icon"},
		{".wasm", "application/wasm"},
		{".woff2", "font/woff2"},
		{".txt", "text/plain; charset=utf-8"},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (str_ends(name, types[i].suffix))
			return types[i].type;
	return "application/octet-stream";
}

static void
make_assets(void)
{
	for (const struct asset_blob *b = asset_blobs; b->name; b++) {
		uint8_t digest[SHA256_BYTES];
		char hex[17];

		if (str_ends(b->name, ".gz"))
			continue;
		if (n_assets == ASSETS_MAX)
			BUG("more than %d embedded files", ASSETS_MAX);
		struct asset *a = &assets[n_assets++];
		*a = (struct asset){.name = b->name, .content_type = content_type(b->name), .plain = {b->data, b->size}};
		crypto_sha256(a->plain, digest);
		hex_encode((struct span){digest, 8}, hex);
		snprintf(a->etag, sizeof(a->etag), "\"%s\"", hex);
		for (const struct asset_blob *gz = asset_blobs; gz->name; gz++) {
			size_t n = strlen(b->name);
			if (strncmp(gz->name, b->name, n) == 0 && strcmp(gz->name + n, ".gz") == 0)
				a->gzip = (struct span){gz->data, gz->size};
		}
	}
}

const struct asset *
asset_find(const char *name)
{
	pthread_once(&assets_made, make_assets);
	for (size_t i = 0; i < n_assets; i++)
		if (strcmp(assets[i].name, name) == 0)
			return &assets[i];
	return NULL;
}

/* "gzip, br" and "gzip;q=0.8" are a yes; "gzip;q=0" is a no. */
static bool
gzip_welcome(const struct request *rq)
{
	const char *accept = request_header(rq, "Accept-Encoding");
	const char *at = accept ? strcasestr(accept, "gzip") : NULL;

	if (!at)
		return false;
	at += 4 + strspn(at + 4, " ");
	if (*at != ';')
		return true;
	at += 1 + strspn(at + 1, " ");
	return strncasecmp(at, "q=0", 3) != 0 || at[3 + strspn(at + 3, ".0")] > '0';
}

/* The twin is another representation, but one validator serves both: Vary keeps caches from mixing them, and the tag is weak. */
static bool
client_has(const struct request *rq, const char *etag)
{
	const char *known = request_header(rq, "If-None-Match");

	return known && (strcmp(known, "*") == 0 || strstr(known, etag));
}

enum err
reply_asset(struct reply *rs, const struct request *rq, const struct asset *asset, const char *cache_control)
{
	bool gzip = asset->gzip.p && gzip_welcome(rq);

	reply_header(rs, "Cache-Control", cache_control);
	reply_header(rs, "ETag", arena_printf(rs->arena, "W/%s", asset->etag));
	reply_header(rs, "Vary", "Accept-Encoding");
	if (client_has(rq, asset->etag))
		return reply_empty(rs, 304);
	if (gzip)
		reply_header(rs, "Content-Encoding", "gzip");
	return reply_bytes(rs, asset->content_type, gzip ? asset->gzip : asset->plain);
}
