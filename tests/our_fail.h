/* cmocka without its fail(), which core/ctx.h has as well: tests mean ours.  Comes before core/ctx.h. */
#ifndef MUSTER_TESTS_OUR_FAIL_H
#define MUSTER_TESTS_OUR_FAIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#undef fail
#undef fail_msg
#define fail_msg(...)                               \
	do {                                        \
		print_error("ERROR: " __VA_ARGS__); \
		print_error("\n");                  \
		_fail(__FILE__, __LINE__);          \
	} while (0)

#endif
