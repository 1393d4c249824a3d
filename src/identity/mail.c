/* What the outbox keeps is data for a template, never text; so no name or address can become a header line of a mail. */
#include "identity/mail.h"

#include <string.h>

#include "core/conf.h"
#include "core/fernet.h"
#include "core/json.h"
#include "notify/notify.h"

static const char purpose[] = "mail";

static enum err
mail(struct ctx *cx, const struct account *to, const char *mail_template, const char *link, int64_t minutes)
{
	struct json j;
	struct buf out;

	buf_init(&out, cx->arena, 256);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "name", to->full_name);
	if (link) {
		json_str(&j, "link", sealed_text(cx, purpose, to->email, link, NULL));
		json_int(&j, "minutes", minutes);
	}
	json_obj_end(&j);
	return outbox_mail(cx, to->email, mail_template, buf_cstr(&out));
}

enum err
mail_notice(struct ctx *cx, const struct account *to, const char *mail_template)
{
	return mail(cx, to, mail_template, NULL, 0);
}

enum err
mail_link(
	struct ctx *cx, const struct account *to, const char *mail_template, const char *page, const char *token, int64_t minutes)
{
	const char *base = cx->srv->conf->public_base_url;
	size_t n = strlen(base);

	while (n > 0 && base[n - 1] == '/')
		n--;
	const char *link = n ? arena_printf(cx->arena, "%.*s%s#%s", (int)n, base, page, token) : token;
	return mail(cx, to, mail_template, link, minutes);
}

const char *
mail_link_open(struct ctx *cx, const char *recipient, const char *sealed)
{
	return sealed_open(cx, NULL, purpose, recipient, sealed);
}
