/*
 * How a request begins and ends, and how the dispatcher opens; phases.c lies between.  Every way of a call ends in call_finish(),
 * once.
 */
#include "api/call.h"

#include <string.h>
#include <strings.h>

#include "core/log.h"
#include "core/metrics.h"
#include "identity/oidc.h"
#include "net/sentry.h"

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool done;
};

static void
see_headers(struct call *c)
{
	struct request *rq = &c->x->request;
	static const struct {
		const char *name;
		size_t at;
	} wanted[] = {
		{"Authorization", offsetof(struct call, authorization)},
		{"Origin", offsetof(struct call, origin)},
		{"Content-Type", offsetof(struct call, content_type)},
		{"Content-Encoding", offsetof(struct call, content_encoding)},
		{"Idempotency-Key", offsetof(struct call, idempotency_key)},
		{"User-Agent", offsetof(struct call, client.user_agent)},
	};

	for (size_t i = 0; i < rq->n_headers; i++) {
		const struct header *h = &rq->headers[i];
		switch (h->name[0] | 0x20) {
		case 'a':
		case 'o':
		case 'c':
		case 'i':
		case 'u':
			for (size_t k = 0; k < sizeof(wanted) / sizeof(wanted[0]); k++)
				if (strcasecmp(h->name, wanted[k].name) == 0)
					*(const char **)((char *)c + wanted[k].at) = h->value;
			break;
		case 'x':
			if (strcasecmp(h->name, "X-Muster-Client") == 0)
				rq->web = strcmp(h->value, "web") == 0;
			break;
		default:
			break;
		}
	}
}

/* What the adapter fills in; an exchange of dispatch_call() may lack it. */
static void
complete_request(struct dispatcher *d, struct exchange *x)
{
	struct request *rq = &x->request;

	if (!rq->path)
		rq->path = "/";
	if (!rq->ip)
		rq->ip = rq->peer_ip ? rq->peer_ip : "";
	if (!rq->id) {
		uint8_t chance[10];
		d->srv->source.random(d->srv->source.arg, chance, sizeof(chance));
		struct uuid id = uuid_v7(d->srv->source.wall_us(d->srv->source.arg), chance);
		rq->id = arena_strdup(&x->arena, id.text);
	}
	if (!rq->started_us)
		rq->started_us = d->srv->source.monotonic_us(d->srv->source.arg);
	x->reply.arena = &x->arena;
}

static struct call *
call_begin(struct dispatcher *d, struct exchange *x)
{
	struct call *c = arena_new(&x->arena, struct call, 1);
	struct request *rq = &x->request;

	complete_request(d, x);
	c->d = d;
	c->x = x;
	c->client.user_agent = "";
	see_headers(c);
	c->client.request_id = rq->id;
	c->client.ip = rq->ip;
	if (strlen(c->client.user_agent) > USER_AGENT_MAX)
		c->client.user_agent = arena_strndup(&x->arena, c->client.user_agent, USER_AGENT_MAX);
	ctx_init(&c->cx, &x->arena, d->srv);
	c->cx.client = &c->client;
	x->app = c;
	atomic_fetch_add(&d->in_flight, 1);
	return c;
}

static void
log_failure(const struct call *c)
{
	const struct error *e = &c->cx.error;
	const struct err_row *row = err_row(c->result);
	enum log_level level = row->status >= 500 ? LOG_ERROR : LOG_DEBUG;

	if (row->status == 500)
		sentry_report(c->d->srv->sentry, &(const struct sentry_event){.error = row->name,
							 .what = method_name(c->x->request.method),
							 .where = c->row ? c->row->route->path : "unmatched",
							 .file = e->file ? e->file : __FILE__,
							 .func = e->func ? e->func : __func__,
							 .line = e->line,
							 .request_id = c->client.request_id});
	if (!log_on(level))
		return;
	const struct log_field fields[] = {
		LOG_TEXT("error", row->name), LOG_INT("line", e->line), LOG_TEXT("raw_path", c->x->request.path)};
	log_at(level, e->file ? e->file : __FILE__, e->func ? e->func : __func__, c->client.request_id, "request.failed",
		e->internal  ? e->internal
		: e->message ? e->message
			     : row->sentence,
		fields, log_on(LOG_DEBUG) ? 3 : 2);
}

static void
log_request(const struct call *c, int status, int64_t latency_us)
{
	if (!log_on(LOG_INFO))
		return;
	const struct request *rq = &c->x->request;
	const struct log_field fields[] = {
		LOG_TEXT("method", method_name(rq->method)),
		LOG_TEXT("path", c->row ? c->row->route->path : "unmatched"),
		LOG_INT("status_code", status),
		LOG_INT("latency_ms", latency_us / 1000),
		LOG_TEXT("user_id", c->actor.user_id.text),
		LOG_TEXT("ip", rq->ip),
		LOG_TEXT("raw_path", rq->path),
	};
	size_t n = sizeof(fields) / sizeof(fields[0]);
	log_at(LOG_INFO, __FILE__, __func__, c->client.request_id, "request", "request", fields, log_on(LOG_DEBUG) ? n : n - 1);
}

static void
note_request(const struct call *c)
{
	const struct dispatcher *d = c->d;
	int status = c->x->reply.status;
	int64_t latency_us = d->srv->source.monotonic_us(d->srv->source.arg) - c->x->request.started_us;
	size_t unmatched = dispatch_route_count() - 1;

	if (d->srv->metrics)
		metrics_request(d->srv->metrics, c->row && d->own_tables ? c->row->number : unmatched, status, latency_us);
	if (c->result != OK)
		log_failure(c);
	log_request(c, status, latency_us);
}

