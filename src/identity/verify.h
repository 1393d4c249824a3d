/* Proving an address: a link by mail, good for a day and for one address of one account. */
#ifndef MUSTER_IDENTITY_VERIFY_H
#define MUSTER_IDENTITY_VERIFY_H

#include "identity/account.h"

/* In a transaction: one live link per account, older ones die. */
enum err email_verify_send(struct ctx *cx, const struct account *who) MUST_CHECK;
/* The same for the present account; nothing is sent when the address is proven already. */
enum err email_verify_request(struct ctx *cx) MUST_CHECK;
/* Also while the account waits for approval.  ERR_TOKEN_INVALID. */
enum err email_verify(struct ctx *cx, const char *token) MUST_CHECK;

#endif
