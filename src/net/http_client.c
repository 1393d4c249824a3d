/*
 * One easy handle per request: these calls are rare, and what one provider said never reaches the connection of another.  Proxies
 * of the environment are not used: a server's way out is its administrator's decision, not a variable's.
 */
#include "net/http_client.h"

#include <curl/curl.h>
#include <string.h>

#include "core/fault.h"

static void
release_easy(CURL **c)
{
	curl_easy_cleanup(*c);
}

static void
release_list(struct curl_slist **l)
{
	curl_slist_free_all(*l);
}

struct received {
	struct buf body;
	size_t max;
};

/* Returns less than it was given when the answer is too large, which ends the transfer. */
static size_t
receive(char *bytes, size_t size, size_t n, void *arg)
{
	struct received *in = arg;

	if (size * n > in->max - in->body.n)
		return 0;
	buf_add(&in->body, bytes, size * n);
	return size * n;
}

/* The library asks here at least once a second, also while it waits. */
static int
wants_stop(void *arg, curl_off_t down_max, curl_off_t down, curl_off_t up_max, curl_off_t up)
{
	const atomic_bool *stop = arg;

	(void)down_max, (void)down, (void)up_max, (void)up;
	return stop && atomic_load(stop);
}

static void
add_header(struct curl_slist *headers, const char *line)
{
	if (!curl_slist_append(headers, line))
		BUG("out of memory");
}

/* The bytes are read from where they are. */
static bool
set_method(CURL *c, const struct http_fetch *f)
{
	if (curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, f->method) != CURLE_OK)
		return false;
	return f->bytes.n == 0 || (curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->bytes.n) == CURLE_OK &&
					  curl_easy_setopt(c, CURLOPT_POSTFIELDS, f->bytes.p) == CURLE_OK);
}

static bool
set_up(CURL *c, const struct http_fetch *f, const struct curl_slist *headers, struct received *in)
{
	const char *protocols = f->plain ? "http,https" : "https";

	return curl_easy_setopt(c, CURLOPT_URL, f->url) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK && curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CLIENT_CONNECT_MS) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(f->total_ms ? f->total_ms : HTTP_CLIENT_TOTAL_MS)) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_USERAGENT, "Muster/" MUSTER_VERSION) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, in) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, wants_stop) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFODATA, f->stop) == CURLE_OK &&
	       (!f->unverified || (curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
					  curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK)) &&
	       (!f->form || curl_easy_setopt(c, CURLOPT_POSTFIELDS, f->form) == CURLE_OK) && (!f->method || set_method(c, f));
}

bool
http_fetch(struct arena *a, const struct http_fetch *f, struct http_answer *ret, const char **ret_why)
{
	struct curl_slist *headers CLEANUP(release_list) = curl_slist_append(NULL, "Accept: application/json");
	CURL *c CLEANUP(release_easy) = NULL;
	struct received in = {.max = f->max_bytes ? f->max_bytes : HTTP_CLIENT_BODY_MAX};
	long status = 0;

	buf_init(&in.body, a, 4096);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(c = curl_easy_init()) || !headers)
		BUG("libcurl does not start");
	if (f->authorization)
		add_header(headers, arena_printf(a, "Authorization: %s", f->authorization));
	for (const char *const *line = f->headers; line && *line; line++)
		add_header(headers, *line);
	if (!set_up(c, f, headers, &in)) {
		*ret_why = "the URL is not usable";
		return false;
	}
	CURLcode result = FAULT("curl.perform") ? CURLE_COULDNT_CONNECT : curl_easy_perform(c);
	if (result == CURLE_OK && FAULT("curl.answer"))
		result = CURLE_RECV_ERROR;
	if (result != CURLE_OK) {
		*ret_why = result == CURLE_WRITE_ERROR ? "the answer is too large" : curl_easy_strerror(result);
		return false;
	}
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	buf_chr(&in.body, 0);
	*ret = (struct http_answer){.status = (int)status, .body = {(const uint8_t *)in.body.p, in.body.n - 1}};
	return true;
}

void
url_encode(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *text))
			buf_chr(out, *text);
		else
			buf_printf(out, "%%%02X", (uint8_t)*text);
	}
}
