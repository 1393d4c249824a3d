/*
 * Torture: before a test's request is really made, it is made again and again with one thing failing, on the state that it
 * will find, and that state is put back each time.  So the test goes on as if nothing had been, and asserts what it always asserts.
 * What a test does without a request is a step, and made again as well: a run of a job, and a db_write() of its own; their calls
 * lead here (torture.mk).
 *
 * What must hold for the k-th point that fails, once or for ever after:
 *	the reply is the one of the clean run, or 503, or another error that the row lists (the dispatcher is strict);
 *	the same reply as of the clean run: all tables are as the clean run left them;
 *	any other reply: they are as they were, or, when the outcome of a COMMIT is not known, as the clean run left them; only the audit
 *	trail and the kept replies may tell of the failure;
 *	asked again, with nothing failing, the request gives the reply of the clean run and its state.
 * Of a step the reply is its error: the clean one, or ERR_UNAVAILABLE or ERR_OVERLOADED.  A job that works in several transactions may
 * stop between them, and run again it ends where the clean run ended.
 *
 * MUSTER_TORTURE=1 turns it on; MUSTER_TORTURE_POINTS: at most so many points of one name in a request (default 3);
 * MUSTER_TORTURE_EACH: at most so many requests of a route with one status (default 2); MUSTER_TORTURE_REPORT: a file to add the
 * counts to; MUSTER_TORTURE_SKIP: a test to leave out.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/jobs.h"
#include "net/redis.h"
#include "store/engine.h"
#include "torture/fault.h"
#include "torture/state.h"

#pragma weak dispatch_route
#pragma weak session_table_flush
#pragma weak limiter_open
#pragma weak limiter_close
#pragma weak torture_peers

enum { NAMES_MAX = 64, SEEN_MAX = 4096, LIMIT_KEYS = 1000, RETRY_MS = 60000, SHOWN_MAX = 20, HEALTHY_RUNS = 3, PAUSE_MS = 300, STATUSES_USUAL = 5 };

enum count { TRIED, AS_CLEAN, UNAVAILABLE, OTHER_ERROR, UNCHANGED, TRACED, CHANGED, NOT_REACHED, VIOLATION, COUNTS };
static const char *const count_names[COUNTS] = {
	"tried", "as clean", "503", "other error", "unchanged", "traced", "changed", "not reached", "VIOLATION"};

static struct {
	const char *name;
	long counts[COUNTS];
} points[NAMES_MAX];
extern const char __executable_start;
static uint64_t seen[SEEN_MAX];
static size_t n_seen;
static long per_name, per_route, shown;
static bool on;
static pthread_t main_thread;
static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER; /* calls of other threads, or replays */

struct step {
	enum err (*run)(struct ctx *cx, void *arg);
	void *arg;
	const struct ctx *cx;
	bool whole;          /* one transaction */
	const int64_t *rows; /* that a job did; NULL: it is none */
};
struct answer {
	int status;
	char code[64];
	bool streams;
};
struct trial {
	struct test *t;
	const struct test_request *rq; /* NULL: `step` it is */
	const struct step *step;
	const char *route;
	struct arena arena; /* of the states */
	uint64_t random_state;
	int64_t wall_us, monotonic_us;
	struct answer clean;
	struct state old, new;
	const char *names[FAULT_POINTS_MAX];
	long n_names;
};

/* --- counts ---- */

static long *
counts_of(const char *name)
{
	size_t i = 0;

	while (points[i].name && strcmp(points[i].name, name) != 0)
		if (++i == NAMES_MAX)
			fail_msg("more than %d names of points", NAMES_MAX);
	points[i].name = name;
	return points[i].counts;
}

static void
report(void)
{
	const char *path = getenv("MUSTER_TORTURE_REPORT");
	FILE *out = path ? fopen(path, "a") : stderr;

	for (int c = 0; !path && c < COUNTS; c++)
		print_error("%s%s", c ? "\t" : "\t", count_names[c]);
	if (!path)
		print_error("\n");
	for (size_t i = 0; out && i < NAMES_MAX && points[i].name; i++) {
		(void)fprintf(out, "%s", points[i].name);
		for (int c = 0; c < COUNTS; c++)
			(void)fprintf(out, "\t%ld", points[i].counts[c]);
		(void)fprintf(out, "\n");
	}
	if (out && path)
		(void)fclose(out);
}

