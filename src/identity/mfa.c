/*
 * Wrong codes are refuse()d, so that their count stays; what was right is spent in the same transaction as what it opened, so
 * that a code is never lost to a request that failed.
 */
#include "identity/mfa.h"

#include <string.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/fernet.h"
#include "identity/lockout.h"
#include "identity/mail.h"
#include "identity/mfa_parts.h"
#include "identity/profile.h"
#include "identity/secret.h"
#include "identity/totp.h"
#include "store/db.h"

enum { BACKUP_CHARS = 16, BACKUP_GROUP = 4, BACKUP_YEARS = 50 };
const char mfa_seal_purpose[] = "totp";
static const char backup_purpose[] = "mfa_backup", otp_kind[] = "otp";

struct totp_row {
	const char *secret, *key_id, *pending_secret, *pending_key_id;
	int64_t last_step, enabled_at;
};
static const struct field totp_row_fields[] = {
	F(struct totp_row, secret, F_SECRET, 0, 0, "Active secret, sealed; empty before the first."),
	F(struct totp_row, key_id, 0, 0, 0, "Its key."),
	F(struct totp_row, pending_secret, F_SECRET | F_NULLABLE, 0, 0, "The one that waits for its first code."),
	F(struct totp_row, pending_key_id, F_NULLABLE, 0, 0, "Its key."),
	F(struct totp_row, last_step, 0, 0, 0, "Last step that was accepted."),
	F(struct totp_row, enabled_at, F_TIME | F_NULLABLE, 0, 0, "Since when it is asked for."),
};
static const struct schema totp_row_schema = SCHEMA("TotpRow", struct totp_row, totp_row_fields);

SQL(TOTP_ROW, "u",
	"SELECT secret, key_id, pending_secret, pending_key_id, last_step, enabled_at FROM mfa_totp WHERE user_id = $1");

static enum err
row_of(struct ctx *cx, const char *user_id, struct totp_row *ret)
{
	bool found;

	*ret = (struct totp_row){.enabled_at = TIME_NONE};
	return db_find(cx, &TOTP_ROW, &totp_row_schema, ret, &found, V(user_id));
}

enum err
mfa_is_enabled(struct ctx *cx, const char *user_id, bool *ret)
{
	struct totp_row row;

	TRY(row_of(cx, user_id, &row));
	*ret = row.enabled_at != TIME_NONE;
	return OK;
}

/* --- codes ---------------------------------------------------------------------------------------------------------------- */

/* The step whose code was typed; false for a wrong one.  A secret that cannot be opened accepts nothing. */
static bool
step_of(struct ctx *cx, const char *user_id, const char *sealed, const char *key_id, const char *typed, int64_t *ret_step)
{
	const struct config *conf = cx->srv->conf;
	const char *text = sealed_open(cx, key_id, mfa_seal_purpose, user_id, sealed);
	struct totp t = {.period_s = conf->mfa_totp_period, .digits = conf->mfa_totp_digits};

	return text && base32_read(cx->arena, text, &t.secret) && totp_find(&t, cx->now_us / SECONDS_US, typed, ret_step);
}

SQL(TOTP_STEP, "uti",
	"UPDATE mfa_totp SET last_step = $3 WHERE user_id = $1 AND secret = $2 AND enabled_at IS NOT NULL AND last_step < $3");

/* Looks again when the secret changed meanwhile: a rotation may just have sealed it with another key. */
static enum err
spend_code(struct ctx *cx, const char *user_id, struct totp_row *row, const char *typed, bool *ret_right)
{
	const char *tried = "";
	int64_t step, rows = 0;

	while (rows == 0 && row->enabled_at != TIME_NONE && !str_eq(row->secret, tried) &&
		step_of(cx, user_id, row->secret, row->key_id, typed, &step)) {
		tried = row->secret;
		TRY(db_exec(cx, &TOTP_STEP, &rows, V(user_id), V(row->secret), V(step)));
		if (rows == 0)
			TRY(row_of(cx, user_id, row));
	}
	*ret_right = rows == 1;
	return OK;
}

