/*
 * The store: which engine, its connections, and the calls of db.h that work the same on each.
 */
#include "store/engine.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

/* A table that every migrated database has, so that the answer comes from the database and not from the parser. */
SQL(PING, "", "SELECT 1 FROM schema_migrations");

/* --- statements ------------------------------------------------------------------------------------------------------------ */

static struct db *
connection(struct ctx *cx, const struct sql *sql)
{
	if (!cx->db)
		BUG("statement %s: this lane has no connection", sql->name);
	return cx->db;
}

static enum err
run(struct ctx *cx, const struct sql *sql, struct take *take, bool may_come_late, const struct val *args, size_t n)
{
	struct db *db = connection(cx, sql);
	struct call c = call_make(&db->store->statements, sql, args, n);

	c.take = *take;
	c.may_come_late = may_come_late;
	TRY(db->engine->run(cx, db, &c));
	*take = c.take;
	return OK;
}

enum err
db_exec_(struct ctx *cx, const struct sql *sql, int64_t *ret_rows, const struct val *args, size_t n)
{
	struct take t = {.mode = TAKE_NONE};

	TRY(run(cx, sql, &t, !ret_rows, args, n));
	if (ret_rows)
		*ret_rows = t.changed;
	return OK;
}

enum err
db_find_(struct ctx *cx, const struct sql *sql, const struct schema *schema, void *ret, bool *ret_found, const struct val *args,
	size_t n)
{
	struct take t = {.mode = TAKE_ONE, .schema = schema};

	TRY(run(cx, sql, &t, false, args, n));
	if (t.record)
		memcpy(ret, t.record, schema->size);
	*ret_found = t.record != NULL;
	return OK;
}

enum err
db_one_(struct ctx *cx, const struct sql *sql, const struct schema *schema, void *ret, const struct val *args, size_t n)
{
	bool found;

	TRY(db_find_(cx, sql, schema, ret, &found, args, n));
	return found ? OK : fail(cx, ERR_NOT_FOUND, NULL);
}

enum err
db_all_(struct ctx *cx, const struct sql *sql, const struct schema *schema, struct list *ret, const struct val *args, size_t n)
{
	struct take t = {.mode = TAKE_ALL, .schema = schema};

	TRY(run(cx, sql, &t, false, args, n));
	*ret = t.list;
	return OK;
}

enum err
db_int_(struct ctx *cx, const struct sql *sql, int64_t *ret, const struct val *args, size_t n)
{
	struct take t = {.mode = TAKE_INT};

	TRY(run(cx, sql, &t, false, args, n));
	*ret = t.number;
	return OK;
}

static void
step_done(struct db_step *step, const struct take *t)
{
	if (step->ret && t->record)
		memcpy(step->ret, t->record, step->schema->size);
	step->rows = step->schema ? t->rows : t->changed;
}

enum err
db_list(struct ctx *cx, struct db_step *steps, size_t n)
{
	if (n == 0)
		return OK;
	struct db *db = connection(cx, steps[0].sql);
	struct call *calls = arena_new(cx->arena, struct call, n);

	for (size_t i = 0; i < n; i++) {
		calls[i] = call_make(&db->store->statements, steps[i].sql, steps[i].args, steps[i].n_args);
		calls[i].take = (struct take){.mode = steps[i].schema ? TAKE_ONE : TAKE_NONE, .schema = steps[i].schema};
		calls[i].may_come_late = !steps[i].schema && steps[i].expect > 0;
		calls[i].expect = steps[i].expect > 0 ? steps[i].expect : -1;
	}
	if (db->engine->list)
		TRY(db->engine->list(cx, db, calls, n));
	else
		for (size_t i = 0; i < n; i++)
			TRY(db->engine->run(cx, db, &calls[i]));
	for (size_t i = 0; i < n; i++)
		step_done(&steps[i], &calls[i].take);
	return OK;
}

