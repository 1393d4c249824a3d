/*
 * A provider without a network: it answers what the test says, signs with keys of its own, and counts what it was asked.  Honest
 * unless a test changes a member.
 */
#ifndef MUSTER_TESTS_OIDC_ENV_H
#define MUSTER_TESTS_OIDC_ENV_H

#include "accounts_env.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/core_names.h>

#include "core/crypto.h"
#include "identity/oidc.h"

#define ISSUER "https://id.example.org"
#define CLIENT "muster-client"

static struct scripted {
	/* what it says */
	const char *issuer, *claims, *header, *token_body; /* NULL: the honest one */
	const char *sub, *email, *nonce, *aud, *iss;
	const char *extra;    /* more members of the claims, ",\"x\":1" */
	const char *userinfo; /* what its endpoint says; NULL: there is none */
	const char *jwks;     /* the whole set; NULL: our key */
	const char *kid;
	int64_t exp_in_s, iat_in_s;
	bool down, no_signature, huge;
	int token_status, jwks_status, document_status;
	EVP_PKEY *signing, *other;
	bool sign_with_other;
	/* what it was asked */
	int documents, key_sets, exchanges;
	char form[4000], authorization[1000], challenge[100], nonce_sent[100];
	int64_t now_s;
} idp;

__attribute__((unused)) static char *
number_b64(struct arena *a, const EVP_PKEY *key, const char *name)
{
	BIGNUM *n = NULL;
	unsigned char bytes[1024];

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	int size = BN_bn2bin(n, bytes);
	BN_free(n);
	return b64url_text(a, (struct span){bytes, (size_t)size});
}

__attribute__((unused)) static const char *
rsa_set(struct arena *a, const EVP_PKEY *key, const char *kid)
{
	return arena_printf(a,
		"{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"}]}", kid,
		number_b64(a, key, OSSL_PKEY_PARAM_RSA_N), number_b64(a, key, OSSL_PKEY_PARAM_RSA_E));
}

__attribute__((unused)) static char *
id_token(struct arena *a)
{
	const char *header =
		idp.header ? idp.header : arena_printf(a, "{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", idp.kid);
	const char *claims = idp.claims;

	if (!claims)
		claims = arena_printf(a,
			"{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":%s,\"exp\":%lld,\"iat\":%lld,\"nonce\":\"%s\"%s%s%s%s}", idp.iss,
			idp.sub, idp.aud, (long long)(idp.now_s + idp.exp_in_s), (long long)(idp.now_s + idp.iat_in_s),
			idp.nonce ? idp.nonce : idp.nonce_sent, idp.email ? ",\"email\":\"" : "", idp.email ? idp.email : "",
			idp.email ? "\"" : "", idp.extra ? idp.extra : "");
	char *body = arena_printf(a, "%s.%s", b64url_text(a, span_str(header)), b64url_text(a, span_str(claims)));
	if (idp.no_signature)
		return arena_printf(a, "%s.", body);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char signature[1024];
	size_t n = sizeof(signature);
	assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, idp.sign_with_other ? idp.other : idp.signing), 1);
	assert_int_equal(EVP_DigestSign(c, signature, &n, (const unsigned char *)body, strlen(body)), 1);
	EVP_MD_CTX_free(c);
	return arena_printf(a, "%s.%s", body, b64url_text(a, (struct span){signature, n}));
}

static bool
answer_with(struct arena *a, int status, const char *body, struct http_answer *ret)
{
	*ret = (struct http_answer){.status = status, .body = span_str(arena_strdup(a, body))};
	return true;
}

/* PKCE as a provider checks it: the verifier must hash to the challenge of the authorization request. */
static bool
verifier_fits(struct arena *a, const char *form)
{
	const char *at = strstr(form, "code_verifier=");
	uint8_t hash[SHA256_BYTES];

	if (!at)
		return false;
	at += strlen("code_verifier=");
	crypto_sha256((struct span){(const uint8_t *)at, strcspn(at, "&")}, hash);
	return strcmp(b64url_text(a, (struct span){hash, sizeof(hash)}), idp.challenge) == 0;
}

__attribute__((unused)) static bool
scripted_fetch(struct arena *a, const struct http_fetch *f, struct http_answer *ret, const char **ret_why)
{
	if (idp.down) {
		*ret_why = "scripted";
		return false;
	}
	if (str_ends(f->url, "/.well-known/openid-configuration")) {
		idp.documents++;
		return answer_with(a, idp.document_status,
			arena_printf(a,
				"{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/authorize\",\"token_endpoint\":\"%s/token\","
				"\"jwks_uri\":\"%s/keys\"%s}",
				idp.issuer, ISSUER, ISSUER, ISSUER,
				idp.userinfo ? ",\"userinfo_endpoint\":\"" ISSUER "/userinfo\"" : ""),
			ret);
	}
	if (str_ends(f->url, "/keys")) {
		idp.key_sets++;
		if (idp.huge) {
			*ret_why = "the answer is too large";
			return false;
		}
		return answer_with(a, idp.jwks_status, idp.jwks ? idp.jwks : rsa_set(a, idp.signing, "k1"), ret);
	}
	if (str_ends(f->url, "/userinfo")) {
		assert_string_equal(f->authorization, "Bearer x");
		return answer_with(a, 200, idp.userinfo, ret);
	}
	assert_string_equal(f->url, ISSUER "/token");
	idp.exchanges++;
	str_copy(idp.form, sizeof(idp.form), f->form);
	str_copy(idp.authorization, sizeof(idp.authorization), f->authorization ? f->authorization : "");
	if (!verifier_fits(a, f->form))
		return answer_with(a, 400, "{\"error\":\"invalid_grant\"}", ret);
	return answer_with(a, idp.token_status,
		idp.token_body ? idp.token_body : arena_printf(a, "{\"access_token\":\"x\",\"id_token\":\"%s\"}", id_token(a)),
		ret);
}

