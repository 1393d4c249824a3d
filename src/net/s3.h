/*
 * The S3 protocol, as far as storage.h needs it, and its signature: AWS Signature Version 4, both as a header and as a presigned URL
 * (docs: "Authenticating Requests: Using the Authorization Header", "Using Query Parameters").  Paths are of the form
 * /bucket/key, which every store understands.
 */
#ifndef MUSTER_NET_S3_H
#define MUSTER_NET_S3_H

#include "net/storage.h"

struct s3_pair {
	const char *name, *value;
};
enum { S3_PAIRS_MAX = 12 };
struct s3_call {
	const char *method, *host; /* host as the Host header has it */
	const char *path;          /* not encoded */
	const struct s3_pair *query; /* not encoded; without those of the signature */
	size_t n_query;
	const struct s3_pair *headers; /* to be signed besides Host and X-Amz-Date; names in lower case */
	size_t n_headers;
	const char *payload_sha256; /* hexadecimal, or "UNSIGNED-PAYLOAD" */
	const char *region, *access_key, *secret_key;
	int64_t at_us;    /* wall time */
	int expires_s;    /* > 0: a presigned URL, not a header */
};
struct s3_signature {
	const char *target;        /* path and query, encoded; a presigned URL's ends with its signature */
	const char *authorization; /* NULL in a presigned one */
	const char *date;          /* X-Amz-Date */
};
struct s3_signature s3_sign(struct arena *a, const struct s3_call *c);

struct s3 { /* one bucket */
	const struct config *conf;
	const char *origin, *host, *base; /* "https://h:9000", "h:9000", path before the bucket */
};
struct s3 s3_open(struct arena *a, const struct config *conf);
enum stored s3_put(const struct s3 *s, struct arena *a, const char *name, const char *type, struct span bytes, const char **ret_why) MUST_CHECK;
enum stored s3_get(const struct s3 *s, struct arena *a, const char *name, struct span *ret, const char **ret_why) MUST_CHECK;
enum stored s3_delete(const struct s3 *s, struct arena *a, const char *name, const char **ret_why) MUST_CHECK;
enum stored s3_list(const struct s3 *s, struct arena *a, const char *prefix, const char *after, struct conf_list *ret,
		    const char **ret_why) MUST_CHECK;
const char *s3_presign(const struct s3 *s, struct arena *a, const char *name, int seconds);

#endif
