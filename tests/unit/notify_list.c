/* Notifications belong to one user, coalesce per key while unread, and page newest first. */
#include "support.h"

#include <string.h>

#include "notify/notify.h"

struct people {
	struct test *t;
	struct actor one, other;
};

static struct actor
person(struct test *t, int number, const char *role, bool active)
{
	struct actor a = {.role = ROLE_STUDENT};

	str_copy(a.user_id.text, sizeof(a.user_id.text), arena_printf(&t->arena, "01890000-0000-7000-8000-%012d", number));
	sql_run(t, arena_printf(&t->arena,
			   "INSERT INTO users VALUES ('%s', 'p%d@example.org', 'P', '%s', %d, NULL, NULL, NULL, 0, 0, 0,"
			   " '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')",
			   a.user_id.text, number, role, active));
	return a;
}

static struct people
people_open(void)
{
	struct people p = {.t = test_open(NULL)};

	p.one = person(p.t, 1, "student", true);
	p.other = person(p.t, 2, "student", true);
	return p;
}

struct work {
	const char *user_id, *key;
	struct notification_new n;
	const char *id;
	bool unread;
	int64_t page, limit;
	struct list list;
	int64_t total, unread_count, rows;
	struct notification row;
};

static enum err
send_run(struct ctx *cx, void *arg)
{
	struct work *w = arg;

	if (!w->user_id)
		return notify_admins(cx, &w->n);
	return w->key ? notify_coalesced(cx, w->user_id, w->key, &w->n) : notify_user(cx, w->user_id, &w->n);
}

static enum err
list_run(struct ctx *cx, void *arg)
{
	struct work *w = arg;

	return notification_list(cx, w->unread, w->page, w->limit, &w->list, &w->total, &w->unread_count);
}

static enum err
read_run(struct ctx *cx, void *arg)
{
	struct work *w = arg;

	return notification_read(cx, w->id, &w->row);
}

static enum err
read_all_run(struct ctx *cx, void *arg)
{
	return notification_read_all(cx, &((struct work *)arg)->rows);
}

static enum err
do_as(struct test *t, const struct actor *who, enum err (*fn)(struct ctx *, void *), struct work *w)
{
	struct ctx cx;

	test_ctx(t, &cx);
	cx.actor = who;
	return db_write(&cx, fn, w);
}

static void
send(struct test *t, const struct actor *to, const char *key, const char *message)
{
	struct work w = {
		.user_id = to ? to->user_id.text : NULL, .key = key, .n = {.type = "marks", .title = "T", .message = message}};

	assert_int_equal(do_as(t, NULL, send_run, &w), OK);
}

static struct work
list_of(struct test *t, const struct actor *who, bool unread, int64_t page, int64_t limit)
{
	struct work w = {.unread = unread, .page = page, .limit = limit};

	assert_int_equal(do_as(t, who, list_run, &w), OK);
	return w;
}

static const struct notification *
row(const struct work *w, size_t i)
{
	assert_true(i < w->list.count);
	return (const struct notification *)w->list.items + i;
}

static void
everybody_sees_their_own(void **state)
{
	struct people p = people_open();

	(void)state;
	send(p.t, &p.one, NULL, "to one");
	send(p.t, &p.other, NULL, "to other");
	struct work mine = list_of(p.t, &p.one, false, 1, 20), theirs = list_of(p.t, &p.other, false, 1, 20);
	assert_int_equal(mine.list.count, 1);
	assert_string_equal(row(&mine, 0)->message, "to one");
	assert_string_equal(row(&mine, 0)->data, "{}");
	assert_string_equal(row(&theirs, 0)->message, "to other");

	struct work foreign = {.id = row(&theirs, 0)->id.text};
	assert_int_equal(do_as(p.t, &p.one, read_run, &foreign), ERR_NOT_FOUND);
	assert_int_equal(list_of(p.t, &p.other, true, 1, 20).total, 1);
	assert_int_equal(do_as(p.t, &p.other, read_run, &foreign), OK);
	assert_true(foreign.row.is_read);
	assert_int_equal(list_of(p.t, &p.other, true, 1, 20).total, 0);
	assert_int_equal(list_of(p.t, &p.other, false, 1, 20).total, 1);
	struct work all = {0};
	assert_int_equal(do_as(p.t, &p.other, read_all_run, &all), OK);
	assert_int_equal(all.rows, 0);
	assert_int_equal(list_of(p.t, &p.one, true, 1, 20).unread_count, 1);
	test_close(p.t);
}

