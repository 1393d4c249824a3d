/* Field tables: every kind in and out, bounds, all errors at once, pairs, columns, the OpenAPI schema. */
#include "core_env.h"

#include "core/field.h"

enum colour { COLOUR_UNSET, RED, GREEN, BLUE };
static const char *const colour_names[] = {"", "red", "green", "blue", NULL};

struct place {
	const char *city;
	double lat;
};
static const struct field place_fields[] = {
	F(struct place, city, F_REQUIRED | F_TRIM, 1, 20, "town"),
	F(struct place, lat, 0, -90, 90, "latitude"),
};
static const struct schema place_schema = SCHEMA("Place", struct place, place_fields);

struct thing {
	const char *title;
	const char *note;
	const char *owner_id;
	const char *password;
	const char *extra;
	struct uuid event_id;
	int64_t count;
	int64_t starts_at;
	int64_t until;
	double ratio;
	enum tri flag;
	bool active;
	int colour;
	struct place home;
	struct place *away;
	struct list tags;
	struct list stops;
	const char *grant_type;
};
static const struct field thing_fields[] = {
	F(struct thing, title, F_REQUIRED | F_TRIM, 1, 10, "what it is called"),
	F(struct thing, note, F_MULTILINE, 0, 100, NULL),
	F(struct thing, owner_id, F_ID, 0, 0, NULL),
	F(struct thing, password, F_SECRET, 8, 1024, NULL),
	F(struct thing, extra, F_JSON, 0, 0, NULL),
	F(struct thing, event_id, 0, 0, 0, NULL),
	F(struct thing, count, 0, 1, 100, NULL),
	F(struct thing, starts_at, F_TIME, 0, 0, NULL),
	F(struct thing, until, F_TIME | F_DAY_END | F_OMIT, 0, 0, NULL),
	F(struct thing, ratio, 0, 0, 1, NULL),
	F(struct thing, flag, 0, 0, 0, NULL),
	F(struct thing, active, 0, 0, 0, NULL),
	F_ENUM(struct thing, colour, F_NULLABLE, colour_names, NULL),
	F_OBJ(struct thing, home, &place_schema, NULL),
	F_PTR(struct thing, away, 0, &place_schema, "second home"),
	F_LIST(struct thing, tags, 0, NULL, NULL),
	F_LIST(struct thing, stops, F_OMIT, &place_schema, NULL),
	F(struct thing, grant_type, F_TOLERATED, 0, 0, NULL),
};
static const struct schema thing_schema = SCHEMA("Thing", struct thing, thing_fields);

static struct ctx cx;

static int
begin(void **state)
{
	(void)state;
	ctx_init(&cx, &arena, NULL);
	return 0;
}

static enum err
read_text(const char *text, struct thing *ret)
{
	const json_t *v = json_read(&arena, span_str(text));

	if (!v)
		fail_msg("not JSON: %s", text);
	error_clear(&cx);
	return field_read_json(&cx, &thing_schema, v, ret);
}

#define HOME "\"title\":\"x\",\"home\":{\"city\":\"Ulm\"}"

static void
every_kind_in_and_out(void **state)
{
	(void)state;
	struct thing t;
	struct buf b;
	struct json j;

	assert_int_equal(
		read_text("{\"title\":\"  Yoga \",\"note\":\"a\\nb\\tc\",\"owner_id\":\"919108F7-52D1-4320-9BAC-F847DB4148A8\","
			  "\"password\":\"geheim!!\",\"extra\":{\"k\":[1,\"é\"]},\"event_id\":\"919108F7-52D1-4320-9BAC-"
			  "F847DB4148A8\","
			  "\"count\":100,\"starts_at\":\"2026-01-01T12:00:00+02:00\",\"until\":\"2026-01-01\",\"ratio\":0.25,"
			  "\"flag\":false,"
			  "\"colour\":\"green\",\"home\":{\"city\":\" Ulm "
			  "\",\"lat\":48.4},\"away\":{\"city\":\"Bern\",\"lat\":null},"
			  "\"tags\":[\"a\",\"b\"],\"stops\":[{\"city\":\"Köln\",\"lat\":51}],\"grant_type\":{\"any\":1}}",
			&t),
		OK);
	assert_string_equal(t.title, "Yoga");
	assert_int_equal(t.flag, TRI_NO);
	assert_int_equal(t.colour, GREEN);
	assert_int_equal(t.starts_at, INT64_C(1767261600) * SECONDS_US);
	assert_int_equal(t.until, INT64_C(1767312000) * SECONDS_US - 1);
	assert_true(isnan(t.away->lat));
	assert_null(t.grant_type);
	t.active = true;

	buf_init(&b, &arena, 0);
	json_init(&j, &b);
	field_write_json(&j, NULL, &thing_schema, &t);
	assert_string_equal(buf_cstr(&b),
		"{\"title\":\"Yoga\",\"note\":\"a\\nb\\tc\",\"owner_id\":\"919108f7-52d1-4320-9bac-f847db4148a8\","
		"\"password\":\"geheim!!\",\"extra\":{\"k\":[1,\"é\"]},\"event_id\":\"919108f7-52d1-4320-9bac-f847db4148a8\","
		"\"count\":100,\"starts_at\":\"2026-01-01T10:00:00Z\",\"until\":\"2026-01-01T23:59:59Z\",\"ratio\":0.25,\"flag\":"
		"false,"
		"\"active\":true,\"colour\":\"green\",\"home\":{\"city\":\"Ulm\",\"lat\":48.4},\"away\":{\"city\":\"Bern\","
		"\"lat\":null},"
		"\"tags\":[\"a\",\"b\"],\"stops\":[{\"city\":\"Köln\",\"lat\":51}]}");
}

