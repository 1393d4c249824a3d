/* The strong form: a registered key signs each mark, over a challenge that is this student's, fresh, and good once. */
#include "lesson_env.h"

#include "attendance/p256.h"

/* --- signatures, alone ----------------------------------------------------------------------------------------------------- */

/* RFC 7515, appendix A.3. */
#define RFC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define RFC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define RFC_TEXT \
	"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define RFC_SIGNATURE "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
	0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

enum spoil {
	NOT,
	ONE_BIT,
	SWAPPED,
	R_ZERO,
	S_ZERO,
	R_ORDER,
	S_ORDER,
	ALL_ZERO,
	ALL_ONES,
	SHORT,
	LONG,
	EMPTY,
	PADDED,
	WITH_DER,
	SPOILS
};

/* The good signature, spoilt. */
static const char *
spoilt(struct arena *a, const char *signature, enum spoil how)
{
	struct span good;
	uint8_t raw[80] = {0};
	size_t n = 64;

	assert_true(b64url_decode(a, signature, strlen(signature), &good));
	assert_int_equal(good.n, n);
	memcpy(raw, good.p, n);
	if (how == ONE_BIT)
		raw[63] ^= 1;
	if (how == SWAPPED) {
		memcpy(raw, good.p + 32, 32);
		memcpy(raw + 32, good.p, 32);
	}
	if (how == R_ZERO || how == ALL_ZERO)
		memset(raw, 0, 32);
	if (how == S_ZERO || how == ALL_ZERO)
		memset(raw + 32, 0, 32);
	if (how == R_ORDER)
		memcpy(raw, order, 32);
	if (how == S_ORDER)
		memcpy(raw + 32, order, 32);
	if (how == ALL_ONES)
		memset(raw, 0xff, 64);
	if (how == SHORT)
		n = 63;
	if (how == LONG)
		n = 65;
	if (how == EMPTY)
		return "";
	if (how == PADDED)
		return arena_printf(a, "%s==", signature);
	if (how == WITH_DER) { /* as other libraries write it: SEQUENCE of two INTEGERs */
		static const uint8_t head[] = {0x30, 0x44, 0x02, 0x20}, middle[] = {0x02, 0x20};
		memcpy(raw, head, 4);
		memcpy(raw + 4, good.p, 32);
		memcpy(raw + 36, middle, 2);
		memcpy(raw + 38, good.p + 32, 32);
		n = 70;
	}
	return b64url_text(a, (struct span){raw, n});
}

static void
published_signature(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a);
	for (int how = NOT; how < SPOILS; how++)
		if (p256_signed(&a, RFC_X, RFC_Y, SPAN_LIT(RFC_TEXT), spoilt(&a, RFC_SIGNATURE, (enum spoil)how)) != (how == NOT))
			fail_msg("spoilt %d", how);
	assert_false(p256_signed(&a, RFC_X, RFC_Y, SPAN_LIT(RFC_TEXT "x"), RFC_SIGNATURE));
	assert_false(p256_signed(&a, RFC_X, RFC_Y, SPAN_LIT(RFC_TEXT), NULL));
	assert_false(p256_signed(&a, RFC_Y, RFC_X, SPAN_LIT(RFC_TEXT), RFC_SIGNATURE)); /* no point on the curve */
	assert_false(p256_signed(&a, "\"", RFC_Y, SPAN_LIT(RFC_TEXT), RFC_SIGNATURE));
	arena_release(&a);
}

/* --- marks ----------------------------------------------------------------------------------------------------------------- */

static enum err
challenge_run(struct ctx *cx, void *arg)
{
	return device_challenge_make(cx, arg);
}

static const char *
challenge_for(struct room *r, const struct test_user *u)
{
	struct device_challenge out;
	struct ctx cx;

	ctx_as(r->t, &cx, u);
	must(&cx, db_read(&cx, challenge_run, &out));
	assert_true(out.expires_at > cx.now_us && out.expires_at <= cx.now_us + 60 * SECONDS_US);
	return out.challenge;
}

/* What the key signs: challenge, a zero byte, what is presented. */
static const char *
sign(struct room *r, const struct browser *b, const char *challenge, const char *presented)
{
	struct buf text;

	buf_init(&text, &r->t->arena, 0);
	buf_str(&text, challenge);
	buf_chr(&text, 0);
	buf_str(&text, presented);
	return browser_sign_bytes(r->t, b, buf_span(&text));
}

