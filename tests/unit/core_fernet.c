/*
 * Fernet: the specification's own vectors (generate.json, verify.json, invalid.json), every byte of a token changed in turn, forms that are no
 * tokens, and texts bound to their place.
 */
#include "core_env.h"

#include "core/fernet.h"

static const char secret[] = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4";
static const char vector[] =
	"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
enum { VECTOR_NOW_S = 499162800, TTL_S = 60 }; /* 1985-10-26T01:20:00-07:00 */

static struct span
key(void)
{
	struct span k;

	assert_true(b64url_decode(&arena, secret, strlen(secret), &k));
	assert_int_equal(k.n, FERNET_KEY_BYTES);
	return k;
}

static bool
opens(const char *token, int64_t now_s)
{
	struct span out;

	return fernet_open(&arena, key(), now_s, TTL_S, token, &out);
}

static void
specification(void **state)
{
	uint8_t iv[FERNET_IV_BYTES];
	struct span out;

	(void)state;
	for (int i = 0; i < FERNET_IV_BYTES; i++)
		iv[i] = (uint8_t)i;
	assert_string_equal(fernet_seal(&arena, key(), VECTOR_NOW_S, iv, span_str("hello")), vector);
	assert_true(fernet_open(&arena, key(), VECTOR_NOW_S + 1, TTL_S, vector, &out));
	assert_int_equal(out.n, 5);
	assert_memory_equal(out.p, "hello", 5);
}

/* Each is one second old, but for the last. */
static void
specification_of_the_invalid(void **state)
{
	static const char *const rows[] = {
		/* wrong MAC, too short, no base64, no whole block, padding, a clock far ahead, an IV that breaks the padding */
		"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
		"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==",
		"%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
		"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
		"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
		"gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw==",
		"gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
	};
	static const char expires[] =
		"gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==";

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (opens(rows[i], VECTOR_NOW_S + 1))
			fail_msg("row %zu", i);
	assert_true(opens(expires, VECTOR_NOW_S + 1));
	assert_false(opens(expires, VECTOR_NOW_S + 91));
}

static void
age(void **state)
{
	struct span out;

	(void)state;
	assert_true(opens(vector, VECTOR_NOW_S + TTL_S));
	assert_false(opens(vector, VECTOR_NOW_S + TTL_S + 1));
	assert_true(opens(vector, VECTOR_NOW_S - 60));
	assert_false(opens(vector, VECTOR_NOW_S - 61));
	assert_true(fernet_open(&arena, key(), VECTOR_NOW_S * 3, FERNET_ANY_AGE, vector, &out));
}

static void
every_length(void **state)
{
	uint8_t iv[FERNET_IV_BYTES] = {7}, plain[100];
	struct span out;

	(void)state;
	for (size_t n = 0; n <= sizeof(plain); n++) {
		memset(plain, (int)n, sizeof(plain));
		const char *token = fernet_seal(&arena, key(), 1, iv, (struct span){plain, n});
		assert_int_equal(strlen(token) % 4, 0);
		assert_true(fernet_open(&arena, key(), 1, TTL_S, token, &out));
		assert_int_equal(out.n, n);
		assert_memory_equal(out.p, plain, n);
	}
}

/* Re-signs `raw`, so that what lies behind the MAC is looked at. */
static const char *
signed_again(uint8_t *raw, size_t n)
{
	crypto_hmac((struct span){key().p, 16}, &(const struct span){raw, n - SHA256_BYTES}, 1, raw + n - SHA256_BYTES);
	const char *text = b64url_text(&arena, (struct span){raw, n});
	return arena_printf(&arena, "%s%s", text, strlen(text) % 4 == 2 ? "==" : strlen(text) % 4 == 3 ? "=" : "");
}

