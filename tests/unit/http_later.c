/* Tasks after a while: never early, in their order, bounded, and all of them at the close. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* core/ctx.h has its own */

#include <semaphore.h>
#include <string.h>

#include "http/later.h"

enum { HOUR_MS = 3600 * 1000 };

struct noted {
	struct later_task task;
	int number;
};
static int order[8], order_n;
static int64_t ran_us[8];
static sem_t ran;

static void
note(void *arg)
{
	const struct noted *n = arg;

	ran_us[order_n] = time_monotonic_us();
	order[order_n++] = n->number;
	sem_post(&ran);
}

static int
set_up(void **state)
{
	(void)state;
	order_n = 0;
	return sem_init(&ran, 0, 0);
}

static void
test_bound_and_close(void **state)
{
	struct metrics *m = metrics_open(0);
	const struct later_options o = {.name = "bound", .delay_ms = HOUR_MS, .max = 3, .metrics = m, .gauge = M_REFUSALS_HELD};
	struct later *l = later_open(&o);
	struct noted n[4];
	struct arena a;
	struct buf b;

	(void)state;
	for (int i = 0; i < 4; i++) {
		n[i] = (struct noted){.task = {.run = note, .arg = &n[i]}, .number = i};
		assert_int_equal(later_add(l, &n[i].task), i < 3);
	}
	arena_init(&a);
	buf_init(&b, &a, 1 << 14);
	metrics_print(m, &b, NULL);
	assert_non_null(strstr(buf_cstr(&b), "\nmuster_refusals_held 3\n"));
	arena_release(&a);
	later_close(l); /* not after an hour */
	assert_int_equal(order_n, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(order[i], i);
	metrics_close(m);
}

static void
test_never_early(void **state)
{
	const struct later_options o = {.name = "early", .delay_ms = 30, .max = 8};
	struct later *l = later_open(&o);
	struct noted n[4];
	int64_t given_us[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		n[i] = (struct noted){.task = {.run = note, .arg = &n[i]}, .number = i};
		given_us[i] = time_monotonic_us();
		assert_true(later_add(l, &n[i].task));
		if (i == 1) /* the others come when nothing waits any more */
			for (int k = 0; k < 2; k++)
				sem_wait(&ran);
	}
	for (int k = 0; k < 2; k++)
		sem_wait(&ran);
	later_close(l);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(order[i], i);
		assert_true(ran_us[i] >= given_us[i] + 30 * 1000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bound_and_close, set_up),
		cmocka_unit_test_setup(test_never_early, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
