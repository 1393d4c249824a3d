/*
 * Keys: every configured secret times every use, derived once at the start.
 *
 * KEY_FERNET is derived like the others: the tokens under it are ours alone.
 */
#include "core/keys.h"

#include <stdlib.h>
#include <string.h>

struct keys {
	struct key key[KEY__MAX][2 * SECRETS_MAX];
	size_t count[KEY__MAX];
};

/* The names are part of every key: changing one retires all that was signed or stored under it. */
static const struct {
	const char *info;
	size_t secret;  /* offset of the list in struct config */
	size_t retired; /* of another list, behind it: for verifying only; 0: none (no list is a config's first member) */
} uses[KEY__MAX] = {
	[KEY_ACCESS] = {"muster access", offsetof(struct config, secret_key)},
	[KEY_MFA_PENDING] = {"muster mfa_pending", offsetof(struct config, secret_key)},
	[KEY_CLAIM] = {"muster claim", offsetof(struct config, qr_signing_secret)},
	[KEY_DEVICE] = {"muster device", offsetof(struct config, token_pepper)},
	[KEY_DISPLAY] = {"muster display", offsetof(struct config, qr_signing_secret)},
	[KEY_DECOY] = {"muster decoy", offsetof(struct config, secret_key)},
	[KEY_QR] = {"muster qr", offsetof(struct config, qr_signing_secret)},
	[KEY_CODE] = {"muster code", offsetof(struct config, qr_signing_secret)},
	[KEY_TOKEN] = {"muster token", offsetof(struct config, token_pepper)},
	[KEY_SUCCESSOR] = {"muster successor", offsetof(struct config, token_pepper)},
	[KEY_FERNET] = {"muster fernet", offsetof(struct config, mfa_encryption_key)},
	[KEY_AUDIT] = {"muster audit", offsetof(struct config, secret_key), offsetof(struct config, secret_key_retired)},
	[KEY_CLIENT] = {"muster client", offsetof(struct config, secret_key)},
	[KEY_DEVICE_ID] = {"muster device id", offsetof(struct config, token_pepper)},
	[KEY_CHALLENGE] = {"muster challenge", offsetof(struct config, secret_key)},
};

/* The keys of one use from one list, behind those that are there. */
static void
derive(struct keys *k, enum key_use use, const struct conf_list *l)
{
	if (l->count > SECRETS_MAX)
		BUG("%zu secrets", l->count);
	for (size_t i = 0; i < l->count; i++) {
		struct key *key = &k->key[use][k->count[use]];
		uint8_t hash[KEY_BYTES];
		crypto_hkdf(span_str(l->items[i]), "muster key id", hash);
		hex_encode((struct span){hash, 4}, key->id);
		if (key_find(k, use, key->id)) /* the same secret twice */
			continue;
		crypto_hkdf(span_str(l->items[i]), uses[use].info, key->bytes);
		k->count[use]++;
	}
}

struct keys *
keys_open(const struct config *conf)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (!k)
		BUG("out of memory");
	for (int use = 1; use < KEY__MAX; use++) {
		derive(k, (enum key_use)use, (const void *)((const char *)conf + uses[use].secret));
		if (uses[use].retired)
			derive(k, (enum key_use)use, (const void *)((const char *)conf + uses[use].retired));
	}
	return k;
}

void
keys_close(struct keys *k)
{
	if (!k)
		return;
	crypto_wipe(k, sizeof(*k));
	free(k);
}

static void
check_use(enum key_use use)
{
	if ((int)use <= 0 || use >= KEY__MAX)
		BUG("key use %d", (int)use);
}

size_t
key_count(const struct keys *k, enum key_use use)
{
	check_use(use);
	return k->count[use];
}

const struct key *
key_nth(const struct keys *k, enum key_use use, size_t n)
{
	if (n >= key_count(k, use))
		BUG("key %zu of use %d", n, (int)use);
	return &k->key[use][n];
}

const struct key *
key_current(const struct keys *k, enum key_use use)
{
	return key_nth(k, use, 0);
}

const struct key *
key_find(const struct keys *k, enum key_use use, const char *id)
{
	for (size_t i = 0; i < key_count(k, use); i++)
		if (strcmp(k->key[use][i].id, id) == 0)
			return &k->key[use][i];
	return NULL;
}

struct span
key_span(const struct key *k)
{
	return (struct span){k->bytes, sizeof(k->bytes)};
}
