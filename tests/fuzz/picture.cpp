// The decoder of muster-face (face/image.cpp), which runs in a sandbox of its own.
#include "image.h"

extern "C" {
#include "fuzz/picture.h"
}

const char *
picture_decode(const uint8_t *bytes, size_t n)
{
	const int full_max = 1 << 16;
	Image image;

	if (decode(bytes, n, image) != Decoded::Good)
		return nullptr;
	if (image.width <= 0 || image.height <= 0 || image.full_width < image.width || image.full_height < image.height)
		return "sizes";
	if (image.full_width > full_max || image.full_height > full_max)
		return "ceiling";
	return image.pixels.size() == size_t(image.width) * size_t(image.height) * 3 ? nullptr : "pixels";
}
