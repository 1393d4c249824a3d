/*
 * Notifications.  A row belongs to one user, and every statement but the writing ones says whose.
 *
 * A coalesced notification is replaced, not changed: the new row has a new id and place, so lists and streams show it as news.
 * Its key leaves the row when it is read, and the next one of that key starts again.
 */
#include "notify/notify.h"

#include "notify/live.h"
#include "store/bus.h"
#include "store/db.h"

static const struct field notification_fields[] = {
	F(struct notification, id, 0, 0, 0, "Notification"),
	F(struct notification, type, 0, 0, 0, "signup, decision, marks, security or reminder"),
	F(struct notification, title, 0, 0, 0, "One line"),
	F(struct notification, message, 0, 0, 0, "A sentence"),
	F(struct notification, data, F_JSON, 0, 0, "What it is about: ids by name"),
	F(struct notification, is_read, 0, 0, 0, "Whether it was read"),
	F(struct notification, created_at, F_TIME, 0, 0, "When"),
};
const struct schema notification_schema = SCHEMA("Notification", struct notification, notification_fields);

struct span
notification_event(struct ctx *cx, const struct notification *n)
{
	struct buf data, event;
	struct json j;

	buf_init(&data, cx->arena, 512);
	json_init(&j, &data);
	field_write_json(&j, NULL, &notification_schema, n);
	buf_init(&event, cx->arena, data.n + 100);
	sse_event(&event, "notification", n->id.text, buf_cstr(&data));
	return buf_span(&event);
}

SQL(NOTIFICATION_INSERT, "uuttttmt",
	"INSERT INTO notifications (id, user_id, type, title, message, data, is_read, created_at, coalesce_key)"
	" VALUES ($1, $2, $3, $4, $5, $6, FALSE, $7, $8)");

static enum err
insert(struct ctx *cx, const char *user_id, const char *key, const struct notification_new *n)
{
	const struct notification row = {.id = new_id(cx),
		.type = n->type,
		.title = n->title,
		.message = n->message,
		.data = n->data ? n->data : "{}",
		.created_at = cx->now_us};

	TRY(db_exec(cx, &NOTIFICATION_INSERT, NULL, V_ID(row.id), V(user_id), V(row.type), V(row.title), V(row.message),
		V(row.data), V(row.created_at), V(key)));
	if (cx->srv->live)
		live_publish_later(cx, LIVE_ACCOUNT, user_id, notification_event(cx, &row));
	bus_tell(cx, NEWS_NOTIFICATION, user_id, row.id.text);
	return OK;
}

struct mailed {
	const char *email, *full_name;
};
static const struct field mailed_fields[] = {
	F(struct mailed, email, 0, 0, 0, NULL),
	F(struct mailed, full_name, 0, 0, 0, NULL),
};
static const struct schema mailed_schema = SCHEMA("MailedAccount", struct mailed, mailed_fields);

static const char *
mail_data(struct ctx *cx, const struct mailed *to, const struct notification_new *n)
{
	struct buf out;
	struct json j;

	buf_init(&out, cx->arena, 256);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "name", to->full_name);
	json_str(&j, "title", n->title);
	json_str(&j, "message", n->message);
	json_obj_end(&j);
	return buf_cstr(&out);
}

SQL(NOTIFICATION_MAILED, "ut",
	"SELECT email, full_name FROM users WHERE id = $1"
	" AND (($2 = 'decision' AND mail_decisions) OR ($2 = 'marks' AND mail_marks))");

static enum err
mail_who_wishes(struct ctx *cx, const char *user_id, const struct notification_new *n)
{
	struct mailed to;
	bool wishes = false;

	if (n->mail)
		TRY(db_find(cx, &NOTIFICATION_MAILED, &mailed_schema, &to, &wishes, V(user_id), V(n->type)));
	return wishes ? outbox_mail(cx, to.email, n->mail, n->mail_data ? n->mail_data : mail_data(cx, &to, n)) : OK;
}

enum err
notify_user(struct ctx *cx, const char *user_id, const struct notification_new *n)
{
	TRY(insert(cx, user_id, NULL, n));
	return mail_who_wishes(cx, user_id, n);
}

struct admin {
	struct uuid id;
};
static const struct field admin_fields[] = {
	F(struct admin, id, 0, 0, 0, NULL),
};
static const struct schema admin_schema = SCHEMA("NotifiedAdmin", struct admin, admin_fields);

SQL(NOTIFY_ADMINS, "", "SELECT id FROM users WHERE role = 'admin' AND is_active ORDER BY id");

enum err
notify_admins(struct ctx *cx, const struct notification_new *n)
{
	struct list list;

	TRY(db_all(cx, &NOTIFY_ADMINS, &admin_schema, &list));
	const struct admin *admins = list.items;
	for (size_t i = 0; i < list.count; i++)
		TRY(notify_user(cx, admins[i].id.text, n));
	return OK;
}

SQL(NOTIFICATION_SUPERSEDE, "ut", "DELETE FROM notifications WHERE user_id = $1 AND coalesce_key = $2");

enum err
notify_coalesced(struct ctx *cx, const char *user_id, const char *key, const struct notification_new *n)
{
	int64_t superseded;

	TRY(db_exec(cx, &NOTIFICATION_SUPERSEDE, &superseded, V(user_id), V(key)));
	TRY(insert(cx, user_id, key, n));
	return superseded ? OK : mail_who_wishes(cx, user_id, n);
}