void
db_ahead_(struct ctx *cx, const struct sql *sql, const struct val *args, size_t n)
{
	struct db *db = connection(cx, sql);
	struct call c = call_make(&db->store->statements, sql, args, n);

	if (!c.st->many)
		BUG("statement %s has no text for many calls", sql->name);
	if (db->engine->ahead && db->eager)
		db->engine->ahead(db, &c);
}

enum err
db_ping(struct ctx *cx)
{
	int64_t one;

	return db_int(cx, &PING, &one);
}

/* --- writing and reading from a thread that may wait ----------------------------------------------------------------------- */

struct waiting {
	enum err (*fn)(struct ctx *cx, void *arg);
	void *arg;
	enum err result;
	sem_t done;
};

static enum err
waiting_run(struct ctx *cx, void *arg)
{
	struct waiting *w = arg;

	return w->fn(cx, w->arg);
}

static void
waiting_done(void *arg, enum err result)
{
	struct waiting *w = arg;

	w->result = result;
	(void)sem_post(&w->done);
}

static struct db_store *
store_of(struct ctx *cx)
{
	if (!cx->srv || !cx->srv->store)
		BUG("there is no store");
	if (cx->db && cx->db->busy)
		BUG("db_read and db_write do not nest");
	return cx->srv->store;
}

