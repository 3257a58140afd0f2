/* SPDX-License-Identifier: MIT */
/* Maps of maps: arrays and hash tables whose values are distances to inner maps. */
#include "map.h"

static const struct map *inner_of(const struct map *map, const int64_t *distance)
{
    return distance ? map_inner(map, READ_BEFORE(*distance)) : NULL;
}

const struct map *map_array_lookup(const struct map *map, const void *key)
{
    return inner_of(map, array_lookup(map, key));
}

const struct map *map_hash_lookup(const struct map *map, const void *key)
{
    return inner_of(map, hash_lookup(map, key));
}
