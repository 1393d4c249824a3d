/*
 * Which of several nodes does the jobs.
 *
 * The bus' advisory lock says who may claim to lead; it goes at once with the process that held it.  The claim is the row
 * 'leader' of `jobs`: every turn of a job updates that row in its own transaction, if it still names this node.  So a new
 * leader's claim waits for the turn that is under way, and a node that was stopped and wakes up as if nothing had happened finds
 * the row to be another's. The claim has a time, which is its term: what was begun under an earlier claim of the same node is not
 * taken for work of this one.
 *
 * Jobs that work outside of a transaction look at the row before they begin and again when they note that they ran or failed, so
 * what `jobs` says is never written by a node after another's claim.  Their work itself may end after it, and be done again by
 * the new leader, which is harmless by what each is: a mail is claimed in its row for longer than a mail may take, and one that
 * outlasts even that is sent twice rather than never; an archive's file is the same bytes under the same name and rows go only
 * with their seal; of a backup there may be two, each whole; files of selfies are removed, and removing twice is removing; probes
 * only look. Where one process has the database to itself it leads, and there is no row.
 */
#ifndef MUSTER_JOBS_LEADER_H
#define MUSTER_JOBS_LEADER_H

#include "core/ctx.h"

enum { LEADER_NAME = 96, LEADER_LOOK_MS = 500 /* how often a node looks whether it leads */ };

struct leader;
struct lead { /* who does a turn, and the claim it was begun under */
	struct leader *leader;
	int64_t term;
};
struct leader *leader_open(const struct server *srv);
void leader_close(struct leader *l);
/* Host and process, for a person who looks, and a random part: no two processes ever have the same. */
const char *leader_name(const struct leader *l);
const char *node_name(struct ctx *cx, char ret[LEADER_NAME]);

/* Not 0 while this node leads, and a higher number after each claim; claims when it must.  May wait for the database. */
int64_t leader_term(struct leader *l, const struct server *srv);
/* Inside a turn's transaction, before anything else: whether that claim is still the last. */
enum err leader_holds(struct ctx *cx, const struct lead *lead, bool *ret) MUST_CHECK;
/* How long ago a job last began on any node; DAYS_US × 366 when never. */
enum err leader_job_ran(struct ctx *cx, const char *name, int64_t *ret_ago_us) MUST_CHECK;

#endif
