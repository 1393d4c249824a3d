/*
 * May this event be marked at that time, and by this student?
 *
 * A portal event is open until `ends_at`, and always without one; its `scheduled_at` refuses nobody.  A campus session opens at
 * its start and closes at its end or earlier by hand.  Times are compared with the moment of presenting, so a claim of before the
 * end is good after it.
 */
#include "attendance/layers/layer.h"

static struct finding
session_window(const struct mark_case *c)
{
	if (c->at_us < c->row.scheduled_at)
		return found_reject(ERR_EVENT_NOT_OPEN, "The session has not begun.");
	if (c->row.closed_at != TIME_NONE && c->at_us >= c->row.closed_at)
		return found_reject(ERR_SESSION_CLOSED, "The session was closed.");
	if (c->row.ends_at != TIME_NONE && c->at_us >= c->row.ends_at)
		return found_reject(ERR_SESSION_CLOSED, "The session is over.");
	return found_pass(NULL);
}

struct finding
layer_window(const struct mark_case *c)
{
	if (c->row.is_deleted)
		return found_reject(ERR_EVENT_NOT_FOUND, "The event was deleted.");
	if (str_eq(c->row.kind, "session")) {
		struct finding f = session_window(c);
		if (f.verdict != VERDICT_PASS)
			return f;
	} else if (c->row.ends_at != TIME_NONE && c->at_us >= c->row.ends_at) {
		return found_reject(ERR_EVENT_NOT_OPEN, "The event is over.");
	}
	if (c->row.capacity != FIELD_NONE && c->row.taken >= c->row.capacity)
		return found_reject(ERR_EVENT_FULL, "Every place is taken.");
	return found_pass(NULL);
}

struct finding
layer_enrolment(const struct mark_case *c)
{
	if (c->row.enrolled == TRI_UNSET)
		return found_skip();
	if (c->row.enrolled == TRI_NO)
		return found_reject(ERR_NOT_ENROLLED, "Not on the list of participants.");
	return found_pass(NULL);
}
