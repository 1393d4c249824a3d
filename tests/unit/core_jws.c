/*
 * JWS: the published examples (RFC 7515 appendix A, RFC 8037, RFC 7638), and a corpus of tokens that must be refused.
 * A refused token is signed with the right key wherever that is possible, so that its one fault is the reason.
 */
#include "core_env.h"

#include <openssl/evp.h>

#include "core/conf.h"
#include "core/json.h"
#include "core/jws.h"

#define CLAIMS "{\"iss\":\"muster\",\"sub\":\"u1\",\"iat\":1700000000,\"exp\":1700000900,\"neg\":-5,\"ok\":true}"
#define A2_N                                                                                                             \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-" \
	"pCgNMsD1W_YpRP"                                                                                                 \
	"EwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"                              \
	"UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qC"                                                                    \
	"o5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define A2_KEY "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "\"}"
#define A3_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define A3_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define A3_KEY "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}"
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}"
#define PAYLOAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define A1_TOKEN "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define A2_TOKEN                                                                                                                 \
	"eyJhbGciOiJSUzI1NiJ9." PAYLOAD ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_" \
	"O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKB"                                                                                \
	"YNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"            \
	"eOkHWEsqtFZESc6Bf"                                                                                                      \
	"I7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define A3_SIGNATURE "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define A3_TOKEN "eyJhbGciOiJFUzI1NiJ9." PAYLOAD "." A3_SIGNATURE
#define ED_SIGNATURE "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
#define ED_TOKEN "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." ED_SIGNATURE

static struct config *conf;
static struct keys *keys;
static const struct key *key; /* the current access key */

static int
open_keys(void **state)
{
	static const char *const env[] = {"SECRET_KEY=11abcdefghijklmnopqrstuvwxyz012345,44abcdefghijklmnopqrstuvwxyz012345",
		"QR_SIGNING_SECRET=22abcdefghijklmnopqrstuvwxyz012345", "TOKEN_PEPPER=33abcdefghijklmnopqrstuvwxyz012345",
		"MFA_ENCRYPTION_KEY=44abcdefghijklmnopqrstuvwxyz012345", "ADMIN_PASSWORD=x", NULL};
	const char *message;

	(void)state;
	conf = conf_load(env, NULL, &message);
	if (!conf)
		return -1;
	keys = keys_open(conf);
	key = key_current(keys, KEY_ACCESS);
	return 0;
}

static int
close_keys(void **state)
{
	(void)state;
	keys_close(keys);
	conf_free(conf);
	return 0;
}

static const char *
b64(const char *s)
{
	return b64url_text(&arena, span_str(s));
}

static const char *
mac_of(const struct key *k, const char *signed_text)
{
	struct span s = span_str(signed_text);
	uint8_t mac[SHA256_BYTES];

	crypto_hmac(key_span(k), &s, 1, mac);
	return b64url_text(&arena, (struct span){mac, sizeof(mac)});
}

/* A token with this header, honestly signed.  "KID" in it stands for the key's id. */
static const char *
crafted(const struct key *k, const char *header, const char *claims)
{
	const char *at = strstr(header, "KID");

	if (at)
		header = arena_printf(&arena, "%.*s%s%s", (int)(at - header), header, k->id, at + 3);
	const char *text = arena_printf(&arena, "%s.%s", b64(header), b64(claims));
	return arena_printf(&arena, "%s.%s", text, mac_of(k, text));
}

static bool
accepted(const char *token)
{
	struct span claims = {0};
	bool good = jws_verify(&arena, keys, KEY_ACCESS, "at+jwt", token, &claims);

	if (!good)
		assert_null(claims.p);
	return good;
}

