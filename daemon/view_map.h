/* SPDX-License-Identifier: MIT */
/* Maps as the API shows them. */
#ifndef DAEMON_VIEW_MAP_H
#define DAEMON_VIEW_MAP_H

struct json_object;
struct shared_map;

/* The result is the caller's. */
struct json_object *view_map(const struct shared_map *map);

#endif