static const char *
backup_secret(struct ctx *cx, const char *user_id, const char *code)
{
	return arena_printf(cx->arena, "%s:%s", user_id, code);
}

static enum err
spend_backup(struct ctx *cx, const char *user_id, const char *typed, bool *ret_right)
{
	char code[BACKUP_CHARS + 1];
	struct secret_taken taken;

	*ret_right = false;
	if (!typed || !crockford_canonical(typed, BACKUP_CHARS, code))
		return OK;
	enum err e = secret_consume(cx, backup_purpose, backup_secret(cx, user_id, code), user_id, NULL, &taken);
	if (e == ERR_TOKEN_INVALID) {
		error_clear(cx);
		return OK;
	}
	TRY(e);
	*ret_right = true;
	return OK;
}

static enum err
factor_locked(struct ctx *cx, int64_t locked_until)
{
	lockout_tell(cx, locked_until);
	return refuse(cx, ERR_ACCOUNT_LOCKED);
}

enum err
factor_check(struct ctx *cx, const char *user_id, const struct factor *f, enum err *ret_verdict)
{
	int64_t locked_until;
	struct totp_row row;
	bool right = false;

	TRY(lockout_account_reserve(cx, otp_kind, user_id, &locked_until));
	if (locked_until > 0) {
		*ret_verdict = ERR_ACCOUNT_LOCKED;
		lockout_tell(cx, locked_until);
		return OK;
	}
	TRY(row_of(cx, user_id, &row));
	TRY(f->code ? spend_code(cx, user_id, &row, f->code, &right) : spend_backup(cx, user_id, f->backup_code, &right));
	*ret_verdict = right ? OK : ERR_INVALID_CODE;
	return right ? lockout_account_success(cx, otp_kind, user_id) : OK;
}

/* For somebody signed in: the refusal is the answer, and its count stays. */
static enum err
demand_factor(struct ctx *cx, const char *user_id, const struct factor *f)
{
	enum err verdict;

	TRY(factor_check(cx, user_id, f, &verdict));
	return verdict == OK ? OK : refuse(cx, verdict);
}

/* --- backup codes --------------------------------------------------------------------------------------------------------- */

static enum err
backup_codes(struct ctx *cx, const char *user_id, struct list *ret)
{
	size_t n = (size_t)cx->srv->conf->mfa_backup_codes_count;
	const char **codes = arena_new(cx->arena, const char *, n);

	TRY(secret_kill(cx, backup_purpose, user_id));
	for (size_t i = 0; i < n; i++) {
		uint8_t chance[BACKUP_CHARS];
		char code[BACKUP_CHARS + 1] = {0};
		struct buf shown;
		random_bytes(cx, chance, sizeof(chance));
		buf_init(&shown, cx->arena, 2 * BACKUP_CHARS);
		for (int k = 0; k < BACKUP_CHARS; k++) {
			code[k] = crockford_alphabet[chance[k] % 32];
			if (k > 0 && k % BACKUP_GROUP == 0)
				buf_chr(&shown, '-');
			buf_chr(&shown, code[k]);
		}
		TRY(secret_store(cx,
			&(const struct secret_new){
				.purpose = backup_purpose, .user_id = user_id, .life_us = BACKUP_YEARS * 365 * DAYS_US},
			backup_secret(cx, user_id, code)));
		codes[i] = buf_cstr(&shown);
	}
	*ret = (struct list){codes, n};
	return OK;
}

/* --- setting up ----------------------------------------------------------------------------------------------------------- */

struct standing {
	bool mfa;
};
static const struct field standing_fields[] = {F(struct standing, mfa, 0, 0, 0, "A factor was shown at this login.")};
static const struct schema standing_schema = SCHEMA("SessionFactor", struct standing, standing_fields);

SQL(SESSION_FACTOR, "u", "SELECT mfa FROM sessions WHERE id = $1");

/* *ret_strong: this session's login is recent and has shown a factor. */
static enum err
login_standing(struct ctx *cx, bool *ret_recent, bool *ret_strong)
{
	struct standing s;

	TRY(db_one(cx, &SESSION_FACTOR, &standing_schema, &s, V_ID(cx->actor->session_id)));
	*ret_recent = cx->now_us - cx->actor->login_at_us <= MFA_RECENT_MINUTES * MINUTES_US;
	*ret_strong = *ret_recent && s.mfa;
	return OK;
}

