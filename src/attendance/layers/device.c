/* Is it the student's own device? */
#include "attendance/layers/layer.h"

struct finding
layer_device(const struct mark_case *c)
{
	(void)c;
	return found_skip();
}
