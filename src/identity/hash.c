/*
 * The schemes themselves are libxcrypt's, libargon2's and OpenSSL's; here is only what passlib writes around them.
 *
 * Bounds come before work: a stored text whose parameters exceed them is never computed, since an imported row could otherwise
 * stop the hash lane.  A plain bcrypt hash never matches a password over 72 bytes, though the work is done: bcrypt would compare
 * its first 72 bytes only.  Digests are compared in constant time; passwords and keys are wiped.  Argon2 wants megabytes and
 * perhaps threads for each run: that there are none is not the same as a wrong password.
 */
#include "identity/hash.h"

#include <argon2.h>
#include <crypt.h>
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/fault.h"

enum { BCRYPT_SALT_CHARS = 22, BCRYPT_DIGEST_CHARS = 31, BCRYPT_TEXT_CHARS = 60, DIGEST_BYTES = 32, SETTING_MAX = 32 };

/* --- taking texts apart ---- */

/* A decimal without sign or leading zero within [min, max]; moves *p behind it. */
static bool
take_int(const char **p, int64_t min, int64_t max, int64_t *ret)
{
	int64_t v = 0;
	const char *s = *p;

	if (!isdigit((uint8_t)*s) || (*s == '0' && isdigit((uint8_t)s[1])))
		return false;
	for (; isdigit((uint8_t)*s); s++) {
		v = v * 10 + (*s - '0');
		if (v > max)
			return false;
	}
	*p = s;
	*ret = v;
	return v >= min;
}

static bool
take(const char **p, const char *literal)
{
	size_t n = strlen(literal);

	if (strncmp(*p, literal, n) != 0)
		return false;
	*p += n;
	return true;
}

/* Characters of [./0-9A-Za-z] (and, where `plus`, '+'), until '$' or the end. */
static struct span
take_word(const char **p, bool plus)
{
	const char *s = *p;

	while (isalnum((uint8_t)*s) || *s == '.' || *s == '/' || (plus && *s == '+'))
		s++;
	struct span word = {(const uint8_t *)*p, (size_t)(s - *p)};
	*p = s;
	return word;
}

static bool
parse_bcrypt(const char *stored, struct hash *h)
{
	const char *p = stored + 4;

	h->scheme = SCHEME_BCRYPT;
	h->minor = stored[2];
	if (!strchr("aby", h->minor) || strlen(stored) != BCRYPT_TEXT_CHARS || !isdigit((uint8_t)p[0]) || !isdigit((uint8_t)p[1]))
		return false;
	h->cost = (p[0] - '0') * 10 + (p[1] - '0');
	p += 2;
	if (!take(&p, "$"))
		return false;
	h->params_n = (size_t)(p - stored);
	struct span rest = take_word(&p, false);
	h->salt_text = (struct span){rest.p, BCRYPT_SALT_CHARS};
	h->digest_text = (struct span){rest.p + BCRYPT_SALT_CHARS, BCRYPT_DIGEST_CHARS};
	return *p == 0 && rest.n == BCRYPT_SALT_CHARS + BCRYPT_DIGEST_CHARS && h->cost >= BCRYPT_COST_MIN &&
	       h->cost <= BCRYPT_COST_MAX;
}

static bool
parse_bcrypt_sha256(const char *stored, const char *p, struct hash *h)
{
	h->scheme = SCHEME_BCRYPT_SHA256;
	h->version = take(&p, "v=2,t=") ? 2 : 1;
	if (!take(&p, "2") || !strchr("aby", *p) || *p == 0)
		return false;
	h->minor = *p++;
	if (!take(&p, h->version == 2 ? ",r=" : ",") || !take_int(&p, BCRYPT_COST_MIN, BCRYPT_COST_MAX, &h->cost) ||
		!take(&p, "$"))
		return false;
	h->params_n = (size_t)(p - stored);
	h->salt_text = take_word(&p, false);
	if (!take(&p, "$"))
		return false;
	h->digest_text = take_word(&p, false);
	return *p == 0 && h->salt_text.n == BCRYPT_SALT_CHARS && h->digest_text.n == BCRYPT_DIGEST_CHARS;
}

/* base64 of 8 to HASH_SALT_MAX bytes, without padding */
static bool
b64_length_fits(size_t n)
{
	return n % 4 != 1 && n * 3 / 4 >= 8 && n * 3 / 4 <= HASH_SALT_MAX;
}