/* One account's writes, or one address's, meet one writer. */
static uint64_t
shard_of(const struct ctx *cx)
{
	uint64_t shard = 0;

	for (const char *p = cx->actor ? cx->actor->user_id.text : cx->client->ip; *p; p++)
		shard = (shard ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return shard;
}

static enum err
write_and_wait(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg, bool bulk)
{
	struct db_store *s = store_of(cx);
	struct waiting w = {.fn = fn, .arg = arg};
	struct db_job job = {.cx = cx, .run = waiting_run, .done = waiting_done, .arg = &w, .bulk = bulk, .shard = shard_of(cx)};

	(void)sem_init(&w.done, 0, 0);
	if (db_submit(s, &job)) {
		while (sem_wait(&w.done) != 0)
			; /* a signal */
	} else {
		w.result = fail_internal(cx, ERR_OVERLOADED, "the writer's queue is full");
	}
	(void)sem_destroy(&w.done);
	return w.result;
}

enum err
db_write(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg)
{
	return write_and_wait(cx, fn, arg, false);
}

enum err
db_write_bulk(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg)
{
	return write_and_wait(cx, fn, arg, true);
}

/* Takes a free connection, or makes one, or waits. */
static struct db *
pool_take(struct db_store *s, struct ctx *cx)
{
	struct db *db = NULL;
	const char *message = "";

	(void)pthread_mutex_lock(&s->pool_lock);
	s->pool_waiting++;
	while (!s->pool && s->pool_open >= s->options.readers)
		(void)pthread_cond_wait(&s->pool_free, &s->pool_lock);
	s->pool_waiting--;
	if (s->pool) {
		db = s->pool;
		s->pool = db->next;
	} else {
		s->pool_open++;
	}
	(void)pthread_mutex_unlock(&s->pool_lock);
	if (db)
		return db;

	db = s->engine->open(s, USE_READ, cx->arena, &message);
	if (!db) {
		(void)pthread_mutex_lock(&s->pool_lock);
		s->pool_open--;
		(void)pthread_cond_signal(&s->pool_free);
		(void)pthread_mutex_unlock(&s->pool_lock);
		(void)fail_internal(cx, ERR_UNAVAILABLE, "%s", message);
	}
	return db;
}

/* What was opened under load is closed when the load is over. */
static void
pool_give(struct db_store *s, struct db *db)
{
	(void)pthread_mutex_lock(&s->pool_lock);
	bool surplus = s->pool_open > s->options.readers_kept && s->pool_waiting == 0;
	if (surplus) {
		s->pool_open--;
	} else {
		db->next = s->pool;
		s->pool = db;
		(void)pthread_cond_signal(&s->pool_free);
	}
	(void)pthread_mutex_unlock(&s->pool_lock);
	if (surplus)
		s->engine->close(db);
}

enum err
db_read(struct ctx *cx, enum err (*fn)(struct ctx *cx, void *arg), void *arg)
{
	struct db_store *s = store_of(cx);
	struct db *lane_db = cx->db, *db = pool_take(s, cx);

	if (!db)
		return ERR_UNAVAILABLE;
	cx->db = db;
	db->busy = true;
	enum err e = fn(cx, arg);
	db->busy = false;
	cx->db = lane_db;
	pool_give(s, db);
	return e;
}

struct db *
db_reader_open(struct db_store *s)
{
	struct arena a;
	const char *message;

	arena_init(&a);
	struct db *db = s->engine->open(s, USE_READ, &a, &message);
	arena_release(&a);
	return db;
}

void
db_reader_close(struct db *db)
{
	if (db)
		db->engine->close(db);
}

/* --- opening and closing --------------------------------------------------------------------------------------------------- */

static void
close_all(struct db_store *s)
{
	for (struct db *db = s->pool, *next; db; db = next) {
		next = db->next;
		db->engine->close(db);
	}
	for (unsigned i = 0; i < s->n_writers; i++)
		s->engine->close(s->writers[i].db);
	(void)pthread_cond_destroy(&s->pool_free);
	(void)pthread_mutex_destroy(&s->pool_lock);
	arena_release(&s->memory);
	free(s);
}

static bool
open_writers(struct db_store *s, struct arena *a, const char **ret_message)
{
	unsigned wanted = s->options.writers < 1 ? 1 : (unsigned)s->options.writers;

	if (wanted > s->engine->writers)
		wanted = s->engine->writers;
	for (; s->n_writers < wanted; s->n_writers++)
		if (!(s->writers[s->n_writers].db = s->engine->open(s, USE_WRITE, a, ret_message)))
			return false;
	return true;
}

enum err
db_open(struct arena *a, const struct db_options *o, struct db_store **ret, const char **ret_message)
{
	const struct engine *engine = url_is_sqlite(o->url) ? &engine_sqlite : url_is_postgres(o->url) ? &engine_postgres : NULL;

	if (!engine) {
		*ret_message = "DATABASE_URL: neither sqlite:///… nor postgresql://…";
		return ERR_UNAVAILABLE;
	}
	struct db_store *s = calloc(1, sizeof(*s));
	if (!s)
		BUG("out of memory");
	s->engine = engine;
	s->options = *o;
	if (s->options.readers < 1)
		s->options.readers = 1;
	if (s->options.readers_kept < 1 || s->options.readers_kept > s->options.readers)
		s->options.readers_kept = s->options.readers;
	arena_init(&s->memory);
	s->options.url = arena_strdup(&s->memory, o->url);
	statements_open(&s->statements, &s->memory);
	(void)pthread_mutex_init(&s->pool_lock, NULL);
	(void)pthread_cond_init(&s->pool_free, NULL);
	if (!open_writers(s, a, ret_message)) {
		close_all(s);
		return ERR_UNAVAILABLE;
	}
	for (unsigned i = 0; i < s->n_writers; i++)
		if (!writer_start(&s->writers[i]))
			BUG("cannot start a thread");
	*ret = s;
	return OK;
}

void
db_close(struct db_store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n_writers; i++)
		writer_stop(&s->writers[i]);
	close_all(s);
}

const char *
db_engine_name(const struct db_store *s)
{
	return s->engine->name;
}

bool
db_is_shared(const struct db_store *s)
{
	return s->engine->shared;
}

bool
db_prepare_all(struct db_store *s, const char **ret_message)
{
	struct db *db = s->engine->open(s, USE_READ, &s->memory, ret_message);
	bool ok = db != NULL;

	for (size_t i = 0; ok && i < s->statements.count; i++) {
		const struct statement *st = &s->statements.rows[i];
		for (unsigned v = 0; ok && v < statement_variants(st) - (st->many && !s->engine->ahead); v++)
			ok = s->engine->prepare(db, st, v, &s->memory, ret_message);
	}
	if (db)
		s->engine->close(db);
	return ok;
}