static long
setting(const char *name, long usual)
{
	const char *text = getenv(name);

	return text && text[0] ? strtol(text, NULL, 10) : usual;
}

__attribute__((constructor)) static void
start(void)
{
	on = setting("MUSTER_TORTURE", 0) != 0;
	per_name = setting("MUSTER_TORTURE_POINTS", 3);
	per_route = setting("MUSTER_TORTURE_EACH", 2);
	main_thread = pthread_self();
	if (getenv("MUSTER_TORTURE_SKIP"))
		cmocka_set_skip_filter(getenv("MUSTER_TORTURE_SKIP"));
	sqlite_once();
	torture_vfs();
	if (on)
		(void)atexit(report);
}

/* --- one pass ---- */

static const char *
peers(struct trial *y, enum torture_moment moment)
{
	return torture_peers ? torture_peers(y->t, y->route, moment) : NULL;
}

static void
await_redis(const struct test *t)
{
	int64_t until = time_monotonic_us() + RETRY_MS * INT64_C(1000);
	struct redis_state now = {.up = !t->srv.redis};

	while (!now.up && time_monotonic_us() < until) {
		redis_look(t->srv.redis, &now);
		(void)poll(NULL, 0, now.up ? 0 : 2);
	}
}

static void
put_back(struct trial *y)
{
	state_put_back(y->t);
	await_redis(y->t);
	(void)peers(y, TORTURE_BACK);
	if (session_table_flush && y->t->srv.sessions)
		session_table_flush(y->t->srv.sessions);
}

static struct answer
make_step(const struct trial *y)
{
	struct ctx cx = *y->step->cx;
	struct answer got = {0};

	error_clear(&cx);
	cx.now_us += y->t->wall_us - y->wall_us;
	enum err e = y->step->run(&cx, y->step->arg);
	got.status = e == OK ? 200 : err_row(e)->status;
	(void)str_copy(got.code, sizeof(got.code), e == OK ? "" : err_row(e)->name);
	return got;
}

static struct answer
make_request(const struct trial *y)
{
	struct answer got = {0};
	struct test_reply *r = request_run(y->t, y->rq);

	(void)fault_disarm();
	got.status = r->status;
	got.streams = r->x.reply.stream != NULL;
	const char *tail = got.status / 100 == 3 ? strpbrk(reply_head(r, "Location"), "?#") : NULL;
	size_t n = tail ? strcspn(tail, "=") : 0;
	if (tail && tail[n]) /* ?code=…, ?error=… or #error=…; of the app's #CODE nothing is the same twice */
		(void)str_copy(got.code, n + 1 < sizeof(got.code) ? n + 1 : sizeof(got.code), tail);
	else if (!tail)
		(void)str_copy(got.code, sizeof(got.code), error_code(r));
	reply_free(r);
	return got;
}

/* The counters of limits are a pass's own, unless Redis has them. */
static struct answer
run(struct trial *y, long at, bool ever, uint64_t random_state)
{
	struct test *t = y->t;
	struct limiter *kept = t->srv.limiter;

	t->random_state = random_state;
	if (!t->srv.redis)
		t->srv.limiter = limiter_open(&t->srv.source, LIMIT_KEYS);
	fault_arm(at, ever);
	struct answer got = y->rq ? make_request(y) : make_step(y);
	(void)fault_disarm();
	if (t->srv.limiter != kept)
		limiter_close(t->srv.limiter);
	t->srv.limiter = kept;
	return got;
}

static bool
is_clean(const struct trial *y, const struct answer *got)
{
	return got->status == y->clean.status && strcmp(got->code, y->clean.code) == 0;
}

/*
 * Without faults, until what was lost is there again: connections are made anew after a pause.  Chance is another each time, as it is on
 * a clock that goes: an upload that an earlier try left has its name.
 */
