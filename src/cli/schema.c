/* `muster schema`: needs neither configuration nor database; the repository's schema.sql is its output. */
#include "cli/cli.h"
#include "store/migrate.h"

int
cmd_schema(const struct args *args)
{
	struct arena a;
	const char *message = "";

	(void)args;
	arena_init(&a);
	enum err result = migrate_schema(&a, stdout, &message);
	int status = result == OK ? EXIT_OK : cli_fail("%s", message);
	arena_release(&a);
	return status;
}
