/*
 * Everything that is good once, wanted by 64 threads at the same moment, on both engines: one gets it.  On SQLite one writer
 * takes turns; on PostgreSQL three nodes' transactions overlap, and the row has to decide.  The clock stands still, so no step
 * and no grace ends while a race runs.
 */
#include "store_env.h"

#include "oidc_env.h"
#include "mfa_env.h"

#include "identity/approval.h"
#include "identity/lockout.h"
#include "identity/mfa.h"
#include "identity/oauth_parts.h"
#include "identity/reset.h"
#include "identity/secret.h"

enum { RACERS = 64, NODES_MAX = 3, WRITERS_EACH = 2 };

struct course;
struct racer {
	struct course *course;
	const struct server *node;
	int number;
	const char *secret, *also; /* what it wants to spend, and what else is needed */
	enum err got;
	char out[100], why[200];
};

struct race {
	const char *name;
	void (*prepare)(struct course *c);
	enum err (*try)(struct ctx *cx, struct racer *r);
	int winners;
	enum err loser;
	struct trace {
		const char *sql; /* what the winner alone leaves behind */
		int64_t count;
	} traces[4];
	enum err loser_too; /* where two secrets are spent, either may be found gone first */
	const char *policy; /* of signups; NULL: open */
};

struct course {
	const struct race *race;
	struct test *t;
	struct server nodes[NODES_MAX];
	int n_nodes;
	struct test_user user;
	struct list codes; /* for a second factor that was lost */
	struct racer racers[RACERS];
	pthread_barrier_t start;
};

/* --- nodes ---- */

static struct course *
course_open(const struct race *race, bool pg)
{
	struct course *c = calloc(1, sizeof(*c));
	char url[512];

	assert_non_null(c);
	(void)snprintf(url, sizeof(url), "postgresql:///postgres?host=%s/pg&user=muster", env_dir);
	assert_int_equal(setenv("MUSTER_TEST_DATABASE_URL", pg ? url : "", 1), 0);
	c->race = race;
	c->t = test_open(TEST_CONF("OAUTH_PROVIDERS=campus", "OAUTH_CAMPUS_ISSUER=" ISSUER, "OAUTH_CAMPUS_CLIENT_ID=" CLIENT,
		"OAUTH_CAMPUS_CLIENT_SECRET=s", "OAUTH_CAMPUS_REDIRECT_URI=https://attend.example.org/cb",
		race->policy ? race->policy : "SIGNUP_POLICY=open",
		"SINGLE_DEVICE=false", "LOGIN_FAIL_EMAIL_THRESHOLD=1000", "LOGIN_FAIL_IP_THRESHOLD=1000"));
	c->t->srv.oidc = oidc_open(c->t->srv.conf);
	idp_reset(c->t);
	c->n_nodes = pg ? NODES_MAX : 1;
	c->nodes[0] = c->t->srv;
	for (int i = 1; i < c->n_nodes; i++) {
		const struct db_options options = {
			.url = c->t->srv.conf->database_url, .writers = WRITERS_EACH, .readers = 2, .cache_mb = 8};
		const char *message = "";
		c->nodes[i] = c->t->srv;
		if (db_open(&c->t->arena, &options, &c->nodes[i].store, &message) != OK)
			fail_msg("%s", message);
		c->nodes[i].sessions = session_table_open(1000);
	}
	assert_string_equal(db_engine_name(c->t->srv.store), pg ? "postgresql" : "sqlite");
	c->user = test_user_named(c->t, ROLE_STUDENT, "person@example.org", "Per Son");
	return c;
}

static void
course_close(struct course *c)
{
	for (int i = 1; i < c->n_nodes; i++) {
		db_close(c->nodes[i].store);
		session_table_close(c->nodes[i].sessions);
	}
	oidc_close(c->t->srv.oidc);
	test_close(c->t);
	free(c);
}

