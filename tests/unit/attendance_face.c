/* The face layer: what each combination of session, policy and comparison is worth.  Nobody passes unseen, nobody fails for our trouble. */
#include "attendance_env.h"

#include "attendance/layers/layer.h"
#include "attendance/selfie.h"

#define SCORE(s) .references = 1, .verdict = FACE_GOOD, .score = (s), .accept = 0.5, .review = 0.42

static const struct {
	const char *name;
	bool model, required, sent;
	struct face_match match;
	enum verdict by_flag, by_reject;
	const char *detail;
} cases[] = {
	{"nothing asked, nothing sent", true, false, false, {0}, VERDICT_SKIP, VERDICT_SKIP, NULL},
	{"no model, nothing asked", false, false, false, {0}, VERDICT_SKIP, VERDICT_SKIP, NULL},
	{"no model, sent, not asked", false, false, true, {.verdict = FACE_NO_MODEL, .score = NAN}, VERDICT_SKIP, VERDICT_SKIP, "not_checked"},
	{"no model, asked", false, true, true, {.verdict = FACE_NO_MODEL, .score = NAN}, VERDICT_SKIP, VERDICT_SKIP, "not_checked"},
	{"asked, not sent", true, true, false, {0}, VERDICT_FLAG, VERDICT_REJECT, "no selfie was sent"},
	{"sent, not asked, none enrolled", true, false, true, {.verdict = FACE_GOOD, .score = NAN}, VERDICT_SKIP, VERDICT_SKIP, "not_checked"},
	{"asked, none enrolled", true, true, true, {.verdict = FACE_GOOD, .score = NAN}, VERDICT_FLAG, VERDICT_REJECT, "no face is enrolled"},
	{"helper down", true, true, true, {.references = 1, .verdict = FACE_UNSET, .score = NAN}, VERDICT_FLAG, VERDICT_FLAG, "not_checked"},
	{"helper down, not asked", true, false, true, {.references = 1, .verdict = FACE_UNSET, .score = NAN}, VERDICT_SKIP, VERDICT_SKIP,
		"not_checked"},
	{"helper lost its model", true, true, true, {.references = 1, .verdict = FACE_NO_MODEL, .score = NAN}, VERDICT_FLAG, VERDICT_FLAG,
		"not_checked"},
	{"two faces", true, true, true, {.references = 1, .verdict = FACE_SEVERAL, .score = NAN}, VERDICT_FLAG, VERDICT_REJECT,
		"several faces are in the picture"},
	{"no number", true, true, true, {.references = 1, .verdict = FACE_GOOD, .score = NAN, .accept = 0.5}, VERDICT_FLAG, VERDICT_REJECT,
		"one face, well to be seen"},
	{"the same", true, true, true, {SCORE(0.5)}, VERDICT_PASS, VERDICT_PASS, "the enrolled face"},
	{"the same, not asked", true, false, true, {SCORE(0.9)}, VERDICT_SKIP, VERDICT_SKIP, "not_checked"},
	{"between", true, true, true, {SCORE(0.499)}, VERDICT_FLAG, VERDICT_FLAG, "like the enrolled face, but not enough to be sure"},
	{"just between", true, true, true, {SCORE(0.42)}, VERDICT_FLAG, VERDICT_FLAG, "like the enrolled face, but not enough to be sure"},
	{"another", true, true, true, {SCORE(0.419)}, VERDICT_FLAG, VERDICT_REJECT, "not the enrolled face"},
	{"another, not asked", true, false, true, {SCORE(-0.2)}, VERDICT_SKIP, VERDICT_SKIP, "not_checked"},
};

static void
each_case_has_its_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct selfie selfie = {
			.asked = cases[i].required, .match = cases[i].match, .object = "selfies/x", .type = "image/jpeg"};
		const struct mark_in in = {.selfie = cases[i].sent ? &selfie : NULL};
		struct mark_case c = {.in = &in, .face_model = cases[i].model, .row = {.require_face = cases[i].required}};
		for (enum layer_policy p = LAYER_FLAG; p <= LAYER_OFF; p++) {
			enum verdict want = p == LAYER_FLAG ? cases[i].by_flag : p == LAYER_REJECT ? cases[i].by_reject : VERDICT_SKIP;
			c.policy.face = p;
			struct finding f = layer_face(&c);
			bool detail = p == LAYER_OFF ? f.detail == NULL : str_eq(f.detail, cases[i].detail);
			if (f.verdict != want || !detail)
				fail_msg("%s, policy %d: %d %s", cases[i].name, (int)p, (int)f.verdict, f.detail ? f.detail : "");
			assert_true(f.verdict != VERDICT_FLAG || str_eq(f.flag, "face"));
			assert_true(f.verdict != VERDICT_REJECT || f.why == ERR_FACE_MISMATCH);
			bool compared = p != LAYER_OFF && cases[i].required && cases[i].match.review > 0;
			assert_int_equal(f.scored, compared);
			assert_true(!compared || (f.score == cases[i].match.score && f.threshold == 0.5));
		}
	}
}

