/*
 * Field tables, input: JSON objects and name-value pairs into structs.
 *
 * A record is read into a copy in the arena and given out only when nothing was wrong with it.  Every wrong member gets its own
 * sentence, so that a form can show all of them at once; the member's place is written as "items.0.name".
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/field.h"

enum { WRONG_MAX = 50 }; /* a hostile body gets no longer list than that */

struct reading {
	struct ctx *cx;
	int wrong;
};

#define WRONG(r, where, ...)                                        \
	do {                                                        \
		if ((r)->wrong++ < WRONG_MAX)                       \
			error_field((r)->cx, (where), __VA_ARGS__); \
	} while (0)

static bool
has_bounds(const struct field *f)
{
	return f->min != 0 || f->max != 0;
}

/* An upper bound of 0 means the ceiling of the kind, unless the range itself ends there. */
static int64_t
upper(const struct field *f, int64_t ceiling)
{
	return f->max == 0 && f->min >= 0 ? ceiling : f->max;
}

static void
check_range(struct reading *r, const struct field *f, const char *where, double v)
{
	if (!has_bounds(f))
		return;
	int64_t max = upper(f, INT64_MAX);
	if (v < (double)f->min)
		WRONG(r, where, "must be at least %lld", (long long)f->min);
	else if (v > (double)max)
		WRONG(r, where, "must be at most %lld", (long long)max);
}

static void
read_int(struct reading *r, const struct field *f, const char *where, int64_t v, int64_t *ret)
{
	if (v == FIELD_NONE) {
		WRONG(r, where, "is out of range");
		return;
	}
	if (has_bounds(f)) {
		int64_t max = upper(f, INT64_MAX);
		if (v < f->min) {
			WRONG(r, where, "must be at least %lld", (long long)f->min);
			return;
		}
		if (v > max) {
			WRONG(r, where, "must be at most %lld", (long long)max);
			return;
		}
	}
	*ret = v;
}

static void
read_num(struct reading *r, const struct field *f, const char *where, double v, double *ret)
{
	if (!isfinite(v)) {
		WRONG(r, where, "must be a number");
		return;
	}
	check_range(r, f, where, v);
	*ret = v;
}

static void
read_time(struct reading *r, const struct field *f, const char *where, const char *text, int64_t *ret)
{
	if (!time_parse(text, f->flags & F_DAY_END, ret))
		WRONG(r, where, "must be a time such as 2026-01-31T09:00:00Z");
}

static bool
only_line_controls(const char *s)
{
	for (const uint8_t *p = (const uint8_t *)s; *p; p++) {
		if ((*p < 0x20 && *p != '\n' && *p != '\r' && *p != '\t') || *p == 0x7f)
			return false;
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			return false;
	}
	return true;
}

/* The value's text in the arena, or NULL when it was refused. */
static const char *
checked_text(struct reading *r, const struct field *f, const char *where, const char *text)
{
	struct uuid id;

	if (!str_utf8_valid(span_str(text))) {
		WRONG(r, where, "must be UTF-8 text");
		return NULL;
	}
	text = f->flags & F_TRIM ? str_trim(r->cx->arena, text) : arena_strdup(r->cx->arena, text);
	if (f->flags & F_MULTILINE ? !only_line_controls(text) : str_has_control(text)) {
		WRONG(r, where, "must not contain control characters");
		return NULL;
	}
	if (f->flags & F_ID) {
		if (!uuid_canonical(text, &id)) {
			WRONG(r, where, "must be a UUID");
			return NULL;
		}
		return arena_strdup(r->cx->arena, id.text);
	}
	size_t n = strlen(text);
	int64_t max = f->kind == K_LIST ? TEXT_MAX_BYTES : upper(f, TEXT_MAX_BYTES); /* of a list, min and max count items */
	if (f->kind != K_LIST && (int64_t)n < f->min) {
		if (f->min == 1)
			WRONG(r, where, "must not be empty");
		else
			WRONG(r, where, "must be at least %lld characters", (long long)f->min);
		return NULL;
	}
	if ((int64_t)n > max) {
		WRONG(r, where, "must be at most %lld characters", (long long)max);
		return NULL;
	}
	return text;
}