/* Honest again. */
__attribute__((unused)) static void
idp_reset(struct test *t)
{
	EVP_PKEY *signing = idp.signing ? idp.signing : EVP_RSA_gen(2048), *other = idp.other ? idp.other : EVP_RSA_gen(2048);

	idp = (struct scripted){.issuer = ISSUER,
		.iss = ISSUER,
		.sub = "person-1",
		.email = "person@example.org",
		.extra = ",\"email_verified\":true,\"name\":\"Per Son\"",
		.aud = "\"" CLIENT "\"",
		.kid = "k1",
		.exp_in_s = 300,
		.token_status = 200,
		.jwks_status = 200,
		.document_status = 200,
		.signing = signing,
		.other = other,
		.now_s = t->wall_us / SECONDS_US};
	oidc_set_fetch(t->srv.oidc, scripted_fetch);
}

__attribute__((unused)) static struct test *
oidc_test(const char *policy)
{
	char *env = NULL;
	struct test *t;

	(void)env;
	t = test_open(TEST_CONF("OAUTH_PROVIDERS=campus,library", "OAUTH_CAMPUS_ISSUER=" ISSUER, "OAUTH_CAMPUS_CLIENT_ID=" CLIENT,
		"OAUTH_CAMPUS_CLIENT_SECRET=s3cret/+ %", "OAUTH_CAMPUS_REDIRECT_URI=https://attend.example.org/cb",
		"OAUTH_LIBRARY_ISSUER=https://library.example", "OAUTH_LIBRARY_CLIENT_ID=c", "OAUTH_LIBRARY_CLIENT_SECRET=s",
		"OAUTH_ALLOWED_REDIRECT_URIS=https://app.example.org/cb", policy, "SINGLE_DEVICE=false"));
	idp_reset(t);
	return t;
}

struct begun {
	const char *state, *binding, *url;
};

static const char *
query_member(struct test *t, const char *url, const char *name)
{
	const char *at = strstr(url, arena_printf(&t->arena, "%s=", name));

	assert_non_null(at);
	at += strlen(name) + 1;
	return arena_strndup(&t->arena, at, strcspn(at, "&"));
}

__attribute__((unused)) static struct begun
begin_at(struct test *t, const char *provider)
{
	const struct header accept = {"Accept", "application/json"};
	struct test_reply *r = call_with(t,
		&(struct test_request){
			.method = GET, .path = PATH(t, "/v1/auth/oauth/%s/start", provider), .headers = &accept, .n_headers = 1});

	expect_status(r, 200);
	struct begun b = {text_at(r, "state"), text_at(r, "binding"), text_at(r, "authorization_url")};
	str_copy(idp.challenge, sizeof(idp.challenge), query_member(t, b.url, "code_challenge"));
	str_copy(idp.nonce_sent, sizeof(idp.nonce_sent), query_member(t, b.url, "nonce"));
	idp.now_s = t->wall_us / SECONDS_US;
	return b;
}

/* The answer as a client posts it, or as the provider sends the browser back. */
__attribute__((unused)) static struct test_reply *
come_back(struct test *t, bool post, const char *provider, const struct begun *b)
{
	if (post)
		return call(t, POST, PATH(t, "/v1/auth/oauth/%s/callback", provider), NULL,
			PATH(t, "{'code':'the-code','state':'%s','binding':'%s'}", b->state, b->binding));
	const struct header cookie = {"Cookie", PATH(t, "muster_ob=%s", b->binding)};
	return call_with(
		t, &(struct test_request){.method = GET,
			   .path = PATH(t, "/v1/auth/oauth/%s/callback?code=the-code&state=%s&scope=openid&session_state=x",
				   provider, b->state),
			   .headers = &cookie,
			   .n_headers = 1});
}

__attribute__((unused)) static struct test_reply *
arrive(struct test *t, bool post)
{
	const struct begun b = begin_at(t, "campus");

	return come_back(t, post, "campus", &b);
}

__attribute__((unused)) static struct test_reply *
sign_in(struct test *t, const char *email, const char *password)
{
	return call(t, POST, "/v1/auth/login", NULL, PATH(t, "{'email':'%s','password':'%s'}", email, password));
}

__attribute__((unused)) static int64_t
failures(struct test *t, const char *reason)
{
	return count(t, PATH(t,
				"SELECT count(*) FROM audit_logs WHERE action = 'login_failed'"
				" AND json_extract(details, '$.reason') = '%s'",
				reason));
}

#define BOTH_METHODS for (int post = 0; post < 2; post++)

#endif
