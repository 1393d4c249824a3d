/* What a stream was sent, for tests over the dispatcher: text, events, their data. */
#ifndef MUSTER_TESTS_STREAM_ENV_H
#define MUSTER_TESTS_STREAM_ENV_H

#include <string.h>

#include "support.h"

#include "http/stream.h"

static inline const char *
sent(struct test *t, struct test_reply *r)
{
	if (!r->x.reply.stream)
		fail_msg("%s: no stream, but %d %s", r->x.request.path, r->status, r->body);
	return stream_take(r->x.reply.stream, &t->arena);
}

static inline int
occurs(const char *text, const char *what)
{
	int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* The data of the n-th event of that name; NULL: there is none. */
static inline json_t *
event_data(struct test *t, const char *text, const char *name, int n)
{
	const char *line = arena_printf(&t->arena, "event: %s\ndata: ", name), *at = text;

	for (int i = 0; at && i <= n; i++)
		at = (at = strstr(at, line)) ? at + strlen(line) : NULL;
	json_t *data = at ? json_loadb(at, strcspn(at, "\n"), 0, NULL) : NULL;
	if (data)
		arena_defer(&t->arena, (void (*)(void *))json_decref, data);
	return data;
}

static inline const char *
member(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	if (!text)
		fail_msg("no text %s", name);
	return text;
}

static inline int64_t
member_time(const json_t *object, const char *name)
{
	int64_t at_us = 0;

	assert_true(time_parse(member(object, name), false, &at_us));
	return at_us;
}

#endif
