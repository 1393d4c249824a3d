/*
 * Requests to other servers: bounded in time and size, no redirects, no protocol but HTTP, certificates checked.  Blocking: for
 * the work lane and jobs only.
 */
#ifndef MUSTER_NET_HTTP_CLIENT_H
#define MUSTER_NET_HTTP_CLIENT_H

#include <stdatomic.h>

#include "core/str.h"

enum { HTTP_CLIENT_BODY_MAX = 1 << 20, HTTP_CLIENT_CONNECT_MS = 3000, HTTP_CLIENT_TOTAL_MS = 6000 };

struct http_fetch {
	const char *url;
	const char *form;	    /* POSTed as application/x-www-form-urlencoded, or as `headers` say; NULL: GET */
	const char *method;	    /* NULL: what follows from `form`; else it is sent with `bytes` */
	struct span bytes;
	const char *authorization;  /* value of that header; NULL: none */
	const char *const *headers; /* further lines "Name: value", NULL at the end; NULL: none */
	const atomic_bool *stop;    /* becomes true: gives up within about a second; NULL: never */
	bool plain;		    /* http:// is allowed (development) */
	bool unverified;	    /* any certificate will do: for a server on this machine, when nothing secret is sent */
	size_t max_bytes;	    /* of the answer; 0: HTTP_CLIENT_BODY_MAX */
	int total_ms;		    /* 0: HTTP_CLIENT_TOTAL_MS */
};
struct http_answer {
	int status;
	struct span body; /* NUL-terminated behind n bytes */
};
/* False: no whole answer; *ret_why says why, for the log.  Any status is an answer. */
bool http_fetch(struct arena *a, const struct http_fetch *f, struct http_answer *ret, const char **ret_why);

/* Appends `text` percent-encoded (RFC 3986 §2.3). */
void url_encode(struct buf *out, const char *text);

#endif
