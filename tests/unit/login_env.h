/* A login by password as a surface asks for it, and what the trail says of those that failed. */
#ifndef MUSTER_TESTS_LOGIN_ENV_H
#define MUSTER_TESTS_LOGIN_ENV_H

#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "identity/login.h"

struct attempt {
	const char *email, *password, *ip, *device;
	enum login_surface surface;
};
struct answer {
	enum err e;
	int retry_s;
	struct ctx cx;
	struct login_result r;
};

__attribute__((unused)) static struct answer
login_as(struct test *t, const struct attempt *in)
{
	struct client *client = arena_new(&t->arena, struct client, 1);
	const struct login login = {.email = in->email,
		.password = in->password ? in->password : TEST_PASSWORD,
		.device_token = in->device,
		.surface = in->surface ? in->surface : LOGIN_PORTAL};
	struct answer a = {.e = OK};

	*client = (struct client){.request_id = "r", .ip = in->ip ? in->ip : "192.0.2.1", .user_agent = "test"};
	test_ctx(t, &a.cx);
	a.cx.client = client;
	a.e = login_password(&a.cx, &login, &a.r);
	a.retry_s = a.cx.error.retry_after_s;
	return a;
}

__attribute__((unused)) static struct answer
login(struct test *t, const char *email, const char *password)
{
	return login_as(t, &(const struct attempt){.email = email, .password = password});
}

__attribute__((unused)) static int64_t
failed_rows(struct test *t, const char *reason)
{
	return count(t, arena_printf(&t->arena,
				"SELECT count(*) FROM audit_logs WHERE action = 'login_failed' AND result = 'failure'"
				" AND json_extract(details, '$.reason') = '%s'",
				reason));
}

#endif
