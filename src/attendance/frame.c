/*
 * What a screen shows: the turn that keeps frames and counts going.
 *
 * A slot is named by the second it begins.  The code of a slot that was withdrawn is followed at once by another, named by the
 * second it was made; every node takes the newest of the slot that stands, so all show the same within a turn.
 */
#include "attendance/display.h"

#include <stdlib.h>
#include <string.h>

#include "attendance/count.h"
#include "attendance/rotation.h"
#include "attendance/session_qr.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/keys.h"
#include "core/log.h"
#include "store/db.h"

static const struct field frame_event_fields[] = {
	F(struct frame_event, id, 0, 0, 0, "Event"),
	F(struct frame_event, title, 0, 0, 0, "Its title"),
	F(struct frame_event, notes, F_NULLABLE, 0, 0, "The room, or another note"),
	F(struct frame_event, scheduled_at, F_TIME, 0, 0, "Its beginning"),
	F(struct frame_event, ends_at, F_TIME | F_NULLABLE, 0, 0, "Its end"),
};
static const struct schema frame_event_schema = SCHEMA("FrameEvent", struct frame_event, frame_event_fields);
static const struct field frame_fields[] = {
	F(struct frame, session_id, 0, 0, 0, "The code's id"),
	F(struct frame, qr_payload, F_SECRET, 0, 0, "What the QR picture says"),
	F(struct frame, code, F_SECRET, 0, 0, "The same to be typed"),
	F(struct frame, issued_at, F_TIME, 0, 0, "When it was made"),
	F(struct frame, expires_at, F_TIME, 0, 0, "Until when it is good"),
	F(struct frame, rotates_at, F_TIME, 0, 0, "When the next one comes"),
	F_OBJ(struct frame, event, &frame_event_schema, "What it marks"),
	F(struct frame, count, 0, 0, 0, "How many are present, late or flagged"),
	F(struct frame, server_time, F_TIME, 0, 0, "Now"),
};
const struct schema frame_schema = SCHEMA("Frame", struct frame, frame_fields);

struct shown { /* what the screens of one event have seen */
	struct shown *next;
	struct uuid event_id;
	char nonce[QR_NONCE_MAX + 1]; /* of the code that is shown */
	int64_t rotates_us;	      /* wall */
	int64_t count, looked_us;     /* monotonic */
	bool wanted;		  /* in this turn */
};
struct displays {
	struct shown *events;
};

struct displays *
displays_open(void)
{
	struct displays *d = calloc(1, sizeof(*d));

	if (!d)
		BUG("out of memory");
	return d;
}

