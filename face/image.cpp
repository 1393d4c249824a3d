// libjpeg-turbo and libpng under ceilings: pixels, scans of a progressive picture, and the memory of PNG chunks.
//
// Both libraries report errors by longjmp, so no object with a destructor lives in a frame between setjmp and the library.  A JPEG
// that ends too early is no picture, although the library would fill it up with grey.
#include "image.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

namespace {

enum { SIDE_WANTED = 1280, SCANS_MAX = 64 };
constexpr int64_t BASELINE_PIXELS_MAX = 50'000'000; // decoded line by line, scaled
constexpr int64_t PIXELS_MAX = 16'000'000;          // progressive JPEG and PNG: the whole picture is in memory

struct JpegError {
	jpeg_error_mgr manager;
	jmp_buf jump;
};

[[noreturn]] void jpeg_fail(j_common_ptr c)
{
	longjmp(reinterpret_cast<JpegError *>(c->err)->jump, 1);
}

// Warnings: what means lost content ends the picture, stray bytes between segments do not.
void jpeg_warn(j_common_ptr c, int level)
{
	if (level >= 0)
		return;
	switch (c->err->msg_code) {
	case JWRN_JPEG_EOF:
	case JWRN_HIT_MARKER:
	case JWRN_HUFF_BAD_CODE:
	case JWRN_BOGUS_PROGRESSION:
	case JWRN_MUST_RESYNC:
		jpeg_fail(c);
	default:
		break;
	}
}

void jpeg_silent(j_common_ptr) {}

void jpeg_count_scans(j_common_ptr c)
{
	auto *d = reinterpret_cast<j_decompress_ptr>(c);
	if (c->is_decompressor && d->input_scan_number > SCANS_MAX)
		jpeg_fail(c);
}

unsigned read16(const uint8_t *p, bool little)
{
	return little ? p[0] | p[1] << 8 : p[0] << 8 | p[1];
}

uint32_t read32(const uint8_t *p, bool little)
{
	return little ? read16(p, true) | uint32_t(read16(p + 2, true)) << 16 : uint32_t(read16(p, false)) << 16 | read16(p + 2, false);
}

// Tag 0x0112 of the first directory of an Exif segment; 1 when there is none.
int exif_orientation(const uint8_t *p, size_t n)
{
	if (n < 14 || memcmp(p, "Exif\0\0", 6) != 0)
		return 1;
	p += 6;
	n -= 6;
	bool little = p[0] == 'I';
	if (memcmp(p, little ? "II" : "MM", 2) != 0 || read16(p + 2, little) != 42)
		return 1;
	size_t at = read32(p + 4, little);
	if (at > n || n - at < 2)
		return 1;
	unsigned count = read16(p + at, little);
	at += 2;
	for (unsigned i = 0; i < count && n - at >= 12; i++, at += 12)
		if (read16(p + at, little) == 0x0112) {
			unsigned v = read16(p + at + 8, little);
			return v >= 1 && v <= 8 ? int(v) : 1;
		}
	return 1;
}

// Where pixel (x, y) of the stored picture belongs in the upright one, by Exif orientation 1 to 8.
void turn_upright(Image &image, int orientation)
{
	int w = image.width, h = image.height;
	bool swapped = orientation >= 5;
	int to_w = swapped ? h : w, to_h = swapped ? w : h;

	if (orientation == 1)
		return;
	std::vector<uint8_t> out(image.pixels.size());
	for (int y = 0; y < h; y++)
		for (int x = 0; x < w; x++) {
			int a = x, b = y;
			switch (orientation) {
			case 2: a = w - 1 - x; break;
			case 3: a = w - 1 - x; b = h - 1 - y; break;
			case 4: b = h - 1 - y; break;
			case 5: a = y; b = x; break;
			case 6: a = h - 1 - y; b = x; break;
			case 7: a = h - 1 - y; b = w - 1 - x; break;
			case 8: a = y; b = w - 1 - x; break;
			}
			memcpy(&out[3 * (size_t(b) * to_w + a)], &image.pixels[3 * (size_t(y) * w + x)], 3);
		}
	image.pixels.swap(out);
	image.width = to_w;
	image.height = to_h;
	if (swapped)
		std::swap(image.full_width, image.full_height);
}

struct JpegState {
	jpeg_decompress_struct d;
	JpegError error;
	jpeg_progress_mgr progress;
	int orientation;
	bool too_large;
};

// Reads the headers and says whether the rest is worth it.
bool jpeg_begin(JpegState &s, const uint8_t *bytes, size_t n)
{
	jpeg_create_decompress(&s.d);
	s.d.progress = &s.progress;
	jpeg_save_markers(&s.d, JPEG_APP0 + 1, 0xffff);
	jpeg_mem_src(&s.d, bytes, n);
	if (jpeg_read_header(&s.d, TRUE) != JPEG_HEADER_OK)
		return false;
	int64_t pixels = int64_t(s.d.image_width) * s.d.image_height;
	bool whole = s.d.progressive_mode || jpeg_has_multiple_scans(&s.d);
	s.too_large = pixels > (whole ? PIXELS_MAX : BASELINE_PIXELS_MAX);
	if (s.too_large || (s.d.jpeg_color_space != JCS_YCbCr && s.d.jpeg_color_space != JCS_GRAYSCALE && s.d.jpeg_color_space != JCS_RGB))
		return false;
	for (jpeg_saved_marker_ptr m = s.d.marker_list; m; m = m->next)
		if (m->marker == JPEG_APP0 + 1 && s.orientation == 1)
			s.orientation = exif_orientation(m->data, m->data_length);
	s.d.out_color_space = JCS_RGB;
	s.d.scale_num = 8;
	s.d.scale_denom = 8;
	unsigned longer = s.d.image_width > s.d.image_height ? s.d.image_width : s.d.image_height;
	while (s.d.scale_num > 1 && longer * s.d.scale_num / 2 / 8 >= SIDE_WANTED)
		s.d.scale_num /= 2;
	return true;
}

Decoded decode_jpeg(const uint8_t *bytes, size_t n, Image &ret)
{
	static JpegState s; // one picture at a time; outlives every longjmp
	Image image;        // made before setjmp

	memset(&s, 0, sizeof(s));
	s.orientation = 1;
	s.d.err = jpeg_std_error(&s.error.manager);
	s.error.manager.error_exit = jpeg_fail;
	s.error.manager.emit_message = jpeg_warn;
	s.error.manager.output_message = jpeg_silent;
	s.progress.progress_monitor = jpeg_count_scans;
	if (setjmp(s.error.jump)) {
		jpeg_destroy_decompress(&s.d);
		return Decoded::Broken;
	}
	if (!jpeg_begin(s, bytes, n)) {
		jpeg_destroy_decompress(&s.d);
		return s.too_large ? Decoded::TooLarge : Decoded::Broken;
	}
	jpeg_start_decompress(&s.d);
	image.width = int(s.d.output_width);
	image.height = int(s.d.output_height);
	image.full_width = int(s.d.image_width);
	image.full_height = int(s.d.image_height);
	image.pixels.resize(3 * size_t(image.width) * image.height);
	while (s.d.output_scanline < s.d.output_height) {
		JSAMPROW row = &image.pixels[3 * size_t(s.d.output_scanline) * image.width];
		jpeg_read_scanlines(&s.d, &row, 1);
	}
	jpeg_finish_decompress(&s.d);
	jpeg_destroy_decompress(&s.d);
	turn_upright(image, s.orientation);
	ret = std::move(image);
	return Decoded::Good;
}

struct PngSource {
	const uint8_t *p;
	size_t n;
};

void png_take(png_structp png, png_bytep out, size_t n)
{
	auto *s = static_cast<PngSource *>(png_get_io_ptr(png));
	if (n > s->n)
		png_error(png, "the end is missing");
	memcpy(out, s->p, n);
	s->p += n;
	s->n -= n;
}

[[noreturn]] void png_fail(png_structp png, png_const_charp)
{
	png_longjmp(png, 1);
}

void png_silent(png_structp, png_const_charp) {}

void png_to_rgb(png_structp png, png_infop info)
{
	png_set_expand(png);
	png_set_strip_16(png);
	png_set_strip_alpha(png);
	png_set_gray_to_rgb(png);
	png_set_interlace_handling(png);
	png_read_update_info(png, info);
}

Decoded decode_png(const uint8_t *bytes, size_t n, Image &ret)
{
	PngSource source = {bytes, n};
	Image image;
	std::vector<png_bytep> rows;
	png_infop info = nullptr;
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, png_fail, png_silent);