static void
pages_go_back_in_time(void **state)
{
	struct people p = people_open();
	struct work deep = {.page = 101, .limit = 100};

	(void)state;
	for (int i = 1; i <= 5; i++)
		send(p.t, &p.one, NULL, arena_printf(&p.t->arena, "%d", i));
	struct work w = list_of(p.t, &p.one, false, 2, 2);
	assert_int_equal(w.total, 5);
	assert_int_equal(w.unread_count, 5);
	assert_string_equal(row(&w, 0)->message, "3");
	assert_string_equal(row(&w, 1)->message, "2");
	assert_int_equal(list_of(p.t, &p.one, false, 4, 2).list.count, 0);
	assert_int_equal(do_as(p.t, &p.one, list_run, &deep), ERR_PAGE_TOO_DEEP);
	test_close(p.t);
}

static void
one_unread_row_per_key(void **state)
{
	struct people p = people_open();

	(void)state;
	send(p.t, &p.one, "marks:a", "1 mark");
	send(p.t, &p.one, NULL, "between");
	send(p.t, &p.one, "marks:a", "2 marks");
	send(p.t, &p.one, "marks:b", "other key");
	send(p.t, &p.other, "marks:a", "other person");
	struct work w = list_of(p.t, &p.one, false, 1, 20);
	assert_int_equal(w.total, 3);
	assert_string_equal(row(&w, 1)->message, "2 marks"); /* news again: above what came between */
	struct work read = {.id = row(&w, 1)->id.text};
	assert_int_equal(do_as(p.t, &p.one, read_run, &read), OK);
	send(p.t, &p.one, "marks:a", "3 marks");
	w = list_of(p.t, &p.one, false, 1, 20);
	assert_int_equal(w.total, 4);
	assert_int_equal(w.unread_count, 3);
	test_close(p.t);
}

static void
admins_are_the_active_ones(void **state)
{
	struct people p = people_open();
	struct actor boss = person(p.t, 3, "admin", true), second = person(p.t, 4, "admin", true),
		     former = person(p.t, 5, "admin", false);

	(void)state;
	send(p.t, NULL, NULL, "somebody signed up");
	assert_int_equal(list_of(p.t, &boss, false, 1, 20).total, 1);
	assert_int_equal(list_of(p.t, &second, false, 1, 20).total, 1);
	assert_int_equal(list_of(p.t, &former, false, 1, 20).total, 0);
	assert_int_equal(list_of(p.t, &p.one, false, 1, 20).total, 0);
	test_close(p.t);
}

static enum err
mail_run(struct ctx *cx, void *arg)
{
	return outbox_mail(cx, arg, "decision", "{\"a\":1}");
}

static enum err
mail_then_fail_run(struct ctx *cx, void *arg)
{
	TRY(mail_run(cx, arg));
	return fail(cx, ERR_CONFLICT, NULL);
}

static void
mail_waits_with_its_cause(void **state)
{
	struct people p = people_open();
	struct ctx cx;
	char to[] = "a@example.org";

	(void)state;
	test_ctx(p.t, &cx);
	assert_int_equal(db_write(&cx, mail_then_fail_run, to), ERR_CONFLICT);
	assert_int_equal(count(p.t, "SELECT COUNT(*) FROM outbox"), 0);
	assert_int_equal(db_write(&cx, mail_run, to), OK);
	assert_string_equal(sql_text(p.t, "SELECT recipient || ' ' || template || ' ' || data || ' ' || attempts FROM outbox"
					  " WHERE sent_at IS NULL AND next_try_at = created_at"),
		"a@example.org decision {\"a\":1} 0");
	test_close(p.t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_sees_their_own),
		cmocka_unit_test(pages_go_back_in_time),
		cmocka_unit_test(one_unread_row_per_key),
		cmocka_unit_test(admins_are_the_active_ones),
		cmocka_unit_test(mail_waits_with_its_cause),
	};

	return cmocka_run_group_tests_name("notifications", tests, NULL, NULL);
}
