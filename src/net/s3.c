/*
 * The signature covers method, path, query, the listed headers and a hash of the payload, in one canonical text that both sides
 * write; what is not in that text is not protected, so every header we send with a meaning is signed.
 *
 * A status of the store is an answer: 404 to a GET means absent, everything else that is not 2xx is a failure with its code.
 */
#include "net/s3.h"

#include <stdlib.h>
#include <string.h>

#include "core/crypto.h"
#include "core/time.h"
#include "net/http_client.h"

enum { S3_TOTAL_MS = 20000 };

/* --- signature ---- */

static int
by_name(const void *a, const void *b)
{
	const struct s3_pair *x = a, *y = b;
	int n = strcmp(x->name, y->name);

	return n ? n : strcmp(x->value, y->value);
}

static const char *
encode_path(struct arena *a, const char *path)
{
	struct buf b;

	buf_init(&b, a, 2 * strlen(path));
	while (*path) {
		size_t n = strcspn(path, "/");
		url_encode(&b, arena_strndup(a, path, n));
		path += n;
		if (*path == '/')
			buf_chr(&b, *path++);
	}
	return buf_cstr(&b);
}

static const char *
encode_query(struct arena *a, struct s3_pair *pairs, size_t n)
{
	struct buf b;

	qsort(pairs, n, sizeof(*pairs), by_name);
	buf_init(&b, a, 200);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_chr(&b, '&');
		url_encode(&b, pairs[i].name);
		buf_chr(&b, '=');
		url_encode(&b, pairs[i].value);
	}
	return buf_cstr(&b);
}

static const char *
sha256_hex(struct arena *a, struct span text)
{
	uint8_t digest[SHA256_BYTES];
	char *hex = arena_new(a, char, 2 * SHA256_BYTES + 1);

	crypto_sha256(text, digest);
	hex_encode((struct span){digest, sizeof(digest)}, hex);
	return hex;
}

static struct span
mac(struct arena *a, struct span key, const char *text)
{
	uint8_t *out = arena_new(a, uint8_t, SHA256_BYTES);
	const struct span part = span_str(text);

	crypto_hmac(key, &part, 1, out);
	return (struct span){out, SHA256_BYTES};
}

