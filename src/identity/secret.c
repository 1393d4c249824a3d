/*
 * One-time secrets: taken by one conditional UPDATE, so that of any number of parallel tries one wins; wrong purpose, wrong
 * client, used and expired all look the same from outside.
 */
#include "identity/secret.h"

#include "core/field.h"
#include "core/keys.h"
#include "identity/token.h"
#include "store/db.h"

/* What the row keeps of the client it is bound to. */
static const char *
binding_mac(struct ctx *cx, const struct key *key, const char *binding)
{
	return binding ? opaque_hash(cx->arena, key, "binding", binding) : "";
}

SQL(SECRET_KILL, "utm", "UPDATE one_time_secrets SET used_at = $3 WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL");
SQL(SECRET_INSERT, "ututtttmm",
	"INSERT INTO one_time_secrets (id, purpose, user_id, secret_hash, key_id, binding, data, created_at, expires_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");

enum err
secret_store(struct ctx *cx, const struct secret_new *in, const char *secret)
{
	const struct key *key = key_current(cx->srv->keys, KEY_TOKEN);
	struct uuid id = new_id(cx);

	if (in->life_us <= 0)
		BUG("a secret of %s without end", in->purpose);
	if (in->only_one)
		TRY(db_exec(cx, &SECRET_KILL, NULL, V(in->user_id), V(in->purpose), V(cx->now_us)));
	return db_exec(cx, &SECRET_INSERT, NULL, V_ID(id), V(in->purpose), V(in->user_id),
		V(opaque_hash(cx->arena, key, in->purpose, secret)), V(key->id), V(binding_mac(cx, key, in->binding)),
		V(in->data), V(cx->now_us), V(cx->now_us + in->life_us));
}

enum err
secret_issue(struct ctx *cx, const struct secret_new *in, const char **ret_secret)
{
	const char *secret = opaque_new(cx);

	TRY(secret_store(cx, in, secret));
	*ret_secret = secret;
	return OK;
}

static const struct field secret_taken_fields[] = {
	F(struct secret_taken, id, 0, 0, 0, "Row."),
	F(struct secret_taken, user_id, F_NULLABLE, 0, 0, "Whose."),
	F(struct secret_taken, data, F_JSON | F_NULLABLE, 0, 0, "What the purpose needs back."),
};
static const struct schema secret_taken_schema = SCHEMA("SecretTaken", struct secret_taken, secret_taken_fields);

SQL(SECRET_TAKE, "ttmtu",
	"UPDATE one_time_secrets SET used_at = $3 WHERE purpose = $1 AND secret_hash = $2 AND used_at IS NULL AND expires_at > $3"
	" AND (binding = '' OR binding = $4){?5 AND user_id = $5} RETURNING id, user_id, data");

enum err
secret_consume(struct ctx *cx, const char *purpose, const char *secret, const char *user_id, const char *binding,
	struct secret_taken *ret)
{
	size_t keys = key_count(cx->srv->keys, KEY_TOKEN);

	for (size_t i = 0; i < keys; i++) {
		const struct key *key = key_nth(cx->srv->keys, KEY_TOKEN, i);
		struct secret_taken taken;
		bool found;
		TRY(db_find(cx, &SECRET_TAKE, &secret_taken_schema, &taken, &found, V(purpose),
			V(opaque_hash(cx->arena, key, purpose, secret)), V(cx->now_us), V(binding_mac(cx, key, binding)),
			V(user_id)));
		if (found) {
			*ret = taken;
			return OK;
		}
	}
	return fail(cx, ERR_TOKEN_INVALID, NULL);
}

SQL(SECRET_LOOK, "ttm",
	"SELECT id, user_id, data FROM one_time_secrets WHERE purpose = $1 AND secret_hash = $2 AND used_at IS NULL AND expires_at > $3");

enum err
secret_peek(struct ctx *cx, const char *purpose, const char *secret, struct secret_taken *ret)
{
	size_t keys = key_count(cx->srv->keys, KEY_TOKEN);
	bool found = false;

	for (size_t i = 0; i < keys && !found; i++)
		TRY(db_find(cx, &SECRET_LOOK, &secret_taken_schema, ret, &found, V(purpose),
			V(opaque_hash(cx->arena, key_nth(cx->srv->keys, KEY_TOKEN, i), purpose, secret)), V(cx->now_us)));
	return found ? OK : fail(cx, ERR_TOKEN_INVALID, NULL);
}

enum err
secret_kill(struct ctx *cx, const char *purpose, const char *user_id)
{
	return db_exec(cx, &SECRET_KILL, NULL, V(user_id), V(purpose), V(cx->now_us));
}
