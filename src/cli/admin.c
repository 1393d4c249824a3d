/*
 * `muster admin`: administrators from the command line.  Whoever can run this can read the database, so no password is asked to do it.
 *
 * A password is never an argument (arguments are visible to every user of the machine): it comes from a terminal without echo, from
 * standard input, or is made here and printed once.  A running server notices the change by itself.
 */
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "audit/audit.h"
#include "cli/cli.h"
#include "core/crypto.h"
#include "identity/password.h"
#include "identity/session.h"
#include "store/db.h"

enum { MADE_GROUPS = 5, MADE_GROUP_CHARS = 4 };

/* 100 random bits in groups of four; the hyphens are the special character. */
static char *
make_password(struct arena *a)
{
	bool upper, lower, digit;
	struct buf out;

	do {
		uint8_t r[MADE_GROUPS * MADE_GROUP_CHARS];
		upper = lower = digit = false;
		crypto_random(r, sizeof(r));
		buf_init(&out, a, sizeof(r) + MADE_GROUPS);
		for (size_t i = 0; i < sizeof(r); i++) {
			char c = crockford_alphabet[r[i] % 32];
			if (i && i % MADE_GROUP_CHARS == 0)
				buf_chr(&out, '-');
			if (c >= 'A' && i / MADE_GROUP_CHARS % 2)
				c = (char)(c - 'A' + 'a');
			upper = upper || (c >= 'A' && c <= 'Z');
			lower = lower || (c >= 'a' && c <= 'z');
			digit = digit || (c >= '0' && c <= '9');
			buf_chr(&out, c);
		}
	} while (!upper || !lower || !digit);
	return out.p;
}

/* One line without its end; NULL when there is none or it is too long. */
static char *
read_line(struct arena *a, FILE *in)
{
	char *line = arena_alloc(a, PASSWORD_MAX + 2, 1);

	if (!fgets(line, PASSWORD_MAX + 2, in))
		return NULL;
	size_t n = strcspn(line, "\r\n");
	if (line[n] == 0 && !feof(in))
		return NULL;
	line[n] = 0;
	return line;
}

static char *
ask(struct arena *a, const char *prompt)
{
	struct termios old, silent;

	fputs(prompt, stderr);
	if (tcgetattr(STDIN_FILENO, &old) != 0)
		return NULL;
	silent = old;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	char *line = read_line(a, stdin);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
	fputc('\n', stderr);
	return line;
}

/* NULL after saying why.  *ret_made: it was made here and must be shown. */
static const char *
get_password(struct app *app, const struct args *args, bool *ret_made)
{
	const char *p, *again;

	*ret_made = false;
	if (args_flag(args, "password-stdin")) {
		p = read_line(&app->arena, stdin);
		if (!p || !*p)
			cli_fail("there is no password on standard input, or it is longer than %d bytes", PASSWORD_MAX);
		return p && *p ? p : NULL;
	}
	p = isatty(STDIN_FILENO) ? ask(&app->arena, "New password (empty: make one): ") : "";
	if (p && *p) {
		again = ask(&app->arena, "Again: ");
		if (!str_eq(p, again)) {
			cli_fail("the two are not the same");
			return NULL;
		}
		return p;
	}
	*ret_made = true;
	return make_password(&app->arena);
}

static int
report(const char *done, const char *email, const char *password, bool made)
{
	printf("%s %s\n", done, email);
	if (made)
		printf("password: %s\n(shown this once; change it after signing in)\n", password);
	return EXIT_OK;
}

static int
create(struct app *app, const char *email, const char *password, bool made)
{
	bool created = false;

	if (admin_ensure(&app->cx, email, password, &created) != OK)
		return cli_error(&app->cx);
	if (!created)
		return cli_fail("an account with this address exists; `muster admin reset-password` gives it a new password");
	return report("created administrator", email, password, made);
}

struct reset {
	const char *email, *hash;
};

SQL(ADMIN_SET_PASSWORD, "tmu", "UPDATE users SET password_hash = $1, updated_at = $2 WHERE id = $3 AND role = 'admin'");

