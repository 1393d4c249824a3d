/*
 * Public keys of others, from JWK sets, and signatures under them.
 *
 * A key has one algorithm, which follows from its type: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA.  A key that does not fit
 * exactly is no key: too short, of another curve, off the curve, for encryption, or private.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/jws.h"

enum {
	RSA_BITS_MIN = 2048,
	RSA_BITS_MAX = 8192,
	EC_COORDINATE = 32,
	ED25519_KEY = 32,
	ED25519_SIGNATURE = 64,
	ES256_SIGNATURE = 64
};

struct jws_public {
	EVP_PKEY *key;
	enum jws_alg alg;
};

static void
release_arena(struct arena *a)
{
	arena_release(a);
}

static void
release_build(OSSL_PARAM_BLD **b)
{
	OSSL_PARAM_BLD_free(*b);
}

static void
release_params(OSSL_PARAM **p)
{
	OSSL_PARAM_free(*p);
}

static void
release_context(EVP_PKEY_CTX **c)
{
	EVP_PKEY_CTX_free(*c);
}

static void
release_digest(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static void
release_number(BIGNUM **n)
{
	BN_free(*n);
}

static void
release_signature(ECDSA_SIG **s)
{
	ECDSA_SIG_free(*s);
}

static const char *
member(const json_t *jwk, const char *name)
{
	const char *s = json_string_value(json_object_get(jwk, name));

	return s ? s : "";
}

static bool
bytes_of(struct arena *a, const json_t *jwk, const char *name, struct span *ret)
{
	const char *s = member(jwk, name);
	size_t n = strlen(s);

	return n > 0 && n <= 2 * TOKEN_MAX && b64url_decode(a, s, n, ret);
}

static EVP_PKEY *
key_from(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *c CLEANUP(release_context) = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (!c || !params || EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		return NULL;
	EVP_PKEY_CTX *check CLEANUP(release_context) = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (!check || EVP_PKEY_public_check(check) != 1) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static EVP_PKEY *
rsa_key(struct arena *a, const json_t *jwk)
{
	struct span n, e;

	if (!bytes_of(a, jwk, "n", &n) || !bytes_of(a, jwk, "e", &e))
		return NULL;
	/* RFC 7518 §2: no leading zero octets.  An even or tiny exponent is no RSA key. */
	if (n.p[0] == 0 || e.p[0] == 0 || e.n > 4 || !(e.p[e.n - 1] & 1) || (e.n == 1 && e.p[0] < 3))
		return NULL;
	BIGNUM *bn CLEANUP(release_number) = BN_bin2bn(n.p, (int)n.n, NULL);
	BIGNUM *be CLEANUP(release_number) = BN_bin2bn(e.p, (int)e.n, NULL);
	if (!bn || !be || BN_num_bits(bn) < RSA_BITS_MIN || BN_num_bits(bn) > RSA_BITS_MAX || !BN_is_odd(bn))
		return NULL;
	OSSL_PARAM_BLD *b CLEANUP(release_build) = OSSL_PARAM_BLD_new();
	if (!b || OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn) != 1 ||
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, be) != 1)
		return NULL;
	OSSL_PARAM *params CLEANUP(release_params) = OSSL_PARAM_BLD_to_param(b);
	return key_from("RSA", params);
}

static EVP_PKEY *
ec_key(struct arena *a, const json_t *jwk)
{
	uint8_t point[1 + 2 * EC_COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
	char group[] = "P-256";
	struct span x, y;

	if (strcmp(member(jwk, "crv"), "P-256") != 0 || !bytes_of(a, jwk, "x", &x) || !bytes_of(a, jwk, "y", &y) ||
		x.n != EC_COORDINATE || y.n != EC_COORDINATE)
		return NULL;
	memcpy(point + 1, x.p, EC_COORDINATE);
	memcpy(point + 1 + EC_COORDINATE, y.p, EC_COORDINATE);
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)), OSSL_PARAM_construct_end()};
	return key_from("EC", params);
}

static EVP_PKEY *
okp_key(struct arena *a, const json_t *jwk)
{
	struct span x;

	if (strcmp(member(jwk, "crv"), "Ed25519") != 0 || !bytes_of(a, jwk, "x", &x) || x.n != ED25519_KEY)
		return NULL;
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.p, x.n);
}

/* alg, use and key_ops may be missing; what is there must say "signatures, this algorithm". */
static bool
purpose_fits(const json_t *jwk, const char *alg)
{
	const json_t *ops = json_object_get(jwk, "key_ops");
	bool verify = !ops;

	for (size_t i = 0; i < json_array_size(ops); i++) {
		const char *op = json_string_value(json_array_get(ops, i));
		verify = verify || (op && strcmp(op, "verify") == 0);
	}
	return verify && (!json_object_get(jwk, "alg") || strcmp(member(jwk, "alg"), alg) == 0) &&
	       (!json_object_get(jwk, "use") || strcmp(member(jwk, "use"), "sig") == 0) && !json_object_get(jwk, "d") &&
	       !json_object_get(jwk, "k");
}

