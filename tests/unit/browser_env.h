/* A browser's P-256 key: its JWK as WebCrypto exports it, and signatures as WebCrypto gives them. */
#ifndef MUSTER_TESTS_BROWSER_ENV_H
#define MUSTER_TESTS_BROWSER_ENV_H

#include <string.h>

#include "support.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "core/crypto.h"

struct browser {
	EVP_PKEY *key;
	const char *jwk;
};

static inline struct browser
browser_open(struct test *t)
{
	struct browser b = {.key = EVP_EC_gen("P-256")};
	uint8_t point[65];
	size_t n = 0;

	assert_non_null(b.key);
	assert_int_equal(EVP_PKEY_get_octet_string_param(b.key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n), 1);
	assert_int_equal(n, sizeof(point));
	b.jwk = arena_printf(&t->arena,
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\",\"ext\":true,\"key_ops\":[\"verify\"]}",
		b64url_text(&t->arena, (struct span){point + 1, 32}), b64url_text(&t->arena, (struct span){point + 33, 32}));
	return b;
}

static inline void
browser_close(struct browser *b)
{
	EVP_PKEY_free(b->key);
}

/* ES256 as WebCrypto gives it: r and s, 32 bytes each. */
static inline const char *
browser_sign_bytes(struct test *t, const struct browser *b, struct span message)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t der[128], raw[64];
	size_t n = sizeof(der);
	const uint8_t *p = der;

	assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, b->key), 1);
	assert_int_equal(EVP_DigestSign(md, der, &n, message.p, message.n), 1);
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
	assert_non_null(sig);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32), 32);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32), 32);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(md);
	return b64url_text(&t->arena, (struct span){raw, sizeof(raw)});
}

static inline const char *
browser_sign(struct test *t, const struct browser *b, const char *text)
{
	return browser_sign_bytes(t, b, span_str(text));
}

#endif