static void
begin_ctx(struct ctx *cx, struct arena *a, const struct server *node, const struct actor *actor)
{
	static const struct client client = {.request_id = "", .ip = "192.0.2.1", .user_agent = ""};

	ctx_init(cx, a, node);
	cx->client = &client;
	cx->actor = actor;
}

/* One thing done before the race, by the account's owner. */
static void
do_once(struct course *c, enum err (*run)(struct ctx *cx, struct racer *r), struct racer *r)
{
	struct ctx cx;

	begin_ctx(&cx, &c->t->arena, &c->nodes[0], &c->user.actor);
	r->course = c;
	enum err e = run(&cx, r);
	if (e != OK)
		fail_msg("%s: %s at %s:%d", c->race->name, err_row(e)->name, cx.error.file, cx.error.line);
}

static void
all_want(struct course *c, const char *secret, const char *also)
{
	for (int i = 0; i < RACERS; i++) {
		c->racers[i].secret = secret;
		c->racers[i].also = also;
	}
}

/* --- the race ---- */

static void *
racer_run(void *arg)
{
	struct racer *r = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	begin_ctx(&cx, &a, r->node, NULL);
	pthread_barrier_wait(&r->course->start);
	r->got = r->course->race->try(&cx, r);
	str_copy(r->why, sizeof(r->why), cx.error.internal ? cx.error.internal : "");
	arena_release(&a);
	return NULL;
}

static void
run_all(struct course *c)
{
	pthread_t threads[RACERS];

	pthread_barrier_init(&c->start, NULL, RACERS);
	for (int i = 0; i < RACERS; i++) {
		c->racers[i].course = c;
		c->racers[i].node = &c->nodes[i % c->n_nodes];
		c->racers[i].number = i;
		assert_int_equal(pthread_create(&threads[i], NULL, racer_run, &c->racers[i]), 0);
	}
	for (int i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&c->start);
}

static void
judge(struct course *c)
{
	const struct race *race = c->race;
	const struct racer *first = NULL;
	int won = 0;

	for (int i = 0; i < RACERS; i++) {
		const struct racer *r = &c->racers[i];
		if (r->got != OK && r->got != race->loser && r->got != race->loser_too)
			fail_msg("%s: %s %s", race->name, err_row(r->got)->name, r->why);
		if (r->got != OK)
			continue;
		won++;
		first = first ? first : r;
		assert_string_equal(r->out, first->out);
	}
	if (won != race->winners)
		fail_msg("%s: %d winners", race->name, won);
	for (const struct trace *t = race->traces; t->sql; t++)
		if (count(c->t, t->sql) != t->count)
			fail_msg("%s: %lld of: %s", race->name, (long long)count(c->t, t->sql), t->sql);
}

/* --- refresh token ---- */

static enum err
refresh_write(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	struct account who;
	struct tokens tokens;

	TRY(session_refresh(cx, r->secret, &who, &tokens));
	str_copy(r->out, sizeof(r->out), tokens.refresh_token);
	return OK;
}

static enum err
refresh_try(struct ctx *cx, struct racer *r)
{
	return db_write(cx, refresh_write, r);
}

static void
refresh_prepare(struct course *c)
{
	all_want(c, c->user.refresh_token, NULL);
}

/* --- links by mail and from a provider ---- */

static enum err
issue_write(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const char *secret;

	TRY(secret_issue(cx,
		&(const struct secret_new){.purpose = r->secret,
			.user_id = r->course->user.id.text,
			.binding = r->also,
			.data = "{\"provider\":\"campus\",\"issuer\":\"" ISSUER
				"\",\"subject\":\"s\",\"email\":\"p@example.org\"}",
			.life_us = MINUTES_US},
		&secret));
	str_copy(r->out, sizeof(r->out), secret);
	return OK;
}

static enum err
issue(struct ctx *cx, struct racer *r)
{
	return db_write(cx, issue_write, r);
}

