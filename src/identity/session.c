/*
 * Sessions: beginning, rotation, end.
 *
 * Invariants.  A session begins only in mint_session(), for an active account that has shown every factor it has; the update of
 * the account's row that checks this also holds it until COMMIT, so two logins of one account come one after the other (single
 * device). A refresh token is spent by one conditional UPDATE; its successor is a function of it, so a lost reply can be repeated
 * without the successor being stored.  A spent token shown again, but for that repetition, means that two parties hold it: the
 * family ends. Rotation never moves the session's own end.
 */
#include "audit/audit.h"
#include "core/conf.h"
#include "http/limit.h"
#include "identity/token.h"
#include "notify/notify.h"
#include "store/db.h"

enum { GRACE_S = 15, SALT_BYTES = 16 };
static const char refresh_domain[] = "refresh";

/* --- beginning ---- */

SQL(REFRESH_INSERT, "uutttmm",
	"INSERT INTO refresh_tokens (id, session_id, token_hash, key_id, successor_salt, issued_at, expires_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)");

/* Stores `token` under the current key, to live no longer than its session. */
static enum err
refresh_store(struct ctx *cx, const struct uuid *id, const char *session_id, const char *token, int64_t session_expires_at,
	int64_t *ret_expires_at)
{
	const struct key *key = key_current(cx->srv->keys, KEY_TOKEN);
	int64_t expires_at = cx->now_us + cx->srv->conf->refresh_token_expire_days * DAYS_US;
	uint8_t salt[SALT_BYTES];

	if (expires_at > session_expires_at)
		expires_at = session_expires_at;
	random_bytes(cx, salt, sizeof(salt));
	TRY(db_exec(cx, &REFRESH_INSERT, NULL, V_ID(*id), V(session_id), V(opaque_hash(cx->arena, key, refresh_domain, token)),
		V(key->id), V(b64url_text(cx->arena, (struct span){salt, sizeof(salt)})), V(cx->now_us), V(expires_at)));
	*ret_expires_at = expires_at;
	return OK;
}

SQL(ACCOUNT_HOLD, "u", "UPDATE users SET updated_at = updated_at WHERE id = $1 AND is_active");
SQL(MFA_ENABLED, "u", "SELECT count(*) FROM mfa_totp WHERE user_id = $1 AND enabled_at IS NOT NULL");

/* The account is active and has shown all it must. */
static enum err
check_proof(struct ctx *cx, const struct account *who, const struct proof *proof)
{
	int64_t rows, mfa;

	if (!proof->password && !proof->mfa && !proof->oauth)
		BUG("a session without proof");
	TRY(db_exec(cx, &ACCOUNT_HOLD, &rows, V_ID(who->id)));
	TRY(db_int(cx, &MFA_ENABLED, &mfa, V_ID(who->id)));
	return rows == 1 && (mfa == 0 || proof->mfa) ? OK : fail(cx, ERR_INVALID_CREDENTIALS, NULL);
}

SQL(SESSION_INSERT, "ummttbbu",
	"INSERT INTO sessions (id, user_id, created_at, login_at, expires_at, last_used_at, ip_address, user_agent, web, mfa)"
	" VALUES ($1, $8, $2, $2, $3, $2, $4, $5, $6, $7)");

enum err
mint_session(struct ctx *cx, const struct account *who, const struct proof *proof, struct tokens *ret)
{
	const struct config *conf = cx->srv->conf;
	int64_t expires_at = cx->now_us + conf->session_absolute_days * DAYS_US;
	struct tokens t = {.session_id = new_id(cx), .refresh_token = opaque_new(cx)};
	struct uuid token_id = new_id(cx);

	TRY(check_proof(cx, who, proof));
	if (conf->single_device && !conf_list_has(&conf->single_device_exempt_roles, role_names[who->role]))
		TRY(session_end_all(cx, who->id.text, NULL, "single_device"));
	TRY(db_exec(cx, &SESSION_INSERT, NULL, V_ID(t.session_id), V(cx->now_us), V(expires_at), V(cx->client->ip),
		V(cx->client->user_agent), V(proof->web), V(proof->mfa), V_ID(who->id)));
	TRY(refresh_store(cx, &token_id, t.session_id.text, t.refresh_token, expires_at, &t.refresh_expires_at));
	t.access_token = access_token(cx, who, &t.session_id, expires_at, &t.access_expires_s);
	*ret = t;
	return OK;
}

