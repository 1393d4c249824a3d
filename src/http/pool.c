/*
 * The pool's threads take tasks from one list, oldest first.  The bound counts waiting tasks only: a task that runs has left the
 * list.  Niceness is per thread on Linux, so the hash lane yields to the loops without a process of its own.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fault.h"
#include "http/pool.h"

struct pool {
	struct pool_options o;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct pool_task *first, **last;
	int queued, idle; /* idle: threads that wait, so that a submit wakes somebody only when there is one */
	bool closing;
	pthread_t *threads;
};

static struct pool_task *
pool_next(struct pool *p)
{
	struct pool_task *t = NULL;

	pthread_mutex_lock(&p->lock);
	while (!p->first && !p->closing) {
		p->idle++;
		pthread_cond_wait(&p->wake, &p->lock);
		p->idle--;
	}
	if (p->first) {
		t = p->first;
		p->first = t->next;
		if (!p->first)
			p->last = &p->first;
		p->queued--;
		if (p->o.metrics)
			metrics_set(p->o.metrics, p->o.gauge, p->queued);
	}
	pthread_mutex_unlock(&p->lock);
	return t;
}

static void
count_busy(struct pool *p, int64_t n)
{
	if (p->o.metrics)
		metrics_add(p->o.metrics, M_POOL_BUSY, p->o.name, n);
}

static void *
pool_thread(void *arg)
{
	struct pool *p = arg;
	void *state = NULL;

	pthread_setname_np(pthread_self(), p->o.name);
	if (p->o.nice)
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), p->o.nice);
	if (p->o.thread_open)
		state = p->o.thread_open(p->o.arg);
	for (struct pool_task *t = pool_next(p); t; t = pool_next(p)) {
		count_busy(p, 1);
		t->run(state, t->arg);
		count_busy(p, -1);
	}
	if (p->o.thread_close)
		p->o.thread_close(state);
	return NULL;
}

struct pool *
pool_open(const struct pool_options *o)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p || o->threads < 1 || o->max_queued < 1)
		BUG("pool %s cannot be opened", o->name);
	p->o = *o;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->threads = calloc((size_t)o->threads, sizeof(*p->threads));
	if (!p->threads)
		BUG("out of memory");
	for (int i = 0; i < o->threads; i++)
		if (pthread_create(&p->threads[i], NULL, pool_thread, p) != 0)
			BUG("no thread for pool %s", o->name);
	return p;
}

void
pool_close(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->o.threads; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->threads);
	free(p);
}

bool
pool_submit(struct pool *p, struct pool_task *task)
{
	bool ok;

	pthread_mutex_lock(&p->lock);
	ok = !FAULT("queue.pool") && !p->closing && p->queued < p->o.max_queued;
	if (ok) {
		task->next = NULL;
		*p->last = task;
		p->last = &task->next;
		p->queued++;
		if (p->o.metrics)
			metrics_set(p->o.metrics, p->o.gauge, p->queued);
		if (p->idle > 0) /* under the lock: once the task has run, the pool may be closed */
			pthread_cond_signal(&p->wake);
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

int
pool_queued(const struct pool *p)
{
	struct pool *q = (struct pool *)(uintptr_t)p; /* the lock is no part of what const promises */
	int n;

	pthread_mutex_lock(&q->lock);
	n = q->queued;
	pthread_mutex_unlock(&q->lock);
	return n;
}
