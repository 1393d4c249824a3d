/*
 * Signup with approval.
 *
 * From outside nobody can tell whether an address was free.  A decoy's id is a version 7 UUID like any other: 26 random bits
 * after the time, then 48 bits that only this server can compute from what stands before; so it is recognised without being
 * stored, and its time tells whether it is still pending.  Real ids are cut to the same millisecond.  The kind of request (whose
 * life differs) is part of what is hashed.
 *
 * One decision wins: it is one UPDATE of a pending row within its time.  A second signup first takes hold of the account's row,
 * so two of them cannot both find the address free to try again.
 */
#include "identity/approval.h"

#include <string.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/metrics.h"
#include "http/limit.h"
#include "identity/known_device.h"
#include "identity/oauth.h"
#include "identity/session.h"
#include "identity/verify.h"
#include "notify/notify.h"
#include "store/db.h"

enum { ID_MAC_AT = 10, ID_MAC_BYTES = 6, UUID_BYTES = 16, MS_US = 1000 };
#define STATUS_COLUMN(p) "CASE WHEN " p ".status = 'pending' AND " p ".expires_at <= $1 THEN 'timeout' ELSE " p ".status END"

const char *const approval_statuses[] = {"", "pending", "approved", "rejected", "timeout", NULL};
enum { STATUS_PENDING = 1, STATUS_TIMEOUT = 4 };

/* --- decoys ---- */

static int64_t
portal_life_us(const struct ctx *cx)
{
	return cx->srv->conf->approval_timeout_minutes * MINUTES_US;
}

static void
decoy_mac(const struct key *key, bool portal, const uint8_t id[UUID_BYTES], uint8_t ret[ID_MAC_BYTES])
{
	uint8_t mac[SHA256_BYTES];
	const struct span parts[] = {portal ? SPAN_LIT("approval portal") : SPAN_LIT("approval signup"), {id, ID_MAC_AT}};

	crypto_hmac(key_span(key), parts, 2, mac);
	memcpy(ret, mac, ID_MAC_BYTES);
}

static struct uuid
request_id(struct ctx *cx, int64_t at_us)
{
	uint8_t random[10];

	random_bytes(cx, random, sizeof(random));
	return uuid_v7(at_us, random);
}

static struct uuid
decoy_id(struct ctx *cx, int64_t at_us, bool portal)
{
	struct uuid id = request_id(cx, at_us);
	uint8_t bytes[UUID_BYTES];

	if (!uuid_bytes(id.text, bytes))
		BUG("own id %s", id.text);
	decoy_mac(key_current(cx->srv->keys, KEY_DECOY), portal, bytes, bytes + ID_MAC_AT);
	return uuid_from_bytes(bytes);
}

/* The life of the request that this decoy plays; 0 when it is none of ours. */
static int64_t
decoy_life_us(struct ctx *cx, const char *id)
{
	uint8_t bytes[UUID_BYTES], mac[ID_MAC_BYTES];

	if (uuid_v7_time_us(id) < 0 || !uuid_bytes(id, bytes))
		return 0;
	for (size_t i = 0; i < key_count(cx->srv->keys, KEY_DECOY); i++) {
		for (int portal = 0; portal < 2; portal++) {
			decoy_mac(key_nth(cx->srv->keys, KEY_DECOY, i), portal, bytes, mac);
			if (crypto_equal(mac, bytes + ID_MAC_AT, ID_MAC_BYTES))
				return portal ? portal_life_us(cx) : cx->srv->conf->signup_request_hours * HOURS_US;
		}
	}
	return 0;
}

/* --- signup ---- */

SQL(REQUEST_INSERT, "uutmmit",
	"INSERT INTO approval_requests (id, user_id, status, requested_role, requested_at, expires_at, attempts, ip_address)"
	" VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7)");
SQL(REQUEST_ATTEMPTS, "u", "SELECT max(attempts) FROM approval_requests WHERE user_id = $1");

static const char *
json_pair(struct arena *a, const char *name, const char *value, const char *name2, const char *value2)
{
	struct buf out;
	struct json j;

	buf_init(&out, a, 128);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, name, value);
	if (name2)
		json_str(&j, name2, value2);
	json_obj_end(&j);
	return buf_cstr(&out);
}

