/*
 * Embedded files as replies: content type, ETag and the gzip twin of each.  Names are those of core/asset.h ("docs/docs.css").
 */
#ifndef MUSTER_API_ASSETS_H
#define MUSTER_API_ASSETS_H

#include "http/request.h"

struct asset {
	const char *name, *content_type;
	struct span plain, gzip; /* gzip.p NULL: there is no twin */
	char etag[24];           /* with its quotes */
};
/* NULL when nothing of that name is embedded.  Valid for the life of the process. */
const struct asset *asset_find(const char *name);

/* Answers with the file, or 304 when the client has it; gzip where it is welcome. */
enum err reply_asset(struct reply *rs, const struct request *rq, const struct asset *asset, const char *cache_control);

#endif
