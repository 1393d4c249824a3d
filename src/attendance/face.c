/*
 * A template is text: base64url of its numbers as the machine has them.  That text is sealed with the account's id, so a row that was
 * copied to another account opens to nothing.
 *
 * Comparing needs every template of one account, at most FACE_PICTURES_MAX, so there is no index to build and nothing kept in memory.
 */
#include "attendance/face.h"

#include <string.h>

#include "audit/audit.h"
#include "core/fernet.h"
#include "identity/account.h"
#include "net/storage.h"
#include "store/db.h"

const char face_seal_purpose[] = "face";

static const struct field face_in_fields[] = {
	F(struct face_in, consent, 0, 0, 0, "true: the student agrees that a template of the face is stored; required in staging and prod"),
};
const struct schema face_in_schema = SCHEMA("FaceIn", struct face_in, face_in_fields);
static const struct field face_out_fields[] = {
	F(struct face_out, enrolled, 0, 0, 0, "Always true"),
	F(struct face_out, references, 0, 0, 0, "Templates that are kept, one a picture"),
	F(struct face_out, consent_at, F_TIME | F_NULLABLE, 0, 0, "When consent was given"),
};
const struct schema face_out_schema = SCHEMA("FaceOut", struct face_out, face_out_fields);
static const struct field face_check_fields[] = {
	F(struct face_check, verified, 0, 0, 0, "It is the enrolled face"),
	F(struct face_check, verdict, 0, 0, 0,
		"match, review (a person would have to look), no_match; or what is wrong with the picture: no_face, several_faces, "
		"too_small, blurred, off_pose, bad_light"),
	F(struct face_check, score, F_NULLABLE, 0, 0, "Likeness, -1 to 1; null when the picture is no good"),
	F(struct face_check, threshold, 0, 0, 0, "From here on it is a match"),
};
const struct schema face_check_schema = SCHEMA("FaceCheck", struct face_check, face_check_fields);

bool
face_examine(struct ctx *cx, struct span picture, enum face_purpose purpose, struct face_answer *ret)
{
	return faces_examine(cx->srv->faces, picture, purpose, (int)cx->srv->conf->face_timeout_seconds * 1000, ret);
}

enum err
face_picture_check(struct ctx *cx, const char *field, enum face_verdict v)
{
	if (v != FACE_NOT_DECODED && v != FACE_TOO_LARGE)
		return OK;
	error_field(cx, field, "%s", face_verdict_text(v));
	return fail(cx, ERR_VALIDATION, NULL);
}

/* --- templates at rest ---- */

struct reference {
	const char *template, *key_id;
};
static const struct field reference_fields[] = {
	F(struct reference, template, F_SECRET, 0, 0, NULL),
	F(struct reference, key_id, 0, 0, 0, NULL),
};
static const struct schema reference_schema = SCHEMA("FaceReference", struct reference, reference_fields);

SQL(FACE_REFERENCES, "ut",
	"SELECT template, key_id FROM face_references WHERE user_id = $1 AND model_sha256 = $2 ORDER BY created_at, id");

/* The nearest of an account's templates; what cannot be opened (a retired key) counts as none. */
static enum err
nearest(struct ctx *cx, const struct face_answer *seen, int64_t *ret_references, double *ret_score)
{
	const char *who = cx->actor->user_id.text;
	struct list rows;

	*ret_references = 0;
	*ret_score = NAN;
	TRY(db_all(cx, &FACE_REFERENCES, &reference_schema, &rows, V(who), V((const char *)faces_model(cx->srv->faces)->sha256)));
	for (size_t i = 0; i < rows.count; i++) {
		const struct reference *r = (const struct reference *)rows.items + i;
		const char *text = sealed_open(cx, r->key_id, face_seal_purpose, who, r->template);
		struct span bytes;
		if (!text || !b64url_decode(cx->arena, text, strlen(text), &bytes))
			continue;
		float *numbers = arena_new(cx->arena, float, bytes.n / sizeof(float));
		memcpy(numbers, bytes.p, bytes.n / sizeof(float) * sizeof(float));
		(*ret_references)++;
		if (seen->numbers == 0 || bytes.n != seen->numbers * sizeof(float))
			continue;
		double score = face_likeness(numbers, seen->face_template, seen->numbers);
		*ret_score = isnan(*ret_score) || score > *ret_score ? score : *ret_score;
	}
	return OK;
}