void
displays_close(struct displays *d)
{
	for (struct shown *s = d ? d->events : NULL, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(d);
}

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

struct screen_event {
	const char *kind, *title, *notes;
	int64_t scheduled_at, ends_at, closed_at, count;
};
static const struct field screen_event_fields[] = {
	F(struct screen_event, kind, 0, 0, 0, NULL),
	F(struct screen_event, title, 0, 0, 0, NULL),
	F(struct screen_event, notes, 0, 0, 0, NULL),
	F(struct screen_event, scheduled_at, F_TIME, 0, 0, NULL),
	F(struct screen_event, ends_at, F_TIME, 0, 0, NULL),
	F(struct screen_event, closed_at, F_TIME, 0, 0, NULL),
	F(struct screen_event, count, 0, 0, 0, NULL),
};
static const struct schema screen_event_schema = SCHEMA("ScreenEvent", struct screen_event, screen_event_fields);

struct screen_code {
	struct uuid id;
	const char *token, *key_id;
	int64_t created_at, expires_at;
};
static const struct field screen_code_fields[] = {
	F(struct screen_code, id, 0, 0, 0, NULL),
	F(struct screen_code, token, 0, 0, 0, NULL),
	F(struct screen_code, key_id, 0, 0, 0, NULL),
	F(struct screen_code, created_at, F_TIME, 0, 0, NULL),
	F(struct screen_code, expires_at, F_TIME, 0, 0, NULL),
};
static const struct schema screen_code_schema = SCHEMA("ScreenCode", struct screen_code, screen_code_fields);

struct slot {
	int64_t begins_s, period_s;
};

static struct slot
slot_at(const struct config *conf, int64_t at_us)
{
	int64_t life_s = conf->qr_expiry_seconds;
	struct slot s = {.period_s = life_s > 2 * ROTATION_LEAD_S ? life_s - ROTATION_LEAD_S : life_s / 2};

	s.begins_s = at_us / SECONDS_US / s.period_s * s.period_s;
	return s;
}

struct look {
	const char *event_id, *user_id;
	struct slot slot;
	struct screen_event event;
	struct screen_code code;
	struct session_code session; /* instead of `code`, of a session */
	bool over, is_session, has_code;
	int64_t withdrawn;  /* codes of this slot that no longer stand */
	const char *latest; /* JSON list of names */
};

SQL(SCREEN_EVENT, "u",
	"SELECT e.kind, e.title, e.notes, e.scheduled_at, e.ends_at, e.closed_at, COALESCE((SELECT c.attended FROM event_counts c WHERE c.event_id = e.id), 0)"
	" + (SELECT COUNT(*) FROM attendance_records r WHERE r.event_id = e.id AND r.id > " COUNTED_TO
	" AND r.status IN ('present', 'late', 'flagged')) AS count FROM events e WHERE e.id = $1 AND NOT e.is_deleted");
SQL(SCREEN_CODE, "uim",
	"SELECT id, token, key_id, created_at, expires_at FROM qr_sessions WHERE event_id = $1 AND slot >= $2 AND NOT is_revoked"
	" AND expires_at > $3 ORDER BY slot DESC LIMIT 1");
SQL(SCREEN_WITHDRAWN, "ui", "SELECT COUNT(*) FROM qr_sessions WHERE event_id = $1 AND slot >= $2 AND is_revoked");

struct name {
	const char *full_name;
};
static const struct field name_fields[] = {
	F(struct name, full_name, 0, 0, 0, NULL),
};
static const struct schema name_schema = SCHEMA("ScreenName", struct name, name_fields);

SQL(SCREEN_LATEST, "ui",
	"SELECT u.full_name FROM attendance_records r JOIN users u ON u.id = r.user_id WHERE r.event_id = $1"
	" AND r.status IN ('present', 'late', 'flagged') ORDER BY r.id DESC LIMIT $2");

static enum err
look_latest(struct ctx *cx, struct look *l)
{
	struct list names;
	struct json j;
	struct buf out;

	TRY(db_all(cx, &SCREEN_LATEST, &name_schema, &names, V(l->event_id), V((int64_t)LATEST_NAMES)));
	const struct name *rows = names.items;
	buf_init(&out, cx->arena, 256);
	json_init(&j, &out);
	json_arr(&j, NULL);
	for (size_t i = 0; i < names.count; i++)
		json_str(&j, NULL, rows[i].full_name);
	json_arr_end(&j);
	l->latest = buf_cstr(&out);
	return OK;
}

/* Nothing is made for a session: its codes are computed. */
static enum err
look_session(struct ctx *cx, struct look *l)
{
	struct campus_session session;

	TRY(campus_session_any(cx, l->event_id, &session));
	session_code_of(cx, &session, &l->session);
	l->session.count = l->event.count;
	l->session.server_time = cx->now_us;
	l->has_code = true;
	return look_latest(cx, l);
}

static enum err
look_run(struct ctx *cx, void *arg)
{
	struct look *l = arg;
	bool found;

	TRY(db_find(cx, &SCREEN_EVENT, &screen_event_schema, &l->event, &found, V(l->event_id)));
	l->over = !found || l->event.closed_at != TIME_NONE || (l->event.ends_at != TIME_NONE && l->event.ends_at <= cx->now_us);
	if (l->over)
		return OK;
	l->is_session = str_eq(l->event.kind, "session");
	if (l->is_session)
		return look_session(cx, l);
	TRY(db_find(cx, &SCREEN_CODE, &screen_code_schema, &l->code, &l->has_code, V(l->event_id), V(l->slot.begins_s),
		V(cx->now_us)));
	if (!l->has_code)
		TRY(db_int(cx, &SCREEN_WITHDRAWN, &l->withdrawn, V(l->event_id), V(l->slot.begins_s)));
	return look_latest(cx, l);
}

SQL(SLOT_INSERT, "uuttiumm",
	"INSERT INTO qr_sessions (id, event_id, token, key_id, slot, created_by, created_at, expires_at, is_revoked)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE) ON CONFLICT (event_id, slot) DO NOTHING");

/* Another node may be faster; then its code is the slot's. */
static enum err
make_run(struct ctx *cx, void *arg)
{
	const struct look *l = arg;
	struct uuid id = new_id(cx);
	char nonce[QR_NONCE_CHARS + 1];
	int64_t slot = l->withdrawn ? cx->now_us / SECONDS_US : l->slot.begins_s;
	int64_t expires_at = (l->slot.begins_s + l->slot.period_s + ROTATION_LEAD_S) * SECONDS_US;

	qr_nonce(cx, nonce);
	return db_exec(cx, &SLOT_INSERT, NULL, V_ID(id), V(l->event_id), V((const char *)nonce),
		V(key_current(cx->srv->keys, KEY_QR)->id), V(slot), V(l->user_id), V(cx->now_us), V(expires_at));
}

/* --- showing ---------------------------------------------------------------------------------------------------------------- */

static int64_t
rotates_at(const struct look *l)
{
	return l->is_session ? l->session.rotates_at : (l->slot.begins_s + l->slot.period_s) * SECONDS_US;
}

static void
frame_of_event(struct ctx *cx, const struct look *l, struct json *j)
{
	struct frame f = {.session_id = l->code.id,
		.qr_payload = qr_payload(cx, l->code.id.text, l->code.token, l->code.expires_at),
		.issued_at = l->code.created_at,
		.expires_at = l->code.expires_at,
		.rotates_at = rotates_at(l),
		.event = {.title = l->event.title, .notes = l->event.notes, .scheduled_at = l->event.scheduled_at, .ends_at = l->event.ends_at},
		.count = l->event.count,
		.server_time = cx->now_us};
	char code[SHORT_CODE_CHARS + 1];

	str_copy(f.event.id.text, sizeof(f.event.id.text), l->event_id);
	qr_short_code(cx, l->code.key_id, l->code.id.text, l->code.token, code);
	f.code = code;
	field_write_json(j, NULL, &frame_schema, &f);
}

static void
frame_write(struct ctx *cx, const struct look *l, struct buf *out)
{
	struct buf data;
	struct json j;

	buf_init(&data, cx->arena, 1024);
	json_init(&j, &data);
	if (l->is_session)
		field_write_json(&j, NULL, &session_frame_schema, &l->session);
	else
		frame_of_event(cx, l, &j);
	sse_event(out, "frame", NULL, buf_cstr(&data));
}

static void
count_write(struct ctx *cx, const struct look *l, struct buf *out)
{
	sse_event(out, "count", NULL,
		arena_printf(cx->arena, "{\"count\":%lld,\"latest\":%s}", (long long)l->event.count, l->latest));
}

static void
show(struct ctx *cx, struct shown *s, const struct look *l)
{
	const char *nonce = l->is_session ? l->session.qr_nonce : l->code.token;
	bool new_code = strcmp(s->nonce, nonce) != 0, new_count = s->count != l->event.count;
	struct buf frame, count;

	buf_init(&frame, cx->arena, 1500);
	buf_init(&count, cx->arena, 500);
	frame_write(cx, l, &frame);
	count_write(cx, l, &count);
	if (new_code)
		live_send(cx->srv->live, l->event_id, buf_span(&frame));
	if (new_count)
		live_send(cx->srv->live, l->event_id, buf_span(&count));
	buf_add(&frame, count.p, count.n);
	live_greet(cx->srv->live, l->event_id, buf_span(&frame));
	str_copy(s->nonce, sizeof(s->nonce), nonce);
	s->rotates_us = rotates_at(l);
	s->count = l->event.count;
}

/* The slot's code is looked up again after it was made: what is there is what counts. */
static enum err
look(struct ctx *cx, struct look *l)
{
	TRY(db_read(cx, look_run, l));
	if (l->over || l->has_code)
		return OK;
	TRY(db_write(cx, make_run, l));
	return db_read(cx, look_run, l);
}

static void
show_event(struct ctx *cx, struct shown *s, const struct live_event *e)
{
	struct look l = {.event_id = e->id.text, .user_id = e->user_id.text, .slot = slot_at(cx->srv->conf, cx->now_us)};
	enum err err = look(cx, &l);

	if (err != OK) {
		log_warning(cx, "display.failed", cx->error.internal ? cx->error.internal : err_row(err)->name,
			LOG_TEXT("event_id", e->id.text));
		error_clear(cx);
	} else if (l.over) {
		live_end(cx->srv->live, e->id.text, SPAN_LIT("event: ended\ndata: {}\n\n"));
	} else if (l.has_code) {
		show(cx, s, &l);
	}
}

static struct shown *
shown_of(struct displays *d, const struct uuid *event_id)
{
	struct shown *s = d->events;

	while (s && strcmp(s->event_id.text, event_id->text) != 0)
		s = s->next;
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		BUG("out of memory");
	s->event_id = *event_id;
	s->count = -1;
	s->next = d->events;
	d->events = s;
	return s;
}

static void
drop_unwanted(struct displays *d)
{
	for (struct shown **at = &d->events, *s; (s = *at);) {
		if (s->wanted) {
			s->wanted = false;
			at = &s->next;
		} else {
			*at = s->next;
			free(s);
		}
	}
}

void
displays_turn(struct ctx *cx, struct displays *d)
{
	struct live_event *events;
	size_t n = live_events(cx->srv->live, cx->arena, &events);
	int64_t now_us = cx->srv->source.monotonic_us(cx->srv->source.arg);

	for (size_t i = 0; i < n; i++) {
		struct shown *s = shown_of(d, &events[i].id);
		int64_t since_ms = (now_us - s->looked_us) / 1000;

		s->wanted = true;
		bool due = events[i].joined || cx->now_us >= s->rotates_us;
		if (!due && since_ms < (events[i].changed ? COUNT_EVERY_MS : RECOUNT_EVERY_MS)) {
			if (events[i].changed) /* its turn is not now; it stays marked */
				live_publish(cx->srv->live, LIVE_EVENT, events[i].id.text, (struct span){NULL, 0});
			continue;
		}
		s->looked_us = now_us;
		show_event(cx, s, &events[i]);
	}
	drop_unwanted(d);
}
