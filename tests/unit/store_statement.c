/* Statements as they are written, held against what is wrong with them and what becomes of them: no database. */
#include "store_env.h"

/* `wrong` is what must be said against it; NULL: nothing, and it is true. */
static bool
parses(struct arena *a, const char *kinds, const char *text, const char *wrong, struct statement *ret)
{
	const struct sql sql = {"CASE", kinds, text};
	const char *said = statement_parse(a, &sql, ret);

	if (!str_eq(said, wrong))
		fail_msg("%s: %s", text, said ? said : "accepted");
	return !said;
}

static void
statement_texts_are_checked(void **state)
{
	static const struct {
		const char *kinds, *text, *wrong; /* wrong NULL: accepted */
	} cases[] = {
		{"t", "SELECT $1", NULL},
		{"tt", "SELECT $1", "a kind has no $ parameter"},
		{"t", "SELECT $2", "a $ parameter has no kind"},
		{"t", "SELECT $0, $1", "a $ parameter has no kind"},
		{"q", "SELECT $1", "an unknown kind of parameter"},
		{"t", "SELECT ?1, $1", "parameters are written $1, $2, …"},
		{"", "SELECT '?', '$9', '{?1'", NULL},
		{"ti", "SELECT $1{?2 WHERE $2 > 1{?1 AND 1}}", "a group is nested or names no argument"},
		{"t", "SELECT $1{?3 x}", "a group is nested or names no argument"},
		{"t", "SELECT 1{?1 WHERE $1 = 2", "a group or a text does not end"},
		{"t", "SELECT 'x{?1 y'{?1 , 2}", NULL}, /* a group without its parameter: present or not is all it asks */
		{"iiiiii", "SELECT 1{?1 $1}{?2 $2}{?3 $3}{?4 $4}{?5 $5}{?6 $6}", "too many groups"},
		{"iiiiii", "SELECT $6{?1 $1}{?2 $2}{?3 $3}{?4 $4}{?5 $5}{?1 $1}", NULL},
	};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct statement st;
		(void)parses(&a, cases[i].kinds, cases[i].text, cases[i].wrong, &st);
	}
	struct sql sql = {"X", "iit", "SELECT 1{?1 AND a = $1 AND '}'}{?3 AND b = $3} LIMIT $2{?1 !}"};
	struct statement st;
	assert_null(statement_parse(&a, &sql, &st));
	assert_int_equal(st.n_groups, 2);
	assert_string_equal(st.texts[0], "SELECT 1 LIMIT $2");
	assert_string_equal(st.texts[1], "SELECT 1 AND a = $1 AND '}' LIMIT $2 !");
	assert_string_equal(st.texts[2], "SELECT 1 AND b = $3 LIMIT $2");
	assert_string_equal(st.texts[3], "SELECT 1 AND a = $1 AND '}' AND b = $3 LIMIT $2 !");
	arena_release(&a);
}

static void
texts_have_a_form_for_many(void **state)
{
	static const struct {
		const char *kinds, *text, *one, *many, *wrong;
	} cases[] = {
		{"it", "INSERT INTO t (a, b) SELECT $1, $2{+ FROM @}", "INSERT INTO t (a, b) SELECT $1, $2",
			"INSERT INTO t (a, b) SELECT many.p1, many.p2 FROM unnest($1, $2) WITH ORDINALITY AS many (p1, p2, number)",
			NULL},
		{"u", "SELECT {+many.number, }a, '@$1{+' FROM {+@ CROSS JOIN }t WHERE b = $1",
			"SELECT a, '@$1{+' FROM t WHERE b = $1",
			"SELECT many.number, a, '@$1{+' FROM unnest($1) WITH ORDINALITY AS many (p1, number) CROSS JOIN t WHERE b = "
			"many.p1",
			NULL},
		{"i", "SELECT 1{+ FROM @{+ x}} WHERE $1 = 1", NULL, NULL, "a group is nested or names no argument"},
		{"i", "SELECT $1{+ FROM @", NULL, NULL, "a group or a text does not end"},
		{"i", "SELECT 1{?1 WHERE $1 = 1}{+ FROM @}", NULL, NULL, "a text for many calls has no other groups"},
		{"", "SELECT 1{+ FROM @}", NULL, NULL, "a text for many calls has parameters, and no bytes"},
		{"x", "SELECT $1{+ FROM @}", NULL, NULL, "a text for many calls has parameters, and no bytes"},
	};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct statement st;
		if (!parses(&a, cases[i].kinds, cases[i].text, cases[i].wrong, &st))
			continue;
		assert_int_equal(statement_variants(&st), 2);
		assert_string_equal(st.texts[0], cases[i].one);
		assert_string_equal(st.texts[1], cases[i].many);
	}
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statement_texts_are_checked),
		cmocka_unit_test(texts_have_a_form_for_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
