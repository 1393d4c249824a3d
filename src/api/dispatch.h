/*
 * The dispatcher: one fixed list of phases for every request (see api/route.h).  It owns the lanes and hands replies back to http/.
 */
#ifndef MUSTER_API_DISPATCH_H
#define MUSTER_API_DISPATCH_H

#include "api/route.h"
#include "http/server.h"

struct dispatcher;

/* Checks every route row (BUG()s with the row's name on a bad one), compiles the paths, opens the lanes. */
struct dispatcher *dispatch_open(struct arena *a, struct server *srv);
/* The same over other tables, for tests. */
struct dispatcher *dispatch_open_with(struct arena *a, struct server *srv, const struct route_table *const *tables, size_t n);
/* Waits for what runs in the lanes. */
void dispatch_close(struct dispatcher *d);
/* In tests: an error that a row does not list aborts, instead of becoming internal_error. */
void dispatch_strict(struct dispatcher *d, bool strict);

/* For http_options: handle, finish, body_limit, uploads, refuse with arg = the dispatcher. */
void dispatch_handle(void *dispatcher, struct exchange *x);
void dispatch_finish(void *dispatcher, struct exchange *x);
void dispatch_body_limit(void *dispatcher, const struct request *rq, struct body_rule *ret);
bool dispatch_uploads(void *dispatcher, const struct request *rq, struct multipart_rule *ret);
void dispatch_refuse(void *dispatcher, struct exchange *x, enum err code);

/*
 * In process, for tests: runs the exchange through every phase in the calling thread's time and returns when it was answered;
 * x->request holds method, path, headers, raw_body, ip; x->reply the result.  A HEAD reply keeps its body here; the adapter drops it.
 */
void dispatch_call(struct dispatcher *d, struct exchange *x);
/* The row that answers this method and path; NULL when there is none. */
const struct route *dispatch_route(const struct dispatcher *d, struct arena *a, enum method m, const char *path,
				   enum surface *ret_surface);

/* Does the caller name this type, and not the other one before it?  A browser names text/html, programs nothing or their own. */
bool accepts(const struct request *rq, const char *type, const char *other);

/* The error reply of a surface, for handlers of pages and for refuse. */
enum surface surface_of_path(const char *path);
void reply_error(struct reply *rs, enum surface s, const struct request *rq, const struct error *e);

/*
 * Each route's row number and label for metrics; "method=\"GET\",route=\"/x\"".  The last row stands for requests that no row answers.
 */
size_t dispatch_route_count(void);
const char *dispatch_route_label(size_t i);

/* The OpenAPI 3.1 document, from the tables. */
void openapi_write(struct buf *out);

#endif
