/* Arena: zeroed, aligned, wiped on reset, deferred calls newest first; the unit of work and its error slot on top of it. */
#include "core_env.h"

#include <sys/wait.h>

#include "core/arena.h"
#include "core/ctx.h"

static void
memory_is_zero_and_aligned(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a);
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 3000; n += 7) {
			uint8_t *p = arena_alloc(&a, n, 1);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xa5, n);
		}
		arena_reset(&a);
		assert_int_equal(a.total, 0);
	}
	arena_release(&a);
	assert_null(a.page);
}

static void
large_blocks_and_text(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a);
	uint8_t *big = arena_alloc(&a, 1 << 20, 1);
	memset(big, 1, 1 << 20);
	assert_string_equal(arena_strdup(&a, "Ülo"), "Ülo");
	assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(&a, "ab", 30), "ab");
	char *wide = arena_printf(&a, "%*d|%s", 5000, 7, "end");
	assert_int_equal(strlen(wide), 5004);
	assert_string_equal(wide + 4999, "7|end");
	assert_ptr_not_equal(arena_alloc(&a, 0, 1), arena_alloc(&a, 0, 1));
	arena_release(&a);
}

static void
reset_wipes_what_was_used(void **state)
{
	(void)state;
	struct arena a;

	arena_init(&a);
	(void)arena_alloc(&a, 100, 1);
	arena_reset(&a);
	char *first = arena_strdup(&a, "correct horse battery staple");
	arena_reset(&a);
	char *again = arena_alloc(&a, 29, 1); /* the kept page gives the same place */
	assert_ptr_equal(first, again);
	for (int i = 0; i < 29; i++)
		assert_int_equal(again[i], 0);
	arena_release(&a);
}

static char order[8];

static void
note(void *arg)
{
	strncat(order, arg, 1);
}

static void
defers_run_newest_first_and_once(void **state)
{
	(void)state;
	struct arena a;

	order[0] = 0;
	arena_init(&a);
	arena_defer(&a, note, (char[]){"a"});
	arena_defer(&a, note, (char[]){"b"});
	arena_reset(&a);
	assert_string_equal(order, "ba");
	arena_defer(&a, note, (char[]){"c"});
	arena_release(&a);
	assert_string_equal(order, "bac");
	arena_release(&a);
	assert_string_equal(order, "bac");
}

static void
overflow_aborts(void **state)
{
	(void)state;
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct arena a;
		arena_init(&a);
		(void)close(STDERR_FILENO);
		(void)arena_alloc(&a, SIZE_MAX / 2, 4);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* --- the unit of work ------------------------------------------------------------------------------------------------- */

static int64_t
fixed_clock(void *arg)
{
	return *(int64_t *)arg;
}

static void
fixed_random(void *arg, void *ret, size_t n)
{
	(void)arg;
	memset(ret, 0xff, n);
}

static void
ctx_takes_clock_and_chance_from_the_server(void **state)
{
	(void)state;
	int64_t now_us = INT64_C(1700000000123456);
	struct server srv = {.source = {fixed_clock, fixed_clock, fixed_random, &now_us}};
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, &srv);
	assert_int_equal(cx.now_us, now_us);
	assert_null(cx.actor);
	assert_string_equal(cx.client->ip, "");
	struct uuid id = new_id(&cx);
	assert_string_equal(id.text, "018bcfe5-687b-7fff-bfff-ffffffffffff");
	arena_release(&a);
}

static enum err
innermost(struct ctx *cx)
{
	error_field(cx, "email", "must be at most %d characters", 254);
	error_number(cx, "left", 3);
	return fail(cx, ERR_CONFLICT, "Room %s is taken.", "A1");
}

static enum err
outer(struct ctx *cx)
{
	TRY(innermost(cx));
	return OK;
}

static void
fail_is_recorded_where_it_happened(void **state)
{
	(void)state;
	struct arena a;
	struct ctx cx;

	arena_init(&a);
	ctx_init(&cx, &a, NULL);
	assert_int_equal(outer(&cx), ERR_CONFLICT);
	assert_string_equal(cx.error.message, "Room A1 is taken.");
	assert_string_equal(cx.error.func, "innermost");
	assert_false(cx.error.refused);
	assert_true(error_has_fields(&cx));
	assert_string_equal(cx.error.notes->field, "email");
	assert_string_equal(cx.error.notes->text, "must be at most 254 characters");
	assert_string_equal(cx.error.notes->next->name, "left");
	assert_int_equal(cx.error.notes->next->number, 3);

	error_clear(&cx);
	assert_false(error_has_fields(&cx));
	error_time(&cx, "until", 0);
	assert_int_equal(refuse(&cx, ERR_INVALID_CODE), ERR_INVALID_CODE);
	assert_true(cx.error.refused);
	assert_null(cx.error.message);
	assert_string_equal(cx.error.notes->text, "1970-01-01T00:00:00Z");

	assert_int_equal(fail_internal(&cx, ERR_INTERNAL, "disk %d", 1), ERR_INTERNAL);
	assert_null(cx.error.message);
	assert_string_equal(cx.error.internal, "disk 1");
	assert_false(cx.error.refused);
	arena_release(&a);
}

static void
every_error_has_a_row(void **state)
{
	(void)state;
	for (int e = 1; e < ERR__MAX; e++) {
		const struct err_row *row = err_row((enum err)e);
		assert_true(row->status >= 400 && row->status < 600);
		assert_true(row->code[0] && row->sentence[0]);
	}
	assert_string_equal(err_row(ERR_QR_EXPIRED)->name, "QR_EXPIRED");
	assert_int_equal(err_row(ERR_QR_EXPIRED)->status, 400);
	assert_string_equal(err_row(ERR_QR_EXPIRED)->code, err_row(ERR_ACCESS_EXPIRED)->code);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zero_and_aligned),
		cmocka_unit_test(large_blocks_and_text),
		cmocka_unit_test(reset_wipes_what_was_used),
		cmocka_unit_test(defers_run_newest_first_and_once),
		cmocka_unit_test(overflow_aborts),
		cmocka_unit_test(ctx_takes_clock_and_chance_from_the_server),
		cmocka_unit_test(fail_is_recorded_where_it_happened),
		cmocka_unit_test(every_error_has_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
