/*
 * One HTTP request as the rest of the program sees it, and its reply.  Filled by the adapter (http/server.c), then by the
 * dispatcher (params, query, body).  Everything lives in the exchange's arena.
 */
#ifndef MUSTER_HTTP_REQUEST_H
#define MUSTER_HTTP_REQUEST_H

#include "core/field.h"

enum method { METHOD_UNSET = 0, GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, METHOD__OTHER };
const char *method_name(enum method m);

struct header {
	const char *name, *value;
};
struct stream;

struct upload {
	const char *type; /* as the client says, NULL when it does not: never to be believed */
	struct span bytes;
};
struct multipart_parts { /* of a multipart/form-data body (http/multipart.h) */
	const struct pair *pairs; /* text parts, in their order */
	size_t n_pairs;
	const struct upload *files;
	int n_files; /* sent; `files` has at most as many as were wanted */
};

struct request {
	enum method method;
	const char *path;        /* as sent, percent-decoding not applied, without query; begins with '/' */
	const char *query_text;  /* after '?', "" when absent; never logged */
	const struct header *headers; /* values have no control characters but tab; bytes from 0x80 may be anything */
	size_t n_headers;
	struct span raw_body;
	const struct multipart_parts *parts; /* the body was taken apart as it came, and raw_body is empty; else NULL */
	const char *peer_ip;     /* canonical text of the TCP peer (v4-mapped folded) */
	const char *ip;          /* the client: the peer, or by TRUSTED_PROXIES the rightmost untrusted hop */
	const char *id;          /* X-Request-ID */
	bool tls;                /* to us, or to the trusted proxy in front (X-Forwarded-Proto) */
	bool forwarded;          /* any X-Forwarded-* or Forwarded header came along */
	int64_t started_us;      /* monotonic: when the headers were complete */
	/* filled by the dispatcher */
	const char *params[PATH_PARAMS_MAX]; /* {…} of the route's path, percent-decoded, in order */
	const void *query;       /* struct of the row's query schema */
	const void *body;        /* struct of the row's body schema */
	void *prepared;          /* what the row's prepare() leaves for its handler */
	bool web;                /* X-Muster-Client: web */
};
const char *request_header(const struct request *rq, const char *name); /* case-insensitive; NULL when absent */
const char *request_cookie(struct arena *a, const struct request *rq, const char *name); /* NULL when absent */
/* application/x-www-form-urlencoded and query strings; false on bad percent-encoding or control characters. */
bool pairs_parse(struct arena *a, const char *text, size_t n, struct pair **ret, size_t *ret_count);

struct reply {
	struct arena *arena;
	int status;              /* the row's, unless the handler sets another */
	const char *content_type; /* NULL: application/json */
	struct stream *stream;   /* reply_stream(): the reply goes on, and has no body */
	struct span body;
	struct header headers[24];
	size_t n_headers;
};
void reply_header(struct reply *rs, const char *name, const char *value); /* BUG() beyond the array */
enum err reply_record(struct reply *rs, const struct schema *s, const void *rec); /* JSON body from a field table; returns OK */
enum err reply_bytes(struct reply *rs, const char *content_type, struct span body);
enum err reply_empty(struct reply *rs, int status);

#endif
