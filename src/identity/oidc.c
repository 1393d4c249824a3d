/*
 * The cache has one entry and one lock per provider, held over the fetch of a document or of keys: those who need the same
 * document wait for the one who gets it, those of another provider do not.  A fetch that failed is not repeated for a few
 * seconds, so that a provider that is away does not take every thread of the lane with it.
 */
#include "identity/oidc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/conf.h"
#include "core/json.h"
#include "core/jws.h"

enum {
	KEYS_MAX = 64,
	REFETCH_S = 60,
	RETRY_S = 5,
	SKEW_S = 60,
	SUBJECT_MAX = 255,
	URL_MAX_BYTES = 2000,
	USERINFO_TOKEN_MAX = 8000
};

struct signing_key {
	char kid[65];
	struct jws_public *key;
};
struct entry {
	pthread_mutex_t lock;
	struct arena arena; /* the document's texts */
	const char *authorization_endpoint, *token_endpoint, *jwks_uri;
	const char *userinfo_endpoint;		 /* NULL: none */
	bool basic;				 /* how the token endpoint wants the client's secret */
	int64_t document_us, failed_us;		 /* monotonic; 0: never */
	int64_t keys_us, asked_us;		 /* when the keys that are here came; when they were asked for last */
	struct signing_key keys[KEYS_MAX];
	size_t n_keys;
};
struct oidc {
	oidc_fetch *fetch;
	size_t count;
	struct entry entries[];
};

struct oidc *
oidc_open(const struct config *conf)
{
	size_t n = oidc_provider_count(conf);
	struct oidc *o = calloc(1, sizeof(*o) + n * sizeof(struct entry));

	if (!o)
		BUG("out of memory");
	o->fetch = http_fetch;
	o->count = n;
	for (size_t i = 0; i < n; i++) {
		pthread_mutex_init(&o->entries[i].lock, NULL);
		arena_init(&o->entries[i].arena);
	}
	return o;
}

static void
drop_keys(struct entry *e)
{
	for (size_t i = 0; i < e->n_keys; i++)
		jws_public_free(e->keys[i].key);
	e->n_keys = 0;
}

void
oidc_close(struct oidc *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->count; i++) {
		drop_keys(&o->entries[i]);
		arena_release(&o->entries[i].arena);
		pthread_mutex_destroy(&o->entries[i].lock);
	}
	free(o);
}

void
oidc_set_fetch(struct oidc *o, oidc_fetch *fetch)
{
	o->fetch = fetch;
}

static void
unlock(struct entry **e)
{
	pthread_mutex_unlock(&(*e)->lock);
}

static struct entry *
lock_entry(struct ctx *cx, const struct oidc_provider *p)
{
	struct oidc *o = cx->srv->oidc;

	for (size_t i = 0; o && i < o->count; i++) {
		if (strcmp(oidc_provider_nth(cx->arena, cx->srv->conf, i).id, p->id) == 0) {
			pthread_mutex_lock(&o->entries[i].lock);
			return &o->entries[i];
		}
	}
	BUG("provider %s has no entry", p->id);
}

static int64_t
monotonic_us(const struct ctx *cx)
{
	return cx->srv->source.monotonic_us(cx->srv->source.arg);
}

/* --- documents ------------------------------------------------------------------------------------------------------------ */

static bool
plain_allowed(const struct ctx *cx)
{
	return cx->srv->conf->env == ENV_DEV;
}

static enum err
away(struct ctx *cx, const struct oidc_provider *p, const char *why)
{
	return fail_internal(cx, ERR_UNAVAILABLE, "provider %s: %s", p->id, why);
}

static enum err
fetch_json(struct ctx *cx, const struct oidc_provider *p, const struct http_fetch *f, int *ret_status, json_t **ret)
{
	struct http_answer answer = {0};
	const char *why = "";

	if (!cx->srv->oidc->fetch(cx->arena, f, &answer, &why))
		return away(cx, p, why);
	*ret_status = answer.status;
	*ret = answer.body.n <= HTTP_CLIENT_BODY_MAX ? json_read(cx->arena, answer.body) : NULL;
	return OK;
}

