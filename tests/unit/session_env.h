/* A session as its owner sees it: refreshing it, what an access token is worth now, and both after a restart. */
#ifndef MUSTER_TESTS_SESSION_ENV_H
#define MUSTER_TESTS_SESSION_ENV_H

#include "support.h"

#include <string.h>

#include "core/conf.h"
#include "core/keys.h"
#include "identity/account.h"

enum { THREADS = 64 };

struct refreshing {
	struct test *t;
	const char *token;
	char access[TOKEN_MAX], successor[64], user[ID_BYTES + 1];
	int64_t expires_at, life_s;
	enum err result;
};

static enum err
refresh_run(struct ctx *cx, void *arg)
{
	struct refreshing *r = arg;
	struct account who;
	struct tokens tokens;

	TRY(session_refresh(cx, r->token, &who, &tokens));
	str_copy(r->access, sizeof(r->access), tokens.access_token);
	str_copy(r->successor, sizeof(r->successor), tokens.refresh_token);
	str_copy(r->user, sizeof(r->user), who.id.text);
	r->expires_at = tokens.refresh_expires_at;
	r->life_s = tokens.access_expires_s;
	return OK;
}

__attribute__((unused)) static void *
refresh_thread(void *arg)
{
	struct refreshing *r = arg;

	r->result = test_write(r->t, refresh_run, r);
	return NULL;
}

__attribute__((unused)) static enum err
refresh(struct test *t, const char *token, struct refreshing *ret)
{
	*ret = (struct refreshing){.t = t, .token = token};
	refresh_thread(ret);
	return ret->result;
}

/* What an access token is worth now, as the dispatcher asks. */
__attribute__((unused)) static enum err
access(struct test *t, const char *token)
{
	struct access_claims claims;
	struct actor actor;
	struct ctx cx;
	bool miss;

	test_ctx(t, &cx);
	enum err e = access_verify(&cx, token, &claims);
	if (e == OK)
		e = session_lookup(&cx, &claims, &actor, &miss);
	if (e == OK && miss) {
		cx.db = db_reader_open(t->srv.store);
		e = session_fill(&cx, &claims, &actor);
		db_reader_close(cx.db);
	}
	return e;
}

/* The same database under other settings, as after a restart. */
__attribute__((unused)) static struct test *
restart(struct test *t, const char *pepper, const char *secret)
{
	static struct test again;
	const char *env[] = {"ENV=dev", "QR_SIGNING_SECRET=0123456789abcdef0123456789abcdef-codes",
		"MFA_ENCRYPTION_KEY=0123456789abcdef0123456789abcdef-mfa", "ADMIN_PASSWORD=x-not-used-1A",
		"RATE_LIMIT_ENABLED=false", arena_printf(&t->arena, "TOKEN_PEPPER=%s", pepper),
		arena_printf(&t->arena, "SECRET_KEY=%s", secret), arena_printf(&t->arena, "DATA_DIR=%s", t->dir), NULL};
	const char *message = "";

	again.srv = t->srv;
	again.srv.conf = conf_load(env, NULL, &message);
	if (!again.srv.conf)
		fail_msg("%s", message);
	again.srv.keys = keys_open(again.srv.conf);
	again.srv.sessions = session_table_open(100);
	arena_init(&again.arena);
	return &again;
}

__attribute__((unused)) static void
restart_end(struct test *again)
{
	session_table_close(again->srv.sessions);
	keys_close((struct keys *)(uintptr_t)again->srv.keys);
	conf_free((struct config *)(uintptr_t)again->srv.conf);
	arena_release(&again->arena);
}
#define PEPPER "0123456789abcdef0123456789abcdef-pepper"
#define SECRET "0123456789abcdef0123456789abcdef-access"
#define OTHER "fedcba9876543210fedcba9876543210-another"

#endif
