/*
 * Hits that nodes count together and that hang on what a request says (typed codes): taken before the handler's lane, because a
 * handler of the write lane does no I/O and may run twice, and given back when the answer was not the one they count.
 *
 * Where the limiter is shared, both may wait for the backend: they run on a read thread then, never on a loop or the writer.
 */
#include "api/call.h"
#include "identity/throttle.h"

enum next
counted_take(struct call *c)
{
	const struct route_count *rule = &c->row->route->count;
	struct limiter *l = c->d->srv->limiter;

	if (!rule->list || !c->d->limits_on)
		return GO_ON;
	struct limit_hit *hits = arena_new(c->cx.arena, struct limit_hit, LIMIT_HITS_MAX);
	size_t n = rule->list(&c->cx, c->x->request.body, hits);
	if (n == 0)
		return GO_ON;
	if (limiter_is_shared(l) && !c->cx.db) {
		c->phase--;
		return lane_to_reader(c);
	}
	enum err e = throttle(&c->cx, hits, n);
	if (e == ERR_RATE_LIMITED)
		c->cx.error.message = rule->message;
	if (e != OK)
		return call_refuse(c, e);
	c->counted = hits;
	c->n_counted = n;
	return GO_ON;
}

static void
give_back(void *db, void *arg)
{
	struct call *c = arg;

	(void)db;
	limiter_return(c->d->srv->limiter, c->counted, NULL, c->n_counted);
	c->n_counted = 0;
	call_finish(c);
}

bool
counted_settle(struct call *c)
{
	struct limiter *l = c->d->srv->limiter;
	bool stays = c->n_counted && c->result == c->row->route->count.error;

	if (c->n_counted && !stays && limiter_is_shared(l)) {
		c->task = (struct pool_task){.run = give_back, .arg = c};
		if (pool_submit(c->d->read, &c->task))
			return false;
		stays = true; /* too much to do: the window's end gives it back */
	}
	if (c->n_counted && !stays)
		limiter_return(l, c->counted, NULL, c->n_counted);
	c->n_counted = 0;
	return true;
}
