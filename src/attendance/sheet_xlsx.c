/*
 * The workbook is written in the library's constant-memory mode, row by row, into a file without a name, and read back from
 * there.
 *
 * A text cell is not run when the book is opened, but it would be when it is edited, or when the page is saved as CSV: so it gets
 * the apostrophe here too.
 */
#include "attendance/sheet.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xlsxwriter.h>

static void
close_file(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* The library's own ceiling of a cell is far above TEXT_MAX_BYTES. */
static lxw_error
put(struct ctx *cx, lxw_worksheet *page, size_t row, size_t column, const char *text, lxw_format *format)
{
	if (!text || !text[0])
		return LXW_NO_ERROR;
	return worksheet_write_string(page, (lxw_row_t)row, (lxw_col_t)column, sheet_safe(cx->arena, text), format);
}

static lxw_error
fill(struct ctx *cx, lxw_workbook *book, const struct sheet *s)
{
	lxw_worksheet *page = workbook_add_worksheet(book, s->name);
	lxw_format *bold = workbook_add_format(book);
	lxw_error e = LXW_NO_ERROR;

	if (!page || !bold)
		return LXW_ERROR_MEMORY_MALLOC_FAILED;
	format_set_bold(bold);
	worksheet_freeze_panes(page, 1, 0);
	for (size_t i = 0; i < s->n_columns && e == LXW_NO_ERROR; i++) {
		worksheet_set_column(page, (lxw_col_t)i, (lxw_col_t)i, s->columns[i].width, NULL);
		e = put(cx, page, 0, i, s->columns[i].name, bold);
	}
	for (size_t i = 0; i < s->n_rows * s->n_columns && e == LXW_NO_ERROR; i++)
		e = put(cx, page, 1 + i / s->n_columns, i % s->n_columns, s->cells[i], NULL);
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
sheet_xlsx(struct ctx *cx, const struct sheet *s, struct span *ret)
{
	CLEANUP(close_file) int fd = memfd_create("sheet.xlsx", MFD_CLOEXEC);
	lxw_workbook_options options = {.constant_memory = LXW_TRUE};

	if (fd < 0)
		return fail_internal(cx, ERR_UNAVAILABLE, "no file for the workbook");
	lxw_workbook *book = workbook_new_opt(arena_printf(cx->arena, "/proc/self/fd/%d", fd), &options);
	if (!book)
		return fail_internal(cx, ERR_UNAVAILABLE, "no workbook");
	lxw_error filled = fill(cx, book, s), closed = workbook_close(book);
	if (filled != LXW_NO_ERROR || closed != LXW_NO_ERROR)
		return fail_internal(cx, ERR_UNAVAILABLE, "workbook: %s", lxw_strerror(filled != LXW_NO_ERROR ? filled : closed));
	return read_back(cx, fd, ret);
}
