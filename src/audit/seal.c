/*
 * Sealing, and checking seals.
 *
 * What an HMAC covers is written with lengths in front, so that no two rows give the same bytes.  A seal keeps eight bytes of
 * each row's HMAC: enough to say which row is wrong, while the seal's own HMAC over the whole ones says that something is.
 */
#include "audit/seal.h"

#include <string.h>

#include "core/log.h"

static const struct field trail_row_fields[] = {
	F(struct trail_row, seq, 0, 0, 0, NULL),
	F(struct trail_row, id, 0, 0, 0, NULL),
	F(struct trail_row, created_at, F_TIME, 0, 0, NULL),
	F(struct trail_row, action, 0, 0, 0, NULL),
	F(struct trail_row, result, 0, 0, 0, NULL),
	F(struct trail_row, actor_id, 0, 0, 0, NULL),
	F(struct trail_row, entity_type, 0, 0, 0, NULL),
	F(struct trail_row, entity_id, 0, 0, 0, NULL),
	F(struct trail_row, ip_address, 0, 0, 0, NULL),
	F(struct trail_row, user_agent, 0, 0, 0, NULL),
	F(struct trail_row, request_id, 0, 0, 0, NULL),
	F(struct trail_row, details, 0, 0, 0, NULL),
};
const struct schema trail_row_schema = SCHEMA("TrailRow", struct trail_row, trail_row_fields);
static const struct field seal_fields[] = {
	F(struct seal, seq, 0, 0, 0, NULL),
	F(struct seal, from_seq, 0, 0, 0, NULL),
	F(struct seal, to_seq, 0, 0, 0, NULL),
	F(struct seal, row_count, 0, 0, 0, NULL),
	F(struct seal, row_macs, 0, 0, 0, NULL),
	F(struct seal, mac, 0, 0, 0, NULL),
	F(struct seal, key_id, 0, 0, 0, NULL),
	F(struct seal, sealed_at, F_TIME, 0, 0, NULL),
	F(struct seal, archived_file, 0, 0, 0, NULL),
};
const struct schema seal_schema = SCHEMA("Seal", struct seal, seal_fields);

/* --- the bytes that are covered -------------------------------------------------------------------------------------------- */

static struct span
number_span(uint8_t to[8], int64_t v)
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t)((uint64_t)v >> (56 - 8 * i));
	return (struct span){to, 8};
}

static void
trail_row_mac(const struct key *k, const struct trail_row *r, uint8_t ret[SHA256_BYTES])
{
	const char *const texts[] = {r->id.text, r->action, r->result, r->actor_id.text, r->entity_type, r->entity_id,
		r->ip_address, r->user_agent, r->request_id, r->details};
	enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };
	uint8_t numbers[2 + TEXTS][8];
	struct span parts[3 + 2 * TEXTS] = {
		SPAN_LIT("muster audit row 1"), number_span(numbers[0], r->seq), number_span(numbers[1], r->created_at)};

	for (size_t i = 0; i < TEXTS; i++) { /* -1: null */
		parts[3 + 2 * i] = number_span(numbers[2 + i], texts[i] ? (int64_t)strlen(texts[i]) : -1);
		parts[4 + 2 * i] = span_str(texts[i] ? texts[i] : "");
	}
	crypto_hmac(key_span(k), parts, 3 + 2 * TEXTS, ret);
}

/* `rows`: the whole HMACs, one behind the other. */
static const char *
seal_mac(struct arena *a, const struct key *k, const char *before, const struct seal *s, struct span rows)
{
	uint8_t numbers[4][8], mac[SHA256_BYTES];
	const struct span parts[] = {SPAN_LIT("muster audit seal 1"), number_span(numbers[0], (int64_t)strlen(before)),
		span_str(before), number_span(numbers[1], s->from_seq), number_span(numbers[2], s->to_seq),
		number_span(numbers[3], s->row_count), rows};

	crypto_hmac(key_span(k), parts, sizeof(parts) / sizeof(parts[0]), mac);
	return b64url_text(a, (struct span){mac, sizeof(mac)});
}

struct macs {
	uint8_t *whole, *part; /* SHA256_BYTES and ROW_MAC_BYTES of each row */
	size_t n;
};

static struct macs
macs_of(struct arena *a, const struct key *k, const struct trail_row *rows, size_t n)
{
	struct macs m = {arena_alloc(a, n + 1, SHA256_BYTES), arena_alloc(a, n + 1, ROW_MAC_BYTES), n};

	for (size_t i = 0; i < n; i++) {
		trail_row_mac(k, &rows[i], m.whole + i * SHA256_BYTES);
		memcpy(m.part + i * ROW_MAC_BYTES, m.whole + i * SHA256_BYTES, ROW_MAC_BYTES);
	}
	return m;
}

