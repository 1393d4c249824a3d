/*
 * multipart/form-data (RFC 7578) as it arrives: bytes are fed in pieces of any size, text parts and wanted files are kept, everything
 * else is read past and forgotten.  The result is the same however the body was cut.
 *
 * Bounded: parts (MULTIPART_PARTS_MAX), header bytes of a part, one text, all texts together, and one file by the rule.  Nothing of a
 * client's file name is kept.  Stricter than the RFC: no preamble, no padding after a delimiter, which nobody sends.
 */
#ifndef MUSTER_HTTP_MULTIPART_H
#define MUSTER_HTTP_MULTIPART_H

#include "http/request.h"

enum {
	MULTIPART_PARTS_MAX = 64,
	MULTIPART_HEADERS_MAX = 4 << 10, /* header lines of one part, bytes */
	MULTIPART_TEXTS_MAX = 256 << 10, /* names and values of all text parts, bytes */
	MULTIPART_FILES_MAX = 8,
};

struct multipart_rule {
	const char *file_part;  /* parts of this name are files, with or without a file name; NULL: none is wanted */
	int max_files;          /* more are counted, not kept; at most MULTIPART_FILES_MAX */
	int64_t max_file_bytes;
	int64_t length;         /* of the whole body, where it is known; else -1 */
	bool ignore_files;      /* other parts with a file name are read past; else they are malformed */
	bool (*reserve)(void *arg, size_t bytes); /* asked before file memory grows; false: ERR_OVERLOADED.  NULL: yes */
	void *arg;
};

struct multipart; /* lives in the arena */

/* NULL: the content type has no usable boundary. */
struct multipart *multipart_open(struct arena *a, const char *content_type, const struct multipart_rule *rule);
/* ERR_MALFORMED_REQUEST, ERR_BODY_TOO_LARGE, ERR_OVERLOADED; after an error nothing more may be fed. */
enum err multipart_feed(struct multipart *m, const void *bytes, size_t n) MUST_CHECK;
/* ERR_MALFORMED_REQUEST: the closing delimiter is missing.  Files that are empty count as absent: forms send them. */
enum err multipart_end(struct multipart *m, struct multipart_parts *ret) MUST_CHECK;

/* One parameter of a header value, without quotes; NULL when it is absent, empty, not closed or longer than `max`. */
const char *header_param(struct arena *a, const char *header, const char *name, size_t max);
/* True when `header` names this media type; parameters may follow. */
bool media_is(const char *header, const char *type);

#endif
