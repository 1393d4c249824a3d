/*
 * The token says the order as letters, so nothing is stored of a challenge that nobody answers.
 *
 * A turn is measured against the same person's straight picture, never as it is: how far a nose stands out, and how straight somebody
 * looks into a camera beside the screen, differ from face to face.
 */
#include "attendance/liveness.h"

#include <string.h>

#include "attendance/case.h"
#include "attendance/rotation.h"
#include "store/db.h"

static const char challenge_typ[] = "liveness-challenge";

static const struct pose {
	char letter;
	const char *name;
	int sign; /* of the yaw, against the straight picture */
} poses[] = {{'s', "straight", 0}, {'l', "left", 1}, {'r', "right", -1}};
_Static_assert(sizeof(poses) / sizeof(poses[0]) == LIVENESS_PICTURES, "each pose is asked for once");

static const struct field liveness_query_fields[] = {
	F(struct liveness_query, event_id, F_REQUIRED, LABEL_CHARS, ID_BYTES, "The session's id, or its label"),
};
const struct schema liveness_query_schema = SCHEMA("LivenessQuery", struct liveness_query, liveness_query_fields);
static const struct field liveness_ask_fields[] = {
	F(struct liveness_ask, require_face, 0, 0, 0, "A mark is asked for a selfie"),
	F(struct liveness_ask, require_liveness, 0, 0, 0, "A mark is asked for three, as `poses` says"),
	F(struct liveness_ask, challenge, F_NULLABLE, 0, 0, "liveness_challenge of the mark; null: none is asked for"),
	F_LIST(struct liveness_ask, poses, 0, NULL, "straight, left, right: what each selfie shows, in this order; the student's own left"),
	F(struct liveness_ask, expires_at, F_TIME | F_NULLABLE, 0, 0, "Until when the mark must have come"),
};
const struct schema liveness_ask_schema = SCHEMA("Liveness", struct liveness_ask, liveness_ask_fields);

static const struct pose *
pose_of(char letter)
{
	for (size_t i = 0; i < LIVENESS_PICTURES; i++)
		if (poses[i].letter == letter)
			return &poses[i];
	return NULL;
}

/* --- asking ---- */

static const struct field liveness_row_fields[] = {
	F(struct mark_row, event_id, 0, 0, 0, NULL),
	F(struct mark_row, policy, 0, 0, 0, NULL),
	F(struct mark_row, rotate_seconds, 0, 0, 0, NULL),
	F(struct mark_row, require_face, 0, 0, 0, NULL),
	F(struct mark_row, require_liveness, 0, 0, 0, NULL),
};
static const struct schema liveness_row_schema = SCHEMA("LivenessRow", struct mark_row, liveness_row_fields);

SQL(LIVENESS_OF_SESSION, "ut",
	"SELECT id AS event_id, policy, rotate_seconds, require_face, require_liveness FROM events WHERE kind = 'session'"
	" AND NOT is_deleted{?1 AND id = $1}{?2 AND label = $2}"
	" ORDER BY CASE WHEN closed_at IS NULL THEN 0 ELSE 1 END, scheduled_at DESC LIMIT 1");

/* Every order as likely as the next: 256 is no multiple of three, so a byte that would favour some is drawn again. */
static size_t
draw(struct ctx *cx, size_t below)
{
	uint8_t byte;

	do
		random_bytes(cx, &byte, 1);
	while (byte >= 256 / below * below);
	return byte % below;
}

static void
choose_order(struct ctx *cx, char ret[CHALLENGE_SAYS_MAX + 1])
{
	for (size_t i = 0; i < LIVENESS_PICTURES; i++)
		ret[i] = poses[i].letter;
	ret[LIVENESS_PICTURES] = '\0';
	for (size_t i = LIVENESS_PICTURES - 1; i > 0; i--) {
		size_t k = draw(cx, i + 1);
		char other = ret[k];
		ret[k] = ret[i];
		ret[i] = other;
	}
}

enum err
liveness_ask(struct ctx *cx, const struct liveness_query *q, struct liveness_ask *ret)
{
	struct mark_case c = {0};
	char ref[ID_BYTES + 1];
	bool found;

	TRY(typed_ref(cx, q->event_id, ref));
	bool label = event_ref_is_label(ref);
	TRY(db_find(cx, &LIVENESS_OF_SESSION, &liveness_row_schema, &c.row, &found, V(label ? NULL : (const char *)ref),
		V(label ? (const char *)ref : NULL)));
	if (!found)
		return fail(cx, ERR_EVENT_NOT_FOUND, NULL);
	case_policy(cx, &c);
	struct mark_asks asks = case_asks(&c);
	*ret = (struct liveness_ask){.require_face = asks.face, .require_liveness = asks.liveness, .expires_at = TIME_NONE};
	ret->poses.items = arena_new(cx->arena, const char *, LIVENESS_PICTURES);
	if (!asks.liveness)
		return OK;
	struct challenge challenge = {.about = c.row.event_id};
	choose_order(cx, challenge.says);
	for (const char *p = challenge.says; *p; p++)
		((const char **)ret->poses.items)[ret->poses.count++] = pose_of(*p)->name;
	ret->challenge = challenge_sign(cx, challenge_typ, &challenge, &ret->expires_at);
	return OK;
}

/* --- judging ---- */

struct liveness
liveness_open(struct ctx *cx, const char *token, const char *event_id, int n_pictures)
{
	struct challenge c;

	if (!token || n_pictures != LIVENESS_PICTURES)
		return (struct liveness){.result = LIVENESS_MISSING};
	if (!challenge_read(cx, challenge_typ, token, &c) || !str_eq(c.about.text, event_id))
		return (struct liveness){.result = LIVENESS_STALE};
	struct liveness l = {.challenge = c.id, .straight = (int)strcspn(c.says, "s")};
	str_copy(l.order, sizeof(l.order), c.says);
	return l;
}

/* Of one turned picture; LIVENESS_UNSET: nothing is wrong with it. */
static enum liveness_result
judge_turn(struct ctx *cx, const struct pose *asked, const struct face_answer *straight, const struct face_answer *turned)
{
	if (face_likeness(straight->face_template, turned->face_template, straight->numbers) < faces_model(cx->srv->faces)->review)
		return LIVENESS_OTHERS;
	double degrees = asked->sign * ((double)turned->yaw - (double)straight->yaw);
	return degrees >= LIVENESS_TURN_DEGREES ? LIVENESS_UNSET : LIVENESS_STILL; /* what was not measured is not turned */
}

enum err
liveness_judge(struct ctx *cx, const struct span *pictures, const struct face_answer *straight, struct liveness *l)
{
	struct face_answer *seen = arena_new(cx->arena, struct face_answer, 1);
	enum liveness_result worst = LIVENESS_GOOD;

	for (int i = 0; i < LIVENESS_PICTURES; i++) {
		if (i == l->straight)
			continue;
		if (!face_examine(cx, pictures[i], FACE_TURNED, seen)) {
			l->result = LIVENESS_NOT_CHECKED;
			return OK;
		}
		enum face_verdict v = (enum face_verdict)seen->verdict;
		TRY(face_picture_check(cx, "selfie", v));
		if (v != FACE_GOOD) {
			l->fault = v;
			l->result = v == FACE_NO_MODEL ? LIVENESS_NOT_CHECKED : LIVENESS_UNSEEN;
			return OK;
		}
		enum liveness_result turn = judge_turn(cx, pose_of(l->order[i]), straight, seen);
		if (turn != LIVENESS_UNSET && worst != LIVENESS_OTHERS)
			worst = turn;
	}
	l->result = worst;
	return OK;
}
