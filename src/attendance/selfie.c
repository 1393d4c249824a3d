/*
 * An object's name holds its day, so that a listing is in the order of time, and a UUID of version 7, whose time says to the sweep
 * whether the mark may still be under way.
 */
#include "attendance/selfie.h"

#include <string.h>

#include "attendance/case.h"
#include "attendance/review.h"
#include "audit/audit.h"
#include "core/image.h"
#include "net/storage.h"
#include "store/db.h"

#define SELFIES "selfies/"
enum { SWEEP_OBJECTS_MAX = 200 * STORAGE_PAGE };
#define ORPHAN_AGE_US HOURS_US /* no request lives that long */

static const char *
object_name(struct ctx *cx)
{
	char day[TIME_WIRE_BYTES + 1];
	struct uuid id = new_id(cx);

	time_to_wire(uuid_v7_time_us(id.text), day);
	return arena_printf(cx->arena, SELFIES "%.10s/%s", day, id.text);
}

/* -1 when the name is none of ours. */
static int64_t
object_time_us(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash && uuid_valid(slash + 1) ? uuid_v7_time_us(slash + 1) : -1;
}

static enum err
store(struct ctx *cx, struct span picture, struct selfie *s)
{
	struct image_info info;
	const char *why = NULL;

	(void)image_probe(picture, &info);
	s->object = object_name(cx);
	s->type = image_types[info.kind];
	if (storage_put(cx->srv->storage, cx->arena, s->object, s->type, picture, &why) != STORED)
		return fail_internal(cx, ERR_UNAVAILABLE, "%s", why);
	return OK;
}

enum err
selfie_prepare(struct ctx *cx, const struct mark_in *in, const struct span *pictures, int n, const struct selfie **ret)
{
	struct selfie *s = arena_new(cx->arena, struct selfie, 1);
	const struct face_answer *seen;
	struct mark_asks asks;

	*ret = s;
	TRY(attendance_mark_asks(cx, in, &asks));
	s->asked = asks.face;
	if (!asks.face)
		return OK;
	if (asks.liveness)
		s->liveness = liveness_open(cx, in->liveness_challenge, asks.event_id.text, n);
	struct span straight = pictures[s->liveness.straight];
	TRY(face_compare(cx, straight, &s->match, &seen));
	TRY(face_picture_check(cx, "selfie", s->match.verdict));
	if (s->liveness.challenge.text[0] && s->match.references && s->match.verdict == FACE_GOOD)
		TRY(liveness_judge(cx, pictures, seen, &s->liveness));
	return store(cx, straight, s);
}

SQL(SELFIE_ADD, "uuttm",
	"INSERT INTO selfies (attendance_id, user_id, object, content_type, created_at) VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (attendance_id) DO NOTHING");

enum err
selfie_keep(struct ctx *cx, const struct mark_case *c, const char *attendance_id)
{
	const struct selfie *s = c->in ? c->in->selfie : NULL;

	if (!s || !s->object || !case_asks(c).face)
		return OK;
	return db_exec(cx, &SELFIE_ADD, NULL, V(attendance_id), V(cx->actor->user_id.text), V(s->object), V(s->type), V(cx->now_us));
}

/* --- reading ---- */

struct stored_selfie {
	const char *object, *content_type;
};
static const struct field stored_selfie_fields[] = {
	F(struct stored_selfie, object, 0, 0, 0, NULL),
	F(struct stored_selfie, content_type, 0, 0, 0, NULL),
};
static const struct schema stored_selfie_schema = SCHEMA("StoredSelfie", struct stored_selfie, stored_selfie_fields);

SQL(SELFIE_OF_RECORD, "uu",
	"SELECT s.object, s.content_type FROM selfies s JOIN attendance_records r ON r.id = s.attendance_id"
	" JOIN events e ON e.id = r.event_id WHERE s.attendance_id = $1 AND NOT e.is_deleted {?2 AND e.owner_id = $2}");

struct reading {
	const char *attendance_id;
	struct stored_selfie found;
};

static enum err
read_row(struct ctx *cx, void *arg)
{
	struct reading *r = arg;
	const struct review_scope scope = review_scope_own(cx, NULL);

	TRY(db_one(cx, &SELFIE_OF_RECORD, &stored_selfie_schema, &r->found, V(r->attendance_id), V(scope.owner_id)));
	return audit_ok(cx, AUDIT_EXPORT, "selfie", r->attendance_id);
}

