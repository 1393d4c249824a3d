/*
 * Mail to an account's owner, through the outbox of the present transaction.  Templates and the members of their data:
 *
 *	password_reset, email_verify            name, link, minutes
 *	password_changed, mfa_enabled, mfa_disabled, backup_code_used, oauth_linked      name
 *
 * `link` is sealed (core/fernet.h, purpose "mail", subject the recipient), so that a copy of the database opens no account;
 * whoever sends the mail opens it with mail_link_open().  Links begin with PUBLIC_BASE_URL and nothing else; where that is unset,
 * the sealed text is the bare token.
 */
#ifndef MUSTER_IDENTITY_MAIL_H
#define MUSTER_IDENTITY_MAIL_H

#include "identity/account.h"

enum err mail_notice(struct ctx *cx, const struct account *to, const char *mail_template) MUST_CHECK;
/* `page` is a path below PUBLIC_BASE_URL, "/app/reset"; the token follows behind a '#', which no server or referrer sees. */
enum err mail_link(struct ctx *cx, const struct account *to, const char *mail_template, const char *page, const char *token,
	int64_t minutes) MUST_CHECK;
const char *mail_link_open(struct ctx *cx, const char *recipient, const char *sealed); /* NULL: not ours any more */

#endif
