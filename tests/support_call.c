/*
 * Calls through the dispatcher in process, and what a test says of their replies.  Every reply of success is held against the
 * schema of its route's row, so no test has to.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/stream.h"

#pragma weak method_name
#pragma weak dispatch_call
#pragma weak dispatch_route
#pragma weak stream_abandon
#pragma weak torture_before
#pragma weak torture_after

/* --- replies against their schemas ---- */

static const char *value_mismatch(struct arena *a, const struct field *f, const json_t *v);

static bool
is_time_text(const json_t *v)
{
	int64_t at_us;
	char again[TIME_WIRE_BYTES + 1];

	if (!json_is_string(v) || !time_parse(json_string_value(v), false, &at_us))
		return false;
	time_to_wire(at_us, again);
	return strcmp(again, json_string_value(v)) == 0;
}

static const char *
list_mismatch(struct arena *a, const struct field *f, const json_t *v)
{
	if (!json_is_array(v))
		return "is no list";
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);
		const char *wrong = f->sub ? schema_mismatch(a, f->sub, item) : json_is_string(item) ? "" : "is no text";
		if (wrong[0])
			return arena_printf(a, "[%zu] %s", i, wrong);
	}
	return "";
}

static const char *
enum_mismatch(const struct field *f, const json_t *v)
{
	for (int i = 1; f->names[i]; i++)
		if (json_is_string(v) && strcmp(f->names[i], json_string_value(v)) == 0)
			return "";
	return "is none of the enumeration";
}

static const char *
value_mismatch(struct arena *a, const struct field *f, const json_t *v)
{
	if (json_is_null(v))
		return (f->flags & F_NULLABLE) || f->kind == K_PTR ? "" : "is null, but not F_NULLABLE";
	switch ((enum field_kind)f->kind) {
	case K_TEXT:
		return (f->flags & F_JSON) || json_is_string(v) ? "" : "is no text";
	case K_ID:
		return json_is_string(v) && uuid_valid(json_string_value(v)) ? "" : "is no UUID";
	case K_INT:
		if (f->flags & F_TIME)
			return is_time_text(v) ? "" : "is no time";
		return json_is_integer(v) ? "" : "is no integer";
	case K_NUM:
		return json_is_number(v) ? "" : "is no number";
	case K_BOOL:
	case K_TRI:
		return json_is_boolean(v) ? "" : "is no boolean";
	case K_ENUM:
		return enum_mismatch(f, v);
	case K_OBJ:
	case K_PTR:
		return schema_mismatch(a, f->sub, v);
	case K_LIST:
		return list_mismatch(a, f, v);
	default:
		return "";
	}
}

const char *
schema_mismatch(struct arena *a, const struct schema *s, const json_t *value)
{
	size_t members = 0;

	if (!json_is_object(value))
		return "is no object";
	for (size_t i = 0; i < s->count; i++) {
		const struct field *f = &s->fields[i];
		const json_t *v = json_object_get(value, f->name);
		if (!v && ((f->flags & F_OMIT) || (f->flags & F_TOLERATED)))
			continue;
		const char *wrong = v ? value_mismatch(a, f, v) : "is missing";
		if (wrong[0])
			return arena_printf(a, ".%s %s", f->name, wrong);
		members++;
	}
	return members == json_object_size(value) ? "" : "has members that its schema does not list";
}

/* --- calls ---- */

static void
cover(const struct route *route, const struct test_reply *r)
{
	const char *path = getenv("MUSTER_COVERAGE");
	FILE *out = path && route && !route->hidden ? fopen(path, "a") : NULL;

	if (!out)
		return;
	fprintf(out, "%s %s %s\n", method_name(route->method), route->path, error_code(r)[0] ? error_code(r) : "ok");
	fclose(out);
}

