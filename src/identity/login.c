/*
 * Login by password.  Everybody who gets this far pays one hash of the same kind, whether the address exists or not; what was
 * read before the hash is checked again by the last write; and every refusal is a row.
 *
 * An account's own hash is worked through whatever its state is, and the result only counts where it may; so nobody can tell by
 * the clock that an account was closed or an address locked.  Counters go up before the hash and are committed on their own; they
 * come back only when the password was right and the account is not closed, or when nobody was told a verdict.
 */
#include "identity/login.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "core/keys.h"
#include "core/metrics.h"
#include "http/server.h"
#include "identity/hasher.h"
#include "identity/known_device.h"
#include "identity/lockout.h"
#include "identity/mfa.h"
#include "identity/password.h"
#include "identity/throttle.h"
#include "identity/token.h"
#include "store/db.h"

struct attempt {
	const struct login *in;
	const char *email; /* canonical, or what was typed when that is no address */
	bool is_address;
	struct uuid device; /* a valid known device; empty */
	struct login_hits hits;
	struct lockout_attempt counted;
	bool reserved;	      /* the failure that it may be is counted */
	int64_t locked_until; /* 0: not locked */
	struct account account;
	bool found, right;
	const char *hash;	/* what the password was compared with */
	const char *new_hash;	/* to be stored; the old one when that is good */
	int64_t refusals;	/* how many refusals one audit row stands for; 0: no row is due */
	bool counts_as_failure; /* the hits stay */
	struct login_result *ret;
};

static const char *const surface_names[] = {"", "portal", "campus", "accounts"};

static void
count_login(struct ctx *cx, const char *result)
{
	if (cx->srv->metrics)
		metrics_add(cx->srv->metrics, M_LOGINS, result, 1);
}

/* --- refusals ---- */

static enum err
refuse_login(struct ctx *cx, const struct attempt *t, enum err e, const char *reason)
{
	struct audit_note notes[4];
	size_t n = 0;

	notes[n++] = AUDIT_TEXT("reason", reason);
	notes[n++] = AUDIT_TEXT("surface", surface_names[t->in->surface]);
	if (t->is_address) /* anything else may be a password in the wrong box */
		notes[n++] = AUDIT_TEXT("email", t->email);
	if (t->refusals > 1)
		notes[n++] = AUDIT_INT("count", t->refusals);
	if (t->refusals > 0)
		TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN_FAILED,
					    .result = "failure",
					    .entity_type = t->found ? "user" : NULL,
					    .entity_id = t->found ? t->account.id.text : NULL,
					    .notes = notes,
					    .n_notes = n}));
	return refuse(cx, e);
}

static enum err
write_throttled(struct ctx *cx, void *arg)
{
	return refuse_login(cx, arg, ERR_RATE_LIMITED, "rate_limited");
}

static enum err
throttled(struct ctx *cx, struct attempt *t, int retry_s)
{
	bool due = refusal_row_due(cx, &t->refusals);

	count_login(cx, "throttled");
	if (due) {
		enum err e = db_write(cx, write_throttled, t);
		cx->error.retry_after_s = retry_s;
		return e;
	}
	cx->error.retry_after_s = retry_s;
	return fail(cx, ERR_RATE_LIMITED, NULL);
}

/* --- 1: what is known, and the counters ---- */

static enum err
find_device(struct ctx *cx, void *arg)
{
	struct attempt *t = arg;

	return known_device_find(cx, t->in->device_token, t->email, &t->device);
}

static enum err
reserve(struct ctx *cx, void *arg)
{
	struct attempt *t = arg;

	TRY(lockout_reserve(cx, &t->counted, &t->locked_until));
	return account_by_email(cx, t->email, &t->account, &t->found);
}

static enum err
begin(struct ctx *cx, struct attempt *t)
{
	struct arena *a = cx->arena;
	char prefix[IP_TEXT_BYTES];

	t->is_address = email_canonical(a, t->in->email, &t->email);
	if (!t->is_address)
		t->email = str_lower(a, str_trim(a, t->in->email));
	if (opaque_shape(t->in->device_token))
		TRY(db_read(cx, find_device, t));
	ip_prefix(cx->client->ip, prefix);
	t->hits = (struct login_hits){
		.email = t->email, .ip = t->device.text[0] ? NULL : arena_strdup(a, prefix), .shared = network_shared(cx)};
	t->counted = (struct lockout_attempt){.email = t->email,
		.ip = cx->client->ip,
		.device_id = t->device.text[0] ? t->device.text : NULL,
		.shared_network = t->hits.shared};
	return OK;
}

