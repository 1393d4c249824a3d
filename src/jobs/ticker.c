/*
 * One thread with work of a few milliseconds at a time.  Sessions are looked up where requests look them up, in memory; only
 * those that the table does not know cost a query, and of these a turn does at most FILLS_MAX, so that a flushed table is no
 * burst.  An error of the database ends no stream.
 */
#include "jobs/ticker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "attendance/display.h"
#include "core/log.h"
#include "identity/session.h"
#include "notify/live.h"
#include "store/db.h"

enum { FILLS_MAX = 500 };

struct ticker {
	const struct server *srv;
	pthread_t thread;
	atomic_bool stop;
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
stands(struct ctx *cx, struct live_seat *seat, int *fills)
{
	const struct access_claims claims = {.user_id = seat->user_id, .session_id = seat->session_id};
	struct check c = {.seat = seat};
	bool miss = true;
	enum err e = OK;

	if (seat->session_id.text[0])
		e = session_lookup(cx, &claims, &c.actor, &miss);
	if (e == OK && miss) {
		if (++*fills > FILLS_MAX)
			return true;
		e = db_read(cx, check_run, &c);
	}
	error_clear(cx);
	if (e != OK)
		return e != ERR_TOKEN_REVOKED;
	return !seat->session_id.text[0] || c.actor.role == seat->role;
}

void
ticker_check(struct ctx *cx)
{
	struct live_listener *all;
	size_t n = live_listeners(cx->srv->live, cx->arena, &all);
	int fills = 0;

	for (size_t i = 0; i < n; i++) {
		if (!stands(cx, &all[i].seat, &fills))
			stream_finish(all[i].stream);
		stream_release(all[i].stream);
	}
}

static void *
ticker_main(void *arg)
{
	struct ticker *t = arg;
	struct displays *displays = displays_open();
	struct arena a;
	int64_t checked_us = 0;

	arena_init(&a);
	while (!t->stop) {
		struct ctx cx;
		int64_t now_us = t->srv->source.monotonic_us(t->srv->source.arg);

		ctx_init(&cx, &a, t->srv);
		displays_turn(&cx, displays);
		if (now_us - checked_us >= SECONDS_US) {
			ticker_check(&cx);
			checked_us = now_us;
		}
		arena_reset(&a);
		live_wait(t->srv->live, COUNT_EVERY_MS);
	}
	arena_release(&a);
	displays_close(displays);
	return NULL;
}

struct ticker *
ticker_open(const struct server *srv)
{
	struct ticker *t = calloc(1, sizeof(*t));

	if (!t)
		BUG("out of memory");
	t->srv = srv;
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
