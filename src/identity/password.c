/*
 * Password policy, and which format is written.
 *
 * A miss must cost what a hit costs: password_decoy() makes, for an address that has no hash, a text of the schemes that the
 * table really holds, always the same one for the same address.  The pick goes by the share of each scheme, not by counts, so a
 * growing table moves only those few addresses that lie at a border.
 */
#include "identity/password.h"

#include <ctype.h>
#include <string.h>

#include "core/asset.h"
#include "core/crypto.h"
#include "identity/hash.h"

enum { CONF_HASH_BCRYPT = 1, CONF_HASH_ARGON2ID, CONF_HASH_PBKDF2 }; /* PASSWORD_HASH's choices in their order */

/* --- policy ---- */

static const struct asset_blob *
common_list(void)
{
	for (const struct asset_blob *b = asset_blobs; b->name; b++)
		if (strcmp(b->name, "passwords.txt") == 0)
			return b;
	BUG("passwords.txt is not embedded");
}

/* Compares `word` with the line at `line`, as bytes; *ret_next is where the next line begins. */
static int
compare_line(const char *word, const unsigned char *line, const unsigned char *end, const unsigned char **ret_next)
{
	const unsigned char *eol = memchr(line, '\n', (size_t)(end - line));
	size_t n = (size_t)((eol ? eol : end) - line), word_n = strlen(word);
	int c = memcmp(word, line, n < word_n ? n : word_n);

	*ret_next = eol ? eol + 1 : end;
	return c ? c : word_n < n ? -1 : word_n > n;
}

bool
password_common(const char *password)
{
	enum { WORD_MAX = 128 };
	const struct asset_blob *list = common_list();
	const unsigned char *low = list->data, *high = list->data + list->size, *end = high, *next;
	char word[WORD_MAX + 1];
	size_t n = strlen(password);

	if (n > WORD_MAX)
		return false;
	for (size_t i = 0; i <= n; i++)
		word[i] = (char)tolower((uint8_t)password[i]);
	while (low < high) {
		const unsigned char *line = low + (high - low) / 2;
		while (line > low && line[-1] != '\n')
			line--;
		int c = compare_line(word, line, end, &next);
		if (c == 0)
			return true;
		if (c < 0)
			high = line;
		else
			low = next;
	}
	return false;
}

struct classes {
	bool upper, lower, digit, special;
};

static struct classes
classes_of(const char *password)
{
	struct classes c = {0};

	for (const char *p = password; *p; p++) {
		if (isupper((uint8_t)*p))
			c.upper = true;
		else if (islower((uint8_t)*p))
			c.lower = true;
		else if (isdigit((uint8_t)*p))
			c.digit = true;
		else
			c.special = true;
	}
	return c;
}

static void
check_classes(struct ctx *cx, const char *field, const char *password)
{
	struct classes c = classes_of(password);

	if (!c.upper)
		error_field(cx, field, "needs an upper-case letter");
	if (!c.lower)
		error_field(cx, field, "needs a lower-case letter");
	if (!c.digit)
		error_field(cx, field, "needs a digit");
	if (!c.special)
		error_field(cx, field, "needs a special character");
}

/* The address, the part before its '@', or the name, whatever the case. */
static bool
is_own_word(struct arena *a, const char *password, const char *email, const char *full_name)
{
	const char *p = str_lower(a, password);

	if (full_name && strcmp(p, str_lower(a, full_name)) == 0)
		return true;
	if (!email)
		return false;
	const char *lower = str_lower(a, email), *at = strrchr(lower, '@');
	size_t local = at ? (size_t)(at - lower) : strlen(lower);
	return strcmp(p, lower) == 0 || (strlen(p) == local && strncmp(p, lower, local) == 0);
}

static const char *
letters_of(struct arena *a, const char *text)
{
	struct buf letters;

	buf_init(&letters, a, 64);
	for (const char *c = str_lower(a, text); *c; c++)
		if (*c >= 'a' && *c <= 'z')
			buf_chr(&letters, *c);
	return buf_cstr(&letters);
}

/* Everybody's first idea: the service's name with a few digits and signs, or its address. */
static bool
is_service_name(struct ctx *cx, const char *password)
{
	const struct config *conf = cx->srv->conf;
	const char *host = strstr(conf->public_base_url, "://"), *core = letters_of(cx->arena, password);

	if (host && strcmp(str_lower(cx->arena, password), str_lower(cx->arena, host + 3)) == 0)
		return true;
	return *core && (strcmp(core, "muster") == 0 || strcmp(core, letters_of(cx->arena, conf->mfa_totp_issuer)) == 0);
}

