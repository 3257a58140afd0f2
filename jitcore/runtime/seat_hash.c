/* SPDX-License-Identifier: MIT */
/* Hash tables with a copy of each value for each seat. */
#include "hash.h"

void *seat_hash_lookup(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                       struct thread *thread)
{
    uint32_t seat, link;

    (void)unused1, (void)unused2, (void)unused3;
    if (seat_find(map, thread, &seat) < 0)
        return NULL;
    hash_use_copy(map, seat);
    link = hash_find(map, key);
    return link == 0 ? NULL : hash_copy(map, link, seat);
}

long seat_hash_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                      struct thread *thread)
{
    return hash_update(map, key, value, flags, unused, thread);
}

long seat_hash_delete(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                      struct thread *thread)
{
    return hash_delete(map, key, unused1, unused2, unused3, thread);
}

const void *seat_hash_next(const struct map *map, struct map_cursor *cursor, void **ret_value, uint64_t unused1,
                           uint64_t unused2, struct thread *thread)
{
    uint32_t seat, link;

    (void)unused1, (void)unused2;
    if (seat_find(map, thread, &seat) < 0)
        return NULL;
    hash_use_copy(map, seat);
    link = hash_walk(map, cursor);
    if (link == 0)
        return NULL;
    *ret_value = hash_copy(map, link, seat);
    return ((struct hash_element *)element_of(map, link))->key;
}

void *seat_hash_copies(const struct map *map, const void *key)
{
    uint32_t link = hash_find(map, key);

    return link == 0 ? NULL : hash_copy(map, link, 0);
}
