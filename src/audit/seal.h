/*
 * Tamper-evidence.  Closed ranges of audit_logs are sealed: each seal is an HMAC (key KEY_AUDIT) over the seal before it, its
 * range and every row in it, so a row that is changed, removed, added or moved afterwards is found, and named; so is a seal.
 * Whoever keeps a head elsewhere (the log has it) also finds a trail whose end was cut off.
 *
 * Rows over AUDIT_RETENTION_DAYS go into compressed files under DATA_DIR/archive, whole seals at a time, and stay verifiable
 * there.
 */
#ifndef MUSTER_AUDIT_SEAL_H
#define MUSTER_AUDIT_SEAL_H

#include "core/crypto.h"
#include "core/field.h"
#include "core/keys.h"
#include "store/db.h"

enum { SEAL_ROWS_MAX = 1000, SEAL_AGE_S = 60, ROW_MAC_BYTES = 8 };

struct trail_row { /* a row of audit_logs, whole */
	int64_t seq;
	struct uuid id;
	int64_t created_at;
	const char *action, *result;
	struct uuid actor_id;
	const char *entity_type, *entity_id, *ip_address, *user_agent, *request_id, *details;
};
extern const struct schema trail_row_schema;

struct seal {
	int64_t seq, from_seq, to_seq, row_count;
	const char *row_macs, *mac, *key_id;
	int64_t sealed_at;
	const char *archived_file; /* NULL: the rows are in the table */
};
extern const struct schema seal_schema;

/*
 * Job, every minute: seals rows that are SEAL_AGE_S old, a turn at most SEAL_ROWS_MAX.  A transaction that holds a lower seq
 * longer than that would be found by the verification as a row that was added; none of ours lives so long.
 */
enum err audit_seal(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

/* Job, daily, outside of a transaction: moves seals over AUDIT_RETENTION_DAYS, and their rows, into a file. */
enum err audit_archive(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

struct audit_verdict {
	int64_t seals, rows, unsealed; /* checked; rows that wait for a seal */
	const char *head;	       /* MAC of the last seal; "" without one */
	const char *fault;	       /* the first thing wrong, in words; NULL: nothing */
	int64_t bad_seq;	       /* of the row, when the fault is one row's; else FIELD_NONE */
};
/* `expect`: a head that the chain must contain; NULL: none.  Reads seal by seal, without a transaction over all. */
enum err audit_verify(struct ctx *cx, const char *expect, struct audit_verdict *ret) MUST_CHECK;

/* --- shared by sealing, verifying and archiving ---- */
/* Rows of an archive file that belong to one seal, in order.  ERR_NOT_FOUND: no such file, or it is damaged. */
enum err archive_read(struct ctx *cx, const struct seal *s, struct list *ret) MUST_CHECK;
extern const struct sql *const trail_range; /* rows from $1 to $2, at most $3 */

#endif
