/*
 * The one canonical form of an address.  Every variant that a mail server could take for the same mailbox must end in the same
 * bytes, or else an account could be shadowed, a lockout side-stepped and a count split.
 *
 * The domain goes through IDNA 2008 (with the mapping of UTS 46) to lower-case ASCII.  The local part is compared without regard
 * to case: its ASCII is lowered here, and each run of letters and digits that is not all ASCII goes through the same mapping as a
 * label would (NFC, case folding) and back; so characters that are fit for no label are fit for no address here.
 */
#include "identity/account.h"

#include <ctype.h>
#include <idn2.h>
#include <string.h>

enum { LOCAL_MAX = 64 /* RFC 5321 §4.5.3.1.1 */ };
static const char local_marks[] = "!#$%&'*+-/=?^_`{|}~."; /* RFC 5322 §3.2.3 */

static void
release_text(char **p)
{
	if (*p)
		idn2_free(*p);
}

static bool
in_run(char c)
{
	return (uint8_t)c >= 0x80 || isalnum((uint8_t)c);
}

/* One run that holds more than ASCII: folded as a label is. */
static bool
fold_run(struct arena *a, struct buf *out, const char *run, size_t n)
{
	CLEANUP(release_text) char *ascii = NULL;
	CLEANUP(release_text) char *folded = NULL;
	const char *text = arena_strndup(a, run, n);

	if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	if (idn2_to_unicode_8z8z(ascii, &folded, 0) != IDN2_OK || !folded[0]) /* a run of ignored characters alone leaves nothing */
		return false;
	for (const char *p = folded; *p; p++) /* some characters are mapped to marks, U+FE68 to a backslash */
		if (!in_run(*p))
			return false;
	buf_str(out, folded);
	return true;
}

static bool
add_local(struct arena *a, struct buf *out, const char *local, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t end = i;
		bool ascii = true;
		if (!in_run(local[i])) {
			bool dot_alone = local[i] != '.' || (i > 0 && i + 1 < n && local[i + 1] != '.');
			if (!strchr(local_marks, local[i]) || !dot_alone)
				return false;
			buf_chr(out, local[i++]);
			continue;
		}
		for (; end < n && in_run(local[end]); end++)
			ascii = ascii && (uint8_t)local[end] < 0x80;
		if (!ascii && !fold_run(a, out, local + i, end - i))
			return false;
		for (; ascii && i < end; i++)
			buf_chr(out, (char)tolower((uint8_t)local[i]));
		i = end;
	}
	return true;
}

/* What is left after IDNA: letters, digits, hyphens and single dots, at least one of them inside. */
static bool
host_shape(const char *host)
{
	size_t label = 0;
	bool dotted = false;

	if (strlen(host) > 253)
		return false;
	for (const char *p = host; *p; p++) {
		if (*p == '.') {
			if (label == 0 || p[-1] == '-')
				return false;
			dotted = true;
			label = 0;
			continue;
		}
		if (!(isdigit((uint8_t)*p) || islower((uint8_t)*p) || (*p == '-' && label > 0)) || ++label > 63)
			return false;
	}
	return dotted && label > 0 && host[strlen(host) - 1] != '-';
}

bool
email_canonical(struct arena *a, const char *in, const char **ret)
{
	CLEANUP(release_text) char *host = NULL;
	struct buf out;
	const char *text, *at;

	if (!in || strlen(in) > 4 * EMAIL_MAX || !str_utf8_valid(span_str(in)))
		return false;
	text = str_trim(a, in);
	at = strchr(text, '@');
	if (str_has_control(text) || !at || at == text || at - text > LOCAL_MAX || strchr(at + 1, '@'))
		return false;
	buf_init(&out, a, EMAIL_MAX + 1);
	if (!add_local(a, &out, text, (size_t)(at - text)) || out.n > LOCAL_MAX)
		return false;
	if (idn2_to_ascii_8z(at + 1, &host, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK || !host_shape(host))
		return false;
	buf_chr(&out, '@');
	buf_str(&out, host);
	if (out.n > EMAIL_MAX)
		return false;
	*ret = buf_cstr(&out);
	return true;
}
