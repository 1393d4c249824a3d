/*
 * Field tables: absent values, the way to a column's member, and records as JSON.
 * Input is field_read.c, the OpenAPI schema field_openapi.c.
 */
#include "core/field.h"

#include <string.h>

#include "core/json.h"

_Static_assert(FIELD_NONE == TIME_NONE, "an absent time is an absent int64_t");

void
field_clear(const struct schema *s, void *ret)
{
	memset(ret, 0, s->size);
	for (size_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		uint8_t *at = (uint8_t *)ret + f->offset;
		if (f->kind == K_INT)
			*(int64_t *)(void *)at = FIELD_NONE;
		else if (f->kind == K_NUM)
			*(double *)(void *)at = NAN;
		else if (f->kind == K_OBJ)
			field_clear(f->sub, at);
	}
}

int
enum_index(const char *const *names, const char *s)
{
	for (int i = 1; names[i]; i++)
		if (strcmp(names[i], s) == 0)
			return i;
	return 0;
}

bool
field_resolve(const struct schema *s, const char *column, struct field_path *ret_path)
{
	struct field_path path = {.depth = 0};

	for (;;) {
		size_t n = strcspn(column, ".");
		const struct field *f = NULL;
		for (size_t i = 0; i < s->count && !f; i++)
			if (strncmp(s->fields[i].name, column, n) == 0 && !s->fields[i].name[n])
				f = &s->fields[i];
		if (!f || path.depth == FIELD_DEPTH_MAX)
			return false;
		path.step[path.depth++] = f;
		if (!column[n]) {
			*ret_path = path;
			return true;
		}
		if (f->kind != K_OBJ && f->kind != K_PTR)
			return false;
		s = f->sub;
		column += n + 1;
	}
}

void *
field_at(struct arena *a, const struct field_path *path, void *rec)
{
	uint8_t *at = (uint8_t *)rec + path->step[0]->offset;

	for (int i = 0; i + 1 < path->depth; i++) {
		const struct field *f = path->step[i];
		if (f->kind == K_PTR) {
			void **p = (void **)(void *)at;
			if (!*p) {
				*p = arena_alloc(a, 1, f->sub->size);
				field_clear(f->sub, *p);
			}
			at = *p;
		}
		at += path->step[i + 1]->offset;
	}
	return at;
}

static bool
is_absent(const struct field *f, const void *at)
{
	switch ((enum field_kind)f->kind) {
	case K_TEXT:
	case K_PTR:
		return *(const void *const *)at == NULL;
	case K_ID:
		return ((const struct uuid *)at)->text[0] == 0;
	case K_INT:
		return *(const int64_t *)at == FIELD_NONE;
	case K_NUM:
		return isnan(*(const double *)at);
	case K_TRI:
		return *(const enum tri *)at == TRI_UNSET;
	case K_ENUM:
		return *(const int *)at == 0;
	case K_LIST: /* nothing found is an empty list; only a list that may be null can be absent */
		return (f->flags & (F_OMIT | F_NULLABLE)) && ((const struct list *)at)->items == NULL;
	case K_BOOL:
	case K_OBJ:
		return false;
	case K_UNSET:
		break;
	}
	BUG("field %s has no kind", f->name);
}

static void write_members(struct json *j, const struct schema *s, const void *rec);

static void
write_list(struct json *j, const struct field *f, const struct list *list)
{
	json_arr(j, f->name);
	for (size_t i = 0; i < list->count; i++) {
		if (!f->sub) {
			json_str(j, NULL, ((const char *const *)list->items)[i]);
			continue;
		}
		json_obj(j, NULL);
		write_members(j, f->sub, (const uint8_t *)list->items + i * f->sub->size);
		json_obj_end(j);
	}
	json_arr_end(j);
}

static void
write_text(struct json *j, const struct field *f, const char *text)
{
	if (f->flags & F_JSON)
		json_raw(j, f->name, text);
	else
		json_str(j, f->name, text);
}

static void
write_int(struct json *j, const struct field *f, int64_t v)
{
	if (f->flags & F_TIME)
		json_time(j, f->name, v);
	else
		json_int(j, f->name, v);
}

static const char *
enum_name(const struct field *f, int v)
{
	for (int i = 1; f->names[i]; i++)
		if (i == v)
			return f->names[i];
	BUG("field %s has no name for %d", f->name, v);
}

static void
write_member(struct json *j, const struct field *f, const void *at)
{
	switch ((enum field_kind)f->kind) {
	case K_TEXT:
		write_text(j, f, *(const char *const *)at);
		return;
	case K_ID:
		json_strn(j, f->name, ((const struct uuid *)at)->text, ID_BYTES);
		return;
	case K_INT:
		write_int(j, f, *(const int64_t *)at);
		return;
	case K_NUM:
		json_num(j, f->name, *(const double *)at);
		return;
	case K_BOOL:
		json_bool(j, f->name, *(const bool *)at);
		return;
	case K_TRI:
		json_bool(j, f->name, *(const enum tri *)at == TRI_YES);
		return;
	case K_ENUM:
		json_str(j, f->name, enum_name(f, *(const int *)at));
		return;
	case K_OBJ:
		field_write_json(j, f->name, f->sub, at);
		return;
	case K_PTR:
		field_write_json(j, f->name, f->sub, *(const void *const *)at);
		return;
	case K_LIST:
		write_list(j, f, at);
		return;
	case K_UNSET:
		break;
	}
	BUG("field %s has no kind", f->name);
}

static void
write_members(struct json *j, const struct schema *s, const void *rec)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		const void *at = (const uint8_t *)rec + f->offset;
		if (f->flags & F_TOLERATED)
			continue;
		if (!is_absent(f, at))
			write_member(j, f, at);
		else if (!(f->flags & F_OMIT))
			json_none(j, f->name);
	}
}

void
field_write_json(struct json *j, const char *key, const struct schema *s, const void *rec)
{
	json_obj(j, key);
	write_members(j, s, rec);
	json_obj_end(j);
}
