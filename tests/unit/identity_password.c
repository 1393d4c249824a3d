/*
 * Password formats against vectors made by passlib 1.7.4 and bcrypt 3.2 (independent implementations), bounds, policy, decoys.
 */
#include "support.h"

#include <string.h>

#include "core/asset.h"
#include "core/conf.h"
#include "core/crypto.h"
#include "identity/hash.h"
#include "identity/hasher.h"
#include "identity/password.h"

static const struct {
	const char *unit; /* the password is this, so many times */
	int times;
	const char *hash;
} vectors[] = {
	{"Correct-Horse-7", 1, "$2b$04$eBT2AtacOtwtTov/KGT5o.bwFwpJ/kRj/WdeYCCF50/JVRp5JkHbG"},
	{"Correct-Horse-7", 1, "$2a$04$ahJ1l7Uch/.YuW/z/9HPU.MEGpKCYvbjJomn90VvItciwzwt1/Yuy"},
	{"p", 1, "$2b$04$MrVsk8ZbidhVRoncmLpgIe.B/ROHw8HkZzsWQhm33D0fhhzxka706"},
	{"p", 1, "$2a$04$NR8k6/U5b5QSjRJbZXjUneP7sH9.AcNLopwjus34lB0qqBOksWyvy"},
	{"Gr\303\274\303\237e-\303\234n\303\257code9", 1, "$2b$04$7tXYeeFEmg.GV/xEdt1a1uzqC50VI/KQL0m/NgUD0YqH2nNghDfv6"},
	{"Gr\303\274\303\237e-\303\234n\303\257code9", 1, "$2a$04$u/CH4rH6LDN2xoRv3Q/DuORnn6TyoM3TQEP7656mZeSkRuCBkx0SC"},
	{"x", 72, "$2b$04$9lJUxaVhrvZLn1LovvBQBuTcRXYTqiVtxck.18tA8fnfw8I46/56i"},
	{"x", 72, "$2a$04$qkllmIkk9d1n4ePvF.KWP.TwIFtt0ypoQTJkabkLIN4K3Tg9uGcKG"},
	{"\303\277\302\243", 5, "$2b$04$KP.ybs5OZZRH2.RyGf0qBu0Hi6yfYrokRN1NWN8eaLWnUArz6fPEG"},
	{"\303\277\302\243", 5, "$2a$04$gF4eO5by2ZlxK.vRftI/teOeKPojMuyCHJqtt7bOeoK7Njg2u7/GW"},
	{"Correct-Horse-7", 1, "$2y$05$apWjyDrE8WIzjnp8kBSnrefj9moNfxE1jsT65izSwCF2sctp8TpJK"},
	{"Correct-Horse-7", 1, "$bcrypt-sha256$v=2,t=2b,r=4$IywIR.U2QUkHs4Dj3JGvre$J0D0I8LijleEAn4e6jHzKNpUoGJz7E2"},
	{"Correct-Horse-7", 1, "$bcrypt-sha256$2b,4$3notKMAj5ha4Q8D9tBJPQ.$paKNdWyCTkFK4R7bvcd95VF6x6eqOju"},
	{"\303\251", 60, "$bcrypt-sha256$v=2,t=2b,r=4$wdbSxe/mNQ36KQHFWUwVMe$0rKF0eL8Nj3VDIIhVINIpVogED92y4a"},
	{"\303\251", 60, "$bcrypt-sha256$2b,4$T2fadXlZpcwKbcnTOxGFo.$n/4gWrMLYz2XoTHTFZbC.eVtLOpgp3W"},
	{"long", 50, "$bcrypt-sha256$v=2,t=2b,r=4$Ekb7UXpyypWuPARWxUwHyu$TrGOcq1o5qXrJsKUdyA2AnIAGHAWeDS"},
	{"long", 50, "$bcrypt-sha256$2b,4$kV9ERb8Q76DfjqEajTYNI.$yBdkSFb6lltrBcD1Lw3rsCAJ9QP2sPW"},
	{"Correct-Horse-7", 1, "$argon2id$v=19$m=64,t=1,p=1$2RsDAKCUkvL+H0MIoTQGYA$56lVXE5kuWe/UVDcZ6kxpw"},
	{"Correct-Horse-7", 1, "$argon2id$v=19$m=1024,t=2,p=2$bO2d0xqjNKY05vzf+1/LmQ$sv5FYMLZZ4IrkPUGPUI8rg"},
	{"Correct-Horse-7", 1, "$argon2id$v=19$m=19456,t=2,p=1$tPYeg1CqFeI8Z2wNoZSyFg$0lsM96OyBTnkEEDsaDO40w"},
	{"Correct-Horse-7", 1, "$argon2id$v=19$m=64,t=1,p=1$/H9PaY2xFsL431tLae3d+w$X1b+rfemIW4B+gGi3c31oNoYqPyKncTZB3PvaIsPRdE"},
	{"Correct-Horse-7", 1, "$pbkdf2-sha256$1$9H4vRYjxvtf6P4ewVipFCA$FSjgiMpRSgIVjtmTFn8gZgwlcQKJFZodR.oqNl/t25M"},
	{"Correct-Horse-7", 1, "$pbkdf2-sha256$1000$SwkBAGAshbDWmlMKgRBiTA$YXfRouB32L2vkMXJC1w6KSpRtpYlIPTWWyI3C/oy9oI"},
	{"Correct-Horse-7", 1, "$pbkdf2-sha256$29000$FSLEuBeCkNJ6bw2h9B6jlA$Gu57O4uMpCfzPnMVlFrf/bQn8sJH37lzMyV6g8SRF2Y"},
	{"\303\274n\303\257", 30, "$argon2id$v=19$m=64,t=1,p=1$gRCitBYCoLT23jtnDMG41w$xvguiQFheXhU6Tq4nwXb/w"},
	{"\303\274n\303\257", 30, "$argon2id$v=19$m=1024,t=2,p=2$R6h1bg2B0HpvjZFSypkzxg$v1SJZgRD8Y489TJeiIGicw"},
	{"\303\274n\303\257", 30, "$argon2id$v=19$m=19456,t=2,p=1$ndMaA2DsvReiNAZgLKXUeg$qiBAoXe/GaRz0CbkvLUJiQ"},
	{"\303\274n\303\257", 30,
		"$argon2id$v=19$m=64,t=1,p=1$DaF0jlHqXetdy5nz3ruXEg$aT6H+Mc7MCsm9VvOU4/5fHEgiSdB/ckZ4l3QGAF+Txg"},
	{"\303\274n\303\257", 30, "$pbkdf2-sha256$1$RGgtxbj3Xqs1RmjtvffeWw$AyVEHzllqo/wo.blBF3VkoRY4DQevfT.ERW7jHaOFbA"},
	{"\303\274n\303\257", 30, "$pbkdf2-sha256$1000$WYvxnpMyRuhdq/W.F6KUkg$Do0ElBUSt7yRm5IYvT3K6PSmBynPUvHD.q4bJ2Y3WG4"},
	{"\303\274n\303\257", 30, "$pbkdf2-sha256$29000$IiREKGWMUco5h5CSEmLMWQ$wnIVjtMnYtTXeWhxvjIlxdNKdDu284DHQthxDttzpVg"},
};

