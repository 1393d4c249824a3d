/* libFuzzer's side.  One program has every target: FUZZ_TARGET names the one of this run, "list" prints them all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "fuzz.h"

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("FUZZ_TARGET");
	uint8_t first;

	(void)argc;
	(void)argv;
	if (name && strcmp(name, "list") == 0) {
		for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
			puts(t->name);
		exit(0);
	}
	target = name ? fuzz_target_find(name) : NULL;
	if (!target) {
		fprintf(stderr, "FUZZ_TARGET names no target\n");
		exit(2);
	}
	crypto_random(&first, sizeof(first)); /* OpenSSL's own end must come after ours */
	atexit(fuzz_end);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n > target->max_bytes)
		return -1;
	fuzz_run(target, p, n);
	return 0;
}
