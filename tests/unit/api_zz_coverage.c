/*
 * Every route and every error that a row lists must be reached by some test: calls through tests/support.c note what they saw in
 * the file that MUSTER_COVERAGE names, and this program, whose name sorts behind the other tests of api/, says what is missing
 * there.  Alone, without that file, it checks only its own reading.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *
read_notes(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!in)
		fail_msg("%s cannot be read", path);
	if (getdelim(&text, &size, EOF, in) < 0)
		fail_msg("%s is empty", path);
	fclose(in);
	return text;
}

/* The notes are lines "GET /api/events ok". */
static bool
noted(const char *notes, const struct route *r, const char *code)
{
	char line[300];

	snprintf(line, sizeof(line), "%s %s %s\n", method_name(r->method), r->path, code);
	for (const char *p = notes; (p = strstr(p, line)); p++)
		if (p == notes || p[-1] == '\n')
			return true;
	return false;
}

static int
missing_of(const char *notes, const struct route *r)
{
	int missing = 0;

	if (!noted(notes, r, "ok")) {
		print_error("no test gets a good answer from %s %s\n", method_name(r->method), r->path);
		missing++;
	}
	for (size_t i = 0; i < ROUTE_ERRORS_MAX && r->errors[i] != OK; i++)
		if (!noted(notes, r, err_row(r->errors[i])->code)) {
			print_error("no test gets %s from %s %s\n", err_row(r->errors[i])->code, method_name(r->method), r->path);
			missing++;
		}
	return missing;
}

static void
every_listed_answer_is_reached(void **state)
{
	int missing = 0;

	(void)state;
	if (!getenv("MUSTER_COVERAGE"))
		return;
	char *notes = read_notes(getenv("MUSTER_COVERAGE"));
	for (size_t t = 0; t < route_table_count; t++)
		for (size_t i = 0; i < route_tables[t]->count; i++)
			if (!route_tables[t]->rows[i].hidden)
				missing += missing_of(notes, &route_tables[t]->rows[i]);
	free(notes);
	assert_int_equal(missing, 0);
}

static void
notes_are_whole_lines(void **state)
{
	const struct route r = {.method = GET, .path = "/api/events"};

	(void)state;
	assert_true(noted("POST /x ok\nGET /api/events ok\n", &r, "ok"));
	assert_false(noted("XGET /api/events ok\n", &r, "ok"));
	assert_false(noted("GET /api/events okay\n", &r, "ok"));
	assert_false(noted("GET /api/events/{id} ok\n", &r, "ok"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_are_whole_lines),
		cmocka_unit_test(every_listed_answer_is_reached),
	};

	return cmocka_run_group_tests_name("api_zz_coverage", tests, NULL, NULL);
}
