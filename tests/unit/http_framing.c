/*
 * How the front reads requests: framing that two programs could read in two ways, sizes, bodies, and who asks.
 */
#include "unit/http_env.h"

/* --- framing ------------------------------------------------------------------------------------------------------------- */

#define TEXT(s) s, sizeof(s) - 1
struct framing_case {
	const char *what, *send;
	size_t n;
	int status[4]; /* of each answer */
	enum {
		STAYS,
		ENDS,
		ENDS_RAW
	} after;	  /* ENDS_RAW: the library's own answer, which says its header twice in some versions */
	const char *body; /* of the last answer; NULL: not looked at */
};

static const struct framing_case framing_cases[] = {
	{"one GET", TEXT("GET /a?b=c HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "GET /a?b=c "},
	{"3 pipelined GETs", TEXT("GET /a HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\nGET /c HTTP/1.1\r\n" H "\r\n"),
		{200, 200, 200}, false, "GET /c? "},
	{"POST, GET, POST pipelined",
		TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n" H "\r\n"
		     "POST /c HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\ndefg"),
		{200, 200, 200}, STAYS, "POST /c? defg"},
	{"deferred, pipelined",
		TEXT("GET /later HTTP/1.1\r\n" H "\r\nGET /later HTTP/1.1\r\n" H "\r\nGET /c HTTP/1.1\r\n" H "\r\n"),
		{200, 200, 200}, STAYS, "GET /c? "},
	{"chunked",
		TEXT("POST /a HTTP/1.1\r\n" H
		     "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n"),
		{200, 200}, STAYS, "GET /b? "},
	{"chunk extension and trailer",
		TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\nX-T: v\r\n\r\n"), {200},
		STAYS, "POST /a? abc"},
	{"empty body", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), {200}, STAYS, "POST /a? "},
	{"POST without length", TEXT("POST /a HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "POST /a? "},
	{"HTTP/1.0", TEXT("GET /a HTTP/1.0\r\n\r\n"), {200}, ENDS, "GET /a? "},
	{"HTTP/1.0 kept alive", TEXT("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n"), {200, 200},
		ENDS, "GET /b? "},
	{"Connection: close", TEXT("GET /a HTTP/1.1\r\n" H "Connection: close\r\n\r\n"), {200}, ENDS, NULL},
	{"OPTIONS", TEXT("OPTIONS /a HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "OPTIONS /a? "},
	{"foreign method", TEXT("BREW /pot HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "OTHER /pot? "},
	{"percent sequences stay as sent", TEXT("GET /a%2Fb%00?c=%26 HTTP/1.1\r\n" H "\r\n"), {200}, STAYS,
		"GET /a%2Fb%00?c=%26 "},
	{"second question mark", TEXT("GET /a?b?c&d HTTP/1.1\r\n" H "\r\n"), {200}, STAYS, "GET /a?b?c&d "},
	{"blanks around a value", TEXT("GET /a HTTP/1.1\r\n" H "X-Request-ID:  \t q1 \r\nX-B:\r\n\r\n"), {200}, STAYS, NULL},

	{"length and coding", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		{400}, ENDS, "refused malformed_request"},
	{"two lengths", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), {400}, ENDS, NULL},
	{"list of lengths", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc"), {400}, ENDS_RAW, NULL},
	{"length with a sign", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc"), {400}, ENDS_RAW, NULL},
	{"negative length", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc"), {400}, ENDS_RAW, NULL},
	{"length beyond 63 bits", TEXT("POST /a HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\nabc"), {413},
		ENDS_RAW, NULL},
	{"two hosts", TEXT("GET /a HTTP/1.1\r\n" H "Host: g\r\n\r\n"), {400}, ENDS, "refused malformed_request"},
	{"no host", TEXT("GET /a HTTP/1.1\r\n\r\n"), {400}, ENDS, NULL},
	{"xchunked", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), {400}, ENDS,
		"refused malformed_request"},
	{"gzip, chunked", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"chunked twice",
		TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), {400},
		ENDS, NULL},
	{"chunked in HTTP/1.0", TEXT("POST /a HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"hexadecimal prefix in a chunk size",
		TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"negative chunk size", TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"), {400},
		ENDS, NULL},
	{"chunk without its line end",
		TEXT("POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\0c\r\nX-B: c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL at the end of a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\0\r\nX-B: c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in the last value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\0c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL before a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: \0c\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in a name", TEXT("GET /a HTTP/1.1\r\n" H "X\0A: b\r\n\r\n"), {400}, ENDS, NULL},
	{"NUL in the target", TEXT("GET /a\0b HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"blank in a name", TEXT("GET /a HTTP/1.1\r\n" H "X A: b\r\n\r\n"), {400}, ENDS, NULL},
	{"blank before the colon", TEXT("GET /a HTTP/1.1\r\n" H "Content-Length : 0\r\n\r\n"), {400}, ENDS, NULL},
	{"empty name", TEXT("GET /a HTTP/1.1\r\n" H ": b\r\n\r\n"), {400}, ENDS, NULL},
	{"control character in a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\001c\r\n\r\n"), {400}, ENDS, NULL},
	{"bare CR in a value", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\rX-B: c\r\n\r\n"), {400}, ENDS, NULL},
	{"folded header", TEXT("GET /a HTTP/1.1\r\n" H "X-A: b\r\n c\r\n\r\n"), {400}, ENDS, NULL},
	{"line without colon", TEXT("GET /a HTTP/1.1\r\n" H "X-A\r\n\r\n"), {400}, ENDS, NULL},
	{"bare LF", TEXT("GET /a HTTP/1.1\n" H "\n"), {400}, ENDS, NULL},
	{"target without slash", TEXT("GET a HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"absolute target", TEXT("GET http://h/a HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"asterisk target", TEXT("OPTIONS * HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"blank in the target", TEXT("GET /a b HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"control character in the target", TEXT("GET /a\001 HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"raw UTF-8 in the target", TEXT("GET /\xc3\xbc HTTP/1.1\r\n" H "\r\n"), {400}, ENDS, NULL},
	{"413 by length", TEXT("POST /small HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\nabcdefghijk"), {413}, ENDS,
		"refused body_too_large"},
	{"exactly the limit", TEXT("POST /small HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nabcdefghij"), {200}, STAYS,
		"POST /small? abcdefghij"},
	{"413 when chunked",
		TEXT("POST /small HTTP/1.1\r\n" H
		     "Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n8\r\nabcdefgh\r\n0\r\n\r\n"),
		{413}, ENDS, "refused body_too_large"},
	{"header that cannot be sent", TEXT("GET /split HTTP/1.1\r\n" H "\r\n"), {500}, STAYS, ""},
	{"204", TEXT("GET /empty HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n"), {204, 200}, STAYS, "GET /b? "},
};

static void
test_framing(void **state)
{
	struct app *app = app_open((struct http_options){0});
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(framing_cases) / sizeof(framing_cases[0]); i++) {
		const struct framing_case *k = &framing_cases[i];
		struct client_conn *c = client_open(app->port);
		struct answer a = {0};
		bool ok = true;

		client_send(c, k->send, k->n);
		for (int n = 0; ok && n < 4 && k->status[n]; n++) {
			client_answer(c, false, &a);
			ok = a.status == k->status[n];
		}
		ok = ok && (!k->body || strcmp(a.body, k->body) == 0);
		if (ok && k->after != STAYS)
			ok = client_ended(c, k->after == ENDS_RAW);
		if (!ok)
			print_error("%s: %d %s\n", k->what, a.status, a.body);
		wrong += !ok;
		client_close(c);
	}
	assert_int_equal(wrong, 0);
	app_close(app);
}

static void
test_sizes(void **state)
{
	static const char hundred[] =
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct app *app = app_open((struct http_options){0});
	char chunk[1100];

	(void)state;
	memset(chunk, 'x', sizeof(chunk));
	memcpy(chunk, "400\r\n", 5);
	memcpy(chunk + 5 + 1024, "\r\n", 3);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H "X-A: ", hundred, 40, "\r\n\r\n"), 200);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H "X-A: ", hundred, 655, "\r\n\r\n"), 431);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H, "X-A: b\r\n", 30, "\r\n"), 200);
	assert_int_equal(send_repeated(app, "GET /a HTTP/1.1\r\n" H, "X-A: b\r\n", 300, "\r\n"), 431);
	assert_int_equal(send_repeated(app, "GET /", hundred, 200, " HTTP/1.1\r\n" H "\r\n"), 414);
	/* 64 chunks of 1 KiB are the limit; one more is drained and refused; beyond the drain the connection ends. */
	assert_int_equal(
		send_repeated(app, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", chunk, 64, "0\r\n\r\n"), 200);
	assert_int_equal(
		send_repeated(app, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", chunk, 65, "0\r\n\r\n"), 413);
	assert_int_equal(
		send_repeated(app, "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", chunk, 1000, "0\r\n\r\n"), 0);
	app_close(app);
}

/* A refused body is read on for a while: a reset would take the answer from a client that still sends. */
static void
test_refused_upload(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	char part[50000] = {0};
	struct answer a;

	(void)state;
	client_text(c, "POST /small HTTP/1.1\r\n" H "Content-Length: 400000\r\n\r\n");
	for (int i = 0; i < 8; i++)
		client_send(c, part, sizeof(part));
	client_answer(c, false, &a);
	assert_int_equal(a.status, 413);
	assert_int_equal(recv(c->fd, part, 1, 0), 0); /* an orderly end, no ECONNRESET */
	client_close(c);
	app_close(app);
}

static void
test_continue(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;

	(void)state;
	client_text(c, "POST /a HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
	client_answer(c, false, &a);
	assert_int_equal(a.status, 100);
	client_text(c, "abc");
	client_answer(c, false, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "POST /a? abc");
	client_text(c, "POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 30\r\n\r\n");
	client_answer(c, false, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strcasestr(a.head, "Connection: close"));
	assert_true(client_ended(c, false));
	client_close(c);
	app_close(app);
}

static void
test_head_and_half_close(void **state)
{
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;

	(void)state;
	client_text(c, "HEAD /abc HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n");
	client_answer(c, true, &a);
	assert_int_equal(a.status, 200);
	/* of "HEAD /abc? " */
	assert_non_null(strcasestr(a.head, "Content-Length: 11\r\n"));
	client_answer(c, false, &a);
	assert_string_equal(a.body, "GET /b? ");
	client_text(c, "GET /later HTTP/1.1\r\n" H "\r\n");
	shutdown(c->fd, SHUT_WR);
	client_answer(c, false, &a);
	assert_string_equal(a.body, "later /later");
	assert_true(client_ended(c, false));
	client_close(c);
	app_close(app);
}

/* --- who asks ------------------------------------------------------------------------------------------------------------ */

struct who_case {
	const char *headers, *want;
};

static void
check_who(struct app *app, const struct who_case *k)
{
	struct client_conn *c = client_open(app->port);
	struct answer a;
	char text[2048];

	snprintf(text, sizeof(text), "GET /who HTTP/1.1\r\n" H "X-Request-ID: r\r\n%s\r\n", k->headers);
	client_text(c, text);
	client_answer(c, false, &a);
	if (strcmp(a.body, k->want) != 0)
		print_error("%s\n", k->headers);
	assert_string_equal(a.body, k->want);
	client_close(c);
}

static void
test_client_address(void **state)
{
	static const char *const trusted[] = {"127.0.0.1", "10.0.0.0/8", "2001:db8::/32", NULL}, *const others[] = {
													 "10.0.0.0/8", NULL};
	static const struct who_case behind[] =
		{
			/* client, peer, tls, forwarded, id */
			{"", "127.0.0.1 127.0.0.1 0 0 r"},
			{"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 203.0.113.9, 192.0.2.7 , 10.1.2.3\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.9.9.9\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 10.2.2.2, 10.1.1.1\r\n", "10.2.2.2 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 192.0.2.7, ::ffff:10.0.0.1\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 2001:DB8:1::5, 2001:db9:0::1\r\n", "2001:db9::1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: [2001:db9::1]:4711\r\n", "2001:db9::1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: garbage\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 192.0.2.7, garbage\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 192.0.2.7, , 10.0.0.1\r\n", "10.0.0.1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: garbage, 10.0.0.1\r\n", "10.0.0.1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For:\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
			{"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7 127.0.0.1 1 1 r"},
			{"X-Forwarded-Proto: https, http\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
			{"X-Forwarded-Proto: httpsx\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
			{"Forwarded: for=192.0.2.7\r\n", "127.0.0.1 127.0.0.1 0 1 r"},
		},
				     direct[] = {
					     {"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n",
						     "127.0.0.1 127.0.0.1 0 1 r"},
					     {"", "127.0.0.1 127.0.0.1 0 0 r"},
				     };
	struct app *app = app_open((struct http_options){.trusted_proxies = trusted});

	(void)state;
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++)
		check_who(app, &behind[i]);
	app_close(app);
	app = app_open((struct http_options){.trusted_proxies = others});
	for (size_t i = 0; i < sizeof(direct) / sizeof(direct[0]); i++)
		check_who(app, &direct[i]);
	app_close(app);
	app = app_open((struct http_options){.host = "::", .trusted_proxies = trusted}); /* a v4-mapped peer is the same peer */
	check_who(app, &behind[0]);
	check_who(app, &behind[1]);
	app_close(app);
}

static void
test_request_id(void **state)
{
	static const struct {
		const char *given;
		bool kept;
	} rows[] = {{"abc.DEF_1-2", true}, {"", false}, {"a b", false}, {"a/b", false}, {"\xc3\xbc", false}};
	struct app *app = app_open((struct http_options){0});
	struct client_conn *c = client_open(app->port);
	struct answer a;
	char text[512], long_id[140];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) + 2; i++) {
		size_t extra = i - sizeof(rows) / sizeof(rows[0]);
		bool in_table = i < sizeof(rows) / sizeof(rows[0]), kept = in_table ? rows[i].kept : extra == 0;
		const char *given = in_table ? rows[i].given : long_id, *got;

		memset(long_id, 'a', sizeof(long_id));
		long_id[extra == 0 ? REQUEST_ID_MAX : REQUEST_ID_MAX + 1] = '\0';
		snprintf(text, sizeof(text), "GET /who HTTP/1.1\r\n" H "X-Request-ID: %s\r\n\r\n", given);
		client_text(c, text);
		client_answer(c, false, &a);
		got = strrchr(a.body, ' ') + 1;
		if (kept)
			assert_string_equal(got, given);
		else
			assert_true(uuid_valid(got) && got[14] == '7');
	}
	client_close(c);
	app_close(app);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_refused_upload),
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_head_and_half_close),
		cmocka_unit_test(test_client_address),
		cmocka_unit_test(test_request_id),
	};

	alarm(120); /* what waits for something that never comes */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
