/* `muster import`: accounts, rosters and attendance from CSV files, and from databases of the old systems. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attendance/record_import.h"
#include "attendance/roster_import.h"
#include "cli/import.h"
#include "core/json.h"
#include "store/db.h"
#include "store/foreign.h"

enum { FILE_MAX_BYTES = 256 << 20 };

static void
close_file(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static bool
read_file(struct arena *a, const char *path, struct span *ret)
{
	CLEANUP(close_file) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t n = 0;

	if (fd < 0 || fstat(fd, &st) != 0)
		return cli_fail("%s: %s", path, strerror(errno)), false;
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)
		return cli_fail("%s is no file of at most %d MiB", path, FILE_MAX_BYTES >> 20), false;
	uint8_t *bytes = arena_alloc(a, (size_t)st.st_size + 1, 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = read(fd, bytes + n, (size_t)st.st_size - n);
		if (got <= 0)
			return cli_fail("%s cannot be read to its end", path), false;
		n += (size_t)got;
	}
	*ret = (struct span){bytes, n};
	return true;
}

/* --- the report ------------------------------------------------------------------------------------------------------------ */

static void
report_json(struct app *app, const struct import *im)
{
	const struct import_report *r = &im->report;
	struct buf out;
	struct json j;

	buf_init(&out, &app->arena, 1024);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_bool(&j, "dry_run", im->dry_run);
	json_int(&j, "rows", r->rows);
	json_int(&j, "added", r->added);
	json_int(&j, "existing", r->existing);
	json_int(&j, "failed", r->failed);
	json_arr(&j, "errors");
	for (int64_t i = 0; i < r->failed && i < IMPORT_ERRORS_KEPT; i++) {
		json_obj(&j, NULL);
		json_int(&j, "row", r->errors[i].row);
		json_str(&j, "message", r->errors[i].message);
		json_obj_end(&j);
	}
	json_arr_end(&j);
	json_obj_end(&j);
	printf("%s\n", buf_cstr(&out));
}

static int
by_row(const void *a, const void *b)
{
	const struct import_error *x = a, *y = b;

	return (x->row > y->row) - (x->row < y->row);
}

/* Wrong rows make the exit status 1, although the right ones are in. */
static int
report(struct app *app, const struct import *im, bool as_json)
{
	const struct import_report *r = &im->report;

	qsort(r->errors, (size_t)(r->failed < IMPORT_ERRORS_KEPT ? r->failed : IMPORT_ERRORS_KEPT), sizeof(*r->errors), by_row);
	if (as_json)
		report_json(app, im);
	else
		printf("%lld rows: %lld %s, %lld there already, %lld wrong\n", (long long)r->rows, (long long)r->added,
			im->dry_run ? "would be added" : "added", (long long)r->existing, (long long)r->failed);
	for (int64_t i = 0; i < r->failed && i < IMPORT_ERRORS_KEPT; i++)
		fprintf(stderr, "row %lld: %s\n", (long long)r->errors[i].row, r->errors[i].message);
	if (r->failed > IMPORT_ERRORS_KEPT)
		fprintf(stderr, "… and %lld more\n", (long long)(r->failed - IMPORT_ERRORS_KEPT));
	return r->failed ? EXIT_FAILED : EXIT_OK;
}

/* --- CSV ------------------------------------------------------------------------------------------------------------------- */

static enum err
find_course(struct ctx *cx, void *arg)
{
	return roster_course(cx, arg);
}

static enum err
from_csv(struct app *app, const struct args *args, struct import *im, struct span text)
{
	struct roster_course course = {.code = args_value(args, "course"),
		.title = args_value(args, "title"),
		.owner_email = args_value(args, "owner"),
		.dry_run = im->dry_run};

	if (strcmp(args->word[0], "roster") == 0) {
		TRY(db_write(&app->cx, find_course, &course));
		roster_import(im, &course.id);
	}
	return import_csv(im, text);
}

/* --- the old portal's database ---------------------------------------------------------------------------------------------- */

static const struct {
	const char *theirs;
	size_t offset;
} columns[] = {
	{"email", offsetof(struct import_row, email)},
	{"name", offsetof(struct import_row, full_name)},
	{"full_name", offsetof(struct import_row, full_name)},
	{"role", offsetof(struct import_row, role)},
	{"is_active", offsetof(struct import_row, is_active)},
	{"password_hash", offsetof(struct import_row, password_hash)},
	{"hashed_password", offsetof(struct import_row, password_hash)},
};

