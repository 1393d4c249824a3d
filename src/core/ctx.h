/*
 * The unit of work.  Every domain function takes `struct ctx *cx` first; a request, a command, a job and a test each make one.
 * It holds at most eight members, and all of a unit's data dies with its arena.
 */
#ifndef MUSTER_CORE_CTX_H
#define MUSTER_CORE_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/limits.h"
#include "core/time.h"
#include "core/uuid.h"

struct bus;
struct config;
struct db;
struct db_store;
struct faces;
struct hasher;
struct keys;
struct limiter;
struct live;
struct metrics;
struct oidc;
struct redis;
struct sentry;
struct session_table;
struct stats_cache;
struct storage;

/* Where time and chance come from; tests set their own. */
struct source {
	int64_t (*wall_us)(void *arg);
	int64_t (*monotonic_us)(void *arg);
	void (*random)(void *arg, void *ret, size_t n); /* cryptographic quality; aborts rather than fail */
	void *arg;
};
extern const struct source source_system;

/* The one process-wide object, made in cli/.  Services a command does not start are NULL. */
struct server {
	const struct config *conf;
	const struct keys *keys;
	struct source source;
	struct db_store *store;         /* store/db.h */
	struct bus *bus;                /* store/bus.h; NULL where one process has the database */
	struct session_table *sessions; /* identity/session.h */
	struct limiter *limiter;        /* http/limit.h */
	struct hasher *hasher;          /* identity/hasher.h */
	struct metrics *metrics;        /* core/metrics.h */
	struct stats_cache *stats;      /* attendance/record.h */
	struct oidc *oidc;              /* identity/oidc.h; the dispatcher's */
	struct live *live;              /* notify/live.h */
	struct sentry *sentry;          /* net/sentry.h */
	struct faces *faces;            /* net/face.h */
	struct storage *storage;        /* net/storage.h */
	struct redis *redis;            /* net/redis.h; NULL: one node, or not configured */
};

enum role {
	ROLE_UNSET = 0, /* refused everywhere */
	ROLE_STUDENT,
	ROLE_LECTURER,
	ROLE_REVIEWER,
	ROLE_ADMIN,
	ROLE__MAX
};
extern const char *const role_names[];       /* "student" …, NULL-terminated, [0] is "" */
extern const char *const role_names_upper[]; /* the accounts surface's spelling */

/* Who asks.  Comes from the session table, never from the token. */
struct actor {
	struct uuid user_id;
	struct uuid session_id;
	enum role role;
	const char *email;
	const char *full_name;
	int64_t login_at_us; /* when this session began with a full login */
};

/* Where the request comes from. */
struct client {
	const char *request_id; /* never NULL */
	const char *ip;         /* canonical text; "" for commands and jobs */
	const char *user_agent; /* at most USER_AGENT_MAX bytes; "" when absent */
};
extern const struct client client_local; /* commands and jobs */

struct error_note { /* one member of the error reply besides code and message */
	const char *name, *text; /* text NULL: number is meant */
	int64_t number;
	bool json;         /* text is JSON: told where errors have details */
	const char *field; /* set: a validation message for this field, `name` is unused */
	struct error_note *next;
};

struct error {
	enum err code;
	bool refused;         /* refuse(): keep the writes */
	int retry_after_s;    /* > 0: Retry-After */
	const char *message;  /* NULL: the sentence of errors.def.  Shown to the client, so never SQL, paths or secrets */
	const char *internal; /* for the log only */
	const char *file, *func;
	int line;
	struct error_note *notes;
};

struct ctx {
	struct arena *arena;
	struct db *db;              /* the lane's connection; NULL where the lane has none */
	const struct server *srv;
	const struct actor *actor;  /* NULL: nobody */
	const struct client *client; /* never NULL */
	int64_t now_us;             /* wall time, taken once, so that all of one unit of work agrees */
	const atomic_bool *stop;    /* NULL: never; true: long work that can be done another time ends here */
	struct error error;
};

void ctx_init(struct ctx *cx, struct arena *a, const struct server *srv); /* nobody, client_local, now */
bool ctx_stops(const struct ctx *cx);

/*
 * Called once, where the failure is found; returns `e`, so `return fail(cx, ERR_X, NULL);`.
 * fail(): the message replaces the sentence of errors.def (NULL keeps it); the unit of work is undone.
 * fail_internal(): `fmt` goes to the log only; the client sees errors.def's sentence.
 * refuse(): the handler succeeded in refusing: its writes commit and the reply is the error.
 */
#define fail(cx, e, ...) fail_at((cx), (e), __FILE__, __LINE__, __func__, __VA_ARGS__)
#define fail_internal(cx, e, ...) fail_internal_at((cx), (e), __FILE__, __LINE__, __func__, __VA_ARGS__)
#define refuse(cx, e) refuse_at((cx), (e), __FILE__, __LINE__, __func__)
enum err fail_at(struct ctx *, enum err, const char *file, int line, const char *func, const char *fmt, ...) PRINTF(6, 7);
enum err fail_internal_at(struct ctx *, enum err, const char *file, int line, const char *func, const char *fmt, ...)
	PRINTF(6, 7);
enum err refuse_at(struct ctx *, enum err, const char *file, int line, const char *func);

/* Members for the coming error reply; copied into the arena.  Call before fail() or refuse(). */
void error_text(struct ctx *cx, const char *name, const char *value);
void error_number(struct ctx *cx, const char *name, int64_t value);
void error_json(struct ctx *cx, const char *name, const char *json);
void error_time(struct ctx *cx, const char *name, int64_t at_us);
void error_field(struct ctx *cx, const char *field, const char *fmt, ...) PRINTF(3, 4);
bool error_has_fields(const struct ctx *cx);
void error_clear(struct ctx *cx);

struct uuid new_id(const struct ctx *cx);                     /* version 7 at the present wall time */
void random_bytes(const struct ctx *cx, void *ret, size_t n); /* through srv->source */

#endif
