/* SPDX-License-Identifier: MIT */
/*
 * How many tables there may be: of a worker, of a user, of all.  Tables are kept when their workers end, so those that
 * nobody uses make room for new ones: where a limit is reached, as many as are needed are forgotten, in the change that
 * declares the new ones.
 */
#ifndef DAEMON_TABLE_ROOM_H
#define DAEMON_TABLE_ROOM_H

#include <stddef.h>

#include "refusal.h"

struct change_request;
struct registry;
struct worker;

#define TABLES_PER_USER 1024            /* that have first been declared by a user's workers; root's are not counted */

/*
 * Let this worker declare what the request does: operations that forget tables are put before its own.  -ENOMEM;
 * -EDQUOT.
 */
int table_room(const struct registry *registry, const struct worker *worker, struct change_request *request,
               struct refusal *refusal);

/* -EDQUOT. */
int table_room_refuse(const char *limit, size_t maximum, struct refusal *refusal);

#endif
