/* SPDX-License-Identifier: MIT */
#include "inspection.h"

#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "map.h"
#include "runtime/ring.h"

#define SEATS 4                 /* whose journals are settled */
#define BYTES_MAX 4096          /* keys, values and records here are shorter */

static bool is_inside(const struct map *map, const void *place, uint64_t size)
{
    uint64_t at = (uint64_t)((const uint8_t *)place - (const uint8_t *)map_memory(map));

    return at <= map->size && size <= map->size - at;
}

/* Key and value are copied, as the daemon copies them, before anything else; then the copies of other seats are. */
static bool read_element(const struct map *map, const struct map_cursor *cursor, const void *key, const void *value)
{
    const struct map_kind *kind = map_kind_find(map->kind);
    uint8_t copy[BYTES_MAX], bytes[BYTES_MAX], *first;

    if ((key != &cursor->within && !is_inside(map, key, map->key_size)) || !is_inside(map, value, map->value_size))
        return false;
    memcpy(copy, key, map->key_size);
    memcpy(bytes, value, map->value_size);
    first = kind->call_copies ? kind->call_copies(map, copy) : NULL;
    return !first || is_inside(map, first + (SEATS_MAX - 1) * (size_t)map->copy_stride, map->value_size);
}

static bool read_elements(const struct map *map, struct thread *thread)
{
    const struct map_kind *kind = map_kind_find(map->kind);
    struct map_cursor cursor = { 0 };
    uint64_t left = map->size;
    const void *key;
    void *value;

    while ((key = kind->call_next(map, &cursor, &value, 0, 0, thread)))
        if (left-- == 0 || !read_element(map, &cursor, key, value))
            return false;
    return true;
}

static void take_records(const struct map *map)
{
    uint8_t buffer[BYTES_MAX];
    struct ring_walk walk = { 0 };
    uint32_t length;

    ring_take(map, buffer, sizeof(buffer), &length);
    ring_drop(map);
    ring_abandon(map, 1, &walk, 64);
}

static bool inspect(const struct map *map, struct thread *thread)
{
    const struct map_kind *kind = map_kind_find(map->kind);
    struct arena_head *head = (struct arena_head *)(void *)((uint8_t *)(uintptr_t)map + map->arena);

    if (kind->call_next && !read_elements(map, thread))
        return false;
    if (kind->call_count && kind->call_count(map) > map->max_entries + SEATS_MAX)
        return false;
    if (map->kind == BPF_MAP_TYPE_RINGBUF)
        take_records(map);
    for (unsigned i = 0; i < SEATS; i++)
        map_recover(map, &head->seat[i]);
    return true;
}

bool inspection_run(const struct interpreter *interpreter, char *reason, size_t size)
{
    struct thread thread = { .line = SEAT_LINE(1, 2), .process = 1, .id = 1 };

    for (uint32_t i = 0; i < interpreter->arena.maps; i++) {
        const struct map *map = interpreter->arena.map[i];
        const struct bytecode_region *region = &interpreter->bytecode->region[interpreter->arena.region[i]];

        if (!map || bytecode_map_of_maps(region) || inspect(map, &thread))
            continue;
        snprintf(reason, size, "reading %s leads out of it, or does not end", region->name);
        return false;
    }
    return true;
}
