/*
 * The OpenAPI 3.1 document, written from the tables and nothing else.
 *
 * A path's rows need not stand together in the tables, so each path is written at its first row, with the later ones.  Error
 * replies are grouped by status; each error of a surface is one example component, referred to by the operations that may answer
 * it.
 */
#include <ctype.h>
#include <string.h>

#include "api/call.h"
#include "core/json.h"

enum { COMPONENTS_MAX = 300, TAGS_MAX = 40 };

struct component {
	const struct schema *schema;
	bool input;
	bool open; /* unknown members are ignored: forms with files */
};

struct doc {
	struct json j;
	struct arena *arena;
	const struct row *rows;
	size_t n_rows;
	struct component components[COMPONENTS_MAX];
	size_t n_components;
	bool used[2][ERR__MAX]; /* [nested error shape][error] */
};

static bool
nested_errors(const struct row *row)
{
	return row->surface == SURFACE_CAMPUS || row->surface == SURFACE_ACCOUNTS;
}

static const char *
ref(struct doc *d, const char *kind, const char *name)
{
	return arena_printf(d->arena, "#/components/%s/%s", kind, name);
}

static void
write_ref(struct doc *d, const char *key, const char *kind, const char *name)
{
	json_obj(&d->j, key);
	json_str(&d->j, "$ref", ref(d, kind, name));
	json_obj_end(&d->j);
}

/* Remembers a schema and all it contains. */
static void
collect(struct doc *d, const struct schema *s, bool input)
{
	for (size_t i = 0; i < d->n_components; i++)
		if (strcmp(d->components[i].schema->name, s->name) == 0)
			return;
	if (d->n_components == COMPONENTS_MAX)
		BUG("more than %d schemas", COMPONENTS_MAX);
	d->components[d->n_components++] = (struct component){.schema = s, .input = input};
	for (size_t i = 0; i < s->count; i++)
		if (s->fields[i].sub)
			collect(d, s->fields[i].sub, input);
}

/* "getApiEventsById" */
static const char *
operation_id(struct doc *d, const struct route *r)
{
	struct buf b;
	bool upper = true;

	buf_init(&b, d->arena, 80);
	for (const char *m = method_name(r->method); *m; m++)
		buf_chr(&b, (char)tolower((unsigned char)*m));
	for (const char *p = r->path; *p; p++) {
		if (*p == '{')
			buf_str(&b, "By");
		if (!isalnum((unsigned char)*p)) {
			upper = true;
			continue;
		}
		buf_chr(&b, upper ? (char)toupper((unsigned char)*p) : *p);
		upper = false;
	}
	if (r->path[1] == '\0')
		buf_str(&b, "Root");
	return buf_cstr(&b);
}

static void
write_param_schema(struct doc *d, const struct field *f)
{
	struct json *j = &d->j;
	bool time = f->flags & F_TIME;
	bool number = f->kind == K_NUM || (f->kind == K_INT && !time);

	json_obj(j, "schema");
	json_str(j, "type", f->kind == K_NUM ? "number" : number ? "integer" : f->kind == K_TRI ? "boolean" : "string");
	if (time)
		json_str(j, "format", "date-time");
	if (f->kind == K_ID || (f->kind == K_TEXT && (f->flags & F_ID)))
		json_str(j, "format", "uuid");
	if (number && (f->min || f->max)) {
		json_int(j, "minimum", f->min);
		json_int(j, "maximum", f->max);
	}
	if (f->kind == K_TEXT && f->max)
		json_int(j, "maxLength", f->max);
	if (f->kind == K_ENUM) {
		json_arr(j, "enum");
		for (int i = 1; f->names[i]; i++)
			json_str(j, NULL, f->names[i]);
		json_arr_end(j);
	}
	json_obj_end(j);
}

