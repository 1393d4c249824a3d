/* Signup with approval: decoys, second tries, one decision, time-out. */
#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "identity/approval.h"
#include "identity/password.h"

struct signing {
	struct test *t;
	struct signup in;
	struct signup_result out;
	enum err result;
};

static enum err
signup_run(struct ctx *cx, void *arg)
{
	struct signing *s = arg;

	return approval_signup(cx, &s->in, &s->out);
}

static void *
signup_thread(void *arg)
{
	struct signing *s = arg;

	s->result = test_write(s->t, signup_run, s);
	return NULL;
}

static struct signup_result
sign_up(struct test *t, const char *email, const char *name)
{
	struct signing s = {.t = t, .in = {email, name, "$2b$04$x", ROLE_STUDENT, 3 * MINUTES_US}};

	signup_thread(&s);
	assert_int_equal(s.result, OK);
	return s.out;
}

static struct approval_status
status_of(struct test *t, const char *id)
{
	struct approval_status s = {.status = "none"};
	struct ctx cx;

	test_ctx(t, &cx);
	cx.db = db_reader_open(t->srv.store);
	enum err e = approval_status(&cx, id, &s);
	db_reader_close(cx.db);
	assert_true(e == OK || e == ERR_NOT_FOUND);
	return s;
}

struct deciding {
	struct test *t;
	const struct actor *by;
	struct approval_decision in;
	struct approval_decided out;
	enum err result;
};

static enum err
decide_run(struct ctx *cx, void *arg)
{
	struct deciding *d = arg;

	cx->actor = d->by;
	return approval_decide(cx, &d->in, &d->out);
}

static void *
decide_thread(void *arg)
{
	struct deciding *d = arg;

	d->result = test_write(d->t, decide_run, d);
	return NULL;
}

static enum err
decide(struct test *t, struct uuid id, bool approve, enum role role)
{
	struct deciding d = {.t = t, .in = {.id = id, .approve = approve, .role = role}};

	decide_thread(&d);
	return d.result;
}

static enum err
expire_run(struct ctx *cx, void *arg)
{
	return approval_expire(cx, arg);
}

static int64_t
expire(struct test *t)
{
	struct ctx cx;
	int64_t rows;

	test_ctx(t, &cx);
	assert_int_equal(db_write_bulk(&cx, expire_run, &rows), OK);
	return rows;
}

static void
new_address(void **state)
{
	struct test *t = *state;
	struct test_user admin = test_user(t, ROLE_ADMIN);
	struct signup_result r = sign_up(t, "ada@example.org", "Ada");
	struct approval_status s = status_of(t, r.approval_request_id.text);

	assert_string_equal(s.status, "pending");
	assert_int_equal(s.time_remaining_seconds, 180);
	assert_int_equal(s.expires_at, TEST_START_US + 3 * MINUTES_US);
	assert_int_equal(r.expires_at, s.expires_at);
	assert_string_equal(sql_text(t, "SELECT role || CASE WHEN is_active THEN 1 ELSE 0 END FROM users WHERE email = 'ada@example.org'"), "student0");
	assert_int_equal(
		count(t, arena_printf(&t->arena, "SELECT count(*) FROM notifications WHERE type = 'signup' AND user_id = '%s'",
				 admin.id.text)),
		1);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'signup' AND result = 'success'"), 1);
	assert_int_equal(count(t, "SELECT count(*) FROM outbox"), 0);
}

