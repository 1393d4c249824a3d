/*
 * One request from its request line to the end of its reply.
 *
 * The library calls exchange_on_access() with the headers, with each piece of body, and once more at the end; a handler that
 * answers inside handle() is answered there, without a suspension.  The others are suspended by exchange_defer() before the app
 * can publish them, and exchange_reply() resumes: the library then calls once more and finds the reply.  The connection of a
 * suspended exchange is not closed by anybody, so its descriptor and memory hold.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "http/inside.h"

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static struct server_side *
exchange_take(struct loop *loop, struct conn *c)
{
	struct server_side *side = loop->free;

	if (side) {
		loop->free = side->next;
		loop->n_free--;
	} else {
		side = calloc(1, sizeof(*side));
		if (!side)
			BUG("out of memory");
		arena_init(&side->x.arena);
	}
	side->x.side = side;
	side->x.reply.arena = &side->x.arena;
	side->x.reply.status = 200;
	side->x.request = (struct request){.path = "/", .query_text = "", .id = "", .peer_ip = side->peer_ip, .ip = side->ip};
	side->x.request.headers = side->headers;
	side->loop = loop;
	side->conn = c;
	side->mhd = c->mhd;
	side->fd = c->fd;
	side->length = -1;
	memcpy(side->peer_ip, c->peer_ip, sizeof(side->peer_ip));
	memcpy(side->ip, c->peer_ip, sizeof(side->ip));
	atomic_store_explicit(&c->side, side, memory_order_relaxed);
	return side;
}

void
exchange_free(struct server_side *side)
{
	stream_abandon(side->x.reply.stream);
	arena_release(&side->x.arena);
	free(side);
}

static void
body_account(const struct server_side *side, int64_t n)
{
	struct http_server *s = side->loop->server;

	atomic_fetch_add_explicit(&s->bodies, n, memory_order_relaxed);
	if (side->stranger)
		atomic_fetch_add_explicit(&s->strangers_bodies, n, memory_order_relaxed);
	if (s->o.metrics)
		metrics_add(s->o.metrics, M_BODY_BYTES, NULL, n);
}

/* The loop lets go of its counts; the memory may still be the app's. */
static void
exchange_uncount(struct server_side *side)
{
	struct http_server *s = side->loop->server;

	if (side->body_cap > 0)
		body_account(side, -(int64_t)side->body_cap);
	side->body_cap = 0;
	if (!side->counted)
		return;
	side->counted = false;
	atomic_fetch_sub(&side->loop->in_flight, 1);
	if (atomic_load(&s->closing)) {
		pthread_mutex_lock(&s->lock);
		pthread_cond_broadcast(&s->drained);
		pthread_mutex_unlock(&s->lock);
	}
}

static void
exchange_give(struct server_side *side)
{
	struct loop *loop = side->loop;

	/* While the server closes, http_server_close() may still look at it. */
	if (loop->n_free >= EXCHANGES_KEPT && !atomic_load(&loop->server->closing)) {
		exchange_free(side);
		return;
	}
	stream_abandon(side->x.reply.stream);
	arena_reset(&side->x.arena);
	side->x.app = NULL;
	memset(&side->x.reply, 0, sizeof(side->x.reply));
	side->deferred = side->close = side->has_body = false;
	side->refusal = OK;
	side->body = NULL;
	side->multipart = NULL;
	side->body_n = side->drained = 0;
	side->uri = NULL;
	atomic_store_explicit(&side->state, SIDE_NEW, memory_order_relaxed);
	side->next = loop->free;
	loop->free = side;
	loop->n_free++;
}

void *
exchange_on_uri(void *arg, const char *uri, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct server_side *side = exchange_take(arg, info->socket_context);
	char *target = arena_strdup(&side->x.arena, uri), *query = strchr(target, '?');

	side->uri = uri;
	side->uri_n = strlen(uri);
	side->x.request.path = target;
	if (query) {
		*query = '\0';
		side->x.request.query_text = query + 1;
	}
	return side;
}

void
exchange_on_completed(void *arg, struct MHD_Connection *mhd, void **ref, enum MHD_RequestTerminationCode why)
{
	struct server_side *side = *ref;

	(void)arg, (void)mhd, (void)why;
	if (!side)
		return;
	*ref = NULL;
	atomic_store_explicit(&side->conn->side, NULL, memory_order_relaxed);
	conn_phase(side->conn, PHASE_IDLE, time_monotonic_us());
	exchange_uncount(side);
	exchange_give(side);
}

/* --- reply ---------------------------------------------------------------------------------------------------------------- */