static void
issue_for_all(struct course *c, const char *purpose, const char *binding)
{
	struct racer made = {.secret = purpose, .also = binding};

	do_once(c, issue, &made);
	all_want(c, arena_strdup(&c->t->arena, made.out), binding);
}

static void
reset_prepare(struct course *c)
{
	issue_for_all(c, "password_reset", NULL);
}

static enum err
reset_try(struct ctx *cx, struct racer *r)
{
	return reset_confirm(cx, r->secret, arena_printf(cx->arena, "Another-Horse-%d", r->number));
}

static void
link_prepare(struct course *c)
{
	issue_for_all(c, "oauth_link", "browser");
}

static enum err
link_try(struct ctx *cx, struct racer *r)
{
	const struct oauth_linking in = {.link_token = r->secret, .password = TEST_PASSWORD, .binding = r->also};
	struct login_result ignored;

	return oauth_link(cx, &in, &ignored);
}

/* --- a provider's answer ---- */

static enum err
state_begin(struct ctx *cx, struct racer *r)
{
	struct oauth_started s;

	TRY(oauth_start(cx, &(const struct oauth_starting){.provider = "campus"}, &s));
	str_copy(idp.challenge, sizeof(idp.challenge), query_member(r->course->t, s.authorization_url, "code_challenge"));
	str_copy(idp.nonce_sent, sizeof(idp.nonce_sent), query_member(r->course->t, s.authorization_url, "nonce"));
	all_want(r->course, s.state, s.binding);
	return OK;
}

static void
state_prepare(struct course *c)
{
	struct racer ignored = {0};

	idp.email = "new@example.org";
	do_once(c, state_begin, &ignored);
}

static enum err
state_try(struct ctx *cx, struct racer *r)
{
	const struct oauth_answer in = {.provider = "campus", .code = "the-code", .state = r->secret, .binding = r->also};
	struct oauth_entry ignored;

	return oauth_callback(cx, &in, &ignored);
}

/* --- second factor ---- */

static enum err
verify_write(struct ctx *cx, void *arg)
{
	struct racer *r = arg;

	return mfa_verify(cx, r->secret, &r->course->codes);
}

static enum err
enrol(struct ctx *cx, struct racer *r)
{
	struct mfa_setup made;

	TRY(mfa_setup(cx, NULL, NULL, &made));
	r->also = made.secret;
	r->secret = app_code(r->course->t, made.secret, 0);
	return db_write(cx, verify_write, r);
}

static enum err
await_write(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	int64_t life_s;

	return mfa_await(cx, r->course->user.id.text, "password", &r->also, &life_s);
}

static enum err
await(struct ctx *cx, struct racer *r)
{
	return db_write(cx, await_write, r);
}

static const char *
backup_code(const struct course *c, int n)
{
	const char **codes = c->codes.items;

	return codes[n % (int)c->codes.count];
}

/* Each has a login of its own that awaits the factor; they all show the same one. */
static void
step_prepare(struct course *c)
{
	struct racer made = {0};

	do_once(c, enrol, &made);
	for (int i = 0; i < RACERS; i++) {
		do_once(c, await, &c->racers[i]);
		c->racers[i].secret = app_code(c->t, made.also, 1);
	}
}

static void
backup_prepare(struct course *c)
{
	step_prepare(c);
	for (int i = 0; i < RACERS; i++)
		c->racers[i].secret = backup_code(c, 3);
}

/* The other way round: one pending login, and ten codes that are good; who shows the winner's code finds that one spent. */
static void
pending_prepare(struct course *c)
{
	struct racer made = {0};

	do_once(c, enrol, &made);
	do_once(c, await, &made);
	for (int i = 0; i < RACERS; i++) {
		c->racers[i].secret = backup_code(c, i);
		c->racers[i].also = made.also;
	}
}

static enum err
complete_write(struct ctx *cx, void *arg)
{
	const struct racer *r = arg;
	bool step = strlen(r->secret) == 6;
	const struct mfa_completing in = {
		.mfa_token = r->also, .factor = {.code = step ? r->secret : NULL, .backup_code = step ? NULL : r->secret}};
	struct login_result ignored;

	return mfa_complete(cx, &in, &ignored);
}

