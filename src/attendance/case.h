/*
 * Private to attendance/: from what somebody presents to a case that can be judged.  Nothing here writes.
 *
 * case_of_…() check what can be checked without a student: form, MAC, the claim's proof.  A code that is not ours is no error of
 * these functions; it stands in `signature`, for the table of layers to tell.  Errors are the engine's.
 */
#ifndef MUSTER_ATTENDANCE_CASE_H
#define MUSTER_ATTENDANCE_CASE_H

#include "attendance/layers/layer.h"

enum err case_of_payload(struct ctx *cx, const char *payload, struct mark_case *ret) MUST_CHECK;
/* A session's code in two parts; false: they have not its form. */
bool code_of_parts(const char *session_id, const char *nonce, struct qr_code *ret);
bool code_of_session(const struct qr_code *code);
enum err case_of_parts(struct ctx *cx, const char *session_id, const char *nonce, struct mark_case *ret) MUST_CHECK;
enum err case_of_claim(struct ctx *cx, const char *claim, const char *proof, struct mark_case *ret) MUST_CHECK;
/* A typed code among those of one event, which event_ref_read() gave.  Wrong ones are counted outside (typed_code_hits()). */
enum err case_of_typed(struct ctx *cx, const char *event_ref, const char *code, struct mark_case *ret) MUST_CHECK;

/* The event of a typed code: ERR_VALIDATION unless `text` is an id or a label. */
enum err typed_ref(struct ctx *cx, const char *text, char ret_ref[ID_BYTES + 1]) MUST_CHECK;

/* Reads the row: code, event, and what is known of this student (NULL: of nobody). */
enum err case_load(struct ctx *cx, const char *student_id, struct mark_case *c) MUST_CHECK;
/* In a job's ahead(): case_load() of this code, without a claim, will follow. */
void case_ahead(struct ctx *cx, const struct qr_code *code, const char *student_id);

/* Reads what c->row.policy says of each layer; case_load() does it too. */
void case_policy(struct ctx *cx, struct mark_case *c);
/* Of a case whose row and policy were read. */
struct mark_asks case_asks(const struct mark_case *c);

#endif
