/*
 * Keys.  Each configured secret is a list, current first; every use derives its own key from each of them by HKDF, so a key for
 * one use is worth nothing for another.  A key is named by the first 8 hex digits of a hash of its secret: rows and tokens keep
 * that id, so a retired secret is simply not found.
 */
#ifndef MUSTER_CORE_KEYS_H
#define MUSTER_CORE_KEYS_H

#include "core/conf.h"
#include "core/crypto.h"

enum key_use {
	KEY_ACCESS = 1,  /* SECRET_KEY: access tokens */
	KEY_MFA_PENDING, /* SECRET_KEY */
	KEY_CLAIM,       /* QR_SIGNING_SECRET */
	KEY_DEVICE,      /* TOKEN_PEPPER: known-device tokens */
	KEY_DISPLAY,     /* QR_SIGNING_SECRET: projector tokens */
	KEY_DECOY,       /* SECRET_KEY: ids and records of accounts that are not there */
	KEY_QR,          /* QR_SIGNING_SECRET: the payload's MAC */
	KEY_CODE,        /* QR_SIGNING_SECRET: typed short codes and nonces */
	KEY_TOKEN,       /* TOKEN_PEPPER: stored hashes of opaque secrets */
	KEY_SUCCESSOR,   /* TOKEN_PEPPER: refresh successors */
	KEY_FERNET,      /* MFA_ENCRYPTION_KEY */
	KEY_AUDIT,       /* SECRET_KEY, and behind it SECRET_KEY_RETIRED: audit seals */
	KEY_CLIENT,      /* SECRET_KEY: MACs of network, user agent, e-mail for bindings and limits */
	KEY_DEVICE_ID,   /* TOKEN_PEPPER: stored hashes of the devices that students mark with */
	KEY_CHALLENGE,   /* SECRET_KEY: challenges for a device's key */
	KEY__MAX
};

struct key {
	char id[9];
	uint8_t bytes[KEY_BYTES];
};
struct keys; /* immutable after keys_open() */

struct keys *keys_open(const struct config *conf);
void keys_close(struct keys *k); /* wipes */

const struct key *key_current(const struct keys *k, enum key_use use);
const struct key *key_find(const struct keys *k, enum key_use use, const char *id); /* NULL: retired or foreign */
size_t key_count(const struct keys *k, enum key_use use);
const struct key *key_nth(const struct keys *k, enum key_use use, size_t n); /* 0 is the current one */
struct span key_span(const struct key *k);

#endif
