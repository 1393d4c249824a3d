/*
 * The MAC is compared before anything is decrypted, so a forged token never reaches the padding; and the text form is strict, so
 * that a token has one spelling.
 */
#include "core/fernet.h"

#include <openssl/evp.h>
#include <string.h>

#include "core/ctx.h"

enum { VERSION = 0x80, TIME_AT = 1, IV_AT = 9, BODY_AT = 25, BLOCK = 16, HALF = 16, TOKEN_CHARS_MAX = 16 << 10, SKEW_S = 60 };

static void
release_cipher(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}

/* AES-128-CBC with PKCS #7; false only when the padding is wrong. */
static bool
cipher(bool encrypt, struct span key, const uint8_t *iv, struct span in, uint8_t *ret, size_t *ret_n)
{
	EVP_CIPHER_CTX *c CLEANUP(release_cipher) = EVP_CIPHER_CTX_new();
	int n = 0, last = 0;

	if (!c || EVP_CipherInit_ex(c, EVP_aes_128_cbc(), NULL, key.p + HALF, iv, encrypt) != 1 ||
		EVP_CipherUpdate(c, ret, &n, in.p, (int)in.n) != 1)
		BUG("AES does not work");
	if (EVP_CipherFinal_ex(c, ret + n, &last) != 1)
		return false;
	*ret_n = (size_t)(n + last);
	return true;
}

static void
mac_of(struct span key, const uint8_t *token, size_t n, uint8_t ret[SHA256_BYTES])
{
	crypto_hmac((struct span){key.p, HALF}, &(const struct span){token, n}, 1, ret);
}

char *
fernet_seal(struct arena *a, struct span key, int64_t now_s, const uint8_t iv[FERNET_IV_BYTES], struct span plain)
{
	uint8_t *token = arena_new(a, uint8_t, BODY_AT + plain.n + BLOCK + SHA256_BYTES);
	size_t n;

	if (key.n != FERNET_KEY_BYTES)
		BUG("a Fernet key of %zu bytes", key.n);
	token[0] = VERSION;
	for (int i = 0; i < 8; i++)
		token[TIME_AT + i] = (uint8_t)((uint64_t)now_s >> (56 - 8 * i));
	memcpy(token + IV_AT, iv, FERNET_IV_BYTES);
	if (!cipher(true, key, iv, plain, token + BODY_AT, &n))
		BUG("AES does not encrypt");
	n += BODY_AT;
	mac_of(key, token, n, token + n);
	const char *text = b64url_text(a, (struct span){token, n + SHA256_BYTES});
	return arena_printf(a, "%s%s", text, &"==="[strlen(text) % 4 ? strlen(text) % 4 - 1 : 3]);
}

/* base64url with exactly the padding that its length asks for. */
static bool
decode(struct arena *a, const char *token, struct span *ret)
{
	size_t n = strnlen(token, TOKEN_CHARS_MAX + 1);

	if (n == 0 || n > TOKEN_CHARS_MAX || n % 4 != 0)
		return false;
	for (int i = 0; i < 2 && token[n - 1] == '='; i++)
		n--;
	return b64url_decode(a, token, n, ret);
}

bool
fernet_open(struct arena *a, struct span key, int64_t now_s, int64_t ttl_s, const char *token, struct span *ret)
{
	uint8_t mac[SHA256_BYTES];
	uint64_t at = 0;
	struct span raw;
	size_t n;

	if (key.n != FERNET_KEY_BYTES || !decode(a, token, &raw) || raw.n < BODY_AT + BLOCK + SHA256_BYTES || raw.p[0] != VERSION)
		return false;
	size_t body = raw.n - BODY_AT - SHA256_BYTES;
	mac_of(key, raw.p, raw.n - SHA256_BYTES, mac);
	if (!crypto_equal(mac, raw.p + raw.n - SHA256_BYTES, SHA256_BYTES) || body % BLOCK != 0)
		return false;
	for (int i = 0; i < 8; i++)
		at = at << 8 | raw.p[TIME_AT + i];
	if (ttl_s > 0 && ((int64_t)at > now_s + SKEW_S || (int64_t)at < now_s - ttl_s))
		return false;
	uint8_t *plain = arena_new(a, uint8_t, body + BLOCK);
	if (!cipher(false, key, raw.p + IV_AT, (struct span){raw.p + BODY_AT, body}, plain, &n))
		return false;
	*ret = (struct span){plain, n};
	return true;
}

/* --- texts bound to their place ------------------------------------------------------------------------------------------- */

char *
sealed_text(struct ctx *cx, const char *purpose, const char *subject, const char *text, const char **ret_key_id)
{
	const struct key *key = key_current(cx->srv->keys, KEY_FERNET);
	const char *plain = arena_printf(cx->arena, "%s\n%s\n%s", purpose, subject, text);
	uint8_t iv[FERNET_IV_BYTES];

	random_bytes(cx, iv, sizeof(iv));
	if (ret_key_id)
		*ret_key_id = key->id;
	return fernet_seal(cx->arena, key_span(key), cx->now_us / SECONDS_US, iv, span_str(plain));
}

static const char *
open_under(struct ctx *cx, const struct key *key, const char *head, const char *token)
{
	struct span plain;
	size_t n = strlen(head);

	if (!key || !fernet_open(cx->arena, key_span(key), cx->now_us / SECONDS_US, FERNET_ANY_AGE, token, &plain))
		return NULL;
	if (plain.n < n || memcmp(plain.p, head, n) != 0 || !str_utf8_valid(plain))
		return NULL;
	return arena_strndup(cx->arena, (const char *)plain.p + n, plain.n - n);
}

const char *
sealed_open(struct ctx *cx, const char *key_id, const char *purpose, const char *subject, const char *token)
{
	const char *head = arena_printf(cx->arena, "%s\n%s\n", purpose, subject), *text = NULL;

	if (!token)
		return NULL;
	if (key_id)
		return open_under(cx, key_find(cx->srv->keys, KEY_FERNET, key_id), head, token);
	for (size_t i = 0; i < key_count(cx->srv->keys, KEY_FERNET) && !text; i++)
		text = open_under(cx, key_nth(cx->srv->keys, KEY_FERNET, i), head, token);
	return text;
}
