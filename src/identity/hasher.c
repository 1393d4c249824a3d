/*
 * What one hash costs here, and which schemes the table holds.
 *
 * The mix is counted at most once a minute and shared by all logins; counting reads every hash once, so it is one reader's work
 * and nobody waits for it but the login that found the old count too old.
 */
#include "identity/hasher.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/field.h"
#include "identity/hash.h"
#include "identity/password.h"
#include "store/db.h"

enum { MIX_MAX = 16, PARAMS_MAX = 64 };
#define MIX_LIFE_US MINUTES_US
#define QUEUE_US SECONDS_US

struct hasher {
	int64_t hash_us;
	pthread_mutex_t lock; /* of what follows */
	int64_t counted_at;   /* monotonic; TIME_NONE: never */
	char params[MIX_MAX][PARAMS_MAX];
	int64_t weight[MIX_MAX];
	int n;
};

/*
 * A full hash of cost 12 would be most of the time between start and first answer.  bcrypt and PBKDF2 take time in proportion to
 * their rounds, so a short one is timed and scaled; argon2id is quick enough to be timed as it is.
 */
static int64_t
time_one_us(const struct config *conf)
{
	static const uint8_t seed[32];
	struct hash h;
	struct arena a;
	int64_t scale = 1, begun;
	bool same;
	const char *params = "$bcrypt-sha256$v=2,t=2b,r=6$";

	arena_init(&a);
	if (conf->password_hash == HASH_ARGON2ID) {
		params = arena_printf(&a, "$argon2id$v=19$m=%d,t=%d,p=%d$", ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES);
	} else if (conf->password_hash == HASH_PBKDF2_SHA256) {
		params = "$pbkdf2-sha256$20000$";
		scale = PBKDF2_ROUNDS / 20000;
	} else if (conf->bcrypt_rounds >= 6) {
		scale = INT64_C(1) << (conf->bcrypt_rounds - 6);
	}
	const char *stored = hash_fake(&a, params, seed);
	if (!stored || !hash_parse(stored, &h))
		BUG("no hash to time for %s", params);
	begun = time_monotonic_us();
	if (!hash_matches(stored, &h, "how long does this take?", &same))
		BUG("no memory for one hash");
	int64_t us = (time_monotonic_us() - begun) * scale;
	arena_release(&a);
	return us < 1 ? 1 : us;
}

struct hasher *
hasher_open(const struct config *conf)
{
	struct hasher *h = calloc(1, sizeof(*h));

	if (!h)
		BUG("out of memory");
	pthread_mutex_init(&h->lock, NULL);
	h->counted_at = TIME_NONE;
	h->hash_us = time_one_us(conf);
	return h;
}

void
hasher_close(struct hasher *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int64_t
hasher_hash_us(const struct hasher *h)
{
	return h->hash_us;
}

int
hasher_queue_max(const struct hasher *h, int threads)
{
	int64_t jobs = threads * QUEUE_US / h->hash_us;

	return jobs < 2 * threads ? 2 * threads : (int)jobs;
}

struct mix_row {
	const char *params;
	int64_t count;
};
static const struct field mix_row_fields[] = {
	F(struct mix_row, params, 0, 0, 0, "Scheme and parameters."),
	F(struct mix_row, count, 0, 0, 0, "How many accounts."),
};
static const struct schema mix_row_schema = SCHEMA("PasswordMixRow", struct mix_row, mix_row_fields);

/*
 * Salts are 16 bytes everywhere, a digest is 31 characters of bcrypt, or 16 or 32 bytes of base64: so what stands before is
 * known.  No hash is shorter than 60 characters, and PostgreSQL refuses a negative length.
 */
SQL(PASSWORD_MIX, "i",
	"SELECT params, count(*) AS count FROM (SELECT CASE"
	" WHEN substr(password_hash, 2, 1) = '2' THEN substr(password_hash, 1, 7)"
	" WHEN substr(password_hash, 2, 6) = 'bcrypt' THEN substr(password_hash, 1, length(password_hash) - 54)"
	" WHEN substr(password_hash, length(password_hash) - 22, 1) = '$'"
	" THEN substr(password_hash, 1, length(password_hash) - 45)"
	" WHEN length(password_hash) > 66 THEN substr(password_hash, 1, length(password_hash) - 66) ELSE '' END AS params"
	" FROM users WHERE length(password_hash) >= 60) h GROUP BY params ORDER BY count(*) DESC, params LIMIT $1");

static int
by_params(const void *a, const void *b)
{
	const struct mix_row *x = a, *y = b;

	return str_eq(x->params, y->params) ? 0 : strcmp(x->params, y->params);
}

static enum err
count_mix(struct ctx *cx, void *arg)
{
	struct password_mix *mix = arg;
	struct list rows;

	TRY(db_all(cx, &PASSWORD_MIX, &mix_row_schema, &rows, V(MIX_MAX)));
	if (rows.count)
		qsort(rows.items, rows.count, sizeof(struct mix_row), by_params);
	mix->n = 0;
	for (size_t i = 0; i < rows.count && mix->n < MIX_MAX; i++) {
		const struct mix_row *r = (const struct mix_row *)rows.items + i;
		if (!*r->params || strlen(r->params) >= PARAMS_MAX)
			continue;
		mix->sample[mix->n] = r->params;
		mix->weight[mix->n++] = r->count;
	}
	return OK;
}

static void
keep_mix(struct hasher *h, const struct password_mix *mix)
{
	pthread_mutex_lock(&h->lock);
	h->n = mix->n;
	for (int i = 0; i < mix->n; i++) {
		str_copy(h->params[i], PARAMS_MAX, mix->sample[i]);
		h->weight[i] = mix->weight[i];
	}
	pthread_mutex_unlock(&h->lock);
}

/* True when the kept mix is fresh; else the caller counts, and until it has, others go on with the old one. */
static bool
kept_mix(struct ctx *cx, struct hasher *h, struct password_mix *ret)
{
	const struct source *s = &cx->srv->source;
	int64_t now = s->monotonic_us(s->arg);

	pthread_mutex_lock(&h->lock);
	bool fresh = h->counted_at != TIME_NONE && now - h->counted_at < MIX_LIFE_US;
	if (!fresh)
		h->counted_at = now;
	ret->n = h->n;
	for (int i = 0; i < h->n; i++) {
		ret->sample[i] = arena_strdup(cx->arena, h->params[i]);
		ret->weight[i] = h->weight[i];
	}
	pthread_mutex_unlock(&h->lock);
	return fresh;
}

enum err
hasher_mix(struct ctx *cx, struct password_mix *ret)
{
	struct hasher *h = cx->srv->hasher;

	if (!h)
		return db_read(cx, count_mix, ret);
	if (kept_mix(cx, h, ret))
		return OK;
	TRY(db_read(cx, count_mix, ret));
	keep_mix(h, ret);
	return OK;
}
