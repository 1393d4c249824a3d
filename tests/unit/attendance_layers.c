/* The table of layers: each fault has its error, and of two faults the earlier layer's is told. */
#include "support.h"

#include <string.h>

#include "attendance/layers/layer.h"

#define NOW TEST_START_US

static struct mark_case
good(void)
{
	struct mark_case c;

	memset(&c, 0, sizeof(c));
	field_clear(&mark_row_schema, &c.row);
	c.now_us = c.at_us = NOW;
	c.found = c.by_claim = c.has_key = c.proof_fits = true;
	c.policy.claim = CLAIM_POLICY_ON;
	c.claim.expires_us = NOW + MINUTES_US;
	c.row.code_expires_at = NOW + 1;
	c.row.kind = "session";
	c.row.scheduled_at = NOW;
	c.row.ends_at = NOW + HOURS_US;
	c.row.capacity = 10;
	c.row.taken = 9;
	c.row.enrolled = TRI_YES;
	return c;
}

static void
bad_form(struct mark_case *c)
{
	c->signature = ERR_INVALID_QR;
}
static void
bad_mac(struct mark_case *c)
{
	c->signature = ERR_INVALID_SIGNATURE;
}
static void
unknown(struct mark_case *c)
{
	c->found = false;
}
static void
revoked(struct mark_case *c)
{
	c->row.is_revoked = true;
}
static void
expired(struct mark_case *c)
{
	c->row.code_expires_at = NOW;
}
static void
claim_expired(struct mark_case *c)
{
	c->claim.expires_us = NOW;
}
static void
deleted(struct mark_case *c)
{
	c->row.is_deleted = true;
}
static void
early(struct mark_case *c)
{
	c->row.scheduled_at = NOW + 1;
}
static void
closed(struct mark_case *c)
{
	c->row.closed_at = NOW;
}
static void
over(struct mark_case *c)
{
	c->row.ends_at = NOW;
}
static void
full(struct mark_case *c)
{
	c->row.taken = 10;
}
static void
stranger(struct mark_case *c)
{
	c->row.enrolled = TRI_NO;
}
static void
again(struct mark_case *c)
{
	c->row.record_id = (struct uuid){"01890a5d-ac96-774b-bcce-b302099a8057"};
	c->row.record_status = c->row.record_original = "present";
}
static void
nonce_used(struct mark_case *c)
{
	c->row.nonce_used = true;
}
static void
claim_spent(struct mark_case *c)
{
	c->row.claim_spent = true;
}
static void
claim_off(struct mark_case *c)
{
	c->policy.claim = CLAIM_POLICY_OFF;
}
static void
bad_proof(struct mark_case *c)
{
	c->proof_fits = false;
}

/* In the order of the contract. */
static const struct {
	const char *name;
	void (*spoil)(struct mark_case *c);
	enum err want;
} faults[] = {
	{"form", bad_form, ERR_INVALID_QR},
	{"MAC", bad_mac, ERR_INVALID_SIGNATURE},
	{"unknown", unknown, ERR_INVALID_QR},
	{"revoked", revoked, ERR_QR_REVOKED},
	{"expired", expired, ERR_QR_EXPIRED},
	{"claim expired", claim_expired, ERR_QR_EXPIRED},
	{"deleted", deleted, ERR_EVENT_NOT_FOUND},
	{"early", early, ERR_EVENT_NOT_OPEN},
	{"closed", closed, ERR_SESSION_CLOSED},
	{"over", over, ERR_SESSION_CLOSED},
	{"full", full, ERR_EVENT_FULL},
	{"not enrolled", stranger, ERR_NOT_ENROLLED},
	{"duplicate", again, ERR_DUPLICATE_ATTENDANCE},
	{"nonce used", nonce_used, ERR_NONCE_REUSED},
	{"claim spent", claim_spent, ERR_NONCE_REUSED},
	{"no claims", claim_off, ERR_CONFLICT},
	{"proof", bad_proof, ERR_INVALID_PROOF},
};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

static void
expect(const struct mark_case *spoilt, enum err want, const char *a, const char *b)
{
	struct mark_case c = *spoilt;
	enum err got = layers_judge(&c, true);

	if (got != want)
		fail_msg("%s and %s: %s instead of %s", a, b, got ? err_row(got)->name : "OK", want ? err_row(want)->name : "OK");
}