static void
read_id(struct reading *r, const char *where, const char *text, struct uuid *ret)
{
	if (!uuid_canonical(text, ret))
		WRONG(r, where, "must be a UUID");
}

static void
read_enum(struct reading *r, const struct field *f, const char *where, const char *text, int *ret)
{
	struct buf words;
	int v = enum_index(f->names, text);

	if (v) {
		*ret = v;
		return;
	}
	buf_init(&words, r->cx->arena, 0);
	for (int i = 1; f->names[i]; i++) {
		if (i > 1)
			buf_str(&words, f->names[i + 1] ? ", " : " or ");
		buf_str(&words, f->names[i]);
	}
	WRONG(r, where, "must be %s", buf_cstr(&words));
}

static void read_object(struct reading *r, const struct schema *s, const char *prefix, const json_t *object, void *rec);

static const char *
text_of(struct reading *r, const char *where, const json_t *v)
{
	if (json_is_string(v))
		return json_string_value(v);
	WRONG(r, where, "must be text");
	return NULL;
}

static bool
list_size_fits(struct reading *r, const struct field *f, const char *where, size_t n)
{
	int64_t max = upper(f, LIST_MAX);

	if ((int64_t)n < f->min)
		WRONG(r, where, "must have at least %lld items", (long long)f->min);
	else if ((int64_t)n > max)
		WRONG(r, where, "must have at most %lld items", (long long)max);
	else
		return true;
	return false;
}

static void
read_list(struct reading *r, const struct field *f, const char *where, const json_t *v, struct list *ret)
{
	if (!json_is_array(v)) {
		WRONG(r, where, "must be a list");
		return;
	}
	size_t n = json_array_size(v);
	if (!list_size_fits(r, f, where, n))
		return;
	size_t size = f->sub ? f->sub->size : sizeof(const char *);
	uint8_t *items = arena_alloc(r->cx->arena, n, size);
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(v, i);
		const char *place = arena_printf(r->cx->arena, "%s.%zu", where, i);
		if (!f->sub) {
			const char *text = text_of(r, place, item);
			if (text)
				((const char **)(void *)items)[i] = checked_text(r, f, place, text);
		} else if (json_is_object(item)) {
			read_object(r, f->sub, place, item, items + i * size);
		} else {
			WRONG(r, place, "must be an object");
		}
	}
	*ret = (struct list){items, n};
}

static void
read_any(struct reading *r, const char *where, const json_t *v, const char **ret)
{
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	size_t n = json_dumpb(v, NULL, 0, flags);
	char *text = arena_alloc(r->cx->arena, n + 1, 1);

	if (!n || json_dumpb(v, text, n, flags) != n)
		WRONG(r, where, "must be JSON");
	else
		*ret = text;
}

static void
read_text(struct reading *r, const struct field *f, const char *where, const char *text, const char **ret)
{
	const char *checked = checked_text(r, f, where, text);

	if (checked)
		*ret = checked;
}

static void
read_number(struct reading *r, const struct field *f, const char *where, const json_t *v, void *at)
{
	const double exact = 9007199254740992.0; /* 2^53: up to here a real says exactly which integer it is */

	if (f->kind == K_NUM && json_is_number(v)) {
		read_num(r, f, where, json_number_value(v), at);
	} else if (f->kind == K_NUM) {
		WRONG(r, where, "must be a number");
	} else if (json_is_integer(v)) {
		read_int(r, f, where, json_integer_value(v), at);
	} else if (json_is_real(v) && fabs(json_real_value(v)) <= exact && trunc(json_real_value(v)) == json_real_value(v)) {
		read_int(r, f, where, (int64_t)json_real_value(v), at);
	} else {
		WRONG(r, where, "must be a whole number");
	}
}

static void
read_nested(struct reading *r, const struct field *f, const char *where, const json_t *v, void *at)
{
	if (!json_is_object(v)) {
		WRONG(r, where, "must be an object");
	} else if (f->kind == K_OBJ) {
		read_object(r, f->sub, where, v, at);
	} else {
		void *rec = arena_alloc(r->cx->arena, 1, f->sub->size);
		read_object(r, f->sub, where, v, rec);
		*(void **)at = rec;
	}
}

