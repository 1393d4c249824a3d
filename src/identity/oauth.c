/* The way to a provider and back.  No transaction is open while a provider is asked. */
#include "identity/oauth_parts.h"

#include <string.h>

#include "audit/audit.h"
#include "core/conf.h"
#include "core/json.h"
#include "core/keys.h"
#include "identity/secret.h"
#include "identity/token.h"
#include "store/db.h"

static const char purpose[] = "oauth_state";

/* Nonce and verifier: only this server can tell them from a state. */
static const char *
derived(struct ctx *cx, const char *what, const char *state)
{
	const struct key *key = key_current(cx->srv->keys, KEY_CLIENT);
	const struct span parts[] = {SPAN_LIT("oauth "), span_str(what), SPAN_LIT(" "), span_str(state)};
	uint8_t mac[SHA256_BYTES];

	crypto_hmac(key_span(key), parts, 4, mac);
	return b64url_text(cx->arena, (struct span){mac, sizeof(mac)});
}

static const char *
challenge(struct ctx *cx, const char *verifier)
{
	uint8_t hash[SHA256_BYTES];

	crypto_sha256(span_str(verifier), hash);
	return b64url_text(cx->arena, (struct span){hash, sizeof(hash)});
}

/* --- there ---------------------------------------------------------------------------------------------------------------- */

struct issuing {
	const char *binding, *data, *state;
};

static enum err
issue_state(struct ctx *cx, void *arg)
{
	struct issuing *i = arg;
	const int64_t ttl_s = cx->srv->conf->oauth_state_ttl < cx->srv->conf->oauth_nonce_ttl ? cx->srv->conf->oauth_state_ttl
											      : cx->srv->conf->oauth_nonce_ttl;

	return secret_issue(cx,
		&(const struct secret_new){
			.purpose = purpose, .binding = i->binding, .data = i->data, .life_us = ttl_s * SECONDS_US},
		&i->state);
}

static const char *
state_data(struct ctx *cx, const char *provider, const char *redirect_uri)
{
	struct json j;
	struct buf out;

	buf_init(&out, cx->arena, 200);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "provider", provider);
	json_str(&j, "redirect_uri", redirect_uri);
	json_obj_end(&j);
	return buf_cstr(&out);
}

static enum err
redirect_uri(struct ctx *cx, const struct oidc_provider *p, const char *wanted, const char **ret)
{
	const char *uri = wanted ? wanted : p->redirect_uri;

	if (wanted && strcmp(wanted, p->redirect_uri) != 0 && !conf_list_has(&cx->srv->conf->oauth_allowed_redirect_uris, wanted))
		error_field(cx, "redirect_uri", "is not one of those that are allowed");
	else if (!uri[0])
		error_field(cx, "redirect_uri", "is needed: this provider has no default");
	if (error_has_fields(cx))
		return fail(cx, ERR_VALIDATION, NULL);
	*ret = uri;
	return OK;
}

enum err
oauth_start(struct ctx *cx, const struct oauth_starting *in, struct oauth_started *ret)
{
	struct oidc_provider p;
	struct issuing i;
	const char *uri = NULL, *url;

	TRY(oidc_provider_find(cx, in->provider, &p));
	TRY(redirect_uri(cx, &p, in->redirect_uri, &uri));
	i.binding = opaque_shape(in->binding) ? in->binding : opaque_new(cx);
	i.data = state_data(cx, p.id, uri);
	TRY(db_write(cx, issue_state, &i));
	const struct oidc_request rq = {.redirect_uri = uri,
		.state = i.state,
		.nonce = derived(cx, "nonce", i.state),
		.challenge = challenge(cx, derived(cx, "verifier", i.state))};
	TRY(oidc_authorization_url(cx, &p, &rq, &url));
	*ret = (struct oauth_started){.authorization_url = url, .state = i.state, .binding = i.binding};
	return OK;
}

/* --- and back ------------------------------------------------------------------------------------------------------------- */

struct returning {
	const struct oauth_answer *in;
	struct oidc_provider provider;
	const char *redirect_uri;
	struct oauth_person person;
	const char *wrong; /* why the provider's answer was refused */
	const char *away;  /* why it gave none */
	struct oauth_entry entry;
};