static void
write_path_params(struct doc *d, const struct row *row)
{
	struct json *j = &d->j;
	const char *name;
	size_t n, i = 0;

	for (const char *p = row->route->path; *p == '/' && p[1]; p += n) {
		size_t name_n;
		n = strcspn(++p, "/");
		if (!path_param(p, n, &name, &name_n))
			continue;
		json_obj(j, NULL);
		json_strn(j, "name", name, name_n);
		json_str(j, "in", "path");
		json_bool(j, "required", true);
		json_obj(j, "schema");
		json_str(j, "type", "string");
		if (row->is_id[i++])
			json_str(j, "format", "uuid");
		json_obj_end(j);
		json_obj_end(j);
	}
}

static void
write_parameters(struct doc *d, const struct row *row)
{
	struct json *j = &d->j;
	const struct schema *q = row->route->query;

	if (row->n_params == 0 && !q && !row->route->idempotent)
		return;
	json_arr(j, "parameters");
	write_path_params(d, row);
	for (size_t i = 0; q && i < q->count; i++) {
		const struct field *f = &q->fields[i];
		json_obj(j, NULL);
		json_str(j, "name", f->name);
		json_str(j, "in", "query");
		if (f->text)
			json_str(j, "description", f->text);
		if (f->flags & F_REQUIRED)
			json_bool(j, "required", true);
		write_param_schema(d, f);
		json_obj_end(j);
	}
	if (row->route->idempotent)
		write_ref(d, NULL, "parameters", "IdempotencyKey");
	json_arr_end(j);
}

/* The form's texts, and beside them its files. */
static void
write_files(struct doc *d, const struct route *r)
{
	struct json *j = &d->j;

	json_obj(j, "schema");
	json_arr(j, "allOf");
	write_ref(d, NULL, "schemas", r->body->name);
	json_obj(j, NULL);
	json_str(j, "type", "object");
	json_obj(j, "properties");
	json_obj(j, r->files.part);
	if (r->files.max > 1) {
		json_str(j, "type", "array");
		json_int(j, "minItems", r->files.min);
		json_int(j, "maxItems", r->files.max);
		json_obj(j, "items");
	}
	json_str(j, "type", "string");
	json_str(j, "format", "binary");
	json_str(j, "description", "A JPEG or PNG picture.");
	if (r->files.max > 1)
		json_obj_end(j);
	json_obj_end(j);
	json_obj_end(j);
	if (r->files.min) {
		json_arr(j, "required");
		json_str(j, NULL, r->files.part);
		json_arr_end(j);
	}
	json_obj_end(j);
	json_arr_end(j);
	json_obj_end(j);
}

