/* What oauth*.c share; nobody else includes it. */
#ifndef MUSTER_IDENTITY_OAUTH_PARTS_H
#define MUSTER_IDENTITY_OAUTH_PARTS_H

#include "identity/oauth.h"
#include "identity/oidc.h"

struct oauth_person { /* of a provider, checked */
	const char *provider;
	struct oidc_claims claims;
};
/* In a transaction: a person of a provider comes in, or is refused.  Fills login or one_time_code. */
enum err oauth_arrive(
	struct ctx *cx, const struct oauth_answer *in, const struct oauth_person *p, struct oauth_entry *ret) MUST_CHECK;
enum err oauth_identity_insert(struct ctx *cx, const char *user_id, const struct oauth_person *p) MUST_CHECK; /* audited */
enum err oauth_refuse(struct ctx *cx, const char *provider, const char *user_id, enum err why, const char *reason) MUST_CHECK;

#endif