static struct mark_in
signed_in(struct room *r, const struct browser *b, const char *challenge, const struct lesson *l)
{
	return (struct mark_in){
		.device_challenge = challenge, .device_signature = sign(r, b, challenge, l->code.qr_payload)};
}

static void
a_registered_key_must_sign(void **state)
{
	struct room r = room_open();
	struct browser b = browser_open(r.t), other = browser_open(r.t);
	struct test_user friend = test_user(r.t, ROLE_STUDENT);
	const char *wrong = "The signature is not of the registered key.",
		   *stale = "The signed challenge is not this student's, or it has expired.",
		   *none = "The registered key did not sign.";

	(void)state;
	assert_string_equal(bind_device(&r, &r.student, (struct device_in){.public_key = b.jwk}), "bound");
	struct lesson another = lesson(&r, "");
	const char *mine = challenge_for(&r, &r.student), *theirs = challenge_for(&r, &friend);
	const struct {
		const char *name, *challenge, *signature, *imei, *detail;
	} rows[] = {
		{"nothing", NULL, NULL, NULL, none},
		{"an id alone", NULL, NULL, "phone", none},
		{"a challenge alone", mine, NULL, NULL, none},
		{"a signature alone", NULL, "x", NULL, none},
		{"another key", mine, "other", NULL, wrong},
		{"another code", mine, "another", NULL, wrong},
		{"over the code alone", mine, "code", NULL, wrong},
		{"another student's challenge", theirs, "sign", NULL, stale},
		{"no challenge of ours", "eyJhbGciOiJIUzI1NiJ9.e30.x", "sign", NULL, stale},
		{"a token of another kind", r.student.bearer, "sign", NULL, stale},
		{"no base64url", mine, "r+s/", NULL, wrong},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lesson l = lesson(&r, "");
		const char *s = rows[i].signature, *code = l.code.qr_payload;
		if (str_eq(s, "other"))
			s = sign(&r, &other, mine, code);
		else if (str_eq(s, "another"))
			s = sign(&r, &b, mine, another.code.qr_payload);
		else if (str_eq(s, "code"))
			s = browser_sign(r.t, &b, code);
		else if (str_eq(s, "sign"))
			s = sign(&r, &b, rows[i].challenge, code);
		mark_in_lesson(&r, &r.student, &l,
			(struct mark_in){.device_challenge = rows[i].challenge, .device_signature = s, .imei = rows[i].imei});
		assert_string_equal(record_of(&r, &r.student, &l), "flagged device");
		if (!str_eq(detail_of(&r, &r.student, &l, "device"), rows[i].detail))
			fail_msg("%s: %s", rows[i].name, detail_of(&r, &r.student, &l, "device"));
	}
	assert_int_equal(ROWS(r, "spent_claims"), 0);

	/* None of that used the challenge up. */
	struct lesson l = lesson(&r, ", require_device = TRUE");
	mark_in_lesson(&r, &r.student, &l, signed_in(&r, &b, mine, &l));
	assert_string_equal(record_of(&r, &r.student, &l), "present -");
	assert_int_equal(ROWS(r, "spent_claims"), 1);
	browser_close(&b);
	browser_close(&other);
	room_close(&r);
}

static void
bad_signatures_are_flagged(void **state)
{
	struct room r = room_open();
	struct browser b = browser_open(r.t);

	(void)state;
	bind_device(&r, &r.student, (struct device_in){.public_key = b.jwk});
	for (int how = NOT; how < SPOILS; how++) {
		struct lesson l = lesson(&r, "");
		struct mark_in in = signed_in(&r, &b, challenge_for(&r, &r.student), &l);
		in.device_signature = spoilt(&r.t->arena, in.device_signature, (enum spoil)how);
		mark_in_lesson(&r, &r.student, &l, in);
		if (!str_eq(record_of(&r, &r.student, &l), how == NOT ? "present -" : "flagged device"))
			fail_msg("spoilt %d: %s", how, record_of(&r, &r.student, &l));
	}
	browser_close(&b);
	room_close(&r);
}

