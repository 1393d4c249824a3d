/*
 * What every reply carries, CORS, limits, and the operator's routes: over the program's own tables.
 */
#include "support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/assets.h"
#include "core/conf.h"
#include "core/log.h"
#include "http/limit.h"

#define SECRETS                                                                                                  \
	"SECRET_KEY=a-0123456789abcdef0123456789abcdef", "QR_SIGNING_SECRET=b-0123456789abcdef0123456789abcdef", \
		"TOKEN_PEPPER=c-0123456789abcdef0123456789abcdef", "MFA_ENCRYPTION_KEY=d-0123456789abcdef0123456789abcdef"
#define PROD "ENV=prod", "BCRYPT_ROUNDS=10", "ADMIN_PASSWORD=Correct-Horse-7", SECRETS

static struct test_reply *
get(struct test *t, const char *path)
{
	return call(t, GET, path, NULL, NULL);
}

static struct test_reply *
with_header(struct test *t, enum method m, const char *path, const char *name, const char *value)
{
	const struct header h = {name, value};

	return call_with(t, &(struct test_request){.method = m, .path = path, .headers = &h, .n_headers = 1});
}

static void
expect_common(const struct test_reply *r)
{
	expect_head(r, "X-Content-Type-Options", "nosniff");
	expect_head(r, "X-Frame-Options", "DENY");
	expect_head(r, "Referrer-Policy", "strict-origin-when-cross-origin");
	expect_head(r, "Permissions-Policy", "camera=(), microphone=(), geolocation=(), interest-cohort=()");
	assert_non_null(reply_head(r, "X-Request-ID"));
	for (size_t i = 0; i < r->x.reply.n_headers; i++)
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(r->x.reply.headers[i].name, r->x.reply.headers[k].name);
}

static void
every_reply_has_the_common_headers(void **state)
{
	struct test *t = test_open(NULL);
	struct test_reply *r = get(t, "/v1/health");

	(void)state;
	assert_string_equal(r->body, "{\"status\":\"ok\"}");
	expect_common(r);
	assert_true(uuid_valid(reply_head(r, "X-Request-ID")));
	expect_head(r, "Strict-Transport-Security", NULL);
	expect_head(r, "Vary", NULL);
	expect_common(get(t, "/none"));
	expect_common(get(t, "/api/auth/me"));
	expect_common(call(t, PATCH, "/v1/health", NULL, NULL));
	expect_common(call(t, OPTIONS, "/v1/health", NULL, NULL));
	expect_common(call(t, HEAD, "/v1/health", NULL, NULL));
	expect_common(get(t, "/v1/ready"));
	test_close(t);
}

