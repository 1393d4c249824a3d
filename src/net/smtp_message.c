/*
 * The message as it goes out.  Bodies travel as base64, so no line of theirs is too long, begins with a dot or ends a header;
 * header texts that are not plain ASCII become encoded words (RFC 2047), and so does everything with a control character in it.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/time.h"
#include "net/smtp.h"

enum { ADDRESS_MAX = 320, LINE_BYTES = 57 /* 76 characters of base64 */, WORD_BYTES = 42 };

/* No white space, control, bracket or quote; one '@' with something on both sides.  What an account's address is, was checked
 * before. */
bool
smtp_address_valid(const char *address)
{
	const char *at = address ? strchr(address, '@') : NULL;

	if (!at || at == address || !at[1] || strchr(at + 1, '@') || strlen(address) > ADDRESS_MAX)
		return false;
	for (const char *p = address; *p; p++)
		if ((uint8_t)*p <= ' ' || *p == 0x7F || strchr("<>()[]\\\",;:", *p))
			return false;
	return str_utf8_valid(span_str(address)) && !str_has_control(address);
}

bool
smtp_mailbox(struct arena *a, const char *text, const char **ret_name, const char **ret_address)
{
	const char *open = strrchr(text, '<'), *end = text + strlen(text);
	const char *name = "", *address = str_trim(a, text);

	if (open) {
		if (end[-1] != '>')
			return false;
		name = str_trim(a, arena_strndup(a, text, (size_t)(open - text)));
		size_t n = strlen(name);
		if (n >= 2 && name[0] == '"' && name[n - 1] == '"')
			name = arena_strndup(a, name + 1, n - 2);
		address = arena_strndup(a, open + 1, (size_t)(end - open) - 2);
	}
	if (!smtp_address_valid(address))
		return false;
	*ret_name = name;
	*ret_address = address;
	return true;
}

static void
add_base64(struct buf *b, const char *p, size_t n)
{
	unsigned char line[4 * ((LINE_BYTES + 2) / 3) + 1];

	buf_add(b, line, (size_t)EVP_EncodeBlock(line, (const unsigned char *)p, (int)n));
}

static bool
is_plain(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((uint8_t)*p < ' ' || (uint8_t)*p > '~' || strchr("\"\\<>()@,;:=?", *p))
			return false;
	return strlen(text) <= 60;
}

/* Encoded words of whole characters; a folded line for each further one. */
static void
add_header_text(struct buf *b, const char *text)
{
	if (is_plain(text)) {
		buf_str(b, text);
		return;
	}
	for (const char *p = text; *p;) {
		size_t max = strnlen(p, WORD_BYTES), n = max;
		while (n > 0 && p[n] && ((uint8_t)p[n] & 0xC0) == 0x80)
			n--;
		n = n > 0 ? n : max; /* no characters at all */
		if (p != text)
			buf_str(b, "\r\n ");
		buf_str(b, "=?UTF-8?B?");
		add_base64(b, p, n);
		buf_str(b, "?=");
		p += n;
	}
}

static void
add_date(struct buf *b, int64_t at_us)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t at_s = (time_t)(at_us / SECONDS_US);
	struct tm tm;

	if (!gmtime_r(&at_s, &tm))
		BUG("time %lld", (long long)at_us);
	buf_printf(b, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
		tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void
add_part(struct buf *b, const char *boundary, const char *type, const char *body)
{
	size_t n = strlen(body);

	buf_printf(b, "--%s\r\nContent-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n", boundary, type);
	for (size_t i = 0; i < n; i += LINE_BYTES) {
		add_base64(b, body + i, n - i < LINE_BYTES ? n - i : LINE_BYTES);
		buf_str(b, "\r\n");
	}
}

bool
smtp_compose(struct arena *a, const struct smtp_message *m, struct span *ret)
{
	const char *name, *from, *boundary = arena_printf(a, "=_%s", m->id);
	struct buf b;

	if (!smtp_mailbox(a, m->from, &name, &from) || !smtp_address_valid(m->to))
		return false;
	buf_init(&b, a, 2048 + 2 * (strlen(m->text) + strlen(m->html)));
	buf_str(&b, "From: ");
	if (name[0]) {
		add_header_text(&b, name);
		buf_str(&b, is_plain(name) ? " " : "\r\n ");
	}
	buf_printf(&b, "<%s>\r\nTo: <%s>\r\nSubject: ", from, m->to);
	add_header_text(&b, m->subject);
	buf_str(&b, "\r\n");
	add_date(&b, m->at_us);
	buf_printf(&b, "Message-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n", m->id,
		strchr(from, '@') + 1);
	buf_printf(&b, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n", boundary);
	add_part(&b, boundary, "text/plain", m->text);
	add_part(&b, boundary, "text/html", m->html);
	buf_printf(&b, "--%s--\r\n", boundary);
	*ret = buf_span(&b);
	return true;
}
