/* Signup under SIGNUP_POLICY=open: an active student at once, signed in.  (With approval: identity/approval.h.) */
#ifndef MUSTER_IDENTITY_SIGNUP_H
#define MUSTER_IDENTITY_SIGNUP_H

#include "identity/session.h"

struct signup_open {
	const char *email; /* canonical */
	const char *full_name, *password_hash;
	enum role role; /* ROLE_UNSET: student */
	bool web;
	bool account_only; /* no session and no known device: tokens and device_token stay empty */
};
struct signup_opened {
	struct account who;
	struct tokens tokens;
	const char *device_token;
};
/* In a transaction.  ERR_EMAIL_TAKEN.  Audited; the address gets a mail to prove itself. */
enum err signup_open(struct ctx *cx, const struct signup_open *in, struct signup_opened *ret) MUST_CHECK;

#endif
