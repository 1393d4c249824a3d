/*
 * Embedded files, by name, from a table that tools/embed-assets.sh generates and a NULL name ends:
 *	passwords.txt       the 10,000 most common passwords, lower-case, in byte order, one a line
 *	docs/swagger.html   the page of /docs;  docs/redoc.html the page of /redoc;  any other docs/FILE is served as /docs/FILE
 * Every docs/FILE has a gzip twin called docs/FILE.gz.  A build with WEB=0 has no docs/ at all.
 */
#ifndef MUSTER_CORE_ASSET_H
#define MUSTER_CORE_ASSET_H

#include <stdint.h>

struct asset_blob {
	const char *name;
	const unsigned char *data;
	uint64_t size; /* bytes */
};
extern const struct asset_blob asset_blobs[];

#endif
