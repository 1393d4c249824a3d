/*
 * Mail out of the outbox.
 *
 * A mail is claimed by moving its next try into the future (so a second node, or this one after a crash, comes to it later), sent
 * with no transaction open, and then struck out; a crash in between sends it twice, never not at all.  Who outlasted the claim
 * and failed leaves the row to whoever claimed it since: `attempts` counts claims, so it names one.  What was sent keeps no data.
 * When the server does not answer, the run ends with that as its error: /v1/ready reads it from `jobs`.
 */
#include "core/conf.h"
#include "core/log.h"
#include "core/metrics.h"
#include "identity/mail.h"
#include "jobs/rows.h"
#include "net/smtp.h"
#include "notify/mail_template.h"
#include "store/db.h"

enum { LEASE_MINUTES = 5, GIVE_UP_DAYS = 7, KEEP_SENT_DAYS = 30, BACKOFF_MAX_MINUTES = 360, RUN_MAILS = 100 };

struct waiting {
	struct uuid id;
	const char *recipient, *name, *data;
	int64_t attempts;
};
static const struct field waiting_fields[] = {
	F(struct waiting, id, 0, 0, 0, NULL),
	F(struct waiting, recipient, 0, 0, 0, NULL),
	F(struct waiting, name, 0, 0, 0, NULL),
	F(struct waiting, data, 0, 0, 0, NULL),
	F(struct waiting, attempts, 0, 0, 0, NULL),
};
static const struct schema waiting_schema = SCHEMA("WaitingMail", struct waiting, waiting_fields);

struct turn {
	struct waiting mail;
	bool found;
	int64_t now_us, next_us;
	const char *error;
	int64_t left;
};

SQL(OUTBOX_CLAIM, "mm",
	"UPDATE outbox SET next_try_at = $2, attempts = attempts + 1 WHERE id = (SELECT id FROM outbox WHERE sent_at IS NULL"
	" AND next_try_at <= $1 ORDER BY next_try_at, id LIMIT 1) AND sent_at IS NULL AND next_try_at <= $1"
	" RETURNING id, recipient, template AS name, data, attempts");
SQL(OUTBOX_SENT, "um", "UPDATE outbox SET sent_at = $2, data = '{}', last_error = NULL WHERE id = $1");
SQL(OUTBOX_AGAIN, "umti",
	"UPDATE outbox SET next_try_at = $2, last_error = $3 WHERE id = $1 AND sent_at IS NULL AND attempts = $4");
SQL(OUTBOX_DROP, "ui", "DELETE FROM outbox WHERE id = $1 AND sent_at IS NULL AND attempts = $2");
SQL(OUTBOX_OLD, "mmi",
	"DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE (sent_at IS NULL AND created_at < $1) OR sent_at < $2 LIMIT "
	"$3)");
SQL(OUTBOX_LEFT, "", "SELECT COUNT(*) FROM outbox WHERE sent_at IS NULL");

static enum err
claim(struct ctx *cx, void *arg)
{
	struct turn *t = arg;

	return db_find(
		cx, &OUTBOX_CLAIM, &waiting_schema, &t->mail, &t->found, V(t->now_us), V(t->now_us + LEASE_MINUTES * MINUTES_US));
}

static enum err
strike_out(struct ctx *cx, void *arg)
{
	const struct turn *t = arg;

	return db_exec(cx, &OUTBOX_SENT, NULL, V_ID(t->mail.id), V(t->now_us));
}

static enum err
try_again(struct ctx *cx, void *arg)
{
	const struct turn *t = arg;

	return db_exec(cx, &OUTBOX_AGAIN, NULL, V_ID(t->mail.id), V(t->next_us), V(t->error), V(t->mail.attempts));
}

static enum err
drop(struct ctx *cx, void *arg)
{
	const struct turn *t = arg;

	return db_exec(cx, &OUTBOX_DROP, NULL, V_ID(t->mail.id), V(t->mail.attempts));
}

static enum err
tidy(struct ctx *cx, void *arg)
{
	struct turn *t = arg;
	int64_t rows;

	TRY(db_exec(cx, &OUTBOX_OLD, &rows, V(t->now_us - GIVE_UP_DAYS * DAYS_US), V(t->now_us - KEEP_SENT_DAYS * DAYS_US),
		V(BULK_TURN_ROWS)));
	return db_int(cx, &OUTBOX_LEFT, &t->left);
}