/* Active, pending or closed: the answer is that of a new address, while its owner gets a mail and keeps name and password. */
static void
taken_address(void **state)
{
	static const char *const emails[] = {"active@example.org", "closed@example.org", "pending@example.org"};
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "active@example.org", "Owner");
	test_user_named(t, ROLE_STUDENT, "closed@example.org", "Owner");
	sql_run(t, "UPDATE users SET is_active = 0, disabled_at = created_at WHERE email = 'closed@example.org'");
	sign_up(t, "pending@example.org", "Owner");
	const char *before = sql_text(t, "SELECT group_concat(email || full_name || password_hash || role) FROM users");
	for (size_t i = 0; i < 3; i++) {
		struct signup_result fresh = sign_up(t, arena_printf(&t->arena, "new%zu@example.org", i), "New");
		struct signup_result decoy = sign_up(t, emails[i], "Thief");
		struct approval_status a = status_of(t, fresh.approval_request_id.text),
				       b = status_of(t, decoy.approval_request_id.text);
		assert_int_equal(fresh.expires_at, decoy.expires_at);
		assert_string_equal(a.status, b.status);
		assert_int_equal(a.expires_at, b.expires_at);
		assert_int_equal(a.time_remaining_seconds, b.time_remaining_seconds);
		assert_string_equal(b.id.text, decoy.approval_request_id.text);
		assert_int_equal(
			uuid_v7_time_us(fresh.approval_request_id.text), uuid_v7_time_us(decoy.approval_request_id.text));
		assert_int_equal(decoy.approval_request_id.text[14], '7');
		assert_non_null(strchr("89ab", decoy.approval_request_id.text[19]));
		assert_int_equal(
			count(t, arena_printf(&t->arena,
					 "SELECT count(*) FROM outbox WHERE recipient = '%s' AND template = 'signup_taken'",
					 emails[i])),
			1);
		assert_int_equal(count(t, arena_printf(&t->arena, "SELECT count(*) FROM approval_requests WHERE id = '%s'",
						  decoy.approval_request_id.text)),
			0);
	}
	assert_string_equal(sql_text(t, "SELECT group_concat(email || full_name || password_hash || role) FROM users"
					" WHERE email NOT LIKE 'new%'"),
		before);
}

static void
decoy_ages_like_a_request(void **state)
{
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "taken@example.org", "Owner");
	test_advance(t, 1234567); /* not on a whole millisecond */
	struct signup_result fresh = sign_up(t, "new@example.org", "New"), decoy = sign_up(t, "taken@example.org", "X");
	const int64_t steps[] = {0, SECONDS_US, 90 * SECONDS_US, 88 * SECONDS_US, 998 * 1000, 432, 1, SECONDS_US, DAYS_US};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		test_advance(t, steps[i]);
		struct approval_status a = status_of(t, fresh.approval_request_id.text),
				       b = status_of(t, decoy.approval_request_id.text);
		assert_string_equal(a.status, b.status);
		assert_int_equal(a.expires_at, b.expires_at);
		assert_int_equal(a.time_remaining_seconds, b.time_remaining_seconds);
	}
	assert_string_equal(status_of(t, decoy.approval_request_id.text).status, "timeout");
	/* any other id is nobody's, however near */
	for (int i = 0; i < 36; i++) {
		struct uuid id = decoy.approval_request_id;
		if (i == 14 || i == 19 || id.text[i] == '-')
			continue;
		id.text[i] = id.text[i] == '0' ? '1' : '0';
		assert_string_equal(status_of(t, id.text).status, "none");
	}
	assert_string_equal(status_of(t, "nonsense").status, "none");
}

static void
mails_to_one_address_are_bounded(void **state)
{
	struct test *t = *state;

	test_user_named(t, ROLE_STUDENT, "taken@example.org", "Owner");
	for (int i = 0; i < 20; i++)
		assert_string_equal(
			status_of(t, sign_up(t, "taken@example.org", "X").approval_request_id.text).status, "pending");
	assert_int_equal(count(t, "SELECT count(*) FROM outbox"), 3);
}

static void
approved_and_rejected(void **state)
{
	struct test *t = *state;
	struct signup_result a = sign_up(t, "a@example.org", "A"), b = sign_up(t, "b@example.org", "B"),
			     c = sign_up(t, "c@example.org", "C");

	assert_int_equal(decide(t, a.approval_request_id, true, ROLE_UNSET), OK);
	sql_run(t, "UPDATE users SET mail_decisions = 0 WHERE email = 'b@example.org'");
	assert_int_equal(decide(t, b.approval_request_id, true, ROLE_REVIEWER), OK);
	assert_int_equal(decide(t, c.approval_request_id, false, ROLE_UNSET), OK);
	assert_string_equal(sql_text(t, "SELECT group_concat(role || CASE WHEN is_active THEN 1 ELSE 0 END) FROM (SELECT * FROM users ORDER BY email) u"),
		"student1,reviewer1,student0");
	assert_string_equal(status_of(t, a.approval_request_id.text).status, "approved");
	assert_string_equal(status_of(t, c.approval_request_id.text).status, "rejected");
	assert_int_equal(decide(t, a.approval_request_id, false, ROLE_UNSET), ERR_ALREADY_DECIDED);
	assert_int_equal(decide(t, c.approval_request_id, true, ROLE_UNSET), ERR_ALREADY_DECIDED);
	struct uuid unknown = {"00000000-0000-7000-8000-000000000000"};
	assert_int_equal(decide(t, unknown, true, ROLE_UNSET), ERR_NOT_FOUND);
	assert_int_equal(count(t, "SELECT count(*) FROM notifications WHERE type = 'decision'"), 3);
	assert_string_equal(
		sql_text(t, "SELECT group_concat(mail) FROM (SELECT recipient || ' ' || template || ' ' || data AS mail FROM outbox"
			    " WHERE template = 'decision' ORDER BY recipient) o"),
		"a@example.org decision {\"name\":\"A\",\"title\":\"Your account was approved\",\"message\":\"You can sign in now.\"},"
		"c@example.org decision {\"name\":\"C\",\"title\":\"Your account was not approved\",\"message\":\"It was rejected.\"}");
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'approval_approved'"), 2);
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'approval_rejected'"), 1);
}

