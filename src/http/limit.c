/*
 * The limiter's table: shards by the key's hash, each a chained hash table over a fixed array of entries with its own mutex. Keys
 * are not stored, only a keyed 64-bit hash of them (SipHash-2-4 under a key drawn at start), so nobody can aim at a chain or at
 * another's entry.  Entries whose window is over are collected when a shard has no free one left, at most once a second.  What
 * then finds no place shares one bucket per limit.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "http/limit.h"

enum { SHARDS = 16, SHARED_MAX = 64, ANYBODYS_PART = 4 };

struct window {
	uint64_t hash;
	int64_t ends_us; /* monotonic; <= now: the entry is free to be reused */
	int64_t count;
	uint32_t next; /* in the chain or the free list */
	bool used, of_anybody;
};
struct shard {
	pthread_mutex_t lock;
	struct window *windows;
	uint32_t *heads; /* a power of two; as `free` and `next` a place in `windows` counted from 1, or 0: a table of zeroes is empty */
	uint32_t n, mask, free, touched, of_anybody; /* touched: places that were ever used */
	int64_t swept_us;
};
struct limiter {
	struct source source;
	uint64_t key[2];
	struct limit_backend backend; /* hit NULL: none */
	struct shard shards[SHARDS];
	pthread_mutex_t shared_lock;
	struct window shared[SHARED_MAX]; /* by hash of the limit's name alone; used only when a shard is full */
};

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1], v[1] = ROTL(v[1], 13), v[1] ^= v[0], v[0] = ROTL(v[0], 32);
	v[2] += v[3], v[3] = ROTL(v[3], 16), v[3] ^= v[2];
	v[0] += v[3], v[3] = ROTL(v[3], 21), v[3] ^= v[0];
	v[2] += v[1], v[1] = ROTL(v[1], 17), v[1] ^= v[2], v[2] = ROTL(v[2], 32);
}

struct sip {
	uint64_t v[4], word;
	size_t n;
};

static void
sip_add(struct sip *s, const char *text)
{
	do { /* the NUL is hashed too: it parts name from key */
		s->word |= (uint64_t)(uint8_t)*text << 8 * (s->n & 7);
		if ((++s->n & 7) == 0) {
			s->v[3] ^= s->word;
			sip_round(s->v), sip_round(s->v);
			s->v[0] ^= s->word;
			s->word = 0;
		}
	} while (*text++);
}

/* SipHash-2-4 (Aumasson, Bernstein 2012) over name NUL key NUL. */
static uint64_t
key_hash(const struct limiter *l, const char *name, const char *key)
{
	struct sip s = {.v = {l->key[0] ^ UINT64_C(0x736f6d6570736575), l->key[1] ^ UINT64_C(0x646f72616e646f6d),
				l->key[0] ^ UINT64_C(0x6c7967656e657261), l->key[1] ^ UINT64_C(0x7465646279746573)}};

	sip_add(&s, name);
	sip_add(&s, key);
	s.word |= (uint64_t)s.n << 56;
	s.v[3] ^= s.word;
	sip_round(s.v), sip_round(s.v);
	s.v[0] ^= s.word;
	s.v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(s.v);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

static void *
must_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		BUG("out of memory");
	return p;
}

struct limiter *
limiter_open(const struct source *source, size_t max_keys)
{
	struct limiter *l = must_calloc(1, sizeof(*l));
	uint32_t per_shard = (uint32_t)((max_keys + SHARDS - 1) / SHARDS), heads = 8;

	if (max_keys == 0 || max_keys > UINT32_MAX / 4)
		BUG("limiter of %zu keys", max_keys);
	while (heads < per_shard)
		heads *= 2;
	l->source = *source;
	source->random(source->arg, l->key, sizeof(l->key));
	pthread_mutex_init(&l->shared_lock, NULL);
	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &l->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		s->n = per_shard;
		s->mask = heads - 1;
		s->windows = must_calloc(per_shard, sizeof(*s->windows));
		s->heads = must_calloc(heads, sizeof(*s->heads));
		s->swept_us = INT64_MIN;
	}
	return l;
}

