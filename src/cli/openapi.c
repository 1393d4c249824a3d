/*
 * `muster openapi`: the documents that follow from the route and error tables.  Neither needs a configuration.
 */
#include "api/dispatch.h"
#include "cli/cli.h"

static void
print_errors(FILE *out)
{
	fputs("<!-- Written by `make docs` from src/tables/errors.def; do not edit. -->\n"
	      "# Errors\n\n"
	      "The portal (`/api`) answers `{\"error\":\"<code>\",\"message\":\"…\",\"request_id\":\"…\"}`, with `details` for the fields of a\n"
	      "validation error.  Campus (`/api/v1`) and accounts (`/v1`) answer\n"
	      "`{\"error\":{\"code\":\"VALIDATION_ERROR|HTTP_ERROR|INTERNAL_ERROR\",\"message\":\"…\",\"details\":{…},\"request_id\":\"…\"}}`,\n"
	      "where `details.reason` holds the code below.  Decide by status and code; the message is for people and may change.\n\n"
	      "| status | code | meaning |\n|---|---|---|\n",
		out);
	for (int e = OK + 1; e < ERR__MAX; e++) {
		const struct err_row *row = err_row((enum err)e);
		fprintf(out, "| %d | `%s` | %s |\n", row->status, row->code, row->sentence);
	}
}

int
cmd_openapi(const struct args *args)
{
	struct arena a;
	struct buf out;

	if (args_flag(args, "errors")) {
		print_errors(stdout);
		return EXIT_OK;
	}
	arena_init(&a);
	buf_init(&out, &a, 1 << 18);
	openapi_write(&out);
	fwrite(out.p, 1, out.n, stdout);
	fputc('\n', stdout);
	arena_release(&a);
	return EXIT_OK;
}