static void
the_earlier_fault_is_told(void **state)
{
	struct mark_case c = good();

	(void)state;
	expect(&c, OK, "nothing", "nothing");
	for (int i = 0; i < FAULTS; i++) {
		for (int j = i; j < FAULTS; j++) {
			c = good();
			faults[j].spoil(&c);
			if (i != j && !(i == 0 && j == 1))
				faults[i].spoil(&c);
			/* Form and MAC are one member: a code that has no form has no MAC to be wrong. */
			expect(&c, i == 0 && j == 1 ? ERR_INVALID_SIGNATURE : faults[i].want, faults[i].name, faults[j].name);
		}
	}
}

static void
edges_of_the_window(void **state)
{
	static const struct {
		const char *kind;
		int64_t scheduled, ends, closed, at;
		enum err want;
	} rows[] = {
		{"event", HOURS_US, TIME_NONE, TIME_NONE, 0, OK},
		{"event", -1000 * DAYS_US, TIME_NONE, TIME_NONE, 0, OK},
		{"event", -HOURS_US, 1, TIME_NONE, 0, OK},
		{"event", -HOURS_US, 0, TIME_NONE, 0, ERR_EVENT_NOT_OPEN},
		{"session", 0, HOURS_US, TIME_NONE, 0, OK},
		{"session", 1, HOURS_US, TIME_NONE, 0, ERR_EVENT_NOT_OPEN},
		{"session", -HOURS_US, HOURS_US, 0, -1, OK},
		{"session", -HOURS_US, HOURS_US, 0, 0, ERR_SESSION_CLOSED},
		{"session", -HOURS_US, 0, TIME_NONE, -1, OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mark_case c = good();
		c.row.kind = rows[i].kind;
		c.row.scheduled_at = NOW + rows[i].scheduled;
		c.row.ends_at = rows[i].ends == TIME_NONE ? TIME_NONE : NOW + rows[i].ends;
		c.row.closed_at = rows[i].closed == TIME_NONE ? TIME_NONE : NOW + rows[i].closed;
		c.at_us = NOW + rows[i].at;
		expect(&c, rows[i].want, rows[i].kind, arena_printf((struct arena *)*state, "row %zu", i));
	}
}

static void
claims_replace_only_absences(void **state)
{
	static const struct {
		const char *status, *original;
		bool by_claim;
		enum err want;
	} rows[] = {
		{"absent", "absent", true, OK},
		{"absent", "absent", false, ERR_DUPLICATE_ATTENDANCE},
		{"absent", "present", true, ERR_DUPLICATE_ATTENDANCE},
		{"rejected", "absent", true, ERR_DUPLICATE_ATTENDANCE},
		{"excused", "excused", true, ERR_DUPLICATE_ATTENDANCE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mark_case c = good();
		again(&c);
		c.row.record_status = rows[i].status;
		c.row.record_original = rows[i].original;
		c.by_claim = rows[i].by_claim;
		expect(&c, rows[i].want, rows[i].status, rows[i].original);
	}
}

static void
verdicts_are_told(void **state)
{
	struct arena *a = *state;
	struct mark_case c = good();

	c.other_network = true;
	assert_int_equal(layers_judge(&c, true), OK);
	assert_string_equal(layers_flags(a, &c), "scanned_elsewhere");
	assert_non_null(strstr(layers_json(a, &c), "{\"layer\":\"claim\",\"verdict\":\"flag\",\"detail\":\""));

	c = good();
	c.policy.claim = CLAIM_POLICY_FLAG;
	assert_int_equal(layers_judge(&c, true), OK);
	assert_string_equal(layers_flags(a, &c), "claim");

	c = good();
	c.row.enrolled = TRI_UNSET;
	again(&c);
	assert_int_equal(layers_judge(&c, true), ERR_DUPLICATE_ATTENDANCE);
	assert_null(layers_flags(a, &c));
	assert_string_equal(layers_json(a, &c),
		"[{\"layer\":\"signature\",\"verdict\":\"pass\"},{\"layer\":\"expiry\",\"verdict\":\"pass\"},"
		"{\"layer\":\"window\",\"verdict\":\"pass\"},"
		"{\"layer\":\"duplicate\",\"verdict\":\"reject\",\"detail\":\"Marked already.\"}]");

	c = good();
	stranger(&c);
	assert_int_equal(layers_judge(&c, false), OK); /* nobody's roster matters when a claim is made */
}

static int
arena_setup(void **state)
{
	static struct arena a;

	arena_init(&a);
	*state = &a;
	return 0;
}

static int
arena_teardown(void **state)
{
	arena_release(*state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_earlier_fault_is_told),
		cmocka_unit_test(edges_of_the_window),
		cmocka_unit_test(claims_replace_only_absences),
		cmocka_unit_test(verdicts_are_told),
	};

	return cmocka_run_group_tests_name("attendance: layers", tests, arena_setup, arena_teardown);
}
