/*
 * The table of running keys is a fixed array of chains through the calls themselves, so it needs no memory and is bounded by the
 * requests under way.  A key is compared in full: the hash only finds its chain.
 *
 * A record belongs to (account, route template, key).  What the template leaves open, the path's parameters and the query,
 * is hashed together with the body, so a key used for another thing is refused and never answered with a foreign reply.
 */
#include "api/idempotency.h"

#include <pthread.h>
#include <string.h>

#include "api/call.h"
#include "core/crypto.h"

enum { CHAINS = 1024, WAITERS_MAX = 64 };
#define RECORD_LIFE_US (24 * HOURS_US)

struct idem_table {
	pthread_mutex_t lock;
	struct call *chains[CHAINS];
};

struct idem_table *
idem_open(struct arena *a)
{
	struct idem_table *t = arena_new(a, struct idem_table, 1);

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void
idem_close(struct idem_table *t)
{
	pthread_mutex_destroy(&t->lock);
}

/* What a form says, without its boundary: a browser that sends it again makes another. */
static void
hash_parts(struct buf *b, const struct multipart_parts *parts)
{
	uint8_t digest[SHA256_BYTES];

	for (size_t i = 0; parts && i < parts->n_pairs; i++)
		buf_printf(b, "%zu %s %zu %s\n", strlen(parts->pairs[i].name), parts->pairs[i].name, strlen(parts->pairs[i].value),
			parts->pairs[i].value);
	for (int i = 0; parts && i < parts->n_files; i++) {
		crypto_sha256(parts->files[i].bytes, digest);
		buf_add(b, digest, sizeof(digest));
	}
}

static void
hash_request(struct call *c)
{
	const struct request *rq = &c->x->request;
	struct buf b;
	uint8_t digest[SHA256_BYTES];

	buf_init(&b, c->cx.arena, rq->raw_body.n + 200);
	buf_str(&b, rq->path);
	buf_chr(&b, '\n');
	buf_str(&b, rq->query_text ? rq->query_text : "");
	buf_chr(&b, '\n');
	buf_add(&b, rq->raw_body.p, rq->parts ? 0 : rq->raw_body.n);
	hash_parts(&b, rq->parts);
	crypto_sha256(buf_span(&b), digest);
	b64url_encode((struct span){digest, sizeof(digest)}, c->idem.body_hash);
}

static uint64_t
mix(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 0x100000001b3u;
	return (h ^ 0xff) * 0x100000001b3u;
}

enum err
idem_prepare(struct call *c)
{
	const char *key = c->idempotency_key;

	if (!key || !c->row->route->idempotent || !c->cx.actor)
		return OK;
	size_t n = strlen(key);
	for (size_t i = 0; i < n; i++)
		if (key[i] < 0x21 || key[i] > 0x7e)
			n = 0;
	if (n == 0 || n > REQUEST_ID_MAX) {
		error_field(&c->cx, "Idempotency-Key", "must have 1 to %d printable characters", REQUEST_ID_MAX);
		return fail(&c->cx, ERR_VALIDATION, NULL);
	}
	c->idem.on = true;
	hash_request(c);
	c->idem.hash = mix(mix(mix(0xcbf29ce484222325u, c->actor.user_id.text), c->row->route->path), key);
	return OK;
}

static bool
same_key(const struct call *a, const struct call *b)
{
	return a->idem.hash == b->idem.hash && a->row->route == b->row->route &&
	       strcmp(a->actor.user_id.text, b->actor.user_id.text) == 0 && strcmp(a->idempotency_key, b->idempotency_key) == 0;
}

bool
idem_wait(struct call *c, enum err *ret)
{
	struct idem_table *t = c->d->running;
	struct call **chain = &t->chains[c->idem.hash % CHAINS], *first;
	bool parked = false;

	*ret = OK;
	pthread_mutex_lock(&t->lock);
	for (first = *chain; first && !same_key(first, c); first = first->idem.next)
		;
	if (!first) {
		c->idem.listed = true;
		c->idem.next = *chain;
		c->idem.last_waiter = &c->idem.first_waiter;
		*chain = c;
	} else if (first->idem.n_waiting == WAITERS_MAX) {
		*ret = ERR_IDEMPOTENCY_RUNNING;
	} else {
		first->idem.n_waiting++;
		*first->idem.last_waiter = c;
		first->idem.last_waiter = &c->idem.next;
		parked = true;
	}
	pthread_mutex_unlock(&t->lock);
	return parked;
}

struct call *
idem_leave(struct call *c)
{
	struct idem_table *t = c->d->running;

	if (!c->idem.listed)
		return NULL;
	pthread_mutex_lock(&t->lock);
	struct call **at = &t->chains[c->idem.hash % CHAINS];
	while (*at != c)
		at = &(*at)->idem.next;
	*at = c->idem.next;
	pthread_mutex_unlock(&t->lock);
	c->idem.listed = false;
	return c->idem.first_waiter;
}

struct record {
	const char *body_hash, *content_type, *reply;
	int64_t status, created_at;
};
static const struct field record_fields[] = {
	F(struct record, body_hash, 0, 0, 0, NULL),
	F(struct record, status, 0, 0, 0, NULL),
	F(struct record, content_type, 0, 0, 0, NULL),
	F(struct record, reply, 0, 0, 0, NULL),
	F(struct record, created_at, F_TIME, 0, 0, NULL),
};
static const struct schema record_schema = SCHEMA("IdempotencyRecord", struct record, record_fields);

SQL(IDEMPOTENCY_FIND, "utt",
	"SELECT {+many.number, }body_hash, status, content_type, reply, created_at FROM {+@ CROSS JOIN }idempotency_keys"
	" WHERE user_id = $1 AND route = $2 AND idempotency_key = $3");
SQL(IDEMPOTENCY_DROP, "utt", "DELETE FROM idempotency_keys WHERE user_id = $1 AND route = $2 AND idempotency_key = $3");

void
idem_ahead(struct ctx *cx, struct call *c)
{
	db_ahead(cx, &IDEMPOTENCY_FIND, V_ID(c->actor.user_id), V(c->row->route->path), V(c->idempotency_key));
}

enum err
idem_recall(struct ctx *cx, struct call *c, struct reply *rs, bool *ret_found)
{
	const char *route = c->row->route->path;
	struct record found;
	bool there;

	*ret_found = false;
	TRY(db_find(
		cx, &IDEMPOTENCY_FIND, &record_schema, &found, &there, V_ID(c->actor.user_id), V(route), V(c->idempotency_key)));
	if (!there)
		return OK;
	if (found.created_at < cx->now_us - RECORD_LIFE_US)
		return db_exec(cx, &IDEMPOTENCY_DROP, NULL, V_ID(c->actor.user_id), V(route), V(c->idempotency_key));
	if (strcmp(found.body_hash, c->idem.body_hash) != 0)
		return fail(cx, ERR_IDEMPOTENCY_REUSED, NULL);
	if (found.status == FIELD_NONE)
		return fail(cx, ERR_IDEMPOTENCY_RUNNING, NULL);
	rs->status = (int)found.status;
	rs->content_type = found.content_type;
	rs->body = span_str(found.reply);
	*ret_found = true;
	return OK;
}

SQL(IDEMPOTENCY_STORE, "utttittm",
	"INSERT INTO idempotency_keys (user_id, route, idempotency_key, body_hash, status, content_type, reply, created_at)"
	" SELECT $1, $2, $3, $4, $5, $6, $7, $8{+ FROM @} WHERE TRUE ON CONFLICT (user_id, route, idempotency_key) DO NOTHING");

enum err
idem_store(struct ctx *cx, struct call *c, const struct reply *rs)
{
	if (rs->status == 429 || rs->status >= 500)
		return OK;
	const char *text = rs->body.n ? arena_strndup(cx->arena, (const char *)rs->body.p, rs->body.n) : NULL;
	struct db_step store = DB_STEP(&IDEMPOTENCY_STORE, NULL, NULL, V_ID(c->actor.user_id), V(c->row->route->path),
		V(c->idempotency_key), V((const char *)c->idem.body_hash), V(rs->status), V(rs->content_type), V(text), V(cx->now_us));
	store.expect = 1;
	TRY(db_list(cx, &store, 1));
	if (store.rows == 0)
		return fail(cx, ERR_IDEMPOTENCY_RUNNING, NULL);
	c->idem.stored = true;
	return OK;
}
