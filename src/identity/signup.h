/*
 * Signing up on any surface.  The portal always asks for approval; campus and accounts follow SIGNUP_POLICY, and whoever calls
 * himself a lecturer waits unless OPEN_LECTURER_SIGNUP is on: lecturers see students' data.
 */
#ifndef MUSTER_IDENTITY_SIGNUP_H
#define MUSTER_IDENTITY_SIGNUP_H

#include "identity/approval.h"
#include "identity/login.h"

struct newcomer {
	const char *email, *full_name, *password; /* as they were sent */
	enum role role;
	enum login_surface surface; /* its rules for passwords and by IP */
	bool web;
};
struct signup_done {
	bool pending;                 /* then only `request` is filled */
	struct signup_result request; /* or a decoy, for a taken address */
	struct account who;
	struct tokens tokens;     /* on accounts: signed in at once */
	const char *device_token;
};
/* On the hash lane.  ERR_VALIDATION, ERR_RATE_LIMITED; ERR_EMAIL_TAKEN where accounts are made at once. */
enum err signup(struct ctx *cx, const struct newcomer *in, struct signup_done *ret) MUST_CHECK;

#endif
