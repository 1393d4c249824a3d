/*
 * What a node does with the news of the others: forgets sessions, tells its own listeners, lets screens look again.  Opens and closes
 * the server's bus (srv->bus); where one process has the database to itself it stays NULL.
 */
#ifndef MUSTER_JOBS_NODES_H
#define MUSTER_JOBS_NODES_H

#include "core/ctx.h"

/* After store, sessions and hub are there. */
void nodes_open(struct server *srv);
/* While they still are, when nothing writes any more. */
void nodes_close(struct server *srv);

#endif
