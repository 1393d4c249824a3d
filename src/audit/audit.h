/*
 * The audit trail: append-only rows.  A success is written by the domain function that did it, inside its own transaction; a refusal
 * is written by the dispatcher after the undo, in the same batch, from the route's `failure` action.  So nothing that is done
 * or refused leaves without a trace.
 */
#ifndef MUSTER_AUDIT_AUDIT_H
#define MUSTER_AUDIT_AUDIT_H

#include "core/ctx.h"
#include "core/field.h"

enum audit_action {
	AUDIT_NONE = 0,
#define A(id, name) AUDIT_##id,
#include "tables/audit.def"
#undef A
	AUDIT__MAX
};
extern const char *const audit_action_names[]; /* [0] "", NULL-terminated */

struct audit_note {
	const char *name, *text; /* text NULL: number */
	int64_t number;
};
#define AUDIT_TEXT(n, v) ((struct audit_note){.name = (n), .text = (v) ? (v) : ""})
#define AUDIT_INT(n, v) ((struct audit_note){.name = (n), .number = (v)})

struct audit_entry {
	enum audit_action action;
	const char *result;      /* "success", "failure"; "pending": a login that owes its second factor */
	const char *actor_id;    /* NULL: cx->actor, or nobody */
	const char *entity_type; /* "user", "event", "qr_session", "attendance_record" …; NULL: none */
	const char *entity_id;   /* NULL: none */
	const struct audit_note *notes; /* become the JSON detail; never a token, code or password */
	size_t n_notes;
};
/* Writes one row with cx's time, client and actor. */
enum err audit_write(struct ctx *cx, const struct audit_entry *e) MUST_CHECK;

/* audit_ok(cx, AUDIT_EVENT_CREATED, "event", id, AUDIT_TEXT("title", t)) */
#define audit_ok(cx, act, type, id, ...)                                                                               \
	audit_write((cx), &(const struct audit_entry){                                                                 \
				  .action = (act), .result = "success", .entity_type = (type), .entity_id = (id),      \
				  .notes = (const struct audit_note[]){__VA_ARGS__ __VA_OPT__(, ){0}},                 \
				  .n_notes = sizeof((const struct audit_note[]){__VA_ARGS__ __VA_OPT__(, ){0}}) /      \
						     sizeof(struct audit_note) - 1})

/* The row of a refusal: reason is the error's stable code. */
enum err audit_failure(struct ctx *cx, enum audit_action action, enum err why) MUST_CHECK;

/* The list for admins, newest first.  With a filter *ret_total counts no further than PAGE_DEPTH_MAX + 1. */
struct audit_filter {
	int action;          /* 0: all */
	struct uuid user_id; /* empty: all */
	int64_t from_us, to_us; /* TIME_NONE: open */
	int64_t page, limit;
};
struct audit_actor {
	struct uuid id;
	const char *email;
};
struct audit_row {
	struct uuid id;
	int64_t created_at;
	const char *action, *result;
	struct audit_actor *actor;
	const char *entity_type, *entity_id, *ip_address, *user_agent, *request_id, *details;
};
extern const struct schema audit_row_schema;
enum err audit_list(struct ctx *cx, const struct audit_filter *f, struct list *ret, int64_t *ret_total) MUST_CHECK;

#endif