void
limiter_close(struct limiter *l)
{
	if (!l)
		return;
	for (int i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&l->shards[i].lock);
		free(l->shards[i].windows);
		free(l->shards[i].heads);
	}
	pthread_mutex_destroy(&l->shared_lock);
	free(l);
}

static struct window *
window_find(struct shard *s, uint64_t hash)
{
	for (uint32_t at = s->heads[hash >> 32 & s->mask]; at; at = s->windows[at - 1].next)
		if (s->windows[at - 1].hash == hash)
			return &s->windows[at - 1];
	return NULL;
}

static void
window_collect(struct shard *s, uint32_t at, int64_t now_us)
{
	struct window *w = &s->windows[at - 1];
	uint32_t *link;

	if (!w->used || w->ends_us > now_us)
		return;
	link = &s->heads[w->hash >> 32 & s->mask];
	while (*link != at)
		link = &s->windows[*link - 1].next;
	*link = w->next;
	s->of_anybody -= w->of_anybody;
	w->used = false;
	w->next = s->free;
	s->free = at;
}

static bool
is_full(const struct shard *s, bool of_anybody)
{
	return (!s->free && s->touched == s->n) || (of_anybody && s->of_anybody >= s->n / ANYBODYS_PART);
}

/* An entry for a new key, or NULL when every one holds an open window. */
static struct window *
window_add(struct shard *s, uint64_t hash, bool of_anybody, int64_t now_us)
{
	struct window *w;
	uint32_t at;

	if (is_full(s, of_anybody) && (s->swept_us == INT64_MIN || now_us - s->swept_us >= SECONDS_US)) {
		s->swept_us = now_us;
		for (at = 1; at <= s->touched; at++)
			window_collect(s, at, now_us);
	}
	if (is_full(s, of_anybody))
		return NULL;
	at = s->free ? s->free : ++s->touched;
	w = &s->windows[at - 1];
	if (s->free)
		s->free = w->next;
	s->of_anybody += of_anybody;
	*w = (struct window){.hash = hash, .next = s->heads[hash >> 32 & s->mask], .used = true, .of_anybody = of_anybody};
	s->heads[hash >> 32 & s->mask] = at;
	return w;
}

/* The shared bucket of a limit; the last one serves all limits beyond the array. */
static struct window *
shared_find(struct limiter *l, uint64_t hash, bool add)
{
	for (int i = 0; i < SHARED_MAX; i++) {
		struct window *w = &l->shared[i];

		if (w->used && w->hash == hash)
			return w;
		if (!w->used && !add)
			return NULL;
		if (!w->used) {
			*w = (struct window){.hash = hash, .used = true};
			return w;
		}
	}
	return &l->shared[SHARED_MAX - 1];
}

static bool
window_take(struct window *w, const struct limit *limit, int64_t now_us, int *ret_retry_s)
{
	if (w->ends_us <= now_us) {
		w->ends_us = now_us + limit->window_s * SECONDS_US;
		w->count = 0;
	}
	if (w->count >= limit->max) {
		*ret_retry_s = (int)((w->ends_us - now_us + SECONDS_US - 1) / SECONDS_US);
		return false;
	}
	w->count++;
	return true;
}

bool
limiter_take(struct limiter *l, const struct limit *limit, const char *key, int *ret_retry_s)
{
	uint64_t hash = key_hash(l, limit->name, key);
	struct shard *s = &l->shards[hash % SHARDS];
	int64_t now_us = l->source.monotonic_us(l->source.arg);
	struct window *w;
	bool ok = false;

	if (limit->max <= 0 || limit->window_s <= 0)
		BUG("limit %s without bounds", limit->name);
	pthread_mutex_lock(&s->lock);
	w = window_find(s, hash);
	if (!w)
		w = window_add(s, hash, limit->of_anybody, now_us);
	if (w)
		ok = window_take(w, limit, now_us, ret_retry_s);
	pthread_mutex_unlock(&s->lock);
	if (w)
		return ok;
	pthread_mutex_lock(&l->shared_lock);
	ok = window_take(shared_find(l, key_hash(l, limit->name, ""), true), limit, now_us, ret_retry_s);
	pthread_mutex_unlock(&l->shared_lock);
	return ok;
}