struct setting_up {
	const char *code;
	bool recent, strong, enabled;
	struct mfa_setup out;
};

static enum err
setup_look(struct ctx *cx, void *arg)
{
	struct setting_up *s = arg;

	TRY(session_recheck(cx));
	TRY(login_standing(cx, &s->recent, &s->strong));
	return mfa_is_enabled(cx, cx->actor->user_id.text, &s->enabled);
}

static void
percent(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *s))
			buf_chr(out, *s);
		else
			buf_printf(out, "%%%02X", (uint8_t)*s);
	}
}

static const char *
otpauth_uri(struct ctx *cx, const char *secret)
{
	const struct config *conf = cx->srv->conf;
	struct buf out;

	buf_init(&out, cx->arena, 256);
	buf_str(&out, "otpauth://totp/");
	percent(&out, conf->mfa_totp_issuer);
	buf_chr(&out, ':');
	percent(&out, cx->actor->email);
	buf_printf(&out, "?secret=%s&issuer=", secret);
	percent(&out, conf->mfa_totp_issuer);
	buf_printf(&out, "&algorithm=SHA1&digits=%d&period=%d", (int)conf->mfa_totp_digits, (int)conf->mfa_totp_period);
	return buf_cstr(&out);
}

SQL(TOTP_PENDING, "uttm",
	"INSERT INTO mfa_totp (user_id, secret, key_id, pending_secret, pending_key_id, last_step, enabled_at, created_at)"
	" VALUES ($1, '', '', $2, $3, 0, NULL, $4)"
	" ON CONFLICT (user_id) DO UPDATE SET pending_secret = $2, pending_key_id = $3");

static enum err
setup_write(struct ctx *cx, void *arg)
{
	struct setting_up *s = arg;
	const char *id = cx->actor->user_id.text, *key_id, *sealed;
	uint8_t secret[TOTP_SECRET_BYTES];

	TRY(setup_look(cx, s));
	if (s->enabled && !s->strong && !s->code)
		return fail(cx, ERR_REAUTH_REQUIRED, NULL); /* activated since it was looked at first */
	if (s->enabled && !s->strong)
		TRY(demand_factor(cx, id, &(const struct factor){.code = s->code}));
	random_bytes(cx, secret, sizeof(secret));
	s->out.secret = base32_text(cx->arena, (struct span){secret, sizeof(secret)});
	s->out.otpauth_uri = otpauth_uri(cx, s->out.secret);
	sealed = sealed_text(cx, mfa_seal_purpose, id, s->out.secret, &key_id);
	crypto_wipe(secret, sizeof(secret));
	return db_exec(cx, &TOTP_PENDING, NULL, V(id), V(sealed), V(key_id), V(cx->now_us));
}

enum err
mfa_setup(struct ctx *cx, const char *password, const char *code, struct mfa_setup *ret)
{
	struct setting_up s = {.code = code};
	const char *hash;

	TRY(db_read(cx, setup_look, &s));
	if ((!s.recent && !password) || (s.enabled && !s.strong && !code))
		return fail(cx, ERR_REAUTH_REQUIRED, NULL);
	if (!s.recent)
		TRY(password_confirm(cx, password, &hash));
	TRY(db_write(cx, setup_write, &s));
	*ret = s.out;
	return OK;
}

SQL(TOTP_ACTIVATE, "utim",
	"UPDATE mfa_totp SET secret = pending_secret, key_id = pending_key_id, pending_secret = NULL, pending_key_id = NULL, "
	"last_step = $3,"
	" enabled_at = $4 WHERE user_id = $1 AND pending_secret = $2");

