/*
 * The rules of the configuration: defaults that follow from other variables, the form of single values, and what must hold
 * between several.  Where the old systems differed, the stricter reading was taken.  The first broken rule stops the start.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "core/conf_parts.h"
#include "core/ctx.h"

enum { SECRET_MIN_BYTES = 32 };

static void
resolve(struct conf_making *m)
{
	struct config *c = m->c;
	bool dev = c->env == ENV_DEV;

	if (!conf_is_set(m, &c->docs_enabled))
		c->docs_enabled = dev;
	if (!conf_is_set(m, &c->signup_policy))
		c->signup_policy = dev ? SIGNUP_OPEN : SIGNUP_APPROVAL;
	if (!conf_is_set(m, &c->open_lecturer_signup)) {
		c->open_lecturer_signup = dev;
	} else if (c->open_lecturer_signup && !dev) {
		conf_warn(m, "OPEN_LECTURER_SIGNUP counts in ENV=dev only; lecturers wait for approval");
		c->open_lecturer_signup = false;
	}
	if (!conf_is_set(m, &c->admin_email) && dev)
		c->admin_email = "admin@dsclub.com";
	if (!conf_is_set(m, &c->redis_required))
		c->redis_required = c->env == ENV_PROD && c->redis_enabled && c->redis_url[0];
	if (!conf_is_set(m, &c->backup_dir))
		c->backup_dir = arena_printf(m->a, "%s/backups", c->data_dir);
	size_t n = strlen(c->public_base_url);
	while (n && c->public_base_url[n - 1] == '/')
		c->public_base_url = arena_strndup(m->a, c->public_base_url, --n);
}

/* A URL with one of the schemes ("http https") and something behind it. */
static bool
is_url(const char *s, const char *schemes)
{
	const char *sep = strstr(s, "://");

	if (!sep || !sep[3] || sep[3] == '/' || strpbrk(s, " \"<>\\^`{|}"))
		return false;
	for (const char *p = schemes; *p;) {
		size_t n = strcspn(p, " ");
		if ((size_t)(sep - s) == n && strncasecmp(p, s, n) == 0)
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

static bool
is_origin(const char *s)
{
	return is_url(s, "http https") && !strpbrk(strstr(s, "://") + 3, "/?#@*");
}

static bool
is_network(const char *s)
{
	char address[64];
	uint8_t bytes[16];
	int64_t bits;
	size_t n = strcspn(s, "/");

	if (n >= sizeof(address))
		return false;
	str_copy(address, n + 1, s);
	int64_t width = inet_pton(AF_INET, address, bytes) == 1 ? 32 : inet_pton(AF_INET6, address, bytes) == 1 ? 128 : 0;
	return width && (!s[n] || str_int(s + n + 1, 0, width, &bits));
}

static bool
check_list(struct conf_making *m, const char *name, const struct conf_list *l, bool (*good)(const char *), const char *what)
{
	for (size_t i = 0; i < l->count; i++)
		if (!good(l->items[i]))
			return conf_wrong(m, "%s: %s is not %s", name, l->items[i], what);
	return true;
}

static bool
is_image_type(const char *s)
{
	return strcmp(s, "image/jpeg") == 0 || strcmp(s, "image/png") == 0;
}

static bool
is_role(const char *s)
{
	for (int i = 1; role_names[i]; i++)
		if (strcmp(role_names[i], s) == 0)
			return true;
	return false;
}

static bool
is_web_url(const char *s)
{
	return is_url(s, "http https");
}

/* Apps have schemes of their own. */
static bool
is_redirect(const char *s)
{
	return strstr(s, "://") && s[0] != ':' && !strpbrk(s, " #\"<>\\") && !str_starts(s, "javascript:");
}

static bool
check_forms(struct conf_making *m)
{
	const struct config *c = m->c;
	int64_t hour, minute;

	/* Without a host, libpq takes the local socket, or `?host=`. */
	if (!is_url(c->database_url, "postgresql postgres postgresql+psycopg2") && !str_starts(c->database_url, "sqlite:///") &&
		!str_starts(c->database_url, "postgresql:///") && !str_starts(c->database_url, "postgres:///") &&
		!str_starts(c->database_url, "postgresql+psycopg2:///"))
		return conf_wrong(
			m, "DATABASE_URL must begin with sqlite:///, postgresql://, postgres:// or postgresql+psycopg2://");
	if (strcmp(c->database_url, "sqlite:///") == 0)
		return conf_wrong(m, "DATABASE_URL names no file");
	if (c->public_base_url[0] && (!is_web_url(c->public_base_url) || strpbrk(c->public_base_url, "?#@")))
		return conf_wrong(m, "PUBLIC_BASE_URL must be a URL such as https://attend.example.org");
	if (c->redis_url[0] && !is_url(c->redis_url, "redis rediss") && !str_starts(c->redis_url, "unix://"))
		return conf_wrong(m, "REDIS_URL must begin with redis://, rediss:// or unix://");
	if (c->smtp_url[0] && !is_url(c->smtp_url, "smtp smtps"))
		return conf_wrong(m, "SMTP_URL must begin with smtp:// or smtps://");
	if (c->api_prefix[0] != '/' || str_ends(c->api_prefix, "/") || strpbrk(c->api_prefix, " ?#{}%") ||
		strstr(c->api_prefix, "//"))
		return conf_wrong(m, "API_PREFIX must be a path such as /v1");
	char at[6];
	str_copy(at, sizeof(at), c->backup_at);
	at[2] = at[2] == ':' ? 0 : 'x';
	if (at[0] == '-' || at[3] == '-' || !str_int(at, 0, 23, &hour) || !str_int(at + 3, 0, 59, &minute))
		return conf_wrong(m, "BACKUP_AT must be a time such as 03:00");
	const char *sign = strchr(c->admin_email, '@');
	if (c->admin_email[0] &&
		(!sign || sign == c->admin_email || !sign[1] || strchr(sign + 1, '@') || strchr(c->admin_email, ' ')))
		return conf_wrong(m, "ADMIN_EMAIL must be an e-mail address");
	return check_list(m, "TRUSTED_PROXIES", &c->trusted_proxies, is_network, "an address or a network such as 10.0.0.0/8") &&
	       check_list(m, "SHARED_NETWORKS", &c->shared_networks, is_network, "an address or a network such as 10.0.0.0/8") &&
	       check_list(m, "SINGLE_DEVICE_EXEMPT_ROLES", &c->single_device_exempt_roles, is_role, "a role") &&
	       check_list(m, "UPLOAD_ALLOWED_IMAGE_TYPES", &c->upload_allowed_image_types, is_image_type,
		       "image/jpeg or image/png") &&
	       check_list(m, "OAUTH_ALLOWED_REDIRECT_URIS", &c->oauth_allowed_redirect_uris, is_redirect, "an absolute URI");
}

/* A value that was copied from an example. */
static bool
is_placeholder(const char *s)
{
	static const char *const starts[] = {"your-", "your_", "change-me", "changeme", "change_me", "change-this", "change_this",
		"replace-", "replace_", "example-", "example_", "dev-", "dev_", "default-", "default_", "secret-key",
		"super-secret", "supersecret", "insecure", "please-change", "test-secret"};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (strncasecmp(s, starts[i], strlen(starts[i])) == 0)
			return true;
	size_t n = strlen(s);
	return n > 0 && strspn(s, (char[]){s[0], 0}) == n; /* one character over and over */
}

static bool
check_secret(struct conf_making *m, const struct conf_row *row)
{
	const struct conf_list *l = (const void *)((const char *)m->c + row->offset);
	char name[64];

	conf_row_name(row, name);
	if (!l->count && (row->flags & CONF_GENERATE))
		return conf_wrong(m, "%s is missing; in staging and prod it must be set (openssl rand -hex 32)", name);
	for (size_t i = 0; i < l->count; i++) {
		if (is_placeholder(l->items[i]))
			return conf_wrong(m, "%s is a default; in staging and prod it must be a secret of its own", name);
		if (strlen(l->items[i]) < SECRET_MIN_BYTES)
			return conf_wrong(m, "%s is shorter than %d bytes", name, SECRET_MIN_BYTES);
	}
	return true;
}

/* Of all text and lists, not only of secrets: a placeholder anywhere is a step of the manual that was not done. */
static bool
check_placeholders(struct conf_making *m, const struct conf_row *row)
{
	const void *at = (const char *)m->c + row->offset;
	char name[64];
	struct conf_list one = {.items = (const char **)(uintptr_t)at, .count = 1};
	const struct conf_list *l = row->type[0] == 't' ? &one : row->type[0] == 'l' ? at : NULL;

	for (size_t i = 0; l && i < l->count; i++)
		if (strncasecmp(l->items[i], "your-", 5) == 0)
			return conf_wrong(m, "%s is a placeholder", conf_row_name(row, name));
	return true;
}

static bool
check_secrets(struct conf_making *m)
{
	const struct config *c = m->c;

	for (size_t i = 0; i < c->secret_key.count; i++)
		if (conf_list_has(&c->qr_signing_secret, c->secret_key.items[i]))
			return conf_wrong(m, "QR_SIGNING_SECRET and SECRET_KEY are equal; they must differ");
	if (c->env == ENV_DEV)
		return true;
	for (size_t i = 0; i < conf_row_count; i++) {
		if (strcmp(conf_rows[i].type, "secret") == 0 && !check_secret(m, &conf_rows[i]))
			return false;
		if (!check_placeholders(m, &conf_rows[i]))
			return false;
	}
	if (c->seed_demo_accounts)
		return conf_wrong(m, "SEED_DEMO_ACCOUNTS is for ENV=dev only: everybody knows those passwords");
	if (strcmp(c->admin_password, "Admin@123") == 0)
		return conf_wrong(m, "ADMIN_PASSWORD is the well-known default; choose another one");
	return true;
}

static bool
is_provider_name(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s) && strlen(s) <= 32 && s[0] != '-' &&
	       strcmp(s, "google") != 0 && strcmp(s, "microsoft") != 0;
}

static bool
check_providers(struct conf_making *m)
{
	static const char *const needed[] = {"ISSUER", "CLIENT_ID", "CLIENT_SECRET"};
	const struct config *c = m->c;

	if (!c->oauth_google_client_id[0] != !c->oauth_google_client_secret[0])
		return conf_wrong(m, "OAUTH_GOOGLE_CLIENT_ID and OAUTH_GOOGLE_CLIENT_SECRET must be set together");
	if (!c->oauth_microsoft_client_id[0] != !c->oauth_microsoft_client_secret[0])
		return conf_wrong(m, "OAUTH_MICROSOFT_CLIENT_ID and OAUTH_MICROSOFT_CLIENT_SECRET must be set together");
	if (c->oauth_microsoft_client_id[0] && !c->oauth_microsoft_tenant.count)
		return conf_wrong(m, "OAUTH_MICROSOFT_TENANT must name the tenants that may sign in");
	if (!check_list(m, "OAUTH_PROVIDERS", &c->oauth_providers, is_provider_name, "a name of a-z, 0-9 and hyphens of its own"))
		return false;
	for (size_t i = 0; i < c->oauth_providers.count; i++) {
		char *upper = arena_strdup(m->a, c->oauth_providers.items[i]);
		for (char *p = upper; *p; p++)
			*p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - ('a' - 'A')) : *p;
		for (size_t k = 0; k < sizeof(needed) / sizeof(needed[0]); k++) {
			const char *name = arena_printf(m->a, "OAUTH_%s_%s", upper, needed[k]);
			if (!conf_extra(c, name)[0])
				return conf_wrong(
					m, "%s is missing; OAUTH_PROVIDERS names %s", name, c->oauth_providers.items[i]);
		}
	}
	return true;
}