	if (png)
		info = png_create_info_struct(png);
	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_read_struct(&png, &info, nullptr);
		return Decoded::Broken;
	}
	png_set_chunk_malloc_max(png, 1 << 20);
	png_set_chunk_cache_max(png, 16);
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
	png_set_read_fn(png, &source, png_take);
	png_read_info(png, info);
	int64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
	if (width * height > PIXELS_MAX) {
		png_destroy_read_struct(&png, &info, nullptr);
		return Decoded::TooLarge;
	}
	png_to_rgb(png, info);
	if (png_get_rowbytes(png, info) != size_t(3 * width))
		png_fail(png, "");
	image.pixels.resize(3 * size_t(width) * size_t(height));
	rows.resize(size_t(height));
	for (int64_t y = 0; y < height; y++)
		rows[size_t(y)] = &image.pixels[3 * size_t(y) * size_t(width)];
	png_read_image(png, rows.data());
	png_read_end(png, nullptr);
	png_destroy_read_struct(&png, &info, nullptr);
	image.width = image.full_width = int(width);
	image.height = image.full_height = int(height);
	ret = std::move(image);
	return Decoded::Good;
}

} // namespace

Decoded decode(const uint8_t *bytes, size_t n, Image &ret)
{
	if (n >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
		return decode_jpeg(bytes, n, ret);
	if (n >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
		return decode_png(bytes, n, ret);
	return Decoded::Broken;
}
