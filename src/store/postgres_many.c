/*
 * Many calls by one statement.
 *
 * An execution costs PostgreSQL some 20 µs before it touches a row: messages, executor, checks parsed anew.  So calls whose result
 * nobody waits for, and whose text has a form for many (statement.c), wait here as columns of array literals, one statement each
 * kind, in the order in which the kinds came first.  Everything else that is sent goes after them.  What a batch's jobs will read
 * is gathered in the same way before the first of them runs; a row of the answer names its call by number.
 *
 * What was read ahead belongs to the job that asked, and to the same words: a hash of the arguments tells, and since both come
 * from one request nobody gains by a collision.  Of two jobs with the same question only the first is asked ahead: the second most
 * likely depends on what the first one writes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fault.h"
#include "store/postgres.h"

enum { KINDS_MAX = 12, ROWS_MAX = 2000 };

struct text { /* grows, and is used again by later batches */
	char *p;
	size_t n, cap;
};
struct kind { /* one statement's calls */
	const struct statement *st;
	int64_t rows, expect; /* expect < 0: any */
	struct text params[PARAMS_MAX];
};
struct heap {
	struct kind kinds[KINDS_MAX];
	size_t n;
};
struct question {
	const struct db_job *job;
	const struct sql *sql;
	uint64_t hash;
	int kind; /* in asked.kinds */
	int64_t number; /* of the call, from 1 */
	int row;	/* of the result; < 0: none */
};
struct many {
	struct heap writes, asked;
	struct question *questions;
	size_t n_questions, cap_questions, cursor;
	PGresult *answers[KINDS_MAX]; /* by kind */
};

static void *
grown(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n, size);
	if (!p)
		BUG("out of memory");
	return p;
}

struct many *
many_open(void)
{
	struct many *m = calloc(1, sizeof(*m));

	if (!m)
		BUG("out of memory");
	return m;
}

static void
heap_free(struct heap *h)
{
	for (size_t k = 0; k < KINDS_MAX; k++)
		for (size_t i = 0; i < PARAMS_MAX; i++)
			free(h->kinds[k].params[i].p);
}

static void
forget_answers(struct many *m)
{
	for (size_t k = 0; k < KINDS_MAX; k++) {
		PQclear(m->answers[k]);
		m->answers[k] = NULL;
	}
	m->n_questions = m->cursor = 0;
	m->asked.n = 0;
}

void
many_forget(struct many *m)
{
	m->writes.n = 0;
	forget_answers(m);
}

void
many_close(struct many *m)
{
	many_forget(m);
	heap_free(&m->writes);
	heap_free(&m->asked);
	free(m->questions);
	free(m);
}

/* --- columns --------------------------------------------------------------------------------------------------------------- */

static void
put(struct text *t, const char *s, size_t n)
{
	if (t->cap - t->n < n + 1) {
		t->cap = 2 * t->cap + n + 256;
		t->p = grown(t->p, t->cap, 1);
	}
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = 0;
}

/* An element of an array literal: all but the two special characters stand for themselves between quotation marks. */
static void
put_quoted(struct text *t, const char *s)
{
	put(t, "\"", 1);
	for (size_t n; *s; s += n) {
		n = strcspn(s, "\"\\");
		put(t, s, n);
		if (s[n]) {
			put(t, "\\", 1);
			put(t, s + n, 1);
			n++;
		}
	}
	put(t, "\"", 1);
}

static struct kind *
kind_of(struct heap *h, const struct statement *st)
{
	for (size_t k = 0; k < h->n; k++)
		if (h->kinds[k].st == st)
			return &h->kinds[k];
	if (h->n == KINDS_MAX)
		return NULL;
	struct kind *kind = &h->kinds[h->n++];
	kind->st = st;
	kind->rows = kind->expect = 0;
	for (int i = 0; i < st->n_params; i++)
		kind->params[i].n = 0;
	return kind;
}

static void
kind_add(struct kind *kind, const struct call *c)
{
	char number[32];

	for (int i = 0; i < kind->st->n_params; i++) {
		struct text *t = &kind->params[i];
		const char *s = postgres_text(kind->st->sql->kinds[i], &c->args[i], number);
		put(t, kind->rows ? "," : "{", 1);
		if (!s)
			put(t, "NULL", 4);
		else if (kind->st->sql->kinds[i] == 't' || kind->st->sql->kinds[i] == 'm')
			put_quoted(t, s);
		else
			put(t, s, strlen(s));
	}
	kind->rows++;
	kind->expect = c->expect < 0 || kind->expect < 0 ? -1 : kind->expect + c->expect;
}

