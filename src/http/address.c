/*
 * Addresses.  Everything compares as 16 bytes with IPv4 as v4-mapped, so that one host has one form however the socket or a proxy
 * spells it.  An address from a header is believed only as far as the proxy that wrote it is trusted: the list is read from the
 * right, and the first hop that is no trusted proxy is the client, whatever stands further left.
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "http/inside.h"

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

bool
ip_parse(const char *text, uint8_t ret[16])
{
	uint8_t v6[16];
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		memcpy(ret, v4_mapped, sizeof(v4_mapped));
		memcpy(ret + 12, &v4, 4);
		return true;
	}
	if (inet_pton(AF_INET6, text, v6) != 1)
		return false;
	memcpy(ret, v6, sizeof(v6));
	return true;
}

bool
cidr_parse(const char *text, struct cidr *ret)
{
	struct cidr c = {.bits = 128};
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	int64_t bits;
	bool v4;

	if (n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	if (!ip_parse(addr, c.addr))
		return false;
	v4 = !strchr(addr, ':');
	if (slash) {
		if (slash[1] < '0' || slash[1] > '9' || !str_int(slash + 1, 0, v4 ? 32 : 128, &bits))
			return false;
		c.bits = (int)bits + (v4 ? 96 : 0);
	}
	for (int i = c.bits; i < 128; i++)
		c.addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	*ret = c;
	return true;
}

bool
cidr_has(const struct cidr *c, const uint8_t ip[16])
{
	int whole = c->bits / 8, rest = c->bits % 8;

	if (memcmp(c->addr, ip, (size_t)whole) != 0)
		return false;
	return rest == 0 || (c->addr[whole] ^ ip[whole]) >> (8 - rest) == 0;
}

void
ip_text(const uint8_t ip[16], char ret[IP_TEXT_BYTES])
{
	bool v4 = memcmp(ip, v4_mapped, sizeof(v4_mapped)) == 0;

	if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, ret, IP_TEXT_BYTES))
		BUG("address does not fit");
}

void
ip_prefix(const char *ip, char ret[IP_TEXT_BYTES])
{
	uint8_t b[16];

	if (!ip_parse(ip, b)) {
		str_copy(ret, IP_TEXT_BYTES, ip);
		return;
	}
	if (memcmp(b, v4_mapped, sizeof(v4_mapped)) == 0) {
		ip_text(b, ret);
		return;
	}
	memset(b + 8, 0, 8);
	ip_text(b, ret);
	str_copy(ret + strlen(ret), IP_TEXT_BYTES - strlen(ret), "/64");
}

bool
address_trusted(const struct http_server *s, const uint8_t ip[16])
{
	for (size_t i = 0; i < s->n_trusted; i++)
		if (cidr_has(&s->trusted[i], ip))
			return true;
	return false;
}

bool
address_of_socket(const struct sockaddr *sa, uint8_t ret[16])
{
	if (sa->sa_family == AF_INET) {
		memcpy(ret, v4_mapped, sizeof(v4_mapped));
		memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(ret, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	return true;
}

/* One hop of X-Forwarded-For: an address, alone or with a port as some proxies write it ("a.b.c.d:p", "[v6]:p"). */
static bool
hop_parse(const char *p, size_t n, uint8_t ret[16])
{
	char text[64];
	char *colon;

	while (n > 0 && (*p == ' ' || *p == '\t'))
		p++, n--;
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	if (text[0] == '[') {
		char *end = strchr(text, ']');

		if (!end || (end[1] != '\0' && end[1] != ':'))
			return false;
		*end = '\0';
		return strchr(text + 1, ':') && ip_parse(text + 1, ret);
	}
	colon = strchr(text, ':');
	if (colon && !strchr(colon + 1, ':'))
		*colon = '\0';
	return ip_parse(text, ret);
}

/* The last member of the last header of that name; the proxy next to us wrote it. */
static bool
last_is(const struct request *rq, const char *name, const char *want)
{
	for (size_t i = rq->n_headers; i-- > 0;) {
		const char *v = rq->headers[i].value, *comma;

		if (strcasecmp(rq->headers[i].name, name) != 0)
			continue;
		comma = strrchr(v, ',');
		v = comma ? comma + 1 : v;
		v += strspn(v, " \t");
		return strncasecmp(v, want, strlen(want)) == 0 && v[strlen(want) + strspn(v + strlen(want), " \t")] == '\0';
	}
	return false;
}

/*
 * A hop that is no address ends the walk: what stands left of it cannot be judged, so the last good hop is the answer.  The same
 * after HOPS_MAX hops.
 */
void
address_client(const struct http_server *s, struct request *rq, const uint8_t peer[16], char ret[IP_TEXT_BYTES])
{
	enum { HOPS_MAX = 32 };
	uint8_t client[16], hop[16];
	int hops = 0;
	bool more = true;

	memcpy(client, peer, sizeof(client));
	for (size_t i = rq->n_headers; more && i-- > 0;) {
		const char *v = rq->headers[i].value;
		size_t end = strlen(v);

		if (strcasecmp(rq->headers[i].name, "X-Forwarded-For") != 0)
			continue;
		while (more) {
			const char *comma = end > 0 ? memrchr(v, ',', end) : NULL;
			size_t from = comma ? (size_t)(comma - v) + 1 : 0;

			more = hops++ < HOPS_MAX && hop_parse(v + from, end - from, hop);
			if (more) {
				memcpy(client, hop, sizeof(client));
				more = address_trusted(s, hop);
			}
			if (!comma)
				break;
			end = from - 1;
		}
	}
	ip_text(client, ret);
	rq->tls = rq->tls || last_is(rq, "X-Forwarded-Proto", "https");
}