enum err
selfie_read(struct ctx *cx, const char *attendance_id, const char **ret_type, struct span *ret)
{
	struct reading r = {.attendance_id = attendance_id};
	const char *why = NULL;

	TRY(db_write(cx, read_row, &r));
	switch (storage_get(cx->srv->storage, cx->arena, r.found.object, ret, &why)) {
	case STORED:
		*ret_type = r.found.content_type;
		return OK;
	case STORED_ABSENT:
		return fail(cx, ERR_NOT_FOUND, NULL);
	default:
		return fail_internal(cx, ERR_UNAVAILABLE, "%s", why);
	}
}

/* --- jobs ---- */

struct old_selfie {
	struct uuid attendance_id;
	const char *object;
};
static const struct field old_selfie_fields[] = {
	F(struct old_selfie, attendance_id, 0, 0, 0, NULL),
	F(struct old_selfie, object, 0, 0, 0, NULL),
};
static const struct schema old_selfie_schema = SCHEMA("OldSelfie", struct old_selfie, old_selfie_fields);

SQL(SELFIES_OLD, "mi", "SELECT attendance_id, object FROM selfies WHERE created_at < $1 ORDER BY created_at LIMIT $2");
SQL(SELFIE_DROP, "u", "DELETE FROM selfies WHERE attendance_id = $1");

static enum err
read_old(struct ctx *cx, void *arg)
{
	int64_t before_us = cx->now_us - cx->srv->conf->selfie_retention_days * DAYS_US;

	return db_all(cx, &SELFIES_OLD, &old_selfie_schema, arg, V(before_us), V(BULK_TURN_ROWS));
}

static enum err
drop_old(struct ctx *cx, void *arg)
{
	const struct list *old = arg;

	for (size_t i = 0; i < old->count; i++)
		TRY(db_exec(cx, &SELFIE_DROP, NULL, V_ID(((const struct old_selfie *)old->items)[i].attendance_id)));
	return OK;
}

/* Objects first: a row without its object would only be an empty promise, an object without its row would stay. */
enum err
selfie_expire(struct ctx *cx, int64_t *ret_rows)
{
	const char *why = NULL;
	struct list old;

	*ret_rows = 0;
	do {
		TRY(db_read(cx, read_old, &old));
		for (size_t i = 0; i < old.count; i++)
			if (storage_delete(cx->srv->storage, cx->arena, ((const struct old_selfie *)old.items)[i].object, &why) != STORED)
				return fail_internal(cx, ERR_UNAVAILABLE, "%s", why);
		if (old.count)
			TRY(db_write_bulk(cx, drop_old, &old));
		*ret_rows += (int64_t)old.count;
	} while (old.count == BULK_TURN_ROWS);
	return OK;
}

SQL(SELFIE_IS_NAMED, "t", "SELECT COUNT(*) FROM selfies WHERE object = $1");

struct page {
	struct conf_list names;
	struct conf_list orphans;
};

static enum err
find_orphans(struct ctx *cx, void *arg)
{
	struct page *p = arg;
	int64_t named, before_us = cx->now_us - ORPHAN_AGE_US;

	p->orphans = (struct conf_list){arena_new(cx->arena, const char *, p->names.count), 0};
	for (size_t i = 0; i < p->names.count; i++) {
		int64_t at_us = object_time_us(p->names.items[i]);
		if (at_us < 0 || at_us >= before_us)
			continue;
		TRY(db_int(cx, &SELFIE_IS_NAMED, &named, V(p->names.items[i])));
		if (!named)
			p->orphans.items[p->orphans.count++] = p->names.items[i];
	}
	return OK;
}

enum err
selfie_sweep(struct ctx *cx, int64_t *ret_rows)
{
	const char *after = "", *why = NULL;
	struct page p;

	*ret_rows = 0;
	for (size_t seen = 0; seen < SWEEP_OBJECTS_MAX; seen += p.names.count) {
		if (storage_list(cx->srv->storage, cx->arena, SELFIES, after, &p.names, &why) != STORED)
			return fail_internal(cx, ERR_UNAVAILABLE, "%s", why);
		if (p.names.count == 0)
			break;
		after = p.names.items[p.names.count - 1];
		TRY(db_read(cx, find_orphans, &p));
		for (size_t i = 0; i < p.orphans.count; i++)
			if (storage_delete(cx->srv->storage, cx->arena, p.orphans.items[i], &why) != STORED)
				return fail_internal(cx, ERR_UNAVAILABLE, "%s", why);
		*ret_rows += (int64_t)p.orphans.count;
	}
	return OK;
}
