/*
 * The hash is made before anything is known of the address, so a taken one costs the same time.  An address is not proven yet:
 * whoever signed up first has it only until its owner asks for a new password (identity/reset.c).
 */
#include "identity/signup.h"

#include "audit/audit.h"
#include "core/conf.h"
#include "identity/known_device.h"
#include "identity/password.h"
#include "identity/throttle.h"
#include "identity/verify.h"
#include "store/db.h"

struct job {
	const struct newcomer *in;
	struct signup request;
	struct signup_done done;
};

static enum err
write_request(struct ctx *cx, void *arg)
{
	struct job *job = arg;

	return approval_signup(cx, &job->request, &job->done.request);
}

static enum err
write_account(struct ctx *cx, void *arg)
{
	struct job *job = arg;
	const struct signup *s = &job->request;
	const struct account_new account = {
		.email = s->email, .full_name = s->full_name, .password_hash = s->password_hash, .role = s->role, .is_active = true};
	const struct proof proof = {.password = true, .web = job->in->web};
	const struct uuid no_device = {0};
	struct signup_done out = {0};
	struct uuid id;

	TRY(account_insert(cx, &account, &id));
	TRY(account_by_id(cx, id.text, &out.who));
	if (job->in->surface == LOGIN_ACCOUNTS) {
		TRY(mint_session(cx, &out.who, &proof, &out.tokens));
		TRY(known_device_keep(cx, id.text, &no_device, NULL, &out.device_token));
	}
	TRY(email_verify_send(cx, &out.who));
	TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_SIGNUP,
				    .result = "success",
				    .actor_id = id.text,
				    .entity_type = "user",
				    .entity_id = id.text,
				    .notes = (const struct audit_note[]){AUDIT_TEXT("email", s->email),
					    AUDIT_TEXT("role", role_names[s->role]), AUDIT_TEXT("policy", "open")},
				    .n_notes = 3}));
	job->done = out;
	return OK;
}

static bool
open_at_once(const struct config *conf, const struct newcomer *in)
{
	if (in->surface == LOGIN_PORTAL)
		return false;
	return in->role == ROLE_LECTURER ? conf->open_lecturer_signup : conf->signup_policy == SIGNUP_OPEN;
}

static struct limit
limit_of(const struct config *conf, enum login_surface surface)
{
	if (surface == LOGIN_PORTAL)
		return (struct limit){"portal_signup", conf_live(&conf->rl_portal_signup_ip_limit), 3600};
	return (struct limit){"signup", conf_live(&conf->rl_signup_ip_limit), 3600};
}

enum err
signup(struct ctx *cx, const struct newcomer *in, struct signup_done *ret)
{
	const struct config *conf = cx->srv->conf;
	bool at_once = open_at_once(conf, in), portal = in->surface == LOGIN_PORTAL;
	struct job job = {.in = in, .request = {.full_name = in->full_name, .role = in->role}, .done = {.pending = true}};

	if (!email_canonical(cx->arena, in->email, &job.request.email))
		error_field(cx, "email", "is not an e-mail address");
	TRY(password_check(cx, in->surface == LOGIN_CAMPUS ? POLICY_LENGTH : POLICY_CLASSES, "password", in->password,
		job.request.email, in->full_name));
	TRY(throttle_ip(cx, limit_of(conf, in->surface)));
	TRY(password_hash(cx, in->password, &job.request.password_hash));
	job.request.life_us = portal ? conf->approval_timeout_minutes * MINUTES_US : conf->signup_request_hours * HOURS_US;
	TRY(db_write(cx, at_once ? write_account : write_request, &job));
	*ret = job.done;
	return OK;
}
