/* SPDX-License-Identifier: MIT */
/* Maps and their rows in the database. */
#ifndef DAEMON_MAP_ROW_H
#define DAEMON_MAP_ROW_H

#include "registry.h"
#include "shared_map.h"
#include "store.h"

/* Inside a transaction: the row of a map that is placed.  -ENOMEM; errors of store.h. */
int map_row_add(struct store *store, const struct shared_map *map);

/*
 * At a start: enter the map of a row, placed where its memory was.  *ret_moved: it could not be, since this daemon lays
 * such maps out otherwise; it is empty, and its row is to be changed (store_move_map()).
 * -EBADMSG: the row makes no sense; others with `refusal`: of shared_map_place().
 */
int map_row_restore(struct registry *registry, const struct store_map *row, struct shared_map **ret, bool *ret_moved,
                    struct refusal *refusal);

/* The same for what a map of maps has for a key. */
int map_row_restore_inner(struct registry *registry, uint32_t outer, const void *key, size_t key_size, uint32_t inner);

#endif
