/*
 * The ordered table of layers, and how a case goes through it.
 *
 * The order is the contract's: of two faults the earlier row's is told.  `claim` comes after the six that refuse for the code's
 * or the student's own sake, and is asked only of marks by claim; the last four measure, and the event's policy says what a fault
 * of theirs is worth.
 */
#include "attendance/layers/layer.h"

#include "core/json.h"

const struct layer layer_rows[] = {
	{"signature", false, layer_signature},
	{"expiry", false, layer_expiry},
	{"window", false, layer_window},
	{"enrolment", true, layer_enrolment},
	{"duplicate", true, layer_duplicate},
	{"replay", true, layer_replay},
	{"claim", true, layer_claim},
	{"device", true, layer_device},
	{"geofence", true, layer_geofence},
	{"network", true, layer_network},
	{"face", true, layer_face},
};
const size_t layer_row_count = sizeof(layer_rows) / sizeof(layer_rows[0]);
_Static_assert(sizeof(layer_rows) / sizeof(layer_rows[0]) <= LAYERS_MAX, "every layer has a place for its finding");

static const char *const verdict_names[] = {"", "pass", "flag", "reject", "skip"};

enum err
layers_judge(struct mark_case *c, bool with_student)
{
	for (size_t i = 0; i < layer_row_count; i++)
		c->findings[i] = (struct finding){.verdict = VERDICT_UNSET};
	for (size_t i = 0; i < layer_row_count; i++) {
		if (layer_rows[i].of_student && !with_student)
			continue;
		c->findings[i] = layer_rows[i].judge(c);
		if (c->findings[i].verdict == VERDICT_REJECT)
			return c->findings[i].why;
	}
	return OK;
}

const char *
layers_json(struct arena *a, const struct mark_case *c)
{
	struct buf b;
	struct json j;

	buf_init(&b, a, 512);
	json_init(&j, &b);
	json_arr(&j, NULL);
	for (size_t i = 0; i < layer_row_count; i++) {
		const struct finding *f = &c->findings[i];
		if (f->verdict == VERDICT_UNSET || (f->verdict == VERDICT_SKIP && !f->detail))
			continue;
		json_obj(&j, NULL);
		json_str(&j, "layer", layer_rows[i].name);
		json_str(&j, "verdict", verdict_names[f->verdict]);
		if (f->detail)
			json_str(&j, "detail", f->detail);
		if (f->scored)
			json_num(&j, "score", f->score);
		if (f->scored && f->threshold > 0)
			json_num(&j, "threshold", f->threshold);
		json_obj_end(&j);
	}
	json_arr_end(&j);
	return buf_cstr(&b);
}

const char *
layers_unmeasured(struct arena *a, const char *layers)
{
	static const char *const told[] = {"layer", "verdict", "detail"};
	const json_t *said = json_read(a, span_str(layers)), *one;
	struct buf b;
	struct json j;
	size_t i;

	buf_init(&b, a, 512);
	json_init(&j, &b);
	json_arr(&j, NULL);
	json_array_foreach((json_t *)said, i, one)
	{
		json_obj(&j, NULL);
		for (size_t k = 0; k < sizeof(told) / sizeof(*told); k++)
			if (json_object_get(one, told[k]))
				json_str(&j, told[k], json_string_value(json_object_get(one, told[k])));
		json_obj_end(&j);
	}
	json_arr_end(&j);
	return buf_cstr(&b);
}

static const struct field layer_said_fields[] = {
	F(struct layer_said, layer, 0, 0, 0, "Which check"),
	F(struct layer_said, verdict, 0, 0, 0, "pass, flag, reject or skip"),
	F(struct layer_said, detail, F_NULLABLE, 0, 0, "Why, in plain words"),
};
const struct schema layer_said_schema = SCHEMA("Layer", struct layer_said, layer_said_fields);

struct list
layers_list(struct arena *a, const struct mark_case *c)
{
	struct layer_said *said = arena_new(a, struct layer_said, LAYERS_MAX);
	size_t n = 0;

	for (size_t i = 0; i < layer_row_count; i++) {
		const struct finding *f = &c->findings[i];
		if (f->verdict != VERDICT_UNSET)
			said[n++] = (struct layer_said){layer_rows[i].name, verdict_names[f->verdict], f->detail};
	}
	return (struct list){said, n};
}

int64_t
layers_distance_m(const struct mark_case *c)
{
	for (size_t i = 0; i < layer_row_count; i++)
		if (layer_rows[i].judge == layer_geofence && c->findings[i].scored)
			return llround(c->findings[i].score);
	return FIELD_NONE;
}

const char *
layers_flags(struct arena *a, const struct mark_case *c)
{
	struct buf b;

	buf_init(&b, a, 0);
	for (size_t i = 0; i < layer_row_count; i++) {
		if (c->findings[i].verdict != VERDICT_FLAG)
			continue;
		if (b.n)
			buf_chr(&b, ',');
		buf_str(&b, c->findings[i].flag);
	}
	return b.n ? buf_cstr(&b) : NULL;
}