void
dispatch_finish(void *dispatcher, struct exchange *x)
{
	struct dispatcher *d = dispatcher;
	struct call *c = x->app;

	if (c->result != OK) {
		reply_error(&x->reply, c->surface, &x->request, &c->cx.error);
		if (c->result == ERR_METHOD_NOT_ALLOWED && c->allow)
			reply_header(&x->reply, "Allow", c->allow);
	}
	reply_common(d, c, &x->request, &x->reply);
	note_request(c);
}

static void
answer(struct call *c)
{
	struct waiter *w = c->waiter;

	if (!w) {
		exchange_reply(c->x); /* the loop calls dispatch_finish() */
		return;
	}
	dispatch_finish(c->d, c->x);
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->answered);
	pthread_mutex_unlock(&w->lock);
}

static void
answer_and_leave(void *call)
{
	struct dispatcher *d = ((struct call *)call)->d;

	answer(call);
	pthread_mutex_lock(&d->lock); /* held over the count, so that dispatch_close() cannot pass between */
	if (atomic_fetch_sub(&d->in_flight, 1) == 1)
		pthread_cond_broadcast(&d->idle);
	pthread_mutex_unlock(&d->lock);
}

/*
 * A client that is told at once that there is no room, and asks again at once, takes the time of those for whom there is: two hundred
 * of them made 24,000 refusals a second.  So the answer waits as long as it asks the client to wait.  What the request held (hits,
 * its idempotency key) is given back before.
 */
static bool
hold_back(struct call *c)
{
	c->held = (struct later_task){.run = answer_and_leave, .arg = c};
	return c->result == ERR_OVERLOADED && c->deferred && c->x->side && later_add(c->d->held, &c->held);
}

/* On whatever thread the call ended: only what others wait for. */
void
call_finish(struct call *c)
{
	if (!counted_settle(c))
		return;
	struct call *waiting = idem_leave(c), *next;
	bool stored = c->idem.stored || c->idem.replayed;

	if (c->result == OK && c->idem.replayed)
		for (int i = 0; i < c->n_taken; i++)
			limiter_give_back(c->d->srv->limiter, &c->taken[i].limit, c->taken[i].key, 1);
	if (!hold_back(c))
		answer_and_leave(c);
	for (; waiting; waiting = next) {
		next = waiting->idem.next;
		lane_resume_idempotent(waiting, stored);
	}
}

void
dispatch_handle(void *dispatcher, struct exchange *x)
{
	call_go(call_begin(dispatcher, x));
}

void
dispatch_call(struct dispatcher *d, struct exchange *x)
{
	struct waiter w = {.done = false};

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.answered, NULL);
	struct call *c = call_begin(d, x);
	c->waiter = &w;
	call_go(c);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.answered, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.answered);
	pthread_mutex_destroy(&w.lock);
}

void
dispatch_refuse(void *dispatcher, struct exchange *x, enum err code)
{
	struct dispatcher *d = dispatcher;
	struct call c = {.d = d, .x = x, .result = code};
	const char *path = x->request.path ? accounts_path(d, &x->arena, x->request.path) : NULL;

	complete_request(d, x);
	c.client = (struct client){.request_id = x->request.id, .ip = x->request.ip, .user_agent = ""};
	c.cx.error = (struct error){.code = code, .file = __FILE__, .func = __func__, .line = __LINE__};
	reply_error(&x->reply, surface_of_path(path), &x->request, &c.cx.error);
	reply_common(d, NULL, &x->request, &x->reply);
	note_request(&c);
}

/* --- opening ---- */

static void
open_limits(struct dispatcher *d, struct arena *a)
{
	const struct config *conf = d->conf;

	d->limits_on = conf->rate_limit_enabled && d->srv->limiter;
	d->shared = arena_new(a, struct cidr, conf->shared_networks.count + 1);
	for (size_t i = 0; i < conf->shared_networks.count; i++) {
		if (cidr_parse(conf->shared_networks.items[i], &d->shared[d->n_shared]))
			d->n_shared++;
		else
			log_warning(NULL, "config.ignored", "an item of SHARED_NETWORKS is no network",
				LOG_TEXT("item", conf->shared_networks.items[i]));
	}
}

struct dispatcher *
dispatch_open_with(struct arena *a, struct server *srv, const struct route_table *const *tables, size_t n)
{
	struct dispatcher *d = arena_new(a, struct dispatcher, 1);

	d->srv = srv;
	d->conf = srv->conf;
	d->router = router_open(a, tables, n);
	d->own_tables = tables == route_tables;
	d->running = idem_open(a);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->idle, NULL);
	reply_fixed_init(d);
	open_limits(d, a);
	srv->oidc = oidc_open(srv->conf);
	lanes_open(d);
	return d;
}

struct dispatcher *
dispatch_open(struct arena *a, struct server *srv)
{
	return dispatch_open_with(a, srv, route_tables, route_table_count);
}

void
dispatch_strict(struct dispatcher *d, bool strict)
{
	d->strict = strict;
}

void
dispatch_close(struct dispatcher *d)
{
	pthread_mutex_lock(&d->lock);
	while (atomic_load(&d->in_flight) > 0)
		pthread_cond_wait(&d->idle, &d->lock);
	pthread_mutex_unlock(&d->lock);
	lanes_close(d);
	oidc_close(d->srv->oidc);
	d->srv->oidc = NULL;
	idem_close(d->running);
	pthread_cond_destroy(&d->idle);
	pthread_mutex_destroy(&d->lock);
}

const struct route *
dispatch_route(const struct dispatcher *d, struct arena *a, enum method m, const char *path, enum surface *ret_surface)
{
	struct route_match match;

	if (router_find(d->router, a, m, accounts_path(d, a, path), &match) != OK || !match.row)
		return NULL;
	*ret_surface = match.row->surface;
	return match.row->route;
}
