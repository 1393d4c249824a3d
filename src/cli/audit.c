/* `muster audit verify`: proves the audit trail, or names the first thing that is wrong with it. */
#include <string.h>

#include "audit/seal.h"
#include "cli/cli.h"
#include "core/json.h"
#include "core/log.h"

static int
report(struct app *app, const struct audit_verdict *v, bool as_json)
{
	struct buf out;
	struct json j;

	if (!as_json) {
		if (v->fault)
			return cli_fail("the audit trail is not intact: %s", v->fault);
		printf("intact: %lld rows in %lld seals; %lld younger rows are not sealed yet\nhead: %s\n", (long long)v->rows,
			(long long)v->seals, (long long)v->unsealed, v->head[0] ? v->head : "(none)");
		return EXIT_OK;
	}
	buf_init(&out, &app->arena, 256);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_bool(&j, "intact", !v->fault);
	json_int(&j, "rows", v->rows);
	json_int(&j, "seals", v->seals);
	json_int(&j, "unsealed", v->unsealed);
	json_str(&j, "head", v->head);
	json_str(&j, "fault", v->fault);
	if (v->bad_seq != FIELD_NONE)
		json_int(&j, "bad_seq", v->bad_seq);
	json_obj_end(&j);
	printf("%s\n", buf_cstr(&out));
	return v->fault ? EXIT_FAILED : EXIT_OK;
}

int
cmd_audit(const struct args *args)
{
	struct audit_verdict v;
	struct app app;
	int status = EXIT_FAILED;

	if (strcmp(args->word[0], "verify") != 0)
		return cli_usage(args, "there is no audit %s", args->word[0]);
	if (app_open(&app, APP_STORE)) {
		if (audit_verify(&app.cx, args_value(args, "expect"), &v) != OK)
			status = cli_error(&app.cx);
		else
			status = report(&app, &v, args_flag(args, "json"));
	}
	app_close(&app);
	return status;
}