/* Made an administrator by hand while the request waited: whoever approves that later demotes nobody. */
static void
an_active_account_keeps_its_role(void **state)
{
	struct test *t = *state;
	struct signup_result a = sign_up(t, "a@example.org", "A");

	sql_run(t, "UPDATE users SET role = 'admin', is_active = 1");
	assert_int_equal(decide(t, a.approval_request_id, true, ROLE_UNSET), OK);
	assert_string_equal(sql_text(t, "SELECT role FROM users"), "admin");
	assert_string_equal(status_of(t, a.approval_request_id.text).status, "approved");
}

static void
one_decider_wins(void **state)
{
	enum { DECIDERS = 8 };
	struct test *t = *state;

	for (int round = 0; round < 5; round++) {
		struct deciding d[DECIDERS];
		pthread_t threads[DECIDERS];
		int won = 0, approved = 0;
		struct signup_result r = sign_up(t, arena_printf(&t->arena, "r%d@example.org", round), "R");
		for (int i = 0; i < DECIDERS; i++) {
			d[i] = (struct deciding){
				.t = t, .in = {.id = r.approval_request_id, .approve = i % 2, .rejection_reason = "no"}};
			pthread_create(&threads[i], NULL, decide_thread, &d[i]);
		}
		for (int i = 0; i < DECIDERS; i++) {
			pthread_join(threads[i], NULL);
			won += d[i].result == OK;
			approved += d[i].result == OK && d[i].in.approve;
			assert_true(d[i].result == OK || d[i].result == ERR_ALREADY_DECIDED);
		}
		assert_int_equal(won, 1);
		assert_int_equal(
			count(t, arena_printf(&t->arena, "SELECT is_active FROM users WHERE email = 'r%d@example.org'", round)),
			approved);
	}
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action LIKE 'approval_%'"), 5);
}

static void
times_out(void **state)
{
	struct test *t = *state;
	struct signup_result r = sign_up(t, "a@example.org", "A");

	assert_int_equal(expire(t), 0);
	test_advance(t, 3 * MINUTES_US - 1);
	assert_int_equal(expire(t), 0);
	assert_string_equal(status_of(t, r.approval_request_id.text).status, "pending");
	assert_int_equal(status_of(t, r.approval_request_id.text).time_remaining_seconds, 1);
	test_advance(t, 1);
	assert_string_equal(status_of(t, r.approval_request_id.text).status, "timeout"); /* also before the job */
	assert_int_equal(decide(t, r.approval_request_id, true, ROLE_UNSET), ERR_APPROVAL_EXPIRED);
	assert_int_equal(expire(t), 1);
	assert_int_equal(expire(t), 0);
	assert_int_equal(decide(t, r.approval_request_id, true, ROLE_UNSET), ERR_APPROVAL_EXPIRED);
	assert_string_equal(sql_text(t, "SELECT status FROM approval_requests"), "timeout");
	assert_int_equal(count(t, "SELECT count(*) FROM audit_logs WHERE action = 'approval_timeout' AND actor_id IS NULL"), 1);
	for (int i = 0; i < BULK_TURN_ROWS + 5; i++)
		sign_up(t, arena_printf(&t->arena, "x%d@example.org", i), "X");
	test_advance(t, 3 * MINUTES_US);
	assert_int_equal(expire(t), BULK_TURN_ROWS);
	assert_int_equal(expire(t), 5);
}

