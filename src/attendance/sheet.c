/* Sheets as CSV (RFC 4180: CRLF, quotes where there is a comma, quote or line break). */
#include "attendance/sheet.h"

#include <string.h>

const struct sheet_format sheet_as_csv = {"csv", "text/csv; charset=utf-8", sheet_csv};
const struct sheet_format sheet_as_xlsx = {"xlsx", XLSX_TYPE, sheet_xlsx};

const char *
sheet_safe(struct arena *a, const char *text)
{
	if (!text)
		return "";
	return text[0] && strchr("=+-@\t\r", text[0]) ? arena_printf(a, "'%s", text) : text;
}

static void
put_cell(struct buf *b, const char *text)
{
	bool quoted = strpbrk(text, ",\"\r\n") != NULL;

	if (quoted)
		buf_chr(b, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"')
			buf_chr(b, '"');
		buf_chr(b, *p);
	}
	if (quoted)
		buf_chr(b, '"');
}

void
sheet_csv_row(struct buf *b, struct arena *a, const char *const *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_cell(b, sheet_safe(a, cells[i]));
		buf_str(b, i + 1 < n ? "," : "\r\n");
	}
}

enum err
sheet_csv(struct ctx *cx, const struct sheet *s, struct span *ret)
{
	const char **names = arena_new(cx->arena, const char *, s->n_columns);
	struct buf b;

	buf_init(&b, cx->arena, 256 + s->n_rows * s->n_columns * 24);
	for (size_t i = 0; i < s->n_columns; i++)
		names[i] = s->columns[i].name;
	sheet_csv_row(&b, cx->arena, names, s->n_columns);
	for (size_t i = 0; i < s->n_rows; i++)
		sheet_csv_row(&b, cx->arena, s->cells + i * s->n_columns, s->n_columns);
	*ret = buf_span(&b);
	return OK;
}
