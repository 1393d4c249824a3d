/*
 * The socket never blocks; every wait is a poll() up to the caller's deadline.  hiredis's own connections know a time-out per
 * read, resolve names while they connect, and have no TLS in the older releases: so only its reader and its formatting are used.
 *
 * After any failure a link is closed by its owner: what comes next on it would answer an earlier question.
 */
#include "net/redis_link.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/time.h"

enum { DATABASE_MAX = 1 << 20, READ_BYTES = 4096, ARGS_MAX = 3 };

/* --- the address ----------------------------------------------------------------------------------------------------------- */

static const char *
part(struct arena *a, CURLU *u, CURLUPart which)
{
	char *text = NULL;
	const char *copy = NULL;

	if (curl_url_get(u, which, &text, which == CURLUPART_HOST ? 0 : CURLU_URLDECODE) == CURLUE_OK && text[0])
		copy = arena_strdup(a, text);
	curl_free(text);
	return copy;
}

static bool
database_read(const char *text, int *ret)
{
	int64_t n = 0;

	if (text && text[0] && !str_int(text, 0, DATABASE_MAX, &n))
		return false;
	*ret = (int)n;
	return true;
}

static bool
host_read(struct arena *a, CURLU *u, struct redis_address *ret)
{
	const char *port = part(a, u, CURLUPART_PORT), *path = part(a, u, CURLUPART_PATH);
	char *host = arena_strdup(a, part(a, u, CURLUPART_HOST));
	size_t n = strlen(host);

	if (n > 2 && host[0] == '[' && host[n - 1] == ']') { /* as a resolver wants an IPv6 address */
		host[n - 1] = 0;
		host++;
	}
	ret->host = host;
	ret->port = port ? port : "6379";
	return database_read(path && path[0] == '/' ? path + 1 : path, &ret->database);
}

static bool
path_read(struct arena *a, CURLU *u, struct redis_address *ret)
{
	struct sockaddr_un un;
	const char *query = part(a, u, CURLUPART_QUERY);

	ret->path = part(a, u, CURLUPART_PATH);
	return ret->path && ret->path[1] && strlen(ret->path) < sizeof(un.sun_path) &&
	       (!query || (str_starts(query, "db=") && database_read(query + 3, &ret->database)));
}

bool
redis_address_read(struct arena *a, const char *url, struct redis_address *ret, const char **ret_message)
{
	struct redis_address address = {0};
	bool local = str_starts(url, "unix://"), ok = false;
	CURLU *u = curl_url();

	if (!u)
		BUG("out of memory");
	/* The library wants a host in every URL with a sign-in. */
	const char *at = local ? strchr(url, '@') : NULL;
	if (local)
		url = at ? arena_printf(a, "%.*slocal%s", (int)(at + 1 - url), url, at + 1) : arena_printf(a, "unix://local%s", url + 7);
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
		address.user = part(a, u, CURLUPART_USER);
		address.password = part(a, u, CURLUPART_PASSWORD);
		address.tls = str_starts(url, "rediss://");
		ok = local ? path_read(a, u, &address) : host_read(a, u, &address);
	}
	curl_url_cleanup(u);
	if (ok)
		*ret = address;
	else
		*ret_message = "REDIS_URL must be redis://host:port/database, rediss://… or unix:///path?db=database";
	return ok;
}

static size_t
resolve_path(const struct redis_address *address, struct redis_place *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	(void)str_copy(un.sun_path, sizeof(un.sun_path), address->path);
	memcpy(&ret->at, &un, sizeof(un));
	ret->n = sizeof(un);
	return 1;
}

size_t
redis_resolve(const struct redis_address *address, struct redis_place *ret, size_t max)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	size_t n = 0;

	if (address->path)
		return resolve_path(address, ret);
	if (getaddrinfo(address->host, address->port, &hints, &list) != 0)
		return 0;
	for (struct addrinfo *i = list; i && n < max; i = i->ai_next) {
		memcpy(&ret[n].at, i->ai_addr, i->ai_addrlen);
		ret[n++].n = i->ai_addrlen;
	}
	freeaddrinfo(list);
	return n;
}

/* --- bytes ----------------------------------------------------------------------------------------------------------------- */

static bool
say(char *why, const char *text)
{
	(void)str_copy(why, REDIS_MESSAGE_MAX, text);
	return false;
}

static bool
wait_for(const struct redis_link *l, short events, int64_t until_us, char *why)
{
	struct pollfd p = {.fd = l->fd, .events = events};

	for (;;) {
		int64_t left_us = until_us - time_monotonic_us();
		int n = left_us <= 0 ? 0 : poll(&p, 1, (int)((left_us + 999) / 1000));
		if (n > 0)
			return true;
		if (n == 0)
			return say(why, "no answer in time");
		if (errno != EINTR)
			return say(why, strerror(errno));
	}
}

