/*
 * One thread and one list: the delay is the same for all, so the oldest is always the next that is due.  The thread is woken for the
 * first task only; it sleeps until that one is due, and whatever comes meanwhile is due after it.
 */
#include "http/later.h"

#include <pthread.h>
#include <stdlib.h>

struct later {
	struct later_options o;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct later_task *first, **last;
	int count;
	bool closing;
	pthread_t thread;
};

/* With the lock held.  The next task when it is due; NULL when the thread shall end. */
static struct later_task *
take_due(struct later *l)
{
	while (!l->first || (!l->closing && time_monotonic_us() < l->first->due_us)) {
		if (l->first) {
			const struct timespec until = time_spec(l->first->due_us);
			pthread_cond_timedwait(&l->wake, &l->lock, &until);
		} else if (l->closing) {
			return NULL;
		} else {
			pthread_cond_wait(&l->wake, &l->lock);
		}
	}
	struct later_task *t = l->first;
	l->first = t->next;
	if (!l->first)
		l->last = &l->first;
	l->count--;
	if (l->o.metrics)
		metrics_set(l->o.metrics, l->o.gauge, l->count);
	return t;
}

static void *
later_thread(void *arg)
{
	struct later *l = arg;
	struct later_task *t;

	pthread_setname_np(pthread_self(), l->o.name);
	pthread_mutex_lock(&l->lock);
	while ((t = take_due(l))) {
		pthread_mutex_unlock(&l->lock);
		t->run(t->arg);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

struct later *
later_open(const struct later_options *o)
{
	struct later *l = calloc(1, sizeof(*l));
	pthread_condattr_t monotonic;

	if (!l || o->max < 1)
		BUG("%s cannot be opened", o->name);
	l->o = *o;
	l->last = &l->first;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&l->thread, NULL, later_thread, l) != 0)
		BUG("no thread for %s", o->name);
	return l;
}

void
later_close(struct later *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_mutex_unlock(&l->lock);
	pthread_cond_signal(&l->wake);
	pthread_join(l->thread, NULL);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

bool
later_add(struct later *l, struct later_task *task)
{
	bool ok;

	task->next = NULL;
	task->due_us = time_monotonic_us() + (int64_t)l->o.delay_ms * 1000;
	pthread_mutex_lock(&l->lock);
	ok = !l->closing && l->count < l->o.max;
	if (ok) {
		if (!l->first) /* under the lock: once the task has run, the list may be closed */
			pthread_cond_signal(&l->wake);
		*l->last = task;
		l->last = &task->next;
		l->count++;
		if (l->o.metrics)
			metrics_set(l->o.metrics, l->o.gauge, l->count);
	}
	pthread_mutex_unlock(&l->lock);
	return ok;
}