/* --- rotation ---- */

struct refresh_row {
	struct uuid id, session_id, user_id, successor_id;
	const char *key_id, *successor_salt;
	int64_t expires_at, used_at, session_expires_at, revoked_at;
	bool is_active;
};
static const struct field refresh_row_fields[] = {
	F(struct refresh_row, id, 0, 0, 0, "Token."),
	F(struct refresh_row, session_id, 0, 0, 0, "Its family."),
	F(struct refresh_row, user_id, 0, 0, 0, "Whose."),
	F(struct refresh_row, successor_id, F_NULLABLE, 0, 0, "What it was rotated into."),
	F(struct refresh_row, key_id, 0, 0, 0, "Key of its hash."),
	F(struct refresh_row, successor_salt, F_SECRET, 0, 0, "Salt of the successor."),
	F(struct refresh_row, expires_at, F_TIME, 0, 0, "End."),
	F(struct refresh_row, used_at, F_TIME | F_NULLABLE, 0, 0, "When it was spent."),
	F(struct refresh_row, session_expires_at, F_TIME, 0, 0, "The session's end."),
	F(struct refresh_row, revoked_at, F_TIME | F_NULLABLE, 0, 0, "When the session was ended."),
	F(struct refresh_row, is_active, 0, 0, 0, "The account's state."),
};
static const struct schema refresh_row_schema = SCHEMA("RefreshRow", struct refresh_row, refresh_row_fields);

SQL(REFRESH_FIND, "tttt",
	"SELECT r.id, r.session_id, s.user_id, r.successor_id, r.key_id, r.successor_salt, r.expires_at, r.used_at,"
	" s.expires_at AS session_expires_at, s.revoked_at, u.is_active FROM refresh_tokens r"
	" JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id WHERE r.token_hash IN ($1, $2, $3, $4)");

static enum err
refresh_find(struct ctx *cx, const char *token, struct refresh_row *ret, bool *ret_found)
{
	struct opaque_hashes h;

	_Static_assert(SECRETS_MAX == 4, "as many parameters as keys");
	*ret_found = false;
	if (!opaque_shape(token))
		return OK;
	opaque_hashes(cx, KEY_TOKEN, refresh_domain, token, &h);
	return db_find(
		cx, &REFRESH_FIND, &refresh_row_schema, ret, ret_found, V(h.text[0]), V(h.text[1]), V(h.text[2]), V(h.text[3]));
}

SQL(SESSION_REVOKE, "umt", "UPDATE sessions SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL");

/* Two parties hold the token: nobody can tell which is the owner, so both lose it, and the owner hears of it. */
static enum err
refuse_reuse(struct ctx *cx, const struct refresh_row *r)
{
	const struct audit_note notes[] = {
		AUDIT_TEXT("token_id", r->id.text), AUDIT_INT("age_s", (cx->now_us - r->used_at) / SECONDS_US)};
	int64_t rows;

	TRY(db_exec(cx, &SESSION_REVOKE, &rows, V_ID(r->session_id), V(cx->now_us), V("reuse")));
	session_forget_user(cx, r->user_id.text);
	if (rows > 0) {
		TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_REFRESH_REUSE_DETECTED,
					    .result = "failure",
					    .actor_id = r->user_id.text,
					    .entity_type = "session",
					    .entity_id = r->session_id.text,
					    .notes = notes,
					    .n_notes = 2}));
		TRY(notify_user(cx, r->user_id.text,
			&(const struct notification_new){.type = "security",
				.title = "A session was ended",
				.message = "A sign-in of yours was used from two places, so it was ended. If that was not you, "
					   "change your password."}));
	}
	return refuse(cx, ERR_TOKEN_REVOKED);
}

SQL(REFRESH_SPEND, "umu", "UPDATE refresh_tokens SET used_at = $2, successor_id = $3 WHERE id = $1 AND used_at IS NULL");
SQL(SESSION_TOUCH, "um", "UPDATE sessions SET last_used_at = $2 WHERE id = $1");

