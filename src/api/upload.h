/* Rows that take files (route.h: `files`): ceilings, and the check of what came.  See http/multipart.h for the parsing. */
#ifndef MUSTER_API_UPLOAD_H
#define MUSTER_API_UPLOAD_H

#include "api/route.h"
#include "http/multipart.h"

/* Ceiling of this row's body, bytes. */
int64_t upload_body_max(const struct config *conf, const struct route *r);
/* How this row's multipart body is taken apart; for rows without files too. */
struct multipart_rule upload_rule(const struct config *conf, const struct route *r);
/*
 * The files of rq->parts: their number (ERR_VALIDATION), and each a picture of an accepted type by its magic bytes
 * (ERR_UNSUPPORTED_MEDIA) with whole headers (ERR_VALIDATION).  Decoding comes later, elsewhere.
 */
enum err upload_check(struct ctx *cx, const struct route *r, const struct request *rq) MUST_CHECK;

#endif