/* --- 2: the hash ---- */

static enum err
choose_hash(struct ctx *cx, struct attempt *t)
{
	const struct key *key = key_current(cx->srv->keys, KEY_DECOY);
	const struct span parts[] = {SPAN_LIT("login"), span_str(t->email)};
	struct password_mix mix;
	uint8_t draw[SHA256_BYTES];

	TRY(hasher_mix(cx, &mix)); /* also for a hit: both read the same */
	if (t->found && password_hash_acceptable(t->account.password_hash, true)) {
		t->hash = t->account.password_hash;
		return OK;
	}
	crypto_hmac(key_span(key), parts, 2, draw);
	t->hash = password_decoy(cx->arena, cx->srv->conf, &mix, draw);
	return OK;
}

static enum err
hash_password(struct ctx *cx, struct attempt *t)
{
	const struct config *conf = cx->srv->conf;
	bool same;

	TRY(choose_hash(cx, t));
	TRY(password_verify(cx, t->hash, t->in->password, &same));
	t->right = same && t->found && t->hash == t->account.password_hash && t->locked_until == 0;
	t->new_hash = t->hash;
	if (t->right && t->account.is_active && password_stale(conf, t->hash))
		return password_hash(cx, t->in->password, &t->new_hash);
	return OK;
}

/* --- 3: the verdict, written ---- */

/* The account's state, told only to who knew the password. */
static enum err
refuse_state(struct ctx *cx, struct attempt *t, const struct account *now)
{
	enum account_state state = account_state(now, cx->now_us);

	if (state == STATE_DISABLED || state == STATE_UNSET)
		return refuse_login(cx, t, ERR_INVALID_CREDENTIALS, "account_disabled");
	t->counts_as_failure = false;
	TRY(lockout_success(cx, &t->counted));
	if (state == STATE_REJECTED)
		return refuse_login(cx, t, ERR_ACCOUNT_REJECTED, "account_rejected");
	if (state == STATE_TIMEOUT)
		return refuse_login(cx, t, ERR_APPROVAL_TIMEOUT, "approval_timeout");
	error_text(cx, "approval_request_id", now->approval_request_id.text);
	error_time(cx, "expires_at", now->approval_expires_at);
	return refuse_login(cx, t, ERR_ACCOUNT_PENDING, "account_pending");
}

SQL(LOGIN_CONFIRM, "uttm",
	"UPDATE users SET password_hash = $3, updated_at = CASE WHEN password_hash = $3 THEN updated_at ELSE $4 END"
	" WHERE id = $1 AND is_active AND password_hash = $2");
SQL(LOGIN_NEEDS_MFA, "u", "SELECT count(*) FROM mfa_totp WHERE user_id = $1 AND enabled_at IS NOT NULL");

/* A right password where a second factor is due: a token that is good for nothing but showing it, once. */
static enum err
await_factor(struct ctx *cx, const struct attempt *t, const struct account *who, struct login_result *ret)
{
	const struct audit_note notes[] = {
		AUDIT_TEXT("surface", surface_names[t->in->surface]), AUDIT_TEXT("second_factor", "due")};
	TRY(mfa_await(cx, who->id.text, "password", &ret->mfa_token, &ret->mfa_expires_s));
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN,
				       .result = "pending",
				       .actor_id = who->id.text,
				       .entity_type = "user",
				       .entity_id = who->id.text,
				       .notes = notes,
				       .n_notes = 2});
}

static enum err
let_in(struct ctx *cx, struct attempt *t, const struct account *who, struct login_result *ret)
{
	enum err e = t->in->also ? t->in->also(cx, t->in->also_arg, who) : OK;

	if (e == ERR_TOKEN_INVALID) {
		error_clear(cx);
		return refuse_login(cx, t, ERR_TOKEN_INVALID, "used_token");
	}
	TRY(e);
	const struct proof proof = {.password = true, .web = t->in->web};
	const struct audit_note notes[] = {
		AUDIT_TEXT("surface", surface_names[t->in->surface]), AUDIT_TEXT("device", t->device.text[0] ? "known" : "new")};

	TRY(mint_session(cx, who, &proof, &ret->tokens));
	TRY(known_device_keep(cx, who->id.text, &t->device, t->in->device_token, &ret->device_token));
	return audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN,
				       .result = "success",
				       .actor_id = who->id.text,
				       .entity_type = "session",
				       .entity_id = ret->tokens.session_id.text,
				       .notes = notes,
				       .n_notes = 2});
}