enum err
password_check(struct ctx *cx, enum password_policy policy, const char *field, const char *password, const char *email,
	const char *full_name)
{
	size_t n = strlen(password);

	if (n < PASSWORD_MIN)
		error_field(cx, field, "needs at least %d characters", PASSWORD_MIN);
	if (n > PASSWORD_MAX)
		error_field(cx, field, "may have at most %d bytes", PASSWORD_MAX);
	if (policy == POLICY_CLASSES)
		check_classes(cx, field, password);
	else if (policy != POLICY_LENGTH)
		BUG("password policy %d", (int)policy);
	if (password_common(password))
		error_field(cx, field, "is among the most common passwords");
	if (is_own_word(cx->arena, password, email, full_name))
		error_field(cx, field, "must not be the e-mail address or the name");
	if (is_service_name(cx, password))
		error_field(cx, field, "must not be the name of this service");
	return error_has_fields(cx) ? fail(cx, ERR_VALIDATION, NULL) : OK;
}

/* --- formats ---- */

static const char no_memory[] = "no memory to run the password hash in";

static char *
make_hash(struct arena *a, const struct config *conf, const char *password)
{
	switch (conf->password_hash) {
	case CONF_HASH_BCRYPT:
		return hash_make(a, strlen(password) > BCRYPT_BYTES_MAX ? SCHEME_BCRYPT_SHA256 : SCHEME_BCRYPT,
			conf->bcrypt_rounds, password);
	case CONF_HASH_ARGON2ID:
		return hash_make(a, SCHEME_ARGON2ID, 0, password);
	case CONF_HASH_PBKDF2:
		return hash_make(a, SCHEME_PBKDF2, 0, password);
	}
	BUG("PASSWORD_HASH %d", conf->password_hash);
}

enum err
password_hash(struct ctx *cx, const char *password, const char **ret)
{
	const char *made = make_hash(cx->arena, cx->srv->conf, password);

	if (!made)
		return fail_internal(cx, ERR_UNAVAILABLE, "%s", no_memory);
	*ret = made;
	return OK;
}

enum err
password_verify(struct ctx *cx, const char *hash, const char *password, bool *ret_same)
{
	struct hash h;
	bool same = false;

	if (hash_parse(hash, &h) && !hash_matches(hash, &h, password, &same))
		return fail_internal(cx, ERR_UNAVAILABLE, "%s", no_memory);
	*ret_same = same;
	return OK;
}

bool
password_stale(const struct config *conf, const char *hash)
{
	struct hash h;

	if (!hash_parse(hash, &h))
		return true;
	switch (conf->password_hash) {
	case CONF_HASH_BCRYPT:
		return (h.scheme != SCHEME_BCRYPT && (h.scheme != SCHEME_BCRYPT_SHA256 || h.version != 2)) || h.minor != 'b' ||
		       h.cost != conf->bcrypt_rounds;
	case CONF_HASH_ARGON2ID:
		return h.scheme != SCHEME_ARGON2ID || h.memory_kib != ARGON2_MEMORY_KIB || h.cost != ARGON2_PASSES ||
		       h.lanes != ARGON2_LANES;
	case CONF_HASH_PBKDF2:
		return h.scheme != SCHEME_PBKDF2 || h.cost != PBKDF2_ROUNDS;
	}
	BUG("PASSWORD_HASH %d", conf->password_hash);
}

bool
password_hash_acceptable(const char *hash, bool dev)
{
	struct hash h;

	if (!hash_parse(hash, &h))
		return false;
	bool is_bcrypt = h.scheme == SCHEME_BCRYPT || h.scheme == SCHEME_BCRYPT_SHA256;
	return dev || !is_bcrypt || h.cost >= BCRYPT_COST_WEAK;
}

/* --- decoys ---- */

static char *
present_params(struct arena *a, const struct config *conf)
{
	switch (conf->password_hash) {
	case CONF_HASH_BCRYPT:
		return arena_printf(a, "$2b$%02d$", (int)conf->bcrypt_rounds);
	case CONF_HASH_ARGON2ID:
		return arena_printf(a, "$argon2id$v=19$m=%d,t=%d,p=%d$", ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES);
	case CONF_HASH_PBKDF2:
		return arena_printf(a, "$pbkdf2-sha256$%d$", PBKDF2_ROUNDS);
	}
	BUG("PASSWORD_HASH %d", conf->password_hash);
}

char *
password_decoy(struct arena *a, const struct config *conf, const struct password_mix *mix, const uint8_t draw[32])
{
	int64_t total = 0, passed = 0;
	uint32_t point = (uint32_t)draw[0] << 24 | (uint32_t)draw[1] << 16 | (uint32_t)draw[2] << 8 | draw[3];
	char *text = NULL;

	for (int i = 0; i < mix->n; i++)
		total += mix->weight[i];
	for (int i = 0; i < mix->n && !text; i++) {
		passed += mix->weight[i];
		if ((double)point / 4294967296.0 * (double)total < (double)passed)
			text = hash_fake(a, mix->sample[i], draw);
	}
	if (!text)
		text = hash_fake(a, present_params(a, conf), draw);
	if (!text)
		BUG("no decoy for PASSWORD_HASH %d", conf->password_hash);
	return text;
}