static struct answer
ask_again(struct trial *y)
{
	int64_t until = time_monotonic_us() + RETRY_MS * INT64_C(1000);

	for (uint64_t n = 0;; n++) {
		struct answer got = run(y, 0, false, ~(y->random_state + n));
		if (got.status != 503 || y->clean.status == 503 || time_monotonic_us() > until)
			return got;
		(void)poll(NULL, 0, 2);
	}
}

/* --- judgement ---- */

static void
violation(struct trial *y, const char *name, long at, bool ever, const struct answer *got, const char *what)
{
	counts_of(name)[VIOLATION]++;
	if (shown++ >= SHOWN_MAX)
		return;
	print_error("VIOLATION %s: %s, clean %d %s; point %ld %s failing %s: %d %s\n", what, y->route, y->clean.status, y->clean.code, at,
		name, ever ? "for ever" : "once", got->status, got->code);
}

/* A provider's code is good for one exchange, so the state that goes with it is spent before: who fails then begins again. */
static bool
spends(const struct trial *y)
{
	return strstr(y->route, "/oauth/{provider}/callback") != NULL;
}

/* A helper for faces that fails is a flag on the mark, not a refusal; once everything fails, it is among that. */
static bool
flags(const struct trial *y, const char *name, bool ever)
{
	bool asks = str_starts(name, "face.");

	for (long i = 0; i < y->n_names && ever; i++)
		asks = asks || str_starts(y->names[i], "face.");
	return asks;
}

/*
 * As before, but for what a password did: it is judged in a transaction of its own, so a right one has ended the count of wrong ones
 * before what it is asked for can fail.
 */
static bool
is_old(const struct trial *y, const struct state *now, enum but but)
{
	if (!state_differs(now, &y->old, but))
		return true;
	return !state_differs(now, &y->old, BUT_COUNTS) && state_same_table(now, &y->new, "login_failures");
}

/*
 * A typed password is counted as wrong in one transaction, and that is taken back in another.  Where it is not known whether one of them
 * was committed, the count may be one off: it is not taken back, or twice.
 */
static bool
may_miscount(const char *name, bool ever)
{
	return ever || strcmp(name, "pg.lost_after") == 0;
}

/* What is wrong with the reply and the state it left; NULL: nothing. */
static const char *
judge(struct trial *y, const char *name, bool ever, const struct answer *got, const struct state *now)
{
	enum but but = may_miscount(name, ever) ? BUT_COUNTS : BUT_TRACES;
	long *counts = counts_of(name);

	counts[TRIED]++;
	counts[is_clean(y, got) ? AS_CLEAN : got->status == 503 ? UNAVAILABLE : OTHER_ERROR]++;
	counts[state_differs(now, &y->old, but) ? CHANGED : state_differs(now, &y->old, BUT_NOTHING) ? TRACED : UNCHANGED]++;
	if (got->status / 100 == 2 && flags(y, name, ever))
		return NULL;
	if (is_clean(y, got))
		return state_differs(now, &y->new, y->step && got->status >= 400 ? BUT_TRACES : BUT_NOTHING)
			       ? "the clean reply, and another state"
			       : NULL; /* a job's failure is noted where that can be */
	if (got->status / 100 == 2 || got->status == 500 || (y->step && got->status != 503))
		return "another reply";
	if (spends(y) || (y->step && !y->step->whole))
		return NULL;
	return !is_old(y, now, but) && state_differs(now, &y->new, but) ? "a state between old and new" : NULL;
}

/* After a reply that was not the clean one. */
static const char *
judge_again(struct trial *y, bool was_old, const struct answer *again, struct arena *a, struct state *ret_now)
{
	state_read(y->t, a, &y->old, ret_now);
	if ((!was_old && (!y->step || y->step->whole)) || spends(y))
		return again->status >= 500 ? "asked again, it fails" : NULL;
	if (!is_clean(y, again))
		return "asked again, another reply";
	if (torture_peers && y->step && !y->step->whole)
		return peers(y, TORTURE_AGAIN);
	return state_differs(ret_now, &y->new, BUT_COUNTS) ? "asked again, another state" : NULL;
}

