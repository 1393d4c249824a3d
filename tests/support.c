/*
 * A whole server in process, without sockets.  Everything of a test lies in one folder that test_close() removes, and on one
 * clock that moves only by test_advance(), so nothing here ever waits.
 *
 * References to layers above store/ are weak: tests of audit/ and identity/ link this object without api/.
 */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/keys.h"
#include "core/metrics.h"
#include "identity/hasher.h"
#include "identity/password.h"
#include "net/face.h"
#include "net/storage.h"
#include "notify/live.h"
#include "store/migrate.h"

#pragma weak limiter_open
#pragma weak limiter_close
#pragma weak session_table_open
#pragma weak session_table_close
#pragma weak session_table_flush
#pragma weak live_open
#pragma weak live_close
#pragma weak torture_end
#pragma weak hasher_open
#pragma weak hasher_close
#pragma weak password_hash
#pragma weak password_verify
#pragma weak account_insert
#pragma weak account_by_id
#pragma weak mint_session
#pragma weak route_tables
#pragma weak route_table_count
#pragma weak dispatch_open_with
#pragma weak dispatch_close
#pragma weak dispatch_strict
#pragma weak dispatch_route_count
#pragma weak faces_open_configured
#pragma weak faces_close
#pragma weak storage_open

enum { LIMIT_KEYS = 10000, SESSIONS = 10000, ENV_MAX = 64 };

/* --- clock, chance, folder ---- */

static int64_t
test_wall(void *arg)
{
	return atomic_load(&((struct test *)arg)->wall_us);
}

static int64_t
test_monotonic(void *arg)
{
	return atomic_load(&((struct test *)arg)->monotonic_us);
}

/* SplitMix64: the same bytes in every run, and never the same twice in one. */
static void
test_random(void *arg, void *ret, size_t n)
{
	struct test *t = arg;
	uint8_t *out = ret;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++) {
		uint64_t z = t->random_state += 0x9e3779b97f4a7c15u;
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		out[i] = (uint8_t)(z ^ (z >> 31));
	}
	pthread_mutex_unlock(&t->lock);
}

void
test_advance(struct test *t, int64_t us)
{
	atomic_fetch_add(&t->wall_us, us);
	atomic_fetch_add(&t->monotonic_us, us);
}

void
test_ctx(struct test *t, struct ctx *cx)
{
	ctx_init(cx, &t->arena, &t->srv);
}

enum err
test_write(struct test *t, enum err (*run)(struct ctx *cx, void *arg), void *arg)
{
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &t->srv);
	enum err e = db_write(&cx, run, arg);
	arena_release(&a);
	return e;
}

int
test_setup(void **state)
{
	*state = test_open(NULL);
	return 0;
}

int
test_teardown(void **state)
{
	test_close(*state);
	return 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* --- opening ---- */

static struct config *
make_config(struct test *t, const char *const *overrides)
{
	const char *env[ENV_MAX] = {
		"ENV=dev",
		"SECRET_KEY=0123456789abcdef0123456789abcdef-access",
		"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes",
		"TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper",
		"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa",
		"ADMIN_PASSWORD=" TEST_PASSWORD,
		"BCRYPT_ROUNDS=4",
		"RATE_LIMIT_ENABLED=false",
		arena_printf(&t->arena, "DATA_DIR=%s", t->dir),
		arena_printf(&t->arena, "DATABASE_URL=%s", t->pg_url ? t->pg_url : arena_printf(&t->arena, "sqlite:///%s", t->db_path)),
	};
	const char *message = "";
	size_t n = 0;

	while (env[n])
		n++;
	for (; overrides && *overrides; overrides++) {
		size_t name_n = strcspn(*overrides, "=") + 1, at = 0;
		while (at < n && strncmp(env[at], *overrides, name_n) != 0)
			at++;
		if (at == ENV_MAX - 1)
			fail_msg("more than %d variables", ENV_MAX);
		env[at] = *overrides;
		n = at == n ? n + 1 : n;
	}
	struct config *conf = conf_load(env, NULL, &message);
	if (!conf)
		fail_msg("configuration: %s", message);
	return conf;
}

static void
foreign_write(void *arg)
{
	struct test *t = arg;

	if (session_table_flush && t->srv.sessions)
		session_table_flush(t->srv.sessions);
}

static void
open_store(struct test *t)
{
	const struct db_options options = {.url = t->srv.conf->database_url,
		.readers = 2,
		.cache_mb = 8,
		.metrics = t->srv.metrics,
		.foreign_write = foreign_write,
		.arg = t};
	const char *message = "";
	int applied;

	if (migrate_up(&t->arena, t->srv.conf->database_url, t->wall_us, &applied, &message) != OK)
		fail_msg("migrations: %s", message);
	if (db_open(&t->arena, &options, &t->srv.store, &message) != OK)
		fail_msg("database: %s", message);
}

struct test *
test_open_with(const char *const *overrides, const struct route_table *const *tables, size_t n)
{
	struct test *t = calloc(1, sizeof(*t));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(t);
	arena_init(&t->arena);
	pthread_mutex_init(&t->lock, NULL);
	t->wall_us = TEST_START_US;
	t->monotonic_us = HOURS_US;
	t->random_state = 42;
	snprintf(t->dir, sizeof(t->dir), "%s/muster-test-XXXXXX", tmp ? tmp : P_tmpdir);
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->db_path, sizeof(t->db_path), "%s/muster.db", t->dir);
	t->srv.source = (struct source){test_wall, test_monotonic, test_random, t};
	test_database_make(t);
	t->srv.conf = make_config(t, overrides);
	t->srv.keys = keys_open(t->srv.conf);
	t->srv.metrics = metrics_open(dispatch_route_count ? dispatch_route_count() : 1);
	if (limiter_open)
		t->srv.limiter = limiter_open(&t->srv.source, LIMIT_KEYS);
	if (session_table_open)
		t->srv.sessions = session_table_open(SESSIONS);
	if (live_open)
		t->srv.live = live_open();
	if (hasher_open)
		t->srv.hasher = hasher_open(t->srv.conf);
	if (storage_open)
		t->srv.storage = storage_open(&t->arena, t->srv.conf);
	if (faces_open_configured && t->srv.conf->face_program[0])
		t->srv.faces = faces_open_configured(t->srv.conf, t->srv.metrics);
	open_store(t);
	if (dispatch_open_with) {
		t->d = dispatch_open_with(&t->arena, &t->srv, tables, n);
		dispatch_strict(t->d, true);
	}
	return t;
}