/* *ret_won = false when somebody else has spent it. */
static enum err
refresh_rotate(struct ctx *cx, const struct refresh_row *r, const char *successor, struct tokens *ret, bool *ret_won)
{
	struct uuid id = new_id(cx);
	int64_t rows;

	TRY(db_exec(cx, &REFRESH_SPEND, &rows, V_ID(r->id), V(cx->now_us), V_ID(id)));
	*ret_won = rows == 1;
	if (rows != 1)
		return OK;
	TRY(refresh_store(cx, &id, r->session_id.text, successor, r->session_expires_at, &ret->refresh_expires_at));
	return db_exec(cx, &SESSION_TOUCH, NULL, V_ID(r->session_id), V(cx->now_us));
}

struct successor_row {
	int64_t used_at, expires_at;
};
static const struct field successor_row_fields[] = {
	F(struct successor_row, used_at, F_TIME | F_NULLABLE, 0, 0, "When it was spent."),
	F(struct successor_row, expires_at, F_TIME, 0, 0, "End."),
};
static const struct schema successor_row_schema = SCHEMA("SuccessorRow", struct successor_row, successor_row_fields);

SQL(REFRESH_SUCCESSOR, "u", "SELECT used_at, expires_at FROM refresh_tokens WHERE id = $1");

/* The token was spent before: the repetition of a lost reply, or reuse. */
static enum err
refresh_repeat(struct ctx *cx, const struct refresh_row *r, struct tokens *ret)
{
	struct successor_row next = {.used_at = cx->now_us};
	bool found;

	TRY(db_find(cx, &REFRESH_SUCCESSOR, &successor_row_schema, &next, &found, V_ID(r->successor_id)));
	if (!found || next.used_at != TIME_NONE || cx->now_us - r->used_at > GRACE_S * SECONDS_US)
		return refuse_reuse(cx, r);
	ret->refresh_expires_at = next.expires_at;
	return OK;
}

static enum err
refresh_standing(struct ctx *cx, const struct refresh_row *r)
{
	if (r->expires_at <= cx->now_us || r->session_expires_at <= cx->now_us)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	return r->revoked_at != TIME_NONE || !r->is_active ? fail(cx, ERR_TOKEN_REVOKED, NULL) : OK;
}

static enum err
refresh_limit(struct ctx *cx, const char *user_id)
{
	const struct limit limit = {"refresh_account", conf_live(&cx->srv->conf->rl_refresh_user_limit), 3600};
	int retry_s;

	if (!cx->srv->conf->rate_limit_enabled || limiter_take(cx->srv->limiter, &limit, user_id, &retry_s))
		return OK;
	cx->error.retry_after_s = retry_s;
	return fail(cx, ERR_RATE_LIMITED, NULL);
}

enum err
session_refresh(struct ctx *cx, const char *refresh_token, struct account *ret_who, struct tokens *ret)
{
	struct refresh_row r;
	struct account who;
	bool found, won = false;

	TRY(refresh_find(cx, refresh_token, &r, &found));
	if (!found)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	TRY(refresh_standing(cx, &r));
	struct tokens t = {.session_id = r.session_id};
	t.refresh_token = opaque_successor(cx, r.key_id, refresh_token, r.session_id.text, r.successor_salt);
	if (!t.refresh_token)
		return fail(cx, ERR_NOT_AUTHENTICATED, NULL);
	if (r.used_at == TIME_NONE) {
		TRY(refresh_rotate(cx, &r, t.refresh_token, &t, &won));
		if (!won)
			TRY(refresh_find(cx, refresh_token, &r, &found));
	}
	if (!won)
		TRY(refresh_repeat(cx, &r, &t));
	TRY(account_by_id(cx, r.user_id.text, &who));
	TRY(refresh_limit(cx, r.user_id.text));
	t.access_token = access_token(cx, &who, &r.session_id, r.session_expires_at, &t.access_expires_s);
	*ret_who = who;
	*ret = t;
	return OK;
}

/* --- end ---- */

enum err
session_logout(struct ctx *cx, const char *refresh_token)
{
	struct refresh_row r;
	int64_t rows;
	bool found;

	TRY(refresh_find(cx, refresh_token, &r, &found));
	if (!found)
		return OK;
	TRY(db_exec(cx, &SESSION_REVOKE, &rows, V_ID(r.session_id), V(cx->now_us), V("logout")));
	session_forget_user(cx, r.user_id.text);
	if (rows == 0)
		return OK;
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGOUT,
				       .result = "success",
				       .actor_id = r.user_id.text,
				       .entity_type = "session",
				       .entity_id = r.session_id.text});
}

