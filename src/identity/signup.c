/* The address is not proven yet: whoever signed up first has it only until its owner asks for a new password (identity/reset.c).
 */
#include "identity/signup.h"

#include "audit/audit.h"
#include "identity/known_device.h"
#include "identity/verify.h"

enum err
signup_open(struct ctx *cx, const struct signup_open *in, struct signup_opened *ret)
{
	const struct account_new account = {.email = in->email,
		.full_name = in->full_name,
		.password_hash = in->password_hash,
		.role = in->role != ROLE_UNSET ? in->role : ROLE_STUDENT,
		.is_active = true};
	const struct proof proof = {.password = true, .web = in->web};
	const struct uuid no_device = {0};
	struct signup_opened out = {0};
	struct uuid id;

	TRY(account_insert(cx, &account, &id));
	TRY(account_by_id(cx, id.text, &out.who));
	if (!in->account_only) {
		TRY(mint_session(cx, &out.who, &proof, &out.tokens));
		TRY(known_device_keep(cx, id.text, &no_device, NULL, &out.device_token));
	}
	TRY(email_verify_send(cx, &out.who));
	TRY(audit_write(cx, &(const struct audit_entry){.action = AUDIT_SIGNUP,
				    .result = "success",
				    .actor_id = id.text,
				    .entity_type = "user",
				    .entity_id = id.text,
				    .notes = (const struct audit_note[]){AUDIT_TEXT("email", in->email),
					    AUDIT_TEXT("role", role_names[account.role]), AUDIT_TEXT("policy", "open")},
				    .n_notes = 3}));
	*ret = out;
	return OK;
}
