/*
 * Primitives over OpenSSL 3.
 *
 * HMAC: fetching and keying a context costs more than the hashing of a short message, so each thread keeps the contexts of the
 * keys it used last and only re-initialises them.  Random bytes come out of a buffer per thread that RAND_bytes fills; a byte is
 * wiped when it is handed out, and a forked child starts with an empty buffer.
 */
#include "core/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { KEYED_CONTEXTS = 8, KEYED_KEY_MAX = 64, RANDOM_BUFFER = 4096 };

struct keyed {
	EVP_MAC_CTX *ctx;
	uint64_t used_at; /* in calls; the oldest gives way */
	size_t n;
	uint8_t key[KEYED_KEY_MAX];
};

struct thread_state {
	struct keyed keyed[KEYED_CONTEXTS];
	uint64_t calls;
	uint8_t random[RANDOM_BUFFER];
	size_t random_left; /* unused bytes lie at the end */
	unsigned forks;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static _Thread_local struct thread_state *state_of_thread;
static EVP_MAC *hmac;
static EVP_MD *sha256;
static atomic_uint forks;

static void
state_free(void *arg)
{
	struct thread_state *t = arg;

	for (size_t i = 0; i < KEYED_CONTEXTS; i++)
		EVP_MAC_CTX_free(t->keyed[i].ctx);
	OPENSSL_cleanse(t, sizeof(*t));
	free(t);
	state_of_thread = NULL;
}

static void
in_child(void)
{
	atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void
start(void)
{
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!hmac || !sha256 || pthread_key_create(&thread_key, state_free) != 0 || pthread_atfork(NULL, NULL, in_child) != 0)
		BUG("OpenSSL has no HMAC-SHA256");
}

static struct thread_state *
state(void)
{
	if (state_of_thread)
		return state_of_thread;
	pthread_once(&once, start);
	struct thread_state *t = calloc(1, sizeof(*t));
	if (!t || pthread_setspecific(thread_key, t) != 0)
		BUG("out of memory");
	t->forks = atomic_load_explicit(&forks, memory_order_relaxed);
	state_of_thread = t;
	return t;
}

void
crypto_random(void *ret, size_t n)
{
	struct thread_state *t = state();
	unsigned f = atomic_load_explicit(&forks, memory_order_relaxed);
	uint8_t *to = ret;

	if (t->forks != f) {
		OPENSSL_cleanse(t->random, sizeof(t->random));
		t->random_left = 0;
		t->forks = f;
	}
	while (n) {
		if (!t->random_left) {
			if (RAND_bytes(t->random, sizeof(t->random)) != 1)
				BUG("the random generator failed");
			t->random_left = sizeof(t->random);
		}
		size_t m = n < t->random_left ? n : t->random_left;
		uint8_t *from = t->random + sizeof(t->random) - t->random_left;
		memcpy(to, from, m);
		OPENSSL_cleanse(from, m);
		t->random_left -= m;
		to += m;
		n -= m;
	}
}

void
crypto_sha256(struct span in, uint8_t ret[SHA256_BYTES])
{
	(void)state();
	if (EVP_Digest(in.p, in.n, ret, NULL, sha256, NULL) != 1)
		BUG("SHA-256 failed");
}

static EVP_MAC_CTX *
context_new(struct span key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
	EVP_MAC_CTX *c = EVP_MAC_CTX_new(hmac);

	/* A NULL key would mean "the key of last time" to OpenSSL. */
	if (!c || EVP_MAC_init(c, key.n ? key.p : (const uint8_t *)"", key.n, params) != 1)
		BUG("HMAC cannot be keyed");
	return c;
}

/* A context that is ready for the first byte under `key`. */
static EVP_MAC_CTX *
context_for(struct thread_state *t, struct span key)
{
	struct keyed *oldest = &t->keyed[0];

	t->calls++;
	for (size_t i = 0; i < KEYED_CONTEXTS; i++) {
		struct keyed *k = &t->keyed[i];
		if (k->ctx && k->n == key.n && memcmp(k->key, key.p, key.n) == 0) {
			k->used_at = t->calls;
			if (EVP_MAC_init(k->ctx, NULL, 0, NULL) != 1)
				BUG("HMAC cannot be started again");
			return k->ctx;
		}
		if (k->used_at < oldest->used_at)
			oldest = k;
	}
	EVP_MAC_CTX_free(oldest->ctx);
	oldest->ctx = context_new(key);
	oldest->used_at = t->calls;
	oldest->n = key.n;
	OPENSSL_cleanse(oldest->key, sizeof(oldest->key));
	memcpy(oldest->key, key.p, key.n);
	return oldest->ctx;
}

void
crypto_hmac(struct span key, const struct span *parts, size_t n, uint8_t ret[SHA256_BYTES])
{
	struct thread_state *t = state();
	bool kept = key.n > 0 && key.n <= KEYED_KEY_MAX;
	EVP_MAC_CTX *c = kept ? context_for(t, key) : context_new(key);
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		if (parts[i].n && EVP_MAC_update(c, parts[i].p, parts[i].n) != 1)
			BUG("HMAC failed");
	if (EVP_MAC_final(c, ret, &len, SHA256_BYTES) != 1 || len != SHA256_BYTES)
		BUG("HMAC failed");
	if (!kept)
		EVP_MAC_CTX_free(c);
}

void
crypto_hkdf(struct span secret, const char *info, uint8_t ret[KEY_BYTES])
{
	static const uint8_t salt[SHA256_BYTES]; /* RFC 5869 §2.2: absent means zeros */
	const uint8_t first = 1;
	uint8_t prk[SHA256_BYTES];

	crypto_hmac((struct span){salt, sizeof(salt)}, &secret, 1, prk);
	crypto_hmac((struct span){prk, sizeof(prk)}, (struct span[]){span_str(info), {&first, 1}}, 2, ret);
	crypto_wipe(prk, sizeof(prk));
}

bool
crypto_equal(const void *a, const void *b, size_t n)
{
	return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}

void
crypto_wipe(void *p, size_t n)
{
	if (n)
		OPENSSL_cleanse(p, n);
}
