/*
 * JSON in: jansson, made strict (UTF-8, no NUL, no duplicate members, depth at most JSON_DEPTH_MAX, nothing after the value).
 * JSON out: an escaping writer into a struct buf, without a tree.  Commas are put in by the writer.
 */
#ifndef MUSTER_CORE_JSON_H
#define MUSTER_CORE_JSON_H

#include <jansson.h>

#include "core/str.h"

/* Parses all of `text`; NULL when it is not strict JSON.  The value lives as long as the arena (released by arena_defer). */
json_t *json_read(struct arena *a, struct span text);

struct json {
	struct buf *out;
	uint64_t has; /* bit per depth: a member was written there, so a comma is due */
	int depth;
};
void json_init(struct json *j, struct buf *out);
void json_obj(struct json *j, const char *key);  /* key is NULL inside arrays and at the top */
void json_obj_end(struct json *j);
void json_arr(struct json *j, const char *key);
void json_arr_end(struct json *j);
void json_str(struct json *j, const char *key, const char *v); /* NULL gives null */
void json_strn(struct json *j, const char *key, const char *v, size_t n);
void json_int(struct json *j, const char *key, int64_t v);
void json_num(struct json *j, const char *key, double v);      /* shortest that reads back; NaN and infinities give null */
void json_bool(struct json *j, const char *key, bool v);
void json_none(struct json *j, const char *key);                /* null; json_null() is jansson's */
void json_time(struct json *j, const char *key, int64_t at_us); /* wire form; TIME_NONE gives null */
void json_raw(struct json *j, const char *key, const char *json_text); /* already JSON */

/* Appends `s` as the inside of a JSON string: escapes quotes, backslash, controls, and U+2028/2029. */
void json_escape(struct buf *out, const char *s, size_t n);

#endif
