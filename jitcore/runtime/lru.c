/* SPDX-License-Identifier: MIT */
/*
 * Hash tables that are never full: eviction goes round all elements as the hand of a clock does, and takes the first
 * that nobody looked up or updated since it came by last.
 */
#include <errno.h>

#include "hash.h"

#define EVICTIONS 8             /* for one update: others may take what it makes free */
#define SWEEP 128               /* elements that one eviction looks at; then it takes the last that was there */

void *lru_lookup(const struct map *map, const void *key)
{
    uint32_t link = hash_find(map, key);
    struct hash_element *element = element_of(map, link);

    if (!element)
        return NULL;
    hash_refer(element);
    return hash_value(map, link);
}

/* The hand's element, and the hand one further.  Two threads may get the same: one of them finds that it is gone. */
static uint32_t turn_hand(const struct map *map)
{
    uint32_t *hand = (uint32_t *)(void *)((uint8_t *)map_memory(map) + HASH_HAND_AT(map));
    uint32_t number = READ_ONCE(*hand);

    if (number >= element_count(map))
        number = 0;
    WRITE_ONCE(*hand, number + 1);
    return 1 + number;
}

static int evict(const struct map *map, struct thread *thread)
{
    int r = -EBUSY;

    for (int i = 0; i < SWEEP && r < 0; i++) {
        uint32_t link = turn_hand(map);
        struct hash_element *element = element_of(map, link);

        if (READ_ONCE(element->referenced) != 0 && i < SWEEP - 1)
            WRITE_ONCE(element->referenced, 0);
        else
            r = hash_evict(map, thread, link);
    }
    return r;
}

long lru_update(const struct map *map, const void *key, const void *value, uint64_t flags, uint64_t unused,
                struct thread *thread)
{
    long r = hash_update(map, key, value, flags, unused, thread);

    for (int i = 0; i < EVICTIONS && r == -E2BIG; i++) {
        if (evict(map, thread) == -ENOSPC)
            return -ENOSPC;
        r = hash_update(map, key, value, flags, unused, thread);
    }
    return r == -E2BIG ? -EBUSY : r;
}

long lru_delete(const struct map *map, const void *key, uint64_t unused1, uint64_t unused2, uint64_t unused3,
                struct thread *thread)
{
    return hash_delete(map, key, unused1, unused2, unused3, thread);
}
