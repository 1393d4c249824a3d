/*
 * Two nodes in one process on a real PostgreSQL.  Their monotonic clock stands still, so no lease ends and no ticker's second
 * comes: what changes on one because of the other changed by news.
 */
#include "store_env.h"

#include <pthread.h>

#include "core/conf.h"
#include "core/keys.h"
#include "http/stream.h"
#include "identity/session.h"
#include "jobs/jobs.h"
#include "jobs/limits.h"
#include "jobs/nodes.h"
#include "jobs/ticker.h"
#include "notify/live.h"
#include "notify/notify.h"
#include "store/bus.h"

#define USER "01890a5d-ac96-774b-bcce-b302099a8001"
#define SESSION "01890a5d-ac96-774b-bcce-b302099a8002"
#define EVENT "01890a5d-ac96-774b-bcce-b302099a8003"

static int64_t
stands_still(void *arg)
{
	(void)arg;
	return 10 * SECONDS_US;
}

struct two_nodes {
	struct env *env;
	struct server a, b;
};

static void
node_open(struct server *srv, struct env *env)
{
	const char *const variables[] = {"ENV=dev", "SECRET_KEY=0123456789abcdef0123456789abcdef-access",
		"QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes",
		"TOKEN_PEPPER=0123456789abcdef0123456789abcdef-pepper", "MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa",
		"ADMIN_PASSWORD=Correct-Horse-7", arena_printf(&env->arena, "DATABASE_URL=%s", env->url), NULL};
	const char *message = "";

	*srv = env->srv;
	srv->source.monotonic_us = stands_still;
	if (!(srv->conf = conf_load(variables, NULL, &message)) ||
		db_open(&env->arena, &env->options, &srv->store, &message) != OK)
		fail_msg("%s", message);
	srv->keys = keys_open(srv->conf);
	srv->sessions = session_table_open(1000);
	srv->live = live_open();
	nodes_open(srv);
}

static void
node_close(struct server *srv)
{
	nodes_close(srv);
	db_close(srv->store);
	live_close(srv->live);
	session_table_close(srv->sessions);
	keys_close((struct keys *)(uintptr_t)srv->keys);
	conf_free((struct config *)(uintptr_t)srv->conf);
}

/* In place: the buses keep the servers' addresses. */
static void
pair_open(struct two_nodes *p)
{
	p->env = env_make(true,
		"INSERT INTO users (id, email, full_name, role, is_active, mail_decisions, mail_marks, mail_reminders, "
		"created_at,"
		" updated_at) VALUES ('" USER "', 'ada@example.org', 'Ada', 'student', TRUE, TRUE, TRUE, TRUE, now(), now());"
		"INSERT INTO sessions (id, user_id, created_at, login_at, expires_at, last_used_at, ip_address, user_agent, web, "
		"mfa)"
		" VALUES ('" SESSION "', '" USER "', now(), now(), now() + interval '1 day', now(), '', '', FALSE, FALSE)");
	node_open(&p->a, p->env);
	node_open(&p->b, p->env);
}

static void
pair_close(struct two_nodes *p)
{
	node_close(&p->a);
	node_close(&p->b);
	env_free(p->env);
}

/* As a restart of the server, or of what lies between: every bus must connect anew. */
static void
cut_buses(struct two_nodes *p)
{
	(void)env_sql(p->env, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND"
			      " (query LIKE '%clock_timestamp()%' OR query LIKE '%pg_notify%')");
}

/* A write of one function on one node. */
static void
write_on(const struct server *srv, enum err (*fn)(struct ctx *cx, void *arg), void *arg)
{
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, srv);
	if (db_write(&cx, fn, arg) != OK)
		fail_msg("%s", cx.error.internal ? cx.error.internal : "refused");
	arena_release(&a);
}

/* --- sessions ---- */

static enum err
fill_run(struct ctx *cx, void *arg)
{
	struct actor actor;

	return session_fill(cx, arg, &actor);
}

/* Whether the node lets the session in without asking the database. */
static bool
is_known(const struct server *srv)
{
	const struct access_claims claims = {.user_id = {USER}, .session_id = {SESSION}};
	struct actor actor;
	struct arena a;
	struct ctx cx;
	bool miss;

	arena_init(&a);
	ctx_init(&cx, &a, srv);
	enum err e = session_lookup(&cx, &claims, &actor, &miss);
	arena_release(&a);
	return e == OK && !miss;
}

