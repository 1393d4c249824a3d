/* What the tests of the accounts surface share: opening, and the mail that was queued. */
#ifndef MUSTER_TESTS_ACCOUNTS_ENV_H
#define MUSTER_TESTS_ACCOUNTS_ENV_H

#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "core/keys.h"
#include "identity/mail.h"

#define NEW_PASSWORD "Another-Horse-8"

/* The token of the newest mail of this template, as its reader gets it; "" when there is none. */
__attribute__((unused)) static const char *
mailed_token(struct test *t, const char *template, const char *recipient)
{
	struct ctx cx;
	const char *sealed = sql_text(t, PATH(t,
						 "SELECT json_extract(data, '$.link') FROM outbox WHERE template = '%s'"
						 " AND recipient = '%s' ORDER BY id DESC LIMIT 1",
						 template, recipient));

	test_ctx(t, &cx);
	const char *link = mail_link_open(&cx, recipient, sealed);
	if (!link)
		return "";
	const char *hash = strchr(link, '#');
	return hash ? hash + 1 : link;
}

__attribute__((unused)) static int64_t
mails(struct test *t, const char *template)
{
	return count(t, PATH(t, "SELECT count(*) FROM outbox WHERE template = '%s'", template));
}

__attribute__((unused)) static int64_t
audited(struct test *t, const char *action, const char *result)
{
	return count(t, PATH(t, "SELECT count(*) FROM audit_logs WHERE action = '%s' AND result = '%s'", action, result));
}

/* A call as a browser makes it. */
__attribute__((unused)) static struct test_reply *
web_call(struct test *t, const char *path, const char *body, const char *origin, const char *cookie)
{
	struct header h[4] = {{"X-Muster-Client", "web"}, {"Host", "localhost"}};
	size_t n = 2;
	char *json = body ? arena_strdup(&t->arena, body) : NULL;

	for (char *p = json; p && *p; p++)
		if (*p == '\'')
			*p = '"';
	if (origin)
		h[n++] = (struct header){"Origin", origin};
	if (cookie)
		h[n++] = (struct header){"Cookie", cookie};
	return call_with(t, &(struct test_request){.method = POST, .path = path, .body = json, .headers = h, .n_headers = n});
}

/* "name=value" of the cookie that a reply set; NULL when it did not. */
__attribute__((unused)) static const char *
cookie_of(struct test *t, const struct test_reply *r, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < r->x.reply.n_headers; i++) {
		const struct header *h = &r->x.reply.headers[i];
		if (strcmp(h->name, "Set-Cookie") == 0 && strncmp(h->value, name, n) == 0 && h->value[n] == '=')
			return arena_strndup(&t->arena, h->value, strcspn(h->value, ";"));
	}
	return NULL;
}

#endif