static void
may_try_again(void **state)
{
	struct test *t = *state;
	struct signup_result first = sign_up(t, "a@example.org", "First"), second, third;

	test_advance(t, 3 * MINUTES_US);
	second = sign_up(t, "a@example.org", "Second");
	assert_int_equal(count(t, "SELECT count(*) FROM users"), 1);
	assert_string_equal(sql_text(t, "SELECT full_name FROM users"), "Second");
	assert_int_equal(count(t, arena_printf(&t->arena, "SELECT attempts FROM approval_requests WHERE id = '%s'",
					  second.approval_request_id.text)),
		2);
	assert_string_equal(status_of(t, first.approval_request_id.text).status, "timeout");
	assert_int_equal(decide(t, first.approval_request_id, true, ROLE_UNSET), ERR_APPROVAL_EXPIRED);
	assert_int_equal(decide(t, second.approval_request_id, false, ROLE_UNSET), OK);
	third = sign_up(t, "a@example.org", "Third");
	assert_int_equal(decide(t, third.approval_request_id, true, ROLE_UNSET), OK);
	assert_int_equal(count(t, "SELECT is_active FROM users"), 1);
	sign_up(t, "a@example.org", "Fourth");
	assert_string_equal(sql_text(t, "SELECT full_name FROM users"), "Third");
}

static void
one_address_many_threads(void **state)
{
	enum { SIGNUPS = 16 };
	struct test *t = *state;
	struct signing s[SIGNUPS];
	pthread_t threads[SIGNUPS];

	for (int round = 1; round <= 2; round++) {
		for (int i = 0; i < SIGNUPS; i++) {
			s[i] = (struct signing){.t = t, .in = {"a@example.org", "A", "$2b$04$x", ROLE_STUDENT, 3 * MINUTES_US}};
			pthread_create(&threads[i], NULL, signup_thread, &s[i]);
		}
		for (int i = 0; i < SIGNUPS; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(s[i].result, OK);
			assert_string_equal(status_of(t, s[i].out.approval_request_id.text).status, "pending");
		}
		assert_int_equal(count(t, "SELECT count(*) FROM users"), 1);
		assert_int_equal(count(t, "SELECT count(*) FROM approval_requests"), round);
		test_advance(t, 3 * MINUTES_US);
	}
}

static int64_t
listed(struct test *t, int status, int64_t *ret_total)
{
	struct ctx cx;
	struct list rows;

	test_ctx(t, &cx);
	cx.db = db_reader_open(t->srv.store);
	assert_int_equal(approval_list(&cx, status, 1, 20, &rows, ret_total), OK);
	for (size_t i = 0; i < rows.count; i++) {
		const struct approval_row *r = (const struct approval_row *)rows.items + i;
		if (status)
			assert_string_equal(r->status, approval_statuses[status]);
		assert_int_equal(r->time_remaining_seconds > 0, str_eq(r->status, "pending"));
	}
	db_reader_close(cx.db);
	return (int64_t)rows.count;
}

static void
list_shows_what_holds_now(void **state)
{
	struct test *t = *state;
	struct signup_result a = sign_up(t, "a@example.org", "A"), b;
	int64_t total;

	sign_up(t, "late@example.org", "L");
	test_advance(t, MINUTES_US);
	b = sign_up(t, "b@example.org", "B");
	sign_up(t, "open@example.org", "O");
	assert_int_equal(decide(t, a.approval_request_id, true, ROLE_UNSET), OK);
	assert_int_equal(decide(t, b.approval_request_id, false, ROLE_UNSET), OK);
	assert_int_equal(listed(t, 1, &total), 2);
	test_advance(t, 2 * MINUTES_US);
	const int64_t want[] = {4, 1, 1, 1, 1}; /* all, pending, approved, rejected, timeout: before and after the job */
	for (int k = 0; k < 2; k++) {
		for (int status = 0; status < 5; status++) {
			assert_int_equal(listed(t, status, &total), want[status]);
			assert_int_equal(total, want[status]);
		}
		assert_int_equal(expire(t), k == 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(new_address),
		STANDARD(taken_address),
		STANDARD(decoy_ages_like_a_request),
		STANDARD(mails_to_one_address_are_bounded),
		STANDARD(approved_and_rejected),
		STANDARD(an_active_account_keeps_its_role),
		STANDARD(one_decider_wins),
		STANDARD(times_out),
		STANDARD(may_try_again),
		STANDARD(one_address_many_threads),
		STANDARD(list_shows_what_holds_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