enum err
notify_admins_coalesced(struct ctx *cx, const char *key, const struct notification_new *n)
{
	struct list list;

	TRY(db_all(cx, &NOTIFY_ADMINS, &admin_schema, &list));
	const struct admin *admins = list.items;
	for (size_t i = 0; i < list.count; i++)
		TRY(notify_coalesced(cx, admins[i].id.text, key, n));
	return OK;
}

SQL(NOTIFICATION_LIST, "ubii",
	"SELECT id, type, title, message, data, is_read, created_at FROM notifications WHERE user_id = $1{?2 AND is_read = $2}"
	" ORDER BY seq DESC LIMIT $3 OFFSET $4");
SQL(NOTIFICATION_COUNT, "ub", "SELECT COUNT(*) FROM notifications WHERE user_id = $1{?2 AND is_read = $2}");

enum err
notification_list(
	struct ctx *cx, bool unread_only, int64_t page, int64_t limit, struct list *ret, int64_t *ret_total, int64_t *ret_unread)
{
	const char *who = cx->actor->user_id.text;
	struct val read = unread_only ? val_int(0) : val_null();
	struct list list;
	int64_t total, unread;

	if (page * limit > PAGE_DEPTH_MAX)
		return fail(cx, ERR_PAGE_TOO_DEEP, NULL);
	TRY(db_all(cx, &NOTIFICATION_LIST, &notification_schema, &list, V(who), read, V(limit), V((page - 1) * limit)));
	TRY(db_int(cx, &NOTIFICATION_COUNT, &total, V(who), read));
	TRY(db_int(cx, &NOTIFICATION_COUNT, &unread, V(who), V(false)));
	*ret = list;
	*ret_total = total;
	*ret_unread = unread;
	return OK;
}

SQL(NOTIFICATION_SINCE, "uui",
	"SELECT id, type, title, message, data, is_read, created_at FROM (SELECT * FROM notifications WHERE user_id = $1 AND id >= $2"
	" ORDER BY seq DESC LIMIT $3) AS latest ORDER BY seq");

enum err
notification_missed(struct ctx *cx, const char *last_id, struct list *ret)
{
	enum { OVERLAP_S = 10 };
	const uint8_t lowest[10] = {0};
	int64_t at_us = uuid_v7_time_us(last_id) - OVERLAP_S * SECONDS_US;
	struct uuid from = uuid_v7(at_us > 0 ? at_us : 0, lowest);

	return db_all(cx, &NOTIFICATION_SINCE, &notification_schema, ret, V_ID(cx->actor->user_id), V_ID(from),
		V((int64_t)NOTIFICATION_MISSED_MAX));
}

SQL(NOTIFICATION_FIND, "uu",
	"SELECT id, type, title, message, data, is_read, created_at FROM notifications WHERE id = $1 AND user_id = $2");

enum err
notification_find(struct ctx *cx, const char *user_id, const char *id, struct notification *ret, bool *ret_found)
{
	return db_find(cx, &NOTIFICATION_FIND, &notification_schema, ret, ret_found, V(id), V(user_id));
}

static const struct field notification_of_fields[] = {
	F(struct notification_of, user_id, 0, 0, 0, NULL),
	F_OBJ(struct notification_of, row, &notification_schema, NULL),
};
static const struct schema notification_of_schema = SCHEMA("NotificationOf", struct notification_of, notification_of_fields);

SQL(NOTIFICATION_ALL_SINCE, "ui",
	"SELECT user_id, id AS \"row.id\", type AS \"row.type\", title AS \"row.title\", message AS \"row.message\","
	" data AS \"row.data\", is_read AS \"row.is_read\", created_at AS \"row.created_at\" FROM notifications WHERE id > $1"
	" ORDER BY id LIMIT $2");

enum err
notification_since(struct ctx *cx, const char *after, struct list *ret)
{
	return db_all(cx, &NOTIFICATION_ALL_SINCE, &notification_of_schema, ret, V(after), V((int64_t)NOTIFICATION_MISSED_MAX));
}

SQL(NOTIFICATION_READ, "uu",
	"UPDATE notifications SET is_read = TRUE, coalesce_key = NULL WHERE id = $1 AND user_id = $2"
	" RETURNING id, type, title, message, data, is_read, created_at");

enum err
notification_read(struct ctx *cx, const char *id, struct notification *ret)
{
	return db_one(cx, &NOTIFICATION_READ, &notification_schema, ret, V(id), V_ID(cx->actor->user_id));
}

SQL(NOTIFICATION_READ_ALL, "u",
	"UPDATE notifications SET is_read = TRUE, coalesce_key = NULL WHERE user_id = $1 AND NOT is_read");

enum err
notification_read_all(struct ctx *cx, int64_t *ret_rows)
{
	return db_exec(cx, &NOTIFICATION_READ_ALL, ret_rows, V_ID(cx->actor->user_id));
}

SQL(OUTBOX_INSERT, "utttm",
	"INSERT INTO outbox (id, recipient, template, data, created_at, next_try_at, attempts) VALUES ($1, $2, $3, $4, $5, $5, "
	"0)");

enum err
outbox_mail(struct ctx *cx, const char *recipient, const char *mail_template, const char *data)
{
	struct uuid id = new_id(cx);

	return db_exec(cx, &OUTBOX_INSERT, NULL, V_ID(id), V(recipient), V(mail_template), V(data ? data : "{}"), V(cx->now_us));
}
