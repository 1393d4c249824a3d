/* The layers that measure, alone: every verdict under every policy, and the edges of what they measure. */
#include "support.h"

#include <math.h>

#include "attendance/layers/layer.h"

#define NOW TEST_START_US
static const struct uuid someone = {"01890a5d-ac96-774b-bcce-b302099a8057"};

struct seen { /* a case with its input */
	struct mark_in in;
	struct mark_case c;
};

/* In Zürich, within a fence of 100 m. */
static void
begin(struct seen *s)
{
	*s = (struct seen){.in = {.latitude = 47.3769, .longitude = 8.5417, .accuracy = NAN}};
	field_clear(&mark_row_schema, &s->c.row);
	s->c.now_us = s->c.at_us = NOW;
	s->c.in = &s->in;
	s->c.row.kind = "session";
	s->c.row.latitude = 47.3769;
	s->c.row.longitude = 8.5417;
	s->c.row.geofence_radius_m = 100;
	s->c.device = (struct mark_device){.asked = true, .shown = true, .bound = true, .own = true};
	s->c.network = NETWORK_INSIDE;
}

/* What a fault comes to under each policy; a finding that is none stays what it is, but off asks nothing. */
static const enum layer_policy policies[] = {LAYER_FLAG, LAYER_REJECT, LAYER_OFF};
enum { POLICIES = sizeof(policies) / sizeof(policies[0]) };

static void
expect_finding(struct finding f, enum verdict want, enum layer_policy policy, enum err why, const char *flag, const char *name)
{
	if (policy == LAYER_OFF)
		want = VERDICT_SKIP;
	else if (want == VERDICT_FLAG && policy == LAYER_REJECT)
		want = VERDICT_REJECT;
	if (f.verdict != want)
		fail_msg("%s: verdict %d instead of %d (policy %d: %s)", name, (int)f.verdict, (int)want, (int)policy,
			f.detail ? f.detail : "");
	if (want == VERDICT_REJECT)
		assert_int_equal(f.why, why);
	if (want == VERDICT_FLAG)
		assert_string_equal(f.flag, flag);
	if (want == VERDICT_FLAG || want == VERDICT_REJECT)
		assert_non_null(f.detail);
}

/* --- device ---------------------------------------------------------------------------------------------------------------- */

static const struct device_row {
	const char *name;
	struct mark_device device;
	bool require;
	enum verdict want;
	const char *detail; /* of it; NULL: none */
} device_rows[] = {
	{"own", {.asked = true, .shown = true, .bound = true, .own = true}, true, VERDICT_PASS, NULL},
	{"first use", {.asked = true, .shown = true}, true, VERDICT_PASS, "first use"},
	{"nothing, not required", {.asked = true}, false, VERDICT_SKIP, NULL},
	{"nothing of an id that is bound, not required", {.asked = true, .bound = true}, false, VERDICT_SKIP, NULL},
	{"nothing, required", {.asked = true, .bound = true}, true, VERDICT_FLAG, "No device was named."},
	{"another", {.asked = true, .shown = true, .bound = true}, false, VERDICT_FLAG,
		"It is not the device registered for this student."},
	{"somebody's", {.asked = true, .shown = true, .elsewhere = true}, false, VERDICT_FLAG,
		"The device is registered for another account."},
	{"twin", {.asked = true, .shown = true, .bound = true, .own = true, .twin = {"x"}}, false, VERDICT_FLAG,
		"Another account marked with the same device here."},
	{"lately", {.asked = true, .shown = true, .bound = true, .own = true, .lately = true}, false, VERDICT_FLAG,
		"Another account used the device a short time ago."},
	{"key", {.asked = true, .bound = true, .signing = SIGNING_GOOD}, true, VERDICT_PASS, NULL},
	{"key and an id", {.asked = true, .shown = true, .bound = true, .signing = SIGNING_GOOD}, true, VERDICT_PASS, NULL},
	{"key and somebody's id", {.asked = true, .shown = true, .bound = true, .signing = SIGNING_GOOD, .elsewhere = true}, true,
		VERDICT_FLAG, "The device is registered for another account."},
	{"no signature", {.asked = true, .shown = true, .bound = true, .signing = SIGNING_MISSING}, false, VERDICT_FLAG,
		"The registered key did not sign."},
	{"bad signature", {.asked = true, .bound = true, .signing = SIGNING_BAD}, false, VERDICT_FLAG,
		"The signature is not of the registered key."},
	{"stale challenge", {.asked = true, .bound = true, .signing = SIGNING_STALE}, false, VERDICT_FLAG,
		"The signed challenge is not this student's, or it has expired."},
	{"spent challenge", {.asked = true, .bound = true, .signing = SIGNING_SPENT}, false, VERDICT_FLAG,
		"The signed challenge was used before."},
	{"not asked", {.asked = false, .elsewhere = true}, false, VERDICT_SKIP, NULL},
};

