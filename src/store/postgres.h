/*
 * Private to the PostgreSQL engine: what postgres.c (connections, results, transactions) shares with the files named below.
 */
#ifndef MUSTER_STORE_POSTGRES_H
#define MUSTER_STORE_POSTGRES_H

#include <libpq-fe.h>

#include "store/engine.h"

enum { SENT_MAX = 96 };

enum sent_kind { SENT_VERB = 1, SENT_PREPARE, SENT_RUN, SENT_AHEAD };
struct sent { /* what the next result answers */
	enum sent_kind kind;
	enum txn_verb verb;
	const struct sql *sql;
	uint32_t number;   /* of the variant */
	struct call *call; /* NULL: nobody waits */
	int64_t expect;	   /* rows, when nobody waits; < 0: any */
};
struct postgres {
	struct db db;
	PGconn *conn;
	bool *prepared;		 /* by number of the variant */
	struct columns *columns; /* the same */
	uint32_t n_cache;
	struct sent sent[SENT_MAX];
	size_t n_sent;
	bool open;   /* BEGIN was sent */
	bool doomed; /* the present transaction shall not be committed */
	bool committed;
	int64_t failed_us; /* when connecting failed last */
	struct many *many;
};

static inline uint32_t
postgres_number(const struct call *c)
{
	return c->st->first + c->variant;
}

/* --- sending (postgres_send.c): it waits in the client's buffer until an exchange ---- */

void postgres_note_sent(struct postgres *db, struct sent sent);
bool postgres_send_verb(struct postgres *db, enum txn_verb verb);
/* Once for each connection. */
bool postgres_send_prepare(struct postgres *db, const struct statement *st, unsigned variant);
bool postgres_send_call(struct postgres *db, struct call *c, bool wait);
/* A value as text; `text` is where numbers and moments are put.  NULL: null. */
const char *postgres_text(char kind, const struct val *v, char text[32]);

/* --- many calls by one statement (postgres_many.c) ---- */

struct many *many_open(void);
void many_close(struct many *m);
/* Forgets what waits to be sent and what was read ahead. */
void many_forget(struct many *m);

/* Can the calls wait for others of their kind, so that many_send() runs all of them? */
bool many_takes(const struct call *calls, size_t n);
bool many_add(struct many *m, const struct call *c); /* false: it is full */
size_t many_kinds(const struct many *m); /* of statements that wait: each takes two places in what is sent */
bool many_send(struct postgres *db);

/* Of the running job; what another has asked in the same words is not asked again, nor answered to two. */
void many_ahead(struct many *m, const struct db_job *job, const struct call *c);
bool many_ahead_send(struct postgres *db); /* each kind's result must come to many_ahead_took() */
void many_ahead_took(struct many *m, const struct sent *s, PGresult *r);
/* Was this read ahead for the job?  Then *ret_result holds the rows of many calls, the job's in *ret_row (< 0: none). */
bool many_answer(struct many *m, const struct db_job *job, const struct call *c, PGresult **ret_result, int *ret_row);

#endif
