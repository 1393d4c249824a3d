/*
 * Verification layers: one ordered table, one pure function each over what was loaded.
 *
 * A layer says pass, flag, reject (with the error of the contract) or skip, and why in plain words.  Judging stops at the first
 * reject; those after it stay unset.  A new layer is one function and one row of the table in layers.c.
 */
#ifndef MUSTER_ATTENDANCE_LAYERS_LAYER_H
#define MUSTER_ATTENDANCE_LAYERS_LAYER_H

#include "attendance/mark.h"
#include "attendance/policy.h"
#include "core/crypto.h"

enum { LAYERS_MAX = 12 };

struct finding {
	enum verdict verdict;
	enum err why;	    /* of a reject */
	const char *flag;   /* of a flag: its name in the record's `flags` */
	const char *detail; /* plain words; NULL: nothing to say */
	double score;	    /* what was measured, when `scored`: metres of a geofence, likeness of a face */
	double threshold;   /* that it was held against; 0: none */
	bool scored;
};

/* The row that MARK_LOAD reads. */
struct mark_row {
	struct uuid qr_id, event_id, course_id;
	const char *token, *key_id;
	int64_t code_expires_at;
	bool is_revoked;
	const char *kind, *title, *policy;
	int64_t scheduled_at, ends_at, closed_at, capacity, taken, late_after_minutes, rotate_seconds;
	bool is_deleted;
	struct uuid record_id;
	const char *record_status, *record_original;
	int64_t record_marked_at;
	bool nonce_used, claim_spent;
	enum tri enrolled; /* TRI_UNSET: there is no roster */
	struct uuid owner_id;
	double latitude, longitude, geofence_radius_m; /* NAN: none */
	const char *networks;			       /* JSON list of CIDRs; NULL: any */
	bool require_device, require_face, require_liveness;
	int64_t generation;
	/* of a session only */
	const char *label, *course_code, *course_title, *lecturer_name;
	struct uuid counted_to; /* records with ids up to here are counted already (attendance/count.h) */
};
extern const struct schema mark_row_schema;

struct mark_claim { /* what a claim says; all of it was ours when its MAC fits */
	struct uuid id, event_id;
	struct qr_code code;
	int64_t at_us, expires_us;
	char x[B64_SHA256_CHARS + 1], y[B64_SHA256_CHARS + 1]; /* the browser's public key; "" without one */
	char network[B64_SHA256_CHARS + 1], agent[B64_SHA256_CHARS + 1];
	bool typed;
	char label[5]; /* of a session's code: the label it had */
};

/* What came of the signature that a registered key owes. */
enum signing { SIGNING_UNSET = 0, SIGNING_GOOD, SIGNING_MISSING, SIGNING_BAD, SIGNING_STALE, SIGNING_SPENT };

struct mark_device {
	bool asked; /* the rest was read */
	bool shown; /* an id came along */
	bool bound, own; /* the student has a device; the id is its */
	enum signing signing;	 /* set where the student's device is a key */
	bool elsewhere;		 /* the id is another account's device */
	bool lately;		 /* another account used it within the cool-down and since this student got it */
	struct uuid twin;	 /* another account's record in this event, made with it; empty: none */
	bool again;		 /* this account marked with it here before */
	const char *hash;	 /* of what marks: the id, else the key that signed; NULL: nothing */
	struct uuid lapsed;	 /* a binding that can no longer be compared, and gives way */
	struct uuid challenge;	 /* that was signed */
};

struct mark_before { /* the student's mark before this one, as far as it says where */
	bool there;
	int64_t at_us;
	double latitude, longitude; /* of that event; of students no position is kept */
	double margin_m;	    /* how far from there the student was at most */
};

enum network_place { NETWORK_ANY = 0, NETWORK_INSIDE, NETWORK_OUTSIDE };