struct test *
test_open(const char *const *overrides)
{
	if (&route_tables && &route_table_count)
		return test_open_with(overrides, route_tables, route_table_count);
	return test_open_with(overrides, NULL, 0);
}

void
test_close(struct test *t)
{
	if (torture_end)
		torture_end(t);
	if (t->d)
		dispatch_close(t->d);
	if (faces_close)
		faces_close(t->srv.faces);
	db_close(t->srv.store);
	if (t->srv.hasher)
		hasher_close(t->srv.hasher);
	if (t->srv.sessions)
		session_table_close(t->srv.sessions);
	if (t->srv.limiter)
		limiter_close(t->srv.limiter);
	for (struct test_reply *r = t->replies, *next; r; r = next) {
		next = r->next;
		reply_free(r);
	}
	if (live_close)
		live_close(t->srv.live);
	metrics_close(t->srv.metrics);
	keys_close((struct keys *)(uintptr_t)t->srv.keys);
	conf_free((struct config *)(uintptr_t)t->srv.conf);
	test_database_drop(t);
	nftw(t->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	arena_release(&t->arena);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- accounts ---- */

const char *
test_hash(struct test *t, const char *password)
{
	const char *hash = NULL;
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(password_hash(&cx, password, &hash), OK);
	return hash;
}

bool
test_hash_is(struct test *t, const char *hash, const char *password)
{
	bool same = false;
	struct ctx cx;

	test_ctx(t, &cx);
	assert_int_equal(password_verify(&cx, hash, password, &same), OK);
	return same;
}

struct making {
	const char *password_hash;
	struct test_user *user;
	bool insert;
};

static enum err
make_user(struct ctx *cx, void *arg)
{
	struct making *m = arg;
	struct test_user *u = m->user;
	const struct account_new new = {.email = u->email,
		.full_name = u->full_name,
		.password_hash = m->password_hash,
		.role = u->role,
		.is_active = true,
		.email_verified = true};
	const struct proof proof = {.password = true};
	struct account who;
	struct tokens tokens;

	if (m->insert)
		TRY(account_insert(cx, &new, &u->id));
	TRY(account_by_id(cx, u->id.text, &who));
	TRY(mint_session(cx, &who, &proof, &tokens));
	u->bearer = tokens.access_token;
	u->refresh_token = tokens.refresh_token;
	u->session_id = tokens.session_id;
	return OK;
}

static void
make(struct test *t, struct making *m)
{
	struct ctx cx;

	test_ctx(t, &cx);
	if (m->insert)
		m->password_hash = test_hash(t, TEST_PASSWORD);
	enum err e = db_write(&cx, make_user, m);
	if (e != OK)
		fail_msg("no account: %s at %s:%d: %s", err_row(e)->name, cx.error.file, cx.error.line,
			cx.error.internal ? cx.error.internal : "");
	m->user->actor = (struct actor){.user_id = m->user->id,
		.session_id = m->user->session_id,
		.role = m->user->role,
		.email = m->user->email,
		.full_name = m->user->full_name,
		.login_at_us = cx.now_us};
}

struct test_user
test_user_named(struct test *t, enum role role, const char *email, const char *full_name)
{
	struct test_user u = {.role = role, .email = email, .full_name = full_name};

	make(t, &(struct making){.user = &u, .insert = true});
	return u;
}

struct test_user
test_user(struct test *t, enum role role)
{
	static atomic_int number;
	int n = atomic_fetch_add(&number, 1) + 1;

	return test_user_named(t, role, arena_printf(&t->arena, "%s%d@example.org", role_names[role], n),
		arena_printf(&t->arena, "Test %s %d", role_names[role], n));
}

void
test_login(struct test *t, struct test_user *u)
{
	make(t, &(struct making){.user = u});
}
