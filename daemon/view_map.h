/* SPDX-License-Identifier: MIT */
/* Maps as the API shows them. */
#ifndef DAEMON_VIEW_MAP_H
#define DAEMON_VIEW_MAP_H

struct json_object;
struct registry;
struct shared_map;

/* Each result is the caller's. */
struct json_object *view_map(const struct shared_map *map);
struct json_object *view_maps(const struct registry *registry);

#endif
