/* Parsers of core/: JSON, CSV, .env, picture headers, encodings, and the small words (times, ids, numbers). */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "core/conf.h"
#include "core/crypto.h"
#include "core/csv.h"
#include "core/image.h"
#include "core/json.h"
#include "fuzz/picture.h"
#include "identity/hash.h"
#include "identity/totp.h"

static int
depth_of(const json_t *v)
{
	const json_t *member;
	const char *name;
	size_t i;
	int deepest = 0, depth;

	if (json_is_array(v)) {
		json_array_foreach((json_t *)(uintptr_t)v, i, member) if ((depth = depth_of(member)) > deepest) deepest = depth;
	} else if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, name, member) if ((depth = depth_of(member)) > deepest) deepest = depth;
	} else {
		return 0;
	}
	return deepest + 1;
}

/* Whatever text it is given, our writer makes JSON that reads back as that text. */
static void
written_text_reads_back(struct arena *a, struct span text)
{
	struct buf out;
	struct json j;

	buf_init(&out, a, 100);
	json_init(&j, &out);
	json_arr(&j, NULL);
	json_strn(&j, NULL, (const char *)text.p, text.n);
	json_arr_end(&j);
	const json_t *again = json_array_get(json_read(a, buf_span(&out)), 0);
	HOLDS(json_is_string(again));
	HOLDS(span_eq(text, (struct span){(const uint8_t *)json_string_value(again), json_string_length(again)}));
}

void
fuzz_json(struct arena *a, struct span in)
{
	const json_t *v = json_read(a, in);

	if (str_utf8_valid(in))
		written_text_reads_back(a, in);
	if (!v)
		return;
	HOLDS(str_utf8_valid(in));
	HOLDS(depth_of(v) <= JSON_DEPTH_MAX);
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	HOLDS(text);
	const json_t *again = json_read(a, span_str(text));
	free(text);
	HOLDS(json_equal(again, v));
}

static void
csv_write(struct buf *out, const struct csv_record *r)
{
	for (size_t i = 0; i < r->count; i++) {
		buf_str(out, i ? ",\"" : "\"");
		for (const char *p = r->field[i]; *p; p++) {
			buf_chr(out, *p);
			if (*p == '"')
				buf_chr(out, '"');
		}
		buf_chr(out, '"');
	}
	buf_str(out, "\r\n");
}

/* Every good record of `text` in the one spelling that leaves no choice; its record count in *ret_n. */
static struct span
csv_normal(struct arena *a, struct span text, size_t *ret_n)
{
	struct csv c;
	struct csv_record r;
	struct buf out;
	const char *why = NULL;
	enum csv_result got;
	size_t turns = 0;

	*ret_n = 0;
	buf_init(&out, a, text.n + 64);
	csv_open(&c, text);
	while ((got = csv_next(&c, a, &r, &why)) != CSV_END) {
		HOLDS(got == CSV_RECORD || (got == CSV_BAD && why && why[0]));
		HOLDS(++turns <= text.n);
		HOLDS(c.line >= 1);
		if (got == CSV_BAD)
			continue;
		HOLDS(r.count >= 1 && r.count <= CSV_FIELDS_MAX);
		for (size_t i = 0; i < r.count; i++)
			HOLDS(strlen(r.field[i]) <= CSV_FIELD_MAX_BYTES && str_utf8_valid(span_str(r.field[i])));
		csv_write(&out, &r);
		++*ret_n;
	}
	return buf_span(&out);
}

void
fuzz_csv(struct arena *a, struct span in)
{
	size_t n, again_n;
	struct span once = csv_normal(a, in, &n);
	/* A header of two columns pins the separator. */
	struct buf pinned;

	buf_init(&pinned, a, once.n + 10);
	buf_str(&pinned, "\"a\",\"b\"\r\n");
	buf_add(&pinned, once.p, once.n);
	struct span twice = csv_normal(a, buf_span(&pinned), &again_n);
	HOLDS(again_n == n + 1);
	HOLDS(span_eq(buf_span(&pinned), twice));
}

struct dotenv_seen {
	struct buf *out;
	size_t n;
};

static void
dotenv_write(void *arg, const char *name, const char *value)
{
	static const char from[] = "\n\r\t\"\\", to[] = "nrt\"\\";
	struct dotenv_seen *seen = arg;

	HOLDS(name[0] && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == strlen(name));
	buf_printf(seen->out, "%s=\"", name);
	for (const char *p = value; *p; p++) {
		const char *at = strchr(from, *p);

		if (at)
			buf_chr(seen->out, '\\');
		buf_chr(seen->out, at ? to[at - from] : *p);
	}
	buf_str(seen->out, "\"\n");
	seen->n++;
}

