/*
 * Old rows in files.
 *
 * A file holds the rows of whole seals, one JSON object a line, compressed; it is complete and on the disk, and so is its name, before
 * the database is told of it, and only then a seal's rows go, seal by seal.  A crash in between leaves a file that the next run writes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "audit/seal.h"
#include "core/conf.h"
#include "core/fault.h"
#include "core/file.h"
#include "core/json.h"
#include "core/log.h"

enum { FILE_SEALS_MAX = 200, LINE_MAX_BYTES = 64 << 10 };

static const char *
archive_path(struct ctx *cx, const char *name)
{
	return arena_printf(cx->arena, "%s/archive/%s", cx->srv->conf->data_dir, name);
}

/* --- reading --------------------------------------------------------------------------------------------------------------- */

static void
close_gz(gzFile *f)
{
	if (*f)
		gzclose(*f);
}

static bool
row_of_line(struct ctx *cx, const char *line, struct trail_row *ret)
{
	const json_t *j = json_read(cx->arena, span_str(line));
	const json_t *seq = json_object_get(j, "seq"), *at = json_object_get(j, "created_at_us");
#define TEXT_OF(member) json_string_value(json_object_get(j, #member))
	struct trail_row r = {.action = TEXT_OF(action),
		.result = TEXT_OF(result),
		.entity_type = TEXT_OF(entity_type),
		.entity_id = TEXT_OF(entity_id),
		.ip_address = TEXT_OF(ip_address),
		.user_agent = TEXT_OF(user_agent),
		.request_id = TEXT_OF(request_id),
		.details = TEXT_OF(details)};
	const char *id = TEXT_OF(id), *actor = TEXT_OF(actor_id);
#undef TEXT_OF

	if (!json_is_integer(seq) || !json_is_integer(at) || !id)
		return false;
	r.seq = json_integer_value(seq);
	r.created_at = json_integer_value(at);
	str_copy(r.id.text, sizeof(r.id.text), id);
	str_copy(r.actor_id.text, sizeof(r.actor_id.text), actor ? actor : "");
	*ret = r;
	return true;
}

enum err
archive_read(struct ctx *cx, const struct seal *s, struct list *ret)
{
	CLEANUP(close_gz) gzFile f = strchr(s->archived_file, '/') ? NULL : gzopen(archive_path(cx, s->archived_file), "rb");
	struct trail_row *rows = arena_new(cx->arena, struct trail_row, (size_t)s->row_count + 1);
	char *line = arena_alloc(cx->arena, LINE_MAX_BYTES, 1);
	size_t n = 0;
	int status;

	if (!f)
		return fail(cx, ERR_NOT_FOUND, "There is no archive of these rows.");
	while (n <= (size_t)s->row_count && gzgets(f, line, LINE_MAX_BYTES)) {
		struct trail_row r;
		if (!row_of_line(cx, line, &r))
			return fail(cx, ERR_NOT_FOUND, "The archive is damaged.");
		if (r.seq > s->to_seq)
			break;
		if (r.seq >= s->from_seq)
			rows[n++] = r;
	}
	(void)gzerror(f, &status);
	if (status != Z_OK && status != Z_STREAM_END)
		return fail(cx, ERR_NOT_FOUND, "The archive is damaged.");
	*ret = (struct list){rows, n};
	return OK;
}

/* --- writing --------------------------------------------------------------------------------------------------------------- */

static void
write_row(struct buf *out, const struct trail_row *r)
{
	struct json j;

	json_init(&j, out);
	json_obj(&j, NULL);
	json_int(&j, "seq", r->seq);
	json_str(&j, "id", r->id.text);
	json_int(&j, "created_at_us", r->created_at);
	json_time(&j, "created_at", r->created_at);
	json_str(&j, "action", r->action);
	json_str(&j, "result", r->result);
	json_str(&j, "actor_id", r->actor_id.text[0] ? r->actor_id.text : NULL);
	json_str(&j, "entity_type", r->entity_type);
	json_str(&j, "entity_id", r->entity_id);
	json_str(&j, "ip_address", r->ip_address);
	json_str(&j, "user_agent", r->user_agent);
	json_str(&j, "request_id", r->request_id);
	json_str(&j, "details", r->details);
	json_obj_end(&j);
	buf_chr(out, '\n');
}

struct moving {
	const struct seal *seal;
	const char *name;
	struct list rows;
};