static void
get_known(const struct server *srv)
{
	struct access_claims claims = {.user_id = {USER}, .session_id = {SESSION}};
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, srv);
	assert_int_equal(db_read(&cx, fill_run, &claims), OK);
	arena_release(&a);
	assert_true(is_known(srv));
}

static enum err
end_all(struct ctx *cx, void *arg)
{
	(void)arg;
	return session_end_all(cx, USER, NULL, "logout_all");
}

static void
an_ended_session_is_forgotten_by_the_other(void **state)
{
	struct two_nodes p;

	(void)state;
	pair_open(&p);
	get_known(&p.b);
	write_on(&p.a, end_all, NULL);
	eventually(!is_known(&p.b));
	pair_close(&p);
}

static void
after_a_break_nothing_in_memory_is_trusted(void **state)
{
	struct two_nodes p;

	(void)state;
	pair_open(&p);
	get_known(&p.b);
	(void)env_sql(p.env, "UPDATE sessions SET revoked_at = now()"); /* nobody tells */
	assert_true(is_known(&p.b));
	cut_buses(&p);
	eventually(!is_known(&p.b));
	pair_close(&p);
}

/* --- listeners ---- */

static struct stream *
listen_on(const struct server *srv, enum live_kind kind, const char *topic)
{
	struct live_seat seat = {.kind = kind, .user_id = {USER}, .session_id = {SESSION}, .role = ROLE_STUDENT};
	struct stream *st = stream_new();

	str_copy(seat.topic.text, sizeof(seat.topic.text), topic);
	assert_true(live_join(srv->live, st, &seat, 0));
	return st;
}

static bool
was_sent(struct two_nodes *p, struct stream *st, const char *what)
{
	return strstr(stream_take(st, &p->env->arena), what) != NULL;
}

static enum err
notify_run(struct ctx *cx, void *arg)
{
	return notify_user(cx, USER, &(const struct notification_new){.type = "security", .title = "News", .message = arg});
}

static void
a_listener_hears_of_the_other_node(void **state)
{
	struct two_nodes p;

	(void)state;
	pair_open(&p);
	struct stream *st = listen_on(&p.b, LIVE_ACCOUNT, USER);
	write_on(&p.a, notify_run, (void *)(uintptr_t) "from afar");
	eventually(was_sent(&p, st, "from afar"));
	stream_abandon(st);
	pair_close(&p);
}

static void
a_listener_gets_what_nobody_told(void **state)
{
	struct two_nodes p;
	const uint8_t random[10] = {1};
	struct uuid id = uuid_v7(time_wall_us(), random);

	(void)state;
	pair_open(&p);
	struct stream *st = listen_on(&p.b, LIVE_ACCOUNT, USER);
	(void)env_sql(p.env, arena_printf(&p.env->arena,
				     "INSERT INTO notifications (id, user_id, type, title, message, data, is_read, created_at)"
				     " VALUES ('%s', '" USER "', 'security', 'News', 'while away', '{}', FALSE, now())",
				     id.text));
	cut_buses(&p);
	eventually(was_sent(&p, st, "while away"));
	stream_abandon(st);
	pair_close(&p);
}

static enum err
mark_run(struct ctx *cx, void *arg)
{
	live_mark(cx, arg);
	return OK;
}

static bool
has_changed(struct two_nodes *p)
{
	struct live_event *events;

	return live_events(p->b.live, &p->env->arena, &events) == 1 && events[0].changed;
}

static void
a_screen_looks_again(void **state)
{
	struct two_nodes p;

	(void)state;
	pair_open(&p);
	struct stream *st = listen_on(&p.b, LIVE_EVENT, EVENT);
	assert_false(has_changed(&p));
	write_on(&p.a, mark_run, (void *)(uintptr_t)EVENT);
	eventually(has_changed(&p));
	stream_abandon(st);
	pair_close(&p);
}

/* --- the leader ---- */

struct holding {
	struct lead lead;
	bool holds;
};

static enum err
hold_run(struct ctx *cx, void *arg)
{
	struct holding *h = arg;

	return leader_holds(cx, &h->lead, &h->holds);
}

static bool
holds(const struct server *srv, struct leader *l, int64_t term)
{
	struct holding h = {.lead = {l, term}};

	write_on(srv, hold_run, &h);
	return h.holds;
}

static void
another_claims(struct two_nodes *p)
{
	(void)env_sql(p->env, "UPDATE jobs SET leader = 'another', last_started_at = now() WHERE name = 'leader'");
}