static const char *
text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

static const char *
url_of(struct ctx *cx, struct entry *e, const json_t *document, const char *name)
{
	const char *url = text(document, name);
	bool good = str_starts(url, "https://") || (plain_allowed(cx) && str_starts(url, "http://"));

	return good && strlen(url) <= URL_MAX_BYTES && !str_has_control(url) && !strchr(url, ' ') ? arena_strdup(&e->arena, url)
												  : NULL;
}

static bool
list_has(const json_t *list, const char *item)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (str_eq(json_string_value(json_array_get(list, i)), item))
			return true;
	return false;
}

/* The issuer that the document must name: the configured one, or, for Microsoft's common door, its pattern. */
static bool
issuer_fits(struct ctx *cx, const struct oidc_provider *p, const char *issuer)
{
	if (p->kind == OIDC_MICROSOFT && cx->srv->conf->oauth_microsoft_tenant.count > 1)
		return strcmp(issuer, "https://login.microsoftonline.com/{tenantid}/v2.0") == 0;
	return strcmp(issuer, p->issuer) == 0;
}

static enum err
take_document(struct ctx *cx, const struct oidc_provider *p, struct entry *e, const json_t *document)
{
	const json_t *methods = json_object_get(document, "token_endpoint_auth_methods_supported");

	arena_reset(&e->arena);
	e->document_us = 0;
	if (!issuer_fits(cx, p, text(document, "issuer")))
		return away(cx, p, "the discovery document names another issuer");
	e->authorization_endpoint = url_of(cx, e, document, "authorization_endpoint");
	e->token_endpoint = url_of(cx, e, document, "token_endpoint");
	e->jwks_uri = url_of(cx, e, document, "jwks_uri");
	e->userinfo_endpoint = url_of(cx, e, document, "userinfo_endpoint");
	if (!e->authorization_endpoint || !e->token_endpoint || !e->jwks_uri)
		return away(cx, p, "the discovery document lacks an endpoint");
	e->basic = !methods || list_has(methods, "client_secret_basic");
	e->document_us = monotonic_us(cx);
	return OK;
}

static enum err
discover(struct ctx *cx, const struct oidc_provider *p, struct entry *e)
{
	size_t n = strlen(p->issuer);
	const char *url = arena_printf(
		cx->arena, "%s%s.well-known/openid-configuration", p->issuer, n && p->issuer[n - 1] == '/' ? "" : "/");
	json_t *document = NULL;
	int status = 0;

	TRY(fetch_json(cx, p, &(const struct http_fetch){.url = url, .plain = plain_allowed(cx)}, &status, &document));
	if (status != 200 || !json_is_object(document))
		return away(cx, p, "there is no discovery document");
	return take_document(cx, p, e, document);
}

static bool
fresh(const struct ctx *cx, int64_t at_us)
{
	return at_us > 0 && monotonic_us(cx) - at_us < cx->srv->conf->jwks_cache_ttl_seconds * SECONDS_US;
}

static enum err
document_ready(struct ctx *cx, const struct oidc_provider *p, struct entry *e)
{
	if (fresh(cx, e->document_us))
		return OK;
	if (e->failed_us > 0 && monotonic_us(cx) - e->failed_us < RETRY_S * SECONDS_US)
		return away(cx, p, "it did not answer a moment ago");
	enum err result = discover(cx, p, e);
	e->failed_us = result == OK ? 0 : monotonic_us(cx);
	return result;
}

/* --- keys ----------------------------------------------------------------------------------------------------------------- */