struct jws_public *
jws_public_from_jwk(const json_t *jwk)
{
	static const struct {
		const char *kty, *alg_name;
		enum jws_alg alg;
		EVP_PKEY *(*read)(struct arena *, const json_t *);
	} kinds[] = {
		{"RSA", "RS256", JWS_RS256, rsa_key},
		{"EC", "ES256", JWS_ES256, ec_key},
		{"OKP", "EdDSA", JWS_EDDSA, okp_key},
	};
	struct arena a CLEANUP(release_arena);

	arena_init(&a);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(member(jwk, "kty"), kinds[i].kty) != 0 || !purpose_fits(jwk, kinds[i].alg_name))
			continue;
		EVP_PKEY *key = kinds[i].read(&a, jwk);
		ERR_clear_error();
		if (!key)
			return NULL;
		struct jws_public *k = calloc(1, sizeof(*k));
		if (!k)
			BUG("out of memory");
		*k = (struct jws_public){key, kinds[i].alg};
		return k;
	}
	return NULL;
}

void
jws_public_free(struct jws_public *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->key);
	free(k);
}

bool
jwk_thumbprint(const json_t *jwk, char ret[B64_SHA256_CHARS + 1])
{
	static const char *const members[][5] = {
		/* kty, then its required members in the order of RFC 7638 §3.2 */
		{"RSA", "e", "kty", "n", NULL},
		{"EC", "crv", "kty", "x", "y"},
		{"OKP", "crv", "kty", "x", NULL},
		{"oct", "k", "kty", NULL, NULL},
	};
	struct arena a CLEANUP(release_arena);
	uint8_t hash[SHA256_BYTES];
	struct buf text;
	struct json j;

	arena_init(&a);
	buf_init(&text, &a, 512);
	json_init(&j, &text);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (strcmp(member(jwk, "kty"), members[i][0]) != 0)
			continue;
		json_obj(&j, NULL);
		for (int m = 1; m < 5 && members[i][m]; m++) {
			if (!member(jwk, members[i][m])[0])
				return false;
			json_str(&j, members[i][m], member(jwk, members[i][m]));
		}
		json_obj_end(&j);
		crypto_sha256(buf_span(&text), hash);
		b64url_encode((struct span){hash, sizeof(hash)}, ret);
		return true;
	}
	return false;
}

static bool
verify(const struct jws_public *k, struct span message, struct span signature)
{
	EVP_MD_CTX *c CLEANUP(release_digest) = EVP_MD_CTX_new();
	const EVP_MD *md = k->alg == JWS_EDDSA ? NULL : EVP_sha256();

	if (!c)
		BUG("out of memory");
	bool good = EVP_DigestVerifyInit(c, NULL, md, NULL, k->key) == 1 &&
		    EVP_DigestVerify(c, signature.p, signature.n, message.p, message.n) == 1;
	ERR_clear_error(); /* a wrong signature is no event for whoever looks at the queue next */
	return good;
}

bool
jws_es256_raw(const struct jws_public *key, struct span message, struct span signature)
{
	uint8_t der[80], *end = der;

	if (key->alg != JWS_ES256 || signature.n != ES256_SIGNATURE)
		return false;
	BIGNUM *r = BN_bin2bn(signature.p, ES256_SIGNATURE / 2, NULL),
	       *s = BN_bin2bn(signature.p + ES256_SIGNATURE / 2, ES256_SIGNATURE / 2, NULL);
	ECDSA_SIG *sig CLEANUP(release_signature) = ECDSA_SIG_new();
	if (!r || !s || !sig || ECDSA_SIG_set0(sig, r, s) != 1)
		BUG("out of memory");
	int n = i2d_ECDSA_SIG(sig, NULL);
	if (n <= 0 || (size_t)n > sizeof(der) || i2d_ECDSA_SIG(sig, &end) != n)
		return false;
	return verify(key, message, (struct span){der, (size_t)n});
}

bool
jws_verify_public(const struct jws_public *key, const struct jws_parts *parts)
{
	if (parts->alg != key->alg)
		return false;
	if (key->alg == JWS_ES256)
		return jws_es256_raw(key, parts->signed_bytes, parts->signature);
	if (key->alg == JWS_EDDSA && parts->signature.n != ED25519_SIGNATURE)
		return false;
	return verify(key, parts->signed_bytes, parts->signature);
}
