/*
 * The phases, in their one order: route → verify token → session → limit → authorise → body, parse, validate → idempotency →
 * counted hits → lane.
 *
 * A phase goes on, refuses, or parks the call on another thread, which then owns it; nobody touches a parked call.  What a client
 * could not know without an account is checked before what it could: an anonymous caller learns nothing about bodies.
 */
#include "api/call.h"

#include <string.h>
#include <strings.h>

#include "api/body.h"
#include "core/metrics.h"
#include "identity/throttle.h"

enum next
call_refuse(struct call *c, enum err e)
{
	c->result = e;
	return REFUSED;
}

static bool
in_shared_network(const struct dispatcher *d, const char *ip_text_form)
{
	uint8_t ip[16];

	if (d->n_shared == 0 || !ip_parse(ip_text_form, ip))
		return false;
	for (size_t i = 0; i < d->n_shared; i++)
		if (cidr_has(&d->shared[i], ip))
			return true;
	return false;
}

static const struct route_limit anonymous = {{"anonymous", 0, 60, true}, BY_IP, offsetof(struct config, rate_limit_per_minute)},
				signed_in = {{"signed_in", 0, 60}, BY_ACCOUNT, offsetof(struct config, rl_account_limit)},
				hall = {{"hall", 0, 60, true}, BY_IP, offsetof(struct config, rl_hall_ip_limit)};

static enum err
take(struct call *c, const struct route_limit *row)
{
	const struct dispatcher *d = c->d;
	struct limit limit = row->limit;
	const char *key = c->actor.user_id.text;
	int retry_s = 0;

	if (!d->limits_on)
		return OK;
	if (row->configured)
		limit.max = conf_live((const conf_int_live *)(const void *)((const char *)d->conf + row->configured));
	if (row->by == BY_IP) {
		char *prefix = arena_new(c->cx.arena, char, IP_TEXT_BYTES);
		ip_prefix(c->client.ip, prefix);
		key = prefix;
		if (in_shared_network(d, c->client.ip))
			limit.max *= SHARED_NETWORK_FACTOR;
	}
	if (limiter_take(d->srv->limiter, &limit, key, &retry_s)) {
		c->taken[c->n_taken++] = (struct taken){limit, key};
		return OK;
	}
	if (d->srv->metrics)
		metrics_add(d->srv->metrics, M_RATE_LIMITED, limit.name, 1);
	c->cx.error.retry_after_s = retry_s;
	return fail(&c->cx, ERR_RATE_LIMITED, NULL);
}

/* A refusal of a caller whom we do not know: counted first, so that guessing is bounded. */
static enum next
refuse_stranger(struct call *c, enum err e)
{
	const struct error why = c->cx.error;
	enum err limited = take(c, c->hall ? &hall : &anonymous);

	if (limited != OK)
		return call_refuse(c, limited);
	c->cx.error = why;
	return call_refuse(c, e);
}

static enum next
preflight(struct call *c)
{
	enum err limited = take(c, &hall);

	if (limited != OK)
		return call_refuse(c, limited);
	reply_empty(&c->x->reply, 204);
	reply_header(&c->x->reply, "Allow", c->allow);
	call_finish(c);
	return PARKED;
}

const char *
accounts_path(const struct dispatcher *d, struct arena *a, const char *path)
{
	const char *prefix = d->conf->api_prefix;
	size_t n = strlen(prefix);

	if (strncmp(path, prefix, n) != 0 || path[n] != '/' || strcmp(prefix, "/v1") == 0)
		return path;
	return arena_printf(a, "/v1%s", path + n);
}

static enum next
phase_route(struct call *c)
{
	struct request *rq = &c->x->request;
	const char *path = accounts_path(c->d, c->cx.arena, rq->path);
	struct route_match m;
	enum err e = router_find(c->d->router, c->cx.arena, rq->method, path, &m);

	c->allow = m.allow;
	c->row = m.row;
	c->surface = m.row ? m.row->surface : surface_of_path(path);
	if (e != OK) {
		c->row = NULL;
		return refuse_stranger(c, fail(&c->cx, e, NULL));
	}
	if (rq->method == OPTIONS)
		return preflight(c);
	memcpy(rq->params, m.params, sizeof(rq->params));
	c->hall = c->row->route->hall;
	c->x->reply.status = c->row->route->status;
	return GO_ON;
}

const char *
bearer_token(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	authorization += 7;
	return authorization + strspn(authorization, " ");
}

