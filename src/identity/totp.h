/* Time-based one-time passwords: RFC 6238 over HMAC-SHA-1 (RFC 4226), as authenticator apps make them. */
#ifndef MUSTER_IDENTITY_TOTP_H
#define MUSTER_IDENTITY_TOTP_H

#include "core/str.h"

enum { TOTP_SECRET_BYTES = 20, TOTP_DIGITS_MAX = 8, TOTP_WINDOW = 1 };

struct totp {
	struct span secret;
	int64_t period_s, digits;
};
/* The code of one step, with leading zeros. */
void totp_code(const struct totp *t, int64_t step, char ret[TOTP_DIGITS_MAX + 1]);
/* The step within ±TOTP_WINDOW of now whose code this is, in constant time; false: none. Blanks in `typed` do not count. */
bool totp_find(const struct totp *t, int64_t now_s, const char *typed, int64_t *ret_step);

/* RFC 4648 §6, without padding. */
char *base32_text(struct arena *a, struct span in);
bool base32_read(struct arena *a, const char *in, struct span *ret);

#endif