static enum err
finish(struct ctx *cx, void *arg)
{
	struct attempt *t = arg;
	struct login_result result = {0};
	int64_t confirmed, mfa;
	bool found;

	t->counts_as_failure = true;
	if (t->locked_until > 0) {
		lockout_tell(cx, t->locked_until);
		return refuse_login(cx, t, ERR_ACCOUNT_LOCKED, "account_locked");
	}
	if (!t->right)
		return refuse_login(cx, t, ERR_INVALID_CREDENTIALS, t->found ? "wrong_password" : "unknown_account");
	TRY(db_exec(cx, &LOGIN_CONFIRM, &confirmed, V_ID(t->account.id), V(t->hash), V(t->new_hash), V(cx->now_us)));
	TRY(account_by_email(cx, t->email, &result.who, &found));
	if (confirmed == 0 && found && !result.who.is_active && str_eq(result.who.password_hash, t->hash))
		return refuse_state(cx, t, &result.who);
	if (confirmed == 0 || !found)
		return refuse_login(cx, t, ERR_INVALID_CREDENTIALS, "account_changed");
	t->counts_as_failure = false;
	TRY(lockout_success(cx, &t->counted));
	TRY(db_int(cx, &LOGIN_NEEDS_MFA, &mfa, V_ID(result.who.id)));
	if (mfa > 0)
		TRY(await_factor(cx, t, &result.who, &result));
	else
		TRY(let_in(cx, t, &result.who, &result));
	*t->ret = result;
	return OK;
}

static enum err
give_back(struct ctx *cx, void *arg)
{
	struct attempt *t = arg;

	return lockout_give_back(cx, &t->counted);
}

/* An outage must not lock out those who try again through it: what was never judged is no failure. */
static enum err
not_judged(struct ctx *cx, struct attempt *t, enum err why)
{
	const struct error told = cx->error;

	login_hits_undo(cx, t->in->surface, &t->hits);
	if (t->reserved && t->locked_until == 0 && db_write(cx, give_back, t) != OK)
		error_clear(cx);
	cx->error = told;
	return why;
}

static const char *
metric_label(enum err result, const struct attempt *t)
{
	if (result == OK)
		return t->ret->mfa_token ? "second_factor" : "success";
	if (result == ERR_ACCOUNT_LOCKED)
		return "locked";
	return t->counts_as_failure ? "failure" : "not_active";
}

enum err
login_password(struct ctx *cx, const struct login *in, struct login_result *ret)
{
	const struct source *s = &cx->srv->source;
	struct attempt t = {.in = in, .ret = ret, .refusals = 1};
	int64_t begun = s->monotonic_us(s->arg);

	TRY(begin(cx, &t));
	enum err taken = login_hits_take(cx, in->surface, &t.hits);
	if (taken != OK)
		return taken == ERR_RATE_LIMITED ? throttled(cx, &t, cx->error.retry_after_s) : taken;
	enum err ready = db_write(cx, reserve, &t);
	t.reserved = ready == OK;
	if (ready == OK)
		ready = hash_password(cx, &t);
	if (ready != OK)
		return not_judged(cx, &t, ready);
	if (t.locked_until > 0 && !refusal_row_due(cx, &t.refusals))
		t.refusals = 0;
	enum err result = db_write(cx, finish, &t);
	if (result == ERR_UNAVAILABLE || result == ERR_OVERLOADED)
		result = not_judged(cx, &t, result);
	else if (!t.counts_as_failure)
		login_hits_give_back(cx, &t.hits);
	count_login(cx, metric_label(result, &t));
	if (cx->srv->metrics)
		metrics_observe(cx->srv->metrics, M_LOGIN_SECONDS, (double)(s->monotonic_us(s->arg) - begun) / 1e6);
	return result;
}
