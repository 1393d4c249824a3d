/* Named ceilings.  Every input is bounded at the edge by one of these; zero never means unlimited. */
#ifndef MUSTER_CORE_LIMITS_H
#define MUSTER_CORE_LIMITS_H

enum {
	ID_BYTES = 36,                    /* a UUID as text */
	EMAIL_MAX = 254,                  /* canonical address, bytes */
	NAME_MAX_BYTES = 200,             /* a person's or thing's name */
	TEXT_MAX_BYTES = 4000,            /* description, notes, reason */
	PASSWORD_MIN = 8,                 /* bytes */
	PASSWORD_MAX = 1024,              /* bytes */
	REQUEST_ID_MAX = 128,             /* X-Request-ID and Idempotency-Key, characters */
	USER_AGENT_MAX = 300,             /* kept of User-Agent, bytes */
	QR_PAYLOAD_MAX = 600,             /* base64url text of a code, with or without its URL */
	TOKEN_MAX = 2048,                 /* a compact JWS of our own */
	FOREIGN_TOKEN_MAX = 16 << 10,     /* of others: an ID token with its groups and roles */
	PATH_PARAMS_MAX = 4,              /* {…} members of one path */
	BODY_MAX = 1 << 20,               /* request body, bytes */
	BODIES_IN_FLIGHT_MAX = 64 << 20,  /* all request bodies together, bytes */
	STRANGERS_BODIES_MAX = 16 << 20,  /* of them the long ones without a good token */
	STRANGER_BODY_LONG = 16 << 10,    /* longer than what a route for anybody reads, bytes */
	HEADER_COUNT_MAX = 100,           /* header lines of a request */
	CONNECTION_MEMORY = 8 << 10,      /* header block of a request, bytes (libmicrohttpd's pool) */
	CONNECTIONS_MAX = 12000,          /* open connections */
	HEADER_DEADLINE_MS = 10000,       /* from the first byte to the end of the headers */
	BODY_DEADLINE_MS = 20000,         /* from the end of the headers to the end of the body */
	IDLE_TIMEOUT_S = 75,              /* keep-alive connection without a request */
	JSON_DEPTH_MAX = 32,
	LIST_MAX = 5000,                  /* rows of an unpaged list */
	ROLL_FILE_MAX = 50000,            /* records of one event in a file */
	PAGE_LIMIT_DEFAULT = 20,
	PAGE_LIMIT_MAX = 100,
	PAGE_DEPTH_MAX = 10000,           /* page × limit */
	WRITE_QUEUE_MAX = 8192,           /* jobs waiting for the writer */
	WRITE_QUEUE_AGE_MS = 10000,       /* a job that waited longer is refused */
	READ_QUEUE_MAX = 4096,
	REFUSALS_HELD_MAX = 1024,         /* refusals for want of room that wait before they are answered */
	REFUSAL_HELD_MS = 1000,           /* as long as their Retry-After */
	BULK_TURN_ROWS = 100,
	BATCH_MAX = 512,                  /* jobs of one SQLite transaction */
	BATCH_MAX_PG = 128,
	WAL_RESTART_BYTES = 64 << 20,
	SECRETS_MAX = 4,                  /* values of one secret list */
};

#endif