static bool
response_fill(struct MHD_Response *r, const struct server_side *side)
{
	const struct reply *rs = &side->x.reply;
	const char *type = rs->content_type;
	bool ok = true;

	if (!type && rs->body.n > 0)
		type = "application/json";
	if (type)
		ok = MHD_add_response_header(r, "Content-Type", type) == MHD_YES;
	for (size_t i = 0; i < rs->n_headers; i++)
		ok = MHD_add_response_header(r, rs->headers[i].name, rs->headers[i].value) == MHD_YES && ok;
	if (side->close || atomic_load_explicit(&side->loop->server->closing, memory_order_relaxed))
		ok = MHD_add_response_header(r, "Connection", "close") == MHD_YES && ok;
	return ok;
}

/* The body is the arena's or static; both outlive the response, which ends before exchange_on_completed(). */
static struct MHD_Response *
response_make(struct server_side *side)
{
	struct span body = side->x.reply.body;
	struct MHD_Response *r;

	if (side->x.reply.status == 204 || side->x.reply.status == 304 || body.n == 0)
		body = SPAN_LIT("");
	r = MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_PERSISTENT);
	if (!r || response_fill(r, side))
		return r;
	/* A header that the library will not send (a line break in a value): nothing of this reply may go out. */
	MHD_destroy_response(r);
	side->x.reply.status = 500;
	return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
}

/*
 * The connection becomes a stream's.  MHD_NO makes the library drop it without a byte, and stream.c goes on with its own
 * descriptor; the exchange then ends as every other.
 */