void
limiter_give_back(struct limiter *l, const struct limit *limit, const char *key, int64_t n)
{
	uint64_t hash = key_hash(l, limit->name, key);
	struct shard *s = &l->shards[hash % SHARDS];
	struct window *w;

	pthread_mutex_lock(&s->lock);
	w = window_find(s, hash);
	if (w)
		w->count = w->count > n ? w->count - n : 0;
	pthread_mutex_unlock(&s->lock);
	if (w)
		return;
	pthread_mutex_lock(&l->shared_lock);
	w = shared_find(l, key_hash(l, limit->name, ""), false);
	if (w)
		w->count = w->count > n ? w->count - n : 0;
	pthread_mutex_unlock(&l->shared_lock);
}

int64_t
limiter_count(struct limiter *l, const struct limit *limit, const char *key)
{
	uint64_t hash = key_hash(l, limit->name, key);
	struct shard *s = &l->shards[hash % SHARDS];
	int64_t now_us = l->source.monotonic_us(l->source.arg), count;
	struct window *w;

	pthread_mutex_lock(&s->lock);
	w = window_find(s, hash);
	count = w && w->ends_us > now_us ? w->count : 0;
	pthread_mutex_unlock(&s->lock);
	return count;
}

/* --- counted together ------------------------------------------------------------------------------------------------------ */

void
limiter_share(struct limiter *l, const struct limit_backend *backend)
{
	l->backend = *backend;
}

bool
limiter_is_shared(const struct limiter *l)
{
	return l->backend.hit != NULL;
}

/* Takes what does not refuse; with `all`, what does as well, and whatever room there is. */
static void
count_hits(struct limiter *l, const struct limit_hit *hits, size_t n, bool all)
{
	int ignored;

	for (size_t i = 0; i < n; i++)
		if (all || hits[i].only_counts)
			(void)limiter_take(l, &hits[i].limit, hits[i].key, &ignored);
}

static bool
hit_here(struct limiter *l, const struct limit_hit *hits, size_t n, size_t *ret_which, int *ret_retry_s)
{
	for (size_t i = 0; i < n; i++) {
		if (hits[i].only_counts || limiter_take(l, &hits[i].limit, hits[i].key, ret_retry_s))
			continue;
		*ret_which = i;
		while (i-- > 0)
			if (!hits[i].only_counts)
				limiter_give_back(l, &hits[i].limit, hits[i].key, 1);
		return false;
	}
	count_hits(l, hits, n, false);
	return true;
}

enum limit_verdict
limiter_hit(struct limiter *l, const struct limit_hit *hits, size_t n, size_t *ret_which, int *ret_retry_s)
{
	const struct limit_backend *b = &l->backend;
	bool taken = false;

	if (n == 0 || n > LIMIT_HITS_MAX)
		BUG("%zu hits at once", n);
	if (b->hit && b->hit(b->arg, hits, n, &taken, ret_which, ret_retry_s)) {
		if (taken)
			count_hits(l, hits, n, true);
		return taken ? LIMIT_TAKEN : LIMIT_FULL;
	}
	if (b->hit && b->required)
		return LIMIT_AWAY;
	return hit_here(l, hits, n, ret_which, ret_retry_s) ? LIMIT_TAKEN : LIMIT_FULL;
}

void
limiter_return(struct limiter *l, const struct limit_hit *hits, const int64_t *amounts, size_t n)
{
	static const int64_t ones[LIMIT_HITS_MAX] = {1, 1, 1, 1, 1, 1};
	const struct limit_backend *b = &l->backend;

	if (n > LIMIT_HITS_MAX)
		BUG("%zu hits at once", n);
	if (!amounts)
		amounts = ones;
	for (size_t i = 0; i < n; i++)
		limiter_give_back(l, &hits[i].limit, hits[i].key, amounts[i]);
	if (n && b->hit)
		(void)b->give(b->arg, hits, amounts, n);
}

int64_t
limiter_drain(struct limiter *l, const struct limit_hit *hit)
{
	const struct limit_backend *b = &l->backend;
	int64_t here = limiter_count(l, &hit->limit, hit->key), there = 0;

	limiter_give_back(l, &hit->limit, hit->key, here);
	return b->hit && b->drain(b->arg, hit, &there) ? there : here;
}
