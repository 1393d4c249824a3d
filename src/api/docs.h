/* Handlers of the documentation pages; their rows stand in api/ops.c.  ERR_NOT_FOUND unless DOCS_ENABLED. */
#ifndef MUSTER_API_DOCS_H
#define MUSTER_API_DOCS_H

#include "http/request.h"

enum err docs_swagger(struct ctx *cx, const struct request *rq, struct reply *rs);
enum err docs_redoc(struct ctx *cx, const struct request *rq, struct reply *rs);
enum err docs_file(struct ctx *cx, const struct request *rq, struct reply *rs); /* one parameter: the file's name */
enum err docs_openapi(struct ctx *cx, const struct request *rq, struct reply *rs);

/* True when /docs answers: switched on, and embedded in this build. */
struct config;
bool docs_served(const struct config *conf);

#endif