static void
fill_request(struct test_reply *r, const struct test_request *in)
{
	struct request *rq = &r->x.request;
	struct arena *a = &r->x.arena;
	struct header *h = arena_new(a, struct header, in->n_headers + 4);
	const char *query = strchr(in->path, '?');

	rq->method = in->method;
	rq->path = query ? arena_strndup(a, in->path, (size_t)(query - in->path)) : arena_strdup(a, in->path);
	rq->query_text = arena_strdup(a, query ? query + 1 : "");
	rq->ip = rq->peer_ip = arena_strdup(a, in->ip ? in->ip : "192.0.2.1");
	rq->id = in->request_id ? arena_strdup(a, in->request_id) : NULL;
	rq->forwarded = in->forwarded;
	rq->tls = in->tls;
	rq->headers = h;
	if (in->body)
		rq->raw_body = (struct span){(const uint8_t *)in->body, in->body_n ? in->body_n : strlen(in->body)};
	for (size_t i = 0; i < in->n_headers; i++)
		h[rq->n_headers++] = in->headers[i];
	if (in->bearer)
		h[rq->n_headers++] = (struct header){"Authorization", arena_printf(a, "Bearer %s", in->bearer)};
	if (in->idempotency_key)
		h[rq->n_headers++] = (struct header){"Idempotency-Key", arena_strdup(a, in->idempotency_key)};
	if (in->content_type ? in->content_type[0] : in->body != NULL)
		h[rq->n_headers++] = (struct header){"Content-Type", in->content_type ? in->content_type : "application/json"};
}

static void
check_reply(struct test *t, const struct test_request *in, struct test_reply *r)
{
	enum surface surface;
	struct reply *rs = &r->x.reply;
	const struct route *route = dispatch_route(t->d, &r->x.arena, in->method, r->x.request.path, &surface);
	bool json = r->body_n && (!rs->content_type || str_starts(rs->content_type, "application/json"));

	if (json && !r->json)
		fail_msg("%s %s: the reply is no JSON: %s", method_name(in->method), in->path, r->body);
	if (route && route->reply && r->json && r->status >= 200 && r->status < 300) {
		const char *wrong = schema_mismatch(&r->x.arena, route->reply, r->json);
		if (wrong[0])
			fail_msg("%s %s: the reply does not fit %s: %s\n%s", method_name(in->method), in->path,
				route->reply->name, wrong, r->body);
	}
	cover(route, r);
}

struct test_reply *
request_run(struct test *t, const struct test_request *in)
{
	struct test_reply *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	if (!t->d)
		fail_msg("this test is linked without api/");
	arena_init(&r->x.arena);
	fill_request(r, in);
	dispatch_call(t->d, &r->x);
	r->status = r->x.reply.status;
	r->body_n = r->x.reply.body.n;
	r->body = r->body_n ? memcpy(arena_new(&r->x.arena, char, r->body_n + 1), r->x.reply.body.p, r->body_n) : "";
	r->json = r->body_n ? json_loadb(r->body, r->body_n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL) : NULL;
	return r;
}

void
reply_free(struct test_reply *r)
{
	json_decref(r->json);
	if (stream_abandon)
		stream_abandon(r->x.reply.stream);
	arena_release(&r->x.arena);
	free(r);
}

struct test_reply *
call_with(struct test *t, const struct test_request *in)
{
	if (torture_before)
		torture_before(t, in);
	struct test_reply *r = request_run(t, in);
	if (torture_after)
		torture_after();
	pthread_mutex_lock(&t->lock);
	r->next = t->replies;
	t->replies = r;
	pthread_mutex_unlock(&t->lock);
	check_reply(t, in, r);
	return r;
}

static char *
double_quotes(struct arena *a, const char *text)
{
	char *out = arena_strdup(a, text);

	for (char *p = out; *p; p++)
		if (*p == '\'')
			*p = '"';
	return out;
}

struct test_reply *
call(struct test *t, enum method m, const char *path, const char *bearer, const char *body)
{
	struct arena a CLEANUP(arena_release);

	arena_init(&a);
	return call_with(t, &(struct test_request){
				    .method = m, .path = path, .bearer = bearer, .body = body ? double_quotes(&a, body) : NULL});
}