static bool
kind_send(struct postgres *db, struct kind *kind, enum sent_kind as)
{
	const char *values[PARAMS_MAX];
	uint32_t number = kind->st->first + 1;
	char name[16];

	for (int i = 0; i < kind->st->n_params; i++) {
		put(&kind->params[i], "}", 1);
		values[i] = kind->params[i].p;
	}
	(void)snprintf(name, sizeof(name), "s%u", (unsigned)number);
	if (!postgres_send_prepare(db, kind->st, 1) ||
		FAULT("pg.send") || !PQsendQueryPrepared(db->conn, name, kind->st->n_params, values, NULL, NULL, 0))
		return false;
	postgres_note_sent(db, (struct sent){.kind = as, .sql = kind->st->sql, .number = number, .expect = kind->expect});
	return true;
}

/* --- writing --------------------------------------------------------------------------------------------------------------- */

bool
many_takes(const struct call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!calls[i].may_come_late || !calls[i].st->many)
			return false;
	return true;
}

bool
many_add(struct many *m, const struct call *c)
{
	struct kind *kind = kind_of(&m->writes, c->st);

	if (!kind || kind->rows >= ROWS_MAX)
		return false;
	kind_add(kind, c);
	return true;
}

size_t
many_kinds(const struct many *m)
{
	return m->writes.n;
}

bool
many_send(struct postgres *db)
{
	struct heap *h = &db->many->writes;
	bool sent = true;

	for (size_t k = 0; k < h->n && sent; k++)
		sent = kind_send(db, &h->kinds[k], SENT_RUN);
	h->n = 0;
	return sent;
}

/* --- reading ahead --------------------------------------------------------------------------------------------------------- */

static void
hash_bytes(uint64_t *hash, const void *p, size_t n)
{
	for (const uint8_t *b = p, *end = b + n; b < end; b++)
		*hash = (*hash ^ *b) * UINT64_C(0x100000001b3);
}

static uint64_t
hash_of(const struct call *c)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	char number[32];

	for (int i = 0; i < c->st->n_params; i++) {
		const char *s = postgres_text(c->st->sql->kinds[i], &c->args[i], number);
		hash_bytes(&hash, s ? s : "", s ? strlen(s) + 1 : 0);
		hash_bytes(&hash, "", 1);
	}
	return hash;
}

void
many_ahead(struct many *m, const struct db_job *job, const struct call *c)
{
	const struct question q = {.job = job, .sql = c->st->sql, .hash = hash_of(c), .row = -1};
	struct kind *kind;

	for (size_t i = 0; i < m->n_questions; i++)
		if (m->questions[i].hash == q.hash && m->questions[i].sql == q.sql)
			return;
	if (!(kind = kind_of(&m->asked, c->st)) || kind->rows >= ROWS_MAX)
		return;
	if (m->n_questions == m->cap_questions) {
		m->cap_questions = m->cap_questions ? 2 * m->cap_questions : 64;
		m->questions = grown(m->questions, m->cap_questions, sizeof(*m->questions));
	}
	kind_add(kind, c);
	m->questions[m->n_questions] = q;
	m->questions[m->n_questions].kind = (int)(kind - m->asked.kinds);
	m->questions[m->n_questions++].number = kind->rows;
}

bool
many_ahead_send(struct postgres *db)
{
	struct heap *h = &db->many->asked;
	bool sent = true;

	for (size_t k = 0; k < h->n && sent; k++)
		sent = kind_send(db, &h->kinds[k], SENT_AHEAD);
	return sent;
}

void
many_ahead_took(struct many *m, const struct sent *s, PGresult *r)
{
	size_t k = 0;

	while (k < m->asked.n && m->asked.kinds[k].st->sql != s->sql)
		k++;
	if (k == m->asked.n || m->answers[k])
		BUG("an answer that nobody asked for");
	m->answers[k] = r;
	size_t at = 0; /* the rows mostly come in the order of the calls */
	for (int row = 0; row < PQntuples(r); row++) {
		int64_t number = 0;
		if (!str_int(PQgetvalue(r, row, 0), 1, m->asked.kinds[k].rows, &number))
			BUG("statement %s does not give the number of the call", s->sql->name);
		for (; m->questions[at].kind != (int)k || m->questions[at].number != number; at = (at + 1) % m->n_questions)
			;
		m->questions[at].row = row;
	}
}

bool
many_answer(struct many *m, const struct db_job *job, const struct call *c, PGresult **ret_result, int *ret_row)
{
	for (size_t i = 0; i < m->n_questions; i++) {
		struct question *q = &m->questions[(m->cursor + i) % m->n_questions];
		if (q->job != job || q->sql != c->st->sql)
			continue;
		if (q->hash != hash_of(c) || !m->answers[q->kind])
			return false;
		m->cursor = (m->cursor + i + 1) % m->n_questions;
		*ret_result = m->answers[q->kind];
		*ret_row = q->row;
		q->job = NULL; /* asked again it is read anew */
		return true;
	}
	return false;
}
