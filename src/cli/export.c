/*
 * `muster export`: CSV on standard output; accounts in pages by key, so that it holds no long transaction.  Cells that a spreadsheet would
 * run as a formula begin with an apostrophe, which `muster import` would take for part of a name.
 */
#include <string.h>

#include "attendance/record.h"
#include "audit/audit.h"
#include "cli/cli.h"
#include "store/db.h"

enum { PAGE_ROWS = 1000 };

struct person {
	struct uuid id;
	const char *email, *full_name, *role;
	bool is_active;
};
static const struct field person_fields[] = {
	F(struct person, id, 0, 0, 0, NULL),
	F(struct person, email, 0, 0, 0, NULL),
	F(struct person, full_name, 0, 0, 0, NULL),
	F(struct person, role, 0, 0, 0, NULL),
	F(struct person, is_active, 0, 0, 0, NULL),
};
static const struct schema person_schema = SCHEMA("ExportedPerson", struct person, person_fields);

SQL(EXPORT_USERS, "ui", "SELECT id, email, full_name, role, is_active FROM users WHERE id > $1 ORDER BY id LIMIT $2");

struct page {
	struct uuid after;
	struct list people;
};

static enum err
read_page(struct ctx *cx, void *arg)
{
	struct page *p = arg;

	return db_all(cx, &EXPORT_USERS, &person_schema, &p->people, V_ID(p->after), V(PAGE_ROWS));
}

static void
put_row(struct arena *a, const struct person *p)
{
	const char *const cells[] = {p->email, p->full_name, p->role, p->is_active ? "true" : "false"};
	struct buf line;

	buf_init(&line, a, 256);
	sheet_csv_row(&line, a, cells, sizeof(cells) / sizeof(cells[0]));
	(void)fwrite(line.p, 1, line.n, stdout); /* main() looks whether standard output took it all */
}

static enum err
export_users(struct ctx *cx, int64_t *ret_rows)
{
	struct page page = {.after = {"00000000-0000-0000-0000-000000000000"}};
	int64_t rows = 0;

	printf("email,full_name,role,is_active\r\n");
	do {
		struct arena a;
		struct ctx one = *cx;
		arena_init(&a);
		one.arena = &a;
		enum err e = db_read(&one, read_page, &page);
		const struct person *people = page.people.items;
		for (size_t i = 0; e == OK && i < page.people.count; i++) {
			put_row(&a, &people[i]);
			page.after = people[i].id;
		}
		arena_release(&a);
		if (e != OK)
			return fail_internal(cx, e, "accounts behind %s", page.after.text);
		rows += (int64_t)page.people.count;
	} while (page.people.count == PAGE_ROWS);
	*ret_rows = rows;
	return OK;
}

struct roll_of {
	const char *event_id;
	struct roll roll;
};

static enum err
read_roll(struct ctx *cx, void *arg)
{
	struct roll_of *r = arg;

	return record_list_all(cx, r->event_id, &r->roll);
}

static enum err
export_roll(struct ctx *cx, const char *event_id, int64_t *ret_rows)
{
	struct roll_of r = {.event_id = event_id};
	struct span csv;

	TRY(db_read(cx, read_roll, &r));
	const struct sheet sheet = record_sheet(cx, &r.roll);
	TRY(sheet_csv(cx, &sheet, &csv));
	(void)fwrite(csv.p, 1, csv.n, stdout);
	*ret_rows = (int64_t)r.roll.records.count;
	return OK;
}

struct done {
	const char *what, *event_id;
	int64_t rows;
};

static enum err
audit_run(struct ctx *cx, void *arg)
{
	const struct done *d = arg;

	return audit_ok(cx, AUDIT_EXPORT, d->event_id ? "event" : "users", d->event_id, AUDIT_TEXT("format", "csv"),
		AUDIT_INT("records", d->rows), AUDIT_TEXT("by", "command"));
}

int
cmd_export(const struct args *args)
{
	struct done d = {.what = args->word[0], .event_id = args->word[1]};
	bool users = strcmp(d.what, "users") == 0 && !d.event_id;
	struct app app;
	int status = EXIT_FAILED;

	if (!users && (strcmp(d.what, "attendance") != 0 || !d.event_id || !uuid_valid(d.event_id)))
		return cli_usage(args, "give users, or attendance and an event's id");
	if (app_open(&app, APP_STORE)) {
		enum err e = users ? export_users(&app.cx, &d.rows) : export_roll(&app.cx, d.event_id, &d.rows);
		if (e == OK)
			e = db_write(&app.cx, audit_run, &d);
		status = e == OK ? EXIT_OK : cli_error(&app.cx);
	}
	app_close(&app);
	return status;
}
