/* Messages as they go out, and addresses that must not. */
#include "our_fail.h"

#include <openssl/evp.h>
#include <string.h>

#include "core/time.h"
#include "net/smtp.h"

static void
addresses(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{"ada@example.org", true},
		{"ada+tag@xn--bcher-kva.example", true},
		{"m\xC3\xBCller@example.org", true},
		{"ada@example.org\r\nRCPT TO:<eve@example.org>", false},
		{"ada@example.org\n", false},
		{"ada@example.org>", false},
		{"<ada@example.org", false},
		{"ada example@example.org", false},
		{"ada\t@example.org", false},
		{"ada@", false},
		{"@example.org", false},
		{"ada", false},
		{"", false},
		{"a@b@c", false},
		{"ada@example.org\xC2\x85x", false}, /* a C1 control */
		{"ada@example.org\xFF", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (smtp_address_valid(rows[i].text) != rows[i].valid)
			fail_msg("%s", rows[i].text);
	assert_false(smtp_address_valid(NULL));
}

static void
mailboxes(void **state)
{
	static const struct {
		const char *text, *name, *address; /* address NULL: refused */
	} rows[] = {
		{"muster@example.org", "", "muster@example.org"},
		{" Muster <muster@example.org>", "Muster", "muster@example.org"},
		{"\"Muster, Zürich\" <muster@example.org>", "Muster, Zürich", "muster@example.org"},
		{"Muster <muster@example.org> x", NULL, NULL},
		{"Muster <>", NULL, NULL},
		{"", NULL, NULL},
		{"<", NULL, NULL},
	};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *name = NULL, *address = NULL;
		assert_int_equal(smtp_mailbox(&a, rows[i].text, &name, &address), rows[i].address != NULL);
		if (rows[i].address) {
			assert_string_equal(name, rows[i].name);
			assert_string_equal(address, rows[i].address);
		}
	}
	arena_release(&a);
}

static const struct smtp_message plain = {.from = "Muster <muster@example.org>",
	.to = "ada@example.org",
	.id = "01890a5d",
	.subject = "A new password",
	.text = "Hello\r\n.\r\n",
	.html = "<p>Hello</p>",
	.at_us = INT64_C(1785585600) * SECONDS_US};

static void
a_message(void **state)
{
	struct arena a;
	struct span out;

	(void)state;
	arena_init(&a);
	assert_true(smtp_compose(&a, &plain, &out));
	assert_string_equal((const char *)out.p,
		"From: Muster <muster@example.org>\r\nTo: <ada@example.org>\r\nSubject: A new password\r\n"
		"Date: Sat, 01 Aug 2026 12:00:00 +0000\r\nMessage-ID: <01890a5d@example.org>\r\nAuto-Submitted: "
		"auto-generated\r\n"
		"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_01890a5d\"\r\n\r\n"
		"--=_01890a5d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		"SGVsbG8NCi4NCg==\r\n"
		"--=_01890a5d\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		"PHA+SGVsbG88L3A+\r\n--=_01890a5d--\r\n");
	arena_release(&a);
}

/* Whatever stands in a header text, each line of the header begins as we began it. */
static void
header_texts_stay_in_their_line(void **state)
{
	static const char *const subjects[] = {"x\r\nBcc: eve@example.org", "\nBcc: eve@example.org", "a\rb", "=?UTF-8?B?QQ==?=",
		"\xC3\x89t\xC3\xA9 \xC3\x89t\xC3\xA9 \xC3\x89t\xC3\xA9 \xC3\x89t\xC3\xA9 \xC3\x89t\xC3\xA9 \xC3\x89t\xC3\xA9 "
		"\xC3\x89t\xC3\xA9",
		"a subject with rather more than sixty plain characters in its one line"};
	struct arena a;
	struct span out;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		struct smtp_message m = plain;
		m.subject = subjects[i];
		m.from = arena_printf(&a, "%s <muster@example.org>", subjects[i]);
		assert_true(smtp_compose(&a, &m, &out));
		const char *text = (const char *)out.p, *body = strstr(text, "\r\n\r\n");
		assert_null(strcasestr(text, "bcc"));
		for (const char *p = text; p < body; p++) {
			assert_true(*p != '\n' || p[-1] == '\r');
			assert_true(*p != '\r' || p[1] == '\n');
			assert_true((uint8_t)*p < 0x80);
		}
		for (const char *p = text; p < body;) {
			const char *end = strstr(p, "\r\n");
			assert_true(end - p <= 78);
			p = end + 2;
		}
	}
	struct smtp_message m = plain;
	m.to = "ada@example.org\r\nBcc: eve@example.org";
	assert_false(smtp_compose(&a, &m, &out));
	m = plain;
	m.from = "muster";
	assert_false(smtp_compose(&a, &m, &out));
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(mailboxes),
		cmocka_unit_test(a_message),
		cmocka_unit_test(header_texts_stay_in_their_line),
	};

	return cmocka_run_group_tests_name("mail: messages", tests, NULL, NULL);
}
