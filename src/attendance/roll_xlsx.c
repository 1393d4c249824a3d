/*
 * The workbook is written in the library's constant-memory mode, row by row, into a file without a name, and read back from
 * there.
 *
 * A text that would be a formula if somebody typed it gets the apostrophe of the CSV as well: a text cell is not run when the
 * book is opened, but it would be when it is edited, or when the sheet is saved as CSV.
 */
#include "attendance/roll_xlsx.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xlsxwriter.h>

static const struct {
	const char *name;
	double width; /* characters */
} columns[] = {
	{"attendance_id", 38},
	{"user_id", 38},
	{"full_name", 28},
	{"email", 32},
	{"status", 10},
	{"method", 10},
	{"marked_at", 22},
	{"reason", 40},
	{"marked_by", 38},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void
close_file(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static const char *
safe_text(struct arena *a, const char *text)
{
	return text && text[0] && strchr("=+-@\t\r", text[0]) ? arena_printf(a, "'%s", text) : text;
}

/* The library's own ceiling of a cell is far above TEXT_MAX_BYTES. */
static lxw_error
put(struct ctx *cx, lxw_worksheet *sheet, size_t row, size_t column, const char *text, lxw_format *format)
{
	if (!text || !text[0])
		return LXW_NO_ERROR;
	return worksheet_write_string(sheet, (lxw_row_t)row, (lxw_col_t)column, safe_text(cx->arena, text), format);
}

static lxw_error
put_record(struct ctx *cx, lxw_worksheet *sheet, size_t row, const struct roll_record *r)
{
	char at[TIME_WIRE_BYTES + 1];
	lxw_error e = LXW_NO_ERROR;

	time_to_wire(r->marked_at, at);
	const char *const cells[COLUMNS] = {r->attendance_id.text, r->user.id.text, r->user.full_name, r->user.email, r->status,
		r->method, at, r->reason, r->marked_by.text};
	for (size_t i = 0; i < COLUMNS && e == LXW_NO_ERROR; i++)
		e = put(cx, sheet, row, i, cells[i], NULL);
	return e;
}

static lxw_error
fill(struct ctx *cx, lxw_workbook *book, const struct roll *roll)
{
	lxw_worksheet *sheet = workbook_add_worksheet(book, "Attendance");
	lxw_format *bold = workbook_add_format(book);
	const struct roll_record *rows = roll->records.items;
	lxw_error e = LXW_NO_ERROR;

	if (!sheet || !bold)
		return LXW_ERROR_MEMORY_MALLOC_FAILED;
	format_set_bold(bold);
	worksheet_freeze_panes(sheet, 1, 0);
	for (size_t i = 0; i < COLUMNS && e == LXW_NO_ERROR; i++) {
		worksheet_set_column(sheet, (lxw_col_t)i, (lxw_col_t)i, columns[i].width, NULL);
		e = put(cx, sheet, 0, i, columns[i].name, bold);
	}
	for (size_t i = 0; i < roll->records.count && e == LXW_NO_ERROR; i++)
		e = put_record(cx, sheet, i + 1, &rows[i]);
	return e;
}

static enum err
read_back(struct ctx *cx, int fd, struct span *ret)
{
	struct stat st;
	size_t n = 0;

	if (fstat(fd, &st) != 0 || st.st_size <= 0)
		return fail_internal(cx, ERR_UNAVAILABLE, "the workbook is empty");
	uint8_t *bytes = arena_alloc(cx->arena, (size_t)st.st_size, 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(fd, bytes + n, (size_t)st.st_size - n, (off_t)n);
		if (got <= 0)
			return fail_internal(cx, ERR_UNAVAILABLE, "the workbook cannot be read back");
		n += (size_t)got;
	}
	*ret = (struct span){bytes, n};
	return OK;
}

enum err
record_xlsx(struct ctx *cx, const struct roll *roll, struct span *ret)
{
	CLEANUP(close_file) int fd = memfd_create("roll.xlsx", MFD_CLOEXEC);
	lxw_workbook_options options = {.constant_memory = LXW_TRUE};

	if (fd < 0)
		return fail_internal(cx, ERR_UNAVAILABLE, "no file for the workbook");
	lxw_workbook *book = workbook_new_opt(arena_printf(cx->arena, "/proc/self/fd/%d", fd), &options);
	if (!book)
		return fail_internal(cx, ERR_UNAVAILABLE, "no workbook");
	lxw_error filled = fill(cx, book, roll), closed = workbook_close(book);
	if (filled != LXW_NO_ERROR || closed != LXW_NO_ERROR)
		return fail_internal(cx, ERR_UNAVAILABLE, "workbook: %s", lxw_strerror(filled != LXW_NO_ERROR ? filled : closed));
	return read_back(cx, fd, ret);
}
