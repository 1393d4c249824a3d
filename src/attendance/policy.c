/* One table of members and words, for those who write a policy and those who read one. */
#include "attendance/policy.h"

#include <stddef.h>
#include <string.h>

#include "core/field.h"
#include "core/json.h"

enum { POLICY_MAX_BYTES = 1000 };

static const char *const layer_words[] = {
	[LAYER_POLICY_UNSET] = "", [LAYER_FLAG] = "flag", [LAYER_REJECT] = "reject", [LAYER_OFF] = "off", NULL};
static const char *const claim_words[] = {
	[CLAIM_POLICY_UNSET] = "", [CLAIM_POLICY_ON] = "on", [CLAIM_POLICY_FLAG] = "flag", [CLAIM_POLICY_OFF] = "off", NULL};

static const struct member {
	const char *name, *const *words;
	size_t offset; /* of an int in struct policy */
} members[] = {
	{"device", layer_words, offsetof(struct policy, device)},
	{"geofence", layer_words, offsetof(struct policy, geofence)},
	{"network", layer_words, offsetof(struct policy, network)},
	{"face", layer_words, offsetof(struct policy, face)},
	{"claim", claim_words, offsetof(struct policy, claim)},
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

static int
said(const struct member *m, const json_t *value)
{
	const char *word = json_string_value(value);

	return word ? enum_index(m->words, word) : 0;
}

static bool
member_ok(const char *name, const json_t *value)
{
	for (int i = 0; i < MEMBERS; i++)
		if (str_eq(members[i].name, name))
			return said(&members[i], value) != 0;
	return false;
}

void
policy_check(struct ctx *cx, const char *text)
{
	json_t *object = strnlen(text, POLICY_MAX_BYTES + 1) <= POLICY_MAX_BYTES ? json_read(cx->arena, span_str(text)) : NULL;
	const char *name;
	json_t *value;

	if (!json_is_object(object)) {
		error_field(cx, "policy", "must be an object");
		return;
	}
	json_object_foreach(object, name, value) if (!member_ok(name, value))
		error_field(cx, "policy", "takes device, geofence, network, face (off, flag, reject) and claim (off, flag, on)");
}

struct policy
policy_read(struct arena *a, const char *text)
{
	const json_t *object = text ? json_read(a, span_str(text)) : NULL;
	struct policy p = {0};

	for (int i = 0; object && i < MEMBERS; i++)
		*(int *)((char *)&p + members[i].offset) = said(&members[i], json_object_get(object, members[i].name));
	return p;
}
