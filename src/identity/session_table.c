/*
 * Live sessions in memory, so that a request is authenticated without a query.
 *
 * How a change takes effect: every entry remembers two numbers that were read before its row was: the table's epoch and the
 * generation of its user's slot.  A forget (on COMMIT, before any reply of that batch) raises the slot's generation, a flush the
 * epoch; an entry that remembers older numbers is never used, also when a fill that had read the old row puts it in afterwards.
 * Users that share a slot forget together, which costs a query and nothing else.
 *
 * On a database that other nodes share, an entry is a lease: after a second it counts as missing, and the row is read again. What
 * the others tell (session_table_forget) only ends it sooner.
 *
 * A session that has ended is kept as ended: it never comes back, unless by a change that raises these numbers.  Shards are
 * bounded; a full one drops entries by a clock hand.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "identity/session.h"
#include "store/bus.h"
#include "store/db.h"

enum { SHARDS = 64, SLOTS = 1 << 14, LEASE_US = 1000000 };

struct entry {
	struct entry *next;
	struct uuid session_id, user_id;
	uint64_t epoch;
	uint32_t generation;
	bool stands; /* but for its end, which the clock decides at every look, for the clock may be set back */
	enum role role;
	int64_t login_at, expires_at;
	int64_t read_us; /* monotonic, before the row was read */
	size_t email_n;
	char texts[]; /* e-mail NUL name NUL */
};

struct shard {
	pthread_mutex_t lock;
	struct entry **buckets;
	size_t count, hand;
} __attribute__((aligned(64)));

struct session_table {
	size_t buckets; /* of a shard; a power of two */
	size_t shard_max;
	atomic_uint_fast64_t epoch;
	atomic_uint_least32_t generations[SLOTS];
	struct shard shards[SHARDS];
};

struct session_table *
session_table_open(size_t max_entries)
{
	struct session_table *t = aligned_alloc(64, sizeof(*t));

	if (!t)
		BUG("out of memory");
	memset(t, 0, sizeof(*t));
	t->shard_max = max_entries / SHARDS + 1;
	t->buckets = 16;
	while (t->buckets < t->shard_max)
		t->buckets *= 2;
	for (int i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&t->shards[i].lock, NULL);
		t->shards[i].buckets = calloc(t->buckets, sizeof(struct entry *));
		if (!t->shards[i].buckets)
			BUG("out of memory");
	}
	return t;
}

void
session_table_close(struct session_table *t)
{
	if (!t)
		return;
	for (int i = 0; i < SHARDS; i++) {
		for (size_t b = 0; b < t->buckets; b++) {
			for (struct entry *e = t->shards[i].buckets[b], *next; e; e = next) {
				next = e->next;
				free(e);
			}
		}
		free(t->shards[i].buckets);
		pthread_mutex_destroy(&t->shards[i].lock);
	}
	free(t);
}

void
session_table_flush(struct session_table *t)
{
	atomic_fetch_add(&t->epoch, 1);
}

/* FNV-1a; ids are ours and random in their last half, so nobody can aim at a bucket. */
static uint64_t
id_hash(const char *id)
{
	uint64_t h = UINT64_C(1469598103934665603);

	for (int i = ID_BYTES / 2; i < ID_BYTES && id[i]; i++)
		h = (h ^ (uint8_t)id[i]) * UINT64_C(1099511628211);
	return h ^ h >> 32;
}

static atomic_uint_least32_t *
user_slot(struct session_table *t, const char *user_id)
{
	return &t->generations[id_hash(user_id) % SLOTS];
}

static struct shard *
shard_of(struct session_table *t, uint64_t hash)
{
	return &t->shards[hash % SHARDS];
}

static struct entry **
bucket_of(struct session_table *t, struct shard *s, uint64_t hash)
{
	return &s->buckets[hash / SHARDS & (t->buckets - 1)];
}

