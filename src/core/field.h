/*
 * Field tables.  One array per record says every member once: name, type, bounds, text.  From it come row → struct, struct ↔ JSON,
 * query and form parsing, validation, and the OpenAPI schema.
 *
 * "Absent" is NULL for text, lists and pointers, FIELD_NONE for int64_t (also times), NAN for double, TRI_UNSET for enum tri,
 * 0 for enums.  In input null is absent; in output absent is null.
 */
#ifndef MUSTER_CORE_FIELD_H
#define MUSTER_CORE_FIELD_H

#include <jansson.h>
#include <math.h>
#include <stddef.h>

#include "core/ctx.h"
#include "core/json.h"

#define FIELD_NONE INT64_MIN

enum tri { TRI_UNSET = 0, TRI_NO, TRI_YES };

enum field_kind {
	K_UNSET = 0,
	K_TEXT, /* const char * */
	K_ID,   /* struct uuid; absent is an empty text */
	K_INT,  /* int64_t */
	K_NUM,  /* double */
	K_BOOL, /* bool; output only */
	K_TRI,  /* enum tri: an optional bool */
	K_ENUM, /* an enum stored as int; index into `names` */
	K_OBJ,  /* an embedded struct */
	K_PTR,  /* pointer to a struct; NULL is null */
	K_LIST, /* struct list of structs (sub set) or of const char * (sub NULL) */
};

enum field_flag {
	F_REQUIRED = 1,  /* input: must be there */
	F_TIME = 2,      /* the int64_t is a time in µs: text outside */
	F_SECRET = 4,    /* never logged; writeOnly in OpenAPI when input */
	F_TRIM = 8,      /* input: white space at both ends is cut before the bounds are checked */
	F_OMIT = 16,     /* output: left out when absent, instead of null */
	F_JSON = 32,     /* the const char * holds JSON: any value in, raw out */
	F_DAY_END = 64,  /* a bare date means the end of that day */
	F_TOLERATED = 128, /* input: accepted and ignored (the contract lists it) */
	F_ID = 256,      /* text that is a UUID: checked and made lower-case */
	F_MULTILINE = 512, /* text may hold line breaks and tabs */
	F_NULLABLE = 1024, /* output: may be null (for the schema; text and pointers are checked against it in tests) */
};

struct schema;
struct field {
	const char *name;  /* JSON member and result column; a nested column is "event.title" */
	uint16_t offset, flags;
	uint8_t kind;
	int64_t min, max;  /* bytes of text, items of a list, or the value itself; max 0 with min 0: the kind's own ceiling */
	const char *const *names; /* K_ENUM: [0] "" and NULL-terminated */
	const struct schema *sub;
	const char *text;  /* what it means, for OpenAPI */
};
struct schema {
	const char *name; /* OpenAPI component, "MarkIn" */
	const struct field *fields;
	uint16_t count, size;
};
struct list {
	void *items; /* array of structs of sub->size, or of const char * */
	size_t count;
};

/* The kind comes from the member's type, so name, offset and type cannot disagree. */
#define FIELD_KIND_(s, m)                                                                                              \
	_Generic(((s *)0)->m, const char *: K_TEXT, struct uuid: K_ID, int64_t: K_INT, double: K_NUM, bool: K_BOOL,     \
		 enum tri: K_TRI, struct list: K_LIST)
#define F(s, m, fl, mn, mx, txt)                                                                                       \
	{ .name = #m, .offset = offsetof(s, m), .flags = (fl), .kind = FIELD_KIND_(s, m), .min = (mn), .max = (mx), .text = (txt) }
/* enum with its names; object; pointer to object; list of objects */
#define F_ENUM(s, m, fl, nms, txt)                                                                                     \
	{ .name = #m, .offset = offsetof(s, m), .flags = (fl), .kind = K_ENUM, .names = (nms), .text = (txt) }
#define F_OBJ(s, m, sch, txt) { .name = #m, .offset = offsetof(s, m), .kind = K_OBJ, .sub = (sch), .text = (txt) }
#define F_PTR(s, m, fl, sch, txt)                                                                                      \
	{ .name = #m, .offset = offsetof(s, m), .flags = (fl), .kind = K_PTR, .sub = (sch), .text = (txt) }
#define F_LIST(s, m, fl, sch, txt)                                                                                     \
	{ .name = #m, .offset = offsetof(s, m), .flags = (fl), .kind = K_LIST, .sub = (sch), .text = (txt) }
#define SCHEMA(nm, st, arr) { .name = (nm), .fields = (arr), .count = sizeof(arr) / sizeof((arr)[0]), .size = sizeof(st) }

/* Sets every member to its absent value. */
void field_clear(const struct schema *s, void *ret);

/*
 * Input.  Unknown members, wrong types and broken bounds are collected with error_field() and returned as one ERR_VALIDATION;
 * on any error *ret is untouched.  Strings live in cx->arena.
 */
enum err field_read_json(struct ctx *cx, const struct schema *s, const json_t *object, void *ret) MUST_CHECK;
struct pair {
	const char *name, *value;
};
/* Query strings and HTML forms: the same rules; numbers, bools and times are read from their text. An empty value is absent. */
enum err field_read_pairs(struct ctx *cx, const struct schema *s, const struct pair *pairs, size_t n, void *ret) MUST_CHECK;

/* Output: one JSON object under `key`. */
void field_write_json(struct json *j, const char *key, const struct schema *s, const void *rec);

/* Appends the OpenAPI 3.1 schema object.  `input` leaves out read-only matters and adds bounds and required. */
void field_openapi(struct json *j, const char *key, const struct schema *s, bool input);
/* Input whose unknown members are ignored. */
void field_openapi_open(struct json *j, const char *key, const struct schema *s);

/* Finds the member that a result column "a.b" names.  NULL when there is none.  *ret_path gives the fields from the outside in. */
enum { FIELD_DEPTH_MAX = 4 };
struct field_path {
	const struct field *step[FIELD_DEPTH_MAX];
	int depth;
};
bool field_resolve(const struct schema *s, const char *column, struct field_path *ret_path);
/* The address of that member in `rec`; makes K_PTR objects on the way in `a`. */
void *field_at(struct arena *a, const struct field_path *path, void *rec);

/* An integer or a time that was left out gives the fallback. */
static inline int64_t
field_or(int64_t value, int64_t fallback)
{
	return value != FIELD_NONE ? value : fallback;
}

int enum_index(const char *const *names, const char *s); /* 0 when unknown */

#endif
