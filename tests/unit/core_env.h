/* What the tests of core/ share: cmocka beside core/ctx.h, which both have a fail(), and one arena that each test gives back. */
#ifndef MUSTER_TESTS_CORE_ENV_H
#define MUSTER_TESTS_CORE_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#undef fail
#undef fail_msg
#define fail_msg(...)                               \
	do {                                        \
		print_error("ERROR: " __VA_ARGS__); \
		print_error("\n");                  \
		_fail(__FILE__, __LINE__);          \
	} while (0)

#include "core/ctx.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct arena arena;

__attribute__((unused)) static int
reset(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

#endif
