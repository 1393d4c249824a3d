/*
 * What a picture claims to be, from its first bytes and its headers alone: nothing is decoded here.  Decoding what strangers send is
 * the work of a sandboxed process (net/face.h).
 */
#ifndef MUSTER_CORE_IMAGE_H
#define MUSTER_CORE_IMAGE_H

#include "core/str.h"

enum image_kind { IMAGE_NONE = 0, IMAGE_JPEG, IMAGE_PNG };
extern const char *const image_types[]; /* "image/jpeg" …, by kind; [0] is "" */

struct image_info {
	enum image_kind kind;
	int64_t width, height; /* pixels */
};
/* False: neither JPEG nor PNG by its magic bytes (kind is IMAGE_NONE), or a header that names no size (kind is set). */
bool image_probe(struct span bytes, struct image_info *ret);

#endif
