/* Is it the face that was enrolled? */
#include "attendance/layers/layer.h"

struct finding
layer_face(const struct mark_case *c)
{
	(void)c;
	return found_skip();
}