/*
 * Rows for anyone ignore a token that is not good.  Those on the loop (health, assets) never look at it: /metrics has a bearer of
 * another kind.  An expired token was ours and a room full of them comes back at once, so it counts as hall traffic.
 */
static enum next
phase_token(struct call *c)
{
	const struct route *r = c->row->route;
	const char *token = bearer_token(c->authorization);

	if (r->access == ANYONE && (!token || r->lane == LANE_LOOP))
		return GO_ON;
	if (!token)
		return refuse_stranger(c, fail(&c->cx, ERR_NOT_AUTHENTICATED, NULL));
	enum err e = access_verify(&c->cx, token, &c->claims);
	if (e == OK || r->access == ANYONE) {
		if (e != OK)
			error_clear(&c->cx);
		return GO_ON;
	}
	if (e == ERR_ACCESS_EXPIRED)
		c->hall = true;
	return refuse_stranger(c, e);
}

/* Runs a second time on a read thread, with cx.db set, when the table did not know the session. */
static enum next
phase_session(struct call *c)
{
	bool miss = false;
	enum err e;

	if (!c->claims.user_id.text[0])
		return GO_ON;
	if (c->cx.db) {
		e = session_fill(&c->cx, &c->claims, &c->actor);
	} else {
		e = session_lookup(&c->cx, &c->claims, &c->actor, &miss);
		if (e == OK && miss) {
			c->phase--;
			return lane_to_reader(c);
		}
	}
	if (e == OK) {
		c->cx.actor = &c->actor;
		return GO_ON;
	}
	if (c->row->route->access == ANYONE && e == ERR_TOKEN_REVOKED) {
		error_clear(&c->cx);
		return GO_ON;
	}
	c->hall = true;
	return refuse_stranger(c, e);
}

static enum next
phase_limit(struct call *c)
{
	const struct dispatcher *d = c->d;
	const struct route_limit *own = &c->row->route->limit;
	enum err e;

	if (!d->limits_on)
		return GO_ON;
	if (c->cx.actor)
		e = take(c, &signed_in);
	else
		e = take(c, c->hall ? &hall : &anonymous);
	if (e == OK && own->limit.name)
		e = take(c, own);
	return e == OK ? GO_ON : call_refuse(c, e);
}

static bool
may(enum access access, enum role role)
{
	switch (access) {
	case ANYONE:
		return true;
	case SIGNED_IN:
		return role != ROLE_UNSET;
	case STUDENT:
		return role == ROLE_STUDENT;
	case LECTURER:
		return role == ROLE_LECTURER || role == ROLE_ADMIN;
	case REVIEWER:
		return role == ROLE_REVIEWER || role == ROLE_ADMIN;
	case ADMIN:
		return role == ROLE_ADMIN;
	default:
		return false;
	}
}

static enum next
phase_authorise(struct call *c)
{
	if (may(c->row->route->access, c->actor.role))
		return GO_ON;
	return call_refuse(c, fail(&c->cx, ERR_FORBIDDEN, NULL));
}

static enum next
phase_input(struct call *c)
{
	struct request *rq = &c->x->request;
	enum err e = query_read(&c->cx, c->row->route, rq);

	if (e == OK)
		e = body_read(&c->cx, c->row->route, rq, c->content_type, c->content_encoding);
	if (e == OK)
		e = idem_prepare(c);
	return e == OK ? GO_ON : call_refuse(c, e);
}

static enum next (*const phases[])(struct call *c) = {
	phase_route,
	phase_token,
	phase_session,
	phase_limit,
	phase_authorise,
	phase_input,
	counted_take,
	lane_run,
};

/* Refusals of a known account before the handler leave their trace too, but for those that only say "too often". */
static bool
wants_trace(const struct call *c)
{
	return c->row && c->row->route->failure && c->cx.actor && c->phase <= (int)(sizeof(phases) / sizeof(phases[0])) - 1 &&
	       c->result != ERR_RATE_LIMITED && err_row(c->result)->status < 500;
}

void
call_go(struct call *c)
{
	enum next next = GO_ON;

	while (next == GO_ON)
		next = phases[c->phase++](c);
	if (next == PARKED)
		return;
	if (wants_trace(c)) {
		c->phase = (int)(sizeof(phases) / sizeof(phases[0]));
		if (lane_audit_refusal(c) == PARKED)
			return;
	}
	call_finish(c);
}