static enum err
complete_try(struct ctx *cx, struct racer *r)
{
	return db_write(cx, complete_write, r);
}

/* --- approval ---- */

static enum err
signup_write(struct ctx *cx, void *arg)
{
	struct racer *r = arg;
	const struct signup in = {"new@example.org", "New", "$2b$04$x", ROLE_STUDENT, 3 * MINUTES_US};
	struct signup_result made;

	TRY(approval_signup(cx, &in, &made));
	str_copy(r->out, sizeof(r->out), made.approval_request_id.text);
	return OK;
}

static enum err
sign_up(struct ctx *cx, struct racer *r)
{
	return db_write(cx, signup_write, r);
}

static void
decision_prepare(struct course *c)
{
	struct racer made = {0};

	do_once(c, sign_up, &made);
	all_want(c, arena_strdup(&c->t->arena, made.out), NULL);
}

static enum err
decide_write(struct ctx *cx, void *arg)
{
	const struct racer *r = arg;
	struct approval_decision in = {.approve = r->number % 2};
	struct approval_decided ignored;

	str_copy(in.id.text, sizeof(in.id.text), r->secret);
	return approval_decide(cx, &in, &ignored);
}

static enum err
decision_try(struct ctx *cx, struct racer *r)
{
	return db_write(cx, decide_write, r);
}

/* --- the table ---- */

#define AUDITED(action) "SELECT count(*) FROM audit_logs WHERE result = 'success' AND action LIKE '" action "'"
#define SPENT(purpose, is) "SELECT count(*) FROM one_time_secrets WHERE purpose = '" purpose "' AND used_at " is
#define FACTOR_SESSIONS "SELECT count(*) FROM sessions WHERE mfa"

static const struct race races[] = {
	{"refresh token", refresh_prepare, refresh_try, RACERS, OK,
		{{"SELECT count(*) FROM refresh_tokens WHERE used_at IS NOT NULL", 1},
			{"SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL", 1},
			{"SELECT count(*) FROM sessions WHERE revoked_at IS NULL", 1}}},
	{"password reset", reset_prepare, reset_try, 1, ERR_TOKEN_INVALID, {{AUDITED("password_reset"), 1}}},
	{"backup code", backup_prepare, complete_try, 1, ERR_INVALID_CODE,
		{{FACTOR_SESSIONS, 1}, {SPENT("mfa_backup", "IS NULL"), 9}}},
	{"TOTP step", step_prepare, complete_try, 1, ERR_INVALID_CODE, {{FACTOR_SESSIONS, 1}, {AUDITED("login"), 1}}},
	{"OAuth state", state_prepare, state_try, 1, ERR_TOKEN_INVALID,
		{{AUDITED("login"), 1}, {AUDITED("oauth_linked"), 1}, {SPENT("oauth_state", "IS NOT NULL"), 1}}},
	{"pending login", pending_prepare, complete_try, 1, ERR_TOKEN_INVALID,
		{{FACTOR_SESSIONS, 1}, {SPENT("mfa_backup", "IS NULL"), 9}}, ERR_INVALID_CODE},
	{"link token", link_prepare, link_try, 1, ERR_TOKEN_INVALID,
		{{"SELECT count(*) FROM oauth_identities", 1}, {AUDITED("oauth_linked"), 1},
			{"SELECT count(*) FROM sessions WHERE NOT mfa", 2}}}, /* the one before the race, and the winner's */
	{"approval decision", decision_prepare, decision_try, 1, ERR_ALREADY_DECIDED,
		{{AUDITED("approval_%"), 1}, {"SELECT count(*) FROM approval_requests WHERE status <> 'pending'", 1}}},
};

