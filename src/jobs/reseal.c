/*
 * The end of a rotation of MFA_ENCRYPTION_KEY: second factors and face templates that an older listed key sealed are sealed again
 * with the current one.
 *
 * With one key listed there is nothing to ask the database.  A row goes by its sealed text, so one that somebody else has just
 * written is left to the next turn; one that does not open is left as it is, and `muster doctor` counts it.
 */
#include "jobs/rows.h"

#include "attendance/face.h"
#include "core/fernet.h"
#include "core/keys.h"
#include "identity/mfa.h"
#include "store/db.h"

struct sealed_row {
	struct uuid id, subject; /* subject: whose it is, part of the sealed text */
	const char *text, *key_id;
};
static const struct field sealed_row_fields[] = {
	F(struct sealed_row, id, 0, 0, 0, NULL),
	F(struct sealed_row, subject, 0, 0, 0, NULL),
	F(struct sealed_row, text, 0, 0, 0, NULL),
	F(struct sealed_row, key_id, 0, 0, 0, NULL),
};
static const struct schema sealed_row_schema = SCHEMA("SealedRow", struct sealed_row, sealed_row_fields);

SQL(RESEAL_TOTP_FIND, "ttti",
	"SELECT user_id AS id, user_id AS subject, secret AS text, key_id FROM mfa_totp WHERE key_id IN ($1, $2, $3) LIMIT $4");
SQL(RESEAL_TOTP, "uttt", "UPDATE mfa_totp SET secret = $3, key_id = $4 WHERE user_id = $1 AND secret = $2");
SQL(RESEAL_PENDING_FIND, "ttti",
	"SELECT user_id AS id, user_id AS subject, pending_secret AS text, pending_key_id AS key_id FROM mfa_totp"
	" WHERE pending_key_id IN ($1, $2, $3) LIMIT $4");
SQL(RESEAL_PENDING, "uttt",
	"UPDATE mfa_totp SET pending_secret = $3, pending_key_id = $4 WHERE user_id = $1 AND pending_secret = $2");
SQL(RESEAL_FACES_FIND, "ttti",
	"SELECT id, user_id AS subject, template AS text, key_id FROM face_references WHERE key_id IN ($1, $2, $3) LIMIT $4");
SQL(RESEAL_FACES, "uttt", "UPDATE face_references SET template = $3, key_id = $4 WHERE id = $1 AND template = $2");

static const struct {
	const char *purpose;
	const struct sql *find, *write;
} places[] = {
	{mfa_seal_purpose, &RESEAL_TOTP_FIND, &RESEAL_TOTP},
	{mfa_seal_purpose, &RESEAL_PENDING_FIND, &RESEAL_PENDING},
	{face_seal_purpose, &RESEAL_FACES_FIND, &RESEAL_FACES},
};

static enum err
reseal_row(struct ctx *cx, size_t place, const struct sealed_row *row, int64_t *done)
{
	const char *purpose = places[place].purpose, *whose = row->subject.text, *key_id = NULL;
	const char *text = sealed_open(cx, row->key_id, purpose, whose, row->text);
	int64_t rows = 0;

	if (!text)
		return OK;
	const char *again = sealed_text(cx, purpose, whose, text, &key_id);
	TRY(db_exec(cx, places[place].write, &rows, V_ID(row->id), V(row->text), V(again), V(key_id)));
	*done += rows;
	return OK;
}

enum err
reseal(struct ctx *cx, int64_t *ret_rows)
{
	_Static_assert(SECRETS_MAX == 4, "as many parameters as older keys");
	const char *older[SECRETS_MAX - 1] = {"", "", ""};
	size_t n = key_count(cx->srv->keys, KEY_FERNET);
	int64_t done = 0;

	*ret_rows = 0;
	if (n < 2)
		return OK;
	for (size_t i = 1; i < n; i++)
		older[i - 1] = key_nth(cx->srv->keys, KEY_FERNET, i)->id;
	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]) && done < BULK_TURN_ROWS; p++) {
		struct list list;
		TRY(db_all(cx, places[p].find, &sealed_row_schema, &list, V(older[0]), V(older[1]), V(older[2]),
			V(BULK_TURN_ROWS - done)));
		const struct sealed_row *rows = list.items;
		for (size_t i = 0; i < list.count; i++)
			TRY(reseal_row(cx, p, &rows[i], &done));
	}
	*ret_rows = done;
	return OK;
}
