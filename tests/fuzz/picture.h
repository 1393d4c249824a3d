/* The decoder of pictures, which is C++.  NULL: what it found is sound, or it found nothing; else what is not. */
#ifndef MUSTER_TESTS_FUZZ_PICTURE_H
#define MUSTER_TESTS_FUZZ_PICTURE_H

#include <stddef.h>
#include <stdint.h>

const char *picture_decode(const uint8_t *bytes, size_t n);

#endif
