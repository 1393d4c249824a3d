/*
 * OpenID Connect, the relying party's side (OpenID Connect Core 1.0, RFC 6749, 7636, 9207): providers of the configuration, their
 * discovery documents and keys, and the exchange of a code for checked claims.
 *
 * Issuer, endpoints and keys come from the configuration and the issuer's own discovery document, never from a token.  ID tokens
 * are RS256 or ES256.  Documents and keys are kept JWKS_CACHE_TTL_SECONDS; an unknown key id fetches them again at most once a
 * minute. All of this blocks: on the work lane only.
 */
#ifndef MUSTER_IDENTITY_OIDC_H
#define MUSTER_IDENTITY_OIDC_H

#include "core/ctx.h"
#include "net/http_client.h"

enum oidc_kind { OIDC_GENERIC = 1, OIDC_GOOGLE, OIDC_MICROSOFT };

struct oidc_provider {
	enum oidc_kind kind;
	const char *id, *name;
	const char *issuer; /* where discovery begins */
	const char *client_id, *client_secret, *redirect_uri;
};
size_t oidc_provider_count(const struct config *conf);
struct oidc_provider oidc_provider_nth(struct arena *a, const struct config *conf, size_t n);
enum err oidc_provider_find(struct ctx *cx, const char *id, struct oidc_provider *ret) MUST_CHECK; /* ERR_NOT_FOUND */

/* The cache of documents and keys; one per process. */
typedef bool oidc_fetch(struct arena *a, const struct http_fetch *f, struct http_answer *ret, const char **ret_why);
struct oidc *oidc_open(const struct config *conf);
void oidc_close(struct oidc *o);
void oidc_set_fetch(struct oidc *o, oidc_fetch *fetch); /* tests: a provider without a network */

/* Where the browser goes.  ERR_UNAVAILABLE when the provider does not answer. */
struct oidc_request {
	const char *redirect_uri, *state, *nonce, *challenge;
};
enum err oidc_authorization_url(
	struct ctx *cx, const struct oidc_provider *p, const struct oidc_request *rq, const char **ret) MUST_CHECK;

struct oidc_claims {
	const char *issuer, *subject;
	const char *email; /* as the provider wrote it; NULL: none */
	const char *name;  /* NULL: none */
	bool email_proven; /* by the rules for this kind of provider */
};
/*
 * *ret_wrong is NULL, or why the provider's answer was refused, in one word for replies and the audit trail ("bad_nonce").
 * ERR_UNAVAILABLE when the provider does not answer.
 */
struct oidc_answer {
	const char *code, *redirect_uri, *verifier, *nonce;
};
enum err oidc_exchange(struct ctx *cx, const struct oidc_provider *p, const struct oidc_answer *in, struct oidc_claims *ret,
	const char **ret_wrong) MUST_CHECK;

#endif
