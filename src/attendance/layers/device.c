/*
 * Is it the student's own device?
 *
 * Only what a device says of itself on purpose counts: an id or a key.  Model, browser and address are the same for half a hall,
 * and are no ground for anything.
 */
#include "attendance/layers/layer.h"

static const char *
signing_fault(enum signing s)
{
	static const char *const faults[] = {
		[SIGNING_MISSING] = "The registered key did not sign.",
		[SIGNING_BAD] = "The signature is not of the registered key.",
		[SIGNING_STALE] = "The signed challenge is not this student's, or it has expired.",
		[SIGNING_SPENT] = "The signed challenge was used before.",
	};

	return faults[s];
}

static const char *
fault_of(const struct mark_case *c)
{
	const struct mark_device *d = &c->device;

	if (d->signing > SIGNING_GOOD)
		return signing_fault(d->signing);
	if (d->twin.text[0])
		return "Another account marked with the same device here.";
	if (d->elsewhere)
		return "The device is registered for another account.";
	if (d->shown && d->bound && !d->own && !d->signing)
		return "It is not the device registered for this student.";
	if (!d->shown && !d->signing && c->row.require_device)
		return "No device was named.";
	if (d->lately)
		return "Another account used the device a short time ago.";
	return NULL;
}

struct finding
layer_device(const struct mark_case *c)
{
	const struct mark_device *d = &c->device;

	if (!d->asked || c->policy.device == LAYER_OFF)
		return found_skip();
	const char *fault = fault_of(c);
	if (fault)
		return found_fault(c->policy.device, ERR_DEVICE_MISMATCH, "device", fault);
	if (!d->shown && !d->signing)
		return found_skip();
	return found_pass(d->bound ? NULL : "first use");
}
