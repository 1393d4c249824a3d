/*
 * Sending.  libcurl speaks the protocol and stuffs dots; what it would pass on as it stands (envelope addresses) is checked
 * before.
 *
 * What a failure means: a 5xx about this message is for ever, everything else may pass.  A server that is not there, or refuses
 * our sign-in, is told apart, so that the caller stops and does not try a thousand more at once.
 */
#include "net/smtp.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "core/fault.h"

const struct smtp_limits smtp_limits_usual = {.connect_ms = 10000, .total_ms = 30000};

struct smtp {
	CURL *curl;
	struct smtp_limits limits;
	const char *url; /* with the password: never shown */
	bool must_encrypt;
	char error[CURL_ERROR_SIZE];
	char *memory;
};

/* Host names that stay on this machine: there a password may go in the clear. */
static bool
is_local(const char *host)
{
	return str_eq(host, "localhost") || str_eq(host, "[::1]") || str_starts(host, "127.");
}

static bool
must_encrypt(const char *url)
{
	CURLU *u = curl_url();
	char *user = NULL, *host = NULL;
	bool must = true;

	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
		(void)curl_url_get(u, CURLUPART_USER, &user, 0);
		(void)curl_url_get(u, CURLUPART_HOST, &host, 0);
		must = user && !(host && is_local(host));
	}
	curl_free(user);
	curl_free(host);
	curl_url_cleanup(u);
	return must;
}

struct smtp *
smtp_open(const char *url, const struct smtp_limits *limits)
{
	struct smtp *s = calloc(1, sizeof(*s));

	if (!s || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(s->curl = curl_easy_init()) ||
		!(s->memory = strdup(url)))
		BUG("no memory for mail");
	s->url = s->memory;
	s->limits = *limits;
	s->must_encrypt = must_encrypt(url);
	return s;
}

void
smtp_close(struct smtp *s)
{
	if (!s)
		return;
	curl_easy_cleanup(s->curl);
	explicit_bzero(s->memory, strlen(s->memory));
	free(s->memory);
	free(s);
}

static void
set_common(struct smtp *s)
{
	const char *ca = getenv("SSL_CERT_FILE");

	curl_easy_reset(s->curl);
	s->error[0] = 0;
	curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, s->error);
	curl_easy_setopt(s->curl, CURLOPT_URL, s->url);
	curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT_MS, s->limits.connect_ms);
	curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, s->limits.total_ms);
	curl_easy_setopt(s->curl, CURLOPT_USE_SSL, (long)(s->must_encrypt ? CURLUSESSL_ALL : CURLUSESSL_TRY));
	if (ca && *ca)
		curl_easy_setopt(s->curl, CURLOPT_CAINFO, ca);
}

static size_t
discard(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

/* What libcurl says may quote the server, and the server an address: only the code and libcurl's own words are passed on. */
static const char *
why(struct arena *a, CURLcode rc, long code)
{
	return code ? arena_printf(a, "%s (the server's code: %ld)", curl_easy_strerror(rc), code)
		    : arena_strdup(a, curl_easy_strerror(rc));
}

static enum smtp_result
judge(CURLcode rc, long code)
{
	if (rc == CURLE_OK)
		return SMTP_SENT;
	if (rc == CURLE_LOGIN_DENIED || rc == CURLE_USE_SSL_FAILED || rc == CURLE_PEER_FAILED_VERIFICATION || code < 400)
		return SMTP_AWAY;
	if (code == 421)
		return SMTP_AWAY;
	return code >= 550 && code <= 559 ? SMTP_REFUSED : SMTP_LATER;
}

enum smtp_result
smtp_probe(struct smtp *s, struct arena *a, const char **ret_why)
{
	long code = 0;

	set_common(s);
	curl_easy_setopt(s->curl, CURLOPT_CUSTOMREQUEST, "NOOP");
	curl_easy_setopt(s->curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, discard);
	CURLcode rc = FAULT("smtp.perform") ? CURLE_COULDNT_CONNECT : curl_easy_perform(s->curl);
	(void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &code);
	*ret_why = rc == CURLE_OK ? "" : why(a, rc, code);
	return rc == CURLE_OK ? SMTP_SENT : SMTP_AWAY;
}

struct reading {
	struct span left;
};

static size_t
give(char *to, size_t size, size_t n, void *arg)
{
	struct reading *r = arg;
	size_t take = size * n < r->left.n ? size * n : r->left.n;

	memcpy(to, r->left.p, take);
	r->left = (struct span){r->left.p + take, r->left.n - take};
	return take;
}

static void
free_list(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

enum smtp_result
smtp_send(struct smtp *s, struct arena *a, const struct smtp_message *m, const char **ret_why)
{
	CLEANUP(free_list) struct curl_slist *to = NULL;
	struct reading reading;
	const char *name, *from;
	long code = 0;

	*ret_why = "the message has no valid address";
	if (!smtp_mailbox(a, m->from, &name, &from) || !smtp_compose(a, m, &reading.left))
		return SMTP_REFUSED;
	if (!(to = curl_slist_append(NULL, arena_printf(a, "<%s>", m->to))))
		BUG("no memory for mail");
	set_common(s);
	curl_easy_setopt(s->curl, CURLOPT_MAIL_FROM, arena_printf(a, "<%s>", from));
	curl_easy_setopt(s->curl, CURLOPT_MAIL_RCPT, to);
	curl_easy_setopt(s->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(s->curl, CURLOPT_READFUNCTION, give);
	curl_easy_setopt(s->curl, CURLOPT_READDATA, &reading);
	curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, discard);
	CURLcode rc = FAULT("smtp.perform") ? CURLE_COULDNT_CONNECT : curl_easy_perform(s->curl);
	(void)curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &code);
	*ret_why = rc == CURLE_OK ? "" : why(a, rc, code);
	return judge(rc, code);
}
