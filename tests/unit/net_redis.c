/* Addresses of Redis, signing in, TLS with the certificate checked, and what a call makes of answers; a real redis-server. */
#include "our_fail.h"

#include <arpa/inet.h>

#include "certificate.h"
#include "redis_env.h"

static void
addresses(void **state)
{
	static const struct {
		const char *url, *host, *port, *path, *user, *password;
		int database;
		bool tls;
	} good[] = {
		{"redis://cache", "cache", "6379", NULL, NULL, NULL, 0, false},
		{"redis://cache/", "cache", "6379", NULL, NULL, NULL, 0, false},
		{"redis://cache:7000/3", "cache", "7000", NULL, NULL, NULL, 3, false},
		{"rediss://:p%40ss@cache.example.org/0", "cache.example.org", "6379", NULL, NULL, "p@ss", 0, true},
		{"redis://ada:secret@[::1]:6380", "::1", "6380", NULL, "ada", "secret", 0, false},
		{"unix:///run/redis/redis.sock", NULL, NULL, "/run/redis/redis.sock", NULL, NULL, 0, false},
		{"unix:///run/r.sock?db=2", NULL, NULL, "/run/r.sock", NULL, NULL, 2, false},
		{"unix://:secret@/run/r.sock", NULL, NULL, "/run/r.sock", NULL, "secret", 0, false},
	};
	static const char *const bad[] = {"redis://", "redis://cache/x", "redis://cache/-1", "redis://cache:port", "redis://cache/1/2",
		"unix://", "unix:///", "unix:///s?db=x", "unix:///s?other=1"};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct redis_address got;
		const char *message = "";
		if (!redis_address_read(&a, good[i].url, &got, &message))
			fail_msg("%s: %s", good[i].url, message);
		assert_true(str_eq(got.host, good[i].host) && str_eq(got.port, good[i].port) && str_eq(got.path, good[i].path));
		assert_true(str_eq(got.user, good[i].user) && str_eq(got.password, good[i].password));
		assert_int_equal(got.database, good[i].database);
		assert_int_equal(got.tls, good[i].tls);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct redis_address got;
		const char *message = "";
		if (redis_address_read(&a, bad[i], &got, &message))
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(message, "REDIS_URL"));
	}
	arena_release(&a);
}

static struct redis *
open_at(struct arena *a, const char *url)
{
	const char *message = "";
	struct redis *r = redis_open(a, &(const struct redis_options){.url = url, .timeout_ms = 5000}, &message);

	if (!r)
		fail_msg("%s: %s", url, message);
	return r;
}

static bool
answers(struct arena *a, const char *url, char *ret_why)
{
	struct redis *r = open_at(a, url);
	struct redis_state now;

	redis_look(r, &now);
	(void)str_copy(ret_why, sizeof(now.message), now.message);
	redis_close(r);
	return now.up;
}

static void
signs_in(void **state)
{
	struct redis_server s = {.extra = {"--requirepass", "Hush-Hush"}};
	char why[160];
	struct arena a;

	(void)state;
	arena_init(&a);
	redis_server_place(&s);
	s.password = "Hush-Hush";
	redis_server_start(&s);
	assert_true(answers(&a, arena_printf(&a, "unix://:Hush-Hush@%s", s.path), why));
	assert_true(answers(&a, arena_printf(&a, "unix://default:Hush-Hush@%s?db=3", s.path), why));
	assert_false(answers(&a, arena_printf(&a, "unix://:Wrong-Hush@%s", s.path), why));
	assert_non_null(strstr(why, "WRONGPASS"));
	assert_false(answers(&a, s.url, why));
	assert_non_null(strstr(why, "NOAUTH"));
	assert_false(answers(&a, arena_printf(&a, "unix://:Hush-Hush@%s?db=99", s.path), why));
	redis_server_close(&s);
	arena_release(&a);
}

/* --- answers --------------------------------------------------------------------------------------------------------------- */

static struct redis_script sum = {.text = "return {tonumber(ARGV[1]) + tonumber(ARGV[2]), #KEYS}"};

static bool
adds(struct redis *r, const struct redis_script *s, int64_t ret[2])
{
	const struct span args[] = {SPAN_LIT("k"), SPAN_LIT("40"), SPAN_LIT("2")};

	return redis_run(r, s, 1, args, 3, ret, 2);
}