static void
write_body(struct doc *d, const struct route *r)
{
	static const char *const types[] = {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"};
	struct json *j = &d->j;
	bool required = r->files.min > 0;

	if (!r->body)
		return;
	for (size_t i = 0; i < r->body->count; i++)
		required = required || (r->body->fields[i].flags & F_REQUIRED);
	collect(d, r->body, true);
	for (size_t i = 0; r->files.max && i < d->n_components; i++)
		if (d->components[i].schema == r->body)
			d->components[i].open = true;
	json_obj(j, "requestBody");
	json_bool(j, "required", required);
	json_obj(j, "content");
	for (int i = r->files.min ? 2 : 0; i < (r->form ? 3 : 1); i++) {
		json_obj(j, types[i]);
		if (r->files.max && i == 2)
			write_files(d, r);
		else
			write_ref(d, "schema", "schemas", r->body->name);
		json_obj_end(j);
	}
	if (r->csv) {
		json_obj(j, "text/csv");
		json_obj(j, "schema");
		json_str(j, "type", "string");
		json_obj_end(j);
		json_obj_end(j);
	}
	json_obj_end(j);
	json_obj_end(j);
}

static const char *
status_text(int status)
{
	switch (status) {
	case 200:
		return "Done.";
	case 201:
		return "Created.";
	case 202:
		return "Accepted.";
	case 204:
		return "Done; there is nothing to say.";
	case 302:
	case 303:
		return "Go on at Location.";
	default:
		return "Answer.";
	}
}

static void
write_success(struct doc *d, const struct route *r)
{
	struct json *j = &d->j;

	json_obj(j, arena_printf(d->arena, "%d", r->status));
	json_str(j, "description", status_text(r->status));
	json_obj(j, "headers");
	write_ref(d, "X-Request-ID", "headers", "RequestId");
	json_obj_end(j);
	if (r->reply || r->reply_type) {
		json_obj(j, "content");
		json_obj(j, r->reply ? "application/json" : r->reply_type);
		if (r->reply) {
			collect(d, r->reply, false);
			write_ref(d, "schema", "schemas", r->reply->name);
		} else {
			json_obj(j, "schema");
			if (str_starts(r->reply_type, "application/json"))
				json_str(j, "type", "object");
			else if (!str_starts(r->reply_type, "image/png"))
				json_str(j, "type", "string");
			json_obj_end(j);
		}
		json_obj_end(j);
		json_obj_end(j);
	}
	json_obj_end(j);
}

static const char *
example_name(struct doc *d, bool nested, enum err e)
{
	return arena_printf(d->arena, "%s_%s", nested ? "nested" : "flat", str_lower(d->arena, err_row(e)->name));
}

static void
write_error_status(struct doc *d, const struct row *row, int status)
{
	struct json *j = &d->j;
	bool nested = nested_errors(row);
	struct buf text;

	buf_init(&text, d->arena, 200);
	for (enum err e = 1; e < ERR__MAX; e++)
		if (err_row(e)->status == status && row_answers(row, e))
			buf_printf(&text, "%s`%s`: %s", text.n ? "\n\n" : "", err_row(e)->code, err_row(e)->sentence);
	if (text.n == 0)
		return;
	json_obj(j, arena_printf(d->arena, "%d", status));
	json_str(j, "description", buf_cstr(&text));
	json_obj(j, "headers");
	write_ref(d, "X-Request-ID", "headers", "RequestId");
	if (status == 401)
		write_ref(d, "WWW-Authenticate", "headers", "Challenge");
	if (status == 429 || status == 503)
		write_ref(d, "Retry-After", "headers", "RetryAfter");
	json_obj_end(j);
	json_obj(j, "content");
	json_obj(j, "application/json");
	write_ref(d, "schema", "schemas", nested ? "NestedError" : "Error");
	json_obj(j, "examples");
	for (enum err e = 1; e < ERR__MAX; e++) {
		if (err_row(e)->status != status || !row_answers(row, e))
			continue;
		d->used[nested][e] = true;
		write_ref(d, str_lower(d->arena, err_row(e)->name), "examples", example_name(d, nested, e));
	}
	json_obj_end(j);
	json_obj_end(j);
	json_obj_end(j);
	json_obj_end(j);
}

static const char *
role_text(enum access access)
{
	static const char *const texts[] = {"", "Anyone.", "Any active account.", "Students.", "Lecturers and administrators.",
		"Reviewers and administrators.", "Administrators."};

	return texts[access];
}

static void
write_operation(struct doc *d, const struct row *row)
{
	const struct route *r = row->route;
	struct json *j = &d->j;

	json_obj(j, str_lower(d->arena, method_name(r->method)));
	json_str(j, "operationId", operation_id(d, r));
	json_arr(j, "tags");
	json_str(j, NULL, r->tag);
	json_arr_end(j);
	json_str(j, "summary", r->summary);
	json_str(j, "description",
		arena_printf(d->arena, "%s%s%s", r->text ? r->text : "", r->text ? "\n\n" : "", role_text(r->access)));
	json_arr(j, "security");
	if (r->access != ANYONE) {
		json_obj(j, NULL);
		json_arr(j, "bearer");
		json_arr_end(j);
		json_obj_end(j);
	}
	json_arr_end(j);
	write_parameters(d, row);
	write_body(d, r);
	json_obj(j, "responses");
	write_success(d, r);
	for (int status = 400; status < 600; status++)
		write_error_status(d, row, status);
	json_obj_end(j);
	json_obj_end(j);
}

static void
write_paths(struct doc *d)
{
	json_obj(&d->j, "paths");
	for (size_t i = 0; i < d->n_rows; i++) {
		const char *path = d->rows[i].route->path;
		bool seen = d->rows[i].route->hidden;
		for (size_t k = 0; k < i && !seen; k++)
			seen = !d->rows[k].route->hidden && strcmp(d->rows[k].route->path, path) == 0;
		if (seen)
			continue;
		json_obj(&d->j, path);
		for (size_t k = i; k < d->n_rows; k++)
			if (!d->rows[k].route->hidden && strcmp(d->rows[k].route->path, path) == 0)
				write_operation(d, &d->rows[k]);
		json_obj_end(&d->j);
	}
	json_obj_end(&d->j);
}

static void
write_tags(struct doc *d)
{
	const char *tags[TAGS_MAX];
	size_t n = 0;

	json_arr(&d->j, "tags");
	for (size_t i = 0; i < d->n_rows; i++) {
		const struct route *r = d->rows[i].route;
		bool seen = r->hidden;
		for (size_t k = 0; k < n && !seen; k++)
			seen = strcmp(tags[k], r->tag) == 0;
		if (seen)
			continue;
		if (n == TAGS_MAX)
			BUG("more than %d tags", TAGS_MAX);
		tags[n++] = r->tag;
		json_obj(&d->j, NULL);
		json_str(&d->j, "name", r->tag);
		json_str(&d->j, "description", arena_printf(d->arena, "Everything about %s.", r->tag));
		json_obj_end(&d->j);
	}
	json_arr_end(&d->j);
}

/* The two error documents, and what is common to all operations. */
static const char error_schema[] =
	"{\"type\":\"object\",\"required\":[\"error\",\"message\",\"request_id\"],\"properties\":{"
	"\"error\":{\"type\":\"string\",\"description\":\"Stable code.\"},"
	"\"message\":{\"type\":\"string\",\"description\":\"One sentence for people.\"},"
	"\"request_id\":{\"type\":\"string\"},"
	"\"details\":{\"type\":\"array\",\"description\":\"With validation_error only.\",\"items\":{\"$ref\":"
	"\"#/components/schemas/FieldError\"}}}}";
static const char field_error_schema[] = "{\"type\":\"object\",\"required\":[\"field\",\"message\"],\"properties\":{"
					 "\"field\":{\"type\":\"string\"},\"message\":{\"type\":\"string\"}}}";
static const char nested_error_schema[] =
	"{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{\"type\":\"object\","
	"\"required\":[\"code\",\"message\",\"details\",\"request_id\"],\"properties\":{"
	"\"code\":{\"type\":\"string\",\"enum\":[\"VALIDATION_ERROR\",\"HTTP_ERROR\",\"INTERNAL_ERROR\"]},"
	"\"message\":{\"type\":\"string\"},"
	"\"details\":{\"type\":\"object\",\"required\":[\"reason\"],\"properties\":{"
	"\"reason\":{\"type\":\"string\",\"description\":\"Stable code.\"},"
	"\"fields\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/FieldError\"}}}},"
	"\"request_id\":{\"type\":\"string\"}}}}}";
static const char shared_components[] =
	"{\"RequestId\":{\"description\":\"Names this request in logs and audit rows.\",\"schema\":{\"type\":\"string\"}},"
	"\"RetryAfter\":{\"description\":\"Seconds to wait.\",\"schema\":{\"type\":\"integer\"}},"
	"\"Challenge\":{\"description\":\"How to authenticate.\",\"schema\":{\"type\":\"string\"}}}";
static const char idempotency_parameter[] =
	"{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"description\":\"The same key by the same account within 24 hours "
	"gives the first reply again.\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}}";
static const char security_schemes[] = "{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"}}";