static enum err
reset_in_transaction(struct ctx *cx, void *arg)
{
	const struct reset *r = arg;
	struct account who;
	bool found;
	int64_t rows = 0;

	TRY(account_by_email(cx, r->email, &who, &found));
	if (found)
		TRY(db_exec(cx, &ADMIN_SET_PASSWORD, &rows, V(r->hash), V(cx->now_us), V_ID(who.id)));
	if (rows == 0)
		return fail(cx, ERR_NOT_FOUND, "There is no administrator with this address.");
	TRY(session_end_all(cx, who.id.text, NULL, "password_reset"));
	session_forget_user(cx, who.id.text);
	return audit_ok(cx, AUDIT_PASSWORD_RESET, "user", who.id.text, AUDIT_TEXT("by", "command"));
}

static int
reset_password(struct app *app, const char *email, const char *password, bool made)
{
	struct reset r = {0};

	if (!email_canonical(&app->arena, email, &r.email))
		return cli_fail("%s is not an e-mail address", email);
	if (password_hash(&app->cx, password, &r.hash) != OK || db_write(&app->cx, reset_in_transaction, &r) != OK)
		return cli_error(&app->cx);
	return report("new password for", r.email, password, made);
}

struct admin_row {
	struct uuid id;
	const char *email, *full_name;
	bool is_active;
	int64_t created_at;
};
static const struct field admin_row_fields[] = {
	F(struct admin_row, id, 0, 0, 0, "Account"),
	F(struct admin_row, email, 0, 0, 0, "Address"),
	F(struct admin_row, full_name, 0, 0, 0, "Name"),
	F(struct admin_row, is_active, 0, 0, 0, "May sign in"),
	F(struct admin_row, created_at, F_TIME, 0, 0, "Since"),
};
static const struct schema admin_row_schema = SCHEMA("AdminRow", struct admin_row, admin_row_fields);

SQL(ADMIN_LIST, "", "SELECT id, email, full_name, is_active, created_at FROM users WHERE role = 'admin' ORDER BY email");

static enum err
read_admins(struct ctx *cx, void *arg)
{
	return db_all(cx, &ADMIN_LIST, &admin_row_schema, arg);
}

static int
list(struct app *app, bool as_json)
{
	struct list rows = {0};
	struct buf out;
	struct json j;

	if (db_read(&app->cx, read_admins, &rows) != OK)
		return cli_error(&app->cx);
	const struct admin_row *row = rows.items;
	for (size_t i = 0; i < rows.count && !as_json; i++)
		printf("%s  %s%s\n", row[i].email, row[i].full_name, row[i].is_active ? "" : "  (disabled)");
	if (!as_json)
		return EXIT_OK;
	buf_init(&out, &app->arena, 1024);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_arr(&j, "admins");
	for (size_t i = 0; i < rows.count; i++)
		field_write_json(&j, NULL, &admin_row_schema, &row[i]);
	json_arr_end(&j);
	json_obj_end(&j);
	printf("%s\n", buf_cstr(&out));
	return EXIT_OK;
}

static int
with_password(struct app *app, const struct args *args, bool is_create)
{
	const char *email = args_value(args, "email"), *password;
	bool made;

	password = get_password(app, args, &made);
	if (!password)
		return EXIT_FAILED;
	if (!made && password_check(&app->cx, POLICY_CLASSES, "password", password, NULL, NULL) != OK)
		return cli_error(&app->cx);
	return is_create ? create(app, email, password, made) : reset_password(app, email, password, made);
}

int
cmd_admin(const struct args *args)
{
	const char *what = args->word[0];
	bool is_list = strcmp(what, "list") == 0, is_create = strcmp(what, "create") == 0;
	struct app app;
	int status = EXIT_FAILED;

	if (!is_list && !is_create && strcmp(what, "reset-password") != 0)
		return cli_usage(args, "there is no admin %s", what);
	if (!is_list && !args_value(args, "email"))
		return cli_usage(args, "%s wants --email ADDRESS", what);
	if (app_open(&app, APP_STORE))
		status = is_list ? list(&app, args_flag(args, "json")) : with_password(&app, args, is_create);
	app_close(&app);
	return status;
}
