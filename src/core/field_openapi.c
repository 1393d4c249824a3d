/*
 * Field tables as OpenAPI 3.1 schema objects (JSON Schema 2020-12).  Our bounds of text count bytes and the schema's count
 * characters; the upper one is therefore looser than the server, never stricter.
 */
#include <string.h>

#include "core/field.h"

static const char *
type_name(const struct field *f)
{
	switch ((enum field_kind)f->kind) {
	case K_TEXT:
	case K_ID:
	case K_ENUM:
		return "string";
	case K_INT:
		return f->flags & F_TIME ? "string" : "integer";
	case K_NUM:
		return "number";
	case K_BOOL:
	case K_TRI:
		return "boolean";
	case K_LIST:
		return "array";
	default:
		BUG("field %s has no type name", f->name);
	}
}

static void
write_ref(struct json *j, const char *key, const struct schema *s)
{
	struct buf ref;

	buf_init(&ref, j->out->arena, 0);
	buf_printf(&ref, "#/components/schemas/%s", s->name);
	json_obj(j, key);
	json_str(j, "$ref", buf_cstr(&ref));
	json_obj_end(j);
}

static void
write_type(struct json *j, const char *name, bool nullable)
{
	if (!nullable) {
		json_str(j, "type", name);
		return;
	}
	json_arr(j, "type");
	json_str(j, NULL, name);
	json_str(j, NULL, "null");
	json_arr_end(j);
}

static void
write_bounds(struct json *j, const struct field *f)
{
	const char *low = "minimum", *high = "maximum";
	int64_t ceiling = 0;

	if ((f->flags & F_TIME) || (f->flags & F_ID) || f->kind == K_ID || f->kind == K_ENUM)
		return;
	if (f->kind == K_TEXT) {
		low = "minLength";
		high = "maxLength";
		ceiling = TEXT_MAX_BYTES;
	} else if (f->kind == K_LIST) {
		low = "minItems";
		high = "maxItems";
		ceiling = LIST_MAX;
	} else if (f->kind != K_INT && f->kind != K_NUM) {
		return;
	}
	if (ceiling ? f->min > 0 : f->min != 0 || f->max != 0)
		json_int(j, low, f->min);
	int64_t max = f->max == 0 && f->min >= 0 ? ceiling : f->max;
	if (ceiling || (max != 0 && max != INT64_MAX) || f->min < 0)
		json_int(j, high, max);
}

static void
write_items(struct json *j, const struct field *f)
{
	if (f->sub) {
		write_ref(j, "items", f->sub);
		return;
	}
	json_obj(j, "items");
	json_str(j, "type", "string");
	if (f->flags & F_ID)
		json_str(j, "format", "uuid");
	json_obj_end(j);
}

static void
write_nested(struct json *j, const struct field *f, bool nullable)
{
	json_obj(j, f->name);
	if (nullable) { /* a reference has no type of its own to widen */
		json_arr(j, "anyOf");
		write_ref(j, NULL, f->sub);
		json_obj(j, NULL);
		json_str(j, "type", "null");
		json_obj_end(j);
		json_arr_end(j);
	} else {
		json_arr(j, "allOf");
		write_ref(j, NULL, f->sub);
		json_arr_end(j);
	}
	if (f->text)
		json_str(j, "description", f->text);
	json_obj_end(j);
}

static void
write_enum(struct json *j, const struct field *f, bool nullable)
{
	json_arr(j, "enum");
	for (int i = 1; f->names[i]; i++)
		json_str(j, NULL, f->names[i]);
	if (nullable)
		json_none(j, NULL);
	json_arr_end(j);
}

static void
write_property(struct json *j, const struct field *f, bool input)
{
	/* Input may say null for what it may leave out; output says null only where the table admits it. */
	bool nullable = input ? !(f->flags & F_REQUIRED) && f->kind != K_OBJ : f->flags & F_NULLABLE || f->kind == K_PTR;

	if (f->kind == K_OBJ || f->kind == K_PTR) {
		write_nested(j, f, nullable && !(f->kind == K_PTR && !input && (f->flags & F_OMIT)));
		return;
	}
	json_obj(j, f->name);
	if (!(f->flags & F_JSON) && !(f->flags & F_TOLERATED)) { /* what is ignored may be anything */
		write_type(j, type_name(f), nullable);
		if (f->flags & F_TIME)
			json_str(j, "format", "date-time");
		else if (f->kind == K_ID || (f->kind == K_TEXT && (f->flags & F_ID)))
			json_str(j, "format", "uuid");
		if (f->kind == K_ENUM)
			write_enum(j, f, nullable);
		if (f->kind == K_LIST)
			write_items(j, f);
		if (input)
			write_bounds(j, f);
	}
	if (input && (f->flags & F_SECRET))
		json_bool(j, "writeOnly", true);
	if (f->text)
		json_str(j, "description", f->text);
	json_obj_end(j);
}

static bool
is_listed(const struct field *f, bool input)
{
	if (input)
		return f->kind != K_BOOL || (f->flags & F_TOLERATED);
	return !(f->flags & F_TOLERATED);
}

static bool
is_needed(const struct field *f, bool input)
{
	if (!input)
		return !(f->flags & F_OMIT);
	if (f->flags & F_TOLERATED)
		return false;
	if (f->flags & F_REQUIRED)
		return true;
	if (f->kind == K_OBJ)
		for (size_t i = 0; i < f->sub->count; i++)
			if (is_needed(&f->sub->fields[i], true))
				return true;
	return false;
}

static void
write_schema(struct json *j, const char *key, const struct schema *s, bool input, bool closed)
{
	bool any = false;

	json_obj(j, key);
	json_str(j, "type", "object");
	json_obj(j, "properties");
	for (size_t i = 0; i < s->count; i++) {
		if (!is_listed(&s->fields[i], input))
			continue;
		write_property(j, &s->fields[i], input);
		any = any || is_needed(&s->fields[i], input);
	}
	json_obj_end(j);
	if (any) {
		json_arr(j, "required");
		for (size_t i = 0; i < s->count; i++)
			if (is_listed(&s->fields[i], input) && is_needed(&s->fields[i], input))
				json_str(j, NULL, s->fields[i].name);
		json_arr_end(j);
	}
	if (closed)
		json_bool(j, "additionalProperties", false);
	json_obj_end(j);
}

void
field_openapi(struct json *j, const char *key, const struct schema *s, bool input)
{
	write_schema(j, key, s, input, input);
}

void
field_openapi_open(struct json *j, const char *key, const struct schema *s)
{
	write_schema(j, key, s, true, false);
}