static void
write_examples(struct doc *d)
{
	const struct request rq = {.id = "0190d7a3-6a5e-7c4b-8f2d-3b1e5a9c7d10"};

	json_obj(&d->j, "examples");
	for (int nested = 0; nested < 2; nested++)
		for (enum err e = 1; e < ERR__MAX; e++) {
			if (!d->used[nested][e])
				continue;
			struct error_note note = {.field = "title", .text = "is missing"};
			struct error error = {.code = e, .notes = err_row(e)->status == 422 ? &note : NULL};
			struct buf value;
			buf_init(&value, d->arena, 200);
			error_body(&value, nested ? SURFACE_CAMPUS : SURFACE_PORTAL, &rq, &error);
			json_obj(&d->j, example_name(d, nested, e));
			json_str(&d->j, "summary", err_row(e)->code);
			json_raw(&d->j, "value", buf_cstr(&value));
			json_obj_end(&d->j);
		}
	json_obj_end(&d->j);
}

static void
write_components(struct doc *d)
{
	struct json *j = &d->j;
	bool nested = false, flat = false, keyed = false;

	for (size_t i = 0; i < d->n_rows; i++) {
		nested = nested || (nested_errors(&d->rows[i]) && !d->rows[i].route->hidden);
		flat = flat || (!nested_errors(&d->rows[i]) && !d->rows[i].route->hidden);
		keyed = keyed || (d->rows[i].route->idempotent && !d->rows[i].route->hidden);
	}
	json_obj(j, "components");
	json_raw(j, "securitySchemes", security_schemes);
	json_obj(j, "schemas");
	for (size_t i = 0; i < d->n_components; i++)
		if (d->components[i].open)
			field_openapi_open(j, d->components[i].schema->name, d->components[i].schema);
		else
			field_openapi(j, d->components[i].schema->name, d->components[i].schema, d->components[i].input);
	if (flat)
		json_raw(j, "Error", error_schema);
	if (nested)
		json_raw(j, "NestedError", nested_error_schema);
	json_raw(j, "FieldError", field_error_schema);
	json_obj_end(j);
	write_examples(d);
	json_raw(j, "headers", shared_components);
	if (keyed) {
		json_obj(j, "parameters");
		json_raw(j, "IdempotencyKey", idempotency_parameter);
		json_obj_end(j);
	}
	json_obj_end(j);
}

