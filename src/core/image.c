/*
 * Reads no more than a header needs: for JPEG (ITU-T T.81 annex B) the marker segments up to the frame header, for PNG the IHDR chunk,
 * which must come first.  Every length is checked against what is there.
 */
#include "core/image.h"

#include <string.h>

const char *const image_types[] = {"", "image/jpeg", "image/png", NULL};

static uint32_t
be(const uint8_t *p, int n)
{
	uint32_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* SOF0 to SOF15, without DHT, JPG and DAC, which stand between them. */
static bool
is_frame(uint8_t marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static bool
probe_jpeg(struct span s, struct image_info *ret)
{
	for (size_t i = 2; i + 4 <= s.n;) {
		if (s.p[i] != 0xff)
			return false;
		uint8_t marker = s.p[i + 1];
		if (marker == 0xff) { /* fill byte */
			i++;
			continue;
		}
		size_t length = be(s.p + i + 2, 2);
		if (length < 2 || marker == 0xda || marker == 0xd9 || i + 2 + length > s.n)
			return false;
		if (is_frame(marker)) {
			if (length < 8)
				return false;
			ret->height = be(s.p + i + 5, 2);
			ret->width = be(s.p + i + 7, 2);
			return ret->width > 0 && ret->height > 0;
		}
		i += 2 + length;
	}
	return false;
}

static bool
probe_png(struct span s, struct image_info *ret)
{
	if (s.n < 33 || be(s.p + 8, 4) != 13 || memcmp(s.p + 12, "IHDR", 4) != 0)
		return false;
	ret->width = be(s.p + 16, 4);
	ret->height = be(s.p + 20, 4);
	return ret->width > 0 && ret->height > 0;
}

bool
image_probe(struct span s, struct image_info *ret)
{
	*ret = (struct image_info){0};
	if (s.n >= 3 && memcmp(s.p, "\xff\xd8\xff", 3) == 0) {
		ret->kind = IMAGE_JPEG;
		return probe_jpeg(s, ret);
	}
	if (s.n >= 8 && memcmp(s.p, "\x89PNG\r\n\x1a\n", 8) == 0) {
		ret->kind = IMAGE_PNG;
		return probe_png(s, ret);
	}
	return false;
}