static void
what_is_no_token(void **state)
{
	struct span raw;
	size_t n = strlen(vector);

	(void)state;
	for (size_t i = 0; i < n; i++) { /* one character changed */
		char *token = arena_strdup(&arena, vector);
		token[i] = token[i] == 'A' ? 'B' : 'A';
		if (opens(token, VECTOR_NOW_S))
			fail_msg("character %zu does not count", i);
		token[i] = 0; /* cut there */
		assert_false(opens(token, VECTOR_NOW_S));
	}
	static const char *const bad[] = {"", "=", "==", "====", "%%%%", "gAAA", "hello", " "};
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(opens(bad[i], VECTOR_NOW_S));
	assert_false(opens(arena_strndup(&arena, vector, n - 2), VECTOR_NOW_S)); /* without padding */
	assert_false(opens(arena_printf(&arena, "%s====", vector), VECTOR_NOW_S));
	assert_false(opens(arena_printf(&arena, " %s", vector), VECTOR_NOW_S));
	assert_true(b64url_decode(&arena, vector, n - 2, &raw));
	uint8_t copy[200];
	memcpy(copy, raw.p, raw.n);
	copy[0] = 0x81;
	assert_false(opens(signed_again(copy, raw.n), VECTOR_NOW_S)); /* another version */
	memcpy(copy, raw.p, raw.n);
	assert_true(opens(signed_again(copy, raw.n), VECTOR_NOW_S));
	copy[9] ^= 1; /* the IV flips the first plain byte, not the padding */
	assert_true(opens(signed_again(copy, raw.n), VECTOR_NOW_S));
	copy[9 + 15] ^= 0x77; /* the padding byte */
	assert_false(opens(signed_again(copy, raw.n), VECTOR_NOW_S));
	memcpy(copy, raw.p, raw.n);
	assert_false(opens(signed_again(copy, raw.n - 1), VECTOR_NOW_S));	  /* no whole block */
	assert_false(opens(signed_again(copy, 25 + SHA256_BYTES), VECTOR_NOW_S)); /* no block at all */
}

static void
texts_are_bound_to_their_place(void **state)
{
	static const char *const old_env[] = {"ENV=dev", "MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-old",
		"SECRET_KEY=a-secret-a", "QR_SIGNING_SECRET=b-secret-b", "TOKEN_PEPPER=c", "ADMIN_PASSWORD=x", NULL};
	static const char *const new_env[] = {"ENV=dev",
		"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-new,0123456789abcdef0123456789abcdef-old",
		"SECRET_KEY=a-secret-a", "QR_SIGNING_SECRET=b-secret-b", "TOKEN_PEPPER=c", "ADMIN_PASSWORD=x", NULL};
	const char *const *envs[] = {old_env, new_env};
	struct server srv = {.source = source_system};
	const char *message = "", *token = NULL, *key_id = NULL;
	struct ctx cx;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct config *conf = conf_load(envs[i], NULL, &message);
		if (!conf)
			fail_msg("%s", message);
		struct keys *keys = keys_open(conf);
		srv.conf = conf;
		srv.keys = keys;
		ctx_init(&cx, &arena, &srv);
		if (i == 0) {
			token = sealed_text(&cx, "totp", "user-1", "JBSWY3DP\nX", &key_id);
			key_id = arena_strdup(&arena, key_id);
		}
		assert_string_equal(sealed_open(&cx, key_id, "totp", "user-1", token), "JBSWY3DP\nX");
		assert_string_equal(sealed_open(&cx, NULL, "totp", "user-1", token), "JBSWY3DP\nX");
		assert_null(sealed_open(&cx, key_id, "totp", "user-2", token));
		assert_null(sealed_open(&cx, key_id, "mail", "user-1", token));
		assert_null(sealed_open(&cx, "00000000", "totp", "user-1", token));
		assert_null(sealed_open(&cx, NULL, "totp", "user-1", NULL));
		assert_null(sealed_open(&cx, NULL, "totp", "user-1", vector));
		assert_null(strstr(token, "JBSWY3DP"));
		keys_close(keys);
		conf_free(conf);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(specification, reset),
		cmocka_unit_test_teardown(specification_of_the_invalid, reset),
		cmocka_unit_test_teardown(age, reset),
		cmocka_unit_test_teardown(every_length, reset),
		cmocka_unit_test_teardown(what_is_no_token, reset),
		cmocka_unit_test_teardown(texts_are_bound_to_their_place, reset),
	};

	return cmocka_run_group_tests_name("core_fernet", tests, NULL, NULL);
}