static void
the_adapters_refusals_look_the_same(void **state)
{
	struct test *t = test_open(TEST_CONF("CORS_ORIGINS=https://app.example.org", "API_PREFIX=/identity/v2"));
	static const struct {
		const char *path;
		enum err code;
		int status;
		const char *body, *retry;
	} cases[] = {
		{"/api/events", ERR_BODY_TOO_LARGE, 413,
			"{\"error\":\"body_too_large\",\"message\":\"The body is larger than this server "
			"accepts.\",\"request_id\":\"r-9\"}",
			NULL},
		{"/v1/auth/me", ERR_OVERLOADED, 503,
			"{\"error\":{\"code\":\"HTTP_ERROR\",\"message\":\"The server is busy; try again in a moment.\","
			"\"details\":{\"reason\":\"overloaded\"},\"request_id\":\"r-9\"}}",
			"1"},
		{"/identity/v2/auth/me", ERR_OVERLOADED, 503,
			"{\"error\":{\"code\":\"HTTP_ERROR\",\"message\":\"The server is busy; try again in a moment.\","
			"\"details\":{\"reason\":\"overloaded\"},\"request_id\":\"r-9\"}}",
			"1"},
		{NULL, ERR_MALFORMED_REQUEST, 400,
			"{\"error\":\"malformed_request\",\"message\":\"The request could not be read.\",\"request_id\":\"r-9\"}",
			NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_reply r = {.status = cases[i].status};
		arena_init(&r.x.arena);
		r.x.request = (struct request){.method = POST, .path = cases[i].path, .id = "r-9", .ip = "192.0.2.1"};
		dispatch_refuse(t->d, &r.x, cases[i].code);
		assert_int_equal(r.x.reply.status, cases[i].status);
		assert_int_equal(r.x.reply.body.n, strlen(cases[i].body));
		assert_memory_equal(r.x.reply.body.p, cases[i].body, r.x.reply.body.n);
		expect_common(&r);
		expect_head(&r, "X-Request-ID", "r-9");
		expect_head(&r, "Retry-After", cases[i].retry);
		expect_head(&r, "Vary", "Origin");
		arena_release(&r.x.arena);
	}
	test_close(t);
}

static void
hsts_only_over_tls_in_prod(void **state)
{
	struct test *t = test_open(TEST_CONF(PROD));

	(void)state;
	expect_head(call_with(t, &(struct test_request){.method = GET, .path = "/health", .tls = true}),
		"Strict-Transport-Security", "max-age=31536000");
	expect_head(get(t, "/health"), "Strict-Transport-Security", NULL);
	test_close(t);
	t = test_open(NULL);
	expect_head(call_with(t, &(struct test_request){.method = GET, .path = "/health", .tls = true}),
		"Strict-Transport-Security", NULL);
	test_close(t);
}

static void
cors_by_exact_origin(void **state)
{
	struct test *t = test_open(TEST_CONF("CORS_ORIGINS=https://app.example.org,http://localhost:3000"));
	struct test_reply *r = with_header(t, GET, "/v1/health", "Origin", "https://app.example.org");

	(void)state;
	expect_head(r, "Access-Control-Allow-Origin", "https://app.example.org");
	expect_head(r, "Access-Control-Allow-Credentials", NULL);
	expect_head(r, "Vary", "Origin");
	assert_non_null(reply_head(r, "Access-Control-Expose-Headers"));
	r = with_header(t, GET, "/api/auth/me", "Origin", "http://localhost:3000");
	expect_status(r, 401);
	expect_head(r, "Access-Control-Allow-Origin", "http://localhost:3000");
	static const char *const strangers[] = {"https://app.example.org.evil.org", "https://APP.example.org",
		"http://app.example.org", "https://app.example.org:443", "null", ""};
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		r = with_header(t, GET, "/v1/health", "Origin", strangers[i]);
		expect_head(r, "Access-Control-Allow-Origin", NULL);
		expect_head(r, "Vary", "Origin");
	}
	const struct header ask[] = {{"Origin", "https://app.example.org"}, {"Access-Control-Request-Method", "POST"}};
	r = call_with(t, &(struct test_request){.method = OPTIONS, .path = "/api/auth/login", .headers = ask, .n_headers = 2});
	expect_status(r, 204);
	expect_head(r, "Access-Control-Allow-Origin", "https://app.example.org");
	expect_head(r, "Access-Control-Allow-Methods", "POST, OPTIONS");
	expect_head(r, "Allow", "POST, OPTIONS");
	assert_non_null(strstr(reply_head(r, "Access-Control-Allow-Headers"), "Idempotency-Key"));
	r = with_header(t, OPTIONS, "/api/auth/login", "Origin", "https://app.example.org");
	expect_status(r, 204);
	expect_head(r, "Access-Control-Allow-Methods", NULL);
	expect_status(call(t, OPTIONS, "/api/none", NULL, NULL), 404);
	test_close(t);

	t = test_open(TEST_CONF("CORS_ALLOW_ORIGINS=https://app.example.org", "CORS_ALLOW_CREDENTIALS=true"));
	r = with_header(t, GET, "/v1/health", "Origin", "https://app.example.org");
	expect_head(r, "Access-Control-Allow-Credentials", "true");
	expect_head(with_header(t, GET, "/v1/health", "Origin", "https://b.example"), "Access-Control-Allow-Credentials", NULL);
	test_close(t);
}

