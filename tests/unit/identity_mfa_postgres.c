/* The second factor's races on PostgreSQL, by two nodes whose transactions really overlap: a step, a backup code, a pending
 * login. */
#include "store_env.h"

#include <pthread.h>

#include "core/conf.h"
#include "core/keys.h"
#include "identity/mfa.h"
#include "identity/totp.h"

enum { RACERS = 24, NODES = 2 };

static const char *const variables[] = {"ENV=dev", "SECRET_KEY=0123456789abcdef0123456789abcdef-access",
	"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes", "TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper",
	"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=Correct-Horse-7", "RATE_LIMIT_ENABLED=false",
	"LOGIN_FAIL_EMAIL_THRESHOLD=1000", "SINGLE_DEVICE=false", NULL};

static int64_t
still_wall(void *arg)
{
	(void)arg;
	return INT64_C(1785585600) * SECONDS_US; /* no step ends while the race runs */
}

struct two {
	struct env *env;
	struct server nodes[NODES];
	struct actor actor;
	const char *secret, **codes;
	struct list list;
	const char *code;
};

static struct two
two_open(void)
{
	struct two p = {.env = env_make(true, "SELECT 1")};
	const char *message = "";

	p.env->srv.conf = conf_load(variables, NULL, &message);
	if (!p.env->srv.conf)
		fail_msg("%s", message);
	p.env->srv.keys = keys_open(p.env->srv.conf);
	p.env->srv.source = source_system;
	p.env->srv.source.wall_us = still_wall;
	for (int i = 0; i < NODES; i++) {
		p.nodes[i] = p.env->srv;
		if (i && db_open(&p.env->arena, &p.env->options, &p.nodes[i].store, &message) != OK)
			fail_msg("%s", message);
		p.nodes[i].sessions = session_table_open(1000);
	}
	return p;
}

static void
two_close(struct two *p)
{
	for (int i = 0; i < NODES; i++) {
		session_table_close(p->nodes[i].sessions);
		if (i)
			db_close(p->nodes[i].store);
	}
	keys_close((struct keys *)(uintptr_t)p->env->srv.keys);
	conf_free((struct config *)(uintptr_t)p->env->srv.conf);
	env_free(p->env);
}

/* --- a person with a factor ---- */

static enum err
begin_run(struct ctx *cx, void *arg)
{
	struct two *p = arg;
	const struct account_new in = {.email = "a@example.org", .full_name = "A", .role = ROLE_STUDENT, .is_active = true};
	const struct proof proof = {.password = true};
	struct account who;
	struct tokens tokens;
	struct uuid id;

	TRY(account_insert(cx, &in, &id));
	TRY(account_by_id(cx, id.text, &who));
	TRY(mint_session(cx, &who, &proof, &tokens));
	p->actor = (struct actor){.user_id = id,
		.session_id = tokens.session_id,
		.role = ROLE_STUDENT,
		.email = "a@example.org",
		.full_name = "A",
		.login_at_us = cx->now_us};
	return OK;
}

static enum err
verify_run(struct ctx *cx, void *arg)
{
	struct two *p = arg;

	return mfa_verify(cx, p->code, &p->list);
}

static const char *
code_at(struct two *p, int64_t steps)
{
	struct totp app = {.period_s = 30, .digits = 6};
	char *code = arena_new(&p->env->arena, char, TOTP_DIGITS_MAX + 1);

	assert_true(base32_read(&p->env->arena, p->secret, &app.secret));
	totp_code(&app, still_wall(NULL) / SECONDS_US / 30 + steps, code);
	return code;
}

static void
person_begin(struct two *p)
{
	struct mfa_setup made;
	struct ctx cx;

	ctx_init(&cx, &p->env->arena, &p->nodes[0]);
	assert_int_equal(db_write(&cx, begin_run, p), OK);
	cx.actor = &p->actor;
	assert_int_equal(mfa_setup(&cx, NULL, NULL, &made), OK);
	p->secret = made.secret;
	p->code = code_at(p, 0);
	assert_int_equal(db_write(&cx, verify_run, p), OK);
	p->codes = p->list.items;
}

static enum err
await_run(struct ctx *cx, void *arg)
{
	const char **ret = arg;
	int64_t life_s;

	return mfa_await(cx, cx->actor->user_id.text, "password", ret, &life_s);
}

static const char *
pending(struct two *p)
{
	const char *token = NULL;
	struct ctx cx;

	ctx_init(&cx, &p->env->arena, &p->nodes[0]);
	cx.actor = &p->actor;
	assert_int_equal(db_write(&cx, await_run, &token), OK);
	return token;
}

/* --- races ---- */

struct racer {
	const struct server *node;
	pthread_barrier_t *start;
	struct mfa_completing in;
	struct login_result out;
	enum err got;
};

static enum err
complete_run(struct ctx *cx, void *arg)
{
	struct racer *r = arg;

	return mfa_complete(cx, &r->in, &r->out);
}

static void *
race(void *arg)
{
	struct racer *r = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, r->node);
	pthread_barrier_wait(r->start);
	r->got = db_write(&cx, complete_run, r);
	arena_release(&a);
	return NULL;
}

static void
one_wins(struct two *p, struct racer racers[RACERS], enum err loser)
{
	pthread_t threads[RACERS];
	pthread_barrier_t start;
	int won = 0;

	pthread_barrier_init(&start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		racers[i].node = &p->nodes[i % NODES];
		racers[i].start = &start;
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < RACERS; i++) {
		pthread_join(threads[i], NULL);
		won += racers[i].got == OK;
		/* a deadlock that was given up after three tries is no second winner */
		if (racers[i].got != OK && racers[i].got != loser && racers[i].got != ERR_UNAVAILABLE)
			fail_msg("%s", err_row(racers[i].got)->name);
	}
	pthread_barrier_destroy(&start);
	assert_int_equal(won, 1);
	assert_string_equal(env_sql(p->env, "SELECT count(*) FROM sessions WHERE mfa"), "1");
}

static void
one_step(void **state)
{
	struct two p = two_open();
	struct racer racers[RACERS] = {0};

	(void)state;
	person_begin(&p);
	for (int i = 0; i < RACERS; i++)
		racers[i].in = (struct mfa_completing){.mfa_token = pending(&p), .factor = {.code = code_at(&p, 1)}};
	one_wins(&p, racers, ERR_INVALID_CODE);
	two_close(&p);
}

static void
one_backup_code(void **state)
{
	struct two p = two_open();
	struct racer racers[RACERS] = {0};

	(void)state;
	person_begin(&p);
	for (int i = 0; i < RACERS; i++)
		racers[i].in = (struct mfa_completing){.mfa_token = pending(&p), .factor = {.backup_code = p.codes[3]}};
	one_wins(&p, racers, ERR_INVALID_CODE);
	two_close(&p);
}

static void
one_pending_login(void **state)
{
	struct two p = two_open();
	struct racer racers[RACERS] = {0};

	(void)state;
	person_begin(&p);
	const char *token = pending(&p);
	for (int i = 0; i < RACERS; i++)
		racers[i].in = (struct mfa_completing){.mfa_token = token, .factor = {.backup_code = p.codes[i % 10]}};
	one_wins(&p, racers, ERR_TOKEN_INVALID);
	two_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_step),
		cmocka_unit_test(one_backup_code),
		cmocka_unit_test(one_pending_login),
	};

	return cmocka_run_group_tests_name("identity_mfa_postgres", tests, env_open, env_close);
}