static enum err
moving_read(struct ctx *cx, void *arg)
{
	struct moving *m = arg;

	return db_all(
		cx, trail_range, &trail_row_schema, &m->rows, V(m->seal->from_seq), V(m->seal->to_seq), V(m->seal->row_count));
}

static enum err
write_seal(struct ctx *cx, gzFile f, const struct seal *s)
{
	struct moving m = {.seal = s};
	struct arena a;
	struct ctx one = *cx;
	struct buf out;

	arena_init(&a);
	one.arena = &a;
	enum err e = db_read(&one, moving_read, &m);
	buf_init(&out, &a, 1 << 16);
	for (size_t i = 0; e == OK && i < m.rows.count; i++)
		write_row(&out, &((const struct trail_row *)m.rows.items)[i]);
	bool written = e == OK && m.rows.count == (size_t)s->row_count && !FAULT("file.write") &&
		       gzwrite(f, out.p, (unsigned)out.n) == (int)out.n;
	arena_release(&a);
	if (!written)
		return fail_internal(cx, ERR_UNAVAILABLE, "seal %lld cannot be archived: rows are missing, or the disk is full",
			(long long)s->seq);
	return OK;
}

static enum err
write_file(struct ctx *cx, const struct seal *seals, size_t n, const char *path)
{
	const char *draft = arena_printf(cx->arena, "%s.new", path);
	int fd = FAULT("file.open") ? -1 : open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	gzFile f = fd >= 0 ? gzdopen(fd, "wb6") : NULL;
	enum err e = OK;

	if (!f)
		return fail_internal(cx, ERR_UNAVAILABLE, "%s: %s", draft, strerror(errno));
	for (size_t i = 0; e == OK && i < n; i++)
		e = write_seal(cx, f, &seals[i]);
	int closed = gzclose(f);
	TRY(e);
	if (closed != Z_OK || !file_sync(draft) || FAULT("file.rename") || rename(draft, path) != 0 ||
		!file_sync(archive_path(cx, "")) || !file_sync(cx->srv->conf->data_dir))
		return fail_internal(cx, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	return OK;
}

SQL(SEAL_ARCHIVED, "it", "UPDATE audit_seals SET archived_file = $2 WHERE seq = $1 AND archived_file IS NULL");
SQL(TRAIL_REMOVE, "ii", "DELETE FROM audit_logs WHERE seq >= $1 AND seq <= $2");

static enum err
remove_rows(struct ctx *cx, void *arg)
{
	const struct moving *m = arg;

	TRY(db_exec(cx, &SEAL_ARCHIVED, NULL, V(m->seal->seq), V(m->name)));
	return db_exec(cx, &TRAIL_REMOVE, NULL, V(m->seal->from_seq), V(m->seal->to_seq));
}

SQL(SEALS_OLD, "mi",
	"SELECT seq, from_seq, to_seq, row_count, row_macs, mac, key_id, sealed_at, archived_file FROM audit_seals"
	" WHERE archived_file IS NULL AND sealed_at < $1 ORDER BY to_seq LIMIT $2");

static enum err
old_read(struct ctx *cx, void *arg)
{
	return db_all(cx, &SEALS_OLD, &seal_schema, arg, V(cx->now_us - cx->srv->conf->audit_retention_days * DAYS_US),
		V(FILE_SEALS_MAX));
}

enum err
audit_archive(struct ctx *cx, int64_t *ret_rows)
{
	struct list list;
	int64_t rows = 0;

	*ret_rows = 0;
	TRY(db_read(cx, old_read, &list));
	if (list.count == 0)
		return OK;
	const struct seal *seals = list.items;
	const char *name = arena_printf(cx->arena, "audit-%012lld-%012lld.jsonl.gz", (long long)seals[0].from_seq,
		(long long)seals[list.count - 1].to_seq);
	const char *folder = arena_printf(cx->arena, "%s/archive", cx->srv->conf->data_dir);
	if (!file_make_folder(folder))
		return fail_internal(cx, ERR_UNAVAILABLE, "%s: %s", folder, strerror(errno));
	TRY(write_file(cx, seals, list.count, archive_path(cx, name)));
	for (size_t i = 0; i < list.count; i++) {
		struct moving m = {.seal = &seals[i], .name = name};
		TRY(db_write_bulk(cx, remove_rows, &m));
		rows += seals[i].row_count;
	}
	log_info(
		cx, "audit.archived", "old rows of the audit trail are in a file", LOG_TEXT("file", name), LOG_INT("rows", rows));
	*ret_rows = rows;
	return OK;
}
