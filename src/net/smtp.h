/*
 * Mail out: one message at a time over a connection that is kept between messages (RFC 5321, 5322, 2045–2047), by libcurl.
 *
 * smtp:// takes STARTTLS where the server offers it, and insists on it before a password goes to another machine; smtps:// is TLS
 * from the start.  Certificates are checked against the system's list, or the file that SSL_CERT_FILE names.
 * Nothing that a person typed can become a header line or an envelope command: addresses are checked here, and headers encoded.
 */
#ifndef MUSTER_NET_SMTP_H
#define MUSTER_NET_SMTP_H

#include "core/arena.h"
#include "core/str.h"

enum smtp_result {
	SMTP_UNSET = 0,
	SMTP_SENT,
	SMTP_LATER,   /* try this one again later: the server cannot now, or not yet */
	SMTP_REFUSED, /* never: the server will not take this message */
	SMTP_AWAY,    /* the server does not answer, or refuses us: nothing can be sent now */
};

struct smtp_limits {
	long connect_ms, total_ms; /* of one message */
};
extern const struct smtp_limits smtp_limits_usual;

struct smtp_message {
	const char *from;		   /* "address" or "Name <address>" */
	const char *to;			   /* an address */
	const char *id;			   /* left part of Message-ID */
	const char *subject, *text, *html; /* UTF-8 */
	int64_t at_us;
};

struct smtp;
struct smtp *smtp_open(const char *url, const struct smtp_limits *limits);
void smtp_close(struct smtp *s); /* NULL is allowed */
/* *ret_why: one line for the log, in `a`; never an address or a password. */
enum smtp_result smtp_send(struct smtp *s, struct arena *a, const struct smtp_message *m, const char **ret_why);
/* Connects, says hello, signs in where the URL says so.  SMTP_SENT or SMTP_AWAY. */
enum smtp_result smtp_probe(struct smtp *s, struct arena *a, const char **ret_why);

/* Splits MAIL_FROM; false when there is no address in it that may go into an envelope.  *ret_name may be "". */
bool smtp_mailbox(struct arena *a, const char *text, const char **ret_name, const char **ret_address);
bool smtp_address_valid(const char *address);
/* The whole message as it goes out, lines ended by CR LF; false when an address is not valid. */
bool smtp_compose(struct arena *a, const struct smtp_message *m, struct span *ret);

#endif
