/*
 * Fernet (github.com/fernet/spec, version 0x80): AES-128-CBC and HMAC-SHA256 under one 32-byte key, the first half of which
 * signs and the second encrypts.  Tokens are base64url with padding, as other Fernet libraries write them.
 *
 * Decryption says whose secret a token is only when its plaintext does: callers bind it (sealed_text()).
 */
#ifndef MUSTER_CORE_FERNET_H
#define MUSTER_CORE_FERNET_H

#include "core/crypto.h"
#include "core/keys.h"

enum { FERNET_IV_BYTES = 16, FERNET_KEY_BYTES = 32, FERNET_ANY_AGE = 0 };

char *fernet_seal(struct arena *a, struct span key, int64_t now_s, const uint8_t iv[FERNET_IV_BYTES], struct span plain);
/*
 * False for everything that is not exactly a token under this key: form, version, MAC, padding; with ttl_s > 0 also its age (and
 * a clock over 60 s ahead).  *ret lies in `a`.
 */
bool fernet_open(struct arena *a, struct span key, int64_t now_s, int64_t ttl_s, const char *token, struct span *ret);

/*
 * A text that only `subject` may read back, under the current KEY_FERNET; its id in *ret_key_id.  `purpose` and `subject` are
 * part of the plaintext, so a token that was moved to another row opens to nothing.
 */
struct ctx;
char *sealed_text(struct ctx *cx, const char *purpose, const char *subject, const char *text, const char **ret_key_id);
/* NULL: no token, of a retired key, or of another purpose or subject.  `key_id` NULL tries every listed key. */
const char *sealed_open(struct ctx *cx, const char *key_id, const char *purpose, const char *subject, const char *token);

#endif
