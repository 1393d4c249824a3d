/*
 * The makings of tokens, for identity/ alone: everything that the outside gets comes from mint_session() and session_refresh().
 */
#ifndef MUSTER_IDENTITY_TOKEN_H
#define MUSTER_IDENTITY_TOKEN_H

#include "core/keys.h"
#include "identity/session.h"

enum { OPAQUE_BYTES = 32, OPAQUE_CHARS = B64_SHA256_CHARS };

struct opaque_hashes { /* of one token under every key that is still listed; absent ones are NULL */
	const char *text[SECRETS_MAX];
};

/* 256 random bits as base64url. */
const char *opaque_new(struct ctx *cx);
/* True for the shape of opaque_new(): spares the database every other text. */
bool opaque_shape(const char *token);
/* HMAC under one key of KEY_TOKEN or KEY_DEVICE, base64url; `domain` keeps the purposes apart. */
const char *opaque_hash(struct arena *a, const struct key *key, const char *domain, const char *token);
void opaque_hashes(struct ctx *cx, enum key_use use, const char *domain, const char *token, struct opaque_hashes *ret);
/* The refresh token that follows `predecessor`; NULL when that row's key has been retired. */
const char *opaque_successor(
	struct ctx *cx, const char *key_id, const char *predecessor, const char *session_id, const char *salt);

/* An access token for this account and session; its life, at most the session's, in *ret_life_s. */
const char *access_token(struct ctx *cx, const struct account *who, const struct uuid *session_id, int64_t session_expires_at,
	int64_t *ret_life_s);
/* typ "mfa_pending": names the account and a jti, and is good for nothing but completing the login. */
const char *mfa_pending_token(struct ctx *cx, const char *user_id, const char *jti, int64_t expires_at);
/* Of a verified token: this claim is this text. */
bool claim_equals(struct span claims, const char *name, const char *want);

#endif