static void
absent_is_null_or_left_out(void **state)
{
	(void)state;
	struct thing t;
	struct buf b;
	struct json j;

	assert_int_equal(read_text("{" HOME ",\"count\":null,\"tags\":null,\"away\":null}", &t), OK);
	assert_int_equal(t.count, FIELD_NONE);
	assert_int_equal(t.starts_at, FIELD_NONE);
	assert_true(isnan(t.ratio));
	assert_null(t.note);
	assert_int_equal(t.event_id.text[0], 0);
	buf_init(&b, &arena, 0);
	json_init(&j, &b);
	field_write_json(&j, NULL, &thing_schema, &t);
	assert_string_equal(buf_cstr(&b), "{\"title\":\"x\",\"note\":null,\"owner_id\":null,\"password\":null,\"extra\":null,"
					  "\"event_id\":null,\"count\":null,"
					  "\"starts_at\":null,\"ratio\":null,\"flag\":null,\"active\":false,\"colour\":null,"
					  "\"home\":{\"city\":\"Ulm\",\"lat\":null},"
					  "\"away\":null,\"tags\":[]}");
}

static void
wrong_input_names_the_member(void **state)
{
	(void)state;
	static const struct {
		const char *json, *field, *message;
	} rows[] = {
		{"{\"home\":{\"city\":\"Ulm\"}}", "title", "is required"},
		{"{\"title\":null,\"home\":{\"city\":\"Ulm\"}}", "title", "is required"},
		{"{\"title\":\"x\"}", "home", "is required"},
		{"{\"title\":\"x\",\"home\":{}}", "home.city", "is required"},
		{"{\"title\":\"x\",\"home\":[]}", "home", "must be an object"},
		{"{\"title\":\"x\",\"home\":{\"city\":\"Ulm\",\"zip\":1}}", "home.zip", "is not a known member"},
		{"{" HOME ",\"surprise\":1}", "surprise", "is not a known member"},
		{"{" HOME ",\"active\":true}", "active", "is not a known member"},
		{"{" HOME ",\"\\u001b[2J\":1}", "?", "is not a known member"},
		{"{\"title\":\"   \",\"home\":{\"city\":\"Ulm\"}}", "title", "must not be empty"},
		{"{\"title\":\"12345678901\",\"home\":{\"city\":\"Ulm\"}}", "title", "must be at most 10 characters"},
		{"{\"title\":7,\"home\":{\"city\":\"Ulm\"}}", "title", "must be text"},
		{"{\"title\":\"a\\nb\",\"home\":{\"city\":\"Ulm\"}}", "title", "must not contain control characters"},
		{"{\"title\":\"a\\u009bb\",\"home\":{\"city\":\"Ulm\"}}", "title", "must not contain control characters"},
		{"{" HOME ",\"note\":\"a\\u001bb\"}", "note", "must not contain control characters"},
		{"{" HOME ",\"owner_id\":\"nobody\"}", "owner_id", "must be a UUID"},
		{"{" HOME ",\"event_id\":\"\"}", "event_id", "must be a UUID"},
		{"{" HOME ",\"password\":\"1234567\"}", "password", "must be at least 8 characters"},
		{"{" HOME ",\"password\":\"\"}", "password", "must be at least 8 characters"},
		{"{" HOME ",\"count\":0}", "count", "must be at least 1"},
		{"{" HOME ",\"count\":101}", "count", "must be at most 100"},
		{"{" HOME ",\"count\":1.5}", "count", "must be a whole number"},
		{"{" HOME ",\"count\":1e300}", "count", "must be a whole number"},
		{"{" HOME ",\"count\":\"5\"}", "count", "must be a whole number"},
		{"{" HOME ",\"count\":true}", "count", "must be a whole number"},
		{"{" HOME ",\"starts_at\":1767225600}", "starts_at", "must be text"},
		{"{" HOME ",\"starts_at\":\"tomorrow\"}", "starts_at", "must be a time such as 2026-01-31T09:00:00Z"},
		{"{" HOME ",\"ratio\":1.01}", "ratio", "must be at most 1"},
		{"{" HOME ",\"ratio\":\"1\"}", "ratio", "must be a number"},
		{"{" HOME ",\"flag\":1}", "flag", "must be true or false"},
		{"{" HOME ",\"flag\":\"true\"}", "flag", "must be true or false"},
		{"{" HOME ",\"colour\":\"Red\"}", "colour", "must be red, green or blue"},
		{"{" HOME ",\"colour\":\"\"}", "colour", "must be red, green or blue"},
		{"{" HOME ",\"colour\":1}", "colour", "must be text"},
		{"{" HOME ",\"away\":\"Bern\"}", "away", "must be an object"},
		{"{" HOME ",\"away\":{\"lat\":91,\"city\":\"B\"}}", "away.lat", "must be at most 90"},
		{"{" HOME ",\"tags\":\"a\"}", "tags", "must be a list"},
		{"{" HOME ",\"tags\":[\"a\",null]}", "tags.1", "must be text"},
		{"{" HOME ",\"tags\":[\"a\",\"\\u0007\"]}", "tags.1", "must not contain control characters"},
		{"{" HOME ",\"stops\":[{\"city\":\"A\"},{}]}", "stops.1.city", "is required"},
		{"{" HOME ",\"stops\":[7]}", "stops.0", "must be an object"},
		{"[]", "body", "must be an object"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct thing t, before;
		memset(&t, 0x5a, sizeof(t));
		before = t;
		if (read_text(rows[i].json, &t) != ERR_VALIDATION)
			fail_msg("accepted: %s", rows[i].json);
		assert_memory_equal(&t, &before, sizeof(t));
		const struct error_note *n = cx.error.notes;
		if (!n || strcmp(n->field, rows[i].field) != 0 || strcmp(n->text, rows[i].message) != 0 || n->next)
			fail_msg("%s: %s %s", rows[i].json, n ? n->field : "-", n ? n->text : "-");
	}
}

static void
all_errors_at_once_but_not_endlessly(void **state)
{
	(void)state;
	struct thing t;
	struct buf b;
	int notes = 0;

	assert_int_equal(read_text("{\"count\":0,\"ratio\":\"x\",\"who\":1,\"home\":{\"city\":\"\"}}", &t), ERR_VALIDATION);
	for (const struct error_note *n = cx.error.notes; n; n = n->next)
		notes++;
	assert_int_equal(notes, 5); /* and the missing title */

	buf_init(&b, &arena, 0);
	buf_str(&b, "{" HOME);
	for (int i = 0; i < 50000; i++)
		buf_printf(&b, ",\"unknown%d\":0", i);
	buf_str(&b, "}");
	assert_int_equal(read_text(buf_cstr(&b), &t), ERR_VALIDATION);
	notes = 0;
	for (const struct error_note *n = cx.error.notes; n; n = n->next)
		notes++;
	assert_int_equal(notes, 50);

	buf_init(&b, &arena, 0);
	buf_str(&b, "{" HOME ",\"tags\":[0");
	for (int i = 0; i < 4000; i++)
		buf_str(&b, ",0");
	buf_str(&b, "]}");
	assert_int_equal(read_text(buf_cstr(&b), &t), ERR_VALIDATION);
	notes = 0;
	for (const struct error_note *n = cx.error.notes; n; n = n->next)
		notes++;
	assert_int_equal(notes, 50);
}

static void
whole_reals_are_integers(void **state)
{
	(void)state;
	struct thing t;

	assert_int_equal(read_text("{" HOME ",\"count\":5.0,\"ratio\":1}", &t), OK);
	assert_int_equal(t.count, 5);
	assert_true(t.ratio == 1);
	error_clear(&cx);
	assert_int_equal(field_read_json(&cx, &thing_schema, NULL, &t), ERR_VALIDATION); /* no body is an empty one */
}

struct query {
	const char *search;
	int64_t page, limit;
	int64_t from, to;
	double lat;
	enum tri active;
	int colour;
	struct uuid event_id;
	struct list status;
};
static const struct field query_fields[] = {
	F(struct query, search, F_TRIM, 0, 20, NULL),
	F(struct query, page, 0, 1, 10000, NULL),
	F(struct query, limit, 0, 1, 100, NULL),
	F(struct query, from, F_TIME, 0, 0, NULL),
	F(struct query, to, F_TIME | F_DAY_END, 0, 0, NULL),
	F(struct query, lat, 0, -90, 90, NULL),
	F(struct query, active, 0, 0, 0, NULL),
	F_ENUM(struct query, colour, 0, colour_names, NULL),
	F(struct query, event_id, 0, 0, 0, NULL),
	{.name = "status", .offset = offsetof(struct query, status), .kind = K_LIST, .max = 3},
};
static const struct schema query_schema = SCHEMA("Query", struct query, query_fields);

static void
pairs_are_read_from_text(void **state)
{
	(void)state;
	const struct pair good[] = {{"search", " ann "}, {"page", "2"}, {"limit", ""}, {"from", "2026-01-01"},
		{"to", "2026-01-01"}, {"lat", "-4.5e1"}, {"active", "true"}, {"colour", "blue"},
		{"event_id", "919108f7-52d1-4320-9bac-f847db4148a8"}, {"status", "a"}, {"status", ""}, {"status", "b"}};
	const struct {
		struct pair pair;
		const char *message;
	} bad[] = {
		{{"page", "0"}, "must be at least 1"},
		{{"page", "1.0"}, "must be a whole number"},
		{{"page", "99999999999999999999"}, "must be a whole number"},
		{{"page", " 1"}, "must be a whole number"},
		{{"lat", "nan"}, "must be a number"},
		{{"lat", "0x1"}, "must be a number"},
		{{"lat", "1,5"}, "must be a number"},
		{{"lat", "[1]"}, "must be a number"},
		{{"lat", "91"}, "must be at most 90"},
		{{"active", "maybe"}, "must be true or false"},
		{{"colour", "pink"}, "must be red, green or blue"},
		{{"search", "\xff"}, "must be UTF-8 text"},
		{{"search", "a\x01"}, "must not contain control characters"},
		{{"to", "yesterday"}, "must be a time such as 2026-01-31T09:00:00Z"},
		{{"event_id", "1"}, "must be a UUID"},
		{{"other", "1"}, "is not a known member"},
	};
	struct query q;

	assert_int_equal(field_read_pairs(&cx, &query_schema, good, COUNT(good), &q), OK);
	assert_string_equal(q.search, "ann");
	assert_int_equal(q.page, 2);
	assert_int_equal(q.limit, FIELD_NONE);
	assert_int_equal(q.to - q.from, DAYS_US - 1);
	assert_true(q.lat == -45);
	assert_int_equal(q.active, TRI_YES);
	assert_int_equal(q.colour, BLUE);
	assert_int_equal(q.status.count, 2);
	assert_string_equal(((const char **)q.status.items)[1], "b");
	for (size_t i = 0; i < COUNT(bad); i++) {
		error_clear(&cx);
		if (field_read_pairs(&cx, &query_schema, &bad[i].pair, 1, &q) != ERR_VALIDATION)
			fail_msg("accepted %s=%s", bad[i].pair.name, bad[i].pair.value);
		assert_string_equal(cx.error.notes->field, bad[i].pair.name);
		assert_string_equal(cx.error.notes->text, bad[i].message);
	}
	error_clear(&cx);
	assert_int_equal(
		field_read_pairs(&cx, &query_schema, (struct pair[]){{"page", "1"}, {"page", "2"}}, 2, &q), ERR_VALIDATION);
	assert_string_equal(cx.error.notes->text, "must be given once");
	error_clear(&cx);
	const struct pair four[] = {{"status", "a"}, {"status", "b"}, {"status", "c"}, {"status", "d"}};
	assert_int_equal(field_read_pairs(&cx, &query_schema, four, 4, &q), ERR_VALIDATION);
	assert_string_equal(cx.error.notes->text, "must have at most 3 items");
}

static void
columns_find_their_member(void **state)
{
	(void)state;
	struct field_path path;
	struct thing t;

	field_clear(&thing_schema, &t);
	assert_true(field_resolve(&thing_schema, "title", &path));
	assert_ptr_equal(field_at(&arena, &path, &t), &t.title);
	assert_true(field_resolve(&thing_schema, "home.lat", &path));
	assert_ptr_equal(field_at(&arena, &path, &t), &t.home.lat);
	assert_true(field_resolve(&thing_schema, "away.city", &path));
	const char **city = field_at(&arena, &path, &t);
	assert_ptr_equal(city, &t.away->city);
	assert_true(isnan(t.away->lat));
	assert_ptr_equal(field_at(&arena, &path, &t), city); /* made once */
	assert_false(field_resolve(&thing_schema, "away", &(struct field_path){.depth = 0}) && path.depth == 0);
	static const char *const none[] = {
		"nothing", "title.x", "home.", "home.nothing", "", ".", "titl", "title2", "home.city.x"};
	for (size_t i = 0; i < COUNT(none); i++)
		if (field_resolve(&thing_schema, none[i], &path))
			fail_msg("%s", none[i]);
	assert_int_equal(enum_index(colour_names, "blue"), BLUE);
	assert_int_equal(enum_index(colour_names, ""), 0);
	assert_int_equal(enum_index(colour_names, "pink"), 0);
}

static const char *
schema_text(const struct schema *s, bool input)
{
	struct buf b;
	struct json j;

	buf_init(&b, &arena, 0);
	json_init(&j, &b);
	field_openapi(&j, NULL, s, input);
	assert_non_null(json_read(&arena, buf_span(&b)));
	return buf_cstr(&b);
}

static void
openapi_says_the_same(void **state)
{
	(void)state;
	assert_string_equal(schema_text(&place_schema, true),
		"{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":20,"
		"\"description\":\"town\"},"
		"\"lat\":{\"type\":[\"number\",\"null\"],\"minimum\":-90,\"maximum\":90,\"description\":\"latitude\"}},"
		"\"required\":[\"city\"],\"additionalProperties\":false}");
	assert_string_equal(schema_text(&place_schema, false),
		"{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"town\"},"
		"\"lat\":{\"type\":\"number\",\"description\":\"latitude\"}},\"required\":[\"city\",\"lat\"]}");
	const char *in = schema_text(&thing_schema, true), *out = schema_text(&thing_schema, false);
	assert_non_null(strstr(
		in, "\"password\":{\"type\":[\"string\",\"null\"],\"minLength\":8,\"maxLength\":1024,\"writeOnly\":true}"));
	assert_non_null(strstr(in, "\"starts_at\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"));
	assert_non_null(strstr(in, "\"event_id\":{\"type\":[\"string\",\"null\"],\"format\":\"uuid\"}"));
	assert_non_null(strstr(in, "\"colour\":{\"type\":[\"string\",\"null\"],\"enum\":[\"red\",\"green\",\"blue\",null]}"));
	assert_non_null(strstr(in, "\"tags\":{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"},\"maxItems\":5000}"));
	assert_non_null(strstr(in, "\"home\":{\"allOf\":[{\"$ref\":\"#/components/schemas/Place\"}]}"));
	assert_non_null(strstr(in, "\"required\":[\"title\",\"home\"]"));
	assert_non_null(strstr(in, "\"grant_type\":{}"));
	assert_null(strstr(in, "\"active\""));
	assert_non_null(strstr(out, "\"active\":{\"type\":\"boolean\"}"));
	assert_non_null(strstr(out, "\"away\":{\"anyOf\":[{\"$ref\":\"#/components/schemas/Place\"},{\"type\":\"null\"}],"
				    "\"description\":\"second home\"}"));
	assert_null(strstr(out, "grant_type"));
	assert_null(strstr(out, "\"until\","));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_kind_in_and_out, begin, reset),
		cmocka_unit_test_setup_teardown(absent_is_null_or_left_out, begin, reset),
		cmocka_unit_test_setup_teardown(wrong_input_names_the_member, begin, reset),
		cmocka_unit_test_setup_teardown(all_errors_at_once_but_not_endlessly, begin, reset),
		cmocka_unit_test_setup_teardown(whole_reals_are_integers, begin, reset),
		cmocka_unit_test_setup_teardown(pairs_are_read_from_text, begin, reset),
		cmocka_unit_test_setup_teardown(columns_find_their_member, begin, reset),
		cmocka_unit_test_setup_teardown(openapi_says_the_same, begin, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