static char *
repeated(struct arena *a, const char *unit, int times)
{
	struct buf b;

	buf_init(&b, a, 64);
	for (int i = 0; i < times; i++)
		buf_str(&b, unit);
	return arena_strdup(a, buf_cstr(&b));
}

static void
accepts_what_passlib_writes(void **state)
{
	struct test *t = *state;

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char *password = repeated(&t->arena, vectors[i].unit, vectors[i].times);
		if (!test_hash_is(t, vectors[i].hash, password))
			fail_msg("does not accept %s", vectors[i].hash);
		password[strlen(password) - 1] ^= 1;
		if (test_hash_is(t, vectors[i].hash, password))
			fail_msg("accepts another last byte: %s", vectors[i].hash);
		assert_true(password_hash_acceptable(vectors[i].hash, true));
	}
}

static void
refuses_malformed_and_out_of_bounds(void **state)
{
	struct test *t = *state;
	static const char *const bad[] = {
		"",
		"plain",
		"$2b$04$",
		"$2x$04$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxjy",
		"$2b$03$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxjy",
		"$2b$15$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxjy",
		"$2b$4$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxjyy",
		"$2b$04$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxj",
		"$2b$04$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYxjyy",
		"$2b$04$hle4L0tcHe1tS8mNmGzmtu/CBGXuktpNtorhqp1Bvp/reV/NOYx:y",
		"$bcrypt-sha256$v=2,t=2b,r=15$qzo82.BYfjoVafeOWfErUO$ytvE6MdFYsJd77GfActYFFgLO49cLW2",
		"$bcrypt-sha256$v=3,t=2b,r=4$qzo82.BYfjoVafeOWfErUO$ytvE6MdFYsJd77GfActYFFgLO49cLW2",
		"$bcrypt-sha256$v=2,t=2b,r=4$qzo82.BYfjoVafeOWfErU$ytvE6MdFYsJd77GfActYFFgLO49cLW2",
		"$argon2id$v=19$m=131073,t=2,p=1$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$argon2id$v=19$m=64,t=11,p=1$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$argon2id$v=19$m=64,t=1,p=17$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$argon2id$v=19$m=64,t=-1,p=1$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$argon2id$v=19$m=064,t=1,p=1$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$argon2i$v=19$m=64,t=1,p=1$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$argon2id$v=19$m=64,t=1,p=1$iRHifA8hBCAkhDAGwPj/vw$",
		"$argon2id$v=19$m=99999999999999999999,t=1,p=1$iRHifA8hBCAkhDAGwPj/vw$rFKTeBgIQNMXy8cHcxdqNQ",
		"$pbkdf2-sha256$2000001$OsdYS.kdYyzlHMPYe681Bg$eguSCfgagfSVm6bj9.0Ds1HHCBv9w50SpU05cWCiss0",
		"$pbkdf2-sha256$0$OsdYS.kdYyzlHMPYe681Bg$eguSCfgagfSVm6bj9.0Ds1HHCBv9w50SpU05cWCiss0",
		"$pbkdf2-sha256$1000$OsdYS.kdYyzlHMPYe681Bg$eguSCfgagfSVm6bj9.0Ds1HHCBv9w50SpU05cWCiss",
		"$pbkdf2-sha256$1000$OsdYS+kdYyzlHMPYe681Bg$eguSCfgagfSVm6bj9.0Ds1HHCBv9w50SpU05cWCiss0",
		"$pbkdf2-sha256$29000$$eguSCfgagfSVm6bj9.0Ds1HHCBv9w50SpU05cWCiss0",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (password_hash_acceptable(bad[i], true) || test_hash_is(t, bad[i], "Correct-Horse-7"))
			fail_msg("takes %s", bad[i]);
	}
	assert_false(password_hash_acceptable(NULL, true));
	assert_false(password_hash_acceptable(vectors[0].hash, false)); /* cost 4 is for dev */
}

