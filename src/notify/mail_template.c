/*
 * The table of mails.  A template is paragraphs, parted by an empty line; `{member}` stands for a value.  The HTML is made from
 * the same paragraphs, every value escaped; a paragraph that is nothing but {link} becomes a link if it is a web address. Values
 * are put into bodies and never into a subject, so nothing that a person typed reaches a header.
 */
#include "notify/mail_template.h"

#include <string.h>

static const struct template
{
	const char *name, *subject, *body;
}
templates[] = {
	{"signup_taken", "You have an account already",
		"Hello {name},\n\nsomebody, perhaps you, signed up with this address.  It has an account already, so nothing was "
		"changed.\n\n"
		"If it was you, sign in with your password, or ask for a new one.  If it was not, you need not do anything."},
	{"attendance_changed", "Your attendance was changed",
		"Hello {name},\n\nyour attendance at {event} was changed by hand.  It is now: {status}.\n\nReason: {reason}\n\n"
		"If you think this is wrong, talk to who runs the event."},
	{"decision", "A decision about you",
		"Hello {name},\n\n{title}.\n\n{message}\n\n"
		"Your account's page has a switch for mails about decisions."},
	{"marks", "New attendance",
		"Hello {name},\n\n{message}\n\n"
		"No further mail comes about this event until you have read the notification in the app.  "
		"Your account's page has a switch for these mails."},
	{"reminder", "A session is about to begin",
		"Hello {name},\n\n{session} ({course}) begins at {at}.\n\n"
		"You get this mail because you are on the roster.  Your account's page has a switch for reminders."},
	{"password_reset", "A new password",
		"Hello {name},\n\nwith this link you can set a new password.  It is good for {minutes} minutes, "
		"once.\n\n{link}\n\n"
		"If you did not ask for it, you need not do anything: your password stays as it is."},
	{"email_verify", "Confirm your address",
		"Hello {name},\n\nwith this link you confirm that this address is yours.  It is good for {minutes} "
		"minutes.\n\n{link}\n\n"
		"If you did not sign up, you need not do anything."},
	{"password_changed", "Your password was changed",
		"Hello {name},\n\nthe password of your account was changed, and its other sessions have ended.\n\n"
		"If it was not you, set a new password at once and tell an administrator."},
	{"mfa_enabled", "Second factor switched on",
		"Hello {name},\n\nfrom now on your account asks for a second factor when you sign in.\n\n"
		"If it was not you, tell an administrator at once."},
	{"mfa_disabled", "Second factor switched off",
		"Hello {name},\n\nyour account no longer asks for a second factor when you sign in.\n\n"
		"If it was not you, set a new password at once and tell an administrator."},
	{"backup_code_used", "A backup code was used",
		"Hello {name},\n\nsomebody signed in to your account with one of its backup codes.  That code is used up.\n\n"
		"If it was not you, set a new password at once and tell an administrator."},
	{"oauth_linked", "A further way to sign in",
		"Hello {name},\n\nan account of another provider was linked to yours and can sign in to it.\n\n"
		"If it was not you, remove the link and tell an administrator."},
};
enum { TEMPLATES = sizeof(templates) / sizeof(templates[0]) };

static const char *
value_of(struct arena *a, const json_t *data, const char *link, const char *name)
{
	const json_t *v = json_object_get(data, name);

	if (strcmp(name, "link") == 0)
		return link ? link : "";
	if (json_is_integer(v))
		return arena_printf(a, "%lld", (long long)json_integer_value(v));
	return json_is_string(v) ? json_string_value(v) : "";
}

static void
add_escaped(struct buf *b, const char *text)
{
	for (const char *p = text; *p; p++) {
		switch (*p) {
		case '&':
			buf_str(b, "&amp;");
			break;
		case '<':
			buf_str(b, "&lt;");
			break;
		case '>':
			buf_str(b, "&gt;");
			break;
		case '"':
			buf_str(b, "&quot;");
			break;
		case '\n':
			buf_str(b, "<br>\n");
			break;
		default:
			buf_chr(b, *p);
		}
	}
}

/* One paragraph of the template with its values. */
static const char *
fill(struct arena *a, const char *from, size_t n, const json_t *data, const char *link)
{
	struct buf b;

	buf_init(&b, a, n + 128);
	for (const char *p = from; p < from + n; p++) {
		const char *end = *p == '{' ? memchr(p, '}', (size_t)(from + n - p)) : NULL;
		if (!end) {
			buf_chr(&b, *p);
			continue;
		}
		buf_str(&b, value_of(a, data, link, arena_strndup(a, p + 1, (size_t)(end - p) - 1)));
		p = end;
	}
	return buf_cstr(&b);
}

static void
add_paragraph(struct buf *text, struct buf *html, const char *filled, bool is_link)
{
	buf_str(text, filled);
	buf_str(text, "\r\n\r\n");
	buf_str(html, "<p>");
	if (is_link && (str_starts(filled, "https://") || str_starts(filled, "http://"))) {
		buf_str(html, "<a href=\"");
		add_escaped(html, filled);
		buf_str(html, "\">");
		add_escaped(html, filled);
		buf_str(html, "</a>");
	} else {
		add_escaped(html, filled);
	}
	buf_str(html, "</p>\r\n");
}

bool
mail_render(struct arena *a, const char *name, const json_t *data, const char *link, struct mail_text *ret)
{
	const struct template *t = templates;
	struct buf text, html;

	while (t < templates + TEMPLATES && strcmp(t->name, name) != 0)
		t++;
	if (t == templates + TEMPLATES)
		return false;
	buf_init(&text, a, 1024);
	buf_init(&html, a, 2048);
	buf_str(&html, "<!DOCTYPE html>\r\n<html><head><meta charset=\"utf-8\"><title>");
	add_escaped(&html, t->subject);
	buf_str(&html, "</title></head><body>\r\n");
	for (const char *p = t->body; *p;) {
		const char *end = strstr(p, "\n\n");
		size_t n = end ? (size_t)(end - p) : strlen(p);
		const char *filled = fill(a, p, n, data, link);
		if (*filled)
			add_paragraph(&text, &html, filled, n == 6 && memcmp(p, "{link}", 6) == 0);
		p += end ? n + 2 : n;
	}
	buf_str(&html, "</body></html>\r\n");
	*ret = (struct mail_text){t->subject, buf_cstr(&text), buf_cstr(&html)};
	return true;
}
