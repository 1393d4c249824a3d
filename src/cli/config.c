/* `muster config`: the table and what it came to.  --docs and --example read nothing, so they print the same anywhere. */
#include "cli/cli.h"

int
cmd_config(const struct args *args)
{
	struct app app;
	int status = EXIT_FAILED;

	if (args_flag(args, "docs") || args_flag(args, "example")) {
		if (args_flag(args, "docs"))
			conf_print_docs(stdout);
		else
			conf_print_example(stdout);
		return EXIT_OK;
	}
	if (app_open(&app, APP_CONF)) {
		conf_print(app.conf, stdout, args_flag(args, "json"));
		for (size_t i = 0; i < app.conf->warnings.count; i++)
			fprintf(stderr, "warning: %s\n", app.conf->warnings.items[i]);
		status = EXIT_OK;
	}
	app_close(&app);
	return status;
}