SQL(SESSION_END, "uumt",
	"UPDATE sessions SET revoked_at = $3, revoke_reason = $4 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL"
	" AND expires_at > $3");

enum err
session_end(struct ctx *cx, const char *user_id, const char *session_id, const char *reason)
{
	int64_t rows;

	TRY(db_exec(cx, &SESSION_END, &rows, V(session_id), V(user_id), V(cx->now_us), V(reason)));
	if (rows == 0)
		return fail(cx, ERR_NOT_FOUND, NULL);
	session_forget_user(cx, user_id);
	return OK;
}

SQL(SESSION_END_ALL, "umtu",
	"UPDATE sessions SET revoked_at = $2, revoke_reason = $3 WHERE user_id = $1 AND revoked_at IS NULL{?4 AND id <> $4}");

enum err
session_end_all(struct ctx *cx, const char *user_id, const char *except, const char *reason)
{
	TRY(db_exec(cx, &SESSION_END_ALL, NULL, V(user_id), V(cx->now_us), V(reason), V(except)));
	session_forget_user(cx, user_id);
	return OK;
}

#define OLDEST_OF(table, key, column)                                                                                  \
	"DELETE FROM " table " WHERE " key " IN (SELECT " key " FROM " table " WHERE " column " < $1 ORDER BY " column \
	" LIMIT $2)"
SQL(EXPIRE_REFRESH, "mi", OLDEST_OF("refresh_tokens", "id", "expires_at"));
SQL(EXPIRE_SECRETS, "mi", OLDEST_OF("one_time_secrets", "id", "expires_at"));
SQL(EXPIRE_DEVICES, "mi", OLDEST_OF("known_devices", "id", "expires_at"));
SQL(EXPIRE_FAILURES, "mi", OLDEST_OF("login_failures", "subject", "last_at"));
/* Only without tokens left: so a turn never deletes more rows than it counts. */
SQL(EXPIRE_SESSIONS, "mi",
	"DELETE FROM sessions WHERE id IN (SELECT s.id FROM sessions s WHERE s.expires_at < $1"
	" AND NOT EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.session_id = s.id) ORDER BY s.expires_at LIMIT $2)"
	" RETURNING user_id");

struct ended {
	struct uuid user_id;
};
static const struct field ended_fields[] = {F(struct ended, user_id, 0, 0, 0, "Whose it was.")};
static const struct schema ended_schema = SCHEMA("EndedSession", struct ended, ended_fields);

/* Memory forgets them too: a clock that ran ahead may come back, and what is gone from the database must not live on there. */
static enum err
expire_sessions(struct ctx *cx, int64_t max, int64_t *ret_rows)
{
	struct list ended = {0};

	if (max > 0)
		TRY(db_all(cx, &EXPIRE_SESSIONS, &ended_schema, &ended, V(cx->now_us), V(max)));
	for (size_t i = 0; i < ended.count; i++)
		session_forget_user(cx, ((const struct ended *)ended.items)[i].user_id.text);
	*ret_rows = (int64_t)ended.count;
	return OK;
}

enum err
session_expire(struct ctx *cx, int64_t *ret_rows)
{
	enum { FAILURES_KEPT_DAYS = 40 }; /* the longest lock that can be configured, and its levels' decay */
	const struct {
		const struct sql *sql;
		int64_t before;
	} kinds[] = {
		{&EXPIRE_REFRESH, cx->now_us},
		{&EXPIRE_SECRETS, cx->now_us},
		{&EXPIRE_DEVICES, cx->now_us},
		{&EXPIRE_FAILURES, cx->now_us - FAILURES_KEPT_DAYS * DAYS_US},
	};
	int64_t total = 0, rows;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && total < BULK_TURN_ROWS; i++) {
		TRY(db_exec(cx, kinds[i].sql, &rows, V(kinds[i].before), V((int64_t)BULK_TURN_ROWS - total)));
		total += rows;
	}
	TRY(expire_sessions(cx, BULK_TURN_ROWS - total, &rows));
	*ret_rows = total + rows;
	return OK;
}
