/*
 * Rows into structs.  What a result column means is worked out once per statement and schema; after that a cell costs one switch.
 *
 * A record starts as field_clear() leaves it, so a null needs no work, and an object behind a pointer comes to be with its first
 * cell that is not null.  A column without a member is our own mistake and a BUG; a value that does not fit its member can come
 * from another program's hand and is an error of this one unit of work.
 */
#include "store/engine.h"

#include <stdlib.h>
#include <string.h>

void
columns_release(struct columns *c)
{
	free(c->items);
	*c = (struct columns){0};
}

void
columns_resolve(struct columns *c, const struct sql *sql, const struct schema *schema, int count,
	const char *(*name)(void *arg, int i), void *arg)
{
	columns_release(c);
	if (count > COLUMNS_MAX)
		BUG("statement %s has %d columns", sql->name, count);
	c->items = calloc((size_t)count + 1, sizeof(*c->items));
	if (!c->items)
		BUG("out of memory");
	for (int i = 0; i < count; i++) {
		struct column *col = &c->items[i];
		const char *text = name(arg, i);
		if (!field_resolve(schema, text, &col->path))
			BUG("statement %s: column %s has no member in %s", sql->name, text,
				schema->name ? schema->name : "its schema");
		col->field = col->path.step[col->path.depth - 1];
		if (col->field->kind == K_OBJ || col->field->kind == K_PTR || col->field->kind == K_LIST)
			BUG("statement %s: column %s names a member that is no single value", sql->name, text);
		col->direct = true;
		for (int d = 0; d < col->path.depth; d++) {
			col->offset += col->path.step[d]->offset;
			if (col->path.step[d]->kind == K_PTR)
				col->direct = false;
		}
	}
	c->schema = schema;
	c->count = count;
}

static bool
is_text(const struct cell *v)
{
	return v->kind == CELL_TEXT;
}

static bool
store_time(const struct cell *v, int64_t *ret)
{
	return is_text(v) && time_from_sql(v->p, ret);
}

static bool
store_int(const struct cell *v, int64_t *ret)
{
	if (v->kind == CELL_INT)
		*ret = v->i;
	return v->kind == CELL_INT || (is_text(v) && str_int(v->p, INT64_MIN, INT64_MAX, ret));
}

static bool
store_num(const struct cell *v, double *ret)
{
	char *end;

	if (v->kind == CELL_NUM)
		*ret = v->d;
	else if (v->kind == CELL_INT)
		*ret = (double)v->i;
	if (!is_text(v))
		return v->kind == CELL_NUM || v->kind == CELL_INT;
	*ret = strtod(v->p, &end);
	return v->n > 0 && *end == 0;
}

static bool
store_bool(const struct cell *v, bool *ret)
{
	if (v->kind == CELL_INT)
		*ret = v->i != 0;
	else if (is_text(v) && v->n == 1)
		*ret = v->p[0] == 't' || v->p[0] == '1';
	return v->kind == CELL_INT || (is_text(v) && v->n == 1);
}

static bool
store_cell(struct arena *a, const struct field *f, const struct cell *v, void *at)
{
	bool truth;

	switch ((enum field_kind)f->kind) {
	case K_TEXT:
		if (!is_text(v))
			return false;
		*(const char **)at = arena_strndup(a, v->p, v->n);
		return true;
	case K_ID:
		if (!is_text(v) || v->n > ID_BYTES)
			return false;
		memcpy(((struct uuid *)at)->text, v->p, v->n + 1);
		return true;
	case K_INT:
		return f->flags & F_TIME ? store_time(v, at) : store_int(v, at);
	case K_NUM:
		return store_num(v, at);
	case K_BOOL:
		return store_bool(v, at);
	case K_TRI:
		if (!store_bool(v, &truth))
			return false;
		*(enum tri *)at = truth ? TRI_YES : TRI_NO;
		return true;
	case K_ENUM:
		if (is_text(v))
			*(int *)at = enum_index(f->names, v->p);
		return is_text(v) && *(int *)at != 0;
	case K_OBJ:
	case K_PTR:
	case K_LIST:
	case K_UNSET:
		break;
	}
	return false;
}

static enum err
fill(struct ctx *cx, const struct sql *sql, const struct columns *c, const struct cell *cells, void *rec)
{
	field_clear(c->schema, rec);
	for (int i = 0; i < c->count; i++) {
		const struct column *col = &c->items[i];
		if (cells[i].kind == CELL_NULL)
			continue;
		void *at = col->direct ? (uint8_t *)rec + col->offset : field_at(cx->arena, &col->path, rec);
		if (!store_cell(cx->arena, col->field, &cells[i], at))
			return fail_internal(
				cx, ERR_INTERNAL, "%s: the value of column %s does not fit", sql->name, col->field->name);
	}
	return OK;
}

/* Growing by doubling leaves the old halves in the arena: bounded by LIST_MAX. */
static void *
next_item(struct ctx *cx, struct take *t)
{
	size_t size = t->schema->size;

	if (t->list.count == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		void *items = arena_alloc(cx->arena, cap, size);
		if (t->list.count)
			memcpy(items, t->list.items, t->list.count * size);
		t->list.items = items;
		t->cap = cap;
	}
	return (uint8_t *)t->list.items + t->list.count * size;
}

static enum err
take_number(struct ctx *cx, struct take *t, const struct sql *sql, const struct cell *v)
{
	bool truth;

	if (v->kind == CELL_NULL || store_int(v, &t->number) || store_time(v, &t->number))
		return OK;
	if (!store_bool(v, &truth))
		return fail_internal(cx, ERR_INTERNAL, "%s: the first column is no integer", sql->name);
	t->number = truth;
	return OK;
}

bool
take_wants(const struct take *t)
{
	switch (t->mode) {
	case TAKE_NONE:
		return false;
	case TAKE_ONE:
	case TAKE_INT:
		return t->rows == 0;
	case TAKE_ALL:
		return t->rows < LIST_MAX;
	}
	return false;
}

enum err
take_row(struct ctx *cx, struct take *t, const struct sql *sql, const struct columns *c, const struct cell *cells)
{
	if (t->mode == TAKE_INT) {
		TRY(take_number(cx, t, sql, &cells[0]));
	} else if (t->mode == TAKE_ONE) {
		void *rec = arena_alloc(cx->arena, 1, t->schema->size);
		TRY(fill(cx, sql, c, cells, rec));
		t->record = rec;
	} else if (t->mode == TAKE_ALL) {
		TRY(fill(cx, sql, c, cells, next_item(cx, t)));
		t->list.count++;
	}
	t->rows++;
	return OK;
}
