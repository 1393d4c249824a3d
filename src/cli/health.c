/*
 * `muster health`: asks the server that runs beside it whether it is ready.  For a container's health check and for scripts, on
 * machines that have no curl.
 *
 * With TLS the certificate names the outside's address and not this machine's, so it is not checked: nothing secret is sent, and
 * what answers is on the loopback.
 */
#include <string.h>

#include "cli/cli.h"
#include "net/http_client.h"

enum { HEALTH_MS = 4000 };

/* Where this machine reaches a server that listens on `host`, as a URL writes it. */
static const char *
reached_at(struct arena *a, const char *host)
{
	if (!host[0] || strcmp(host, "0.0.0.0") == 0)
		return "127.0.0.1";
	if (strcmp(host, "::") == 0)
		return "[::1]";
	return strchr(host, ':') ? arena_printf(a, "[%s]", host) : host;
}

int
cmd_health(const struct args *args)
{
	struct app app;
	struct http_answer answer = {0};
	const char *why = NULL;
	int status = EXIT_FAILED;

	(void)args;
	if (app_open(&app, APP_CONF)) {
		const struct config *conf = app.conf;
		const struct http_fetch fetch = {
			.url = arena_printf(&app.arena, "%s://%s:%d%s/ready", conf->tls_cert_file[0] ? "https" : "http",
				reached_at(&app.arena, conf->host), (int)conf->port, conf->api_prefix),
			.plain = true,
			.unverified = true,
			.total_ms = HEALTH_MS,
		};
		if (!http_fetch(&app.arena, &fetch, &answer, &why)) {
			status = cli_fail("%s: %s", fetch.url, why);
		} else {
			printf("%.*s\n", (int)answer.body.n, (const char *)answer.body.p);
			status = answer.status == 200 ? EXIT_OK : EXIT_FAILED;
		}
	}
	app_close(&app);
	return status;
}