static void
what_is_no_answer_opens_the_breaker(void **state)
{
	static const char *const wrong[] = {"return 'text'", "return {1}", "return {1, 'two'}", "return redis.call('NO', 'SUCH')",
		"return redis.error_reply('READONLY not here')", "syntax error"};
	struct redis_server s = {0};
	struct redis_state now;
	struct arena a;
	int64_t n[2] = {0};

	(void)state;
	arena_init(&a);
	redis_server_open(&s);
	redis_script_init(&sum);
	struct redis *r = open_at(&a, s.url);
	assert_true(adds(r, &sum, n));
	assert_true(n[0] == 42 && n[1] == 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct redis_script script = {.text = wrong[i]};
		redis_script_init(&script);
		assert_false(adds(r, &script, n));
		redis_eventually(redis_is_up(r)); /* the thread asks, and gets an answer */
		redis_eventually(adds(r, &sum, n));
	}
	redis_server_stop(&s);
	assert_false(adds(r, &sum, n));
	redis_look(r, &now);
	assert_false(now.up);
	assert_true(now.message[0] != 0);
	assert_false(adds(r, &sum, n)); /* without asking */
	redis_close(r);
	redis_server_close(&s);
	arena_release(&a);
}

/* A replica takes no writes: for counters it is as good as none. */
static void
a_replica_is_none(void **state)
{
	struct redis_server s = {.extra = {"--replicaof", "127.0.0.1", "1"}};
	char why[160];
	struct arena a;

	(void)state;
	arena_init(&a);
	redis_server_open(&s);
	assert_false(answers(&a, s.url, why));
	assert_true(strstr(why, "READONLY") || strstr(why, "MASTERDOWN"));
	redis_server_close(&s);
	arena_release(&a);
}

/* --- TLS ------------------------------------------------------------------------------------------------------------------- */

/* One that is free now; the server says whether it still was. */
static int
free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	(void)close(fd);
	return ntohs(at.sin_port);
}

static void
tls_is_checked(void **state)
{
	struct redis_server s = {0};
	char port[8], cert[200], key[200], why[160];
	struct arena a;
	int64_t n[2];

	(void)state;
	arena_init(&a);
	redis_server_place(&s);
	snprintf(cert, sizeof(cert), "%s/cert.pem", s.dir);
	snprintf(key, sizeof(key), "%s/key.pem", s.dir);
	certificate_make(cert, key);
	const char *const extra[] = {"--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no", "--bind", "127.0.0.1", "-::1"};
	memcpy(s.extra, extra, sizeof(extra));
	for (int i = 0; i < 50 && !s.pid; i++) {
		snprintf(port, sizeof(port), "%d", free_port());
		(void)redis_server_try(&s);
	}
	assert_true(s.pid > 0);

	assert_int_equal(setenv("SSL_CERT_FILE", "/dev/null", 1), 0);
	assert_int_equal(setenv("SSL_CERT_DIR", "/dev/null", 1), 0);
	assert_false(answers(&a, arena_printf(&a, "rediss://localhost:%s", port), why));
	assert_non_null(strstr(why, "certificate verify failed"));
	assert_int_equal(setenv("SSL_CERT_FILE", cert, 1), 0);
	assert_false(answers(&a, arena_printf(&a, "rediss://127.0.0.1:%s", port), why)); /* not its name */
	assert_non_null(strstr(why, "certificate verify failed"));
	assert_false(answers(&a, arena_printf(&a, "redis://localhost:%s", port), why));
	struct redis *r = open_at(&a, arena_printf(&a, "rediss://localhost:%s/1", port));
	assert_true(redis_is_up(r));
	redis_script_init(&sum);
	for (int i = 0; i < 100; i++)
		assert_true(adds(r, &sum, n));
	redis_close(r);
	redis_server_stop(&s);
	(void)unlink(cert);
	(void)unlink(key);
	redis_server_close(&s);
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(signs_in),
		cmocka_unit_test(what_is_no_answer_opens_the_breaker),
		cmocka_unit_test(a_replica_is_none),
		cmocka_unit_test(tls_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
