/*
 * Is the code ours, and is it still good?  Form and MAC were checked before anything was loaded; what they said is only reported
 * here, so that every refusal comes out of one table.  A code that was withdrawn says so even when it has expired as well.
 */
#include "attendance/layers/layer.h"

struct finding
layer_signature(const struct mark_case *c)
{
	if (c->signature == ERR_INVALID_SIGNATURE)
		return found_reject(c->signature, "The signature does not fit.");
	if (c->signature != OK)
		return found_reject(c->signature, "This is no code of this server.");
	if (!c->found)
		return found_reject(ERR_INVALID_QR, "This code is not known here.");
	return found_pass(NULL);
}

struct finding
layer_expiry(const struct mark_case *c)
{
	if (c->row.is_revoked)
		return found_reject(ERR_QR_REVOKED, "The code was withdrawn.");
	if (c->at_us >= c->row.code_expires_at)
		return found_reject(ERR_QR_EXPIRED, "The code had expired when it was presented.");
	if (c->by_claim && c->now_us >= c->claim.expires_us)
		return found_reject(ERR_QR_EXPIRED, "The claim made from this code has expired.");
	return found_pass(NULL);
}