/* What has a text form: the JSON string and the value of a pair are read alike. */
static void
read_from_text(struct reading *r, const struct field *f, const char *where, const char *text, void *at)
{
	switch ((enum field_kind)f->kind) {
	case K_TEXT:
		read_text(r, f, where, text, at);
		return;
	case K_ID:
		read_id(r, where, text, at);
		return;
	case K_INT:
		read_time(r, f, where, text, at);
		return;
	case K_ENUM:
		read_enum(r, f, where, text, at);
		return;
	default:
		BUG("field %s has no text form", f->name);
	}
}

static void
read_value(struct reading *r, const struct field *f, const char *where, const json_t *v, void *at)
{
	const char *text;

	if (f->flags & F_JSON) {
		read_any(r, where, v, at);
	} else if (f->kind == K_NUM || (f->kind == K_INT && !(f->flags & F_TIME))) {
		read_number(r, f, where, v, at);
	} else if (f->kind == K_OBJ || f->kind == K_PTR) {
		read_nested(r, f, where, v, at);
	} else if (f->kind == K_LIST) {
		read_list(r, f, where, v, at);
	} else if (f->kind == K_TRI) {
		if (json_is_boolean(v))
			*(enum tri *)at = json_is_true(v) ? TRI_YES : TRI_NO;
		else
			WRONG(r, where, "must be true or false");
	} else if ((text = text_of(r, where, v))) {
		read_from_text(r, f, where, text, at);
	}
}

/* The place in an error's text.  A name that a stranger chose is shown only when it is short and clean. */
static const char *
place_of(struct reading *r, const char *prefix, const char *name)
{
	if (strlen(name) > 64 || !str_utf8_valid(span_str(name)) || str_has_control(name))
		name = "?";
	return prefix[0] ? arena_printf(r->cx->arena, "%s.%s", prefix, name) : arena_strdup(r->cx->arena, name);
}

/* NULL when input may not name it; a bool cannot say "absent", so it is output only. */
static const struct field *
input_field(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->fields[i].name, name) == 0)
			return s->fields[i].kind == K_BOOL && !(s->fields[i].flags & F_TOLERATED) ? NULL : &s->fields[i];
	return NULL;
}

static bool
needs_anything(const struct schema *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->fields[i].flags & F_REQUIRED || (s->fields[i].kind == K_OBJ && needs_anything(s->fields[i].sub)))
			return true;
	return false;
}

static void
check_required(struct reading *r, const struct schema *s, const char *prefix, const bool *seen)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		if (seen[i] || (f->flags & F_TOLERATED))
			continue;
		if (f->flags & F_REQUIRED || (f->kind == K_OBJ && needs_anything(f->sub)))
			WRONG(r, place_of(r, prefix, f->name), "is required");
	}
}

static void
read_object(struct reading *r, const struct schema *s, const char *prefix, const json_t *object, void *rec)
{
	bool *seen = arena_new(r->cx->arena, bool, s->count);
	json_t *members = (json_t *)(uintptr_t)object; /* the library's iterator is not const, though it changes nothing */

	field_clear(s, rec);
	for (void *it = json_object_iter(members); it && r->wrong < WRONG_MAX; it = json_object_iter_next(members, it)) {
		const char *name = json_object_iter_key(it);
		const json_t *v = json_object_iter_value(it);
		const struct field *f = input_field(s, name);
		if (!f) {
			WRONG(r, place_of(r, prefix, name), "is not a known member");
		} else if (!(f->flags & F_TOLERATED) && !json_is_null(v)) {
			seen[f - s->fields] = true;
			read_value(r, f, place_of(r, prefix, f->name), v, (uint8_t *)rec + f->offset);
		}
	}
	check_required(r, s, prefix, seen);
}

static enum err
finish(struct reading *r, const struct schema *s, const void *rec, void *ret)
{
	if (r->wrong)
		return fail(r->cx, ERR_VALIDATION, NULL);
	memcpy(ret, rec, s->size);
	return OK;
}

enum err
field_read_json(struct ctx *cx, const struct schema *s, const json_t *object, void *ret)
{
	struct reading r = {.cx = cx};
	void *rec = arena_alloc(cx->arena, 1, s->size);

	if (object && !json_is_object(object))
		WRONG(&r, "body", "must be an object");
	else
		read_object(&r, s, "", object, rec);
	return finish(&r, s, rec, ret);
}

