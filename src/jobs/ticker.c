/*
 * One thread with work of a few milliseconds at a time.  Sessions are looked up where requests look them up, in memory; only
 * those that the table does not know cost a query, and of these a turn does at most FILLS_MAX, so that a flushed table is no
 * burst.  On a shared database those whose lease is over come in turn, AGED_MAX a second: what other nodes tell makes a session
 * unknown and so comes first, and the lease is for what was never told.  An error of the database ends no stream.
 */
#include "jobs/ticker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "attendance/display.h"
#include "core/log.h"
#include "identity/session.h"
#include "jobs/limits.h"
#include "jobs/watch.h"
#include "notify/live.h"
#include "store/db.h"

enum { FILLS_MAX = 500, AGED_MAX = 250 };

struct ticker {
	const struct server *srv;
	struct limits *limits;
	pthread_t thread;
	atomic_bool stop;
};

struct budget { /* of queries, in one look over all streams */
	int fills, aged;
};

struct check {
	struct live_seat *seat;
	struct actor actor;
};

static enum err
check_run(struct ctx *cx, void *arg)
{
	struct check *c = arg;
	const struct access_claims claims = {.user_id = c->seat->user_id, .session_id = c->seat->session_id};

	if (!c->seat->session_id.text[0])
		return display_stands(cx, c->seat);
	return session_fill(cx, &claims, &c->actor);
}

/* True unless we know better. */
static bool
stands(struct ctx *cx, struct live_seat *seat, struct budget *left)
{
	const struct access_claims claims = {.user_id = seat->user_id, .session_id = seat->session_id};
	struct check c = {.seat = seat};
	bool miss = true, aged = false;
	enum err e = OK;

	if (seat->session_id.text[0])
		e = session_lookup_aged(cx, &claims, &c.actor, &miss, &aged);
	if (e == OK && (miss || aged)) {
		if ((miss ? left->fills-- : left->aged--) <= 0)
			return true;
		e = db_read(cx, check_run, &c);
	}
	error_clear(cx);
	if (e != OK)
		return e != ERR_TOKEN_REVOKED;
	return !seat->session_id.text[0] || c.actor.role == seat->role;
}

/* Begins somewhere else each time, so that everybody has a turn within the budget. */
static void
check_all(struct ctx *cx, struct budget left, size_t *from)
{
	struct live_listener *all;
	size_t n = live_listeners(cx->srv->live, cx->arena, &all), start = n ? *from % n : 0;
	int aged = left.aged;

	for (size_t i = 0; i < n; i++) {
		struct live_listener *l = &all[(start + i) % n];
		if (!stands(cx, &l->seat, &left))
			stream_finish(l->stream);
		stream_release(l->stream);
	}
	*from = start + (size_t)aged;
}

void
ticker_check(struct ctx *cx)
{
	size_t from = 0;

	check_all(cx, (struct budget){FILLS_MAX, AGED_MAX}, &from);
}

static void *
ticker_main(void *arg)
{
	struct ticker *t = arg;
	struct displays *displays = displays_open();
	struct arena a;
	int64_t checked_us = 0, watched_us = 0;
	size_t from = 0;
	bool poked = false;

	arena_init(&a);
	while (!t->stop) {
		struct ctx cx;
		int64_t now_us = t->srv->source.monotonic_us(t->srv->source.arg);

		ctx_init(&cx, &a, t->srv);
		displays_turn(&cx, displays);
		bool due = now_us - checked_us >= SECONDS_US;
		if (due || poked)
			check_all(&cx, (struct budget){FILLS_MAX, due ? AGED_MAX : 0}, &from);
		if ((due || poked) && limits_look(&cx, t->limits) != OK)
			error_clear(&cx); /* the database is away, which others say */
		if (due)
			checked_us = now_us;
		if (now_us - watched_us >= WATCH_EVERY_S * SECONDS_US) {
			if (watch_look(&cx) != OK)
				error_clear(&cx);
			watched_us = now_us;
		}
		arena_reset(&a);
		poked = live_wait(t->srv->live, COUNT_EVERY_MS);
	}
	arena_release(&a);
	displays_close(displays);
	return NULL;
}

struct ticker *
ticker_open(const struct server *srv, struct limits *limits)
{
	struct ticker *t = calloc(1, sizeof(*t));

	if (!t)
		BUG("out of memory");
	t->srv = srv;
	t->limits = limits;
	if (pthread_create(&t->thread, NULL, ticker_main, t) != 0)
		BUG("the ticker does not start");
	pthread_setname_np(t->thread, "ticker");
	return t;
}

void
ticker_close(struct ticker *t)
{
	if (!t)
		return;
	t->stop = true;
	live_poke(t->srv->live);
	pthread_join(t->thread, NULL);
	free(t);
}
