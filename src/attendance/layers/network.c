/*
 * Did it come from a network of the place?  Only the session's own list counts.  That many students share one address, as behind
 * a campus gateway, is no ground for anything.
 */
#include "attendance/layers/layer.h"

struct finding
layer_network(const struct mark_case *c)
{
	if (c->network == NETWORK_ANY || c->policy.network == LAYER_OFF)
		return found_skip();
	if (c->network == NETWORK_INSIDE)
		return found_pass(NULL);
	return found_fault(c->policy.network, ERR_NETWORK_NOT_ALLOWED, "network", "It came from outside the networks of the place.");
}