SQL(FACE_ADD, "uutttmm",
	"INSERT INTO face_references (id, user_id, model_sha256, template, key_id, consent_at, created_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)");

static enum err
add_reference(struct ctx *cx, const struct face_answer *seen, int64_t consent_at)
{
	const char *who = cx->actor->user_id.text, *key_id = NULL;
	const struct span numbers = {(const uint8_t *)seen->face_template, seen->numbers * sizeof(float)};
	const char *sealed = sealed_text(cx, face_seal_purpose, who, b64url_text(cx->arena, numbers), &key_id);
	struct uuid id = new_id(cx);

	return db_exec(cx, &FACE_ADD, NULL, V_ID(id), V(who), V((const char *)faces_model(cx->srv->faces)->sha256), V(sealed), V(key_id),
		V(consent_at), V(cx->now_us));
}

/* --- enrolment ---- */

static const char *
picture_field(struct ctx *cx, int i, int n)
{
	return n == 1 ? "file" : arena_printf(cx->arena, "file.%d", i);
}

enum err
face_enrol_prepare(struct ctx *cx, const struct face_in *in, const struct span *pictures, int n, struct face_pictures **ret)
{
	const struct face_model *model = faces_model(cx->srv->faces);
	struct face_pictures *p = arena_new(cx->arena, struct face_pictures, 1);

	if (in->consent != TRI_YES && cx->srv->conf->env != ENV_DEV)
		return fail(cx, ERR_CONSENT_REQUIRED, NULL);
	if (!model)
		return fail(cx, ERR_FACE_UNAVAILABLE, NULL);
	if (n < 1 || n > FACE_PICTURES_MAX)
		BUG("%d pictures", n);
	p->n = n;
	for (int i = 0; i < n; i++) {
		if (!face_examine(cx, pictures[i], FACE_STRAIGHT, &p->of[i]))
			return fail_internal(cx, ERR_FACE_UNAVAILABLE, "no helper answered");
		if (p->of[i].verdict != FACE_GOOD)
			error_field(cx, picture_field(cx, i, n), "%s", face_verdict_text((enum face_verdict)p->of[i].verdict));
	}
	if (error_has_fields(cx))
		return fail(cx, ERR_VALIDATION, NULL);
	for (int i = 1; i < n; i++)
		if (face_likeness(p->of[0].face_template, p->of[i].face_template, p->of[0].numbers) < model->review)
			error_field(cx, picture_field(cx, i, n), "shows another face than the first picture");
	if (error_has_fields(cx))
		return fail(cx, ERR_VALIDATION, NULL);
	*ret = p;
	return OK;
}

SQL(FACE_DROP, "u", "DELETE FROM face_references WHERE user_id = $1");

enum err
face_enrol(struct ctx *cx, const struct face_in *in, const struct face_pictures *pictures, struct face_out *ret)
{
	const char *who = cx->actor->user_id.text;
	int64_t consent_at = in->consent == TRI_YES ? cx->now_us : FIELD_NONE, references;
	double score;

	TRY(account_hold(cx, who)); /* one account's enrolments take turns */
	for (int i = 0; i < pictures->n; i++) {
		TRY(nearest(cx, &pictures->of[i], &references, &score));
		if (references && score < faces_model(cx->srv->faces)->review)
			return fail(cx, ERR_FACE_MISMATCH, "This is another face than the enrolled one; delete that first.");
	}
	TRY(db_exec(cx, &FACE_DROP, NULL, V(who)));
	for (int i = 0; i < pictures->n; i++)
		TRY(add_reference(cx, &pictures->of[i], consent_at));
	TRY(audit_ok(cx, AUDIT_FACE_ENROLLED, "user", who, AUDIT_INT("references", pictures->n),
		AUDIT_TEXT("consent", in->consent == TRI_YES ? "yes" : "no")));
	*ret = (struct face_out){.enrolled = true, .references = pictures->n, .consent_at = consent_at};
	return OK;
}

/* --- comparison ---- */

struct comparison {
	const struct face_answer *seen;
	struct face_match *match;
};

