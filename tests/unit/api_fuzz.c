/*
 * The corpus of the fuzz targets (tests/fuzz), replayed: every input that taught the fuzzer something, and every one that ever failed.
 * A broken promise aborts; the name of the input stands in the line before.
 */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CORPUS "tests/data/fuzz"
enum { TARGETS_MAX = 64, INPUT_MAX = 1 << 16 };

/* In a block of exactly its size, so that a byte read behind it is seen. */
static void
run_file(const struct fuzz_target *target, const char *path)
{
	FILE *in = fopen(path, "rb");
	uint8_t *all = malloc(INPUT_MAX);

	assert_non_null(in);
	assert_non_null(all);
	size_t n = fread(all, 1, INPUT_MAX, in);
	fclose(in);
	if (n > target->max_bytes)
		fail_msg("%s has more than %zu bytes", path, target->max_bytes);
	uint8_t *exact = malloc(n ? n : 1);
	assert_non_null(exact);
	memcpy(exact, all, n);
	fprintf(stderr, "# %s\n", path);
	fuzz_run(target, exact, n);
	free(exact);
	free(all);
}

static int
run_folder(const struct fuzz_target *target, const char *folder)
{
	struct dirent **names;
	char path[1000];
	struct stat st;
	int files = 0, n = scandir(folder, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && stat(path, &st) == 0) {
			files += S_ISDIR(st.st_mode) ? run_folder(target, path) : 1;
			if (S_ISREG(st.st_mode))
				run_file(target, path);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return files;
}

static void
corpus(void **state)
{
	const struct fuzz_target *target = *state;
	char folder[200];

	snprintf(folder, sizeof(folder), CORPUS "/%s", target->name);
	if (run_folder(target, folder) == 0)
		fail_msg("%s has no inputs", folder);
}

static int
end(void **state)
{
	(void)state;
	fuzz_end();
	return 0;
}

int
main(void)
{
	static struct CMUnitTest tests[TARGETS_MAX];
	size_t n = 0;

	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		tests[n++] = (struct CMUnitTest){
			.name = t->name, .test_func = corpus, .initial_state = (void *)(uintptr_t)t};
	return _cmocka_run_group_tests("api_fuzz", tests, n, NULL, end);
}