static bool
bool_of_text(const char *text, enum tri *ret)
{
	static const char *const words[] = {"", "false", "0", "no", "off", "true", "1", "yes", "on", NULL};
	int i = enum_index(words, text);

	if (!i)
		return false;
	*ret = i <= 4 ? TRI_NO : TRI_YES;
	return true;
}

static const char *
after_digits(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n ? s + n : NULL;
}

/* JSON's grammar for a number: strtod() alone takes "0x1p3", "nan" and a leading blank too.  The program sets no locale. */
static bool
double_of_text(const char *text, double *ret)
{
	const char *s = text + (text[0] == '-');

	s = s[0] == '0' ? s + 1 : after_digits(s);
	if (s && s[0] == '.')
		s = after_digits(s + 1);
	if (s && (s[0] == 'e' || s[0] == 'E'))
		s = after_digits(s + 1 + (s[1] == '-' || s[1] == '+'));
	if (!s || s[0])
		return false;
	*ret = strtod(text, NULL);
	return isfinite(*ret);
}

static void
read_pair(struct reading *r, const struct field *f, const char *where, const char *text, void *at)
{
	int64_t whole;
	double real;

	if (f->flags & F_JSON) {
		const json_t *v = json_read(r->cx->arena, span_str(text));
		if (v)
			read_any(r, where, v, at);
		else
			WRONG(r, where, "must be JSON");
	} else if (f->kind == K_INT && !(f->flags & F_TIME)) {
		if (str_int(text, INT64_MIN, INT64_MAX, &whole))
			read_int(r, f, where, whole, at);
		else
			WRONG(r, where, "must be a whole number");
	} else if (f->kind == K_NUM) {
		if (double_of_text(text, &real))
			read_num(r, f, where, real, at);
		else
			WRONG(r, where, "must be a number");
	} else if (f->kind == K_TRI) {
		if (!bool_of_text(text, at))
			WRONG(r, where, "must be true or false");
	} else {
		read_from_text(r, f, where, text, at);
	}
}

/* A list of text is given by repeating its name. */
static void
read_repeated(struct reading *r, const struct field *f, const struct pair *pairs, size_t n, struct list *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += strcmp(pairs[i].name, f->name) == 0 && pairs[i].value[0];
	if (!list_size_fits(r, f, f->name, count))
		return;
	const char **items = arena_new(r->cx->arena, const char *, count);
	size_t at = 0;
	for (size_t i = 0; i < n; i++)
		if (strcmp(pairs[i].name, f->name) == 0 && pairs[i].value[0])
			items[at++] = checked_text(r, f, f->name, pairs[i].value);
	*ret = (struct list){items, count};
}

static bool
has_text_form(const struct field *f)
{
	return f->kind != K_OBJ && f->kind != K_PTR && (f->kind != K_LIST || !f->sub);
}

enum err
field_read_pairs(struct ctx *cx, const struct schema *s, const struct pair *pairs, size_t n, void *ret)
{
	struct reading r = {.cx = cx};
	uint8_t *rec = arena_alloc(cx->arena, 1, s->size);
	bool *seen = arena_new(cx->arena, bool, s->count);

	field_clear(s, rec);
	for (size_t i = 0; i < n && r.wrong < WRONG_MAX; i++) {
		const struct field *f = input_field(s, pairs[i].name);
		if (!f || !has_text_form(f)) {
			WRONG(&r, place_of(&r, "", pairs[i].name), "is not a known member");
			continue;
		}
		if ((f->flags & F_TOLERATED) || !pairs[i].value[0])
			continue;
		bool again = seen[f - s->fields];
		seen[f - s->fields] = true;
		if (f->kind == K_LIST) {
			if (!again)
				read_repeated(&r, f, pairs, n, (struct list *)(void *)(rec + f->offset));
		} else if (again) {
			WRONG(&r, f->name, "must be given once");
		} else {
			read_pair(&r, f, f->name, pairs[i].value, rec + f->offset);
		}
	}
	check_required(&r, s, "", seen);
	return finish(&r, s, rec, ret);
}