/* 1, 2, 4 … minutes, at most six hours; the claim counted this try already. */
static int64_t
backoff_us(int64_t attempts)
{
	int64_t minutes = attempts < 10 ? INT64_C(1) << (attempts - 1) : BACKOFF_MAX_MINUTES;

	return (minutes < BACKOFF_MAX_MINUTES ? minutes : BACKOFF_MAX_MINUTES) * MINUTES_US;
}

static enum smtp_result
deliver(struct ctx *cx, struct smtp *smtp, const struct waiting *w, const char **ret_why)
{
	const json_t *data = json_read(cx->arena, span_str(w->data));
	const char *sealed = json_string_value(json_object_get(data, "link")), *link = NULL;
	struct mail_text text;

	*ret_why = "the link's key is retired";
	if (sealed && !(link = mail_link_open(cx, w->recipient, sealed)))
		return SMTP_REFUSED;
	*ret_why = "there is no such template";
	if (!mail_render(cx->arena, w->name, data, link, &text))
		return SMTP_REFUSED;
	const struct smtp_message m = {.from = cx->srv->conf->mail_from,
		.to = w->recipient,
		.id = w->id.text,
		.subject = text.subject,
		.text = text.text,
		.html = text.html,
		.at_us = cx->now_us};
	return smtp_send(smtp, cx->arena, &m, ret_why);
}

static enum err
settle(struct ctx *cx, struct turn *t, enum smtp_result result)
{
	if (result == SMTP_SENT)
		return db_write(cx, strike_out, t);
	if (result == SMTP_REFUSED) {
		log_warning(cx, "mail.dropped", t->error, LOG_TEXT("mail", t->mail.id.text), LOG_TEXT("template", t->mail.name));
		return db_write(cx, drop, t);
	}
	t->next_us = t->now_us + backoff_us(t->mail.attempts);
	TRY(db_write(cx, try_again, t));
	return result == SMTP_AWAY ? fail_internal(cx, ERR_UNAVAILABLE, "mail server: %s", t->error) : OK;
}

static void
close_smtp(struct smtp **s)
{
	smtp_close(*s);
}

static enum err
send_all(struct ctx *cx, struct turn *t, int64_t *ret_sent)
{
	CLEANUP(close_smtp) struct smtp *smtp = NULL;

	for (int i = 0; i < RUN_MAILS && !ctx_stops(cx); i++) {
		t->now_us = cx->srv->source.wall_us(cx->srv->source.arg); /* not cx->now_us: a run may outlast a claim */
		TRY(db_write(cx, claim, t));
		if (!t->found)
			return OK;
		if (!smtp)
			smtp = smtp_open(cx->srv->conf->smtp_url, &smtp_limits_usual);
		enum smtp_result result = deliver(cx, smtp, &t->mail, &t->error);
		TRY(settle(cx, t, result));
		*ret_sent += result == SMTP_SENT;
	}
	return OK;
}

enum err
outbox_send(struct ctx *cx, int64_t *ret_rows)
{
	struct turn t = {.now_us = cx->now_us};

	*ret_rows = 0;
	TRY(db_write_bulk(cx, tidy, &t));
	if (cx->srv->metrics)
		metrics_set(cx->srv->metrics, M_OUTBOX, t.left);
	if (!cx->srv->conf->smtp_url[0] || t.left == 0)
		return OK;
	return send_all(cx, &t, ret_rows);
}

enum err
mail_probe(struct ctx *cx, int64_t *ret_rows)
{
	CLEANUP(close_smtp) struct smtp *smtp = NULL;
	const char *why;

	*ret_rows = 0;
	if (!cx->srv->conf->smtp_url[0])
		return OK;
	smtp = smtp_open(cx->srv->conf->smtp_url, &smtp_limits_usual);
	if (smtp_probe(smtp, cx->arena, &why) == SMTP_SENT)
		return OK;
	return fail_internal(cx, ERR_UNAVAILABLE, "mail server: %s", why);
}
