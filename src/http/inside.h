/*
 * The adapter's inside, for http/ only: what server.c, exchange.c, guard.c, watchdog.c and address.c share.
 *
 * Threads: everything of a loop, its connections and exchanges belongs to that loop's thread, but for what is atomic or said to
 * be under the loop's lock.  Lock order: none is taken while another is held.
 */
#ifndef MUSTER_HTTP_INSIDE_H
#define MUSTER_HTTP_INSIDE_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "core/metrics.h"
#include "http/server.h"
#include "http/stream.h"

enum {
	DRAIN_MAX = 512 << 10,        /* read and thrown away of a body that is refused half-way */
	REPLY_DEADLINE_MS = 60000,    /* for the client to take a reply, and again for each further REPLY_STEP bytes of it */
	REPLY_STEP = 1 << 20,
	EXCHANGES_KEPT = 256,         /* free exchanges a loop keeps */
	RESUME_DIRECT_MAX = 64,       /* with more suspended connections in a loop, resumes are collected */
	RESUME_COLLECT_US = 500,
	NUDGE_MS = 20,                /* bounds the library's sleep over ready connections (server.c) */
	LINGERERS_MAX = 64,           /* refused uploads whose rest is read after the reply, at once */
	LINGER_MS = 2000,
};

/* Where a connection stands; the watchdog looks at it. */
enum phase {
	PHASE_HEADER, /* until: deadline for the end of the headers */
	PHASE_IDLE,   /* kept alive; the time is the end of the last reply */
	PHASE_BODY,   /* until: deadline for the end of the body */
	PHASE_APP,    /* no deadline */
	PHASE_REPLY,  /* until: deadline for the client to take the reply */
};

struct conn {
	struct loop *loop;
	struct conn *next, *prev; /* loop->conns, under loop->lock */
	struct MHD_Connection *mhd;
	int fd;
	_Atomic int64_t clock;    /* time in µs (monotonic) × 8 + phase */
	struct server_side *_Atomic side;
	bool linger;              /* a body was refused unread: read on a little after the close, or the client loses the reply */
	bool trusted;             /* the peer is a trusted proxy */
	uint8_t peer[16];
	char peer_ip[IP_TEXT_BYTES];
};

enum side_state {
	SIDE_NEW,       /* the request line is there */
	SIDE_BODY,      /* headers passed the guard */
	SIDE_DRAIN,     /* body refused half-way; the reply follows its end */
	SIDE_HANDLING,  /* inside handle() */
	SIDE_DEFERRED,  /* suspended, the app has it */
	SIDE_REPLIED,   /* the app is done with it */
	SIDE_SENT,      /* response queued */
	SIDE_ABANDONED, /* the server closes before the app answered */
	SIDE_DETACHED,  /* the same, and the loop has let go of it: exchange_reply() frees it */
};

/* Outside an app's hold the exchange's memory is the loop's; DEFERRED hands it over and REPLIED hands it back. */
struct server_side {
	struct exchange x;
	struct loop *loop;
	struct conn *conn;
	struct MHD_Connection *mhd;
	int fd;
	struct server_side *next; /* free list of the loop, or the list of collected resumes */
	_Atomic int state;
	bool deferred;            /* for the loop thread: handle() deferred it */
	bool counted;             /* in loop->in_flight */
	bool close;               /* the connection ends with this reply */
	bool has_body;
	bool stranger;            /* its body counts in server->strangers_bodies too */
	enum err refusal;         /* SIDE_DRAIN: what the reply will be */
	int64_t length;           /* Content-Length; -1: none */
	int64_t body_max;
	char *body;
	size_t body_n, body_cap, drained; /* body_cap: bytes counted in server->bodies */
	struct multipart *multipart;      /* takes the body apart as it comes; NULL: it is kept in `body` */
	const char *uri;          /* the request target in the library's buffer, until the headers are there */
	size_t uri_n;
	char id[REQUEST_ID_MAX + 1];
	char ip[IP_TEXT_BYTES], peer_ip[IP_TEXT_BYTES];
	struct header headers[HEADER_COUNT_MAX];
};

struct loop {
	struct http_server *server;
	struct MHD_Daemon *daemon;
	pthread_mutex_t lock;
	struct conn *conns;             /* under lock */
	struct server_side *free;
	int n_free;
	atomic_int in_flight, suspended;
	int nudge;                      /* eventfd in the daemon's epoll set */
};

struct http_server {
	struct http_options o;
	int port;
	int64_t header_deadline_us, body_deadline_us, reply_deadline_us;
	struct cidr *trusted;
	size_t n_trusted;
	struct loop *loops;
	int n_loops;
	_Atomic int64_t bodies;         /* bytes held for request bodies */
	_Atomic int64_t strangers_bodies; /* of them those of body_rule.stranger */
	atomic_bool closing;            /* no new connections; replies close theirs */
	atomic_bool stopping;           /* nothing is given to the app any more */
	pthread_mutex_t lock;           /* of the members below */
	pthread_cond_t drained;         /* while closing: an exchange ended */
	pthread_cond_t resume_wake;
	struct server_side *resumes;
	bool helpers_end;
	struct streams *streams;
	int watch_wake;                 /* eventfd: a lingerer came, or the end */
	struct lingerer {
		int fd;
		int64_t until_us;
		size_t got;
	} lingerers[LINGERERS_MAX];
	int n_lingerers;
	pthread_t watchdog, resumer;
};

/* exchange.c: the library's callbacks */
void *exchange_on_uri(void *loop, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result exchange_on_access(void *loop, struct MHD_Connection *mhd, const char *url, const char *method,
				   const char *version, const char *data, size_t *data_n, void **side);
void exchange_on_completed(void *loop, struct MHD_Connection *mhd, void **side, enum MHD_RequestTerminationCode why);
void exchange_free(struct server_side *side);

/*
 * guard.c: fills x.request, `length`, `has_body` and `id` from the library's headers.  ERR_MALFORMED_REQUEST for every framing
 * that two programs could read in two ways.
 */
enum err guard_read(struct server_side *side, const char *method, const char *version) MUST_CHECK;

/* address.c */
bool address_of_socket(const struct sockaddr *sa, uint8_t ret[16]);
bool address_trusted(const struct http_server *s, const uint8_t ip[16]);
void address_client(const struct http_server *s, struct request *rq, const uint8_t peer[16], char ret[IP_TEXT_BYTES]);

/* watchdog.c */
void conn_phase(struct conn *c, enum phase phase, int64_t at_us);
void conn_opened(struct loop *loop, struct conn *c);
void conn_closed(struct conn *c); /* before its descriptor is closed */
void resume_later(struct server_side *side);
void watchdog_start(struct http_server *s);
void watchdog_stop(struct http_server *s);

/* stream.c: the streams of a server.  streams_end() ends them all, streams_close() comes after the library has stopped. */
struct streams *streams_open(const struct source *source, struct metrics *metrics);
void streams_end(struct streams *home);
void streams_close(struct streams *home);
bool streams_full(struct streams *home);
/* Takes rs->stream with a duplicate of the descriptor; the library must then drop its own.  False: nothing was taken. */
bool stream_take_over(struct streams *home, struct reply *rs, int fd);
/* With TLS: the response that the library sends.  NULL: nothing was taken. */
struct MHD_Response *stream_response(struct streams *home, struct reply *rs, struct server_side *side);

#endif
