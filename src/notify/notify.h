/*
 * Notifications to users, in the transaction of their cause.  Types: "signup" "decision" "marks" "security" "reminder".
 * notify_coalesced() keeps one unread row per user and key and replaces its text; it is for jobs, never inside a mark.
 */
#ifndef MUSTER_NOTIFY_NOTIFY_H
#define MUSTER_NOTIFY_NOTIFY_H

#include "core/field.h"

struct notification_new {
	const char *type, *title, *message;
	const char *data; /* JSON object, NULL: {} */
	/*
	 * A template: who wishes mails of this type ("decision", "marks") gets it too.  Of a coalesced one a mail goes with the first
	 * alone.  NULL: none.  Its data: NULL gives name, title, message.
	 */
	const char *mail, *mail_data;
};
enum err notify_user(struct ctx *cx, const char *user_id, const struct notification_new *n) MUST_CHECK;
enum err notify_admins(struct ctx *cx, const struct notification_new *n) MUST_CHECK; /* every active admin */
enum err notify_coalesced(struct ctx *cx, const char *user_id, const char *key, const struct notification_new *n) MUST_CHECK;
enum err notify_admins_coalesced(struct ctx *cx, const char *key, const struct notification_new *n) MUST_CHECK;

struct notification {
	struct uuid id;
	const char *type, *title, *message, *data;
	bool is_read;
	int64_t created_at;
};
extern const struct schema notification_schema;
/* Newest first.  *ret_total counts those that match, *ret_unread all unread ones.  ERR_PAGE_TOO_DEEP. */
enum err notification_list(struct ctx *cx, bool unread_only, int64_t page, int64_t limit, struct list *ret, int64_t *ret_total,
	int64_t *ret_unread) MUST_CHECK;
/* One event of the stream of notifications. */
struct span notification_event(struct ctx *cx, const struct notification *n);
/*
 * For a stream that comes back: from 10 s before that id on, in their order, the latest NOTIFICATION_MISSED_MAX.  Ids are taken
 * before their COMMIT, so an earlier one may have come later.
 */
enum { NOTIFICATION_MISSED_MAX = 1000 };
enum err notification_missed(struct ctx *cx, const char *last_id, struct list *ret) MUST_CHECK;
/* For news of other nodes: one of an account's; and everybody's after that id, in the order of ids, so many at once. */
enum err notification_find(struct ctx *cx, const char *user_id, const char *id, struct notification *ret, bool *ret_found) MUST_CHECK;
struct notification_of {
	struct uuid user_id;
	struct notification row;
};
enum err notification_since(struct ctx *cx, const char *after, struct list *ret) MUST_CHECK;
enum err notification_read(
	struct ctx *cx, const char *id, struct notification *ret) MUST_CHECK; /* ERR_NOT_FOUND: not the actor's */
enum err notification_read_all(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

/* Mail through the transactional outbox: template name and JSON data; sent by a job over SMTP_URL. */
enum err outbox_mail(struct ctx *cx, const char *recipient, const char *mail_template, const char *data) MUST_CHECK;

#endif