static void
try(struct trial *y, long at, bool ever)
{
	struct arena a CLEANUP(arena_release);
	struct state now, later;

	arena_init(&a);
	struct answer got = run(y, at, ever, y->random_state);
	const char *name = fault_struck(), *wrong = NULL;
	bool touched;
	if (!name) {
		counts_of(y->names[at - 1])[NOT_REACHED]++;
		put_back(y);
		return;
	}
	if (!state_is_quiet(y->t))
		violation(y, name, at, ever, &got, "a transaction stays open");
	state_read(y->t, &a, &y->old, &now);
	touched = state_differs(&now, &y->old, BUT_NOTHING) != NULL;
	if ((wrong = peers(y, TORTURE_AFTER)) || (wrong = judge(y, name, ever, &got, &now))) {
		violation(y, name, at, ever, &got, wrong);
		if (shown < SHOWN_MAX)
			state_print_difference(&y->new, &now);
	} else if (!is_clean(y, &got)) {
		(void)peers(y, TORTURE_RETRY);
		struct answer again = ask_again(y);
		wrong = judge_again(y, !state_differs(&now, &y->old, BUT_COUNTS), &again, &a, &later);
		if (wrong) {
			violation(y, name, at, ever, &again, wrong);
			if (shown < SHOWN_MAX)
				state_print_difference(&y->new, &later);
		}
		touched = state_differs(&later, &y->old, BUT_NOTHING) != NULL;
	}
	y->t->wall_us = y->wall_us;
	y->t->monotonic_us = y->monotonic_us;
	if (touched || torture_peers)
		put_back(y);
	else
		await_redis(y->t);
}

/* --- which ---- */

/* At most per_name points of a name, spread over all that it has in this request. */
static bool
is_sampled(const struct trial *y, long at)
{
	long before = 0, all = 0;

	for (long i = 0; i < y->n_names; i++) {
		bool same = strcmp(y->names[i], y->names[at - 1]) == 0;
		all += same;
		before += same && i < at - 1;
	}
	return all <= per_name || before * per_name / all != (before + 1) * per_name / all;
}

/* Counts what is seen; false: it was seen `max` times before. */
static bool
is_new(const char *what, long max)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	long n = 0;

	for (const char *p = what; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < n_seen; i++)
		n += seen[i] == h;
	if (n >= max || n_seen == SEEN_MAX)
		return false;
	seen[n_seen++] = h;
	return true;
}

static bool
is_wanted(struct trial *y)
{
	bool idle = y->step && y->step->rows && *y->step->rows == 0;

	return y->clean.status < 500 && !y->clean.streams &&
	       is_new(arena_printf(&y->arena, "%s %d %s%s", y->route, y->clean.status, y->clean.code, idle ? "idle" : ""), per_route);
}

static bool
run_clean(struct trial *y)
{
	struct test *t = y->t;

	(void)peers(y, TORTURE_KEEP);
	state_read(t, &y->arena, NULL, &y->old);
	state_keep(t);
	y->clean = run(y, 0, false, y->random_state);
	y->n_names = fault_disarm();
	if (y->n_names > FAULT_POINTS_MAX)
		y->n_names = FAULT_POINTS_MAX;
	for (long i = 0; i < y->n_names; i++)
		y->names[i] = fault_name(i + 1);
	bool wanted = is_wanted(y);
	if (wanted)
		state_read(t, &y->arena, &y->old, &y->new);
	put_back(y);
	return wanted;
}

/*
 * Each thread has a connection of its own, and one of PostgreSQL that could not be made is not tried again before a pause is over.
 * Which thread the test's own request will meet nobody knows: so asks for as long as any could be in its pause.
 */
static void
recover(struct trial *y)
{
	int64_t until = time_monotonic_us() + (y->t->pg_url ? PAUSE_MS * INT64_C(1000) : 0);

	for (int good = 0; good < HEALTHY_RUNS || time_monotonic_us() < until; good++) {
		(void)ask_again(y);
		put_back(y);
	}
}

