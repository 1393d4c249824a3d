/* Was it in the place of the session? */
#include "attendance/layers/layer.h"

struct finding
layer_geofence(const struct mark_case *c)
{
	(void)c;
	return found_skip();
}
