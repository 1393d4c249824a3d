/*
 * The unit of work: its clock, its chance, and its one error slot.
 *
 * The slot keeps the newest fail(): a caller that swallows an error and fails for another reason reports the latter.  All text is
 * copied into the arena, so the slot never points at somebody's stack.
 */
#include "core/ctx.h"

#include <stdarg.h>
#include <string.h>

#include "core/crypto.h"

static int64_t
system_wall_us(void *arg)
{
	(void)arg;
	return time_wall_us();
}

static int64_t
system_monotonic_us(void *arg)
{
	(void)arg;
	return time_monotonic_us();
}

static void
system_random(void *arg, void *ret, size_t n)
{
	(void)arg;
	crypto_random(ret, n);
}

const struct source source_system = {system_wall_us, system_monotonic_us, system_random, NULL};

const char *const role_names[] = {"", "student", "lecturer", "reviewer", "admin", NULL};
const char *const role_names_upper[] = {"", "STUDENT", "LECTURER", "REVIEWER", "ADMIN", NULL};
_Static_assert(sizeof(role_names) / sizeof(role_names[0]) == ROLE__MAX + 1, "every role has its name");
_Static_assert(sizeof(role_names_upper) / sizeof(role_names_upper[0]) == ROLE__MAX + 1, "and in upper case");

const struct client client_local = {.request_id = "", .ip = "", .user_agent = ""};

/* A unit of work without a server (small tests, early start) lives by the system's clock and generator. */
static const struct source *
source_of(const struct ctx *cx)
{
	return cx->srv && cx->srv->source.wall_us ? &cx->srv->source : &source_system;
}

void
ctx_init(struct ctx *cx, struct arena *a, const struct server *srv)
{
	*cx = (struct ctx){.arena = a, .srv = srv, .client = &client_local};
	const struct source *s = source_of(cx);
	cx->now_us = s->wall_us(s->arg);
}

bool
ctx_stops(const struct ctx *cx)
{
	return cx->stop && *cx->stop;
}

static void
set_origin(struct ctx *cx, enum err e, const char *file, int line, const char *func)
{
	(void)err_row(e);
	cx->error.code = e;
	cx->error.refused = false;
	cx->error.message = NULL;
	cx->error.internal = NULL;
	cx->error.file = file;
	cx->error.line = line;
	cx->error.func = func;
}

enum err
fail_at(struct ctx *cx, enum err e, const char *file, int line, const char *func, const char *fmt, ...)
{
	set_origin(cx, e, file, line, func);
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		cx->error.message = arena_vprintf(cx->arena, fmt, ap);
		va_end(ap);
	}
	return e;
}

enum err
fail_internal_at(struct ctx *cx, enum err e, const char *file, int line, const char *func, const char *fmt, ...)
{
	set_origin(cx, e, file, line, func);
	if (fmt) {
		va_list ap;
		va_start(ap, fmt);
		cx->error.internal = arena_vprintf(cx->arena, fmt, ap);
		va_end(ap);
	}
	return e;
}

enum err
refuse_at(struct ctx *cx, enum err e, const char *file, int line, const char *func)
{
	set_origin(cx, e, file, line, func);
	cx->error.refused = true;
	return e;
}

/* In the order of the calls: a form shows its messages from top to bottom. */
static struct error_note *
add_note(struct ctx *cx)
{
	struct error_note *note = arena_new(cx->arena, struct error_note, 1);
	struct error_note **at = &cx->error.notes;

	while (*at)
		at = &(*at)->next;
	*at = note;
	return note;
}

void
error_text(struct ctx *cx, const char *name, const char *value)
{
	struct error_note *note = add_note(cx);

	note->name = arena_strdup(cx->arena, name);
	note->text = arena_strdup(cx->arena, value ? value : "");
}

void
error_number(struct ctx *cx, const char *name, int64_t value)
{
	struct error_note *note = add_note(cx);

	note->name = arena_strdup(cx->arena, name);
	note->number = value;
}

void
error_json(struct ctx *cx, const char *name, const char *json)
{
	struct error_note *note = add_note(cx);

	note->name = arena_strdup(cx->arena, name);
	note->text = arena_strdup(cx->arena, json);
	note->json = true;
}

void
error_time(struct ctx *cx, const char *name, int64_t at_us)
{
	char text[TIME_WIRE_BYTES + 1];

	time_to_wire(at_us, text);
	error_text(cx, name, text);
}

void
error_field(struct ctx *cx, const char *field, const char *fmt, ...)
{
	struct error_note *note = add_note(cx);
	va_list ap;

	note->field = arena_strdup(cx->arena, field);
	va_start(ap, fmt);
	note->text = arena_vprintf(cx->arena, fmt, ap);
	va_end(ap);
}

bool
error_has_fields(const struct ctx *cx)
{
	for (const struct error_note *n = cx->error.notes; n; n = n->next)
		if (n->field)
			return true;
	return false;
}

void
error_clear(struct ctx *cx)
{
	cx->error = (struct error){0};
}

struct uuid
new_id(const struct ctx *cx)
{
	const struct source *s = source_of(cx);
	uint8_t r[10];

	s->random(s->arg, r, sizeof(r));
	return uuid_v7(s->wall_us(s->arg), r);
}

void
random_bytes(const struct ctx *cx, void *ret, size_t n)
{
	const struct source *s = source_of(cx);

	s->random(s->arg, ret, n);
}