/* At most a few mails a day to one address, whoever asks; the reply does not show it. */
static bool
mail_allowed(struct ctx *cx, const char *email)
{
	static const struct limit limit = {"signup_mail", 3, 86400};
	int ignored;

	return !cx->srv->limiter || limiter_take(cx->srv->limiter, &limit, email, &ignored);
}

static enum err
request_write(struct ctx *cx, const struct signup *in, const char *user_id, const struct signup_result *r)
{
	struct account who;
	int64_t attempts;

	TRY(account_by_id(cx, user_id, &who));
	if (cx->srv->conf->smtp_url[0] && mail_allowed(cx, who.email))
		TRY(email_verify_send(cx, &who));
	TRY(db_int(cx, &REQUEST_ATTEMPTS, &attempts, V(user_id)));
	TRY(db_exec(cx, &REQUEST_INSERT, NULL, V_ID(r->approval_request_id), V(user_id), V(role_names[in->role]), V(cx->now_us),
		V(r->expires_at), V(attempts + 1), V(cx->client->ip)));
	TRY(notify_admins(cx,
		&(const struct notification_new){.type = "signup",
			.title = "New signup",
			.message = arena_printf(cx->arena, "%s waits for approval.", in->full_name),
			.data = json_pair(cx->arena, "approval_request_id", r->approval_request_id.text, "user_id", user_id)}));
	return audit_ok(cx, AUDIT_SIGNUP, "user", user_id, AUDIT_TEXT("email", in->email),
		AUDIT_TEXT("role", role_names[in->role]), AUDIT_TEXT("approval_request_id", r->approval_request_id.text),
		AUDIT_INT("attempt", attempts + 1));
}

static enum err
taken_write(struct ctx *cx, const struct signup *in, const struct account *owner)
{
	const struct audit_note notes[] = {AUDIT_TEXT("reason", "email_taken"), AUDIT_TEXT("email", in->email)};

	if (mail_allowed(cx, owner->email))
		TRY(outbox_mail(cx, owner->email, "signup_taken", json_pair(cx->arena, "name", owner->full_name, NULL, NULL)));
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_SIGNUP,
				       .result = "failure",
				       .entity_type = "user",
				       .entity_id = owner->id.text,
				       .notes = notes,
				       .n_notes = 2});
}

SQL(TRY_AGAIN_FACTORS, "u", "DELETE FROM mfa_totp WHERE user_id = $1");
SQL(TRY_AGAIN_SECRETS, "u", "DELETE FROM one_time_secrets WHERE user_id = $1");

/* The attempt before may have been a stranger's: nothing that opens the account stays of it. */
static enum err
earlier_attempt_goes(struct ctx *cx, const char *id)
{
	TRY(oauth_identities_forget(cx, id));
	TRY(known_device_forget(cx, id));
	TRY(db_exec(cx, &TRY_AGAIN_FACTORS, NULL, V(id)));
	TRY(db_exec(cx, &TRY_AGAIN_SECRETS, NULL, V(id)));
	return session_end_all(cx, id, NULL, "signup");
}

SQL(ACCOUNT_HOLD_BY_EMAIL, "t", "UPDATE users SET updated_at = updated_at WHERE email = $1");
SQL(ACCOUNT_TRY_AGAIN, "utttm",
	"UPDATE users SET full_name = $2, password_hash = $3, role = $4, email_verified_at = NULL, updated_at = $5 "
	"WHERE id = $1");