/* All of the set is replaced: a key that its owner took out verifies nothing any more. */
static enum err
fetch_keys(struct ctx *cx, const struct oidc_provider *p, struct entry *e)
{
	json_t *set = NULL;
	int status = 0;

	if (e->asked_us > e->keys_us && monotonic_us(cx) - e->asked_us < RETRY_S * SECONDS_US)
		return away(cx, p, "it did not give its keys a moment ago");
	e->asked_us = monotonic_us(cx);
	TRY(fetch_json(cx, p, &(const struct http_fetch){.url = e->jwks_uri, .plain = plain_allowed(cx)}, &status, &set));
	const json_t *keys = json_object_get(set, "keys");
	if (status != 200 || !json_is_array(keys))
		return away(cx, p, "there is no key set");
	drop_keys(e);
	for (size_t i = 0; i < json_array_size(keys) && e->n_keys < KEYS_MAX; i++) {
		const json_t *jwk = json_array_get(keys, i);
		struct jws_public *key = jws_public_from_jwk(jwk);
		if (!key)
			continue;
		struct signing_key *k = &e->keys[e->n_keys];
		const char *kid = text(jwk, "kid");
		if (strlen(kid) >= sizeof(k->kid)) {
			jws_public_free(key);
			continue;
		}
		str_copy(k->kid, sizeof(k->kid), kid);
		k->key = key;
		e->n_keys++;
	}
	e->keys_us = e->asked_us;
	return OK;
}

/* A token without a key id is answered by a set of one key only. */
static const struct jws_public *
key_of(const struct entry *e, const char *kid)
{
	if (!kid[0])
		return e->n_keys == 1 ? e->keys[0].key : NULL;
	for (size_t i = 0; i < e->n_keys; i++)
		if (strcmp(e->keys[i].kid, kid) == 0)
			return e->keys[i].key;
	return NULL;
}

static enum err
signature_check(struct ctx *cx, const struct oidc_provider *p, const struct jws_parts *parts, const char **ret_wrong)
{
	struct entry *e CLEANUP(unlock) = lock_entry(cx, p);
	const struct jws_public *key;

	TRY(document_ready(cx, p, e));

	if (!fresh(cx, e->keys_us) || (e->n_keys == 0 && monotonic_us(cx) - e->asked_us >= RETRY_S * SECONDS_US))
		TRY(fetch_keys(cx, p, e));
	key = key_of(e, parts->kid);
	if (!key && monotonic_us(cx) - e->asked_us >= REFETCH_S * SECONDS_US) {
		TRY(fetch_keys(cx, p, e));
		key = key_of(e, parts->kid);
	}
	*ret_wrong = !key ? "unknown_key" : jws_verify_public(key, parts) ? NULL : "bad_signature";
	return OK;
}

/* --- the way there -------------------------------------------------------------------------------------------------------- */

static void
pair(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s=", name);
	url_encode(out, value);
}

enum err
oidc_authorization_url(struct ctx *cx, const struct oidc_provider *p, const struct oidc_request *rq, const char **ret)
{
	struct entry *e CLEANUP(unlock) = lock_entry(cx, p);
	struct buf out;

	TRY(document_ready(cx, p, e));
	buf_init(&out, cx->arena, 1000);
	buf_str(&out, e->authorization_endpoint);
	buf_chr(&out, strchr(e->authorization_endpoint, '?') ? '&' : '?');
	pair(&out, "response_type", "code");
	pair(&out, "&client_id", p->client_id);
	pair(&out, "&redirect_uri", rq->redirect_uri);
	pair(&out, "&scope", "openid email profile");
	pair(&out, "&state", rq->state);
	pair(&out, "&nonce", rq->nonce);
	pair(&out, "&code_challenge", rq->challenge);
	pair(&out, "&code_challenge_method", "S256");
	*ret = buf_cstr(&out);
	return OK;
}

/* --- and back ------------------------------------------------------------------------------------------------------------- */

/* RFC 6749 §2.3.1: both halves are form-encoded before they are joined. */
static const char *
basic_authorization(struct ctx *cx, const struct oidc_provider *p)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buf plain, out;

	buf_init(&plain, cx->arena, 200);
	url_encode(&plain, p->client_id);
	buf_chr(&plain, ':');
	url_encode(&plain, p->client_secret);
	buf_init(&out, cx->arena, 300);
	buf_str(&out, "Basic ");
	for (size_t i = 0; i < plain.n; i += 3) {
		size_t left = plain.n - i;
		uint32_t v = (uint32_t)(uint8_t)plain.p[i] << 16 | (left > 1 ? (uint32_t)(uint8_t)plain.p[i + 1] << 8 : 0) |
			     (left > 2 ? (uint8_t)plain.p[i + 2] : 0);
		buf_chr(&out, alphabet[v >> 18]);
		buf_chr(&out, alphabet[v >> 12 & 63]);
		buf_chr(&out, left > 1 ? alphabet[v >> 6 & 63] : '=');
		buf_chr(&out, left > 2 ? alphabet[v & 63] : '=');
	}
	return buf_cstr(&out);
}

