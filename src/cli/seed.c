/*
 * The demonstration accounts of the contract, known passwords and all: refused outside ENV=dev.  Accounts that exist are left alone, and
 * only for missing ones a password is hashed, so that a start with SEED_DEMO_ACCOUNTS costs nothing the second time.
 */
#include "audit/audit.h"
#include "cli/cli.h"
#include "identity/account.h"
#include "identity/password.h"
#include "store/db.h"

static const struct demo {
	const char *email, *password, *full_name;
	enum role role;
} demos[] = {
	{"admin@example.com", "Admin123!", "Demo Admin", ROLE_ADMIN},
	{"student@example.com", "Student123!", "Demo Student", ROLE_STUDENT},
	{"lecturer@example.com", "Lecturer123!", "Demo Lecturer", ROLE_LECTURER},
	{"admin@absense.com", "admin123", "Campus Admin", ROLE_ADMIN},
	{"lecturer@absense.com", "lecturer123", "Campus Lecturer", ROLE_LECTURER},
	{"student@absense.com", "student123", "Campus Student", ROLE_STUDENT},
};
enum { DEMOS = sizeof(demos) / sizeof(demos[0]) };

struct seeding {
	bool exists[DEMOS];
	const char *hash[DEMOS];
	int created;
};

static enum err
look(struct ctx *cx, void *arg)
{
	struct seeding *s = arg;
	struct account old;

	for (int i = 0; i < DEMOS; i++)
		TRY(account_by_email(cx, demos[i].email, &old, &s->exists[i]));
	return OK;
}

/* Another process may have been quicker: an address that is taken by now is as good. */
static enum err
insert(struct ctx *cx, void *arg)
{
	struct seeding *s = arg;

	s->created = 0;
	for (int i = 0; i < DEMOS; i++) {
		const struct account_new in = {.email = demos[i].email, .full_name = demos[i].full_name, .password_hash = s->hash[i],
			.role = demos[i].role, .is_active = true, .email_verified = true};
		struct account old;
		struct uuid id;
		bool exists;

		if (s->exists[i])
			continue;
		TRY(account_by_email(cx, demos[i].email, &old, &exists));
		if (exists)
			continue;
		TRY(account_insert(cx, &in, &id));
		TRY(audit_ok(cx, AUDIT_SIGNUP, "user", id.text, AUDIT_TEXT("role", role_names[demos[i].role]), AUDIT_TEXT("by", "seed")));
		s->created++;
	}
	return OK;
}

enum err
seed_demo(struct ctx *cx, int *ret_created)
{
	struct seeding s = {0};
	bool missing = false;

	if (cx->srv->conf->env != ENV_DEV)
		return fail(cx, ERR_FORBIDDEN, "Demonstration accounts have public passwords: they exist in ENV=dev only.");
	TRY(db_read(cx, look, &s));
	for (int i = 0; i < DEMOS; i++) {
		missing = missing || !s.exists[i];
		if (!s.exists[i])
			TRY(password_hash(cx, demos[i].password, &s.hash[i]));
	}
	if (missing)
		TRY(db_write(cx, insert, &s));
	*ret_created = s.created;
	return OK;
}

int
cmd_seed(const struct args *args)
{
	struct app app;
	int created = 0, status = EXIT_FAILED;

	(void)args;
	if (app_open(&app, APP_STORE)) {
		if (seed_demo(&app.cx, &created) != OK) {
			status = cli_error(&app.cx);
		} else {
			printf("%d of %d demonstration accounts created\n", created, DEMOS);
			for (int i = 0; i < DEMOS; i++)
				printf("  %-9s %-22s %s\n", role_names[demos[i].role], demos[i].email, demos[i].password);
			status = EXIT_OK;
		}
	}
	app_close(&app);
	return status;
}
