/*
 * The OpenAPI document says what the tables say: every row that is not hidden, each with its errors, and nothing twice.
 */
#include "support.h"

#include <string.h>
#include <strings.h>

static json_t *
document(struct arena *a)
{
	struct buf out;
	json_error_t error;

	buf_init(&out, a, 0);
	openapi_write(&out);
	json_t *doc = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, &error);
	if (!doc)
		fail_msg("%d:%d %s", error.line, error.column, error.text);
	return doc;
}

static const json_t *
operation(const json_t *doc, const struct route *r)
{
	struct arena a CLEANUP(arena_release);

	arena_init(&a);
	return json_object_get(json_object_get(json_object_get(doc, "paths"), r->path), str_lower(&a, method_name(r->method)));
}

static void
every_row_is_there(void **state)
{
	struct arena a CLEANUP(arena_release);
	size_t listed = 0, found = 0;
	const char *path, *method;
	json_t *methods, *op;

	(void)state;
	arena_init(&a);
	json_t *doc = document(&a);
	for (size_t t = 0; t < route_table_count; t++)
		for (size_t i = 0; i < route_tables[t]->count; i++) {
			const struct route *r = &route_tables[t]->rows[i];
			const json_t *o = operation(doc, r);
			if (r->hidden) {
				assert_null(o);
				continue;
			}
			if (!o)
				fail_msg("%s %s is missing", method_name(r->method), r->path);
			listed++;
			assert_string_equal(json_string_value(json_object_get(o, "summary")), r->summary);
			assert_int_equal(json_array_size(json_object_get(o, "security")), r->access == ANYONE ? 0 : 1);
			assert_true(!r->body == !json_object_get(o, "requestBody"));
			if (r->body)
				assert_int_equal(json_object_size(json_object_get(json_object_get(o, "requestBody"), "content")),
					(r->files.min ? 1 : r->form ? 3 : 1) + r->csv);
		}
	json_object_foreach(json_object_get(doc, "paths"), path, methods) json_object_foreach(methods, method, op) found++;
	assert_int_equal(found, listed);
	json_decref(doc);
}

/* Each listed error stands as an example under its status. */
static void
every_listed_error_is_there(void **state)
{
	struct arena a CLEANUP(arena_release);

	(void)state;
	arena_init(&a);
	json_t *doc = document(&a);
	for (size_t t = 0; t < route_table_count; t++)
		for (size_t i = 0; i < route_tables[t]->count; i++) {
			const struct route *r = &route_tables[t]->rows[i];
			const json_t *responses = json_object_get(operation(doc, r), "responses");
			for (size_t k = 0; !r->hidden && k < ROUTE_ERRORS_MAX && r->errors[k] != OK; k++) {
				const struct err_row *row = err_row(r->errors[k]);
				const json_t *reply = json_object_get(responses, arena_printf(&a, "%d", row->status));
				const json_t *json = json_object_get(json_object_get(reply, "content"), "application/json");
				if (!json_object_get(json_object_get(json, "examples"), str_lower(&a, row->name)))
					fail_msg("%s %s: %s is missing", method_name(r->method), r->path, row->name);
			}
		}
	json_decref(doc);
}

/* Follows "#/a/b/c". */
static const json_t *
follow(const json_t *doc, const char *ref)
{
	char name[200];

	assert_true(str_starts(ref, "#/"));
	for (ref += 2; *ref && doc;) {
		size_t n = strcspn(ref, "/");
		str_copy(name, n + 1, ref);
		doc = json_object_get(doc, name);
		ref += n + (ref[n] == '/');
	}
	return doc;
}

static void
check_refs(const json_t *doc, const json_t *at)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_array(at))
		json_array_foreach(at, i, value) check_refs(doc, value);
	if (!json_is_object(at))
		return;
	const char *ref = json_string_value(json_object_get(at, "$ref"));
	if (ref && !follow(doc, ref))
		fail_msg("%s leads nowhere", ref);
	json_object_foreach((json_t *)(uintptr_t)at, key, value) check_refs(doc, value);
}

static void
references_and_ids_hold(void **state)
{
	struct arena a CLEANUP(arena_release);
	const char *path, *method;
	json_t *methods, *op;

	(void)state;
	arena_init(&a);
	json_t *doc = document(&a), *ids = json_object();
	check_refs(doc, doc);
	json_object_foreach(json_object_get(doc, "paths"), path, methods) json_object_foreach(methods, method, op)
	{
		const char *id = json_string_value(json_object_get(op, "operationId"));
		if (json_object_get(ids, id))
			fail_msg("operationId %s stands twice", id);
		json_object_set_new(ids, id, json_true());
		bool refused = false;
		const char *status;
		json_t *reply;
		json_object_foreach(json_object_get(op, "responses"), status, reply) refused = refused || status[0] == '4';
		assert_true(refused);
	}
	json_decref(ids);
	json_decref(doc);
}

/* One name, one schema, one direction: a component cannot be both strict input and lenient output. */
struct named {
	const struct schema *schema;
	bool input;
};

static void
collect(struct named *all, size_t *n, const struct schema *s, bool input)
{
	if (!s)
		return;
	for (size_t i = 0; i < *n; i++) {
		if (strcmp(all[i].schema->name, s->name) != 0)
			continue;
		if (all[i].schema != s || all[i].input != input)
			fail_msg("schema %s stands for two things", s->name);
		return;
	}
	assert_true(*n < 400);
	all[(*n)++] = (struct named){s, input};
	for (size_t i = 0; i < s->count; i++)
		collect(all, n, s->fields[i].sub, input);
}

static void
schema_names_are_unique(void **state)
{
	static struct named all[400];
	size_t n = 0;

	(void)state;
	for (size_t t = 0; t < route_table_count; t++)
		for (size_t i = 0; i < route_tables[t]->count; i++) {
			collect(all, &n, route_tables[t]->rows[i].body, true);
			collect(all, &n, route_tables[t]->rows[i].reply, false);
		}
	assert_true(n > 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_there),
		cmocka_unit_test(every_listed_error_is_there),
		cmocka_unit_test(references_and_ids_hold),
		cmocka_unit_test(schema_names_are_unique),
	};

	return cmocka_run_group_tests_name("api_openapi", tests, NULL, NULL);
}
