/*
 * Signed QR codes and their typed short codes.
 *
 * qr_payload = base64url of {"s":<qr session id>,"n":<nonce>,"x":<unix expiry>,"h":<base64url HMAC-SHA256>}, `s` first.  The MAC
 * (KEY_QR) covers a domain tag, s, n and x.  The short code is 6 Crockford characters of an HMAC (KEY_CODE) over s and n, valid
 * as long.
 */
#ifndef MUSTER_ATTENDANCE_QR_H
#define MUSTER_ATTENDANCE_QR_H

#include "core/field.h"

enum { QR_NONCE_MAX = 64, QR_NONCE_CHARS = 22, SHORT_CODE_CHARS = 6 };

struct qr_code { /* a payload taken apart */
	struct uuid session_id;
	char nonce[QR_NONCE_MAX + 1];
	int64_t expires_us;
	char key_id[9]; /* whose MAC it was */
};
/*
 * Stateless: form (ERR_INVALID_QR), then MAC in constant time (ERR_INVALID_SIGNATURE).  Takes the bare payload or
 * PUBLIC_BASE_URL/c#payload.
 */
enum err qr_parse(struct ctx *cx, const char *payload, struct qr_code *ret) MUST_CHECK;
/* Only what it says, believed by nobody: no MAC is looked at, and key_id is left empty. */
bool qr_peek(struct ctx *cx, const char *payload, struct qr_code *ret);
char *qr_payload(struct ctx *cx, const char *session_id, const char *nonce, int64_t expires_us);
/* What a picture holds: PUBLIC_BASE_URL/c#payload where that is set, else the payload. */
const char *qr_link(struct ctx *cx, const char *payload);
void qr_nonce(const struct ctx *cx, char ret[QR_NONCE_CHARS + 1]); /* 16 random bytes, base64url */
/* Empty when the key has been retired. */
void qr_short_code(struct ctx *cx, const char *key_id, const char *session_id, const char *nonce, char ret[SHORT_CODE_CHARS + 1]);

struct qr_session {
	struct uuid session_id; /* the code's id */
	const char *qr_payload, *code;
	int64_t expires_at, expires_in_seconds;
};
extern const struct schema qr_session_schema;
/* ERR_EVENT_NOT_FOUND, ERR_EVENT_NOT_OPEN (past ends_at).  Audited, without the code. */
enum err qr_generate(struct ctx *cx, const char *event_id, struct qr_session *ret) MUST_CHECK;
enum err qr_revoke(struct ctx *cx, const char *id) MUST_CHECK; /* ERR_NOT_FOUND; revoking twice is no error */
enum err qr_revoke_all(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

struct qr_event {
	struct uuid id;
	const char *title;
};
struct qr_active {
	struct uuid session_id;
	struct qr_event event;
	int64_t created_at, expires_at, time_remaining_seconds, marks;
};
extern const struct schema qr_active_schema;
enum err qr_active_list(struct ctx *cx, struct list *ret) MUST_CHECK;
/* The payload of a live code, for its picture; ERR_NOT_FOUND, ERR_QR_REVOKED, ERR_QR_EXPIRED. */
enum err qr_session_payload(struct ctx *cx, const char *id, const char **ret_payload) MUST_CHECK;

/* Pictures, error correction M, quiet zone 4.  PNG is 1-bit. */
enum err qr_svg(struct ctx *cx, const char *text, struct span *ret) MUST_CHECK;
enum err qr_png(struct ctx *cx, const char *text, int scale, struct span *ret) MUST_CHECK;

#endif
