/*
 * The audit trail's one writer and its one list.
 *
 * Rows are only ever added here.  The list must stay quick on millions of rows, so it never counts further than a page may lie
 * (PAGE_DEPTH_MAX), finds the keys of a page in an index first and joins the texts to those few, and turns a range of time into a
 * range of `seq`: both grow together, but for the moments that a batch takes to commit and a clock that was set; SEQ_SLACK_US
 * allows for those, and created_at itself is compared as well.
 *
 * A student's marks are not in the index by actor (they are nearly all rows); a mark's audit row carries the very time of its
 * attendance record, so the record leads to it.
 */
#include "audit/audit.h"

#include <string.h>

#include "store/db.h"

enum { DETAILS_HINT = 160, SEQ_SLACK_MINUTES = 10 };
#define SEQ_SLACK_US (SEQ_SLACK_MINUTES * MINUTES_US)

const char *const audit_action_names[] = {
	"",
#define A(id, name) name,
#include "tables/audit.def"
#undef A
	NULL,
};

/* What a client sent, made fit for a row: bounded, and nothing but text. */
static const char *
clean_text(struct arena *a, const char *s, size_t max_bytes)
{
	size_t n = strnlen(s, max_bytes + 1);
	char *p;

	if (n > max_bytes) {
		n = max_bytes;
		while (n > 0 && ((uint8_t)s[n] & 0xC0) == 0x80)
			n--;
	}
	p = arena_strndup(a, s, n);
	bool valid = str_utf8_valid(span_str(p));
	for (char *q = p; *q; q++)
		if ((uint8_t)*q < 0x20 || *q == 0x7F || (!valid && (uint8_t)*q >= 0x80))
			*q = '?';
	return p;
}

static const char *
details_json(struct arena *a, const struct audit_entry *e)
{
	struct buf out;
	struct json j;

	buf_init(&out, a, DETAILS_HINT);
	json_init(&j, &out);
	json_obj(&j, NULL);
	for (size_t i = 0; i < e->n_notes; i++) {
		const struct audit_note *note = &e->notes[i];
		if (note->text)
			json_str(&j, note->name, note->text);
		else
			json_int(&j, note->name, note->number);
	}
	json_obj_end(&j);
	return buf_cstr(&out);
}

SQL(AUDIT_INSERT, "umttutttttt",
	"INSERT INTO audit_logs (id, created_at, action, result, actor_id, entity_type, entity_id, ip_address, user_agent,"
	" request_id, details) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11{+ FROM @}");

enum err
audit_write(struct ctx *cx, const struct audit_entry *e)
{
	struct uuid id = new_id(cx);
	const char *actor = e->actor_id ? e->actor_id : cx->actor ? cx->actor->user_id.text : NULL;

	if (e->action <= AUDIT_NONE || e->action >= AUDIT__MAX)
		BUG("audit action %d", (int)e->action);
	return db_exec(cx, &AUDIT_INSERT, NULL, V_ID(id), V(cx->now_us), V(audit_action_names[e->action]), V(e->result), V(actor),
		V(e->entity_type), V(e->entity_id), V(cx->client->ip),
		V(clean_text(cx->arena, cx->client->user_agent, USER_AGENT_MAX)),
		V(clean_text(cx->arena, cx->client->request_id, REQUEST_ID_MAX)), V(details_json(cx->arena, e)));
}

enum err
audit_failure(struct ctx *cx, enum audit_action action, enum err why)
{
	const struct audit_note notes[] = {AUDIT_TEXT("reason", err_row(why)->code)};

	return audit_write(cx, &(const struct audit_entry){.action = action, .result = "failure", .notes = notes, .n_notes = 1});
}

/* --- the list ---- */

static const struct field audit_actor_fields[] = {
	F(struct audit_actor, id, 0, 0, 0, "Account."),
	F(struct audit_actor, email, F_NULLABLE, 0, 0, "Its address; null when the account is gone."),
};
static const struct schema audit_actor_schema = SCHEMA("AuditActor", struct audit_actor, audit_actor_fields);

