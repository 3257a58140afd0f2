/* SPDX-License-Identifier: MIT */
#include "map_row.h"

#include <errno.h>
#include <stdlib.h>

#include "util.h"

int map_row_add(struct store *store, const struct shared_map *map)
{
    _cleanup_free_ void *key = NULL, *value = NULL;
    struct store_map row = {
        .number = map->number, .name = map->name, .definition = map->definition, .inner = map->inner, .uid = map->uid,
        .seed = map->seed,
    };

    if (!shared_map_is_outer(map)) {
        row.offset = map->memory;
        row.size = map->size;
    }
    if (map->key && typed_encode(map->key, &key, &row.key_type_size) < 0)
        return -ENOMEM;
    if (map->value && typed_encode(map->value, &value, &row.value_type_size) < 0)
        return -ENOMEM;
    row.key_type = key;
    row.value_type = value;
    return store_add_map(store, &row);
}

static void free_type(struct typed **typed)
{
    typed_free(*typed);
}

/* No bytes: no type. */
static int decode_type(const void *bytes, size_t size, uint32_t expected, struct typed **ret)
{
    int r = size > 0 ? typed_decode(bytes, size, ret) : 0;

    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    return *ret && typed_size(*ret) != expected ? -EBADMSG : 0;
}

/* Where its memory was, if it is still as large. */
static uint64_t place_before(const struct store_map *row)
{
    struct map layout;

    if (row->size == 0 || map_lay_out(&row->definition, &layout, NULL) < 0 || layout.size != row->size)
        return ARENA_NONE;
    return row->offset;
}

static int enter(struct registry *registry, const struct store_map *row, const struct map_wanted *wanted,
                 struct shared_map **ret, struct refusal *refusal)
{
    struct shared_map *map;
    int r;

    r = shared_map_new(registry, wanted, row->uid, row->number, &map);
    if (r < 0)
        return r;
    map->seed = row->seed;
    r = shared_map_place(map, place_before(row), refusal);
    if (r >= 0)
        r = registry_add_map(registry, map);
    if (r < 0) {
        shared_map_put(map);
        return r;
    }
    *ret = map;
    return 0;
}

int map_row_restore(struct registry *registry, const struct store_map *row, struct shared_map **ret, bool *ret_moved,
                    struct refusal *refusal)
{
    _cleanup_(free_type) struct typed *key = NULL, *value = NULL;
    struct map_wanted wanted = { .name = row->name, .definition = row->definition, .inner = row->inner };
    int r;

    if (!registry_name_valid(row->name) || row->number < MAP_NUMBER_FIRST)
        return -EBADMSG;
    r = decode_type(row->key_type, row->key_type_size, row->definition.key_size, &key);
    if (r >= 0)
        r = decode_type(row->value_type, row->value_type_size, row->definition.value_size, &value);
    if (r < 0)
        return r;
    wanted.key = key;
    wanted.value = value;
    r = enter(registry, row, &wanted, ret, refusal);
    if (r >= 0)
        *ret_moved = !shared_map_is_outer(*ret) && (*ret)->memory != row->offset;
    return r;
}

int map_row_restore_inner(struct registry *registry, uint32_t outer_number, const void *key, size_t key_size,
                          uint32_t inner_number)
{
    struct shared_map *outer = registry_map_numbered(registry, outer_number);
    struct shared_map *inner = registry_map_numbered(registry, inner_number);
    int r;

    if (!outer || !inner || !shared_map_is_outer(outer) || key_size != outer->definition.key_size)
        return -EBADMSG;
    r = shared_map_reserve_inner(outer, key);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    shared_map_put(shared_map_set_inner(outer, key, shared_map_get(inner)));
    shared_map_show_inner(outer, key);
    return 0;
}
