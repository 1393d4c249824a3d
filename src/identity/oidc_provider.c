/* Providers of the configuration: two presets, and any number of generic ones. */
#include "identity/oidc.h"

#include <string.h>

#include "core/conf.h"

/* "campus-two", "ISSUER" → OAUTH_CAMPUS_TWO_ISSUER */
static const char *
setting(struct arena *a, const struct config *conf, const char *id, const char *what)
{
	char *name = arena_printf(a, "OAUTH_%s_%s", id, what);

	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - ('a' - 'A')) : *p;
	return conf_extra(conf, name);
}

static struct oidc_provider
google(const struct config *c)
{
	return (struct oidc_provider){.kind = OIDC_GOOGLE,
		.id = "google",
		.name = "Google",
		.issuer = "https://accounts.google.com",
		.client_id = c->oauth_google_client_id,
		.client_secret = c->oauth_google_client_secret,
		.redirect_uri = c->oauth_google_redirect_uri};
}

/* With several tenants everybody signs in at the common door, and the token says which tenant it was. */
static struct oidc_provider
microsoft(struct arena *a, const struct config *c)
{
	const struct conf_list *tenants = &c->oauth_microsoft_tenant;

	return (struct oidc_provider){.kind = OIDC_MICROSOFT,
		.id = "microsoft",
		.name = "Microsoft",
		.issuer = arena_printf(a, "https://login.microsoftonline.com/%s/v2.0",
			tenants->count == 1 ? tenants->items[0] : "organizations"),
		.client_id = c->oauth_microsoft_client_id,
		.client_secret = c->oauth_microsoft_client_secret,
		.redirect_uri = c->oauth_microsoft_redirect_uri};
}

static struct oidc_provider
generic(struct arena *a, const struct config *c, const char *id)
{
	const char *name = setting(a, c, id, "NAME"), *issuer = setting(a, c, id, "ISSUER");

	return (struct oidc_provider){.kind = OIDC_GENERIC,
		.id = id,
		.name = name[0] ? name : id,
		.issuer = issuer,
		.client_id = setting(a, c, id, "CLIENT_ID"),
		.client_secret = setting(a, c, id, "CLIENT_SECRET"),
		.redirect_uri = setting(a, c, id, "REDIRECT_URI")};
}

size_t
oidc_provider_count(const struct config *conf)
{
	return (conf->oauth_google_client_id[0] != 0) + (conf->oauth_microsoft_client_id[0] != 0) + conf->oauth_providers.count;
}

struct oidc_provider
oidc_provider_nth(struct arena *a, const struct config *conf, size_t n)
{
	if (conf->oauth_google_client_id[0] && n-- == 0)
		return google(conf);
	if (conf->oauth_microsoft_client_id[0] && n-- == 0)
		return microsoft(a, conf);
	if (n >= conf->oauth_providers.count)
		BUG("provider %zu", n);
	return generic(a, conf, conf->oauth_providers.items[n]);
}

enum err
oidc_provider_find(struct ctx *cx, const char *id, struct oidc_provider *ret)
{
	for (size_t i = 0; i < oidc_provider_count(cx->srv->conf); i++) {
		struct oidc_provider p = oidc_provider_nth(cx->arena, cx->srv->conf, i);
		if (strcmp(p.id, id) == 0) {
			*ret = p;
			return OK;
		}
	}
	return fail(cx, ERR_NOT_FOUND, NULL);
}
