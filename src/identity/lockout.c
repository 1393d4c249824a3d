/*
 * Counters of failed logins, as rows.
 *
 * An attempt is counted before its password is looked at, by one upsert that refuses to touch a locked row; so of any number of
 * parallel guesses no more than the threshold get through.  The attempt that reaches the threshold locks and may still succeed;
 * then it takes its count, and the lock that only it caused, back.  The IP's row is always touched before the e-mail's, so that
 * two logins cannot wait for each other.
 */
#include "identity/lockout.h"

#include "core/conf.h"
#include "core/field.h"
#include "core/keys.h"
#include "http/server.h"
#include "store/db.h"

struct failures_row {
	int64_t failures, level, locked_at, locked_until;
};
static const struct field failures_fields[] = {
	F(struct failures_row, failures, 0, 0, 0, "Count."),
	F(struct failures_row, level, 0, 0, 0, "How often it was locked."),
	F(struct failures_row, locked_at, F_TIME | F_NULLABLE, 0, 0, "Last lock."),
	F(struct failures_row, locked_until, F_TIME | F_NULLABLE, 0, 0, "Its end."),
};
static const struct schema failures_schema = SCHEMA("LoginFailures", struct failures_row, failures_fields);

struct rule {
	int64_t threshold, window_us, lock_us, lock_max_us;
	bool escalates;
};

/* The address is not stored: the row's key is its MAC. */
static const char *
email_subject(struct ctx *cx, const char *email)
{
	uint8_t mac[SHA256_BYTES];
	const struct span parts[] = {SPAN_LIT("lockout"), span_str(email)};

	crypto_hmac(key_span(key_current(cx->srv->keys, KEY_CLIENT)), parts, 2, mac);
	return arena_printf(cx->arena, "email:%s", b64url_text(cx->arena, (struct span){mac, sizeof(mac)}));
}

static const char *
owner_subject(struct ctx *cx, const struct lockout_attempt *a)
{
	return a->device_id ? arena_printf(cx->arena, "device:%s", a->device_id) : email_subject(cx, a->email);
}

/* NULL: this IP is never locked. */
static const char *
ip_subject(struct ctx *cx, const struct lockout_attempt *a)
{
	char prefix[IP_TEXT_BYTES];

	if (a->shared_network || !a->ip || !*a->ip)
		return NULL;
	ip_prefix(a->ip, prefix);
	return arena_printf(cx->arena, "ip:%s", prefix);
}

static struct rule
owner_rule(const struct config *c)
{
	int64_t ttl = conf_live(&c->email_lock_ttl) * SECONDS_US;

	return (struct rule){conf_live(&c->login_fail_email_threshold), ttl, ttl, ttl, false};
}

static struct rule
ip_rule(const struct config *c)
{
	int64_t ttl = conf_live(&c->ip_lock_ttl) * SECONDS_US, max = conf_live(&c->ip_lock_max_ttl) * SECONDS_US;

	return (struct rule){conf_live(&c->login_fail_ip_threshold), ttl, ttl, max < ttl ? ttl : max, c->ip_lock_escalation};
}

SQL(FAILURES_COUNT, "tmm",
	"INSERT INTO login_failures (subject, failures, first_at, last_at, level) VALUES ($1, 1, $2, $2, 0)"
	" ON CONFLICT (subject) DO UPDATE SET"
	" failures = CASE WHEN login_failures.last_at <= $3 OR login_failures.locked_until IS NOT NULL THEN 1"
	" ELSE login_failures.failures + 1 END,"
	" first_at = CASE WHEN login_failures.last_at <= $3 OR login_failures.locked_until IS NOT NULL THEN $2"
	" ELSE login_failures.first_at END, last_at = $2, locked_until = NULL"
	" WHERE login_failures.locked_until IS NULL OR login_failures.locked_until <= $2"
	" RETURNING failures, level, locked_at, locked_until");
SQL(FAILURES_LOCKED, "t", "SELECT failures, level, locked_at, locked_until FROM login_failures WHERE subject = $1");
SQL(FAILURES_LOCK, "tmim", "UPDATE login_failures SET locked_until = $2, level = $3, locked_at = $4 WHERE subject = $1");

static enum err
lock_subject(struct ctx *cx, const char *subject, const struct rule *rule, const struct failures_row *row)
{
	int64_t level = row->level, lock_us = rule->lock_us;

	if (row->locked_at != TIME_NONE && cx->now_us > row->locked_at)
		level -= (cx->now_us - row->locked_at) / DAYS_US;
	if (level < 0 || !rule->escalates)
		level = 0;
	for (int64_t i = 0; i < level && lock_us < rule->lock_max_us; i++)
		lock_us *= 2;
	if (lock_us > rule->lock_max_us)
		lock_us = rule->lock_max_us;
	return db_exec(cx, &FAILURES_LOCK, NULL, V(subject), V(cx->now_us + lock_us), V(level + 1), V(cx->now_us));
}

