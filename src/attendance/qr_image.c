/*
 * Codes as pictures.  Both forms draw the same modules with the same quiet zone; a reader needs 4 modules of white around
 * (ISO/IEC 18004). libpng reports trouble by a callback that must not return: writing to memory it has none but a broken call, so
 * it is a BUG().
 */
#include "attendance/qr.h"

#include <png.h>
#include <qrencode.h>
#include <string.h>

enum { QUIET_MODULES = 4, SCALE_MAX = 32 };

static void
qr_free(QRcode **qr)
{
	if (*qr)
		QRcode_free(*qr);
}

static QRcode *
encode(struct ctx *cx, const char *text)
{
	QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);

	if (!qr)
		(void)fail(cx, ERR_VALIDATION, "This text is too long for a QR code.");
	return qr;
}

static bool
is_dark(const QRcode *qr, int x, int y)
{
	return qr->data[y * qr->width + x] & 1;
}

enum err
qr_svg(struct ctx *cx, const char *text, struct span *ret)
{
	CLEANUP(qr_free) QRcode *qr = encode(cx, text);
	struct buf b;

	if (!qr)
		return cx->error.code;
	int side = qr->width + 2 * QUIET_MODULES;
	buf_init(&b, cx->arena, 16 << 10);
	buf_printf(&b,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\" role=\"img\""
		" aria-label=\"QR code\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"",
		side, side, side, side);
	for (int y = 0; y < qr->width; y++) {
		for (int x = 0, run; x < qr->width; x += run) {
			for (run = 1; x + run < qr->width && is_dark(qr, x + run, y) == is_dark(qr, x, y);)
				run++;
			if (is_dark(qr, x, y))
				buf_printf(&b, "M%d %dh%dv1h-%dz", x + QUIET_MODULES, y + QUIET_MODULES, run, run);
		}
	}
	buf_str(&b, "\"/></svg>\n");
	*ret = buf_span(&b);
	return OK;
}

struct png {
	png_structp write;
	png_infop info;
};

static void
png_free_both(struct png *p)
{
	png_destroy_write_struct(&p->write, &p->info);
}

static void
png_append(png_structp png, png_bytep bytes, size_t n)
{
	buf_add(png_get_io_ptr(png), bytes, n);
}

static void
png_nothing(png_structp png)
{
	(void)png;
}

static void __attribute__((noreturn)) png_broken(png_structp png, const char *message)
{
	(void)png;
	BUG("libpng: %s", message);
}

static void
png_rows(const struct png *p, const QRcode *qr, int scale, uint8_t *row, size_t row_bytes)
{
	int side = qr->width + 2 * QUIET_MODULES;

	for (int y = -QUIET_MODULES; y < side - QUIET_MODULES; y++) {
		memset(row, 0xff, row_bytes);
		for (int x = 0; y >= 0 && y < qr->width && x < qr->width; x++) {
			int from = (x + QUIET_MODULES) * scale;
			for (int i = from; is_dark(qr, x, y) && i < from + scale; i++)
				row[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
		}
		for (int i = 0; i < scale; i++)
			png_write_row(p->write, row);
	}
}

enum err
qr_png(struct ctx *cx, const char *text, int scale, struct span *ret)
{
	CLEANUP(qr_free) QRcode *qr = encode(cx, text);
	CLEANUP(png_free_both) struct png p = {NULL, NULL};
	struct buf b;

	if (!qr)
		return cx->error.code;
	if (scale < 1 || scale > SCALE_MAX)
		BUG("a scale of %d", scale);
	png_uint_32 side = (png_uint_32)((qr->width + 2 * QUIET_MODULES) * scale);
	size_t row_bytes = (side + 7) / 8;

	buf_init(&b, cx->arena, 8 << 10);
	p.write = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_broken, png_broken);
	p.info = p.write ? png_create_info_struct(p.write) : NULL;
	if (!p.info)
		BUG("libpng does not start");
	png_set_write_fn(p.write, &b, png_append, png_nothing);
	png_set_compression_level(p.write, 1);
	png_set_filter(p.write, 0, PNG_FILTER_NONE);
	png_set_IHDR(p.write, p.info, side, side, 1, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
		PNG_FILTER_TYPE_DEFAULT);
	png_write_info(p.write, p.info);
	png_rows(&p, qr, scale, arena_new(cx->arena, uint8_t, row_bytes), row_bytes);
	png_write_end(p.write, p.info);
	*ret = buf_span(&b);
	return OK;
}