static void
a_challenge_is_good_once_and_for_a_minute(void **state)
{
	struct room r = room_open();
	struct browser b = browser_open(r.t);
	struct lesson one = lesson(&r, ""), two = lesson(&r, ""), three = lesson(&r, ""), four = lesson(&r, ""),
		      hard = lesson(&r, ", policy = '{\"device\":\"reject\"}'");

	(void)state;
	bind_device(&r, &r.student, (struct device_in){.public_key = b.jwk});
	const char *challenge = challenge_for(&r, &r.student), *late = challenge_for(&r, &r.student);
	mark_in_lesson(&r, &r.student, &one, signed_in(&r, &b, challenge, &one));
	assert_string_equal(record_of(&r, &r.student, &one), "present -");
	/* Replayed as it was, and signed anew for another session. */
	struct mark_in replayed = signed_in(&r, &b, challenge, &one);
	mark_in_lesson(&r, &r.student, &two, replayed);
	assert_string_equal(detail_of(&r, &r.student, &two, "device"), "The signature is not of the registered key.");
	mark_in_lesson(&r, &r.student, &three, signed_in(&r, &b, challenge, &three));
	assert_string_equal(detail_of(&r, &r.student, &three, "device"), "The signed challenge was used before.");
	assert_string_equal(record_of(&r, &r.student, &three), "flagged device");
	assert_int_equal(mark_in_lesson(&r, &r.student, &hard, signed_in(&r, &b, challenge, &hard)).cx.error.code,
		ERR_DEVICE_MISMATCH);

	test_advance(r.t, 59 * SECONDS_US);
	mark_in_lesson(&r, &r.student, &four, signed_in(&r, &b, late, &four));
	assert_string_equal(record_of(&r, &r.student, &four), "present -");
	struct lesson five = lesson(&r, "");
	late = challenge_for(&r, &r.student);
	test_advance(r.t, 60 * SECONDS_US);
	five.code = make_code(r.t, &r.admin, &five.event);
	mark_in_lesson(&r, &r.student, &five, signed_in(&r, &b, late, &five));
	assert_string_equal(
		detail_of(&r, &r.student, &five, "device"), "The signed challenge is not this student's, or it has expired.");
	browser_close(&b);
	room_close(&r);
}

/* A claim is what is presented then, and it is signed as it was sent. */
static void
claims_are_signed_too(void **state)
{
	struct room r = room_open();
	struct browser b = browser_open(r.t);
	struct lesson good = lesson(&r, ""), bad = lesson(&r, "");
	struct claim_out claim;

	(void)state;
	bind_device(&r, &r.student, (struct device_in){.public_key = b.jwk});
	for (int i = 0; i < 2; i++) {
		const struct lesson *l = i ? &bad : &good;
		assert_int_equal(claim_payload(r.t, l->code.qr_payload, b.jwk, &claim), OK);
		const char *challenge = challenge_for(&r, &r.student);
		struct marking m = {.in = {.claim = claim.claim,
					    .proof = browser_sign(r.t, &b, claim.claim),
					    .device_challenge = challenge,
					    .device_signature = sign(&r, &b, challenge, i ? l->code.qr_payload : claim.claim)}};
		assert_int_equal(mark_from(r.t, &r.student, HERE, &m), OK);
		assert_string_equal(record_of(&r, &r.student, l), i ? "flagged device" : "present -");
	}
	browser_close(&b);
	room_close(&r);
}

/* A phone with a key of each account's own is still one phone where its id comes along. */
static void
an_id_beside_the_key_counts(void **state)
{
	struct room r = room_open();
	struct test_user friend = test_user(r.t, ROLE_STUDENT);
	struct browser b = browser_open(r.t), c = browser_open(r.t);
	struct lesson l = lesson(&r, "");

	(void)state;
	bind_device(&r, &r.student, (struct device_in){.public_key = b.jwk});
	bind_device(&r, &friend, (struct device_in){.public_key = c.jwk});
	struct mark_in first = signed_in(&r, &b, challenge_for(&r, &r.student), &l),
		       second = signed_in(&r, &c, challenge_for(&r, &friend), &l);
	first.imei = second.imei = "phone";
	mark_in_lesson(&r, &r.student, &l, first);
	assert_string_equal(record_of(&r, &r.student, &l), "present -");
	mark_in_lesson(&r, &friend, &l, second);
	assert_string_equal(record_of(&r, &friend, &l), "flagged device");
	assert_string_equal(record_of(&r, &r.student, &l), "flagged device");
	browser_close(&b);
	browser_close(&c);
	room_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_signature),
		cmocka_unit_test(a_registered_key_must_sign),
		cmocka_unit_test(bad_signatures_are_flagged),
		cmocka_unit_test(a_challenge_is_good_once_and_for_a_minute),
		cmocka_unit_test(claims_are_signed_too),
		cmocka_unit_test(an_id_beside_the_key_counts),
	};

	return cmocka_run_group_tests_name("attendance: keys of devices", tests, NULL, NULL);
}
