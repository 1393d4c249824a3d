// From the bytes of a JPEG or PNG to upright RGB pixels, within bounds that are checked before memory is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct Image {
	int width = 0, height = 0;           // of `pixels`
	int full_width = 0, full_height = 0; // of the picture, upright
	std::vector<uint8_t> pixels;         // RGB, without padding
};

enum class Decoded { Good, Broken, TooLarge };

// A large JPEG comes back smaller (by a power of two), its longer side not under 1280 pixels.
Decoded decode(const uint8_t *bytes, size_t n, Image &ret);