static void
copy_actor(struct arena *a, const struct entry *e, struct actor *ret)
{
	*ret = (struct actor){.user_id = e->user_id, .session_id = e->session_id, .role = e->role, .login_at_us = e->login_at};
	ret->email = arena_strdup(a, e->texts);
	ret->full_name = arena_strdup(a, e->texts + e->email_n + 1);
}

static int64_t
monotonic_us(const struct ctx *cx)
{
	return cx->srv->source.monotonic_us(cx->srv->source.arg);
}

static bool
in_force(const struct ctx *cx, const struct entry *e)
{
	return !cx->srv->store || !db_is_shared(cx->srv->store) || monotonic_us(cx) - e->read_us < LEASE_US;
}

/* *ret_aged: what the table knows is past its lease. */
static enum err
lookup(struct ctx *cx, const struct access_claims *c, struct actor *ret, bool *ret_miss, bool *ret_aged)
{
	struct session_table *t = cx->srv->sessions;
	uint64_t hash = id_hash(c->session_id.text);
	struct shard *s = shard_of(t, hash);
	uint64_t epoch = atomic_load(&t->epoch);
	uint32_t generation = atomic_load(user_slot(t, c->user_id.text));
	bool found = false, live = false, aged = false;

	pthread_mutex_lock(&s->lock);
	for (struct entry *e = *bucket_of(t, s, hash); e; e = e->next) {
		if (memcmp(&e->session_id, &c->session_id, ID_BYTES) != 0 || memcmp(&e->user_id, &c->user_id, ID_BYTES) != 0)
			continue;
		found = e->epoch == epoch && e->generation == generation && !(e->stands && e->expires_at <= cx->now_us);
		aged = found && !in_force(cx, e);
		live = e->stands;
		if (found && live)
			copy_actor(cx->arena, e, ret);
		break;
	}
	pthread_mutex_unlock(&s->lock);
	*ret_miss = !found;
	*ret_aged = aged;
	return found && !live && !aged ? fail(cx, ERR_TOKEN_REVOKED, NULL) : OK;
}

enum err
session_lookup(struct ctx *cx, const struct access_claims *c, struct actor *ret, bool *ret_miss)
{
	bool miss, aged;

	TRY(lookup(cx, c, ret, &miss, &aged));
	*ret_miss = miss || aged;
	return OK;
}

enum err
session_lookup_aged(struct ctx *cx, const struct access_claims *c, struct actor *ret, bool *ret_miss, bool *ret_aged)
{
	return lookup(cx, c, ret, ret_miss, ret_aged);
}

static void
unlink_entry(struct shard *s, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	s->count--;
	free(e);
}

/* Drops one entry of the next bucket that has any. */
static void
evict(struct session_table *t, struct shard *s)
{
	while (!s->buckets[s->hand & (t->buckets - 1)])
		s->hand++;
	unlink_entry(s, &s->buckets[s->hand++ & (t->buckets - 1)]);
}

static void
insert(struct session_table *t, struct entry *e)
{
	uint64_t hash = id_hash(e->session_id.text);
	struct shard *s = shard_of(t, hash);
	struct entry **at = bucket_of(t, s, hash);

	pthread_mutex_lock(&s->lock);
	for (struct entry **p = at; *p; p = &(*p)->next) {
		if (memcmp(&(*p)->session_id, &e->session_id, ID_BYTES) == 0) {
			unlink_entry(s, p);
			break;
		}
	}
	if (s->count >= t->shard_max)
		evict(t, s);
	e->next = *at;
	*at = e;
	s->count++;
	pthread_mutex_unlock(&s->lock);
}