static bool
check_together(struct conf_making *m)
{
	const struct config *c = m->c;

	if (!c->tls_cert_file[0] != !c->tls_key_file[0])
		return conf_wrong(m, "TLS_CERT_FILE and TLS_KEY_FILE must be set together");
	if (c->bcrypt_rounds < 10 && c->env != ENV_DEV)
		return conf_wrong(m, "BCRYPT_ROUNDS under 10 is for ENV=dev only");
	if (c->redis_required && !c->redis_url[0])
		return conf_wrong(m, "REDIS_REQUIRED needs REDIS_URL");
	if (c->redis_required && !c->redis_enabled)
		return conf_wrong(m, "REDIS_REQUIRED and REDIS_ENABLED=false contradict each other");
	if (conf_live(&c->ip_lock_max_ttl) < conf_live(&c->ip_lock_ttl))
		return conf_wrong(m, "IP_LOCK_MAX_TTL must not be less than IP_LOCK_TTL");
	if (conf_list_has(&c->cors_origins, "*")) {
		if (c->cors_allow_credentials)
			return conf_wrong(m, "CORS_ORIGINS=* and CORS_ALLOW_CREDENTIALS=true must not meet");
		if (c->cors_origins.count > 1)
			return conf_wrong(m, "CORS_ORIGINS: * stands alone");
	} else if (!check_list(m, "CORS_ORIGINS", &c->cors_origins, is_origin, "an origin such as https://app.example.org")) {
		return false;
	}
	if (c->storage_backend == STORAGE_S3) {
		if (!is_web_url(c->s3_endpoint))
			return conf_wrong(m, "S3_ENDPOINT must be a URL when STORAGE_BACKEND=s3");
		if (!c->s3_bucket[0] || !c->s3_access_key[0] || !c->s3_secret_key[0])
			return conf_wrong(m, "%s is missing for STORAGE_BACKEND=s3",
				!c->s3_bucket[0]       ? "S3_BUCKET"
				: !c->s3_access_key[0] ? "S3_ACCESS_KEY"
						       : "S3_SECRET_KEY");
	}
	return check_providers(m);
}

static void
warn(struct conf_making *m)
{
	struct config *c = m->c;
	const char *at = strrchr(c->sentry_dsn, '@');

	if (c->sentry_dsn[0] && (!is_web_url(c->sentry_dsn) || !at || !strchr(at, '/') || !strchr(at, '/')[1])) {
		conf_warn(m, "SENTRY_DSN is malformed and ignored");
		c->sentry_dsn = "";
	}
	for (size_t i = 0; i < conf_row_count && c->env == ENV_DEV; i++) {
		const struct conf_list *l = (const void *)((const char *)c + conf_rows[i].offset);
		char name[64];
		if (strcmp(conf_rows[i].type, "secret") != 0)
			continue;
		for (size_t k = 0; k < l->count; k++)
			if (strlen(l->items[k]) < SECRET_MIN_BYTES)
				conf_warn(m, "%s is shorter than %d bytes", conf_row_name(&conf_rows[i], name), SECRET_MIN_BYTES);
	}
}

bool
conf_rules(struct conf_making *m)
{
	resolve(m);
	if (!check_forms(m) || !check_secrets(m) || !check_together(m))
		return false;
	warn(m);
	return true;
}