/* --- sealing --------------------------------------------------------------------------------------------------------------- */

#define SEAL_COLUMNS "seq, from_seq, to_seq, row_count, row_macs, mac, key_id, sealed_at, archived_file"
#define TRAIL_COLUMNS \
	"seq, id, created_at, action, result, actor_id, entity_type, entity_id, ip_address, user_agent, request_id, details"

SQL(SEAL_LAST, "", "SELECT " SEAL_COLUMNS " FROM audit_seals ORDER BY to_seq DESC LIMIT 1");
SQL(SEAL_INSERT, "iiitttm",
	"INSERT INTO audit_seals (from_seq, to_seq, row_count, row_macs, mac, key_id, sealed_at) VALUES ($1, $2, $3, $4, $5, $6, "
	"$7)"
	" ON CONFLICT (to_seq) DO NOTHING");
SQL(TRAIL_RANGE, "iii", "SELECT " TRAIL_COLUMNS " FROM audit_logs WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3");
const struct sql *const trail_range = &TRAIL_RANGE;

enum err
audit_seal(struct ctx *cx, int64_t *ret_rows)
{
	const struct key *k = key_current(cx->srv->keys, KEY_AUDIT);
	struct seal last = {.to_seq = 0, .mac = ""};
	struct list list;
	bool any;
	size_t n = 0;

	*ret_rows = 0;
	TRY(db_find(cx, &SEAL_LAST, &seal_schema, &last, &any));
	if (last.to_seq == INT64_MAX)
		return OK;
	TRY(db_all(cx, &TRAIL_RANGE, &trail_row_schema, &list, V(last.to_seq + 1), V(INT64_MAX), V(SEAL_ROWS_MAX)));
	const struct trail_row *rows = list.items;
	while (n < list.count && rows[n].created_at <= cx->now_us - SEAL_AGE_S * SECONDS_US)
		n++;
	if (n == 0)
		return OK;
	struct macs m = macs_of(cx->arena, k, rows, n);
	struct seal s = {.from_seq = last.to_seq + 1, .to_seq = rows[n - 1].seq, .row_count = (int64_t)n};
	s.row_macs = b64url_text(cx->arena, (struct span){m.part, n * ROW_MAC_BYTES});
	s.mac = seal_mac(cx->arena, k, last.mac, &s, (struct span){m.whole, n * SHA256_BYTES});
	TRY(db_exec(cx, &SEAL_INSERT, NULL, V(s.from_seq), V(s.to_seq), V(s.row_count), V(s.row_macs), V(s.mac), V(k->id),
		V(cx->now_us)));
	log_info(
		cx, "audit.sealed", "a range of the audit trail is sealed", LOG_TEXT("head", s.mac), LOG_INT("to_seq", s.to_seq));
	*ret_rows = (int64_t)n;
	return OK;
}

/* --- verifying ------------------------------------------------------------------------------------------------------------- */

SQL(SEALS_AFTER, "ii", "SELECT " SEAL_COLUMNS " FROM audit_seals WHERE to_seq > $1 ORDER BY to_seq LIMIT $2");

struct seals_after {
	int64_t after, limit;
	struct list seals;
};

static enum err
seals_read(struct ctx *cx, void *arg)
{
	struct seals_after *s = arg;

	return db_all(cx, &SEALS_AFTER, &seal_schema, &s->seals, V(s->after), V(s->limit));
}

struct range {
	const struct seal *seal;
	struct list rows;
};

static enum err
range_read(struct ctx *cx, void *arg)
{
	struct range *r = arg;

	return db_all(cx, &TRAIL_RANGE, &trail_row_schema, &r->rows, V(r->seal->from_seq), V(r->seal->to_seq),
		V(r->seal->row_count + 1));
}

static enum err
rows_of(struct ctx *cx, const struct seal *s, struct list *ret)
{
	struct range r = {.seal = s};

	if (s->archived_file)
		return archive_read(cx, s, ret);
	TRY(db_read(cx, range_read, &r));
	*ret = r.rows;
	return OK;
}

static void
fault(struct audit_verdict *v, int64_t bad_seq, const char *text)
{
	if (v->fault)
		return;
	v->fault = text;
	v->bad_seq = bad_seq;
}

