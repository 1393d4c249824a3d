/*
 * One connection to Redis: hiredis makes and reads the protocol, the waiting is ours, so that every call ends by its deadline,
 * over TCP, TLS and Unix sockets alike.
 */
#ifndef MUSTER_NET_REDIS_LINK_H
#define MUSTER_NET_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "core/str.h"

enum { REDIS_MESSAGE_MAX = 160 };

/*
 * redis://[user[:password]@]host[:port][/database], rediss:// the same over TLS with the certificate checked,
 * unix://[user[:password]@]/path[?db=database].
 */
struct redis_address {
	const char *host, *port; /* NULL for a Unix socket */
	const char *path;
	const char *user, *password; /* NULL: none */
	int database;
	bool tls;
};
bool redis_address_read(struct arena *a, const char *url, struct redis_address *ret, const char **ret_message);

struct redis_place { /* what a name resolved to */
	struct sockaddr_storage at;
	socklen_t n;
};
/* May wait for the name service. */
size_t redis_resolve(const struct redis_address *address, struct redis_place *ret, size_t max);

struct redis_link {
	struct redis_link *next; /* the owner's */
	int fd;
	SSL *ssl; /* NULL: plain */
	redisReader *reader;
};
/* Connects, signs in and selects the database.  NULL: `why` says in at most REDIS_MESSAGE_MAX bytes what went wrong. */
struct redis_link *redis_link_open(const struct redis_address *address, const struct redis_place *place, SSL_CTX *tls,
	int64_t until_us, char *why);
void redis_link_close(struct redis_link *l);
/* False: the other side has closed it, or speaks unasked. */
bool redis_link_quiet(const struct redis_link *l);
/* One command and its reply, to be freed with freeReplyObject().  NULL: the link is of no use any more; `why` as above. */
redisReply *redis_link_call(struct redis_link *l, int argc, const char **argv, const size_t *lengths, int64_t until_us, char *why);

#endif
