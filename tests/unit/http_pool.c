/* The thread pool: order, bound, state per thread, niceness, closing. */
#include "our_fail.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "http/pool.h"

static sem_t started, go;
static atomic_int opened, closed, order_n;
static int order[64];

static void *
state_open(void *arg)
{
	atomic_fetch_add(&opened, 1);
	return arg;
}

static void
state_close(void *thread_state)
{
	assert_ptr_equal(thread_state, &opened);
	atomic_fetch_add(&closed, 1);
}

static void
run_blocking(void *thread_state, void *arg)
{
	(void)arg;
	assert_ptr_equal(thread_state, &opened);
	sem_post(&started);
	sem_wait(&go);
}

static void
run_noting(void *thread_state, void *arg)
{
	(void)thread_state;
	order[atomic_fetch_add(&order_n, 1)] = (int)(intptr_t)arg;
}

static bool
metrics_say(const struct metrics *m, const char *line)
{
	struct arena a;
	struct buf b;

	arena_init(&a);
	buf_init(&b, &a, 1 << 14);
	metrics_print(m, &b, NULL);
	bool said = strstr(buf_cstr(&b), line) != NULL;
	arena_release(&a);
	return said;
}

static void
test_order_and_bound(void **state)
{
	struct metrics *m = metrics_open(0);
	const struct pool_options o = {.name = "bound",
		.metrics = m,
		.gauge = M_FILES_QUEUE,
		.threads = 1,
		.max_queued = 3,
		.thread_open = state_open,
		.thread_close = state_close,
		.arg = &opened};
	struct pool_task block = {.run = run_blocking}, t[5];
	struct pool *p;

	(void)state;
	opened = closed = order_n = 0;
	sem_init(&started, 0, 0);
	sem_init(&go, 0, 0);
	p = pool_open(&o);
	assert_true(pool_submit(p, &block));
	sem_wait(&started);
	assert_int_equal(pool_queued(p), 0); /* what runs does not wait */
	for (int i = 0; i < 5; i++) {
		t[i] = (struct pool_task){.run = run_noting, .arg = (void *)(intptr_t)i};
		assert_int_equal(pool_submit(p, &t[i]), i < 3);
	}
	assert_int_equal(pool_queued(p), 3);
	assert_true(metrics_say(m, "\nmuster_files_queue_length 3\n"));
	assert_true(metrics_say(m, "\nmuster_pool_busy{pool=\"bound\"} 1\n"));
	sem_post(&go);
	pool_close(p); /* runs what is queued */
	assert_true(metrics_say(m, "\nmuster_files_queue_length 0\n"));
	assert_true(metrics_say(m, "\nmuster_pool_busy{pool=\"bound\"} 0\n"));
	metrics_close(m);
	assert_int_equal(order_n, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(order[i], i);
	assert_int_equal(opened, 1);
	assert_int_equal(closed, 1);
}

static void
run_nice(void *thread_state, void *arg)
{
	char name[16];

	(void)thread_state;
	errno = 0;
	*(int *)arg = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
	assert_int_equal(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	assert_string_equal(name, "polite");
}

static void
test_nice(void **state)
{
	int mine = getpriority(PRIO_PROCESS, 0), seen = -99;
	const struct pool_options o = {.name = "polite", .threads = 1, .max_queued = 1, .nice = mine < 9 ? mine + 10 : 19};
	struct pool_task t = {.run = run_nice, .arg = &seen};
	struct pool *p = pool_open(&o);

	(void)state;
	assert_true(pool_submit(p, &t));
	pool_close(p);
	assert_int_equal(seen, o.nice);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), mine); /* of that thread only */
}

static atomic_int sum;

static void
run_adding(void *thread_state, void *arg)
{
	(void)thread_state, (void)arg;
	atomic_fetch_add(&sum, 1);
}

struct submitter {
	struct pool *pool;
	struct pool_task t[2000];
};

static void *
submit_thread(void *arg)
{
	struct submitter *s = arg;

	for (int i = 0; i < 2000; i++) {
		s->t[i] = (struct pool_task){.run = run_adding};
		while (!pool_submit(s->pool, &s->t[i]))
			sched_yield();
	}
	return NULL;
}

static void
test_many(void **state)
{
	static struct submitter submitters[4];
	const struct pool_options o = {.name = "many", .threads = 4, .max_queued = 100};
	struct pool *p = pool_open(&o);
	pthread_t threads[4];

	(void)state;
	sum = 0;
	for (int i = 0; i < 4; i++) {
		submitters[i].pool = p;
		assert_int_equal(pthread_create(&threads[i], NULL, submit_thread, &submitters[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	pool_close(p);
	assert_int_equal(sum, 8000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_bound), cmocka_unit_test(test_nice), cmocka_unit_test(test_many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
