/* `muster qr revoke-all`: the emergency brake; works beside a running server, which sees it within a second. */
#include <inttypes.h>
#include <string.h>

#include "attendance/qr.h"
#include "cli/cli.h"
#include "store/db.h"

static enum err
revoke(struct ctx *cx, void *arg)
{
	return qr_revoke_all(cx, arg);
}

int
cmd_qr(const struct args *args)
{
	struct app app;
	int64_t rows = 0;
	int status = EXIT_FAILED;

	if (strcmp(args->word[0], "revoke-all") != 0)
		return cli_usage(args, "there is no qr %s", args->word[0]);
	if (app_open(&app, APP_STORE)) {
		if (db_write(&app.cx, revoke, &rows) != OK) {
			status = cli_error(&app.cx);
		} else {
			printf("%" PRId64 " code%s revoked\n", rows, rows == 1 ? "" : "s");
			status = EXIT_OK;
		}
	}
	app_close(&app);
	return status;
}
