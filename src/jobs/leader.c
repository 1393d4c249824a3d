/*
 * See leader.h.  A claim that comes too late, of a node that lost the lock in between, takes the row from the true leader for a
 * moment: that one's next turn then does nothing and makes it claim again, and the other finds that it has no lock.  At every
 * moment one node at most is named, and only who is named works.
 */
#include "jobs/leader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "store/bus.h"
#include "store/db.h"

enum { PROOF_BEATS = 2 };

struct leader {
	bool alone; /* one process has the database to itself */
	char name[LEADER_NAME];
	pthread_mutex_t lock;	    /* one thread claims, the others wait for it */
	int64_t claimed_term;	    /* the bus' term that was claimed last */
	_Atomic int64_t claimed_us; /* when: the term of this node's last claim; never the same twice */
	_Atomic bool lost;	    /* the row was another's */
	_Atomic int64_t lost_beat;
};

const char *
node_name(struct ctx *cx, char ret[LEADER_NAME])
{
	const struct source *s = &cx->srv->source;
	char host[65] = "";
	uint32_t chance;

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = 0;
	s->random(s->arg, &chance, sizeof(chance));
	(void)snprintf(ret, LEADER_NAME, "%s:%ld:%08x", host, (long)getpid(), (unsigned)chance);
	return ret;
}

struct leader *
leader_open(const struct server *srv)
{
	struct leader *l = calloc(1, sizeof(*l));
	struct arena a;
	struct ctx cx;

	if (!l)
		BUG("out of memory");
	arena_init(&a);
	ctx_init(&cx, &a, srv);
	(void)node_name(&cx, l->name);
	arena_release(&a);
	l->alone = !srv->bus;
	(void)pthread_mutex_init(&l->lock, NULL);
	return l;
}

void
leader_close(struct leader *l)
{
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

const char *
leader_name(const struct leader *l)
{
	return l->name;
}

SQL(LEADER_CLAIM, "tm",
	"INSERT INTO jobs (name, last_started_at, leader) VALUES ('leader', $2, $1)"
	" ON CONFLICT (name) DO UPDATE SET last_started_at = excluded.last_started_at, leader = excluded.leader");

static enum err
claim(struct ctx *cx, void *arg)
{
	const struct leader *l = arg;

	return db_exec(cx, &LEADER_CLAIM, NULL, V(l->name), V(l->claimed_us));
}

static bool
claim_now(struct leader *l, const struct server *srv)
{
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, srv);
	l->claimed_us = cx.now_us > l->claimed_us ? cx.now_us : l->claimed_us + 1;
	bool ok = db_write(&cx, claim, l) == OK;
	if (!ok)
		log_warning(&cx, "job.unclaimed", cx.error.internal ? cx.error.internal : "the leader's row cannot be had yet");
	arena_release(&a);
	return ok;
}

int64_t
leader_term(struct leader *l, const struct server *srv)
{
	if (l->alone)
		return 1;
	(void)pthread_mutex_lock(&l->lock);
	int64_t term = bus_term(srv->bus);
	/* A process that stood still for a while may not know yet that its lock is gone: it claims again when that is proven to
	 * live. */
	if (l->lost && term == l->claimed_term && bus_beats(srv->bus) < l->lost_beat + PROOF_BEATS)
		term = 0;
	if (term != 0 && (term != l->claimed_term || l->lost)) {
		l->lost = false;
		l->claimed_term = claim_now(l, srv) ? term : 0;
	}
	int64_t claimed = term != 0 && l->claimed_term == term ? l->claimed_us : 0;
	(void)pthread_mutex_unlock(&l->lock);
	return claimed;
}

SQL(LEADER_HOLDS, "tmm", "UPDATE jobs SET last_finished_at = $3 WHERE name = 'leader' AND leader = $1 AND last_started_at = $2");

enum err
leader_holds(struct ctx *cx, const struct lead *lead, bool *ret)
{
	struct leader *l = lead->leader;
	int64_t rows = 1;

	if (!l->alone)
		TRY(db_exec(cx, &LEADER_HOLDS, &rows, V(l->name), V(lead->term), V(cx->now_us)));
	*ret = rows > 0;
	if (!*ret && lead->term == l->claimed_us) { /* an earlier claim that is over says nothing of this one */
		l->lost_beat = bus_beats(cx->srv->bus);
		l->lost = true;
	}
	return OK;
}

struct job_ran {
	int64_t at;
};
static const struct field job_ran_fields[] = {
	F(struct job_ran, at, F_TIME | F_NULLABLE, 0, 0, NULL),
};
static const struct schema job_ran_schema = SCHEMA("JobRan", struct job_ran, job_ran_fields);

SQL(JOB_RAN, "t", "SELECT last_started_at AS at FROM jobs WHERE name = $1");

struct asking {
	const char *name;
	struct job_ran row;
};

static enum err
ask(struct ctx *cx, void *arg)
{
	struct asking *a = arg;
	bool found;

	return db_find(cx, &JOB_RAN, &job_ran_schema, &a->row, &found, V(a->name));
}

enum err
leader_job_ran(struct ctx *cx, const char *name, int64_t *ret_ago_us)
{
	struct asking a = {.name = name, .row.at = TIME_NONE};

	TRY(db_read(cx, ask, &a));
	*ret_ago_us = a.row.at == TIME_NONE ? 366 * DAYS_US : cx->now_us - a.row.at;
	return OK;
}