static void
devices_by_policy(void **state)
{
	struct seen s;

	(void)state;
	for (size_t i = 0; i < sizeof(device_rows) / sizeof(device_rows[0]); i++) {
		for (int p = 0; p < POLICIES; p++) {
			begin(&s);
			s.c.device = device_rows[i].device;
			s.c.row.require_device = device_rows[i].require;
			s.c.policy.device = policies[p];
			struct finding f = layer_device(&s.c);
			expect_finding(f, device_rows[i].want, policies[p], ERR_DEVICE_MISMATCH, "device", device_rows[i].name);
			if (policies[p] != LAYER_OFF && !str_eq(f.detail, device_rows[i].detail))
				fail_msg("%s: %s", device_rows[i].name, f.detail ? f.detail : "no detail");
		}
	}
}

/* --- place ----------------------------------------------------------------------------------------------------------------- */

/* A degree of a meridian is 111,195 m on the mean sphere. */
#define NORTH(m) (47.3769 + (m) / 111195.08)

static const struct place_row {
	const char *name;
	double latitude, longitude, accuracy;
	enum verdict want;
	double score; /* NAN: not measured */
	const char *detail;
} place_rows[] = {
	{"at the centre", 47.3769, 8.5417, 5, VERDICT_PASS, 0, "Inside; position good to 10 m."},
	{"just inside", NORTH(99.9), 8.5417, NAN, VERDICT_PASS, 100, "Inside; accuracy not told."},
	{"just outside", NORTH(100.6), 8.5417, NAN, VERDICT_FLAG, 101, "Outside; accuracy not told."},
	{"widened", NORTH(119), 8.5417, 20, VERDICT_PASS, 119, "Inside; position good to 20 m."},
	{"not widened enough", NORTH(121), 8.5417, 20, VERDICT_FLAG, 121, "Outside; position good to 20 m."},
	{"widened to the most", NORTH(149), 8.5417, 80, VERDICT_PASS, 149, "Inside; position good to 100 m."},
	{"a huge accuracy opens nothing", NORTH(151), 8.5417, 1e9, VERDICT_FLAG, 151, "Outside; position worse than 100 m."},
	{"a negative accuracy narrows nothing", NORTH(99), 8.5417, -50, VERDICT_PASS, 99, "Inside; accuracy not told."},
	{"infinite accuracy", NORTH(151), 8.5417, INFINITY, VERDICT_FLAG, 151, "Outside; position worse than 100 m."},
	{"other side of the earth", -47.3769, 8.5417 - 180, 5, VERDICT_FLAG, 20015114, "Outside; position good to 10 m."},
	{"null island", 0, 0, 5, VERDICT_FLAG, NAN, "No position was told."},
	{"missing", NAN, NAN, NAN, VERDICT_FLAG, NAN, "No position was told."},
	{"half missing", 47.3769, NAN, 5, VERDICT_FLAG, NAN, "No position was told."},
	{"infinite", INFINITY, 8.5417, 5, VERDICT_FLAG, NAN, "No position was told."},
};

static void
places_by_policy(void **state)
{
	struct seen s;

	(void)state;
	for (size_t i = 0; i < sizeof(place_rows) / sizeof(place_rows[0]); i++) {
		const struct place_row *row = &place_rows[i];
		for (int p = 0; p < POLICIES; p++) {
			begin(&s);
			s.in.latitude = row->latitude;
			s.in.longitude = row->longitude;
			s.in.accuracy = row->accuracy;
			s.c.policy.geofence = policies[p];
			struct finding f = layer_geofence(&s.c);
			expect_finding(f, row->want, policies[p], ERR_OUTSIDE_GEOFENCE, "geofence", row->name);
			if (policies[p] == LAYER_OFF)
				continue;
			assert_string_equal(f.detail, row->detail);
			assert_int_equal(f.scored, !isnan(row->score));
			if (f.scored && f.score != row->score)
				fail_msg("%s: %.0f m", row->name, f.score);
		}
	}
}

static void
no_fence_asks_nothing(void **state)
{
	struct seen s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(&s);
		s.in.latitude = s.in.longitude = NAN;
		*(i == 0 ? &s.c.row.latitude : i == 1 ? &s.c.row.longitude : &s.c.row.geofence_radius_m) = NAN;
		assert_int_equal(layer_geofence(&s.c).verdict, VERDICT_SKIP);
	}
}

/* Against published distances, and over the date line and the poles. */
static void
distances_are_right(void **state)
{
	static const struct {
		const char *name;
		double lat1, lon1, lat2, lon2, metres, within;
	} rows[] = {
		{"BNA to LAX, Rosetta Code", 36.12, -86.67, 33.94, -118.4, 2886444, 30},
		{"a degree on the equator", 0.001, 0, 0.001, 1, 111195, 1},
		{"date line", 10, 179.9995, 10, -179.9995, 109.5, 1},
		{"over the pole", 89.9995, 0, 89.9995, 180, 111.2, 1},
		{"antipodes", 0.5, 0, -0.5, 180, 20015115, 1},
	};
	struct seen s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(&s);
		s.in.latitude = rows[i].lat1;
		s.in.longitude = rows[i].lon1;
		s.c.row.latitude = rows[i].lat2;
		s.c.row.longitude = rows[i].lon2;
		double got = layer_geofence(&s.c).score;
		if (!(fabs(got - rows[i].metres) <= rows[i].within))
			fail_msg("%s: %.0f m", rows[i].name, got);
	}
}