static const char *
route_of(struct test *t, struct arena *a, const struct test_request *rq)
{
	enum surface surface;
	const char *path = arena_strndup(a, rq->path, strcspn(rq->path, "?"));
	const struct route *route = dispatch_route(t->d, a, rq->method, path, &surface);

	return route ? arena_printf(a, "%s %s", method_name(rq->method), route->path) : "unmatched";
}

static void
replay(struct test *t, const struct test_request *rq, const struct step *step, const char *name)
{
	struct trial *y = calloc(1, sizeof(*y));

	assert_non_null(y);
	*y = (struct trial){.t = t, .rq = rq, .step = step, .random_state = t->random_state, .wall_us = t->wall_us, .monotonic_us = t->monotonic_us};
	arena_init(&y->arena);
	y->route = rq ? route_of(t, &y->arena, rq) : name;
	if (is_new(y->route, per_route * STATUSES_USUAL) && run_clean(y)) {
		for (long at = 1; at <= y->n_names; at++)
			for (int ever = 0; ever < 2 && is_sampled(y, at); ever++)
				try(y, at, ever);
		recover(y);
	}
	t->random_state = y->random_state;
	arena_release(&y->arena);
	free(y);
}

/* --- around a call ---- */

static void
before(struct test *t, const struct test_request *rq, const struct step *step, const char *name)
{
	if (!on)
		return;
	if (pthread_equal(pthread_self(), main_thread) && pthread_rwlock_trywrlock(&gate) == 0) {
		replay(t, rq, step, name);
		(void)pthread_rwlock_unlock(&gate);
	}
	(void)pthread_rwlock_rdlock(&gate);
}

void
torture_before(struct test *t, const struct test_request *rq)
{
	before(t, rq, NULL, NULL);
}

void
torture_after(void)
{
	if (on)
		(void)pthread_rwlock_unlock(&gate);
}

/* --- steps ---- */

static struct test *
test_of(const struct ctx *cx)
{
	return (struct test *)((uintptr_t)cx->srv - offsetof(struct test, srv));
}

struct writing {
	enum err (*run)(struct ctx *cx, void *arg);
	void *arg;
};

static enum err
write_again(struct ctx *cx, void *arg)
{
	const struct writing *w = arg;

	return db_write(cx, w->run, w->arg);
}

/* A function has no name here: addr2line -e PROGRAM tells it. */
enum err torture_db_write(struct ctx *cx, enum err (*run_it)(struct ctx *cx, void *arg), void *arg);
enum err
torture_db_write(struct ctx *cx, enum err (*run_it)(struct ctx *cx, void *arg), void *arg)
{
	struct writing w = {run_it, arg};
	char name[64];

	if (cx->db)
		return db_write(cx, run_it, arg);
	(void)snprintf(name, sizeof(name), "write 0x%zx", (size_t)((uintptr_t)run_it - (uintptr_t)&__executable_start));
	before(test_of(cx), NULL, &(const struct step){write_again, &w, cx, true, NULL}, name);
	enum err e = db_write(cx, run_it, arg);
	torture_after();
	return e;
}

struct running {
	const char *name;
	int64_t rows;
};

static enum err
run_again(struct ctx *cx, void *arg)
{
	struct running *r = arg;

	return job_run(cx, r->name, &r->rows);
}

enum err torture_job_run(struct ctx *cx, const char *name, int64_t *ret_rows);
enum err
torture_job_run(struct ctx *cx, const char *name, int64_t *ret_rows)
{
	struct running r = {name, 0};
	bool whole = true;

	for (size_t i = 0; i < job_row_count; i++)
		if (strcmp(job_rows[i].name, name) == 0)
			whole = job_rows[i].thread == JOBS_DATABASE;
	before(test_of(cx), NULL, &(const struct step){run_again, &r, cx, whole, &r.rows}, name);
	enum err e = job_run(cx, name, ret_rows);
	torture_after();
	return e;
}

void
torture_end(struct test *t)
{
	if (on)
		state_forget(t);
}
