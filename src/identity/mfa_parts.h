/* What mfa.c and mfa_login.c share; nobody else includes it. */
#ifndef MUSTER_IDENTITY_MFA_PARTS_H
#define MUSTER_IDENTITY_MFA_PARTS_H

#include "identity/mfa.h"

/*
 * Counts the try and spends what was given.  *ret_verdict: OK, ERR_INVALID_CODE, or ERR_ACCOUNT_LOCKED with the error's
 * Retry-After set; the caller refuse()s.
 */
enum err factor_check(struct ctx *cx, const char *user_id, const struct factor *f, enum err *ret_verdict) MUST_CHECK;

#endif