/* --- limits ---- */

static int
accepted(struct test *t, const char *path, const char *ip, const char *bearer, int tries)
{
	int n = 0;

	for (int i = 0; i < tries; i++)
		n += call_with(t, &(struct test_request){.method = GET, .path = path, .ip = ip, .bearer = bearer})->status != 429;
	return n;
}

static void
limits_by_address(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true", "RATE_LIMIT_PER_MINUTE=3", "RL_HALL_IP_LIMIT=7",
		"SHARED_NETWORKS=198.51.100.0/24,2001:db8:1::/48"));
	static const char page[] = "/api/none";

	(void)state;
	assert_int_equal(accepted(t, page, "192.0.2.1", NULL, 5), 3);
	struct test_reply *r = get(t, page);
	expect_error(r, 429, "rate_limited");
	expect_head(r, "Retry-After", "60");
	expect_common(r);
	test_advance(t, 41 * SECONDS_US);
	expect_head(get(t, page), "Retry-After", "19");
	assert_int_equal(accepted(t, page, "192.0.2.2", NULL, 5), 3);
	assert_int_equal(accepted(t, "/health", "192.0.2.1", NULL, 9), 7);	/* hall traffic has a row of its own */
	assert_int_equal(accepted(t, "/api/auth/me", "192.0.2.3", NULL, 5), 3); /* who has no account is anonymous */
	assert_int_equal(accepted(t, "/api/auth/me", "192.0.2.3", "forged", 5), 0);
	/* IPv6 counts by /64, and mapped addresses are IPv4. */
	assert_int_equal(accepted(t, page, "2001:db8::1", NULL, 2), 2);
	assert_int_equal(accepted(t, page, "2001:db8::ffff:2", NULL, 2), 1);
	assert_int_equal(accepted(t, page, "2001:db8:0:1::1", NULL, 5), 3);
	assert_int_equal(accepted(t, page, "198.51.100.7", NULL, 305), 300);
	assert_int_equal(accepted(t, page, "2001:db8:1::7", NULL, 305), 300);
	test_advance(t, 20 * SECONDS_US);
	assert_int_equal(accepted(t, page, "192.0.2.1", NULL, 5), 3);
	test_close(t);
}

static void
limits_by_account(void **state)
{
	struct test *t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=true", "RATE_LIMIT_PER_MINUTE=3", "RL_ACCOUNT_LIMIT=5"));
	struct test_user a = test_user(t, ROLE_STUDENT), b = test_user(t, ROLE_STUDENT);

	(void)state;
	assert_int_equal(accepted(t, "/api/auth/me", "192.0.2.1", a.bearer, 8), 5);
	assert_int_equal(accepted(t, "/api/auth/me", "192.0.2.99", a.bearer, 2), 0); /* wherever it comes from */
	assert_int_equal(accepted(t, "/api/auth/me", "192.0.2.1", b.bearer, 8), 5);
	/* A room full of expired tokens must be able to hear that they have expired. */
	test_advance(t, 16 * MINUTES_US);
	assert_int_equal(accepted(t, "/api/auth/me", "192.0.2.1", b.bearer, 20), 20);
	expect_error(call(t, GET, "/api/auth/me", b.bearer, NULL), 401, "token_expired");
	test_close(t);
	t = test_open(TEST_CONF("RATE_LIMIT_ENABLED=false", "RATE_LIMIT_PER_MINUTE=1"));
	assert_int_equal(accepted(t, "/api/none", NULL, NULL, 5), 5);
	test_close(t);
}

/* --- the operator's routes ---- */