/* What an SSL call waits for.  False: it waits for nothing, it failed. */
static bool
wait_for_tls(const struct redis_link *l, int result, int64_t until_us, char *why)
{
	switch (SSL_get_error(l->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(l, POLLIN, until_us, why);
	case SSL_ERROR_WANT_WRITE:
		return wait_for(l, POLLOUT, until_us, why);
	default:
		break;
	}
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	return say(why, reason ? reason : "the TLS connection was closed");
}

/* > 0: so many bytes went; 0: ask again; < 0: lost. */
static ssize_t
send_some(struct redis_link *l, const char *p, size_t n, int64_t until_us, char *why)
{
	if (FAULT("redis.send"))
		(void)shutdown(l->fd, SHUT_RDWR);
	if (l->ssl) {
		ERR_clear_error(); /* what others left would pass for ours */
		int sent = SSL_write(l->ssl, p, (int)n);
		return sent > 0 ? sent : wait_for_tls(l, sent, until_us, why) ? 0 : -1;
	}
	ssize_t sent = send(l->fd, p, n, MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == EINTR)
		return wait_for(l, POLLOUT, until_us, why) ? 0 : -1;
	say(why, strerror(errno));
	return -1;
}

static ssize_t
read_some(struct redis_link *l, char *p, size_t n, int64_t until_us, char *why)
{
	if (FAULT("redis.read"))
		(void)shutdown(l->fd, SHUT_RDWR);
	if (l->ssl) {
		ERR_clear_error();
		int got = SSL_read(l->ssl, p, (int)n);
		return got > 0 ? got : wait_for_tls(l, got, until_us, why) ? 0 : -1;
	}
	ssize_t got = recv(l->fd, p, n, 0);
	if (got > 0)
		return got;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return wait_for(l, POLLIN, until_us, why) ? 0 : -1;
	say(why, got == 0 ? "Redis closed the connection" : strerror(errno));
	return -1;
}

static bool
send_all(struct redis_link *l, const char *p, size_t n, int64_t until_us, char *why)
{
	while (n) {
		ssize_t sent = send_some(l, p, n, until_us, why);
		if (sent < 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static redisReply *
read_reply(struct redis_link *l, int64_t until_us, char *why)
{
	char bytes[READ_BYTES];
	void *reply = NULL;

	for (;;) {
		if (redisReaderGetReply(l->reader, &reply) != REDIS_OK) {
			say(why, l->reader->errstr);
			return NULL;
		}
		if (reply)
			return reply;
		ssize_t got = read_some(l, bytes, sizeof(bytes), until_us, why);
		if (got < 0)
			return NULL;
		if (got > 0 && redisReaderFeed(l->reader, bytes, (size_t)got) != REDIS_OK)
			BUG("out of memory");
	}
}

redisReply *
redis_link_call(struct redis_link *l, int argc, const char **argv, const size_t *lengths, int64_t until_us, char *why)
{
	char *command = NULL;
	int n = redisFormatCommandArgv(&command, argc, argv, lengths);

	if (n < 0)
		BUG("out of memory");
	bool sent = send_all(l, command, (size_t)n, until_us, why);
	redisFreeCommand(command);
	return sent ? read_reply(l, until_us, why) : NULL;
}

/* --- opening and closing --------------------------------------------------------------------------------------------------- */

void
redis_link_close(struct redis_link *l)
{
	if (!l)
		return;
	if (l->ssl)
		SSL_free(l->ssl);
	if (l->reader)
		redisReaderFree(l->reader);
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l);
}

bool
redis_link_quiet(const struct redis_link *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

static bool
connect_socket(struct redis_link *l, const struct redis_place *place, int64_t until_us, char *why)
{
	int on = 1, error = 0;
	socklen_t n = sizeof(error);

	l->fd = FAULT("redis.connect") ? -1 : socket(place->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return say(why, strerror(errno));
	if (place->at.ss_family != AF_UNIX)
		(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(l->fd, (const struct sockaddr *)&place->at, place->n) == 0)
		return true;
	if (errno != EINPROGRESS)
		return say(why, strerror(errno));
	if (!wait_for(l, POLLOUT, until_us, why))
		return false;
	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error)
		return say(why, strerror(error ? error : errno));
	return true;
}

static bool
begin_tls(struct redis_link *l, const struct redis_address *address, SSL_CTX *tls, int64_t until_us, char *why)
{
	uint8_t ip[16];
	bool is_ip = inet_pton(AF_INET, address->host, ip) == 1 || inet_pton(AF_INET6, address->host, ip) == 1;

	l->ssl = SSL_new(tls);
	if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
		BUG("out of memory");
	if (is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->ssl), address->host) != 1
		  : SSL_set1_host(l->ssl, address->host) != 1 || SSL_set_tlsext_host_name(l->ssl, address->host) != 1)
		return say(why, "the host's name does not suit TLS");
	ERR_clear_error();
	for (int result; (result = SSL_connect(l->ssl)) != 1;)
		if (!wait_for_tls(l, result, until_us, why))
			return false;
	return true;
}

/* A command whose only good answer is OK. */
static bool
greet(struct redis_link *l, int argc, const char **argv, int64_t until_us, char *why)
{
	redisReply *reply = redis_link_call(l, argc, argv, NULL, until_us, why);
	bool ok = reply && reply->type == REDIS_REPLY_STATUS;

	if (reply && !ok)
		say(why, reply->type == REDIS_REPLY_ERROR ? reply->str : "an unexpected answer");
	freeReplyObject(reply);
	return ok;
}

static bool
sign_in(struct redis_link *l, const struct redis_address *address, int64_t until_us, char *why)
{
	char database[16];
	const char *select[] = {"SELECT", database}, *auth[ARGS_MAX] = {"AUTH"};
	int n = 1;

	if (address->user && address->password)
		auth[n++] = address->user;
	if (address->password)
		auth[n++] = address->password;
	if (n > 1 && !greet(l, n, auth, until_us, why))
		return false;
	(void)snprintf(database, sizeof(database), "%d", address->database);
	return address->database == 0 || greet(l, 2, select, until_us, why);
}

struct redis_link *
redis_link_open(const struct redis_address *address, const struct redis_place *place, SSL_CTX *tls, int64_t until_us, char *why)
{
	struct redis_link *l = calloc(1, sizeof(*l));

	if (!l || !(l->reader = redisReaderCreate()))
		BUG("out of memory");
	l->fd = -1;
	if (connect_socket(l, place, until_us, why) && (!tls || begin_tls(l, address, tls, until_us, why)) &&
		sign_in(l, address, until_us, why))
		return l;
	redis_link_close(l);
	return NULL;
}
