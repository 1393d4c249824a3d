/*
 * The races of accounts, sessions, approval and lockout on PostgreSQL, by three nodes whose transactions really overlap: what one
 * writer thread would hide.
 */
#include "store_env.h"

#include <pthread.h>

#include "core/conf.h"
#include "core/keys.h"
#include "identity/approval.h"
#include "identity/lockout.h"
#include "identity/secret.h"
#include "identity/session.h"

enum { RACERS = 24, NODES = 3, TRIES = 20 };

static const char *const variables[] = {"ENV=dev", "SECRET_KEY=0123456789abcdef0123456789abcdef-access",
	"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes", "TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper",
	"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=Correct-Horse-7", "RATE_LIMIT_ENABLED=false",
	NULL};

struct cluster {
	struct env *env;
	struct server nodes[NODES]; /* the first one's store is env's */
};

static struct cluster
cluster_open(void)
{
	struct cluster c = {.env = env_make(true, "SELECT 1")};
	const char *message = "";

	c.env->srv.conf = conf_load(variables, NULL, &message);
	if (!c.env->srv.conf)
		fail_msg("%s", message);
	c.env->srv.keys = keys_open(c.env->srv.conf);
	for (int i = 0; i < NODES; i++) {
		c.nodes[i] = c.env->srv;
		if (i && db_open(&c.env->arena, &c.env->options, &c.nodes[i].store, &message) != OK)
			fail_msg("%s", message);
		c.nodes[i].sessions = session_table_open(1000);
	}
	return c;
}

static void
cluster_close(struct cluster *c)
{
	for (int i = 0; i < NODES; i++) {
		session_table_close(c->nodes[i].sessions);
		if (i)
			db_close(c->nodes[i].store);
	}
	keys_close((struct keys *)(uintptr_t)c->env->srv.keys);
	conf_free((struct config *)(uintptr_t)c->env->srv.conf);
	env_free(c->env);
}

/* --- one racer and what it does ---- */

struct racer {
	const struct server *node;
	enum err (*run)(struct ctx *cx, void *arg);
	pthread_barrier_t *start;
	int number;
	const char *id, *text; /* what they all want */
	enum err got;
	char out[64], why[200];
};

static void *
race(void *arg)
{
	struct racer *r = arg;
	struct ctx cx;
	struct arena a;

	arena_init(&a);
	ctx_init(&cx, &a, r->node);
	pthread_barrier_wait(r->start);
	/* All want one row, and on a busy machine the last may wait longer than a lock may be waited for: asked again, as clients do. */
	for (int i = 0; i < TRIES && (i == 0 || r->got == ERR_UNAVAILABLE); i++) {
		error_clear(&cx);
		r->got = db_write(&cx, r->run, r);
	}
	str_copy(r->why, sizeof(r->why), cx.error.internal ? cx.error.internal : "");
	arena_release(&a);
	return NULL;
}

/* How many got each answer. */
static void
race_all(struct cluster *c, struct racer *racers, enum err (*run)(struct ctx *, void *), const char *id, const char *text,
	int ret[ERR__MAX])
{
	pthread_t threads[RACERS];
	pthread_barrier_t start;

	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){
			.node = &c->nodes[i % NODES], .run = run, .start = &start, .number = i, .id = id, .text = text};
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	memset(ret, 0, sizeof(int) * ERR__MAX);
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		ret[racers[i].got]++;
		if (racers[i].why[0])
			print_message("%s: %s\n", err_row(racers[i].got)->name, racers[i].why);
	}
	pthread_barrier_destroy(&start);
}

static void
do_one(struct cluster *c, enum err (*run)(struct ctx *, void *), struct racer *r)
{
	struct ctx cx;

	env_cx(c->env, &cx);
	cx.srv = &c->nodes[0];
	enum err e = db_write(&cx, run, r);
	if (e != OK)
		fail_msg("%s at %s:%d %s", err_row(e)->name, cx.error.file, cx.error.line,
			cx.error.internal ? cx.error.internal : "");
}

static enum err
account_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const struct account_new in = {.email = r->text, .full_name = "P", .role = ROLE_ADMIN, .is_active = true};
	struct uuid id;

	TRY(account_insert(cx, &in, &id));
	str_copy(r->out, sizeof(r->out), id.text);
	return OK;
}

static const char *
person(struct cluster *c, const char *email)
{
	struct racer r = {.text = email};

	do_one(c, account_run, &r);
	return arena_strdup(&c->env->arena, r.out);
}

static enum err
mint_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const struct proof proof = {.password = true};
	struct account who;
	struct tokens tokens;

	TRY(account_by_id(cx, r->id, &who));
	TRY(mint_session(cx, &who, &proof, &tokens));
	str_copy(r->out, sizeof(r->out), tokens.refresh_token);
	return OK;
}

/* --- races ---- */

static enum err
refresh_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	struct account who;
	struct tokens tokens;

	TRY(session_refresh(cx, r->text, &who, &tokens));
	str_copy(r->out, sizeof(r->out), tokens.refresh_token);
	return OK;
}