enum err
oauth_refuse(struct ctx *cx, const char *provider, const char *user_id, enum err why, const char *reason)
{
	const struct audit_note notes[] = {AUDIT_TEXT("reason", reason), AUDIT_TEXT("provider", provider)};

	TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_LOGIN_FAILED,
				    .result = "failure",
				    .entity_type = user_id ? "user" : NULL,
				    .entity_id = user_id,
				    .notes = notes,
				    .n_notes = 2}));
	return refuse(cx, why);
}

static enum err
take_state(struct ctx *cx, void *arg)
{
	struct returning *r = arg;
	struct secret_taken taken;

	enum err e = secret_consume(cx, purpose, r->in->state, NULL, r->in->binding, &taken);
	if (e == ERR_TOKEN_INVALID) {
		error_clear(cx);
		return oauth_refuse(cx, r->provider.id, NULL, ERR_TOKEN_INVALID, "bad_state");
	}
	TRY(e);
	const json_t *data = json_read(cx->arena, span_str(taken.data));
	const char *provider = json_string_value(json_object_get(data, "provider"));
	r->redirect_uri = json_string_value(json_object_get(data, "redirect_uri"));
	if (!str_eq(provider, r->provider.id) || !r->redirect_uri)
		return oauth_refuse(cx, r->provider.id, NULL, ERR_TOKEN_INVALID, "state_of_another_provider");
	return OK;
}

static enum err
arrive(struct ctx *cx, void *arg)
{
	struct returning *r = arg;

	if (r->wrong) {
		error_text(cx, "oauth_error", r->wrong);
		return oauth_refuse(cx, r->provider.id, NULL, ERR_OAUTH_FAILED, r->wrong);
	}
	return oauth_arrive(cx, r->in, &r->person, &r->entry);
}

/* Nothing was found out about anybody; the trail still says that somebody was turned away, and what the provider did. */
static enum err
refuse_away(struct ctx *cx, void *arg)
{
	const struct returning *r = arg;
	const struct audit_note notes[] = {AUDIT_TEXT("reason", "provider_unavailable"),
		AUDIT_TEXT("provider", r->provider.id), AUDIT_TEXT("cause", r->away)};

	return audit_write(cx,
		&(const struct audit_entry){.action = AUDIT_LOGIN_FAILED, .result = "failure", .notes = notes, .n_notes = 3});
}

static enum err
ask_provider(struct ctx *cx, struct returning *r)
{
	const struct oauth_answer *in = r->in;

	if (in->error)
		r->wrong = strcmp(in->error, "access_denied") == 0 ? "access_denied" : "provider_error";
	else if (in->issuer && r->provider.kind != OIDC_MICROSOFT && strcmp(in->issuer, r->provider.issuer) != 0)
		r->wrong = "bad_issuer";
	if (r->wrong)
		return OK;
	const struct oidc_answer answer = {.code = in->code,
		.redirect_uri = r->redirect_uri,
		.verifier = derived(cx, "verifier", in->state),
		.nonce = derived(cx, "nonce", in->state)};
	r->person.provider = r->provider.id;
	return oidc_exchange(cx, &r->provider, &answer, &r->person.claims, &r->wrong);
}

enum err
oauth_callback(struct ctx *cx, const struct oauth_answer *in, struct oauth_entry *ret)
{
	struct returning r = {.in = in};

	TRY(oidc_provider_find(cx, in->provider, &r.provider));
	if (!in->code && !in->error)
		error_field(cx, "code", "is required");
	if (error_has_fields(cx))
		return fail(cx, ERR_VALIDATION, NULL);
	TRY(db_write(cx, take_state, &r));
	enum err asked = ask_provider(cx, &r);
	if (asked == ERR_UNAVAILABLE) {
		const struct error was = cx->error;
		r.away = was.internal;
		TRY(db_write(cx, refuse_away, &r));
		cx->error = was;
	}
	TRY(asked);
	TRY(db_write(cx, arrive, &r));
	*ret = r.entry;
	return OK;
}