static void
own_tokens_come_back(void **state)
{
	(void)state;
	struct span claims;
	char text[16];
	int64_t v;

	for (size_t i = 0; i < key_count(keys, KEY_ACCESS); i++) { /* the retired-but-listed key too */
		const char *token = jws_sign(&arena, key_nth(keys, KEY_ACCESS, i), "at+jwt", CLAIMS);
		assert_true(jws_verify(&arena, keys, KEY_ACCESS, "at+jwt", token, &claims));
		assert_int_equal(claims.n, strlen(CLAIMS));
		assert_memory_equal(claims.p, CLAIMS, claims.n);
		assert_false(jws_verify(&arena, keys, KEY_ACCESS, "mfa_pending", token, &claims));
		assert_false(jws_verify(&arena, keys, KEY_MFA_PENDING, "at+jwt", token, &claims));
		assert_false(jws_verify(&arena, keys, KEY_QR, "at+jwt", token, &claims));
	}
	/* another spelling of the same header goes the long way and is as good */
	assert_true(accepted(crafted(key, "{ \"typ\" : \"at+jwt\", \"kid\":\"KID\", \"alg\":\"HS256\" }", CLAIMS)));
	assert_true(accepted(crafted(key, "{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"note\":1}", CLAIMS)));

	assert_true(jws_verify(&arena, keys, KEY_ACCESS, "at+jwt", jws_sign(&arena, key, "at+jwt", CLAIMS), &claims));
	assert_true(claim_text(claims, "iss", text, sizeof(text)));
	assert_string_equal(text, "muster");
	assert_true(claim_text(claims, "sub", text, sizeof(text)));
	assert_string_equal(text, "u1");
	assert_true(claim_int(claims, "exp", &v));
	assert_int_equal(v, 1700000900);
	assert_true(claim_int(claims, "neg", &v));
	assert_int_equal(v, -5);
	assert_false(claim_int(claims, "ok", &v));
	assert_false(claim_int(claims, "iss", &v));
	assert_false(claim_text(claims, "exp", text, sizeof(text)));
	assert_false(claim_text(claims, "is", text, sizeof(text)));
	assert_false(claim_text(claims, "muster", text, sizeof(text)));
	assert_false(claim_text(claims, "iss", text, 6)); /* no room for the NUL */
	assert_true(claim_text(claims, "iss", text, 7));
}

static void
broken_claims_give_nothing(void **state)
{
	(void)state;
	static const char *const rows[] = {"", "{", "}", "{}", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":\"x",
		"{\"b\":\"\\\"a\\\":\\\"x\\\"\"}", "{a:\"x\"}", "{\"b\":1 \"a\":\"x\"}", "{\"b\":\"x\"\"a\":\"x\"}",
		"{\"aa\":\"x\"}", "{\"a\" :\"x\"}", "{\"a\":12345678901234567890123}"};
	char text[8];
	int64_t v;

	for (size_t i = 0; i < COUNT(rows); i++)
		if (claim_text(span_str(rows[i]), "a", text, sizeof(text)) || claim_int(span_str(rows[i]), "a", &v))
			fail_msg("%s", rows[i]);
	assert_true(claim_text(SPAN_LIT("{\"a\":\"\"}"), "a", text, sizeof(text)));
	assert_string_equal(text, "");
}

static void
headers_that_must_be_refused(void **state)
{
	(void)state;
	static const char *const headers[] = {
		/* the algorithm */
		"{\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"none\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"None\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"NONE\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"nOnE\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":null,\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":256,\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":[\"HS256\"],\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"hs256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256 \",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS384\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS512\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"RS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"ES256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"EdDSA\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"PS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"A256KW\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"ALG\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		/* the key's name */
		"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":null,\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":0,\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":[\"KID\"],\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"deadbeef\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID0\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID \",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"/proc/sys/kernel/hostname\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"x' UNION SELECT 'k\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\\u0000\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\\n\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"typ\":"
		"\"at+jwt\"}",
		/* the type */
		"{\"alg\":\"HS256\",\"kid\":\"KID\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"AT+JWT\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"application/at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"mfa_pending\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":null}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":1}",
		/* what would let the token choose a key or a meaning */
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"crit\":[]}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"crit\":null}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"jku\":\"https://evil.example/jwks\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"x5u\":\"https://evil.example/c\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"x5c\":[\"MIIB\"]}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"zip\":\"DEF\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"b64\":false}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"enc\":\"A128GCM\"}",
		/* the form */
		"{\"alg\":\"none\",\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}x",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}{}",
		"[{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}]",
		"\"HS256\"",
		"null",
		"{}",
		"not json",
		"{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\",\"d\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"
		"]]]]]]]]]]]]]]]]]]]]}",
	};

	for (size_t i = 0; i < COUNT(headers); i++)
		if (accepted(crafted(key, headers[i], CLAIMS)))
			fail_msg("%s", headers[i]);
}

