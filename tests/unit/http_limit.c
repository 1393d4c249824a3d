/* The limiter under a clock that the test sets. */
#include "our_fail.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "http/limit.h"

static _Atomic int64_t now_us;

static int64_t
test_clock(void *arg)
{
	(void)arg;
	return now_us;
}

static void
test_random(void *arg, void *ret, size_t n)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)ret)[i] = (uint8_t)(i * 7 + 1);
}

static const struct source source = {test_clock, test_clock, test_random, NULL};
static const struct limit login = {"login", 3, 60}, mark = {"mark", 5, 10}, one = {"one", 1, 60}, many = {"many", 1000, 60};

static void
test_windows(void **state)
{
	static const struct {
		int64_t at_ms;
		const char *key;
		bool ok;
		int retry_s; /* when refused */
	} rows[] = {
		{0, "a", true, 0},
		{1000, "a", true, 0},
		{59000, "a", true, 0}, /* the window opened with the first hit */
		{59001, "a", false, 1},
		{59999, "a", false, 1},
		{59000, "b", true, 0},
		{60000, "a", true, 0},
		{60001, "a", true, 0},
		{60002, "a", true, 0},
		{60002, "a", false, 60},
		{61000, "a", false, 59},
		{119001, "b", true, 0},
		{119002, "b", true, 0},
		{119003, "b", true, 0},
		{119004, "b", false, 60},
	};
	struct limiter *l = limiter_open(&source, 1000);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int retry_s = -1;

		now_us = rows[i].at_ms * 1000;
		assert_int_equal(limiter_take(l, &login, rows[i].key, &retry_s), rows[i].ok);
		assert_int_equal(retry_s, rows[i].ok ? -1 : rows[i].retry_s);
	}
	limiter_close(l);
}

static void
test_count_and_give_back(void **state)
{
	struct limiter *l = limiter_open(&source, 1000);
	int retry_s;

	(void)state;
	now_us = 0;
	assert_int_equal(limiter_count(l, &mark, "k"), 0);
	limiter_give_back(l, &mark, "k", 1); /* of nothing */
	for (int i = 1; i <= 5; i++) {
		assert_true(limiter_take(l, &mark, "k", &retry_s));
		assert_int_equal(limiter_count(l, &mark, "k"), i);
	}
	assert_false(limiter_take(l, &mark, "k", &retry_s));
	assert_int_equal(limiter_count(l, &mark, "k"), 5);  /* a refused hit does not count */
	assert_int_equal(limiter_count(l, &login, "k"), 0); /* the same key of another limit */
	limiter_give_back(l, &mark, "k", 2);
	assert_int_equal(limiter_count(l, &mark, "k"), 3);
	assert_true(limiter_take(l, &mark, "k", &retry_s));
	limiter_give_back(l, &mark, "k", 99);
	assert_int_equal(limiter_count(l, &mark, "k"), 0);
	assert_true(limiter_take(l, &mark, "k", &retry_s));
	now_us = 10 * SECONDS_US;
	assert_int_equal(limiter_count(l, &mark, "k"), 0);
	limiter_close(l);
}

/* Names and keys are parted: ("ab","c") is not ("a","bc"). */
static void
test_names_are_parted(void **state)
{
	static const struct limit ab = {"ab", 1, 60}, a = {"a", 1, 60};
	struct limiter *l = limiter_open(&source, 1000);
	int retry_s;

	(void)state;
	now_us = 0;
	assert_true(limiter_take(l, &ab, "c", &retry_s));
	assert_true(limiter_take(l, &a, "bc", &retry_s));
	assert_false(limiter_take(l, &a, "bc", &retry_s));
	limiter_close(l);
}

static void
take_keys(struct limiter *l, const struct limit *limit, int from, int n, int *ret_taken)
{
	int retry_s;

	*ret_taken = 0;
	for (int i = from; i < from + n; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key-%d", i);
		*ret_taken += limiter_take(l, limit, key, &retry_s);
	}
}

static void
test_full_table(void **state)
{
	struct limiter *l = limiter_open(&source, 160);
	int taken, retry_s;

	(void)state;
	now_us = 0;
	/* 160 keys at most have a place; all others share one hit. */
	take_keys(l, &one, 0, 10000, &taken);
	assert_in_range(taken, 100, 161);
	take_keys(l, &one, 20000, 1000, &taken);
	assert_int_equal(taken, 0);
	/* Another limit's newcomers share a bucket of their own. */
	take_keys(l, &login, 0, 1000, &taken);
	assert_int_equal(taken, 3);
	limiter_give_back(l, &login, "key-5", 1);
	assert_true(limiter_take(l, &login, "key-6", &retry_s));
	assert_false(limiter_take(l, &login, "key-7", &retry_s));
	/* When the windows are over, the places are free again. */
	now_us = 61 * SECONDS_US;
	take_keys(l, &one, 30000, 80, &taken);
	assert_int_equal(taken, 80);
	take_keys(l, &one, 30000, 80, &taken);
	assert_int_equal(taken, 0);
	limiter_close(l);
}

/* Who has many networks takes no place from accounts. */
static void
test_part_of_anybody(void **state)
{
	static const struct limit strangers = {"strangers", 1, 60, true};
	struct limiter *l = limiter_open(&source, 1600);
	int taken;

	(void)state;
	now_us = 0;
	for (int round = 0; round < 2; round++) {
		take_keys(l, &strangers, 0, 10000, &taken);
		assert_in_range(taken, 350, 401);
		take_keys(l, &one, 0, 600, &taken);
		assert_int_equal(taken, 600);
		now_us += 60 * SECONDS_US;
	}
	limiter_close(l);
}

/* Many keys whose windows end do not push out one that is open. */
static void
test_turnover(void **state)
{
	struct limiter *l = limiter_open(&source, 1600);
	static const struct limit slow = {"slow", 1, 1000000};
	int taken, retry_s;

	(void)state;
	now_us = 0;
	assert_true(limiter_take(l, &slow, "stays", &retry_s));
	for (int round = 0; round < 50; round++) {
		take_keys(l, &one, round * 1000, 1000, &taken);
		assert_int_equal(taken, 1000);
		now_us += 61 * SECONDS_US;
	}
	assert_false(limiter_take(l, &slow, "stays", &retry_s));
	limiter_close(l);
}

static void *
take_thread(void *arg)
{
	intptr_t taken = 0;
	int retry_s;

	for (int i = 0; i < 5000; i++)
		taken += limiter_take(arg, &many, "same", &retry_s);
	return (void *)taken;
}

static void
test_threads(void **state)
{
	struct limiter *l = limiter_open(&source, 1000);
	pthread_t threads[8];
	intptr_t sum = 0;

	(void)state;
	now_us = 0;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_thread, l), 0);
	for (int i = 0; i < 8; i++) {
		void *taken;

		pthread_join(threads[i], &taken);
		sum += (intptr_t)taken;
	}
	assert_int_equal(sum, 1000);
	limiter_close(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_count_and_give_back),
		cmocka_unit_test(test_names_are_parted),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_part_of_anybody),
		cmocka_unit_test(test_turnover),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