/* The first row whose part is not the next one of the seal. */
static void
name_bad_row(struct ctx *cx, struct audit_verdict *v, const struct macs *m, const struct trail_row *rows, struct span parts)
{
	size_t n = parts.n / ROW_MAC_BYTES, i = 0;

	while (i < n && i < m->n && memcmp(m->part + i * ROW_MAC_BYTES, parts.p + i * ROW_MAC_BYTES, ROW_MAC_BYTES) == 0)
		i++;
	size_t later = i;
	while (i < m->n && later < n && memcmp(m->part + i * ROW_MAC_BYTES, parts.p + later * ROW_MAC_BYTES, ROW_MAC_BYTES) != 0)
		later++;
	if (i < m->n && later < n)
		fault(v, rows[i].seq,
			arena_printf(cx->arena, "before row seq %lld something was removed", (long long)rows[i].seq));
	else if (i < m->n && i < n)
		fault(v, rows[i].seq, arena_printf(cx->arena, "row seq %lld is not what was sealed", (long long)rows[i].seq));
	else if (i < m->n)
		fault(v, rows[i].seq,
			arena_printf(cx->arena, "row seq %lld was added after the sealing", (long long)rows[i].seq));
	else if (i < n)
		fault(v, i ? rows[i - 1].seq : FIELD_NONE,
			arena_printf(
				cx->arena, "behind row seq %lld something was removed", (long long)(i ? rows[i - 1].seq : 0)));
}

static enum err
check_seal(struct ctx *cx, struct audit_verdict *v, const struct seal *s, const char *before, int64_t expected_from)
{
	const struct key *k = key_find(cx->srv->keys, KEY_AUDIT, s->key_id);
	struct span parts;
	struct list list;

	if (!k) {
		fault(v, FIELD_NONE,
			arena_printf(cx->arena, "seal %lld was made with a key that is not in SECRET_KEY", (long long)s->seq));
		return OK;
	}
	if (s->from_seq != expected_from || s->row_count < 1 || s->row_count > SEAL_ROWS_MAX ||
		!b64url_decode(cx->arena, s->row_macs, strlen(s->row_macs), &parts) ||
		parts.n != (size_t)s->row_count * ROW_MAC_BYTES) {
		fault(v, FIELD_NONE,
			arena_printf(cx->arena, "seal %lld is damaged, or one before it is missing", (long long)s->seq));
		return OK;
	}
	enum err e = rows_of(cx, s, &list);
	if (e == ERR_NOT_FOUND) {
		error_clear(cx);
		fault(v, FIELD_NONE, arena_printf(cx->arena, "the archive %s is missing or damaged", s->archived_file));
		return OK;
	}
	TRY(e);
	struct macs m = macs_of(cx->arena, k, list.items, list.count);
	name_bad_row(cx, v, &m, list.items, parts);
	if (!v->fault && strcmp(s->mac, seal_mac(cx->arena, k, before, s, (struct span){m.whole, m.n * SHA256_BYTES})) != 0)
		fault(v, FIELD_NONE, arena_printf(cx->arena, "seal %lld does not follow from what it seals", (long long)s->seq));
	v->rows += (int64_t)list.count;
	return OK;
}

SQL(TRAIL_UNSEALED, "i", "SELECT COUNT(*) FROM audit_logs WHERE seq > $1");

struct unsealed {
	int64_t after, n;
};

static enum err
unsealed_read(struct ctx *cx, void *arg)
{
	struct unsealed *u = arg;

	return db_int(cx, &TRAIL_UNSEALED, &u->n, V(u->after));
}

/* One seal at a time, each in an arena of its own, so that a long trail needs little memory. */
static enum err
check_next(struct ctx *cx, struct audit_verdict *v, struct seals_after *at, char head[B64_SHA256_CHARS + 1], bool *ret_any)
{
	at->limit = 1;
	TRY(db_read(cx, seals_read, at));
	*ret_any = at->seals.count == 1;
	if (!*ret_any)
		return OK;
	const struct seal *s = at->seals.items;
	TRY(check_seal(cx, v, s, head, at->after + 1));
	str_copy(head, B64_SHA256_CHARS + 1, s->mac);
	at->after = s->to_seq;
	v->seals++;
	return OK;
}

enum err
audit_verify(struct ctx *cx, const char *expect, struct audit_verdict *ret)
{
	struct audit_verdict v = {.bad_seq = FIELD_NONE};
	char head[B64_SHA256_CHARS + 1] = "";
	struct seals_after at = {0};
	bool any = true, met = !expect;

	while (any && !v.fault) {
		struct arena a;
		struct ctx one = *cx;
		arena_init(&a);
		one.arena = &a;
		enum err e = check_next(&one, &v, &at, head, &any);
		v.fault = v.fault ? arena_strdup(cx->arena, v.fault) : NULL;
		arena_release(&a);
		if (e != OK)
			return fail_internal(cx, e, "seal behind seq %lld cannot be read", (long long)at.after);
		met = met || strcmp(head, expect) == 0;
	}
	struct unsealed u = {.after = at.after};
	TRY(db_read(cx, unsealed_read, &u));
	if (!met)
		fault(&v, FIELD_NONE, "the expected head is not in the chain: its end was cut off, or it is another trail's");
	v.unsealed = u.n;
	v.head = arena_strdup(cx->arena, head);
	*ret = v;
	return OK;
}