static void
forms_that_must_be_refused(void **state)
{
	(void)state;
	const char *good = jws_sign(&arena, key, "at+jwt", CLAIMS);
	const char *first = strchr(good, '.'), *second = strchr(first + 1, '.');
	const char *header = arena_strndup(&arena, good, (size_t)(first - good));
	const char *payload = arena_strndup(&arena, first + 1, (size_t)(second - first - 1)), *mac = second + 1;
	const char *hundred = arena_printf(&arena, "%0*d", 4000, 0);
	const char *rows[] = {
		"",
		".",
		"..",
		"...",
		arena_printf(&arena, "%s.%s", header, payload),
		arena_printf(&arena, "%s.%s.", header, payload),
		arena_printf(&arena, "%s..%s", header, mac),
		arena_printf(&arena, ".%s.%s", payload, mac),
		arena_printf(&arena, ".%s", good),
		arena_printf(&arena, "%s.", good),
		arena_printf(&arena, "%s.%s", good, mac),
		arena_printf(&arena, "%s.%s.%s.%s.%s", header, payload, mac, payload, mac), /* five parts: a JWE */
		arena_printf(&arena, " %s", good),
		arena_printf(&arena, "%s ", good),
		arena_printf(&arena, "%s\n", good),
		arena_printf(&arena, "%s=", good),
		arena_printf(&arena, "%s.%s.%s=", header, payload, mac),
		arena_printf(&arena, "%s.%s=.%s", header, payload, mac),
		arena_printf(&arena, "Bearer %s", good),
		arena_printf(&arena, "%s.%s.%.*s", header, payload, 42, mac),
		arena_printf(&arena, "%s.%s.%.*s", header, payload, 22, mac),
		arena_printf(&arena, "%s.%s.%sA", header, payload, mac),
		arena_printf(&arena, "%s.%s.%s%s", header, payload, mac, mac),
		arena_printf(&arena, "%s.%sA.%s", header, payload, mac),
		arena_printf(&arena, "%s.%s.%s", header, b64("{\"role\":\"admin\"}"), mac),
		arena_printf(&arena, "%s.%s.%s", header, payload, mac_of(key_nth(keys, KEY_ACCESS, 1), "other")),
		arena_printf(&arena, "%s.%s.%s", header, payload,
			mac_of(key_current(keys, KEY_QR), arena_printf(&arena, "%s.%s", header, payload))),
		arena_printf(&arena, "%s.%s.%s", payload, header, mac),
		arena_printf(&arena, "%s.%s.%s", header, hundred, mac_of(key, arena_printf(&arena, "%s.%s", header, hundred))),
		crafted(key_current(keys, KEY_QR), "{\"alg\":\"HS256\",\"kid\":\"KID\",\"typ\":\"at+jwt\"}", CLAIMS),
		jws_sign(&arena, key_current(keys, KEY_DISPLAY), "at+jwt", CLAIMS),
		A1_TOKEN,
		A2_TOKEN,
		ED_TOKEN,
	};

	assert_true(accepted(good));
	for (size_t i = 0; i < COUNT(rows); i++)
		if (accepted(rows[i]))
			fail_msg("row %zu: %s", i, rows[i]);
	/* every single character of a token matters, stray bits of the last ones included */
	for (size_t i = 0; good[i]; i++)
		for (const char *c = "AQgw_-.=+/0 "; *c; c++) {
			char *bent = arena_strdup(&arena, good);
			bent[i] = *c;
			if (*c != good[i] && accepted(bent))
				fail_msg("%s", bent);
		}
	for (size_t n = 0; n < strlen(good); n++)
		assert_false(accepted(arena_strndup(&arena, good, n)));
	assert_false(accepted(arena_printf(&arena, "%0*d", 100000, 0)));
}

static const json_t *
jwk(const char *text)
{
	const json_t *v = json_read(&arena, span_str(text));

	if (!v)
		fail_msg("not JSON: %s", text);
	return v;
}

