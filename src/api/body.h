/*
 * From bytes to the structs of a row's schemas: query string, JSON, HTML forms (urlencoded and multipart/form-data, with files where the
 * row takes them).
 */
#ifndef MUSTER_API_BODY_H
#define MUSTER_API_BODY_H

#include "api/route.h"

/* rq->query, when the row has a schema.  ERR_MALFORMED_REQUEST, ERR_VALIDATION. */
enum err query_read(struct ctx *cx, const struct route *r, struct request *rq) MUST_CHECK;
/*
 * rq->body, when the row has a schema.  `content_type` and `content_encoding` are the request's headers or NULL.  An empty body is
 * read as an object without members.  ERR_BODY_TOO_LARGE, ERR_UNSUPPORTED_MEDIA, ERR_MALFORMED_REQUEST, ERR_VALIDATION.
 */
enum err body_read(struct ctx *cx, const struct route *r, struct request *rq, const char *content_type, const char *content_encoding)
	MUST_CHECK;

#endif