static void
write_info(struct json *j)
{
	json_obj(j, "info");
	json_str(j, "title", "Muster");
	json_str(j, "version", MUSTER_VERSION);
	json_str(j, "summary", "Who was really in the room?");
	json_str(j, "description",
		"Attendance with signed QR codes, accounts with approval, and an audit trail.\n\n"
		"Times are UTC in RFC 3339 form, ids are UUIDs.  Every reply carries X-Request-ID.  Unknown members of a body "
		"are refused.");
	json_obj(j, "license");
	json_str(j, "name", "Apache-2.0");
	json_str(j, "identifier", "Apache-2.0");
	json_obj_end(j);
	json_obj_end(j);
	json_arr(j, "servers");
	json_obj(j, NULL);
	json_str(j, "url", "/");
	json_str(j, "description", "This server");
	json_obj_end(j);
	json_arr_end(j);
}

void
openapi_write(struct buf *out)
{
	struct arena a CLEANUP(arena_release);

	arena_init(&a);
	struct doc *d = arena_new(&a, struct doc, 1);
	d->arena = &a;
	d->rows = router_rows(router_open(&a, route_tables, route_table_count), &d->n_rows);
	json_init(&d->j, out);
	json_obj(&d->j, NULL);
	json_str(&d->j, "openapi", "3.1.0");
	write_info(&d->j);
	write_tags(d);
	write_paths(d);
	write_components(d);
	json_obj_end(&d->j);
}