static void
one_leads_and_each_turn_looks_again(void **state)
{
	struct two_nodes p;

	(void)state;
	pair_open(&p);
	struct leader *a = leader_open(&p.a), *b = leader_open(&p.b);
	assert_string_not_equal(leader_name(a), leader_name(b));
	eventually(leader_term(a, &p.a) != 0);
	int64_t first = leader_term(a, &p.a);
	assert_int_equal(leader_term(a, &p.a), first);
	assert_int_equal(leader_term(b, &p.b), 0);
	assert_true(holds(&p.a, a, first));
	assert_false(holds(&p.b, b, first)); /* as one that was stopped, and does not know */
	another_claims(&p);
	assert_false(holds(&p.a, a, first));
	eventually(leader_term(a, &p.a) > first); /* its lock was seen to live since, and it claims again */
	int64_t second = leader_term(a, &p.a);
	assert_false(holds(&p.a, a, first)); /* what was begun before another led in between */
	assert_int_equal(leader_term(a, &p.a), second);
	assert_true(holds(&p.a, a, second));
	nodes_close(&p.a);
	eventually(leader_term(b, &p.b) != 0);
	assert_true(holds(&p.b, b, leader_term(b, &p.b)));
	assert_false(holds(&p.a, a, second));
	leader_close(a);
	leader_close(b);
	pair_close(&p);
}

/* A job that another node claims the lead in the middle of, does and notes. */
static struct two_nodes *robbed;
static enum err robbed_ends;

static enum err
robbed_run(struct ctx *cx, int64_t *ret_rows)
{
	*ret_rows = 1;
	another_claims(robbed);
	(void)env_sql(robbed->env,
		"INSERT INTO jobs (name, last_started_at, last_finished_at, leader) VALUES ('robbed', now(), now(), 'another')");
	return robbed_ends == OK ? OK : fail_internal(cx, robbed_ends, "it went wrong");
}

static void
who_lost_the_lead_meanwhile_notes_nothing(void **state)
{
	static const struct job job = {"robbed", 1, robbed_run, JOBS_OUTSIDE};
	static const enum err ends[] = {OK, ERR_UNAVAILABLE};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct two_nodes p;
		struct arena arena;
		struct ctx cx;
		int64_t rows;

		pair_open(&p);
		robbed = &p;
		robbed_ends = ends[i];
		struct lead lead = {.leader = leader_open(&p.a)};
		eventually((lead.term = leader_term(lead.leader, &p.a)) != 0);
		arena_init(&arena);
		ctx_init(&cx, &arena, &p.a);
		assert_int_equal(job_lead(&cx, &job, &lead, &rows), ends[i]);
		assert_int_equal(rows, 0);
		assert_string_equal(
			env_sql(p.env, "SELECT leader || COALESCE(last_error, '') FROM jobs WHERE name = 'robbed'"), "another");
		assert_int_equal(job_lead(&cx, &job, &lead, &rows), OK); /* not done: its second INSERT would fail */
		arena_release(&arena);
		leader_close(lead.leader);
		pair_close(&p);
	}
}

/* --- limits ---- */

static enum err
limit_run(struct ctx *cx, void *arg)
{
	return limits_set(cx, "RL_MARK_ACCOUNT_LIMIT", *(const int64_t *)arg);
}

static void
limits_reach_the_other_node(void **state)
{
	struct two_nodes p;

	(void)state;
	pair_open(&p);
	struct limits *limits = limits_open((struct config *)(uintptr_t)p.b.conf);
	const conf_int_live *now = &p.b.conf->rl_mark_account_limit;
	int64_t configured = conf_live(now), seven = 7, none = FIELD_NONE;
	struct ticker *ticker = ticker_open(&p.b, limits);
	write_on(&p.a, limit_run, &seven);
	eventually(conf_live(now) == 7);
	write_on(&p.a, limit_run, &none);
	eventually(conf_live(now) == configured);
	ticker_close(ticker);
	limits_close(limits);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ended_session_is_forgotten_by_the_other),
		cmocka_unit_test(after_a_break_nothing_in_memory_is_trusted),
		cmocka_unit_test(a_listener_hears_of_the_other_node),
		cmocka_unit_test(a_listener_gets_what_nobody_told),
		cmocka_unit_test(a_screen_looks_again),
		cmocka_unit_test(one_leads_and_each_turn_looks_again),
		cmocka_unit_test(who_lost_the_lead_meanwhile_notes_nothing),
		cmocka_unit_test(limits_reach_the_other_node),
	};

	return cmocka_run_group_tests(tests, env_open, env_close);
}