/* --- travel ---------------------------------------------------------------------------------------------------------------- */

static void
journeys(void **state)
{
	static const struct {
		const char *name;
		double km, margin_m;
		int64_t since;
		enum verdict want;
	} rows[] = {
		{"the next room", 0.05, 100, 60, VERDICT_PASS},
		{"the same moment, next building", 1.5, 100, 0, VERDICT_PASS},
		{"another campus by train", 30, 100, 1800, VERDICT_PASS},
		{"another campus in five minutes", 30, 100, 300, VERDICT_FLAG},
		{"... which the first mark did not prove", 30, 28000, 300, VERDICT_PASS},
		{"a flight", 1900, 100, 5 * 3600, VERDICT_PASS},
		{"no flight", 1900, 100, 3600, VERDICT_FLAG},
		{"a claim of before", 30, 100, -300, VERDICT_FLAG},
		{"a claim of long before", 30, 100, -1800, VERDICT_PASS},
	};
	struct seen s;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int p = 0; p < POLICIES; p++) {
			begin(&s);
			s.c.policy.geofence = policies[p];
			s.c.before = (struct mark_before){true, NOW - rows[i].since * SECONDS_US, NORTH(-rows[i].km * 1000), 8.5417,
				rows[i].margin_m};
			/* Nobody knows which of the two marks was wrong: never refused. */
			enum verdict want = policies[p] == LAYER_OFF ? VERDICT_SKIP : rows[i].want;
			struct finding f = layer_geofence(&s.c);
			if (f.verdict != want)
				fail_msg("%s: verdict %d", rows[i].name, (int)f.verdict);
			if (want == VERDICT_FLAG) {
				assert_string_equal(f.flag, "geofence");
				assert_string_equal(f.detail, "Too far from the mark before for the time between.");
			}
		}
	}
}

/* --- network --------------------------------------------------------------------------------------------------------------- */

static void
networks_by_policy(void **state)
{
	static const enum verdict want[] = {
		[NETWORK_ANY] = VERDICT_SKIP, [NETWORK_INSIDE] = VERDICT_PASS, [NETWORK_OUTSIDE] = VERDICT_FLAG};
	struct seen s;

	(void)state;
	for (int place = NETWORK_ANY; place <= NETWORK_OUTSIDE; place++)
		for (int p = 0; p < POLICIES; p++) {
			begin(&s);
			s.c.network = (enum network_place)place;
			s.c.policy.network = policies[p];
			expect_finding(layer_network(&s.c), want[place], policies[p], ERR_NETWORK_NOT_ALLOWED, "network", "network");
		}
}

/* --- all in their order ---------------------------------------------------------------------------------------------------- */

static void
the_earlier_measure_is_told(void **state)
{
	struct arena a;
	struct seen s;

	(void)state;
	arena_init(&a);
	begin(&s);
	s.c.found = true;
	s.c.row.code_expires_at = NOW + 1;
	s.c.row.scheduled_at = NOW;
	assert_int_equal(layers_judge(&s.c, true), OK);
	assert_null(layers_flags(&a, &s.c));
	s.c.device.twin = someone;
	s.in.latitude = 0;
	s.c.network = NETWORK_OUTSIDE;
	assert_int_equal(layers_judge(&s.c, true), OK);
	assert_string_equal(layers_flags(&a, &s.c), "device,geofence,network");
	s.c.policy.network = LAYER_REJECT;
	assert_int_equal(layers_judge(&s.c, true), ERR_NETWORK_NOT_ALLOWED);
	s.c.policy.geofence = LAYER_REJECT;
	assert_int_equal(layers_judge(&s.c, true), ERR_OUTSIDE_GEOFENCE);
	s.c.policy.device = LAYER_REJECT;
	assert_int_equal(layers_judge(&s.c, true), ERR_DEVICE_MISMATCH);
	s.c.row.nonce_used = true;
	assert_int_equal(layers_judge(&s.c, true), ERR_NONCE_REUSED);
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_by_policy),
		cmocka_unit_test(places_by_policy),
		cmocka_unit_test(no_fence_asks_nothing),
		cmocka_unit_test(distances_are_right),
		cmocka_unit_test(journeys),
		cmocka_unit_test(networks_by_policy),
		cmocka_unit_test(the_earlier_measure_is_told),
	};

	return cmocka_run_group_tests_name("attendance: layers that measure", tests, NULL, NULL);
}