static enum err
compare_read(struct ctx *cx, void *arg)
{
	struct comparison *c = arg;

	return nearest(cx, c->seen, &c->match->references, &c->match->score);
}

enum err
face_compare(struct ctx *cx, struct span picture, struct face_match *ret, const struct face_answer **ret_seen)
{
	const struct face_model *model = faces_model(cx->srv->faces);
	struct face_answer *seen = arena_new(cx->arena, struct face_answer, 1);
	struct face_match match = {.score = NAN};
	struct comparison c = {seen, &match};

	if (model) {
		match.accept = model->accept;
		match.review = model->review;
		TRY(db_read(cx, compare_read, &c)); /* who has nothing enrolled needs no helper's opinion, but a picture it must be */
	}
	if (!face_examine(cx, picture, FACE_STRAIGHT, seen)) {
		match.verdict = model ? FACE_UNSET : FACE_NO_MODEL;
	} else {
		match.verdict = (enum face_verdict)seen->verdict;
		if (match.verdict == FACE_GOOD && match.references)
			TRY(db_read(cx, compare_read, &c));
	}
	*ret = match;
	*ret_seen = seen;
	return OK;
}

enum err
face_verify_prepare(struct ctx *cx, struct span picture, struct face_check **ret)
{
	struct face_check *check = arena_new(cx->arena, struct face_check, 1);
	const struct face_answer *seen;
	struct face_match m;

	if (!faces_model(cx->srv->faces))
		return fail(cx, ERR_FACE_UNAVAILABLE, NULL);
	TRY(face_compare(cx, picture, &m, &seen));
	if (!m.references)
		return fail(cx, ERR_CONFLICT, "No face is enrolled for this account.");
	if (m.verdict == FACE_UNSET)
		return fail_internal(cx, ERR_FACE_UNAVAILABLE, "no helper answered");
	TRY(face_picture_check(cx, "file", m.verdict));
	bool good = m.verdict == FACE_GOOD && !isnan(m.score);
	*check = (struct face_check){.verified = good && m.score >= m.accept,
		.verdict = !good		? face_verdict_name(m.verdict)
			   : m.score >= m.accept ? "match"
			   : m.score >= m.review ? "review"
						 : "no_match",
		.score = good ? m.score : NAN,
		.threshold = m.accept};
	*ret = check;
	return OK;
}

enum err
face_verify_write(struct ctx *cx, const struct face_check *check)
{
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_FACE_VERIFIED,
				       .result = check->verified ? "success" : "failure",
				       .entity_type = "user",
				       .entity_id = cx->actor->user_id.text,
				       .notes = (const struct audit_note[]){AUDIT_TEXT("verdict", check->verdict)},
				       .n_notes = 1});
}

/* --- deletion ---- */

struct object {
	const char *object;
};
static const struct field object_fields[] = {F(struct object, object, 0, 0, 0, NULL)};
static const struct schema object_schema = SCHEMA("StoredObject", struct object, object_fields);

SQL(FACE_SELFIES, "u", "SELECT object FROM selfies WHERE user_id = $1");
SQL(FACE_DROP_SELFIES, "u", "DELETE FROM selfies WHERE user_id = $1");

static enum err
delete_write(struct ctx *cx, void *arg)
{
	const char *who = cx->actor->user_id.text;
	struct list *objects = arg;
	int64_t references, selfies;

	TRY(account_hold(cx, who));
	TRY(db_all(cx, &FACE_SELFIES, &object_schema, objects, V(who)));
	TRY(db_exec(cx, &FACE_DROP, &references, V(who)));
	TRY(db_exec(cx, &FACE_DROP_SELFIES, &selfies, V(who)));
	if (references == 0 && selfies == 0)
		return OK;
	return audit_ok(cx, AUDIT_FACE_DELETED, "user", who, AUDIT_INT("references", references), AUDIT_INT("selfies", selfies));
}

enum err
face_delete(struct ctx *cx)
{
	struct list objects = {NULL, 0};
	const char *why = NULL;

	TRY(db_write(cx, delete_write, &objects));
	for (size_t i = 0; i < objects.count; i++)
		if (storage_delete(cx->srv->storage, cx->arena, ((const struct object *)objects.items)[i].object, &why) != STORED)
			return OK; /* the store is away; the sweep comes back for the rest */
	return OK;
}