struct token_endpoint {
	const char *url, *userinfo; /* userinfo NULL: none */
	bool basic;
};

/* A copy, so that nobody waits for another's exchange. */
static enum err
token_endpoint(struct ctx *cx, const struct oidc_provider *p, struct token_endpoint *ret)
{
	struct entry *e CLEANUP(unlock) = lock_entry(cx, p);

	TRY(document_ready(cx, p, e));
	*ret = (struct token_endpoint){.url = arena_strdup(cx->arena, e->token_endpoint),
		.userinfo = e->userinfo_endpoint ? arena_strdup(cx->arena, e->userinfo_endpoint) : NULL,
		.basic = e->basic};
	return OK;
}

struct redeemed {
	const char *id_token; /* NULL: the code was refused */
	const char *access_token, *userinfo;
};

static enum err
redeem(struct ctx *cx, const struct oidc_provider *p, const struct oidc_answer *in, struct redeemed *ret)
{
	struct token_endpoint e;
	json_t *answer = NULL;
	struct buf form;
	int status = 0;

	TRY(token_endpoint(cx, p, &e));
	struct http_fetch f = {.url = e.url, .plain = plain_allowed(cx)};
	buf_init(&form, cx->arena, 1000);
	pair(&form, "grant_type", "authorization_code");
	pair(&form, "&code", in->code);
	pair(&form, "&redirect_uri", in->redirect_uri);
	pair(&form, "&client_id", p->client_id);
	pair(&form, "&code_verifier", in->verifier);
	if (e.basic)
		f.authorization = basic_authorization(cx, p);
	else
		pair(&form, "&client_secret", p->client_secret);
	f.form = buf_cstr(&form);
	TRY(fetch_json(cx, p, &f, &status, &answer));
	if (status >= 500)
		return away(cx, p, "the token endpoint fails");
	const char *token = text(answer, "id_token");
	*ret = (struct redeemed){.id_token = status == 200 && token[0] ? token : NULL,
		.access_token = text(answer, "access_token"),
		.userinfo = e.userinfo};
	return OK;
}

static bool
audience_fits(const json_t *claims, const char *client_id)
{
	const json_t *aud = json_object_get(claims, "aud"), *azp = json_object_get(claims, "azp");

	if (azp && !str_eq(json_string_value(azp), client_id))
		return false;
	if (json_is_array(aud))
		return list_has(aud, client_id) && (json_array_size(aud) == 1 || azp);
	return str_eq(json_string_value(aud), client_id);
}

static bool
token_issuer_fits(struct ctx *cx, const struct oidc_provider *p, const json_t *claims)
{
	const char *tid = text(claims, "tid");

	if (p->kind != OIDC_MICROSOFT)
		return strcmp(text(claims, "iss"), p->issuer) == 0;
	return conf_list_has(&cx->srv->conf->oauth_microsoft_tenant, tid) &&
	       strcmp(text(claims, "iss"), arena_printf(cx->arena, "https://login.microsoftonline.com/%s/v2.0", tid)) == 0;
}

