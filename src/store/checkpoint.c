/*
 * The checkpointing thread of one SQLite file: copies the log into the database beside the writer, so that no COMMIT has to.
 * Only PASSIVE checkpoints, which wait for nobody; when the log has grown too long the writer itself restarts it (sqlite.c).
 */
#include "store/engine.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "core/fault.h"
#include "core/log.h"

enum { TICK_MS = 200, LONG_BYTES = 8 << 20 };

struct checkpointer {
	sqlite3 *handle;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	bool failing; /* and that was said */
	_Atomic int64_t wal_bytes;
	_Atomic uint64_t commits;
};

static void
checkpoint(struct checkpointer *c, bool *ret_complete)
{
	int frames = -1, copied = -1;
	int rc = FAULT("sqlite.checkpoint") ? SQLITE_IOERR
					  : sqlite3_wal_checkpoint_v2(c->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
	bool works = rc == SQLITE_OK, fails = !works && rc != SQLITE_BUSY && rc != SQLITE_LOCKED;

	if (fails && !c->failing)
		log_warning(NULL, "store.checkpoint_failed", sqlite3_errmsg(c->handle), LOG_INT("code", rc));
	else if (works && c->failing)
		log_info(NULL, "store.checkpoint_works", "the log is copied into the database again");
	c->failing = fails || (c->failing && !works);
	*ret_complete = rc == SQLITE_OK && frames == copied;
}

/* True: stop. */
static bool
sleep_a_tick(struct checkpointer *c)
{
	struct timespec until = time_spec(time_monotonic_us() + TICK_MS * INT64_C(1000));
	bool stop;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->stopping && pthread_cond_timedwait(&c->wake, &c->lock, &until) == 0)
		;
	stop = c->stopping;
	(void)pthread_mutex_unlock(&c->lock);
	return stop;
}

static void *
checkpointer_main(void *arg)
{
	struct checkpointer *c = arg;
	uint64_t done = 0, before = 0;

	while (!sleep_a_tick(c)) {
		uint64_t commits = atomic_load_explicit(&c->commits, memory_order_relaxed);
		bool idle = commits == before, complete = false;
		before = commits;
		if (commits == done || (!idle && atomic_load_explicit(&c->wal_bytes, memory_order_relaxed) < LONG_BYTES))
			continue;
		checkpoint(c, &complete);
		if (complete)
			done = commits;
	}
	return NULL;
}

void
checkpointer_note(struct checkpointer *c, int64_t wal_bytes)
{
	atomic_store_explicit(&c->wal_bytes, wal_bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->commits, 1, memory_order_relaxed);
}

struct checkpointer *
checkpointer_open(struct arena *a, const char *path, const char **ret_message)
{
	pthread_condattr_t attr;
	sqlite3 *handle = sqlite_connect(a, path, false, ret_message);

	if (!handle)
		return NULL;
	struct checkpointer *c = calloc(1, sizeof(*c));
	if (!c)
		BUG("out of memory");
	c->handle = handle;
	(void)sqlite3_exec(handle, "PRAGMA synchronous=FULL; PRAGMA mmap_size=0", NULL, NULL, NULL);
	(void)sqlite3_busy_timeout(handle, 0);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (pthread_create(&c->thread, NULL, checkpointer_main, c) != 0)
		BUG("cannot start a thread");
	return c;
}

void
checkpointer_close(struct checkpointer *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->stopping = true;
	(void)pthread_cond_signal(&c->wake);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->thread, NULL);
	(void)sqlite3_close_v2(c->handle);
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