static void
writes_what_is_configured(void **state)
{
	static const struct {
		const char *setting, *prefix, *long_prefix;
	} cases[] = {
		{"PASSWORD_HASH=bcrypt", "$2b$04$", "$bcrypt-sha256$v=2,t=2b,r=4$"},
		{"PASSWORD_HASH=argon2id", "$argon2id$v=19$m=19456,t=2,p=1$", "$argon2id$v=19$m=19456,t=2,p=1$"},
		{"PASSWORD_HASH=pbkdf2_sha256", "$pbkdf2-sha256$600000$", "$pbkdf2-sha256$600000$"},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct test *t = test_open(TEST_CONF(cases[i].setting));
		char *password = repeated(&t->arena, "ab", 36), *longer = repeated(&t->arena, "ab", 100);
		const char *hash = test_hash(t, password), *again = test_hash(t, password), *long_hash = test_hash(t, longer);
		assert_true(str_starts(hash, cases[i].prefix));
		assert_true(str_starts(long_hash, cases[i].long_prefix));
		assert_string_not_equal(hash, again);
		assert_true(test_hash_is(t, hash, password) && test_hash_is(t, long_hash, longer));
		longer[199] = 'c'; /* no truncation: 200 bytes that differ in the last */
		assert_false(test_hash_is(t, long_hash, longer));
		assert_false(test_hash_is(t, hash, repeated(&t->arena, "ab", 37)));
		assert_false(password_stale(t->srv.conf, hash) || password_stale(t->srv.conf, long_hash));
		for (size_t v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
			struct hash h;
			assert_true(hash_parse(vectors[v].hash, &h));
			bool same = i == 0   ? h.cost == 4 && h.minor == 'b' && h.version != 1 && h.scheme <= SCHEME_BCRYPT_SHA256
				    : i == 1 ? h.scheme == SCHEME_ARGON2ID && h.memory_kib == 19456
					     : false;
			assert_int_equal(password_stale(t->srv.conf, vectors[v].hash), !same);
		}
		test_close(t);
	}
}