static bool
parse_argon2(const char *stored, const char *p, struct hash *h)
{
	h->scheme = SCHEME_ARGON2ID;
	if (!take(&p, "v=19$m=") || !take_int(&p, 8, ARGON2_MEMORY_MAX_KIB, &h->memory_kib) || !take(&p, ",t=") ||
		!take_int(&p, 1, ARGON2_PASSES_MAX, &h->cost) || !take(&p, ",p=") ||
		!take_int(&p, 1, ARGON2_LANES_MAX, &h->lanes) || !take(&p, "$"))
		return false;
	h->params_n = (size_t)(p - stored);
	h->salt_text = take_word(&p, true);
	if (!take(&p, "$"))
		return false;
	h->digest_text = take_word(&p, true);
	return *p == 0 && b64_length_fits(h->salt_text.n) && b64_length_fits(h->digest_text.n) && h->memory_kib >= 8 * h->lanes;
}

static bool
parse_pbkdf2(const char *stored, const char *p, struct hash *h)
{
	h->scheme = SCHEME_PBKDF2;
	if (!take_int(&p, 1, PBKDF2_ROUNDS_MAX, &h->cost) || !take(&p, "$"))
		return false;
	h->params_n = (size_t)(p - stored);
	h->salt_text = take_word(&p, false);
	if (!take(&p, "$"))
		return false;
	h->digest_text = take_word(&p, false);
	return *p == 0 && h->salt_text.n > 0 && h->salt_text.n % 4 != 1 && h->salt_text.n * 3 / 4 <= HASH_SALT_MAX &&
	       h->digest_text.n == B64_SHA256_CHARS;
}

bool
hash_parse(const char *stored, struct hash *ret)
{
	struct hash h = {0};
	const char *p = stored;
	bool good;

	if (!stored || strnlen(stored, HASH_TEXT_MAX) == HASH_TEXT_MAX)
		return false;
	if (take(&p, "$2") && *p && p[1] == '$')
		good = parse_bcrypt(stored, &h);
	else if (p = stored, take(&p, "$bcrypt-sha256$"))
		good = parse_bcrypt_sha256(stored, p, &h);
	else if (take(&p, "$argon2id$"))
		good = parse_argon2(stored, p, &h);
	else if (take(&p, "$pbkdf2-sha256$"))
		good = parse_pbkdf2(stored, p, &h);
	else
		good = false;
	if (good)
		*ret = h;
	return good;
}

/* --- running a scheme ---- */

struct crypt_room {
	struct crypt_data *data; /* 32 KB: too much for the stack of a pool's thread */
};

static void
room_release(struct crypt_room *r)
{
	crypto_wipe(r->data, sizeof(*r->data));
	free(r->data);
}

/* The 31 characters of bcrypt for `setting` ("$2b$12$" and 22 of salt). */
static bool
bcrypt_digest(const char *setting, const char *password, char ret[BCRYPT_DIGEST_CHARS])
{
	CLEANUP(room_release) struct crypt_room room = {calloc(1, sizeof(struct crypt_data))};

	if (!room.data)
		BUG("out of memory");
	const char *text = crypt_r(password, setting, room.data);
	if (!text || strlen(text) != BCRYPT_TEXT_CHARS)
		return false;
	memcpy(ret, text + BCRYPT_TEXT_CHARS - BCRYPT_DIGEST_CHARS, BCRYPT_DIGEST_CHARS);
	return true;
}

/* $2a$ and $2y$ of passlib mean what $2b$ means; crypt's own $2a$ adds a counter-measure of its own. */
static void
bcrypt_setting(int64_t cost, struct span salt, char ret[SETTING_MAX])
{
	snprintf(ret, SETTING_MAX, "$2b$%02d$%.*s", (int)cost, (int)salt.n, (const char *)salt.p);
}

static void
bcrypt_prehash(int version, struct span salt, const char *password, char ret[2 * DIGEST_BYTES])
{
	uint8_t digest[SHA256_BYTES];

	if (version == 1) {
		crypto_sha256(span_str(password), digest);
	} else {
		const struct span parts[] = {span_str(password)};
		crypto_hmac(salt, parts, 1, digest);
	}
	EVP_EncodeBlock((unsigned char *)ret, digest, sizeof(digest));
	crypto_wipe(digest, sizeof(digest));
}

