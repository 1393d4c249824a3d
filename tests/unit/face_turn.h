/*
 * Pictures of a turned head out of a straight one: the face is laid over half an ellipsoid with a nose on it, and that is turned.  What the
 * far side would show is not in the picture, so this looks odd to people; what it does to five points and to a template is much like a
 * head's turn.
 */
#ifndef MUSTER_TESTS_FACE_TURN_H
#define MUSTER_TESTS_FACE_TURN_H

#include <math.h>
#include <stdlib.h>

#include "face_env.h"

#include <jpeglib.h>

struct pixels { /* RGB, without padding */
	int width, height;
	uint8_t *rgb;
};
struct face_points { /* where they are in the picture; right and left are the person's */
	double right_eye_x, left_eye_x, nose_x, nose_y;
};

static inline struct pixels
pixels_of_jpeg(struct arena *a, struct span jpeg)
{
	struct jpeg_error_mgr err;
	struct jpeg_decompress_struct d = {.err = jpeg_std_error(&err)}; /* ends the test on a broken file */

	jpeg_create_decompress(&d);
	jpeg_mem_src(&d, jpeg.p, jpeg.n);
	jpeg_read_header(&d, TRUE);
	d.out_color_space = JCS_RGB;
	jpeg_start_decompress(&d);
	struct pixels p = {(int)d.output_width, (int)d.output_height,
		arena_new(a, uint8_t, (size_t)d.output_width * d.output_height * 3)};
	while (d.output_scanline < d.output_height) {
		JSAMPROW row = p.rgb + (size_t)d.output_scanline * d.output_width * 3;
		jpeg_read_scanlines(&d, &row, 1);
	}
	jpeg_finish_decompress(&d);
	jpeg_destroy_decompress(&d);
	return p;
}

static inline struct span
jpeg_of_pixels(struct arena *a, const struct pixels *p)
{
	struct jpeg_error_mgr err;
	struct jpeg_compress_struct c = {.err = jpeg_std_error(&err)};
	unsigned char *bytes = NULL;
	unsigned long n = 0;

	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &bytes, &n);
	c.image_width = (JDIMENSION)p->width;
	c.image_height = (JDIMENSION)p->height;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 92, TRUE);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < c.image_height) {
		JSAMPROW row = p->rgb + (size_t)c.next_scanline * (size_t)p->width * 3;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	uint8_t *kept = arena_new(a, uint8_t, n);
	memcpy(kept, bytes, n);
	jpeg_destroy_compress(&c);
	free(bytes);
	return (struct span){kept, n};
}

/* One row: every pixel goes where the turned surface shows it, the nearer one over the farther one. */
static inline void
turn_row(const struct pixels *from, struct pixels *to, const struct face_points *f, int y, double turn, double *nearest)
{
	enum { STEPS = 4 }; /* a pixel, lest there be gaps where the surface is stretched */
	double eyes = f->left_eye_x - f->right_eye_x, middle = (f->left_eye_x + f->right_eye_x) / 2, r = 1.15 * eyes;
	double v = (y - f->nose_y) / (1.7 * eyes), nv = (y - f->nose_y) / (0.5 * eyes);

	for (int x = 0; x < to->width; x++)
		nearest[x] = -1e9;
	for (int i = 0; i < from->width * STEPS; i++) {
		double x = (double)i / STEPS, u = (x - middle) / r, inside = 1 - u * u - v * v, nu = (x - f->nose_x) / (0.4 * eyes);
		double z = inside > 0 ? 1.2 * r * sqrt(inside) + 0.5 * eyes * exp(-0.5 * (nu * nu + nv * nv)) : 0;
		double there = inside > 0 ? middle + (x - middle) * cos(turn) + (z - 0.45 * r) * sin(turn) : x;
		double depth = inside > 0 ? 1 + z * cos(turn) - (x - middle) * sin(turn) : -1e8;
		for (int k = (int)lround(there); k <= (int)lround(there) + 1; k++) {
			if (k < 0 || k >= to->width || depth <= nearest[k])
				continue;
			nearest[k] = depth;
			memcpy(to->rgb + ((size_t)y * (size_t)to->width + (size_t)k) * 3,
				from->rgb + ((size_t)y * (size_t)from->width + (size_t)i / STEPS) * 3, 3);
		}
	}
}

/* As a JPEG; degrees to the person's left. */
static inline struct span
turned_face(struct arena *a, struct span jpeg, const struct face_points *f, int degrees)
{
	struct pixels from = pixels_of_jpeg(a, jpeg), to = from;
	double *nearest = arena_new(a, double, (size_t)from.width);

	to.rgb = arena_new(a, uint8_t, (size_t)to.width * (size_t)to.height * 3);
	memcpy(to.rgb, from.rgb, (size_t)to.width * (size_t)to.height * 3);
	for (int y = 0; y < to.height; y++)
		turn_row(&from, &to, f, y, degrees * 3.14159265358979 / 180, nearest);
	return jpeg_of_pixels(a, &to);
}

#endif