static const char *
claims_wrong(struct ctx *cx, const struct oidc_provider *p, const json_t *claims, const char *nonce)
{
	const json_t *exp = json_object_get(claims, "exp"), *iat = json_object_get(claims, "iat"),
		     *nbf = json_object_get(claims, "nbf");
	const char *sub = text(claims, "sub"), *sent = text(claims, "nonce");
	int64_t now_s = cx->now_us / SECONDS_US;

	if (!token_issuer_fits(cx, p, claims))
		return "bad_issuer";
	if (!audience_fits(claims, p->client_id))
		return "bad_audience";
	if (!json_is_integer(exp) || json_integer_value(exp) <= now_s - SKEW_S)
		return "expired_token";
	if (!json_is_integer(iat) || json_integer_value(iat) > now_s + SKEW_S ||
		(nbf && json_number_value(nbf) > (double)(now_s + SKEW_S)))
		return "token_of_the_future";
	if (strlen(sent) != strlen(nonce) || !crypto_equal(sent, nonce, strlen(nonce)))
		return "bad_nonce";
	return sub[0] && strlen(sub) <= SUBJECT_MAX && !str_has_control(sub) ? NULL : "bad_subject";
}

/* Microsoft's address is what a tenant's administrator typed: it proves nothing. */
static bool
email_proven(const struct oidc_provider *p, const json_t *claims)
{
	return p->kind != OIDC_MICROSOFT && json_is_true(json_object_get(claims, "email_verified"));
}

static void
take_person(const struct oidc_provider *p, const json_t *claims, struct oidc_claims *ret)
{
	const char *email = text(claims, "email"), *name = text(claims, "name");

	ret->email = email[0] && strlen(email) <= EMAIL_MAX ? email : NULL;
	ret->name = name[0] && strlen(name) <= NAME_MAX_BYTES && !str_has_control(name) ? name : NULL;
	ret->email_proven = email_proven(p, claims);
}

static enum err
read_token(struct ctx *cx, const struct oidc_provider *p, const char *id_token, const char *nonce, struct oidc_claims *ret,
	const char **ret_wrong)
{
	struct jws_parts parts;

	if (!jws_split(cx->arena, id_token, &parts) ||
		(parts.alg != JWS_RS256 && parts.alg != JWS_ES256) || (parts.typ[0] && strcasecmp(parts.typ, "JWT") != 0)) {
		*ret_wrong = "bad_token";
		return OK;
	}
	TRY(signature_check(cx, p, &parts, ret_wrong));
	if (*ret_wrong)
		return OK;
	const json_t *claims = json_read(cx->arena, parts.payload);
	*ret_wrong = json_is_object(claims) ? claims_wrong(cx, p, claims, nonce) : "bad_token";
	if (*ret_wrong)
		return OK;
	*ret = (struct oidc_claims){.issuer = text(claims, "iss"), .subject = text(claims, "sub")};
	take_person(p, claims, ret);
	return OK;
}

/*
 * Providers that keep to OpenID Connect Core §5.4 tell address and name only here.  What is said counts for the subject of the
 * signed token alone (§5.3.2).
 */
static enum err
ask_userinfo(
	struct ctx *cx, const struct oidc_provider *p, const struct redeemed *r, struct oidc_claims *ret, const char **ret_wrong)
{
	const char *token = r->access_token;
	json_t *answer = NULL;
	int status = 0;

	if (ret->email || !r->userinfo || !token[0] || str_has_control(token) || strlen(token) > USERINFO_TOKEN_MAX)
		return OK;
	const struct http_fetch f = {
		.url = r->userinfo, .authorization = arena_printf(cx->arena, "Bearer %s", token), .plain = plain_allowed(cx)};
	TRY(fetch_json(cx, p, &f, &status, &answer));
	if (status != 200 || !json_is_object(answer))
		return OK;
	if (strcmp(text(answer, "sub"), ret->subject) != 0)
		*ret_wrong = "bad_subject";
	else
		take_person(p, answer, ret);
	return OK;
}

enum err
oidc_exchange(struct ctx *cx, const struct oidc_provider *p, const struct oidc_answer *in, struct oidc_claims *ret,
	const char **ret_wrong)
{
	struct redeemed r = {0};

	TRY(redeem(cx, p, in, &r));
	if (!r.id_token) {
		*ret_wrong = "code_refused";
		return OK;
	}
	TRY(read_token(cx, p, r.id_token, in->nonce, ret, ret_wrong));
	return *ret_wrong ? OK : ask_userinfo(cx, p, &r, ret, ret_wrong);
}
