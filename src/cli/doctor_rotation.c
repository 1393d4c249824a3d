/*
 * What still depends on a secret that is not the current one.  A row names the key that made it, so this is counting by key: under
 * an older value that is listed (it must stay), or under one that is not (what it made is lost).
 *
 * Access tokens, claims and challenges are in no table; they end by themselves within minutes of the change.
 */
#include <string.h>

#include "cli/doctor.h"
#include "core/keys.h"
#include "store/db.h"

struct key_row {
	const char *key_id;
	int64_t n;
};
static const struct field key_row_fields[] = {
	F(struct key_row, key_id, 0, 0, 0, NULL),
	F(struct key_row, n, 0, 0, 0, NULL),
};
static const struct schema key_row_schema = SCHEMA("KeyRow", struct key_row, key_row_fields);

#define BY_KEY "SELECT key_id, COUNT(*) AS n FROM "
SQL(DOCTOR_SEALS, "m", BY_KEY "audit_seals WHERE sealed_at <= $1 GROUP BY key_id");
SQL(DOCTOR_CODES, "m", BY_KEY "qr_sessions WHERE expires_at > $1 AND NOT is_revoked GROUP BY key_id");
SQL(DOCTOR_DISPLAYS, "m",
	BY_KEY "one_time_secrets WHERE purpose = 'display' AND used_at IS NULL AND expires_at > $1 GROUP BY key_id");
SQL(DOCTOR_REFRESH, "m",
	"SELECT r.key_id, COUNT(*) AS n FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id"
	" WHERE r.used_at IS NULL AND r.expires_at > $1 AND s.revoked_at IS NULL GROUP BY r.key_id");
SQL(DOCTOR_KNOWN, "m", BY_KEY "known_devices WHERE expires_at > $1 GROUP BY key_id");
SQL(DOCTOR_BACKUP_CODES, "m",
	BY_KEY "one_time_secrets WHERE purpose = 'mfa_backup' AND used_at IS NULL AND expires_at > $1 GROUP BY key_id");
SQL(DOCTOR_LINKS, "m",
	BY_KEY "one_time_secrets WHERE purpose NOT IN ('mfa_backup', 'display') AND used_at IS NULL AND expires_at > $1"
	       " GROUP BY key_id");
SQL(DOCTOR_DEVICES, "m",
	BY_KEY "devices WHERE status = 'bound' AND public_key IS NULL AND key_id IS NOT NULL AND created_at <= $1 GROUP BY key_id");
SQL(DOCTOR_TOTP, "m", BY_KEY "mfa_totp WHERE enabled_at <= $1 GROUP BY key_id");
SQL(DOCTOR_FACES, "m", BY_KEY "face_references WHERE created_at <= $1 GROUP BY key_id");

enum { SECRET_COUNT = 4, KINDS_MAX = 5 };

static const struct {
	const char *name;
	enum key_use use, listed; /* what finds its keys; what counts the values that are still in use */
	struct {
		const char *what;
		const struct sql *sql;
	} kinds[KINDS_MAX];
} secrets[SECRET_COUNT] = {
	{"SECRET_KEY", KEY_AUDIT, KEY_ACCESS, {{"audit seals", &DOCTOR_SEALS}}},
	{"QR_SIGNING_SECRET", KEY_QR, KEY_QR, {{"QR codes", &DOCTOR_CODES}, {"projector links", &DOCTOR_DISPLAYS}}},
	{"TOKEN_PEPPER", KEY_TOKEN, KEY_TOKEN,
		{{"refresh tokens", &DOCTOR_REFRESH}, {"known devices", &DOCTOR_KNOWN}, {"backup codes", &DOCTOR_BACKUP_CODES},
			{"mailed links and pending logins", &DOCTOR_LINKS}, {"devices bound by id", &DOCTOR_DEVICES}}},
	{"MFA_ENCRYPTION_KEY", KEY_FERNET, KEY_FERNET, {{"second factors", &DOCTOR_TOTP}, {"face templates", &DOCTOR_FACES}}},
};

struct tally {
	int64_t n[SECRET_COUNT][KINDS_MAX][2]; /* under older keys: not listed, listed */
};

static enum err
count_by_key(struct ctx *cx, void *arg)
{
	struct tally *t = arg;

	for (int s = 0; s < SECRET_COUNT; s++) {
		const char *current = key_current(cx->srv->keys, secrets[s].use)->id;
		for (int k = 0; k < KINDS_MAX && secrets[s].kinds[k].sql; k++) {
			struct list list;
			TRY(db_all(cx, secrets[s].kinds[k].sql, &key_row_schema, &list, V(cx->now_us)));
			const struct key_row *rows = list.items;
			for (size_t i = 0; i < list.count; i++)
				if (strcmp(rows[i].key_id, current) != 0)
					t->n[s][k][key_find(cx->srv->keys, secrets[s].use, rows[i].key_id) != NULL] += rows[i].n;
		}
	}
	return OK;
}

/* "12 refresh tokens, 3 known devices"; NULL: nothing. */
static const char *
words(struct arena *a, const struct tally *t, int s, int listed)
{
	struct buf b;

	buf_init(&b, a, 128);
	for (int k = 0; k < KINDS_MAX && secrets[s].kinds[k].sql; k++)
		if (t->n[s][k][listed] > 0)
			buf_printf(&b, "%s%lld %s", b.n ? ", " : "", (long long)t->n[s][k][listed], secrets[s].kinds[k].what);
	return b.n ? buf_cstr(&b) : NULL;
}

static void
report_secret(struct report *r, const struct ctx *cx, const struct tally *t, int s)
{
	const char *name = secrets[s].name;
	const char *waiting = words(r->arena, t, s, true), *lost = words(r->arena, t, s, false);
	bool seals = secrets[s].use == KEY_AUDIT; /* they stay: their former keys go to SECRET_KEY_RETIRED */

	if (lost)
		report_add(r, FINDING_WARNING, "rotation",
			seals ? "put the value that made them into SECRET_KEY_RETIRED"
			      : "list the value that made them again, behind the current one; else they are dead",
			"%s: of no listed value: %s", name, lost);
	if (key_count(cx->srv->keys, secrets[s].listed) > 1 && waiting && !seals)
		report_add(r, FINDING_WARNING, "rotation", "keep the older value until this is gone; see docs/operations.md",
			"%s: of an older value: %s", name, waiting);
	else if (key_count(cx->srv->keys, secrets[s].listed) > 1)
		report_add(r, FINDING_WARNING, "rotation",
			seals ? "an hour after the change, move it to SECRET_KEY_RETIRED" : "an hour after the change, take it out",
			"%s: an older value is listed, and nothing stored depends on it", name);
	else if (!lost)
		report_add(r, FINDING_OK, "rotation", NULL, "%s: one value%s%s", name, waiting ? ", and retired ones for " : "",
			waiting ? waiting : "");
}

void
doctor_rotation(struct report *r, struct app *app)
{
	struct tally t = {0};

	if (!app->srv.store)
		return;
	if (db_read(&app->cx, count_by_key, &t) != OK) {
		report_add(r, FINDING_FAILED, "rotation", "see the database's own log", "what depends on which secret cannot be read");
		return;
	}
	for (int s = 0; s < SECRET_COUNT; s++)
		report_secret(r, &app->cx, &t, s);
}