enum err
approval_signup(struct ctx *cx, const struct signup *in, struct signup_result *ret)
{
	int64_t begun = cx->now_us - cx->now_us % MS_US, held;
	bool portal = in->life_us == portal_life_us(cx), found = false;
	struct signup_result r = {.approval_request_id = request_id(cx, begun), .expires_at = begun + in->life_us};
	struct account old;

	TRY(db_exec(cx, &ACCOUNT_HOLD_BY_EMAIL, &held, V(in->email)));
	if (held > 0)
		TRY(account_by_email(cx, in->email, &old, &found));
	if (!found) {
		const struct account_new account = {
			.email = in->email, .full_name = in->full_name, .password_hash = in->password_hash, .role = in->role};
		struct uuid id;
		enum err e = account_insert(cx, &account, &id);
		if (e == OK) {
			TRY(request_write(cx, in, id.text, &r));
			*ret = r;
			return OK;
		}
		if (e != ERR_EMAIL_TAKEN)
			return e;
		error_clear(cx); /* somebody signed up with it a moment ago */
		TRY(account_by_email(cx, in->email, &old, &found));
	}
	enum account_state state = account_state(&old, cx->now_us);
	if (state == STATE_REJECTED || state == STATE_TIMEOUT) {
		TRY(db_exec(cx, &ACCOUNT_TRY_AGAIN, NULL, V_ID(old.id), V(in->full_name), V(in->password_hash),
			V(role_names[in->role]), V(cx->now_us)));
		TRY(earlier_attempt_goes(cx, old.id.text));
		TRY(request_write(cx, in, old.id.text, &r));
	} else {
		r.approval_request_id = decoy_id(cx, begun, portal);
		TRY(taken_write(cx, in, &old));
	}
	*ret = r;
	return OK;
}

/* --- status ---- */

static const struct field approval_status_fields[] = {
	F(struct approval_status, id, 0, 0, 0, "The request."),
	F(struct approval_status, status, 0, 0, 0, "pending, approved, rejected or timeout."),
	F(struct approval_status, expires_at, F_TIME, 0, 0, "When it times out if nobody decides."),
	F(struct approval_status, time_remaining_seconds, 0, 0, 0, "Seconds until then; 0 when it is over."),
};
const struct schema approval_status_schema = SCHEMA("ApprovalStatus", struct approval_status, approval_status_fields);

static int64_t
remaining_s(const char *status, int64_t expires_at, int64_t now_us)
{
	return str_eq(status, "pending") && expires_at > now_us ? (expires_at - now_us + SECONDS_US - 1) / SECONDS_US : 0;
}

SQL(REQUEST_STATUS, "mu", "SELECT r.id, " STATUS_COLUMN("r") " AS status, r.expires_at FROM approval_requests r WHERE r.id = $2");

enum err
approval_status(struct ctx *cx, const char *id, struct approval_status *ret)
{
	struct approval_status s = {.time_remaining_seconds = 0};
	bool found;

	TRY(db_find(cx, &REQUEST_STATUS, &approval_status_schema, &s, &found, V(cx->now_us), V(id)));
	if (!found) {
		int64_t life_us = decoy_life_us(cx, id);
		if (life_us == 0 || !uuid_canonical(id, &s.id))
			return fail(cx, ERR_NOT_FOUND, NULL);
		s.expires_at = uuid_v7_time_us(id) + life_us;
		s.status = s.expires_at > cx->now_us ? "pending" : "timeout";
	}
	s.time_remaining_seconds = remaining_s(s.status, s.expires_at, cx->now_us);
	*ret = s;
	return OK;
}

/* --- decision ---- */

struct request_row {
	struct uuid id, user_id;
	const char *status;
	enum role requested_role;
	int64_t expires_at;
};
static const struct field request_row_fields[] = {
	F(struct request_row, id, 0, 0, 0, "Request."),
	F(struct request_row, user_id, 0, 0, 0, "Whose."),
	F(struct request_row, status, 0, 0, 0, "As it is stored."),
	F_ENUM(struct request_row, requested_role, 0, role_names, "Role asked for."),
	F(struct request_row, expires_at, F_TIME, 0, 0, "End."),
};
static const struct schema request_row_schema = SCHEMA("ApprovalRow", struct request_row, request_row_fields);

SQL(REQUEST_BY_ID, "u", "SELECT id, user_id, status, requested_role, expires_at FROM approval_requests WHERE id = $1");
SQL(REQUEST_DECIDE, "utmutt",
	"UPDATE approval_requests SET status = $2, decided_at = $3, decided_by = $4, approved_role = $5, rejection_reason = $6"
	" WHERE id = $1 AND status = 'pending' AND expires_at > $3");
/* An account that an operator activated past its request keeps the role it has by now. */
SQL(ACCOUNT_APPROVE, "utm",
	"UPDATE users SET role = $2, is_active = TRUE, disabled_at = NULL, updated_at = $3 WHERE id = $1 AND NOT is_active");

