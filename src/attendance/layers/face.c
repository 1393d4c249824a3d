/*
 * Is it the face that was enrolled?  The comparison was made before, on the files lane (attendance/selfie.h); here it is weighed.
 *
 * A helper that is down or late is a flag whatever the policy, and never a pass: nobody is refused for the server's trouble, and nobody
 * gains by causing it.  A likeness between the model's two thresholds is for a person to judge, so it is a flag too.
 *
 * A liveness challenge is a part of this question, not one of its own: the turned pictures only say that the compared one was no still.
 */
#include "attendance/case.h"
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

/* What was wrong with the challenge before any picture was looked at; NULL: nothing. */
static const char *
challenge_fault(const struct mark_case *c, const struct liveness *l)
{
	if (c->liveness_spent)
		return "the liveness challenge was used before";
	if (l->result == LIVENESS_MISSING)
		return "the liveness challenge was not answered";
	return l->result == LIVENESS_STALE ? "the liveness challenge has expired, or is not of this student and session" : NULL;
}

static const char *
turn_fault(const struct liveness *l)
{
	switch (l->result) {
	case LIVENESS_GOOD:
		return NULL;
	case LIVENESS_UNSEEN:
		return face_verdict_text(l->fault);
	case LIVENESS_OTHERS:
		return "the pictures of the liveness challenge show different faces";
	case LIVENESS_STILL:
		return "the head was not turned as the liveness challenge asked";
	default:
		return "the liveness challenge was not answered";
	}
}

static struct finding
weigh(const struct mark_case *c, const struct selfie *selfie, bool turns)
{
	const struct face_match *m = &selfie->match;
	const char *fault = turns ? challenge_fault(c, &selfie->liveness) : NULL;

	if (fault)
		return found_fault(c->policy.face, ERR_FACE_MISMATCH, "face", fault);
	if (m->verdict == FACE_UNSET || m->verdict == FACE_NO_MODEL)
		return found_flag("face", not_checked);
	if (m->verdict != FACE_GOOD || isnan(m->score))
		return found_fault(c->policy.face, ERR_FACE_MISMATCH, "face", face_verdict_text(m->verdict));
	if (m->score < m->review)
		return scored(found_fault(c->policy.face, ERR_FACE_MISMATCH, "face", "not the enrolled face"), m);
	if (turns && selfie->liveness.result == LIVENESS_NOT_CHECKED)
		return found_flag("face", not_checked);
	fault = turns ? turn_fault(&selfie->liveness) : NULL;
	if (fault)
		return scored(found_fault(c->policy.face, ERR_FACE_MISMATCH, "face", fault), m);
	if (m->score < m->accept)
		return scored(found_flag("face", "like the enrolled face, but not enough to be sure"), m);
	return scored(found_pass(turns ? "the enrolled face, turned as asked" : "the enrolled face"), m);
}

struct finding
layer_face(const struct mark_case *c)
{
	const struct selfie *selfie = c->in ? c->in->selfie : NULL;
	struct mark_asks asks = case_asks(c);

	if (!asks.face)
		return selfie && c->policy.face != LAYER_OFF ? skipped() : found_skip();
	if (!c->face_model)
		return skipped();
	if (!selfie)
		return found_fault(c->policy.face, ERR_FACE_MISMATCH, "face", "no selfie was sent");
	if (!selfie->asked) /* it came before the session asked for faces */
		return found_flag("face", not_checked);
	if (!selfie->match.references)
		return found_fault(c->policy.face, ERR_FACE_MISMATCH, "face", "no face is enrolled");
	return weigh(c, selfie, asks.liveness);
}
