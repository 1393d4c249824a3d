/* Private to attendance/device*.c: what is shown, what is bound, and how the two compare. */
#ifndef MUSTER_ATTENDANCE_DEVICE_PARTS_H
#define MUSTER_ATTENDANCE_DEVICE_PARTS_H

#include "attendance/device.h"
#include "core/crypto.h"
#include "core/keys.h"
#include "store/db.h"

struct device_shown {
	const char *text; /* the id, or the key's thumbprint */
	const char *jwk;  /* NULL: it is an id */
};
/* base64url of the HMAC under this key of KEY_DEVICE_ID. */
void device_hash(const struct key *key, const struct device_shown *shown, char ret[B64_SHA256_CHARS + 1]);

struct device_row {
	struct uuid id;
	const char *device_hash, *key_id, *public_key;
	int64_t since; /* when it was bound; of a request: when it was made */
};
extern const struct schema device_row_schema;

/* A row whose key has left TOKEN_PEPPER can be compared with nothing; it counts as none.  Not so a public key. */
bool device_lapsed(struct ctx *cx, const struct device_row *row);
bool device_is(struct ctx *cx, const struct device_row *row, const struct device_shown *shown);

/* Whether another account has it, under any key of the list from the n-th on. */
enum err device_elsewhere(
	struct ctx *cx, const char *user_id, const struct device_shown *shown, size_t n, bool *ret) MUST_CHECK;

/* Ours, this actor's and in time; whether it was used is the database's to say. */
bool device_challenge_good(struct ctx *cx, const char *challenge, struct uuid *ret_id);

/* The trace of a first binding: audit row and word to the owner.  `how`: "request", "first_use". */
enum err device_tell_bound(
	struct ctx *cx, const char *user_id, const char *device_id, const char *kind, const char *how) MUST_CHECK;

#endif
