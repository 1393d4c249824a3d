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
put_cell(struct buf *b, const char *text, bool last)
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
	buf_str(b, last ? "\r\n" : ",");
}

enum err
sheet_csv(struct ctx *cx, const struct sheet *s, struct span *ret)
{
	struct buf b;

	buf_init(&b, cx->arena, 256 + s->n_rows * s->n_columns * 24);
	for (size_t i = 0; i < s->n_columns; i++)
		put_cell(&b, s->columns[i].name, i + 1 == s->n_columns);
	for (size_t i = 0; i < s->n_rows * s->n_columns; i++)
		put_cell(&b, sheet_safe(cx->arena, s->cells[i]), (i + 1) % s->n_columns == 0);
	*ret = buf_span(&b);
	return OK;
}
