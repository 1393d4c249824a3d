/* Private to `muster import`: databases of other programs. */
#ifndef MUSTER_CLI_IMPORT_H
#define MUSTER_CLI_IMPORT_H

#include "cli/cli.h"
#include "identity/import.h"

/* Every record of an old campus SQLite file, given to `im`; says on standard error what has no place here. */
enum err import_old_campus(struct app *app, struct import *im, const char *path) MUST_CHECK;

#endif