/* --- what came back ---- */

const char *
reply_head(const struct test_reply *r, const char *name)
{
	for (size_t i = 0; i < r->x.reply.n_headers; i++)
		if (strcasecmp(r->x.reply.headers[i].name, name) == 0)
			return r->x.reply.headers[i].value;
	return NULL;
}

json_t *
reply_at(const struct test_reply *r, const char *path)
{
	json_t *at = r->json;
	char name[100];

	while (at && *path) {
		size_t n = strcspn(path, "."), index = 0;
		if (n >= sizeof(name))
			return NULL;
		str_copy(name, n + 1, path);
		if (json_is_array(at)) {
			index = strtoul(name, NULL, 10);
			at = json_array_get(at, index);
		} else {
			at = json_object_get(at, name);
		}
		path += n + (path[n] == '.');
	}
	return at;
}

const char *
text_at(const struct test_reply *r, const char *path)
{
	const json_t *v = reply_at(r, path);

	if (!json_is_string(v))
		fail_msg("%s is no text in %s", path, r->body);
	return json_string_value(v);
}

int64_t
int_at(const struct test_reply *r, const char *path)
{
	const json_t *v = reply_at(r, path);

	if (!json_is_integer(v))
		fail_msg("%s is no integer in %s", path, r->body);
	return json_integer_value(v);
}

const char *
error_code(const struct test_reply *r)
{
	const json_t *error = r->status >= 400 ? json_object_get(r->json, "error") : NULL;
	const json_t *reason = json_is_string(error) ? error : json_object_get(json_object_get(error, "details"), "reason");

	return json_is_string(reason) ? json_string_value(reason) : "";
}

static void
blame(const char *file, int line, const struct test_reply *r)
{
	print_error("%s %s → %d %s\n", method_name(r->x.request.method), r->x.request.path, r->status, r->body);
	_fail(file, line);
}

void
expect_status_at(const struct test_reply *r, int want, const char *file, int line)
{
	if (r->status == want)
		return;
	print_error("status %d wanted\n", want);
	blame(file, line, r);
}

void
expect_error_at(const struct test_reply *r, int want, const char *code, const char *file, int line)
{
	if (r->status == want && strcmp(error_code(r), code) == 0)
		return;
	print_error("%d %s wanted\n", want, code);
	blame(file, line, r);
}

void
expect_text_at(const struct test_reply *r, const char *path, const char *want, const char *file, int line)
{
	const json_t *v = reply_at(r, path);

	if (json_is_string(v) && strcmp(json_string_value(v), want) == 0)
		return;
	print_error("%s = \"%s\" wanted\n", path, want);
	blame(file, line, r);
}

void
expect_int_at(const struct test_reply *r, const char *path, int64_t want, const char *file, int line)
{
	const json_t *v = reply_at(r, path);

	if (json_is_integer(v) && json_integer_value(v) == want)
		return;
	print_error("%s = %lld wanted\n", path, (long long)want);
	blame(file, line, r);
}

void
expect_json_at(const struct test_reply *r, const char *path, const char *want, const char *file, int line)
{
	struct arena a CLEANUP(arena_release);

	arena_init(&a);
	json_t *wanted = json_loads(double_quotes(&a, want), JSON_DECODE_ANY, NULL);
	if (!wanted)
		fail_msg("the test's own JSON is wrong: %s", want);
	bool same = json_equal(reply_at(r, path), wanted);
	json_decref(wanted);
	if (same)
		return;
	print_error("%s = %s wanted\n", path, want);
	blame(file, line, r);
}

void
expect_head_at(const struct test_reply *r, const char *name, const char *want, const char *file, int line)
{
	const char *have = reply_head(r, name);

	if (str_eq(have, want))
		return;
	print_error("header %s: \"%s\" wanted, \"%s\" found\n", name, want ? want : "(absent)", have ? have : "(absent)");
	blame(file, line, r);
}
