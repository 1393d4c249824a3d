/*
 * Is it the face that was enrolled?  The comparison was made before, on the files lane (attendance/selfie.h); here it is weighed.
 *
 * A helper that is down or late is a flag whatever the policy, and never a pass: nobody is refused for the server's trouble, and nobody
 * gains by causing it.  A likeness between the model's two thresholds is for a person to judge, so it is a flag too.
 */
#include "attendance/layers/layer.h"
#include "attendance/selfie.h"

static const char not_checked[] = "not_checked";

static struct finding
skipped(void)
{
	struct finding f = found_skip();

	f.detail = not_checked;
	return f;
}

static struct finding
scored(struct finding f, const struct face_match *m)
{
	f.score = m->score;
	f.threshold = m->accept;
	f.scored = true;
	return f;
}

struct finding
layer_face(const struct mark_case *c)
{
	const struct selfie *selfie = c->in ? c->in->selfie : NULL;
	bool required = c->row.require_face;

	if (c->face_policy == LAYER_OFF)
		return found_skip();
	if (!c->face_model)
		return selfie || required ? skipped() : found_skip();
	if (!selfie)
		return required ? found_fault(c->face_policy, ERR_FACE_MISMATCH, "face", "no selfie was sent") : found_skip();
	const struct face_match *m = &selfie->match;
	if (!m->references)
		return required ? found_fault(c->face_policy, ERR_FACE_MISMATCH, "face", "no face is enrolled") : skipped();
	if (m->verdict == FACE_UNSET || m->verdict == FACE_NO_MODEL)
		return found_flag("face", not_checked);
	if (m->verdict != FACE_GOOD || isnan(m->score))
		return found_fault(c->face_policy, ERR_FACE_MISMATCH, "face", face_verdict_text(m->verdict));
	if (m->score >= m->accept)
		return scored(found_pass("the enrolled face"), m);
	if (m->score >= m->review)
		return scored(found_flag("face", "like the enrolled face, but not enough to be sure"), m);
	return scored(found_fault(c->face_policy, ERR_FACE_MISMATCH, "face", "not the enrolled face"), m);
}