static void
run_race(const struct race *race, bool pg)
{
	struct course *c = course_open(race, pg);

	idp.exchanges = 0;
	race->prepare(c);
	run_all(c);
	judge(c);
	assert_true(idp.exchanges <= 1); /* a provider's code is spent by the one whose state was good */
	course_close(c);
}

static void
on_sqlite(void **state)
{
	run_race(*state, false);
}

static void
on_postgres(void **state)
{
	run_race(*state, true);
}

/* --- an address that is taken between two looks: one transaction stands still until the other waits for it ---- */

static const struct race meetings[] = {
	{.name = "new address, at once"}, {.name = "new address, by approval", .policy = "SIGNUP_POLICY=approval"}};

struct owner {
	struct course *course;
	atomic_bool here;
	enum err got;
};

static enum err
owner_write(struct ctx *cx, void *arg)
{
	static const struct account_new account = {
		.email = "new@example.org", .full_name = "Owner", .role = ROLE_STUDENT, .is_active = true};
	const struct timespec pause = {.tv_nsec = 1000000};
	struct owner *o = arg;
	struct racer ignored;
	struct uuid id;

	TRY(o->course->race->policy ? signup_write(cx, &ignored) : account_insert(cx, &account, &id));
	atomic_store(&o->here, true);
	for (int ms = 0; count(o->course->t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 0; ms++) {
		if (ms == 10000)
			return fail_internal(cx, ERR_INTERNAL, "nobody came");
		(void)nanosleep(&pause, NULL);
	}
	return OK;
}

static void *
owner_thread(void *arg)
{
	struct owner *o = arg;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	begin_ctx(&cx, &a, &o->course->nodes[0], NULL);
	o->got = db_write(&cx, owner_write, o);
	atomic_store(&o->here, true);
	arena_release(&a);
	return NULL;
}

static enum err
stranger_write(struct ctx *cx, void *arg)
{
	const struct oauth_answer in = {.provider = "campus", .binding = "browser"};
	const struct oauth_person p = {
		.provider = "campus", .claims = {.issuer = ISSUER, .subject = "stranger", .email = "new@example.org"}};

	return oauth_arrive(cx, &in, &p, arg);
}

static void
a_stranger_gets_no_link_to_an_account_of_this_moment(void **state)
{
	struct course *c = course_open(*state, true);
	struct owner o = {.course = c};
	struct oauth_entry ignored;
	pthread_t thread;
	struct ctx cx;

	assert_int_equal(pthread_create(&thread, NULL, owner_thread, &o), 0);
	while (!atomic_load(&o.here))
		sched_yield();
	begin_ctx(&cx, &c->t->arena, &c->nodes[1], NULL);
	enum err got = db_write(&cx, stranger_write, &ignored);
	pthread_join(thread, NULL);
	assert_int_equal(o.got, OK);
	assert_int_equal(count(c->t, "SELECT count(*) FROM oauth_identities"), 0);
	assert_string_equal(err_row(got)->name, err_row(ERR_LINK_REQUIRED)->name);
	course_close(c);
}

int
main(void)
{
	enum { N = sizeof(races) / sizeof(races[0]) };
	static char names[2 * N][60];
	struct CMUnitTest tests[2 * N + 2];

	for (size_t i = 0; i < 2 * (size_t)N; i++) {
		const struct race *race = &races[i / 2];
		(void)snprintf(names[i], sizeof(names[i]), "%s [%s]", race->name, i % 2 ? "postgresql" : "sqlite");
		tests[i] = (struct CMUnitTest){
			.name = names[i], .test_func = i % 2 ? on_postgres : on_sqlite, .initial_state = (void *)(uintptr_t)race};
	}
	for (size_t i = 0; i < 2; i++)
		tests[2 * N + i] = (struct CMUnitTest){.name = meetings[i].name,
			.test_func = a_stranger_gets_no_link_to_an_account_of_this_moment,
			.initial_state = (void *)(uintptr_t)&meetings[i]};
	return cmocka_run_group_tests_name("identity_race", tests, env_open, env_close);
}
