/*
 * The route table's row.  From it come routing, authentication, authorisation, limits, parsing, validation, OpenAPI, metric names and
 * the tests' coverage check.  The start refuses a row with unset access or lane, a duplicate, a missing summary or reply.
 *
 * The dispatcher (api/phases.c) runs one fixed list of phases: route → verify token → limit → authorise → body →
 * parse and validate → idempotency → lane → handler → (undo) → audit of a failure → commit → reply → log.  So a handler
 * is 5–15 lines and checks nothing of that.
 *
 * Handlers by lane: LANE_LOOP has no database; LANE_READ has cx->db on a read connection; LANE_WRITE runs inside its savepoint of the
 * writer's batch, may be run again, and does no other I/O; LANE_HASH and LANE_WORK run on a pool without a connection and use
 * db_read() and db_write().
 */
#ifndef MUSTER_API_ROUTE_H
#define MUSTER_API_ROUTE_H

#include "audit/audit.h"
#include "core/conf.h"
#include "http/limit.h"
#include "http/request.h"

enum surface { SURFACE_UNSET = 0, SURFACE_PORTAL, SURFACE_CAMPUS, SURFACE_ACCOUNTS, SURFACE_OPS };

enum access { ACCESS_UNSET = 0, ANYONE, SIGNED_IN, STUDENT, LECTURER, REVIEWER, ADMIN }; /* LECTURER admits admins, REVIEWER too */

enum lane { LANE_UNSET = 0, LANE_LOOP, LANE_READ, LANE_WRITE, LANE_HASH, LANE_WORK };

enum limit_by { BY_UNSET = 0, BY_IP, BY_ACCOUNT };

/* A row's own limit, besides the general ones by IP or account.  Those that count failures or e-mails are taken in the domain. */
struct route_limit {
	struct limit limit; /* limit.name NULL: none */
	enum limit_by by;
	size_t configured;  /* offsetof(struct config, rl_…), an int_live: the maximum is that variable's; 0: limit.max */
};

/* Hits that all nodes count together, listed from the body without I/O: taken before the handler, kept by one answer only. */
struct route_count {
	size_t (*list)(struct ctx *cx, const void *body, struct limit_hit ret[LIMIT_HITS_MAX]); /* how many; NULL: none ever */
	enum err error;      /* they stay with this answer and go back with any other */
	const char *message; /* of the refusal */
};

/* Files of a multipart/form-data body; each is a picture of UPLOAD_ALLOWED_IMAGE_TYPES and at most UPLOAD_MAX_IMAGE_MB. */
struct route_files {
	const char *part; /* their part's name */
	int min, max;     /* how many; max 0: the row takes none, and a part with a file name is malformed */
};

enum { ROUTE_ERRORS_MAX = 24 };

struct route {
	enum method method;
	const char *path; /* "/api/events/{id}"; a member {id} or {…_id} must be a UUID, else 404 */
	enum err (*handler)(struct ctx *cx, const struct request *rq, struct reply *rs);
	/* LANE_WRITE: says by db_ahead() what the handler will read; may be NULL. */
	void (*ahead)(struct ctx *cx, const struct request *rq);
	enum access access;
	enum lane lane;
	struct route_limit limit;
	struct route_count count;
	bool hall;                  /* hall traffic: the IP row RL_HALL_IP_LIMIT instead of the general one */
	const struct schema *query; /* NULL: query members are ignored */
	const struct schema *body;  /* NULL: no body wanted */
	bool form;                  /* the body may also be an HTML form (urlencoded or multipart) */
	bool csv;                   /* the body may also be text/csv: then it stays in raw_body, and rq->body is NULL */
	struct route_files files;   /* multipart parts with files; unknown parts are then ignored */
	/*
	 * What needs files and the outside (storage, faces) and must be done before the handler's lane: runs in the pool of files
	 * without a connection, only when files came, and leaves its result in rq->prepared.  Its errors are the row's.
	 */
	enum err (*prepare)(struct ctx *cx, struct request *rq);
	const struct schema *reply; /* NULL: no JSON body (204, files, pages); then reply_type says what */
	const char *reply_type;
	int status;                 /* of success */
	enum err errors[ROUTE_ERRORS_MAX]; /* what the domain may answer, besides the dispatcher's own; ends with OK */
	enum audit_action failure;  /* audit row written when it is refused; 0: none */
	bool idempotent;            /* honours Idempotency-Key */
	bool no_store;              /* auth and token replies */
	bool fresh_session;         /* admin, password, MFA, decide rights: the session is checked again inside the transaction */
	bool hidden;                /* not in OpenAPI (aliases, pages) */
	const char *tag, *summary;
	const char *text;           /* longer description; may be NULL */
};

struct route_table {
	enum surface surface;
	const struct route *rows;
	size_t count;
};
#define ROUTE_TABLE(s, arr) { (s), (arr), sizeof(arr) / sizeof((arr)[0]) }
#define ERRORS(...) {__VA_ARGS__}

/* Every table, in one list (api/routes.c). */
extern const struct route_table *const route_tables[];
extern const size_t route_table_count;

#endif
