/*
 * Topics in a hash table, seats in a list of their topic; one lock over all.  Under it a stream only takes bytes into memory, so
 * holding it is short, also with thousands of listeners.  A seat goes when its stream says that it is over, which it says once
 * and from a thread that holds none of our locks.
 */
#include "notify/live.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/bus.h"
#include "store/db.h"

enum { BUCKETS = 1 << 12 };

struct seat {
	struct live *hub;
	struct topic *topic;
	struct seat *next, *prev;
	struct live_seat who;
	struct stream *stream;
	bool greeted;
};

struct topic {
	struct topic *next;
	enum live_kind kind;
	struct uuid id;
	struct seat *seats;
	bool changed;
};

struct live {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool poked;
	struct topic *buckets[BUCKETS];
	size_t seats;
	atomic_int events; /* topics of events: read without the lock by every mark */
};

struct live *
live_open(void)
{
	struct live *l = calloc(1, sizeof(*l));
	pthread_condattr_t monotonic;

	if (!l)
		BUG("out of memory");
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return l;
}

void
live_close(struct live *l)
{
	if (!l)
		return;
	if (l->seats)
		BUG("%zu streams listen to a hub that closes", l->seats);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* Ids are ours and random in their last half. */
static struct topic **
bucket(struct live *l, const char *id)
{
	uint32_t h = 2166136261u;

	for (int i = ID_BYTES / 2; i < ID_BYTES && id[i]; i++)
		h = (h ^ (uint8_t)id[i]) * 16777619u;
	return &l->buckets[(h ^ h >> 16) % BUCKETS];
}

static struct topic *
topic_find(struct live *l, enum live_kind kind, const char *id)
{
	struct topic *t = *bucket(l, id);

	while (t && (t->kind != kind || strcmp(t->id.text, id) != 0))
		t = t->next;
	return t;
}

static struct topic *
topic_make(struct live *l, enum live_kind kind, const struct uuid *id)
{
	struct topic *t = topic_find(l, kind, id->text), **at = bucket(l, id->text);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		BUG("out of memory");
	t->kind = kind;
	t->id = *id;
	t->next = *at;
	*at = t;
	if (kind == LIVE_EVENT)
		atomic_fetch_add(&l->events, 1);
	return t;
}

static void
topic_drop_if_empty(struct live *l, struct topic *t)
{
	struct topic **at = bucket(l, t->id.text);

	if (t->seats)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	if (t->kind == LIVE_EVENT)
		atomic_fetch_sub(&l->events, 1);
	free(t);
}

static void
seat_leave(void *arg)
{
	struct seat *s = arg;
	struct live *l = s->hub;

	pthread_mutex_lock(&l->lock);
	*(s->prev ? &s->prev->next : &s->topic->seats) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	topic_drop_if_empty(l, s->topic);
	l->seats--;
	pthread_mutex_unlock(&l->lock);
	stream_release(s->stream);
	free(s);
}

static int
seats_like(const struct topic *t, const struct live_seat *who)
{
	int n = 0;

	for (const struct seat *s = t->seats; s; s = s->next)
		n += strcmp(s->who.token_id.text, who->token_id.text) == 0;
	return n;
}

bool
live_join(struct live *l, struct stream *st, const struct live_seat *who, int max)
{
	struct seat *s = calloc(1, sizeof(*s));
	struct topic *t;

	if (!s)
		BUG("out of memory");
	pthread_mutex_lock(&l->lock);
	t = topic_make(l, who->kind, &who->topic);
	if (max > 0 && seats_like(t, who) >= max) {
		pthread_mutex_unlock(&l->lock);
		free(s);
		return false;
	}
	*s = (struct seat){.hub = l, .topic = t, .next = t->seats, .who = *who, .stream = stream_hold(st)};
	if (s->next)
		s->next->prev = s;
	t->seats = s;
	l->seats++;
	stream_on_end(st, seat_leave, s);
	pthread_mutex_unlock(&l->lock);
	return true;
}

int
live_count(struct live *l, enum live_kind kind, const char *topic, bool by_token)
{
	int n = 0;

	pthread_mutex_lock(&l->lock);
	const struct topic *t = topic_find(l, kind, topic);
	for (const struct seat *s = t ? t->seats : NULL; s; s = s->next)
		n += !by_token || s->who.token_id.text[0];
	pthread_mutex_unlock(&l->lock);
	return n;
}

bool
live_any(struct live *l)
{
	pthread_mutex_lock(&l->lock);
	bool any = l->seats > 0;
	pthread_mutex_unlock(&l->lock);
	return any;
}

/* --- news ------------------------------------------------------------------------------------------------------------------ */

void
live_publish(struct live *l, enum live_kind kind, const char *topic, struct span bytes)
{
	pthread_mutex_lock(&l->lock);
	struct topic *t = topic_find(l, kind, topic);
	if (t && kind == LIVE_EVENT)
		t->changed = true;
	else
		for (struct seat *s = t ? t->seats : NULL; s; s = s->next)
			stream_send(s->stream, bytes);
	pthread_mutex_unlock(&l->lock);
}

struct publication {
	struct live *hub;
	enum live_kind kind;
	struct uuid topic;
	struct span bytes;
};

static void
publish_it(void *arg)
{
	const struct publication *n = arg;

	live_publish(n->hub, n->kind, n->topic.text, n->bytes);
}

void
live_publish_later(struct ctx *cx, enum live_kind kind, const char *topic, struct span bytes)
{
	struct publication *n;

	if (!cx->srv->live)
		return;
	n = arena_new(cx->arena, struct publication, 1);
	*n = (struct publication){.hub = cx->srv->live, .kind = kind, .bytes = bytes};
	str_copy(n->topic.text, sizeof(n->topic.text), topic);
	db_on_commit(cx, publish_it, n);
}

/* A screen that comes between this look and the COMMIT sees the mark at its next count, within a second. */
void
live_mark(struct ctx *cx, const char *event_id)
{
	if (cx->srv->live && atomic_load_explicit(&cx->srv->live->events, memory_order_relaxed) > 0)
		live_publish_later(cx, LIVE_EVENT, event_id, (struct span){NULL, 0});
	bus_tell(cx, NEWS_EVENT, event_id, NULL);
}

/* --- for the ticker -------------------------------------------------------------------------------------------------------- */

bool
live_wait(struct live *l, int max_ms)
{
	const struct timespec until = time_spec(time_monotonic_us() + max_ms * INT64_C(1000));

	pthread_mutex_lock(&l->lock);
	while (!l->poked && pthread_cond_timedwait(&l->wake, &l->lock, &until) == 0)
		;
	bool poked = l->poked;
	l->poked = false;
	pthread_mutex_unlock(&l->lock);
	return poked;
}

void
live_poke(struct live *l)
{
	pthread_mutex_lock(&l->lock);
	l->poked = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

static bool
anybody_waits(const struct topic *t)
{
	for (const struct seat *s = t->seats; s; s = s->next)
		if (!s->greeted)
			return true;
	return false;
}

size_t
live_events(struct live *l, struct arena *a, struct live_event **ret)
{
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	struct live_event *list = arena_new(a, struct live_event, (size_t)atomic_load(&l->events) + 1);
	for (size_t b = 0; b < BUCKETS && atomic_load(&l->events) > 0; b++) {
		for (struct topic *t = l->buckets[b]; t; t = t->next) {
			if (t->kind != LIVE_EVENT)
				continue;
			list[n++] = (struct live_event){t->id, t->seats->who.user_id, t->changed, anybody_waits(t)};
			t->changed = false;
		}
	}
	pthread_mutex_unlock(&l->lock);
	*ret = list;
	return n;
}

void
live_send(struct live *l, const char *event_id, struct span bytes)
{
	pthread_mutex_lock(&l->lock);
	const struct topic *t = topic_find(l, LIVE_EVENT, event_id);
	for (struct seat *s = t ? t->seats : NULL; s; s = s->next)
		if (s->greeted)
			stream_send(s->stream, bytes);
	pthread_mutex_unlock(&l->lock);
}

void
live_greet(struct live *l, const char *event_id, struct span bytes)
{
	pthread_mutex_lock(&l->lock);
	const struct topic *t = topic_find(l, LIVE_EVENT, event_id);
	for (struct seat *s = t ? t->seats : NULL; s; s = s->next) {
		if (s->greeted)
			continue;
		s->greeted = true;
		stream_send(s->stream, bytes);
	}
	pthread_mutex_unlock(&l->lock);
}

void
live_end(struct live *l, const char *event_id, struct span last_words)
{
	pthread_mutex_lock(&l->lock);
	const struct topic *t = topic_find(l, LIVE_EVENT, event_id);
	for (struct seat *s = t ? t->seats : NULL; s; s = s->next) {
		stream_send(s->stream, last_words);
		stream_finish(s->stream);
	}
	pthread_mutex_unlock(&l->lock);
}

size_t
live_listeners(struct live *l, struct arena *a, struct live_listener **ret)
{
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	struct live_listener *list = arena_new(a, struct live_listener, l->seats + 1);
	for (size_t b = 0; b < BUCKETS && l->seats > 0; b++)
		for (const struct topic *t = l->buckets[b]; t; t = t->next)
			for (const struct seat *s = t->seats; s; s = s->next)
				list[n++] = (struct live_listener){s->who, stream_hold(s->stream)};
	pthread_mutex_unlock(&l->lock);
	*ret = list;
	return n;
}