static enum err
reserve(struct ctx *cx, const char *subject, const struct rule *rule, int64_t *ret_locked_until)
{
	struct failures_row row;
	bool counted, found;

	TRY(db_find(cx, &FAILURES_COUNT, &failures_schema, &row, &counted, V(subject), V(cx->now_us),
		V(cx->now_us - rule->window_us)));
	if (counted)
		return row.failures >= rule->threshold ? lock_subject(cx, subject, rule, &row) : OK;
	TRY(db_find(cx, &FAILURES_LOCKED, &failures_schema, &row, &found, V(subject)));
	if (found && row.locked_until != TIME_NONE)
		*ret_locked_until = row.locked_until;
	return OK;
}

enum err
lockout_reserve(struct ctx *cx, const struct lockout_attempt *a, int64_t *ret_locked_until)
{
	const struct rule by_ip = ip_rule(cx->srv->conf), by_owner = owner_rule(cx->srv->conf);
	const char *ip = ip_subject(cx, a);
	int64_t locked_until = 0;

	if (ip)
		TRY(reserve(cx, ip, &by_ip, &locked_until));
	if (locked_until == 0) /* a locked IP does not get to lock addresses */
		TRY(reserve(cx, owner_subject(cx, a), &by_owner, &locked_until));
	*ret_locked_until = locked_until;
	return OK;
}

void
lockout_tell(struct ctx *cx, int64_t locked_until)
{
	cx->error.retry_after_s = (int)((locked_until - cx->now_us + SECONDS_US - 1) / SECONDS_US);
}

SQL(FAILURES_GIVE_BACK, "ti",
	"UPDATE login_failures SET failures = failures - 1,"
	" level = CASE WHEN locked_until IS NOT NULL AND failures <= $2 AND level > 0 THEN level - 1 ELSE level END,"
	" locked_until = CASE WHEN failures <= $2 THEN NULL ELSE locked_until END WHERE subject = $1 AND failures > 0");
SQL(FAILURES_CLEAR, "t", "DELETE FROM login_failures WHERE subject = $1");

static enum err
give_back_ip(struct ctx *cx, const struct lockout_attempt *a)
{
	const char *ip = ip_subject(cx, a);

	return ip ? db_exec(cx, &FAILURES_GIVE_BACK, NULL, V(ip), V(conf_live(&cx->srv->conf->login_fail_ip_threshold))) : OK;
}

enum err
lockout_success(struct ctx *cx, const struct lockout_attempt *a)
{
	TRY(give_back_ip(cx, a));
	return db_exec(cx, &FAILURES_CLEAR, NULL, V(owner_subject(cx, a)));
}

enum err
lockout_give_back(struct ctx *cx, const struct lockout_attempt *a)
{
	TRY(give_back_ip(cx, a));
	return db_exec(
		cx, &FAILURES_GIVE_BACK, NULL, V(owner_subject(cx, a)), V(conf_live(&cx->srv->conf->login_fail_email_threshold)));
}

/* --- counters of one account ------------------------------------------------------------------------------------------------------------ */

enum err
lockout_account_reserve(struct ctx *cx, const char *kind, const char *user_id, int64_t *ret_locked_until)
{
	const struct config *c = cx->srv->conf;
	int64_t ttl = conf_live(&c->email_lock_ttl) * SECONDS_US, max = conf_live(&c->ip_lock_max_ttl) * SECONDS_US, locked_until = 0;
	const struct rule rule = {conf_live(&c->login_fail_email_threshold), ttl, ttl, max < ttl ? ttl : max, true};

	TRY(reserve(cx, arena_printf(cx->arena, "%s:%s", kind, user_id), &rule, &locked_until));
	*ret_locked_until = locked_until;
	return OK;
}

enum err
lockout_account_success(struct ctx *cx, const char *kind, const char *user_id)
{
	return db_exec(cx, &FAILURES_CLEAR, NULL, V(arena_printf(cx->arena, "%s:%s", kind, user_id)));
}

enum err
lockout_account_give_back(struct ctx *cx, const char *kind, const char *user_id)
{
	return db_exec(cx, &FAILURES_GIVE_BACK, NULL, V(arena_printf(cx->arena, "%s:%s", kind, user_id)),
		V(conf_live(&cx->srv->conf->login_fail_email_threshold)));
}

enum err
lockout_token_try(struct ctx *cx, const char *token_id, int64_t max, int64_t life_us, bool *ret_left)
{
	const struct rule rule = {max, life_us, life_us, life_us, false};
	int64_t locked_until = 0;

	TRY(reserve(cx, arena_printf(cx->arena, "token:%s", token_id), &rule, &locked_until));
	*ret_left = locked_until == 0;
	return OK;
}
