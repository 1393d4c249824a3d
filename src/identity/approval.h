/*
 * Signup with approval.  A request lives APPROVAL_TIMEOUT_MINUTES (portal) or SIGNUP_REQUEST_HOURS; exactly one decision wins.
 * A taken address answers exactly like a new one: a decoy id (UUIDv7 whose last bits are an HMAC) that looks pending until its
 * time and then timed out, while the address's owner gets a mail.
 */
#ifndef MUSTER_IDENTITY_APPROVAL_H
#define MUSTER_IDENTITY_APPROVAL_H

#include "identity/account.h"

/* What every surface tells whoever signed up. */
#define APPROVAL_PENDING_TEXT "Your request waits for an administrator's approval."

struct signup {
	const char *email;         /* canonical */
	const char *full_name;
	const char *password_hash; /* made on the hash lane, also for a taken address */
	enum role role;
	int64_t life_us;           /* of the request */
};
struct signup_result {
	struct uuid approval_request_id;
	int64_t expires_at;
};
/*
 * Writes account and request, or a decoy; notifies admins; audited.  Where mail is configured, a link by which the address is
 * proven goes to it.  After rejection or timeout the same address may try again; what could open the account goes with the
 * attempt before.
 */
enum err approval_signup(struct ctx *cx, const struct signup *in, struct signup_result *ret) MUST_CHECK;

struct approval_status {
	struct uuid id;
	const char *status; /* "pending" "approved" "rejected" "timeout" */
	int64_t expires_at, time_remaining_seconds;
};
extern const struct schema approval_status_schema;
/* Real or decoy; ERR_NOT_FOUND for anything else. */
enum err approval_status(struct ctx *cx, const char *id, struct approval_status *ret) MUST_CHECK;

struct approval_decision {
	struct uuid id; /* of the request */
	bool approve;
	enum role role;              /* ROLE_UNSET: the requested one */
	const char *rejection_reason;
};
struct approval_decided {
	struct uuid id;
	const char *status;
	int64_t decided_at;
	const char *rejection_reason;
	struct account user;
};
/* ERR_NOT_FOUND, ERR_APPROVAL_EXPIRED, ERR_ALREADY_DECIDED.  Audited; the user is notified. */
enum err approval_decide(struct ctx *cx, const struct approval_decision *in, struct approval_decided *ret) MUST_CHECK;

/* The list for admins, newest first.  `status` is what holds now: a pending request past its time is a timeout. */
struct approval_row {
	struct uuid id;
	struct account_ref user;
	const char *status;
	int64_t requested_at, expires_at, time_remaining_seconds;
	bool email_verified;
	int64_t attempts;
	const char *ip_address;
};
extern const struct schema approval_row_schema;
extern const char *const approval_statuses[]; /* [0] "", "pending" "approved" "rejected" "timeout" */
/* `status` is an index into approval_statuses, 0: all. */
enum err approval_list(struct ctx *cx, int status, int64_t page, int64_t limit, struct list *ret, int64_t *ret_total) MUST_CHECK;

/* Job, every 30 s: pending requests past their time become `timeout`, each audited. */
enum err approval_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
