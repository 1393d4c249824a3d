/*
 * News carry ids only: what a listener gets is read from the database, where it is already committed.
 *
 * When news may not have been heard, nothing in memory is trusted: the table of sessions is flushed, the listeners of this node get
 * every notification since then (a stream may bring one twice), and the screens look for themselves within a second anyway.
 */
#include "jobs/nodes.h"

#include "core/conf.h"
#include "core/log.h"
#include "identity/session.h"
#include "notify/live.h"
#include "notify/notify.h"
#include "store/bus.h"
#include "store/db.h"

enum { CATCH_UP_S = 10 }; /* an id is taken before its COMMIT */

struct telling {
	const struct news *news;
	struct uuid after; /* the last that was told */
	bool more;
};

static enum err
tell_one(struct ctx *cx, void *arg)
{
	const struct telling *t = arg;
	struct notification row;
	bool found;

	TRY(notification_find(cx, t->news->id.text, t->news->of.text, &row, &found));
	if (found)
		live_publish(cx->srv->live, LIVE_ACCOUNT, t->news->id.text, notification_event(cx, &row));
	return OK;
}

static enum err
tell_page(struct ctx *cx, void *arg)
{
	struct telling *t = arg;
	struct list list;

	TRY(notification_since(cx, t->after.text, &list));
	const struct notification_of *rows = list.items;
	for (size_t i = 0; i < list.count; i++)
		live_publish(cx->srv->live, LIVE_ACCOUNT, rows[i].user_id.text, notification_event(cx, &rows[i].row));
	if (list.count)
		t->after = rows[list.count - 1].row.id;
	t->more = list.count == NOTIFICATION_MISSED_MAX;
	return OK;
}

static bool
read_and_tell(const struct server *srv, enum err (*fn)(struct ctx *cx, void *arg), struct telling *t)
{
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, srv);
	enum err e = db_read(&cx, fn, t);
	if (e != OK)
		log_warning(&cx, "bus.unread", cx.error.internal ? cx.error.internal : err_row(e)->name);
	arena_release(&a);
	return e == OK;
}

static void
tell_since(const struct server *srv, int64_t since_us)
{
	int64_t from_us = since_us - CATCH_UP_S * SECONDS_US;
	const uint8_t lowest[10] = {0};
	struct telling t = {.after = uuid_v7(from_us > 0 ? from_us : 0, lowest), .more = true};

	while (t.more && read_and_tell(srv, tell_page, &t))
		;
}

static void
hear(void *arg, const struct news *n)
{
	const struct server *srv = arg;
	struct telling t = {.news = n};

	switch (n->kind) {
	case NEWS_USER:
		session_table_forget(srv->sessions, n->id.text);
		live_poke(srv->live);
		break;
	case NEWS_NOTIFICATION:
		if (live_count(srv->live, LIVE_ACCOUNT, n->id.text, false) > 0)
			(void)read_and_tell(srv, tell_one, &t);
		break;
	case NEWS_EVENT:
		live_publish(srv->live, LIVE_EVENT, n->id.text, (struct span){NULL, 0});
		break;
	default: /* screens were ended, limits set: the ticker looks */
		live_poke(srv->live);
	}
}

static void
missed(void *arg, int64_t since_us)
{
	const struct server *srv = arg;

	session_table_flush(srv->sessions);
	live_poke(srv->live);
	if (live_any(srv->live))
		tell_since(srv, since_us);
}

void
nodes_open(struct server *srv)
{
	const struct bus_options options = {
		.url = srv->conf->database_url,
		.source = &srv->source,
		.max_skew_us = srv->conf->clock_skew_max_ms * 1000,
		.hear = hear,
		.missed = missed,
		.arg = srv,
	};

	srv->bus = bus_open(&options);
}

void
nodes_close(struct server *srv)
{
	bus_close(srv->bus);
	srv->bus = NULL;
}
