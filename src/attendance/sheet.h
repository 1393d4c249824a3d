/*
 * Tables that leave the house: the same columns and cells as CSV or as an Office Open XML workbook.
 *
 * Every cell is a text.  One that a spreadsheet would run as a formula (it begins with = + - @, a tab or a carriage return) gets
 * an apostrophe in front, in both forms (OWASP, CSV injection).
 */
#ifndef MUSTER_ATTENDANCE_SHEET_H
#define MUSTER_ATTENDANCE_SHEET_H

#include "core/ctx.h"
#include "core/str.h"

struct sheet_column {
	const char *name;
	double width; /* characters, in a workbook */
};
struct sheet {
	const char *name; /* of the workbook's only page */
	const struct sheet_column *columns;
	size_t n_columns, n_rows;
	const char *const *cells; /* row by row; NULL and "" are empty */
};

/* RFC 4180, in cx's arena. */
enum err sheet_csv(struct ctx *cx, const struct sheet *s, struct span *ret) MUST_CHECK;
/* One line of it, for what is longer than a sheet. */
void sheet_csv_row(struct buf *b, struct arena *a, const char *const *cells, size_t n);
/* Does file I/O: for the work lane only.  ERR_UNAVAILABLE when the workbook cannot be written. */
enum err sheet_xlsx(struct ctx *cx, const struct sheet *s, struct span *ret) MUST_CHECK;

/* A form of file that routes offer. */
struct sheet_format {
	const char *name, *content_type;
	enum err (*make)(struct ctx *cx, const struct sheet *s, struct span *ret);
};
extern const struct sheet_format sheet_as_csv, sheet_as_xlsx;
#define XLSX_TYPE "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

/* What both forms write for a cell: the text, made harmless; never NULL. */
const char *sheet_safe(struct arena *a, const char *text);

#endif