static const char *
first_message(const struct ctx *cx)
{
	return cx->error.notes ? cx->error.notes->text : "";
}

static void
policy(void **state)
{
	static const struct {
		enum password_policy policy;
		const char *password, *message; /* "" when it is good */
	} cases[] = {
		{POLICY_CLASSES, "Correct-Horse-7", ""},
		{POLICY_CLASSES, "Ab1!efg", "needs at least 8 characters"},
		{POLICY_CLASSES, "correct-horse-7", "needs an upper-case letter"},
		{POLICY_CLASSES, "CORRECT-HORSE-7", "needs a lower-case letter"},
		{POLICY_CLASSES, "Correct-Horse-X", "needs a digit"},
		{POLICY_CLASSES, "CorrectHorse7", "needs a special character"},
		{POLICY_CLASSES, "Grüße2Welt", ""},
		{POLICY_LENGTH, "korrekter pferde", ""},
		{POLICY_LENGTH, "password", "is among the most common passwords"},
		{POLICY_LENGTH, "PassWord", "is among the most common passwords"},
		{POLICY_LENGTH, "Ada@Example.org", "must not be the e-mail address or the name"},
		{POLICY_LENGTH, "ada.lovelace", "must not be the e-mail address or the name"},
		{POLICY_LENGTH, "ADA LOVELACE", "must not be the e-mail address or the name"},
		{POLICY_LENGTH, "ada lovelace 1", ""},
		{POLICY_CLASSES, "Muster2026!", "must not be the name of this service"},
		{POLICY_LENGTH, "12MUSTER34", "must not be the name of this service"},
		{POLICY_LENGTH, "data-club-1", "must not be the name of this service"}, /* MFA_TOTP_ISSUER */
		{POLICY_LENGTH, "Attend.Example.ORG", "must not be the name of this service"},
		{POLICY_CLASSES, "Mustermann-1", ""},
	};
	struct test *t = *state =
		test_open(TEST_CONF("MFA_TOTP_ISSUER=Data Club", "PUBLIC_BASE_URL=https://attend.example.org"));
	struct ctx cx;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *email = strchr(cases[i].password, '@') ? "ada@example.org" : "ada.lovelace@example.org";
		test_ctx(t, &cx);
		enum err e = password_check(&cx, cases[i].policy, "password", cases[i].password, email, "Ada Lovelace");
		assert_int_equal(e, *cases[i].message ? ERR_VALIDATION : OK);
		assert_string_equal(first_message(&cx), cases[i].message);
	}
	test_ctx(t, &cx);
	assert_int_equal(password_check(&cx, POLICY_LENGTH, "p", repeated(&t->arena, "x7", 512), NULL, NULL), OK);
	assert_int_equal(password_check(&cx, POLICY_LENGTH, "p", repeated(&t->arena, "x7", 513), NULL, NULL), ERR_VALIDATION);
	test_close(t);
}

/* Every 97th line, the first and the last are found; their neighbours that are not in the list are not. */
static void
common_list(void **state)
{
	const struct asset_blob *list = asset_blobs;
	int lines = 0, looked = 0;
	struct test *t = *state;

	while (list->name && strcmp(list->name, "passwords.txt") != 0)
		list++;
	assert_non_null(list->name);
	const char *previous = "";
	for (const char *p = (const char *)list->data, *end = p + list->size; p < end; lines++) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		char *line = arena_strndup(&t->arena, p, (size_t)((eol ? eol : end) - p));
		if (strcmp(previous, line) >= 0)
			fail_msg("the list is not in order at %s", line);
		previous = line;
		p = eol ? eol + 1 : end;
		if (lines % 97 != 0 && p < end)
			continue;
		looked++;
		assert_true(password_common(line));
		assert_false(password_common(arena_printf(&t->arena, "%s~~", line)));
	}
	assert_int_equal(lines, 10000);
	assert_true(looked > 100);
	assert_false(password_common("") || password_common("Correct-Horse-7") || password_common("~~~~~~~~~~~~") ||
		     password_common(" "));
	assert_true(password_common("LetMeIn"));
}