/* Nothing was updated: why? */
static enum err
decide_refusal(struct ctx *cx, const char *id)
{
	struct request_row row;

	TRY(db_one(cx, &REQUEST_BY_ID, &request_row_schema, &row, V(id)));
	if (str_eq(row.status, "pending") || str_eq(row.status, "timeout"))
		return fail(cx, ERR_APPROVAL_EXPIRED, NULL);
	return fail(cx, ERR_ALREADY_DECIDED, NULL);
}

static enum err
tell_decision(struct ctx *cx, const struct approval_decision *in, const struct account *user)
{
	const char *message = in->approve	     ? "You can sign in now."
			      : in->rejection_reason ? in->rejection_reason
						     : "It was rejected.";

	TRY(notify_user(cx, user->id.text,
		&(const struct notification_new){.type = "decision",
			.title = in->approve ? "Your account was approved" : "Your account was not approved",
			.message = message,
			.data = json_pair(cx->arena, "approval_request_id", in->id.text, NULL, NULL),
			.mail = "decision"}));
	if (in->approve)
		return audit_ok(cx, AUDIT_APPROVAL_APPROVED, "approval_request", in->id.text,
			AUDIT_TEXT("user_id", user->id.text), AUDIT_TEXT("role", role_names[user->role]));
	return audit_ok(cx, AUDIT_APPROVAL_REJECTED, "approval_request", in->id.text, AUDIT_TEXT("user_id", user->id.text),
		AUDIT_TEXT("rejection_reason", in->rejection_reason));
}

enum err
approval_decide(struct ctx *cx, const struct approval_decision *in, struct approval_decided *ret)
{
	struct approval_decided d = {.id = in->id, .status = in->approve ? "approved" : "rejected", .decided_at = cx->now_us};
	struct request_row row;
	int64_t rows;

	TRY(db_one(cx, &REQUEST_BY_ID, &request_row_schema, &row, V_ID(in->id)));
	enum role role = in->role == ROLE_UNSET ? row.requested_role : in->role;
	d.rejection_reason = in->approve ? NULL : in->rejection_reason;
	TRY(db_exec(cx, &REQUEST_DECIDE, &rows, V_ID(in->id), V(d.status), V(cx->now_us),
		V(cx->actor ? cx->actor->user_id.text : NULL), V(in->approve ? role_names[role] : NULL), V(d.rejection_reason)));
	if (rows == 0)
		return decide_refusal(cx, in->id.text);
	if (in->approve)
		TRY(db_exec(cx, &ACCOUNT_APPROVE, NULL, V_ID(row.user_id), V(role_names[role]), V(cx->now_us)));
	session_forget_user(cx, row.user_id.text);
	TRY(account_by_id(cx, row.user_id.text, &d.user));
	TRY(tell_decision(cx, in, &d.user));
	*ret = d;
	return OK;
}

/* --- list and time-out ---- */

static const struct field approval_row_fields[] = {
	F(struct approval_row, id, 0, 0, 0, "The request."),
	F_OBJ(struct approval_row, user, &account_ref_schema, "Who asks."),
	F(struct approval_row, status, 0, 0, 0, "pending, approved, rejected or timeout."),
	F(struct approval_row, requested_at, F_TIME, 0, 0, "When it was made."),
	F(struct approval_row, expires_at, F_TIME, 0, 0, "When it times out if nobody decides."),
	F(struct approval_row, time_remaining_seconds, 0, 0, 0, "Seconds until then; 0 when it is over."),
	F(struct approval_row, email_verified, 0, 0, 0, "The address was proven."),
	F(struct approval_row, attempts, 0, 0, 0, "How often this address signed up."),
	F(struct approval_row, ip_address, 0, 0, 0, "Where the signup came from."),
};
const struct schema approval_row_schema = SCHEMA("ApprovalRequest", struct approval_row, approval_row_fields);

