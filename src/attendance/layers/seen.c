/*
 * Was this student, this code or this claim here before?
 *
 * A whole room shares a code, so its nonce is used up per student, not for all.  A claim of before the end may take the place of
 * an absence that was written at the end, but never of a decision that somebody made about a mark.
 */
#include "attendance/layers/layer.h"

struct finding
layer_duplicate(const struct mark_case *c)
{
	if (!c->row.record_id.text[0])
		return found_pass(NULL);
	if (c->by_claim && str_eq(c->row.record_status, "absent") && str_eq(c->row.record_original, "absent"))
		return found_pass("Takes the place of an absence.");
	return found_reject(ERR_DUPLICATE_ATTENDANCE, "Marked already.");
}

struct finding
layer_replay(const struct mark_case *c)
{
	if (c->row.nonce_used)
		return found_reject(ERR_NONCE_REUSED, "This student has used this code before.");
	if (c->row.claim_spent)
		return found_reject(ERR_NONCE_REUSED, "This claim was used before.");
	return found_pass(NULL);
}

struct finding
layer_claim(const struct mark_case *c)
{
	if (!c->by_claim)
		return found_skip();
	if (c->policy.claim == CLAIM_POLICY_OFF)
		return found_reject(ERR_CONFLICT, "This event takes no claims; scan the code while signed in.");
	if (c->has_key && !c->proof_fits)
		return found_reject(ERR_INVALID_PROOF, "The proof is not of the browser that scanned.");
	if (c->other_network)
		return found_flag("scanned_elsewhere", "Scanned on another network than it was marked from.");
	if (c->policy.claim == CLAIM_POLICY_FLAG)
		return found_flag("claim", "Marked by a claim, which this event reviews.");
	return found_pass(c->other_agent ? "The browser names itself otherwise than when it scanned." : NULL);
}