/* Everything a verdict needs. */
struct mark_case {
	int64_t now_us, at_us; /* at: when the code was presented; the claim's time when there was one */
	enum err signature;    /* OK, or why the code is none of ours */
	struct qr_code code;   /* what was presented, by whichever way; empty unless signature is OK */
	const char *method;    /* "qr", "code" */
	bool found;	       /* `row` was read */
	struct mark_row row;
	const struct mark_in *in; /* what the student sent along; NULL when a claim is made */
	struct policy policy; /* with what was unsaid filled in */
	struct mark_device device;
	struct mark_before before;
	enum network_place network;
	bool face_model; /* faces can be compared on this server */
	bool liveness_spent; /* its challenge was used by a mark before */
	bool by_claim, has_key, proof_fits, other_network, other_agent;
	struct mark_claim claim;
	struct finding findings[LAYERS_MAX]; /* in the table's order */
};

struct layer {
	const char *name;
	bool of_student; /* means a particular student: not asked when a claim is made */
	struct finding (*judge)(const struct mark_case *c);
};
extern const struct layer layer_rows[];
extern const size_t layer_row_count;

/* The first reject's error, or OK. */
enum err layers_judge(struct mark_case *c, bool with_student);
/* [{layer,verdict,detail,score}] of what was asked, without skips that have nothing to say. */
const char *layers_json(struct arena *a, const struct mark_case *c);
/* The same as layers_json() gave, for the student: without what was measured and the bars that it was held against. */
const char *layers_unmeasured(struct arena *a, const char *layers);

/* Of record r: the judgement of the mark; where something was found later (another mark with the same device), that stands behind it. */
#define LOG_OF(order) \
	"(SELECT v.layers FROM verification_logs v WHERE v.attendance_id = r.id ORDER BY v.created_at " order " LIMIT 1)"
#define FIRST_LOG LOG_OF("ASC")
#define LAST_LOG LOG_OF("DESC")
#define LOGS "(SELECT COUNT(*) FROM verification_logs n WHERE n.attendance_id = r.id)"
#define BOTH_LOGS "SUBSTR(" FIRST_LOG ", 1, LENGTH(" FIRST_LOG ") - 1) || ',' || SUBSTR(" LAST_LOG ", 2)"
#define LAYERS_OF_RECORD "CASE WHEN " LOGS " > 1 THEN " BOTH_LOGS " ELSE " FIRST_LOG " END"

/* Every layer that was asked, for a reply: a list of struct layer_said. */
struct layer_said {
	const char *layer, *verdict, *detail;
};
extern const struct schema layer_said_schema;
struct list layers_list(struct arena *a, const struct mark_case *c);
/* Metres to the place, as far as a layer measured it; FIELD_NONE. */
int64_t layers_distance_m(const struct mark_case *c);
/* Comma-separated names of the flags; NULL when there are none. */
const char *layers_flags(struct arena *a, const struct mark_case *c);

struct finding layer_signature(const struct mark_case *c);
struct finding layer_expiry(const struct mark_case *c);
struct finding layer_window(const struct mark_case *c);
struct finding layer_enrolment(const struct mark_case *c);
struct finding layer_duplicate(const struct mark_case *c);
struct finding layer_replay(const struct mark_case *c);
struct finding layer_claim(const struct mark_case *c);
struct finding layer_device(const struct mark_case *c);
struct finding layer_geofence(const struct mark_case *c);
struct finding layer_network(const struct mark_case *c);
struct finding layer_face(const struct mark_case *c);

static inline struct finding
found_pass(const char *detail)
{
	return (struct finding){.verdict = VERDICT_PASS, .detail = detail};
}

static inline struct finding
found_skip(void)
{
	return (struct finding){.verdict = VERDICT_SKIP};
}

static inline struct finding
found_reject(enum err why, const char *detail)
{
	return (struct finding){.verdict = VERDICT_REJECT, .why = why, .detail = detail};
}

static inline struct finding
found_flag(const char *flag, const char *detail)
{
	return (struct finding){.verdict = VERDICT_FLAG, .flag = flag, .detail = detail};
}

/* A fault that the policy weighs: skip, flag or reject. */
static inline struct finding
found_fault(int policy, enum err why, const char *flag, const char *detail)
{
	if (policy == LAYER_OFF)
		return found_skip();
	return policy == LAYER_REJECT ? found_reject(why, detail) : found_flag(flag, detail);
}

#endif