static size_t
offset_of(const char *theirs)
{
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		if (strcasecmp(columns[i].theirs, theirs) == 0)
			return columns[i].offset;
	return SIZE_MAX;
}

/* Says what of the file has no place here. */
static void
report_unmapped(struct app *app, struct foreign *f, const char **names)
{
	for (size_t i = 0; names[i]; i++)
		if (offset_of(names[i]) == SIZE_MAX)
			fprintf(stderr, "not taken over: users.%s%s\n", names[i],
				strcasecmp(names[i], "id") == 0 ? " (accounts get new ids)" : "");
	for (const char **t = foreign_tables(f, &app->arena); *t; t++)
		if (strcasecmp(*t, "users") != 0)
			fprintf(stderr, "not taken over: table %s, %lld rows\n", *t, (long long)foreign_count(f, *t));
}

static enum err
take_users(struct import *im, struct foreign *f, const char **names, const char **ret_message)
{
	const char *values[FOREIGN_COLUMNS_MAX];

	for (int64_t n = 1; foreign_next(f, &im->memory, values, ret_message); n++) {
		struct import_row row = {.line = n};
		for (size_t i = 0; names[i]; i++)
			if (offset_of(names[i]) != SIZE_MAX)
				memcpy((char *)&row + offset_of(names[i]), &values[i], sizeof(values[i]));
		if (row.role && strcasecmp(row.role, "member") == 0)
			row.role = "student";
		TRY(import_add(im, &row));
	}
	return import_finish(im);
}

static enum err
from_database(struct app *app, struct import *im, const char *path)
{
	const char *message = NULL, **names = NULL;
	struct foreign *f = foreign_open(&app->arena, path, &message);
	enum err e;

	if (!f)
		return fail(&app->cx, ERR_UNAVAILABLE, "%s", message);
	if (!(names = foreign_rows(f, &app->arena, "users")))
		e = fail(&app->cx, ERR_NOT_FOUND, "There is no table users in %s.", path);
	else {
		report_unmapped(app, f, names);
		e = take_users(im, f, names, &message);
		if (e == OK && message)
			e = fail(&app->cx, ERR_UNAVAILABLE, "%s", message);
	}
	foreign_close(f);
	return e;
}

/* --- attendance ------------------------------------------------------------------------------------------------------------- */

static enum err
take_attendance(struct app *app, const struct args *args, struct import *im, const char *path, struct span text)
{
	static const char magic[] = "SQLite format 3";
	struct record_import r = {.owner_email = args_value(args, "owner")};

	record_import(im, &r);
	bool old_database = text.n >= sizeof(magic) && memcmp(text.p, magic, sizeof(magic)) == 0;
	return old_database ? import_old_campus(app, im, path) : import_csv(im, text);
}

/* False for what cannot be read, too: who reads it next says why. */
static bool
is_our_own(struct app *app, const char *path)
{
	const char *message;
	struct foreign *f = foreign_open(&app->arena, path, &message);
	bool ours = f && foreign_count(f, "schema_migrations") >= 0;

	foreign_close(f);
	return ours;
}

int
cmd_import(const struct args *args)
{
	const char *what = args->word[0], *path = args->word[1], *slash = strrchr(path, '/');
	bool users = strcmp(what, "users") == 0, roster = strcmp(what, "roster") == 0, database = strcmp(what, "database") == 0,
	     attendance = strcmp(what, "attendance") == 0;
	int status = EXIT_FAILED;
	struct span text = {0};
	struct import im;
	struct app app;

	if (!users && !roster && !database && !attendance)
		return cli_usage(args, "there is no import %s", what);
	if (roster && !args_value(args, "course"))
		return cli_usage(args, "roster wants --course CODE");
	bool open = app_open(&app, APP_STORE);
	if (open && database && is_our_own(&app, path)) {
		status = import_whole(&app, path, args_flag(args, "dry-run"), args_flag(args, "json"));
	} else if (open && (database || read_file(&app.arena, path, &text))) {
		import_open(&im, &app.cx, slash ? slash + 1 : path, args_flag(args, "dry-run"));
		enum err e = database	  ? from_database(&app, &im, path)
			     : attendance ? take_attendance(&app, args, &im, path, text)
					  : from_csv(&app, args, &im, text);
		status = e != OK ? cli_error(&app.cx) : report(&app, &im, args_flag(args, "json"));
		import_close(&im);
	}
	app_close(&app);
	return status;
}