static bool
bcrypt_matches(const struct hash *h, const char *password)
{
	char setting[SETTING_MAX], digest[BCRYPT_DIGEST_CHARS], key[2 * DIGEST_BYTES];
	bool whole = true, ran;

	bcrypt_setting(h->cost, h->salt_text, setting);
	if (h->scheme == SCHEME_BCRYPT) {
		whole = strlen(password) <= BCRYPT_BYTES_MAX;
		ran = bcrypt_digest(setting, password, digest);
	} else {
		bcrypt_prehash(h->version, h->salt_text, password, key);
		ran = bcrypt_digest(setting, key, digest);
		crypto_wipe(key, sizeof(key));
	}
	return ran && crypto_equal(digest, h->digest_text.p, BCRYPT_DIGEST_CHARS) && whole;
}

/* passlib's base64: '.' for '+', no padding.  False on stray bits too. */
static bool
ab64_decode(struct span in, uint8_t ret[HASH_SALT_MAX], size_t *ret_n)
{
	size_t n = 0;
	uint32_t bits = 0;
	int have = 0;

	for (size_t i = 0; i < in.n; i++) {
		int c = in.p[i], v;
		if (isupper(c))
			v = c - 'A';
		else if (islower(c))
			v = c - 'a' + 26;
		else if (isdigit(c))
			v = c - '0' + 52;
		else
			v = c == '.' ? 62 : 63;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			if (n == HASH_SALT_MAX)
				return false;
			have -= 8;
			ret[n++] = (uint8_t)(bits >> have);
		}
	}
	*ret_n = n;
	return (bits & ((1u << have) - 1)) == 0;
}

static char *
ab64_text(struct arena *a, struct span in)
{
	char *p = arena_alloc(a, in.n / 3 * 4 + 5, 1);

	EVP_EncodeBlock((unsigned char *)p, in.p, (int)in.n);
	for (char *q = p; *q; q++) {
		if (*q == '+')
			*q = '.';
		else if (*q == '=')
			*q = 0;
	}
	return p;
}

static void
pbkdf2(const char *password, struct span salt, int64_t rounds, uint8_t ret[DIGEST_BYTES])
{
	if (!PKCS5_PBKDF2_HMAC(
		    password, (int)strlen(password), salt.p, (int)salt.n, (int)rounds, EVP_sha256(), DIGEST_BYTES, ret))
		BUG("PBKDF2 failed");
}

static bool
pbkdf2_matches(const struct hash *h, const char *password)
{
	uint8_t salt[HASH_SALT_MAX], digest[HASH_SALT_MAX], mine[DIGEST_BYTES];
	size_t salt_n, digest_n;

	if (!ab64_decode(h->salt_text, salt, &salt_n) || !ab64_decode(h->digest_text, digest, &digest_n) ||
		digest_n != DIGEST_BYTES)
		return false;
	pbkdf2(password, (struct span){salt, salt_n}, h->cost, mine);
	bool same = crypto_equal(mine, digest, DIGEST_BYTES);
	crypto_wipe(mine, sizeof(mine));
	return same;
}

static bool
argon2_ran(int rc)
{
	return rc != ARGON2_MEMORY_ALLOCATION_ERROR && rc != ARGON2_THREAD_FAIL;
}

static bool
argon2_matches(const char *stored, const char *password, bool *ret_same)
{
	int rc = FAULT("argon2.memory") ? ARGON2_MEMORY_ALLOCATION_ERROR : argon2id_verify(stored, password, strlen(password));

	*ret_same = rc == ARGON2_OK;
	return argon2_ran(rc);
}

bool
hash_matches(const char *stored, const struct hash *h, const char *password, bool *ret_same)
{
	switch (h->scheme) {
	case SCHEME_BCRYPT:
	case SCHEME_BCRYPT_SHA256:
		*ret_same = bcrypt_matches(h, password);
		return true;
	case SCHEME_ARGON2ID:
		return argon2_matches(stored, password, ret_same);
	case SCHEME_PBKDF2:
		*ret_same = pbkdf2_matches(h, password);
		return true;
	case SCHEME_UNSET:
		break;
	}
	BUG("scheme %d", (int)h->scheme);
}

/* --- writing ---- */

