/*
 * Uploads at rest: the local kind as a user of storage.h sees it, and S3's signature against the examples that AWS publishes
 * ("Signature Calculations for the Authorization Header", "Authenticating Requests: Using Query Parameters").  The whole S3 kind runs
 * against a server in tests/e2e.
 */
#include "our_fail.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crypto.h"
#include "core/time.h"
#include "net/s3.h"

#define EXAMPLE_AT_US (INT64_C(1369353600) * SECONDS_US) /* 2013-05-24T00:00:00Z */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct s3_call
example(const char *method, const char *path, const char *payload)
{
	return (struct s3_call){.method = method,
		.host = "examplebucket.s3.amazonaws.com",
		.path = path,
		.payload_sha256 = payload,
		.region = "us-east-1",
		.access_key = "AKIAIOSFODNN7EXAMPLE",
		.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		.at_us = EXAMPLE_AT_US};
}

static void
signatures_are_those_of_the_examples(void **state)
{
	static const struct s3_pair range[] = {{"range", "bytes=0-9"}};
	static const struct s3_pair put[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
	static const struct s3_pair lifecycle[] = {{"lifecycle", ""}}, list[] = {{"prefix", "J"}, {"max-keys", "2"}};
	struct s3_call c[] = {
		example("GET", "/test.txt", EMPTY_SHA256),
		example("PUT", "/test$file.text", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
		example("GET", "/", EMPTY_SHA256),
		example("GET", "/", EMPTY_SHA256),
	};
	static const char *const want[] = {"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"};
	struct arena a;

	(void)state;
	arena_init(&a);
	c[0].headers = range, c[0].n_headers = 1;
	c[1].headers = put, c[1].n_headers = 2;
	c[2].query = lifecycle, c[2].n_query = 1;
	c[3].query = list, c[3].n_query = 2;
	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct s3_signature s = s3_sign(&a, &c[i]);
		assert_string_equal(s.date, "20130524T000000Z");
		assert_true(str_ends(s.authorization, want[i]));
	}
	assert_string_equal(s3_sign(&a, &c[0]).authorization,
		"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
		"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
		"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	assert_string_equal(s3_sign(&a, &c[1]).target, "/test%24file.text");
	assert_string_equal(s3_sign(&a, &c[3]).target, "/?max-keys=2&prefix=J");
	arena_release(&a);
}

static void
a_presigned_url_is_that_of_the_example(void **state)
{
	struct s3_call c = example("GET", "/test.txt", "UNSIGNED-PAYLOAD");
	struct arena a;

	(void)state;
	arena_init(&a);
	c.expires_s = 86400;
	assert_string_equal(s3_sign(&a, &c).target,
		"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	arena_release(&a);
}

static void
a_bucket_is_addressed_by_path(void **state)
{
	struct config conf = {.storage_backend = STORAGE_S3,
		.data_dir = "",
		.s3_endpoint = "https://store.example.org:9000/s3/",
		.s3_bucket = "rooms",
		.s3_region = "eu-1",
		.s3_access_key = "a",
		.s3_secret_key = "b"};
	struct arena a;

	(void)state;
	arena_init(&a);
	const char *url = storage_presign(storage_open(&a, &conf), &a, "exports/x.csv", 60);
	assert_true(str_starts(url, "https://store.example.org:9000/s3/rooms/exports/x.csv?X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
	assert_non_null(strstr(url, "&X-Amz-Expires=60&"));
	arena_release(&a);
}

/* The signature is over the Host header, in which a client does not name the scheme's own port. */
static void
the_usual_port_is_not_signed(void **state)
{
	static const char *const rows[][2] = {{"https://s3.example.org:443", "s3.example.org"}, {"http://s3.example.org:80/x", "s3.example.org"},
		{"https://s3.example.org:80", "s3.example.org:80"}, {"http://s3.example.org:443", "s3.example.org:443"},
		{"https://s3.example.org:4430", "s3.example.org:4430"}, {"https://s3.example.org", "s3.example.org"}};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct config conf = {.s3_endpoint = rows[i][0]};
		assert_string_equal(s3_open(&a, &conf).host, rows[i][1]);
	}
	arena_release(&a);
}

/* --- local ---- */

struct local {
	struct arena arena;
	struct config conf;
	struct storage *s;
	char dir[100];
};

static int
open_local(void **state)
{
	struct local *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	arena_init(&l->arena);
	str_copy(l->dir, sizeof(l->dir), "/tmp/muster-storage-XXXXXX");
	assert_non_null(mkdtemp(l->dir));
	l->conf = (struct config){.storage_backend = STORAGE_LOCAL, .data_dir = l->dir};
	l->s = storage_open(&l->arena, &l->conf);
	*state = l;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static int
close_local(void **state)
{
	struct local *l = *state;

	nftw(l->dir, remove_one, 10, FTW_DEPTH | FTW_PHYS);
	arena_release(&l->arena);
	free(l);
	return 0;
}

static void
put(struct local *l, const char *name, const char *text)
{
	const char *why = NULL;

	if (storage_put(l->s, &l->arena, name, "text/plain", span_str(text), &why) != STORED)
		print_error("%s: %s\n", name, why);
	assert_null(why);
}

static void
what_was_put_is_got_until_it_is_deleted(void **state)
{
	struct local *l = *state;
	struct span got;
	struct stat st;
	const char *why = NULL;

	/* What a row may name by mistake. */
	static const char *const odd[] = {"", "../muster.db", "/etc/passwd", "a//b", "a/.b", "A", "a\nb", "\xc3\xa9"};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(storage_get(l->s, &l->arena, odd[i], &got, &why), STORED_ABSENT);
		assert_int_equal(storage_delete(l->s, &l->arena, odd[i], &why), STORED);
	}
	assert_int_equal(storage_get(l->s, &l->arena, "selfies/2026-08-01/a", &got, &why), STORED_ABSENT);
	put(l, "selfies/2026-08-01/a", "one");
	assert_int_equal(storage_get(l->s, &l->arena, "selfies/2026-08-01/a", &got, &why), STORED);
	assert_int_equal(got.n, 3);
	assert_memory_equal(got.p, "one", 3);
	const char *path = arena_printf(&l->arena, "%s/uploads/selfies/2026-08-01/a", l->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* An object is written once. */
	assert_int_equal(storage_put(l->s, &l->arena, "selfies/2026-08-01/a", "text/plain", SPAN_LIT("two"), &why), STORED_FAILED);
	assert_int_equal(storage_delete(l->s, &l->arena, "selfies/2026-08-01/a", &why), STORED);
	assert_int_equal(storage_get(l->s, &l->arena, "selfies/2026-08-01/a", &got, &why), STORED_ABSENT);
	assert_int_equal(storage_delete(l->s, &l->arena, "selfies/2026-08-01/a", &why), STORED);
	put(l, "selfies/2026-08-01/a", "again");
	assert_null(storage_presign(l->s, &l->arena, "selfies/2026-08-01/a", 60));
}

static void
a_listing_goes_on_after_any_name(void **state)
{
	static const char *const names[] = {"selfies/2026-08-01/a", "selfies/2026-08-01/b", "selfies/2026-08-02/a", "selfies/2026-08-03/c"};
	struct local *l = *state;
	struct conf_list got;
	const char *why = NULL, *after = "";
	size_t n = 0;

	put(l, "other/x", "no selfie");
	for (size_t i = 4; i-- > 0;)
		put(l, names[i], "x");
	FILE *half = fopen(arena_printf(&l->arena, "%s/uploads/selfies/2026-08-01/.new-1", l->dir), "w");
	assert_non_null(half);
	fclose(half);
	for (size_t from = 0; from <= 4; from++) {
		assert_int_equal(storage_list(l->s, &l->arena, "selfies/", from ? names[from - 1] : "", &got, &why), STORED);
		assert_int_equal(got.count, 4 - from);
		for (size_t i = 0; i < got.count; i++)
			assert_string_equal(got.items[i], names[from + i]);
	}
	put(l, "many/2026-08-01/0000", "x");
	for (int i = 1; i < STORAGE_PAGE + 20; i++) { /* without its fsync() */
		FILE *f = fopen(arena_printf(&l->arena, "%s/uploads/many/2026-08-01/%04d", l->dir, i), "w");
		assert_non_null(f);
		fclose(f);
	}
	do {
		assert_int_equal(storage_list(l->s, &l->arena, "many/", after, &got, &why), STORED);
		n += got.count;
		after = got.count ? got.items[got.count - 1] : after;
	} while (got.count);
	assert_int_equal(n, STORAGE_PAGE + 20);
}

static void
trouble_has_a_reason(void **state)
{
	struct local *l = *state;
	struct span got;
	const char *why = NULL;

	assert_int_equal(storage_check(l->s, &l->arena, &why), STORED);
	l->conf.data_dir = "/proc/nowhere";
	l->s = storage_open(&l->arena, &l->conf);
	assert_int_equal(storage_check(l->s, &l->arena, &why), STORED_FAILED);
	assert_string_equal(why, "the data directory cannot be written");
	assert_int_equal(storage_put(l->s, &l->arena, "a/b", "text/plain", SPAN_LIT("x"), &why), STORED_FAILED);
	assert_true(str_starts(why, "the directory of uploads: "));
	assert_int_equal(storage_get(l->s, &l->arena, "a/b", &got, &why), STORED_ABSENT);
}

enum { ROUNDS = 300 };

/* One object of its own comes and goes. */
static void *
come_and_go(void *arg)
{
	const struct storage *s = arg;
	struct arena a;
	intptr_t failed = 0;

	arena_init(&a);
	for (int i = 0; i < ROUNDS; i++) {
		const char *why, *name = arena_printf(&a, "day/%lx-%d", (unsigned long)pthread_self(), i);
		if (storage_put(s, &a, name, "text/plain", SPAN_LIT("x"), &why) != STORED) {
			print_error("%s\n", why);
			failed++;
		}
		failed += storage_delete(s, &a, name, &why) != STORED;
		arena_reset(&a);
	}
	arena_release(&a);
	return (void *)failed;
}

static void
the_last_of_a_day_goes_while_another_comes(void **state)
{
	struct local *l = *state;
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, l->s), 0);
	for (int i = 0; i < 2; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_those_of_the_examples),
		cmocka_unit_test(a_presigned_url_is_that_of_the_example),
		cmocka_unit_test(a_bucket_is_addressed_by_path),
		cmocka_unit_test(the_usual_port_is_not_signed),
		cmocka_unit_test_setup_teardown(what_was_put_is_got_until_it_is_deleted, open_local, close_local),
		cmocka_unit_test_setup_teardown(a_listing_goes_on_after_any_name, open_local, close_local),
		cmocka_unit_test_setup_teardown(trouble_has_a_reason, open_local, close_local),
		cmocka_unit_test_setup_teardown(the_last_of_a_day_goes_while_another_comes, open_local, close_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