static void
about_and_health(void **state)
{
	struct test *t = test_open(NULL);
	struct test_reply *r = get(t, "/");
	static const char *const alive[] = {"/v1/health", "/health", "/api/v1/health", "/health/"};

	(void)state;
	expect_text(r, "name", "Muster");
	expect_text(r, "version", MUSTER_VERSION);
	expect_text(r, "env", "dev");
	expect_json(r, "surfaces.0", "{'name':'portal','prefix':'/api'}");
	bool docs = asset_find("docs/swagger.html"), app = asset_find("app/index.html");
	r = with_header(t, GET, "/", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
	if (docs || app) {
		expect_status(r, 303);
		expect_head(r, "Location", app ? "/app/" : "/docs");
	} else {
		expect_status(r, 200);
	}
	expect_status(with_header(t, GET, "/", "Accept", "application/json, text/html"), 200);
	expect_status(with_header(t, GET, "/", "Accept", "*/*"), 200);
	for (size_t i = 0; i < sizeof(alive) / sizeof(alive[0]); i++)
		assert_string_equal(get(t, alive[i])->body, "{\"status\":\"ok\"}");
	test_close(t);
}

static void
readiness(void **state)
{
	struct test *t = test_open(NULL);
	struct test_reply *r = get(t, "/v1/ready");

	(void)state;
	expect_status(r, 200);
	expect_text(r, "status", "ok");
	expect_text(r, "checks.database.status", "ok");
	expect_text(r, "checks.storage.status", "ok");
	expect_json(r, "checks.redis", "{'status':'skipped','latency_ms':null}");
	expect_json(r, "checks.mail", "{'status':'skipped','latency_ms':null}");
	test_close(t);

	t = test_open(TEST_CONF("DATA_DIR=/proc/muster"));
	r = get(t, "/v1/ready");
	expect_status(r, 200);
	expect_text(r, "status", "degraded");
	expect_text(r, "checks.storage.status", "failed");
	expect_text(r, "checks.storage.message", "the data directory cannot be written");
	test_close(t);
}

static void
metrics_for_whom(void **state)
{
	struct test *t = test_open(NULL);
	struct test_reply *r;

	(void)state;
	get(t, "/v1/health");
	r = get(t, "/metrics");
	expect_status(r, 200);
	assert_string_equal(r->x.reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
	assert_non_null(strstr(r->body, "method=\"GET\",route=\"/v1/health\""));
	test_close(t);

	t = test_open(TEST_CONF(PROD));
	expect_error(get(t, "/metrics"), 401, "not_authenticated");
	struct test_request rq = {.method = GET, .path = "/metrics", .ip = "127.0.0.1"};
	expect_status(call_with(t, &rq), 200);
	rq.forwarded = true; /* nginx on this machine speaks for somebody else */
	expect_status(call_with(t, &rq), 401);
	test_close(t);

	t = test_open(TEST_CONF(PROD, "METRICS_TOKEN=scrape-me"));
	rq = (struct test_request){.method = GET, .path = "/metrics", .bearer = "scrape-me"};
	expect_status(call_with(t, &rq), 200);
	rq.bearer = "scrape-mf";
	expect_status(call_with(t, &rq), 401);
	rq.bearer = "scrape-me-too";
	expect_status(call_with(t, &rq), 401);
	test_close(t);
}

static void
documentation_pages(void **state)
{
	struct test *t = test_open(NULL);
	struct test_reply *r = get(t, "/openapi.json");
	static const char *const pages[] = {"/docs", "/redoc", "/docs/docs.css"};

	(void)state;
	expect_status(r, 200);
	expect_text(r, "openapi", "3.1.0");
	expect_status(get(t, "/docs/none.js"), 404);
	expect_status(get(t, "/docs/..%2Fpasswords.txt"), 404);
	for (size_t i = 0; asset_find("docs/swagger.html") && i < 3; i++) {
		r = get(t, pages[i]);
		expect_status(r, 200);
		const char *etag = arena_strdup(&t->arena, reply_head(r, "ETag"));
		if (i < 2) {
			const char *csp = reply_head(r, "Content-Security-Policy");
			assert_non_null(strstr(csp, "script-src 'self';"));
			assert_non_null(strstr(csp, "worker-src blob:"));
			assert_null(strstr(csp, "'unsafe-eval'"));
			assert_null(strstr(r->body, "<script>"));
			assert_null(strstr(r->body, "http://"));
			assert_null(strstr(r->body, "https://"));
		}
		struct test_reply *known = with_header(t, GET, pages[i], "If-None-Match", etag);
		expect_status(known, 304);
		assert_int_equal(known->body_n, 0);
		expect_head(known, "ETag", etag);
		struct test_reply *zip = with_header(t, GET, pages[i], "Accept-Encoding", "br, gzip;q=0.5");
		expect_head(zip, "Content-Encoding", "gzip");
		assert_true(zip->body_n > 2 && memcmp(zip->body, "\x1f\x8b", 2) == 0);
		expect_head(zip, "Vary", "Accept-Encoding");
		expect_head(with_header(t, GET, pages[i], "Accept-Encoding", "gzip;q=0, br"), "Content-Encoding", NULL);
	}
	test_close(t);

	t = test_open(TEST_CONF("DOCS_ENABLED=false"));
	expect_error(get(t, "/openapi.json"), 404, "not_found");
	expect_error(get(t, "/docs"), 404, "not_found");
	expect_error(get(t, "/redoc"), 404, "not_found");
	expect_error(get(t, "/docs/docs.css"), 404, "not_found");
	expect_json(get(t, "/"), "docs", "null");
	expect_status(with_header(t, GET, "/", "Accept", "text/html"), asset_find("app/index.html") ? 303 : 200);
	test_close(t);
}

/* --- the log ---- */

static const char *
log_lines(struct test *t, enum log_level level)
{
	int fd = open(arena_printf(&t->arena, "%s/log", t->dir), O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *text = arena_new(&t->arena, char, 65536);

	assert_true(fd >= 0);
	log_open(level, fd);
	struct test_request rq = {.method = GET,
		.path = "/api/events/0190d7a3-6a5e-7c4b-8f2d-3b1e5a9c7d10?token=hidden",
		.request_id = "r-7",
		.bearer = "also-hidden"};
	call_with(t, &rq);
	log_close();
	lseek(fd, 0, SEEK_SET);
	assert_true(read(fd, text, 65535) > 0);
	close(fd);
	return text;
}

static void
one_line_for_each_request(void **state)
{
	struct test *t = test_open(NULL);
	const char *text = log_lines(t, LOG_INFO);
	json_t *line = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);

	(void)state;
	assert_non_null(line);
	assert_string_equal(json_string_value(json_object_get(line, "event_type")), "request");
	assert_string_equal(json_string_value(json_object_get(line, "request_id")), "r-7");
	assert_string_equal(json_string_value(json_object_get(line, "method")), "GET");
	assert_string_equal(json_string_value(json_object_get(line, "path")), "/api/events/{id}");
	assert_string_equal(json_string_value(json_object_get(line, "ip")), "192.0.2.1");
	assert_int_equal(json_integer_value(json_object_get(line, "status_code")), 401);
	assert_true(json_is_integer(json_object_get(line, "latency_ms")));
	assert_null(strstr(text, "hidden"));
	assert_null(strstr(text, "0190d7a3"));
	assert_string_equal(strchr(text, '\n'), "\n");
	json_decref(line);
	text = log_lines(t, LOG_DEBUG);
	assert_non_null(strstr(text, "/api/events/0190d7a3"));
	assert_null(strstr(text, "hidden"));
	test_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reply_has_the_common_headers),
		cmocka_unit_test(the_adapters_refusals_look_the_same),
		cmocka_unit_test(hsts_only_over_tls_in_prod),
		cmocka_unit_test(cors_by_exact_origin),
		cmocka_unit_test(limits_by_address),
		cmocka_unit_test(limits_by_account),
		cmocka_unit_test(about_and_health),
		cmocka_unit_test(readiness),
		cmocka_unit_test(metrics_for_whom),
		cmocka_unit_test(documentation_pages),
		cmocka_unit_test(one_line_for_each_request),
	};

	return cmocka_run_group_tests_name("api_dispatch_reply", tests, NULL, NULL);
}
