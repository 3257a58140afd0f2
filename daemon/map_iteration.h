/* SPDX-License-Identifier: MIT */
/*
 * Work on all elements of a map for a control client, some hundred a turn (long_call.h): a map may have
 * millions.  It ends when all are seen, or the client has gone.
 *
 * What an iteration sees: runtime/map.h.  The map lives as long as its iterations, also when it is removed meanwhile.
 */
#ifndef DAEMON_MAP_ITERATION_H
#define DAEMON_MAP_ITERATION_H

#include <stdbool.h>

#include "daemon.h"
#include "refusal.h"

struct call;
struct json_object;
struct shared_map;

/*
 * Each answers `call` when it is done (the first also meanwhile), and holds references to call and map until then.
 * MapUnsuited: the kind's elements cannot be gone through; -ENOMEM.
 */
int map_iteration_show(struct daemon *daemon, struct shared_map *map, struct call *call, bool hex, struct refusal *refusal);
int map_iteration_clear(struct daemon *daemon, struct shared_map *map, struct call *call, struct refusal *refusal);

#endif
