/*
 * The queue of news that wait for the next NOTIFY.  A ring of what was told, and a hash set over it, so that a full hall marking one
 * event is one line.  Bounded: when the ring is full, what it holds is forgotten for one line that says so.  Not locked: the bus does.
 */
#include <stdlib.h>
#include <string.h>

#include "store/engine.h"
#include "store/bus.h"

enum { SLOTS = 4 * NEWS_MAX };

struct news_queue {
	struct news items[NEWS_MAX];
	size_t first, count;
	int64_t since_us; /* when the oldest that waits was told */
	bool many;
	uint16_t slots[SLOTS]; /* index into items + 1; emptied with the ring */
};

struct news_queue *
news_queue_open(void)
{
	struct news_queue *q = calloc(1, sizeof(*q));

	if (!q)
		BUG("out of memory");
	return q;
}

void
news_queue_close(struct news_queue *q)
{
	free(q);
}

static void
forget_all(struct news_queue *q)
{
	q->first = q->count = 0;
	memset(q->slots, 0, sizeof(q->slots));
}

static uint32_t
hash_of(const struct news *n)
{
	uint32_t h = 2166136261u ^ (uint32_t)n->kind;

	for (int i = 0; i < ID_BYTES; i++)
		h = (h ^ (uint8_t)n->id.text[i] ^ (uint32_t)(uint8_t)n->of.text[i] << 8) * 16777619u;
	return h ^ h >> 15;
}

static bool
same(const struct news *a, const struct news *b)
{
	return a->kind == b->kind && str_eq(a->id.text, b->id.text) && str_eq(a->of.text, b->of.text);
}

void
news_queue_add(struct news_queue *q, const struct news *n, int64_t told_us)
{
	uint32_t at = hash_of(n) % SLOTS;

	if ((q->count == 0 && !q->many) || told_us < q->since_us)
		q->since_us = told_us;
	if (q->many)
		return;
	for (; q->slots[at]; at = (at + 1) % SLOTS)
		if (q->slots[at] > q->first && same(&q->items[q->slots[at] - 1], n)) /* not taken yet */
			return;
	if (q->first + q->count == NEWS_MAX || n->kind == NEWS_MANY) {
		forget_all(q);
		q->many = true;
		return;
	}
	q->items[q->first + q->count] = *n;
	q->count++;
	q->slots[at] = (uint16_t)(q->first + q->count);
}

bool
news_queue_take(struct news_queue *q, char ret[NEWS_PAYLOAD])
{
	const uint8_t lowest[10] = {0};
	size_t n = 0;

	if (q->many) {
		q->many = false;
		(void)snprintf(ret, NEWS_PAYLOAD, "%c %s\n", NEWS_MANY, uuid_v7(q->since_us, lowest).text);
		return true;
	}
	for (int lines = 0; q->count > 0 && lines < NEWS_LINES; lines++) {
		const struct news *i = &q->items[q->first++];
		q->count--;
		n += (size_t)snprintf(ret + n, NEWS_PAYLOAD - n, "%c %s%s%s\n", (char)i->kind, i->id.text, i->of.text[0] ? " " : "",
			i->of.text);
	}
	if (q->count == 0)
		forget_all(q);
	return n > 0;
}

int64_t
news_queue_since(const struct news_queue *q)
{
	return q->since_us;
}

bool
news_queue_waits(const struct news_queue *q)
{
	return q->many || q->count > 0;
}

static bool
known(char kind)
{
	return kind == NEWS_USER || kind == NEWS_NOTIFICATION || kind == NEWS_EVENT || kind == NEWS_DISPLAY || kind == NEWS_LIMITS ||
	       kind == NEWS_MANY;
}

/* "k id" or "k id of". */
static bool
read_line(const char *line, size_t n, struct news *ret)
{
	*ret = (struct news){0};
	if ((n != 2 + ID_BYTES && n != 3 + 2 * ID_BYTES) || !known(line[0]) || line[1] != ' ')
		return false;
	ret->kind = (enum news_kind)line[0];
	memcpy(ret->id.text, line + 2, ID_BYTES);
	if (n > 2 + ID_BYTES)
		memcpy(ret->of.text, line + 3 + ID_BYTES, ID_BYTES);
	return uuid_valid(ret->id.text) && (!ret->of.text[0] || uuid_valid(ret->of.text));
}

void
news_read(const char *payload, void (*fn)(void *arg, const struct news *n), void *arg)
{
	while (*payload) {
		size_t n = strcspn(payload, "\n");
		struct news one;

		if (read_line(payload, n, &one))
			fn(arg, &one);
		payload += n + (payload[n] == '\n');
	}
}
