/* Requests and addresses without a socket: headers, cookies, form pairs, CIDRs. */
#include "our_fail.h"

#include <stdio.h>
#include <string.h>

#include "http/server.h"

static void
test_pairs(void **state)
{
	static const struct {
		const char *text;
		size_t n;	  /* 0: of the text */
		const char *want; /* name=value; …, NULL: refused */
	} rows[] = {
		{"", 0, ""},
		{"a=b", 0, "a=b;"},
		{"a=b&c=d", 0, "a=b;c=d;"},
		{"a", 0, "a=;"},
		{"a=", 0, "a=;"},
		{"=b", 0, "=b;"},
		{"a=b=c", 0, "a=b=c;"},
		{"&&a=b&", 0, "a=b;"},
		{"a=1&a=2", 0, "a=1;a=2;"},
		{"a+b=c+d", 0, "a b=c d;"},
		{"a%20b=%26%3D%2b", 0, "a b=&=+;"},
		{"a=%C3%BC", 0, "a=\xc3\xbc;"},
		{"a=%c3%bc", 0, "a=\xc3\xbc;"},
		{"a=%", 0, NULL},
		{"a=%2", 0, NULL},
		{"a=%2&b=1", 0, NULL},
		{"a=%zz", 0, NULL},
		{"a%=b", 0, NULL},
		{"a=%00", 0, NULL},
		{"a=b\0c", 5, NULL},
		{"a=%0a", 0, NULL},
		{"a=%7F", 0, NULL},
		{"a=%C2%85", 0, NULL}, /* a C1 control */
		{"a=%FF", 0, NULL},
		{"a=%C0%80", 0, NULL},
		{"a=%ED%A0%80", 0, NULL}, /* a surrogate */
		{"a=bXYZ", 3, "a=b;"},
	};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pair *pairs = NULL;
		size_t n = 0;
		char got[200] = "";
		bool ok = pairs_parse(&a, rows[i].text, rows[i].n ? rows[i].n : strlen(rows[i].text), &pairs, &n);

		for (size_t k = 0; ok && k < n; k++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s=%s;", pairs[k].name, pairs[k].value);
		if (ok != (rows[i].want != NULL) || (ok && strcmp(got, rows[i].want) != 0))
			print_error("%s: %d %s\n", rows[i].text, ok, got);
		assert_int_equal(ok, rows[i].want != NULL);
		if (ok)
			assert_string_equal(got, rows[i].want);
		else
			assert_null(pairs);
	}
	arena_release(&a);
}

static void
test_pairs_bounded(void **state)
{
	struct pair *pairs;
	char text[2001];
	struct arena a;
	size_t n;

	(void)state;
	arena_init(&a);
	for (int i = 0; i < 2000; i++)
		text[i] = i % 2 ? '&' : 'a';
	assert_true(pairs_parse(&a, text, 1999, &pairs, &n));
	assert_int_equal(n, 1000);
	assert_false(pairs_parse(&a, text, 2000, &pairs, &n));
	arena_release(&a);
}

static void
test_headers_and_cookies(void **state)
{
	static const struct header headers[] = {
		{"Accept", "x"}, {"cookie", "a=1; b=\"two\" ;c=;ab=3; d=e=f"}, {"COOKIE", "a=9; g=7;"}, {"accept", "y"}};
	static const struct {
		const char *name, *want;
	} rows[] = {
		{"a", "1"}, {"b", "two"}, {"c", ""}, {"ab", "3"}, {"d", "e=f"}, {"g", "7"}, {"A", NULL}, {"e", NULL}, {"", NULL}};
	const struct request rq = {.headers = headers, .n_headers = 4};
	struct arena a;

	(void)state;
	arena_init(&a);
	assert_string_equal(request_header(&rq, "ACCEPT"), "x");
	assert_null(request_header(&rq, "Accep"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got = request_cookie(&a, &rq, rows[i].name);

		if (rows[i].want)
			assert_string_equal(got, rows[i].want);
		else
			assert_null(got);
	}
	arena_release(&a);
}

static void
test_reply(void **state)
{
	struct arena a;
	struct reply rs = {.status = 200};

	(void)state;
	arena_init(&a);
	rs.arena = &a;
	reply_header(&rs, "A", "b");
	assert_int_equal(rs.n_headers, 1);
	assert_int_equal(reply_bytes(&rs, "text/plain", SPAN_LIT("abc")), OK);
	assert_int_equal(rs.body.n, 3);
	assert_int_equal(reply_empty(&rs, 204), OK);
	assert_int_equal(rs.status, 204);
	assert_int_equal(rs.body.n, 0);
	assert_string_equal(method_name(PATCH), "PATCH");
	assert_string_equal(method_name(METHOD__OTHER), "OTHER");
	arena_release(&a);
}

static void
test_addresses(void **state)
{
	static const struct {
		const char *text, *canonical, *prefix; /* NULL: not an address */
	} rows[] = {
		{"192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"},
		{"::FFFF:c000:207", "192.0.2.7", "192.0.2.7"},
		{"::1", "::1", "::/64"},
		{"2001:0DB8:0:1:2:3:4:5", "2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"},
		{"fe80:1:2:3:4:5:6:7", "fe80:1:2:3:4:5:6:7", "fe80:1:2:3::/64"},
		{"", NULL, NULL},
		{"192.0.2", NULL, NULL},
		{"192.0.2.256", NULL, NULL},
		{"192.0.2.7 ", NULL, NULL},
		{"fe80::1%eth0", NULL, NULL},
		{"1:2:3:4:5:6:7:8:9", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t ip[16];
		char text[46];

		assert_int_equal(ip_parse(rows[i].text, ip), rows[i].canonical != NULL);
		if (!rows[i].canonical)
			continue;
		ip_text(ip, text);
		assert_string_equal(text, rows[i].canonical);
		ip_prefix(rows[i].text, text);
		assert_string_equal(text, rows[i].prefix);
	}
}

static void
test_cidr(void **state)
{
	static const struct {
		const char *cidr, *ip;
		bool in;
	} rows[] = {
		{"10.0.0.0/8", "10.255.1.2", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "::ffff:10.1.1.1", true},
		{"10.9.9.9/8", "10.1.1.1", true}, /* bits behind the mask do not matter */
		{"192.0.2.64/26", "192.0.2.127", true},
		{"192.0.2.64/26", "192.0.2.128", false},
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.6", false},
		{"192.0.2.7/32", "192.0.2.7", true},
		{"0.0.0.0/0", "203.0.113.1", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::1", "::1", true},
		{"::1", "::2", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
	};
	static const char *const bad[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8x",
		"10.0.0.0/ 8", "10.0.0/8", "::/129", "example.com", "10.0.0.0/8/8",
		"1111111111111111111111111111111111111111111111111111/8"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cidr c;
		uint8_t ip[16];

		assert_true(cidr_parse(rows[i].cidr, &c));
		assert_true(ip_parse(rows[i].ip, ip));
		if (cidr_has(&c, ip) != rows[i].in)
			print_error("%s %s\n", rows[i].cidr, rows[i].ip);
		assert_int_equal(cidr_has(&c, ip), rows[i].in);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cidr c = {.bits = 77};

		assert_false(cidr_parse(bad[i], &c));
		assert_int_equal(c.bits, 77);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_pairs_bounded),
		cmocka_unit_test(test_headers_and_cookies),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_cidr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
