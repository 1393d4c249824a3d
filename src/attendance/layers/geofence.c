/*
 * Was it in the place of the session?
 *
 * A position is what a phone says, so it is weighed and never proof.  Its accuracy widens the fence by at most 50 m: the wider a
 * position is, the less it says, and naming a kilometre must not open every fence.  Of the position only the distance and one of
 * five words for its accuracy leave this function.
 *
 * Two places that no journey joins in the time between two marks are told too, but never refused for: which of the two marks was
 * the wrong one nobody knows.
 */
#include "attendance/layers/layer.h"

#include <math.h>

enum { WIDENED_MAX_M = 50, ACCURACIES = 6 };

/* Great-circle distance on the mean sphere (haversine), metres; good to half a percent. */
static double
distance_m(double lat1, double lon1, double lat2, double lon2)
{
	const double mean_radius_m = 6371008.8, rad = M_PI / 180;
	double north = sin((lat2 - lat1) * rad / 2), east = sin((lon2 - lon1) * rad / 2);
	double h = north * north + cos(lat1 * rad) * cos(lat2 * rad) * east * east;

	return 2 * mean_radius_m * asin(sqrt(fmin(h, 1)));
}

static int
accuracy_bucket(double accuracy_m)
{
	static const double upto_m[] = {10, 20, 50, 100};
	int i = 0;

	if (!(accuracy_m > 0))
		return ACCURACIES - 1;
	while (i < 4 && accuracy_m > upto_m[i])
		i++;
	return i;
}

static const char *const inside_words[ACCURACIES] = {"Inside; position good to 10 m.", "Inside; position good to 20 m.",
	"Inside; position good to 50 m.", "Inside; position good to 100 m.", "Inside; position worse than 100 m.",
	"Inside; accuracy not told."};
static const char *const outside_words[ACCURACIES] = {"Outside; position good to 10 m.", "Outside; position good to 20 m.",
	"Outside; position good to 50 m.", "Outside; position good to 100 m.", "Outside; position worse than 100 m.",
	"Outside; accuracy not told."};

/* Door to door no train makes 50 m/s, and over 300 km no airliner 250. */
static bool
too_far_since(const struct mark_case *c, double margin_m)
{
	enum { NEAR_M = 2000, FLIGHT_M = 300000, GROUND_MPS = 50, AIR_MPS = 250 };
	const struct mark_before *b = &c->before;
	double way_m, seconds;

	if (!b->there)
		return false;
	way_m = distance_m(b->latitude, b->longitude, c->row.latitude, c->row.longitude) - b->margin_m - margin_m;
	seconds = fabs((double)(c->at_us - b->at_us)) / (double)SECONDS_US;
	return way_m > NEAR_M && way_m > seconds * (way_m > FLIGHT_M ? AIR_MPS : GROUND_MPS);
}

static bool
told(const struct mark_in *in)
{
	return in && isfinite(in->latitude) && isfinite(in->longitude) && (in->latitude != 0 || in->longitude != 0);
}

struct finding
layer_geofence(const struct mark_case *c)
{
	const struct mark_in *in = c->in;
	const double radius_m = c->row.geofence_radius_m;

	if (isnan(c->row.latitude) || isnan(c->row.longitude) || isnan(radius_m) || c->policy.geofence == LAYER_OFF)
		return found_skip();
	if (!told(in))
		return found_fault(c->policy.geofence, ERR_OUTSIDE_GEOFENCE, "geofence", "No position was told.");

	double away_m = distance_m(in->latitude, in->longitude, c->row.latitude, c->row.longitude);
	double widened_m = in->accuracy > 0 ? fmin(in->accuracy, WIDENED_MAX_M) : 0;
	int bucket = accuracy_bucket(in->accuracy);
	struct finding f = found_pass(inside_words[bucket]);
	if (away_m > radius_m + widened_m)
		f = found_fault(c->policy.geofence, ERR_OUTSIDE_GEOFENCE, "geofence", outside_words[bucket]);
	else if (too_far_since(c, fmax(away_m, radius_m)))
		f = found_flag("geofence", "Too far from the mark before for the time between.");
	f.score = round(away_m);
	f.scored = true;
	return f;
}
