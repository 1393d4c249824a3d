/* What the tests of core/ share: cmocka beside core/ctx.h, and one arena that each test gives back. */
#ifndef MUSTER_TESTS_CORE_ENV_H
#define MUSTER_TESTS_CORE_ENV_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "our_fail.h"

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