struct session_row {
	const char *email, *full_name;
	enum role role;
	bool is_active;
	int64_t login_at, expires_at, revoked_at;
};
static const struct field session_row_fields[] = {
	F(struct session_row, email, 0, 0, 0, "Address."),
	F(struct session_row, full_name, 0, 0, 0, "Name."),
	F_ENUM(struct session_row, role, 0, role_names, "Role."),
	F(struct session_row, is_active, 0, 0, 0, "The account's state."),
	F(struct session_row, login_at, F_TIME, 0, 0, "Last full login."),
	F(struct session_row, expires_at, F_TIME, 0, 0, "Absolute end."),
	F(struct session_row, revoked_at, F_TIME | F_NULLABLE, 0, 0, "When it was ended."),
};
static const struct schema session_row_schema = SCHEMA("SessionRow", struct session_row, session_row_fields);

SQL(SESSION_FILL, "uu",
	"SELECT u.email, u.full_name, u.role, u.is_active, s.login_at, s.expires_at, s.revoked_at FROM sessions s"
	" JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.user_id = $2");

static struct entry *
entry_new(const struct access_claims *c, const struct session_row *r, bool stands)
{
	size_t email_n = strlen(r->email), name_n = strlen(r->full_name);
	struct entry *e = calloc(1, sizeof(*e) + email_n + name_n + 2);

	if (!e)
		BUG("out of memory");
	e->session_id = c->session_id;
	e->user_id = c->user_id;
	e->stands = stands;
	e->role = r->role;
	e->login_at = r->login_at;
	e->expires_at = r->expires_at;
	e->email_n = email_n;
	memcpy(e->texts, r->email, email_n);
	memcpy(e->texts + email_n + 1, r->full_name, name_n);
	return e;
}

/* On a connection that sees committed rows only: what a batch may still undo must not get into the table. */
enum err
session_fill(struct ctx *cx, const struct access_claims *c, struct actor *ret)
{
	struct session_table *t = cx->srv->sessions;
	uint64_t epoch = atomic_load(&t->epoch);
	uint32_t generation = atomic_load(user_slot(t, c->user_id.text));
	int64_t read_us = monotonic_us(cx);
	struct session_row row = {.email = "", .full_name = ""};
	bool found;

	TRY(db_find(cx, &SESSION_FILL, &session_row_schema, &row, &found, V_ID(c->session_id), V_ID(c->user_id)));
	bool stands = found && row.is_active && row.revoked_at == TIME_NONE, live = stands && row.expires_at > cx->now_us;
	if (found) {
		struct entry *e = entry_new(c, &row, stands);
		e->epoch = epoch;
		e->generation = generation;
		e->read_us = read_us;
		if (live)
			copy_actor(cx->arena, e, ret);
		insert(t, e);
	}
	return live ? OK : fail(cx, ERR_TOKEN_REVOKED, NULL);
}

static void
forget(void *slot)
{
	atomic_fetch_add((atomic_uint_least32_t *)slot, 1);
}

void
session_table_forget(struct session_table *t, const char *user_id)
{
	forget(user_slot(t, user_id));
}

void
session_forget_user(struct ctx *cx, const char *user_id)
{
	if (cx->srv->sessions)
		db_on_commit(cx, forget, user_slot(cx->srv->sessions, user_id));
	bus_tell(cx, NEWS_USER, user_id, NULL);
}

struct standing {
	enum role role;
};
static const struct field standing_fields[] = {F_ENUM(struct standing, role, 0, role_names, "Role.")};
static const struct schema standing_schema = SCHEMA("SessionStanding", struct standing, standing_fields);

SQL(SESSION_STANDS, "um",
	"SELECT u.role FROM sessions s JOIN users u ON u.id = s.user_id"
	" WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 AND u.is_active");

enum err
session_recheck(struct ctx *cx)
{
	struct standing now;
	bool found;

	if (!cx->actor)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	TRY(db_find(cx, &SESSION_STANDS, &standing_schema, &now, &found, V_ID(cx->actor->session_id), V(cx->now_us)));
	if (!found)
		return fail(cx, ERR_TOKEN_REVOKED, NULL);
	return now.role == cx->actor->role ? OK : fail(cx, ERR_FORBIDDEN, NULL);
}