static const struct field audit_row_fields[] = {
	F(struct audit_row, id, 0, 0, 0, "Id of the row."),
	F(struct audit_row, created_at, F_TIME, 0, 0, "When it happened."),
	F(struct audit_row, action, 0, 0, 0, "What was done or tried."),
	F(struct audit_row, result, 0, 0, 0, "success, failure, or pending when a second factor is due."),
	F_PTR(struct audit_row, actor, F_NULLABLE, &audit_actor_schema,
		"Who did it; null: nobody signed in, or the server itself."),
	F(struct audit_row, entity_type, F_NULLABLE, 0, 0, "Kind of thing it was done to."),
	F(struct audit_row, entity_id, F_NULLABLE, 0, 0, "Which one."),
	F(struct audit_row, ip_address, 0, 0, 0, "Client's address; empty for the server itself."),
	F(struct audit_row, user_agent, 0, 0, 0, "Client's User-Agent, shortened."),
	F(struct audit_row, request_id, 0, 0, 0, "X-Request-ID of the request."),
	F(struct audit_row, details, F_JSON, 0, 0, "What else is known, as an object."),
};
const struct schema audit_row_schema = SCHEMA("AuditRow", struct audit_row, audit_row_fields);

SQL(AUDIT_SEQ_FROM, "m", "SELECT seq FROM audit_logs WHERE created_at >= $1 ORDER BY created_at, seq LIMIT 1");
SQL(AUDIT_SEQ_TO, "m", "SELECT seq FROM audit_logs WHERE created_at <= $1 ORDER BY created_at DESC, seq DESC LIMIT 1");

/* The range of seq that holds the range of time; *ret_empty when no row lies there. */
static enum err
seq_range(struct ctx *cx, const struct audit_filter *f, int64_t *ret_from, int64_t *ret_to, bool *ret_empty)
{
	*ret_from = *ret_to = FIELD_NONE;
	*ret_empty = false;
	if (f->from_us != TIME_NONE) {
		TRY(db_int(cx, &AUDIT_SEQ_FROM, ret_from, V(f->from_us - SEQ_SLACK_US)));
		*ret_empty = *ret_from == 0;
	}
	if (f->to_us != TIME_NONE) {
		TRY(db_int(cx, &AUDIT_SEQ_TO, ret_to, V(f->to_us + SEQ_SLACK_US)));
		*ret_empty = *ret_empty || *ret_to == 0;
	}
	return OK;
}

#define AUDIT_COLUMNS                                                                                      \
	" l.id, l.created_at, l.action, l.result, l.actor_id AS \"actor.id\", u.email AS \"actor.email\"," \
	" l.entity_type, l.entity_id, l.ip_address, l.user_agent, l.request_id, l.details"
#define AUDIT_PAGE_JOIN " k JOIN audit_logs l ON l.seq = k.seq LEFT JOIN users u ON u.id = l.actor_id ORDER BY l.seq DESC"
#define AUDIT_RANGE(a) \
	"{?2 AND " a ".seq >= $2}{?3 AND " a ".seq <= $3}{?4 AND " a ".created_at >= $4}{?5 AND " a ".created_at <= $5}"

/* $1 action, $2 $3 range of seq, $4 $5 range of time, $6 how many, $7 how many before */
#define AUDIT_KEYS "SELECT a.seq FROM audit_logs a WHERE a.seq > 0{?1 AND a.action = $1}" AUDIT_RANGE("a")
SQL(AUDIT_PAGE, "tiimmii",
	"SELECT" AUDIT_COLUMNS " FROM (" AUDIT_KEYS " ORDER BY a.seq DESC LIMIT $6 OFFSET $7)" AUDIT_PAGE_JOIN);
SQL(AUDIT_COUNT, "tiimmi", "SELECT count(*) FROM (" AUDIT_KEYS " LIMIT $6) k");
/*
 * Two queries, since only a lone min() or max() is read from the end of an index.  No row is ever removed from the middle; but a shared
 * database's numbers have holes, of transactions that were undone, so there it is good for a trail that is too long to count.
 */
