/* Signing in with a provider: the address to come back to, and all that the provider says, honest or not. */
#include "fuzz.h"

#include <string.h>

#include "identity/oauth.h"
#include "unit/oidc_env.h"

enum { RUNS_KEPT = 5000 };
#define OWN_URI "https://attend.example.org/cb"
#define OTHER_URI "https://app.example.org/cb"
#define VERIFIER "a-verifier-of-enough-characters-for-anybody"

static struct test *t;
static int runs;

void
fuzz_provider_end(void)
{
	if (t)
		test_close(t);
	EVP_PKEY_free(idp.signing);
	EVP_PKEY_free(idp.other);
	t = NULL;
	idp.signing = idp.other = NULL;
	runs = 0;
}

static void
begin(struct ctx *cx, struct arena *a, struct oidc_provider *ret)
{
	if (runs++ % RUNS_KEPT == 0) {
		if (t)
			test_close(t);
		t = oidc_test("SIGNUP_POLICY=open");
	}
	idp_reset(t);
	ctx_init(cx, a, &t->srv);
	HOLDS(oidc_provider_find(cx, "campus", ret) == OK);
}

/* One line is asked for; only the two that are configured are ever passed on, and as one parameter. */
void
fuzz_redirect(struct arena *a, struct span in)
{
	const char *uri = fuzz_line(a, &in), *binding = fuzz_text(a, in), *at;
	struct oauth_started started;
	struct oidc_provider p;
	struct ctx cx;

	begin(&cx, a, &p);
	if (oauth_start(&cx, &(const struct oauth_starting){.provider = p.id, .redirect_uri = uri, .binding = binding}, &started) != OK) {
		HOLDS(cx.error.code == ERR_VALIDATION);
		return;
	}
	HOLDS(strcmp(uri, OWN_URI) == 0 || strcmp(uri, OTHER_URI) == 0);
	HOLDS(str_starts(started.authorization_url, ISSUER "/authorize?response_type=code&client_id=" CLIENT "&redirect_uri=https%3A%2F%2F"));
	at = strstr(started.authorization_url, "redirect_uri=");
	HOLDS(!strstr(at + 1, "redirect_uri=") && strlen(started.binding) >= 32);
}

static const char *
given(const char *line)
{
	return line[0] ? line : NULL;
}

/* Lines, each empty for the honest one: claims, header, answer of the token endpoint, user info, further claims; then the key set. */
void
fuzz_provider(struct arena *a, struct span in)
{
	struct oidc_claims claims = {0};
	const char *wrong = NULL;
	struct oidc_provider p;
	uint8_t hash[SHA256_BYTES];
	struct ctx cx;

	begin(&cx, a, &p);
	crypto_sha256(SPAN_LIT(VERIFIER), hash);
	str_copy(idp.challenge, sizeof(idp.challenge), b64url_text(a, (struct span){hash, sizeof(hash)}));
	idp.nonce = "the-nonce";
	idp.claims = given(fuzz_line(a, &in));
	idp.header = given(fuzz_line(a, &in));
	idp.token_body = given(fuzz_line(a, &in));
	idp.userinfo = given(fuzz_line(a, &in));
	const char *extra = fuzz_line(a, &in);
	if (extra[0])
		idp.extra = extra;
	idp.jwks = given(fuzz_text(a, in));
	idp.email = idp.userinfo ? NULL : idp.email;
	atomic_fetch_add(&t->monotonic_us, 2 * DAYS_US); /* nothing of the run before is kept */
	const struct oidc_answer answer = {.code = "c", .redirect_uri = OWN_URI, .verifier = VERIFIER, .nonce = idp.nonce};
	if (oidc_exchange(&cx, &p, &answer, &claims, &wrong) != OK) {
		HOLDS(cx.error.code == ERR_UNAVAILABLE);
		return;
	}
	if (wrong)
		return;
	HOLDS(str_eq(claims.issuer, ISSUER) && claims.subject[0] && strlen(claims.subject) <= 255 && !str_has_control(claims.subject));
	HOLDS(!claims.email || strlen(claims.email) <= EMAIL_MAX);
	HOLDS(!claims.name || (strlen(claims.name) <= NAME_MAX_BYTES && !str_has_control(claims.name)));
	HOLDS(!idp.jwks || strstr(idp.jwks, number_b64(a, idp.signing, OSSL_PKEY_PARAM_RSA_N)));
}
