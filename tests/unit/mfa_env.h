/* A second factor as an app holds it: for tests of identity/ and api/. */
#ifndef MUSTER_TESTS_MFA_ENV_H
#define MUSTER_TESTS_MFA_ENV_H

#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "identity/totp.h"

/* The code that an app shows `steps` steps from now. */
__attribute__((unused)) static const char *
app_code(struct test *t, const char *secret, int64_t steps)
{
	struct totp app = {.period_s = t->srv.conf->mfa_totp_period, .digits = t->srv.conf->mfa_totp_digits};
	char *code = arena_new(&t->arena, char, TOTP_DIGITS_MAX + 1);

	assert_true(base32_read(&t->arena, secret, &app.secret));
	totp_code(&app, t->wall_us / SECONDS_US / app.period_s + steps, code);
	return code;
}

/* A code that is none of the window's. */
__attribute__((unused)) static const char *
wrong_code(struct test *t, const char *secret)
{
	for (int n = 0;; n++) {
		const char *code = arena_printf(&t->arena, "%06d", n);
		int64_t at;
		for (at = -1; at <= 1 && strcmp(code, app_code(t, secret, at)) != 0; at++)
			continue;
		if (at == 2)
			return code;
	}
}

#endif