SQL(AUDIT_SPAN, "", "SELECT coalesce((SELECT max(seq) FROM audit_logs) - (SELECT min(seq) FROM audit_logs) + 1, 0)");

/* The same of one actor, all but marks: $8 the actor */
#define AUDIT_ACTOR_KEYS                                                                                              \
	"SELECT a.seq FROM audit_logs a WHERE a.actor_id = $8 AND a.action <> 'attendance_marked'{?1 AND a.action = " \
	"$1}" AUDIT_RANGE("a")
/* The empty text and the zero keep planners from walking the index of all marks, or all rows backwards. */
#define AUDIT_MARK_KEYS                                                                                               \
	"SELECT a.seq FROM attendance_records r JOIN audit_logs a ON a.created_at = r.recorded_at"                    \
	" WHERE r.user_id = $8 AND a.actor_id = $8 AND a.action || '' = 'attendance_marked'{?1 AND a.action || '' = " \
	"$1}" AUDIT_RANGE("a")
/* Each half gives no more than the page can need ($9), so that a busy administrator's rows are not all sorted. */
#define AUDIT_ACTOR_BOTH                                      \
	"SELECT seq FROM (SELECT seq FROM (" AUDIT_ACTOR_KEYS \
	" ORDER BY a.seq DESC LIMIT $9) b UNION SELECT seq FROM (" AUDIT_MARK_KEYS " ORDER BY a.seq + 0 DESC LIMIT $9) c) d"
SQL(AUDIT_ACTOR_PAGE, "tiimmiiui",
	"SELECT" AUDIT_COLUMNS " FROM (" AUDIT_ACTOR_BOTH " ORDER BY seq DESC LIMIT $6 OFFSET $7)" AUDIT_PAGE_JOIN);
SQL(AUDIT_ACTOR_COUNT, "tiimmiiui", "SELECT count(*) FROM (" AUDIT_ACTOR_BOTH " LIMIT $6 OFFSET $7) k");

enum err
audit_list(struct ctx *cx, const struct audit_filter *f, struct list *ret, int64_t *ret_total)
{
	struct val action = V(f->action > 0 ? audit_action_names[f->action] : NULL);
	int64_t depth = f->page * f->limit, skip = depth - f->limit, count_max = PAGE_DEPTH_MAX + 1, from, to, total = 0;
	bool filtered = action.kind != VAL_NULL || f->from_us != TIME_NONE || f->to_us != TIME_NONE, empty;

	if (depth > PAGE_DEPTH_MAX)
		return fail(cx, ERR_PAGE_TOO_DEEP, NULL);
	TRY(seq_range(cx, f, &from, &to, &empty));
	if (empty) {
		*ret = (struct list){0};
		*ret_total = 0;
		return OK;
	}
	if (f->user_id.text[0]) {
		TRY(db_int(cx, &AUDIT_ACTOR_COUNT, &total, action, V(from), V(to), V(f->from_us), V(f->to_us), V(count_max),
			V((int64_t)0), V_ID(f->user_id), V(count_max)));
		TRY(db_all(cx, &AUDIT_ACTOR_PAGE, &audit_row_schema, ret, action, V(from), V(to), V(f->from_us), V(f->to_us),
			V(f->limit), V(skip), V_ID(f->user_id), V(depth)));
	} else {
		TRY(db_all(cx, &AUDIT_PAGE, &audit_row_schema, ret, action, V(from), V(to), V(f->from_us), V(f->to_us),
			V(f->limit), V(skip)));
		if (filtered || db_is_shared(cx->srv->store))
			TRY(db_int(cx, &AUDIT_COUNT, &total, action, V(from), V(to), V(f->from_us), V(f->to_us), V(count_max)));
		if (!filtered && (!db_is_shared(cx->srv->store) || total == count_max))
			TRY(db_int(cx, &AUDIT_SPAN, &total));
	}
	*ret_total = total;
	return OK;
}