/* $2 status as stored; $3 only those whose time ends after this */
#define REQUEST_FILTER "{?2 AND r.status = $2}{?3 AND r.expires_at > $3}"
#define REQUEST_TIMEOUTS " AND (r.status = 'timeout' OR (r.status = 'pending' AND r.expires_at <= $1))"
#define REQUEST_ROWS                                                                                             \
	"SELECT r.id, " ACCOUNT_REF("u", "user") ", " STATUS_COLUMN("r") " AS status, r.requested_at, r.expires_at," \
	" u.email_verified_at IS NOT NULL AS email_verified, r.attempts, r.ip_address"                           \
	" FROM approval_requests r JOIN users u ON u.id = r.user_id WHERE r.attempts > 0"
#define REQUEST_ORDER " ORDER BY r.requested_at DESC, r.id DESC LIMIT "
SQL(REQUEST_LIST, "mtmii", REQUEST_ROWS REQUEST_FILTER REQUEST_ORDER "$4 OFFSET $5");
SQL(REQUEST_LIST_TIMEOUTS, "mii", REQUEST_ROWS REQUEST_TIMEOUTS REQUEST_ORDER "$2 OFFSET $3");
SQL(REQUEST_COUNT, "mtm", "SELECT count(*) FROM approval_requests r WHERE r.requested_at <= $1" REQUEST_FILTER);
SQL(REQUEST_COUNT_TIMEOUTS, "m", "SELECT count(*) FROM approval_requests r WHERE r.attempts > 0" REQUEST_TIMEOUTS);

enum err
approval_list(struct ctx *cx, int status, int64_t page, int64_t limit, struct list *ret, int64_t *ret_total)
{
	struct list rows;
	int64_t total, skip = (page - 1) * limit;

	if (page * limit > PAGE_DEPTH_MAX)
		return fail(cx, ERR_PAGE_TOO_DEEP, NULL);
	if (status == STATUS_TIMEOUT) {
		TRY(db_int(cx, &REQUEST_COUNT_TIMEOUTS, &total, V(cx->now_us)));
		TRY(db_all(cx, &REQUEST_LIST_TIMEOUTS, &approval_row_schema, &rows, V(cx->now_us), V(limit), V(skip)));
	} else {
		struct val stored = V(status ? approval_statuses[status] : NULL);
		struct val open = status == STATUS_PENDING ? V(cx->now_us) : val_null();
		TRY(db_int(cx, &REQUEST_COUNT, &total, V(cx->now_us), stored, open));
		TRY(db_all(cx, &REQUEST_LIST, &approval_row_schema, &rows, V(cx->now_us), stored, open, V(limit), V(skip)));
	}
	for (size_t i = 0; i < rows.count; i++) {
		struct approval_row *r = (struct approval_row *)rows.items + i;
		r->time_remaining_seconds = remaining_s(r->status, r->expires_at, cx->now_us);
	}
	*ret = rows;
	*ret_total = total;
	return OK;
}

SQL(REQUEST_EXPIRED, "mi",
	"SELECT id, user_id, status, requested_role, expires_at FROM approval_requests WHERE status = 'pending' AND expires_at "
	"<= $1"
	" ORDER BY requested_at LIMIT $2");
SQL(REQUEST_TIME_OUT, "um",
	"UPDATE approval_requests SET status = 'timeout', decided_at = $2 WHERE id = $1 AND status = 'pending'");

enum err
approval_expire(struct ctx *cx, int64_t *ret_rows)
{
	struct list due;
	int64_t rows, done = 0;

	TRY(db_all(cx, &REQUEST_EXPIRED, &request_row_schema, &due, V(cx->now_us), V(BULK_TURN_ROWS)));
	for (size_t i = 0; i < due.count; i++) {
		const struct request_row *r = (const struct request_row *)due.items + i;
		TRY(db_exec(cx, &REQUEST_TIME_OUT, &rows, V_ID(r->id), V(cx->now_us)));
		if (rows == 0)
			continue;
		TRY(audit_ok(cx, AUDIT_APPROVAL_TIMEOUT, "approval_request", r->id.text, AUDIT_TEXT("user_id", r->user_id.text)));
		done++;
	}
	if (done && cx->srv->metrics)
		metrics_add(cx->srv->metrics, M_APPROVAL_TIMEOUTS, NULL, done);
	*ret_rows = done;
	return OK;
}