enum err
mfa_verify(struct ctx *cx, const char *code, struct list *ret_codes)
{
	const char *id = cx->actor->user_id.text;
	int64_t locked_until, step, rows = 0;
	struct totp_row row;
	struct account who;
	struct list codes;

	TRY(row_of(cx, id, &row));
	if (!row.pending_secret)
		return fail(cx, ERR_MFA_NOT_ENABLED, "Begin with the setup.");
	TRY(lockout_account_reserve(cx, otp_kind, id, &locked_until));
	if (locked_until > 0)
		return factor_locked(cx, locked_until);
	if (step_of(cx, id, row.pending_secret, row.pending_key_id, code, &step))
		TRY(db_exec(cx, &TOTP_ACTIVATE, &rows, V(id), V(row.pending_secret), V(step), V(cx->now_us)));
	if (rows == 0)
		return refuse(cx, ERR_INVALID_CODE);
	TRY(lockout_account_success(cx, otp_kind, id));
	TRY(backup_codes(cx, id, &codes));
	TRY(account_by_id(cx, id, &who));
	TRY(mail_notice(cx, &who, "mfa_enabled"));
	*ret_codes = codes;
	return audit_ok(cx, AUDIT_MFA_ENABLED, "user", id, AUDIT_TEXT("factor", "totp"));
}

enum err
mfa_regenerate(struct ctx *cx, const char *code, struct list *ret_codes)
{
	const char *id = cx->actor->user_id.text;
	bool enabled;

	TRY(mfa_is_enabled(cx, id, &enabled));
	if (!enabled)
		return fail(cx, ERR_MFA_NOT_ENABLED, NULL);
	TRY(demand_factor(cx, id, &(const struct factor){.code = code}));
	TRY(backup_codes(cx, id, ret_codes));
	return audit_ok(cx, AUDIT_BACKUP_CODES_REGENERATED, "user", id);
}

/* --- switching off -------------------------------------------------------------------------------------------------------- */

struct disabling {
	const struct factor *factor; /* NULL: the password was shown */
	bool recent, strong, enabled;
};

static enum err
disable_look(struct ctx *cx, void *arg)
{
	struct disabling *d = arg;

	TRY(session_recheck(cx));
	TRY(login_standing(cx, &d->recent, &d->strong));
	return mfa_is_enabled(cx, cx->actor->user_id.text, &d->enabled);
}

SQL(TOTP_DELETE, "u", "DELETE FROM mfa_totp WHERE user_id = $1 AND enabled_at IS NOT NULL");

static enum err
disable_write(struct ctx *cx, void *arg)
{
	struct disabling *d = arg;
	const char *id = cx->actor->user_id.text;
	enum err verdict = OK;
	struct account who;
	int64_t rows;

	TRY(disable_look(cx, d));
	if (!d->enabled)
		return fail(cx, ERR_MFA_NOT_ENABLED, NULL);
	if (d->factor)
		TRY(factor_check(cx, id, d->factor, &verdict));
	else if (!d->strong)
		return fail(cx, ERR_REAUTH_REQUIRED, NULL);
	if (verdict != OK) {
		TRY(audit_failure(cx, AUDIT_MFA_DISABLED, verdict));
		return refuse(cx, verdict);
	}
	TRY(db_exec(cx, &TOTP_DELETE, &rows, V(id)));
	TRY(secret_kill(cx, backup_purpose, id));
	TRY(account_by_id(cx, id, &who));
	TRY(mail_notice(cx, &who, "mfa_disabled"));
	return audit_ok(cx, AUDIT_MFA_DISABLED, "user", id,
		AUDIT_TEXT("by", d->factor ? (d->factor->code ? "code" : "backup_code") : "password"));
}

enum err
mfa_disable(struct ctx *cx, const struct factor *f, const char *password)
{
	struct disabling d = {.factor = f->code || f->backup_code ? f : NULL};
	const char *hash;

	if (!f->code + !f->backup_code + !password != 2) {
		error_field(cx, "code", "exactly one of code, backup_code and password is needed");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	if (!d.factor) {
		TRY(db_read(cx, disable_look, &d));
		if (!d.enabled)
			return fail(cx, ERR_MFA_NOT_ENABLED, NULL);
		if (!d.strong)
			return fail(cx, ERR_REAUTH_REQUIRED, NULL);
		TRY(password_confirm(cx, password, &hash));
	}
	return db_write(cx, disable_write, &d);
}
