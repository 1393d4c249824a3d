/*
 * Importing.
 *
 * The importer is often another process than the server, and on SQLite the two share one write lock, which nobody queues for: who
 * asks again at once gets it again.  So after each turn it stays away for a multiple of the time that the turn took, and the
 * server's batches go in between.  A dry run does all but write: its transactions end in being undone.
 */
#include "identity/import.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "identity/password.h"
#include "store/db.h"

enum { PAUSE_TIMES = 4, PAUSE_MIN_US = 10000, PAUSE_MAX_US = 250000 };

void
import_open(struct import *im, struct ctx *cx, const char *source, bool dry_run)
{
	*im = (struct import){
		.cx = cx, .source = source, .dry_run = dry_run, .columns = import_account_columns, .take = import_account};
	arena_init(&im->memory);
	im->report.errors = arena_new(cx->arena, struct import_error, IMPORT_ERRORS_KEPT);
}

void
import_close(struct import *im)
{
	arena_release(&im->memory);
}

void
import_refuse(struct import *im, int64_t row, const char *fmt, ...)
{
	struct import_report *r = &im->report;
	va_list ap;

	if (r->failed < IMPORT_ERRORS_KEPT) {
		va_start(ap, fmt);
		r->errors[r->failed] = (struct import_error){row, arena_vprintf(im->cx->arena, fmt, ap)};
		va_end(ap);
	}
	r->failed++;
}

/* --- one account ----------------------------------------------------------------------------------------------------------- */

static enum role
role_of(const char *text)
{
	if (!text || !text[0])
		return ROLE_STUDENT;
	for (enum role r = ROLE_STUDENT; r < ROLE__MAX; r++)
		if (strcasecmp(text, role_names[r]) == 0)
			return r;
	return ROLE_UNSET;
}

static enum tri
truth_of(const char *text)
{
	static const char *const yes[] = {"1", "true", "t", "yes", "y"}, *const no[] = {"0", "false", "f", "no", "n"};

	if (!text || !text[0])
		return TRI_YES;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (strcasecmp(text, yes[i]) == 0)
			return TRI_YES;
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (strcasecmp(text, no[i]) == 0)
			return TRI_NO;
	return TRI_UNSET;
}

/* False after saying what is wrong. */
static bool
check_row(struct ctx *cx, struct import *im, const struct import_row *row, struct account_new *ret)
{
	const char *name = row->full_name ? str_trim(cx->arena, row->full_name) : "";
	const char *hash = row->password_hash && row->password_hash[0] ? row->password_hash : NULL;
	enum role role = role_of(row->role);
	enum tri active = truth_of(row->is_active);
	const char *email;

	if (!email_canonical(cx->arena, row->email ? row->email : "", &email))
		import_refuse(im, row->line, "%.80s is no e-mail address", row->email && row->email[0] ? row->email : "nothing");
	else if (!name[0] || strlen(name) > NAME_MAX_BYTES || str_has_control(name))
		import_refuse(im, row->line, "the name is missing, too long, or has control characters");
	else if (role == ROLE_UNSET)
		import_refuse(im, row->line, "%.40s is no role (student, lecturer, reviewer, admin)", row->role);
	else if (active == TRI_UNSET)
		import_refuse(im, row->line, "is_active is neither true nor false");
	else if (hash && !password_hash_acceptable(hash, cx->srv->conf->env == ENV_DEV))
		import_refuse(im, row->line, "the password hash is of no known kind, or too weak or too costly");
	else {
		*ret = (struct account_new){
			.email = email, .full_name = name, .password_hash = hash, .role = role, .is_active = active == TRI_YES};
		return true;
	}
	return false;
}

enum err
import_account(struct ctx *cx, struct import *im, const struct import_row *row)
{
	struct account_new in;
	struct uuid id;

	if (!check_row(cx, im, row, &in))
		return OK;
	enum err e = account_insert(cx, &in, &id);
	if (e == ERR_EMAIL_TAKEN) {
		error_clear(cx);
		im->report.existing++;
		return OK;
	}
	TRY(e);
	im->report.added++;
	return OK;
}

/* --- turns ----------------------------------------------------------------------------------------------------------------- */

static enum err
turn(struct ctx *cx, void *arg)
{
	struct import *im = arg;
	const struct import_report before = im->report;

	for (size_t i = 0; i < im->n; i++)
		TRY(im->take(cx, im, &im->batch[i]));
	if (im->dry_run)
		return fail(cx, ERR_CONFLICT, "dry run"); /* undoes it */
	if (im->report.added == before.added)
		return OK;
	return audit_ok(cx, AUDIT_IMPORT, "file", im->source, AUDIT_INT("from_row", im->batch[0].line),
		AUDIT_INT("to_row", im->batch[im->n - 1].line), AUDIT_INT("added", im->report.added - before.added));
}

