/*
 * The front: libmicrohttpd, two daemons (one epoll thread and one SO_REUSEPORT socket each).  This module alone knows the library.
 *
 * What the library is lenient about is closed here: Content-Length with Transfer-Encoding, two Hosts or lengths, foreign transfer
 * codings, bad header names, NUL bytes (400, connection closed); slow headers and bodies (absolute deadlines by a watchdog);
 * bodies over their ceiling (413 at the headers, or after draining a bounded rest); all bodies together (503).
 *
 * Ownership: an exchange belongs to the server.  `handle` is called once on a loop thread with the complete request; the app must
 * answer it with exchange_reply() exactly once: inside `handle`, or later from any thread after it called exchange_defer() inside
 * `handle`.  A request's strings live in the exchange's arena, so they hold until exchange_reply().
 */
#ifndef MUSTER_HTTP_SERVER_H
#define MUSTER_HTTP_SERVER_H

#include "http/multipart.h"

struct http_server;
struct exchange {
	struct arena arena;
	struct request request;
	struct reply reply;
	void *app;             /* the app's per-request state */
	struct server_side *side; /* the adapter's */
};

struct body_rule {
	int64_t max;      /* ceiling in bytes */
	enum err refusal; /* not OK: the request is refused unread */
	bool stranger;    /* nobody knows who sends it: it shares STRANGERS_BODIES_MAX */
};

struct http_options {
	const char *host;
	int port;               /* 0: any; http_server_port() tells */
	const char *tls_cert_file, *tls_key_file; /* both or neither */
	int loops;              /* 2 */
	int64_t max_body;       /* default ceiling of a body; body_limit() may lower or raise it per request */
	const char *const *trusted_proxies; /* CIDRs or addresses, NULL-terminated */
	struct metrics *metrics;
	const struct source *source;
	int header_deadline_ms, body_deadline_ms, reply_deadline_ms; /* 0: HEADER_DEADLINE_MS, BODY_DEADLINE_MS, a minute per MiB */
	/* On a loop thread, must not block.  Returns with x answered or deferred. */
	void (*handle)(void *arg, struct exchange *x);
	/* How a request's body is read, asked when the headers are there; *ret has max_body.  NULL: that for all. */
	void (*body_limit)(void *arg, const struct request *rq, struct body_rule *ret);
	/*
	 * Asked for a multipart/form-data body: true when it is to be taken apart as it comes, by *ret (file_part, max_files,
	 * max_file_bytes, ignore_files); the request then has `parts` and no raw_body.  NULL: never.
	 */
	bool (*uploads)(void *arg, const struct request *rq, struct multipart_rule *ret);
	/*
	 * On the loop thread, once per exchange that handle() saw, just before its reply goes out: what every reply carries, the log line.
	 * It keeps that work off the thread that called exchange_reply().  NULL: nothing.
	 */
	void (*finish)(void *arg, struct exchange *x);
	/*
	 * Fills x->reply for an error the adapter itself answers (400, 413, 503), for the path's surface.  Path, id and ip are set,
	 * headers and query may be missing, the status is the error's.  NULL: an empty body.
	 */
	void (*refuse)(void *arg, struct exchange *x, enum err code);
	void *arg;
};
/* Certificate, key and the address list are read here; *ret_message says what was wrong with them (in `a`). */
enum err http_server_open(struct arena *a, const struct http_options *o, struct http_server **ret, const char **ret_message)
	MUST_CHECK;
int http_server_port(const struct http_server *s);
/* Stops accepting, waits until every exchange under way was answered (at most `grace_ms`), then closes. */
void http_server_close(struct http_server *s, int grace_ms);

/*
 * The answer comes later.  Only inside `handle`, and before x is given to another thread: the connection must be suspended before
 * anybody can resume it.
 */
void exchange_defer(struct exchange *x);
/* Sends x->reply, without its body when the method is HEAD.  From any thread, exactly once per exchange; x is gone afterwards. */
void exchange_reply(struct exchange *x);
/* True when the client has gone (or has closed its sending side, which looks the same): ask before slow work. */
bool exchange_gone(const struct exchange *x);

/* Client address rule of the contract, exposed for tests: rightmost untrusted hop when the peer is trusted. */
struct cidr {
	uint8_t addr[16]; /* IPv4 as v4-mapped */
	int bits;         /* of 128 */
};
enum { IP_TEXT_BYTES = 46 }; /* of an address as text, with its NUL: INET6_ADDRSTRLEN */
bool cidr_parse(const char *text, struct cidr *ret);  /* "10.0.0.0/8", "::1", … */
bool ip_parse(const char *text, uint8_t ret[16]);     /* v4 and ::ffff: forms give the same bytes */
bool cidr_has(const struct cidr *c, const uint8_t ip[16]);
void ip_text(const uint8_t ip[16], char ret[IP_TEXT_BYTES]);     /* canonical; v4-mapped folds to IPv4 */
/* The /32 or /64 of an address, as a limiter key. */
void ip_prefix(const char *ip, char ret[IP_TEXT_BYTES]);

#endif