static const char *
signature(struct arena *a, const struct s3_call *c, const char *date, const char *scope, const char *canonical)
{
	const char *text = arena_printf(a, "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, sha256_hex(a, span_str(canonical)));
	struct span key = span_str(arena_printf(a, "AWS4%s", c->secret_key));
	char *hex = arena_new(a, char, 2 * SHA256_BYTES + 1);

	key = mac(a, key, arena_strndup(a, date, 8));
	key = mac(a, key, c->region);
	key = mac(a, key, "s3");
	key = mac(a, key, "aws4_request");
	hex_encode(mac(a, key, text), hex);
	return hex;
}

struct s3_signature
s3_sign(struct arena *a, const struct s3_call *c)
{
	struct s3_pair headers[S3_PAIRS_MAX + 3], query[S3_PAIRS_MAX + 6];
	size_t n_headers = 0, n_query = 0;
	char iso[TIME_WIRE_BYTES + 1];
	struct buf signed_names, canonical;

	if (c->n_headers > S3_PAIRS_MAX || c->n_query > S3_PAIRS_MAX)
		BUG("%zu headers, %zu members of a query", c->n_headers, c->n_query);
	time_to_wire(c->at_us, iso); /* 2013-05-24T00:00:00Z */
	const char *date = arena_printf(a, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", iso, iso + 5, iso + 8, iso + 11, iso + 14, iso + 17);
	const char *scope = arena_printf(a, "%.8s/%s/s3/aws4_request", date, c->region);
	const char *credential = arena_printf(a, "%s/%s", c->access_key, scope);

	headers[n_headers++] = (struct s3_pair){"host", c->host};
	if (!c->expires_s) {
		headers[n_headers++] = (struct s3_pair){"x-amz-date", date};
		headers[n_headers++] = (struct s3_pair){"x-amz-content-sha256", c->payload_sha256};
	}
	for (size_t i = 0; i < c->n_headers; i++)
		headers[n_headers++] = c->headers[i];
	qsort(headers, n_headers, sizeof(headers[0]), by_name);
	buf_init(&signed_names, a, 100);
	for (size_t i = 0; i < n_headers; i++)
		buf_printf(&signed_names, "%s%s", i ? ";" : "", headers[i].name);

	for (size_t i = 0; i < c->n_query; i++)
		query[n_query++] = c->query[i];
	if (c->expires_s) {
		query[n_query++] = (struct s3_pair){"X-Amz-Algorithm", "AWS4-HMAC-SHA256"};
		query[n_query++] = (struct s3_pair){"X-Amz-Credential", credential};
		query[n_query++] = (struct s3_pair){"X-Amz-Date", date};
		query[n_query++] = (struct s3_pair){"X-Amz-Expires", arena_printf(a, "%d", c->expires_s)};
		query[n_query++] = (struct s3_pair){"X-Amz-SignedHeaders", buf_cstr(&signed_names)};
	}
	const char *path = encode_path(a, c->path), *query_text = encode_query(a, query, n_query);

	buf_init(&canonical, a, 1000);
	buf_printf(&canonical, "%s\n%s\n%s\n", c->method, path, query_text);
	for (size_t i = 0; i < n_headers; i++)
		buf_printf(&canonical, "%s:%s\n", headers[i].name, headers[i].value);
	buf_printf(&canonical, "\n%s\n%s", buf_cstr(&signed_names), c->payload_sha256);
	const char *sig = signature(a, c, date, scope, buf_cstr(&canonical));
	const char *target = *query_text ? arena_printf(a, "%s?%s", path, query_text) : path;
	if (c->expires_s)
		return (struct s3_signature){.target = arena_printf(a, "%s&X-Amz-Signature=%s", target, sig), .date = date};
	return (struct s3_signature){.target = target,
		.authorization = arena_printf(a, "AWS4-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%s", credential,
			buf_cstr(&signed_names), sig),
		.date = date};
}

/* --- calls ---- */

struct s3
s3_open(struct arena *a, const struct config *conf)
{
	const char *host = strstr(conf->s3_endpoint, "://");

	host = host ? host + 3 : conf->s3_endpoint;
	size_t n = strcspn(host, "/");
	const char *base = host + n;
	size_t base_n = strlen(base);
	while (base_n > 0 && base[base_n - 1] == '/')
		base_n--;
	const char *usual = str_starts(conf->s3_endpoint, "https://") ? ":443" : ":80"; /* which the client leaves out of Host */
	size_t usual_n = strlen(usual);
	bool left_out = n > usual_n && memcmp(host + n - usual_n, usual, usual_n) == 0;
	return (struct s3){.conf = conf,
		.origin = arena_strndup(a, conf->s3_endpoint, (size_t)(host - conf->s3_endpoint) + n),
		.host = arena_strndup(a, host, left_out ? n - usual_n : n),
		.base = arena_strndup(a, base, base_n)};
}

static struct s3_call
call_of(const struct s3 *s, struct arena *a, const char *method, const char *name)
{
	const struct config *conf = s->conf;

	return (struct s3_call){.method = method,
		.host = s->host,
		.path = arena_printf(a, "%s/%s%s%s", s->base, conf->s3_bucket, name ? "/" : "", name ? name : ""),
		.region = conf->s3_region,
		.access_key = conf->s3_access_key,
		.secret_key = conf->s3_secret_key,
		.at_us = time_wall_us()};
}

static bool
perform(const struct s3 *s, struct arena *a, struct s3_call *c, struct span body, struct http_answer *ret, const char **ret_why)
{
	const char *headers[S3_PAIRS_MAX + 4];
	size_t n = 0;

	c->payload_sha256 = sha256_hex(a, body);
	struct s3_signature sig = s3_sign(a, c);
	for (size_t i = 0; i < c->n_headers; i++)
		headers[n++] = arena_printf(a, "%s: %s", c->headers[i].name, c->headers[i].value);
	headers[n++] = arena_printf(a, "X-Amz-Date: %s", sig.date);
	headers[n++] = arena_printf(a, "X-Amz-Content-Sha256: %s", c->payload_sha256);
	headers[n++] = "Expect:";
	headers[n] = NULL;
	const struct http_fetch f = {.url = arena_printf(a, "%s%s", s->origin, sig.target),
		.method = c->method,
		.bytes = body,
		.authorization = sig.authorization,
		.headers = headers,
		.plain = str_starts(s->origin, "http://"),
		.max_bytes = STORAGE_OBJECT_MAX,
		.total_ms = S3_TOTAL_MS};
	return http_fetch(a, &f, ret, ret_why);
}

/* The code in an error document is for the operator: NoSuchBucket, SignatureDoesNotMatch. */
static enum stored
failed(struct arena *a, const struct http_answer *answer, const char **ret_why)
{
	const char *code = strstr((const char *)answer->body.p, "<Code>");
	size_t n = code ? strcspn(code + 6, "<") : 0;

	*ret_why = arena_printf(a, "the store answered %d%s%.*s", answer->status, n ? " " : "", (int)(n < 60 ? n : 60), code ? code + 6 : "");
	return STORED_FAILED;
}

enum stored
s3_put(const struct s3 *s, struct arena *a, const char *name, const char *type, struct span bytes, const char **ret_why)
{
	const struct s3_pair headers[] = {{"content-type", type}};
	struct s3_call c = call_of(s, a, "PUT", name);
	struct http_answer answer;

	c.headers = headers;
	c.n_headers = 1;
	if (!perform(s, a, &c, bytes, &answer, ret_why))
		return STORED_FAILED;
	return answer.status / 100 == 2 ? STORED : failed(a, &answer, ret_why);
}

enum stored
s3_get(const struct s3 *s, struct arena *a, const char *name, struct span *ret, const char **ret_why)
{
	struct s3_call c = call_of(s, a, "GET", name);
	struct http_answer answer;

	if (!perform(s, a, &c, SPAN_LIT(""), &answer, ret_why))
		return STORED_FAILED;
	if (answer.status == 404)
		return STORED_ABSENT;
	if (answer.status != 200)
		return failed(a, &answer, ret_why);
	*ret = answer.body;
	return STORED;
}

enum stored
s3_delete(const struct s3 *s, struct arena *a, const char *name, const char **ret_why)
{
	struct s3_call c = call_of(s, a, "DELETE", name);
	struct http_answer answer;

	if (!perform(s, a, &c, SPAN_LIT(""), &answer, ret_why))
		return STORED_FAILED;
	return answer.status / 100 == 2 || answer.status == 404 ? STORED : failed(a, &answer, ret_why);
}

/* The names of a ListObjectsV2 document; ours need no unescaping. */
static void
read_keys(struct arena *a, const char *xml, struct conf_list *ret)
{
	ret->items = arena_new(a, const char *, STORAGE_PAGE);
	ret->count = 0;
	for (const char *p = strstr(xml, "<Key>"); p && ret->count < STORAGE_PAGE; p = strstr(p, "<Key>")) {
		p += 5;
		ret->items[ret->count++] = arena_strndup(a, p, strcspn(p, "<"));
	}
}

enum stored
s3_list(const struct s3 *s, struct arena *a, const char *prefix, const char *after, struct conf_list *ret, const char **ret_why)
{
	const struct s3_pair query[] = {{"list-type", "2"}, {"max-keys", arena_printf(a, "%d", STORAGE_PAGE)}, {"prefix", prefix},
		{"start-after", after}};
	struct s3_call c = call_of(s, a, "GET", NULL);
	struct http_answer answer;

	c.query = query;
	c.n_query = *after ? 4 : 3;
	if (!perform(s, a, &c, SPAN_LIT(""), &answer, ret_why))
		return STORED_FAILED;
	if (answer.status != 200)
		return failed(a, &answer, ret_why);
	read_keys(a, (const char *)answer.body.p, ret);
	return STORED;
}

const char *
s3_presign(const struct s3 *s, struct arena *a, const char *name, int seconds)
{
	struct s3_call c = call_of(s, a, "GET", name);

	c.payload_sha256 = "UNSIGNED-PAYLOAD";
	c.expires_s = seconds;
	return arena_printf(a, "%s%s", s->origin, s3_sign(a, &c).target);
}
