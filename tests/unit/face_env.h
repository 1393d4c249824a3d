/*
 * Where the tests find muster-face, the models and the photos.  The helper is built beside the tests; models and photos are not part of
 * this repository, and what needs them says so and is skipped where they are absent.
 */
#ifndef MUSTER_TESTS_FACE_ENV_H
#define MUSTER_TESTS_FACE_ENV_H

#include "our_fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/str.h"

#define FACE_MODELS "../shared/face/models"
#define FACE_PHOTOS "../shared/face/photos"

/* build/tests/x → build/muster-face */
static inline const char *
face_program(struct arena *a)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 2; i++)
		*strrchr(path, '/') = '\0';
	return arena_printf(a, "%s/muster-face", path);
}

static inline struct span
file_read(struct arena *a, const char *path)
{
	FILE *f = fopen(path, "rb");
	struct buf b;
	char block[1 << 14];

	if (!f)
		print_error("%s is missing\n", path);
	assert_non_null(f);
	buf_init(&b, a, 1 << 16);
	for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
		buf_add(&b, block, n);
	fclose(f);
	return buf_span(&b);
}

static inline struct span
photo(struct arena *a, const char *name)
{
	return file_read(a, arena_printf(a, FACE_PHOTOS "/%s", name));
}

/* A whole little JPEG: 8 × 8, grey, without a face. */
static inline struct span
grey_jpeg(struct arena *a)
{
	static const char head[] = "\xff\xd8\xff\xdb\0\x43\0", frame[] = "\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0",
			  dc[] = "\xff\xc4\0\x14\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", ac[] = "\xff\xc4\0\x14\x10\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
			  scan[] = "\xff\xda\0\x08\x01\x01\0\0\x3f\0\x3f\xff\xd9";
	struct buf b;

	buf_init(&b, a, 256);
	buf_add(&b, head, sizeof(head) - 1);
	for (int i = 0; i < 64; i++)
		buf_chr(&b, 16);
	buf_add(&b, frame, sizeof(frame) - 1);
	buf_add(&b, dc, sizeof(dc) - 1);
	buf_add(&b, ac, sizeof(ac) - 1);
	buf_add(&b, scan, sizeof(scan) - 1);
	return buf_span(&b);
}

#endif