static char *
make_bcrypt(struct arena *a, bool prehash, int64_t cost, const char *password)
{
	uint8_t random[HASH_SALT_BYTES];
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], digest[BCRYPT_DIGEST_CHARS], key[2 * DIGEST_BYTES];
	bool ran;

	crypto_random(random, sizeof(random));
	if (!crypt_gensalt_rn("$2b$", (unsigned long)cost, (const char *)random, sizeof(random), setting, sizeof(setting)))
		BUG("no bcrypt setting for cost %d", (int)cost);
	struct span salt = {(const uint8_t *)setting + 7, BCRYPT_SALT_CHARS};
	if (prehash) {
		bcrypt_prehash(2, salt, password, key);
		ran = bcrypt_digest(setting, key, digest);
		crypto_wipe(key, sizeof(key));
	} else {
		ran = bcrypt_digest(setting, password, digest);
	}
	if (!ran)
		BUG("bcrypt failed");
	if (!prehash)
		return arena_printf(a, "%.29s%.*s", setting, BCRYPT_DIGEST_CHARS, digest);
	return arena_printf(a, "$bcrypt-sha256$v=2,t=2b,r=%d$%.*s$%.*s", (int)cost, (int)salt.n, (const char *)salt.p,
		BCRYPT_DIGEST_CHARS, digest);
}

static char *
make_argon2(struct arena *a, const char *password)
{
	uint8_t salt[HASH_SALT_BYTES];
	char text[HASH_TEXT_MAX];

	crypto_random(salt, sizeof(salt));
	int rc = FAULT("argon2.memory") ? ARGON2_MEMORY_ALLOCATION_ERROR
					: argon2id_hash_encoded(ARGON2_PASSES, ARGON2_MEMORY_KIB, ARGON2_LANES, password,
						  strlen(password), salt, sizeof(salt), DIGEST_BYTES, text, sizeof(text));
	if (!argon2_ran(rc))
		return NULL;
	if (rc != ARGON2_OK)
		BUG("argon2: %s", argon2_error_message(rc));
	return arena_strdup(a, text);
}

static char *
make_pbkdf2(struct arena *a, const char *password)
{
	uint8_t salt[HASH_SALT_BYTES], digest[DIGEST_BYTES];
	struct span salt_span = {salt, sizeof(salt)};

	crypto_random(salt, sizeof(salt));
	pbkdf2(password, salt_span, PBKDF2_ROUNDS, digest);
	return arena_printf(a, "$pbkdf2-sha256$%d$%s$%s", PBKDF2_ROUNDS, ab64_text(a, salt_span),
		ab64_text(a, (struct span){digest, sizeof(digest)}));
}

char *
hash_make(struct arena *a, enum hash_scheme scheme, int64_t bcrypt_cost, const char *password)
{
	switch (scheme) {
	case SCHEME_BCRYPT:
	case SCHEME_BCRYPT_SHA256:
		return make_bcrypt(a, scheme == SCHEME_BCRYPT_SHA256, bcrypt_cost, password);
	case SCHEME_ARGON2ID:
		return make_argon2(a, password);
	case SCHEME_PBKDF2:
		return make_pbkdf2(a, password);
	case SCHEME_UNSET:
		break;
	}
	BUG("scheme %d", (int)scheme);
}

/* The last character of a bcrypt salt carries two bits, that of its digest four; '.' is the zero that fits both. */
char *
hash_fake(struct arena *a, const char *params, const uint8_t seed[32])
{
	uint8_t block[2 * DIGEST_BYTES];
	struct hash h;
	char *text;

	for (int i = 0; i < 2; i++) {
		uint8_t n = (uint8_t)i;
		const struct span parts[] = {{&n, 1}};
		crypto_hmac((struct span){seed, 32}, parts, 1, block + i * DIGEST_BYTES);
	}
	char *salt = ab64_text(a, (struct span){block, HASH_SALT_BYTES});
	char *digest = ab64_text(a, (struct span){block + DIGEST_BYTES, DIGEST_BYTES});
	if (str_starts(params, "$2"))
		text = arena_printf(a, "%s%.21s.%.30s.", params, salt, digest);
	else if (str_starts(params, "$bcrypt"))
		text = arena_printf(a, "%s%.21s.$%.30s.", params, salt, digest);
	else
		text = arena_printf(a, "%s%s$%s", params, salt, digest);
	for (char *p = text + strlen(params); str_starts(params, "$argon2") && *p; p++)
		if (*p == '.')
			*p = '+';
	return hash_parse(text, &h) ? text : NULL;
}
