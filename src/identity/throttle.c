/*
 * The hits are taken before any work and outside every transaction, since a transaction may run twice.
 */
#include "identity/throttle.h"

#include "core/conf.h"
#include "core/metrics.h"
#include "http/server.h"

enum { PAIR_WINDOW_S = 900, UNBOUNDED = 1000000000, AWAY_RETRY_S = 5 };

bool
network_shared(const struct ctx *cx)
{
	const struct conf_list *l = &cx->srv->conf->shared_networks;
	uint8_t ip[16];
	struct cidr net;

	if (!ip_parse(cx->client->ip, ip))
		return false;
	for (size_t i = 0; i < l->count; i++)
		if (cidr_parse(l->items[i], &net) && cidr_has(&net, ip))
			return true;
	return false;
}

static const char *
ip_key(struct ctx *cx)
{
	char prefix[IP_TEXT_BYTES];

	ip_prefix(cx->client->ip, prefix);
	return arena_strdup(cx->arena, prefix);
}

enum err
throttle(struct ctx *cx, const struct limit_hit *hits, size_t n)
{
	int retry_s = 1;
	size_t which = 0;

	if (!cx->srv->conf->rate_limit_enabled)
		return OK;
	switch (limiter_hit(cx->srv->limiter, hits, n, &which, &retry_s)) {
	case LIMIT_TAKEN:
		return OK;
	case LIMIT_AWAY:
		cx->error.retry_after_s = AWAY_RETRY_S;
		return fail_internal(cx, ERR_UNAVAILABLE, "Redis is required and does not answer");
	default:
		break;
	}
	if (cx->srv->metrics)
		metrics_add(cx->srv->metrics, M_RATE_LIMITED, hits[which].limit.name, 1);
	cx->error.retry_after_s = retry_s;
	return fail(cx, ERR_RATE_LIMITED, NULL);
}

enum err
throttle_ip(struct ctx *cx, struct limit limit)
{
	if (network_shared(cx))
		limit.max *= SHARED_NETWORK_FACTOR;
	return throttle(cx, &(const struct limit_hit){.limit = limit, .key = ip_key(cx)}, 1);
}

/* --- login ---- */

enum { LOGIN_ROWS = 3 };
struct login_row {
	struct limit limit;
	bool by_ip;
	bool accounts; /* a row of the accounts surface; else of portal and campus */
};

static void
login_rows(const struct ctx *cx, bool shared, struct login_row ret[LOGIN_ROWS])
{
	const struct config *c = cx->srv->conf;
	int64_t factor = shared ? SHARED_NETWORK_FACTOR : 1;

	ret[0] = (struct login_row){{"login_ip_5min", conf_live(&c->rl_portal_login_ip_limit) * factor, 300}, true, false};
	ret[1] = (struct login_row){{"login_ip_10min", conf_live(&c->rl_login_ip_limit) * factor, 600}, true, true};
	ret[2] = (struct login_row){{"login_email", conf_live(&c->rl_login_email_limit), 600}, false, true};
}

static const struct limit pair_limit = {"login_pair", UNBOUNDED, PAIR_WINDOW_S};

static const char *
row_key(const struct login_hits *h, const struct login_row *row)
{
	return row->by_ip ? h->ip : h->email;
}

static const char *
pair_key(struct ctx *cx, const struct login_hits *h)
{
	return arena_printf(cx->arena, "%s %s", h->ip, h->email);
}

/* What one attempt takes. */
static size_t
hit_list(struct ctx *cx, enum login_surface surface, const struct login_hits *h, struct limit_hit ret[LOGIN_ROWS + 1])
{
	struct login_row rows[LOGIN_ROWS];
	bool accounts = surface == LOGIN_ACCOUNTS;
	size_t n = 0;

	login_rows(cx, h->shared, rows);
	for (int i = 0; i < LOGIN_ROWS; i++)
		if (row_key(h, &rows[i]))
			ret[n++] = (struct limit_hit){rows[i].limit, row_key(h, &rows[i]), rows[i].accounts != accounts};
	if (h->ip)
		ret[n++] = (struct limit_hit){pair_limit, pair_key(cx, h), true};
	return n;
}

enum err
login_hits_take(struct ctx *cx, enum login_surface surface, const struct login_hits *h)
{
	struct limit_hit hits[LOGIN_ROWS + 1];
	size_t n = hit_list(cx, surface, h, hits);

	return throttle(cx, hits, n);
}

void
login_hits_undo(struct ctx *cx, enum login_surface surface, const struct login_hits *h)
{
	struct limit_hit hits[LOGIN_ROWS + 1];
	size_t n = hit_list(cx, surface, h, hits);

	if (cx->srv->conf->rate_limit_enabled)
		limiter_return(cx->srv->limiter, hits, NULL, n);
}

void
login_hits_give_back(struct ctx *cx, const struct login_hits *h)
{
	struct limiter *l = cx->srv->limiter;
	struct limit_hit hits[LOGIN_ROWS];
	struct login_row rows[LOGIN_ROWS];
	int64_t amounts[LOGIN_ROWS], pair = 0;
	size_t n = 0;

	if (!cx->srv->conf->rate_limit_enabled)
		return;
	login_rows(cx, h->shared, rows);
	if (h->ip)
		pair = limiter_drain(l, &(const struct limit_hit){pair_limit, pair_key(cx, h), true});
	for (int i = 0; i < LOGIN_ROWS; i++) {
		if (!row_key(h, &rows[i]))
			continue;
		hits[n] = (struct limit_hit){rows[i].limit, row_key(h, &rows[i]), false};
		amounts[n++] = rows[i].by_ip ? pair : 1;
	}
	limiter_return(l, hits, amounts, n);
}

/* Of this node alone: it bounds rows, not guesses. */
bool
refusal_row_due(struct ctx *cx, int64_t *ret_count)
{
	static const struct limit singly = {"audit_refusal", 20, 3600}, minute = {"audit_refusal_minute", 1, 60},
				  skipped = {"audit_refusal_skipped", UNBOUNDED, 7200};
	struct limiter *l = cx->srv->limiter;
	const char *key = ip_key(cx);
	int ignored;

	*ret_count = 1;
	if (!l || limiter_take(l, &singly, key, &ignored))
		return true;
	(void)limiter_take(l, &skipped, key, &ignored);
	if (!limiter_take(l, &minute, key, &ignored))
		return false;
	*ret_count = limiter_count(l, &skipped, key);
	limiter_give_back(l, &skipped, key, *ret_count);
	return true;
}