static void
pause_after(const struct import *im, int64_t took_us)
{
	int64_t us = took_us * PAUSE_TIMES;

	if (im->dry_run)
		us = took_us;
	us = us < PAUSE_MIN_US ? PAUSE_MIN_US : us > PAUSE_MAX_US ? PAUSE_MAX_US : us;
	const struct timespec t = {.tv_sec = us / SECONDS_US, .tv_nsec = us % SECONDS_US * 1000};
	(void)nanosleep(&t, NULL);
}

/* The writer may run a turn again: each time the report begins where it was. */
struct attempt {
	struct import *im;
	struct import_report before;
};

static enum err
attempt_run(struct ctx *cx, void *arg)
{
	const struct attempt *a = arg;

	a->im->report = a->before;
	return turn(cx, a->im);
}

enum err
import_finish(struct import *im)
{
	int64_t from_us = time_monotonic_us();
	struct attempt a = {im, im->report};
	struct ctx one = *im->cx;

	if (im->n == 0)
		return OK;
	one.arena = &im->memory;
	enum err e = db_write_bulk(&one, attempt_run, &a);
	bool undone = im->dry_run && e == ERR_CONFLICT && str_eq(one.error.message, "dry run");
	if (e != OK && !undone)
		return fail_internal(im->cx, e, "rows %lld to %lld: %s", (long long)im->batch[0].line,
			(long long)im->batch[im->n - 1].line, one.error.internal ? one.error.internal : err_row(e)->name);
	im->n = 0;
	arena_reset(&im->memory);
	pause_after(im, time_monotonic_us() - from_us);
	return OK;
}

enum err
import_add(struct import *im, const struct import_row *row)
{
	im->report.rows++;
	im->batch[im->n++] = *row;
	return im->n == IMPORT_TURN_ROWS ? import_finish(im) : OK;
}

/* --- CSV ------------------------------------------------------------------------------------------------------------------- */

const struct import_column import_account_columns[] = {
	{"email", offsetof(struct import_row, email)},
	{"full_name", offsetof(struct import_row, full_name)},
	{"name", offsetof(struct import_row, full_name)},
	{"role", offsetof(struct import_row, role)},
	{"is_active", offsetof(struct import_row, is_active)},
	{"password_hash", offsetof(struct import_row, password_hash)},
	{"hashed_password", offsetof(struct import_row, password_hash)},
	{NULL, 0},
};

static const char *
column_names(struct arena *a, const struct import_column *columns)
{
	struct buf b;

	buf_init(&b, a, 128);
	for (const struct import_column *c = columns; c->name; c++)
		buf_printf(&b, "%s%s", c == columns ? "" : ", ", c->name);
	return buf_cstr(&b);
}

static enum err
read_header(struct ctx *cx, const struct import_column *columns, const struct csv_record *head, size_t offset[CSV_FIELDS_MAX])
{
	bool first = false;

	for (size_t i = 0; i < head->count; i++) {
		const char *name = str_trim(cx->arena, head->field[i]);
		size_t c = 0;
		while (columns[c].name && strcasecmp(columns[c].name, name) != 0)
			c++;
		if (!columns[c].name)
			return fail(cx, ERR_VALIDATION, "The first line names columns of %s; not %.40s.",
				column_names(cx->arena, columns), name);
		for (size_t k = 0; k < i; k++)
			if (offset[k] == columns[c].offset)
				return fail(cx, ERR_VALIDATION, "The column %.40s is there twice.", name);
		offset[i] = columns[c].offset;
		first = first || c == 0;
	}
	return first ? OK : fail(cx, ERR_VALIDATION, "The first line must name the column %s.", columns[0].name);
}

static enum err
add_record(struct import *im, int64_t line, const struct csv_record *r, const size_t *offset, size_t count)
{
	struct import_row row = {.line = line};

	if (r->count != count) {
		im->report.rows++;
		import_refuse(im, line, "%zu fields instead of %zu", r->count, count);
		return OK;
	}
	for (size_t i = 0; i < count; i++)
		memcpy((char *)&row + offset[i], &r->field[i], sizeof(r->field[i]));
	return import_add(im, &row);
}

enum err
import_csv(struct import *im, struct span text)
{
	size_t offset[CSV_FIELDS_MAX], count;
	enum csv_result got;
	struct csv_record r;
	const char *why;
	struct csv csv;

	csv_open(&csv, text);
	if (csv_next(&csv, im->cx->arena, &r, &why) != CSV_RECORD)
		return fail(im->cx, ERR_VALIDATION, "The file has no line that names the columns.");
	TRY(read_header(im->cx, im->columns, &r, offset));
	count = r.count;
	while ((got = csv_next(&csv, &im->memory, &r, &why)) != CSV_END) {
		if (got == CSV_BAD) {
			im->report.rows++;
			import_refuse(im, csv.line, "%s", why);
			continue;
		}
		TRY(add_record(im, csv.line, &r, offset, count));
	}
	return import_finish(im);
}
