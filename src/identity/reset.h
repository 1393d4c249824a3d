/*
 * A forgotten password.
 *
 * The request only notes what was typed, the same for known and unknown addresses; a job makes link and mail afterwards, so
 * neither the answer nor its time tells whether there is an account.  One live link per account, good once and for
 * PASSWORD_RESET_EXPIRE_MINUTES, checked where the password is set.  It ends all sessions, signs nobody in and leaves a second
 * factor on.
 */
#ifndef MUSTER_IDENTITY_RESET_H
#define MUSTER_IDENTITY_RESET_H

#include "identity/account.h"

/* On the work lane.  Beyond RL_RESET_IP_LIMIT and RL_RESET_EMAIL_LIMIT nothing happens, and nobody is told. */
enum err reset_request(struct ctx *cx, const char *typed) MUST_CHECK;
/* Job: requests become links in the outbox, for active accounts. */
enum err reset_deliver(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* On the hash lane.  ERR_TOKEN_INVALID, ERR_VALIDATION. */
enum err reset_confirm(struct ctx *cx, const char *token, const char *new_password) MUST_CHECK;

#endif