static const struct {
	const char *name;
	struct face_match match;
	struct liveness liveness;
	bool spent;
	enum verdict by_flag, by_reject;
	const char *detail;
} turns[] = {
	{"answered", {SCORE(0.5)}, {LIVENESS_GOOD}, false, VERDICT_PASS, VERDICT_PASS, "the enrolled face, turned as asked"},
	{"answered, not sure who", {SCORE(0.45)}, {LIVENESS_GOOD}, false, VERDICT_FLAG, VERDICT_FLAG,
		"like the enrolled face, but not enough to be sure"},
	{"answered by another", {SCORE(0.2)}, {LIVENESS_GOOD}, false, VERDICT_FLAG, VERDICT_REJECT, "not the enrolled face"},
	{"answered, helper down", {.references = 1, .score = NAN}, {LIVENESS_UNSET}, false, VERDICT_FLAG, VERDICT_FLAG, "not_checked"},
	{"helper down at a turn", {SCORE(0.9)}, {LIVENESS_NOT_CHECKED}, false, VERDICT_FLAG, VERDICT_FLAG, "not_checked"},
	{"used before", {SCORE(0.9)}, {LIVENESS_GOOD}, true, VERDICT_FLAG, VERDICT_REJECT, "the liveness challenge was used before"},
	{"not come to", {SCORE(0.9)}, {LIVENESS_UNSET}, false, VERDICT_FLAG, VERDICT_REJECT, "the liveness challenge was not answered"},
	{"missing", {SCORE(0.9)}, {LIVENESS_MISSING}, false, VERDICT_FLAG, VERDICT_REJECT, "the liveness challenge was not answered"},
	{"missing, not sure who", {SCORE(0.45)}, {LIVENESS_MISSING}, false, VERDICT_FLAG, VERDICT_REJECT,
		"the liveness challenge was not answered"},
	{"stale", {SCORE(0.9)}, {LIVENESS_STALE}, false, VERDICT_FLAG, VERDICT_REJECT,
		"the liveness challenge has expired, or is not of this student and session"},
	{"unseen", {SCORE(0.9)}, {LIVENESS_UNSEEN, .fault = FACE_BLURRED}, false, VERDICT_FLAG, VERDICT_REJECT, "the face is blurred; hold still"},
	{"others", {SCORE(0.9)}, {LIVENESS_OTHERS}, false, VERDICT_FLAG, VERDICT_REJECT,
		"the pictures of the liveness challenge show different faces"},
	{"still", {SCORE(0.9)}, {LIVENESS_STILL}, false, VERDICT_FLAG, VERDICT_REJECT,
		"the head was not turned as the liveness challenge asked"},
};

static void
each_answer_to_a_challenge_has_its_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		const struct selfie selfie = {.asked = true, .match = turns[i].match, .liveness = turns[i].liveness};
		const struct mark_in in = {.selfie = &selfie};
		struct mark_case c = {.in = &in,
			.face_model = true,
			.liveness_spent = turns[i].spent,
			.row = {.require_face = true, .require_liveness = true}};
		for (enum layer_policy p = LAYER_FLAG; p <= LAYER_OFF; p++) {
			enum verdict want = p == LAYER_FLAG ? turns[i].by_flag : p == LAYER_REJECT ? turns[i].by_reject : VERDICT_SKIP;
			c.policy.face = p;
			struct finding f = layer_face(&c);
			if (f.verdict != want || (p != LAYER_OFF && !str_eq(f.detail, turns[i].detail)))
				fail_msg("%s, policy %d: %d %s", turns[i].name, (int)p, (int)f.verdict, f.detail ? f.detail : "");
			assert_true(f.verdict != VERDICT_FLAG || str_eq(f.flag, "face"));
			assert_true(f.verdict != VERDICT_REJECT || f.why == ERR_FACE_MISMATCH);
		}
		c.policy.face = LAYER_REJECT;
		c.row.require_liveness = false; /* what nobody asked for is worth nothing, good or bad */
		assert_string_not_equal(layer_face(&c).detail, "the enrolled face, turned as asked");
		assert_true(turns[i].match.score < 0.5 || isnan(turns[i].match.score) || layer_face(&c).verdict == VERDICT_PASS);
		c.row.require_face = false;
		assert_int_equal(layer_face(&c).verdict, VERDICT_SKIP);
	}
}

/* The session began to ask between the picture's coming and the mark. */
static void
a_selfie_that_nobody_looked_at_never_passes(void **state)
{
	const struct selfie selfie = {.asked = false};
	const struct mark_in in = {.selfie = &selfie};
	struct mark_case c = {.in = &in, .face_model = true, .policy = {.face = LAYER_REJECT}, .row = {.require_face = true}};

	(void)state;
	assert_int_equal(layer_face(&c).verdict, VERDICT_FLAG);
	assert_string_equal(layer_face(&c).detail, "not_checked");
}

static void
score_and_threshold_are_written_down(void **state)
{
	const struct selfie selfie = {.asked = true, .match = {SCORE(0.45)}};
	const struct mark_in in = {.selfie = &selfie};
	struct mark_case c = {.in = &in, .face_model = true, .policy = {.face = LAYER_FLAG}, .row = {.require_face = true}};
	struct arena a;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < layer_row_count; i++)
		if (layer_rows[i].judge == layer_face)
			c.findings[i] = layer_face(&c);
	assert_string_equal(layers_json(&a, &c),
		"[{\"layer\":\"face\",\"verdict\":\"flag\",\"detail\":\"like the enrolled face, but not enough to be sure\",\"score\":0.45,"
		"\"threshold\":0.5}]");
	assert_string_equal(layers_flags(&a, &c), "face");
	arena_release(&a);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_case_has_its_verdict),
		cmocka_unit_test(each_answer_to_a_challenge_has_its_verdict),
		cmocka_unit_test(a_selfie_that_nobody_looked_at_never_passes),
		cmocka_unit_test(score_and_threshold_are_written_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