static enum MHD_Result
stream_queue(struct server_side *side)
{
	struct http_server *s = side->loop->server;
	struct reply *rs = &side->x.reply;
	struct MHD_Response *r;
	enum MHD_Result ok;

	atomic_store_explicit(&side->state, SIDE_SENT, memory_order_relaxed);
	conn_phase(side->conn, PHASE_APP, 0); /* a listener is not late */
	if (!s->o.tls_cert_file) {
		stream_take_over(s->streams, rs, side->fd);
		return MHD_NO;
	}
	r = stream_response(s->streams, rs, side);
	if (!r)
		return MHD_NO;
	ok = response_fill(r, side) ? MHD_queue_response(side->mhd, MHD_HTTP_OK, r) : MHD_NO;
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result
reply_queue(struct server_side *side)
{
	struct http_server *s = side->loop->server;
	int64_t allowance_us = s->reply_deadline_us * (int64_t)(1 + side->x.reply.body.n / REPLY_STEP);
	struct MHD_Response *r;
	enum MHD_Result ok;

	if (side->x.reply.status < 200 || side->x.reply.status > 599)
		BUG("%s answered with status %d", side->x.request.path, side->x.reply.status);
	r = response_make(side);
	if (!r)
		return MHD_NO;
	conn_phase(side->conn, PHASE_REPLY, time_monotonic_us() + allowance_us);
	atomic_store_explicit(&side->state, SIDE_SENT, memory_order_relaxed);
	ok = MHD_queue_response(side->mhd, (unsigned)side->x.reply.status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result
refuse_now(struct server_side *side, enum err code)
{
	const struct http_options *o = &side->loop->server->o;

	side->close = true;
	side->x.reply.status = err_row(code)->status;
	if (o->refuse)
		(o->refuse)(o->arg, &side->x, code); /* in brackets: core/ctx.h has a macro of that name */
	return reply_queue(side);
}

static enum MHD_Result
reply_finish(struct server_side *side)
{
	struct http_server *s = side->loop->server;
	struct reply *rs = &side->x.reply;
	bool head = side->x.request.method == HEAD, full = rs->stream && streams_full(s->streams);

	if (rs->stream && (head || full)) {
		stream_abandon(rs->stream);
		rs->stream = NULL;
		if (full) {
			*rs = (struct reply){.arena = rs->arena};
			return refuse_now(side, ERR_OVERLOADED);
		}
	}
	if (s->o.finish)
		s->o.finish(s->o.arg, &side->x);
	return rs->stream ? stream_queue(side) : reply_queue(side);
}

/* --- request -------------------------------------------------------------------------------------------------------------- */

static void
target_make_safe(struct request *rq)
{
	if (rq->path[0] != '/')
		rq->path = "/";
}

static bool
bodies_fit(const struct server_side *side, size_t n)
{
	const struct http_server *s = side->loop->server;

	if (side->stranger && atomic_load_explicit(&s->strangers_bodies, memory_order_relaxed) + (int64_t)n > STRANGERS_BODIES_MAX)
		return false;
	return atomic_load_explicit(&s->bodies, memory_order_relaxed) + (int64_t)n <= BODIES_IN_FLIGHT_MAX;
}

/* A part of the shared allowance for bodies; given back when the exchange ends. */
static bool
body_reserve(void *arg, size_t n)
{
	struct server_side *side = arg;

	if (!bodies_fit(side, n))
		return false;
	body_account(side, (int64_t)n);
	side->body_cap += n;
	return true;
}

static enum err
multipart_begin(struct server_side *side)
{
	const struct http_options *o = &side->loop->server->o;
	const char *type = request_header(&side->x.request, "Content-Type");
	struct multipart_rule rule = {0};

	if (!o->uploads || !media_is(type, "multipart/form-data") || !o->uploads(o->arg, &side->x.request, &rule))
		return OK;
	rule.length = side->length;
	rule.reserve = body_reserve;
	rule.arg = side;
	side->multipart = multipart_open(&side->x.arena, type, &rule);
	return side->multipart ? OK : ERR_MALFORMED_REQUEST;
}

static enum MHD_Result
on_headers(struct server_side *side, const char *method, const char *version)
{
	struct http_server *s = side->loop->server;
	const struct http_options *o = &s->o;
	struct request *rq = &side->x.request;
	enum err e;

	rq->tls = o->tls_cert_file != NULL;
	rq->started_us = o->source->monotonic_us(o->source->arg);
	e = guard_read(side, method, version);
	conn_phase(side->conn, PHASE_BODY, time_monotonic_us() + s->body_deadline_us);
	/* Counted first, asked after: http_server_close() does it the other way round, so one of the two sees the other. */
	side->counted = true;
	atomic_fetch_add(&side->loop->in_flight, 1);
	if (e == OK && atomic_load(&s->stopping))
		e = ERR_UNAVAILABLE;
	if (e == OK && side->has_body) {
		struct body_rule rule = {.max = o->max_body};
		if (o->body_limit)
			o->body_limit(o->arg, rq, &rule);
		side->body_max = rule.max;
		side->stranger = rule.stranger;
		e = rule.refusal;
		if (e == OK && side->length > side->body_max)
			e = ERR_BODY_TOO_LARGE;
		else if (e == OK && !bodies_fit(side, 1))
			e = ERR_OVERLOADED;
		if (e == OK)
			e = multipart_begin(side);
	}
	if (e != OK) {
		target_make_safe(rq);
		side->conn->linger = true;
		return refuse_now(side, e);
	}
	atomic_store_explicit(&side->state, SIDE_BODY, memory_order_relaxed);
	return MHD_YES;
}

/* Room for n more bytes, in steps that grow fourfold, so that a long body costs its length and a third in the arena. */
static enum err
body_grow(struct server_side *side, size_t n)
{
	size_t need = side->body_n + n, max, cap = side->body_cap ? side->body_cap * 4 : 16 << 10;
	char *p;

	if (need > (size_t)side->body_max)
		return ERR_BODY_TOO_LARGE;
	max = side->length > 0 ? (size_t)side->length : (size_t)side->body_max;
	cap = cap > max ? max : cap;
	cap = cap < need ? need : cap;
	if (need <= side->body_cap)
		return OK;
	if (!body_reserve(side, cap - side->body_cap))
		return ERR_OVERLOADED;
	p = arena_alloc(&side->x.arena, cap + 1, 1);
	if (side->body_n > 0)
		memcpy(p, side->body, side->body_n);
	side->body = p;
	return OK;
}

static enum err
body_add(struct server_side *side, const char *data, size_t n)
{
	if (side->multipart) {
		side->body_n += n;
		return (int64_t)side->body_n > side->body_max ? ERR_BODY_TOO_LARGE : multipart_feed(side->multipart, data, n);
	}
	TRY(body_grow(side, n));
	memcpy(side->body + side->body_n, data, n);
	side->body_n += n;
	return OK;
}

/* An upload is read to its end, so that its sender learns what was wrong with it: it was let in by its length already. */
static int64_t
drain_max(const struct server_side *side)
{
	return side->multipart ? side->body_max : DRAIN_MAX;
}

static enum MHD_Result
on_body(struct server_side *side, const char *data, size_t n)
{
	enum err e = body_add(side, data, n);

	if (e == OK)
		return MHD_YES;
	if (side->length > (int64_t)side->body_n + drain_max(side))
		return MHD_NO;
	side->refusal = e;
	side->drained = n;
	atomic_store_explicit(&side->state, SIDE_DRAIN, memory_order_relaxed);
	return MHD_YES;
}

static enum MHD_Result
on_complete(struct server_side *side)
{
	const struct http_options *o = &side->loop->server->o;

	conn_phase(side->conn, PHASE_APP, 0);
	if (side->multipart) {
		struct multipart_parts *parts = arena_new(&side->x.arena, struct multipart_parts, 1);
		enum err e = multipart_end(side->multipart, parts);
		if (e != OK)
			return refuse_now(side, e);
		side->x.request.parts = parts;
	} else {
		side->x.request.raw_body = (struct span){(const uint8_t *)side->body, side->body_n};
	}
	atomic_store_explicit(&side->state, SIDE_HANDLING, memory_order_relaxed);
	o->handle(o->arg, &side->x);
	if (side->deferred)
		return MHD_YES;
	if (atomic_load_explicit(&side->state, memory_order_relaxed) != SIDE_REPLIED)
		BUG("%s was neither answered nor deferred", side->x.request.path);
	return reply_finish(side);
}

/* The server closes and the app still holds the exchange: answer with another one, and leave this one to exchange_reply(). */
static enum MHD_Result
on_abandoned(struct server_side *side, void **ref)
{
	struct server_side *stand_in = exchange_take(side->loop, side->conn);
	struct request *rq = &stand_in->x.request;

	rq->method = side->x.request.method;
	rq->path = arena_strdup(&stand_in->x.arena, side->x.request.path);
	str_copy(stand_in->id, sizeof(stand_in->id), side->id);
	rq->id = stand_in->id;
	memcpy(stand_in->ip, side->ip, sizeof(stand_in->ip));
	stand_in->counted = true;
	atomic_fetch_add(&side->loop->in_flight, 1);
	exchange_uncount(side);
	*ref = stand_in;
	if (atomic_exchange(&side->state, SIDE_DETACHED) == SIDE_REPLIED)
		exchange_free(side);
	return refuse_now(stand_in, ERR_UNAVAILABLE);
}

static enum MHD_Result
on_resumed(struct server_side *side, int state, void **ref)
{
	side->deferred = false;
	atomic_fetch_sub_explicit(&side->loop->suspended, 1, memory_order_relaxed);
	return state == SIDE_ABANDONED ? on_abandoned(side, ref) : reply_finish(side);
}

enum MHD_Result
exchange_on_access(void *arg, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
	const char *data, size_t *data_n, void **ref)
{
	struct server_side *side = *ref;
	size_t n = *data_n;
	int state;

	(void)arg, (void)mhd, (void)url;
	if (!side)
		return MHD_NO;
	state = atomic_load(&side->state);
	switch ((enum side_state)state) {
	case SIDE_NEW:
		return on_headers(side, method, version);
	case SIDE_BODY:
		*data_n = 0;
		return n > 0 ? on_body(side, data, n) : on_complete(side);
	case SIDE_DRAIN:
		*data_n = 0;
		side->drained += n;
		if (n == 0)
			return refuse_now(side, side->refusal);
		return (int64_t)side->drained > drain_max(side) ? MHD_NO : MHD_YES;
	case SIDE_REPLIED:
	case SIDE_ABANDONED:
		return on_resumed(side, state, ref);
	case SIDE_HANDLING:
	case SIDE_DEFERRED:
	case SIDE_SENT:
	case SIDE_DETACHED:
		break;
	}
	*data_n = 0;
	return MHD_YES;
}

/* --- the app's side ------------------------------------------------------------------------------------------------------- */

void
exchange_defer(struct exchange *x)
{
	struct server_side *side = x->side;

	if (atomic_load_explicit(&side->state, memory_order_relaxed) != SIDE_HANDLING)
		BUG("%s deferred outside its handler", x->request.path);
	side->deferred = true;
	atomic_fetch_add_explicit(&side->loop->suspended, 1, memory_order_relaxed);
	MHD_suspend_connection(side->mhd);
	atomic_store(&side->state, SIDE_DEFERRED); /* last: from here on http_server_close() may resume it */
}

void
exchange_reply(struct exchange *x)
{
	struct server_side *side = x->side;
	int was = SIDE_HANDLING;

	if (atomic_compare_exchange_strong(&side->state, &was, SIDE_REPLIED))
		return;
	if (was == SIDE_DEFERRED && atomic_compare_exchange_strong(&side->state, &was, SIDE_REPLIED)) {
		resume_later(side);
		return;
	}
	/* The server is closing and has resumed it.  If the loop has not come by yet, it sends this reply after all. */
	if (was == SIDE_ABANDONED && atomic_compare_exchange_strong(&side->state, &was, SIDE_REPLIED))
		return;
	if (was != SIDE_DETACHED)
		BUG("%s was answered twice", x->request.path);
	exchange_free(side);
}

bool
exchange_gone(const struct exchange *x)
{
	struct pollfd p = {.fd = x->side->fd, .events = POLLRDHUP};
	int state = atomic_load(&x->side->state);

	if (state != SIDE_DEFERRED && state != SIDE_HANDLING)
		return true;
	return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}