void
fuzz_dotenv(struct arena *a, struct span in)
{
	struct buf once, twice;
	struct dotenv_seen first = {.out = &once}, second = {.out = &twice};
	int line = 0;

	buf_init(&once, a, in.n + 64);
	buf_init(&twice, a, in.n + 64);
	if (!dotenv_parse(a, in, dotenv_write, &first, &line)) {
		HOLDS(line >= 1);
		return;
	}
	HOLDS(dotenv_parse(a, buf_span(&once), dotenv_write, &second, &line));
	HOLDS(first.n == second.n && span_eq(buf_span(&once), buf_span(&twice)));
}

void
fuzz_image(struct arena *a, struct span in)
{
	struct image_info info = {0};

	(void)a;
	HOLDS(!picture_decode(in.p, in.n));
	if (!image_probe(in, &info))
		return;
	HOLDS(info.kind == IMAGE_JPEG || info.kind == IMAGE_PNG);
	HOLDS(info.width > 0 && info.height > 0);
}

void
fuzz_encode(struct arena *a, struct span in)
{
	const char *text = fuzz_text(a, in);
	size_t n = strlen(text);
	struct span bytes;

	HOLDS(b64url_decode(a, b64url_text(a, in), b64url_encoded_size(in.n), &bytes) && span_eq(bytes, in));
	HOLDS(base32_read(a, base32_text(a, in), &bytes) && span_eq(bytes, in));
	if (b64url_decode(a, text, n, &bytes))
		HOLDS(strcmp(b64url_text(a, bytes), text) == 0);
	if (base32_read(a, text, &bytes)) {
		struct span again;
		HOLDS(base32_read(a, base32_text(a, bytes), &again) && span_eq(bytes, again));
	}
	uint8_t *raw = arena_new(a, uint8_t, n / 2 + 1);
	if (n % 2 == 0 && hex_decode(text, raw, n / 2)) {
		char *hex = arena_new(a, char, n + 1);
		hex_encode((struct span){raw, n / 2}, hex);
		HOLDS(strcmp(hex, str_lower(a, text)) == 0);
	}
	char once[9], twice[9];
	if (crockford_canonical(text, 8, once)) {
		HOLDS(strspn(once, crockford_alphabet) == 8 && once[8] == '\0');
		HOLDS(crockford_canonical(once, 8, twice) && strcmp(once, twice) == 0);
	}
}

static void
read_times(const char *text)
{
	int64_t at_us, again_us;
	char wire[TIME_WIRE_BYTES + 1], sql[TIME_SQL_BYTES + 1];

	for (int end = 0; end < 2; end++) {
		if (!time_parse(text, end, &at_us))
			continue;
		time_to_wire(at_us, wire);
		HOLDS(time_parse(wire, false, &again_us) && again_us <= at_us && at_us - again_us < SECONDS_US);
		time_to_sql(at_us, sql);
		HOLDS(time_from_sql(sql, &again_us) && again_us == at_us);
	}
	if (time_from_sql(text, &at_us)) {
		time_to_sql(at_us, sql);
		HOLDS(time_from_sql(sql, &again_us) && again_us == at_us);
	}
}

static void
read_ids(const char *text)
{
	struct uuid id, again;
	uint8_t bytes[16];

	HOLDS(uuid_valid(text) == uuid_canonical(text, &id));
	if (!uuid_valid(text))
		return;
	HOLDS(uuid_canonical(id.text, &again) && strcmp(id.text, again.text) == 0);
	HOLDS(uuid_bytes(text, bytes) && strcmp(uuid_from_bytes(bytes).text, id.text) == 0);
	HOLDS(uuid_v7_time_us(text) >= -1);
}

void
fuzz_words(struct arena *a, struct span in)
{
	const char *text = fuzz_text(a, in);
	size_t n = strlen(text);
	struct hash h;
	int64_t number;
	char copy[16];

	read_times(text);
	read_ids(text);
	if (str_int(text, -1000, 1000, &number))
		HOLDS(number >= -1000 && number <= 1000);
	if (str_int(text, INT64_MIN, INT64_MAX, &number)) {
		int64_t again;
		HOLDS(str_int(arena_printf(a, "%lld", (long long)number), INT64_MIN, INT64_MAX, &again) && again == number);
	}
	HOLDS(str_copy(copy, sizeof(copy), text) == strlen(copy) && strncmp(copy, text, strlen(copy)) == 0);
	if (hash_parse(text, &h)) {
		HOLDS(h.scheme && h.params_n <= n);
		HOLDS((const char *)h.salt_text.p >= text && (const char *)h.salt_text.p + h.salt_text.n <= text + n);
		HOLDS((const char *)h.digest_text.p >= text && (const char *)h.digest_text.p + h.digest_text.n <= text + n);
		HOLDS(h.scheme != SCHEME_ARGON2ID || (h.memory_kib <= ARGON2_MEMORY_MAX_KIB && h.lanes <= ARGON2_LANES_MAX));
	}
}
