/* What the domain reads: JSON and queries into every record that a route takes, addresses, and what it writes into mails. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "core/json.h"
#include "identity/account.h"
#include "net/smtp.h"
#include "store/bus.h"

enum { RECORD_MAX = 4096, SCHEMAS_MAX = 200 };

struct schemas {
	const struct schema *items[SCHEMAS_MAX];
	size_t n;
};

static void
add_schema(struct schemas *all, const struct schema *s)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->items[i] == s)
			return;
	if (!s)
		return;
	HOLDS(all->n < SCHEMAS_MAX && s->size <= RECORD_MAX);
	all->items[all->n++] = s;
}

/* Of every route: its body, or its query. */
static const struct schemas *
schemas_of_routes(bool query)
{
	static struct schemas all[2];
	struct schemas *one = &all[query];

	if (one->n)
		return one;
	for (size_t t = 0; t < route_table_count; t++)
		for (size_t i = 0; i < route_tables[t]->count; i++)
			add_schema(one, query ? route_tables[t]->rows[i].query : route_tables[t]->rows[i].body);
	return one;
}

static struct span
record_text(struct arena *a, const struct schema *s, const void *record)
{
	struct buf out;
	struct json j;

	buf_init(&out, a, 512);
	json_init(&j, &out);
	field_write_json(&j, NULL, s, record);
	return buf_span(&out);
}

/* A record that was accepted, written and read again is the same record. */
static void
record_comes_back(struct arena *a, const struct schema *s, const void *record)
{
	_Alignas(max_align_t) uint8_t again[RECORD_MAX];
	struct span text = record_text(a, s, record);
	const json_t *object = json_read(a, text);
	struct ctx cx;

	fuzz_ctx(&cx, a);
	HOLDS(object);
	HOLDS(field_read_json(&cx, s, object, again) == OK);
	HOLDS(span_eq(text, record_text(a, s, again)));
}

void
fuzz_fields(struct arena *a, struct span in)
{
	_Alignas(max_align_t) uint8_t record[RECORD_MAX];
	const struct schemas *all = schemas_of_routes(false);
	const json_t *object = json_read(a, in);

	if (!object)
		return;
	for (size_t i = 0; i < all->n; i++) {
		struct ctx cx;

		fuzz_ctx(&cx, a);
		if (field_read_json(&cx, all->items[i], object, record) == OK)
			record_comes_back(a, all->items[i], record);
		else
			HOLDS(cx.error.code == ERR_VALIDATION || cx.error.code == ERR_MALFORMED_REQUEST);
	}
}

void
fuzz_query(struct arena *a, struct span in)
{
	_Alignas(max_align_t) uint8_t record[RECORD_MAX];
	const struct schemas *all = schemas_of_routes(true);
	struct pair *pairs = NULL;
	size_t n = 0;

	if (!pairs_parse(a, (const char *)in.p, in.n, &pairs, &n))
		return;
	for (size_t i = 0; i < all->n; i++) {
		struct ctx cx;

		fuzz_ctx(&cx, a);
		if (field_read_pairs(&cx, all->items[i], pairs, n, record) == OK)
			record_comes_back(a, all->items[i], record);
	}
}

/* A canonical address is its own canonical form, and one that mail can go to. */
void
fuzz_email(struct arena *a, struct span in)
{
	const char *once, *twice, *text = fuzz_text(a, in);

	if (!email_canonical(a, text, &once))
		return;
	HOLDS(strlen(once) <= EMAIL_MAX && str_utf8_valid(span_str(once)));
	HOLDS(email_canonical(a, once, &twice) && strcmp(once, twice) == 0);
	HOLDS(smtp_address_valid(once));
}

/* Only the header lines that we write, each of which ends in CR LF and is not too long. */
static void
headers_are_ours(const char *message)
{
	static const char *const ours[] = {"From: ", "To: ", "Subject: ", "Date: ", "Message-ID: ", "Auto-Submitted: ", "MIME-Version: ",
		"Content-Type: "};
	size_t seen = 0;

	for (const char *line = message; strncmp(line, "\r\n", 2) != 0;) {
		size_t n = strcspn(line, "\r\n");

		HOLDS(strncmp(line + n, "\r\n", 2) == 0 && n <= 998);
		if (line[0] != ' ') {
			HOLDS(seen < sizeof(ours) / sizeof(ours[0]) && str_starts(line, ours[seen]));
			seen++;
		}
		line += n + 2;
	}
	HOLDS(seen == sizeof(ours) / sizeof(ours[0]));
}

/* Lines: to, from, subject; then the text. */
void
fuzz_mail(struct arena *a, struct span in)
{
	const char *to = fuzz_line(a, &in), *from = fuzz_line(a, &in), *subject = fuzz_line(a, &in), *text = fuzz_text(a, in);
	struct smtp_message m = {.from = "Campus <campus@example.org>", .id = "id", .at_us = TEST_START_US, .html = text, .text = text};
	struct span out;

	m.to = smtp_address_valid(to) ? to : "somebody@example.org";
	if (smtp_compose(a, &(struct smtp_message){.from = from, .to = m.to, .id = "id", .subject = "", .text = "", .html = ""}, &out))
		m.from = from;
	m.subject = text;
	if (subject[0] == 's')
		m.subject = subject;
	if (!str_utf8_valid(span_str(text)) || !str_utf8_valid(span_str(m.from)) || !str_utf8_valid(span_str(subject)))
		return;
	HOLDS(smtp_compose(a, &m, &out));
	headers_are_ours((const char *)out.p);
}

static void
hear(void *arg, const struct news *n)
{
	size_t *heard = arg;

	HOLDS(n->kind && uuid_valid(n->id.text) && (!n->of.text[0] || uuid_valid(n->of.text)));
	++*heard;
}

void
fuzz_news(struct arena *a, struct span in)
{
	const char *text = fuzz_text(a, in);
	size_t heard = 0;

	news_read(text, hear, &heard);
	HOLDS(heard <= strlen(text) / (2 + ID_BYTES));
}
