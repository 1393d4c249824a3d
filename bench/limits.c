/*
 * What this machine can do at best, so that Muster's figures have a measure beside them.  Prints one JSON line.
 *
 *	limits fsync DIR      appends of 4 KiB with fdatasync, one thread
 *	limits hash COST      bcrypt verifications a second, one thread per core
 */
#include <crypt.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64 };

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
limit_fsync(const char *dir)
{
	char path[512], page[4096];
	double start = now_s(), seconds;
	int64_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/limits.tmp", dir);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return 1;
	memset(page, 'x', sizeof(page));
	while ((seconds = now_s() - start) < 2.0) {
		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page) || fdatasync(fd) != 0)
			return 1;
		n++;
	}
	close(fd);
	unlink(path);
	printf("{\"fdatasync_per_second\":%.0f}\n", (double)n / seconds);
	return 0;
}

struct hash_thread {
	pthread_t id;
	const char *setting;
	int64_t n;
	double end_s;
};

static void *
hash_thread(void *arg)
{
	struct hash_thread *t = arg;
	struct crypt_data *data = calloc(1, sizeof(*data));

	while (data != NULL && now_s() < t->end_s) {
		if (crypt_r("Correct-horse-7", t->setting, data) == NULL)
			break;
		t->n++;
	}
	free(data);
	return NULL;
}

static int
limit_hash(int cost)
{
	struct hash_thread threads[THREADS_MAX];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	char setting[40];
	double start = now_s();
	int64_t n = 0;

	if (cores > THREADS_MAX)
		cores = THREADS_MAX;
	snprintf(setting, sizeof(setting), "$2b$%02d$abcdefghijklmnopqrstuu", cost);
	for (long i = 0; i < cores; i++) {
		threads[i] = (struct hash_thread){.setting = setting, .end_s = start + 5.0};
		if (pthread_create(&threads[i].id, NULL, hash_thread, &threads[i]) != 0)
			return 1;
	}
	for (long i = 0; i < cores; i++) {
		pthread_join(threads[i].id, NULL);
		n += threads[i].n;
	}
	printf("{\"hashes_per_second\":%.2f,\"threads\":%ld,\"cost\":%d}\n", (double)n / (now_s() - start), cores, cost);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "fsync") == 0)
		return limit_fsync(argv[2]);
	if (argc == 3 && strcmp(argv[1], "hash") == 0)
		return limit_hash((int)strtol(argv[2], NULL, 10));
	fprintf(stderr, "usage: limits fsync DIR | limits hash COST\n");
	return 2;
}