static void
one_successor(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS], first = {.id = person(&c, "a@example.org")};
	int got[ERR__MAX];

	(void)state;
	do_one(&c, mint_run, &first);
	race_all(&c, racers, refresh_run, NULL, first.out, got);
	assert_int_equal(got[OK], RACERS);
	for (int i = 1; i < RACERS; i++)
		assert_string_equal(racers[i].out, racers[0].out);
	assert_string_equal(env_sql(c.env, "SELECT count(*) FROM refresh_tokens"), "2");
	cluster_close(&c);
}

static void
one_device(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS];
	int got[ERR__MAX];

	(void)state;
	race_all(&c, racers, mint_run, person(&c, "a@example.org"), NULL, got);
	assert_int_equal(got[OK], RACERS);
	assert_string_equal(env_sql(c.env, "SELECT count(*) FROM sessions WHERE revoked_at IS NULL"), "1");
	cluster_close(&c);
}

static enum err
signup_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const struct signup in = {r->text, "P", "$2b$04$x", ROLE_STUDENT, 3 * MINUTES_US};
	struct signup_result out;

	TRY(approval_signup(cx, &in, &out));
	str_copy(r->out, sizeof(r->out), out.approval_request_id.text);
	return OK;
}

static void
one_signup(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS];
	int got[ERR__MAX];

	(void)state;
	race_all(&c, racers, signup_run, NULL, "a@example.org", got);
	assert_int_equal(got[OK], RACERS);
	assert_string_equal(env_sql(c.env, "SELECT count(*) FROM approval_requests"), "1");
	(void)env_sql(c.env, "UPDATE approval_requests SET status = 'rejected'");
	race_all(&c, racers, signup_run, NULL, "a@example.org", got);
	assert_int_equal(got[OK], RACERS);
	assert_string_equal(env_sql(c.env, "SELECT count(*) FROM approval_requests"), "2");
	cluster_close(&c);
}

static enum err
decide_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	struct approval_decision in = {.approve = r->number % 2};
	struct approval_decided out;

	str_copy(in.id.text, sizeof(in.id.text), r->id);
	return approval_decide(cx, &in, &out);
}

static void
one_decision(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS], request = {.text = "a@example.org"};
	int got[ERR__MAX];

	(void)state;
	do_one(&c, signup_run, &request);
	race_all(&c, racers, decide_run, request.out, NULL, got);
	assert_int_equal(got[OK], 1);
	assert_int_equal(got[ERR_ALREADY_DECIDED], RACERS - 1);
	assert_string_equal(env_sql(c.env, "SELECT count(*) FROM audit_logs WHERE action LIKE 'approval_%'"), "1");
	cluster_close(&c);
}

static enum err
demote_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;

	return account_change(cx, r->number % 2 ? r->id : r->text, ROLE_STUDENT, TRI_UNSET);
}

static void
one_admin_stays(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS];
	int got[ERR__MAX];

	(void)state;
	const char *a = person(&c, "a@example.org"), *b = person(&c, "b@example.org");
	race_all(&c, racers, demote_run, a, b, got);
	assert_string_equal(env_sql(c.env, "SELECT count(*) FROM users WHERE role = 'admin'"), "1");
	assert_int_equal(got[OK] + got[ERR_LAST_ADMIN], RACERS);
	cluster_close(&c);
}

static enum err
reserve_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const struct lockout_attempt attempt = {.email = r->text, .ip = "192.0.2.1"};
	int64_t locked_until;

	TRY(lockout_reserve(cx, &attempt, &locked_until));
	str_copy(r->out, sizeof(r->out), locked_until ? "locked" : "free");
	return OK;
}

static void
eight_guesses(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS];
	int got[ERR__MAX], let_through = 0;

	(void)state;
	race_all(&c, racers, reserve_run, NULL, "a@example.org", got);
	assert_int_equal(got[OK], RACERS);
	for (int i = 0; i < RACERS; i++)
		let_through += str_eq(racers[i].out, "free");
	assert_int_equal(let_through, 8);
	cluster_close(&c);
}

static enum err
issue_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const char *secret;

	TRY(secret_issue(cx, &(const struct secret_new){.purpose = "test", .life_us = HOURS_US}, &secret));
	str_copy(r->out, sizeof(r->out), secret);
	return OK;
}

static enum err
take_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	struct secret_taken taken;

	return secret_consume(cx, "test", r->text, NULL, NULL, &taken);
}

static void
one_taker(void **state)
{
	struct cluster c = cluster_open();
	struct racer racers[RACERS], secret = {0};
	int got[ERR__MAX];

	(void)state;
	do_one(&c, issue_run, &secret);
	race_all(&c, racers, take_run, NULL, secret.out, got);
	assert_int_equal(got[OK], 1);
	assert_int_equal(got[ERR_TOKEN_INVALID], RACERS - 1);
	cluster_close(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_successor),
		cmocka_unit_test(one_device),
		cmocka_unit_test(one_signup),
		cmocka_unit_test(one_decision),
		cmocka_unit_test(one_admin_stays),
		cmocka_unit_test(eight_guesses),
		cmocka_unit_test(one_taker),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
