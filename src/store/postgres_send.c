/*
 * Sending to PostgreSQL: transactions' verbs, preparing by name, and one execution.  Values travel as text but bytes; each thing sent
 * is noted, so that the results, which come in the same order, find what they answer.
 */
#include <inttypes.h>
#include <stdio.h>

#include "core/fault.h"
#include "store/postgres.h"

static Oid
type_of(char kind, bool many)
{
	switch (kind) {
	case 'u':
		return many ? 2951 : 2950; /* uuid */
	case 'm':
		return many ? 1185 : 1184; /* timestamptz */
	case 'b':
		return many ? 1000 : 16; /* bool */
	case 'i':
		return many ? 1016 : 20; /* int8 */
	case 'r':
		return many ? 1022 : 701; /* float8 */
	case 'x':
		return 17; /* bytea */
	default:
		return many ? 1009 : 25; /* text */
	}
}

struct arguments { /* of one execution, as libpq wants them */
	const char *values[PARAMS_MAX];
	int lengths[PARAMS_MAX], formats[PARAMS_MAX];
	char texts[PARAMS_MAX][32];
	char name[16];
};

const char *
postgres_text(char kind, const struct val *v, char text[32])
{
	static const char nil[] = "00000000-0000-0000-0000-000000000000";

	if (v->kind == VAL_NULL)
		return NULL;
	if (v->kind == VAL_TEXT) /* what is no UUID is equal to none: PostgreSQL would refuse the statement */
		return kind == 'u' && !uuid_valid(v->s) ? nil : v->s;
	if (v->kind == VAL_NUM)
		(void)snprintf(text, 32, "%.17g", v->d);
	else if (kind == 'm')
		time_to_sql(v->i, text);
	else
		(void)snprintf(text, 32, "%" PRId64, v->i);
	return text;
}

static void
make_arguments(struct arguments *g, const struct call *c)
{
	(void)snprintf(g->name, sizeof(g->name), "s%" PRIu32, postgres_number(c));
	for (int i = 0; i < c->st->n_params; i++) {
		const struct val *v = &c->args[i];
		g->lengths[i] = g->formats[i] = 0;
		if (v->kind == VAL_BYTES) {
			g->values[i] = (const char *)v->x.p;
			g->lengths[i] = (int)v->x.n;
			g->formats[i] = 1;
		} else {
			g->values[i] = postgres_text(c->st->sql->kinds[i], v, g->texts[i]);
		}
	}
}

void
postgres_note_sent(struct postgres *db, struct sent sent)
{
	if (db->n_sent == SENT_MAX)
		BUG("more was sent than can be answered");
	db->sent[db->n_sent++] = sent;
}

bool
postgres_send_verb(struct postgres *db, enum txn_verb verb)
{
	static const char *const texts[TXN__MAX] = {
		[TXN_BEGIN] = "BEGIN",
		[TXN_SAVEPOINT] = "SAVEPOINT job",
		[TXN_UNDO] = "ROLLBACK TO SAVEPOINT job",
		[TXN_RELEASE] = "RELEASE SAVEPOINT job",
		[TXN_COMMIT] = "COMMIT",
		[TXN_ROLLBACK] = "ROLLBACK",
	};

	if (FAULT("pg.send") || !PQsendQueryParams(db->conn, texts[verb], 0, NULL, NULL, NULL, NULL, 0))
		return false;
	postgres_note_sent(db, (struct sent){.kind = SENT_VERB, .verb = verb});
	return true;
}

bool
postgres_send_prepare(struct postgres *db, const struct statement *st, unsigned variant)
{
	uint32_t number = st->first + variant;
	Oid types[PARAMS_MAX];
	char name[16];

	if (db->prepared[number])
		return true;
	for (int i = 0; i < st->n_params; i++)
		types[i] = type_of(st->sql->kinds[i], st->many && variant == 1);
	(void)snprintf(name, sizeof(name), "s%" PRIu32, number);
	if (FAULT("pg.prepare") || !PQsendPrepare(db->conn, name, st->texts[variant], st->n_params, types))
		return false;
	db->prepared[number] = true;
	postgres_note_sent(db, (struct sent){.kind = SENT_PREPARE, .sql = st->sql, .number = number});
	return true;
}

bool
postgres_send_call(struct postgres *db, struct call *c, bool wait)
{
	struct arguments g;

	if (!postgres_send_prepare(db, c->st, c->variant))
		return false;
	make_arguments(&g, c);
	if (FAULT("pg.send") || !PQsendQueryPrepared(db->conn, g.name, c->st->n_params, g.values, g.lengths, g.formats, 0))
		return false;
	postgres_note_sent(db, (struct sent){.kind = SENT_RUN,
			      .sql = c->st->sql,
			      .number = postgres_number(c),
			      .call = wait ? c : NULL,
			      .expect = c->expect});
	return true;
}