static bool
verifies(const char *key_text, const char *token)
{
	struct jws_public *k = jws_public_from_jwk(jwk(key_text));
	struct jws_parts parts;

	if (!k)
		fail_msg("no key: %s", key_text);
	bool good = jws_split(&arena, token, &parts) && jws_verify_public(k, &parts);
	jws_public_free(k);
	return good;
}

static void
published_examples_verify(void **state)
{
	(void)state;
	struct jws_parts parts;
	struct span secret;
	uint8_t mac[SHA256_BYTES];

	assert_true(verifies(A2_KEY, A2_TOKEN));
	assert_true(verifies(A3_KEY, A3_TOKEN));
	assert_true(verifies(ED_KEY, ED_TOKEN));
	/* A.1 has a key of 64 bytes, which ours never are: so by hand */
	assert_true(b64url_decode(
		&arena, "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow", 86, &secret));
	assert_true(jws_split(&arena, A1_TOKEN, &parts));
	assert_int_equal(parts.alg, JWS_HS256);
	assert_string_equal(parts.typ, "JWT");
	assert_string_equal(parts.kid, "");
	crypto_hmac(secret, &parts.signed_bytes, 1, mac);
	assert_int_equal(parts.signature.n, SHA256_BYTES);
	assert_memory_equal(parts.signature.p, mac, SHA256_BYTES);

	char print[B64_SHA256_CHARS + 1];
	assert_true(jwk_thumbprint(
		jwk("{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR"
		    "1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qvz"
		    "qY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcR"
		    "wr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\","
		    "\"kid\":\"2011-04-29\"}"),
		print));
	assert_string_equal(print, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
	assert_true(jwk_thumbprint(jwk(ED_KEY), print));
	assert_string_equal(print, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	assert_false(jwk_thumbprint(jwk("{\"kty\":\"RSA\",\"e\":\"AQAB\"}"), print));
	assert_false(jwk_thumbprint(jwk("{\"kty\":\"XYZ\"}"), print));
	assert_false(jwk_thumbprint(jwk("[]"), print));
}

static void
signatures_that_must_not_verify(void **state)
{
	(void)state;
	struct jws_parts parts;

	/* one key's token under another key, and an algorithm that is not the key's */
	assert_false(verifies(A3_KEY, A2_TOKEN));
	assert_false(verifies(A2_KEY, A3_TOKEN));
	assert_false(verifies(ED_KEY, A3_TOKEN));
	assert_false(verifies(A2_KEY, A1_TOKEN));
	/* HS256 keyed with the public key's own text, the classic confusion */
	struct span pem = span_str(A2_KEY);
	const char *text = arena_printf(&arena, "%s.%s", b64("{\"alg\":\"HS256\"}"), PAYLOAD);
	struct span bytes = span_str(text);
	uint8_t mac[SHA256_BYTES];
	crypto_hmac(pem, &bytes, 1, mac);
	assert_false(verifies(A2_KEY, arena_printf(&arena, "%s.%s", text, b64url_text(&arena, (struct span){mac, sizeof(mac)}))));
	/* a good Ed25519 signature under a header that names another algorithm: the private key is RFC 8037's */
	static const char *const others[] = {"ES256", "RS256", "HS256"};
	struct span d;
	assert_true(b64url_decode(&arena, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", 43, &d));
	EVP_PKEY *private = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d.p, d.n);
	for (size_t i = 0; i <= COUNT(others); i++) {
		const char *alg = i < COUNT(others) ? others[i] : "EdDSA";
		const char *to_sign = arena_printf(&arena, "%s.%s", b64(arena_printf(&arena, "{\"alg\":\"%s\"}", alg)), PAYLOAD);
		uint8_t signature[64];
		size_t n = sizeof(signature);
		EVP_MD_CTX *c = EVP_MD_CTX_new();
		assert_int_equal(EVP_DigestSignInit(c, NULL, NULL, NULL, private), 1);
		assert_int_equal(EVP_DigestSign(c, signature, &n, (const uint8_t *)to_sign, strlen(to_sign)), 1);
		EVP_MD_CTX_free(c);
		const char *token = arena_printf(&arena, "%s.%s", to_sign, b64url_text(&arena, (struct span){signature, n}));
		assert_int_equal(verifies(ED_KEY, token), i == COUNT(others));
	}
	EVP_PKEY_free(private);
	/* bent payload, bent signature */
	assert_false(verifies(A3_KEY, "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UifQ." A3_SIGNATURE));
	assert_false(verifies(ED_KEY, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.AAAA"));
	/* ES256: all zeros (CVE-2022-21449), DER instead of r‖s, too long */
	char zeros[87];
	memset(zeros, 'A', 86);
	zeros[86] = 0;
	assert_false(verifies(A3_KEY, arena_printf(&arena, "eyJhbGciOiJFUzI1NiJ9.%s.%s", PAYLOAD, zeros)));
	assert_true(jws_split(&arena, A3_TOKEN, &parts));
	struct span rs = parts.signature;
	uint8_t der[72] = {0x30, 0x45, 0x02, 0x20}, *at = der + 4;
	memcpy(at, rs.p, 32);
	memcpy(at + 32, "\x02\x21\x00", 3);
	memcpy(at + 35, rs.p + 32, 32);
	struct jws_public *k = jws_public_from_jwk(jwk(A3_KEY)), *ed = jws_public_from_jwk(jwk(ED_KEY));
	assert_true(jws_es256_raw(k, parts.signed_bytes, rs));
	assert_false(jws_es256_raw(k, parts.signed_bytes, (struct span){der, 71}));
	assert_false(jws_es256_raw(k, parts.signed_bytes, (struct span){der, 64}));
	assert_false(jws_es256_raw(k, parts.signed_bytes, (struct span){rs.p, 63}));
	assert_false(jws_es256_raw(k, SPAN_LIT("other"), rs));
	assert_false(jws_es256_raw(ed, parts.signed_bytes, rs));
	jws_public_free(k);
	jws_public_free(ed);
}

static void
keys_that_are_none(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"{}",
		"[]",
		"null",
		"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ\"}",
		"{\"kty\":\"rsa\",\"e\":\"AQAB\",\"n\":\"" A2_N "\"}",
		"{\"kty\":\"RSA\",\"n\":\"" A2_N "\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQ\",\"n\":\"" A2_N "\"}",	 /* exponent 1 */
		"{\"kty\":\"RSA\",\"e\":\"BA\",\"n\":\"" A2_N "\"}",	 /* even */
		"{\"kty\":\"RSA\",\"e\":\"AAEAAQ\",\"n\":\"" A2_N "\"}", /* a leading zero octet */
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "==\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "\",\"alg\":\"HS256\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "\",\"alg\":\"RS512\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "\",\"use\":\"enc\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "\",\"key_ops\":[\"encrypt\"]}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"" A2_N "\",\"d\":\"AQAB\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}",
		"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}",
		"{\"kty\":\"EC\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_X "\"}", /* not on the curve */
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\",\"alg\":\"ES384\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y "\",\"alg\":\"RS256\"}",
		"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":7}",
	};

	/* 1024 bits: the upper half of the example's modulus, made odd by its last letter */
	const char *small = arena_printf(&arena, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%.170s\"}", A2_N);
	assert_null(jws_public_from_jwk(jwk(small)));
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct jws_public *k = jws_public_from_jwk(jwk(rows[i]));
		if (k)
			fail_msg("%s", rows[i]);
	}
	struct jws_public *k = jws_public_from_jwk(jwk("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" A3_X "\",\"y\":\"" A3_Y
						       "\",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]}"));
	assert_non_null(k);
	jws_public_free(k);
	jws_public_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(own_tokens_come_back, reset),
		cmocka_unit_test_teardown(broken_claims_give_nothing, reset),
		cmocka_unit_test_teardown(headers_that_must_be_refused, reset),
		cmocka_unit_test_teardown(forms_that_must_be_refused, reset),
		cmocka_unit_test_teardown(published_examples_verify, reset),
		cmocka_unit_test_teardown(signatures_that_must_not_verify, reset),
		cmocka_unit_test_teardown(keys_that_are_none, reset),
	};

	return cmocka_run_group_tests(tests, open_keys, close_keys);
}
