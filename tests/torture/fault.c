/*
 * The plan is written while nobody is armed and read by any thread after: `armed` orders the two.
 */
#include "torture/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_bool armed;
static atomic_long passed;
static long fail_at;
static bool fail_ever;
static _Atomic(const char *) struck, names[FAULT_POINTS_MAX];

bool
fault_strikes(const char *name)
{
	if (!atomic_load(&armed))
		return false;
	long n = atomic_fetch_add(&passed, 1) + 1;
	if (n <= FAULT_POINTS_MAX)
		atomic_store(&names[n - 1], name);
	if (fail_at == 0 || n < fail_at || (n > fail_at && !fail_ever))
		return false;
	if (n == fail_at)
		atomic_store(&struck, name);
	errno = EIO;
	return true;
}

void
fault_arm(long at, bool ever)
{
	fail_at = at;
	fail_ever = ever;
	atomic_store(&passed, 0);
	atomic_store(&struck, NULL);
	atomic_store(&armed, true);
}

long
fault_disarm(void)
{
	atomic_store(&armed, false);
	return atomic_load(&passed);
}

const char *
fault_struck(void)
{
	return atomic_load(&struck);
}

const char *
fault_name(long number)
{
	return number >= 1 && number <= FAULT_POINTS_MAX ? atomic_load(&names[number - 1]) : NULL;
}