static void
decoys(void **state)
{
	struct test *t = *state;
	struct password_mix mix = {.sample = {"$2b$04$", "$bcrypt-sha256$v=2,t=2b,r=4$", "$argon2id$v=19$m=64,t=1,p=1$",
					   "$pbkdf2-sha256$10$", "$nonsense$"},
		.weight = {50, 10, 20, 15, 5},
		.n = 5};
	int seen[4] = {0};

	for (int i = 0; i < 400; i++) {
		uint8_t draw[32];
		crypto_sha256(span_str(arena_printf(&t->arena, "%d", i)), draw);
		const char *a = password_decoy(&t->arena, t->srv.conf, &mix, draw),
			   *b = password_decoy(&t->arena, t->srv.conf, &mix, draw);
		assert_string_equal(a, b); /* the same address, the same work */
		assert_true(password_hash_acceptable(a, true));
		for (int k = 0; k < 4; k++)
			seen[k] += str_starts(a, mix.sample[k]);
	}
	/* the malformed share falls back to what is configured, which is bcrypt here */
	assert_in_range(seen[0], 180, 260);
	assert_in_range(seen[1], 20, 60);
	assert_in_range(seen[2], 55, 105);
	assert_in_range(seen[3], 35, 85);
	mix.n = 0;
	assert_true(str_starts(
		password_decoy(&t->arena, t->srv.conf, &mix, (const uint8_t *)"0123456789abcdef0123456789abcdef"), "$2b$04$"));
}

/* The mix is what the table holds, whoever wrote it, and is counted at most once a minute. */
static void
mix_of_the_table(void **state)
{
	struct test *t = *state;
	struct password_mix mix;
	struct ctx cx;

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const char *email = arena_printf(&t->arena, "mix%zu@example.org", i);
		test_user_named(t, ROLE_STUDENT, email, "Mix");
		sql_run(t, arena_printf(&t->arena, "UPDATE users SET password_hash = '%s' WHERE email = '%s'", vectors[i].hash,
				   email));
	}
	test_ctx(t, &cx);
	assert_int_equal(hasher_mix(&cx, &mix), OK);
	int64_t total = 0;
	for (int i = 0; i < mix.n; i++) {
		char *fake = hash_fake(&t->arena, mix.sample[i], (const uint8_t *)"0123456789abcdef0123456789abcdef");
		if (!fake)
			fail_msg("no parameters: %s", mix.sample[i]);
		total += mix.weight[i];
	}
	assert_int_equal(total, sizeof(vectors) / sizeof(vectors[0]));
	int before = mix.n;
	sql_run(t, "DELETE FROM users");
	assert_int_equal(hasher_mix(&cx, &mix), OK);
	assert_int_equal(mix.n, before);
	test_advance(t, MINUTES_US);
	assert_int_equal(hasher_mix(&cx, &mix), OK);
	assert_int_equal(mix.n, 0);
}

/* Whatever the column holds is no reason to end; it is nobody's parameters. */
static void
mix_without_what_is_no_hash(void **state)
{
	static const char *const odd[] = {"$pbkdf2-sha256$29000$$eguSCfgagfSVm6bj9.0Ds1HHCBv9w50SpU05cWCiss0",
		"$6$rounds=5000$saltsaltsaltsalt$abcdefghijklmnopqrstuvwxyz0123"};
	struct test *t = *state;
	struct password_mix mix;
	struct ctx cx;

	for (size_t i = 0; i < 3; i++) {
		const char *email = arena_printf(&t->arena, "odd%zu@example.org", i);
		test_user_named(t, ROLE_STUDENT, email, "Odd");
		if (i < 2)
			sql_run(t, arena_printf(&t->arena, "UPDATE users SET password_hash = '%s' WHERE email = '%s'", odd[i], email));
	}
	test_ctx(t, &cx);
	assert_int_equal(hasher_mix(&cx, &mix), OK);
	assert_int_equal(mix.n, 1);
	assert_int_equal(mix.weight[0], 1);
}

static void
queue_is_one_second(void **state)
{
	struct test *t = *state;
	int64_t us = hasher_hash_us(t->srv.hasher);

	assert_true(us > 0);
	assert_true(hasher_queue_max(t->srv.hasher, 2) >= 4);
	assert_true(hasher_queue_max(t->srv.hasher, 2) * us <= 2 * SECONDS_US || hasher_queue_max(t->srv.hasher, 2) == 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STANDARD(accepts_what_passlib_writes),
		STANDARD(refuses_malformed_and_out_of_bounds),
		cmocka_unit_test(writes_what_is_configured),
		cmocka_unit_test(policy),
		STANDARD(common_list),
		STANDARD(decoys),
		STANDARD(mix_of_the_table),
		STANDARD(mix_without_what_is_no_hash),
		STANDARD(queue_is_one_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
