/* What the files of the accounts surface share: the user as it shows one, and the reply that tokens come in. */
#ifndef MUSTER_API_ACCOUNTS_H
#define MUSTER_API_ACCOUNTS_H

#include "api/transport.h"
#include "identity/profile.h"

extern const struct schema accounts_tokens_schema; /* tokens, or a pending second factor, or a pending approval */
struct message_out {
	const char *message;
};
extern const struct schema message_out_schema;

struct grant { /* a completed login */
	const struct account *who;
	const struct tokens *tokens;
	const char *device_token;
	bool mfa_enabled;
};
enum err accounts_grant(struct ctx *cx, const struct request *rq, struct reply *rs, const struct grant *g) MUST_CHECK;
enum err accounts_mfa_due(struct reply *rs, const char *mfa_token, int64_t expires_s) MUST_CHECK;
enum err accounts_pending(struct reply *rs, const struct uuid *request_id, int64_t expires_at) MUST_CHECK; /* status 202 */
enum err accounts_message(struct reply *rs, const char *message) MUST_CHECK;

#endif
